//! The doctor: whether the database is sound, the log whole, everything else is as the log says, the ledger balances, and nobody is forgotten.

mod sound;

use std::collections::BTreeSet;

use handfast_domain::charter::Charter;
use handfast_domain::digest::Digest;
use handfast_store::import::Status;
use handfast_store::rebuild::{self, Difference, Replay};
use handfast_store::{evaluation, ledger, plugin};
use serde::Serialize;

use super::Error;
use crate::app::App;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// For example `log`, `projections`, `ledger`.
    pub name: &'static str,
    pub ok: bool,
    /// What was counted.
    pub summary: String,
    /// The first of what is wrong.
    pub examples: Vec<String>,
    /// Whether it was wrong and has been mended now.
    pub repaired: bool,
}

/// Shown of each kind of trouble.
const EXAMPLES: usize = 20;
/// Days of the ledger in one statement.
const DAYS: i32 = 366;

fn finding(name: &'static str, summary: String, wrong: Vec<String>) -> Finding {
    Finding {
        name,
        ok: wrong.is_empty(),
        summary,
        examples: wrong.into_iter().take(EXAMPLES).collect(),
        repaired: false,
    }
}

/// Looks at everything. With `repair`, projections and counters that are not as the log says are written again; what
/// the log itself says is never changed.
pub async fn examine(
    app: &App,
    repair: bool,
    mut progress: impl FnMut(&str, u64),
) -> Result<Vec<Finding>, Error> {
    let mut found = vec![sound::file(app, false).await?, sound::head(app)];
    found.push(log(app, &mut progress).await?);
    found.push(sound::feed(app).await?);
    found.extend(projections(app, repair, &mut progress).await?);
    found.push(days(app).await?);
    found.push(nobody(app).await?);
    found.push(sound::rows(app).await?);
    found.push(rules(app).await?);
    found.push(sound::settings(app).await?);
    found.push(sound::files(app).await?);
    found.push(decisions(app, &mut progress).await?);
    found.push(sound::snapshots(app, &mut progress).await?);
    found.push(sound::keys(app).await?);
    found.push(charters(app));
    found.push(imports(app).await?);
    Ok(found)
}

/// Looks at what can be seen without replaying the log.
pub async fn examine_quickly(app: &App, mut progress: impl FnMut(&str, u64)) -> Result<Vec<Finding>, Error> {
    let mut found = vec![sound::file(app, true).await?, sound::head(app)];
    found.push(sound::newest(app, &mut progress).await?);
    found.push(sound::feed(app).await?);
    found.push(rules(app).await?);
    found.push(sound::settings(app).await?);
    found.push(sound::files(app).await?);
    found.push(charters(app));
    found.push(imports(app).await?);
    Ok(found)
}

async fn log(app: &App, progress: &mut impl FnMut(&str, u64)) -> Result<Finding, Error> {
    let report = app.store.verify_chain(|checked, _| progress("events", checked.unsigned_abs())).await?;
    let summary = format!("{} events, chain {}", report.checked, report.chain);
    Ok(finding("log", summary, report.fault.into_iter().map(|fault| fault.to_string()).collect()))
}

async fn projections(
    app: &App,
    repair: bool,
    progress: &mut impl FnMut(&str, u64),
) -> Result<[Finding; 2], Error> {
    let mut replay = Replay::default();
    let (mut leads, mut wrong, mut mended): (u64, Vec<Difference>, usize) = (0, vec![], 0);
    while let Some(page) = replay.next(app.store.read()).await? {
        leads += page.leads;
        progress("leads replayed", leads);
        wrong.extend(page.differences);
        if repair && !page.broken.is_empty() {
            mended += page.broken.len();
            app.store.write(move |tx| Box::pin(async move { Replay::mend(tx, &page.broken).await })).await?;
        }
    }
    let counted = replay.counters(app.store.read()).await?;
    let counters_repaired = repair && !counted.is_empty();
    if counters_repaired {
        app.store.write(move |tx| Box::pin(async move { replay.mend_counters(tx).await })).await?;
    }
    let texts = |list: Vec<Difference>| list.iter().map(Difference::to_string).collect();
    let leads = finding("projections", format!("{leads} leads are as the log says"), texts(wrong));
    let counters = finding("counters", "counters and pools are as the log says".into(), texts(counted));
    Ok([Finding { repaired: mended > 0, ..leads }, Finding { repaired: counters_repaired, ..counters }])
}

