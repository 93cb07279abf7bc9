//! What needs no replay: database, head mark, rows that refer to others, and everything that is kept by its digest.

use handfast_store::examine;

use super::{EXAMPLES, Finding, finding};
use crate::app::App;
use crate::flows::Error;

/// Of the feed, where all of it would take too long.
const NEWEST: i64 = 100_000;

pub async fn file(app: &App, quick: bool) -> Result<Finding, Error> {
    let faults = examine::database_faults(app.store.read(), quick, EXAMPLES).await?;
    Ok(finding("file", "the database file is sound".into(), faults))
}

/// The file is written by whoever serves; it is not there before the first second of that.
pub fn head(app: &App) -> Finding {
    let fault = app.store.mark_fault().map(ToString::to_string);
    finding("head", "the database is the one that was last seen here".into(), fault.into_iter().collect())
}

pub async fn newest(app: &App, progress: &mut impl FnMut(&str, u64)) -> Result<Finding, Error> {
    let checked = app.store.verify_newest(NEWEST, |checked, _| progress("events", checked.unsigned_abs()));
    let report = checked.await?;
    let summary = format!("the newest {} of {} events, chain {}", report.checked, report.head, report.chain);
    Ok(finding("log", summary, report.fault.into_iter().map(|fault| fault.to_string()).collect()))
}

/// The sequencer of this process has numbered what was left, unless another node's does it.
pub async fn feed(app: &App) -> Result<Finding, Error> {
    app.store.settle().await?;
    let waiting = examine::unnumbered(app.store.read()).await?;
    let wrong = (waiting > 0).then(|| format!("{waiting} events wait for their place in the feed"));
    Ok(finding("feed", "every event has its place in the feed".into(), wrong.into_iter().collect()))
}

pub async fn rows(app: &App) -> Result<Finding, Error> {
    let (kinds, wrong) = examine::strays(app.store.read(), EXAMPLES).await?;
    Ok(finding("rows", format!("{kinds} kinds of references lead somewhere"), wrong))
}

/// The bytes of uploaded files. Those of rules are looked at as rules.
pub async fn files(app: &App) -> Result<Finding, Error> {
    let rules = handfast_store::plugin::versions(app.store.read(), &Default::default(), i64::MAX).await?;
    let mut blobs = examine::blobs(app.store.read()).await?;
    blobs.retain(|digest| rules.iter().all(|version| version.digest != *digest));
    let mut wrong = vec![];
    for digest in &blobs {
        if let Err(error) = app.store.blobs().read(*digest).await {
            wrong.push(error.to_string());
        }
    }
    Ok(finding("files", format!("{} uploaded files have their bytes", blobs.len()), wrong))
}

pub async fn settings(app: &App) -> Result<Finding, Error> {
    let (count, changed) = examine::settings(app.store.read()).await?;
    let wrong =
        changed.into_iter().map(|digest| format!("settings {digest}: the text was changed")).collect();
    Ok(finding("settings", format!("{count} settings are as their digests say"), wrong))
}

pub async fn snapshots(app: &App, progress: &mut impl FnMut(&str, u64)) -> Result<Finding, Error> {
    let (mut walk, mut count, mut wrong) = (examine::Snapshots::default(), 0, vec![]);
    while let Some((seen, changed)) = walk.next(app.store.read()).await? {
        count += seen as u64;
        progress("snapshots", count);
        wrong.extend(changed.into_iter().map(|name| format!("{name}: the text was changed")));
        wrong.truncate(EXAMPLES);
    }
    Ok(finding("snapshots", format!("{count} snapshots are as their digests say"), wrong))
}

pub async fn keys(app: &App) -> Result<Finding, Error> {
    let (all, open) = examine::keys(app.store.read()).await?;
    let wrong = (open > 0).then(|| format!("{open} idempotency keys were taken and never answered"));
    Ok(finding("keys", format!("{all} idempotency keys have their answers"), wrong.into_iter().collect()))
}
