//! Which traits the leads have that end in a way.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::metric::MetricKey;
use handfast_domain::report::ExportFormat;
use handfast_domain::stage::CycleOutcome;
use handfast_domain::trait_lift::{Leaking, LiftRow, Lifts, Said};

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, shown, window};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer, small};
use crate::flows::lookback::Lookback;
use crate::flows::trait_lift;

/// How much more often leads with a value of a trait end in a way than all leads that ended in the window. What a lead came with
/// (`lead.source`, `lead.channel`, `campaign.key`) is looked at like its traits; personal traits are not.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct TraitLift {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    outcome: CycleOutcome,
    /// Leads whose cycle ended in the window, each by its newest end.
    leads: Long,
    /// Of them, those that ended so.
    ended: Long,
    /// `ended` of `leads` in basis points: what lift is measured by.
    base_basis_points: i32,
    /// Values that differ beyond chance.
    beyond_chance: Long,
    /// Traits that know how it ended: at least one in twenty of their values was observed when or after the cycle ended. They take
    /// no part.
    leaking: Vec<LeakingTrait>,
    #[graphql(skip)]
    found: Arc<Lifts>,
}

/// A trait that knows how it ended.
#[derive(Clone, Debug, SimpleObject)]
pub struct LeakingTrait {
    /// Key of the trait.
    key: String,
    /// Values of leads that ended.
    values: Long,
    /// Of them, observed when or after the cycle ended.
    late: Long,
}

impl LeakingTrait {
    fn wrap(one: &Leaking) -> LeakingTrait {
        LeakingTrait { key: one.key.clone(), values: count(one.late.of), late: count(one.late.count) }
    }
}

/// A value of a trait, or a band of numbers.
#[derive(Clone, Debug, SimpleObject)]
pub struct TraitLiftRow {
    /// Key of the trait; a path of the field catalogue for what the lead came with.
    #[graphql(name = "trait")]
    key: String,
    /// The value; null for leads without it, and for others.
    value: Option<String>,
    /// The smallest number of a band.
    least: Option<Long>,
    /// The largest number of a band, which is in it. Bands have equally many leads as far as equal numbers allow.
    most: Option<Long>,
    /// Whether these are the values beyond the 200 that are told apart.
    others: bool,
    /// Leads with the value.
    support: Long,
    /// Of them, those that ended so.
    ended: Long,
    /// `ended` of `support` in basis points.
    share_basis_points: i32,
    /// Their share divided by that of all leads, in basis points: 10000 is no lift. Null where there is nothing to compare with.
    lift_basis_points: Option<i32>,
    /// Lower end of the lift's interval of 95 %, in basis points.
    low: Option<i32>,
    /// Upper end of the lift's interval of 95 %, in basis points.
    high: Option<i32>,
    /// Fewer than 30 leads have the value or lack it, or fewer than five of them would end so, or otherwise, by chance: nothing can
    /// be said.
    small: bool,
    /// Whether it differs from the other leads beyond chance, with all values of the report looked at together: of many values some
    /// lie outside of their own interval by chance alone.
    beyond_chance: bool,
}

impl TraitLiftRow {
    fn wrap(row: &LiftRow) -> TraitLiftRow {
        let band = match row.said {
            Said::Band(least, most) => Some((Long(least), Long(most))),
            _ => None,
        };
        TraitLiftRow {
            key: row.key.clone(),
            value: trait_lift::said(&row.said),
            least: band.map(|(least, _)| least),
            most: band.map(|(_, most)| most),
            others: row.said == Said::Others,
            support: count(row.share.of),
            ended: count(row.share.count),
            share_basis_points: row.share.basis_points(),
            lift_basis_points: row.lift.map(|lift| small(lift.basis_points)),
            low: row.lift.map(|lift| small(lift.low)),
            high: row.lift.map(|lift| small(lift.high)),
            small: row.small,
            beyond_chance: row.beyond_chance,
        }
    }
}

#[ComplexObject]
impl TraitLift {
    /// Those beyond chance first, then the farthest from no lift; small ones last.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 500", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<TraitLiftRow>>> {
        Ok(self.found.rows.iter().take(shown(first, 500)?).map(TraitLiftRow::wrap).map(Inline).collect())
    }

    /// All rows as a table; `row` is VALUE, OTHERS for values beyond the 200 that are told apart, or UNKNOWN for leads without the
    /// trait.
    async fn export(&self, format: ExportFormat) -> String {
        trait_lift::table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::TraitLift])
    }
}

#[derive(Default)]
pub struct TraitLiftQuery;

#[Object]
impl TraitLiftQuery {
    /// The defining traits of the leads that end in a way: what distinguishes those that were won.
    async fn trait_lift(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "WON, LOST, RECYCLED or DISQUALIFIED.", default_with = "CycleOutcome::Won")] outcome: CycleOutcome,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<TraitLift> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let found = trait_lift::lifts(Lookback::on(app, window), outcome).await.map_err(failure)?;
        Ok(TraitLift {
            charter: FunnelCharter::of(&app.workspace()),
            window: window.into(),
            outcome,
            leads: count(found.base.of),
            ended: count(found.base.count),
            base_basis_points: found.base.basis_points(),
            beyond_chance: count(found.rows.iter().filter(|row| row.beyond_chance).count() as u64),
            leaking: found.leaking.iter().map(LeakingTrait::wrap).collect(),
            found: Arc::new(found),
        })
    }
}
