//! How fairly a router dealt: what each owner of a pool got, against what weight and availability said at each decision.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::snapshot::OwnerState;
use crate::verdict::Target;

/// What one owner got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dealt {
    pub assigned: u64,
    /// Of them, those that came while the owner was not available.
    pub unavailable: u64,
    /// Decisions at which the owner was available.
    pub available: u64,
    /// Weight at the newest decision.
    pub weight: u32,
    /// Millionths of a lead that the weights would have given.
    due: u64,
}

/// What a router did with the leads of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fairness {
    /// Decisions that were looked at.
    pub decisions: u64,
    pub to_owners: u64,
    pub to_queues: u64,
    /// The router failed, and the fallback queue served.
    pub failed: u64,
    /// Their snapshot was erased, so that nobody knows who was available.
    pub erased: u64,
    pub owners: BTreeMap<Uuid, Dealt>,
}

const LEAD: u64 = 1_000_000;

impl Fairness {
    /// Adds a decision. At each one the lead is due to the available owners by their weights; one that went to a queue is due
    /// to nobody. Decisions come the newest first.
    pub fn add(&mut self, owners: &[OwnerState], target: Option<&Target>) {
        self.decisions += 1;
        let Some(target) = target else {
            self.failed += 1;
            return;
        };
        let available = |owner: &&OwnerState| owner.available;
        for owner in owners {
            let dealt = self
                .owners
                .entry(owner.id)
                .or_insert_with(|| Dealt { weight: owner.weight, ..Dealt::default() });
            dealt.available += u64::from(owner.available);
        }
        let Target::Owner(chosen) = target else {
            self.to_queues += 1;
            return;
        };
        self.to_owners += 1;
        let free = owners.iter().any(|owner| owner.id == *chosen && owner.available);
        let dealt = self.owners.entry(*chosen).or_default();
        dealt.assigned += 1;
        dealt.unavailable += u64::from(!free);
        let total: u64 = owners.iter().filter(available).map(|owner| u64::from(owner.weight)).sum();
        for owner in owners.iter().filter(available) {
            let due = (u64::from(owner.weight) * LEAD).checked_div(total).unwrap_or(0);
            self.owners.entry(owner.id).or_default().due += due;
        }
    }

    /// A decision whose snapshot is gone.
    pub fn add_erased(&mut self) {
        self.decisions += 1;
        self.erased += 1;
    }

    /// Share of the leads that went to owners, in basis points.
    pub fn share(&self, owner: &Dealt) -> i64 {
        points(owner.assigned, self.to_owners)
    }

    /// Share that weight and availability would have given, in basis points.
    pub fn due(&self, owner: &Dealt) -> i64 {
        points(owner.due, self.to_owners * LEAD)
    }

    /// The owner whose share is farthest from what was due, with the difference in basis points.
    pub fn largest(&self) -> Option<(Uuid, i64)> {
        let apart = self.owners.iter().map(|(id, dealt)| (*id, self.share(dealt) - self.due(dealt)));
        apart.max_by_key(|(id, difference)| (difference.abs(), *id))
    }

    /// Share of the decisions that chose a queue, in basis points.
    pub fn queue_share(&self) -> i64 {
        points(self.to_queues, self.to_owners + self.to_queues)
    }
}

/// In basis points, rounded to the nearest.
fn points(part: u64, of: u64) -> i64 {
    let (part, of) = (u128::from(part), u128::from(of));
    i64::try_from((part * 20_000 + of).checked_div(2 * of).unwrap_or(0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: u128, weight: u32, available: bool) -> OwnerState {
        OwnerState {
            id: Uuid::from_u128(id),
            team: "sales".into(),
            territories: vec![],
            available,
            open_leads: 0,
            capacity: 10,
            weight,
            assigned: 0,
            last_assigned: None,
        }
    }

    fn to(id: u128) -> Target {
        Target::Owner(Uuid::from_u128(id))
    }

    #[test]
    fn shares_are_compared_with_what_weights_and_availability_would_have_given() {
        let mut found = Fairness::default();
        let both = [owner(1, 3, true), owner(2, 1, true)];
        for chosen in [1, 1, 1, 2] {
            found.add(&both, Some(&to(chosen)));
        }
        assert_eq!(found.largest(), Some((Uuid::from_u128(2), 0)), "three to one, as the weights say");
        let absent = [owner(1, 3, true), owner(2, 1, false)];
        for _ in 0..4 {
            found.add(&absent, Some(&to(2)));
        }
        let two = &found.owners[&Uuid::from_u128(2)];
        assert_eq!((two.assigned, two.unavailable, two.available), (5, 4, 4));
        // 5 of 8 came; 1 of 8 was due.
        assert_eq!((found.share(two), found.due(two)), (6_250, 1_250));
        assert_eq!(found.largest().map(|(_, apart)| apart.abs()), Some(5_000));
        found.add(&both, Some(&Target::Queue("fallback".into())));
        found.add(&both, None);
        found.add_erased();
        assert_eq!((found.decisions, found.failed, found.erased), (11, 1, 1));
        assert_eq!(found.queue_share(), 1_111);
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let mut found = Fairness::default();
        assert_eq!((found.largest(), found.queue_share()), (None, 0));
        found.add(&[owner(1, 0, true)], Some(&to(1)));
        assert_eq!(found.due(&found.owners[&Uuid::from_u128(1)]), 0);
    }
}
