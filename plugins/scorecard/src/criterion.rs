//! One line of a card: which field, how its value becomes points, and the same prepared for many leads.

use serde::Deserialize;

use handfast_sdk::{Column, DAY, Kind, Leads, decayed};

use crate::condition::{Words, fold};
use crate::fields;
use crate::settings::{declared, in_range};

/// As it stands in the settings: the field, and exactly one way of counting.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Criterion {
    pub field: String,
    /// Words for the trace; the field's own label otherwise.
    pub label: Option<String>,
    /// Points by the value of a number.
    pub bands: Option<Vec<Band>>,
    /// Points by the days since an instant.
    pub days_ago: Option<Vec<Band>>,
    /// Points by a text, or by each text of a list.
    pub values: Option<Vec<Valued>>,
    /// Points of a yes/no field.
    pub yes: Option<i32>,
    pub no: Option<i32>,
    /// Points for each one of a count.
    pub each: Option<i32>,
    /// Points of an instant that is just now, fading with its age.
    pub recency: Option<i32>,
    /// The most (or, below zero, the least) that a count or a list may add.
    pub at_most: Option<i32>,
    /// Days after which half of the points is left.
    pub half_life_days: Option<u32>,
    /// The instant from which a count fades; the newest touch otherwise.
    pub since: Option<String>,
    /// Points of a known value that no band and no value names.
    #[serde(default)]
    pub otherwise: i32,
    /// Points when the field is unknown.
    #[serde(default)]
    pub unknown: i32,
}

/// From `from` on, up to but without `below`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Band {
    pub from: Option<i64>,
    pub below: Option<i64>,
    pub points: i32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Valued {
    #[serde(default)]
    pub is: Vec<String>,
    #[serde(default)]
    pub contains: Vec<String>,
    pub points: i32,
}

const NEWEST: &str = "engagement.last-touch";

/// A criterion with its column found and its words lowered.
pub struct Compiled<'a> {
    pub position: u16,
    pub label: &'a str,
    criterion: &'a Criterion,
    values: Vec<(Words, i32)>,
    since: Option<u16>,
    /// The least and the most that it can add.
    pub span: (i32, i32),
}

/// The points of one criterion for each lead, and whether its value was known.
pub struct Scored {
    pub points: Vec<i32>,
    pub known: Vec<bool>,
}

impl Criterion {
    /// Pointer below the criterion, and message.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let kind = match declared(&self.field) {
            Ok(kind) => kind,
            Err(message) => return vec![("/field".into(), message)],
        };
        let ways: [(&str, bool, &[Kind]); 6] = [
            ("bands", self.bands.is_some(), &[Kind::Integer]),
            ("daysAgo", self.days_ago.is_some(), &[Kind::Integer]),
            ("values", self.values.is_some(), &[Kind::Text, Kind::TextList]),
            ("yes/no", self.yes.is_some() || self.no.is_some(), &[Kind::Boolean]),
            ("each", self.each.is_some(), &[Kind::Integer]),
            ("recency", self.recency.is_some(), &[Kind::Integer]),
        ];
        let chosen: Vec<_> = ways.iter().filter(|(_, chosen, _)| *chosen).collect();
        match chosen[..] {
            [(name, _, kinds)] if !kinds.contains(&kind) => {
                problems
                    .push((String::new(), format!("{name} does not fit {}, which is {kind:?}", self.field)));
            }
            [_] => {}
            _ => problems.push((
                String::new(),
                "one way of counting: bands, daysAgo, values, yes/no, each or recency".to_owned(),
            )),
        }
        for (name, bands) in [("bands", &self.bands), ("daysAgo", &self.days_ago)] {
            problems.extend(bands.iter().flat_map(|bands| overlaps(name, bands)));
        }
        for (at, valued) in self.values.iter().flatten().enumerate() {
            if valued.is.is_empty() && valued.contains.is_empty() {
                problems.push((format!("/values/{at}"), "neither is nor contains".to_owned()));
            }
        }
        if self.recency.is_some() && self.half_life_days.is_none() {
            problems.push(("/recency".into(), "halfLifeDays is missing".to_owned()));
        }
        if let Some(since) = &self.since {
            match declared(since) {
                Ok(Kind::Integer) => {}
                Ok(_) => problems.push(("/since".into(), format!("{since} is not an instant"))),
                Err(message) => problems.push(("/since".into(), message)),
            }
        }
        if self.all_points().any(|points| !in_range(points)) {
            problems.push((String::new(), "points lie between -1000 and 1000".to_owned()));
        }
        problems
    }

    fn all_points(&self) -> impl Iterator<Item = i32> {
        let bands = self.bands.iter().chain(&self.days_ago).flatten().map(|band| band.points);
        let values = self.values.iter().flatten().map(|valued| valued.points);
        let single = [self.yes, self.no, self.each, self.recency, self.at_most].into_iter().flatten();
        bands.chain(values).chain(single).chain([self.otherwise, self.unknown])
    }

    /// A count or a list is capped on the side of its points.
    fn cap(&self, points: i64) -> i64 {
        match self.at_most.map(i64::from) {
            Some(most) if most >= 0 => points.min(most),
            Some(least) => points.max(least),
            None => points.clamp(-1_000, 1_000),
        }
    }
}

