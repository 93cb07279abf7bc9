//! Grey cases, what both sides said of them, and the precedents that they make.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::event::GreyTrigger;
use handfast_domain::grey_case::{GreyCase as Case, GreyState, Precedent as Decided, Waiver};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use handfast_store::evaluation;
use handfast_store::grey_case as store;

use super::decision::Decision;
use super::directory::User;
use super::lead::{Lead, lead_by, want};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{Uuid, global, local};
use super::{app, ask, read_viewer};
use crate::app::App;
use crate::flows::grey_case::{self, Decide};
use crate::workspace::Workspace;

mod event;

pub use event::GreyCaseSubscription;

/// A lead that a rule could not judge, or that two versions judged differently. Both sides say what should come out; where they
/// agree it is decided, and becomes a precedent.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct GreyCase {
    pub id: ID,
    uuid: Uuid,
    /// Key of the rule slot.
    slot: String,
    cycle: i32,
    trigger: GreyTrigger,
    /// What is unclear.
    text: Option<String>,
    state: GreyState,
    opened_at: Instant,
    /// What each side thinks, the newest of each.
    opinions: Vec<GreyOpinion>,
    /// How it was decided; null while it is open.
    resolution: Option<GreyResolution>,
    #[graphql(skip)]
    lead: uuid::Uuid,
    #[graphql(skip)]
    decision: uuid::Uuid,
}

/// What one side thinks of a grey case.
#[derive(Clone, SimpleObject)]
pub struct GreyOpinion {
    /// Null for somebody who is no longer known.
    user: Option<User>,
    side: Side,
    outcome: Outcome,
    /// Why.
    text: String,
    at: Instant,
}

/// How both sides decided a grey case.
#[derive(Clone, SimpleObject)]
pub struct GreyResolution {
    outcome: Outcome,
    /// Why, for whoever meets the next one of its kind.
    rationale: String,
    /// Who wrote it down.
    user: Option<User>,
    at: Instant,
}

/// A decided grey case, as every later version of the slot's rule must decide it.
#[derive(Clone, SimpleObject)]
pub struct Precedent {
    pub id: ID,
    uuid: Uuid,
    /// Key of the rule slot.
    slot: String,
    /// The grey case that it came from.
    grey_case: ID,
    /// The lead that it was about.
    lead_id: ID,
    /// What the rule takes for now.
    as_of: Instant,
    /// Number of the charter in force then.
    charter: i32,
    /// What must come out.
    expected: Outcome,
    /// Why both sides said so.
    rationale: String,
    created_at: Instant,
    /// Versions that may contradict it, by one side's word or by both.
    waivers: Vec<PrecedentWaiver>,
}

/// One side's word that a version may contradict a precedent. It takes both.
#[derive(Clone, SimpleObject)]
pub struct PrecedentWaiver {
    /// The version.
    digest: Digest,
    user: Option<User>,
    side: Side,
    reason: String,
    at: Instant,
}

fn person(workspace: &Workspace, id: uuid::Uuid) -> Option<User> {
    workspace.directory.user(id).map(User::wrap)
}

impl GreyCase {
    pub fn wrap(workspace: &Workspace, case: Case) -> GreyCase {
        let state = case.state();
        let opinions = case.opinions.into_iter().map(|opinion| GreyOpinion {
            user: person(workspace, opinion.user),
            side: opinion.side,
            outcome: opinion.outcome,
            text: opinion.text,
            at: opinion.at,
        });
        GreyCase {
            id: global("GreyCase", case.id),
            uuid: Uuid(case.id),
            slot: case.slot,
            cycle: super::small(case.cycle),
            trigger: case.trigger,
            text: case.text,
            state,
            opened_at: case.opened_at,
            opinions: opinions.collect(),
            resolution: case.resolution.map(|resolution| GreyResolution {
                outcome: resolution.outcome,
                rationale: resolution.rationale,
                user: person(workspace, resolution.user),
                at: resolution.at,
            }),
            lead: case.lead,
            decision: case.decision,
        }
    }
}

