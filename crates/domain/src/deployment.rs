//! Deployments of rule versions: whose verdicts count, for which leads, who has to agree, and what ends one by itself.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::share::Share;
use crate::stage::Side;
use crate::text::text_enum;
use crate::time::Instant;

mod guardrail;

pub use guardrail::{Guardrail, GuardrailLimit, GuardrailReading, Guardrails, Observed, Passed, readings};

text_enum! {
    /// Whether a deployment's verdicts count.
    pub enum DeploymentMode {
        /// They are recorded and change no lead. At most three a slot.
        Shadow = "SHADOW",
        /// They count for a share of the leads, always the same ones. At most one a slot.
        Canary = "CANARY",
        /// They count. At most one a slot.
        Live = "LIVE",
    }
}

text_enum! {
    /// Where a deployment stands.
    pub enum DeploymentState {
        /// The charter asks for somebody's agreement first.
        PendingApproval = "PENDING_APPROVAL",
        /// It answers.
        Running = "RUNNING",
        /// Another deployment took its place, or it was promoted.
        Superseded = "SUPERSEDED",
        /// Somebody took it back, or a guardrail did.
        RolledBack = "ROLLED_BACK",
        /// Its rule failed too often, and the circuit breaker took it back.
        Failed = "FAILED",
        /// It was asked for, and never ran.
        Declined = "DECLINED",
    }
}

text_enum! {
    /// Who has to agree before a version's verdicts count in a slot.
    pub enum ApprovalRule {
        /// Nobody: the team decides alone.
        None = "NONE",
        /// Somebody of the side that does not own the slot; of both sides, where operations owns it.
        OtherSide = "OTHER_SIDE",
        /// Somebody of marketing and somebody of sales.
        BothSides = "BOTH_SIDES",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro of the enum derives for all of them alike")]
impl Default for ApprovalRule {
    fn default() -> ApprovalRule {
        ApprovalRule::None
    }
}

impl ApprovalRule {
    pub fn is_none(&self) -> bool {
        *self == ApprovalRule::None
    }

    /// The sides that have to agree, given the side of the team that owns the slot. A SHADOW changes no lead and needs nobody.
    pub fn sides(self, owner: Side, mode: DeploymentMode) -> Vec<Side> {
        let both = [Side::Marketing, Side::Sales];
        match (self, mode) {
            (ApprovalRule::None, _) | (_, DeploymentMode::Shadow) => vec![],
            (ApprovalRule::BothSides, _) => both.to_vec(),
            (ApprovalRule::OtherSide, _) => both.into_iter().filter(|side| *side != owner).collect(),
        }
    }
}

/// One person's agreement to a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who agreed.
    pub user: Uuid,
    /// For which side.
    pub side: Side,
    /// When.
    pub at: Instant,
    /// What the person had to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a deployment was started with, besides version and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terms {
    /// Share of the leads that a CANARY judges, in basis points.
    pub share: u16,
    /// What a CANARY draws its leads by; its own identity without. A wider share of the same version keeps it.
    pub salt: Option<Uuid>,
    /// When it is taken back for its failures.
    pub breaker: Breaker,
    /// What a CANARY is taken back for.
    pub guardrails: Guardrails,
    /// Grey cases a day that a SHADOW may open where it disagrees.
    pub grey_cases_a_day: u32,
    /// The sides that had to agree before it ran.
    pub needs: Vec<Side>,
    /// Why it was started, for the other teams.
    pub why: Option<String>,
    /// The backtest that was looked at before.
    pub backtest: Option<Uuid>,
    /// The SHADOW or CANARY that became this one.
    pub promoted_from: Option<Uuid>,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            share: 1_000,
            salt: None,
            breaker: Breaker::default(),
            guardrails: Guardrails::default(),
            grey_cases_a_day: 10,
            needs: vec![],
            why: None,
            backtest: None,
            promoted_from: None,
        }
    }
}

/// A version with settings in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub id: Uuid,
    pub slot: String,
    pub version: Digest,
    pub settings: Digest,
    pub mode: DeploymentMode,
    pub state: DeploymentState,
    pub terms: Terms,
    pub approvals: Vec<Approval>,
    pub started_by: Uuid,
    /// When it began to judge; when it was asked for, while it waits for approval.
    pub started_at: Instant,
    pub ended_at: Option<Instant>,
    pub end_reason: Option<String>,
    /// What was read when a guardrail or the breaker took it back.
    pub evidence: Vec<GuardrailReading>,
    /// The deployment that this one took back.
    pub rollback_of: Option<Uuid>,
}

impl Deployment {
    pub fn is_running(&self) -> bool {
        self.state == DeploymentState::Running
    }

    /// Whether it does the same as the other one would.
    pub fn is_same(&self, version: Digest, settings: Digest) -> bool {
        (self.version, self.settings) == (version, settings)
    }

    pub fn salt(&self) -> Uuid {
        self.terms.salt.unwrap_or(self.id)
    }

    pub fn still_needed(&self) -> Vec<Side> {
        still_needed(&self.terms.needs, &self.approvals)
    }
}

