//! The funnel's numbers, read from counters that each change keeps in its own transaction, and kept in memory until the
//! next one; those of a past moment from the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use handfast_domain::event::{Body, Event, Fact, StreamKind};
use handfast_domain::lead::Journey;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::counter::{self, Deltas};
use crate::decode::{self, Place};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::rows::{columns, fetch_all, fetch_one};

/// Counts by stage and by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    standing: BTreeMap<(StageKind, CycleOutcome), i64>,
    furthest: BTreeMap<StageKind, i64>,
    entered: BTreeMap<StageKind, i64>,
    closed: BTreeMap<CycleOutcome, i64>,
}

impl Counts {
    /// Leads whose newest cycle is open and stands at the stage.
    pub fn open(&self, stage: StageKind) -> i64 {
        self.standing(stage, CycleOutcome::Open)
    }

    /// Leads whose newest cycle stands at the stage, or ended there, with this outcome.
    pub fn standing(&self, stage: StageKind, outcome: CycleOutcome) -> i64 {
        self.standing.get(&(stage, outcome)).copied().unwrap_or(0)
    }

    /// Leads that came this far at most, in all their cycles.
    pub fn furthest(&self, stage: StageKind) -> i64 {
        self.furthest.get(&stage).copied().unwrap_or(0)
    }

    /// Cycles that entered the stage, skipped ones included.
    pub fn entered(&self, stage: StageKind) -> i64 {
        self.entered.get(&stage).copied().unwrap_or(0)
    }

    /// Cycles that ended so.
    pub fn closed(&self, outcome: CycleOutcome) -> i64 {
        self.closed.get(&outcome).copied().unwrap_or(0)
    }
}

struct Row {
    family: String,
    subject: String,
    metric: String,
    value: i64,
}

columns!("c": Row { family, subject, metric, value });

/// Numbers that were read and hold until something changes.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    revision: Revision,
    funnel: Option<Arc<Counts>>,
    campaigns: HashMap<Uuid, Arc<CampaignCounts>>,
}

/// The feed's newest position, which any node moves, and how many commands this one has carried out: on PostgreSQL its
/// caller may ask before his change has its position.
pub(crate) type Revision = (i64, u64);

impl Kept {
    /// What is known as of `now`; older numbers are forgotten.
    fn at<T>(&self, now: Revision, look: impl FnOnce(&mut Numbers) -> T) -> T {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.revision < now {
            *numbers = Numbers { revision: now, ..Numbers::default() };
        }
        look(&mut numbers)
    }

    /// Keeps what was read for `now`, unless something changed meanwhile.
    fn keep(&self, now: Revision, set: impl FnOnce(&mut Numbers)) {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.revision == now {
            set(&mut numbers);
        }
    }

    pub async fn funnel(&self, db: &impl ConnectionTrait, now: Revision) -> Result<Arc<Counts>> {
        if let Some(counts) = self.at(now, |numbers| numbers.funnel.clone()) {
            return Ok(counts);
        }
        // `now` was taken before: what is read is at least as new.
        let counts = Arc::new(counts(db).await?);
        self.keep(now, |numbers| numbers.funnel = Some(counts.clone()));
        Ok(counts)
    }

    pub fn known(&self, now: Revision, campaign: Uuid) -> Option<Arc<CampaignCounts>> {
        self.at(now, |numbers| numbers.campaigns.get(&campaign).cloned())
    }

    pub async fn campaigns(
        &self,
        db: &impl ConnectionTrait,
        now: Revision,
        asked: &[Uuid],
    ) -> Result<BTreeMap<Uuid, Arc<CampaignCounts>>> {
        let mut found: BTreeMap<Uuid, Arc<CampaignCounts>> = self.at(now, |numbers| {
            let known = |id: &Uuid| numbers.campaigns.get(id).map(|counts| (*id, counts.clone()));
            asked.iter().filter_map(known).collect()
        });
        let missing: Vec<Uuid> = asked.iter().filter(|id| !found.contains_key(id)).copied().collect();
        if !missing.is_empty() {
            let read = campaigns(db, &missing).await?;
            let read: Vec<(Uuid, Arc<CampaignCounts>)> =
                read.into_iter().map(|(id, counts)| (id, Arc::new(counts))).collect();
            self.keep(now, |numbers| numbers.campaigns.extend(read.iter().cloned()));
            found.extend(read);
        }
        Ok(found)
    }
}

