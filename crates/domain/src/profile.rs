//! What is known of a lead beside its log, and how it becomes the snapshot that rules read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::charter::Charter;
use crate::charter::CharterBody;
use crate::field::{CATALOGUE_VERSION, Value};
use crate::icp;
use crate::incumbent::Incumbent;
use crate::lead::Journey;
use crate::meeting::Expectation;
use crate::persona::{PersonaMatch, best_match};
use crate::snapshot::Snapshot;
use crate::stage::{Channel, CycleOutcome, StageKind};
use crate::time::Instant;

/// At most this many pieces of content are remembered, the oldest and the newest.
pub const CONTENT_LIMIT: usize = 32;

/// Of the person, only what rules may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    pub title: Option<String>,
    pub seniority: Option<String>,
    pub department: Option<String>,
    pub country: Option<String>,
    pub email_domain: Option<String>,
    pub consent: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Company {
    pub industry: Option<String>,
    pub employees: Option<i64>,
    pub annual_revenue: Option<i64>,
    pub country: Option<String>,
    pub region: Option<String>,
    pub incumbent: Incumbent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub key: String,
    pub kind: String,
    pub channel: Channel,
}

/// Touches of a lead, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Engagement {
    pub first: Option<Instant>,
    pub last: Option<Instant>,
    pub total: u32,
    pub by_channel: BTreeMap<Channel, u32>,
    /// Content touched, oldest first, without repetition.
    pub content: Vec<String>,
}

impl Engagement {
    pub fn record(&mut self, channel: Channel, content: Option<&str>, at: Instant) {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        self.total += 1;
        *self.by_channel.entry(channel).or_default() += 1;
        if let Some(content) = content.filter(|content| !self.content.iter().any(|known| known == content)) {
            if self.content.len() >= CONTENT_LIMIT {
                self.content.remove(CONTENT_LIMIT / 2);
            }
            self.content.push(content.to_owned());
        }
    }
}

/// How an earlier cycle ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub outcome: CycleOutcome,
    pub reason: Option<String>,
    pub furthest_stage: StageKind,
}

/// A graded answer as rules see it: not the words of its evidence, which may name people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 0 unknown or no, 4 proven.
    pub grade: i64,
    /// Basis points.
    pub confidence: i64,
    pub evidence: bool,
    pub at: Instant,
}

/// Everything that a snapshot is made of, beside the journey.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub salt: String,
    pub contact: Contact,
    pub company: Company,
    pub campaign: Option<Source>,
    pub engagement: Engagement,
    /// Newest value per key; personal traits are left out by the store.
    pub traits: BTreeMap<String, Value>,
    /// Of the open cycle, by key.
    pub answers: BTreeMap<String, Answer>,
    pub history: Vec<Past>,
    /// What the buyer expects of the first meeting of the open cycle; it goes into the packet, and no rule reads it.
    pub expectation: Option<Expectation>,
}

impl Profile {
    /// What was said in a cycle is not said of the next one.
    pub fn begin_cycle(&mut self) {
        self.answers.clear();
        self.expectation = None;
    }

