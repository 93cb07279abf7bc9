//! The one way in which leads are written: a plan with everything that belongs together, in one transaction, once.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use handfast_domain::change::Change;
use handfast_domain::digest::Digest;
use handfast_domain::event::{Actor, Body, Event, Fact, SetupNoun, StreamKind};
use handfast_domain::grey_case::{GreyCase, Opinion, Precedent};
use handfast_domain::reevaluation::Reevaluation;
use handfast_domain::refused::Refused;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::Cause;
use handfast_domain::time::Instant;
use handfast_store::change::{Conflict, NewLead};
use handfast_store::form::Submission;
use handfast_store::idempotency::{self, IdempotencyKey, Reservation};
use handfast_store::import::{self, ImportProgress};
use handfast_store::person::{Account, ExternalRef, Person, Trait};
use handfast_store::touchpoint::Touchpoint;
use handfast_store::{
    StoreError, Tx, change, grey_case, merge, person, personal, reevaluation, suppression, touchpoint,
};
use serde::Serialize;
use uuid::Uuid;

use super::capture::Intaken;
use super::{Error, Viewer, shadow};
use crate::app::App;

/// What one command writes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub changes: Vec<Change>,
    pub created: Vec<NewLead>,
    pub people: Vec<Person>,
    /// Known people of whom more is known now.
    pub enriched: Vec<Person>,
    pub accounts: Vec<Account>,
    pub refs: Vec<(ExternalRef, Uuid)>,
    pub traits: Vec<Trait>,
    pub touches: Vec<Touchpoint>,
    /// Forms that were sent.
    pub submissions: Vec<Submission>,
    /// Visitors who got a name: their earlier touches join the lead.
    pub adopted: Vec<(String, Uuid)>,
    pub answers: Vec<handfast_store::answer::Answer>,
    /// Facts of other streams.
    pub facts: Vec<Event>,
    /// A grey case that both sides decided, and the precedent that it makes.
    pub resolved: Option<(GreyCase, Option<(Precedent, Snapshot)>)>,
    /// Passes over other leads, which this plan asks for.
    pub reevaluations: Vec<Reevaluation>,
    /// Duplicates and the lead that each of them goes on as.
    pub merged: Vec<(Uuid, Uuid)>,
    /// Who is to be forgotten.
    pub erased: Option<Erased>,
    /// What a side says of a grey case, by the case's id.
    pub opinion: Option<(Uuid, Opinion)>,
    /// How far an import is with this plan.
    pub progress: Option<ImportProgress>,
}

/// Leads of which nothing is to be known any more, and the hashed addresses that are to be left in peace.
#[derive(Clone, Debug)]
pub struct Erased {
    pub leads: Vec<Uuid>,
    pub suppressed: Vec<[u8; 32]>,
    pub reason: String,
    pub at: Instant,
}

/// What a plan that is being written will have changed. Who plans meanwhile cannot read it yet.
#[derive(Debug, Default)]
pub struct Pending {
    pub leads: BTreeSet<Uuid>,
    /// Every identity of a person, row or visitor, in any system: one too many only costs some waiting.
    pub names: BTreeSet<String>,
    pub accounts: BTreeMap<String, Account>,
}

impl Plan {
    pub fn pending(&self) -> Pending {
        let mut pending = Pending::default();
        pending.leads.extend(self.changes.iter().map(|change| change.after.lead.id));
        pending.leads.extend(self.traits.iter().map(|one| one.lead));
        for person in self.people.iter().chain(&self.enriched) {
            pending.names.extend(person.email.iter().chain(&person.phone).cloned());
        }
        pending.names.extend(self.refs.iter().map(|(at, _)| at.id.clone()));
        pending.names.extend(self.adopted.iter().map(|(visitor, _)| visitor.clone()));
        for touch in &self.touches {
            pending.leads.extend(touch.lead);
            pending.names.extend(touch.external.iter().map(|at| at.id.clone()));
        }
        let named = self.accounts.iter().filter_map(|one| Some((one.domain.clone()?, one.clone())));
        pending.accounts.extend(named);
        pending
    }
}

impl Pending {
    /// Whether somebody who came in is, or may be, one whom the pending plan makes or changes.
    pub fn concerns(&self, one: &Intaken) -> bool {
        let person = &one.person;
        let touches = one.touches.iter().filter_map(|touch| touch.external.as_ref());
        let mut names = (person.email.iter().chain(&person.phone).chain(&one.anonymous))
            .chain(one.refs.iter().chain(touches).map(|at| &at.id));
        self.leads.contains(&one.lead) || names.any(|name| self.names.contains(name))
    }
}

/// A request that must have its effect once, however often it is sent.
#[derive(Clone, Debug)]
pub struct Once {
    key: IdempotencyKey,
    input: Digest,
}

