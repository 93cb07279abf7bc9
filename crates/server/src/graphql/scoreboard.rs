//! The scoreboard of both sides.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::clock::Party;
use handfast_domain::measure::Measure;
use handfast_domain::report::ExportFormat;

use super::funnel::FunnelCharter;
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer, small};
use crate::flows::scoreboard::{self, Board, Line};

/// What each side promised in the charter in force, beside what came of it in the days that the commitment names, up to now. A
/// metric of volume stands beside the one of quality that keeps it honest.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Scoreboard {
    /// The charter that holds the commitments.
    charter: FunnelCharter,
    /// What marketing promised.
    marketing: SideScore,
    /// What sales promised.
    sales: SideScore,
    #[graphql(skip)]
    found: Arc<Vec<Board>>,
}

/// What one side promised.
#[derive(Clone, Debug, SimpleObject)]
pub struct SideScore {
    party: Party,
    /// Attainments by their weights, each counting as 10000 at most; null where nothing can be measured.
    score_basis_points: Option<Long>,
    /// In the charter's order.
    commitments: Vec<CommitmentScore>,
}

/// A commitment and what came of it.
#[derive(Clone, Debug, SimpleObject)]
pub struct CommitmentScore {
    /// The metric as the charter names it.
    metric: String,
    /// Whether the metric is one that is measured here; CreateSharedGoalInput.metric lists their names.
    measured: bool,
    /// What was promised, in the unit.
    target: Long,
    unit: String,
    /// Days over which it is measured.
    window_days: i32,
    /// How much it counts among the side's commitments.
    weight: i32,
    /// What came of it; null where it is not measured here, or there was nothing to measure.
    value: Option<Long>,
    /// `value` of `target` in basis points: 10000 is all of it.
    attainment_basis_points: Option<Long>,
    /// Name of the metric that keeps it honest.
    pair: Option<String>,
    /// What came of that one in the same days.
    pair_value: Option<Long>,
    /// Whether one of the sides committed to it, too; null without a pair.
    pair_promised: Option<bool>,
}

impl CommitmentScore {
    fn wrap(line: &Line) -> CommitmentScore {
        let one = &line.commitment;
        CommitmentScore {
            metric: one.metric.clone(),
            measured: Measure::parse(&one.metric).is_some(),
            target: one.target,
            unit: one.unit.clone(),
            window_days: small(one.window_days),
            weight: small(one.weight),
            value: line.value.map(Long),
            attainment_basis_points: line.attainment.map(Long),
            pair: line.pair.map(|(pair, _, _)| pair.to_string()),
            pair_value: line.pair.and_then(|(_, value, _)| value).map(Long),
            pair_promised: line.pair.map(|(_, _, promised)| promised),
        }
    }
}

impl SideScore {
    fn of(boards: &[Board], party: Party) -> SideScore {
        let board = boards.iter().find(|board| board.party == party);
        SideScore {
            party,
            score_basis_points: board.and_then(|board| board.score).map(Long),
            commitments: board
                .map_or(vec![], |board| board.lines.iter().map(CommitmentScore::wrap).collect()),
        }
    }
}

#[ComplexObject]
impl Scoreboard {
    /// All commitments as a table.
    async fn export(&self, format: ExportFormat) -> String {
        scoreboard::table(&self.found).write(format)
    }
}

#[derive(Default)]
pub struct ScoreboardQuery;

#[Object]
impl ScoreboardQuery {
    /// How both sides keep what they promised each other.
    async fn scoreboard(&self, ctx: &Context<'_>) -> async_graphql::Result<Scoreboard> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let found = scoreboard::scoreboard(app).await.map_err(failure)?;
        Ok(Scoreboard {
            charter: FunnelCharter::of(&app.workspace()),
            marketing: SideScore::of(&found, Party::Marketing),
            sales: SideScore::of(&found, Party::Sales),
            found: Arc::new(found),
        })
    }
}
