//! Campaigns and their computed results.

use async_graphql::{ComplexObject, ID, SimpleObject};
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;
use handfast_store::campaign::Campaign as Row;

use super::scalar::{Long, global};

/// What marketing did to reach buyers. Results are computed, never typed in.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Campaign {
    pub id: ID,
    key: String,
    name: String,
    /// For example `webinar`, `fair`, `landing-page`.
    kind: String,
    channel: Channel,
    starts_at: Option<Instant>,
    ends_at: Option<Instant>,
    created_at: Instant,
    #[graphql(skip)]
    row: Row,
}

impl Campaign {
    pub fn wrap(row: &Row) -> Campaign {
        Campaign {
            id: global("Campaign", row.id),
            key: row.key.clone(),
            name: row.name.clone(),
            kind: row.kind.clone(),
            channel: row.channel,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            created_at: row.created_at,
            row: row.clone(),
        }
    }
}

#[ComplexObject]
impl Campaign {
    /// What was spent, in minor units of the workspace's currency.
    async fn cost_minor(&self) -> Long {
        Long(self.row.cost_minor)
    }
}
