//! The weekly meeting of both sides: its agenda, and what was decided.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::review::{
    AlignmentReview as Kept, ReviewDecision as Decision, ReviewMeeting as Meeting,
};
use handfast_domain::time::Instant;

use super::charter::review::{CharterReviewState, state as charter_state};
use super::content::ContentCell;
use super::directory::User;
use super::feedback::Feedback;
use super::friction::{ConflictingTouch, FrictionCount};
use super::grey_case::GreyCase;
use super::lead::{leads_by, want};
use super::problem::{UserError, failure, payload};
use super::{app, ask, read_viewer};
use crate::flows::review::{self, Agenda, Decided};
use crate::workspace::Workspace;

/// What both managers talk about in a week. Nobody writes it: it is read from what happened and what is open.
#[derive(Clone, SimpleObject)]
pub struct ReviewAgenda {
    /// The Monday of the week, in the charter's time zone.
    week: Date,
    /// When the week begins.
    from: Instant,
    /// When it ends, not included.
    to: Instant,
    /// Grey cases that are open now, the newest 20.
    grey_cases: Vec<GreyCase>,
    /// Promises on leads that were broken in the week, by kind and party.
    breaches: Vec<FrictionCount>,
    /// Why cycles ended in the week without a win, by reason and outcome.
    drop_reasons: Vec<FrictionCount>,
    /// Personas and stages that lack content now.
    content_gaps: Vec<ContentCell>,
    /// Feedback that nobody has acknowledged, the newest 20.
    unanswered_feedback: Vec<Feedback>,
    /// Touches of marketing's in the week while sales worked the lead, the newest 20.
    conflicting_touches: Vec<ConflictingTouch>,
    /// The charter in force, with who owes its review; null while nobody signed one.
    charter_review: Option<CharterReviewState>,
    /// What was decided at the last meeting before this week.
    earlier_decisions: Vec<ReviewDecision>,
    /// What was decided this week; null before its first meeting is recorded.
    review: Option<AlignmentReview>,
}

/// The meetings of a week.
#[derive(Clone, SimpleObject)]
pub struct AlignmentReview {
    /// The Monday of the week, in the charter's time zone.
    week: Date,
    /// The first one first.
    meetings: Vec<ReviewMeeting>,
}

/// One meeting of both sides.
#[derive(Clone, SimpleObject)]
pub struct ReviewMeeting {
    recorded_at: Instant,
    /// Who wrote it down.
    recorded_by: Option<User>,
    /// People of both sides.
    attendees: Vec<User>,
    decisions: Vec<ReviewDecision>,
}

/// One thing that both sides decided.
#[derive(Clone, SimpleObject)]
pub struct ReviewDecision {
    /// In the words of whoever wrote it down.
    text: String,
    /// Who sees to it.
    owner: Option<User>,
    due_at: Option<Instant>,
}

fn decision(workspace: &Workspace, decision: &Decision) -> ReviewDecision {
    let owner = decision.owner.and_then(|id| workspace.directory.user(id));
    ReviewDecision { text: decision.text.clone(), owner: owner.map(User::wrap), due_at: decision.due_at }
}

impl AlignmentReview {
    fn wrap(workspace: &Workspace, kept: &Kept) -> Option<AlignmentReview> {
        let user = |id: &uuid::Uuid| workspace.directory.user(*id).map(User::wrap);
        let meeting = |meeting: &Meeting| ReviewMeeting {
            recorded_at: meeting.recorded_at,
            recorded_by: user(&meeting.recorded_by),
            attendees: meeting.attendees.iter().filter_map(user).collect(),
            decisions: meeting.decisions.iter().map(|one| decision(workspace, one)).collect(),
        };
        let week = Date::parse(&kept.key).ok()?;
        Some(AlignmentReview { week, meetings: kept.meetings.iter().map(meeting).collect() })
    }
}

#[derive(Default)]
pub struct ReviewQuery;

