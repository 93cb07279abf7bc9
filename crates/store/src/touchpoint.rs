//! Touchpoints: rows for the timeline, and a count of each lead's engagement that rules read.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::profile::Engagement;
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::person::ExternalRef;
use crate::rows::{columns, execute, fetch_all, insert_new_rows, upsert_rows};
use crate::tx::Tx;

/// One touch of a lead, or of a visitor who has no name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touchpoint {
    pub id: Uuid,
    pub lead: Option<Uuid>,
    pub anonymous_id: Option<String>,
    pub campaign: Option<Uuid>,
    pub channel: Channel,
    pub source: Option<String>,
    pub medium: Option<String>,
    pub content: Option<String>,
    pub occurred_at: Instant,
    pub received_at: Instant,
    pub external: Option<ExternalRef>,
}

struct Row {
    id: Uuid,
    lead: Option<Uuid>,
    anonymous_id: Option<String>,
    campaign: Option<Uuid>,
    channel: String,
    source: Option<String>,
    medium: Option<String>,
    content: Option<String>,
    occurred_at: i64,
    received_at: i64,
    system: Option<String>,
    external_id: Option<String>,
}

impl Row {
    fn decode(self) -> Result<Touchpoint> {
        let channel = closed(Place("touchpoint", "channel", &self.id), &self.channel, Channel::parse)?;
        let external = self.system.zip(self.external_id).map(|(system, id)| ExternalRef { system, id });
        Ok(Touchpoint {
            id: self.id,
            lead: self.lead,
            anonymous_id: self.anonymous_id,
            campaign: self.campaign,
            channel,
            source: self.source,
            medium: self.medium,
            content: self.content,
            occurred_at: Instant(self.occurred_at),
            received_at: Instant(self.received_at),
            external,
        })
    }
}

columns!("t": Row { id, lead, anonymous_id, campaign, channel, source, medium, content, occurred_at, received_at, system, external_id });

const TOUCHPOINT: &str = Row::COLUMNS;

#[derive(FromQueryResult)]
struct EngagementRow {
    lead: Uuid,
    body: String,
}

/// Stores those that are new, by their reference in the source system, and counts them. Answers how many were new.
pub async fn record(tx: &Tx, touches: &[Touchpoint]) -> Result<usize> {
    let mut by_system: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for at in touches.iter().filter_map(|touch| touch.external.as_ref()) {
        by_system.entry(&at.system).or_default().push(&at.id);
    }
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    // The index begins with the system: without it, each look would read the whole table.
    let sql = format!(
        "SELECT external_id FROM touchpoint WHERE system = $1 AND external_id {}",
        tx.dialect().text_list("$2")
    );
    for (system, ids) in by_system {
        #[derive(FromQueryResult)]
        struct Known {
            external_id: String,
        }
        let rows: Vec<Known> = fetch_all(tx, &sql, vec![system.into(), dialect::texts(ids)]).await?;
        known.extend(rows.into_iter().map(|row| (system.to_owned(), row.external_id)));
    }
    let mut fresh: Vec<&Touchpoint> = vec![];
    for touch in touches {
        let again =
            touch.external.as_ref().is_some_and(|at| !known.insert((at.system.clone(), at.id.clone())));
        if !again {
            fresh.push(touch);
        }
    }
    let rows = fresh.iter().map(|touch| {
        let (system, external_id) = touch.external.clone().map(|at| (at.system, at.id)).unzip();
        vec![
            touch.id.into(),
            touch.lead.into(),
            touch.anonymous_id.clone().into(),
            touch.campaign.into(),
            touch.channel.as_str().into(),
            touch.source.clone().into(),
            touch.medium.clone().into(),
            touch.content.clone().into(),
            touch.occurred_at.ms().into(),
            touch.received_at.ms().into(),
            system.into(),
            external_id.into(),
        ]
    });
    let columns = &[
        "id",
        "lead",
        "anonymous_id",
        "campaign",
        "channel",
        "source",
        "medium",
        "content",
        "occurred_at",
        "received_at",
        "system",
        "external_id",
    ];
    insert_new_rows(tx, "touchpoint", columns, &["id"], rows.collect()).await?;
    count(tx, &fresh).await?;
    Ok(fresh.len())
}

async fn count(tx: &Tx, touches: &[&Touchpoint]) -> Result<()> {
    let mut by_lead: BTreeMap<Uuid, Vec<&Touchpoint>> = BTreeMap::new();
    for touch in touches {
        if let Some(lead) = touch.lead {
            by_lead.entry(lead).or_default().push(touch);
        }
    }
    if by_lead.is_empty() {
        return Ok(());
    }
    let sql = format!("SELECT lead, body FROM engagement WHERE lead {}", list(tx));
    let rows: Vec<EngagementRow> = fetch_all(tx, &sql, vec![dialect::uuids(by_lead.keys())]).await?;
    let mut counts: BTreeMap<Uuid, Engagement> = BTreeMap::new();
    for row in rows {
        counts.insert(row.lead, decode::json(Place("engagement", "body", &row.lead), &row.body)?);
    }
    let mut updated = vec![];
    for (lead, mut touches) in by_lead {
        touches.sort_by_key(|touch| touch.occurred_at);
        let mut engagement = counts.remove(&lead).unwrap_or_default();
        for touch in touches {
            engagement.record(touch.channel, touch.content.as_deref(), touch.occurred_at);
        }
        updated.push(vec![lead.into(), json(&engagement)?.into()]);
    }
    upsert_rows(tx, "engagement", &["lead", "body"], &["lead"], updated).await?;
    Ok(())
}

