//! From answers to verdicts: what each answer is worth, the total, and what is missing.

use handfast_sdk::{CodeInfo, Context, DAY, Leads, Outcome, Reason, SCALE, Verdict, remaining};

use crate::answer::{self, Answer, PROVEN, QUESTIONS};
use crate::settings::{Question, Settings};

const BELOW_MINIMUM: u16 = 0;
/// Codes of the questions follow, in their order.
const FIRST: u16 = 1;

/// One code for an answer that no total outweighs, then one for each question.
pub fn codes() -> Vec<CodeInfo> {
    let below = CodeInfo {
        code: "below-minimum".into(),
        label: "An answer is too weak".into(),
        description: "The answer to this question is below its minimum, whatever the total.".into(),
    };
    let questions = QUESTIONS.iter().map(|(key, question)| CodeInfo {
        code: format!("answer-{key}"),
        label: (*question).into(),
        description: format!("What the answer about {key} is worth."),
    });
    std::iter::once(below).chain(questions).collect()
}

/// One verdict for each lead, each from its own answers.
pub fn judge(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
    let questions: Vec<(usize, &Question)> = settings
        .questions
        .iter()
        .filter_map(|question| Some((answer::find(&question.key)?, question)))
        .collect();
    (0..leads.len()).map(|lead| verdict(settings, &questions, context, leads, lead)).collect()
}

fn verdict(
    settings: &Settings,
    questions: &[(usize, &Question)],
    context: &Context,
    leads: &Leads,
    lead: usize,
) -> Verdict {
    let weights: i64 = questions.iter().map(|(_, question)| i64::from(question.weight)).sum::<i64>().max(1);
    let points = |weight: i64, share: i64| (weight * 100 * share + weights * 5_000) / (weights * 10_000);
    let mut verdict = Verdict::new(Outcome::Hold);
    let (mut total, mut sure, mut weak) = (0, 0, Vec::new());
    for (position, question) in questions {
        let weight = i64::from(question.weight);
        let field = answer::grade(*position);
        let given = answer::read(leads, lead, *position);
        let share = given.map_or(0, |given| worth(&given, question, settings, context.as_of));
        total += weight * share;
        sure += given.map_or(0, |given| weight * given.confidence);
        if given.is_some() {
            let weight = points(weight, share) as i32;
            verdict.reasons.push(Reason { code: FIRST + *position as u16, weight, field: Some(field) });
        }
        if question.minimum.is_some_and(|minimum| given.is_none_or(|given| given.grade < minimum)) {
            weak.push(Reason { code: BELOW_MINIMUM, weight: 0, field: Some(field) });
        }
        let more = points(weight, 10_000 - share) as i32;
        if more > 0 {
            verdict = verdict.misses(field, more);
        }
        if context.explain {
            verdict.trace.push(told(question, given, points(weight, share)));
        }
    }
    verdict.fit = (total * 100 / (weights * 10_000)) as i32;
    verdict.confidence = (sure / weights) as u16;
    verdict.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.weight));
    verdict.missing.sort_by_key(|missing| std::cmp::Reverse(missing.worth));
    if verdict.fit >= settings.advance && weak.is_empty() {
        verdict.outcome = Outcome::Advance;
    } else if weak.is_empty() && settings.review.is_some_and(|review| verdict.fit >= review) {
        let total = verdict.fit;
        verdict.outcome = Outcome::Review(format!("{total} of 100; {} would advance", settings.advance));
    } else {
        verdict.review_at =
            settings.hold_days.map(|days| context.as_of.saturating_add(i64::from(days) * DAY));
    }
    verdict.reasons.splice(0..0, weak);
    verdict
}

/// How much of a proven answer this one is, in basis points: by its grade, how sure it is, whether it says what it rests
/// on, and how old it is.
fn worth(given: &Answer, question: &Question, settings: &Settings, as_of: i64) -> i64 {
    let evidence = if given.evidence { 10_000 } else { settings.without_evidence.clamp(0, 10_000) };
    let fresh = match (question.half_life_days, given.at) {
        (Some(half_life), Some(at)) => remaining(as_of.saturating_sub(at), half_life),
        _ => SCALE,
    };
    given.grade * given.confidence * evidence / PROVEN / 10_000 * fresh / SCALE
}

fn told(question: &Question, given: Option<Answer>, points: i64) -> String {
    let Some(Answer { grade, confidence, evidence, .. }) = given else {
        return format!("{}: not asked", question.key);
    };
    let rests = if evidence { "with evidence" } else { "without evidence" };
    format!("{}: grade {grade}, {} % sure, {rests}: {points}", question.key, confidence / 100)
}
