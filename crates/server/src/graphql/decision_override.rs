//! What somebody decided in the place of a rule, for one lead.

use std::collections::BTreeMap;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::decision_override::DecisionOverride as Told;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use handfast_store::decision_override as store;
use handfast_store::evaluation;

use super::decision::Decision;
use super::directory::User;
use super::lead::{Lead, lead_by, want};
use super::problem::{UserError, failure, payload};
use super::scalar::{global, local};
use super::{app, ask};
use crate::app::App;
use crate::flows::decision_override::{self, Override};
use crate::flows::scope;

/// One lead that a person decided otherwise than the rule did. The rule goes on as before.
#[derive(Clone, SimpleObject)]
pub struct DecisionOverride {
    /// The decision that stands in the place of the rule's.
    instead_id: ID,
    /// What the person said.
    outcome: Outcome,
    /// Disposition reason of RECYCLE and DISQUALIFY.
    disposition: Option<String>,
    /// Why, in the person's words.
    reason: String,
    /// Null for somebody who is no longer known.
    user: Option<User>,
    /// The side that answers for the slot.
    side: Side,
    at: Instant,
}

impl DecisionOverride {
    pub fn wrap(app: &App, told: Told) -> DecisionOverride {
        DecisionOverride {
            instead_id: global("Decision", told.instead),
            outcome: told.outcome,
            disposition: told.disposition,
            reason: told.reason,
            user: app.workspace().directory.user(told.user).map(User::wrap),
            side: told.side,
            at: told.at,
        }
    }

    /// Of any number of decisions in one statement.
    pub async fn of(
        app: &App,
        decisions: &[uuid::Uuid],
    ) -> async_graphql::Result<BTreeMap<uuid::Uuid, DecisionOverride>> {
        let found = store::of(app.store.read(), decisions).await.map_err(|error| failure(error.into()))?;
        Ok(found.into_iter().map(|(id, told)| (id, DecisionOverride::wrap(app, told))).collect())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct OverrideDecisionInput {
    /// The decision of a rule that counts: the newest of its slot on a lead that waits at the gate.
    decision: ID,
    /// What is to come out instead.
    outcome: Outcome,
    /// Why, in 1 to 2000 characters; whoever owns the rule reads it.
    reason: String,
    /// Disposition reason of RECYCLE and DISQUALIFY, by its key in the charter.
    disposition: Option<String>,
    /// Refuse if the lead has another version by now.
    expected_version: Option<i32>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct OverrideDecisionPayload {
    /// The decision with its override; null when it was refused, or when your token may not read leads.
    decision: Option<Decision>,
    /// The lead as it is now; null as the decision is.
    lead: Option<Lead>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct DecisionOverrideMutation;

#[Object]
impl DecisionOverrideMutation {
    /// Decides one lead otherwise than a rule did, for a person of the side whose slot it is. The lead goes where the votes of
    /// the gate send it with this one; the charter's criteria hold as ever. The rule goes on, and its overrides are counted.
    async fn override_decision(
        &self,
        ctx: &Context<'_>,
        input: OverrideDecisionInput,
    ) -> async_graphql::Result<OverrideDecisionPayload> {
        let OverrideDecisionInput { decision, outcome, reason, disposition, expected_version, .. } =
            input.clone();
        let asked = (&decision.0, outcome, &reason, &disposition, expected_version);
        let ask = ask(ctx, "overrideDecision", input.idempotency_key, input.dry_run, &asked)?;
        let decision = local("Decision", &decision, "input/decision");
        let decision = decision.map_err(|refused| failure(refused.into()))?;
        let expected_version = expected_version.map(i64::from);
        let asked = Override { decision, outcome, reason, disposition, expected_version };
        let (id, errors) = payload(decision_override::override_decision(app(ctx)?, &ask, asked).await)?;
        let Some(id) = id.filter(|_| ask.viewer.may(scope::LEADS_READ)) else {
            return Ok(OverrideDecisionPayload { decision: None, lead: None, errors });
        };
        let app = app(ctx)?;
        let stored = evaluation::decision(app.store.read(), id).await;
        let Some(stored) = stored.map_err(|error| failure(error.into()))? else {
            return Ok(OverrideDecisionPayload { decision: None, lead: None, errors });
        };
        let lead = lead_by(app, stored.lead, &want(ctx.look_ahead().field("lead"))).await?;
        let decision = Decision::wrap(stored.decision, stored.lead, stored.as_of, stored.charter);
        Ok(OverrideDecisionPayload { decision: Some(decision), lead, errors })
    }
}
