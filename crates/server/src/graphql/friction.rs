//! Where the two sides rub, with the leads that show it, and marketing's touches of leads that sales works.

use std::collections::BTreeMap;

use async_graphql::{Context, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::friction::FrictionKind;
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;
use handfast_store::friction::{ConflictingTouch as Touch, Counted};

use super::campaign::Campaign;
use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::app::App;
use crate::flows::friction;
use crate::flows::window::Window;
use crate::workspace::Workspace;

/// One kind of trouble between the two sides, and how often there was some.
#[derive(Clone, SimpleObject)]
pub struct FrictionPoint {
    kind: FrictionKind,
    /// The disposition reason, the kind of the promise, or the stage.
    key: String,
    /// The party that promised, the outcome of the drop, or what became of the hand-off; null of a stall.
    of: Option<String>,
    /// How often.
    count: Long,
    /// The newest leads of it, at most five.
    evidence: Vec<Lead>,
}

/// Something of a week that was counted.
#[derive(Clone, SimpleObject)]
pub struct FrictionCount {
    /// The disposition reason, or the kind of the promise.
    key: String,
    /// The party that promised, or the outcome of the drop.
    of: Option<String>,
    /// How often.
    count: Long,
}

impl From<&Counted> for FrictionCount {
    fn from(counted: &Counted) -> FrictionCount {
        let of = Some(counted.of.clone()).filter(|of| !of.is_empty());
        FrictionCount { key: counted.key.clone(), of, count: Long(counted.count) }
    }
}

/// A touch of marketing's while sales worked the lead.
#[derive(Clone, SimpleObject)]
pub struct ConflictingTouch {
    lead: Option<Lead>,
    channel: Channel,
    campaign: Option<Campaign>,
    content: Option<String>,
    at: Instant,
    /// Since when sales worked the lead.
    worked_since: Instant,
}

impl ConflictingTouch {
    /// Wraps touches whose leads were read together.
    pub fn wrap(workspace: &Workspace, touch: Touch, leads: &BTreeMap<uuid::Uuid, Lead>) -> ConflictingTouch {
        let campaign = touch.campaign.and_then(|id| workspace.campaign(id));
        ConflictingTouch {
            lead: leads.get(&touch.lead).cloned(),
            channel: touch.channel,
            campaign: campaign.cloned().map(Campaign::wrap),
            content: touch.content,
            at: touch.at,
            worked_since: touch.worked_since,
        }
    }
}

fn window(app: &App, from: Option<Instant>, to: Option<Instant>) -> async_graphql::Result<Window> {
    Window::new(app, from, to).map_err(|refused| failure(refused.into()))
}

#[derive(Default)]
pub struct FrictionQuery;

#[Object]
impl FrictionQuery {
    /// Where the two sides rub, the most frequent first: why sales rejects hand-offs, why cycles end without a win, which promises
    /// are broken in a window, and where leads stall now. Each with leads that show it.
    async fn friction_points(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "30 days before `to` without.")] from: Option<Instant>,
        #[graphql(desc = "Now without; not included.")] to: Option<Instant>,
        #[graphql(desc = "1 to 100", default = 20)] first: i32,
    ) -> async_graphql::Result<Vec<FrictionPoint>> {
        read_viewer(ctx)?;
        let first = usize::try_from(super::bounded("first", first, 100)?).unwrap_or(0);
        let app = app(ctx)?;
        let found = friction::points(app, window(app, from, to)?, first).await.map_err(failure)?;
        let look = ctx.look_ahead().field("evidence");
        let mut ids: Vec<uuid::Uuid> = found.iter().flat_map(|(_, one)| one.leads.clone()).collect();
        ids.sort();
        ids.dedup();
        let leads = match look.exists() {
            true => leads_by(app, &ids, &want(look)).await?,
            false => BTreeMap::new(),
        };
        let wrap = |(kind, counted): (FrictionKind, Counted)| {
            let FrictionCount { key, of, count } = FrictionCount::from(&counted);
            let evidence = counted.leads.iter().filter_map(|id| leads.get(id).cloned()).collect();
            FrictionPoint { kind, key, of, count, evidence }
        };
        Ok(found.into_iter().map(wrap).collect())
    }

    /// Touches in channels in which marketing turns to a lead by itself (e-mail, retargeting, display, paid social, outbound) while
    /// sales worked it, from its acceptance to the end of the cycle; the newest first. Cycles that sales accepted more than a year
    /// before the window are not looked at.
    async fn conflicting_touches(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "30 days before `to` without.")] from: Option<Instant>,
        #[graphql(desc = "Now without; not included.")] to: Option<Instant>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<ConflictingTouch>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &format!("conflicts {from:?} {to:?}"));
        let page = PageArgs { first, after, ..PageArgs::default() }.window(app, "touched", digest)?;
        let rows = friction::conflicts(app, window(app, from, to)?, page.from, page.limit).await;
        let rows = rows.map_err(failure)?;
        let ids: Vec<uuid::Uuid> = rows.iter().map(|touch| touch.lead).collect();
        let want = want(ctx.look_ahead().field("edges").field("node").field("lead"));
        let leads = leads_by(app, &ids, &want).await?;
        let workspace = app.workspace();
        let place = |touch: &Touch| (touch.at.ms(), touch.id);
        Ok(page.page(app, rows, place, |touch| ConflictingTouch::wrap(&workspace, touch, &leads)))
    }
}
