//! Campaigns and their computed results.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::rating::RatingSubject;
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;
use handfast_store::campaign::Campaign as Row;

use super::audience::Audience;
use super::inline::Inline;
use super::page::{Page, PageArgs};
use super::problem::{UserError, coded, failure, payload};
use super::rating::Ratings;
use super::results::{self, CampaignResults};
use super::scalar::{Long, Money, global, local};
use super::{app, ask, read_viewer};
use crate::flows::campaign::{self, CampaignEdit, NewCampaign};

/// What marketing did to reach buyers. Results are computed, never typed in.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Campaign {
    pub id: ID,
    #[graphql(skip)]
    row: Arc<Row>,
}

impl Campaign {
    pub fn wrap(row: Arc<Row>) -> Campaign {
        Campaign { id: global("Campaign", row.id), row }
    }
}

#[ComplexObject]
impl Campaign {
    async fn key(&self) -> &str {
        &self.row.key
    }

    async fn name(&self) -> &str {
        &self.row.name
    }

    /// For example `webinar`, `fair`, `landing-page`.
    async fn kind(&self) -> &str {
        &self.row.kind
    }

    async fn channel(&self) -> Channel {
        self.row.channel
    }

    async fn starts_at(&self) -> Option<Instant> {
        self.row.starts_at
    }

    async fn ends_at(&self) -> Option<Instant> {
        self.row.ends_at
    }

    async fn created_at(&self) -> Instant {
        self.row.created_at
    }

    /// What was spent.
    async fn cost(&self, ctx: &Context<'_>) -> async_graphql::Result<Money> {
        let currency = app(ctx)?.workspace().charter.body.currency.clone();
        Ok(Money { amount_minor: Long(self.row.cost_minor), currency })
    }

