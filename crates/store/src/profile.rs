//! What is known of leads beside their log: people, accounts, touches, traits, answers and earlier cycles.

use std::collections::BTreeMap;

use handfast_domain::field::Value as FieldValue;
use handfast_domain::incumbent::Incumbent;
use handfast_domain::meeting::{Expectation, MeetingPurpose};
use handfast_domain::profile::{Answer, Company, Contact, Engagement, Past, Profile, Source};
use handfast_domain::stage::{Channel, CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed, closed_opt, json};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    salt: String,
    title: Option<String>,
    seniority: Option<String>,
    department: Option<String>,
    country: Option<String>,
    email: Option<String>,
    consent: Option<bool>,
    industry: Option<String>,
    employees: Option<i64>,
    annual_revenue: Option<i64>,
    account_country: Option<String>,
    region: Option<String>,
    incumbent: Option<String>,
    incumbent_vendor: Option<String>,
    incumbent_ends_at: Option<i64>,
    campaign_key: Option<String>,
    campaign_kind: Option<String>,
    campaign_channel: Option<String>,
    engagement: Option<String>,
    meeting_purpose: Option<String>,
    meeting_text: Option<String>,
}

#[derive(FromQueryResult)]
struct TraitRow {
    lead: Uuid,
    key: String,
    value: String,
}

#[derive(FromQueryResult)]
struct AnswerRow {
    lead: Uuid,
    key: String,
    grade: i64,
    confidence: i64,
    evidence: bool,
    at: i64,
}

#[derive(FromQueryResult)]
struct PastRow {
    lead: Uuid,
    outcome: String,
    reason: Option<String>,
    furthest_stage: String,
}

/// The profiles of these leads, in four statements for any number of them. `readable` are the traits that rules may
/// read: the defined ones that are not personal.
pub async fn profiles(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    readable: &[String],
) -> Result<BTreeMap<Uuid, Profile>> {
    let mut found = whole(db, ids).await?;
    for profile in found.values_mut() {
        profile.traits.retain(|key, _| readable.contains(key));
    }
    Ok(found)
}

/// The same with all traits, also those that no rule may read.
pub async fn whole(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Profile>> {
    let mut found: BTreeMap<Uuid, Profile> = BTreeMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let ids = || vec![dialect::uuids(ids)];
    let sql = format!(
        "SELECT l.id, l.salt, p.title, p.seniority, p.department, p.country, p.email, p.consent, a.industry, \
         a.employees, a.annual_revenue, a.country AS account_country, a.region, a.incumbent, \
         a.incumbent_vendor, a.incumbent_ends_at, c.key AS campaign_key, \
         c.kind AS campaign_kind, c.channel AS campaign_channel, e.body AS engagement, \
         m.purpose AS meeting_purpose, m.expectation AS meeting_text \
         FROM lead l JOIN person p ON p.id = l.person LEFT JOIN account a ON a.id = l.account \
         LEFT JOIN campaign c ON c.id = l.campaign LEFT JOIN engagement e ON e.lead = l.id \
         LEFT JOIN meeting_expectation m ON m.lead = l.id AND m.cycle = l.cycle WHERE l.id {}",
        list(db)
    );
    for row in fetch_all::<Row>(db, &sql, ids()).await? {
        found.insert(row.id, row.decode()?);
    }
    let sql = format!("SELECT t.lead, t.key, t.value FROM trait t WHERE t.lead {}", list(db));
    for TraitRow { lead, key, value } in fetch_all::<TraitRow>(db, &sql, ids()).await? {
        if let Some(profile) = found.get_mut(&lead) {
            let value: FieldValue = json(Place("trait", "value", &lead), &value)?;
            profile.traits.insert(key, value);
        }
    }
    let sql = format!(
        "SELECT t.lead, t.key, t.grade, t.confidence, t.evidence IS NOT NULL AS evidence, t.at FROM answer t JOIN lead l ON l.id = t.lead AND l.cycle = t.cycle WHERE t.lead {}",
        list(db)
    );
    for AnswerRow { lead, key, grade, confidence, evidence, at } in
        fetch_all::<AnswerRow>(db, &sql, ids()).await?
    {
        if let Some(profile) = found.get_mut(&lead) {
            profile.answers.insert(key, Answer { grade, confidence, evidence, at: Instant(at) });
        }
    }
    let sql = format!(
        "SELECT c.lead, c.outcome, c.reason, c.furthest_stage FROM cycle c WHERE c.outcome <> 'OPEN' AND c.lead {} \
         ORDER BY c.lead, c.number",
        list(db)
    );
    for row in fetch_all::<PastRow>(db, &sql, ids()).await? {
        let Some(profile) = found.get_mut(&row.lead) else { continue };
        profile.history.push(Past {
            outcome: closed(Place("cycle", "outcome", &row.lead), &row.outcome, CycleOutcome::parse)?,
            reason: row.reason,
            furthest_stage: closed(
                Place("cycle", "furthest_stage", &row.lead),
                &row.furthest_stage,
                StageKind::parse,
            )?,
        });
    }
    Ok(found)
}

impl Row {
    fn decode(self) -> Result<Profile> {
        let id = self.id;
        let channel =
            closed_opt(Place("campaign", "channel", &id), self.campaign_channel.as_deref(), Channel::parse)?;
        let campaign = match (self.campaign_key, self.campaign_kind, channel) {
            (Some(key), Some(kind), Some(channel)) => Some(Source { key, kind, channel }),
            _ => None,
        };
        let engagement: Option<Engagement> = self
            .engagement
            .as_deref()
            .map(|text| json(Place("engagement", "body", &id), text))
            .transpose()?;
        let purpose = closed_opt(
            Place("meeting_expectation", "purpose", &id),
            self.meeting_purpose.as_deref(),
            MeetingPurpose::parse,
        )?;
        Ok(Profile {
            expectation: purpose.map(|purpose| Expectation { purpose, text: self.meeting_text }),
            salt: self.salt,
            contact: Contact {
                title: self.title,
                seniority: self.seniority,
                department: self.department,
                country: self.country,
                email_domain: self
                    .email
                    .as_deref()
                    .and_then(|email| email.rsplit_once('@'))
                    .map(|(_, d)| d.to_owned()),
                consent: self.consent,
            },
            company: Company {
                industry: self.industry,
                employees: self.employees,
                annual_revenue: self.annual_revenue,
                country: self.account_country,
                region: self.region,
                incumbent: Incumbent {
                    vendor: self.incumbent_vendor,
                    product: self.incumbent,
                    contract_ends_at: self.incumbent_ends_at.map(Instant),
                },
            },
            campaign,
            engagement: engagement.unwrap_or_default(),
            ..Profile::default()
        })
    }
}
