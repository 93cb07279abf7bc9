//! A run's acts, some hundreds at a time: read, judged as of then, written in one transaction with the run's progress.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::change::{Draft, Scene};
use handfast_domain::digest::Digest;
use handfast_domain::disposition::Disposal;
use handfast_domain::lead::Journey;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Cause, CycleOutcome};
use handfast_domain::time::Instant;
use handfast_store::import::{self as store, Counts, ImportProgress, ImportRun, RowResult};
use handfast_store::person::{ExternalRef, Trait, identities};
use uuid::Uuid;

use super::acts::{Act, Acts, Kind, Reading};
use super::mapping::{CellProblem, Ended};
use super::rows::{Row, Rows};
use super::{IMPORT, blocking};
use crate::app::App;
use crate::flows::capture::{self, Intake};
use crate::flows::commit::{Committed, Plan};
use crate::flows::{Error, lead};
use crate::workspace::Workspace;

/// Acts in one transaction: large enough to share its costs, small enough that other writers need not wait long.
const BATCH: usize = 250;
/// How often a batch starts over when somebody changed its leads meanwhile.
const ATTEMPTS: usize = 20;

/// Does what is left of a run.
pub async fn all(app: &App, mut run: ImportRun, reading: Reading, acts: Acts) -> Result<(), Error> {
    let (path, delimiter) = (app.store.blobs().path(run.digest), reading.mapping.delimiter);
    let opened = blocking(move || Rows::open(&path, delimiter)).await?;
    let mut file = opened.map_err(Error::fault)?;
    let mut known = DryRun::default();
    let mut next = usize::try_from(run.next).unwrap_or(usize::MAX);
    while next < acts.acts.len() {
        let end = acts.acts.len().min(next + BATCH);
        let slice = same_time(&acts.acts[next..end], run.live_from).to_vec();
        let (rows, back) = blocking(move || {
            let rows: Result<Vec<_>, String> =
                slice.iter().map(|act| Ok((*act, file.at(act.place)?))).collect();
            (rows, file)
        })
        .await?;
        file = back;
        let rows: Vec<(Act, Result<Row, CellProblem>)> = rows.map_err(Error::fault)?;
        match one(app, &run, &reading, &acts, &rows, &mut known).await? {
            Some((done, counts)) => {
                next += done;
                (run.next, run.counts) = (next as i64, counts);
            }
            // Cancelled meanwhile.
            None => return Ok(()),
        }
    }
    Ok(())
}

/// The acts at the beginning that are all past, or all live.
fn same_time(acts: &[Act], live_from: Instant) -> &[Act] {
    let live = |act: &Act| act.at >= live_from;
    let first = acts.first().is_some_and(live);
    let end = acts.iter().position(|act| live(act) != first).unwrap_or(acts.len());
    &acts[..end]
}

/// A dry run writes no leads, but its later rows may speak of those that its earlier ones would have made.
#[derive(Default)]
struct DryRun(BTreeSet<String>);