#[Object]
impl ReviewQuery {
    /// What both managers talk about in a week.
    async fn review_agenda(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Any day of the week; this week without.")] week: Option<Date>,
    ) -> async_graphql::Result<ReviewAgenda> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let Agenda {
            week,
            from,
            to,
            grey_cases,
            breaches,
            drops,
            content_gaps,
            unanswered,
            conflicting,
            review,
            before,
        } = review::agenda(app, week).await.map_err(failure)?;
        let ids: Vec<uuid::Uuid> = conflicting.iter().map(|touch| touch.lead).collect();
        let leads =
            leads_by(app, &ids, &want(ctx.look_ahead().field("conflictingTouches").field("lead"))).await?;
        let workspace = app.workspace();
        let charter_review = match workspace.charter.unsigned() {
            true => None,
            false => Some(charter_state(app, &workspace.charter).await?),
        };
        let touch = |touch| ConflictingTouch::wrap(&workspace, touch, &leads);
        Ok(ReviewAgenda {
            week,
            from,
            to,
            grey_cases: grey_cases.into_iter().map(|case| GreyCase::wrap(&workspace, case)).collect(),
            breaches: breaches.iter().map(FrictionCount::from).collect(),
            drop_reasons: drops.iter().map(FrictionCount::from).collect(),
            content_gaps: content_gaps.into_iter().map(ContentCell::from).collect(),
            unanswered_feedback: unanswered
                .into_iter()
                .map(|told| Feedback::wrap(&workspace, told))
                .collect(),
            conflicting_touches: conflicting.into_iter().map(touch).collect(),
            charter_review,
            earlier_decisions: before.iter().map(|one| decision(&workspace, one)).collect(),
            review: review.and_then(|kept| AlignmentReview::wrap(&workspace, &kept)),
        })
    }

    /// The newest weeks in which both sides met, with what they decided.
    async fn reviews(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 53", default = 10)] first: i32,
    ) -> async_graphql::Result<Vec<AlignmentReview>> {
        read_viewer(ctx)?;
        let first = usize::try_from(super::bounded("first", first, 53)?).unwrap_or(0);
        let app = app(ctx)?;
        let found = review::reviews(app, first).await.map_err(failure)?;
        let workspace = app.workspace();
        Ok(found.iter().filter_map(|kept| AlignmentReview::wrap(&workspace, kept)).collect())
    }
}

/// One thing that was decided.
#[derive(Clone, Debug, InputObject)]
pub struct ReviewDecisionInput {
    /// 1 to 1000 characters. Name no lead.
    text: String,
    /// Key of the user who sees to it.
    owner: Option<String>,
    due_at: Option<Instant>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordReviewInput {
    /// Any day of the week; this week without.
    week: Option<Date>,
    /// Keys of those who were there, of both sides.
    attendees: Vec<String>,
    /// 1 to 50.
    decisions: Vec<ReviewDecisionInput>,
    /// Whether the meeting went through the charter in force, and both sides keep it: that keeps their promise CHARTER_REVIEW.
    charter_reviewed: Option<bool>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct ReviewPayload {
    /// The week with all of its meetings; null when it was refused.
    review: Option<AlignmentReview>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ReviewMutation;

#[Object]
impl ReviewMutation {
    /// Keeps what was decided at a meeting of both sides.
    async fn record_review(
        &self,
        ctx: &Context<'_>,
        input: RecordReviewInput,
    ) -> async_graphql::Result<ReviewPayload> {
        let said =
            format!("{:?}", RecordReviewInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let RecordReviewInput { week, attendees, decisions, charter_reviewed, idempotency_key, dry_run } =
            input;
        let ask = ask(ctx, "recordReview", idempotency_key, dry_run, &said)?;
        let decisions = decisions.into_iter().map(|one| (one.text, one.owner, one.due_at));
        let decisions: Vec<Decided> = decisions.collect();
        let app = app(ctx)?;
        let (kept, errors) = payload(
            review::record(app, &ask, week, attendees, decisions, charter_reviewed.unwrap_or(false)).await,
        )?;
        let workspace = app.workspace();
        Ok(ReviewPayload { review: kept.and_then(|kept| AlignmentReview::wrap(&workspace, &kept)), errors })
    }
}
