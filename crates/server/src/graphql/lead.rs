//! Leads: the type with everything around it, pages and the work queue. Children come with the page that was read;
//! look-ahead says which, so that a query costs one statement for each level.

use std::sync::Arc;

use async_graphql::{
    ComplexObject, Context, Enum, ID, InputObject, Lookahead, Object, OneofObject, SimpleObject,
};
use handfast_domain::clock::{ClockKind, ClockLevel, ClockState, Party};
use handfast_domain::customer::Customer;
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{Evaluation as Judged, GateResult};
use handfast_domain::handling::{Handling, handling};
use handfast_domain::handoff::{Handoff as DomainHandoff, Packet};
use handfast_domain::icp::{self, IcpFit};
use handfast_domain::insight::Insight;
use handfast_domain::lead::{Cycle, Journey, Lead as DomainLead};
use handfast_domain::profile::Profile;
use handfast_domain::stage::{Cause, Channel, CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use handfast_store::loaded::{LeadFilter, LeadPage, LeadSort, LoadedLead, Want, queue_place};
use handfast_store::person::{Account as AccountRow, Person as PersonRow};
use handfast_store::rows::Only;
use handfast_store::timeline::{Entry, EntryKind};

use super::audience::Audience;
use super::campaign::Campaign;
use super::content::ContentSeen;
use super::context_request::ContextRequest;
use super::decision::Decision;
use super::directory::{Queue, User};
use super::effort::LeadEffort;
use super::follow_up::{FollowUp, WorkReason};
use super::incumbent::Incumbent;
use super::inline::Inline;
use super::insight::BehaviourSummary;
use super::lead_fact::{self, LeadFact};
use super::meeting::FirstMeeting;
use super::page::{Page, PageArgs};
use super::passage::{WindowInput, window};
use super::problem::failure;
use super::scalar::{Long, Uuid, global, local};
use super::{app, read_viewer};
use crate::app::App;
use crate::flows::insight;
use crate::flows::lead::LeadKey;
use crate::workspace::Workspace;

/// A person on the way to becoming a customer, and back.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Lead {
    pub id: ID,
    #[graphql(flatten)]
    state: Arc<DomainLead>,
    #[graphql(skip)]
    loaded: Arc<LoadedLead>,
}

impl Lead {
    pub fn wrap(loaded: LoadedLead) -> Lead {
        let state = loaded.stored.lead.clone();
        Lead { id: global("Lead", state.id), state, loaded: Arc::new(loaded) }
    }

    /// Children that the look-ahead did not see are read now.
    async fn fill(&self, ctx: &Context<'_>, want: Want) -> async_graphql::Result<LoadedLead> {
        let app = app(ctx)?;
        let loaded =
            handfast_store::loaded::load(app.store.read(), vec![self.loaded.stored.clone()], &want).await;
        let loaded = loaded.map_err(|error| failure(error.into()))?;
        loaded
            .into_iter()
            .next()
            .ok_or_else(|| failure(crate::flows::Error::fault("a lead vanished while it was read")))
    }
}

/// Contact data of a person. It stands nowhere else but in sealed packets.
#[derive(Clone, Debug, SimpleObject)]
pub struct Contact {
    name: Option<String>,
    email: Option<String>,
    /// E.164.
    phone: Option<String>,
    title: Option<String>,
    seniority: Option<String>,
    department: Option<String>,
    /// ISO 3166 alpha-2.
    country: Option<String>,
    /// Whether the person may be marketed to; null is unknown.
    consent: Option<bool>,
}

impl From<&PersonRow> for Contact {
    fn from(person: &PersonRow) -> Contact {
        let PersonRow {
            id: _,
            name,
            email,
            phone,
            title,
            seniority,
            department,
            country,
            consent,
            created_at: _,
        } = person.clone();
        Contact { name, email, phone, title, seniority, department, country, consent }
    }
}

/// A company that buys; several leads may belong to it.
#[derive(Clone, Debug, SimpleObject)]
pub struct Account {
    pub id: ID,
    name: String,
    domain: Option<String>,
    industry: Option<String>,
    employees: Option<Long>,
    /// In minor units of the workspace's currency.
    annual_revenue: Option<Long>,
    country: Option<String>,
    region: Option<String>,
    /// The product that the company uses today.
    incumbent: Option<String>,
}

