//! The cycles behind a figure of a report, page by page: those that were counted, and no others.

use handfast_domain::conversion::CohortPeriod;
use handfast_domain::passage::Passage;
use handfast_domain::refused::Refused;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use handfast_store::passage::Spot;

use super::Error;
use super::conversion::steps;
use super::passage::{EntryPage, Grouping, Want, bounded, ended};
use super::window::Window;
use crate::app::App;
use crate::workspace::Workspace;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Cycles that entered a stage: all of them, or those that came to the other one, or those that did not.
    Conversion { from: StageKind, to: StageKind, reached: Option<bool> },
    /// Cycles that ended: all of them, or in one way.
    Ending { outcome: Option<CycleOutcome> },
}

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
    pub spot: Spot,
    /// When it was counted: when it entered the stage, or ended.
    pub at: Instant,
    /// When it came to the other stage.
    pub reached: Option<Instant>,
    pub passage: Passage,
    /// What it was won with.
    pub amount_minor: Option<i64>,
}

impl Asked {
    /// A figure that can be asked for.
    pub fn check(&self) -> Result<(), Refused> {
        if let Figure::Conversion { from, to, .. } = self.figure {
            steps(from, to).map_err(|refused| refused.at("figure/conversion"))?;
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

/// The next cycles behind the figure, the earliest first.
pub async fn rows(app: &App, asked: &Asked, after: Option<Spot>, limit: usize) -> Result<Vec<Row>, Error> {
    asked.check()?;
    let workspace = app.workspace();
    let (mut after, mut found, mut read) = (after, vec![], 0);
    while found.len() < limit {
        match asked.figure {
            Figure::Conversion { from, to, reached } => {
                let page = EntryPage::read(app, asked.window, &asked.grouping, after).await?;
                let Some(last) = page.entries.last() else { break };
                after = Some(last.spot());
                bounded(&mut read, page.entries.len(), "stage changes happened", asked.window)?;
                for (entry, passage, values) in page.rows(&workspace, &asked.grouping) {
                    let came = passage.reached(to);
                    let counted =
                        entry.enters(from) && reached.is_none_or(|reached| reached == came.is_some());
                    if counted && asked.wants(&workspace, entry.step.at, &values) {
                        let (spot, at, passage) = (entry.spot(), entry.step.at, passage.clone());
                        found.push(Row { spot, at, reached: came, passage, amount_minor: None });
                    }
                }
            }
            Figure::Ending { outcome } => {
                let want = Want { amounts: true };
                let (page, last) = ended(app, asked.window, &asked.grouping, want, after).await?;
                let Some(last) = last else { break };
                after = Some(last);
                bounded(&mut read, page.len(), "cycles ended", asked.window)?;
                for one in page {
                    let Some(at) = one.passage.closed_at else { continue };
                    let counted =
                        one.passage.is_told() && outcome.is_none_or(|outcome| outcome == one.passage.outcome);
                    if counted && asked.wants(&workspace, at, &one.values) {
                        let spot = (at, one.passage.lead, one.passage.cycle);
                        let (passage, amount_minor) = (one.passage, one.amount_minor);
                        found.push(Row { spot, at, reached: None, passage, amount_minor });
                    }
                }
            }
        }
        // A page is worked off without a wait: others get their turn between two of them.
        tokio::task::yield_now().await;
    }
    found.truncate(limit);
    Ok(found)
}
