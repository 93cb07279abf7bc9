//! What is known of a lead and where it comes from; and what somebody learned of it.

use handfast_domain::change::Draft;
use handfast_domain::handoff::text_of;
use handfast_domain::lead_fact::{FactOrigin, LeadFact, LeadFactKind, Observation, facts};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Cause;
use handfast_domain::time::{DAY, Instant};
use handfast_store::answer::Answer;
use handfast_store::person::Trait;

use super::check::{Checks, words};
use super::commit::{Committed, Once, Plan};
use super::evaluate::{self, Look};
use super::{Error, capture, lead, scope};
use crate::app::App;

/// Longest source and longest evidence, in characters.
const SOURCE: usize = 256;
const EVIDENCE: usize = 2_000;

/// A value that somebody learned.
#[derive(Clone, Debug)]
pub struct Value {
    pub key: String,
    pub text: String,
    pub source: Option<String>,
    pub evidence: Option<String>,
    pub observed_at: Option<Instant>,
}

/// Keeps a value of a defined trait, and lets the rules look again where they read it. A value that was observed before the one that is
/// known becomes history.
pub async fn set(app: &App, target: &lead::Target<'_>, value: Value) -> Result<(), Error> {
    let viewer = target.viewer;
    viewer.require(scope::LEADS_WRITE)?;
    let Value { key, text, source, evidence, observed_at } = value;
    let mut checks = Checks::default();
    if let Some(source) = &source {
        checks.text("source", source, SOURCE);
    }
    let evidence = evidence.map(|text| words(&mut checks, "evidence", &text, EVIDENCE));
    let now = app.now();
    let observed_at = observed_at.unwrap_or(now);
    checks.need((Instant(0)..=now.plus(DAY)).contains(&observed_at), "observedAt", || {
        format!("an observation lies between 1970 and tomorrow, found {observed_at}")
    });
    let known = capture::trait_value(&app.workspace(), &key, &text);
    if known.is_none() {
        let problem = capture::trait_problem(&app.workspace(), &key, &text);
        checks.refuse(Refused { path: vec![], ..problem }.at("value"));
    }
    checks.done()?;
    let Some(value) = known else { return Ok(()) };
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let user = &viewer.user;
    let origin = Some(if user.service { FactOrigin::Service } else { FactOrigin::Person });
    let source = source.unwrap_or_else(|| match user.service {
        true => user.key.clone(),
        false => user.side.as_str().to_lowercase(),
    });
    let observed = Trait {
        lead: target.lead,
        key,
        value,
        source,
        observed_at: observed_at.min(now),
        origin,
        evidence,
        recorded_by: Some(user.id),
    };
    write(app, target, &observed).await?;
    if !target.dry_run {
        evaluate::evaluate(app, evaluate::RULE, Cause::Evaluation, &[target.lead], Look::Changed).await?;
    }
    Ok(())
}

async fn write(app: &App, target: &lead::Target<'_>, observed: &Trait) -> Result<(), Error> {
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, target.lead).await?;
        let scene = lead::scene(app, &workspace, target.viewer.actor(), Cause::Sales, None);
        let mut draft = Draft::new(journey, scene);
        draft.expect_version(target.expected_version)?;
        draft.record_trait(&observed.key)?;
        if target.dry_run {
            return Ok(());
        }
        let plan = Plan { changes: vec![draft.finish()], traits: vec![observed.clone()], ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), target.lead.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(()),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}

/// Traits with their history, and answers of all cycles, as facts by key.
pub fn of(traits: &[Trait], history: &[Trait], answers: &[Answer]) -> Vec<LeadFact> {
    let observed = |one: &Trait| {
        let Trait { lead: _, key, value, source, observed_at, origin, evidence, recorded_by } = one.clone();
        let value = text_of(&value);
        let graded = None;
        let one = Observation { value, source, origin, evidence, by: recorded_by, observed_at, graded };
        (LeadFactKind::Trait, key, one)
    };
    let answered = |one: &Answer| {
        let Answer { lead: _, cycle: _, key, grade, evidence, confidence, given_by, at } = one.clone();
        let one = Observation {
            value: format!("{grade} of 4"),
            source: "sales".to_owned(),
            origin: Some(FactOrigin::Person),
            evidence,
            by: given_by,
            observed_at: at,
            graded: Some((grade, confidence)),
        };
        (LeadFactKind::Answer, key, one)
    };
    facts(traits.iter().chain(history).map(observed).chain(answers.iter().map(answered)).collect())
}
