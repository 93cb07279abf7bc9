//! Leads with what a caller wants of them: their parents by the statement that reads the leads, and one statement more for
//! each kind of child, for any number of leads.

use std::collections::BTreeMap;

use handfast_domain::clock::SlaClock;
use handfast_domain::context_request::ContextRequest;
use handfast_domain::evaluation::Evaluation;
use handfast_domain::follow_up::FollowUp;
use handfast_domain::handoff::{Handoff, Packet};
use handfast_domain::lead::Cycle;
use handfast_domain::lead_fact::EARLIER;
use handfast_domain::profile::Profile;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, DbErr, Value};
use uuid::Uuid;

use crate::answer::Answer;
use crate::dialect;
use crate::error::Result;
use crate::lead::{LeadRow, StoredLead, Where, list};
use crate::person::{Account, Person, Trait};
use crate::rows::{Cells, Columns, Only, fetch_cells, fetch_cells_one};
use crate::touchpoint::Touchpoint;
use crate::{answer, context_request, evaluation, follow_up, lead, person, profile, touchpoint};

/// What to read of a lead and beside it; a limit of 0 means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Columns of the lead itself.
    pub lead: Only,
    pub person: bool,
    pub account: bool,
    pub touches: i64,
    pub cycles: bool,
    pub clocks: bool,
    pub traits: bool,
    /// With their history and the graded answers.
    pub facts: bool,
    /// Everything that rules could read.
    pub profile: bool,
    pub handoff: bool,
    pub context_requests: bool,
    pub follow_ups: bool,
    pub evaluations: i64,
}

impl Default for Want {
    fn default() -> Want {
        Want {
            lead: Only::ALL,
            person: false,
            account: false,
            touches: 0,
            cycles: false,
            clocks: false,
            traits: false,
            facts: false,
            profile: false,
            handoff: false,
            context_requests: false,
            follow_ups: false,
            evaluations: 0,
        }
    }
}

impl Want {
    /// The columns of a lead with these names, with those that pages and parents need; all if one is not known.
    pub fn lead_columns<'n>(names: impl IntoIterator<Item = &'n str>) -> Only {
        const ALWAYS: [&str; 6] = ["id", "person", "account", "captured_at", "entered_stage_at", "priority"];
        Only::of::<LeadRow>(ALWAYS.into_iter().chain(names))
    }
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
    pub history: Option<Vec<Trait>>,
    pub answers: Option<Vec<Answer>>,
    /// With personal traits, which no rule may read.
    pub profile: Option<Profile>,
    pub handoff: Option<Option<(Handoff, Option<Packet>)>>,
    pub context_requests: Option<Vec<ContextRequest>>,
    pub follow_ups: Option<Vec<FollowUp>>,
    pub evaluations: Option<Vec<Evaluation>>,
    pub evaluation_limit: i64,
}

/// How a page of leads is sorted; each has its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadSort {
    /// Newest capture first.
    Captured,
    /// Within one stage: whoever entered it last first.
    Board,
}

/// What a page of leads is narrowed to; all given conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadFilter {
    pub stages: Vec<StageKind>,
    pub outcomes: Vec<CycleOutcome>,
    pub owner: Option<Uuid>,
    pub queue: Option<String>,
    pub campaign: Option<Uuid>,
    pub source: Option<String>,
    pub persona: Option<String>,
}

/// A page of leads after, or before, a place in the order.
#[derive(Clone, Debug)]
pub struct LeadPage {
    pub sort: LeadSort,
    pub filter: LeadFilter,
    /// (instant, id) of the neighbour of the page.
    pub from: Option<(i64, Uuid)>,
    pub backward: bool,
    pub limit: i64,
}

