//! What each side promised in the charter in force, beside what came of it.

use handfast_domain::charter::Commitment;
use handfast_domain::clock::Party;
use handfast_domain::measure::{Measure, attainment};
use handfast_domain::scoreboard::score;

use super::Error;
use super::export::Table;
use super::measure::Measured;
use crate::app::App;

/// A commitment and what came of it.
#[derive(Clone, Debug)]
pub struct Line {
    pub commitment: Commitment,
    /// None for a metric that is not measured here, and where there is nothing to measure.
    pub value: Option<i64>,
    pub attainment: Option<i64>,
    /// The measure that keeps it honest, its value, and whether somebody committed to it, too.
    pub pair: Option<(Measure, Option<i64>, bool)>,
}

/// One party's lines, and their weighted score.
#[derive(Clone, Debug)]
pub struct Board {
    pub party: Party,
    pub lines: Vec<Line>,
    pub score: Option<i64>,
}

pub async fn scoreboard(app: &App) -> Result<Vec<Board>, Error> {
    let workspace = app.workspace();
    let commitments = &workspace.charter.body.commitments;
    let measured = Measured::read(app, commitments.iter().map(|one| one.window_days)).await?;
    let line = |one: &Commitment| {
        let (measure, days) = (Measure::parse(&one.metric), one.window_days);
        let value = measure.and_then(|measure| measured.value(measure, days));
        let pair = measure.and_then(Measure::pair).map(|pair| {
            let promised = commitments.iter().any(|other| Measure::parse(&other.metric) == Some(pair));
            (pair, measured.value(pair, days), promised)
        });
        let attainment = value.and_then(|value| attainment(value, one.target.0));
        Line { commitment: one.clone(), value, attainment, pair }
    };
    let board = |party: Party| {
        let lines: Vec<Line> = commitments.iter().filter(|one| one.party == party).map(line).collect();
        let parts: Vec<(i64, u32)> =
            lines.iter().filter_map(|line| Some((line.attainment?, line.commitment.weight))).collect();
        Board { party, lines, score: score(&parts) }
    };
    Ok(vec![board(Party::Marketing), board(Party::Sales)])
}

pub fn table(boards: &[Board]) -> Table {
    let columns = vec![
        "party",
        "metric",
        "unit",
        "windowDays",
        "weight",
        "target",
        "value",
        "attainmentBasisPoints",
        "pair",
        "pairValue",
        "pairPromised",
    ];
    let row = |line: &Line| {
        let Commitment { party, metric, target, unit, window_days, weight } = &line.commitment;
        vec![
            party.as_str().into(),
            metric.clone().into(),
            unit.clone().into(),
            (*window_days).into(),
            (*weight).into(),
            target.0.into(),
            line.value.into(),
            line.attainment.into(),
            line.pair.map(|(pair, _, _)| pair.to_string()).into(),
            line.pair.and_then(|(_, value, _)| value).into(),
            line.pair.map(|(_, _, promised)| promised).into(),
        ]
    };
    Table { columns, rows: boards.iter().flat_map(|board| &board.lines).map(row).collect() }
}
