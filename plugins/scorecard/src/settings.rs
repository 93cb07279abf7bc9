//! The settings document, and what the JSON Schema cannot check of it.

use serde::Deserialize;

use handfast_sdk::{Kind, SettingsProblem};

use crate::condition::Words;
use crate::criterion::Criterion;
use crate::fields;

const POINTS: std::ops::RangeInclusive<i32> = -1_000..=1_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// For people; the rule does not read it.
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub fit: Vec<Criterion>,
    #[serde(default)]
    pub engagement: Vec<Criterion>,
    #[serde(default)]
    pub knockouts: Vec<Knockout>,
    pub thresholds: Thresholds,
}

/// A fact that decides alone, before any points are counted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Knockout {
    pub field: String,
    #[serde(default)]
    pub is: Vec<String>,
    #[serde(default)]
    pub contains: Vec<String>,
    /// For a yes/no field: the answer that knocks out.
    pub answer: Option<bool>,
    pub then: Then,
    /// Disposition reason, or what is unclear.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Then {
    Disqualify,
    Recycle,
    Review,
}

/// What the total means.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Thresholds {
    /// From this total on the lead advances …
    pub advance: i32,
    /// … if fit and engagement reach these.
    pub minimum_fit: Option<i32>,
    pub minimum_engagement: Option<i32>,
    pub review: Option<Review>,
    pub recycle: Option<Below>,
    pub disqualify: Option<Below>,
    /// Days until a lead that is held is looked at again.
    pub hold_days: Option<u32>,
}

/// A total from `from` to `to`, both included, is a grey case.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Review {
    pub from: i32,
    pub to: i32,
    #[serde(default)]
    pub text: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Below {
    pub below: i32,
    pub reason: String,
    pub review_after_days: Option<u32>,
}

impl Knockout {
    pub fn words(&self) -> Words {
        Words { is: self.is.clone(), contains: self.contains.clone() }
    }

    fn problem(&self) -> Option<String> {
        let kind = match declared(&self.field) {
            Ok(kind) => kind,
            Err(message) => return Some(message),
        };
        let words = !self.words().is_empty();
        let fits = match kind {
            Kind::Boolean => self.answer.is_some() && !words,
            Kind::Text | Kind::TextList => words && self.answer.is_none(),
            Kind::Integer | Kind::IntegerList => false,
        };
        (!fits).then(|| {
            "a knockout is `answer` on a yes/no field, or `is`/`contains` on a text field".to_owned()
        })
    }
}

impl Settings {
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        for (list, criteria) in [("fit", &self.fit), ("engagement", &self.engagement)] {
            for (at, criterion) in criteria.iter().enumerate() {
                let found = criterion.problems().into_iter();
                problems.extend(
                    found.map(|(part, message)| SettingsProblem::new(format!("/{list}/{at}{part}"), message)),
                );
            }
        }
        for (at, knockout) in self.knockouts.iter().enumerate() {
            problems.extend(
                knockout.problem().map(|message| SettingsProblem::new(format!("/knockouts/{at}"), message)),
            );
        }
        problems.extend(self.thresholds.problems());
        problems
    }
}

impl Thresholds {
    fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        let mut problem = |part: &str, message: String| {
            problems.push(SettingsProblem::new(format!("/thresholds{part}"), message));
        };
        if let Some(review) = &self.review {
            if review.from > review.to {
                problem("/review", format!("from {} is above to {}", review.from, review.to));
            }
            if review.to >= self.advance {
                problem(
                    "/review/to",
                    format!("{} must lie below advance, which is {}", review.to, self.advance),
                );
            }
        }
        for (part, below) in [("/recycle", &self.recycle), ("/disqualify", &self.disqualify)] {
            if let Some(below) = below
                && below.below > self.advance
            {
                problem(
                    part,
                    format!("below {} must not lie above advance, which is {}", below.below, self.advance),
                );
            }
        }
        if let (Some(recycle), Some(disqualify)) = (&self.recycle, &self.disqualify)
            && recycle.below <= disqualify.below
        {
            let message = format!("never reached: a total below {} is disqualified first", disqualify.below);
            problem("/recycle", message);
        }
        problems
    }
}

/// The kind of a field, or a sentence that names the nearest one.
pub fn declared(path: &str) -> Result<Kind, String> {
    fields::find(path).map(|(_, field)| field.kind).ok_or_else(|| {
        let nearest = fields::nearest(path).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("{path} is not among the fields that this scorecard reads{nearest} (plugins/scorecard/reads.txt lists them)")
    })
}

pub fn in_range(points: i32) -> bool {
    POINTS.contains(&points)
}
