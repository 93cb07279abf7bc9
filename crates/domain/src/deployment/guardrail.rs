//! Guardrails of a canary: what is compared with the live version, how far it may go, and when it is sure enough to act.

use serde::{Deserialize, Serialize};

use crate::number::Long;
use crate::share::Share;
use crate::text::text_enum;

text_enum! {
    /// What a canary is watched for.
    pub enum Guardrail {
        /// Share of answered hand-offs that sales rejected, above the live version's.
        RejectRate = "REJECT_RATE",
        /// Share of answered hand-offs that sales returned for want of context, above the live version's.
        NoContextRate = "NO_CONTEXT_RATE",
        /// Share of assigned leads whose owner had more open leads than capacity, above the live version's.
        OwnerOverload = "OWNER_OVERLOAD",
        /// Share of clocks that were breached, above the live version's.
        ClocksAtRisk = "CLOCKS_AT_RISK",
        /// Share of calls that failed.
        FailureRate = "FAILURE_RATE",
        /// Fuel of a lead, above the live version's: 10,000 is twice as much.
        Fuel = "FUEL",
        /// Share of judged leads that met the gate, above or below the live version's.
        AdvanceShift = "ADVANCE_SHIFT",
        /// Share of the newest 2,000 judged leads that met the gate, above or below what it was before the canary began, or
        /// in its beginning where nothing was judged before, whoever judged: the leads that come in have changed, and what
        /// was found out about the version no longer holds.
        Drift = "DRIFT",
    }
}

/// How far one guardrail lets a canary go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "GuardrailLimit", input_name = "GuardrailLimitInput")
)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailLimit {
    /// What is watched.
    pub metric: Guardrail,
    /// How much more than the baseline, in basis points.
    pub allowed: u32,
}

/// What takes a canary back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Guardrails", input_name = "GuardrailsInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Guardrails {
    /// Nothing is judged by less: calls, hand-offs or clocks, as the guardrail counts.
    pub min_sample: u32,
    /// What is not listed is not watched.
    pub limits: Vec<GuardrailLimit>,
}

impl Default for Guardrails {
    fn default() -> Guardrails {
        let limit = |(metric, allowed)| GuardrailLimit { metric, allowed };
        let limits = [
            (Guardrail::RejectRate, 1_000),
            (Guardrail::NoContextRate, 1_000),
            (Guardrail::OwnerOverload, 1_000),
            (Guardrail::ClocksAtRisk, 1_000),
            (Guardrail::FailureRate, 500),
            (Guardrail::Fuel, 20_000),
            (Guardrail::AdvanceShift, 2_500),
            (Guardrail::Drift, 2_500),
        ];
        Guardrails { min_sample: 30, limits: limits.into_iter().map(limit).collect() }
    }
}

impl Guardrails {
    /// What is wrong with them.
    pub fn problem(&self) -> Option<String> {
        if !(5..=100_000).contains(&self.min_sample) {
            return Some(format!("minSample is 5 to 100000, found {}", self.min_sample));
        }
        let twice = self.limits.iter().enumerate().find(|(place, limit)| {
            self.limits.iter().take(*place).any(|before| before.metric == limit.metric)
        });
        twice.map(|(_, limit)| format!("{} has two limits", limit.metric))
    }
}

/// What became of the leads that one deployment judged, or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Verdicts that let the lead pass, of all verdicts.
    pub advanced: Share,
    /// Calls that failed, of all calls.
    pub failed: Share,
    /// Fuel of all calls.
    pub fuel: u64,
    /// Hand-offs that sales rejected, of those that it answered.
    pub rejected: Share,
    /// Hand-offs that sales returned for want of context, of those that it answered.
    pub no_context: Share,
    /// Leads whose owner has more than its capacity, of all that have an owner.
    pub overloaded: Share,
    /// Clocks that were breached, of those that were met or breached.
    pub late: Share,
}

impl Observed {
    fn fuel_of_a_call(&self) -> f64 {
        if self.failed.of == 0 { 0.0 } else { self.fuel as f64 / self.failed.of as f64 }
    }
}

/// One guardrail, read once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct GuardrailReading {
    /// What was looked at.
    pub metric: Guardrail,
    /// Of the canary's leads, in basis points.
    pub canary: i32,
    /// What it is compared with, in basis points.
    pub baseline: i32,
    /// How many of the canary's were counted.
    pub sample: Long,
    /// How much more than the baseline it may be, in basis points.
    pub allowed: u32,
    /// Whether it went further, and not by chance.
    pub breached: bool,
    /// The reading in a sentence.
    pub text: String,
}

/// Verdicts that let the lead pass, of those of the canary and the live version together, and of what was usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub now: Share,
    pub before: Share,
}

/// Reads every guardrail. One is breached when the sample is large enough, the difference is above the limit, and the 95 %
/// interval of the difference leaves no doubt that there is one.
pub fn readings(
    guardrails: &Guardrails,
    canary: &Observed,
    live: &Observed,
    passed: Passed,
) -> Vec<GuardrailReading> {
    let read = |limit: &GuardrailLimit| {
        let nothing = |of: Share| Share { count: 0, of: of.of.max(1) * 1_000_000 };
        let (of_canary, baseline, both_ways) = match limit.metric {
            Guardrail::RejectRate => (canary.rejected, live.rejected, false),
            Guardrail::NoContextRate => (canary.no_context, live.no_context, false),
            Guardrail::OwnerOverload => (canary.overloaded, live.overloaded, false),
            Guardrail::ClocksAtRisk => (canary.late, live.late, false),
            Guardrail::FailureRate => (canary.failed, nothing(canary.failed), false),
            Guardrail::Fuel => return fuel(guardrails, limit, canary, live),
            Guardrail::AdvanceShift => (canary.advanced, live.advanced, true),
            Guardrail::Drift => (passed.now, passed.before, true),
        };
        share(guardrails, limit, of_canary, baseline, both_ways)
    };
    guardrails.limits.iter().map(read).collect()
}

