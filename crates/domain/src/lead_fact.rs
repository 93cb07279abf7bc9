//! What is known of a lead, with where it comes from: traits and graded answers, each with the values that it replaced.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// What kind of thing is known.
    pub enum LeadFactKind {
        /// A value of a defined trait.
        Trait = "TRAIT",
        /// A graded answer to a question of the qualification.
        Answer = "ANSWER",
    }
}

text_enum! {
    /// How something came to be known.
    pub enum FactOrigin {
        /// The person filled in a form.
        Form = "FORM",
        /// Whoever captured the lead said it, without a form.
        Capture = "CAPTURE",
        /// An import of the past.
        Import = "IMPORT",
        /// Somebody of marketing or sales wrote it down.
        Person = "PERSON",
        /// A service said it, for example one that enriches what is known of companies.
        Service = "SERVICE",
    }
}

/// A value that was observed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub value: String,
    /// Who says so, for example the lead source or the name of a service.
    pub source: String,
    /// None of values that were kept before origins were.
    pub origin: Option<FactOrigin>,
    pub evidence: Option<String>,
    /// Who wrote it down.
    pub by: Option<Uuid>,
    pub observed_at: Instant,
    /// Of an answer: grade and confidence in basis points.
    pub graded: Option<(u8, u16)>,
}

/// One thing that is known, and what was thought of it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadFact {
    pub kind: LeadFactKind,
    pub key: String,
    pub now: Observation,
    /// Other values, the newest first.
    pub earlier: Vec<Observation>,
    /// Whether somebody else said otherwise.
    pub conflicting: bool,
}

/// Most values that a fact tells beside the one that counts.
pub const EARLIER: usize = 20;

/// Every key once: of all observations the newest counts, and the others are what was thought before. Repetitions of a value in a row
/// are left out.
pub fn facts(observed: Vec<(LeadFactKind, String, Observation)>) -> Vec<LeadFact> {
    let mut by_key: BTreeMap<(LeadFactKind, String), Vec<Observation>> = BTreeMap::new();
    for (kind, key, one) in observed {
        by_key.entry((kind, key)).or_default().push(one);
    }
    let fact = |((kind, key), mut all): ((LeadFactKind, String), Vec<Observation>)| {
        all.sort_by_key(|one| std::cmp::Reverse(one.observed_at));
        let mut all = all.into_iter();
        let now = all.next()?;
        let mut earlier: Vec<Observation> = vec![];
        for one in all {
            let after = earlier.last().unwrap_or(&now);
            if (&one.value, &one.source) != (&after.value, &after.source) {
                earlier.push(one);
            }
        }
        let other =
            |one: &Observation| one.value != now.value && (&one.source, one.by) != (&now.source, now.by);
        let conflicting = earlier.iter().any(other);
        earlier.truncate(EARLIER);
        Some(LeadFact { kind, key, now, earlier, conflicting })
    };
    by_key.into_iter().filter_map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: &str, source: &str, at: i64) -> (LeadFactKind, String, Observation) {
        let one = Observation {
            value: value.into(),
            source: source.into(),
            origin: None,
            evidence: None,
            by: None,
            observed_at: Instant(at),
            graded: None,
        };
        (LeadFactKind::Trait, "seats".into(), one)
    }

    #[test]
    fn the_newest_value_counts_and_a_contradiction_of_somebody_else_is_told() {
        let found = facts(vec![said("10", "form", 1), said("50", "enricher", 3), said("10", "form", 2)]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].now.value.as_str(), found[0].earlier.len()),
            ("50", 1),
            "a repetition is no news"
        );
        assert!(found[0].conflicting);
        let grown = facts(vec![said("10", "form", 1), said("12", "form", 2)]);
        assert!(!grown[0].conflicting, "whoever corrects himself contradicts nobody");
        assert_eq!(grown[0].earlier[0].value, "10");
    }
}
