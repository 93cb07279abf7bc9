//! Goals and projects that both sides answer for: one owner of marketing and one of sales, both needed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::charter::Commitment;
use crate::clock::Party;
use crate::measure::Measure;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// Where something stands that both sides answer for.
    pub enum SharedStatus {
        /// Both work on it.
        Open = "OPEN",
        /// It is reached.
        Done = "DONE",
        /// Both gave it up.
        Dropped = "DROPPED",
    }
}

/// What both sides want to reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedGoal {
    pub id: Uuid,
    pub key: String,
    pub title: String,
    /// Name of a metric, for example `SAL_RATE`; what is not measured by the server may have any name.
    pub metric: String,
    pub target: i64,
    pub window_days: u32,
    pub marketing_owner: Uuid,
    pub sales_owner: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Instant>,
    pub status: SharedStatus,
    pub created_at: Instant,
}

/// What both sides do together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedProject {
    pub id: Uuid,
    pub key: String,
    pub title: String,
    /// The goal that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Uuid>,
    pub marketing_owner: Uuid,
    pub sales_owner: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Instant>,
    pub status: SharedStatus,
    pub created_at: Instant,
}

text_enum! {
    /// Why a goal of one side is a danger for both.
    pub enum GoalConflictKind {
        /// The other side promises nothing of this metric, and no open shared goal is about it.
        NoCounterpart = "NO_COUNTERPART",
        /// The side promises only numbers of things, and nothing about how good they are.
        CountsOnly = "COUNTS_ONLY",
    }
}

/// A goal of one side without a counterpart on the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoalConflict {
    pub kind: GoalConflictKind,
    pub party: Party,
    /// None with COUNTS_ONLY, which is about all goals of the side.
    pub metric: Option<String>,
}

/// Goals of one side that the other one does not share, and sides that promise nothing but numbers.
pub fn conflicts(commitments: &[Commitment], goals: &[SharedGoal]) -> Vec<GoalConflict> {
    let shared =
        |metric: &str| goals.iter().any(|goal| goal.status == SharedStatus::Open && goal.metric == metric);
    let mut found = vec![];
    for party in [Party::Marketing, Party::Sales] {
        let own: Vec<&Commitment> = commitments.iter().filter(|one| one.party == party).collect();
        for one in &own {
            let other = |other: &&Commitment| other.party != party && other.metric == one.metric;
            if !commitments.iter().any(|one| other(&one)) && !shared(&one.metric) {
                let metric = Some(one.metric.clone());
                found.push(GoalConflict { kind: GoalConflictKind::NoCounterpart, party, metric });
            }
        }
        let counts = |one: &&Commitment| Measure::parse(&one.metric).is_some_and(Measure::is_count);
        if !own.is_empty() && own.iter().all(counts) {
            found.push(GoalConflict { kind: GoalConflictKind::CountsOnly, party, metric: None });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Long;

    fn promise(party: Party, metric: &str) -> Commitment {
        Commitment {
            party,
            metric: metric.into(),
            target: Long(1),
            unit: "count".into(),
            window_days: 30,
            weight: 1,
        }
    }

    fn goal(metric: &str, status: SharedStatus) -> SharedGoal {
        SharedGoal {
            id: Uuid::nil(),
            key: "goal".into(),
            title: "Goal".into(),
            metric: metric.into(),
            target: 1,
            window_days: 30,
            marketing_owner: Uuid::nil(),
            sales_owner: Uuid::nil(),
            due_at: None,
            status,
            created_at: Instant(0),
        }
    }

    #[test]
    fn a_goal_of_one_side_alone_is_a_conflict_unless_both_share_it() {
        let all = [
            promise(Party::Marketing, "MQL_PER_MONTH"),
            promise(Party::Marketing, "SAL_RATE"),
            promise(Party::Sales, "SAL_RATE"),
            promise(Party::Sales, "FIRST_TOUCH_IN_TIME"),
        ];
        let alone = |party, metric: &str| GoalConflict {
            kind: GoalConflictKind::NoCounterpart,
            party,
            metric: Some(metric.into()),
        };
        let (marketing, sales) =
            (alone(Party::Marketing, "MQL_PER_MONTH"), alone(Party::Sales, "FIRST_TOUCH_IN_TIME"));
        assert_eq!(conflicts(&all, &[]), [marketing.clone(), sales.clone()]);
        assert_eq!(
            conflicts(&all, &[goal("MQL_PER_MONTH", SharedStatus::Open)]),
            std::slice::from_ref(&sales)
        );
        assert_eq!(conflicts(&all, &[goal("MQL_PER_MONTH", SharedStatus::Dropped)]), [marketing, sales]);
    }

    #[test]
    fn a_side_that_promises_only_numbers_is_named() {
        let all = [promise(Party::Marketing, "MQL_PER_MONTH"), promise(Party::Sales, "MQL_PER_MONTH")];
        let only = |party| GoalConflict { kind: GoalConflictKind::CountsOnly, party, metric: None };
        assert_eq!(conflicts(&all, &[]), [only(Party::Marketing), only(Party::Sales)]);
        let more = [
            all[0].clone(),
            all[1].clone(),
            promise(Party::Sales, "WIN_RATE"),
            promise(Party::Marketing, "WIN_RATE"),
        ];
        assert_eq!(conflicts(&more, &[]), []);
    }
}
