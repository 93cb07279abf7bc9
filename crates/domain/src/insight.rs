//! What was learned of a lead, piece by piece, each with the stage at which the lead stood then. Nothing of it is kept twice: it is
//! read from traits, answers, touches, notes, questions, feedback and the looks of the rules.

use std::collections::BTreeMap;

use crate::stage::StageKind;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// Where something was learned.
    pub enum InsightKind {
        /// A trait was observed.
        Trait = "TRAIT",
        /// The buyer answered a question of the qualification, and sales graded the answer.
        Answer = "ANSWER",
        /// It looked at content.
        Content = "CONTENT",
        /// It did what the charter lists as an act of high intent.
        Intent = "INTENT",
        /// Somebody wrote down what was said or seen.
        Note = "NOTE",
        /// Marketing answered a question of sales.
        Context = "CONTEXT",
        /// One side told the other something about the lead.
        Feedback = "FEEDBACK",
        /// Another persona matched best from then on.
        Persona = "PERSONA",
        /// A rule said why: the same as in the hand-off's packet.
        Reason = "REASON",
    }
}

/// One thing as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    pub kind: InsightKind,
    /// What it is about.
    pub key: String,
    /// What was learned.
    pub value: String,
    /// Who or what says so.
    pub source: String,
    /// What it rests on.
    pub evidence: Option<String>,
    pub at: Instant,
}

/// One thing that was learned of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct Insight {
    /// Where it was learned.
    pub kind: InsightKind,
    /// What it is about: key of the trait, question, content or persona, code of the reason, kind of the activity, topic of the
    /// question, or kind of the feedback.
    pub key: String,
    /// What was learned, in words.
    pub value: String,
    /// Who or what says so: source of the trait, channel of the touch, key of the user, key of the rule slot, or side.
    pub source: String,
    /// What it rests on, where somebody wrote that down.
    pub evidence: Option<String>,
    /// When it was observed; of what was observed again and again at the same stage, the last time.
    pub observed_at: Instant,
    /// How often it was observed while the lead stood at the stage.
    pub times: u32,
    /// The stage at which the lead stood.
    pub stage: StageKind,
}

/// Where the lead stood at an instant, by its stage changes in their order; ANONYMOUS before the first.
pub fn stood(stages: &[(Instant, StageKind)], at: Instant) -> StageKind {
    let reached = stages.iter().rev().find(|(since, _)| *since <= at);
    reached.map_or(StageKind::Anonymous, |(_, stage)| *stage)
}

/// What was learned, the newest first. The same thing at the same stage counts once.
pub fn insights(learned: Vec<Learned>, stages: &[(Instant, StageKind)]) -> Vec<Insight> {
    let mut found: BTreeMap<(StageKind, InsightKind, String, String, String), Insight> = BTreeMap::new();
    for Learned { kind, key, value, source, evidence, at } in learned {
        let stage = stood(stages, at);
        let place = (stage, kind, key.clone(), value.clone(), source.clone());
        let known = found.entry(place).or_insert_with(|| Insight {
            kind,
            key,
            value,
            source,
            evidence: None,
            observed_at: at,
            times: 0,
            stage,
        });
        known.times += 1;
        if at >= known.observed_at {
            (known.observed_at, known.evidence) = (at, evidence.or(known.evidence.take()));
        }
    }
    let mut found: Vec<Insight> = found.into_values().collect();
    found.sort_by(|a, b| {
        let key = |one: &Insight| (std::cmp::Reverse(one.observed_at), one.kind);
        key(a).cmp(&key(b)).then_with(|| a.key.cmp(&b.key))
    });
    found
}

/// Of the personas that matched best at one look after the other, those at which another one did.
pub fn persona_changes(looks: impl IntoIterator<Item = (Instant, Option<String>)>) -> Vec<Learned> {
    let (mut before, mut changes) = (None, vec![]);
    for (at, persona) in looks {
        if persona == before {
            continue;
        }
        let value = match (&before, &persona) {
            (None, Some(now)) => format!("matches {now}"),
            (Some(was), Some(now)) => format!("matches {now}, before {was}"),
            (_, None) => "matches none any more".to_owned(),
        };
        let key = persona.clone().or_else(|| before.clone()).unwrap_or_default();
        changes.push(Learned {
            kind: InsightKind::Persona,
            key,
            value,
            source: "charter".to_owned(),
            evidence: None,
            at,
        });
        before = persona;
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(at: i64, content: &str) -> Learned {
        Learned {
            kind: InsightKind::Content,
            key: content.into(),
            value: "seen".into(),
            source: "EMAIL".into(),
            evidence: None,
            at: Instant(at),
        }
    }

    #[test]
    fn the_same_thing_at_the_same_stage_counts_once() {
        let stages = [(Instant(10), StageKind::Inquiry), (Instant(20), StageKind::Mql)];
        let found =
            insights(vec![saw(5, "a"), saw(10, "a"), saw(19, "a"), saw(20, "a"), saw(12, "b")], &stages);
        let told: Vec<_> =
            found.iter().map(|one| (one.stage, one.key.as_str(), one.times, one.observed_at.ms())).collect();
        let expected = [
            (StageKind::Mql, "a", 1, 20),
            (StageKind::Inquiry, "a", 2, 19),
            (StageKind::Inquiry, "b", 1, 12),
            (StageKind::Anonymous, "a", 1, 5),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_persona_is_news_only_when_another_one_matches() {
        let look = |at: i64, persona: Option<&str>| (Instant(at), persona.map(str::to_owned));
        let looks = [
            look(1, None),
            look(2, Some("owner")),
            look(3, Some("owner")),
            look(4, Some("it")),
            look(5, None),
        ];
        let told: Vec<_> = persona_changes(looks).into_iter().map(|one| (one.at.ms(), one.value)).collect();
        let expected = [(2, "matches owner"), (4, "matches it, before owner"), (5, "matches none any more")];
        assert_eq!(told, expected.map(|(at, text)| (at, text.to_owned())));
    }
}
