//! Several teams at one gate: which leads they claim together, and which nobody claims.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::verdict::Outcome;

/// What the slots of a gate said of one lead, by the slots' keys. None: a fault, or a rule that was not asked.
pub type Votes = BTreeMap<String, Option<Outcome>>;

/// A slot and the team that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub slot: String,
    pub team: String,
}

/// How one slot voted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// It said ADVANCE.
    pub claimed: u64,
    /// Of them, those that no other team claimed.
    pub alone: u64,
    /// It failed, or was not asked.
    pub silent: u64,
}

/// Two slots of different teams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub first: String,
    pub second: String,
    pub both: u64,
    pub only_first: u64,
    pub only_second: u64,
    pub neither: u64,
}

/// A claim is an ADVANCE. Two slots of one team do not contend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    pub leads: u64,
    /// By two teams or more.
    pub by_many: u64,
    pub by_one: u64,
    pub by_nobody: u64,
    pub claims: BTreeMap<String, Claims>,
    pub pairs: Vec<Pair>,
    /// Leads of two teams or more, as many as were asked for.
    pub many: Vec<Uuid>,
    /// Leads of nobody, as many as were asked for.
    pub nobody: Vec<Uuid>,
}

/// Compares the votes of all leads, in the order in which they are to be named.
pub fn compare<'v>(
    seats: &[Seat],
    votes: impl IntoIterator<Item = (Uuid, &'v Votes)>,
    named: usize,
) -> Overlap {
    let mut found = Overlap::default();
    found.claims.extend(seats.iter().map(|seat| (seat.slot.clone(), Claims::default())));
    for (at, first) in seats.iter().enumerate() {
        for second in seats[at + 1..].iter().filter(|second| second.team != first.team) {
            let (first, second) = (first.slot.clone(), second.slot.clone());
            found.pairs.push(Pair { first, second, both: 0, only_first: 0, only_second: 0, neither: 0 });
        }
    }
    for (lead, votes) in votes {
        let claims = |slot: &str| votes.get(slot).copied().flatten() == Some(Outcome::Advance);
        let teams: BTreeSet<&str> =
            seats.iter().filter(|seat| claims(&seat.slot)).map(|seat| seat.team.as_str()).collect();
        found.leads += 1;
        let (count, list) = match teams.len() {
            0 => (&mut found.by_nobody, Some(&mut found.nobody)),
            1 => (&mut found.by_one, None),
            _ => (&mut found.by_many, Some(&mut found.many)),
        };
        *count += 1;
        if let Some(list) = list.filter(|list| list.len() < named) {
            list.push(lead);
        }
        for seat in seats {
            let Some(said) = found.claims.get_mut(&seat.slot) else { continue };
            said.silent += u64::from(votes.get(&seat.slot).copied().flatten().is_none());
            said.claimed += u64::from(claims(&seat.slot));
            said.alone += u64::from(claims(&seat.slot) && teams.len() == 1);
        }
        for pair in &mut found.pairs {
            let count = match (claims(&pair.first), claims(&pair.second)) {
                (true, true) => &mut pair.both,
                (true, false) => &mut pair.only_first,
                (false, true) => &mut pair.only_second,
                (false, false) => &mut pair.neither,
            };
            *count += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Advance, Hold};

    #[test]
    fn teams_contend_and_slots_of_one_team_do_not() {
        let seat = |slot: &str, team: &str| Seat { slot: slot.into(), team: team.into() };
        let seats = [seat("a", "red"), seat("b", "red"), seat("c", "blue")];
        let votes =
            |a, b, c| -> Votes { [("a", a), ("b", b), ("c", c)].map(|(k, v)| (k.to_owned(), v)).into() };
        let all = [
            votes(Some(Advance), Some(Advance), Some(Hold)),
            votes(Some(Advance), Some(Hold), Some(Advance)),
            votes(Some(Hold), None, Some(Hold)),
            votes(Some(Hold), Some(Hold), Some(Advance)),
        ];
        let leads: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        let found = compare(&seats, leads.iter().copied().zip(&all), 10);
        assert_eq!((found.leads, found.by_many, found.by_one, found.by_nobody), (4, 1, 2, 1));
        assert_eq!((&found.many, &found.nobody), (&vec![leads[1]], &vec![leads[2]]));
        assert_eq!(found.claims["a"], Claims { claimed: 2, alone: 1, silent: 0 });
        assert_eq!(found.claims["b"], Claims { claimed: 1, alone: 1, silent: 1 });
        assert_eq!(found.pairs.len(), 2, "a and b are of one team");
        let first = &found.pairs[0];
        assert_eq!((first.both, first.only_first, first.only_second, first.neither), (1, 1, 1, 1));
        assert_eq!(compare(&seats, leads.iter().copied().zip(&all), 0).many, Vec::<Uuid>::new());
    }
}