/// Up to `limit` leads in the page's order; one more than was asked tells whether there are more.
pub async fn page(db: &impl ConnectionTrait, page: &LeadPage, want: &Want) -> Result<Vec<LoadedLead>> {
    let column = match page.sort {
        LeadSort::Captured => "l.captured_at",
        LeadSort::Board => "l.entered_stage_at",
    };
    let mut where_ = Where::new(db);
    let filter = &page.filter;
    where_.texts("l.stage", filter.stages.iter().map(|stage| stage.as_str()));
    where_.texts("l.outcome", filter.outcomes.iter().map(|outcome| outcome.as_str()));
    where_.equals("l.owner", filter.owner);
    where_.equals("l.queue", filter.queue.clone());
    where_.equals("l.campaign", filter.campaign);
    where_.equals("l.source", filter.source.clone());
    where_.equals("l.persona", filter.persona.clone());
    let (rest, values) = where_.page((column, "l.id"), page.from, page.backward, page.limit);
    let mut leads = read(db, want, &rest, values).await?;
    if page.backward {
        leads.reverse();
    }
    children(db, leads, want).await
}

/// Keys of the work queue's order: the instant of a follow-up lies above every priority.
const FIRST_INSTANT: i64 = 1 << 32;

/// Place of a lead in the work queue as of `now`: the due follow-up, else the priority.
pub fn queue_place(stored: &StoredLead, now: Instant) -> (i64, Uuid) {
    let lead = &stored.lead;
    let due = lead.next_follow_up_at().filter(|at| *at <= now && at.ms() > FIRST_INSTANT);
    (due.map_or(i64::from(lead.priority), Instant::ms), lead.id)
}

/// Open leads of an owner, or of a queue: those with a follow-up that is due, the earliest first, then the others, the most
/// important first. Two statements at most.
pub async fn work_queue(
    db: &impl ConnectionTrait,
    owner: Option<Uuid>,
    queue: Option<&str>,
    now: Instant,
    from: Option<(i64, Uuid)>,
    limit: i64,
    want: &Want,
) -> Result<Vec<LoadedLead>> {
    // The place of a lead in this order follows from them.
    let want = &Want { lead: want.lead.and(Want::lead_columns(["follow_ups"])), ..*want };
    let open = || {
        let mut where_ = Where::new(db);
        where_.and("l.outcome = 'OPEN'".to_owned());
        if owner.is_some() {
            where_.and("l.owner IS NOT NULL".to_owned());
        } else {
            where_.and("l.queue IS NOT NULL".to_owned());
        }
        where_.equals("l.owner", owner);
        where_.equals("l.queue", queue.map(str::to_owned));
        where_
    };
    let mut found = vec![];
    let among_due = from.is_none_or(|(key, _)| key > FIRST_INSTANT);
    if among_due {
        let mut where_ = open();
        let (now, first) = (where_.value(now.ms()), where_.value(FIRST_INSTANT));
        where_.and(format!(
            "l.follow_up_at IS NOT NULL AND l.follow_up_at <= {now} AND l.follow_up_at > {first}"
        ));
        if let Some((due, id)) = from {
            let (a, b) = (where_.value(due), where_.value(id));
            where_.and(format!("(l.follow_up_at, l.id) > ({a}, {b})"));
        }
        let limit = where_.value(limit);
        let (conditions, values) = where_.finish();
        let rest = format!("{conditions} ORDER BY l.follow_up_at, l.id LIMIT {limit}");
        found = read(db, want, &rest, values).await?;
    }
    let left = limit - i64::try_from(found.len()).unwrap_or(limit);
    if left > 0 {
        let mut where_ = open();
        let now = where_.value(now.ms());
        where_.and(format!("(l.follow_up_at IS NULL OR l.follow_up_at > {now})"));
        if let Some((priority, id)) = from.filter(|_| !among_due) {
            let (a, b) = (where_.value(priority), where_.value(id));
            where_.and(format!("(l.priority, l.id) < ({a}, {b})"));
        }
        let limit = where_.value(left);
        let (conditions, values) = where_.finish();
        let rest = format!("{conditions} ORDER BY l.priority DESC, l.id DESC LIMIT {limit}");
        found.extend(read(db, want, &rest, values).await?);
    }
    children(db, found, want).await
}

