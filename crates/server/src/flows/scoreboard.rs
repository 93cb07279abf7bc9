//! What each side promised in the charter in force, beside what came of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use handfast_domain::charter::Commitment;
use handfast_domain::clock::Party;
use handfast_domain::scoreboard::{Counted, Measure, Named, STAGES, attainment, score};
use handfast_store::ledger::kept;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{Grouping, MAX_DAYS, Want, each_ended, each_entry};
use super::window::Window;
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
    let (workspace, now) = (app.workspace(), app.now().plus(1));
    let commitments = &workspace.charter.body.commitments;
    let days = |one: &Commitment| one.window_days.clamp(1, u32::try_from(MAX_DAYS).unwrap_or(1));
    let mut counted: BTreeMap<u32, Counted> = BTreeMap::new();
    for one in commitments {
        let days = days(one);
        if let Entry::Vacant(place) = counted.entry(days) {
            let window = Window { from: now.plus(-Counted::span(days)), to: now };
            place.insert(count(Lookback::on(app, window), days).await?);
        }
    }
    let line = |one: &Commitment| {
        let (named, counted) = (Named::parse(&one.metric), counted.get(&days(one)));
        let value = named.zip(counted).and_then(|(named, counted)| counted.value(named));
        let pair = match named {
            Some(Named::Measure(measure)) => measure.pair(),
            _ => None,
        };
        let pair = pair.map(|pair| {
            let promised = commitments.iter().any(|other| other.metric == pair.as_str());
            (pair, counted.and_then(|counted| counted.value(Named::Measure(pair))), promised)
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

async fn count(back: Lookback<'_>, days: u32) -> Result<Counted, Error> {
    let mut found = Counted { days, ..Counted::default() };
    each_entry(back, &Grouping::default(), |entry, passage, _| {
        for (share, (stage, next)) in found.stages.iter_mut().zip(STAGES) {
            if entry.enters(stage) {
                share.of += 1;
                share.count += u64::from(passage.reached(next).is_some());
            }
        }
    })
    .await?;
    each_ended(back, &Grouping::default(), Want { amounts: true }, |ended| {
        match ended.passage.outcome {
            handfast_domain::stage::CycleOutcome::Won => found.won += 1,
            handfast_domain::stage::CycleOutcome::Lost => found.lost += 1,
            _ => {}
        }
        found.revenue_minor = found.revenue_minor.saturating_add(ended.amount_minor.unwrap_or(0));
    })
    .await?;
    found.clocks = kept(back.app.store.reports(), (back.window.from, back.window.to)).await?;
    Ok(found)
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
            line.pair.map(|(pair, _, _)| pair.as_str()).into(),
            line.pair.and_then(|(_, value, _)| value).into(),
            line.pair.map(|(_, _, promised)| promised).into(),
        ]
    };
    Table { columns, rows: boards.iter().flat_map(|board| &board.lines).map(row).collect() }
}