impl Once {
    /// `field` is the mutation's name, `input` everything that the request asks for besides the key.
    pub fn new(viewer: &Viewer, field: &str, key: Option<String>, input: &impl Serialize) -> Option<Once> {
        let key = IdempotencyKey { user: viewer.id(), field: field.to_owned(), key: key? };
        Some(Once { key, input: Digest::of("request", 1, input) })
    }

    /// The answer, if the request was carried out before.
    pub async fn answered(once: Option<&Once>, app: &App) -> Result<Option<String>, Error> {
        match once {
            Some(once) => Ok(idempotency::lookup(app.store.read(), &once.key, once.input).await?),
            None => Ok(None),
        }
    }

    /// Takes the key inside a command that writes other things than leads; answers what it was answered before.
    pub async fn reserve(once: Option<&Once>, tx: &Tx, now: Instant) -> Result<Option<String>, StoreError> {
        let Some(once) = once else { return Ok(None) };
        match idempotency::reserve(tx, &once.key, once.input, now).await? {
            Reservation::Answered(answer) => Ok(Some(answer)),
            Reservation::New => Ok(None),
        }
    }

    /// Keeps what a repetition will be told.
    pub async fn keep(once: Option<&Once>, tx: &Tx, answer: &str) -> Result<(), StoreError> {
        match once {
            Some(once) => idempotency::answer(tx, &once.key, answer).await,
            None => Ok(()),
        }
    }
}

/// How a commit ended.
#[derive(Debug)]
pub enum Committed {
    Done,
    /// The same request was carried out meanwhile; this was its answer.
    Before(String),
    /// Somebody else was faster: load again and repeat.
    Overtaken(Conflict),
}

enum Stop {
    Store(StoreError),
    Refused(Refused),
    Overtaken(Conflict),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Store(error)
    }
}

impl App {
    /// Writes the plan, or nothing of it. `answer` is what a repetition of the request will be told.
    pub async fn commit(&self, plan: Plan, once: Option<&Once>, answer: String) -> Result<Committed, Error> {
        let (once, now) = (once.cloned(), self.now());
        let seen = shadow::seen(&self.workspace(), &plan);
        let looks = !plan.reevaluations.is_empty();
        let written = self.store.try_write_beside(move |tx| {
            Box::pin(async move {
                if let Some(once) = &once {
                    match idempotency::reserve(tx, &once.key, once.input, now).await? {
                        Reservation::Answered(answer) => return Ok(Committed::Before(answer)),
                        Reservation::New => {}
                    }
                }
                write(tx, plan).await?;
                if let Some(once) = &once {
                    idempotency::answer(tx, &once.key, &answer).await?;
                }
                Ok(Committed::Done)
            })
        });
        match written.await {
            Ok(committed) => {
                if matches!(committed, Committed::Done) {
                    self.shadows.offer(seen);
                    if looks {
                        self.reevaluations.notify_one();
                    }
                }
                Ok(committed)
            }
            Err(Stop::Overtaken(conflict)) => {
                // Another node may have taken the rule back: whoever tries again must not ask it again.
                if matches!(conflict, Conflict::Rule { .. }) {
                    self.reload().await?;
                }
                Ok(Committed::Overtaken(conflict))
            }
            // Two requests made the same person or account: the second finds the first's now.
            Err(Stop::Store(StoreError::Conflict { constraint: key } | StoreError::Overtaken(key))) => {
                Ok(Committed::Overtaken(Conflict::Pool { key }))
            }
            Err(Stop::Store(error)) => Err(error.into()),
            Err(Stop::Refused(refused)) => Err(refused.into()),
        }
    }
}

/// Who asks for a change, whether it may happen only once, and whether it is only tried.
pub struct Ask<'a> {
    pub viewer: &'a Viewer,
    pub once: Option<Once>,
    /// Decides and writes nothing.
    pub dry_run: bool,
}

/// How a change that is no lead's ended.
pub enum Decided<T> {
    /// What was written, or with a dry run would have been.
    Now(T),
    /// The same request was carried out before; this was its answer.
    Before(String),
}

enum Undo<T> {
    Tried(T),
    Failed(Error),
}

impl<T> From<StoreError> for Undo<T> {
    fn from(error: StoreError) -> Undo<T> {
        Undo::Failed(error.into())
    }
}

impl App {
    /// A change of set-up, charter or campaign: decided inside its own transaction, so that nobody changes meanwhile what
    /// it was decided from. `work` answers the result and what a repetition of the request will be told.
    pub async fn decide<T, F>(&self, once: Option<&Once>, dry_run: bool, work: F) -> Result<Decided<T>, Error>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<(T, String), Error>> + Send + 'static,
        T: Send + 'static,
    {
        let written = self.store.try_write(self.deciding(once, dry_run, work)).await;
        decided(written)
    }

    /// [`App::decide`] for something small that happens often: it is decided from one row, which it locks, and holds up
    /// nobody else.
    pub async fn decide_beside<T, F>(
        &self,
        once: Option<&Once>,
        dry_run: bool,
        work: F,
    ) -> Result<Decided<T>, Error>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<(T, String), Error>> + Send + 'static,
        T: Send + 'static,
    {
        let written = self.store.try_write_beside(self.deciding(once, dry_run, work)).await;
        decided(written)
    }

