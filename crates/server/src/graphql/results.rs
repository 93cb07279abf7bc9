//! What campaigns came to: counted, never typed in. Many campaigns of one level cost one statement.

use std::sync::{Mutex, PoisonError};

use async_graphql::{Context, SimpleObject};
use handfast_domain::stage::StageKind;
use handfast_store::StoreError;
use handfast_store::campaign::Campaign;
use handfast_store::funnel::CampaignCounts;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::app;
use super::problem::failure;
use super::scalar::{Long, Money};
use crate::app::App;

/// What came of a campaign, counted by the campaign that each lead was captured with.
#[derive(Clone, Debug, SimpleObject)]
pub struct CampaignResults {
    /// Leads that it brought.
    leads: Long,
    /// Cycles of its leads that reached MQL, be it at once.
    mql: Long,
    /// Cycles of its leads that sales accepted.
    sal: Long,
    /// Cycles of its leads that sales qualified.
    sql: Long,
    /// Cycles of its leads that became a deal.
    opportunities: Long,
    /// Deals of its leads that were won.
    won: Long,
    /// What was spent on it.
    cost: Money,
    /// Amounts of the deals that were won.
    revenue: Money,
    /// Cost for each lead; null without leads.
    cost_per_lead: Option<Money>,
    /// Cost for each MQL; null without one.
    cost_per_mql: Option<Money>,
    /// Cost for each SAL; null without one.
    cost_per_sal: Option<Money>,
    /// Cost for each SQL; null without one.
    cost_per_sql: Option<Money>,
    /// Cost for each opportunity; null without one.
    cost_per_opportunity: Option<Money>,
    /// Cost for each deal that was won; null without one.
    cost_per_won: Option<Money>,
}

/// The results of one campaign. Siblings that are resolved in the same pass share a statement.
pub async fn of(ctx: &Context<'_>, campaign: &Campaign) -> async_graphql::Result<CampaignResults> {
    let app = app(ctx)?;
    let counts = ctx.data::<Batch>()?.load(app, campaign.id).await.map_err(|error| failure(error.into()))?;
    let currency = &app.workspace().charter.body.currency;
    let money = |amount| Money { amount_minor: Long(amount), currency: currency.clone() };
    let cost = campaign.cost_minor;
    let per = |count: i64| (count > 0).then(|| money(share(cost, count)));
    let entered = |stage| counts.entered(stage);
    let (mql, sal, sql) = (entered(StageKind::Mql), entered(StageKind::Sal), entered(StageKind::Sql));
    let opportunities = entered(StageKind::Opportunity);
    Ok(CampaignResults {
        leads: Long(counts.leads),
        mql: Long(mql),
        sal: Long(sal),
        sql: Long(sql),
        opportunities: Long(opportunities),
        won: Long(counts.won),
        cost: money(cost),
        revenue: money(counts.revenue_minor),
        cost_per_lead: per(counts.leads),
        cost_per_mql: per(mql),
        cost_per_sal: per(sal),
        cost_per_sql: per(sql),
        cost_per_opportunity: per(opportunities),
        cost_per_won: per(counts.won),
    })
}

/// Rounded to the nearest minor unit; half of one counts up.
fn share(amount: i64, count: i64) -> i64 {
    let (whole, rest) = (amount.div_euclid(count), amount.rem_euclid(count));
    whole + i64::from(rest >= count - rest)
}

type Answer = Result<CampaignCounts, StoreError>;

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
        let found = handfast_store::funnel::campaigns(app.store.read(), &ids).await;
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
