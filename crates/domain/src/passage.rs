//! One cycle as reports read it: when it came to each stage, how long it stayed there, how it ended.

use uuid::Uuid;

use crate::stage::{CycleOutcome, StageKind};
use crate::time::Instant;

/// A stage change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Instant,
    pub to: StageKind,
    /// Stages that the same decision passed over: the cycle entered them, too, and stayed in none of them.
    pub skipped: Vec<StageKind>,
}

/// A cycle. Its steps are in order, and each stage is entered once at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    pub lead: Uuid,
    pub cycle: u32,
    pub opened_at: Instant,
    pub closed_at: Option<Instant>,
    pub outcome: CycleOutcome,
    pub reason: Option<String>,
    pub competitor: Option<String>,
    pub steps: Vec<Step>,
}

/// Time at one stage that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    pub stage: StageKind,
    pub from: Instant,
    pub to: Instant,
    /// Whether the cycle went on to another stage; else it ended there.
    pub advanced: bool,
}

impl Stay {
    /// Never negative: what an import told in another order lasts no time.
    pub fn ms(&self) -> i64 {
        self.to.since(self.from).max(0)
    }
}

impl Passage {
    /// When it entered the stage, be it that the stage was skipped.
    pub fn entered(&self, stage: StageKind) -> Option<Instant> {
        let step = self.steps.iter().find(|step| step.to == stage || step.skipped.contains(&stage));
        step.map(|step| step.at)
    }

    /// When it came to the stage or beyond it.
    pub fn reached(&self, stage: StageKind) -> Option<Instant> {
        self.steps.iter().find(|step| step.to >= stage).map(|step| step.at)
    }

    /// Milliseconds from entering a stage to coming to another one or beyond it: none if it did not enter the first, and none of it
    /// if it did not come to the second.
    pub fn took(&self, from: StageKind, to: StageKind) -> Option<Option<i64>> {
        let entered = self.entered(from)?;
        Some(self.reached(to).map(|at| at.since(entered).max(0)))
    }

    /// The stages where it stood and from which it went on or ended. At its last stage an open cycle still stands; a customer
    /// stays one, so that a won cycle has no stay that ended with it.
    pub fn stays(&self) -> Vec<Stay> {
        let mut stays: Vec<Stay> = self
            .steps
            .windows(2)
            .map(|pair| Stay { stage: pair[0].to, from: pair[0].at, to: pair[1].at, advanced: true })
            .collect();
        let ended = self.closed_at.filter(|_| self.outcome != CycleOutcome::Won);
        if let Some((last, to)) = self.steps.last().zip(ended) {
            stays.push(Stay { stage: last.to, from: last.at, to, advanced: false });
        }
        stays
    }

    /// From its opening to its end; none while it is open.
    pub fn lasted(&self) -> Option<i64> {
        Some(self.closed_at?.since(self.opened_at).max(0))
    }

    /// Whether it ended in a way that says something of the lead: not by a merge or an erasure.
    pub fn is_told(&self) -> bool {
        use CycleOutcome::{Disqualified, Lost, Recycled, Won};
        matches!(self.outcome, Won | Lost | Recycled | Disqualified)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::time::DAY;
    use StageKind::{Customer, Inquiry, Iql, Mql, Opportunity, Sal, Sql};

    /// A cycle that opened at day 0; steps are day, stage and what was skipped.
    pub(crate) fn passage(
        steps: &[(i64, StageKind, &[StageKind])],
        end: Option<(i64, CycleOutcome)>,
    ) -> Passage {
        let at = |day: i64| Instant(day * DAY);
        let steps =
            steps.iter().map(|(day, to, skipped)| Step { at: at(*day), to: *to, skipped: skipped.to_vec() });
        Passage {
            lead: Uuid::nil(),
            cycle: 1,
            opened_at: at(0),
            closed_at: end.map(|(day, _)| at(day)),
            outcome: end.map_or(CycleOutcome::Open, |(_, outcome)| outcome),
            reason: None,
            competitor: None,
            steps: steps.collect(),
        }
    }

    #[test]
    fn skipped_stages_are_entered_and_nobody_stays_there() {
        let won = passage(
            &[(0, Inquiry, &[]), (2, Mql, &[Iql]), (3, Customer, &[Sal, Sql, Opportunity])],
            Some((3, CycleOutcome::Won)),
        );
        let day = |stage| won.entered(stage).map(|at| at.ms() / DAY);
        assert_eq!([Iql, Mql, Sal, Customer].map(day), [Some(2), Some(2), Some(3), Some(3)]);
        assert_eq!(won.reached(StageKind::Advocate), None);
        assert_eq!(won.reached(Sql), Some(Instant(3 * DAY)));
        let stays: Vec<_> =
            won.stays().iter().map(|stay| (stay.stage, stay.ms() / DAY, stay.advanced)).collect();
        assert_eq!(stays, [(Inquiry, 2, true), (Mql, 1, true)]);
        let lost = passage(&[(0, Inquiry, &[]), (2, Mql, &[Iql])], Some((9, CycleOutcome::Recycled)));
        assert_eq!(
            lost.stays().last().map(|stay| (stay.stage, stay.ms() / DAY, stay.advanced)),
            Some((Mql, 7, false))
        );
        assert_eq!(passage(&[(0, Inquiry, &[])], None).stays(), []);
    }
}
