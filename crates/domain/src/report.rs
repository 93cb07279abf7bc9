//! Reports over the past as data: what can be asked for, be it answered at once or made in the background.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::attribution::{AttributionBy, AttributionModel};
use crate::conversion::CohortPeriod;
use crate::dimension::Dimension;
use crate::handoff::HandoffStatus;
use crate::run::RunStatus;
use crate::stage::{CycleOutcome, StageKind};
use crate::text::text_enum;
use crate::time::Instant;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Report {
    /// How many of the cycles that entered a stage came to another one.
    Conversion { from: StageKind, to: StageKind, cohort: CohortPeriod },
    /// How long cycles stay at their stages.
    Velocity,
    /// What entered each stage, and how it went on.
    FunnelHealth,
    /// The ways that leads went.
    Journeys,
    /// How deals ended.
    WinLoss,
    /// Why cycles ended, over time.
    Dispositions { cohort: CohortPeriod },
    /// Win rate, new accounts and revenue.
    Kpis,
    /// What became of hand-offs.
    HandoffLeakage,
    /// Which traits the leads have that end in a way.
    TraitLift { outcome: CycleOutcome },
    /// Whether signed criteria still tell whom sales accepts.
    DefinitionDrift,
    /// The span told again under another charter.
    RestatedFunnel { under_charter: u32 },
    /// Whether customers stay and come back.
    Retention { cohort: CohortPeriod },
    /// Whether, how fast and how often sales turns to what it is given.
    FollowUp,
    /// What time of sales went to.
    EffortBy,
    /// What audiences came to.
    AudienceResults,
    /// Won deals, divided among what led to them.
    Attribution { by: AttributionBy, models: Vec<AttributionModel> },
    /// The cycles behind a figure.
    Drill {
        figure: Figure,
        /// A value for each dimension; all groups without.
        values: Option<Vec<Option<String>>>,
        /// A period, and its first day.
        period: Option<(CohortPeriod, i32)>,
    },
}

text_enum! {
    /// What a report tells of: the name of the query that answers it at once.
    pub enum ReportKind {
        /// How many of the cycles that entered a stage came to another one.
        Conversion = "CONVERSION",
        /// How long cycles stay at their stages.
        Velocity = "VELOCITY",
        /// What entered each stage, and how it went on.
        FunnelHealth = "FUNNEL_HEALTH",
        /// The ways that leads went.
        Journeys = "JOURNEYS",
        /// How deals ended.
        WinLoss = "WIN_LOSS",
        /// Why cycles ended, over time.
        Dispositions = "DISPOSITIONS",
        /// Win rate, new accounts and revenue.
        Kpis = "KPIS",
        /// What became of hand-offs.
        HandoffLeakage = "HANDOFF_LEAKAGE",
        /// Which traits the leads have that end in a way.
        TraitLift = "TRAIT_LIFT",
        /// Whether signed criteria still tell whom sales accepts.
        DefinitionDrift = "DEFINITION_DRIFT",
        /// The span told again under another charter.
        RestatedFunnel = "RESTATED_FUNNEL",
        /// Whether customers stay and come back.
        Retention = "RETENTION",
        /// Whether, how fast and how often sales turns to what it is given.
        FollowUp = "FOLLOW_UP",
        /// What time of sales went to.
        EffortBy = "EFFORT_BY",
        /// What audiences came to.
        AudienceResults = "AUDIENCE_RESULTS",
        /// Won deals, divided among what led to them.
        Attribution = "ATTRIBUTION",
        /// The cycles behind a figure.
        Drill = "DRILL",
    }
}

