//! Grey cases: both sides say what they think; where they agree it is decided, the lead goes where the decision says, and
//! every later version of the rule is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handfast_domain::change::{Change, Draft};
use handfast_domain::clock::Party;
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::outcome_text;
use handfast_domain::grey_case::{GreyCase, Opinion, Precedent, Resolution, Waiver, is_waived};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::{Cause, Side};
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use handfast_rules::{Context, Rule, Settings};
use handfast_store::evaluation::StoredDecision;
use handfast_store::grey_case as rows;
use uuid::Uuid;

use super::commit::{Ask, Committed, Decided, Once, Plan};
use super::instead::{self, Word};
use super::{Error, Viewer, lead};
use crate::app::App;

/// What people of both sides do here, as a refusal says it.
const VERB: &str = "decide grey cases";
/// Longest opinion, rationale and reason, in characters.
const WORDS: usize = 2_000;
/// Precedents that a version is held against: the newest ones of its slot.
const PRECEDENTS: i64 = 500;
/// Contradictions that a refusal names.
const NAMED: usize = 5;

/// Says what the viewer's side thinks should come out, which keeps the side's promise to say so in time.
pub async fn opine(app: &App, ask: &Ask<'_>, id: Uuid, outcome: Outcome, words: &str) -> Result<Uuid, Error> {
    let side = ask.viewer.party(VERB)?;
    let text = said("input/text", words)?;
    if Once::answered(ask.once.as_ref(), app).await?.is_some() {
        return Ok(id);
    }
    let opinion = Opinion { user: ask.viewer.id(), side, outcome, text, at: app.now() };
    let mut tries = lead::Tries::default();
    while tries.again() {
        let mut case = known(rows::find(app.store.read(), id).await?)?;
        case.give(opinion.clone()).map_err(|refused| refused.at("input/greyCase"))?;
        if ask.dry_run {
            return Ok(id);
        }
        let mut plan = Plan { opinion: Some((id, opinion.clone())), ..Plan::default() };
        plan.changes.extend(heard(app, ask.viewer, &case, side).await?);
        match app.commit(plan, ask.once.as_ref(), String::new()).await? {
            Committed::Done | Committed::Before(_) => return Ok(id),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, known(rows::find(app.store.read(), id).await?)?.lead).await)
}

/// The clock of the side, if it still waits.
async fn heard(app: &App, viewer: &Viewer, case: &GreyCase, side: Side) -> Result<Option<Change>, Error> {
    let party = if side == Side::Marketing { Party::Marketing } else { Party::Sales };
    let workspace = app.workspace();
    let mut found = handfast_store::lead::journeys(app.store.read(), &[case.lead]).await?;
    let Some(journey) = found.remove(&case.lead) else { return Ok(None) };
    let scene = lead::scene(app, &workspace, viewer.actor(), Cause::Evaluation, None);
    let mut draft = Draft::new(journey, scene);
    draft.opine(case.id, party);
    Ok((!draft.is_empty()).then(|| draft.finish()))
}

/// How a case is to be decided.
#[derive(Clone, Debug)]
pub struct Decide {
    pub case: Uuid,
    pub outcome: Outcome,
    pub rationale: String,
    /// Disposition reason of RECYCLE and DISQUALIFY.
    pub reason: Option<String>,
}

/// Decides a case as both sides said. If the lead still waits at that gate, it goes where the decision says.
pub async fn resolve(app: &App, ask: &Ask<'_>, input: Decide) -> Result<Uuid, Error> {
    ask.viewer.party(VERB)?;
    let rationale = said("input/rationale", &input.rationale)?;
    if Once::answered(ask.once.as_ref(), app).await?.is_some() {
        return Ok(input.case);
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let db = app.store.read();
        let mut case = known(rows::find(db, input.case).await?)?;
        let (user, at) = (ask.viewer.id(), app.now());
        let resolution = Resolution { outcome: input.outcome, rationale: rationale.clone(), user, at };
        case.resolve(resolution).map_err(|refused| refused.at("input/greyCase"))?;
        let stored = handfast_store::evaluation::decision(db, case.decision).await?;
        let stored = stored.ok_or_else(|| Error::fault("a grey case without its decision"))?;
        let snapshot = handfast_store::evaluation::snapshot(db, case.lead, stored.decision.snapshot).await?;
        let mut plan = Plan { changes: vec![], ..Plan::default() };
        plan.changes.extend(change(app, ask.viewer, &case, &input, &stored).await?);
        if ask.dry_run {
            return Ok(input.case);
        }
        let precedent = snapshot.filter(|_| stored.decision.gate.is_some()).map(|snapshot| {
            let precedent = Precedent {
                id: app.id(),
                slot: case.slot.clone(),
                case: case.id,
                lead: case.lead,
                as_of: stored.as_of,
                charter: stored.charter,
                expected: input.outcome,
                rationale: rationale.clone(),
                created_at: app.now(),
            };
            (precedent, snapshot)
        });
        plan.resolved = Some((case, precedent));
        match app.commit(plan, ask.once.as_ref(), input.case.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(input.case),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(Refused::new(
        RefusalCode::VersionConflict,
        "the case was changed again and again meanwhile; repeat the request",
    )
    .into())
}

/// What becomes of the lead.
async fn change(
    app: &App,
    viewer: &Viewer,
    case: &GreyCase,
    input: &Decide,
    stored: &StoredDecision,
) -> Result<Vec<Change>, Error> {
    let workspace = app.workspace();
    let journey = lead::load(app, case.lead).await?;
    let scene = lead::scene(app, &workspace, viewer.actor(), Cause::Evaluation, None);
    let mut draft = Draft::new(journey, scene);
    draft.resolve_grey_case(case.id, &case.slot, input.outcome);
    let gate = stored.decision.gate.filter(|gate| instead::waits(&draft, case.cycle, *gate));
    let Some(gate) = gate else { return Ok(vec![draft.finish()]) };
    let votes = instead::votes(app, case.lead, case.cycle, gate).await?;
    let word = Word {
        id: app.id(),
        decision: &stored.decision,
        version: Digest::of("resolution", 1, &case.id),
        input: Digest::of("resolution", 1, &(case.id, &input.outcome)),
        outcome: input.outcome,
        disposition: input.reason.clone(),
        message: "both sides decided a grey case".to_owned(),
    };
    instead::change(app, &workspace, draft, gate, votes, word).await
}

/// One side's word that a version may contradict a precedent; with both sides' words it may.
pub async fn waive(
    app: &App,
    ask: &Ask<'_>,
    precedent: Uuid,
    version: Digest,
    reason: &str,
) -> Result<Uuid, Error> {
    let side = ask.viewer.party(VERB)?;
    let reason = said("input/reason", reason)?;
    let waiver = Waiver { user: ask.viewer.id(), side, reason, at: app.now() };
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            if rows::precedent(tx, precedent).await?.is_none() {
                return Err(Refused::not_found("precedent").at("input/precedent").into());
            }
            rows::put_waiver(tx, precedent, version, &waiver).await?;
            Ok(((), String::new()))
        })
    });
    match decided.await? {
        Decided::Now(()) | Decided::Before(_) => Ok(precedent),
    }
}