/// One lead by its id.
pub async fn one(db: &impl ConnectionTrait, id: Uuid, want: &Want) -> Result<Option<LoadedLead>> {
    let sql = format!("{} WHERE l.id = $1", select(want));
    let row = fetch_cells_one(db, &sql, vec![id.into()], |cells| found(cells, want)).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(children(db, vec![row.decode(want)?], want).await?.into_iter().next())
}

/// Leads by id, in no particular order; unknown ids are left out.
pub async fn by_id(db: &impl ConnectionTrait, ids: &[Uuid], want: &Want) -> Result<Vec<LoadedLead>> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let rest = format!(" WHERE l.id {}", list(db));
    children(db, read(db, want, &rest, vec![dialect::uuids(ids)]).await?, want).await
}

/// A lead with those of its parents that are wanted.
struct Found {
    stored: StoredLead,
    person: Option<Person>,
    account: Option<Account>,
}

/// The same as it comes from the database.
struct Row(LeadRow, Option<Person>, Option<Account>);

impl Row {
    fn decode(self, want: &Want) -> Result<Found> {
        let Row(lead, person, account) = self;
        Ok(Found { stored: lead.decode_only(want.lead)?, person, account })
    }
}

/// Both parents are joined from the outside, so that the planner starts with the leads whatever it knows of the tables.
fn select(want: &Want) -> String {
    let (mut columns, mut tables) = (LeadRow::list(want.lead), "lead l".to_owned());
    if want.person {
        columns = format!("{columns}, {}", Person::COLUMNS);
        tables.push_str(" LEFT JOIN person p ON p.id = l.person");
    }
    if want.account {
        columns = format!("{columns}, {}", Account::COLUMNS);
        tables.push_str(" LEFT JOIN account a ON a.id = l.account");
    }
    format!("SELECT {columns} FROM {tables}")
}

fn found(cells: &mut Cells<'_>, want: &Want) -> Result<Row, DbErr> {
    let lead = LeadRow::read(cells, want.lead)?;
    let person = if want.person { Person::read_joined(cells, Only::ALL)? } else { None };
    let account = if want.account { Account::read_joined(cells, Only::ALL)? } else { None };
    Ok(Row(lead, person, account))
}

async fn read(db: &impl ConnectionTrait, want: &Want, rest: &str, values: Vec<Value>) -> Result<Vec<Found>> {
    let sql = format!("{}{rest}", select(want));
    let rows = fetch_cells(db, &sql, values, |cells| found(cells, want)).await?;
    rows.into_iter().map(|row| row.decode(want)).collect()
}

/// The same for leads that were read before; a lead may come more than once.
pub async fn load(db: &impl ConnectionTrait, leads: Vec<StoredLead>, want: &Want) -> Result<Vec<LoadedLead>> {
    let order: Vec<Uuid> = leads.iter().map(|stored| stored.lead.id).collect();
    let leads: BTreeMap<Uuid, StoredLead> = order.iter().copied().zip(leads).collect();
    let mut people = BTreeMap::new();
    if want.person && !leads.is_empty() {
        let keys: Vec<Uuid> = leads.values().map(|stored| stored.person).collect();
        people.extend(person::people(db, &keys).await?.into_iter().map(|person| (person.id, person)));
    }
    let mut accounts = BTreeMap::new();
    if want.account && !leads.is_empty() {
        let keys: Vec<Uuid> = leads.values().filter_map(|stored| stored.lead.account).collect();
        accounts.extend(person::accounts(db, &keys).await?.into_iter().map(|account| (account.id, account)));
    }
    let found = |stored: StoredLead| Found {
        person: people.get(&stored.person).cloned(),
        account: stored.lead.account.and_then(|account| accounts.get(&account).cloned()),
        stored,
    };
    let loaded = children(db, leads.into_values().map(found).collect(), want).await?;
    let loaded: BTreeMap<Uuid, LoadedLead> =
        loaded.into_iter().map(|one| (one.stored.lead.id, one)).collect();
    Ok(order.iter().filter_map(|id| loaded.get(id).cloned()).collect())
}

