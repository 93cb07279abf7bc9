//! Touchpoints: recorded in batches, once each by their external id; an act of high intent is judged at once.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, Channel};
use handfast_domain::time::{DAY, Instant};
use handfast_store::person::ExternalRef;
use handfast_store::touchpoint::Touchpoint;
use serde::Serialize;
use uuid::Uuid;

use super::capture::{check_external, check_text};
use super::commit::{Committed, Once, Plan};
use super::evaluate::Look;
use super::lead::LeadKey;
use super::{Error, Viewer, evaluate, lead, scope};
use crate::app::App;

pub const BATCH: usize = 500;

#[derive(Clone, Debug, Serialize)]
pub struct Touch {
    /// Of a known lead, or of a visitor.
    pub lead: Option<Uuid>,
    pub anonymous_id: Option<String>,
    /// Key of a campaign.
    pub campaign: Option<String>,
    pub channel: Channel,
    pub source: Option<String>,
    pub medium: Option<String>,
    pub content: Option<String>,
    pub occurred_at: Option<Instant>,
    pub external: Option<(String, String)>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, Serialize, serde::Deserialize)]
pub struct Recorded {
    /// Leads that were touched.
    pub leads: Vec<Uuid>,
    /// Leads that an act of high intent brought to the rules at once.
    pub evaluated: usize,
}

/// Records the touches, then evaluates the leads that showed high intent; recycled and lost ones come back in the same
/// change.
/// The others are judged if one of their rules reads what a touch changes.
pub async fn record(
    app: &App,
    viewer: &Viewer,
    once: Option<Once>,
    touches: Vec<Touch>,
) -> Result<Recorded, Error> {
    viewer.require(scope::LEADS_WRITE)?;
    if touches.is_empty() || touches.len() > BATCH {
        let message = format!("1 to {BATCH} touchpoints in one request, found {}", touches.len());
        return Err(Refused::invalid("input/touchpoints", message).into());
    }
    if let Some(answer) = Once::answered(once.as_ref(), app).await? {
        return serde_json::from_str(&answer).map_err(|error| Error::fault(error.to_string()));
    }
    let (workspace, now) = (app.workspace(), app.now());
    let known = known(app, &touches).await?;
    let mut rows = vec![];
    let (mut touched, mut high) = (BTreeSet::new(), BTreeSet::new());
    for (index, touch) in touches.into_iter().enumerate() {
        let at = |path: &str| format!("input/touchpoints/{index}/{path}");
        check(&touch).map_err(|refused| refused.at(&at("")))?;
        if touch.lead.is_some() == touch.anonymous_id.is_some() {
            return Err(Refused::invalid(
                &at(""),
                "a touchpoint belongs to a lead or to an anonymous visitor",
            )
            .into());
        }
        let campaign = match &touch.campaign {
            Some(key) => {
                Some(workspace.campaign_by_key(key).map(|campaign| campaign.id).ok_or_else(|| {
                    Refused::invalid(&at("campaign"), format!("no campaign {key:?}; create it first"))
                })?)
            }
            None => None,
        };
        let occurred_at = touch.occurred_at.unwrap_or(now);
        if occurred_at > now.plus(DAY) {
            return Err(
                Refused::invalid(&at("occurredAt"), "a touch cannot lie more than a day ahead").into()
            );
        }
        // What was recorded before has had its effect.
        let again = touch.external.as_ref().is_some_and(|external| known.contains(external));
        if let Some(lead) = touch.lead.filter(|_| !again) {
            touched.insert(lead);
            if touch
                .content
                .as_ref()
                .is_some_and(|content| workspace.charter.body.high_intent.contains(content))
            {
                high.insert(lead);
            }
        }
        rows.push(Touchpoint {
            id: app.id(),
            lead: touch.lead,
            anonymous_id: touch.anonymous_id,
            campaign,
            channel: touch.channel,
            source: touch.source,
            medium: touch.medium,
            content: touch.content,
            occurred_at,
            received_at: now,
            external: touch.external.map(|(system, id)| ExternalRef { system, id }),
        });
    }
    let leads: Vec<Uuid> = touched.into_iter().collect();
    let known = handfast_store::lead::leads(app.store.read(), &leads).await?;
    if let Some(unknown) = leads.iter().find(|id| !known.iter().any(|stored| stored.lead.id == **id)) {
        let message = format!("no lead {unknown}; touchpoints of visitors carry an anonymousId");
        return Err(Refused::invalid("input/touchpoints", message).into());
    }
    let recorded = Recorded { leads: leads.clone(), evaluated: high.len() };
    let answer = serde_json::to_string(&recorded).unwrap_or_default();
    let plan = Plan { touches: rows, ..Plan::default() };
    let mut attempts = 1;
    loop {
        match app.commit(plan.clone(), once.as_ref(), answer.clone()).await? {
            Committed::Before(answer) => {
                return serde_json::from_str(&answer).map_err(|error| Error::fault(error.to_string()));
            }
            Committed::Done => break,
            // Nothing was written, whatever the reason.
            Committed::Overtaken(conflict) if attempts == lead::ATTEMPTS => {
                return Err(lead::conflict(&conflict).into());
            }
            Committed::Overtaken(_) => attempts += 1,
        }
    }
    let high: Vec<Uuid> = high.into_iter().collect();
    evaluate::evaluate(app, viewer.actor(), Cause::Evaluation, &high, Look::HighIntent).await?;
    let rest: Vec<Uuid> = leads.into_iter().filter(|id| !high.contains(id)).collect();
    evaluate::evaluate(app, evaluate::RULE, Cause::Evaluation, &rest, Look::Changed).await?;
    Ok(recorded)
}

/// Which of the touches were recorded before, by their ids in their systems.
async fn known(app: &App, touches: &[Touch]) -> Result<BTreeSet<(String, String)>, Error> {
    let mut systems: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (system, id) in touches.iter().filter_map(|touch| touch.external.as_ref()) {
        systems.entry(system).or_default().push(id.clone());
    }
    let mut known = BTreeSet::new();
    for (system, ids) in systems {
        let seen = handfast_store::import::seen(app.store.read(), system, &ids).await?;
        known.extend(seen.into_keys().map(|id| (system.to_owned(), id)));
    }
    Ok(known)
}

fn check(touch: &Touch) -> Result<(), Refused> {
    for (path, text) in [
        ("anonymousId", &touch.anonymous_id),
        ("source", &touch.source),
        ("medium", &touch.medium),
        ("content", &touch.content),
    ] {
        check_text(path, text.as_deref())?;
    }
    match &touch.external {
        Some((system, id)) => check_external(system, id),
        None => Ok(()),
    }
}

/// Finds the lead that a touch names.
pub async fn resolve(app: &App, key: &LeadKey) -> Result<Uuid, Error> {
    lead::find(app, key).await
}
