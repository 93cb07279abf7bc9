//! What comes after a win: renewals, advocates, churn.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::change::Draft;
use handfast_domain::customer::{Advocacy, Churn, ChurnReason};
use handfast_domain::digest::Digest;
use handfast_domain::refused::Refused;
use handfast_domain::stage::Cause;
use handfast_domain::time::{DAY, Instant};
use uuid::Uuid;

use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::failure;
use super::work::{LeadPayload, LeadTarget, changed};
use super::{app, read_viewer};
use crate::flows::lead::change;

#[derive(Clone, Debug, InputObject)]
pub struct DateRenewalInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// When the contract ends unless it renews; null where nobody knows.
    renews_at: Option<Instant>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordRenewalInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// When it renewed; now without.
    occurred_at: Option<Instant>,
    /// When the contract ends now unless it renews again.
    renews_at: Option<Instant>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordChurnInput {
    #[graphql(flatten)]
    target: LeadTarget,
    reason: ChurnReason,
    /// To whom it goes, with LOST_TO_COMPETITOR: the name of a company.
    competitor: Option<String>,
    /// When it left; now without.
    occurred_at: Option<Instant>,
    /// When somebody tries to win it back: a cycle WINBACK opens then.
    win_back_at: Option<Instant>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordAdvocacyInput {
    #[graphql(flatten)]
    target: LeadTarget,
    advocacy: Advocacy,
    /// When it spoke for us; now without.
    occurred_at: Option<Instant>,
}

/// A customer whose contract ends.
#[derive(Clone, SimpleObject)]
pub struct RenewalDue {
    /// When it ends unless it renews.
    renews_at: Instant,
    lead: Lead,
}

/// Days that lie ahead, without `until`.
const AHEAD: i64 = 90;

#[derive(Default)]
pub struct CustomerQuery;

#[Object]
impl CustomerQuery {
    /// Customers whose contract ends, or ended without a word, the next one first.
    async fn renewals_due(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those that end before then; within 90 days without.")] until: Option<Instant>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<RenewalDue>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &("renewals", until));
        let page = PageArgs { first, after, ..PageArgs::default() }.window(app, "renews", digest)?;
        let until = until.unwrap_or_else(|| app.now().plus(AHEAD * DAY));
        let rows = handfast_store::customer::renewals(app.store.read(), until, page.from, page.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let ids: Vec<Uuid> = rows.iter().map(|(_, lead)| *lead).collect();
        let look = ctx.look_ahead().field("edges").field("node").field("lead");
        let leads = leads_by(app, &ids, &want(look)).await?;
        let known = |(at, id): (Instant, Uuid)| leads.get(&id).cloned().map(|lead| (at, id, lead));
        let rows: Vec<_> = rows.into_iter().filter_map(known).collect();
        let wrap = |(renews_at, _, lead)| RenewalDue { renews_at, lead };
        Ok(page.page(app, rows, |(at, id, _)| (at.ms(), *id), wrap))
    }
}

#[derive(Default)]
pub struct CustomerMutation;

#[Object]
impl CustomerMutation {
    /// Says when the contract of a customer ends, or that nobody knows; `renewalsDue` reminds of it.
    async fn date_renewal(
        &self,
        ctx: &Context<'_>,
        input: DateRenewalInput,
    ) -> async_graphql::Result<LeadPayload> {
        let renews_at = input.renews_at;
        verb(ctx, "dateRenewal", input.target, None, |draft| draft.date_renewal(renews_at)).await
    }

    /// A customer renewed. That alone makes no advocate of it: whoever only stays brings nobody.
    async fn record_renewal(
        &self,
        ctx: &Context<'_>,
        input: RecordRenewalInput,
    ) -> async_graphql::Result<LeadPayload> {
        let renews_at = input.renews_at;
        let renew = |draft: &mut Draft<'_>| draft.renew(renews_at);
        verb(ctx, "recordRenewal", input.target, input.occurred_at, renew).await
    }

    /// A customer left. Marketing may enrol it in a nurture track from then on; the next cycle that opens of it is a WINBACK.
    async fn record_churn(
        &self,
        ctx: &Context<'_>,
        input: RecordChurnInput,
    ) -> async_graphql::Result<LeadPayload> {
        let RecordChurnInput { target, reason, competitor, occurred_at, win_back_at } = input;
        let churn = |draft: &mut Draft<'_>| {
            draft.churn(Churn { reason, competitor: competitor.clone(), win_back_at })
        };
        verb(ctx, "recordChurn", target, occurred_at, churn).await
    }

    /// A customer spoke for us: CUSTOMER becomes ADVOCATE, unless it is buying again just now.
    async fn record_advocacy(
        &self,
        ctx: &Context<'_>,
        input: RecordAdvocacyInput,
    ) -> async_graphql::Result<LeadPayload> {
        let advocacy = input.advocacy;
        let speak = |draft: &mut Draft<'_>| draft.advocate(advocacy);
        verb(ctx, "recordAdvocacy", input.target, input.occurred_at, speak).await
    }
}

/// Whoever may write leads tells of customers: sales, marketing, or the system that bills them.
async fn verb(
    ctx: &Context<'_>,
    field: &'static str,
    target: LeadTarget,
    at: Option<Instant>,
    verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
) -> async_graphql::Result<LeadPayload> {
    changed(ctx, field, target, async |app, target| change(app, target, Cause::Sales, at, verb).await).await
}
