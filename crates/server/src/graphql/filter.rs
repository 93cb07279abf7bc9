//! Which events are asked for, on the way in and out.

use async_graphql::{ID, InputObject, SimpleObject};
use handfast_domain::event::{ActorKind, StreamKind};
use handfast_domain::filter::EventFilter as Filter;
use handfast_domain::refused::Refused;
use handfast_domain::stage::StageKind;

use super::scalar::{global, local};

/// All given conditions hold together.
#[derive(Clone, Debug, Default, InputObject)]
pub struct EventFilterInput {
    /// Only these kinds, for example `STAGE_CHANGED`, `CLOCK_CHANGED`.
    kinds: Option<Vec<String>>,
    /// Only this lead.
    lead: Option<ID>,
    /// Only events of these: leads, charters, rule slots, campaigns …
    streams: Option<Vec<StreamKind>>,
    /// Only what these did: people, rules, clocks, imports.
    actors: Option<Vec<ActorKind>>,
    /// Only stage changes to one of these; nothing else passes then.
    to: Option<Vec<StageKind>>,
    /// Only stage changes from one of these; nothing else passes then. A new lead comes from none.
    from: Option<Vec<StageKind>>,
}

/// All given conditions hold together.
#[derive(Clone, Debug, Default, InputObject)]
pub struct StageChangeFilter {
    /// Only changes to one of these stages.
    to: Option<Vec<StageKind>>,
    /// Only changes from one of these stages. A new lead comes from none.
    from: Option<Vec<StageKind>>,
    /// Only this lead.
    lead: Option<ID>,
    /// Only what these did: people, rules, clocks, imports.
    actors: Option<Vec<ActorKind>>,
}

/// Which events a consumer gets. All conditions hold together; an empty one lets everything pass.
#[derive(Clone, SimpleObject)]
pub struct EventFilter {
    /// Only these kinds.
    kinds: Vec<String>,
    /// Only this lead.
    lead_id: Option<ID>,
    /// Only events of these.
    streams: Vec<StreamKind>,
    /// Only what these did.
    actors: Vec<ActorKind>,
    /// Only stage changes to one of these.
    to: Vec<StageKind>,
    /// Only stage changes from one of these.
    from: Vec<StageKind>,
}

impl EventFilterInput {
    pub fn read(self) -> Result<Filter, Refused> {
        let EventFilterInput { kinds, lead, streams, actors, to, from } = self;
        Ok(Filter {
            kinds: kinds.unwrap_or_default(),
            stream: stream(lead)?,
            streams: streams.unwrap_or_default(),
            actors: actors.unwrap_or_default(),
            to: to.unwrap_or_default(),
            from: from.unwrap_or_default(),
        })
    }
}

impl StageChangeFilter {
    pub fn read(self) -> Result<Filter, Refused> {
        let StageChangeFilter { to, from, lead, actors } = self;
        EventFilterInput { to, from, lead, actors, ..EventFilterInput::default() }.read()
    }
}

impl EventFilter {
    pub fn wrap(filter: Filter) -> EventFilter {
        let Filter { kinds, stream, streams, actors, to, from } = filter;
        let lead_id = stream.map(|(_, id)| global("Lead", id));
        EventFilter { kinds, lead_id, streams, actors, to, from }
    }
}

fn stream(lead: Option<ID>) -> Result<Option<(String, uuid::Uuid)>, Refused> {
    let lead = lead.map(|id| local("Lead", &id, "filter/lead")).transpose()?;
    Ok(lead.map(|id| (StreamKind::Lead.as_str().to_owned(), id)))
}
