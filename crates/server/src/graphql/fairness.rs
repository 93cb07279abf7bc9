//! How fairly a router dealt.

use async_graphql::{Context, Object, SimpleObject};
use handfast_domain::fairness::Dealt;
use handfast_domain::time::Instant;

use super::directory::User;
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::fairness;
use crate::flows::window::Window;

/// What a router dealt to the owners of a pool in a span of time, against their weights and availability at each decision.
#[derive(Clone, SimpleObject)]
pub struct Fairness {
    /// Key of the pool.
    pool: String,
    /// Beginning of the span.
    from: Instant,
    /// Its end, which is not in it.
    to: Instant,
    /// Routings that were looked at.
    decisions: Long,
    /// Of them, those that chose an owner.
    to_owners: Long,
    /// Those that chose a queue.
    to_queues: Long,
    /// Those in which the router failed, so that the fallback queue served.
    failed: Long,
    /// Those whose snapshot was erased; nobody knows who was available.
    erased: Long,
    /// Share of the chosen targets that were queues, in basis points.
    queue_share_basis_points: i32,
    /// Those of the pool's owners that were seen, the one farthest from its due first.
    owners: Vec<OwnerFairness>,
    /// The largest deviation of an owner, in basis points without a sign.
    largest_deviation_basis_points: i32,
    /// Leads that went to owners who were not available.
    to_unavailable: Long,
    /// There were more routings in the span than the newest 100,000, which were looked at.
    truncated: bool,
}

/// What one owner got. Shares are in basis points of the leads that went to owners.
#[derive(Clone, SimpleObject)]
pub struct OwnerFairness {
    /// Null for somebody who is not known any more.
    owner: Option<User>,
    /// Weight in the pool at the newest routing.
    weight: i32,
    /// Leads that came to the owner.
    assigned: Long,
    /// Of them, those that came while the owner was not available.
    unavailable: Long,
    /// Routings at which the owner was available.
    available: Long,
    /// Share of the leads that went to owners.
    share_basis_points: i32,
    /// What weights would have given, counting at each routing only owners who were available.
    due_basis_points: i32,
    /// Share less due.
    deviation_basis_points: i32,
}

fn count(number: u64) -> Long {
    Long(i64::try_from(number).unwrap_or(i64::MAX))
}

fn points(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[derive(Default)]
pub struct FairnessQuery;

#[Object]
impl FairnessQuery {
    /// How fairly a router dealt the leads of a pool, by the decisions that were recorded.
    async fn fairness(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a pool.")] pool: String,
        #[graphql(desc = "The last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Not included; now without.")] to: Option<Instant>,
    ) -> async_graphql::Result<Fairness> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = Window::new(app, from, to).map_err(|refused| failure(refused.into()))?;
        let found = fairness::fairness(app, &pool, window).await.map_err(failure)?;
        let fairness::Report { window, fairness, truncated } = found;
        let workspace = app.workspace();
        let owner = |(id, dealt): (&uuid::Uuid, &Dealt)| {
            let (share, due) = (fairness.share(dealt), fairness.due(dealt));
            OwnerFairness {
                owner: workspace.directory.user(*id).map(User::wrap),
                weight: super::small(dealt.weight),
                assigned: count(dealt.assigned),
                unavailable: count(dealt.unavailable),
                available: count(dealt.available),
                share_basis_points: points(share),
                due_basis_points: points(due),
                deviation_basis_points: points(share - due),
            }
        };
        let mut owners: Vec<OwnerFairness> = fairness.owners.iter().map(owner).collect();
        owners.sort_by_key(|owner| std::cmp::Reverse(owner.deviation_basis_points.abs()));
        Ok(Fairness {
            pool,
            from: window.from,
            to: window.to,
            decisions: count(fairness.decisions),
            to_owners: count(fairness.to_owners),
            to_queues: count(fairness.to_queues),
            failed: count(fairness.failed),
            erased: count(fairness.erased),
            queue_share_basis_points: points(fairness.queue_share()),
            largest_deviation_basis_points: points(fairness.largest().map_or(0, |(_, apart)| apart.abs())),
            to_unavailable: count(fairness.owners.values().map(|dealt| dealt.unavailable).sum()),
            owners,
            truncated,
        })
    }
}
