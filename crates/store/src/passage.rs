//! Cycles as reports read them: some hundreds at a time, in the order in which they came to a stage, opened or ended, with
//! what they are counted by. The number of statements follows the pages, never the leads.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::field::Value as FieldValue;
use handfast_domain::passage::{Passage, Step};
use handfast_domain::stage::{Channel, CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed, json, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::rows::{fetch_all, fetch_value};

/// A place in the order of a page: instant, lead, and number of the cycle or of the stage change.
pub type Spot = (Instant, Uuid, u32);

/// A stage change of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub lead: Uuid,
    pub cycle: u32,
    /// Number of the change over the lead's life.
    pub number: u32,
    pub step: Step,
}

impl Entry {
    pub fn spot(&self) -> Spot {
        (self.step.at, self.lead, self.number)
    }

    /// Whether the cycle entered the stage with it, be it that it was skipped.
    pub fn enters(&self, stage: StageKind) -> bool {
        self.step.to == stage || self.step.skipped.contains(&stage)
    }
}

#[derive(FromQueryResult)]
struct EntryRow {
    lead: Uuid,
    cycle: i64,
    stage_version: i64,
    to_stage: String,
    skipped: String,
    at: i64,
}

impl EntryRow {
    fn decode(self) -> Result<Entry> {
        let place = |column| Place("stage_transition", column, &self.lead);
        Ok(Entry {
            lead: self.lead,
            cycle: small(place("cycle"), self.cycle)?,
            number: small(place("stage_version"), self.stage_version)?,
            step: Step {
                at: Instant(self.at),
                to: closed(place("to_stage"), &self.to_stage, StageKind::parse)?,
                skipped: json(place("skipped"), &self.skipped)?,
            },
        })
    }
}

const ENTRY: &str = "t.lead, t.cycle, t.stage_version, t.to_stage, t.skipped, t.at";

/// The next stage changes of a span after a place, the earliest first.
pub async fn entries(
    db: &impl ConnectionTrait,
    (from, to): (Instant, Instant),
    after: Option<Spot>,
    limit: i64,
) -> Result<Vec<Entry>> {
    let (at, lead, number) = after.unwrap_or((from, Uuid::nil(), 0));
    let sql = format!(
        "SELECT {ENTRY} FROM stage_transition t WHERE t.at >= $1 AND (t.at, t.lead, t.stage_version) > ($1, $2, $3) \
         AND t.at < $4 ORDER BY t.at, t.lead, t.stage_version LIMIT $5"
    );
    let values = vec![at.ms().into(), lead.into(), i64::from(number).into(), to.ms().into(), limit.into()];
    let rows: Vec<EntryRow> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(EntryRow::decode).collect()
}

/// Which cycles, by what happened in the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// They opened, and are the first of their leads.
    FirstOpened,
    /// They ended.
    Ended,
}

/// The next cycles of a span after a place, the earliest first.
pub async fn cycles(
    db: &impl ConnectionTrait,
    happened: Happened,
    (from, to): (Instant, Instant),
    after: Option<Spot>,
    limit: i64,
) -> Result<Vec<Spot>> {
    #[derive(FromQueryResult)]
    struct Row {
        lead: Uuid,
        number: i64,
        at: i64,
    }
    let (column, more) = match happened {
        Happened::FirstOpened => ("opened_at", " AND c.number = 1"),
        Happened::Ended => ("closed_at", ""),
    };
    let (at, lead, number) = after.unwrap_or((from, Uuid::nil(), 0));
    let sql = format!(
        "SELECT c.lead, c.number, c.{column} AS at FROM cycle c WHERE c.{column} >= $1 \
         AND (c.{column}, c.lead, c.number) > ($1, $2, $3) AND c.{column} < $4{more} \
         ORDER BY c.{column}, c.lead, c.number LIMIT $5"
    );
    let values = vec![at.ms().into(), lead.into(), i64::from(number).into(), to.ms().into(), limit.into()];
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    let spot =
        |row: Row| Ok((Instant(row.at), row.lead, small(Place("cycle", "number", &row.lead), row.number)?));
    rows.into_iter().map(spot).collect()
}

/// All cycles of leads with their stage changes, each lead's in order: two statements.
pub async fn passages(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<Uuid, Vec<Passage>>> {
    #[derive(FromQueryResult)]
    struct Row {
        lead: Uuid,
        number: i64,
        opened_at: i64,
        closed_at: Option<i64>,
        outcome: String,
        reason: Option<String>,
        competitor: Option<String>,
    }
    if leads.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT {ENTRY} FROM stage_transition t WHERE t.lead {} ORDER BY t.lead, t.stage_version",
        list(db)
    );
    let mut steps: BTreeMap<(Uuid, u32), Vec<Step>> = BTreeMap::new();
    for row in fetch_all::<EntryRow>(db, &sql, vec![dialect::uuids(leads)]).await? {
        let entry = row.decode()?;
        steps.entry((entry.lead, entry.cycle)).or_default().push(entry.step);
    }
    let sql = format!(
        "SELECT c.lead, c.number, c.opened_at, c.closed_at, c.outcome, c.reason, c.competitor FROM cycle c \
         WHERE c.lead {} ORDER BY c.lead, c.number",
        list(db)
    );
    let mut found: BTreeMap<Uuid, Vec<Passage>> = BTreeMap::new();
    for row in fetch_all::<Row>(db, &sql, vec![dialect::uuids(leads)]).await? {
        let place = |column| Place("cycle", column, &row.lead);
        let cycle = small(place("number"), row.number)?;
        found.entry(row.lead).or_default().push(Passage {
            lead: row.lead,
            cycle,
            opened_at: Instant(row.opened_at),
            closed_at: row.closed_at.map(Instant),
            outcome: closed(place("outcome"), &row.outcome, CycleOutcome::parse)?,
            reason: row.reason,
            competitor: row.competitor,
            steps: steps.remove(&(row.lead, cycle)).unwrap_or_default(),
        });
    }
    Ok(found)
}

