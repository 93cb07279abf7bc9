//! Writing changes of leads: projection, cycle, clocks, hand-off, transitions, records, counters and events of any
//! number of changes in one command, with few statements. Nothing else writes these tables.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::change::{Change, Record};
use handfast_domain::clock::SlaClock;
use handfast_domain::evaluation::{Decision, Evaluation};
use handfast_domain::event::{Event, Fact, SCHEMA_VERSION};
use handfast_domain::lead::{Cycle, Journey, Lead, Opportunity};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::context_request;
use crate::counter;
use crate::decision_override;
use crate::dialect::{self, Dialect};
use crate::error::{Result, StoreError};
use crate::feed::{NewEvent, append_events};
use crate::follow_up;
use crate::meeting;
use crate::rows::{execute, fetch_all, insert_new_rows, insert_rows, upsert_rows};
use crate::tx::Tx;

/// What a new lead needs beside its change: the row that is not a projection.
#[derive(Clone, Debug)]
pub struct NewLead {
    pub id: Uuid,
    pub person: Uuid,
    pub salt: String,
}

/// Why changes could not be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The lead moved on meanwhile; it is at this version.
    Lead { id: Uuid, current: i64 },
    /// The pool was used meanwhile; route again.
    Pool { key: String },
    /// The rule that decided was taken back or replaced meanwhile; ask again.
    Rule { deployment: Uuid },
}

/// Commits all of `changes` or none of them. `Ok(Err(..))` names the lead or pool that was overtaken.
pub async fn commit(
    tx: &Tx,
    changes: &[Change],
    created: &[NewLead],
) -> Result<std::result::Result<(), Conflict>> {
    if let Some(conflict) = overtaken(tx, changes).await? {
        return Ok(Err(conflict));
    }
    write_leads(tx, changes, created).await?;
    write_cycles(tx, changes).await?;
    write_clocks(tx, changes).await?;
    write_handoffs(tx, changes).await?;
    write_opportunities(tx, changes).await?;
    write_facts(tx, changes).await?;
    write_records(tx, changes).await?;
    write_pools(tx, changes).await?;
    let events =
        changes.iter().flat_map(|change| &change.events).map(new_event).collect::<Result<Vec<_>>>()?;
    append_events(tx, events).await?;
    // Last: everybody moves the same few rows, and whoever comes next waits from here to the commit.
    counter::write(tx, changes).await?;
    Ok(Ok(()))
}

/// A fact of another stream: charter, slot, campaign. The stream's version is drawn here.
pub async fn append_fact(tx: &Tx, event: Event) -> Result<()> {
    append_facts(tx, vec![event]).await
}

/// Facts of one stream that belong to one change: one version, numbered by their ordinals.
pub async fn append_facts(tx: &Tx, mut events: Vec<Event>) -> Result<()> {
    let Some(first) = events.first() else { return Ok(()) };
    let last = crate::rows::fetch_value::<i64>(
        tx,
        "SELECT coalesce(max(version), 0) FROM event WHERE stream_kind = $1 AND stream_id = $2",
        vec![first.stream.as_str().into(), first.stream_id.into()],
    );
    let version = last.await?.unwrap_or(0) + 1;
    for (event, ordinal) in events.iter_mut().zip(0..) {
        (event.version, event.ordinal) = (version, ordinal);
    }
    append_events(tx, events.iter().map(new_event).collect::<Result<_>>()?).await
}

fn new_event(event: &Event) -> Result<NewEvent> {
    Ok(NewEvent {
        id: event.id,
        stream_kind: event.stream.as_str().to_owned(),
        stream_id: event.stream_id,
        version: event.version,
        ordinal: i64::from(event.ordinal),
        kind: event.body.fact.kind().to_owned(),
        schema_version: i64::from(SCHEMA_VERSION),
        payload: json(&event.body)?,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
    })
}

