//! The cycles behind a figure of a report, page by page: those that were counted, and no others.

use std::collections::BTreeSet;

use handfast_domain::conversion::CohortPeriod;
use handfast_domain::field::Value as TraitValue;
use handfast_domain::passage::{Passage, Stay};
use handfast_domain::quantile::days;
use handfast_domain::refused::Refused;
use handfast_domain::report::{Figure, Value};
use handfast_domain::retention::{Won, won};
use handfast_domain::time::Instant;
use handfast_domain::trait_lift::words;
use handfast_domain::velocity::way;
use handfast_store::customer::{Told, customers};
use handfast_store::handoff::offered;
use handfast_store::passage::{Happened, Spot, cycles, passages};
use uuid::Uuid;

use super::Error;
use super::conversion::steps;
use super::effort::{Entry, SPENT, entries};
use super::export::Table;
use super::follow_up_rate::{ASSIGNED, assigned};
use super::lookback::{Lookback, Pages};
use super::passage::{CHANGES, ENDS, EntryPage, Grouping, PAGE, Want, ended};
use super::trait_lift;
use super::velocity::{before, path};
use super::window::Window;
use crate::app::App;
use crate::workspace::Workspace;

/// A figure with what it is counted by.
#[derive(Clone, Debug)]
pub struct Asked {
    pub figure: Figure,
    pub window: Window,
    pub grouping: Grouping,
    /// A value for each dimension; all groups without.
    pub values: Option<Vec<Option<String>>>,
    /// A period, and its first day.
    pub period: Option<(CohortPeriod, i32)>,
}

/// A cycle behind a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place in the order: what comes next lies beyond it.
    pub spot: Spot,
    /// When it was counted: when it entered the stage, ended, or what the figure looks at.
    pub at: Instant,
    /// When it came to the other stage.
    pub reached: Option<Instant>,
    /// How long the figure says that it took, in milliseconds.
    pub took: Option<i64>,
    pub passage: Passage,
    /// What it was won with.
    pub amount_minor: Option<i64>,
    /// Time that was spent, of an entry.
    pub minutes: Option<u32>,
}

impl Row {
    fn of(spot: Spot, at: Instant, passage: &Passage) -> Row {
        let (took, passage) = (passage.lasted(), passage.clone());
        Row { spot, at, reached: None, took, passage, amount_minor: None, minutes: None }
    }
}

impl Asked {
    /// A figure that can be asked for.
    pub fn check(&self, workspace: &Workspace) -> Result<(), Refused> {
        match &self.figure {
            Figure::Conversion { from, to, .. } => {
                steps(*from, *to).map_err(|refused| refused.at("figure/conversion"))?;
            }
            Figure::Lift { outcome, key, said, .. } => {
                trait_lift::known(workspace, key).map_err(|refused| refused.at("figure/lift"))?;
                trait_lift::told(*outcome).map_err(|refused| refused.at("figure/lift"))?;
                if let Some(Value::Band(least, most)) = said
                    && least > most
                {
                    let message = format!("a band begins with its smallest number; found {least} to {most}");
                    return Err(Refused::invalid("figure/lift", message));
                }
            }
            _ => {}
        }
        let (dimensions, values) = (self.grouping.by.len(), self.values.as_ref().map_or(0, Vec::len));
        if self.values.is_some() && dimensions != values {
            let message = format!("give a value for each of the {dimensions} dimensions, found {values}");
            return Err(Refused::invalid("figure", message));
        }
        Ok(())
    }

    fn wants(&self, workspace: &Workspace, at: Instant, values: &[Option<String>]) -> bool {
        let in_period = |(period, begins): (CohortPeriod, i32)| period.begin(workspace.day(at)) == begins;
        self.values.as_ref().is_none_or(|wanted| wanted == values) && self.period.is_none_or(in_period)
    }
}

/// Reads what lies behind a figure, a page at a time.
pub struct Drill<'a> {
    back: Lookback<'a>,
    asked: &'a Asked,
    after: Option<Spot>,
    pages: Pages<'a>,
}

