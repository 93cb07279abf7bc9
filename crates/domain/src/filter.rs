//! Which events of the log a reader wants.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::{ActorKind, Body, Fact, StreamKind};
use crate::field::nearest;
use crate::refused::Refused;
use crate::stage::StageKind;

/// All conditions hold together; an empty one lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventFilter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// One stream, by its kind and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<(String, Uuid)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamKind>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<ActorKind>,
    /// Changes to one of these stages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<StageKind>,
    /// Changes from one of these stages. A new lead comes from none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<StageKind>,
}

/// The only kind that has the stages of a lead in it.
pub const STAGE_CHANGED: &str = "STAGE_CHANGED";

impl EventFilter {
    pub fn is_empty(&self) -> bool {
        let EventFilter { kinds, stream, streams, actors, to, from } = self;
        kinds.is_empty()
            && stream.is_none()
            && streams.is_empty()
            && actors.is_empty()
            && to.is_empty()
            && from.is_empty()
    }

    /// Whether stage changes pass and nothing else does.
    pub fn is_of_stages(&self) -> bool {
        match self.kinds.is_empty() {
            true => self.asks_for_stages(),
            false => self.kinds.iter().all(|kind| kind == STAGE_CHANGED),
        }
    }

    /// Whether a stage is named: what is no stage change does not pass then.
    pub fn asks_for_stages(&self) -> bool {
        !self.to.is_empty() || !self.from.is_empty()
    }

    /// Whether the payload must be looked into.
    pub fn asks_for_body(&self) -> bool {
        self.asks_for_stages() || !self.actors.is_empty()
    }

    /// Whether an event passes. `body` is asked for its payload only if need be.
    pub fn passes<'b>(
        &self,
        (kind, stream, id): (&str, &str, Uuid),
        body: impl FnOnce() -> Option<&'b Body>,
    ) -> bool {
        let any = |list: &[String]| list.is_empty() || list.iter().any(|one| one == kind);
        let of = |(of, one): &(String, Uuid)| of == stream && *one == id;
        let whole = any(&self.kinds)
            && self.stream.as_ref().is_none_or(of)
            && (self.streams.is_empty() || self.streams.iter().any(|one| one.as_str() == stream))
            && (!self.asks_for_stages() || kind == STAGE_CHANGED);
        whole && (!self.asks_for_body() || body().is_some_and(|body| self.passes_body(body)))
    }

    fn passes_body(&self, body: &Body) -> bool {
        let actor = self.actors.is_empty() || self.actors.contains(&body.actor.kind);
        actor
            && match &body.fact {
                _ if !self.asks_for_stages() => true,
                Fact::StageChanged { from, to, .. } => {
                    (self.to.is_empty() || self.to.contains(to))
                        && (self.from.is_empty() || from.is_some_and(|from| self.from.contains(&from)))
                }
                _ => false,
            }
    }

    /// A kind that does not exist would be waited for for ever; what is named twice counts once.
    pub fn checked(mut self) -> Result<EventFilter, Refused> {
        let strange = |kind: &String| !Fact::KINDS.contains(&kind.as_str());
        if let Some(place) = self.kinds.iter().position(strange) {
            let kind = &self.kinds[place];
            let shown: String = kind.chars().take(80).collect();
            let near = nearest(kind, Fact::KINDS.iter().map(|kind| (*kind).to_owned()));
            let hint =
                if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) };
            let message =
                format!("no event is of the kind {shown:?}{hint}; schema/events.json lists all kinds");
            return Err(Refused::invalid(&format!("kinds/{place}"), message));
        }
        self.kinds.sort();
        self.kinds.dedup();
        sort(&mut self.streams);
        sort(&mut self.actors);
        sort(&mut self.to);
        sort(&mut self.from);
        Ok(self)
    }
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Actor;
    use crate::stage::Cause;

    fn change(from: Option<StageKind>, to: StageKind) -> Body {
        let fact = Fact::StageChanged {
            from,
            to,
            skipped: vec![],
            asserted: false,
            stage_version: 1,
            evaluation: None,
        };
        Body { actor: Actor::of(ActorKind::Rule), cause: Cause::Evaluation, charter: 0, cycle: Some(1), fact }
    }

    #[test]
    fn all_conditions_hold_together() {
        let (id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let lead = |id| Some(("LEAD".to_owned(), id));
        let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let all = EventFilter::default();
        let cases = [
            (all.clone(), true),
            (EventFilter { kinds: kinds(&[STAGE_CHANGED]), ..all.clone() }, true),
            (EventFilter { kinds: kinds(&["LEAD_CAPTURED"]), ..all.clone() }, false),
            (EventFilter { stream: lead(id), ..all.clone() }, true),
            (EventFilter { stream: lead(other), ..all.clone() }, false),
            (EventFilter { streams: vec![StreamKind::Case, StreamKind::Lead], ..all.clone() }, true),
            (EventFilter { streams: vec![StreamKind::Case], ..all.clone() }, false),
            (EventFilter { actors: vec![ActorKind::Rule], ..all.clone() }, true),
            (EventFilter { actors: vec![ActorKind::User], ..all.clone() }, false),
            (EventFilter { to: vec![StageKind::Mql], ..all.clone() }, true),
            (EventFilter { to: vec![StageKind::Sal], ..all.clone() }, false),
            (EventFilter { from: vec![StageKind::Iql], to: vec![StageKind::Mql], ..all.clone() }, true),
            (EventFilter { from: vec![StageKind::Sal], to: vec![StageKind::Mql], ..all.clone() }, false),
        ];
        let body = change(Some(StageKind::Iql), StageKind::Mql);
        for (filter, expected) in cases {
            assert_eq!(filter.passes((STAGE_CHANGED, "LEAD", id), || Some(&body)), expected, "{filter:?}");
            assert_eq!(filter.is_empty(), filter == all);
            let written = serde_json::to_string(&filter).unwrap();
            assert_eq!(serde_json::from_str::<EventFilter>(&written).unwrap(), filter, "{written}");
        }
        let new = EventFilter { from: vec![StageKind::Iql], ..all };
        let captured = change(None, StageKind::Mql);
        assert!(!new.passes((STAGE_CHANGED, "LEAD", id), || Some(&captured)));
    }

    #[test]
    fn a_kind_that_does_not_exist_is_refused_with_the_nearest() {
        let filter = EventFilter { kinds: vec!["STAGE_CHANGD".into()], ..EventFilter::default() };
        let refused = filter.checked().unwrap_err();
        assert!(refused.message.contains("nearest: STAGE_CHANGED"), "{}", refused.message);
        let twice = EventFilter {
            to: vec![StageKind::Sal, StageKind::Mql, StageKind::Sal],
            ..EventFilter::default()
        };
        assert_eq!(twice.checked().unwrap().to, [StageKind::Mql, StageKind::Sal]);
    }

    /// The library lists the kinds that it could read.
    #[test]
    fn the_list_of_kinds_is_that_of_the_facts() {
        let error = serde_json::from_value::<Fact>(serde_json::json!({"kind": "?"})).unwrap_err().to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, Fact::KINDS, "{error}");
    }
}
