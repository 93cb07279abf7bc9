//! From points to verdicts: sums, reasons, what is missing, and the outcome.

use handfast_sdk::{CodeInfo, Column, Context, DAY, Leads, Missing, Outcome, Reason, Verdict};

use crate::condition::{Words, fold};
use crate::criterion::{Compiled, Criterion, Scored};
use crate::fields;
use crate::settings::{Below, Knockout, Settings, Then, Thresholds};

const REASONS: usize = 32;

const KNOCKOUT: u16 = 0;
const FIT_TOO_LOW: u16 = 1;
const ENGAGEMENT_TOO_LOW: u16 = 2;
/// Codes of the fields follow, in the order of `reads.txt`.
const FIELDS: u16 = 3;

/// Three codes for the ways in which points do not decide, then one for each field: `company-employees`.
pub fn codes() -> Vec<CodeInfo> {
    let own = [
        ("knockout", "Knocked out", "A fact that decides alone, whatever the points."),
        ("fit-too-low", "Fit too low", "The total is enough, but the fit is below its minimum."),
        (
            "engagement-too-low",
            "Engagement too low",
            "The total is enough, but the engagement is below its minimum.",
        ),
    ];
    let own = own.into_iter().map(|(code, label, description)| CodeInfo {
        code: code.into(),
        label: label.into(),
        description: description.into(),
    });
    let of_fields = fields::all().map(|field| CodeInfo {
        code: field.path.replace('.', "-"),
        label: field.label.into(),
        description: format!("Points for {}.", field.path),
    });
    own.chain(of_fields).collect()
}

/// One verdict for each lead, each from its own row.
pub fn judge(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
    let fit = score(&settings.fit, context, leads);
    let engagement = score(&settings.engagement, context, leads);
    let knocked = knockouts(&settings.knockouts, leads);
    let card = Card { settings, context, fit: &fit, engagement: &engagement };
    knocked.into_iter().enumerate().map(|(lead, knocked)| card.verdict(lead, knocked)).collect()
}

fn score<'a>(criteria: &'a [Criterion], context: &Context, leads: &Leads) -> Vec<(Compiled<'a>, Scored)> {
    let compiled = criteria.iter().filter_map(Compiled::new);
    compiled
        .map(|criterion| {
            let scored = criterion.score(context.as_of, leads);
            (criterion, scored)
        })
        .collect()
}

struct Card<'a> {
    settings: &'a Settings,
    context: &'a Context,
    fit: &'a [(Compiled<'a>, Scored)],
    engagement: &'a [(Compiled<'a>, Scored)],
}

impl Card<'_> {
    fn verdict(&self, lead: usize, knocked: Option<usize>) -> Verdict {
        let mut verdict = Verdict::new(Outcome::Hold);
        // One more for what decides; a list that grows would be copied again and again.
        verdict.reasons.reserve(self.fit.len() + self.engagement.len() + 1);
        let (mut all, mut known) = (0i64, 0i64);
        for (side, sum) in [(self.fit, &mut verdict.fit), (self.engagement, &mut verdict.engagement)] {
            for (criterion, scored) in side {
                let points = scored.points[lead];
                *sum = sum.saturating_add(points);
                let (least, most) = criterion.span;
                let span = i64::from(most) - i64::from(least);
                all += span;
                if scored.known[lead] {
                    known += span;
                } else if most > points {
                    let worth = most.saturating_sub(points).min(1_000);
                    missing(&mut verdict.missing, Missing { field: criterion.position, worth });
                }
                if points != 0 {
                    let (code, field) = (FIELDS + criterion.position, Some(criterion.position));
                    heaviest_first(&mut verdict.reasons, Reason { code, weight: points, field });
                }
            }
            *sum = (*sum).clamp(-1_000, 1_000);
        }
        // The share of what the card could say that is known, by the span of each criterion.
        verdict.confidence = if all == 0 { 10_000 } else { (known * 10_000 / all) as u16 };
        verdict.missing.truncate(REASONS);
        self.decide(&mut verdict, knocked);
        verdict.reasons.truncate(REASONS);
        if self.context.explain {
            verdict.trace = self.trace(lead, &verdict);
        }
        verdict
    }

    fn decide(&self, verdict: &mut Verdict, knocked: Option<usize>) {
        let thresholds = &self.settings.thresholds;
        let total = verdict.fit + verdict.engagement;
        if let Some(knockout) = knocked.and_then(|at| self.settings.knockouts.get(at)) {
            let field = fields::find(&knockout.field).map(|(position, _)| position);
            verdict.reasons.insert(0, Reason { code: KNOCKOUT, weight: 0, field });
            verdict.outcome = match knockout.then {
                Then::Disqualify => Outcome::Disqualify(knockout.reason.clone()),
                Then::Recycle => Outcome::Recycle(knockout.reason.clone()),
                Then::Review => Outcome::Review(knockout.reason.clone()),
            };
            return;
        }
        if total >= thresholds.advance {
            let short = [
                (FIT_TOO_LOW, verdict.fit, thresholds.minimum_fit),
                (ENGAGEMENT_TOO_LOW, verdict.engagement, thresholds.minimum_engagement),
            ];
            let short = short
                .into_iter()
                .filter(|(_, points, minimum)| minimum.is_some_and(|minimum| *points < minimum));
            let short: Vec<Reason> =
                short.map(|(code, ..)| Reason { code, weight: 0, field: None }).collect();
            if short.is_empty() {
                verdict.outcome = Outcome::Advance;
                return;
            }
            verdict.reasons.splice(0..0, short);
            verdict.review_at = self.after(thresholds.hold_days);
            return;
        }
        let under = |below: &Option<Below>| below.clone().filter(|below| total < below.below);
        if let Some(review) =
            thresholds.review.as_ref().filter(|review| (review.from..=review.to).contains(&total))
        {
            verdict.outcome = Outcome::Review(grey(thresholds, total, &review.text));
        } else if let Some(disqualify) = under(&thresholds.disqualify) {
            verdict.outcome = Outcome::Disqualify(disqualify.reason);
        } else if let Some(recycle) = under(&thresholds.recycle) {
            verdict.outcome = Outcome::Recycle(recycle.reason);
            verdict.review_at = self.after(recycle.review_after_days);
        } else {
            verdict.review_at = self.after(thresholds.hold_days);
        }
    }

    fn after(&self, days: Option<u32>) -> Option<i64> {
        days.map(|days| self.context.as_of.saturating_add(i64::from(days) * DAY))
    }

    fn trace(&self, lead: usize, verdict: &Verdict) -> Vec<String> {
        let mut lines = Vec::new();
        for (side, criteria) in [("fit", self.fit), ("engagement", self.engagement)] {
            for (criterion, scored) in criteria {
                let known = if scored.known[lead] { "" } else { " (unknown)" };
                lines.push(format!("{side}: {}{known}: {:+}", criterion.label, scored.points[lead]));
            }
        }
        let total = verdict.fit + verdict.engagement;
        lines.push(format!(
            "fit {} and engagement {} make {total}; {} advances",
            verdict.fit, verdict.engagement, self.settings.thresholds.advance
        ));
        lines
    }
}

