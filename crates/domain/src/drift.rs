//! Definition drift: whether the criteria that both sides signed still tell whom sales accepts.

use std::collections::BTreeMap;

use crate::criterion::CriterionResult;
use crate::share::Share;
use crate::text::text_enum;

text_enum! {
    /// What a criterion still tells.
    pub enum Prediction {
        /// Leads that meet it are accepted more often, beyond chance.
        Predicts = "PREDICTS",
        /// There is no difference that chance would not make.
        NoLonger = "NO_LONGER",
        /// Leads that meet it are accepted less often, beyond chance.
        Against = "AGAINST",
        /// Fewer than 30 answers of those who meet it, or of those who miss it.
        TooFew = "TOO_FEW",
    }
}

/// Answers of each kind that a criterion needs to be judged.
pub const LEAST_ANSWERS: u64 = 30;

/// A criterion and the answers of sales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriterionDrift {
    pub key: String,
    /// In words, as it was at the newest answer.
    pub text: String,
    pub required: bool,
    /// Accepted, of the leads that met it.
    pub met: Share,
    /// Accepted, of those that missed it.
    pub missed: Share,
}

impl CriterionDrift {
    /// By the interval of the difference of both shares.
    pub fn prediction(&self) -> Prediction {
        if self.met.of.min(self.missed.of) < LEAST_ANSWERS {
            return Prediction::TooFew;
        }
        let (_, interval) = self.met.above(self.missed);
        match (interval.low > 0.0, interval.high < 0.0) {
            (true, _) => Prediction::Predicts,
            (_, true) => Prediction::Against,
            _ => Prediction::NoLonger,
        }
    }
}

/// Answers of sales beside the criteria of the look that qualified the lead.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    pub accepted: u64,
    pub rejected: u64,
    /// Accepted leads that missed a criterion, required or not.
    pub accepted_missing: u64,
    /// Rejected leads that met all of them.
    pub rejected_meeting_all: u64,
    /// Answers about leads that nobody had looked at by a criterion: imported ones, or a charter without criteria.
    pub without_criteria: u64,
    criteria: BTreeMap<String, CriterionDrift>,
}

impl Drift {
    /// Answers come in the order of time.
    pub fn add(&mut self, accepted: bool, criteria: &[CriterionResult]) {
        let (all, missing) = match accepted {
            true => (&mut self.accepted, &mut self.accepted_missing),
            false => (&mut self.rejected, &mut self.rejected_meeting_all),
        };
        *all += 1;
        if criteria.is_empty() {
            self.without_criteria += 1;
            return;
        }
        let meets_all = criteria.iter().all(|criterion| criterion.holds);
        *missing += u64::from(meets_all != accepted);
        for CriterionResult { key, text, required, holds } in criteria {
            let blank = || CriterionDrift {
                key: key.clone(),
                text: text.clone(),
                required: *required,
                met: Share::default(),
                missed: Share::default(),
            };
            let found = self.criteria.entry(key.clone()).or_insert_with(blank);
            (found.text, found.required) = (text.clone(), *required);
            let share = if *holds { &mut found.met } else { &mut found.missed };
            share.of += 1;
            share.count += u64::from(accepted);
        }
    }

    /// Those that no longer tell anything first.
    pub fn criteria(&self) -> Vec<&CriterionDrift> {
        let mut found: Vec<&CriterionDrift> = self.criteria.values().collect();
        let rank = |one: &CriterionDrift| match one.prediction() {
            Prediction::Against => 0,
            Prediction::NoLonger => 1,
            Prediction::Predicts => 2,
            Prediction::TooFew => 3,
        };
        found.sort_by_key(|one| rank(one));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_criterion_that_tells_nothing_any_more_is_found() {
        let result = |key: &str, holds: bool| CriterionResult {
            key: key.into(),
            text: key.into(),
            required: false,
            holds,
        };
        let mut drift = Drift::default();
        for number in 0..200 {
            let accepted = number % 2 == 0;
            // "size" is met by nine in ten of the accepted and by one in ten of the rejected, "title" by half of each.
            let size = if number % 20 < 2 { !accepted } else { accepted };
            drift.add(
                accepted,
                &[result("size", size), result("title", number % 4 < 2), result("rare", number > 2)],
            );
        }
        drift.add(true, &[]);
        let told: Vec<_> =
            drift.criteria().into_iter().map(|one| (one.key.as_str(), one.prediction())).collect();
        let expected =
            [("title", Prediction::NoLonger), ("size", Prediction::Predicts), ("rare", Prediction::TooFew)];
        assert_eq!(told, expected);
        assert_eq!((drift.accepted, drift.rejected, drift.without_criteria), (101, 100, 1));
        let met_all = (0..200)
            .filter(|number| number % 2 == 1 && number % 20 < 2 && number % 4 < 2 && *number > 2)
            .count();
        assert_eq!(drift.rejected_meeting_all, met_all as u64);
        assert!(drift.accepted_missing > 50);
    }
}