/// The families of counters that make the funnel.
const FAMILIES: [&str; 4] = ["funnel", "furthest", "entered", "closed"];

async fn counts(db: &impl ConnectionTrait) -> Result<Counts> {
    let families = FAMILIES.map(|family| format!("'{family}'")).join(", ");
    let sql = format!("SELECT {} FROM counter c WHERE c.family IN ({families})", Row::COLUMNS);
    let mut counts = Counts::default();
    for Row { family, subject, metric, value } in fetch_all::<Row>(db, &sql, vec![]).await? {
        counts.put(&family, &subject, &metric, value);
    }
    Ok(counts)
}

impl Counts {
    fn put(&mut self, family: &str, subject: &str, metric: &str, value: i64) {
        match (family, StageKind::parse(subject), CycleOutcome::parse(subject)) {
            ("funnel", Some(stage), _) => {
                if let Some(outcome) = CycleOutcome::parse(metric) {
                    self.standing.insert((stage, outcome), value);
                }
            }
            ("furthest", Some(stage), _) => drop(self.furthest.insert(stage, value)),
            ("entered", Some(stage), _) => drop(self.entered.insert(stage, value)),
            ("closed", _, Some(outcome)) => drop(self.closed.insert(outcome, value)),
            _ => {}
        }
    }

    /// Leads that were counted.
    pub fn leads(&self) -> i64 {
        self.furthest.values().sum()
    }
}

/// By which of its two times the log is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutBy {
    /// When it was written down: what was known then.
    Recorded,
    /// When it happened: what was so then, with what was told later.
    Occurred,
}

impl CutBy {
    fn column(self) -> &'static str {
        match self {
            CutBy::Recorded => "recorded_at",
            CutBy::Occurred => "occurred_at",
        }
    }
}

/// Leads whose past is told at once.
const PAGE: i64 = 500;

/// The log told again up to a moment, some hundred leads at a time: what the counters said then, counted by the function that
/// moves them.
pub struct Past {
    at: Instant,
    by: CutBy,
    after: Uuid,
    deltas: Deltas,
}

impl Past {
    pub fn new(at: Instant, by: CutBy) -> Past {
        Past { at, by, after: Uuid::nil(), deltas: Deltas::new() }
    }

    /// Counts the next leads; false after the last one. Two statements.
    pub async fn next(&mut self, db: &impl ConnectionTrait) -> Result<bool> {
        #[derive(FromQueryResult)]
        struct Id {
            id: Uuid,
        }
        #[derive(FromQueryResult)]
        struct Told {
            id: Uuid,
            stream_id: Uuid,
            version: i64,
            ordinal: i64,
            payload: String,
            occurred_at: i64,
            recorded_at: i64,
        }
        let sql = "SELECT l.id FROM lead l WHERE l.id > $1 ORDER BY l.id LIMIT $2";
        let ids: Vec<Id> = fetch_all(db, sql, vec![self.after.into(), PAGE.into()]).await?;
        let Some(last) = ids.last() else { return Ok(false) };
        self.after = last.id;
        // Of all that happens to a lead this moves stage, outcome and furthest stage.
        let sql = format!(
            "SELECT e.id, e.stream_id, e.version, e.ordinal, e.payload, e.occurred_at, e.recorded_at FROM event e \
             WHERE e.stream_kind = 'LEAD' AND e.stream_id {} AND e.{} <= $2 \
             AND e.kind IN ('LEAD_CAPTURED', 'CYCLE_OPENED', 'STAGE_CHANGED', 'CYCLE_CLOSED') \
             ORDER BY e.stream_id, e.version, e.ordinal",
            list(db),
            self.by.column()
        );
        let leads = dialect::uuids(ids.iter().map(|row| &row.id));
        let rows: Vec<Told> = fetch_all(db, &sql, vec![leads, self.at.ms().into()]).await?;
        let mut events: Vec<Event> = vec![];
        for row in rows {
            let body: Body = decode::json(Place("event", "payload", &row.id), &row.payload)?;
            if events.first().is_some_and(|first| first.stream_id != row.stream_id) {
                self.count(&std::mem::take(&mut events));
            }
            events.push(Event {
                id: row.id,
                stream: StreamKind::Lead,
                stream_id: row.stream_id,
                version: row.version,
                ordinal: u32::try_from(row.ordinal).unwrap_or(u32::MAX),
                occurred_at: Instant(row.occurred_at),
                recorded_at: Instant(row.recorded_at),
                body,
            });
        }
        self.count(&events);
        // What is counted by days or campaigns would grow with the past.
        self.deltas.retain(|(family, _, _), _| FAMILIES.contains(family));
        Ok(true)
    }

