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
