//! What a report says in sentences: nobody should have to read a table to learn that a rule cheats.

use serde::{Deserialize, Serialize};

use crate::text::text_enum;

use super::FLIPS;
use super::field::ENOUGH;
use super::report::{FieldReport, QUARTER, Report};
use super::statistics::{ONE, differ};

text_enum! {
    /// What a finding is about.
    pub enum FindingKind {
        /// The leads that the candidate lets through are no better than the others, as far as these leads can tell.
        NoLift = "NO_LIFT",
        /// A field that the candidate rests on looks as if it were known only afterwards.
        LeakingField = "LEAKING_FIELD",
        /// A field became known only after the lead had been looked at.
        LateField = "LATE_FIELD",
        /// The share of good leads moved over the time.
        BaseRateDrift = "BASE_RATE_DRIFT",
        /// A field that the candidate rests on is spread otherwise than it was.
        FieldDrift = "FIELD_DRIFT",
        /// Too few leads to rely on the figures.
        SmallSample = "SMALL_SAMPLE",
        /// The candidate failed at leads.
        Faults = "FAULTS",
        /// A field that the candidate rests on was mostly unknown.
        LowCoverage = "LOW_COVERAGE",
        /// Owners would get more leads than they have places for.
        ClocksAtRisk = "CLOCKS_AT_RISK",
        /// The two versions never differ.
        NoDifference = "NO_DIFFERENCE",
        /// Only a part of the leads has an outcome, and not just any part.
        Selection = "SELECTION",
        /// An import dates every value to when its lead came in.
        ImportedPast = "IMPORTED_PAST",
        /// Not every flipped lead is kept by name.
        FlipsCut = "FLIPS_CUT",
    }
}

text_enum! {
    /// How grave a finding is.
    pub enum FindingLevel {
        /// Do not rely on the candidate before this is understood.
        Warning = "WARNING",
        /// To be known when the figures are read.
        Note = "NOTE",
    }
}

/// One thing that a backtest found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestFinding"))]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub kind: FindingKind,
    pub level: FindingLevel,
    /// Path of the field that it is about.
    pub field: Option<String>,
    /// The finding in a sentence or two, with its figures.
    pub text: String,
}

/// A field alone that tells so well which leads are good leaks: a whole card of honest fields hardly gets there.
const LEAKS: u32 = 9_000;
/// From here on a field is suspected: of the honest fields in the real files that we tried none came above 7,650, and those that are
/// known only afterwards begin at 7,970.
const SUSPECT: u32 = 7_800;
/// Another population, by the usual reading of the stability index.
const MOVED: u32 = 2_500;

/// The findings of a report that is complete but for them, the gravest first.
pub(super) fn findings(report: &Report) -> Vec<Finding> {
    let mut found = Found::default();
    found.sample(report);
    found.lift(report);
    report.fields.iter().for_each(|field| found.field(field, report));
    found.base_rate(report);
    if report.candidate.faults.0 > 0 {
        let text =
            format!("The candidate failed at {} of {} leads.", report.candidate.faults, report.base.whole);
        found.warn(FindingKind::Faults, None, text);
    }
    if report.clocks_at_risk.0 > 0 {
        let text = format!(
            "In an average week {} clocks of ACCEPT and FIRST_TOUCH would start with owners who have no free place now.",
            report.clocks_at_risk
        );
        found.warn(FindingKind::ClocksAtRisk, None, text);
    }
    found.notes(report);
    found.0.sort_by_key(|finding| (finding.level, finding.kind));
    found.0
}

