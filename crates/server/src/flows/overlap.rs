//! Several teams at one gate, by the decisions that were recorded; and how it would be with a candidate in one of its slots.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use handfast_domain::charter::{RuleSlot, SlotKind};
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::PluginStatus;
use handfast_domain::overlap::{Overlap, Seat, Votes, compare};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_rules::{Context, Settings};
use uuid::Uuid;

use super::Error;
use super::window::Window;
use crate::app::App;
use crate::workspace::Workspace;

/// Leads that are compared.
const LEADS: usize = 20_000;
/// Leads that a candidate judges.
const CANDIDATE_LEADS: usize = 5_000;
/// Leads whose snapshots are read at once.
const BATCH: usize = 500;
/// Calls of the candidate that are under way.
const CALLS: usize = 4;

/// A version that would answer for one of the slots.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub slot: String,
    pub digest: Digest,
    /// JSON.
    pub settings: String,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub window: Window,
    pub seats: Vec<Seat>,
    pub overlap: Overlap,
    /// Not all decisions of the window were looked at.
    pub truncated: bool,
    /// Leads that the candidate could not judge, since their snapshot was erased.
    pub erased: u64,
}

/// A lead as its newest evaluation in the window saw it.
struct Seen {
    evaluation: Uuid,
    at: Instant,
    snapshot: Digest,
    votes: Votes,
}

/// Compares the newest decision of each slot of a gate on each lead. `named` leads are listed of each kind.
pub async fn overlap(
    app: &App,
    gate: StageKind,
    window: Window,
    candidate: Option<Candidate>,
    named: usize,
) -> Result<Report, Error> {
    let workspace = app.workspace();
    let slots: Vec<&RuleSlot> = workspace.charter.body.slots_of(gate).collect();
    if slots.is_empty() {
        let all = workspace.charter.body.slots.iter().filter(|slot| slot.kind == SlotKind::Qualify);
        let mut gates: Vec<String> = all.filter_map(|slot| Some(slot.gate?.to_string())).collect();
        gates.dedup();
        let message = format!(
            "the charter in force has no rule slot at the gate to {gate}; it has some at {}",
            gates.join(", ")
        );
        return Err(Refused::new(RefusalCode::NotFound, message).at("gate").into());
    }
    let keys: Vec<String> = slots.iter().map(|slot| slot.key.clone()).collect();
    let most = if candidate.is_some() { CANDIDATE_LEADS } else { LEADS };
    let (mut leads, mut order): (HashMap<Uuid, Seen>, Vec<Uuid>) = Default::default();
    let (mut pages, mut full) = (window.pages(keys), false);
    while let Some(page) = pages.next(app).await? {
        for vote in page.into_iter().filter(|vote| vote.counts() && vote.gate == Some(gate)) {
            let seen = match leads.entry(vote.lead) {
                Entry::Occupied(seen) => seen.into_mut(),
                Entry::Vacant(place) => {
                    // Votes on those that are counted may still come.
                    full |= order.len() >= most;
                    if full {
                        continue;
                    }
                    order.push(vote.lead);
                    let (evaluation, at, snapshot) = (vote.evaluation, vote.at, vote.snapshot);
                    place.insert(Seen { evaluation, at, snapshot, votes: Votes::new() })
                }
            };
            if seen.evaluation == vote.evaluation {
                seen.votes.insert(vote.slot, vote.outcome);
            }
        }
        if full {
            break;
        }
    }
    let whole = pages.is_whole() && !full;
    let mut erased = 0;
    if let Some(candidate) = candidate {
        erased = judge(app, &workspace, &slots, candidate, &order, &mut leads).await?;
    }
    let seats: Vec<Seat> =
        slots.iter().map(|slot| Seat { slot: slot.key.clone(), team: slot.team.clone() }).collect();
    let votes = order.iter().filter_map(|lead| Some((*lead, &leads.get(lead)?.votes)));
    let overlap = compare(&seats, votes, named);
    Ok(Report { window, seats, overlap, truncated: !whole, erased })
}

