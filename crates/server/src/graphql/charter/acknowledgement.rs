//! Who said that they read the charter, and who has not yet.

use async_graphql::{Context, InputObject, SimpleObject};
use handfast_domain::charter::{Charter as Agreed, CharterStatus};
use handfast_domain::time::Instant;
use handfast_store::charter as store;

use super::super::app;
use super::super::directory::{Team, User};
use super::super::problem::failure;

/// Somebody said that they read a charter.
#[derive(Clone, SimpleObject)]
pub struct CharterAcknowledgement {
    /// Who said it; null for somebody who is no longer known.
    user: Option<User>,
    at: Instant,
}

/// The people of a team who have not said yet that they read the charter in force.
#[derive(Clone, SimpleObject)]
pub struct CharterAcknowledgementsAwaited {
    team: Team,
    /// At least one; services and INTEGRATION are not asked.
    users: Vec<User>,
}

async fn readings(ctx: &Context<'_>, number: u32) -> async_graphql::Result<Vec<(uuid::Uuid, Instant)>> {
    let found = store::acknowledged(app(ctx)?.store.read(), number).await;
    found.map_err(|error| failure(error.into()))
}

pub(super) async fn given(
    ctx: &Context<'_>,
    charter: &Agreed,
) -> async_graphql::Result<Vec<CharterAcknowledgement>> {
    let (found, workspace) = (readings(ctx, charter.number).await?, app(ctx)?.workspace());
    let user = |id| workspace.directory.user(id).map(User::wrap);
    Ok(found.into_iter().map(|(id, at)| CharterAcknowledgement { user: user(id), at }).collect())
}

pub(super) async fn awaited(
    ctx: &Context<'_>,
    charter: &Agreed,
) -> async_graphql::Result<Vec<CharterAcknowledgementsAwaited>> {
    let workspace = app(ctx)?.workspace();
    if charter.status != CharterStatus::Active {
        return Ok(vec![]);
    }
    let read = readings(ctx, charter.number).await?;
    let directory = &workspace.directory;
    let asked = |team: &str| {
        let users = directory.users.iter().filter(|user| user.team == team && user.reads_charters());
        users.filter(|user| !read.iter().any(|(id, _)| *id == user.id)).map(User::wrap).collect::<Vec<_>>()
    };
    let teams = directory.teams.iter().map(|team| (Team::wrap(team), asked(&team.key)));
    Ok(teams
        .filter(|(_, users)| !users.is_empty())
        .map(|(team, users)| CharterAcknowledgementsAwaited { team, users })
        .collect())
}

#[derive(Clone, Debug, InputObject)]
pub struct AcknowledgeCharterInput {
    /// Number of the charter in force; another one is refused, so that nobody acknowledges what they did not read.
    pub(super) number: i32,
    /// The same key again has no second effect and is answered as before.
    pub(super) idempotency_key: Option<String>,
    /// Decide, and write nothing.
    pub(super) dry_run: Option<bool>,
}
