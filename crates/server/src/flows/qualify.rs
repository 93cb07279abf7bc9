//! Qualification by a person: graded answers, then the gate to SQL.

use handfast_domain::change::Draft;
use handfast_domain::field::is_key;
use handfast_domain::profile;
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, Side, StageKind};
use handfast_store::answer::Answer;

use super::commit::{Committed, Once, Plan};
use super::evaluate::{Subject, judge_gates};
use super::{Error, lead, scope};
use crate::app::App;

/// An answer with its grade.
#[derive(Clone, Debug)]
pub struct Graded {
    pub key: String,
    pub grade: i32,
    pub evidence: Option<String>,
    pub confidence: i32,
}

/// Keeps the answers, and moves the lead to SQL if its gate is met. If it is not, the answers stay and the refusal says
/// what is missing.
pub async fn qualify(app: &App, target: &lead::Target<'_>, answers: &[Graded]) -> Result<(), Error> {
    target.viewer.require(scope::LEADS_WRITE)?;
    target.viewer.require_side(Side::Sales, "qualify a lead")?;
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, target.lead).await?;
        let scene = lead::scene(app, &workspace, target.viewer.actor(), Cause::Sales, None);
        let rows = rows(target, answers, journey.lead.cycle, scene.now)?;
        let ids = [target.lead];
        let profiles =
            handfast_store::profile::profiles(app.store.read(), &ids, &workspace.readable_traits()).await?;
        let Some(mut profile) = profiles.into_values().next() else {
            return Err(Refused::not_found("lead").into());
        };
        profile.answers.extend(rows.iter().map(|row| (row.key.clone(), as_read(row))));
        let mut draft = Draft::new(journey.clone(), scene);
        draft.expect_version(target.expected_version)?;
        let subject = Subject { journey, profile, high_intent: false, as_of: scene.at };
        let gates = [StageKind::Sql];
        let judged = judge_gates(app, &workspace, Cause::Sales, std::slice::from_ref(&subject), &gates).await;
        let Some(judgment) = judged.into_iter().next() else { return Ok(()) };
        let moved = draft.qualify(judgment.evaluation, vec![judgment.snapshot]);
        if target.dry_run {
            return moved.map_err(Error::from);
        }
        let mut plan = Plan { answers: rows, ..Plan::default() };
        if moved.is_ok() {
            plan.changes.push(draft.finish());
        }
        // A refused qualification is not remembered: with more answers the same key may be tried again.
        let once = target.once.as_ref().filter(|_| moved.is_ok());
        match app.commit(plan, once, target.lead.to_string()).await? {
            Committed::Done | Committed::Before(_) => return moved.map_err(Error::from),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}

/// What the rules see of an answer.
fn as_read(row: &Answer) -> profile::Answer {
    let Answer { grade, confidence, at, .. } = *row;
    let (grade, confidence) = (i64::from(grade), i64::from(confidence));
    profile::Answer { grade, confidence, evidence: row.evidence.is_some(), at }
}

/// The most answers of one request, and the longest evidence in characters.
const ANSWERS: usize = 50;
const EVIDENCE: usize = 2_000;

fn rows(
    target: &lead::Target<'_>,
    answers: &[Graded],
    cycle: u32,
    at: handfast_domain::time::Instant,
) -> Result<Vec<Answer>, Refused> {
    if answers.len() > ANSWERS {
        let message = format!("at most {ANSWERS} answers, found {}", answers.len());
        return Err(Refused::invalid("input/answers", message));
    }
    let mut rows = vec![];
    for (index, answer) in answers.iter().enumerate() {
        let path = format!("input/answers/{index}");
        if !is_key(&answer.key) {
            return Err(Refused::invalid("key", "a key is 1 to 64 of a-z, 0-9, - and _").at(&path));
        }
        if answers[..index].iter().any(|other| other.key == answer.key) {
            return Err(Refused::invalid("key", format!("{} is answered twice", answer.key)).at(&path));
        }
        let length = answer.evidence.as_ref().map_or(1, |text| text.trim().chars().count());
        if !(1..=EVIDENCE).contains(&length) {
            let message = format!("1 to {EVIDENCE} characters, found {length}");
            return Err(Refused::invalid("evidence", message).at(&path));
        }
        let grade = u8::try_from(answer.grade).ok().filter(|grade| *grade <= 4);
        let grade = grade
            .ok_or_else(|| Refused::invalid("grade", format!("0 to 4, found {}", answer.grade)).at(&path))?;
        let confidence = u16::try_from(answer.confidence).ok().filter(|share| *share <= 10_000);
        let confidence = confidence.ok_or_else(|| {
            Refused::invalid("confidence", format!("0 to 10000, found {}", answer.confidence)).at(&path)
        })?;
        rows.push(Answer {
            lead: target.lead,
            cycle,
            key: answer.key.clone(),
            grade,
            evidence: answer.evidence.clone(),
            confidence,
            given_by: Some(target.viewer.id()),
            at,
        });
    }
    Ok(rows)
}
