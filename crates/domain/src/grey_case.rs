//! Grey cases: what a rule could not judge, or judged otherwise than another version. Both sides say what they think; where
//! they agree the case is decided, and becomes a precedent for every later version of the rule.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Party;
use crate::digest::Digest;
use crate::event::GreyTrigger;
use crate::refused::{RefusalCode, Refused};
use crate::stage::Side;
use crate::text::text_enum;
use crate::time::Instant;
use crate::verdict::Outcome;

text_enum! {
    /// Where a grey case stands.
    pub enum GreyState {
        /// Both sides are asked.
        Open = "OPEN",
        /// Both sides agreed.
        Resolved = "RESOLVED",
    }
}

/// What one side thinks of a grey case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opinion {
    /// Who said it.
    pub user: Uuid,
    /// For which side.
    pub side: Side,
    /// What should come out.
    pub outcome: Outcome,
    /// Why.
    pub text: String,
    /// When.
    pub at: Instant,
}

/// How a grey case was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// What comes out.
    pub outcome: Outcome,
    /// Why, for whoever meets the next one of its kind.
    pub rationale: String,
    /// Who wrote it down.
    pub user: Uuid,
    /// When.
    pub at: Instant,
}

/// A lead that both sides look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreyCase {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    /// Key of the rule slot.
    pub slot: String,
    /// The decision that is in question.
    pub decision: Uuid,
    pub trigger: GreyTrigger,
    /// What is unclear.
    pub text: Option<String>,
    pub opened_at: Instant,
    /// The newest one of each side.
    pub opinions: Vec<Opinion>,
    pub resolution: Option<Resolution>,
}

/// Identity of the clock of a case: of one party, or of the case as a whole. It follows from the case, so that whoever keeps
/// the promise needs to know nothing else.
pub fn clock(case: Uuid, party: Option<Party>) -> Uuid {
    let Digest(digest) = Digest::of("grey-clock", 1, &(case, party));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The sides whose agreement decides.
const SIDES: [Side; 2] = [Side::Marketing, Side::Sales];

impl GreyCase {
    pub fn state(&self) -> GreyState {
        if self.resolution.is_some() { GreyState::Resolved } else { GreyState::Open }
    }

    /// Takes the place of what the side said before.
    pub fn give(&mut self, opinion: Opinion) -> Result<(), Refused> {
        self.require_open()?;
        self.opinions.retain(|other| other.side != opinion.side);
        self.opinions.push(opinion);
        Ok(())
    }

    /// Decides it, if both sides said just that.
    pub fn resolve(&mut self, resolution: Resolution) -> Result<(), Refused> {
        self.require_open()?;
        let said = |side: Side| self.opinions.iter().find(|opinion| opinion.side == side);
        let agrees = |side: &Side| said(*side).is_some_and(|opinion| opinion.outcome == resolution.outcome);
        if !SIDES.iter().all(agrees) {
            let text = |side: Side| match said(side) {
                Some(opinion) => format!("{side} says {}", crate::evaluation::outcome_text(opinion.outcome)),
                None => format!("{side} has said nothing"),
            };
            let message = format!(
                "both sides decide a grey case: {}; {}. Change an opinion by giveOpinion",
                text(Side::Marketing),
                text(Side::Sales)
            );
            return Err(Refused::new(RefusalCode::GreyCaseState, message));
        }
        self.resolution = Some(resolution);
        Ok(())
    }

    fn require_open(&self) -> Result<(), Refused> {
        match &self.resolution {
            None => Ok(()),
            Some(resolution) => {
                let outcome = crate::evaluation::outcome_text(resolution.outcome);
                let message = format!("it was decided already: {outcome}");
                Err(Refused::new(RefusalCode::GreyCaseState, message))
            }
        }
    }
}

/// A decided grey case, as every later version of the slot's rule must decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precedent {
    pub id: Uuid,
    pub slot: String,
    /// The grey case that it came from.
    pub case: Uuid,
    pub lead: Uuid,
    /// What the rule took for now.
    pub as_of: Instant,
    /// Number of the charter in force then.
    pub charter: u32,
    /// What must come out.
    pub expected: Outcome,
    pub rationale: String,
    pub created_at: Instant,
}

/// One side's word that a version may contradict a precedent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiver {
    /// Who said it.
    pub user: Uuid,
    /// For which side.
    pub side: Side,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Instant,
}

/// Whether both sides waived.
pub fn is_waived(waivers: &[Waiver]) -> bool {
    SIDES.iter().all(|side| waivers.iter().any(|waiver| waiver.side == *side))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(side: Side, outcome: Outcome) -> Opinion {
        Opinion { user: Uuid::nil(), side, outcome, text: "so".into(), at: Instant(0) }
    }

    #[test]
    fn a_case_is_decided_by_both_sides_and_by_nobody_alone() {
        let mut case = GreyCase {
            id: Uuid::nil(),
            lead: Uuid::nil(),
            cycle: 1,
            slot: "mql".into(),
            decision: Uuid::nil(),
            trigger: GreyTrigger::Review,
            text: None,
            opened_at: Instant(0),
            opinions: vec![],
            resolution: None,
        };
        let decide = |case: &mut GreyCase, outcome| {
            let rationale = "as we said".to_owned();
            case.resolve(Resolution { outcome, rationale, user: Uuid::nil(), at: Instant(1) })
        };
        case.give(opinion(Side::Marketing, Outcome::Advance)).unwrap();
        let alone = decide(&mut case, Outcome::Advance).unwrap_err();
        assert!(
            alone.message.contains("MARKETING says ADVANCE; SALES has said nothing"),
            "{}",
            alone.message
        );
        case.give(opinion(Side::Sales, Outcome::Recycle)).unwrap();
        assert!(decide(&mut case, Outcome::Advance).is_err());
        case.give(opinion(Side::Sales, Outcome::Advance)).unwrap();
        assert_eq!(case.opinions.len(), 2, "a side has one opinion");
        assert!(decide(&mut case, Outcome::Hold).is_err(), "nobody said that");
        decide(&mut case, Outcome::Advance).unwrap();
        assert_eq!(case.state(), GreyState::Resolved);
        assert!(
            case.give(opinion(Side::Sales, Outcome::Hold)).is_err()
                && decide(&mut case, Outcome::Advance).is_err()
        );
    }
}