    fn count(&mut self, events: &[Event]) {
        let Some(first) = events.first() else { return };
        let mut journey = Journey::blank(first.stream_id, first.occurred_at);
        events.iter().for_each(|event| journey.apply(&event.body.fact, event.occurred_at));
        counter::count(&mut self.deltas, None, &journey, events);
    }

    /// What was counted.
    pub fn finish(self) -> Counts {
        let mut counts = Counts::default();
        for ((family, subject, metric), value) in self.deltas {
            counts.put(family, &subject, &metric, value);
        }
        counts
    }
}

/// Number of the charter that was in force at a moment; 0 until the first one was activated.
pub async fn charter_at(db: &impl ConnectionTrait, at: Instant, by: CutBy) -> Result<u32> {
    #[derive(FromQueryResult)]
    struct Activated {
        id: Uuid,
        payload: String,
    }
    let column = by.column();
    let sql = format!(
        "SELECT e.id, e.payload FROM event e WHERE e.stream_kind = 'CHARTER' AND e.kind = 'CHARTER_ACTIVATED' \
         AND e.{column} <= $1 ORDER BY e.{column} DESC, e.id DESC LIMIT 1"
    );
    let row: Option<Activated> = fetch_one(db, &sql, vec![at.ms().into()]).await?;
    let Some(row) = row else { return Ok(0) };
    let body: Body = decode::json(Place("event", "payload", &row.id), &row.payload)?;
    match body.fact {
        Fact::CharterActivated { number, .. } => Ok(number),
        _ => Ok(0),
    }
}

/// What came of a campaign, counted by the campaign that a lead was captured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignCounts {
    /// Leads that it brought.
    pub leads: i64,
    entered: BTreeMap<StageKind, i64>,
    /// Cycles that were won.
    pub won: i64,
    /// Amounts of the deals that were won, in minor units.
    pub revenue_minor: i64,
}

impl CampaignCounts {
    /// What came of another campaign, too.
    pub fn add(&mut self, other: &CampaignCounts) {
        self.leads += other.leads;
        other.entered.iter().for_each(|(stage, cycles)| *self.entered.entry(*stage).or_default() += cycles);
        self.won += other.won;
        self.revenue_minor = self.revenue_minor.saturating_add(other.revenue_minor);
    }

    /// Cycles of its leads that entered the stage, skipped ones included.
    pub fn entered(&self, stage: StageKind) -> i64 {
        self.entered.get(&stage).copied().unwrap_or(0)
    }
}

/// Results of any number of campaigns in one statement. A campaign without results has zeros.
async fn campaigns(db: &impl ConnectionTrait, campaigns: &[Uuid]) -> Result<BTreeMap<Uuid, CampaignCounts>> {
    let keys = dialect::texts(campaigns.iter().map(|campaign| campaign.simple().to_string()));
    let list = Dialect::of(db.get_database_backend()).text_list("$1");
    let sql =
        format!("SELECT {} FROM counter c WHERE c.family = 'campaign' AND c.subject {list}", Row::COLUMNS);
    let mut found: BTreeMap<Uuid, CampaignCounts> =
        campaigns.iter().map(|campaign| (*campaign, CampaignCounts::default())).collect();
    for Row { subject, metric, value, .. } in fetch_all::<Row>(db, &sql, vec![keys]).await? {
        let campaign = Uuid::try_parse(&subject).ok().and_then(|campaign| found.get_mut(&campaign));
        let Some(counts) = campaign else { continue };
        match (metric.as_str(), StageKind::parse(&metric)) {
            ("leads", _) => counts.leads = value,
            ("won", _) => counts.won = value,
            ("revenue", _) => counts.revenue_minor = value,
            (_, Some(stage)) => drop(counts.entered.insert(stage, value)),
            _ => {}
        }
    }
    Ok(found)
}