#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn warn(&mut self, kind: FindingKind, field: Option<&str>, text: String) {
        self.0.push(Finding { kind, level: FindingLevel::Warning, field: field.map(str::to_owned), text });
    }

    fn note(&mut self, kind: FindingKind, field: Option<&str>, text: String) {
        self.0.push(Finding { kind, level: FindingLevel::Note, field: field.map(str::to_owned), text });
    }

    fn sample(&mut self, report: &Report) {
        let ((good, judged), (advanced, _)) = (report.base.counts(), report.candidate.advanced.counts());
        let other = judged - good;
        if u64::from(good.min(other).min(advanced)) < ENOUGH {
            let text = format!(
                "{judged} leads with a known outcome, {good} good and {other} not, and {advanced} that the candidate lets \
                 through: with fewer than {ENOUGH} of each the figures are not to be relied on."
            );
            self.warn(FindingKind::SmallSample, None, text);
        }
    }

    fn lift(&mut self, report: &Report) {
        let Some(lift) = report.candidate.lift else {
            if report.base.part.0 > 0 {
                let which = if report.candidate.advanced.part.0 == 0 { "no lead" } else { "every lead" };
                let text = format!("The candidate lets {which} through, so that it picks nothing.");
                self.warn(FindingKind::NoLift, None, text);
            }
            return;
        };
        let range =
            format!("{} ({} to {} with 95 %)", times(lift.basis_points), times(lift.low), times(lift.high));
        if lift.may_be_none() {
            let text = format!(
                "No lift: good leads are {range} times as frequent among those that the candidate lets through as among all, \
                 which may as well be chance."
            );
            self.warn(FindingKind::NoLift, None, text);
        } else if lift.high < ONE {
            let text = format!(
                "Worse than chance: good leads are only {range} times as frequent among those that the candidate lets through \
                 as among all."
            );
            self.warn(FindingKind::NoLift, None, text);
        }
    }

    fn field(&mut self, field: &FieldReport, report: &Report) {
        let path = field.path.as_str();
        let rests = field.rests_on.part.0 > 0;
        let ((known, _), late) = (field.known.counts(), field.late.0);
        if let Some(alone) = field.alone.filter(|alone| rests && *alone >= SUSPECT) {
            let auc = hundredths(alone);
            let text = match alone >= LEAKS {
                true => format!(
                    "{path} leaks: alone it tells good leads from others with an AUC of {auc}, which hardly any honest field \
                     does. Look who fills it in, and when; the candidate will not have it in time."
                ),
                false => format!(
                    "{path} is suspected of leaking: alone it tells good leads from others with an AUC of {auc}, better than \
                     honest fields do (0.50 is chance, {} the limit). Look who fills it in, and when.",
                    hundredths(SUSPECT)
                ),
            };
            self.warn(FindingKind::LeakingField, Some(path), text);
        }
        let seen = i64::from(known) + late;
        if late >= ENOUGH as i64 && late >= seen / 10 {
            let text = format!(
                "{path} is known of {seen} leads now, but was known of {known} when they were looked at: the other values \
                 came afterwards, and a rule that waits for them decides too late."
            );
            let used = rests || i64::from(known) < seen / 2;
            match used {
                true => self.warn(FindingKind::LateField, Some(path), text),
                false => self.note(FindingKind::LateField, Some(path), text),
            }
        }
        if !rests {
            return;
        }
        if let Some(drift) = field.drift.filter(|drift| *drift >= MOVED) {
            let text = format!(
                "{path} drifted: its stability index from the first quarter of the time to the last is {}, and from {} on it \
                 is another population.",
                hundredths(drift),
                hundredths(MOVED)
            );
            self.warn(FindingKind::FieldDrift, Some(path), text);
        }
        if field.known.basis_points < ONE / 2 {
            let text = format!(
                "{path} was known of {} of {} leads only; of the others the candidate judges without it.",
                field.known.part, report.base.whole
            );
            self.note(FindingKind::LowCoverage, Some(path), text);
        }
    }

    /// A change beyond chance counts when it is one of a quarter at least: with many leads the smallest is beyond chance.
    fn base_rate(&mut self, report: &Report) {
        let [first, .., last] = report.quarters.as_slice() else { return };
        let (before, after) = (first.good, last.good);
        let enough = before.counts().1 >= QUARTER && after.counts().1 >= QUARTER;
        let (small, large) =
            (before.basis_points.min(after.basis_points), before.basis_points.max(after.basis_points));
        if enough && differ(before, after) && u64::from(large) * 4 >= u64::from(small) * 5 {
            let text = format!(
                "The base rate drifted: {} of the leads were good in the first quarter of the time, {} in the last. A rule that \
                 was fitted to the whole is right for neither; look at the newest leads alone (from, to).",
                percent(before.basis_points),
                percent(after.basis_points)
            );
            self.warn(FindingKind::BaseRateDrift, None, text);
        }
    }

    fn notes(&mut self, report: &Report) {
        let population = report.population;
        if report.flips.0 == 0 && report.base.whole.0 > 0 {
            let text =
                "The candidate and the version that answers today say the same of every lead.".to_owned();
            self.note(FindingKind::NoDifference, None, text);
        }
        let silent = population.unknown.0 + population.closed_by_rule.0;
        if silent > 0 {
            let text = format!(
                "{silent} of {} leads have no outcome by people. The others are mostly those that the rules of their time let \
                 through: of leads that were never handed over nobody knows whether they were good, and recall does not count \
                 them.",
                silent + report.base.whole.0
            );
            self.note(FindingKind::Selection, None, text);
        }
        if report.imported.0 > 0 {
            let text = format!(
                "{} of {} leads were imported with the past, which dates their values to when the lead came in: that a value \
                 was entered later shows by no date there, only by the test of single fields.",
                report.imported, report.base.whole
            );
            self.note(FindingKind::ImportedPast, None, text);
        }
        if report.flips.0 > FLIPS as i64 {
            let text = format!("Of {} flipped leads the newest {FLIPS} are kept by name.", report.flips);
            self.note(FindingKind::FlipsCut, None, text);
        }
    }
}

/// 14321 as 1.43.
fn times(basis_points: u32) -> String {
    hundredths(basis_points)
}

fn hundredths(basis_points: u32) -> String {
    let rounded = (u64::from(basis_points) + 50) / 100;
    format!("{}.{:02}", rounded / 100, rounded % 100)
}

fn percent(basis_points: u32) -> String {
    let rounded = (u64::from(basis_points) + 5) / 10;
    format!("{}.{} %", rounded / 10, rounded % 10)
}
