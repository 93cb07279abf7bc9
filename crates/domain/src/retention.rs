//! Retention: whether a customer bought again, and whether it brings others.

use crate::passage::Passage;
use crate::stage::{CycleOutcome, StageKind};

/// A lead that was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Customer<'p> {
    /// The cycle of its first win.
    pub first: &'p Passage,
    /// Milliseconds from the first win to the next one.
    pub returned: Option<i64>,
    /// Whether it became an advocate.
    pub advocate: bool,
}

/// By all cycles of the lead, in order; none if it was never won.
pub fn customer(cycles: &[Passage]) -> Option<Customer<'_>> {
    let mut wins = cycles.iter().filter(|one| one.outcome == CycleOutcome::Won);
    let first = wins.next()?;
    let again = wins.next().and_then(|next| next.closed_at);
    let returned = again.zip(first.closed_at).map(|(again, first)| again.since(first).max(0));
    let advocate = cycles.iter().any(|one| one.entered(StageKind::Advocate).is_some());
    Some(Customer { first, returned, advocate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::tests::passage;
    use crate::time::DAY;
    use StageKind::{Advocate, Customer as Won, Inquiry};

    #[test]
    fn a_customer_returns_with_the_next_win() {
        let lost = passage(&[(0, Inquiry, &[])], Some((1, CycleOutcome::Lost)));
        let first = passage(&[(2, Inquiry, &[]), (5, Won, &[])], Some((5, CycleOutcome::Won)));
        let again =
            passage(&[(6, Inquiry, &[]), (15, Won, &[]), (16, Advocate, &[])], Some((15, CycleOutcome::Won)));
        let told =
            |cycles: &[Passage]| customer(cycles).map(|one| (one.returned.map(|ms| ms / DAY), one.advocate));
        assert_eq!(told(std::slice::from_ref(&lost)), None);
        assert_eq!(told(&[lost.clone(), first.clone()]), Some((None, false)));
        assert_eq!(told(&[first.clone(), lost, again]), Some((Some(10), true)));
    }
}