impl From<&AccountRow> for Account {
    fn from(account: &AccountRow) -> Account {
        let AccountRow {
            id,
            name,
            domain,
            industry,
            employees,
            annual_revenue,
            country,
            region,
            incumbent,
            incumbent_vendor: _,
            incumbent_ends_at: _,
            incumbent_source: _,
            incumbent_at: _,
            created_at: _,
        } = account.clone();
        let (employees, annual_revenue) = (employees.map(Long), annual_revenue.map(Long));
        Account {
            id: global("Account", id),
            name,
            domain,
            industry,
            employees,
            annual_revenue,
            country,
            region,
            incumbent,
        }
    }
}

/// One touch in a channel.
#[derive(Clone, SimpleObject)]
pub struct Touchpoint {
    pub id: ID,
    channel: Channel,
    source: Option<String>,
    medium: Option<String>,
    content: Option<String>,
    occurred_at: Instant,
    campaign: Option<Inline<Campaign>>,
}

impl Touchpoint {
    pub fn wrap(touch: &handfast_store::touchpoint::Touchpoint, workspace: &Workspace) -> Touchpoint {
        let campaign = touch.campaign.and_then(|id| workspace.campaign(id));
        Touchpoint {
            id: global("Touchpoint", touch.id),
            channel: touch.channel,
            source: touch.source.clone(),
            medium: touch.medium.clone(),
            content: touch.content.clone(),
            occurred_at: touch.occurred_at,
            campaign: campaign.cloned().map(Campaign::wrap).map(Inline),
        }
    }
}

/// A service level that runs, or how it ended.
#[derive(Clone, Debug, SimpleObject)]
pub struct Clock {
    pub id: ID,
    pub kind: ClockKind,
    /// Who owes.
    pub party: Party,
    level: ClockLevel,
    state: ClockState,
    cycle: i32,
    started_at: Instant,
    due_at: Instant,
    /// When what it waits for happened, in time or not.
    met_at: Option<Instant>,
    /// When the due time passed unmet; it stays even if a late report corrected the breach.
    breached_at: Option<Instant>,
    /// Number of the charter whose policy it keeps to its end.
    charter: i32,
}

impl Clock {
    pub fn wrap(clock: &handfast_domain::clock::SlaClock) -> Clock {
        Clock {
            id: global("Clock", clock.id),
            kind: clock.kind,
            party: clock.party,
            level: clock.level,
            state: clock.state,
            cycle: super::small(clock.cycle),
            started_at: clock.started_at,
            due_at: clock.due_at,
            met_at: clock.met_at,
            breached_at: clock.breached_at,
            charter: super::small(clock.policy_charter),
        }
    }
}

/// A trait of a lead: an open set of defined keys.
#[derive(Clone, Debug, SimpleObject)]
pub struct Trait {
    key: String,
    /// The value as text.
    value: String,
    source: String,
    observed_at: Instant,
}

/// One look at a lead: what each gate and each rule said.
#[derive(Clone, SimpleObject)]
pub struct Evaluation {
    pub id: ID,
    cycle: i32,
    /// "Now" for the rules.
    as_of: Instant,
    /// Number of the charter in force.
    charter: i32,
    cause: Cause,
    /// Seal of everything that a rule could have read.
    snapshot: Digest,
    gates: Vec<GateResult>,
    decisions: Vec<Inline<Decision>>,
}

impl Evaluation {
    fn wrap(evaluation: &Judged) -> Evaluation {
        let decisions = evaluation.decisions.iter();
        Evaluation {
            id: global("Evaluation", evaluation.id),
            cycle: super::small(evaluation.cycle),
            as_of: evaluation.as_of,
            charter: super::small(evaluation.charter),
            cause: evaluation.cause,
            snapshot: evaluation.snapshot,
            gates: evaluation.gates.clone(),
            decisions: decisions
                .map(|decision| {
                    let (at, charter) = (evaluation.as_of, evaluation.charter);
                    Inline(Decision::wrap(decision.clone(), evaluation.lead, at, charter))
                })
                .collect(),
        }
    }
}