/// What answered for the slot before the deployment `live`, of the LIVE ones that ran, with the oldest first. A rollback's row
/// stands in the place of the one that it restored, so that the next step back goes further.
pub fn before(history: &[Deployment], live: Uuid) -> Option<&Deployment> {
    let mut stack: Vec<&Deployment> = vec![];
    for deployment in history {
        if let Some(undone) = deployment.rollback_of
            && let Some(at) = stack.iter().rposition(|other| other.id == undone)
        {
            stack.truncate(at);
            stack.pop();
        }
        if deployment.id == live {
            break;
        }
        stack.push(deployment);
    }
    // What was taken back, or failed, never comes back by itself.
    stack.into_iter().rev().find(|deployment| deployment.state == DeploymentState::Superseded)
}

/// The sides whose agreement is still missing.
pub fn still_needed(needed: &[Side], given: &[Approval]) -> Vec<Side> {
    needed.iter().copied().filter(|side| !given.iter().any(|approval| approval.side == *side)).collect()
}

/// Shadows that may run beside each other in a slot.
pub const SHADOWS: usize = 3;

/// Whether a lead belongs to the share that a canary judges. It depends on salt and lead alone, so that a lead stays with the
/// version that judged it first, and a wider share contains every lead of the narrower one.
pub fn is_canary(salt: Uuid, lead: Uuid, share: u16) -> bool {
    let Digest(bytes) = Digest::of("canary", 1, &(salt, lead));
    let drawn = bytes.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    drawn % 10_000 < u64::from(share)
}

/// When a version that keeps failing is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "CircuitBreaker", input_name = "CircuitBreakerInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// So many failures …
    pub failures: u32,
    /// … of the last so many calls, on one node.
    pub window: u32,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { failures: 10, window: 50 }
    }
}

impl Breaker {
    /// What is wrong with it.
    pub fn problem(&self) -> Option<String> {
        let Breaker { failures, window } = *self;
        let fits = (1..=1_000).contains(&window) && (1..=window).contains(&failures);
        (!fits).then(|| {
            format!("1 to 1000 calls, and 1 to so many failures of them; found {failures} of {window}")
        })
    }
}

/// How the newest calls of each deployment ended.
#[derive(Debug, Default)]
pub struct Recent(BTreeMap<Uuid, VecDeque<bool>>);

impl Recent {
    /// Notes how a call ended, and answers what was seen when that is too much: failures and calls. It is said once; the
    /// deployment is forgotten with it.
    pub fn note(&mut self, deployment: Uuid, failed: bool, breaker: Breaker) -> Option<Share> {
        let calls = self.0.entry(deployment).or_default();
        calls.push_back(failed);
        while calls.len() > breaker.window as usize {
            calls.pop_front();
        }
        let failures = calls.iter().filter(|failed| **failed).count();
        if failures < breaker.failures as usize {
            return None;
        }
        let seen = Share::of(failures as u64, calls.len() as u64);
        self.0.remove(&deployment);
        Some(seen)
    }

    /// Forgets deployments that no longer run.
    pub fn retain(&mut self, running: impl Fn(Uuid) -> bool) {
        self.0.retain(|deployment, _| running(*deployment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_judges_its_share_and_a_wider_one_keeps_its_leads() {
        let salt = Uuid::from_u128(7);
        let leads: Vec<Uuid> = (0..20_000).map(Uuid::from_u128).collect();
        let judged = |share| leads.iter().filter(|lead| is_canary(salt, **lead, share)).count();
        for (share, about) in [(0, 0), (1_000, 2_000), (5_000, 10_000), (10_000, 20_000)] {
            assert!(judged(share).abs_diff(about) < 250, "{share}: {}", judged(share));
        }
        assert!(leads.iter().all(|lead| !is_canary(salt, *lead, 1_000) || is_canary(salt, *lead, 3_000)));
        let other = leads.iter().filter(|lead| is_canary(Uuid::from_u128(8), **lead, 1_000)).count();
        let both =
            leads.iter().filter(|l| is_canary(salt, **l, 1_000) && is_canary(Uuid::from_u128(8), **l, 1_000));
        assert!(both.count() * 5 < other, "another salt judges other leads");
    }

    #[test]
    fn the_charter_says_which_sides_agree() {
        use ApprovalRule::{BothSides, None, OtherSide};
        use DeploymentMode::{Canary, Live, Shadow};
        use Side::{Marketing, Ops, Sales};
        let cases: &[(ApprovalRule, Side, DeploymentMode, &[Side])] = &[
            (None, Marketing, Live, &[]),
            (OtherSide, Marketing, Live, &[Sales]),
            (OtherSide, Sales, Canary, &[Marketing]),
            (OtherSide, Ops, Live, &[Marketing, Sales]),
            (BothSides, Sales, Live, &[Marketing, Sales]),
            (BothSides, Sales, Shadow, &[]),
        ];
        for (rule, owner, mode, expected) in cases {
            assert_eq!(rule.sides(*owner, *mode), *expected, "{rule} {owner} {mode}");
        }
        let approval = Approval { user: Uuid::nil(), side: Sales, at: Instant(0), comment: Option::None };
        assert_eq!(still_needed(&[Marketing, Sales], &[approval]), [Marketing]);
    }

    #[test]
    fn the_breaker_trips_at_its_count_within_its_window_and_says_so_once() {
        let (mut recent, breaker, id) = (Recent::default(), Breaker { failures: 3, window: 5 }, Uuid::nil());
        let mut note = |failed| recent.note(id, failed, breaker);
        for failed in [true, true, false, false, false, false, true, true] {
            assert_eq!(note(failed), None);
        }
        assert_eq!(note(true), Some(Share::of(3, 5)));
        assert_eq!(note(true), None, "it begins anew");
    }
}
