//! Looking back on a span: a report reads it page by page, up to a bound, and whoever waits for it is told how far it is.

use handfast_domain::refused::Refused;
use handfast_domain::time::Instant;

use super::Error;
use super::report::Progress;
use super::window::Window;
use crate::app::App;

/// Rows of one kind that a report looks at which is asked for and waited for; more are for a run in the background.
pub const MOST: usize = 400_000;
/// The same for a run: what it keeps of each row is a number.
const MOST_OF_RUN: usize = 20_000_000;

/// A span that a report looks back on.
#[derive(Clone, Copy)]
pub struct Lookback<'a> {
    pub app: &'a App,
    pub window: Window,
    progress: Option<&'a Progress>,
}

impl<'a> Lookback<'a> {
    /// For whoever waits for the answer.
    pub fn on(app: &'a App, window: Window) -> Lookback<'a> {
        Lookback { app, window, progress: None }
    }

    /// For a run, which may take its time.
    pub fn of_run(app: &'a App, window: Window, progress: &'a Progress) -> Lookback<'a> {
        Lookback { app, window, progress: Some(progress) }
    }

    /// The same reader on another span.
    pub fn over(self, window: Window) -> Lookback<'a> {
        Lookback { window, ..self }
    }

    /// Whether somebody waits for the answer, so that little may be read.
    pub fn is_awaited(self) -> bool {
        self.progress.is_none()
    }

    /// Begins to read rows; `what` says in the past tense which: "cycles ended".
    pub fn pages(self, what: &'static str) -> Pages<'a> {
        Pages { back: self, what, read: 0 }
    }
}

/// Rows that are read page by page.
pub struct Pages<'a> {
    back: Lookback<'a>,
    what: &'static str,
    read: usize,
}

impl Pages<'_> {
    /// A page was read whose last row happened at `at`; refused beyond the bound, and when the run is over.
    pub async fn turn(&mut self, rows: usize, at: Instant) -> Result<(), Error> {
        self.read += rows;
        let (most, advice) = match self.back.progress {
            None => (MOST, "ask for shorter spans, or for the whole of it by startReport"),
            Some(_) => (MOST_OF_RUN, "ask for shorter spans"),
        };
        if self.read > most {
            let (what, Window { from, to }) = (self.what, self.back.window);
            let message = format!("more than {most} {what} from {from} to {to}; {advice}");
            return Err(Refused::invalid("window", message).into());
        }
        if let Some(progress) = self.back.progress {
            progress.read(rows, at).await?;
        }
        // A page is worked off without a wait: others get their turn between two of them.
        tokio::task::yield_now().await;
        Ok(())
    }
}
