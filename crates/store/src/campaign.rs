//! Campaigns and their computed results.

use std::collections::BTreeSet;

use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed, json};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{fetch_all, fetch_one, upsert_rows};
use crate::tx::Tx;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    pub id: Uuid,
    pub key: String,
    pub name: String,
    pub kind: String,
    pub channel: Channel,
    /// What was spent, in the workspace's currency.
    pub cost_minor: i64,
    pub starts_at: Option<Instant>,
    pub ends_at: Option<Instant>,
    pub created_at: Instant,
    /// Earlier campaigns whose results were looked at before.
    pub reviewed: Vec<Uuid>,
    /// The audience that it was planned for.
    pub audience: Option<Uuid>,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    key: String,
    name: String,
    kind: String,
    channel: String,
    cost_minor: i64,
    starts_at: Option<i64>,
    ends_at: Option<i64>,
    created_at: i64,
    reviewed: Option<String>,
    audience: Option<Uuid>,
}

impl Row {
    fn decode(self) -> Result<Campaign> {
        let reviewed = self.reviewed.as_deref();
        let reviewed =
            reviewed.map(|list| json(Place("campaign", "reviewed", &self.id), list)).transpose()?;
        Ok(Campaign {
            reviewed: reviewed.unwrap_or_default(),
            channel: closed(Place("campaign", "channel", &self.id), &self.channel, Channel::parse)?,
            id: self.id,
            key: self.key,
            name: self.name,
            kind: self.kind,
            cost_minor: self.cost_minor,
            starts_at: self.starts_at.map(Instant),
            ends_at: self.ends_at.map(Instant),
            created_at: Instant(self.created_at),
            audience: self.audience,
        })
    }
}

const CAMPAIGN: &str =
    "id, key, name, kind, channel, cost_minor, starts_at, ends_at, created_at, reviewed, audience";

/// All campaigns, the newest first.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Campaign>> {
    let sql = format!("SELECT {CAMPAIGN} FROM campaign ORDER BY created_at DESC, id DESC");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![]).await?;
    rows.into_iter().map(Row::decode).collect()
}

pub async fn by_id(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Campaign>> {
    let sql = format!("SELECT {CAMPAIGN} FROM campaign WHERE id = $1");
    let row: Option<Row> = fetch_one(db, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

pub async fn by_key(db: &impl ConnectionTrait, key: &str) -> Result<Option<Campaign>> {
    let sql = format!("SELECT {CAMPAIGN} FROM campaign WHERE key = $1");
    let row: Option<Row> = fetch_one(db, &sql, vec![key.into()]).await?;
    row.map(Row::decode).transpose()
}

pub async fn put(tx: &Tx, campaigns: &[Campaign]) -> Result<()> {
    let mut rows = vec![];
    for campaign in campaigns {
        let Campaign {
            id,
            key,
            name,
            kind,
            channel,
            cost_minor,
            starts_at,
            ends_at,
            created_at,
            reviewed,
            audience,
        } = campaign;
        rows.push(vec![
            (*id).into(),
            key.as_str().into(),
            name.as_str().into(),
            kind.as_str().into(),
            channel.as_str().into(),
            (*cost_minor).into(),
            starts_at.map(|at| at.ms()).into(),
            ends_at.map(|at| at.ms()).into(),
            created_at.ms().into(),
            crate::change::json(reviewed)?.into(),
            (*audience).into(),
        ]);
    }
    let columns = &[
        "id",
        "key",
        "name",
        "kind",
        "channel",
        "cost_minor",
        "starts_at",
        "ends_at",
        "created_at",
        "reviewed",
        "audience",
    ];
    upsert_rows(tx, "campaign", columns, &["id"], rows).await?;
    Ok(())
}

/// Which of these campaigns brought a lead.
pub async fn with_leads(db: &impl ConnectionTrait, campaigns: &[Uuid]) -> Result<BTreeSet<Uuid>> {
    #[derive(FromQueryResult)]
    struct Found {
        subject: String,
    }
    let sql = format!(
        "SELECT subject FROM counter WHERE family = 'campaign' AND metric = 'leads' AND value > 0 AND subject {}",
        Dialect::of(db.get_database_backend()).text_list("$1")
    );
    let subjects: Vec<String> = campaigns.iter().map(|id| id.simple().to_string()).collect();
    let rows: Vec<Found> = fetch_all(db, &sql, vec![dialect::texts(&subjects)]).await?;
    Ok(rows.iter().filter_map(|row| Uuid::try_parse(&row.subject).ok()).collect())
}