/// Keeps these leads as they are until the command ends. Every command locks in this order, so that no two of them wait
/// for each other.
pub async fn lock(tx: &Tx, leads: &BTreeSet<Uuid>) -> Result<()> {
    if tx.dialect() == Dialect::Postgres && !leads.is_empty() {
        let list = tx.dialect().uuid_list("$1");
        let sql = format!("SELECT id, version FROM lead WHERE id {list} ORDER BY id FOR UPDATE");
        fetch_all::<VersionRow>(tx, &sql, vec![dialect::uuids(leads)]).await?;
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct VersionRow {
    id: Uuid,
    version: i64,
}

/// One statement for all leads, one for each pool. Nobody else changes them until the command ends.
async fn overtaken(tx: &Tx, changes: &[Change]) -> Result<Option<Conflict>> {
    let known: Vec<&Change> = changes.iter().filter(|change| change.expected > 0).collect();
    if !known.is_empty() {
        let sql = format!("SELECT id, version FROM lead WHERE id {}", tx.dialect().uuid_list("$1"));
        let ids = dialect::uuids(known.iter().map(|change| &change.after.lead.id));
        let rows: Vec<VersionRow> = fetch_all(tx, &sql, vec![ids]).await?;
        let found: BTreeMap<Uuid, i64> = rows.into_iter().map(|row| (row.id, row.version)).collect();
        for change in known {
            let id = change.after.lead.id;
            let current = found.get(&id).copied().unwrap_or(0);
            if current != change.expected {
                return Ok(Some(Conflict::Lead { id, current }));
            }
        }
    }
    if let Some(conflict) = taken_back(tx, changes).await? {
        return Ok(Some(conflict));
    }
    // Routings of one command were decided one after the other: each expects the revision that the one before left.
    let routed = || changes.iter().filter_map(|change| change.routed.as_ref());
    let mut revisions: BTreeMap<&str, u64> = routed().map(|routed| (routed.pool.as_str(), 0)).collect();
    for (pool, revision) in &mut revisions {
        *revision = revision_of(tx, pool, tx.dialect().for_update()).await?;
    }
    for routed in routed() {
        let current = revisions.entry(&routed.pool).or_default();
        if *current != routed.revision {
            return Ok(Some(Conflict::Pool { key: routed.pool.clone() }));
        }
        *current += 1;
    }
    Ok(None)
}

/// No rule decides that was taken back before the request began, on whatever node that was: one that has not heard of it yet
/// is told here. A request that began before ends with the rule that it began with.
async fn taken_back(tx: &Tx, changes: &[Change]) -> Result<Option<Conflict>> {
    let mut asked: BTreeMap<Uuid, Instant> = BTreeMap::new();
    for change in changes {
        let Some(began) = change.events.iter().map(|event| event.recorded_at).min() else { continue };
        let evaluations = change.records.iter().filter_map(|record| match record {
            Record::Evaluation { evaluation, .. } => Some(evaluation),
            _ => None,
        });
        for deployment in evaluations.flat_map(|one| &one.decisions).filter_map(|one| one.deployment) {
            let latest = asked.entry(deployment).or_insert(began);
            *latest = began.max(*latest);
        }
    }
    if asked.is_empty() {
        return Ok(None);
    }
    #[derive(FromQueryResult)]
    struct Ended {
        id: Uuid,
        ended_at: i64,
    }
    let list = tx.dialect().uuid_list("$1");
    let sql = format!("SELECT id, ended_at FROM deployment WHERE ended_at IS NOT NULL AND id {list}");
    let ended: Vec<Ended> = fetch_all(tx, &sql, vec![dialect::uuids(asked.keys())]).await?;
    let late = |one: &&Ended| asked.get(&one.id).is_some_and(|began| one.ended_at <= began.ms());
    Ok(ended.iter().find(late).map(|one| Conflict::Rule { deployment: one.id }))
}

pub(crate) async fn pool_revision(db: &impl ConnectionTrait, pool: &str) -> Result<u64> {
    revision_of(db, pool, "").await
}

async fn revision_of(db: &impl ConnectionTrait, pool: &str, lock: &str) -> Result<u64> {
    let sql = format!("SELECT revision FROM pool_revision WHERE pool = $1{lock}");
    let revision = crate::rows::fetch_value::<i64>(db, &sql, vec![pool.into()]).await?.unwrap_or(0);
    Ok(u64::try_from(revision).unwrap_or(0))
}

const LEAD_COLUMNS: &[&str] = &[
    "id",
    "version",
    "person",
    "account",
    "campaign",
    "source",
    "channel",
    "captured_at",
    "cycle",
    "outcome",
    "stage",
    "furthest_stage",
    "stage_version",
    "entered_stage_at",
    "work_state",
    "owner",
    "queue",
    "priority",
    "persona",
    "fit",
    "engagement",
    "next_evaluation_at",
    "recycle_on",
    "suppressed",
    "grey_slots",
    "nurture",
    "nurture_at",
    "customer",
    "renews_at",
    "follow_ups",
    "follow_up_at",
    "merged_into",
    "erased_at",
    "salt",
];

async fn write_leads(tx: &Tx, changes: &[Change], created: &[NewLead]) -> Result<()> {
    let new: BTreeMap<Uuid, &NewLead> = created.iter().map(|lead| (lead.id, lead)).collect();
    let mut inserts = vec![];
    for change in changes {
        let lead = &change.after.lead;
        match new.get(&lead.id) {
            Some(new) => {
                let mut row: Vec<Value> = vec![
                    lead.id.into(),
                    lead.version.into(),
                    new.person.into(),
                    lead.account.into(),
                    lead.campaign.into(),
                    lead.source.as_str().into(),
                    lead.channel.as_str().into(),
                    lead.captured_at.ms().into(),
                ];
                row.extend(moving(lead)?);
                row.push(new.salt.as_str().into());
                inserts.push(row);
            }
            None => {
                let sql = "UPDATE lead SET cycle = $1, outcome = $2, stage = $3, furthest_stage = $4, \
                    stage_version = $5, entered_stage_at = $6, work_state = $7, owner = $8, queue = $9, \
                    priority = $10, persona = $11, fit = $12, engagement = $13, next_evaluation_at = $14, \
                    recycle_on = $15, suppressed = $16, grey_slots = $17, nurture = $18, nurture_at = $19, \
                    customer = $20, renews_at = $21, follow_ups = $22, follow_up_at = $23, merged_into = $24, \
                    erased_at = $25, version = $26 \
                    WHERE id = $27 AND version = $28";
                let mut values = moving(lead)?;
                values.extend([lead.version.into(), lead.id.into(), change.expected.into()]);
                if execute(tx, sql, values).await? != 1 {
                    return Err(StoreError::VersionConflict { current: 0 });
                }
            }
        }
    }
    insert_rows(tx, "lead", LEAD_COLUMNS, inserts).await?;
    Ok(())
}

/// The columns that events move, from `cycle` to `erased_at`.
pub(crate) fn moving(lead: &Lead) -> Result<Vec<Value>> {
    // Every field is named, so that a new one is not forgotten here.
    let Lead {
        id: _,
        version: _,
        account: _,
        campaign: _,
        source: _,
        channel: _,
        captured_at: _,
        cycle,
        outcome,
        stage,
        furthest_stage,
        stage_version,
        entered_stage_at,
        work_state,
        owner,
        queue,
        priority,
        persona,
        fit,
        engagement,
        next_evaluation_at,
        recycle_on,
        suppressed,
        grey_slots,
        nurture,
        customer,
        follow_ups,
        merged_into,
        erased_at,
    } = lead;
    Ok(vec![
        i64::from(*cycle).into(),
        outcome.as_str().into(),
        stage.as_str().into(),
        furthest_stage.as_str().into(),
        i64::from(*stage_version).into(),
        entered_stage_at.ms().into(),
        work_state.as_str().into(),
        (*owner).into(),
        queue.clone().into(),
        i64::from(*priority).into(),
        persona.clone().into(),
        i64::from(*fit).into(),
        i64::from(*engagement).into(),
        next_evaluation_at.map(|at| at.ms()).into(),
        recycle_on.clone().into(),
        (*suppressed).into(),
        json(grey_slots)?.into(),
        nurture.as_ref().map(json).transpose()?.into(),
        nurture.as_ref().and_then(|one| one.next_step_at).map(|at| at.ms()).into(),
        customer.as_ref().map(json).transpose()?.into(),
        customer.as_ref().and_then(|one| one.renews_at).map(|at| at.ms()).into(),
        json(follow_ups)?.into(),
        lead.next_follow_up_at().map(|at| at.ms()).into(),
        (*merged_into).into(),
        erased_at.map(|at| at.ms()).into(),
    ])
}

async fn write_cycles(tx: &Tx, changes: &[Change]) -> Result<()> {
    let mut rows = vec![];
    for change in changes.iter().filter(|change| change.before.cycle != change.after.cycle) {
        rows.push(cycle_row(change.after.lead.id, &change.after.cycle)?);
    }
    upsert_rows(tx, "cycle", CYCLE_COLUMNS, &["lead", "number"], rows).await?;
    Ok(())
}

pub(crate) const CYCLE_COLUMNS: &[&str] = &[
    "lead",
    "number",
    "opened_at",
    "opened_by",
    "resumed_from",
    "closed_at",
    "outcome",
    "furthest_stage",
    "reason",
    "competitor",
    "conversations",
    "attempts",
];

pub(crate) fn cycle_row(lead: Uuid, cycle: &Cycle) -> Result<Vec<Value>> {
    Ok(vec![
        lead.into(),
        i64::from(cycle.number).into(),
        cycle.opened_at.ms().into(),
        cycle.opened_by.as_str().into(),
        cycle.resumed_from.map(i64::from).into(),
        cycle.closed_at.map(|at| at.ms()).into(),
        cycle.outcome.as_str().into(),
        cycle.furthest_stage.as_str().into(),
        cycle.reason.clone().into(),
        cycle.competitor.clone().into(),
        i64::from(cycle.conversations).into(),
        json(&cycle.attempts)?.into(),
    ])
}

async fn write_clocks(tx: &Tx, changes: &[Change]) -> Result<()> {
    let mut rows = vec![];
    for change in changes {
        for clock in change.after.clocks.iter().filter(|clock| !change.before.clocks.contains(clock)) {
            rows.push(clock_row(change.after.lead.id, clock, &change.after)?);
        }
    }
    upsert_rows(tx, "clock", CLOCK_COLUMNS, &["id"], rows).await?;
    Ok(())
}

pub(crate) const CLOCK_COLUMNS: &[&str] =
    &["id", "lead", "cycle", "kind", "party", "level", "state", "due_at", "met_at", "wake_at", "body"];

pub(crate) fn clock_row(lead: Uuid, clock: &SlaClock, journey: &Journey) -> Result<Vec<Value>> {
    // A breached ACCEPT wakes once more, when the hand-off expires.
    let waiting =
        journey.pending_handoff().is_some() && clock.kind == handfast_domain::clock::ClockKind::Accept;
    let expiry =
        || clock.breached_at.filter(|_| waiting && clock.met_at.is_none()).map(|at| at.plus(clock.target_ms));
    let wake_at = clock.wake_at().or_else(expiry);
    Ok(vec![
        clock.id.into(),
        lead.into(),
        i64::from(clock.cycle).into(),
        clock.kind.as_str().into(),
        clock.party.as_str().into(),
        clock.level.as_str().into(),
        clock.state.as_str().into(),
        clock.due_at.ms().into(),
        clock.met_at.map(|at| at.ms()).into(),
        wake_at.map(|at| at.ms()).into(),
        json(clock)?.into(),
    ])
}

async fn write_handoffs(tx: &Tx, changes: &[Change]) -> Result<()> {
    let mut rows = vec![];
    for change in changes {
        let packets: BTreeMap<Uuid, String> = change
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Packet { handoff, packet } => Some(json(packet).map(|text| (*handoff, text))),
                _ => None,
            })
            .collect::<Result<_>>()?;
        // A hand-off that another one replaced in the same change was answered too.
        let replaced = change.before.handoff.as_ref().filter(|before| {
            change.after.handoff.as_ref().is_some_and(|after| after.id != before.id)
                && before.status == handfast_domain::handoff::HandoffStatus::Pending
        });
        if let Some(replaced) = replaced {
            let sql = "UPDATE handoff SET status = 'CANCELLED', answered_at = $1 WHERE id = $2";
            let at = change.after.handoff.as_ref().map_or(replaced.offered_at, |handoff| handoff.offered_at);
            execute(tx, sql, vec![at.ms().into(), replaced.id.into()]).await?;
        }
        let Some(handoff) =
            change.after.handoff.as_ref().filter(|after| change.before.handoff.as_ref() != Some(after))
        else {
            continue;
        };
        match packets.get(&handoff.id) {
            Some(packet) => rows.push(vec![
                handoff.id.into(),
                change.after.lead.id.into(),
                i64::from(change.after.lead.cycle).into(),
                handoff.status.as_str().into(),
                handoff.packet_digest.to_string().into(),
                i64::from(handoff.completeness).into(),
                handoff.offered_at.ms().into(),
                handoff.answered_at.map(|at| at.ms()).into(),
                handoff.reason.clone().into(),
                packet.as_str().into(),
            ]),
            None => {
                let sql = "UPDATE handoff SET status = $1, answered_at = $2, reason = $3, first_meeting = $4, \
                    first_meeting_at = $5 WHERE id = $6";
                let answered = handoff.answered_at.map(|at| at.ms());
                let values = vec![
                    handoff.status.as_str().into(),
                    answered.into(),
                    handoff.reason.clone().into(),
                    handoff.first_meeting.map(|outcome| outcome.as_str()).into(),
                    handoff.first_meeting_at.map(|at| at.ms()).into(),
                    handoff.id.into(),
                ];
                execute(tx, sql, values).await?;
            }
        }
    }
    let columns = &[
        "id",
        "lead",
        "cycle",
        "status",
        "packet_digest",
        "completeness",
        "offered_at",
        "answered_at",
        "reason",
        "packet",
    ];
    insert_rows(tx, "handoff", columns, rows).await?;
    Ok(())
}

