//! Whose turn it is.

use std::cmp::Ordering;

use handfast_sdk::{Assignment, Context, Owner, Target};

use crate::settings::{Otherwise, Settings, same};
use crate::{Code, Lead};

pub fn assign(settings: &Settings, context: &Context, lead: &Lead, owners: &[Owner]) -> Assignment {
    let mut trace = Vec::new();
    let territory = territory(settings, lead);
    let mut assignment = Assignment::new(Target::Queue(settings.fallback_queue.clone()));
    assignment.priority = priority(settings, lead, &mut assignment);

    let mut candidates: Vec<&Owner> = match &territory {
        Some(key) => {
            trace.push(format!("territory {key}"));
            let there = owners.iter().filter(|owner| works(owner, key)).filter(|owner| can_take(owner));
            let there: Vec<&Owner> = there.collect();
            if there.is_empty() {
                assignment.reasons.push(Code::NobodyThere.weighs(0));
            } else {
                assignment.reasons.push(Code::Territory.weighs(0));
            }
            there
        }
        None if settings.territories.is_empty() && settings.territory_field.is_none() => {
            owners.iter().filter(|owner| can_take(owner)).collect()
        }
        None => {
            assignment.reasons.push(Code::NoTerritory.weighs(0));
            Vec::new()
        }
    };
    let anyone = if territory.is_some() { settings.nobody_there } else { settings.without_territory };
    if candidates.is_empty() && anyone == Otherwise::Anyone {
        candidates = owners.iter().filter(|owner| can_take(owner)).collect();
    }
    trace.push(format!("{} of {} owners could take it", candidates.len(), owners.len()));

    match candidates.into_iter().min_by(|a, b| turn(a, b)) {
        Some(owner) => {
            trace.push(format!("{} has {} at weight {}", owner.id, owner.assigned, owner.weight));
            assignment.reasons.push(Code::FairShare.weighs(0));
            assignment.target = Target::Owner(owner.id.clone());
        }
        None if !owners.iter().any(can_take) => assignment.reasons.push(Code::NobodyAvailable.weighs(0)),
        None => {}
    }
    if context.explain {
        assignment.trace = trace;
    }
    assignment
}

/// The smallest share after this lead comes first: (assigned + 1) / weight, compared without dividing. Then who has waited
/// longest, then the id, so that there is always exactly one answer.
fn turn(a: &Owner, b: &Owner) -> Ordering {
    let share = |own: &Owner, other: &Owner| (u128::from(own.assigned) + 1) * u128::from(other.weight);
    share(a, b)
        .cmp(&share(b, a))
        .then_with(|| a.last_assigned.cmp(&b.last_assigned))
        .then_with(|| a.id.cmp(&b.id))
}

/// Available says working hours and absence; capacity is looked at again, because the pool may lag behind the last call.
fn can_take(owner: &Owner) -> bool {
    owner.available && owner.weight > 0 && owner.open_leads < owner.capacity
}

/// An owner without territories works in all of them.
fn works(owner: &Owner, territory: &str) -> bool {
    owner.territories.is_empty() || owner.territories.iter().any(|own| same(own, territory))
}

fn territory(settings: &Settings, lead: &Lead) -> Option<String> {
    let named =
        settings.territories.iter().find(|territory| territory.when.iter().all(|when| when.holds(lead)));
    match named {
        Some(territory) => Some(territory.key.clone()),
        None => settings.territory_field.as_ref().and_then(|field| lead.text(field)).map(str::to_owned),
    }
}

fn priority(settings: &Settings, lead: &Lead, assignment: &mut Assignment) -> i32 {
    let fit = lead.fit.unwrap_or(0);
    if settings.priorities.is_empty() {
        return fit.clamp(-1_000, 1_000) as i32;
    }
    match settings.priorities.iter().find(|entry| fit >= entry.fit_from) {
        Some(entry) => {
            assignment.reasons.push(Code::HighFit.weighs(entry.priority).on(Lead::fit));
            entry.priority
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_sdk::{Leads, Row};
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Context = Context { as_of: 0, charter: 1, explain: false };

    fn owner(id: usize, weight: u32) -> Owner {
        Owner {
            id: format!("owner-{id}"),
            team: "sales".into(),
            territories: vec![],
            available: true,
            open_leads: 0,
            capacity: u32::MAX,
            weight,
            assigned: 0,
            last_assigned: None,
        }
    }

    fn settings(value: serde_json::Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    /// Assigns `count` leads one after the other and counts them, as the host's ledger does.
    fn assign_many(settings: &Settings, owners: &mut [Owner], count: usize) {
        let leads = Leads::from_json(&Lead::reads(), &[json!({})]).unwrap();
        for at in 0..count {
            let Target::Owner(id) = assign(settings, &NOW, &Lead::read(&leads, 0), owners).target else {
                return;
            };
            let owner = owners.iter_mut().find(|owner| owner.id == id).unwrap();
            owner.assigned += 1;
            owner.last_assigned = Some(at as i64);
        }
    }

    proptest! {
        /// I12: for equal availability the weighted counts of two owners differ by at most one.
        #[test]
        fn weighted_counts_stay_within_one(weights in prop::collection::vec(1u32..20, 1..8), count in 0usize..200) {
            let mut owners: Vec<Owner> = weights.iter().enumerate().map(|(id, weight)| owner(id, *weight)).collect();
            assign_many(&settings(json!({"fallbackQueue": "all"})), &mut owners, count);
            prop_assert_eq!(owners.iter().map(|owner| owner.assigned).sum::<u64>(), count as u64);
            for a in &owners {
                for b in &owners {
                    let ahead = a.assigned * u64::from(b.weight);
                    let behind = b.assigned * u64::from(a.weight);
                    prop_assert!(ahead <= behind + u64::from(a.weight) * u64::from(b.weight));
                }
            }
        }

        #[test]
        fn the_order_of_the_pool_does_not_matter(assigned in prop::collection::vec(0u64..9, 2..6), turned in 0usize..6) {
            let mut owners: Vec<Owner> = assigned.iter().enumerate().map(|(id, n)| Owner { assigned: *n, ..owner(id, 1 + id as u32 % 3) }).collect();
            let leads = Leads::from_json(&Lead::reads(), &[json!({})]).unwrap();
            let settings = settings(json!({"fallbackQueue": "all"}));
            let first = assign(&settings, &NOW, &Lead::read(&leads, 0), &owners);
            owners.rotate_left(turned % assigned.len());
            prop_assert_eq!(first, assign(&settings, &NOW, &Lead::read(&leads, 0), &owners));
        }

        #[test]
        fn nobody_who_cannot_take_a_lead_gets_one(
            pool in prop::collection::vec((any::<bool>(), 0u32..3, 0u32..3, 0u32..3), 0..6),
        ) {
            let owners: Vec<Owner> = pool.iter().enumerate().map(|(id, (available, open_leads, capacity, weight))| {
                Owner { available: *available, open_leads: *open_leads, capacity: *capacity, ..owner(id, *weight) }
            }).collect();
            let leads = Leads::from_json(&Lead::reads(), &[json!({})]).unwrap();
            let settings = settings(json!({"fallbackQueue": "all"}));
            match assign(&settings, &NOW, &Lead::read(&leads, 0), &owners).target {
                Target::Owner(id) => prop_assert!(can_take(owners.iter().find(|owner| owner.id == id).unwrap())),
                target => {
                    prop_assert_eq!(target, Target::Queue("all".into()));
                    prop_assert!(!owners.iter().any(can_take));
                }
            }
        }
    }
}
