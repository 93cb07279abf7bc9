//! What reports are counted by: one closed list for all of them, and groups whose number is bounded.

use std::collections::BTreeSet;

use crate::text::text_enum;

text_enum! {
    /// What a report is counted by. A cycle that says nothing about it is counted under a null key.
    pub enum Dimension {
        /// Lead source as it was captured.
        Source = "SOURCE",
        /// Channel of the capture.
        Channel = "CHANNEL",
        /// Key of the campaign that brought the lead.
        Campaign = "CAMPAIGN",
        /// Key of the persona that matched best at the newest look: the profile type.
        Persona = "PERSONA",
        /// Key of the user who has the lead now.
        Owner = "OWNER",
        /// Industry of the company.
        Industry = "INDUSTRY",
        /// Title of the person.
        Title = "TITLE",
        /// What the buyer expected of the first meeting, as the newest hand-off of the cycle says.
        FirstMeeting = "FIRST_MEETING",
        /// How far ahead the deal was expected to close when it was recorded: UP_TO_30_DAYS, UP_TO_90_DAYS, UP_TO_180_DAYS or
        /// LATER.
        Timeframe = "TIMEFRAME",
        /// Who won the deal instead.
        Competitor = "COMPETITOR",
        /// Disposition reason of the cycle's end.
        Reason = "REASON",
        /// Newest value of the trait that is named beside. Personal traits are refused.
        Trait = "TRAIT",
    }
}

/// Keys that are told apart in one report; those that come later are counted together.
pub const MOST_GROUPS: usize = 1_000;

/// What is counted together: a value for each dimension that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// None where a cycle does not say. Without dimensions there is one group, of no values.
    Values(Vec<Option<String>>),
    /// Keys beyond the limit.
    Others,
}

impl Group {
    pub fn all() -> Group {
        Group::Values(vec![])
    }

    pub fn is_others(&self) -> bool {
        *self == Group::Others
    }

    /// The values in the order of the dimensions; none for the others.
    pub fn values(&self) -> &[Option<String>] {
        match self {
            Group::Values(values) => values,
            Group::Others => &[],
        }
    }

    /// The value of the only dimension.
    pub fn key(&self) -> Option<&str> {
        self.values().first().and_then(Option::as_deref)
    }
}

/// The groups of a report, of which there are never more than [`MOST_GROUPS`].
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeSet<Vec<Option<String>>>);

impl Groups {
    pub fn take(&mut self, values: Vec<Option<String>>) -> Group {
        if !self.0.contains(&values) {
            if self.0.len() >= MOST_GROUPS {
                return Group::Others;
            }
            self.0.insert(values.clone());
        }
        Group::Values(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_last_group_is_counted_with_the_others() {
        let mut groups = Groups::default();
        for number in 0..MOST_GROUPS + 5 {
            let group = groups.take(vec![Some(number.to_string())]);
            assert_eq!(group.is_others(), number >= MOST_GROUPS, "{number}");
        }
        assert_eq!(groups.take(vec![Some("7".into())]).key(), Some("7"), "who was there stays");
        assert!(groups.take(vec![None]).is_others());
    }
}