    /// Earlier campaigns whose results were looked at before this one was planned.
    async fn reviewed(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Campaign>> {
        let workspace = app(ctx)?.workspace();
        let known = self.row.reviewed.iter().filter_map(|id| workspace.campaign(*id));
        Ok(known.cloned().map(Campaign::wrap).collect())
    }

    /// The audience that it was planned for.
    async fn audience(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Audience>> {
        let workspace = app(ctx)?.workspace();
        let found = self.row.audience.and_then(|id| workspace.audiences.iter().find(|one| one.id == id));
        Ok(found.cloned().map(Audience::wrap))
    }

    /// What people of both sides think of it.
    async fn ratings(&self, ctx: &Context<'_>) -> async_graphql::Result<Ratings> {
        Ratings::of(app(ctx)?, RatingSubject::Campaign, self.row.id).await
    }

    /// What came of it.
    async fn results(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<CampaignResults>> {
        read_viewer(ctx)?;
        results::of(ctx, &self.row).await
    }
}

#[derive(Default)]
pub struct CampaignQuery;

#[Object]
impl CampaignQuery {
    /// One campaign by id or key; null if there is none.
    async fn campaign(
        &self,
        ctx: &Context<'_>,
        id: Option<ID>,
        key: Option<String>,
    ) -> async_graphql::Result<Option<Campaign>> {
        read_viewer(ctx)?;
        if id.is_some() == key.is_some() {
            return Err(coded("VALIDATION", "give id or key: one of them names the campaign", false));
        }
        let id = id
            .map(|id| local("Campaign", &id, "id"))
            .transpose()
            .map_err(|refused| failure(refused.into()))?;
        Ok(campaign::find(app(ctx)?, id, key.as_deref()).map(Campaign::wrap))
    }

    /// Campaigns, the newest first.
    async fn campaigns(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<Campaign>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &"campaigns");
        let window = PageArgs { first, after, last, before }.window(app, "created", digest)?;
        let rows = campaign::page(app, window.from, window.backward, window.limit);
        Ok(window.page(app, rows, |row| (row.created_at.ms(), row.id), Campaign::wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct CreateCampaignInput {
    /// Unique; touchpoints and imports name the campaign by it.
    key: String,
    name: String,
    /// A key, for example `webinar`, `fair`, `landing-page`.
    kind: String,
    channel: Channel,
    cost: Option<Money>,
    starts_at: Option<Instant>,
    ends_at: Option<Instant>,
    /// Earlier campaigns whose results were looked at, at most 50. A server that asks for it refuses a campaign of a kind that has
    /// results already, unless one of those is named.
    reviewed_campaigns: Option<Vec<ID>>,
    /// Key of the audience that it is planned for: results are told by it, and costs.
    audience: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

/// What changes; what is left out stays. Kind and channel stay for good, since past decisions have read them.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateCampaignInput {
    campaign: ID,
    name: Option<String>,
    cost: Option<Money>,
    /// Null takes it away.
    starts_at: MaybeUndefined<Instant>,
    /// Null takes it away.
    ends_at: MaybeUndefined<Instant>,
    /// Key of the audience that it is planned for; null takes it away.
    audience: MaybeUndefined<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct CampaignPayload {
    campaign: Option<Campaign>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct CampaignMutation;

#[Object]
impl CampaignMutation {
    /// Marketing plans a campaign. Its results are computed from the leads that name it.
    async fn create_campaign(
        &self,
        ctx: &Context<'_>,
        input: CreateCampaignInput,
    ) -> async_graphql::Result<CampaignPayload> {
        let said =
            format!("{:?}", CreateCampaignInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let CreateCampaignInput {
            key,
            name,
            kind,
            channel,
            cost,
            starts_at,
            ends_at,
            reviewed_campaigns,
            audience,
            idempotency_key,
            dry_run,
        } = input;
        let ask = ask(ctx, "createCampaign", idempotency_key, dry_run, &said)?;
        let reviewed = reviewed_campaigns.unwrap_or_default();
        let reviewed = reviewed.iter().map(|id| local("Campaign", id, "input/reviewedCampaigns"));
        let made = match reviewed.collect::<Result<Vec<_>, _>>() {
            Ok(reviewed) => {
                let cost = cost.map(amount);
                let new =
                    NewCampaign { key, name, kind, channel, cost, starts_at, ends_at, reviewed, audience };
                campaign::create(app(ctx)?, &ask, new).await
            }
            Err(refused) => Err(refused.into()),
        };
        let (made, errors) = payload(made)?;
        Ok(CampaignPayload { campaign: made.map(Arc::new).map(Campaign::wrap), errors })
    }

    /// Edits a campaign, for example what was spent so far.
    async fn update_campaign(
        &self,
        ctx: &Context<'_>,
        input: UpdateCampaignInput,
    ) -> async_graphql::Result<CampaignPayload> {
        let said =
            format!("{:?}", UpdateCampaignInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let UpdateCampaignInput {
            campaign: id,
            name,
            cost,
            starts_at,
            ends_at,
            audience,
            idempotency_key,
            dry_run,
        } = input;
        let ask = ask(ctx, "updateCampaign", idempotency_key, dry_run, &said)?;
        let given = |value: MaybeUndefined<Instant>| match value {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(at) => Some(Some(at)),
        };
        let edit = CampaignEdit {
            name,
            cost: cost.map(amount),
            starts_at: given(starts_at),
            ends_at: given(ends_at),
            audience: match audience {
                MaybeUndefined::Undefined => None,
                MaybeUndefined::Null => Some(None),
                MaybeUndefined::Value(key) => Some(Some(key)),
            },
        };
        let edited = match local("Campaign", &id, "input/campaign") {
            Ok(id) => campaign::update(app(ctx)?, &ask, id, edit).await,
            Err(refused) => Err(refused.into()),
        };
        let (edited, errors) = payload(edited)?;
        Ok(CampaignPayload { campaign: edited.map(Arc::new).map(Campaign::wrap), errors })
    }
}

fn amount(money: Money) -> (i64, String) {
    (money.amount_minor.0, money.currency)
}