async fn write_opportunities(tx: &Tx, changes: &[Change]) -> Result<()> {
    let changed = changes.iter().filter(|change| change.before.opportunity != change.after.opportunity);
    let rows = changed
        .filter_map(|change| change.after.opportunity.as_ref().map(|deal| (change, deal)))
        .map(|(change, deal)| opportunity_row(change.after.lead.id, change.after.lead.cycle, deal));
    upsert_rows(tx, "opportunity", OPPORTUNITY_COLUMNS, &["id"], rows.collect()).await?;
    Ok(())
}

pub(crate) const OPPORTUNITY_COLUMNS: &[&str] =
    &["id", "lead", "cycle", "amount_minor", "currency", "expected_close", "opened_at"];

pub(crate) fn opportunity_row(lead: Uuid, cycle: u32, deal: &Opportunity) -> Vec<Value> {
    vec![
        deal.id.into(),
        lead.into(),
        i64::from(cycle).into(),
        deal.amount_minor.into(),
        deal.currency.as_str().into(),
        deal.expected_close.map(|at| at.ms()).into(),
        deal.opened_at.ms().into(),
    ]
}

/// Tables that list facts one by one: transitions and activities.
async fn write_facts(tx: &Tx, changes: &[Change]) -> Result<()> {
    let (mut transitions, mut activities) = (vec![], vec![]);
    for change in changes {
        let notes: BTreeMap<Uuid, &str> = change
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Note { about, text } => Some((*about, text.as_str())),
                _ => None,
            })
            .collect();
        for event in &change.events {
            match &event.body.fact {
                Fact::StageChanged { .. } => transitions.extend(transition_row(event)?),
                Fact::ActivityLogged { activity, activity_kind, direction, automated, meeting, .. } => {
                    activities.push(vec![
                        (*activity).into(),
                        event.stream_id.into(),
                        i64::from(event.body.cycle.unwrap_or(0)).into(),
                        activity_kind.as_str().into(),
                        direction.as_str().into(),
                        (*automated).into(),
                        event.body.actor.user.into(),
                        event.occurred_at.ms().into(),
                        notes.get(activity).copied().map(str::to_owned).into(),
                        meeting.map(|outcome| outcome.as_str()).into(),
                    ])
                }
                _ => {}
            }
        }
        follow_up::write(tx, change.events.iter(), |id| notes.get(&id).copied()).await?;
    }
    insert_rows(tx, "stage_transition", TRANSITION_COLUMNS, transitions).await?;
    let columns =
        &["id", "lead", "cycle", "kind", "direction", "automated", "actor", "at", "note", "meeting"];
    insert_rows(tx, "activity", columns, activities).await?;
    Ok(())
}

