//! Marketing's mutations: capturing leads, recording touches, asking the rules, routing.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;

use super::lead::{ExternalRefInput, Lead, LeadRef, lead_by, want};
use super::meeting::FirstMeetingInput;
use super::problem::{UserError, payload};
use super::scalar::Long;
use super::work::{LeadPayload, LeadTarget, changed};
use super::{app, once, viewer};
use crate::flows::capture::{self, Intake, IntakeCompany};
use crate::flows::lead::LeadKey;
use crate::flows::touch::{self, Touch};
use crate::flows::{Error, evaluate, route, scope};

/// What is known of a company.
#[derive(Clone, Debug, Default, InputObject)]
pub struct CompanyInput {
    name: Option<String>,
    /// The company's own domain; accounts are recognised by it.
    domain: Option<String>,
    industry: Option<String>,
    /// How many people work there.
    employees: Option<Long>,
    /// Minor units of the workspace's currency.
    annual_revenue: Option<Long>,
    /// ISO 3166 alpha-2.
    country: Option<String>,
    region: Option<String>,
    /// The product that the company uses today.
    incumbent: Option<String>,
    /// Who sells it.
    incumbent_vendor: Option<String>,
    /// When its contract ends.
    incumbent_contract_ends_at: Option<Instant>,
}

/// A value of a defined trait.
#[derive(Clone, Debug, InputObject)]
pub struct TraitInput {
    key: String,
    /// As text: `true`, `42`, `enterprise`, lists with commas.
    value: String,
}

/// Somebody who becomes a lead. At least one identity is needed: e-mail, phone or an external id.
#[derive(Clone, Debug, InputObject)]
pub struct LeadInput {
    email: Option<String>,
    /// With country code, for example `+49 30 901820`.
    phone: Option<String>,
    external: Option<ExternalRefInput>,
    /// The visitor's id before it had a name: its touches join the lead.
    anonymous_id: Option<String>,
    name: Option<String>,
    title: Option<String>,
    seniority: Option<String>,
    department: Option<String>,
    country: Option<String>,
    /// Whether the person may be marketed to.
    consent: Option<bool>,
    company: Option<CompanyInput>,
    /// Lead source, for example `organic_search`.
    source: Option<String>,
    channel: Option<Channel>,
    /// Key of the campaign that it came from.
    campaign: Option<String>,
    /// What it asked for, for example `demo-request`.
    content: Option<String>,
    traits: Option<Vec<TraitInput>>,
    /// Key of the form that it came by: what the form requires must be filled, and the version that asked is kept.
    form: Option<String>,
    /// What the buyer expects of the first meeting; it is sealed into the packet of the hand-off. If sales has the lead already, it is
    /// left out.
    first_meeting: Option<FirstMeetingInput>,
    occurred_at: Option<Instant>,
}