impl Report {
    pub fn kind(&self) -> ReportKind {
        match self {
            Report::Conversion { .. } => ReportKind::Conversion,
            Report::Velocity => ReportKind::Velocity,
            Report::FunnelHealth => ReportKind::FunnelHealth,
            Report::Journeys => ReportKind::Journeys,
            Report::WinLoss => ReportKind::WinLoss,
            Report::Dispositions { .. } => ReportKind::Dispositions,
            Report::Kpis => ReportKind::Kpis,
            Report::HandoffLeakage => ReportKind::HandoffLeakage,
            Report::TraitLift { .. } => ReportKind::TraitLift,
            Report::DefinitionDrift => ReportKind::DefinitionDrift,
            Report::RestatedFunnel { .. } => ReportKind::RestatedFunnel,
            Report::Retention { .. } => ReportKind::Retention,
            Report::FollowUp => ReportKind::FollowUp,
            Report::EffortBy => ReportKind::EffortBy,
            Report::AudienceResults => ReportKind::AudienceResults,
            Report::Attribution { .. } => ReportKind::Attribution,
            Report::Drill { .. } => ReportKind::Drill,
        }
    }
}

/// A figure whose cycles can be told one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Figure {
    /// Cycles that entered a stage: all of them, or those that came to the other one, or those that did not.
    Conversion { from: StageKind, to: StageKind, reached: Option<bool> },
    /// Cycles that ended: all of them, or in one way.
    Ending { outcome: Option<CycleOutcome> },
    /// Cycles that stood at a stage and went on from there, or ended there.
    Stay { stage: StageKind, advanced: bool },
    /// Leads that went a way, by its line.
    Journey { path: String },
    /// Hand-offs: all of them, or those that stand so, or those with a reason.
    Handoff { status: Option<HandoffStatus>, reason: Option<String> },
    /// Leads with a value of a trait, with a number in a band, or without the trait, by how they ended.
    Lift { outcome: CycleOutcome, ended: Option<bool>, key: String, said: Option<Value> },
    /// Customers by their first win: all of them, or those that were won again or not, or those that left or not.
    Customer { returned: Option<bool>, churned: Option<bool> },
    /// Leads that were assigned: all of them but those that were taken back, or the touched ones, or those that nobody touched.
    FollowUp { touched: Option<bool> },
    /// Entries of time.
    Effort,
}

/// What is said of a trait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    /// A text, or yes and no.
    Word(String),
    /// Numbers from one to another, both included.
    Band(i64, i64),
}

text_enum! {
    /// How a table is written.
    pub enum ExportFormat {
        /// Comma-separated values with a header (RFC 4180). A text that a spreadsheet would carry out as a formula gets an
        /// apostrophe before it.
        Csv = "CSV",
        /// One JSON object on each line.
        Ndjson = "NDJSON",
    }
}

/// What a report is asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub report: Report,
    pub from: Instant,
    /// Not included.
    pub to: Instant,
    /// What it is counted by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Dimension>,
    /// Key of the trait, with [`Dimension::Trait`].
    #[serde(default, rename = "trait", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub format: ExportFormat,
}

/// A report that is made in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRun {
    pub id: Uuid,
    pub asked: Asked,
    pub status: RunStatus,
    /// How often it was begun.
    pub attempt: i64,
    /// Rows of the past that were read.
    pub read: i64,
    /// How far in the span it has come.
    pub read_until: Option<Instant>,
    /// Bytes of the table, as long as it is kept.
    pub bytes: Option<i64>,
    pub message: Option<String>,
    pub started_by: Uuid,
    pub started_at: Instant,
    pub finished_at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_read_as_it_was_written() {
        let figure = Figure::Lift {
            outcome: CycleOutcome::Won,
            ended: Some(true),
            key: "tags".into(),
            said: Some(Value::Band(1, 5)),
        };
        let reports = [
            Report::Velocity,
            Report::Conversion { from: StageKind::Mql, to: StageKind::Sal, cohort: CohortPeriod::Week },
            Report::Drill { figure, values: Some(vec![None]), period: Some((CohortPeriod::Day, 19_000)) },
            Report::Drill { figure: Figure::Ending { outcome: None }, values: None, period: None },
        ];
        for report in reports {
            let asked = Asked {
                report,
                from: Instant(0),
                to: Instant(1),
                by: vec![Dimension::Trait],
                key: Some("tags".into()),
                format: ExportFormat::Csv,
            };
            let text = serde_json::to_string(&asked).unwrap();
            assert_eq!(serde_json::from_str::<Asked>(&text).unwrap(), asked, "{text}");
        }
    }
}
