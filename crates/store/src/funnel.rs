//! The funnel's numbers, read from counters that each change keeps in its own transaction.

use std::collections::BTreeMap;

use handfast_domain::stage::{CycleOutcome, StageKind};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::fetch_all;

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

#[derive(FromQueryResult)]
struct Row {
    family: String,
    subject: String,
    metric: String,
    value: i64,
}

pub async fn counts(db: &impl ConnectionTrait) -> Result<Counts> {
    let sql = "SELECT family, subject, metric, value FROM counter \
               WHERE family IN ('funnel', 'furthest', 'entered', 'closed')";
    let mut counts = Counts::default();
    for Row { family, subject, metric, value } in fetch_all::<Row>(db, sql, vec![]).await? {
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
pub async fn campaigns(
    db: &impl ConnectionTrait,
    campaigns: &[Uuid],
) -> Result<BTreeMap<Uuid, CampaignCounts>> {
    let keys = dialect::texts(campaigns.iter().map(|campaign| campaign.simple().to_string()));
    let list = Dialect::of(db.get_database_backend()).text_list("$1");
    let sql = format!(
        "SELECT family, subject, metric, value FROM counter WHERE family = 'campaign' AND subject {list}"
    );
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
