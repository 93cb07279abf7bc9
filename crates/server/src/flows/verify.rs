//! Running a decision again: same version, settings, snapshot and fuel cap must give the same verdict, years later.

use std::sync::Arc;

use handfast_domain::digest::Digest;
use handfast_domain::evaluation::Decision;
use handfast_domain::refused::Refused;
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Assignment, Outcome, Status, Target, Verdict};
use handfast_rules::{Context, Judged, Rule, Settings};
use handfast_store::evaluation::{self, StoredDecision};
use uuid::Uuid;

use super::Error;
use crate::app::App;

/// How a repetition compares with the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same verdict, byte for byte, on the same engine.
    Identical,
    /// The same verdict on another version of the engine.
    SameVerdictOtherEngine,
    Different,
    /// The snapshot was deleted by an erasure; the record can no longer be run again.
    Erased,
    /// The rule had failed, or none was deployed: there is no verdict to compare.
    NotComparable,
}

#[derive(Clone, Debug)]
pub struct Verification {
    pub comparison: Comparison,
    /// Names of the parts that differ.
    pub differences: Vec<String>,
    /// The new outcome, where there is one.
    pub outcome: Option<Outcome>,
    pub output: Option<Digest>,
}

pub async fn decision(app: &App, id: Uuid) -> Result<Verification, Error> {
    let stored = evaluation::decision(app.store.read(), id).await?;
    let stored = stored.ok_or_else(|| Refused::not_found("decision"))?;
    stored_decision(app, &stored).await
}

/// Runs one stored decision again.
pub async fn stored_decision(app: &App, stored: &StoredDecision) -> Result<Verification, Error> {
    let decision = &stored.decision;
    let without = |comparison| Verification { comparison, differences: vec![], outcome: None, output: None };
    if decision.status != Status::Ok || decision.deployment.is_none() {
        return Ok(without(Comparison::NotComparable));
    }
    let db = app.store.read();
    let Some(snapshot) = evaluation::snapshot(db, stored.lead, decision.snapshot).await? else {
        return Ok(without(Comparison::Erased));
    };
    let mut differences = vec![];
    if snapshot.digest() != decision.snapshot {
        differences.push("snapshot".to_owned());
    }
    let plugin = match app.store.blobs().read(decision.version).await {
        Ok(wasm) => {
            app.host.load(&wasm, &app.workspace().trait_kinds()).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    let plugin = match plugin {
        Ok(plugin) => plugin,
        // Without its bytes it cannot be shown to be the same.
        Err(why) => {
            differences.push(format!("version ({why})"));
            return Ok(Verification { differences, ..without(Comparison::Different) });
        }
    };
    let text = handfast_store::plugin::settings(db, decision.settings).await?;
    let text = text.ok_or_else(|| Error::fault(format!("the settings {} are missing", decision.settings)))?;
    let settings = Settings::parse(&text).map_err(|error| Error::fault(error.to_string()))?;
    if settings.digest() != decision.settings {
        differences.push("settings".to_owned());
    }
    let context = Context { as_of: stored.as_of, charter: stored.charter, explain: false };
    let rule = Rule::from(plugin);
    let again = match decision.gate {
        Some(_) => again(app, &rule, &settings, context, snapshot.into(), decision).await,
        None => {
            let routed = app.host.assign(&rule, &settings, context, snapshot.into()).await;
            let (status, input, output) = (routed.status, routed.input_digest, routed.output_digest);
            let parts = routed.assignment.map(|routed| assigned(decision, &routed)).unwrap_or_default();
            Again { status, input, output, outcome: None, parts }
        }
    };
    if again.status != Status::Ok {
        differences.push(format!("status ({:?})", again.status));
    }
    if again.input != decision.input {
        differences.push("input".to_owned());
    }
    if again.output != decision.output {
        differences.push("output".to_owned());
        differences.extend(again.parts.iter().map(|part| (*part).to_owned()));
    }
    let comparison = match differences.is_empty() {
        false => Comparison::Different,
        true if decision.engine == app.host.fingerprint() => Comparison::Identical,
        true => Comparison::SameVerdictOtherEngine,
    };
    Ok(Verification { comparison, differences, outcome: again.outcome, output: again.output })
}

struct Again {
    status: Status,
    input: Digest,
    output: Option<Digest>,
    outcome: Option<Outcome>,
    /// Parts of the answer that are not as recorded.
    parts: Vec<&'static str>,
}

/// The parts of a verdict that differ from the record.
fn said(decision: &Decision, verdict: &Verdict) -> Vec<&'static str> {
    let Verdict {
        outcome, text, disposition, fit, engagement, confidence, reasons, missing, review_at, ..
    } = verdict;
    let parts = [
        ("outcome", decision.outcome == Some(*outcome)),
        ("text", decision.text == *text),
        ("target", decision.target == *disposition),
        ("fit", decision.fit == *fit),
        ("engagement", decision.engagement == *engagement),
        ("confidence", decision.confidence == *confidence),
        ("reasons", decision.reasons == *reasons),
        ("missing", decision.missing == *missing),
        ("reviewAt", decision.review_at == *review_at),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect()
}

/// The parts of a routing that differ from the record.
fn assigned(decision: &Decision, routed: &Assignment) -> Vec<&'static str> {
    let target = match &routed.target {
        Target::Owner(owner) => format!("owner:{owner}"),
        Target::Queue(queue) => format!("queue:{queue}"),
    };
    let parts = [
        ("target", decision.target.as_ref() == Some(&target)),
        ("reasons", decision.reasons == routed.reasons),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect()
}

async fn again(
    app: &App,
    rule: &Rule,
    settings: &Settings,
    context: Context,
    snapshot: Arc<handfast_domain::snapshot::Snapshot>,
    decision: &Decision,
) -> Again {
    let Judged { status, verdict, input_digest, output_digest, .. } =
        app.host.replay(rule, settings, context, snapshot, decision.batch_size).await;
    let outcome = verdict.as_ref().map(|verdict| verdict.outcome);
    let parts = verdict.map(|verdict| said(decision, &verdict)).unwrap_or_default();
    Again { status, input: input_digest, output: output_digest, outcome, parts }
}

/// What `handfast verify` counts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub identical: u64,
    pub other_engine: u64,
    pub not_comparable: u64,
    pub erased: u64,
    /// Decisions that came out differently and what differs, at most a hundred.
    pub different: Vec<(Uuid, String)>,
}

/// Runs all decisions again, oldest first, and reports each page.
pub async fn all(app: &App, mut progress: impl FnMut(u64)) -> Result<Tally, Error> {
    const PAGE: i64 = 200;
    let mut tally = Tally::default();
    let (mut done, mut after): (u64, Option<(Instant, Uuid)>) = (0, None);
    loop {
        let page = evaluation::decisions_after(app.store.read(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(tally) };
        after = Some((last.as_of, last.decision.id));
        for stored in &page {
            let again = stored_decision(app, stored).await?;
            match again.comparison {
                Comparison::Identical => tally.identical += 1,
                Comparison::SameVerdictOtherEngine => tally.other_engine += 1,
                Comparison::NotComparable => tally.not_comparable += 1,
                Comparison::Erased => tally.erased += 1,
                Comparison::Different if tally.different.len() < 100 => {
                    tally.different.push((stored.decision.id, again.differences.join(", ")));
                }
                Comparison::Different => {}
            }
            done += 1;
        }
        progress(done);
    }
}