fn share(
    guardrails: &Guardrails,
    limit: &GuardrailLimit,
    canary: Share,
    baseline: Share,
    both_ways: bool,
) -> GuardrailReading {
    let (difference, interval) = canary.above(baseline);
    let (difference, sure) = match both_ways {
        true => (difference.abs(), interval.low > 0.0 || interval.high < 0.0),
        false => (difference, interval.low > 0.0),
    };
    let enough = canary.of.min(baseline.of) >= u64::from(guardrails.min_sample);
    let breached = enough && sure && difference * 10_000.0 > f64::from(limit.allowed);
    let text = format!(
        "{}: {:.1} % ({} of {}) against {:.1} %, and {} more is allowed",
        limit.metric,
        canary.fraction() * 100.0,
        canary.count,
        canary.of,
        baseline.fraction() * 100.0,
        points(limit.allowed)
    );
    GuardrailReading {
        metric: limit.metric,
        canary: canary.basis_points(),
        baseline: baseline.basis_points(),
        sample: long(canary.of),
        allowed: limit.allowed,
        breached,
        text,
    }
}

/// Fuel is the same in each run, so a mean needs no interval.
fn fuel(
    guardrails: &Guardrails,
    limit: &GuardrailLimit,
    canary: &Observed,
    live: &Observed,
) -> GuardrailReading {
    let (mine, theirs) = (canary.fuel_of_a_call(), live.fuel_of_a_call());
    let ratio = if theirs > 0.0 { mine / theirs } else { 1.0 };
    let enough = canary.failed.of.min(live.failed.of) >= u64::from(guardrails.min_sample);
    GuardrailReading {
        metric: limit.metric,
        canary: (ratio * 10_000.0).round().min(f64::from(i32::MAX)) as i32,
        baseline: 10_000,
        sample: long(canary.failed.of),
        allowed: limit.allowed,
        breached: enough && (ratio - 1.0) * 10_000.0 > f64::from(limit.allowed),
        text: format!(
            "{}: {mine:.0} a lead against {theirs:.0}, and {} more is allowed",
            limit.metric,
            points(limit.allowed)
        ),
    }
}

fn points(allowed: u32) -> String {
    format!("{:.1} %", f64::from(allowed) / 100.0)
}

fn long(count: u64) -> Long {
    Long(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(change: impl FnOnce(&mut Observed)) -> Observed {
        let mut observed = Observed {
            advanced: Share::of(40, 100),
            failed: Share::of(0, 100),
            fuel: 100_000,
            rejected: Share::of(4, 40),
            no_context: Share::of(0, 40),
            overloaded: Share::of(0, 40),
            late: Share::of(2, 80),
        };
        change(&mut observed);
        observed
    }

    #[test]
    fn a_canary_is_taken_back_for_what_went_wrong_and_for_nothing_else() {
        let cases: [(&str, Observed, Option<Guardrail>); 10] = [
            ("like the live version", observed(|_| {}), None),
            ("rejected", observed(|o| o.rejected = Share::of(20, 40)), Some(Guardrail::RejectRate)),
            ("rejected by chance", observed(|o| o.rejected = Share::of(9, 40)), None),
            ("too few to say", observed(|o| o.rejected = Share::of(20, 29)), None),
            ("no context", observed(|o| o.no_context = Share::of(9, 40)), Some(Guardrail::NoContextRate)),
            ("overload", observed(|o| o.overloaded = Share::of(12, 40)), Some(Guardrail::OwnerOverload)),
            ("late", observed(|o| o.late = Share::of(30, 80)), Some(Guardrail::ClocksAtRisk)),
            ("fails", observed(|o| o.failed = Share::of(20, 100)), Some(Guardrail::FailureRate)),
            ("burns", observed(|o| o.fuel = 400_000), Some(Guardrail::Fuel)),
            ("lets nobody pass", observed(|o| o.advanced = Share::of(2, 100)), Some(Guardrail::AdvanceShift)),
        ];
        let live = observed(|_| {});
        for (case, canary, expected) in cases {
            let usual = Passed { now: live.advanced, before: live.advanced };
            let found = readings(&Guardrails::default(), &canary, &live, usual);
            let breached: Vec<Guardrail> =
                found.iter().filter(|reading| reading.breached).map(|reading| reading.metric).collect();
            assert_eq!(breached, expected.into_iter().collect::<Vec<_>>(), "{case}: {found:#?}");
        }
    }

    #[test]
    fn other_leads_than_before_are_a_drift_whoever_judges_them() {
        let same = observed(|_| {});
        let passed = Passed { now: Share::of(160, 200), before: Share::of(300, 1_000) };
        let found = readings(&Guardrails::default(), &same, &same, passed);
        let breached: Vec<&GuardrailReading> = found.iter().filter(|reading| reading.breached).collect();
        assert_eq!(breached.len(), 1);
        assert_eq!(breached[0].metric, Guardrail::Drift);
        assert!(breached[0].text.contains("80.0 % (160 of 200) against 30.0 %"), "{}", breached[0].text);
    }
}
