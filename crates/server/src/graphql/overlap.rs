//! Several teams at one gate: what they claim together, and what nobody claims.

use std::collections::BTreeMap;

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;

use super::lead::{Lead, leads_by, want};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::overlap::{self, Candidate};
use crate::flows::window::Window;

/// A version that would answer for one slot of the gate.
#[derive(Clone, Debug, InputObject)]
pub struct OverlapCandidateInput {
    /// Key of a slot of the gate.
    slot: String,
    /// A VALIDATED version.
    digest: Digest,
    /// Its settings as JSON.
    settings: String,
}

/// How the rules of several teams at one gate get along, by the newest evaluation of each lead in a span of time. A claim is
/// an ADVANCE; slots of one team do not contend.
#[derive(Clone, SimpleObject)]
pub struct Overlap {
    /// The stage that the gate guards.
    gate: StageKind,
    /// Beginning of the span.
    from: Instant,
    /// Its end, which is not in it.
    to: Instant,
    /// Leads that were judged.
    leads: Long,
    /// Claimed by two teams or more.
    by_many: Long,
    /// Claimed by one team.
    by_one: Long,
    /// Claimed by nobody.
    by_nobody: Long,
    slots: Vec<OverlapSlot>,
    /// Each two slots of different teams.
    pairs: Vec<OverlapPair>,
    /// Leads that two teams or more claim, the newest first, as many as `first` says.
    claimed_by_many: Vec<Lead>,
    /// Leads that nobody claims, the newest first, as many as `first` says.
    claimed_by_nobody: Vec<Lead>,
    /// Leads that the candidate could not see, since they were erased; they are left out.
    erased: Long,
    /// There was more in the span than one report looks at: the newest 20,000 leads, 5,000 with a candidate.
    truncated: bool,
}

/// What one slot claims.
#[derive(Clone, SimpleObject)]
pub struct OverlapSlot {
    /// Key of the rule slot.
    slot: String,
    /// Key of the team that deploys to it.
    team: String,
    /// Leads for which it said ADVANCE.
    claimed: Long,
    /// Of them, those that no other team claimed.
    alone: Long,
    /// Leads for which it failed, or was not asked.
    silent: Long,
}

/// Two slots of different teams.
#[derive(Clone, SimpleObject)]
pub struct OverlapPair {
    /// Key of the one slot.
    first: String,
    /// Key of the other slot.
    second: String,
    /// Leads that both claim.
    both: Long,
    /// Leads that the first claims and the second does not.
    only_first: Long,
    /// Leads that the second claims and the first does not.
    only_second: Long,
    /// Leads that neither claims.
    neither: Long,
}

fn count(number: u64) -> Long {
    Long(i64::try_from(number).unwrap_or(i64::MAX))
}

#[derive(Default)]
pub struct OverlapQuery;

#[Object]
impl OverlapQuery {
    /// Leads that the live rules of two teams both claim, and leads that none claims, by the decisions that were recorded. With
    /// a candidate, its verdict on the same snapshots stands in the place of what its slot said.
    async fn overlap(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A stage whose gate has rule slots.")] gate: StageKind,
        #[graphql(desc = "The last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Not included; now without.")] to: Option<Instant>,
        candidate: Option<OverlapCandidateInput>,
        #[graphql(desc = "Leads that are named of each kind, 1 to 200", default = 20)] first: i32,
    ) -> async_graphql::Result<Overlap> {
        read_viewer(ctx)?;
        let (app, first) = (app(ctx)?, super::bounded("first", first, 200)?);
        let window = Window::new(app, from, to).map_err(|refused| failure(refused.into()))?;
        let candidate = candidate.map(|OverlapCandidateInput { slot, digest, settings }| Candidate {
            slot,
            digest,
            settings,
        });
        let named = usize::try_from(first).unwrap_or(0);
        let found = overlap::overlap(app, gate, window, candidate, named).await.map_err(failure)?;
        let overlap::Report { window, seats, overlap, truncated, erased } = found;
        let look = ctx.look_ahead();
        let mut named: [Vec<Lead>; 2] = Default::default();
        let fields = [("claimedByMany", &overlap.many), ("claimedByNobody", &overlap.nobody)];
        for ((field, ids), list) in fields.into_iter().zip(&mut named) {
            let look = look.field(field);
            if look.exists() {
                let mut leads: BTreeMap<uuid::Uuid, Lead> = leads_by(app, ids, &want(look)).await?;
                *list = ids.iter().filter_map(|id| leads.remove(id)).collect();
            }
        }
        let [claimed_by_many, claimed_by_nobody] = named;
        let slots = seats.into_iter().map(|seat| {
            let claims = overlap.claims.get(&seat.slot).cloned().unwrap_or_default();
            let (claimed, alone, silent) = (count(claims.claimed), count(claims.alone), count(claims.silent));
            OverlapSlot { slot: seat.slot, team: seat.team, claimed, alone, silent }
        });
        let pairs = overlap.pairs.into_iter().map(|pair| OverlapPair {
            first: pair.first,
            second: pair.second,
            both: count(pair.both),
            only_first: count(pair.only_first),
            only_second: count(pair.only_second),
            neither: count(pair.neither),
        });
        Ok(Overlap {
            gate,
            from: window.from,
            to: window.to,
            leads: count(overlap.leads),
            by_many: count(overlap.by_many),
            by_one: count(overlap.by_one),
            by_nobody: count(overlap.by_nobody),
            slots: slots.collect(),
            pairs: pairs.collect(),
            claimed_by_many,
            claimed_by_nobody,
            erased: count(erased),
            truncated,
        })
    }
}
