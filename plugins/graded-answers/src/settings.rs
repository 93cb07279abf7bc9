//! The settings document, and what the JSON Schema cannot check of it.

use serde::Deserialize;

use handfast_sdk::SettingsProblem;

use crate::answer;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// For people; the rule does not read it.
    #[serde(default)]
    pub description: String,
    pub questions: Vec<Question>,
    /// Basis points of its worth that an answer keeps when nobody wrote down what it rests on.
    #[serde(default = "half")]
    pub without_evidence: i64,
    /// From this total on, of 100, the lead advances.
    pub advance: i32,
    /// From this total on, and below `advance`, both sides decide.
    pub review: Option<i32>,
    /// Days until a lead that is held is looked at again.
    pub hold_days: Option<u32>,
}

/// One question, and what its answer is worth.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    pub key: String,
    /// Its share of the total, against the other questions' weights.
    pub weight: u32,
    /// The grade below which no total is enough.
    pub minimum: Option<i64>,
    /// Days after which half of the answer's worth is left; it never ages without.
    pub half_life_days: Option<u32>,
}

fn half() -> i64 {
    5_000
}

impl Settings {
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        for (at, question) in self.questions.iter().enumerate() {
            let pointer = format!("/questions/{at}/key");
            if answer::find(&question.key).is_none() {
                let known: Vec<&str> = answer::QUESTIONS.iter().map(|(key, _)| *key).collect();
                let message = format!("{} is no question; there are {}", question.key, known.join(", "));
                problems.push(SettingsProblem::new(pointer, message));
            } else if self.questions[..at].iter().any(|other| other.key == question.key) {
                problems.push(SettingsProblem::new(pointer, format!("{} stands here twice", question.key)));
            }
        }
        if self.questions.iter().all(|question| question.weight == 0) {
            problems.push(SettingsProblem::new("/questions", "at least one question needs a weight"));
        }
        if let Some(review) = self.review
            && review >= self.advance
        {
            let message = format!("{review} must lie below advance, which is {}", self.advance);
            problems.push(SettingsProblem::new("/review", message));
        }
        problems
    }
}