/// A hand-off from marketing to sales.
#[derive(Clone, SimpleObject)]
pub struct Handoff {
    pub id: ID,
    #[graphql(flatten)]
    state: DomainHandoff,
    /// What sales was told, sealed by `packetDigest`.
    packet: Option<Packet>,
    /// Whether the packet still has the digest that it was sealed with.
    intact: bool,
    /// What was expected of the first meeting beside how it went; null where nothing was expected and nobody met.
    first_meeting: Option<FirstMeeting>,
}

impl Handoff {
    fn wrap(state: &DomainHandoff, packet: Option<&Packet>) -> Handoff {
        let intact = packet.is_none_or(|packet| packet.digest() == state.packet_digest);
        Handoff {
            id: global("Handoff", state.id),
            first_meeting: FirstMeeting::of(state, packet),
            state: state.clone(),
            packet: packet.cloned(),
            intact,
        }
    }
}

/// What a line of the timeline tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TimelineKind {
    /// A touch of marketing's.
    Touchpoint,
    /// What sales, or an automation, did.
    Activity,
    /// A move to another stage.
    Stage,
    /// A look of the rules.
    Evaluation,
    /// A hand-off and its answer.
    Handoff,
    /// A question of sales, or marketing's answer to it.
    Context,
}

/// One line of the unified timeline: marketing's touches and sales' work in one list.
#[derive(Clone, Debug, SimpleObject)]
pub struct TimelineEntry {
    at: Instant,
    kind: TimelineKind,
    /// The entry in a few words, for example `INQUIRY to MQL` or `CALL OUTBOUND`.
    summary: String,
    /// Channel, content, note or reason, as the kind has it.
    detail: Option<String>,
}

impl From<Entry> for TimelineEntry {
    fn from(entry: Entry) -> TimelineEntry {
        let kind = match entry.kind {
            EntryKind::Touchpoint => TimelineKind::Touchpoint,
            EntryKind::Activity => TimelineKind::Activity,
            EntryKind::Stage => TimelineKind::Stage,
            EntryKind::Evaluation => TimelineKind::Evaluation,
            EntryKind::Handoff => TimelineKind::Handoff,
            EntryKind::Context => TimelineKind::Context,
        };
        TimelineEntry { at: entry.at, kind, summary: entry.summary, detail: entry.detail }
    }
}

#[ComplexObject]
impl Lead {
    async fn uuid(&self) -> Uuid {
        Uuid(self.state.id)
    }

    /// Rises by one with each change; send it back as `expectedVersion` to change only what you saw.
    async fn version(&self) -> i32 {
        i32::try_from(self.state.version).unwrap_or(i32::MAX)
    }

    /// What came after its first win; null for a lead that was never won.
    async fn customer(&self) -> Option<Customer> {
        self.state.was_won().then(|| self.state.customer.clone().unwrap_or_default())
    }

    /// The lead that goes on for this one, which was found to be the same person.
    async fn merged_into(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        match self.state.merged_into {
            Some(into) => lead_by(app(ctx)?, into, &want(ctx.look_ahead())).await,
            None => Ok(None),
        }
    }

    /// Who it is. Contact data is shown to whoever may read leads.
    async fn contact(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<Contact>> {
        match &self.loaded.person {
            Some(person) => Ok(Inline(person.into())),
            None => {
                let filled = self.fill(ctx, Want { person: true, ..Want::default() }).await?;
                let contact = filled.person.as_ref().map(|person| Inline(person.into()));
                contact.ok_or_else(|| super::not_found("person"))
            }
        }
    }

    /// The company of the person.
    async fn account(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Inline<Account>>> {
        if self.state.account.is_none() {
            return Ok(None);
        }
        match &self.loaded.account {
            Some(account) => Ok(Some(Inline(account.into()))),
            None => {
                let filled = self.fill(ctx, Want { account: true, ..Want::default() }).await?;
                Ok(filled.account.as_ref().map(|account| Inline(account.into())))
            }
        }
    }

    /// The campaign that the lead came from.
    async fn campaign(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Inline<Campaign>>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.state.campaign.and_then(|id| workspace.campaign(id)).cloned().map(Campaign::wrap).map(Inline))
    }

    /// Who works it.
    async fn owner(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Inline<User>>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.state.owner.and_then(|id| workspace.directory.user(id)).map(User::wrap).map(Inline))
    }

