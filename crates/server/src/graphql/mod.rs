//! The API: types that wrap domain values, resolvers of five to ten lines that parse, call a flow and wrap. Nothing is
//! decided here, and no statement is written here.

pub mod attribution;
pub mod audience;
pub mod audience_results;
pub mod backtest;
pub mod campaign;
pub mod charter;
pub mod clock;
pub mod consumer;
pub mod content;
pub mod context_request;
pub mod conversion;
mod customer;
pub mod decision;
pub mod decision_override;
pub mod deployment;
pub mod directory;
pub mod drill;
pub mod effort;
pub mod erase;
pub mod event;
pub mod fairness;
pub mod feedback;
pub mod filter;
pub mod follow_up;
pub mod follow_up_rate;
pub mod form;
pub mod friction;
pub mod funnel;
pub mod goal;
pub mod grey_case;
pub mod handoff;
pub mod import;
pub mod incumbent;
pub mod inline;
pub mod insight;
pub mod intake;
pub mod lead;
pub mod lead_fact;
pub mod leakage;
pub mod ledger;
pub mod meeting;
pub mod merge;
pub mod metric;
pub mod node;
pub mod nurture;
pub mod offer;
pub mod overlap;
pub mod page;
pub mod passage;
pub mod plugin;
pub mod problem;
pub mod progress;
pub mod pulse;
pub mod rate;
pub mod rating;
pub mod reevaluation;
pub mod report;
mod restatement;
pub mod results;
pub mod retention;
pub mod review;
pub mod scalar;
pub mod scoreboard;
pub mod signature;
pub mod token;
pub mod trait_lift;
pub mod velocity;
pub mod webhook;
pub mod whynot;
pub mod win_loss;
pub mod work;

#[cfg(test)]
mod tests;

use async_graphql::{Context, MergedObject, MergedSubscription, SDLExportOptions, Schema, ValidationMode};
use handfast_domain::refused::{RefusalCode, Refused};

use crate::app::App;
use crate::flows::commit::{Ask, Once};
use crate::flows::{Viewer, scope};
use crate::http::Schemas;
use crate::http::cost::Weight;
use problem::{coded, failure};

/// In groups: the parts of a merged object lie inside one another, and a chain of all of them would be deep.
#[derive(MergedObject, Default)]
pub struct Query(QueryOfLeads, QueryOfNumbers, QueryOfSides, QueryOfRules, QueryOfSetup);

/// Leads, and what people do with them.
#[derive(MergedObject, Default)]
pub struct QueryOfLeads(
    lead::LeadQuery,
    context_request::ContextRequestQuery,
    follow_up::FollowUpQuery,
    nurture::NurtureQuery,
    customer::CustomerQuery,
    ledger::LedgerQuery,
    event::EventQuery,
);

/// What leads come to.
#[derive(MergedObject, Default)]
pub struct QueryOfNumbers(
    funnel::FunnelQuery,
    campaign::CampaignQuery,
    audience_results::AudienceResultsQuery,
    attribution::AttributionQuery,
    conversion::ConversionQuery,
    velocity::VelocityQuery,
    metric::MetricQuery,
    win_loss::WinLossQuery,
    leakage::LeakageQuery,
    follow_up_rate::FollowUpRateQuery,
    effort::EffortQuery,
    trait_lift::TraitLiftQuery,
    drill::DrillQuery,
    report::ReportQuery,
    restatement::RestatementQuery,
    retention::RetentionQuery,
    scoreboard::ScoreboardQuery,
);

/// What marketing and sales have with each other.
#[derive(MergedObject, Default)]
pub struct QueryOfSides(
    charter::CharterQuery,
    grey_case::GreyCaseQuery,
    feedback::FeedbackQuery,
    rating::RatingQuery,
    content::ContentQuery,
    form::FormQuery,
    audience::AudienceQuery,
    offer::OfferQuery,
    goal::GoalQuery,
    review::ReviewQuery,
    pulse::PulseQuery,
    friction::FrictionQuery,
);

/// Rules and what they decide.
#[derive(MergedObject, Default)]
pub struct QueryOfRules(
    decision::DecisionQuery,
    whynot::WhyNotQuery,
    overlap::OverlapQuery,
    fairness::FairnessQuery,
    plugin::PluginQuery,
    deployment::DeploymentQuery,
    backtest::BacktestQuery,
    reevaluation::ReevaluationQuery,
    signature::SignatureQuery,
);

