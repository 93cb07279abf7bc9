//! What reports over cycles have in common: the window, and what they are counted by.

use async_graphql::{InputObject, SimpleObject};
use handfast_domain::dimension::Dimension;
use handfast_domain::time::Instant;

use super::problem::failure;
use super::scalar::Long;
use crate::app::App;
use crate::flows::passage::{self, Grouping};
use crate::flows::window::Window;
use crate::workspace::Workspace;

/// The span of a report, at most 1,830 days. A report looks at 400,000 stage changes, cycles or hand-offs at most and refuses
/// more.
#[derive(Clone, Copy, Debug, Default, InputObject)]
pub struct WindowInput {
    /// Its beginning; 30 days before the end without.
    pub from: Option<Instant>,
    /// Its end, which is not in it; now without.
    pub to: Option<Instant>,
}

/// The span of a report.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct ReportWindow {
    /// Its beginning.
    from: Instant,
    /// Its end, which is not in it.
    to: Instant,
}

impl From<Window> for ReportWindow {
    fn from(Window { from, to }: Window) -> ReportWindow {
        ReportWindow { from, to }
    }
}

pub fn window(app: &App, asked: Option<WindowInput>) -> async_graphql::Result<Window> {
    let WindowInput { from, to } = asked.unwrap_or_default();
    passage::window(app, from, to).map_err(|refused| failure(refused.into()))
}

pub fn grouping(
    workspace: &Workspace,
    by: impl IntoIterator<Item = Dimension>,
    key: Option<String>,
) -> async_graphql::Result<Grouping> {
    let by = by.into_iter().collect();
    Grouping::new(workspace, by, key).map_err(|refused| failure(refused.into()))
}

pub fn count(number: u64) -> Long {
    Long(i64::try_from(number).unwrap_or(i64::MAX))
}

/// How many rows of a list are shown.
pub fn shown(first: i32, max: i32) -> async_graphql::Result<usize> {
    Ok(usize::try_from(super::bounded("first", first, max)?).unwrap_or(0))
}

/// Basis points of a fraction.
pub fn points(fraction: f64) -> i32 {
    (fraction * 10_000.0).round() as i32
}
