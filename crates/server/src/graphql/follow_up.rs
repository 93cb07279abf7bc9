//! Follow-ups that sales plans for its leads, and what became of them.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::event::ActivityKind;
use handfast_domain::follow_up::{FollowUp as Planned, FollowUpOutcome, FollowUpStatus, NewFollowUp};
use handfast_domain::time::Instant;
use handfast_store::follow_up::{self as store, FollowUpFilter};

use super::directory::User;
use super::inline::Inline;
use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{global, local};
use super::work::LeadTarget;
use super::{app, ask, once, read_viewer, small, viewer};
use crate::app::App;
use crate::flows::{follow_up, scope};

/// Why a lead stands where it stands in the work queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum WorkReason {
    /// A follow-up of it is due: those come first, the earliest before the others.
    FollowUpDue,
    /// Nothing is due: the rest follows by priority.
    Priority,
}

/// What sales means to do next with a lead, or meant to. The next genuine attempt to reach the lead does it; it goes with the lead to
/// whomever has it, and ends with its cycle.
#[derive(Clone, Debug, SimpleObject)]
pub struct FollowUp {
    pub id: ID,
    status: FollowUpStatus,
    /// How: a CALL, an EMAIL or a MEETING.
    kind: ActivityKind,
    due_at: Instant,
    /// Number of the attempt in its cycle: the one that it was, or that it would have been when it was planned.
    attempt: i32,
    /// Attempts that the charter in force asks for before NO_RESPONSE.
    attempts_needed: i32,
    /// How it ended; null while it waits.
    outcome: Option<FollowUpOutcome>,
    /// What it is about, in the words of whoever planned it.
    note: Option<String>,
    /// Who planned it; whoever has the lead does it.
    planned_by: Option<Inline<User>>,
    planned_at: Instant,
    /// When it was done or cancelled.
    ended_at: Option<Instant>,
    cycle: i32,
    lead_id: ID,
}

impl FollowUp {
    pub fn wrap(app: &App, planned: Planned) -> FollowUp {
        let workspace = app.workspace();
        let user = planned.planned_by.and_then(|id| workspace.directory.user(id));
        FollowUp {
            id: global("FollowUp", planned.id),
            status: planned.status(app.now()),
            kind: planned.kind,
            due_at: planned.due_at,
            attempt: small(planned.attempt),
            attempts_needed: small(workspace.charter.body.attempts.attempts),
            outcome: planned.outcome,
            note: planned.note,
            planned_by: user.map(User::wrap).map(Inline),
            planned_at: planned.planned_at,
            ended_at: planned.ended_at,
            cycle: small(planned.cycle),
            lead_id: global("Lead", planned.lead),
        }
    }
}

/// A follow-up with its lead.
#[derive(Clone, SimpleObject)]
pub struct LeadFollowUp {
    follow_up: FollowUp,
    /// The lead as it is now.
    lead: Lead,
}

#[derive(Default)]
pub struct FollowUpQuery;

#[Object]
impl FollowUpQuery {
    /// Planned follow-ups, the earliest first: those that are still to be done, or those with a status.
    async fn follow_ups(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of leads that this user has now.")] owner: Option<ID>,
        #[graphql(desc = "Of leads that wait in the queue of this key now.")] queue: Option<String>,
        #[graphql(desc = "PLANNED and OVERDUE ones without.")] status: Option<FollowUpStatus>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<LeadFollowUp>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &format!("{owner:?} {queue:?} {status:?}"));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "due", digest)?;
        let owner = owner.map(|id| local("User", &id, "owner")).transpose();
        let owner = owner.map_err(|refused| failure(refused.into()))?;
        let filter = FollowUpFilter { owner, queue, status };
        let rows = store::page(app.store.read(), &filter, app.now(), window.from, window.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let ids: Vec<uuid::Uuid> = rows.iter().map(|planned| planned.lead).collect();
        let look = ctx.look_ahead().field("edges").field("node").field("lead");
        let leads = leads_by(app, &ids, &want(look)).await?;
        let known = |planned: Planned| leads.get(&planned.lead).cloned().map(|lead| (planned, lead));
        let rows: Vec<_> = rows.into_iter().filter_map(known).collect();
        let wrap = |(planned, lead)| LeadFollowUp { follow_up: FollowUp::wrap(app, planned), lead };
        Ok(window.page(app, rows, |(planned, _)| (planned.due_at.ms(), planned.id), wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct PlanFollowUpInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// Ahead, by 366 days at most.
    due_at: Instant,
    /// A CALL, an EMAIL or a MEETING.
    kind: ActivityKind,
    /// What it is about, in 1 to 2000 characters; it stays out of the log of events.
    note: Option<String>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CancelFollowUpInput {
    /// A follow-up that waits.
    follow_up: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct FollowUpPayload {
    /// The follow-up as it is now; null when it was refused or only tried, or when your token may not read leads.
    follow_up: Option<FollowUp>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct FollowUpMutation;

#[Object]
impl FollowUpMutation {
    /// Sales plans to turn to a lead again, from MQL on. The next genuine attempt to reach it does the earliest one that waits;
    /// logActivity may name another. At most ten of a lead wait at the same time.
    async fn plan_follow_up(
        &self,
        ctx: &Context<'_>,
        input: PlanFollowUpInput,
    ) -> async_graphql::Result<FollowUpPayload> {
        let PlanFollowUpInput { target, due_at, kind, note } = input;
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let arguments = ctx.field().arguments().unwrap_or_default();
        let once = once(ctx, "planFollowUp", target.idempotency_key.clone(), &arguments)?;
        let result = async {
            let target = target.find(app, viewer, scope::LEADS_WRITE, once).await?;
            follow_up::plan(app, &target, &NewFollowUp { due_at, kind, note }).await
        };
        let (planned, errors) = payload(result.await)?;
        answered(ctx, planned.flatten(), errors).await
    }

    /// Sales calls a planned follow-up off.
    async fn cancel_follow_up(
        &self,
        ctx: &Context<'_>,
        input: CancelFollowUpInput,
    ) -> async_graphql::Result<FollowUpPayload> {
        let CancelFollowUpInput { follow_up: id, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "cancelFollowUp", idempotency_key, dry_run, &id.0)?;
        let id = local("FollowUp", &id, "input/followUp").map_err(|refused| failure(refused.into()))?;
        let (cancelled, errors) = payload(follow_up::cancel(app(ctx)?, &ask, id).await)?;
        answered(ctx, cancelled, errors).await
    }
}

async fn answered(
    ctx: &Context<'_>,
    id: Option<uuid::Uuid>,
    errors: Vec<UserError>,
) -> async_graphql::Result<FollowUpPayload> {
    let Some(id) = id.filter(|_| viewer(ctx).is_ok_and(|viewer| viewer.may(scope::LEADS_READ))) else {
        return Ok(FollowUpPayload { follow_up: None, errors });
    };
    let app = app(ctx)?;
    let found = store::find(app.store.read(), id).await.map_err(|error| failure(error.into()))?;
    Ok(FollowUpPayload { follow_up: found.map(|planned| FollowUp::wrap(app, planned)), errors })
}