/// The workspace, and what leaves it.
#[derive(MergedObject, Default)]
pub struct QueryOfSetup(
    directory::DirectoryQuery,
    token::TokenQuery,
    import::ImportQuery,
    consumer::ConsumerQuery,
    webhook::WebhookQuery,
    rate::RateQuery,
    node::NodeQuery,
);

/// In groups, as [`Query`] is.
#[derive(MergedObject, Default)]
pub struct Mutation(MutationOfLeads, MutationOfNumbers, MutationOfSides, MutationOfRules, MutationOfSetup);

/// Leads, and what people do with them.
#[derive(MergedObject, Default)]
pub struct MutationOfLeads(
    intake::IntakeMutation,
    work::WorkMutation,
    merge::MergeMutation,
    erase::EraseMutation,
    context_request::ContextRequestMutation,
    follow_up::FollowUpMutation,
    meeting::MeetingMutation,
    effort::EffortMutation,
    nurture::NurtureMutation,
    customer::CustomerMutation,
    incumbent::IncumbentMutation,
    lead_fact::LeadFactMutation,
);

/// What leads come to.
#[derive(MergedObject, Default)]
pub struct MutationOfNumbers(campaign::CampaignMutation, report::ReportMutation);

/// What marketing and sales have with each other.
#[derive(MergedObject, Default)]
pub struct MutationOfSides(
    charter::CharterMutation,
    grey_case::GreyCaseMutation,
    feedback::FeedbackMutation,
    rating::RatingMutation,
    content::ContentMutation,
    form::FormMutation,
    audience::AudienceMutation,
    offer::OfferMutation,
    goal::GoalMutation,
    review::ReviewMutation,
    pulse::PulseMutation,
);

/// Rules and what they decide.
#[derive(MergedObject, Default)]
pub struct MutationOfRules(
    decision_override::DecisionOverrideMutation,
    plugin::PluginMutation,
    deployment::DeploymentMutation,
    backtest::BacktestMutation,
    reevaluation::ReevaluationMutation,
    signature::SignatureMutation,
);

/// The workspace, and what leaves it.
#[derive(MergedObject, Default)]
pub struct MutationOfSetup(
    directory::DirectoryMutation,
    token::TokenMutation,
    import::ImportMutation,
    consumer::ConsumerMutation,
    webhook::WebhookMutation,
);

#[derive(MergedSubscription, Default)]
pub struct Subscription(
    event::EventSubscription,
    backtest::BacktestSubscription,
    reevaluation::ReevaluationSubscription,
    report::ReportSubscription,
    grey_case::GreyCaseSubscription,
    feedback::FeedbackSubscription,
    deployment::DeploymentSubscription,
    charter::CharterSubscription,
    handoff::HandoffSubscription,
    clock::ClockSubscription,
);

pub type HandfastSchema = Schema<Query, Mutation, Subscription>;

/// The schema over a running product. The gate of the edge has its own limits; these are the second fence.
pub fn schema(app: App) -> HandfastSchema {
    build().data(app).data(results::Batches::default()).finish()
}

/// The same for the edge, which checks a document once.
pub fn schemas(app: App) -> Schemas<HandfastSchema> {
    let trusting = build().data(app.clone()).data(results::Batches::default());
    let trusting = trusting.validation_mode(ValidationMode::Fast).finish();
    Schemas::new(schema(app), trusting, WEIGHTS)
}