pub(crate) const TRANSITION_COLUMNS: &[&str] = &[
    "lead",
    "lead_version",
    "stage_version",
    "cycle",
    "from_stage",
    "to_stage",
    "skipped",
    "asserted",
    "at",
    "cause",
    "evaluation",
    "charter",
    "event",
];

/// None for an event of another kind.
pub(crate) fn transition_row(event: &Event) -> Result<Option<Vec<Value>>> {
    let Fact::StageChanged { from, to, skipped, asserted, stage_version, evaluation } = &event.body.fact
    else {
        return Ok(None);
    };
    Ok(Some(vec![
        event.stream_id.into(),
        event.version.into(),
        i64::from(*stage_version).into(),
        i64::from(event.body.cycle.unwrap_or(0)).into(),
        from.map(|stage| stage.as_str()).into(),
        to.as_str().into(),
        json(skipped)?.into(),
        (*asserted).into(),
        event.occurred_at.ms().into(),
        event.body.cause.as_str().into(),
        (*evaluation).into(),
        i64::from(event.body.charter).into(),
        event.id.into(),
    ]))
}

async fn write_records(tx: &Tx, changes: &[Change]) -> Result<()> {
    let (mut evaluations, mut decisions, mut snapshots, mut cases) = (vec![], vec![], vec![], vec![]);
    let (mut overrides, mut questions, mut answers, mut meetings) = (vec![], vec![], vec![], vec![]);
    for change in changes {
        for record in &change.records {
            match record {
                Record::Evaluation { evaluation, snapshots: sealed } => {
                    for snapshot in sealed {
                        let digest = snapshot.digest().to_string();
                        snapshots.push(vec![
                            evaluation.lead.into(),
                            digest.into(),
                            json(snapshot.as_ref())?.into(),
                        ]);
                    }
                    for decision in &evaluation.decisions {
                        let Evaluation { id, lead, as_of, .. } = evaluation;
                        decisions.push(decision_row(*id, *lead, *as_of, decision)?);
                    }
                    evaluations.push(vec![
                        evaluation.id.into(),
                        evaluation.lead.into(),
                        i64::from(evaluation.cycle).into(),
                        evaluation.as_of.ms().into(),
                        i64::from(evaluation.charter).into(),
                        evaluation.snapshot.to_string().into(),
                        evaluation.cause.as_str().into(),
                        json(&evaluation.gates)?.into(),
                    ]);
                }
                Record::GreyCase { case, slot, decision, trigger, text } => cases.push(vec![
                    (*case).into(),
                    change.after.lead.id.into(),
                    i64::from(change.after.lead.cycle).into(),
                    slot.as_str().into(),
                    (*decision).into(),
                    trigger.as_str().into(),
                    text.clone().into(),
                    change.events.first().map_or(0, |event| event.occurred_at.ms()).into(),
                ]),
                Record::FirstMeeting(stated) => meetings.push(meeting::row(stated)),
                Record::Override(told) => overrides.push(decision_override::row(told)),
                Record::ContextRequest(request) => questions.push(context_request::row(request)),
                Record::ContextAnswer { request, answer } => answers.push((*request, answer)),
                Record::Packet { .. } | Record::Note { .. } => {}
            }
        }
    }
    insert_new_rows(tx, "snapshot", &["lead", "digest", "body"], &["lead", "digest"], snapshots).await?;
    let columns = &["id", "lead", "cycle", "as_of", "charter", "snapshot", "cause", "gates"];
    insert_rows(tx, "evaluation", columns, evaluations).await?;
    insert_rows(tx, "decision", DECISION_COLUMNS, decisions).await?;
    let columns = &["id", "lead", "cycle", "slot", "decision", "trigger_kind", "text", "opened_at"];
    insert_rows(tx, "grey_case", columns, cases).await?;
    insert_rows(tx, "decision_override", decision_override::COLUMNS, overrides).await?;
    insert_rows(tx, "context_request", context_request::COLUMNS, questions).await?;
    upsert_rows(tx, "meeting_expectation", meeting::COLUMNS, &["lead", "cycle"], meetings).await?;
    for (request, answer) in answers {
        context_request::answer(tx, request, answer).await?;
    }
    Ok(())
}

