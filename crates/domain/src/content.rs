//! Content: what helps a buyer of a persona at a stage, what is asked for, and what fits a lead best.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::persona::Persona;
use crate::refused::{RefusalCode, Refused};
use crate::stage::StageKind;
use crate::text::text_enum;
use crate::time::Instant;

/// A piece of content. A touch that names its key shows that the lead has seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentAsset {
    pub id: Uuid,
    pub key: String,
    pub title: String,
    /// A key, for example `case-study`; personas name kinds that help at a stage.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Keys of the personas that it is for; empty is for all.
    pub personas: Vec<String>,
    /// Stages at which it helps; empty is at all.
    pub stages: Vec<StageKind>,
    /// Who made it, of either side.
    pub contributors: Vec<Uuid>,
    pub created_at: Instant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Instant>,
}

impl ContentAsset {
    /// Whether it is for buyers of a persona at a stage.
    pub fn serves(&self, persona: &str, stage: StageKind) -> bool {
        let persona = self.personas.is_empty() || self.personas.iter().any(|one| one == persona);
        persona && (self.stages.is_empty() || self.stages.contains(&stage))
    }
}

text_enum! {
    /// Where a request for content stands.
    pub enum ContentRequestStatus {
        /// Nobody has answered it.
        Open = "OPEN",
        /// There is content for it.
        Fulfilled = "FULFILLED",
        /// There will be none, for the reason that was given.
        Declined = "DECLINED",
    }
}

/// What sales asks marketing for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRequest {
    pub id: Uuid,
    pub persona: String,
    pub stage: StageKind,
    /// What buyers object, or want to know.
    pub objection: String,
    pub user: Uuid,
    pub requested_at: Instant,
    pub status: ContentRequestStatus,
    pub content: Option<Uuid>,
    /// Why there will be none.
    pub reason: Option<String>,
    pub closed_by: Option<Uuid>,
    pub closed_at: Option<Instant>,
}

impl ContentRequest {
    /// Fulfilled by content, or declined for a reason.
    pub fn close(&mut self, how: Result<Uuid, String>, user: Uuid, at: Instant) -> Result<(), Refused> {
        if self.status != ContentRequestStatus::Open {
            let message = format!("the request is {} already", self.status);
            return Err(Refused::new(RefusalCode::ContentRequestState, message));
        }
        (self.closed_by, self.closed_at) = (Some(user), Some(at));
        match how {
            Ok(content) => (self.status, self.content) = (ContentRequestStatus::Fulfilled, Some(content)),
            Err(reason) => (self.status, self.reason) = (ContentRequestStatus::Declined, Some(reason)),
        }
        Ok(())
    }
}

text_enum! {
    /// Why a piece of content fits a lead, or fits it less.
    pub enum ContentReason {
        /// It is made for the lead's persona: 35 points.
        Persona = "PERSONA",
        /// It is for every persona: 15 points.
        AnyPersona = "ANY_PERSONA",
        /// It helps at the stage of the lead: 30 points.
        Stage = "STAGE",
        /// It helps at the stage after: 15 points.
        NextStage = "NEXT_STAGE",
        /// It helps at every stage: 15 points.
        AnyStage = "ANY_STAGE",
        /// It is of a kind that the persona wants at this stage: 10 points.
        WantedKind = "WANTED_KIND",
        /// The lead has not seen it: 15 points.
        NotSeen = "NOT_SEEN",
        /// The lead has seen it: no points.
        Seen = "SEEN",
        /// People rated it with more than three stars on average: up to 10 points.
        WellRated = "WELL_RATED",
    }
}

/// What is known of a lead and a piece of content together.
#[derive(Clone, Copy, Debug)]
pub struct Fit<'a> {
    /// The lead's persona, if one matches.
    pub persona: Option<&'a Persona>,
    pub stage: StageKind,
    pub seen: bool,
    /// Mean of its ratings in hundredths of a star.
    pub mean_hundredths: Option<i32>,
}