/// Puts what the candidate says in the place of what its slot said; leads that it cannot see are left out.
async fn judge(
    app: &App,
    workspace: &Workspace,
    slots: &[&RuleSlot],
    candidate: Candidate,
    order: &[Uuid],
    leads: &mut HashMap<Uuid, Seen>,
) -> Result<u64, Error> {
    let Candidate { slot, digest, settings } = candidate;
    if !slots.iter().any(|known| known.key == slot) {
        let known: Vec<&str> = slots.iter().map(|slot| slot.key.as_str()).collect();
        let message = format!("no slot {slot:?} at this gate; it has {}", known.join(", "));
        return Err(Refused::new(RefusalCode::NotFound, message).at("candidate/slot").into());
    }
    let version = super::plugin::version(app, digest).await?;
    if version.status != PluginStatus::Validated.as_str() || version.kind.as_deref() != Some("QUALIFY") {
        let message = format!("the candidate {} {} is no VALIDATED qualifier", version.name, version.label);
        return Err(Refused::new(RefusalCode::PluginRejected, message).at("candidate/digest").into());
    }
    let wasm = app.store.blobs().read(digest).await?;
    let refused = |message: String| Refused::new(RefusalCode::PluginRejected, message);
    let plugin = app.host.load(&wasm, &workspace.trait_kinds()).await;
    let plugin = plugin.map_err(|error| refused(error.to_string()).at("candidate/digest"))?;
    let checked = app.host.check_settings(&plugin, &settings).await;
    let settings = checked.map_err(|problems| {
        let said = problems.into_iter().map(|one| format!("{}: {}", one.pointer, one.message));
        refused(said.collect::<Vec<_>>().join("; ")).at("candidate/settings")
    })?;
    let rule = plugin.into();
    let mut erased = 0;
    for batch in order.chunks(BATCH) {
        let wanted: Vec<(Uuid, Digest)> =
            batch.iter().filter_map(|lead| Some((*lead, leads.get(lead)?.snapshot))).collect();
        let mut snapshots = handfast_store::judged::snapshots(app.store.read(), &wanted).await?;
        // Leads of one call share the instant, since it is an input.
        let mut by_instant: BTreeMap<(Instant, u32), Group> = BTreeMap::new();
        for (lead, digest) in wanted {
            let Some(snapshot) = snapshots.remove(&(lead, digest)) else {
                leads.remove(&lead);
                erased += 1;
                continue;
            };
            let at = leads.get(&lead).map_or(Instant(0), |seen| seen.at);
            by_instant.entry((at, snapshot.charter)).or_default().push((lead, Arc::new(snapshot)));
        }
        let calls: Vec<_> = by_instant
            .into_iter()
            .map(|((as_of, charter), group)| {
                ask(app, &rule, &settings, Context { as_of, charter, explain: false }, group)
            })
            .collect();
        let answered: Vec<_> = stream::iter(calls).buffered(CALLS).collect().await;
        for (lead, outcome) in answered.into_iter().flatten() {
            if let Some(seen) = leads.get_mut(&lead) {
                seen.votes.insert(slot.clone(), outcome);
            }
        }
    }
    Ok(erased)
}

/// Leads with what is known of them.
type Group = Vec<(Uuid, Arc<Snapshot>)>;

async fn ask(
    app: &App,
    rule: &handfast_rules::Rule,
    settings: &Settings,
    context: Context,
    group: Group,
) -> Vec<(Uuid, Option<handfast_domain::verdict::Outcome>)> {
    let (ids, snapshots): (Vec<Uuid>, Vec<Arc<Snapshot>>) = group.into_iter().unzip();
    let judged = app.host.evaluate(rule, settings, context, snapshots).await;
    ids.into_iter()
        .zip(judged)
        .map(|(id, judged)| (id, judged.verdict.map(|verdict| verdict.outcome)))
        .collect()
}
