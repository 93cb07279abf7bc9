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
        /// Key of the audience that the campaign which brought the lead was planned for.
        Audience = "AUDIENCE",
        /// How well the lead fits the ideal customer profile of the charter in force that it fits best, by what is known of it now:
        /// IDEAL, GOOD, POOR, OUTSIDE or UNKNOWN.
        Icp = "ICP",
        /// Key of the user who has the lead now.
        Owner = "OWNER",
        /// Key of that user's team.
        Team = "TEAM",
        /// Key of the queue that has the lead now.
        Queue = "QUEUE",
        /// Industry of the company.
        Industry = "INDUSTRY",
        /// Title of the person.
        Title = "TITLE",
        /// What the buyer expected the first meeting of the cycle to be about, as marketing stated it: a MeetingPurpose.
        FirstMeeting = "FIRST_MEETING",
        /// How the first meeting of the cycle went, as sales said: a MeetingOutcome.
        MeetingOutcome = "MEETING_OUTCOME",
        /// How far ahead the deal was expected to close when it was recorded: UP_TO_30_DAYS, UP_TO_90_DAYS, UP_TO_180_DAYS or
        /// LATER.
        Timeframe = "TIMEFRAME",
        /// Who won the deal instead.
        Competitor = "COMPETITOR",
        /// Disposition reason of the cycle's end.
        Reason = "REASON",
        /// How the cycle stands or ended.
        Outcome = "OUTCOME",
        /// The furthest stage that the cycle came to.
        Stage = "STAGE",
        /// Fit and engagement of the newest look together, in points: BELOW_0, FROM_0, FROM_25, FROM_50, FROM_75 or FROM_100.
        ScoreBand = "SCORE_BAND",
        /// Newest value of the trait that is named beside. Personal traits are refused.
        Trait = "TRAIT",
    }
}

/// The band of a score, by its lower end.
pub fn score_band(points: i64) -> &'static str {
    match points {
        ..0 => "BELOW_0",
        0..25 => "FROM_0",
        25..50 => "FROM_25",
        50..75 => "FROM_50",
        75..100 => "FROM_75",
        100.. => "FROM_100",
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
    fn a_score_lies_in_one_band() {
        let cases = [
            (-1, "BELOW_0"),
            (0, "FROM_0"),
            (24, "FROM_0"),
            (25, "FROM_25"),
            (99, "FROM_75"),
            (100, "FROM_100"),
            (2_000, "FROM_100"),
        ];
        for (points, expected) in cases {
            assert_eq!(score_band(points), expected, "{points}");
        }
    }

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