async fn children(db: &impl ConnectionTrait, leads: Vec<Found>, want: &Want) -> Result<Vec<LoadedLead>> {
    let ids: Vec<Uuid> = leads.iter().map(|found| found.stored.lead.id).collect();
    let some = !ids.is_empty();
    let mut touches = match want.touches > 0 && some {
        true => {
            grouped(touchpoint::newest(db, &ids, want.touches).await?, |touch| touch.lead.unwrap_or_default())
        }
        false => BTreeMap::new(),
    };
    let mut cycles = match want.cycles && some {
        true => grouped(lead::cycles(db, &ids).await?, |(lead, _)| *lead),
        false => BTreeMap::new(),
    };
    let mut clocks = match want.clocks && some {
        true => grouped(lead::clocks(db, &ids).await?, |(lead, _)| *lead),
        false => BTreeMap::new(),
    };
    let mut traits = match (want.traits || want.facts) && some {
        true => grouped(person::traits(db, &ids).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let mut history = match want.facts && some {
        true => grouped(person::trait_history(db, &ids, EARLIER).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let mut answers = match want.facts && some {
        true => grouped(answer::of(db, &ids).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let mut profiles = match want.profile && some {
        true => profile::whole(db, &ids).await?,
        false => BTreeMap::new(),
    };
    let mut handoffs = match want.handoff && some {
        true => grouped(lead::handoffs(db, &ids).await?, |(lead, ..)| *lead),
        false => BTreeMap::new(),
    };
    let mut questions = match want.context_requests && some {
        true => grouped(context_request::of(db, &ids).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let mut follow_ups = match want.follow_ups && some {
        true => grouped(follow_up::of(db, &ids).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let mut evaluations = match want.evaluations > 0 && some {
        true => grouped(evaluation::newest(db, &ids, want.evaluations).await?, |one| one.lead),
        false => BTreeMap::new(),
    };
    let wrap = |Found { stored, person, account }: Found| {
        let id = stored.lead.id;
        LoadedLead {
            person,
            account,
            touches: (want.touches > 0).then(|| touches.remove(&id).unwrap_or_default()),
            touch_limit: want.touches,
            cycles: want.cycles.then(|| second(cycles.remove(&id))),
            clocks: want.clocks.then(|| second(clocks.remove(&id))),
            traits: (want.traits || want.facts).then(|| traits.remove(&id).unwrap_or_default()),
            history: want.facts.then(|| history.remove(&id).unwrap_or_default()),
            answers: want.facts.then(|| answers.remove(&id).unwrap_or_default()),
            profile: profiles.remove(&id),
            handoff: want.handoff.then(|| {
                let newest = handoffs.remove(&id).and_then(|list| list.into_iter().next());
                newest.map(|(_, state, packet)| (state, packet))
            }),
            context_requests: want.context_requests.then(|| questions.remove(&id).unwrap_or_default()),
            follow_ups: want.follow_ups.then(|| follow_ups.remove(&id).unwrap_or_default()),
            evaluations: (want.evaluations > 0).then(|| evaluations.remove(&id).unwrap_or_default()),
            evaluation_limit: want.evaluations,
            stored,
        }
    };
    Ok(leads.into_iter().map(wrap).collect())
}

fn second<T>(rows: Option<Vec<(Uuid, T)>>) -> Vec<T> {
    rows.unwrap_or_default().into_iter().map(|(_, row)| row).collect()
}

fn grouped<T>(rows: Vec<T>, lead: impl Fn(&T) -> Uuid) -> BTreeMap<Uuid, Vec<T>> {
    let mut groups: BTreeMap<Uuid, Vec<T>> = BTreeMap::new();
    for row in rows {
        groups.entry(lead(&row)).or_default().push(row);
    }
    groups
}
