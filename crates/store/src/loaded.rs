//! Leads with the children that a caller wants: one statement for each kind of child, for any number of leads.

use std::collections::BTreeMap;

use handfast_domain::clock::SlaClock;
use handfast_domain::evaluation::Evaluation;
use handfast_domain::handoff::{Handoff, Packet};
use handfast_domain::lead::Cycle;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::error::Result;
use crate::lead::StoredLead;
use crate::person::{Account, Person, Trait};
use crate::touchpoint::Touchpoint;
use crate::{evaluation, lead, person, touchpoint};

/// Which children to read; a limit of 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    pub person: bool,
    pub account: bool,
    pub touches: i64,
    pub cycles: bool,
    pub clocks: bool,
    pub traits: bool,
    pub handoff: bool,
    pub evaluations: i64,
}

/// A lead with what was read of it. `None` was not asked for.
#[derive(Clone, Debug)]
pub struct LoadedLead {
    pub stored: StoredLead,
    pub person: Option<Person>,
    pub account: Option<Account>,
    pub touches: Option<Vec<Touchpoint>>,
    pub touch_limit: i64,
    pub cycles: Option<Vec<Cycle>>,
    pub clocks: Option<Vec<SlaClock>>,
    pub traits: Option<Vec<Trait>>,
    pub handoff: Option<Option<(Handoff, Option<Packet>)>>,
    pub evaluations: Option<Vec<Evaluation>>,
    pub evaluation_limit: i64,
}

pub async fn load(db: &impl ConnectionTrait, leads: Vec<StoredLead>, want: &Want) -> Result<Vec<LoadedLead>> {
    let ids: Vec<Uuid> = leads.iter().map(|stored| stored.lead.id).collect();
    let some = !ids.is_empty();
    let mut people = BTreeMap::new();
    if want.person && some {
        let keys: Vec<Uuid> = leads.iter().map(|stored| stored.person).collect();
        people.extend(person::people(db, &keys).await?.into_iter().map(|person| (person.id, person)));
    }
    let mut accounts = BTreeMap::new();
    if want.account && some {
        let keys: Vec<Uuid> = leads.iter().filter_map(|stored| stored.lead.account).collect();
        accounts.extend(person::accounts(db, &keys).await?.into_iter().map(|account| (account.id, account)));
    }
    let touches = match want.touches > 0 && some {
        true => {
            grouped(touchpoint::newest(db, &ids, want.touches).await?, |touch| touch.lead.unwrap_or_default())
        }
        false => BTreeMap::new(),
    };
    let cycles = match want.cycles && some {
        true => grouped(lead::cycles(db, &ids).await?, |(lead, _)| *lead),
        false => BTreeMap::new(),
    };
    let clocks = match want.clocks && some {
        true => grouped(lead::clocks(db, &ids).await?, |(lead, _)| *lead),
        false => BTreeMap::new(),
    };
    let traits = match want.traits && some {
        true => grouped(person::traits(db, &ids).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let handoffs = match want.handoff && some {
        true => grouped(lead::handoffs(db, &ids).await?, |(lead, ..)| *lead),
        false => BTreeMap::new(),
    };
    let evaluations = match want.evaluations > 0 && some {
        true => grouped(evaluation::newest(db, &ids, want.evaluations).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let second =
        |list: Option<&Vec<(Uuid, SlaClock)>>| list.map(|l| l.iter().map(|(_, one)| one.clone()).collect());
    let wrap = |stored: StoredLead| {
        let id = stored.lead.id;
        LoadedLead {
            person: people.get(&stored.person).cloned(),
            account: stored.lead.account.and_then(|account| accounts.get(&account).cloned()),
            touches: (want.touches > 0).then(|| touches.get(&id).cloned().unwrap_or_default()),
            touch_limit: want.touches,
            cycles: want.cycles.then(|| {
                cycles
                    .get(&id)
                    .map(|list| list.iter().map(|(_, cycle)| cycle.clone()).collect())
                    .unwrap_or_default()
            }),
            clocks: want.clocks.then(|| second(clocks.get(&id)).unwrap_or_default()),
            traits: want.traits.then(|| traits.get(&id).cloned().unwrap_or_default()),
            handoff: want.handoff.then(|| {
                handoffs
                    .get(&id)
                    .and_then(|list| list.first())
                    .map(|(_, state, packet)| (state.clone(), packet.clone()))
            }),
            evaluations: (want.evaluations > 0).then(|| evaluations.get(&id).cloned().unwrap_or_default()),
            evaluation_limit: want.evaluations,
            stored,
        }
    };
    Ok(leads.into_iter().map(wrap).collect())
}

fn grouped<T>(rows: Vec<T>, lead: impl Fn(&T) -> Uuid) -> BTreeMap<Uuid, Vec<T>> {
    let mut groups: BTreeMap<Uuid, Vec<T>> = BTreeMap::new();
    for row in rows {
        groups.entry(lead(&row)).or_default().push(row);
    }
    groups
}