    /// Every catalogue field that is known, sealed with the charter and the lead's salt.
    pub fn snapshot(
        &self,
        journey: &Journey,
        charter: &Charter,
        high_intent: bool,
    ) -> (Snapshot, Option<PersonaMatch>) {
        let mut fields = Fields::default();
        let lead = &journey.lead;
        fields.text("lead.stage", Some(lead.stage.as_str()));
        fields.integer("lead.cycle", Some(i64::from(lead.cycle)));
        fields.instant("lead.captured-at", Some(lead.captured_at));
        fields.text("lead.source", Some(lead.source.as_str()).filter(|source| !source.is_empty()));
        fields.text("lead.channel", Some(lead.channel.as_str()));
        let Contact { title, seniority, department, country, email_domain, consent } = &self.contact;
        fields.text("contact.title", title.as_deref());
        fields.text("contact.seniority", seniority.as_deref());
        fields.text("contact.department", department.as_deref());
        fields.text("contact.country", country.as_deref());
        fields.text("contact.email-domain", email_domain.as_deref());
        fields.put("contact.consent", consent.map(Value::Boolean));
        let Company { industry, employees, annual_revenue, country, region, incumbent } = &self.company;
        fields.text("company.industry", industry.as_deref());
        fields.integer("company.employees", *employees);
        fields.integer("company.annual-revenue", *annual_revenue);
        fields.text("company.country", country.as_deref());
        fields.text("company.region", region.as_deref());
        fields.text("company.incumbent", incumbent.product.as_deref());
        fields.text("company.incumbent-vendor", incumbent.vendor.as_deref());
        fields.instant("company.incumbent-contract-end", incumbent.contract_ends_at);
        let engagement = &self.engagement;
        fields.instant("engagement.first-touch", engagement.first);
        fields.instant("engagement.last-touch", engagement.last);
        fields.integer("engagement.total", Some(i64::from(engagement.total)));
        for (channel, count) in &engagement.by_channel {
            fields.integer(channel.field(), Some(i64::from(*count)));
        }
        fields.texts("engagement.content-touched", engagement.content.clone());
        if let Some(campaign) = &self.campaign {
            fields.text("campaign.key", Some(&campaign.key));
            fields.text("campaign.kind", Some(&campaign.kind));
            fields.text("campaign.channel", Some(campaign.channel.as_str()));
        }
        let history = &self.history;
        fields.texts("history.outcomes", history.iter().map(|past| past.outcome.to_string()).collect());
        fields.texts("history.reasons", history.iter().filter_map(|past| past.reason.clone()).collect());
        fields.texts(
            "history.furthest-stages",
            history.iter().map(|past| past.furthest_stage.to_string()).collect(),
        );
        if high_intent {
            fields.put("intent.high", Some(Value::Boolean(true)));
        }
        for (key, value) in &self.traits {
            fields.0.insert(format!("traits.{key}"), value.clone());
        }
        for (key, Answer { grade, confidence, evidence, at }) in &self.answers {
            fields.integer(&format!("answers.{key}.grade"), Some(*grade));
            fields.integer(&format!("answers.{key}.confidence"), Some(*confidence));
            fields.put(&format!("answers.{key}.evidence"), Some(Value::Boolean(*evidence)));
            fields.instant(&format!("answers.{key}.at"), Some(*at));
        }
        let persona = match_again(&mut fields.0, &charter.body);
        let snapshot = Snapshot {
            catalogue: CATALOGUE_VERSION,
            lead: lead.id,
            salt: self.salt.clone(),
            charter: charter.number,
            fields: fields.0,
            pool: None,
        };
        (snapshot, persona)
    }
}

/// Matches personas and ideal customer profiles by these fields, in the place of what a charter matched before. The match is a field
/// like any other, and there before the gates. Answers the persona.
pub fn match_again(fields: &mut BTreeMap<String, Value>, body: &CharterBody) -> Option<PersonaMatch> {
    fields.retain(|path, _| !path.starts_with("persona.") && !path.starts_with("icp."));
    let mut told = Fields(std::mem::take(fields));
    let persona = best_match(&body.personas, &told.0);
    if let Some(found) = &persona {
        told.text("persona.key", Some(&found.key));
        told.integer("persona.fit", Some(i64::from(found.fit)));
        told.texts("persona.matched", found.matched.clone());
        told.texts("persona.missing", found.missing.clone());
    }
    if let Some(found) = icp::best(body, &told.0) {
        told.text("icp.key", Some(&found.profile));
        told.integer("icp.fit", Some(i64::from(found.fit)));
        told.text("icp.band", Some(found.band.as_str()));
    }
    *fields = told.0;
    persona
}

#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn put(&mut self, path: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.insert(path.to_owned(), value);
        }
    }

    fn text(&mut self, path: &str, value: Option<&str>) {
        self.put(path, value.map(|text| Value::Text(text.to_owned())));
    }

    fn integer(&mut self, path: &str, value: Option<i64>) {
        self.put(path, value.map(Value::Integer));
    }

    fn instant(&mut self, path: &str, value: Option<Instant>) {
        self.integer(path, value.map(Instant::ms));
    }

    fn texts(&mut self, path: &str, list: Vec<String>) {
        self.put(path, (!list.is_empty()).then_some(Value::TextList(list)));
    }
}
