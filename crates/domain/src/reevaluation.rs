//! Looking again at the leads that wait before a gate. Most of them have not changed: a lead is judged again only when something
//! changed that its rules read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::charter::CharterBody;
use crate::digest::Digest;
use crate::evaluation::{Decision, Evaluation};
use crate::run::RunStatus;
use crate::snapshot::Snapshot;
use crate::stage::StageKind;
use crate::text::text_enum;
use crate::time::Instant;
use crate::verdict::Status;

text_enum! {
    /// Why leads are looked at again.
    pub enum ReevaluationCause {
        /// A person asked for it.
        Person = "PERSON",
        /// More is known of a company, and its other leads are read with it.
        Account = "ACCOUNT",
    }
}

/// Which leads are looked at. All given conditions hold together; only open leads below MQL are waiting for a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waiting {
    /// Those below this gate; the gate to MQL without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<StageKind>,
    /// Those of one company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
}

/// What became of the leads so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Looked {
    /// Leads that were looked at.
    pub leads: i64,
    /// Of them, those that were left alone: nothing changed that their rules read.
    pub unchanged: i64,
    /// Those that were judged.
    pub judged: i64,
    /// Of the judged ones, those whose stage or outcome changed by it.
    pub moved: i64,
}

impl Looked {
    #[must_use]
    pub fn plus(self, more: Looked) -> Looked {
        Looked {
            leads: self.leads + more.leads,
            unchanged: self.unchanged + more.unchanged,
            judged: self.judged + more.judged,
            moved: self.moved + more.moved,
        }
    }
}

/// One pass over the leads that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reevaluation {
    pub id: Uuid,
    pub cause: ReevaluationCause,
    pub waiting: Waiting,
    /// Judges also those of which nothing changed.
    pub everything: bool,
    pub status: RunStatus,
    /// Leads up to this id are done.
    pub after: Uuid,
    pub looked: Looked,
    /// Leads in all, as counted when it began.
    pub total: i64,
    pub message: Option<String>,
    /// None where no person asked for it.
    pub started_by: Option<Uuid>,
    pub started_at: Instant,
    pub finished_at: Option<Instant>,
}

/// The rule that would answer for a lead in a slot now, and what it declared to read.
pub struct Answering<'a> {
    pub version: Digest,
    pub settings: Digest,
    pub reads: Vec<&'a str>,
}

/// What the host itself reads of every lead, whatever the rules declare.
const ALWAYS: [&str; 4] = ["lead.stage", "lead.cycle", "persona.key", "intent.high"];