/// Behind all that weigh as much.
fn heaviest_first(reasons: &mut Vec<Reason>, reason: Reason) {
    let weight = reason.weight.abs();
    let lighter = reasons.iter().rev().take_while(|other| other.weight.abs() < weight).count();
    reasons.insert(reasons.len() - lighter, reason);
}

/// The worthiest first. Two criteria may rest on the same field; it is missing once, at what it is worth most.
fn missing(fields: &mut Vec<Missing>, one: Missing) {
    if let Some(at) = fields.iter().position(|other| other.field == one.field) {
        if fields[at].worth >= one.worth {
            return;
        }
        fields.remove(at);
    }
    let less = fields.iter().rev().take_while(|other| other.worth < one.worth).count();
    fields.insert(fields.len() - less, one);
}

fn grey(thresholds: &Thresholds, total: i32, words: &str) -> String {
    let score = format!("{total} points; {} would advance", thresholds.advance);
    let room = 250usize.saturating_sub(score.len());
    let words: String = words.chars().filter(|c| !c.is_control()).collect();
    if words.is_empty() { score } else { format!("{}: {score}", &words[..words.floor_char_boundary(room)]) }
}

/// For each lead the first knockout that holds.
fn knockouts(knockouts: &[Knockout], leads: &Leads) -> Vec<Option<usize>> {
    let mut first = vec![None; leads.len()];
    for (at, knockout) in knockouts.iter().enumerate() {
        let Some((position, _)) = fields::find(&knockout.field) else { continue };
        let holds = holding(knockout, usize::from(position), leads);
        for (lead, _) in holds.iter().enumerate().filter(|(_, holds)| **holds) {
            first[lead].get_or_insert(at);
        }
    }
    first
}

/// An unknown field knocks nobody out. Each distinct text is looked at once.
fn holding(knockout: &Knockout, position: usize, leads: &Leads) -> Vec<bool> {
    let words: Words = knockout.words().lowered();
    match leads.column(position) {
        Some(Column::Booleans(values)) => {
            values.iter().map(|value| knockout.answer.is_some() && *value == knockout.answer).collect()
        }
        Some(Column::Texts(texts)) => {
            let named: Vec<bool> =
                texts.distinct.iter().map(|text| words.match_lowered(&fold(text))).collect();
            let holds = |index: &u32| (*index as usize).checked_sub(1).and_then(|at| named.get(at));
            texts.index.iter().map(|index| holds(index).copied().unwrap_or(false)).collect()
        }
        Some(Column::TextLists(_)) => (0..leads.len())
            .map(|lead| leads.texts(position, lead).iter().any(|text| words.match_lowered(&fold(text))))
            .collect(),
        _ => vec![false; leads.len()],
    }
}