impl<'a> Compiled<'a> {
    /// Nothing for a field that is not declared: `check` has refused such settings, and a verdict must not fail on them.
    pub fn new(criterion: &'a Criterion) -> Option<Compiled<'a>> {
        let (position, field) = fields::find(&criterion.field)?;
        let since = match (&criterion.since, criterion.each, criterion.half_life_days) {
            (Some(since), ..) => fields::find(since),
            (None, Some(_), Some(_)) => fields::find(NEWEST),
            _ => None,
        };
        let words =
            |valued: &Valued| Words { is: valued.is.clone(), contains: valued.contains.clone() }.lowered();
        Some(Compiled {
            position,
            label: criterion.label.as_deref().unwrap_or(field.label),
            criterion,
            values: criterion.values.iter().flatten().map(|valued| (words(valued), valued.points)).collect(),
            since: since.map(|(position, _)| position),
            span: span(criterion, field.kind),
        })
    }

    /// Column by column: each distinct text is judged once.
    pub fn score(&self, as_of: i64, leads: &Leads) -> Scored {
        let mut scored =
            Scored { points: vec![self.criterion.unknown; leads.len()], known: vec![false; leads.len()] };
        let mut set = |lead: usize, points: i32| {
            scored.points[lead] = points;
            scored.known[lead] = true;
        };
        match leads.column(usize::from(self.position)) {
            Some(Column::Integers(values)) => {
                for (lead, value) in values.iter().enumerate() {
                    if let Some(value) = value {
                        set(lead, self.integer(*value, as_of, lead, leads));
                    }
                }
            }
            Some(Column::Booleans(values)) => {
                for (lead, value) in values.iter().enumerate() {
                    if let Some(value) = value {
                        let points = if *value { self.criterion.yes } else { self.criterion.no };
                        set(lead, points.unwrap_or(self.criterion.otherwise));
                    }
                }
            }
            Some(Column::Texts(texts)) => {
                let worth: Vec<i32> = texts.distinct.iter().map(|text| self.text(&fold(text))).collect();
                for (lead, index) in texts.index.iter().enumerate() {
                    if let Some(points) = (*index as usize).checked_sub(1).and_then(|at| worth.get(at)) {
                        set(lead, *points);
                    }
                }
            }
            Some(Column::TextLists(_)) => {
                for lead in 0..leads.len() {
                    let texts: Vec<String> =
                        leads.texts(usize::from(self.position), lead).iter().map(fold).collect();
                    if !texts.is_empty() {
                        set(lead, self.list(&texts));
                    }
                }
            }
            Some(Column::IntegerLists(_)) | None => {}
        }
        scored
    }

    fn integer(&self, value: i64, as_of: i64, lead: usize, leads: &Leads) -> i32 {
        let criterion = self.criterion;
        if let Some(bands) = &criterion.bands {
            return band(bands, value).unwrap_or(criterion.otherwise);
        }
        let age = as_of.saturating_sub(value);
        if let Some(bands) = &criterion.days_ago {
            return band(bands, age.max(0) / DAY).unwrap_or(criterion.otherwise);
        }
        if let Some(points) = criterion.recency {
            return decayed(points, age, criterion.half_life_days.unwrap_or(1));
        }
        let Some(each) = criterion.each else { return criterion.otherwise };
        let points = criterion.cap(value.max(0).saturating_mul(i64::from(each))) as i32;
        match (criterion.half_life_days, self.since) {
            (Some(half_life), Some(since)) => match leads.integer(usize::from(since), lead) {
                Some(at) => decayed(points, as_of.saturating_sub(at), half_life),
                None => points,
            },
            _ => points,
        }
    }

    /// The first entry that names the text.
    fn text(&self, lowered: &str) -> i32 {
        let named = self.values.iter().find(|(words, _)| words.match_lowered(lowered));
        named.map_or(self.criterion.otherwise, |(_, points)| *points)
    }

    /// Every entry that names one of the texts, each once.
    fn list(&self, lowered: &[String]) -> i32 {
        let named =
            self.values.iter().filter(|(words, _)| lowered.iter().any(|text| words.match_lowered(text)));
        let mut any = false;
        let sum = named.fold(0i64, |sum, (_, points)| {
            any = true;
            sum + i64::from(*points)
        });
        if any { self.criterion.cap(sum) as i32 } else { self.criterion.otherwise }
    }
}

fn band(bands: &[Band], value: i64) -> Option<i32> {
    let holds = |band: &&Band| {
        band.from.is_none_or(|from| value >= from) && band.below.is_none_or(|below| value < below)
    };
    bands.iter().find(holds).map(|band| band.points)
}

/// Bands must not contradict each other: the order of the lines should not matter to who reads them.
fn overlaps(name: &str, bands: &[Band]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let start = |band: &Band| band.from.unwrap_or(i64::MIN);
    let end = |band: &Band| band.below.unwrap_or(i64::MAX);
    for (at, band) in bands.iter().enumerate() {
        if start(band) >= end(band) {
            problems.push((
                format!("/{name}/{at}"),
                format!("empty: from {} is not under below {}", start(band), end(band)),
            ));
        }
        let clash = bands[..at].iter().position(|other| start(other) < end(band) && start(band) < end(other));
        if let Some(other) = clash {
            problems.push((format!("/{name}/{at}"), format!("overlaps with band {other}")));
        }
    }
    problems
}

/// The least and the most that a known value can add.
fn span(criterion: &Criterion, kind: Kind) -> (i32, i32) {
    let mut values: Vec<i64> = Vec::new();
    let entries: Vec<i64> =
        criterion.values.iter().flatten().map(|valued| i64::from(valued.points)).collect();
    values.extend(
        criterion.bands.iter().chain(&criterion.days_ago).flatten().map(|band| i64::from(band.points)),
    );
    if kind == Kind::TextList {
        values.push(criterion.cap(entries.iter().filter(|points| **points > 0).sum()));
        values.push(criterion.cap(entries.iter().filter(|points| **points < 0).sum()));
    } else {
        values.extend(&entries);
    }
    if kind == Kind::Boolean {
        values.extend(
            [criterion.yes, criterion.no].map(|points| i64::from(points.unwrap_or(criterion.otherwise))),
        );
    } else if criterion.each.is_some() || criterion.recency.is_some() {
        let top = criterion.each.map(|each| i64::from(criterion.at_most.unwrap_or(each.saturating_mul(10))));
        values.extend([0, top.unwrap_or_else(|| i64::from(criterion.recency.unwrap_or_default()))]);
    } else {
        values.push(i64::from(criterion.otherwise));
    }
    let (least, most) =
        (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    (least.clamp(-1_000, 1_000) as i32, most.clamp(-1_000, 1_000) as i32)
}