/// The next cycles behind the figure, the earliest first: so many, and more where a page would end between rows of one lead that were
/// counted at the same instant, which no cursor tells apart. With how many there would be if the last one only said that there is more.
pub async fn rows(
    app: &App,
    asked: &Asked,
    after: Option<Spot>,
    limit: usize,
) -> Result<(Vec<Row>, usize), Error> {
    let mut drill = Drill::new(Lookback::on(app, asked.window), asked, after)?;
    let (mut found, mut end): (Vec<Row>, usize) = (vec![], limit.max(2));
    let place = |row: &Row| (row.spot.0, row.spot.1);
    loop {
        while end <= found.len() && place(&found[end - 1]) == place(&found[end - 2]) {
            end += 1;
        }
        if end <= found.len() {
            break;
        }
        let Some(page) = drill.next().await? else { break };
        found.extend(page);
    }
    found.truncate(end);
    Ok((found, end))
}

impl<'a> Drill<'a> {
    pub fn new(back: Lookback<'a>, asked: &'a Asked, after: Option<Spot>) -> Result<Drill<'a>, Refused> {
        asked.check(&back.app.workspace())?;
        let what = match asked.figure {
            Figure::Conversion { .. } | Figure::Stay { advanced: true, .. } => CHANGES,
            Figure::Journey { .. } => "leads came",
            Figure::Handoff { .. } => "hand-offs were offered",
            Figure::FollowUp { .. } => ASSIGNED,
            Figure::Effort => SPENT,
            _ => ENDS,
        };
        Ok(Drill { back, asked, after, pages: back.pages(what) })
    }

    /// The rows of the next page, which may be none; none at all after the last page.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let (rows, read, last) = match &self.asked.figure {
            Figure::Conversion { .. } | Figure::Stay { advanced: true, .. } => self.changes().await?,
            Figure::Ending { .. } | Figure::Stay { .. } => self.ends().await?,
            Figure::Journey { path } => self.journeys(path).await?,
            Figure::Handoff { .. } => self.handoffs().await?,
            Figure::Lift { .. } => self.lifts().await?,
            Figure::Customer { .. } => self.customers().await?,
            Figure::FollowUp { .. } => self.follow_ups().await?,
            Figure::Effort => self.efforts().await?,
        };
        let Some(last) = last else { return Ok(None) };
        self.after = Some(last);
        self.pages.turn(read, last.0).await?;
        Ok(Some(rows))
    }

    async fn changes(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let (asked, workspace) = (self.asked, self.back.app.workspace());
        let page = EntryPage::read(self.back, &asked.grouping, self.after).await?;
        let mut found = vec![];
        for (entry, passage, values) in page.rows(&workspace, &asked.grouping) {
            let (spot, at) = (entry.spot(), entry.step.at);
            let row = match asked.figure {
                Figure::Conversion { from, to, reached } => {
                    let came = passage.reached(to);
                    let counted =
                        entry.enters(from) && reached.is_none_or(|reached| reached == came.is_some());
                    let took = came.map(|came| came.since(at).max(0));
                    counted.then(|| Row { reached: came, took, ..Row::of(spot, at, passage) })
                }
                Figure::Stay { stage, .. } => {
                    let stay = before(entry, passage).filter(|stay| stay.stage == stage);
                    stay.map(|stay| Row { took: Some(stay.ms()), ..Row::of(spot, at, passage) })
                }
                _ => None,
            };
            found.extend(row.filter(|_| asked.wants(&workspace, at, &values)));
        }
        Ok((found, page.entries.len(), page.entries.last().map(|last| last.spot())))
    }

    async fn ends(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let (asked, workspace) = (self.asked, self.back.app.workspace());
        let want = Want { amounts: true };
        let (page, last) = ended(self.back, &asked.grouping, want, self.after).await?;
        let (read, mut found) = (page.len(), vec![]);
        for one in page {
            let Some(at) = one.passage.closed_at else { continue };
            let spot = (at, one.passage.lead, one.passage.cycle);
            let row = Row { amount_minor: one.amount_minor, ..Row::of(spot, at, &one.passage) };
            let row = match asked.figure {
                Figure::Ending { outcome } => {
                    let counted =
                        one.passage.is_told() && outcome.is_none_or(|outcome| outcome == one.passage.outcome);
                    counted.then_some(row)
                }
                Figure::Stay { stage, .. } => {
                    let last = one.passage.stays().pop();
                    let ended = |stay: &Stay| !stay.advanced && stay.stage == stage;
                    last.filter(ended).map(|stay| Row { took: Some(stay.ms()), ..row })
                }
                _ => None,
            };
            found.extend(row.filter(|_| asked.wants(&workspace, at, &one.values)));
        }
        Ok((found, read, last))
    }

    async fn journeys(&self, wanted: &str) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let (db, window) = (self.back.app.store.reports(), self.back.window);
        let spots = cycles(db, Happened::FirstOpened, (window.from, window.to), self.after, PAGE).await?;
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        let known = passages(db, &leads).await?;
        let row = |spot: &Spot| {
            let cycles = known.get(&spot.1).filter(|cycles| path(&way(cycles)) == wanted)?;
            let last = cycles.last()?;
            let took = last.closed_at.map(|at| at.since(spot.0).max(0));
            Some(Row { took, ..Row::of(*spot, spot.0, last) })
        };
        Ok((spots.iter().filter_map(row).collect(), spots.len(), spots.last().copied()))
    }

    async fn handoffs(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let Figure::Handoff { status, reason } = &self.asked.figure else { return Ok((vec![], 0, None)) };
        let (db, window) = (self.back.app.store.reports(), self.back.window);
        let after = self.after.map(|(at, handoff, _)| (at, handoff));
        let page = offered(db, (window.from, window.to), after, PAGE).await?;
        let counted = page.iter().filter(|one| status.is_none_or(|status| status == one.status));
        let counted: Vec<_> = counted.filter(|one| reason.is_none() || *reason == one.reason).collect();
        let leads: BTreeSet<Uuid> = counted.iter().map(|one| one.lead).collect();
        let known = passages(db, &leads).await?;
        let amounts = handfast_store::attribution::amounts(db, &leads).await?;
        let row = |one: &&handfast_store::handoff::Offered| {
            let passage = known.get(&one.lead)?.iter().find(|passage| passage.cycle == one.cycle)?;
            let amount_minor = amounts.get(&(one.lead, one.cycle)).copied();
            Some(Row { amount_minor, ..Row::of((one.at, one.id, 0), one.at, passage) })
        };
        let last = page.last().map(|last| (last.at, last.id, 0));
        Ok((counted.iter().filter_map(row).collect(), page.len(), last))
    }

    async fn lifts(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let Figure::Lift { outcome, ended, key, said } = &self.asked.figure else {
            return Ok((vec![], 0, None));
        };
        let page = trait_lift::Page::read(self.back, std::slice::from_ref(key), self.after).await?;
        let mut found = vec![];
        for one in &page.leads {
            let value = one.values.iter().find(|(name, ..)| name == key);
            // Whoever was only known of afterwards takes no part.
            let counted = match (value, said) {
                (Some((_, _, true)), _) => false,
                (None, said) => said.is_none(),
                (Some(_), None) => false,
                (Some((_, value, _)), Some(said)) => says(value, said),
            };
            let good = one.passage.outcome == *outcome;
            if counted && ended.is_none_or(|ended| ended == good) {
                found.push(Row::of((one.at, one.passage.lead, one.passage.cycle), one.at, &one.passage));
            }
        }
        Ok((found, page.rows, page.last))
    }

    async fn follow_ups(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let Figure::FollowUp { touched } = self.asked.figure else { return Ok((vec![], 0, None)) };
        let (asked, workspace) = (self.asked, self.back.app.workspace());
        let mut place = self.after.map(|(at, row, _)| (at, row));
        let page = assigned(self.back, &asked.grouping, &mut place).await?;
        let Some(page) = page else { return Ok((vec![], 0, None)) };
        let (read, mut found) = (page.len(), vec![]);
        for one in page.into_iter().filter(|one| !one.assignment.withdrawn) {
            let (at, took) = (one.assignment.at, one.assignment.touched_ms);
            let counted = touched.is_none_or(|touched| touched == took.is_some());
            if counted && asked.wants(&workspace, at, &one.values) {
                let row = Row::of((one.offered_at, one.row, 0), at, &one.passage);
                found.push(Row { reached: took.map(|ms| at.plus(ms)), took, ..row });
            }
        }
        Ok((found, read, place.map(|(at, row)| (at, row, 0))))
    }

    async fn efforts(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let (asked, workspace) = (self.asked, self.back.app.workspace());
        let mut place = self.after.map(|(at, entry, _)| (at, entry));
        let page = entries(self.back, &asked.grouping, &mut place).await?;
        let Some(page) = page else { return Ok((vec![], 0, None)) };
        let (read, mut found) = (page.len(), vec![]);
        for Entry { effort, passage, values } in page {
            if asked.wants(&workspace, effort.at, &values) {
                let row = Row::of((effort.at, effort.id, 0), effort.at, &passage);
                found.push(Row { minutes: Some(effort.minutes), took: None, ..row });
            }
        }
        Ok((found, read, place.map(|(at, entry)| (at, entry, 0))))
    }

    async fn customers(&self) -> Result<(Vec<Row>, usize, Option<Spot>), Error> {
        let Figure::Customer { returned, churned } = self.asked.figure else { return Ok((vec![], 0, None)) };
        let (asked, workspace) = (self.asked, self.back.app.workspace());
        let db = self.back.app.store.reports();
        let (page, last) = ended(self.back, &asked.grouping, Want { amounts: true }, self.after).await?;
        let leads: BTreeSet<Uuid> = page.iter().map(|one| one.passage.lead).collect();
        let (known, told) = (passages(db, &leads).await?, customers(db, &leads).await?);
        let (read, mut found) = (page.len(), vec![]);
        for one in page {
            let lead = one.passage.lead;
            let Some(Won { first, returned: again, .. }) = known.get(&lead).and_then(|cycles| won(cycles))
            else {
                continue;
            };
            let Some(at) = first.closed_at.filter(|_| first.cycle == one.passage.cycle) else { continue };
            let told = told.get(&lead);
            let left = told.and_then(Told::first_churned_at);
            let counted = told.is_none_or(|told| !told.counts_elsewhere)
                && returned.is_none_or(|returned| returned == again.is_some())
                && churned.is_none_or(|churned| churned == left.is_some());
            if counted && asked.wants(&workspace, at, &one.values) {
                let stayed = left.map(|left| left.since(at).max(0));
                let took = if returned == Some(true) { again } else { stayed.or(again) };
                let row = Row::of((at, lead, first.cycle), at, first);
                found.push(Row { took, amount_minor: one.amount_minor, ..row });
            }
        }
        Ok((found, read, last))
    }
}

fn says(value: &TraitValue, said: &Value) -> bool {
    match (value, said) {
        (TraitValue::Integer(number), Value::Band(least, most)) => (least..=most).contains(&number),
        (value, Value::Word(word)) => words(value).is_some_and(|words| words.contains(word)),
        _ => false,
    }
}

/// Rows as a table; a lead is named by the id that other doors than GraphQL know it by.
pub fn table(rows: &[Row], currency: &str) -> Table {
    let columns = vec![
        "lead",
        "cycle",
        "at",
        "reachedAt",
        "days",
        "outcome",
        "reason",
        "amountMinor",
        "currency",
        "minutes",
    ];
    let row = |row: &Row| {
        vec![
            row.passage.lead.to_string().into(),
            row.passage.cycle.into(),
            row.at.to_string().into(),
            row.reached.map(|at| at.to_string()).into(),
            row.took.map(days).into(),
            row.passage.outcome.as_str().into(),
            row.passage.reason.clone().into(),
            row.amount_minor.into(),
            row.amount_minor.map(|_| currency).into(),
            row.minutes.into(),
        ]
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}