impl From<LeadInput> for Intake {
    fn from(input: LeadInput) -> Intake {
        let LeadInput {
            email,
            phone,
            external,
            anonymous_id,
            name,
            title,
            seniority,
            department,
            country,
            consent,
            company,
            source,
            channel,
            campaign,
            content,
            traits,
            form,
            first_meeting,
            occurred_at,
        } = input;
        let company = company.map(|company| IntakeCompany {
            name: company.name,
            domain: company.domain,
            industry: company.industry,
            employees: company.employees.map(|Long(people)| people),
            annual_revenue: company.annual_revenue.map(|Long(minor)| minor),
            country: company.country,
            region: company.region,
            incumbent: company.incumbent,
            incumbent_vendor: company.incumbent_vendor,
            incumbent_ends_at: company.incumbent_contract_ends_at,
        });
        let external = external.map(|at| (at.system, at.id));
        let traits = traits.unwrap_or_default().into_iter().map(|one| (one.key, one.value)).collect();
        Intake {
            email,
            phone,
            external,
            anonymous_id,
            name,
            title,
            seniority,
            department,
            country,
            consent,
            company,
            source,
            channel,
            campaign,
            content,
            traits,
            form,
            expectation: first_meeting.map(FirstMeetingInput::read),
            occurred_at,
            ..Intake::default()
        }
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct CaptureLeadInput {
    lead: LeadInput,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Checks and judges without writing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CaptureLeadsInput {
    /// 1 to 200.
    leads: Vec<LeadInput>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct CaptureLeadPayload {
    /// Null when it was refused, in a dry run, or when your token may not read leads.
    lead: Option<Lead>,
    /// False when the person was known already.
    created: bool,
    errors: Vec<UserError>,
}

/// What became of one lead of a batch.
#[derive(SimpleObject)]
pub struct CaptureResult {
    /// Null when it was refused, in a dry run, or when your token may not read leads.
    lead: Option<Lead>,
    created: bool,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct CaptureLeadsPayload {
    /// In the order of the input; a refusal of one does not stop the others.
    results: Vec<CaptureResult>,
    errors: Vec<UserError>,
}

/// One touch. It belongs to a lead, or to a visitor by `anonymousId`.
#[derive(Clone, Debug, InputObject)]
pub struct TouchpointInput {
    lead: Option<LeadRef>,
    anonymous_id: Option<String>,
    /// Key of the campaign.
    campaign: Option<String>,
    channel: Channel,
    source: Option<String>,
    medium: Option<String>,
    /// What was touched; an act of high intent by the charter is judged at once.
    content: Option<String>,
    occurred_at: Option<Instant>,
    /// The id in its source system: a touch with the same one is recorded once.
    external: Option<ExternalRefInput>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordTouchpointsInput {
    /// 1 to 500.
    touchpoints: Vec<TouchpointInput>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct RecordTouchpointsPayload {
    /// How many leads were touched.
    leads: i32,
    /// How many of them showed high intent and were judged at once.
    high_intent: i32,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RouteLeadInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// What the buyer expects of the first meeting, sealed into the packet; what was stated before without.
    first_meeting: Option<FirstMeetingInput>,
}

#[derive(Default)]
pub struct IntakeMutation;

#[Object]
impl IntakeMutation {
    /// Somebody becomes a lead: found by identity or created, judged by the rules, and routed if it qualifies.
    async fn capture_lead(
        &self,
        ctx: &Context<'_>,
        input: CaptureLeadInput,
    ) -> async_graphql::Result<CaptureLeadPayload> {
        let once = once(ctx, "captureLead", input.idempotency_key, &input.lead)?;
        let (dry_run, intake) = (input.dry_run.unwrap_or(false), Intake::from(input.lead));
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let result = capture::capture(app, viewer, once, &[intake], dry_run).await;
        let (results, errors) =
            payload(result.and_then(|results| results.into_iter().next().transpose().map_err(single)))?;
        let Some(captured) = results.flatten() else {
            return Ok(CaptureLeadPayload { lead: None, created: false, errors });
        };
        let lead = if dry_run || !viewer.may(scope::LEADS_READ) {
            None
        } else {
            lead_by(app, captured.lead, &want(ctx.look_ahead().field("lead"))).await?
        };
        Ok(CaptureLeadPayload { lead, created: captured.created, errors })
    }

    /// Up to 200 leads in one command.
    async fn capture_leads(
        &self,
        ctx: &Context<'_>,
        input: CaptureLeadsInput,
    ) -> async_graphql::Result<CaptureLeadsPayload> {
        let once = once(ctx, "captureLeads", input.idempotency_key, &input.leads)?;
        let dry_run = input.dry_run.unwrap_or(false);
        let intakes: Vec<Intake> = input.leads.into_iter().map(Intake::from).collect();
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let (results, errors) = payload(capture::capture(app, viewer, once, &intakes, dry_run).await)?;
        let results = results.unwrap_or_default();
        let ids: Vec<_> =
            results.iter().filter_map(|result| result.as_ref().ok()).map(|one| one.lead).collect();
        let want = want(ctx.look_ahead().field("results").field("lead"));
        let leads = if dry_run || !viewer.may(scope::LEADS_READ) {
            Default::default()
        } else {
            super::lead::leads_by(app, &ids, &want).await?
        };
        let wrap = |result: Result<capture::Captured, Refused>| match result {
            Ok(one) => {
                CaptureResult { lead: leads.get(&one.lead).cloned(), created: one.created, errors: vec![] }
            }
            Err(refused) => CaptureResult { lead: None, created: false, errors: vec![refused.into()] },
        };
        Ok(CaptureLeadsPayload { results: results.into_iter().map(wrap).collect(), errors })
    }

    /// Touches of leads and visitors, once each by their external id.
    async fn record_touchpoints(
        &self,
        ctx: &Context<'_>,
        input: RecordTouchpointsInput,
    ) -> async_graphql::Result<RecordTouchpointsPayload> {
        let once = once(ctx, "recordTouchpoints", input.idempotency_key, &input.touchpoints)?;
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let result = async {
            // Before leads are looked for: who may not write learns nothing of who is known.
            viewer.require(scope::LEADS_WRITE)?;
            let mut touches = vec![];
            for (index, one) in input.touchpoints.into_iter().enumerate() {
                touches.push(read_touch(app, one).await.map_err(|error| at(error, index))?);
            }
            touch::record(app, viewer, once, touches).await
        };
        let (recorded, errors) = payload(result.await)?;
        let recorded = recorded.unwrap_or_default();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        Ok(RecordTouchpointsPayload {
            leads: count(recorded.leads.len()),
            high_intent: count(recorded.evaluated),
            errors,
        })
    }

    /// Asks the rules now. A lead at MQL or further is past them.
    async fn evaluate_lead(
        &self,
        ctx: &Context<'_>,
        input: LeadTarget,
    ) -> async_graphql::Result<LeadPayload> {
        changed(ctx, "evaluateLead", input, async |app, target| evaluate::by_hand(app, target).await).await
    }

    /// Sends an MQL again, for example after marketing added the context that sales asked for.
    async fn route_lead(
        &self,
        ctx: &Context<'_>,
        input: RouteLeadInput,
    ) -> async_graphql::Result<LeadPayload> {
        let expectation = input.first_meeting.map(FirstMeetingInput::read);
        changed(ctx, "routeLead", input.target, async |app, target| {
            route::by_hand(app, target, expectation.as_ref()).await
        })
        .await
    }
}

fn single(refused: Refused) -> Error {
    // The batch of one is not the caller's idea: its paths begin at the input.
    let path = refused.path.iter().map(|part| if part == "leads" { "lead".to_owned() } else { part.clone() });
    let path = path.filter(|part| part != "0").collect();
    Refused { path, ..refused }.into()
}

fn at(error: Error, index: usize) -> Error {
    match error {
        Error::Refused(list) => {
            let path = format!("input/touchpoints/{index}");
            Error::Refused(
                list.into_iter().map(|refused| Refused { path: vec![], ..refused }.at(&path)).collect(),
            )
        }
        other => other,
    }
}

async fn read_touch(app: &crate::app::App, input: TouchpointInput) -> Result<Touch, Error> {
    let lead = match &input.lead {
        Some(by) => match by.key()? {
            LeadKey::Id(id) => Some(id),
            key => Some(touch::resolve(app, &key).await?),
        },
        None => None,
    };
    Ok(Touch {
        lead,
        anonymous_id: input.anonymous_id,
        campaign: input.campaign,
        channel: input.channel,
        source: input.source,
        medium: input.medium,
        content: input.content,
        occurred_at: input.occurred_at,
        external: input.external.map(|at| (at.system, at.id)),
    })
}
