//! What campaigns came to: counted, never typed in. Many campaigns of one level cost one statement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, Object, SimpleObject};
use handfast_domain::stage::StageKind;
use handfast_store::StoreError;
use handfast_store::campaign::Campaign;
use handfast_store::effort::{CampaignEffort, of_campaigns};
use handfast_store::funnel::CampaignCounts;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::app;
use super::effort::poor_share;
use super::inline::Inline;
use super::problem::failure;
use super::scalar::{Long, Money};
use crate::app::App;
use crate::workspace::Workspace;

/// What came of a campaign, counted by the campaign that each lead was captured with.
pub struct CampaignResults {
    campaigns: Vec<Uuid>,
    counts: Arc<CampaignCounts>,
    cost_minor: i64,
    workspace: Arc<Workspace>,
}

/// What came of a campaign, or of all campaigns that were planned for an audience, counted by the campaign that each lead was
/// captured with.
#[Object]
impl CampaignResults {
    /// Leads that it brought.
    async fn leads(&self) -> Long {
        Long(self.counts.leads)
    }

    /// Cycles of its leads that reached MQL, be it at once.
    async fn mql(&self) -> Long {
        Long(self.counts.entered(StageKind::Mql))
    }

    /// Cycles of its leads that sales accepted.
    async fn sal(&self) -> Long {
        Long(self.counts.entered(StageKind::Sal))
    }

    /// Cycles of its leads that sales qualified.
    async fn sql(&self) -> Long {
        Long(self.counts.entered(StageKind::Sql))
    }

    /// Cycles of its leads that became a deal.
    async fn opportunities(&self) -> Long {
        Long(self.counts.entered(StageKind::Opportunity))
    }

    /// Deals of its leads that were won.
    async fn won(&self) -> Long {
        Long(self.counts.won)
    }

    /// What was spent on it.
    async fn cost(&self) -> Inline<Money> {
        self.money(self.cost_minor)
    }

    /// Amounts of the deals that were won.
    async fn revenue(&self) -> Inline<Money> {
        self.money(self.counts.revenue_minor)
    }

    /// Cost for each lead; null without leads.
    async fn cost_per_lead(&self) -> Option<Inline<Money>> {
        self.per(self.counts.leads)
    }

    /// Cost for each MQL; null without one.
    async fn cost_per_mql(&self) -> Option<Inline<Money>> {
        self.per(self.counts.entered(StageKind::Mql))
    }

    /// Cost for each SAL; null without one.
    async fn cost_per_sal(&self) -> Option<Inline<Money>> {
        self.per(self.counts.entered(StageKind::Sal))
    }

    /// Cost for each SQL; null without one.
    async fn cost_per_sql(&self) -> Option<Inline<Money>> {
        self.per(self.counts.entered(StageKind::Sql))
    }

    /// Cost for each opportunity; null without one.
    async fn cost_per_opportunity(&self) -> Option<Inline<Money>> {
        self.per(self.counts.entered(StageKind::Opportunity))
    }

    /// Cost for each deal that was won; null without one.
    async fn cost_per_won(&self) -> Option<Inline<Money>> {
        self.per(self.counts.won)
    }

    /// The time of sales that went to its leads.
    async fn effort(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<CampaignTime>> {
        let app = app(ctx)?;
        let effort = match self.campaigns.as_slice() {
            [one] => ctx.data::<Batches>()?.effort.load(app, *one).await,
            many => CampaignEffort::read(app, many).await.map(|found| {
                found.into_values().fold(CampaignEffort::default(), |sum, one| CampaignEffort {
                    minutes: sum.minutes + one.minutes,
                    poor_minutes: sum.poor_minutes + one.poor_minutes,
                })
            }),
        };
        let effort = effort.map_err(|error| failure(error.into()))?;
        Ok(Inline(CampaignTime {
            minutes: Long(effort.minutes),
            poor_minutes: Long(effort.poor_minutes),
            poor_share_basis_points: poor_share(effort.minutes, effort.poor_minutes),
        }))
    }
}

/// The time that sales spent on the leads of a campaign.
#[derive(Clone, Debug, SimpleObject)]
pub struct CampaignTime {
    /// Minutes that sales logged, whenever.
    minutes: Long,
    /// Of them, those on poor prospects: cycles that ended DISQUALIFIED, or RECYCLED before there was an opportunity.
    poor_minutes: Long,
    /// `poorMinutes` of `minutes` in basis points; null without any.
    poor_share_basis_points: Option<i32>,
}

impl CampaignResults {
    fn money(&self, amount: i64) -> Inline<Money> {
        let currency = self.workspace.charter.body.currency.clone();
        Inline(Money { amount_minor: Long(amount), currency })
    }