impl Fit<'_> {
    /// 0 to 100 points with their reasons; none where it is made for other personas, or for other stages.
    pub fn of(&self, asset: &ContentAsset) -> Option<(u32, Vec<ContentReason>)> {
        use ContentReason::{AnyPersona, AnyStage, NextStage, NotSeen, Seen, Stage, WantedKind, WellRated};
        let mut reasons = vec![];
        let mut points = 0;
        let mut give = |reason, worth| {
            reasons.push(reason);
            points += worth;
        };
        match self.persona {
            _ if asset.personas.is_empty() => give(AnyPersona, 15),
            Some(persona) if asset.personas.contains(&persona.key) => give(ContentReason::Persona, 35),
            _ => return None,
        }
        let next = StageKind::ALL.get(self.stage.ordinal() + 1);
        if asset.stages.is_empty() {
            give(AnyStage, 15);
        } else if asset.stages.contains(&self.stage) {
            give(Stage, 30);
        } else if next.is_some_and(|next| asset.stages.contains(next)) {
            give(NextStage, 15);
        } else {
            return None;
        }
        let profiles = self.persona.iter().flat_map(|persona| &persona.stage_profiles);
        let wanted =
            profiles.filter(|profile| profile.stage == self.stage).flat_map(|profile| &profile.content_kinds);
        if wanted.into_iter().any(|kind| *kind == asset.kind) {
            give(WantedKind, 10);
        }
        give(if self.seen { Seen } else { NotSeen }, if self.seen { 0 } else { 15 });
        if let Some(above) = self.mean_hundredths.map(|mean| mean - 300).filter(|above| *above > 0) {
            give(WellRated, u32::try_from(above / 20).unwrap_or(0).min(10));
        }
        Some((points, reasons))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::StageProfile;

    fn asset(personas: &[&str], stages: &[StageKind]) -> ContentAsset {
        ContentAsset {
            id: Uuid::nil(),
            key: "roi".into(),
            title: "What it saves".into(),
            kind: "calculator".into(),
            url: None,
            personas: personas.iter().map(|key| (*key).to_owned()).collect(),
            stages: stages.to_vec(),
            contributors: vec![],
            created_at: Instant(0),
            retired_at: None,
        }
    }

    fn buyer() -> Persona {
        let profile = StageProfile {
            stage: StageKind::Sal,
            questions: vec![],
            channels: vec![],
            content_kinds: vec!["calculator".into()],
        };
        Persona {
            key: "buyer".into(),
            name: "Buyer".into(),
            traits: vec![],
            pains: vec![],
            stage_profiles: vec![profile],
        }
    }

    #[test]
    fn content_for_the_persona_at_the_stage_comes_first() {
        use ContentReason::*;
        let buyer = buyer();
        let fit =
            Fit { persona: Some(&buyer), stage: StageKind::Sal, seen: false, mean_hundredths: Some(500) };
        let best = fit.of(&asset(&["buyer"], &[StageKind::Sal]));
        assert_eq!(best, Some((100, vec![Persona, Stage, WantedKind, NotSeen, WellRated])));
        let seen = Fit { seen: true, mean_hundredths: Some(300), ..fit };
        assert_eq!(
            seen.of(&asset(&["buyer"], &[StageKind::Sql])),
            Some((60, vec![Persona, NextStage, WantedKind, Seen]))
        );
        let unknown = Fit { persona: None, ..fit };
        assert_eq!(unknown.of(&asset(&[], &[])), Some((55, vec![AnyPersona, AnyStage, NotSeen, WellRated])));
    }

    #[test]
    fn content_for_others_is_no_match() {
        let buyer = buyer();
        let fit = Fit { persona: Some(&buyer), stage: StageKind::Sal, seen: false, mean_hundredths: None };
        assert_eq!(fit.of(&asset(&["user"], &[])), None);
        assert_eq!(fit.of(&asset(&["buyer"], &[StageKind::Inquiry, StageKind::Opportunity])), None);
        let nobody = Fit { persona: None, ..fit };
        assert_eq!(nobody.of(&asset(&["buyer"], &[])), None);
    }

    #[test]
    fn a_request_is_answered_once() {
        let mut request = ContentRequest {
            id: Uuid::nil(),
            persona: "buyer".into(),
            stage: StageKind::Sal,
            objection: "too dear".into(),
            user: Uuid::nil(),
            requested_at: Instant(0),
            status: ContentRequestStatus::Open,
            content: None,
            reason: None,
            closed_by: None,
            closed_at: None,
        };
        request.close(Ok(Uuid::from_u128(1)), Uuid::nil(), Instant(1)).unwrap();
        assert_eq!(
            (request.status, request.content),
            (ContentRequestStatus::Fulfilled, Some(Uuid::from_u128(1)))
        );
        let again = request.close(Err("no".into()), Uuid::nil(), Instant(2)).unwrap_err();
        assert_eq!(again.code, RefusalCode::ContentRequestState);
    }
}