    fn deciding<T, F>(
        &self,
        once: Option<&Once>,
        dry_run: bool,
        work: F,
    ) -> impl for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<Decided<T>, Undo<T>>> + Send + 'static + use<T, F>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<(T, String), Error>> + Send + 'static,
        T: Send + 'static,
    {
        let (once, now) = (once.filter(|_| !dry_run).cloned(), self.now());
        move |tx: &Tx| {
            Box::pin(async move {
                if let Some(once) = &once
                    && let Reservation::Answered(answer) =
                        idempotency::reserve(tx, &once.key, once.input, now).await?
                {
                    return Ok(Decided::Before(answer));
                }
                let (value, answer) = work(tx).await.map_err(Undo::Failed)?;
                if dry_run {
                    return Err(Undo::Tried(value));
                }
                if let Some(once) = &once {
                    idempotency::answer(tx, &once.key, &answer).await?;
                }
                Ok(Decided::Now(value))
            })
        }
    }
}

fn decided<T>(written: Result<Decided<T>, Undo<T>>) -> Result<Decided<T>, Error> {
    match written {
        Ok(decided) => Ok(decided),
        Err(Undo::Tried(value)) => Ok(Decided::Now(value)),
        Err(Undo::Failed(error)) => Err(error),
    }
}

impl App {
    /// A fact of a set-up stream, at this moment and under the charter in force. The store draws its version.
    pub fn fact(&self, actor: Actor, stream: StreamKind, stream_id: Uuid, fact: Fact) -> Event {
        let (now, charter) = (self.now(), self.workspace().charter.number);
        Event {
            id: self.id(),
            stream,
            stream_id,
            version: 0,
            ordinal: 0,
            occurred_at: now,
            recorded_at: now,
            body: Body { actor, cause: Cause::Setup, charter, cycle: None, fact },
        }
    }
}

impl App {
    /// A part of the set-up changed: other nodes of the workspace take it up from the log.
    pub fn setup_changed(&self, actor: Actor, noun: SetupNoun, id: Uuid) -> Event {
        self.fact(actor, StreamKind::Setup, id, Fact::SetupChanged { noun, id })
    }
}

/// The stream of something that has a key and no UUID of its own: a slot, a charter.
pub fn stream_of(stream: StreamKind, key: &str) -> Uuid {
    let Digest(digest) = Digest::of(&stream.as_str().to_lowercase(), 1, &key);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn write(tx: &Tx, plan: Plan) -> Result<(), Stop> {
    let Plan {
        changes,
        created,
        people,
        enriched,
        accounts,
        refs,
        traits,
        touches,
        submissions,
        adopted,
        answers,
        facts,
        resolved,
        reevaluations,
        merged,
        erased,
        opinion,
        progress,
    } = plan;
    let told = touches.iter().filter_map(|touch| touch.lead).chain(adopted.iter().map(|(_, lead)| *lead));
    let told = told.chain(traits.iter().map(|one| one.lead)).chain(answers.iter().map(|answer| answer.lead));
    change::lock(tx, &changes.iter().map(|change| change.after.lead.id).chain(told).collect()).await?;
    person::upsert_accounts(tx, accounts).await?;
    person::insert_people(tx, people).await?;
    for known in &enriched {
        person::enrich_person(tx, known).await?;
    }
    change::commit(tx, &changes, &created).await?.map_err(Stop::Overtaken)?;
    person::insert_refs(tx, refs).await?;
    person::put_traits(tx, traits).await?;
    handfast_store::answer::put(tx, answers).await?;
    touchpoint::record(tx, &touches).await?;
    handfast_store::form::insert(tx, &submissions).await?;
    for (anonymous_id, lead) in adopted {
        touchpoint::adopt(tx, &anonymous_id, lead).await?;
    }
    if let Some((case, precedent)) = resolved {
        grey_case::put(tx, &case).await?;
        if let Some((precedent, snapshot)) = precedent {
            grey_case::put_precedent(tx, &precedent, &snapshot).await?;
        }
    }
    if let Some((id, opinion)) = opinion {
        grey_case::give(tx, id, opinion).await?.map_err(Stop::Refused)?;
    }
    for (duplicate, lead) in merged {
        merge::join(tx, duplicate, lead).await?;
    }
    if let Some(Erased { leads, suppressed, reason, at }) = erased {
        suppression::put(tx, &suppressed, &reason, at).await?;
        personal::erase(tx, &leads).await?;
    }
    for fact in facts {
        change::append_fact(tx, fact).await?;
    }
    reevaluation::insert(tx, &reevaluations).await?;
    if let Some(progress) = progress {
        import::advance(tx, &progress).await?;
    }
    Ok(())
}
