//! What the figures mean: one definition for each metric, whichever side asks for it. Formulas are data, so that a figure can be
//! counted anew outside.

use crate::text::text_enum;

text_enum! {
    /// A figure that reports tell.
    pub enum MetricKey {
        /// Of the cycles that entered a stage, those that came to a later one.
        ConversionRate = "CONVERSION_RATE",
        /// How long they took.
        ConversionTime = "CONVERSION_TIME",
        /// How long cycles stay at a stage.
        StageDwell = "STAGE_DWELL",
        /// What enters a stage.
        StageVolume = "STAGE_VOLUME",
        /// The stage where the funnel is narrowest.
        Bottleneck = "BOTTLENECK",
        /// Ways of leads through the funnel.
        Journey = "JOURNEY",
        /// Deals that were won, of those that were won or lost.
        WinRate = "WIN_RATE",
        /// What deals were won with.
        Revenue = "REVENUE",
        /// Companies that bought for the first time.
        NewAccounts = "NEW_ACCOUNTS",
        /// What a deal is worth.
        DealSize = "DEAL_SIZE",
        /// How long a cycle lasts.
        CycleLength = "CYCLE_LENGTH",
        /// Why cycles end.
        Dispositions = "DISPOSITIONS",
        /// Leads that are lost at the hand-off.
        HandoffLeakage = "HANDOFF_LEAKAGE",
        /// How much more often leads with a value end so.
        TraitLift = "TRAIT_LIFT",
        /// Whether a signed criterion still tells whom sales accepts.
        DefinitionDrift = "DEFINITION_DRIFT",
        /// A span under another charter.
        Restatement = "RESTATEMENT",
        /// Customers that come back.
        Retention = "RETENTION",
        /// Share of customers that stay.
        Kept = "KEPT",
        /// Leads that sales turned to, of those that it was given.
        FollowUpRate = "FOLLOW_UP_RATE",
        /// How long leads wait for the first touch.
        FirstTouchTime = "FIRST_TOUCH_TIME",
        /// How often sales tried.
        AttemptsMade = "ATTEMPTS_MADE",
        /// Time of sales.
        Effort = "EFFORT",
        /// Time of sales that went to poor prospects.
        PoorEffort = "POOR_EFFORT",
        /// Time of sales for a deal.
        EffortPerWin = "EFFORT_PER_WIN",
        /// What deals that are open are worth.
        OpenPipeline = "OPEN_PIPELINE",
    }
}

text_enum! {
    /// What a figure is told in.
    pub enum MetricUnit {
        /// A number of things.
        Count = "COUNT",
        /// Hundredths of a per cent: 10000 is all.
        BasisPoints = "BASIS_POINTS",
        /// Days of 24 hours, with two places.
        Days = "DAYS",
        /// Hours, with two places.
        Hours = "HOURS",
        /// Minutes.
        Minutes = "MINUTES",
        /// Minor units of the charter's currency.
        MinorUnits = "MINOR_UNITS",
    }
}

text_enum! {
    /// How a figure is made of what is counted.
    pub enum FormulaKind {
        /// How many there are.
        Count = "COUNT",
        /// Their sum.
        Sum = "SUM",
        /// `of` divided by `over`.
        Ratio = "RATIO",
        /// `of` divided by `over`, each a ratio itself.
        Lift = "LIFT",
        /// A quantile by nearest rank.
        Quantile = "QUANTILE",
        /// `of` less `over`, each a ratio.
        Difference = "DIFFERENCE",
        /// The product-limit estimate of Kaplan and Meier.
        Survival = "SURVIVAL",
        /// The smallest of them.
        Least = "LEAST",
    }
}

/// A formula as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "MetricFormula"))]
pub struct Formula {
    /// How the terms are put together.
    pub kind: FormulaKind,
    /// What is counted, in the words of the log.
    pub of: &'static str,
    /// What it is divided by or compared with.
    pub over: Option<&'static str>,
    /// Per cents of the quantiles.
    pub percents: &'static [i32],
}

/// What a figure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "MetricMeaning"))]
pub struct Metric {
    /// Its name in reports.
    pub key: MetricKey,
    /// Rises when the same log would give another figure.
    pub version: i32,
    /// What it is told in.
    pub unit: MetricUnit,
    /// How it is counted.
    pub formula: Formula,
    /// The figure in a sentence.
    pub meaning: &'static str,
    /// Where formulas and intervals come from.
    pub origin: &'static str,
    /// Fields of the API that tell it.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub told_by: &'static [&'static str],
}

