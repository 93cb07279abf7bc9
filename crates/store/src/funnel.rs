//! The funnel's numbers, read from counters that each change keeps in its own transaction, and kept in memory until the
//! next one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use handfast_domain::stage::{CycleOutcome, StageKind};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{columns, fetch_all};

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

async fn counts(db: &impl ConnectionTrait) -> Result<Counts> {
    let sql = format!(
        "SELECT {} FROM counter c WHERE c.family IN ('funnel', 'furthest', 'entered', 'closed')",
        Row::COLUMNS
    );
    let mut counts = Counts::default();
    for Row { family, subject, metric, value } in fetch_all::<Row>(db, &sql, vec![]).await? {
        match (family.as_str(), StageKind::parse(&subject), CycleOutcome::parse(&subject)) {
            ("funnel", Some(stage), _) => {
                if let Some(outcome) = CycleOutcome::parse(&metric) {
                    counts.standing.insert((stage, outcome), value);
                }
            }
            ("furthest", Some(stage), _) => drop(counts.furthest.insert(stage, value)),
            ("entered", Some(stage), _) => drop(counts.entered.insert(stage, value)),
            ("closed", _, Some(outcome)) => drop(counts.closed.insert(outcome, value)),
            _ => {}
        }
    }
    Ok(counts)
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