/// Judges and writes one batch, or as much of its beginning as can be written together. Answers how many acts that were,
/// and the counts so far.
async fn one(
    app: &App,
    run: &ImportRun,
    reading: &Reading,
    acts: &Acts,
    rows: &[(Act, Result<Row, CellProblem>)],
    known: &mut DryRun,
) -> Result<Option<(usize, Counts)>, Error> {
    let mut take = rows.len();
    for _ in 0..ATTEMPTS {
        let workspace = app.workspace();
        let mut work = Work { app, run, reading, workspace: &workspace, report: Report::default() };
        let (mut plan, cut) = work.plan(acts, &rows[..take], known).await?;
        if let Some(cut) = cut {
            take = cut;
            continue;
        }
        let Report { counts, results } = work.report;
        let counts = run.counts.plus(counts);
        if run.dry_run {
            plan = Plan::default();
        }
        let next = run.next + take as i64;
        plan.progress = Some(ImportProgress { run: run.id, from: run.next, next, counts, results });
        match app.commit(plan, None, String::new()).await {
            Ok(Committed::Overtaken(with)) => tracing::debug!(?with, "an import repeats a batch"),
            Ok(_) => return Ok(Some((take, counts))),
            Err(Error::Refused(why)) if why.iter().any(|one| one.code == RefusalCode::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::fault("the leads of a batch were changed by others again and again; start the import again"))
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
}

/// A row whose lead is to be told more.
struct Follow<'r> {
    act: Act,
    row: &'r Row,
    ended: Option<Ended>,
    lead: Option<Uuid>,
    who: String,
}

impl Work<'_> {
    /// The plan for these acts; or where to cut them, because an act needs what an earlier one of them writes.
    async fn plan(
        &mut self,
        acts: &Acts,
        rows: &[(Act, Result<Row, CellProblem>)],
        known: &mut DryRun,
    ) -> Result<(Plan, Option<usize>), Error> {
        let mut intakes: Vec<(Act, Intake)> = vec![];
        let mut follows: Vec<(usize, Follow<'_>)> = vec![];
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
                    Ok(intake) => intakes.push((*act, intake)),
                    Err(problem) => self.refuse(*act, problem),
                },
                Kind::Follow => match self.follow(*act, row) {
                    Ok(follow) => follows.push((place, follow)),
                    Err(problem) => self.refuse(*act, problem),
                },
            }
        }
        self.find(&mut follows).await?;
        let (mut plan, captured) = self.capture(intakes, known).await?;
        let mut together: BTreeSet<Uuid> = captured.iter().copied().collect();
        for (place, follow) in &follows {
            // In a dry run nothing is written, so nothing can be written twice.
            if follow.lead.is_some_and(|lead| !together.insert(lead)) && !self.run.dry_run && *place > 0 {
                return Ok((plan, Some(*place)));
            }
            // Its lead may be one that an earlier act of this batch makes.
            let unknown = follow.lead.is_none() && !self.run.dry_run;
            if unknown && *place > 0 && rows[..*place].iter().any(|(act, _)| act.kind == Kind::Capture) {
                return Ok((plan, Some(*place)));
            }
        }
        self.tell(&mut plan, follows, known).await?;
        Ok((plan, None))
    }

    /// A capture, with the id under which the same row is recognised when the file comes again.
    fn intake(&self, acts: &Acts, act: Act, row: &Row) -> Result<Intake, CellProblem> {
        let Reading { mapping, currency, .. } = self.reading;
        let mut intake = mapping.intake(row, act.at, currency)?;
        intake.stage = mapping.asserted_stage(row)?;
        intake.owner = mapping.owner_of(row)?;
        let id = intake.external.as_ref().map(|(_, id)| id.clone());
        let id = id.unwrap_or_else(|| {
            Digest::of("import-row", 1, &(&intake.email, &intake.phone, act.at.ms())).to_string()
        });
        intake.touch = Some((mapping.system.clone(), id));
        // The run has made the others; a dry run would have.
        if self.run.dry_run && intake.campaign.as_ref().is_some_and(|key| acts.campaigns.contains_key(key)) {
            intake.campaign = None;
        }
        Ok(intake)
    }

    fn follow<'r>(&self, act: Act, row: &'r Row) -> Result<Follow<'r>, CellProblem> {
        let Reading { mapping, zone, currency } = self.reading;
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
        Ok(Follow { act, row, ended, lead: None, who })
    }

    /// Finds the leads that rows tell more about, in one statement for each kind of identity.
    async fn find(&self, follows: &mut [(usize, Follow<'_>)]) -> Result<(), Error> {
        if follows.is_empty() {
            return Ok(());
        }
        let system = &self.reading.mapping.system;
        let at = |who: &str| ExternalRef { system: system.clone(), id: who.to_owned() };
        let whom: Vec<String> = follows.iter().map(|(_, follow)| follow.who.clone()).collect();
        let by_id = self.reading.mapping.id.is_some();
        let (mails, phones): (Vec<_>, Vec<_>) = whom.iter().cloned().partition(|who| who.contains('@'));
        let refs: Vec<ExternalRef> = whom.iter().map(|who| at(who)).collect();
        let db = self.app.store.read();
        let found = match by_id {
            true => identities(db, &[], &[], &refs).await?,
            false => identities(db, &mails, &phones, &[]).await?,
        };
        for (_, follow) in follows {
            let lead = found.refs.get(&at(&follow.who));
            let lead =
                lead.or_else(|| found.emails.get(&follow.who)).or_else(|| found.phones.get(&follow.who));
            follow.lead = lead.copied();
        }
        Ok(())
    }

    /// Captures the rows that were not imported before, and answers their leads.
    async fn capture(
        &mut self,
        intakes: Vec<(Act, Intake)>,
        known: &mut DryRun,
    ) -> Result<(Plan, Vec<Uuid>), Error> {
        let ids: Vec<String> =
            intakes.iter().filter_map(|(_, intake)| Some(intake.touch.as_ref()?.1.clone())).collect();
        let seen = store::seen(self.app.store.read(), &self.reading.mapping.system, &ids).await?;
        let (mut acts, mut new) = (vec![], vec![]);
        for (act, intake) in intakes {
            match intake.touch.as_ref().and_then(|(_, id)| seen.get(id)) {
                Some(lead) => {
                    self.report.counts.unchanged += 1;
                    self.result(act, "UNCHANGED", Some(*lead), None);
                }
                None => {
                    acts.push(act);
                    new.push(intake);
                }
            }
        }
        if new.is_empty() {
            return Ok((Plan::default(), vec![]));
        }
        let live = acts.first().is_some_and(|act| act.at >= self.run.live_from);
        let scene = lead::scene(self.app, self.workspace, IMPORT, Cause::Import, None);
        let scene = Scene { live, ..scene };
        let prepared = capture::prepare(self.app, self.workspace, &new, scene.now).await?;
        if self.run.dry_run {
            for ((act, intake), result) in acts.into_iter().zip(&new).zip(prepared.results) {
                match result {
                    Ok(place) => {
                        let (created, lead) =
                            (!prepared.people[place.0].known, prepared.people[place.0].lead);
                        let who = intake
                            .external
                            .as_ref()
                            .map(|(_, id)| id.clone())
                            .or_else(|| intake.email.clone());
                        known.0.extend(who);
                        self.captured(act, (!created).then_some(lead), created);
                    }
                    Err(refused) => self.refuse_intake(act, intake, refused),
                }
            }
            return Ok((Plan::default(), vec![]));
        }
        let leads: Vec<Uuid> = prepared.people.iter().map(|one| one.lead).collect();
        let (plan, results) = capture::plan(self.app, self.workspace, scene, prepared).await?;
        for ((act, intake), result) in acts.into_iter().zip(&new).zip(results) {
            match result {
                Ok(captured) => self.captured(act, Some(captured.lead), captured.created),
                Err(refused) => self.refuse_intake(act, intake, refused),
            }
        }
        Ok((plan, leads))
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
    async fn tell(
        &mut self,
        plan: &mut Plan,
        follows: Vec<(usize, Follow<'_>)>,
        known: &DryRun,
    ) -> Result<(), Error> {
        let leads: Vec<Uuid> = follows.iter().filter_map(|(_, follow)| follow.lead).collect();
        let mut journeys: BTreeMap<Uuid, Journey> = match leads.is_empty() {
            true => BTreeMap::new(),
            false => handfast_store::lead::journeys(self.app.store.read(), &leads).await?,
        };
        for (_, follow) in follows {
            let Some(journey) = follow.lead.and_then(|lead| journeys.remove(&lead)) else {
                if self.run.dry_run && known.0.contains(&follow.who) {
                    self.follow_result(&follow, None);
                    continue;
                }
                let system = &self.reading.mapping.system;
                let message = format!("no lead {} of {system} is known; import the leads first", follow.who);
                self.refuse(follow.act, CellProblem::new(self.id_column(), Some(&follow.who), message));
                continue;
            };
            if let Err(problem) = self.tell_one(plan, &follow, journey) {
                self.refuse(follow.act, problem);
            }
        }
        Ok(())
    }

    fn tell_one(
        &mut self,
        plan: &mut Plan,
        follow: &Follow<'_>,
        journey: Journey,
    ) -> Result<(), CellProblem> {
        let lead = journey.lead.id;
        let traits = self.traits(follow, lead)?;
        let owner = self.owner(follow)?;
        let Some(ended) = &follow.ended else {
            let mut draft = Draft::new(journey, self.scene(follow.act.at));
            self.give(&mut draft, owner)?;
            self.take(plan, draft, traits);
            self.follow_result(follow, Some(lead));
            return Ok(());
        };
        let opened_at = journey.cycle.opened_at;
        let at = ended.at.max(opened_at);
        if !journey.is_open() {
            if (journey.lead.outcome, journey.cycle.closed_at) == (ended.outcome, Some(at)) {
                self.report.counts.unchanged += 1;
                self.result(follow.act, "UNCHANGED", Some(lead), None);
                return Ok(());
            }
            let message =
                format!("cycle {} of this lead ended {} before", journey.lead.cycle, journey.lead.outcome);
            return Err(self.about(follow, message));
        }
        let mut draft = Draft::new(journey, self.scene(at));
        self.give(&mut draft, owner)?;
        let disposal = Disposal {
            reason: ended.reason.clone().unwrap_or_default(),
            competitor: ended.competitor.clone(),
            ..Disposal::default()
        };
        let closed = match ended.outcome {
            CycleOutcome::Won => draft.assert_won(ended.amount_minor),
            other => draft.close(other, disposal, None),
        };
        closed.map_err(|refused| self.about(follow, refused.message))?;
        self.take(plan, draft, traits);
        self.follow_result(follow, Some(lead));
        if at != ended.at {
            let message =
                format!("it ended at {}, before it came in; {at} is kept as the time of both", ended.at);
            let problem = self.about(follow, message);
            self.report.counts.warnings += 1;
            self.result(follow.act, "WARNING", Some(lead), Some(problem));
        }
        Ok(())
    }

    fn scene(&self, at: Instant) -> Scene<'_> {
        let live = at >= self.run.live_from;
        Scene { live, ..lead::scene(self.app, self.workspace, IMPORT, Cause::Import, Some(at)) }
    }

    fn give(&self, draft: &mut Draft<'_>, owner: Option<Uuid>) -> Result<(), CellProblem> {
        let Some(owner) = owner else { return Ok(()) };
        draft.assert_owner(owner).map_err(|refused| CellProblem::new(None, None, refused.message))
    }

    fn take(&self, plan: &mut Plan, draft: Draft<'_>, traits: Vec<Trait>) {
        plan.traits.extend(traits);
        if !draft.is_empty() {
            plan.changes.push(draft.finish());
        }
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
                return Err(CellProblem::new(self.column(&["traits", &key]), Some(&text), refused.message));
            };
            let (source, observed_at) = (self.reading.mapping.system.clone(), follow.act.at);
            traits.push(Trait { lead, key, value, source, observed_at });
        }
        Ok(traits)
    }

    fn follow_result(&mut self, follow: &Follow<'_>, lead: Option<Uuid>) {
        let word = match &follow.ended {
            Some(ended) => ended.outcome.as_str(),
            None => "UPDATED",
        };
        match &follow.ended {
            Some(ended) if ended.outcome == CycleOutcome::Won => self.report.counts.won += 1,
            Some(_) => {}
            None => self.report.counts.updated += 1,
        }
        self.result(follow.act, word, lead, None);
    }

    fn about(&self, follow: &Follow<'_>, message: impl Into<String>) -> CellProblem {
        let column = self.reading.mapping.ending.as_ref().and_then(|ending| ending.at.column.as_deref());
        let value = column.and_then(|column| follow.row.get(column));
        CellProblem::new(column, value, message)
    }

    fn id_column(&self) -> Option<&str> {
        self.reading.mapping.id.as_ref().and_then(|cell| cell.column.as_deref())
    }

    /// The column that a field of the input came from.
    fn column(&self, path: &[&str]) -> Option<&str> {
        self.reading.mapping.column_of(path)
    }

    fn refuse_bad(&mut self, act: Act, row: &Row) {
        let Reading { mapping, zone, currency } = self.reading;
        let read =
            mapping.ended(row, *zone, currency).err().or_else(|| mapping.captured_at(row, *zone).err());
        let problem = read.or_else(|| mapping.intake(row, Instant(0), currency).err());
        self.refuse(act, problem.unwrap_or_else(|| CellProblem::new(None, None, "the row cannot be read")));
    }

    fn refuse_intake(&mut self, act: Act, intake: &Intake, refused: Refused) {
        // Paths begin with `input/leads/<n>`.
        let path: Vec<&str> = refused.path.iter().skip(3).map(String::as_str).collect();
        let written = serde_json::to_value(intake).unwrap_or_default();
        let value =
            path.iter().try_fold(&written, |value, key| value.get(key)).and_then(|value| value.as_str());
        let problem = CellProblem::new(self.column(&path), value, refused.message);
        self.refuse(act, problem);
    }

    fn refuse(&mut self, act: Act, problem: CellProblem) {
        self.report.counts.refused += 1;
        self.result(act, "REFUSED", None, Some(problem));
    }

    fn result(&mut self, act: Act, result: &str, lead: Option<Uuid>, problem: Option<CellProblem>) {
        let (column_name, value, message) = match problem {
            Some(CellProblem { column, value, message }) => (column, value, Some(message)),
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
