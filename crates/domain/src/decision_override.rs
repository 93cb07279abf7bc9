//! Overrides: a person decides one lead otherwise than a rule did. It is scoped to that one decision, counted, and never
//! switches the rule off.

use uuid::Uuid;

use crate::change::{Draft, Record};
use crate::digest::Digest;
use crate::disposition::Disposal;
use crate::evaluation::outcome_text;
use crate::event::Fact;
use crate::refused::{RefusalCode, Refused};
use crate::stage::{CycleOutcome, Side, StageKind};
use crate::time::Instant;
use crate::verdict::Outcome;

/// One decision that a person made in a rule's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionOverride {
    /// The decision that was overridden.
    pub decision: Uuid,
    /// The one that stands in its place.
    pub instead: Uuid,
    pub lead: Uuid,
    /// Key of the rule slot.
    pub slot: String,
    /// The deployment whose decision it was; none of the built-in rule.
    pub deployment: Option<Uuid>,
    /// The version whose decision it was.
    pub version: Digest,
    /// What the rule said; none where it failed.
    pub was: Option<Outcome>,
    /// What the person said.
    pub outcome: Outcome,
    /// Disposition reason of RECYCLE and DISQUALIFY.
    pub disposition: Option<String>,
    /// Why, in the person's words.
    pub reason: String,
    pub user: Uuid,
    pub side: Side,
    pub at: Instant,
}

impl Draft<'_> {
    /// Notes that a person decides in a rule's place. The caller lets the lead go where the gate's votes send it then.
    pub fn override_decision(&mut self, gate: StageKind, told: DecisionOverride) -> Result<(), Refused> {
        self.require_open("override a decision")?;
        let stage = self.journey.lead.stage;
        if stage >= gate {
            let message = format!(
                "the lead stands at {stage} and waits at the gate to {gate} no more; what the rule said there is done with"
            );
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        if told.was == Some(told.outcome) {
            let message = format!("the rule said {} itself; say another outcome", outcome_text(told.outcome));
            return Err(Refused::invalid("input/outcome", message));
        }
        let ends = match told.outcome {
            Outcome::Recycle => Some(CycleOutcome::Recycled),
            Outcome::Disqualify => Some(CycleOutcome::Disqualified),
            Outcome::Advance | Outcome::Hold | Outcome::Review => None,
        };
        match (ends, &told.disposition) {
            (Some(outcome), Some(reason)) => {
                let disposal = Disposal { reason: reason.clone(), ..Disposal::default() };
                self.allowed(outcome, &disposal).map_err(|refused| Refused {
                    path: vec!["input".to_owned(), "disposition".to_owned()],
                    ..refused
                })?;
            }
            (Some(_), None) => {
                let message =
                    format!("{} needs a disposition reason of the charter", outcome_text(told.outcome));
                return Err(Refused::invalid("input/disposition", message));
            }
            (None, Some(_)) => {
                let message = "only RECYCLE and DISQUALIFY have a disposition reason";
                return Err(Refused::invalid("input/disposition", message));
            }
            (None, None) => {}
        }
        self.emit(Fact::DecisionOverridden {
            decision: told.decision,
            instead: told.instead,
            slot: told.slot.clone(),
            deployment: told.deployment,
            version: told.version,
            was: told.was,
            outcome: told.outcome,
            disposition: told.disposition.clone(),
            side: told.side,
        });
        self.records.push(Record::Override(told));
        Ok(())
    }
}