    /// The queue in which it waits.
    async fn queue(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Inline<Queue>>> {
        let workspace = app(ctx)?.workspace();
        Ok(self
            .state
            .queue
            .as_ref()
            .and_then(|key| workspace.directory.queue(key))
            .map(Queue::wrap)
            .map(Inline))
    }

    /// The persona that matches best, as the active charter describes it.
    async fn persona(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Option<Inline<handfast_domain::persona::Persona>>> {
        let workspace = app(ctx)?.workspace();
        let key = self.state.persona.as_ref();
        Ok(key
            .and_then(|key| workspace.charter.body.personas.iter().find(|persona| persona.key == *key))
            .cloned()
            .map(Inline))
    }

    /// The newest touches, newest first.
    async fn touchpoints(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 50", default = 5)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<Touchpoint>>> {
        let first = super::bounded("first", first, 50)?;
        let filled;
        let touches = match &self.loaded.touches {
            Some(touches) if self.loaded.touch_limit >= first => touches,
            _ => {
                filled = self.fill(ctx, Want { touches: first, ..Want::default() }).await?;
                filled.touches.as_ref().ok_or_else(|| super::not_found("touchpoints"))?
            }
        };
        let workspace = app(ctx)?.workspace();
        let wrap = |touch| Touchpoint::wrap(touch, &workspace);
        Ok(touches.iter().take(usize::try_from(first).unwrap_or(0)).map(wrap).map(Inline).collect())
    }

    /// All cycles, the first one first.
    async fn cycles(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Inline<Cycle>>> {
        let cycles = match &self.loaded.cycles {
            Some(cycles) => cycles.clone(),
            None => {
                self.fill(ctx, Want { cycles: true, ..Want::default() }).await?.cycles.unwrap_or_default()
            }
        };
        Ok(cycles.into_iter().map(Inline).collect())
    }

    /// How sales handled it in its newest cycle, beside how good it is.
    async fn handling(&self, ctx: &Context<'_>) -> async_graphql::Result<Handling> {
        let filled;
        let (cycles, clocks) = match (&self.loaded.cycles, &self.loaded.clocks) {
            (Some(cycles), Some(clocks)) => (cycles, clocks),
            _ => {
                filled = self.fill(ctx, Want { cycles: true, clocks: true, ..Want::default() }).await?;
                let both = filled.cycles.as_ref().zip(filled.clocks.as_ref());
                both.ok_or_else(|| super::not_found("clocks"))?
            }
        };
        let newest = cycles.last().ok_or_else(|| super::not_found("cycle"))?;
        Ok(handling(newest, clocks))
    }

    /// All service levels, the oldest first.
    async fn clocks(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Inline<Clock>>> {
        let filled;
        let clocks = match &self.loaded.clocks {
            Some(clocks) => clocks,
            None => {
                filled = self.fill(ctx, Want { clocks: true, ..Want::default() }).await?;
                filled.clocks.as_ref().ok_or_else(|| super::not_found("clocks"))?
            }
        };
        Ok(clocks.iter().map(Clock::wrap).map(Inline).collect())
    }

    /// Traits, by key. Traits that were defined as personal are shown, but no rule can read them.
    async fn traits(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Trait>> {
        let filled;
        let traits = match &self.loaded.traits {
            Some(traits) => traits,
            None => {
                filled = self.fill(ctx, Want { traits: true, ..Want::default() }).await?;
                filled.traits.as_ref().ok_or_else(|| super::not_found("traits"))?
            }
        };
        let wrap = |one: &handfast_store::person::Trait| Trait {
            key: one.key.clone(),
            value: handfast_domain::handoff::text_of(&one.value),
            source: one.source.clone(),
            observed_at: one.observed_at,
        };
        Ok(traits.iter().map(wrap).collect())
    }

    /// What is known of it, by kind and key: traits and graded answers, each with where it comes from and what was thought before.
    async fn facts(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Inline<LeadFact>>> {
        let workspace = app(ctx)?.workspace();
        let facts = match lead_fact::of(&workspace, &self.loaded) {
            Some(facts) => Some(facts),
            None => {
                let filled = self.fill(ctx, Want { facts: true, ..Want::default() }).await?;
                lead_fact::of(&workspace, &filled)
            }
        };
        facts.ok_or_else(|| super::not_found("facts"))
    }

    /// What its company uses today, and until when it is bound to it; null where nothing is known.
    async fn incumbent(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Inline<Incumbent>>> {
        if self.state.account.is_none() {
            return Ok(None);
        }
        if let Some(account) = &self.loaded.account {
            return Ok(Incumbent::of(account).map(Inline));
        }
        let filled = self.fill(ctx, Want { account: true, ..Want::default() }).await?;
        Ok(filled.account.as_ref().and_then(Incumbent::of).map(Inline))
    }

    /// How well it fits each ideal customer profile of the charter in force, or of another one, by what is known of it now.
    async fn icp_fit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of a charter; the one in force without.")] charter: Option<i32>,
        #[graphql(desc = "Key of one profile; all without.")] profile: Option<String>,
    ) -> async_graphql::Result<Vec<Inline<IcpFit>>> {
        let workspace = app(ctx)?.workspace();
        let number = charter.map_or(Some(workspace.charter.number), |number| u32::try_from(number).ok());
        let charter = workspace.charters.iter().find(|charter| Some(charter.number) == number);
        let charter = charter.ok_or_else(|| super::not_found("charter"))?;
        let filled;
        let (state, known) = match &self.loaded.profile {
            Some(known) => (&self.state, known),
            None => {
                filled = self.fill(ctx, Want { profile: true, ..Want::default() }).await?;
                let known = filled.profile.as_ref().ok_or_else(|| super::not_found("profile"))?;
                (&filled.stored.lead, known)
            }
        };
        let fields = fields(&workspace, state, known);
        let mut fits = icp::fits(&charter.body, &fields);
        fits.retain(|fit| profile.as_ref().is_none_or(|key| fit.profile == *key));
        Ok(fits.into_iter().map(Inline).collect())
    }

    /// What was learned of it, the newest first: traits, answers, content, acts of high intent, notes, answers to sales' questions,
    /// feedback, personas, and why rules thought so. Nothing is kept twice; of each source the newest 500 count.
    async fn insights(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What was learned while it stood there; at all stages without.")] stage: Option<
            StageKind,
        >,
        #[graphql(desc = "With `stage`: at earlier stages, too.", default)] up_to: bool,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<Insight>>> {
        let first = usize::try_from(super::bounded("first", first, 200)?).unwrap_or(0);
        let at = insight::At { stage, up_to };
        let found = insight::of(app(ctx)?, self.state.id, at).await.map_err(failure)?;
        Ok(found.into_iter().take(first).map(Inline).collect())
    }

    /// What it did in a window, beside the window before, in few words.
    async fn behaviour_summary(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<Inline<BehaviourSummary>> {
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let found = insight::behaviour(app, self.state.id, window).await.map_err(failure)?;
        Ok(Inline(BehaviourSummary::wrap(&app.workspace(), window, found, app.now())))
    }

    /// The newest hand-off.
    async fn handoff(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Inline<Handoff>>> {
        let filled;
        let handoff = match &self.loaded.handoff {
            Some(handoff) => handoff,
            None => {
                filled = self.fill(ctx, Want { handoff: true, ..Want::default() }).await?;
                filled.handoff.as_ref().ok_or_else(|| super::not_found("hand-off"))?
            }
        };
        Ok(handoff.as_ref().map(|(state, packet)| Inline(Handoff::wrap(state, packet.as_ref()))))
    }

    /// What sales asked about it, and what marketing answered; the newest first.
    async fn context_requests(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Inline<ContextRequest>>> {
        let filled;
        let requests = match &self.loaded.context_requests {
            Some(requests) => requests,
            None => {
                filled = self.fill(ctx, Want { context_requests: true, ..Want::default() }).await?;
                filled.context_requests.as_ref().ok_or_else(|| super::not_found("context requests"))?
            }
        };
        let workspace = app(ctx)?.workspace();
        Ok(requests.iter().cloned().map(|one| ContextRequest::wrap(&workspace, one)).map(Inline).collect())
    }

    /// What sales planned to do with it, and what became of that: the 50 that are, or were, due last, the latest first.
    async fn follow_ups(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Inline<FollowUp>>> {
        let filled;
        let planned = match &self.loaded.follow_ups {
            Some(planned) => planned,
            None => {
                filled = self.fill(ctx, Want { follow_ups: true, ..Want::default() }).await?;
                filled.follow_ups.as_ref().ok_or_else(|| super::not_found("follow-ups"))?
            }
        };
        let app = app(ctx)?;
        Ok(planned.iter().cloned().map(|one| FollowUp::wrap(app, one)).map(Inline).collect())
    }

    /// When sales means to turn to it next; the past if that is overdue, null if nothing is planned.
    async fn next_follow_up_at(&self) -> Option<Instant> {
        self.state.next_follow_up_at()
    }

    /// Why it stands where it stands in the work queue.
    async fn work_reason(&self, ctx: &Context<'_>) -> async_graphql::Result<WorkReason> {
        let due = self.state.next_follow_up_at().is_some_and(|at| at <= app(ctx).map_or(at, App::now));
        Ok(if due { WorkReason::FollowUpDue } else { WorkReason::Priority })
    }

    /// The time that sales spent on it.
    async fn effort(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries that are shown, 1 to 200.", default = 20)] first: i32,
    ) -> async_graphql::Result<Inline<LeadEffort>> {
        let first = super::bounded("first", first, 200)?;
        LeadEffort::of(app(ctx)?, self.state.id, first).await.map(Inline)
    }

    /// The newest evaluations, newest first.
    async fn evaluations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 20", default = 3)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<Evaluation>>> {
        let first = super::bounded("first", first, 20)?;
        let filled;
        let evaluations = match &self.loaded.evaluations {
            Some(evaluations) if self.loaded.evaluation_limit >= first => evaluations,
            _ => {
                filled = self.fill(ctx, Want { evaluations: first, ..Want::default() }).await?;
                filled.evaluations.as_ref().ok_or_else(|| super::not_found("evaluations"))?
            }
        };
        Ok(evaluations
            .iter()
            .take(usize::try_from(first).unwrap_or(0))
            .map(Evaluation::wrap)
            .map(Inline)
            .collect())
    }

    /// Marketing's touches and sales' work in one list, newest first.
    async fn timeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<TimelineEntry>>> {
        let first = super::bounded("first", first, 200)?;
        let entries = handfast_store::timeline::of(app(ctx)?.store.read(), self.state.id, first).await;
        Ok(entries
            .map_err(|error| failure(error.into()))?
            .into_iter()
            .map(TimelineEntry::from)
            .map(Inline)
            .collect())
    }

    /// Content that the lead has seen, by its touches or because sales sent it, the newest look first; with a stage, what it saw
    /// while it stood there.
    async fn content_seen(
        &self,
        ctx: &Context<'_>,
        stage: Option<StageKind>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<ContentSeen>>> {
        let first = usize::try_from(super::bounded("first", first, 200)?).unwrap_or(0);
        ContentSeen::of(app(ctx)?, self.state.id, stage, first).await
    }

    /// Audiences that the lead belongs to now, by key.
    async fn segments(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Inline<Audience>>> {
        Ok(super::audience::of_lead(app(ctx)?, self.state.id).await?.into_iter().map(Inline).collect())
    }
}

/// What rules could read of a lead now.
fn fields(
    workspace: &Workspace,
    state: &Arc<DomainLead>,
    known: &Profile,
) -> std::collections::BTreeMap<String, handfast_domain::field::Value> {
    let mut known = known.clone();
    let readable = workspace.readable_traits();
    known.traits.retain(|key, _| readable.contains(key));
    let journey = Journey { lead: (**state).clone(), ..Journey::blank(state.id, state.captured_at) };
    known.snapshot(&journey, &workspace.charter, false).0.fields
}

/// Exactly one way to name a lead.
#[derive(Clone, Debug, OneofObject)]
pub enum LeadRef {
    Id(ID),
    Email(String),
    External(ExternalRefInput),
}

/// A lead's name in another system.
#[derive(Clone, Debug, InputObject)]
pub struct ExternalRefInput {
    /// The other system, for example `hubspot`.
    pub system: String,
    /// The id there.
    pub id: String,
}

impl LeadRef {
    pub fn key(&self) -> Result<LeadKey, handfast_domain::refused::Refused> {
        Ok(match self {
            LeadRef::Id(id) => LeadKey::Id(local("Lead", id, "input/lead/id")?),
            LeadRef::Email(email) => LeadKey::Email(email.clone()),
            LeadRef::External(at) => LeadKey::External { system: at.system.clone(), id: at.id.clone() },
        })
    }
}

/// The order of a list of leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum LeadOrder {
    /// Newest capture first.
    #[default]
    Captured,
    /// Whoever entered its stage last first; made for the columns of a board.
    Board,
}

/// All given conditions hold together.
#[derive(Clone, Debug, Default, InputObject)]
pub struct LeadFilterInput {
    /// In one of these stages.
    stages: Option<Vec<StageKind>>,
    /// With one of these outcomes; OPEN are the leads at work.
    outcomes: Option<Vec<CycleOutcome>>,
    owner: Option<ID>,
    /// Key of a queue.
    queue: Option<String>,
    campaign: Option<ID>,
    /// Lead source, exactly.
    source: Option<String>,
    /// Key of a persona.
    persona: Option<String>,
}

impl LeadFilterInput {
    fn read(self) -> Result<LeadFilter, handfast_domain::refused::Refused> {
        Ok(LeadFilter {
            stages: self.stages.unwrap_or_default(),
            outcomes: self.outcomes.unwrap_or_default(),
            owner: self.owner.map(|id| local("User", &id, "filter/owner")).transpose()?,
            queue: self.queue,
            campaign: self.campaign.map(|id| local("Campaign", &id, "filter/campaign")).transpose()?,
            source: self.source,
            persona: self.persona,
        })
    }
}

/// What the selection below a lead will ask for.
pub fn want(look: Lookahead<'_>) -> Want {
    let limit = |name: &str, default: i64| {
        look.field(name)
            .selection_fields()
            .iter()
            .map(|field| {
                let arguments = field.arguments().unwrap_or_default();
                let given = arguments.iter().find(|(name, _)| name.as_str() == "first");
                match given.map(|(_, value)| value) {
                    Some(async_graphql::Value::Number(number)) => number.as_i64().unwrap_or(default),
                    _ => default,
                }
            })
            .max()
            .unwrap_or(0)
            .clamp(0, 50)
    };
    Want {
        lead: columns(&look),
        person: look.field("contact").exists(),
        account: look.field("account").exists() || look.field("incumbent").exists(),
        touches: limit("touchpoints", 5),
        cycles: look.field("cycles").exists() || look.field("handling").exists(),
        clocks: look.field("clocks").exists() || look.field("handling").exists(),
        traits: look.field("traits").exists(),
        facts: look.field("facts").exists(),
        profile: look.field("icpFit").exists(),
        handoff: look.field("handoff").exists(),
        context_requests: look.field("contextRequests").exists(),
        follow_ups: look.field("followUps").exists(),
        evaluations: limit("evaluations", 3),
    }
}

/// The columns of a lead that the fields of a selection are made of. A field that is made of something else stands in the
/// list below; an unknown one reads all columns.
fn columns(look: &Lookahead<'_>) -> Only {
    const BESIDE: [&str; 21] = [
        "__typename",
        "uuid",
        "contact",
        "touchpoints",
        "cycles",
        "clocks",
        "handling",
        "traits",
        "handoff",
        "contextRequests",
        "followUps",
        "effort",
        "evaluations",
        "timeline",
        "contentSeen",
        "segments",
        "facts",
        "incumbent",
        "insights",
        "behaviourSummary",
        "id",
    ];
    let selected = look.selection_fields();
    let fields = selected.iter().flat_map(|field| field.selection_set()).map(|field| field.name());
    let column = |name: &str| match name {
        "nextFollowUpAt" | "workReason" => "follow_ups".to_owned(),
        name => snake(name),
    };
    let names: Vec<String> = fields.filter(|name| !BESIDE.contains(name)).map(column).collect();
    Want::lead_columns(names.iter().map(String::as_str))
}

/// `workState` as `work_state`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Reads a lead with the children that the selection asks for.
pub async fn lead_by(app: &App, id: uuid::Uuid, want: &Want) -> async_graphql::Result<Option<Lead>> {
    let loaded = handfast_store::loaded::one(app.store.read(), id, want).await;
    Ok(loaded.map_err(|error| failure(error.into()))?.map(Lead::wrap))
}

#[derive(Default)]
pub struct LeadQuery;

#[Object]
impl LeadQuery {
    /// One lead; null if there is none.
    async fn lead(&self, ctx: &Context<'_>, by: LeadRef) -> async_graphql::Result<Option<Inline<Lead>>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let key = by.key().map_err(|refused| failure(refused.into()))?;
        if let LeadKey::Id(id) = key {
            return Ok(lead_by(app, id, &want(ctx.look_ahead())).await?.map(Inline));
        }
        match crate::flows::lead::find(app, &key).await {
            Ok(id) => Ok(lead_by(app, id, &want(ctx.look_ahead())).await?.map(Inline)),
            Err(crate::flows::Error::Refused(refused)) if super::is_absent(&refused) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Leads, newest first, or in the order of a board.
    #[expect(
        clippy::too_many_arguments,
        reason = "the four arguments of a connection, a filter and an order"
    )]
    async fn leads(
        &self,
        ctx: &Context<'_>,
        filter: Option<LeadFilterInput>,
        #[graphql(default)] order: LeadOrder,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<Lead>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &format!("{filter:?}"));
        let (name, sort) = match order {
            LeadOrder::Captured => ("captured", LeadSort::Captured),
            LeadOrder::Board => ("board", LeadSort::Board),
        };
        let window = PageArgs { first, after, last, before }.window(app, name, digest)?;
        let filter = filter.unwrap_or_default().read().map_err(|refused| failure(refused.into()))?;
        let page =
            LeadPage { sort, filter, from: window.from, backward: window.backward, limit: window.limit };
        let want = want(ctx.look_ahead().field("edges").field("node"));
        let rows = handfast_store::loaded::page(app.store.read(), &page, &want).await;
        let place = |loaded: &LoadedLead| {
            let lead = &loaded.stored.lead;
            let at = if sort == LeadSort::Board { lead.entered_stage_at } else { lead.captured_at };
            (at.ms(), lead.id)
        };
        Ok(window.page(app, rows.map_err(|error| failure(error.into()))?, place, Lead::wrap))
    }

    /// Open leads of an owner or in a queue: those with a follow-up that is due, the earliest first, then the most important first;
    /// `workReason` tells which it is. Without arguments: yours. A follow-up that falls due while you page comes first next time.
    async fn work_queue(
        &self,
        ctx: &Context<'_>,
        owner: Option<ID>,
        #[graphql(desc = "Key of a queue.")] queue: Option<String>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<Lead>> {
        let viewer = read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &format!("{owner:?} {queue:?} {}", viewer.id()));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "priority", digest)?;
        let owner = owner
            .map(|id| local("User", &id, "owner"))
            .transpose()
            .map_err(|refused| failure(refused.into()))?;
        let owner = if queue.is_none() { owner.or(Some(viewer.id())) } else { owner };
        let (db, queue, now) = (app.store.read(), queue.as_deref(), app.now());
        let want = want(ctx.look_ahead().field("edges").field("node"));
        let rows =
            handfast_store::loaded::work_queue(db, owner, queue, now, window.from, window.limit, &want).await;
        let place = |loaded: &LoadedLead| queue_place(&loaded.stored, now);
        Ok(window.page(app, rows.map_err(|error| failure(error.into()))?, place, Lead::wrap))
    }
}

/// Several leads at once, by id.
pub async fn leads_by(
    app: &App,
    ids: &[uuid::Uuid],
    want: &Want,
) -> async_graphql::Result<std::collections::BTreeMap<uuid::Uuid, Lead>> {
    let loaded = handfast_store::loaded::by_id(app.store.read(), ids, want).await;
    let loaded = loaded.map_err(|error| failure(error.into()))?;
    Ok(loaded.into_iter().map(|one| (one.stored.lead.id, Lead::wrap(one))).collect())
}