/// What leads are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facets {
    pub source: String,
    pub channel: Channel,
    pub campaign: Option<Uuid>,
    pub persona: Option<String>,
    pub owner: Option<Uuid>,
    pub queue: Option<String>,
    /// Fit and engagement together, in points.
    pub score: i64,
    pub industry: Option<String>,
    pub title: Option<String>,
}

/// In one statement.
pub async fn facets(db: &impl ConnectionTrait, leads: &BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, Facets>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        source: String,
        channel: String,
        campaign: Option<Uuid>,
        persona: Option<String>,
        owner: Option<Uuid>,
        queue: Option<String>,
        score: i64,
        industry: Option<String>,
        title: Option<String>,
    }
    let sql = format!(
        "SELECT l.id, l.source, l.channel, l.campaign, l.persona, l.owner, l.queue, l.fit + l.engagement AS score, a.industry, p.title FROM lead l \
         LEFT JOIN person p ON p.id = l.person LEFT JOIN account a ON a.id = l.account WHERE l.id {}",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter()
        .map(|row| {
            let Row { id, source, channel, campaign, persona, owner, queue, score, industry, title } = row;
            let channel = closed(Place("lead", "channel", &id), &channel, Channel::parse)?;
            Ok((id, Facets { source, channel, campaign, persona, owner, queue, score, industry, title }))
        })
        .collect()
}

/// A trait of a lead as reports read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub lead: Uuid,
    pub key: String,
    pub value: FieldValue,
    pub at: Instant,
}

/// The newest values of these traits, in one statement.
pub async fn traits(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
    keys: &[String],
) -> Result<Vec<Observed>> {
    #[derive(FromQueryResult)]
    struct Row {
        lead: Uuid,
        key: String,
        value: String,
        observed_at: i64,
    }
    let sql = format!(
        "SELECT t.lead, t.key, t.value, t.observed_at FROM trait t WHERE t.lead {} AND t.key {} ORDER BY t.lead, t.key",
        list(db),
        Dialect::of(db.get_database_backend()).text_list("$2")
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads), dialect::texts(keys)]).await?;
    rows.into_iter()
        .map(|row| {
            let value = json(Place("trait", "value", &row.lead), &row.value)?;
            Ok(Observed { lead: row.lead, key: row.key, value, at: Instant(row.observed_at) })
        })
        .collect()
}

/// How far ahead deals were expected to close when they were recorded, in milliseconds; the newest of each cycle.
pub async fn horizons(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<(Uuid, u32), i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        cycle: i64,
        ahead: i64,
    }
    let sql = format!(
        "SELECT o.id, o.lead, o.cycle, o.expected_close - o.opened_at AS ahead FROM opportunity o \
         WHERE o.lead {} AND o.expected_close IS NOT NULL ORDER BY o.lead, o.opened_at, o.id",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    let cycle = |row: &Row| small(Place("opportunity", "cycle", &row.id), row.cycle);
    rows.iter().map(|row| Ok(((row.lead, cycle(row)?), row.ahead))).collect()
}

/// Companies that were won in the span and never before; a lead without a company counts as one of its own. One statement.
pub async fn new_accounts(db: &impl ConnectionTrait, (from, to): (Instant, Instant)) -> Result<u64> {
    let sql = "SELECT (SELECT count(DISTINCT l.account) FROM cycle c JOIN lead l ON l.id = c.lead \
                   WHERE c.closed_at >= $1 AND c.closed_at < $2 AND c.outcome = 'WON' AND l.account IS NOT NULL \
                   AND NOT EXISTS (SELECT 1 FROM lead o JOIN cycle p ON p.lead = o.id WHERE o.account = l.account \
                       AND p.outcome = 'WON' AND p.closed_at < $1)) \
               + (SELECT count(DISTINCT l.id) FROM cycle c JOIN lead l ON l.id = c.lead \
                   WHERE c.closed_at >= $1 AND c.closed_at < $2 AND c.outcome = 'WON' AND l.account IS NULL \
                   AND NOT EXISTS (SELECT 1 FROM cycle p WHERE p.lead = l.id AND p.outcome = 'WON' AND p.closed_at < $1))";
    let count: Option<i64> = fetch_value(db, sql, vec![from.ms().into(), to.ms().into()]).await?;
    Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
}