/// A precedent that a version decides otherwise.
#[derive(Clone, Debug)]
pub struct Contradiction {
    pub precedent: Precedent,
    /// None: the call failed.
    pub found: Option<Outcome>,
}

/// A precedent, and what the rule is shown of its lead.
type Asked = (Precedent, Arc<Snapshot>);

/// What a version with settings would decide otherwise than both sides did, and what they did not waive.
pub async fn contradictions(
    app: &App,
    slot: &str,
    version: Digest,
    rule: &Rule,
    settings: &Settings,
) -> Result<Vec<Contradiction>, Error> {
    let db = app.store.read();
    let known = rows::precedents(db, Some(slot), PRECEDENTS).await?;
    let ids: BTreeSet<Uuid> = known.iter().map(|(precedent, _)| precedent.id).collect();
    let waivers = if ids.is_empty() { BTreeMap::new() } else { rows::waivers(db, &ids).await? };
    let waived = |id: &Uuid| {
        let of_version = waivers.get(id).into_iter().flatten().filter(|(digest, _)| *digest == version);
        is_waived(&of_version.map(|(_, waiver)| waiver.clone()).collect::<Vec<_>>())
    };
    let mut calls: BTreeMap<(Instant, u32), Vec<Asked>> = BTreeMap::new();
    for (precedent, snapshot) in known.into_iter().filter(|(precedent, _)| !waived(&precedent.id)) {
        let call = calls.entry((precedent.as_of, precedent.charter)).or_default();
        call.push((precedent, Arc::new(snapshot)));
    }
    let mut found = vec![];
    for ((as_of, charter), asked) in calls {
        let context = Context { as_of, charter, explain: false };
        let leads = asked.iter().map(|(_, snapshot)| snapshot.clone()).collect();
        let judged = app.host.evaluate(rule, settings, context, leads).await;
        for ((precedent, _), answer) in asked.into_iter().zip(judged) {
            let outcome = answer.verdict.map(|verdict| verdict.outcome);
            if outcome != Some(precedent.expected) {
                found.push(Contradiction { precedent, found: outcome });
            }
        }
    }
    Ok(found)
}

/// Refuses a version whose verdicts would count although it contradicts precedents.
pub fn refuse(contradictions: &[Contradiction]) -> Result<(), Refused> {
    if contradictions.is_empty() {
        return Ok(());
    }
    let named = contradictions.iter().take(NAMED).map(|one| {
        let found = one.found.map_or("nothing, since the call failed", outcome_text);
        let expected = outcome_text(one.precedent.expected);
        format!(
            "{} expects {expected} ({}), found {found}",
            one.precedent.id,
            shortened(&one.precedent.rationale)
        )
    });
    let message = format!(
        "{} precedents are decided otherwise: {}. Change the rule or its settings, or let both sides waive by waivePrecedent",
        contradictions.len(),
        named.collect::<Vec<_>>().join("; ")
    );
    Err(Refused::new(RefusalCode::PrecedentContradicted, message).at("input/digest"))
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn known(case: Option<GreyCase>) -> Result<GreyCase, Refused> {
    case.ok_or_else(|| Refused::not_found("grey case").at("input/greyCase"))
}

fn said(path: &str, text: &str) -> Result<String, Refused> {
    let (text, length) = (text.trim(), text.trim().chars().count());
    if text.is_empty() || length > WORDS {
        return Err(Refused::invalid(path, format!("1 to {WORDS} characters, found {length}")));
    }
    Ok(text.to_owned())
}