impl Precedent {
    /// Wraps any number of precedents; their waivers are read together.
    async fn wrap_all(app: &App, found: Vec<Decided>) -> async_graphql::Result<Vec<Precedent>> {
        let ids: BTreeSet<uuid::Uuid> = found.iter().map(|one| one.id).collect();
        let mut waivers: BTreeMap<uuid::Uuid, Vec<(Digest, Waiver)>> = match ids.is_empty() {
            true => BTreeMap::new(),
            false => store::waivers(app.store.read(), &ids).await.map_err(|error| failure(error.into()))?,
        };
        let workspace = app.workspace();
        let wrap = |one: Decided| {
            let waived = waivers.remove(&one.id).unwrap_or_default().into_iter();
            let waived = waived.map(|(digest, waiver)| PrecedentWaiver {
                digest,
                user: person(&workspace, waiver.user),
                side: waiver.side,
                reason: waiver.reason,
                at: waiver.at,
            });
            Precedent {
                id: global("Precedent", one.id),
                uuid: Uuid(one.id),
                slot: one.slot,
                grey_case: global("GreyCase", one.case),
                lead_id: global("Lead", one.lead),
                as_of: one.as_of,
                charter: super::small(one.charter),
                expected: one.expected,
                rationale: one.rationale,
                created_at: one.created_at,
                waivers: waived.collect(),
            }
        };
        Ok(found.into_iter().map(wrap).collect())
    }
}

#[ComplexObject]
impl GreyCase {
    /// The lead that it is about.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        read_viewer(ctx)?;
        lead_by(app(ctx)?, self.lead, &want(ctx.look_ahead())).await
    }

    /// The decision that is in question.
    async fn decision(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Decision>> {
        read_viewer(ctx)?;
        let stored = evaluation::decision(app(ctx)?.store.read(), self.decision).await;
        let stored = stored.map_err(|error| failure(error.into()))?;
        Ok(stored.map(|one| Decision::wrap(one.decision, one.lead, one.as_of, one.charter)))
    }
}

#[derive(Default)]
pub struct GreyCaseQuery;

#[Object]
impl GreyCaseQuery {
    /// Grey cases, the newest first. All given conditions hold together.
    async fn grey_cases(
        &self,
        ctx: &Context<'_>,
        state: Option<GreyState>,
        #[graphql(desc = "Key of a rule slot.")] slot: Option<String>,
        lead: Option<ID>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<GreyCase>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let lead = lead.map(|id| local("Lead", &id, "lead")).transpose();
        let lead = lead.map_err(|refused| failure(refused.into()))?;
        let digest = Digest::of("filter", 1, &(state.map(GreyState::as_str), &slot, lead));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "opened", digest)?;
        let (from, limit) = (window.from, window.limit);
        let rows = store::page(app.store.read(), state, slot.as_deref(), lead, from, limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let workspace = app.workspace();
        let place = |case: &Case| (case.opened_at.ms(), case.id);
        Ok(window.page(app, rows, place, |case| GreyCase::wrap(&workspace, case)))
    }