    fn per(&self, count: i64) -> Option<Inline<Money>> {
        (count > 0).then(|| self.money(share(self.cost_minor, count)))
    }
}

/// The results of one campaign. Siblings that are resolved in the same pass share a statement.
pub async fn of(ctx: &Context<'_>, campaign: &Campaign) -> async_graphql::Result<Inline<CampaignResults>> {
    let app = app(ctx)?;
    let counts = match app.store.known_results(campaign.id) {
        Some(counts) => Ok(counts),
        None => ctx.data::<Batches>()?.counts.load(app, campaign.id).await,
    };
    let counts = counts.map_err(|error| failure(error.into()))?;
    let (campaigns, cost_minor) = (vec![campaign.id], campaign.cost_minor);
    Ok(Inline(CampaignResults { campaigns, counts, cost_minor, workspace: app.workspace() }))
}

/// The results of several campaigns together, in one statement.
pub async fn together(
    ctx: &Context<'_>,
    campaigns: &[Arc<Campaign>],
) -> async_graphql::Result<Inline<CampaignResults>> {
    let app = app(ctx)?;
    let ids: Vec<Uuid> = campaigns.iter().map(|campaign| campaign.id).collect();
    let found = app.store.campaign_results(&ids).await.map_err(|error| failure(error.into()))?;
    let mut counts = CampaignCounts::default();
    found.values().for_each(|one| counts.add(one));
    let cost_minor = campaigns.iter().map(|one| one.cost_minor).fold(0, i64::saturating_add);
    let (counts, workspace) = (Arc::new(counts), app.workspace());
    Ok(Inline(CampaignResults { campaigns: ids, counts, cost_minor, workspace }))
}

/// Rounded to the nearest minor unit; half of one counts up.
fn share(amount: i64, count: i64) -> i64 {
    let (whole, rest) = (amount.div_euclid(count), amount.rem_euclid(count));
    whole + i64::from(rest >= count - rest)
}

/// What is read of many campaigns by one statement.
trait Read: Default + Clone + Send + Sync + 'static {
    fn read(
        app: &App,
        campaigns: &[Uuid],
    ) -> impl Future<Output = Result<BTreeMap<Uuid, Self>, StoreError>> + Send;
}

impl Read for Arc<CampaignCounts> {
    async fn read(app: &App, campaigns: &[Uuid]) -> Result<BTreeMap<Uuid, Self>, StoreError> {
        app.store.campaign_results(campaigns).await
    }
}

impl Read for CampaignEffort {
    async fn read(app: &App, campaigns: &[Uuid]) -> Result<BTreeMap<Uuid, Self>, StoreError> {
        of_campaigns(app.store.read(), campaigns).await
    }
}

/// The fields of results that siblings read together.
#[derive(Default)]
pub struct Batches {
    counts: Batch<Arc<CampaignCounts>>,
    effort: Batch<CampaignEffort>,
}

/// Collects the campaigns whose results are asked for in one pass over the fields of an answer. The library's loader
/// would do so in a task of its own, which on several threads begins before all siblings have asked.
struct Batch<R> {
    waiting: Mutex<Waiting<R>>,
}

type Waiting<R> = Vec<(Uuid, oneshot::Sender<Result<R, StoreError>>)>;

impl<R> Default for Batch<R> {
    fn default() -> Batch<R> {
        Batch { waiting: Mutex::default() }
    }
}

impl<R: Read> Batch<R> {
    async fn load(&self, app: &App, campaign: Uuid) -> Result<R, StoreError> {
        loop {
            let (answer, result) = oneshot::channel();
            if self.join(campaign, answer) {
                self.lead(app).await;
            }
            // Whoever led may have been cancelled with its request; then this one asks again.
            if let Ok(result) = result.await {
                return result;
            }
        }
    }

    /// True for the first one, which asks for all.
    fn join(&self, campaign: Uuid, answer: oneshot::Sender<Result<R, StoreError>>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((campaign, answer));
        waiting.len() == 1
    }

    async fn lead(&self, app: &App) {
        let mut guard = Guard { batch: self, waits: true };
        // All siblings are polled before this task goes on.
        tokio::task::yield_now().await;
        guard.waits = false;
        let asked = self.take();
        let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
        let found = R::read(app, &ids).await;
        for (id, answer) in asked {
            let counts = found.as_ref().map(|found| found.get(&id).cloned().unwrap_or_default());
            drop(answer.send(counts.map_err(Clone::clone)));
        }
    }
}

impl<R> Batch<R> {
    fn take(&self) -> Waiting<R> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets the others go when the one who leads is dropped while they wait for it.
struct Guard<'a, R> {
    batch: &'a Batch<R>,
    waits: bool,
}

impl<R> Drop for Guard<'_, R> {
    fn drop(&mut self) {
        if self.waits {
            drop(self.batch.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_rounded_to_the_nearest_minor_unit() {
        assert_eq!(share(0, 3), 0);
        assert_eq!(share(100, 3), 33);
        assert_eq!(share(200, 3), 67);
        assert_eq!(share(1, 2), 1);
        assert_eq!(share(i64::MAX, 1), i64::MAX);
    }
}
