//! Relay's global identification: an object by its id alone.

use async_graphql::{Context, ID, Interface, Object};

use super::backtest::BacktestRun;
use super::campaign::Campaign;
use super::decision::Decision;
use super::deployment::Deployment;
use super::directory::{Queue, Team, User};
use super::import::ImportRun;
use super::lead::{Account, Lead, leads_by};
use super::problem::{coded, failure};
use super::reevaluation::Reevaluation;
use super::report::ReportRun;
use super::scalar::read_global;
use super::{app, read_viewer};
use crate::app::App;
use crate::flows::Error;

/// An object with a global id. Ids are opaque: keep them, send them back, and build none.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "&ID", desc = "Globally unique."))]
pub enum Node {
    Lead(Lead),
    Account(Account),
    Campaign(Campaign),
    Decision(Decision),
    Deployment(Deployment),
    BacktestRun(Box<BacktestRun>),
    ImportRun(ImportRun),
    Reevaluation(Reevaluation),
    ReportRun(ReportRun),
    User(User),
    Team(Team),
    Queue(Queue),
}

/// The most ids of one request.
const MOST: usize = 200;

#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object of a global id; null if there is none.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Node>> {
        read_viewer(ctx)?;
        find(app(ctx)?, &id).await
    }

    /// The objects of up to 200 global ids, in their order; null in the place of one that does not exist.
    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> async_graphql::Result<Vec<Option<Node>>> {
        read_viewer(ctx)?;
        if ids.len() > MOST {
            return Err(coded("PAGE_SIZE", format!("at most {MOST} ids, found {}", ids.len()), false));
        }
        let app = app(ctx)?;
        // Leads are asked for by the page; of the others there are few, or they are in memory.
        let lead = |id: &ID| read_global(id).filter(|(kind, _)| kind == "Lead").map(|(_, uuid)| uuid);
        let wanted: Vec<uuid::Uuid> = ids.iter().filter_map(lead).collect();
        let leads = leads_by(app, &wanted, &Default::default()).await?;
        let mut found = Vec::with_capacity(ids.len());
        for id in &ids {
            found.push(match lead(id) {
                Some(uuid) => leads.get(&uuid).cloned().map(Node::Lead),
                None => find(app, id).await?,
            });
        }
        Ok(found)
    }
}

async fn find(app: &App, id: &ID) -> async_graphql::Result<Option<Node>> {
    let Some((kind, uuid)) = read_global(id) else {
        return Err(coded("VALIDATION", "the id is none of ours: send one that an answer gave", false));
    };
    let (db, workspace) = (app.store.read(), app.workspace());
    let fault = |error: handfast_store::StoreError| failure(Error::from(error));
    Ok(match kind.as_str() {
        // What lies below a lead is read when it is asked for.
        "Lead" => super::lead::lead_by(app, uuid, &Default::default()).await?.map(Node::Lead),
        "Account" => {
            let found = handfast_store::person::accounts(db, &[uuid]).await.map_err(fault)?;
            found.first().map(|account| Node::Account(account.into()))
        }
        "Campaign" => workspace.campaign(uuid).cloned().map(Campaign::wrap).map(Node::Campaign),
        "Decision" => {
            let found = handfast_store::evaluation::decision(db, uuid).await.map_err(fault)?;
            found.map(|one| Node::Decision(Decision::wrap(one.decision, one.lead, one.as_of, one.charter)))
        }
        "Deployment" => {
            let found = handfast_store::deployment::find(db, uuid).await.map_err(fault)?;
            found.map(|ran| Node::Deployment(Deployment::wrap(ran)))
        }
        "BacktestRun" => {
            let found = handfast_store::backtest::get(db, uuid).await.map_err(fault)?;
            found.map(|run| Node::BacktestRun(Box::new(BacktestRun::wrap(run))))
        }
        "ImportRun" => {
            let found = handfast_store::import::get(db, uuid).await.map_err(fault)?;
            found.map(|run| Node::ImportRun(ImportRun::wrap(run)))
        }
        "Reevaluation" => {
            let found = handfast_store::reevaluation::get(db, uuid).await.map_err(fault)?;
            found.map(|run| Node::Reevaluation(Reevaluation::wrap(run)))
        }
        "ReportRun" => super::report::found(app, uuid).await?.map(Node::ReportRun),
        "User" => workspace.directory.user(uuid).map(|user| Node::User(User::wrap(user))),
        "Team" => {
            let found = workspace.directory.teams.iter().find(|team| team.id == uuid);
            found.map(|team| Node::Team(Team::wrap(team)))
        }
        "Queue" => {
            let found = workspace.directory.queues.iter().find(|queue| queue.id == uuid);
            found.map(|queue| Node::Queue(Queue::wrap(queue)))
        }
        _ => None,
    })
}