pub(crate) const DECISION_COLUMNS: &[&str] =
    &["id", "evaluation", "lead", "slot", "deployment", "version", "status", "outcome", "at", "fuel", "body"];

pub(crate) fn decision_row(
    evaluation: Uuid,
    lead: Uuid,
    as_of: Instant,
    decision: &Decision,
) -> Result<Vec<Value>> {
    Ok(vec![
        decision.id.into(),
        evaluation.into(),
        lead.into(),
        decision.slot.as_str().into(),
        decision.deployment.into(),
        decision.version.to_string().into(),
        text(&decision.status).into(),
        decision.outcome.as_ref().map(text).into(),
        as_of.ms().into(),
        i64::try_from(decision.fuel).unwrap_or(i64::MAX).into(),
        json(decision)?.into(),
    ])
}

/// The routing ledger: who got how many of a pool, and the revision that every routing moves.
async fn write_pools(tx: &Tx, changes: &[Change]) -> Result<()> {
    for change in changes {
        let Some(routed) = &change.routed else { continue };
        if let Some(owner) = routed.owner {
            let at = change.events.first().map_or(0, |event| event.occurred_at.ms());
            let sql = "INSERT INTO pool_count (pool, owner, assigned, last_assigned) VALUES ($1, $2, 1, $3) \
                       ON CONFLICT (pool, owner) DO UPDATE SET assigned = pool_count.assigned + 1, last_assigned = excluded.last_assigned";
            execute(tx, sql, vec![routed.pool.as_str().into(), owner.into(), at.into()]).await?;
        }
        let sql = "INSERT INTO pool_revision (pool, revision) VALUES ($1, 1) \
                   ON CONFLICT (pool) DO UPDATE SET revision = pool_revision.revision + 1";
        execute(tx, sql, vec![routed.pool.as_str().into()]).await?;
    }
    Ok(())
}

/// Values are canonical enough: the digests are made by the domain, never from the stored text.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Db(format!("a value could not be written: {error}")))
}

/// An enum as its text, without the quotes of JSON.
pub(crate) fn text(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