/// What looks at many rows, or runs a rule, for an answer of few: in objects, measured beside a page of leads.
const WEIGHTS: &[Weight] = &[
    ("acknowledgedBy", None, 10),
    ("attributedDeals", None, 1_000),
    ("attribution", None, 1_000),
    ("audienceResults", None, 2_000),
    ("awaitingAcknowledgement", None, 10),
    ("behaviourSummary", None, 20),
    ("conflictingTouches", None, 500),
    ("consumer", None, 50),
    ("contentFor", None, 100),
    ("contentMatrix", None, 50),
    ("contentSeen", None, 10),
    ("contribution", None, 1_000),
    ("conversion", None, 1_000),
    ("dealShape", None, 1_000),
    ("definitionDrift", None, 1_000),
    ("dispositions", None, 1_000),
    ("drill", None, 1_000),
    ("effort", None, 10),
    ("effortBy", None, 2_000),
    ("eventConsumers", None, 200),
    ("fairness", None, 1_000),
    ("funnel", Some("asOf"), 1_000),
    ("funnelHealth", None, 1_000),
    ("handoffLeakage", None, 1_000),
    ("journeys", None, 1_000),
    ("fieldUsefulness", None, 500),
    ("followUp", None, 1_000),
    ("frictionPoints", None, 1_000),
    ("influencedWins", None, 500),
    ("insights", None, 20),
    ("kpis", None, 2_000),
    ("leads", Some("filter"), 200),
    ("leads", Some("order"), 200),
    ("ledger", None, 200),
    ("ledgerNow", None, 500),
    ("mostRequestedContext", None, 500),
    ("readings", None, 500),
    ("restatedFunnel", None, 2_000),
    ("retention", None, 1_000),
    ("roi", None, 1_000),
    ("segments", None, 20),
    ("scoreboard", None, 2_000),
    ("review", None, 10),
    ("reviewAgenda", None, 1_000),
    ("sharedGoals", None, 50),
    ("tally", None, 100),
    ("offersFor", None, 50),
    ("overlap", None, 1_000),
    ("override", None, 5),
    ("traitLift", None, 1_000),
    ("unattended", None, 500),
    ("velocity", None, 1_000),
    ("verifyDecision", None, 50),
    ("whyNot", None, 1_000),
    ("winLoss", None, 1_000),
];

fn build() -> async_graphql::SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<node::Node>()
        .disable_suggestions()
}

/// The schema in its own language, sorted, as `schema/handfast.graphql` keeps it.
pub fn sdl() -> String {
    let options =
        SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items().include_specified_by();
    build().finish().sdl_with_options(options)
}

/// The running product.
pub fn app<'c>(ctx: &Context<'c>) -> async_graphql::Result<&'c App> {
    ctx.data::<App>()
}

/// Who asks. The edge lets nobody in without a valid token.
pub fn viewer<'c>(ctx: &Context<'c>) -> async_graphql::Result<&'c Viewer> {
    ctx.data::<Viewer>()
}

/// Who asks, if the token may read. Reading is open to both sides.
pub fn read_viewer<'c>(ctx: &Context<'c>) -> async_graphql::Result<&'c Viewer> {
    let viewer = viewer(ctx)?;
    viewer.require(scope::LEADS_READ).map_err(|refused| failure(refused.into()))?;
    Ok(viewer)
}

/// The request's idempotency: the input's key, else the header's. `input` is everything else that it asks for.
pub fn once(
    ctx: &Context<'_>,
    field: &str,
    key: Option<String>,
    input: &impl std::fmt::Debug,
) -> async_graphql::Result<Option<Once>> {
    // The header is one for all changes of a request: each takes its own part of it.
    let header = || {
        let key = ctx.data_opt::<crate::http::IdempotencyKey>()?;
        let alias = ctx.field().alias();
        Some(alias.map_or_else(|| key.0.clone(), |alias| format!("{}/{alias}", key.0)))
    };
    let key = key.or_else(header);
    if let Some(key) = &key
        && !(1..=128).contains(&key.len())
    {
        let message = format!("an idempotency key has 1 to 128 characters, found {}", key.len());
        return Err(coded("VALIDATION", message, false));
    }
    Ok(Once::new(viewer(ctx)?, field, key, &format!("{input:?}")))
}

/// A change of set-up: who asks, once, and whether it is only tried. `input` is everything else that is asked for.
pub fn ask<'c>(
    ctx: &Context<'c>,
    field: &str,
    key: Option<String>,
    dry_run: Option<bool>,
    input: &impl std::fmt::Debug,
) -> async_graphql::Result<Ask<'c>> {
    Ok(Ask { viewer: viewer(ctx)?, once: once(ctx, field, key, input)?, dry_run: dry_run.unwrap_or(false) })
}

/// A limit that an argument must keep.
pub fn bounded(name: &str, value: i32, max: i32) -> async_graphql::Result<i64> {
    if (1..=max).contains(&value) {
        return Ok(i64::from(value));
    }
    Err(coded("PAGE_SIZE", format!("{name} must be 1 to {max}, found {value}"), false))
}

/// Counts and versions that never come near the limit of an `Int`.
pub fn small(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub fn not_found(what: &str) -> async_graphql::Error {
    failure(Refused::not_found(what).into())
}

/// Whether a refusal only says that the thing does not exist.
pub fn is_absent(refused: &[Refused]) -> bool {
    refused.iter().any(|one| one.code == RefusalCode::NotFound)
}
