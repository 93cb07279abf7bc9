//! Sales' mutations: answering hand-offs, logging work, qualifying, and every way a cycle ends.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::change::Draft;
use handfast_domain::disposition::Disposal;
use handfast_domain::event::{ActivityKind, Direction};
use handfast_domain::meeting::MeetingOutcome;
use handfast_domain::refused::Refused;
use handfast_domain::sales::Activity;
use handfast_domain::stage::{Cause, CycleOutcome, Side, StageKind};
use handfast_domain::time::Instant;

use super::context_request::QuestionInput;
use super::lead::{Lead, LeadRef, lead_by, want};
use super::problem::{UserError, failure, payload};
use super::scalar::{Money, local};
use super::{app, once, viewer};
use crate::app::App;
use crate::flows::commit::Once;
use crate::flows::lead::{Target, change, end, find};
use crate::flows::{Error, Viewer, qualify, scope};

/// Which lead to change, and whether it may have changed meanwhile.
#[derive(Clone, Debug, InputObject)]
pub struct LeadTarget {
    pub lead: LeadRef,
    /// Refuse with VERSION_CONFLICT unless the lead is still at this version.
    pub expected_version: Option<i32>,
    /// The same key again has no second effect and is answered as before.
    pub idempotency_key: Option<String>,
    /// Decide, and write nothing.
    pub dry_run: Option<bool>,
}

impl LeadTarget {
    /// The lead, and how the flow is to act on it. The right comes first: who may not write learns nothing of who is known.
    pub async fn find<'a>(
        self,
        app: &App,
        viewer: &'a Viewer,
        right: &'static str,
        once: Option<Once>,
    ) -> Result<Target<'a>, Error> {
        viewer.require(right)?;
        let lead = find(app, &self.lead.key()?).await?;
        let expected_version = self.expected_version.map(i64::from);
        Ok(Target { viewer, lead, expected_version, once, dry_run: self.dry_run.unwrap_or(false) })
    }
}

#[derive(SimpleObject)]
pub struct LeadPayload {
    /// The lead as it is now; null when it was refused, or when your token may not read leads.
    lead: Option<Lead>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RejectHandoffInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// Key of a disposition reason; NO_CONTEXT sends the lead back to marketing.
    reason: String,
    /// When the buyer wants to hear from us again, for reasons that recycle.
    recycle_at: Option<Instant>,
    /// What is missing, with a reason that sends the lead back to marketing; marketing answers it by answerContext.
    question: Option<QuestionInput>,
}

#[derive(Clone, Debug, InputObject)]
pub struct LogActivityInput {
    #[graphql(flatten)]
    target: LeadTarget,
    kind: ActivityKind,
    direction: Direction,
    /// Sent by a machine. It is a first touch only if the lead wrote first.
    automated: Option<bool>,
    /// When it happened; now without.
    occurred_at: Option<Instant>,
    /// Free text; it stays out of the log of events.
    note: Option<String>,
    /// How a MEETING went, held against what was expected of it. One that was held is TWO_WAY, and any other is not.
    meeting_outcome: Option<MeetingOutcome>,
    /// The planned follow-up that it does; a genuine attempt to reach the lead does the earliest one without.
    follow_up: Option<ID>,
}

/// A graded answer to a qualification question.
#[derive(Clone, Debug, InputObject)]
pub struct AnswerInput {
    /// For example `need`, `budget`, `authority`, `timeline`.
    key: String,
    /// 0 is unknown or no, 4 is proven.
    grade: i32,
    /// What the grade rests on, in the buyer's words.
    evidence: Option<String>,
    /// Basis points, 0 to 10000; 10000 without.
    confidence: Option<i32>,
}

#[derive(Clone, Debug, InputObject)]
pub struct QualifyInput {
    #[graphql(flatten)]
    target: LeadTarget,
    answers: Vec<AnswerInput>,
}

/// Whether the lead may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, async_graphql::Enum)]
pub enum DispositionOutcome {
    /// Back to nurture: it comes back on a date or a signal.
    Recycle,
    /// Out; a person may reopen it.
    Disqualify,
}

