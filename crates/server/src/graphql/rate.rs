//! What a request costs, and what its token may still ask for.

use async_graphql::{Context, Object, SimpleObject};
use handfast_domain::time::Instant;

use super::scalar::Long;
use super::{app, viewer};
use crate::http::rate::Left;

/// The budget of your token. A request costs the objects that its answer may hold: each object 1, each scalar a tenth, each row of
/// a page or list what is asked of it; each change and each subscription 10 more, and what looks at many rows more still. Each
/// event of a subscription costs what is asked of it. The same numbers stand in the header `RateLimit` of
/// every answer, and the cost of the request itself in `extensions.cost`.
#[derive(SimpleObject)]
struct RateLimit {
    /// What this request cost.
    cost: Long,
    /// What a full budget holds.
    limit: Long,
    /// What is left of it. It grows steadily until it is full.
    remaining: Long,
    /// When it will be full if nothing more is asked.
    reset_at: Instant,
}

#[derive(Default)]
pub struct RateQuery;

#[Object]
impl RateQuery {
    /// What this request costs and what your token may still ask for. Null where the operator has set no limit.
    async fn rate_limit(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<RateLimit>> {
        viewer(ctx)?;
        let now = app(ctx)?.now();
        let reset_at = |left: &Left| now.plus(i64::try_from(left.reset.as_millis()).unwrap_or(i64::MAX));
        let long = |number: u64| Long(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(ctx.data_opt::<Left>().map(|left| RateLimit {
            cost: long(left.cost),
            limit: long(left.limit),
            remaining: long(left.remaining),
            reset_at: reset_at(left),
        }))
    }
}
