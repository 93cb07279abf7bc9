//! What campaigns came to: counted, never typed in. Many campaigns of one level cost one statement.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, Object};
use handfast_domain::stage::StageKind;
use handfast_store::StoreError;
use handfast_store::campaign::Campaign;
use handfast_store::funnel::CampaignCounts;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::app;
use super::inline::Inline;
use super::problem::failure;
use super::scalar::{Long, Money};
use crate::app::App;
use crate::workspace::Workspace;

/// What came of a campaign, counted by the campaign that each lead was captured with.
pub struct CampaignResults {
    counts: Arc<CampaignCounts>,
    cost_minor: i64,
    workspace: Arc<Workspace>,
}

/// What came of a campaign, counted by the campaign that each lead was captured with.
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
        None => ctx.data::<Batch>()?.load(app, campaign.id).await,
    };
    let counts = counts.map_err(|error| failure(error.into()))?;
    Ok(Inline(CampaignResults { counts, cost_minor: campaign.cost_minor, workspace: app.workspace() }))
}

/// Rounded to the nearest minor unit; half of one counts up.
fn share(amount: i64, count: i64) -> i64 {
    let (whole, rest) = (amount.div_euclid(count), amount.rem_euclid(count));
    whole + i64::from(rest >= count - rest)
}

type Answer = Result<Arc<CampaignCounts>, StoreError>;

/// Collects the campaigns whose results are asked for in one pass over the fields of an answer. The library's loader
/// would do so in a task of its own, which on several threads begins before all siblings have asked.
#[derive(Default)]
pub struct Batch {
    waiting: Mutex<Vec<(Uuid, oneshot::Sender<Answer>)>>,
}

impl Batch {
    async fn load(&self, app: &App, campaign: Uuid) -> Answer {
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
    fn join(&self, campaign: Uuid, answer: oneshot::Sender<Answer>) -> bool {
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
        let found = app.store.campaign_results(&ids).await;
        for (id, answer) in asked {
            let counts = found.as_ref().map(|found| found.get(&id).cloned().unwrap_or_default());
            drop(answer.send(counts.map_err(Clone::clone)));
        }
    }

    fn take(&self) -> Vec<(Uuid, oneshot::Sender<Answer>)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets the others go when the one who leads is dropped while they wait for it.
struct Guard<'a> {
    batch: &'a Batch,
    waits: bool,
}

impl Drop for Guard<'_> {
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