#[derive(Clone, Debug, InputObject)]
pub struct DispositionLeadInput {
    #[graphql(flatten)]
    target: LeadTarget,
    outcome: DispositionOutcome,
    /// Key of a disposition reason of the charter.
    reason: String,
    recycle_at: Option<Instant>,
    /// A signal of the charter that brings the lead back.
    recycle_on: Option<String>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecycleLeadInput {
    #[graphql(flatten)]
    target: LeadTarget,
    reason: String,
    recycle_at: Option<Instant>,
    /// A signal of the charter that brings the lead back.
    recycle_on: Option<String>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ReopenLeadInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// Why, in a sentence; it stays with the lead's notes.
    reason: String,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordOpportunityInput {
    #[graphql(flatten)]
    target: LeadTarget,
    amount: Money,
    /// When the deal is expected to close.
    expected_close: Option<Instant>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CloseWonInput {
    #[graphql(flatten)]
    target: LeadTarget,
    amount: Money,
    /// When the contract ends unless it renews.
    renews_at: Option<Instant>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CloseLostInput {
    #[graphql(flatten)]
    target: LeadTarget,
    reason: String,
    /// Needed with LOST_TO_COMPETITOR.
    competitor: Option<String>,
    recycle_at: Option<Instant>,
    /// A signal of the charter that brings the lead back.
    recycle_on: Option<String>,
}

#[derive(Default)]
pub struct WorkMutation;

#[Object]
impl WorkMutation {
    /// Sales takes the lead on: it becomes an SAL and is yours.
    async fn accept_handoff(
        &self,
        ctx: &Context<'_>,
        input: LeadTarget,
    ) -> async_graphql::Result<LeadPayload> {
        verb(ctx, "acceptHandoff", input, Cause::Sales, None, |draft, user| draft.accept_handoff(user)).await
    }

    /// Sales sends the lead back with a reason of the charter.
    async fn reject_handoff(
        &self,
        ctx: &Context<'_>,
        input: RejectHandoffInput,
    ) -> async_graphql::Result<LeadPayload> {
        let disposal = Disposal { reason: input.reason, recycle_at: input.recycle_at, ..Disposal::default() };
        let question = input.question.map(QuestionInput::read);
        let verb_ =
            |draft: &mut Draft<'_>, user| draft.reject_handoff(user, disposal.clone(), question.as_ref());
        verb(ctx, "rejectHandoff", input.target, Cause::Sales, None, verb_).await
    }

    /// A call, an e-mail, a meeting or a note. A human contact of ours stops the clock FIRST_TOUCH and does the planned
    /// follow-up that is due first; an automated one does so, too, once the lead wrote first.
    async fn log_activity(
        &self,
        ctx: &Context<'_>,
        input: LogActivityInput,
    ) -> async_graphql::Result<LeadPayload> {
        let follow_up = input.follow_up.map(|id| local("FollowUp", &id, "input/followUp")).transpose();
        let follow_up = follow_up.map_err(|refused| failure(refused.into()))?;
        let activity = Activity {
            kind: input.kind,
            direction: input.direction,
            automated: input.automated.unwrap_or(false),
            occurred_at: input.occurred_at.unwrap_or(app(ctx)?.now()),
            note: input.note,
            meeting: input.meeting_outcome,
            follow_up,
        };
        let at = Some(activity.occurred_at);
        verb(ctx, "logActivity", input.target, Cause::Sales, at, |draft, _| draft.log_activity(&activity))
            .await
    }

    /// Grades what the buyer answered. With a conversation and the charter's criteria, an SAL becomes an SQL; the
    /// answers are kept even if the gate is not met yet.
    async fn qualify(&self, ctx: &Context<'_>, input: QualifyInput) -> async_graphql::Result<LeadPayload> {
        let answers: Vec<qualify::Graded> = input
            .answers
            .into_iter()
            .map(|one| qualify::Graded {
                key: one.key,
                grade: one.grade,
                evidence: one.evidence,
                confidence: one.confidence.unwrap_or(10_000),
            })
            .collect();
        changed(ctx, "qualify", input.target, async |app, target| {
            qualify::qualify(app, target, &answers).await
        })
        .await
    }

    /// Ends the cycle as RECYCLED or DISQUALIFIED, as far as the reason allows it.
    async fn disposition_lead(
        &self,
        ctx: &Context<'_>,
        input: DispositionLeadInput,
    ) -> async_graphql::Result<LeadPayload> {
        let outcome = match input.outcome {
            DispositionOutcome::Recycle => CycleOutcome::Recycled,
            DispositionOutcome::Disqualify => CycleOutcome::Disqualified,
        };
        let disposal = Disposal {
            reason: input.reason,
            competitor: None,
            recycle_at: input.recycle_at,
            recycle_on: input.recycle_on,
        };
        let close = |draft: &mut Draft<'_>, _| draft.close(outcome, disposal.clone(), None);
        verb(ctx, "dispositionLead", input.target, Cause::Disposition, None, close).await
    }

    /// Back to nurture until a date or a signal.
    async fn recycle_lead(
        &self,
        ctx: &Context<'_>,
        input: RecycleLeadInput,
    ) -> async_graphql::Result<LeadPayload> {
        let disposal = Disposal {
            reason: input.reason,
            competitor: None,
            recycle_at: input.recycle_at,
            recycle_on: input.recycle_on,
        };
        let close = |draft: &mut Draft<'_>, _| draft.close(CycleOutcome::Recycled, disposal.clone(), None);
        verb(ctx, "recycleLead", input.target, Cause::Disposition, None, close).await
    }

    /// A person opens a closed lead again: the next cycle begins.
    async fn reopen_lead(
        &self,
        ctx: &Context<'_>,
        input: ReopenLeadInput,
    ) -> async_graphql::Result<LeadPayload> {
        let note = Activity {
            kind: ActivityKind::Note,
            direction: Direction::Outbound,
            automated: false,
            occurred_at: app(ctx)?.now(),
            note: Some(input.reason),
            meeting: None,
            follow_up: None,
        };
        let open = |draft: &mut Draft<'_>, _| {
            draft.reopen()?;
            let path = vec!["input".to_owned(), "reason".to_owned()];
            draft.log_activity(&note).map_err(|refused| Refused { path, ..refused })
        };
        verb(ctx, "reopenLead", input.target, Cause::Reopen, None, open).await
    }

    /// A deal is open: SQL becomes OPPORTUNITY.
    async fn record_opportunity(
        &self,
        ctx: &Context<'_>,
        input: RecordOpportunityInput,
    ) -> async_graphql::Result<LeadPayload> {
        let (Money { amount_minor, currency }, close) = (input.amount, input.expected_close);
        let open =
            |draft: &mut Draft<'_>, _| draft.record_opportunity(amount_minor.0, &currency, close).map(drop);
        verb(ctx, "recordOpportunity", input.target, Cause::Sales, None, open).await
    }

    /// Closed-won: the buyer is a customer.
    async fn close_won(&self, ctx: &Context<'_>, input: CloseWonInput) -> async_graphql::Result<LeadPayload> {
        let Money { amount_minor, currency } = input.amount;
        let won = |draft: &mut Draft<'_>, _| {
            draft.close_won(amount_minor.0, &currency)?;
            input.renews_at.map_or(Ok(()), |at| draft.date_renewal(Some(at)))
        };
        verb(ctx, "closeWon", input.target, Cause::Sales, None, won).await
    }

    /// Closed-lost, from SQL or OPPORTUNITY.
    async fn close_lost(
        &self,
        ctx: &Context<'_>,
        input: CloseLostInput,
    ) -> async_graphql::Result<LeadPayload> {
        let disposal = Disposal {
            reason: input.reason,
            competitor: input.competitor,
            recycle_at: input.recycle_at,
            recycle_on: input.recycle_on,
        };
        verb(ctx, "closeLost", input.target, Cause::Sales, None, |draft, _| {
            draft.close_lost(disposal.clone())
        })
        .await
    }
}

/// A verb of the domain on one lead. Who is neither marketing nor sales acts for nobody and works no lead.
async fn verb(
    ctx: &Context<'_>,
    field: &'static str,
    input: LeadTarget,
    cause: Cause,
    at: Option<Instant>,
    verb: impl Fn(&mut Draft<'_>, uuid::Uuid) -> Result<(), Refused>,
) -> async_graphql::Result<LeadPayload> {
    changed(ctx, field, input, async |app, target| {
        let viewer = target.viewer;
        match cause {
            Cause::Sales => viewer.require_side(Side::Sales, "work a lead")?,
            _ if viewer.user.side == Side::Marketing => {}
            _ => viewer.require_side(Side::Sales, "end or reopen a lead, besides MARKETING")?,
        }
        let said = |draft: &mut Draft<'_>| {
            // From SAL on it is sales' word that ends a lead.
            if cause == Cause::Disposition
                && draft.journey.is_open()
                && draft.journey.lead.stage >= StageKind::Sal
            {
                viewer.require_side(Side::Sales, "end a lead that sales accepted")?;
            }
            verb(draft, viewer.id())
        };
        match cause == Cause::Disposition || matches!(field, "rejectHandoff" | "closeLost") {
            true => end(app, target, cause, at, said).await,
            false => change(app, target, cause, at, said).await,
        }
    })
    .await
}

/// Names the lead, runs the flow and answers with the lead as it is then.
pub async fn changed(
    ctx: &Context<'_>,
    field: &'static str,
    input: LeadTarget,
    flow: impl AsyncFnOnce(&App, &Target<'_>) -> Result<(), Error>,
) -> async_graphql::Result<LeadPayload> {
    let (app, viewer) = (app(ctx)?, viewer(ctx)?);
    let once = once(ctx, field, input.idempotency_key.clone(), &ctx.field().arguments().unwrap_or_default())?;
    let result = async {
        let target = input.find(app, viewer, scope::LEADS_WRITE, once).await?;
        target.ended(app, flow(app, &target).await).await?;
        Ok(target.lead)
    };
    let (lead, errors) = payload(result.await)?;
    let lead = match lead.filter(|_| viewer.may(scope::LEADS_READ)) {
        Some(lead) => lead_by(app, lead, &want(ctx.look_ahead().field("lead"))).await?,
        None => None,
    };
    Ok(LeadPayload { lead, errors })
}