/// Whether another look would find what the last one found: the same charter, the same rules with the same settings, none of which
/// failed, and nothing different that they or the criteria of their gates read. What passing time alone changes is no matter of
/// this: for that a rule names a date, and the charter a longest wait.
pub fn stands<'a>(
    last: &Evaluation,
    body: &CharterBody,
    (before, now): (&Snapshot, &Snapshot),
    answering: impl Fn(&Decision) -> Option<Answering<'a>>,
) -> bool {
    if (before.charter, before.catalogue) != (now.charter, now.catalogue) || last.charter != now.charter {
        return false;
    }
    let mut read: BTreeSet<&str> = ALWAYS.into_iter().collect();
    for gate in &last.gates {
        let criteria = body.stage(gate.gate).into_iter().flat_map(|stage| &stage.entry);
        read.extend(criteria.filter_map(|criterion| criterion.test.as_ref()).map(|test| test.field.as_str()));
    }
    for decision in last.decisions.iter().filter(|decision| decision.counts()) {
        match answering(decision) {
            Some(Answering { version, settings, reads })
                if decision.status == Status::Ok
                    && (version, settings) == (decision.version, decision.settings) =>
            {
                read.extend(reads);
            }
            _ => return false,
        }
    }
    read.into_iter().all(|path| before.get(path) == now.get(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::criterion::{Comparator, Criterion, FieldTest};
    use crate::deployment::DeploymentMode;
    use crate::evaluation::{Composition, GateResult};
    use crate::field::Value;
    use crate::stage::Cause;
    use crate::verdict::Outcome;

    fn digest(text: &str) -> Digest {
        Digest::of("test", 1, &text)
    }

    fn snapshot(fields: &[(&str, i64)]) -> Snapshot {
        let fields: BTreeMap<String, Value> =
            fields.iter().map(|(path, value)| ((*path).to_owned(), Value::Integer(*value))).collect();
        Snapshot { catalogue: 1, lead: Uuid::nil(), salt: String::new(), charter: 3, fields, pool: None }
    }

    fn decision(status: Status, mode: DeploymentMode) -> Decision {
        Decision {
            id: Uuid::nil(),
            slot: "fit".into(),
            gate: Some(StageKind::Mql),
            deployment: None,
            version: digest("rule"),
            settings: digest("settings"),
            snapshot: digest("snapshot"),
            input: digest("input"),
            output: None,
            mode,
            status,
            outcome: Some(Outcome::Hold),
            text: None,
            target: None,
            fit: 0,
            engagement: 0,
            confidence: 0,
            reasons: vec![],
            missing: vec![],
            review_at: None,
            fuel: 0,
            batch_size: 1,
            engine: String::new(),
            message: None,
        }
    }

    #[test]
    fn a_lead_is_left_alone_only_while_nothing_that_was_read_is_different() {
        use DeploymentMode::{Canary, Live, Shadow};
        let mut body = CharterBody::unsigned("EUR", "UTC");
        let gate = body.stages.iter_mut().find(|stage| stage.kind == StageKind::Mql).expect("a gate to MQL");
        gate.entry = vec![Criterion {
            key: "size".into(),
            text: "At least 50 people".into(),
            test: Some(FieldTest::new("company.employees", Comparator::Gte, &["50"])),
            reason_code: None,
            required: true,
        }];
        let before = [("company.employees", 40), ("engagement.total", 2), ("lead.cycle", 1)];
        let with = |path, value| {
            let mut fields: Vec<(&str, i64)> =
                before.into_iter().filter(|(known, _)| *known != path).collect();
            fields.push((path, value));
            snapshot(&fields)
        };
        let rule = |version: &str, settings: &str| (digest(version), digest(settings));
        let same = rule("rule", "settings");
        let other_charter = Snapshot { charter: 4, ..snapshot(&before) };
        let cases = [
            ("nothing changed", vec![decision(Status::Ok, Live)], snapshot(&before), same, true),
            ("an undeclared field", vec![decision(Status::Ok, Live)], with("company.revenue", 5), same, true),
            ("a declared field", vec![decision(Status::Ok, Live)], with("engagement.total", 3), same, false),
            ("a field that came", vec![decision(Status::Ok, Live)], with("traits.seats", 3), same, false),
            ("a criterion's", vec![decision(Status::Ok, Live)], with("company.employees", 60), same, false),
            ("the cycle", vec![decision(Status::Ok, Live)], with("lead.cycle", 2), same, false),
            ("the charter", vec![decision(Status::Ok, Live)], other_charter, same, false),
            (
                "the rule",
                vec![decision(Status::Ok, Live)],
                snapshot(&before),
                rule("next", "settings"),
                false,
            ),
            (
                "its settings",
                vec![decision(Status::Ok, Live)],
                snapshot(&before),
                rule("rule", "next"),
                false,
            ),
            ("it had failed", vec![decision(Status::Trapped, Live)], snapshot(&before), same, false),
            (
                "a shadow had failed",
                vec![decision(Status::Ok, Live), decision(Status::Trapped, Shadow)],
                snapshot(&before),
                same,
                true,
            ),
            (
                "a canary had failed, and what is live answered",
                vec![decision(Status::Trapped, Canary), decision(Status::Ok, Live)],
                snapshot(&before),
                same,
                true,
            ),
        ];
        for (what, decisions, now, (version, settings), expected) in cases {
            let last = Evaluation {
                id: Uuid::nil(),
                lead: Uuid::nil(),
                cycle: 1,
                as_of: Instant(0),
                charter: 3,
                snapshot: digest("snapshot"),
                cause: Cause::Evaluation,
                gates: vec![GateResult {
                    gate: StageKind::Mql,
                    composition: Composition::All,
                    result: Outcome::Hold,
                    criteria: vec![],
                    missing: vec![],
                }],
                decisions,
            };
            let reads = vec!["engagement.total", "traits.seats"];
            let answering = |_: &Decision| Some(Answering { version, settings, reads: reads.clone() });
            assert_eq!(stands(&last, &body, (&snapshot(&before), &now), answering), expected, "{what}");
        }
    }
}
