//! A span told again under another charter, from the snapshots and decisions that were stored.

use handfast_domain::charter::Charter;
use handfast_domain::digest::Digest;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::restatement::{GateCount, Restatement};
use handfast_store::evaluation::looks;
use handfast_store::judged::snapshots;
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::window::Window;
use crate::app::App;

/// Looks that one request judges again.
pub const MOST: usize = 100_000;
/// Looks that are read at once: each brings its snapshot.
const PAGE: i64 = 200;

/// Judges every look of the window again under the charter with this number, which nobody has to have signed.
pub async fn restate(app: &App, number: u32, window: Window) -> Result<(Charter, Restatement), Error> {
    let workspace = app.workspace();
    let Some(charter) = workspace.charters.iter().find(|charter| charter.number == number) else {
        return Err(Refused::new(RefusalCode::NotFound, format!("no charter {number}"))
            .at("underCharter")
            .into());
    };
    let db = app.store.reports();
    let (mut found, mut after, mut read) = (Restatement::default(), None, 0);
    loop {
        let page = looks(db, (window.from, window.to), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((charter.clone(), found)) };
        (after, read) = (Some((last.as_of, last.id)), read + page.len());
        if read > MOST {
            let message = format!(
                "more than {MOST} looks from {} to {}; ask for shorter spans",
                window.from, window.to
            );
            return Err(Refused::invalid("window", message).into());
        }
        let wanted: Vec<(Uuid, Digest)> = page.iter().map(|one| (one.lead, one.snapshot)).collect();
        let known = snapshots(db, &wanted).await?;
        for one in &page {
            found.add(&charter.body, one, known.get(&(one.lead, one.snapshot)));
        }
        // A page is worked off without a wait: others get their turn between two of them.
        tokio::task::yield_now().await;
    }
}

pub fn table(gates: &[GateCount]) -> Table {
    let columns = vec!["stage", "was", "restated", "gained", "lost"];
    let row = |one: &GateCount| {
        vec![one.gate.as_str().into(), one.was.into(), one.now.into(), one.gained.into(), one.lost.into()]
    };
    Table { columns, rows: gates.iter().map(row).collect() }
}