async fn days(app: &App) -> Result<Finding, Error> {
    let Some((first, last)) = ledger::span(app.store.read()).await? else {
        return Ok(finding("ledger", "no day has a lead yet".into(), vec![]));
    };
    let workspace = app.workspace();
    let (first, last) = (workspace.day(first), workspace.day(last));
    let (mut wrong, mut from) = (vec![], first);
    while from <= last {
        let to = last.min(from.saturating_add(DAYS - 1));
        for day in super::ledger::days(app, from, to).await? {
            if day.balance() != 0 {
                wrong.push(format!("day {}: {} cycles too many or too few", day.day, day.balance()));
            }
        }
        from = to.saturating_add(1);
    }
    Ok(finding("ledger", format!("{} days balance to 0", last - first + 1), wrong))
}

async fn nobody(app: &App) -> Result<Finding, Error> {
    let (count, some) = rebuild::nobodys(app.store.read(), EXAMPLES as i64).await?;
    let wrong =
        some.into_iter().map(|lead| format!("lead {lead} has no owner, queue or dated re-evaluation"));
    Ok(finding("nobody", format!("{count} open leads are nobody's"), wrong.collect()))
}

/// The bytes of everything that judged or judges.
async fn rules(app: &App) -> Result<Finding, Error> {
    let mut wrong = vec![];
    let versions = plugin::versions(app.store.read(), &plugin::VersionFilter::default(), i64::MAX).await?;
    for version in &versions {
        if let Err(error) = app.store.blobs().read(version.digest).await {
            wrong.push(format!("plugin {} {}: {error}", version.name, version.label));
        }
    }
    Ok(finding("rules", format!("{} versions have their bytes", versions.len()), wrong))
}

/// Each decision has its evaluation and, unless the lead was erased, its snapshot. `handfast verify` runs them again as well.
async fn decisions(app: &App, progress: &mut impl FnMut(&str, u64)) -> Result<Finding, Error> {
    const PAGE: i64 = 500;
    let db = app.store.read();
    let orphans = rebuild::orphans(db, EXAMPLES as i64).await?;
    let mut wrong: Vec<String> =
        orphans.iter().map(|id| format!("decision {id} has no evaluation")).collect();
    let (mut count, mut after) = (0, None);
    loop {
        let page = evaluation::decisions_after(db, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.as_of, last.decision.id));
        let leads: BTreeSet<_> = page.iter().map(|one| one.lead).collect();
        let snapshots = rebuild::snapshots(db, &leads).await?;
        let erased = rebuild::erased(db, &leads).await?;
        let kept = page.iter().filter(|one| !erased.contains(&one.lead));
        let missing = kept.filter(|one| !snapshots.contains(&(one.lead, one.decision.snapshot)));
        wrong.extend(
            missing.map(|one| format!("decision {} has lost its snapshot", one.decision.id)).take(EXAMPLES),
        );
        count += page.len() as u64;
        progress("decisions", count);
    }
    Ok(finding("decisions", format!("{count} decisions have their evaluation and snapshot"), wrong))
}

fn charters(app: &App) -> Finding {
    let workspace = app.workspace();
    let changed = |charter: &&Charter| charter.body.digest() != charter.digest;
    let signed_otherwise =
        |charter: &&Charter| charter.signatures.iter().any(|signature| signature.digest != charter.digest);
    let charters = &workspace.charters;
    let mut wrong: Vec<String> = vec![];
    wrong.extend(
        charters.iter().filter(changed).map(|one| format!("charter {}: its text was changed", one.number)),
    );
    wrong.extend(
        charters
            .iter()
            .filter(signed_otherwise)
            .map(|one| format!("charter {}: another text was signed", one.number)),
    );
    let digest: Digest = workspace.charter_digest();
    finding(
        "charters",
        format!("{} charters, {} in force: {digest}", charters.len(), workspace.charter.number),
        wrong,
    )
}

async fn imports(app: &App) -> Result<Finding, Error> {
    let unfinished = handfast_store::import::unfinished(app.store.read()).await?;
    let running = unfinished.iter().filter(|run| run.status == Status::Running).count();
    Ok(finding("imports", format!("{running} imports go on at the next start"), vec![]))
}