/// A visitor got a name: earlier touches join the lead.
pub async fn adopt(tx: &Tx, anonymous_id: &str, lead: Uuid) -> Result<()> {
    let sql = format!("SELECT {TOUCHPOINT} FROM touchpoint t WHERE t.anonymous_id = $1 AND t.lead IS NULL");
    let rows: Vec<Row> = fetch_all(tx, &sql, vec![anonymous_id.into()]).await?;
    let mut touches = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    touches.iter_mut().for_each(|touch| touch.lead = Some(lead));
    let sql = "UPDATE touchpoint SET lead = $1 WHERE anonymous_id = $2 AND lead IS NULL";
    execute(tx, sql, vec![lead.into(), anonymous_id.into()]).await?;
    count(tx, &touches.iter().collect::<Vec<_>>()).await
}

/// A lead was found to be somebody else, too: what it did since an instant joins the other one.
pub async fn join(tx: &Tx, duplicate: Uuid, lead: Uuid, since: Instant) -> Result<()> {
    let sql = format!("SELECT {TOUCHPOINT} FROM touchpoint t WHERE t.lead = $1 AND t.occurred_at > $2");
    let rows: Vec<Row> = fetch_all(tx, &sql, vec![duplicate.into(), since.ms().into()]).await?;
    let mut touches = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    touches.iter_mut().for_each(|touch| touch.lead = Some(lead));
    let sql = "UPDATE touchpoint SET lead = $1 WHERE lead = $2 AND occurred_at > $3";
    execute(tx, sql, vec![lead.into(), duplicate.into(), since.ms().into()]).await?;
    count(tx, &touches.iter().collect::<Vec<_>>()).await
}

/// Touches of visitors who have no name yet, the oldest first and at most so many that a person could have made.
pub async fn visits(db: &impl ConnectionTrait, visitors: &[String]) -> Result<Vec<Touchpoint>> {
    if visitors.is_empty() {
        return Ok(vec![]);
    }
    let list = Dialect::of(db.get_database_backend()).text_list("$1");
    let sql = format!(
        "SELECT {TOUCHPOINT} FROM touchpoint t WHERE t.anonymous_id {list} AND t.lead IS NULL \
         ORDER BY t.occurred_at, t.id LIMIT 10000"
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::texts(visitors)]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// The newest touches of each lead: one statement, the limit inside.
pub async fn newest(db: &impl ConnectionTrait, leads: &[Uuid], per_lead: i64) -> Result<Vec<Touchpoint>> {
    let newest = Dialect::of(db.get_database_backend()).newest_of_each("touchpoint", "occurred_at");
    let sql = format!("SELECT {TOUCHPOINT} FROM {newest} ORDER BY t.lead, t.occurred_at DESC, t.id DESC");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads), per_lead.into()]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Touches of leads in a span of time, both ends included, in the order of lead, instant and id, after a place in it.
pub async fn between(
    db: &impl ConnectionTrait,
    leads: &[Uuid],
    (from, to): (Instant, Instant),
    after: Option<(Uuid, Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<Touchpoint>> {
    let mut values: Vec<Value> = vec![dialect::uuids(leads), from.ms().into(), to.ms().into(), limit.into()];
    let further = match after {
        Some((lead, at, id)) => {
            values.extend([lead.into(), at.ms().into(), id.into()]);
            " AND (t.lead, t.occurred_at, t.id) > ($5, $6, $7)"
        }
        None => "",
    };
    let sql = format!(
        "SELECT {TOUCHPOINT} FROM touchpoint t WHERE t.lead {} AND t.occurred_at >= $2 AND t.occurred_at <= $3{further} \
         ORDER BY t.lead, t.occurred_at, t.id LIMIT $4",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// The newest touches of one lead from one instant to another, which is not included.
pub async fn latest(
    db: &impl ConnectionTrait,
    lead: Uuid,
    (from, to): (Instant, Instant),
    limit: i64,
) -> Result<Vec<Touchpoint>> {
    let sql = format!(
        "SELECT {TOUCHPOINT} FROM touchpoint t WHERE t.lead = $1 AND t.occurred_at >= $2 AND t.occurred_at < $3 \
         ORDER BY t.occurred_at DESC, t.id DESC LIMIT $4"
    );
    let values = vec![lead.into(), from.ms().into(), to.ms().into(), limit.into()];
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// How often the buyer spoke with us from one instant to another, which is not included.
pub async fn conversations(
    db: &impl ConnectionTrait,
    lead: Uuid,
    (from, to): (Instant, Instant),
) -> Result<i64> {
    let sql = "SELECT count(*) FROM activity WHERE lead = $1 AND at >= $2 AND at < $3 AND direction <> 'OUTBOUND' \
               AND automated = FALSE";
    let values = vec![lead.into(), from.ms().into(), to.ms().into()];
    Ok(crate::rows::fetch_value(db, sql, values).await?.unwrap_or(0))
}