    /// Precedents of a slot, or of all, the newest first.
    async fn precedents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a rule slot.")] slot: Option<String>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Precedent>> {
        read_viewer(ctx)?;
        let first = super::bounded("first", first, 200)?;
        let app = app(ctx)?;
        let found = store::precedents(app.store.read(), slot.as_deref(), first).await;
        let found = found.map_err(|error| failure(error.into()))?;
        Precedent::wrap_all(app, found.into_iter().map(|(one, _)| one).collect()).await
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct GiveOpinionInput {
    /// One that is open.
    grey_case: ID,
    /// What should come out.
    outcome: Outcome,
    /// Why, in 1 to 2000 characters.
    text: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ResolveGreyCaseInput {
    /// One that is open.
    grey_case: ID,
    /// What both sides said.
    outcome: Outcome,
    /// Why, in 1 to 2000 characters, for whoever meets the next one of its kind.
    rationale: String,
    /// Disposition reason of RECYCLE and DISQUALIFY.
    reason: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct WaivePrecedentInput {
    /// One that the version contradicts.
    precedent: ID,
    /// sha-256 of the version that may contradict it.
    digest: Digest,
    /// Why, in 1 to 2000 characters.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct GreyCasePayload {
    /// The case as it is now; null when it was refused.
    grey_case: Option<GreyCase>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct PrecedentPayload {
    /// The precedent as it is now; null when it was refused.
    precedent: Option<Precedent>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct GreyCaseMutation;

#[Object]
impl GreyCaseMutation {
    /// Says what your side thinks should come out; it takes the place of what your side said before.
    async fn give_opinion(
        &self,
        ctx: &Context<'_>,
        input: GiveOpinionInput,
    ) -> async_graphql::Result<GreyCasePayload> {
        let GiveOpinionInput { grey_case, outcome, text, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "giveOpinion", idempotency_key, dry_run, &(&grey_case.0, outcome, &text))?;
        let id = read("GreyCase", &grey_case, "input/greyCase")?;
        answer(ctx, grey_case::opine(app(ctx)?, &ask, id, outcome, &text).await).await
    }

    /// Decides a case as both sides said. If the lead still waits at that gate, it goes where the decision says; every later
    /// version of the rule is held against it.
    async fn resolve_grey_case(
        &self,
        ctx: &Context<'_>,
        input: ResolveGreyCaseInput,
    ) -> async_graphql::Result<GreyCasePayload> {
        let ResolveGreyCaseInput { grey_case, outcome, rationale, reason, idempotency_key, dry_run } = input;
        let asked = (&grey_case.0, outcome, &rationale, &reason);
        let ask = ask(ctx, "resolveGreyCase", idempotency_key, dry_run, &asked)?;
        let case = read("GreyCase", &grey_case, "input/greyCase")?;
        let decide = Decide { case, outcome, rationale, reason };
        answer(ctx, grey_case::resolve(app(ctx)?, &ask, decide).await).await
    }

    /// Says for your side that a version may contradict a precedent. With the words of both sides it may be deployed.
    async fn waive_precedent(
        &self,
        ctx: &Context<'_>,
        input: WaivePrecedentInput,
    ) -> async_graphql::Result<PrecedentPayload> {
        let WaivePrecedentInput { precedent, digest, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "waivePrecedent", idempotency_key, dry_run, &(&precedent.0, digest, &reason))?;
        let id = read("Precedent", &precedent, "input/precedent")?;
        let app = app(ctx)?;
        let (id, errors) = payload(grey_case::waive(app, &ask, id, digest, &reason).await)?;
        let Some(id) = id else { return Ok(PrecedentPayload { precedent: None, errors }) };
        let found = store::precedent(app.store.read(), id).await.map_err(|error| failure(error.into()))?;
        let precedent = Precedent::wrap_all(app, found.into_iter().collect()).await?.pop();
        Ok(PrecedentPayload { precedent, errors })
    }
}

fn read(kind: &str, id: &ID, path: &str) -> async_graphql::Result<uuid::Uuid> {
    local(kind, id, path).map_err(|refused| failure(refused.into()))
}

async fn answer(
    ctx: &Context<'_>,
    done: Result<uuid::Uuid, crate::flows::Error>,
) -> async_graphql::Result<GreyCasePayload> {
    let (id, errors) = payload(done)?;
    let Some(id) = id else { return Ok(GreyCasePayload { grey_case: None, errors }) };
    let app = app(ctx)?;
    let found = store::find(app.store.read(), id).await.map_err(|error| failure(error.into()))?;
    let workspace = app.workspace();
    Ok(GreyCasePayload { grey_case: found.map(|case| GreyCase::wrap(&workspace, case)), errors })
}