const LOG: &str = "The workspace's own log.";
const RANK: &str = "Nearest rank: Hyndman and Fan (1996), Sample Quantiles in Statistical Packages, The American Statistician 50, \
    definition 1.";
const WILSON: &str =
    "Interval of 95 %: E. B. Wilson (1927), Journal of the American Statistical Association 22, 209-212.";

/// All of them, in the order of their keys.
pub const METRICS: &[Metric] = &[
    Metric {
        key: MetricKey::ConversionRate,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "cycles that entered `from` in the period and came to `to` or beyond it until now",
            over: Some("cycles that entered `from` in the period"),
            percents: &[],
        },
        meaning: "A cycle counts in the period of the day, in the charter's time zone, on which it entered `from`. Stages that a \
            decision skipped were entered with it. A cohort is immature while its youngest members have had less time than nine in \
            ten conversions of the report took.",
        origin: WILSON,
        told_by: &["conversion", "funnelHealth"],
    },
    Metric {
        key: MetricKey::ConversionTime,
        version: 1,
        unit: MetricUnit::Days,
        formula: Formula {
            kind: FormulaKind::Quantile,
            of: "time from entering `from` to coming to `to` or beyond it",
            over: None,
            percents: &[50, 90],
        },
        meaning: "Only cycles that were converted have a time, so that young cohorts look faster than they are.",
        origin: RANK,
        told_by: &["conversion"],
    },
    Metric {
        key: MetricKey::StageDwell,
        version: 1,
        unit: MetricUnit::Hours,
        formula: Formula {
            kind: FormulaKind::Quantile,
            of: "time from coming to a stage to the next stage change, or to the end of the cycle",
            over: None,
            percents: &[50, 75, 90],
        },
        meaning: "Stays that ended in the window, whenever they began. Nobody stays at a stage that was skipped; a won cycle ends with \
            the stage CUSTOMER and has no stay there.",
        origin: RANK,
        told_by: &["velocity", "funnelHealth"],
    },
    Metric {
        key: MetricKey::StageVolume,
        version: 1,
        unit: MetricUnit::Count,
        formula: Formula {
            kind: FormulaKind::Count,
            of: "cycles that entered the stage",
            over: None,
            percents: &[],
        },
        meaning: "Cycles that entered the stage in the window, skipped stages included.",
        origin: LOG,
        told_by: &["funnelHealth", "funnel"],
    },
    Metric {
        key: MetricKey::Bottleneck,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Least,
            of: "upper ends of the 95 % intervals of the shares that go on",
            over: None,
            percents: &[],
        },
        meaning: crate::velocity::BOTTLENECK,
        origin: WILSON,
        told_by: &["funnelHealth"],
    },
    Metric {
        key: MetricKey::Journey,
        version: 1,
        unit: MetricUnit::Count,
        formula: Formula {
            kind: FormulaKind::Count,
            of: "leads that went the same way",
            over: None,
            percents: &[],
        },
        meaning: "The stages that a lead came to in all of its cycles, in order, with what was skipped and how each cycle ended; of \
            more than five cycles the first five. Leads count by the opening of their first cycle.",
        origin: LOG,
        told_by: &["journeys"],
    },
    Metric {
        key: MetricKey::WinRate,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "cycles that ended WON in the window",
            over: Some("cycles that ended WON or LOST in the window"),
            percents: &[],
        },
        meaning: "Deals that were won, of those that were decided. Recycled and disqualified cycles are told beside it: they were \
            never lost to anybody.",
        origin: WILSON,
        told_by: &["winLoss", "kpis"],
    },
    Metric {
        key: MetricKey::Revenue,
        version: 1,
        unit: MetricUnit::MinorUnits,
        formula: Formula {
            kind: FormulaKind::Sum,
            of: "amounts that the cycles that ended WON in the window were won with",
            over: None,
            percents: &[],
        },
        meaning: "What deals were won with, by the day of the win. Unknown amounts count as 0 and are told beside it.",
        origin: LOG,
        told_by: &["winLoss", "kpis", "attribution", "contribution"],
    },
    Metric {
        key: MetricKey::NewAccounts,
        version: 1,
        unit: MetricUnit::Count,
        formula: Formula {
            kind: FormulaKind::Count,
            of: "companies with a cycle that ended WON in the window and none before",
            over: None,
            percents: &[],
        },
        meaning: "Companies that bought for the first time; a buyer without a company is one of its own.",
        origin: LOG,
        told_by: &["kpis"],
    },
    Metric {
        key: MetricKey::DealSize,
        version: 1,
        unit: MetricUnit::MinorUnits,
        formula: Formula {
            kind: FormulaKind::Quantile,
            of: "known amounts of the cycles that ended WON in the window",
            over: None,
            percents: &[25, 50, 75],
        },
        meaning: "The deal in the middle, which a single large one does not move.",
        origin: RANK,
        told_by: &["dealShape", "winLoss", "kpis"],
    },
    Metric {
        key: MetricKey::CycleLength,
        version: 1,
        unit: MetricUnit::Days,
        formula: Formula {
            kind: FormulaKind::Quantile,
            of: "time from the opening of a cycle to its end",
            over: None,
            percents: &[50],
        },
        meaning: "Of the cycles that ended in the window, won and lost ones apart, whenever they began.",
        origin: RANK,
        told_by: &["dealShape", "winLoss", "kpis"],
    },
    Metric {
        key: MetricKey::Dispositions,
        version: 1,
        unit: MetricUnit::Count,
        formula: Formula {
            kind: FormulaKind::Count,
            of: "cycles that ended in the period with the reason and outcome",
            over: None,
            percents: &[],
        },
        meaning: "Why leads are put aside, by the day of the end in the charter's time zone. Merged and erased cycles are left out.",
        origin: LOG,
        told_by: &["dispositions"],
    },
    Metric {
        key: MetricKey::HandoffLeakage,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "hand-offs offered in the window that ended REJECTED, RETURNED or EXPIRED",
            over: Some("hand-offs offered in the window"),
            percents: &[],
        },
        meaning: "What is lost on the way from marketing to sales. Its value is an estimate: what as many accepted hand-offs of the \
            same window brought on average until now.",
        origin: LOG,
        told_by: &["handoffLeakage"],
    },
    Metric {
        key: MetricKey::TraitLift,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Lift,
            of: "share of the leads with the value that ended so",
            over: Some("share of all leads that ended so"),
            percents: &[25, 50, 75],
        },
        meaning: "Leads whose cycle ended in the window, each by its newest end, with the newest values of their traits. Values that \
            were observed when or after the cycle ended take no part, and a trait of which that is one in twenty is flagged as \
            leaking. Numbers are cut into four bands. A value is beyond chance if it is when all values of the report are looked at \
            together.",
        origin: "Interval of 95 %: Katz, Baptista, Azen and Pike (1978), Biometrics 34, 469-474, carried over to the base. Chance: \
            two-sided test of two proportions with the pooled share (Pearson 1900), over all values by S. Holm (1979), Scandinavian \
            Journal of Statistics 6, 65-70, at 5 %.",
        told_by: &["traitLift"],
    },
    Metric {
        key: MetricKey::DefinitionDrift,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Difference,
            of: "share of the accepted among the hand-offs whose lead met the criterion",
            over: Some("share of the accepted among those whose lead missed it"),
            percents: &[],
        },
        meaning: "Answers of sales to hand-offs that were offered in the window, beside the criteria's results of the newest look before \
            the offer. A criterion no longer predicts acceptance if the difference may be 0; it is judged from 30 answers of each \
            kind on.",
        origin: "Test of two proportions by the interval of 95 % of R. G. Newcombe (1998), Statistics in Medicine 17, 873-890, \
            method 10.",
        told_by: &["definitionDrift"],
    },
    Metric {
        key: MetricKey::Restatement,
        version: 1,
        unit: MetricUnit::Count,
        formula: Formula {
            kind: FormulaKind::Count,
            of: "cycles that met the gate at a look of the window, under the charter of their time and under the other one",
            over: None,
            percents: &[],
        },
        meaning: "Each look of the window before MQL is judged again by the other charter's criteria, personas and composition, over the \
            snapshot and the rules' decisions that were stored with it. No rule is asked again, and whoever would have gone on by \
            hand is not guessed.",
        origin: LOG,
        told_by: &["restatedFunnel"],
    },
    Metric {
        key: MetricKey::Retention,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "leads whose first win lies in the period and that were won again until now",
            over: Some("leads whose first win lies in the period"),
            percents: &[],
        },
        meaning: "A customer counts by the day of its first win, in the charter's time zone. A cohort is immature while its youngest \
            members have had less time than nine in ten of those who returned took.",
        origin: WILSON,
        told_by: &["retention"],
    },
    Metric {
        key: MetricKey::Kept,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Survival,
            of: "customers whose first win lies in the period and that had not left so many days after it",
            over: Some("those of them that were customers for so long, or left before"),
            percents: &[],
        },
        meaning: "Whoever has not left counts for as long as it has been a customer, so that young customers make the share neither \
            better nor worse. Leaving is what recordChurn told.",
        origin: "E. L. Kaplan and P. Meier (1958), with the interval of M. Greenwood (1926) on the scale of log(-log)",
        told_by: &["retention"],
    },
    Metric {
        key: MetricKey::FollowUpRate,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "assignments by hand-offs offered in the window whose FIRST_TOUCH was met until now, in time or not",
            over: Some(
                "those assignments, without the ones that were taken back before they were due and those whose time still runs",
            ),
            percents: &[],
        },
        meaning: "A lead is assigned when it is handed off, and again when the hand-off expires and another one has it; it counts for \
            whoever had it then. A touch is a human outbound activity, an automated one only if the lead wrote first, or a \
            disposition; opening the record is none. A charter that promises no FIRST_TOUCH is counted by the first genuine attempt \
            after the hand-off.",
        origin: WILSON,
        told_by: &["followUp"],
    },
    Metric {
        key: MetricKey::FirstTouchTime,
        version: 1,
        unit: MetricUnit::Minutes,
        formula: Formula {
            kind: FormulaKind::Quantile,
            of: "wall-clock time from an assignment to its first touch",
            over: None,
            percents: &[50],
        },
        meaning: "Only what was touched has a time, with two places, so that it never stands without the rate.",
        origin: RANK,
        told_by: &["followUp"],
    },
    Metric {
        key: MetricKey::AttemptsMade,
        version: 1,
        unit: MetricUnit::Count,
        formula: Formula {
            kind: FormulaKind::Quantile,
            of: "genuine attempts to reach the lead in the cycle until now, of each assignment",
            over: None,
            percents: &[50],
        },
        meaning: "Assignments without any attempt count as 0; those that were taken back before they were due are left out.",
        origin: RANK,
        told_by: &["followUp"],
    },
    Metric {
        key: MetricKey::Effort,
        version: 1,
        unit: MetricUnit::Minutes,
        formula: Formula {
            kind: FormulaKind::Sum,
            of: "minutes that sales logged for work done in the window, without what was withdrawn",
            over: None,
            percents: &[],
        },
        meaning: "Time counts for the cycle that was open when the work was done. By OWNER and TEAM it counts for whoever spent it, and \
            deals for whoever has their lead now.",
        origin: LOG,
        told_by: &["effortBy"],
    },
    Metric {
        key: MetricKey::PoorEffort,
        version: 1,
        unit: MetricUnit::BasisPoints,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "minutes on cycles that ended DISQUALIFIED, or RECYCLED before there was an opportunity",
            over: Some("minutes of the window"),
            percents: &[],
        },
        meaning: "A poor prospect is one that sales itself put aside before there was a deal, by a disposition or by rejecting the \
            hand-off; no score takes part. That is known afterwards: cycles that are open now may still turn out poor.",
        origin: "Ours, by the charter's dispositions: two of the outcomes that end a cycle without a deal. LOST deals and drops from \
            OPPORTUNITY were worth a try.",
        told_by: &["effortBy"],
    },
    Metric {
        key: MetricKey::EffortPerWin,
        version: 1,
        unit: MetricUnit::Minutes,
        formula: Formula {
            kind: FormulaKind::Ratio,
            of: "minutes of the window",
            over: Some("deals that were won in the window"),
            percents: &[],
        },
        meaning: "What a deal costs in time, with all that led to none. Rounded to the nearest minute; by OUTCOME the row WON tells \
            the time on won cycles alone.",
        origin: LOG,
        told_by: &["effortBy"],
    },
    Metric {
        key: MetricKey::OpenPipeline,
        version: 1,
        unit: MetricUnit::MinorUnits,
        formula: Formula {
            kind: FormulaKind::Sum,
            of: "amounts of the opportunities whose cycle is open now",
            over: None,
            percents: &[],
        },
        meaning: "Whether time was spent on them or not: what better deals wait while time goes elsewhere. Unknown amounts count as 0.",
        origin: LOG,
        told_by: &["effortBy"],
    },
];

/// The definition of a metric.
pub fn metric(key: MetricKey) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_defined_once_and_in_order() {
        let defined: Vec<MetricKey> = METRICS.iter().map(|metric| metric.key).collect();
        assert_eq!(defined, MetricKey::ALL);
    }
}
