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
use super::lookback::Lookback;
use crate::workspace::Workspace;

/// Looks that one request judges again.
pub const MOST: usize = 100_000;
/// Looks that are read at once: each brings its snapshot.
const PAGE: i64 = 200;

/// The charter with a number.
pub fn charter(workspace: &Workspace, number: u32) -> Result<&Charter, Refused> {
    let known = workspace.charters.iter().find(|charter| charter.number == number);
    known
        .ok_or_else(|| Refused::new(RefusalCode::NotFound, format!("no charter {number}")).at("underCharter"))
}

/// Judges every look of the window again under the charter with this number, which nobody has to have signed.
pub async fn restate(back: Lookback<'_>, number: u32) -> Result<(Charter, Restatement), Error> {
    let (workspace, window) = (back.app.workspace(), back.window);
    let charter = charter(&workspace, number)?;
    let db = back.app.store.reports();
    let (mut found, mut after, mut read) = (Restatement::default(), None, 0);
    let mut pages = back.pages("looks were had");
    loop {
        let page = looks(db, (window.from, window.to), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((charter.clone(), found)) };
        (after, read) = (Some((last.as_of, last.id)), read + page.len());
        if read > MOST && back.is_awaited() {
            let message = format!(
                "more than {MOST} looks from {} to {}; ask for shorter spans, or for the whole of it by startReport",
                window.from, window.to
            );
            return Err(Refused::invalid("window", message).into());
        }
        let wanted: Vec<(Uuid, Digest)> = page.iter().map(|one| (one.lead, one.snapshot)).collect();
        let known = snapshots(db, &wanted).await?;
        for one in &page {
            found.add(&charter.body, one, known.get(&(one.lead, one.snapshot)));
        }
        pages.turn(page.len(), last.as_of).await?;
    }
}

pub fn table(gates: &[GateCount]) -> Table {
    let columns = vec!["stage", "was", "restated", "gained", "lost"];
    let row = |one: &GateCount| {
        vec![one.gate.as_str().into(), one.was.into(), one.now.into(), one.gained.into(), one.lost.into()]
    };
    Table { columns, rows: gates.iter().map(row).collect() }
}
