//! A run's acts, some hundreds at a time: read, judged as of then, written in one transaction with the run's progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handfast_domain::change::{Draft, Scene};
use handfast_domain::digest::Digest;
use handfast_domain::disposition::Disposal;
use handfast_domain::lead::Journey;
use handfast_domain::lead_fact::FactOrigin;
use handfast_domain::qualify::Capture as NewCapture;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Cause, CycleOutcome, StageKind};
use handfast_domain::time::{DAY, Instant};
use handfast_store::import::{self as store, Counts, ImportProgress, ImportRun, RowResult};
use handfast_store::person::{ExternalRef, Trait, identities};
use uuid::Uuid;

use super::acts::{Act, Acts, Kind, Reading};
use super::mapping::{CellProblem, Ended};
use super::rows::{Row, Rows};
use super::{IMPORT, blocking};
use crate::app::App;
use crate::flows::capture::{self, Intake};
use crate::flows::commit::{Committed, Pending, Plan};
use crate::flows::{Error, lead};
use crate::workspace::Workspace;

/// Acts in one transaction: large enough to share its costs, small enough that other writers need not wait long.
const BATCH: usize = 250;
/// How often a batch starts over when somebody changed its leads meanwhile.
const ATTEMPTS: usize = 20;

/// Does what is left of a run, and answers whether it did all of it. While a batch is written, the next one is read and judged, if it speaks of nobody whom
/// the first one changes.
pub async fn all(app: &App, mut run: ImportRun, reading: Reading, acts: Acts) -> Result<bool, Error> {
    let (path, delimiter) = (app.store.blobs().file(run.digest).await?, reading.mapping.delimiter);
    let opened = blocking(move || Rows::open(&path, delimiter)).await?;
    let file = Some(opened.map_err(Error::fault)?);
    let mut importer = Importer { app, reading, acts, file, tried: Tried::default() };
    if run.dry_run {
        return importer.try_all(run).await;
    }
    let total = importer.acts.acts.len() as i64;
    let (mut ahead, mut overtaken) = (None, 0);
    while run.next < total {
        let batch = match ahead.take() {
            Some(batch) => batch,
            None => importer
                .batch(&run, &Pending::default())
                .await?
                .ok_or_else(|| Error::fault("a batch waits for another one, and none is being written"))?,
        };
        let Batch { mut plan, next, counts, results, tried: _ } = batch;
        let pending = plan.pending();
        let progress = ImportProgress { run: run.id, from: run.next, next, counts, results };
        plan.progress = Some(progress);
        let then = ImportRun { next, counts, ..run.clone() };
        let following = async {
            // Routing looks at what the leads before left in the pools.
            if next >= total || importer.acts.acts[next as usize].at >= run.live_from {
                return None;
            }
            // What goes wrong here is met again, and reported, when it is this batch's turn.
            importer.batch(&then, &pending).await.ok().flatten()
        };
        let (written, judged) = tokio::join!(app.commit(plan, None, String::new()), following);
        match written {
            Ok(Committed::Overtaken(with)) => {
                tracing::debug!(?with, "an import repeats a batch");
                overtaken += 1;
                if overtaken == ATTEMPTS {
                    return Err(Error::fault(CHANGED_BY_OTHERS));
                }
            }
            Ok(_) => (run, ahead, overtaken) = (then, judged, 0),
            Err(error) if is_gone(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

const CHANGED_BY_OTHERS: &str =
    "the leads of a batch were changed by others again and again; start the import again";

/// The run was cancelled meanwhile, or another node is further with it.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Refused(why) if why.iter().any(|one| one.code == RefusalCode::NotFound))
}

fn unreadable() -> CellProblem {
    CellProblem::new(None, None, "the row cannot be read")
}

/// The acts at the beginning that are all past, or all live.
fn same_time(acts: &[Act], live_from: Instant) -> &[Act] {
    let live = |act: &Act| act.at >= live_from;
    let first = acts.first().is_some_and(live);
    let end = acts.iter().position(|act| live(act) != first).unwrap_or(acts.len());
    &acts[..end]
}

/// The acts before the first one whose row told something before: what else a row says of its lead waits until the lead is
/// written. The plan would find that out, too, but after it judged all of them.
fn once_each(acts: &[Act]) -> &[Act] {
    let mut seen = BTreeSet::new();
    let again = acts.iter().position(|act| !seen.insert(act.place.byte));
    &acts[..again.unwrap_or(acts.len())]
}

/// What a dry run would have written: its later rows may speak of leads that its earlier ones would have made.
#[derive(Default)]
struct Tried {
    /// The lead by each of its identities.
    leads: BTreeMap<String, Uuid>,
    /// Leads as they would stand now.
    journeys: BTreeMap<Uuid, Journey>,
    /// Rows that would be there, by their ids.
    rows: BTreeSet<String>,
}

impl Tried {
    fn add(&mut self, more: Tried) {
        let Tried { leads, journeys, rows } = more;
        self.leads.extend(leads);
        self.journeys.extend(journeys);
        self.rows.extend(rows);
    }
}

/// Everything that a run works with.
struct Importer<'a> {
    app: &'a App,
    reading: Reading,
    acts: Acts,
    /// Gone while a thread reads from it.
    file: Option<Rows>,
    tried: Tried,
}

/// A batch that was judged and is not written yet.
struct Batch {
    plan: Plan,
    /// The act that comes after it, and the counts up to there.
    next: i64,
    counts: Counts,
    results: Vec<RowResult>,
    tried: Tried,
}

impl Importer<'_> {
    /// Judges the next acts, or as many of them as can be written together. Answers nothing when they must wait until
    /// `pending` is written.
    async fn batch(&mut self, run: &ImportRun, pending: &Pending) -> Result<Option<Batch>, Error> {
        let (app, rows) = (self.app, self.read(run).await?);
        let mut workspace = app.workspace();
        if run.dry_run {
            // A real run would have defined the mapping's traits.
            let mut with_traits = Workspace::clone(&workspace);
            with_traits.traits.extend(super::new_traits(app, &self.reading.mapping)?);
            workspace = Arc::new(with_traits);
        }
        let mut take = rows.len();
        loop {
            let (report, now) = (Report::default(), Tried::default());
            let (reading, tried) = (&self.reading, &self.tried);
            let mut work = Work { app, run, reading, workspace: &workspace, report, tried, now, pending };
            let plan = match work.plan(&self.acts, &rows[..take]).await? {
                Planned::Done(plan) => *plan,
                // At least one act less each time.
                Planned::Cut(place) => {
                    take = place;
                    continue;
                }
                Planned::Wait => return Ok(None),
            };
            let Work { report: Report { counts, results }, now, .. } = work;
            let (next, counts) = (run.next + take as i64, run.counts.plus(counts));
            return Ok(Some(Batch { plan, next, counts, results, tried: now }));
        }
    }

    /// The next acts with their rows.
    async fn read(&mut self, run: &ImportRun) -> Result<Vec<(Act, Result<Row, CellProblem>)>, Error> {
        let acts = &self.acts.acts;
        let next = usize::try_from(run.next).unwrap_or(usize::MAX).min(acts.len());
        let slice = once_each(same_time(&acts[next..acts.len().min(next + BATCH)], run.live_from)).to_vec();
        let mut file = self.file.take().ok_or_else(|| Error::fault("the file is being read already"))?;
        let (rows, back) = blocking(move || {
            let read = |act: &Act| match act.kind {
                Kind::Bad if file.at(act.place).is_err() => Ok((*act, Err(unreadable()))),
                _ => Ok((*act, file.at(act.place)?)),
            };
            let rows: Result<Vec<_>, String> = slice.iter().map(read).collect();
            (rows, file)
        })
        .await?;
        self.file = Some(back);
        let mut rows: Vec<(Act, Result<Row, CellProblem>)> = rows.map_err(Error::fault)?;
        for (act, row) in &mut rows {
            if let Some(problem) = self.acts.unreadable.get(&act.place.byte) {
                *row = Err(problem.clone());
            }
        }
        Ok(rows)
    }

    /// Judges everything and writes nothing but the results.
    async fn try_all(&mut self, mut run: ImportRun) -> Result<bool, Error> {
        // What a dry run would have written stands nowhere: after a restart its first part is tried once more.
        let done = std::mem::take(&mut run.next);
        while run.next < self.acts.acts.len() as i64 {
            let Some(batch) = self.batch(&run, &Pending::default()).await? else {
                return Err(Error::fault("a trial waits for what nobody writes"));
            };
            let Batch { next, counts, results, tried, plan: _ } = batch;
            self.tried.add(tried);
            if next > done {
                // Only what was not told before the restart is told and counted.
                let from = run.next.max(done);
                let progress = ImportProgress { run: run.id, from, next, counts, results };
                let plan = Plan { progress: Some(progress), ..Plan::default() };
                match self.app.commit(plan, None, String::new()).await {
                    Ok(_) => run.counts = counts,
                    Err(error) if is_gone(&error) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            run.next = next;
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Report {
    counts: Counts,
    results: Vec<RowResult>,
}

struct Work<'a> {
    app: &'a App,
    run: &'a ImportRun,
    reading: &'a Reading,
    workspace: &'a Workspace,
    report: Report,
    /// By the batches before.
    tried: &'a Tried,
    /// By this one.
    now: Tried,
    /// What the batch before is still writing.
    pending: &'a Pending,
}

/// A row whose lead is to be told more.
struct Follow<'r> {
    place: usize,
    act: Act,
    row: &'r Row,
    ended: Option<Ended>,
    lead: Option<Uuid>,
    who: String,
}

/// What became of planning; `Done` holds what is to be written.
enum Planned<T> {
    Done(T),
    /// The act at this place must wait for an earlier one.
    Cut(usize),
    /// All of them must wait for the batch that is being written.
    Wait,
}

/// The plan, and the captured leads with their places among the acts.
type Captures = (Box<Plan>, Vec<(usize, Uuid)>);

/// A row whose lead is captured, or met again.
struct Taken<'r> {
    place: usize,
    act: Act,
    row: &'r Row,
    intake: Intake,
}

impl Work<'_> {
    /// The plan for these acts, unless one of them tells of a lead that an earlier one changes.
    async fn plan(
        &mut self,
        acts: &Acts,
        rows: &[(Act, Result<Row, CellProblem>)],
    ) -> Result<Planned<Box<Plan>>, Error> {
        let mut taken: Vec<Taken<'_>> = vec![];
        let mut follows: Vec<Follow<'_>> = vec![];
        for (place, (act, row)) in rows.iter().enumerate() {
            let row = match row {
                Ok(row) => row,
                Err(problem) => {
                    self.refuse(*act, problem.clone());
                    continue;
                }
            };
            match act.kind {
                Kind::Bad => self.refuse_bad(*act, row),
                Kind::Capture => match self.intake(acts, *act, row) {
                    Ok(intake) => taken.push(Taken { place, act: *act, row, intake }),
                    Err(problem) => self.refuse(*act, problem),
                },
                Kind::Follow => match self.follow(place, *act, row) {
                    Ok(follow) => follows.push(follow),
                    Err(problem) => self.refuse(*act, problem),
                },
            }
        }
        self.find(&mut follows).await?;
        if follows.iter().any(|follow| self.waits(follow)) {
            return Ok(Planned::Wait);
        }
        let (mut plan, captured) = match self.capture(taken).await? {
            Planned::Done(done) => done,
            Planned::Cut(place) => return Ok(Planned::Cut(place)),
            Planned::Wait => return Ok(Planned::Wait),
        };
        let mut told: Vec<(usize, Option<Uuid>)> =
            captured.into_iter().map(|(place, lead)| (place, Some(lead))).collect();
        told.extend(follows.iter().map(|follow| (follow.place, follow.lead)));
        if let Some(place) = self.cut(told) {
            return Ok(Planned::Cut(place));
        }
        self.tell(&mut plan, follows).await?;
        Ok(Planned::Done(plan))
    }

    /// Whether the row tells of a lead that the batch before makes or changes.
    fn waits(&self, follow: &Follow<'_>) -> bool {
        let changes = |lead| self.pending.leads.contains(&lead);
        follow.lead.is_some_and(changes) || self.pending.names.contains(&follow.who)
    }

    /// Where the acts must be cut so that each lead is changed once; an unknown lead may be one that an earlier act makes.
    fn cut(&self, mut told: Vec<(usize, Option<Uuid>)>) -> Option<usize> {
        told.sort_by_key(|(place, _)| *place);
        let (mut seen, mut before) = (BTreeSet::new(), false);
        for (place, lead) in told {
            let again = match lead {
                Some(lead) => !seen.insert(lead),
                None => before,
            };
            if again {
                return Some(place);
            }
            before = true;
        }
        None
    }

    /// A capture, with the id under which the same row is recognised when the file comes again.
    fn intake(&self, acts: &Acts, act: Act, row: &Row) -> Result<Intake, CellProblem> {
        let Reading { mapping, zone, currency, .. } = self.reading;
        let mut intake = mapping.intake(row, act.at, *zone, currency)?;
        intake.stage = mapping.asserted_stage(row)?;
        intake.owner = mapping.owner_of(row)?;
        let id = intake.external.as_ref().map(|(_, id)| id.clone());
        let id = match id {
            id if mapping.touches => {
                let who = (id, &intake.email, &intake.phone);
                let what = (intake.channel, &intake.source, &intake.campaign, &intake.content);
                Digest::of("import-touch", 1, &(who, act.at.ms(), what)).to_string()
            }
            Some(id) => id,
            None => Digest::of("import-row", 1, &(&intake.email, &intake.phone, act.at.ms())).to_string(),
        };
        intake.touch = Some((mapping.system.clone(), id));
        // The run has made them; a dry run would have.
        if self.run.dry_run && intake.campaign.as_ref().is_some_and(|key| acts.campaigns.contains_key(key)) {
            intake.campaign = None;
        }
        Ok(intake)
    }

    fn follow<'r>(&self, place: usize, act: Act, row: &'r Row) -> Result<Follow<'r>, CellProblem> {
        let Reading { mapping, zone, currency, .. } = self.reading;
        let ended = mapping.ended(row, *zone, currency)?;
        let who = match mapping.id_of(row)? {
            Some(id) => id,
            None => {
                let cells = mapping.lead.as_ref().map(|lead| (&lead.email, &lead.phone));
                let (email, phone) = cells.unwrap_or((&None, &None));
                let text = |cell: &Option<_>| {
                    cell.as_ref().map_or(Ok(None), |cell: &super::mapping::Cell| cell.text(row))
                };
                let email = text(email)?.and_then(|text| capture::normal_email(&text).ok());
                let phone = text(phone)?.and_then(|text| capture::normal_phone(&text).ok());
                let none = || CellProblem::new(None, None, "the row does not say which lead it is about");
                email.or(phone).ok_or_else(none)?
            }
        };
        Ok(Follow { place, act, row, ended, lead: None, who })
    }

    /// Finds the leads that rows tell more about, in one statement for each kind of identity.
    async fn find(&self, follows: &mut [Follow<'_>]) -> Result<(), Error> {
        if follows.is_empty() {
            return Ok(());
        }
        let system = &self.reading.mapping.system;
        let at = |who: &str| ExternalRef { system: system.clone(), id: who.to_owned() };
        let whom: Vec<String> = follows.iter().map(|follow| follow.who.clone()).collect();
        let by_id = self.reading.mapping.id.is_some();
        let (mails, phones): (Vec<_>, Vec<_>) = whom.iter().cloned().partition(|who| who.contains('@'));
        let refs: Vec<ExternalRef> = whom.iter().map(|who| at(who)).collect();
        let db = self.app.store.read();
        let found = match by_id {
            true => identities(db, &[], &[], &refs).await?,
            false => identities(db, &mails, &phones, &[]).await?,
        };
        for follow in follows {
            let lead = found.refs.get(&at(&follow.who));
            let lead =
                lead.or_else(|| found.emails.get(&follow.who)).or_else(|| found.phones.get(&follow.who));
            follow.lead = lead.or_else(|| self.tried.leads.get(&follow.who)).copied();
        }
        Ok(())
    }

    /// Captures the rows that were not imported before, and answers their places and leads.
    async fn capture(&mut self, taken: Vec<Taken<'_>>) -> Result<Planned<Captures>, Error> {
        let ids: Vec<String> =
            taken.iter().filter_map(|one| Some(one.intake.touch.as_ref()?.1.clone())).collect();
        let seen = store::seen(self.app.store.read(), &self.reading.mapping.system, &ids).await?;
        let mut new = vec![];
        for one in taken {
            let id = one.intake.touch.as_ref().map(|(_, id)| id.clone()).unwrap_or_default();
            let lead = seen.get(&id).copied();
            if lead.is_some() || self.tried.rows.contains(&id) {
                self.report.counts.unchanged += 1;
                self.result(one.act, "UNCHANGED", lead, None);
            } else {
                new.push(one);
            }
        }
        if new.is_empty() {
            return Ok(Planned::Done((Box::default(), vec![])));
        }
        let live = new.first().is_some_and(|one| one.act.at >= self.run.live_from);
        let scene = lead::scene(self.app, self.workspace, IMPORT, Cause::Import, None);
        let scene = Scene { live, ..scene };
        let intakes: Vec<Intake> = new.iter().map(|one| one.intake.clone()).collect();
        let prepared =
            capture::prepare(self.app, self.workspace, &intakes, scene.now, &self.pending.accounts).await?;
        if prepared.people.iter().any(|one| self.pending.concerns(one)) {
            return Ok(Planned::Wait);
        }
        let lead_of = |result: &Result<capture::Place, Refused>| {
            result.as_ref().ok().map(|place| prepared.people[place.0].lead)
        };
        let places: Vec<(usize, Option<Uuid>)> =
            new.iter().zip(&prepared.results).map(|(one, result)| (one.place, lead_of(result))).collect();
        let known = places.iter().filter_map(|(place, lead)| Some((*place, Some((*lead)?)))).collect();
        // Two rows of one person are two moments: what the later one says must not be known at the earlier one.
        if let Some(place) = self.cut(known) {
            return Ok(Planned::Cut(place));
        }
        let places = places.into_iter().filter_map(|(place, lead)| Some((place, lead?))).collect();
        if self.run.dry_run {
            self.try_captures(&new, &prepared);
            return Ok(Planned::Done((Box::default(), places)));
        }
        let (plan, results) = capture::plan(self.app, self.workspace, scene, prepared).await?;
        for (one, result) in new.iter().zip(results) {
            match result {
                Ok(captured) => {
                    let won = captured.created && one.intake.stage == Some(StageKind::Customer);
                    self.report.counts.won += i64::from(won);
                    self.captured(one.act, Some(captured.lead), captured.created);
                }
                Err(refused) => self.refuse_intake(one, refused),
            }
        }
        Ok(Planned::Done((Box::new(plan), places)))
    }

    /// What a dry run says of its captures; the leads that they would make are kept for later rows.
    fn try_captures(&mut self, new: &[Taken<'_>], prepared: &capture::Prepared) {
        for (one, result) in new.iter().zip(&prepared.results) {
            let place = match result {
                Ok(place) => place.0,
                Err(refused) => {
                    self.refuse_intake(one, refused.clone());
                    continue;
                }
            };
            let found = &prepared.people[place];
            let email = found.person.email.clone();
            let id = one.intake.external.as_ref().map(|(_, id)| id.clone());
            let names: Vec<String> = id.into_iter().chain(email).chain(found.person.phone.clone()).collect();
            let known =
                |name: &String| self.tried.leads.get(name).or_else(|| self.now.leads.get(name)).copied();
            let before = names.iter().find_map(known);
            let lead = before.unwrap_or(found.lead);
            self.now.leads.extend(names.into_iter().map(|name| (name, lead)));
            if !found.known && before.is_none() {
                let mut draft = Draft::new(Journey::blank(lead, one.act.at), self.scene(one.act.at));
                let blank = NewCapture {
                    account: None,
                    campaign: None,
                    source: String::new(),
                    channel: found.channel,
                };
                let stage = one.intake.stage.filter(|stage| *stage > StageKind::Inquiry);
                let made = draft.capture(blank).and_then(|()| match stage {
                    Some(StageKind::Customer) => draft.assert_won(None),
                    Some(stage) => draft.advance(stage, None, true),
                    None => Ok(()),
                });
                if let Err(refused) = made {
                    self.refuse_intake(one, refused);
                    continue;
                }
                self.now.journeys.insert(lead, draft.journey);
            }
            self.now.rows.extend(one.intake.touch.as_ref().map(|(_, id)| id.clone()));
            let created = !found.known && before.is_none();
            self.captured(one.act, found.known.then_some(lead), created);
        }
    }

    fn captured(&mut self, act: Act, lead: Option<Uuid>, created: bool) {
        let (count, word) = match created {
            true => (&mut self.report.counts.created, "CREATED"),
            false => (&mut self.report.counts.updated, "UPDATED"),
        };
        *count += 1;
        self.result(act, word, lead, None);
    }

    /// Tells leads how they ended, who has them, and their traits.
    async fn tell(&mut self, plan: &mut Plan, follows: Vec<Follow<'_>>) -> Result<(), Error> {
        let leads: Vec<Uuid> = follows.iter().filter_map(|follow| follow.lead).collect();
        let (mut journeys, mut traits) = (BTreeMap::new(), BTreeMap::<Uuid, Vec<Trait>>::new());
        let mut endings = BTreeSet::new();
        if !leads.is_empty() {
            journeys = handfast_store::lead::journeys(self.app.store.read(), &leads).await?;
            for one in handfast_store::person::traits(self.app.store.read(), &leads).await? {
                traits.entry(one.lead).or_default().push(one);
            }
            for (lead, cycle) in handfast_store::lead::cycles(self.app.store.read(), &leads).await? {
                endings.extend(cycle.closed_at.map(|at| (lead, cycle.outcome, at)));
            }
        }
        for follow in follows {
            let tried_journey = follow.lead.and_then(|lead| self.tried.journeys.get(&lead).cloned());
            let stored = follow.lead.and_then(|lead| journeys.remove(&lead));
            let Some(journey) = tried_journey.or(stored) else {
                let system = &self.reading.mapping.system;
                let message = format!("no lead {} of {system} is known; import the leads first", follow.who);
                let column = self.reading.mapping.column_of(&["external"]);
                self.refuse(follow.act, CellProblem::new(column, Some(&follow.who), message));
                continue;
            };
            let lead = journey.lead.id;
            let told = |ended: &Ended| endings.contains(&(lead, ended.outcome, ended.at));
            // It may be that of an earlier cycle: since then the lead came back.
            if follow.ended.as_ref().is_some_and(told) {
                self.unchanged(&follow, lead);
                continue;
            }
            match self.tell_one(plan, &follow, journey, traits.get(&lead).map_or(&[], Vec::as_slice)) {
                Ok(Some(after)) if self.run.dry_run => drop(self.now.journeys.insert(lead, after)),
                Ok(_) => {}
                Err(problem) => self.refuse(follow.act, problem),
            }
        }
        Ok(())
    }

    /// Answers the lead as it stands then, if it changed.
    fn tell_one(
        &mut self,
        plan: &mut Plan,
        follow: &Follow<'_>,
        journey: Journey,
        known: &[Trait],
    ) -> Result<Option<Journey>, CellProblem> {
        let lead = journey.lead.id;
        let mut traits = self.traits(follow, lead)?;
        traits.retain(|new| !known.iter().any(|old| old.key == new.key && old.value == new.value));
        let owner = self.owner(follow)?;
        let Some(ended) = &follow.ended else {
            let mut draft = Draft::new(journey, self.scene(follow.act.at));
            self.give(&mut draft, owner)?;
            if draft.is_empty() && traits.is_empty() {
                self.unchanged(follow, lead);
                return Ok(None);
            }
            let after = self.take(plan, draft, traits);
            self.follow_result(follow, lead);
            return Ok(after);
        };
        let at = ended.at.max(journey.cycle.opened_at);
        if !journey.is_open() {
            if (journey.lead.outcome, journey.cycle.closed_at) == (ended.outcome, Some(at)) {
                self.unchanged(follow, lead);
                return Ok(None);
            }
            let message =
                format!("cycle {} of this lead ended {} before", journey.lead.cycle, journey.lead.outcome);
            return Err(self.about(follow, None, message));
        }
        let mut draft = Draft::new(journey, self.scene(at));
        if ended.at > draft.scene.now.plus(DAY) {
            return Err(self.about(follow, None, "an ending cannot lie more than a day ahead"));
        }
        self.give(&mut draft, owner)?;
        if ended.reason.is_none() && ended.outcome != CycleOutcome::Won {
            let message = format!("{} needs a reason of the charter", ended.outcome);
            let missing = Refused::invalid("input/reason", message.clone());
            return Err(self.about(follow, Some(&missing), message));
        }
        let disposal = Disposal {
            reason: ended.reason.clone().unwrap_or_default(),
            competitor: ended.competitor.clone(),
            ..Disposal::default()
        };
        let closed = match ended.outcome {
            CycleOutcome::Won => draft.assert_won(ended.amount_minor),
            other => draft.close(other, disposal, None),
        };
        closed.map_err(|refused| self.about(follow, Some(&refused), refused.message.clone()))?;
        let after = self.take(plan, draft, traits);
        self.follow_result(follow, lead);
        if at != ended.at {
            let message =
                format!("it ended at {}, before it came in; {at} is kept as the time of both", ended.at);
            let problem = self.about(follow, None, message);
            self.report.counts.warnings += 1;
            self.result(follow.act, "WARNING", self.shown(lead), Some(problem));
        }
        Ok(after)
    }

    fn unchanged(&mut self, follow: &Follow<'_>, lead: Uuid) {
        self.report.counts.unchanged += 1;
        self.result(follow.act, "UNCHANGED", self.shown(lead), None);
    }

    /// A dry run names no lead: those that it would make do not exist.
    fn shown(&self, lead: Uuid) -> Option<Uuid> {
        (!self.run.dry_run).then_some(lead)
    }

    fn scene(&self, at: Instant) -> Scene<'_> {
        let live = at >= self.run.live_from;
        Scene { live, ..lead::scene(self.app, self.workspace, IMPORT, Cause::Import, Some(at)) }
    }

    fn give(&self, draft: &mut Draft<'_>, owner: Option<Uuid>) -> Result<(), CellProblem> {
        let Some(owner) = owner else { return Ok(()) };
        draft.assert_owner(owner).map_err(|refused| CellProblem::new(None, None, refused.message))
    }

    fn take(&self, plan: &mut Plan, draft: Draft<'_>, traits: Vec<Trait>) -> Option<Journey> {
        plan.traits.extend(traits);
        if draft.is_empty() {
            return None;
        }
        let change = draft.finish();
        let after = change.after.clone();
        plan.changes.push(change);
        Some(after)
    }

    /// The user whom the row names as the owner.
    fn owner(&self, follow: &Follow<'_>) -> Result<Option<Uuid>, CellProblem> {
        let Some(key) = self.reading.mapping.owner_of(follow.row)? else { return Ok(None) };
        match capture::user(self.workspace, &key) {
            Ok(user) => Ok(Some(user)),
            Err(refused) => {
                let column = self.reading.mapping.owner.as_ref().and_then(|cell| cell.column.as_deref());
                Err(CellProblem::new(column, Some(&key), refused.message))
            }
        }
    }

    fn traits(&self, follow: &Follow<'_>, lead: Uuid) -> Result<Vec<Trait>, CellProblem> {
        // Where the row also captures, its capture brought them.
        if self.reading.mapping.lead.is_some() {
            return Ok(vec![]);
        }
        let mut traits = vec![];
        for (key, text) in self.reading.mapping.traits_of(follow.row)? {
            let Some(value) = capture::trait_value(self.workspace, &key, &text) else {
                let refused = capture::trait_problem(self.workspace, &key, &text);
                let column = self.reading.mapping.column_of(&["traits", &key]);
                return Err(CellProblem::new(column, Some(&text), refused.message));
            };
            let (source, observed_at) = (self.reading.mapping.system.clone(), follow.act.at);
            traits.push(Trait {
                lead,
                key,
                value,
                source,
                observed_at,
                origin: Some(FactOrigin::Import),
                evidence: None,
                recorded_by: None,
            });
        }
        Ok(traits)
    }

    fn follow_result(&mut self, follow: &Follow<'_>, lead: Uuid) {
        let counts = &mut self.report.counts;
        let word = follow.ended.as_ref().map_or("UPDATED", |ended| ended.outcome.as_str());
        match follow.ended.as_ref().map(|ended| ended.outcome) {
            Some(CycleOutcome::Won) => counts.won += 1,
            Some(CycleOutcome::Lost) => counts.lost += 1,
            Some(CycleOutcome::Recycled) => counts.recycled += 1,
            Some(CycleOutcome::Disqualified) => counts.disqualified += 1,
            Some(_) => {}
            None => counts.updated += 1,
        }
        self.result(follow.act, word, self.shown(lead), None);
    }

    /// A problem with an ending, at the cell that it is about.
    fn about(
        &self,
        follow: &Follow<'_>,
        refused: Option<&Refused>,
        message: impl Into<String>,
    ) -> CellProblem {
        let mapping = &self.reading.mapping;
        let at = || mapping.ending.as_ref().and_then(|ending| ending.at.column.as_deref());
        let column = refused.map_or_else(at, |refused| mapping.ending_column(refused));
        let value = column.and_then(|column| follow.row.get(column));
        CellProblem::new(column, value, message)
    }

    fn refuse_bad(&mut self, act: Act, row: &Row) {
        let Reading { mapping, zone, currency, .. } = self.reading;
        let read = mapping.ended(row, *zone, currency).err();
        let time = || match mapping.lead.is_some() {
            true => mapping.captured_at(row, *zone).err(),
            false => mapping.told_at(row, *zone).err(),
        };
        let problem = read.or_else(time).or_else(|| mapping.intake(row, Instant(0), *zone, currency).err());
        self.refuse(act, problem.unwrap_or_else(unreadable));
    }

    fn refuse_intake(&mut self, one: &Taken<'_>, refused: Refused) {
        // Paths begin with `input/leads/<n>`.
        let path: Vec<&str> = refused.path.iter().skip(3).map(String::as_str).collect();
        let column = self.reading.mapping.column_of(&path);
        let value = column.and_then(|column| one.row.get(column));
        self.refuse(one.act, CellProblem::new(column, value, refused.message));
    }

    fn refuse(&mut self, act: Act, problem: CellProblem) {
        self.report.counts.refused += 1;
        self.result(act, "REFUSED", None, Some(problem));
    }

    fn result(&mut self, act: Act, result: &str, lead: Option<Uuid>, problem: Option<CellProblem>) {
        let (column_name, value, message) = match problem {
            // The sign for NUL, which PostgreSQL keeps in no text.
            Some(CellProblem { column, value, message }) => {
                (column, value.map(|value| value.replace('\0', "␀")), Some(message))
            }
            None => (None, None, None),
        };
        let row_number = i64::try_from(act.place.line).unwrap_or(i64::MAX);
        let result = result.to_owned();
        self.report.results.push(RowResult {
            id: self.app.id(),
            row_number,
            result,
            lead,
            column_name,
            value,
            message,
        });
    }
}
