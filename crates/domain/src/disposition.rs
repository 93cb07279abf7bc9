//! Disposition reasons: what sales says became of a lead, and which endings each reason allows.
//!
//! A drop is not a bad lead: NO_BUDGET and NO_TIMELINE can recycle, never disqualify (I5).

use serde::{Deserialize, Serialize};

use crate::refused::{RefusalCode, Refused};
use crate::stage::{CycleOutcome, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

text_enum! {
    /// Whether a reason may close a cycle as LOST.
    pub enum LostRule {
        /// The reason closes no cycle as LOST.
        Never = "NEVER",
        /// Only once an opportunity is open.
        AtOpportunity = "AT_OPPORTUNITY",
        /// From SQL and OPPORTUNITY.
        Always = "ALWAYS",
    }
}

/// A disposition reason of the charter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "DispositionReason", input_name = "DispositionReasonInput")
)]
#[serde(rename_all = "camelCase")]
pub struct DispositionReason {
    /// For example `NO_BUDGET`.
    pub key: String,
    /// The reason in this company's words.
    pub label: String,
    /// Whether the lead may go back to nurture.
    pub recycle: bool,
    /// Whether the lead may be disqualified. Never for NO_BUDGET and NO_TIMELINE.
    pub disqualify: bool,
    /// Whether it may close a cycle as LOST.
    pub lost: LostRule,
    /// When a recycled lead is looked at again, unless a date is given. Where the end of the incumbent's contract is known and lies
    /// ahead, it says so instead: INCUMBENT_CONTRACT comes back 90 days before it, LOST_TO_COMPETITOR at it.
    pub recycle_after_days: Option<u32>,
    /// Whether recycling needs the date that the buyer named.
    pub needs_date: bool,
    /// Whether recycling needs the charter's minimum of attempts first.
    pub needs_attempts: bool,
    /// Whether LOST needs the name of the competitor.
    pub needs_competitor: bool,
    /// The hand-off goes back to marketing, which owes the missing context.
    pub returns_to_marketing: bool,
    /// Suppresses the person: the cycle can never be reopened.
    pub permanent: bool,
    /// Nurture track by default.
    pub track: Option<String>,
}

/// How often, how long and by how many channels sales tried; NO_RESPONSE is refused below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "AttemptRule", input_name = "AttemptRuleInput")
)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRule {
    /// Genuine attempts to reach the lead.
    pub attempts: u32,
    /// Days between the first and the last of them.
    pub days: u32,
    /// Different kinds of contact among them.
    pub channels: u32,
}

impl Default for AttemptRule {
    fn default() -> Self {
        AttemptRule { attempts: 6, days: 14, channels: 2 }
    }
}

/// What sales tried in the open cycle so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// Genuine attempts.
    pub count: u32,
    /// The earliest.
    pub first: Option<Instant>,
    /// The latest.
    pub last: Option<Instant>,
    /// Kinds of activity used, sorted.
    pub kinds: Vec<String>,
}

impl Attempts {
    pub fn record(&mut self, kind: &str, at: Instant) {
        self.count += 1;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if let Err(place) = self.kinds.binary_search_by(|known| known.as_str().cmp(kind)) {
            self.kinds.insert(place, kind.to_owned());
        }
    }

    fn missing(&self, rule: AttemptRule) -> Vec<String> {
        let days = self.first.zip(self.last).map_or(0, |(first, last)| last.since(first) / DAY);
        let mut missing = vec![];
        if self.count < rule.attempts {
            missing.push(format!("{} attempts, found {}", rule.attempts, self.count));
        }
        if days < i64::from(rule.days) {
            missing.push(format!("over {} days, found {days}", rule.days));
        }
        if self.kinds.len() < rule.channels as usize {
            missing.push(format!("by {} kinds of contact, found {}", rule.channels, self.kinds.len()));
        }
        missing
    }
}

/// What a person says became of a lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposal {
    /// Key of the charter's reason.
    pub reason: String,
    /// Who won, with a loss to a competitor.
    pub competitor: Option<String>,
    /// When the lead is looked at again.
    pub recycle_at: Option<Instant>,
    /// A signal of the charter that brings the lead back.
    pub recycle_on: Option<String>,
}

/// When, or on which signal, a closed cycle is looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// On this date.
    pub at: Option<Instant>,
    /// On this signal.
    pub on: Option<String>,
}

impl DispositionReason {
    /// Whether the reason allows the outcome here, and when the lead comes back.
    pub fn allow(
        &self,
        outcome: CycleOutcome,
        stage: StageKind,
        disposal: &Disposal,
        attempts: &Attempts,
        rule: AttemptRule,
        now: Instant,
    ) -> Result<Return, Refused> {
        let not_allowed =
            |why: String| Err(Refused::new(RefusalCode::ReasonNotAllowed, why).at("input/reason"));
        let at_opportunity = stage >= StageKind::Opportunity;
        match outcome {
            CycleOutcome::Recycled if !self.recycle => {
                not_allowed(format!("{} cannot recycle a lead", self.key))
            }
            CycleOutcome::Disqualified if !self.disqualify || never_disqualifies(&self.key) => {
                not_allowed(format!("{} cannot disqualify a lead; {}", self.key, self.alternatives()))
            }
            CycleOutcome::Lost if self.lost == LostRule::Never => {
                not_allowed(format!("{} cannot close a lead as lost; {}", self.key, self.alternatives()))
            }
            CycleOutcome::Lost if self.lost == LostRule::AtOpportunity && !at_opportunity => not_allowed(
                format!("{} closes as lost only from OPPORTUNITY; {}", self.key, self.alternatives()),
            ),
            CycleOutcome::Lost if self.needs_competitor && disposal.competitor.is_none() => {
                Err(Refused::invalid("input/competitor", format!("{} needs the competitor's name", self.key)))
            }
            CycleOutcome::Recycled if self.needs_attempts && !attempts.missing(rule).is_empty() => {
                let missing = attempts.missing(rule);
                let message = format!("{} needs {}", self.key, missing.join(", "));
                Err(Refused { missing, ..Refused::new(RefusalCode::AttemptsMissing, message) })
            }
            CycleOutcome::Recycled
                if self.needs_date && disposal.recycle_at.is_none() && disposal.recycle_on.is_none() =>
            {
                Err(Refused::invalid(
                    "input/recycleAt",
                    format!("{} needs the date that the buyer named", self.key),
                ))
            }
            CycleOutcome::Disqualified => Ok(Return::default()),
            _ => {
                if disposal.recycle_at.is_some_and(|at| at <= now) {
                    return Err(Refused::invalid(
                        "input/recycleAt",
                        "the date to look again must lie in the future",
                    ));
                }
                let days = self.recycle_after_days.map(|days| now.plus(i64::from(days) * DAY));
                let at = disposal.recycle_at.or(if disposal.recycle_on.is_some() { None } else { days });
                Ok(Return { at, on: disposal.recycle_on.clone() })
            }
        }
    }

    /// As [`DispositionReason::allow`], for an ending that an import says: nobody counted attempts or noted dates then, and
    /// the stage may be unknown. What the reason never allows stays refused.
    pub fn allow_past(
        &self,
        outcome: CycleOutcome,
        disposal: &Disposal,
        at: Instant,
    ) -> Result<Return, Refused> {
        let relaxed = DispositionReason { needs_attempts: false, needs_date: false, ..self.clone() };
        let (attempts, rule) = (Attempts::default(), AttemptRule::default());
        relaxed.allow(outcome, StageKind::Opportunity, disposal, &attempts, rule, at)
    }

    fn alternatives(&self) -> String {
        let mut ways = vec![];
        if self.recycle {
            ways.push("recycle it");
        }
        if self.disqualify && !never_disqualifies(&self.key) {
            ways.push("disqualify it");
        }
        match self.lost {
            LostRule::Always => ways.push("close it as lost"),
            LostRule::AtOpportunity => ways.push("close it as lost from OPPORTUNITY"),
            LostRule::Never => {}
        }
        if ways.is_empty() {
            "it closes nothing".to_owned()
        } else {
            format!("instead, {}", ways.join(" or "))
        }
    }
}

/// What is said of a signal that the charter does not list.
pub fn unknown_signal(signal: &str, known: &[String]) -> String {
    let shown: String = signal.chars().take(80).collect();
    match known {
        [] => format!("no signal {shown:?}: the charter in force lists none"),
        known => format!("no signal {shown:?} in the charter; it has {}", known.join(", ")),
    }
}

/// A drop is not a bad lead (I5), whatever a charter says.
pub fn never_disqualifies(reason: &str) -> bool {
    matches!(reason, "NO_BUDGET" | "NO_TIMELINE")
}

/// The default list of `domain.md`; a charter may change labels and days, add reasons, and narrow what they allow.
pub fn default_reasons() -> Vec<DispositionReason> {
    use LostRule::{Always, AtOpportunity, Never};
    let reason =
        |key: &str, label: &str, recycle: bool, disqualify: bool, lost: LostRule, days: Option<u32>| {
            DispositionReason {
                key: key.to_owned(),
                label: label.to_owned(),
                recycle,
                disqualify,
                lost,
                recycle_after_days: days,
                needs_date: key == "NO_TIMELINE",
                needs_attempts: key == "NO_RESPONSE",
                needs_competitor: key == "LOST_TO_COMPETITOR",
                returns_to_marketing: key == "NO_CONTEXT",
                permanent: key == "DO_NOT_CONTACT",
                track: match key {
                    "NO_BUDGET" => Some("value".to_owned()),
                    "NO_AUTHORITY" => Some("find-the-sponsor".to_owned()),
                    "NO_RESPONSE" => Some("re-engage".to_owned()),
                    _ => None,
                },
            }
        };
    vec![
        reason("NO_BUDGET", "No budget", true, false, AtOpportunity, Some(90)),
        reason("NO_TIMELINE", "No timeline yet", true, false, AtOpportunity, None),
        reason("NO_AUTHORITY", "Cannot decide", true, false, Never, Some(60)),
        reason("NOT_READY", "Still learning", true, false, Never, Some(30)),
        reason("NO_RESPONSE", "Never answered", true, false, Never, Some(60)),
        reason("HOLDING_OFF", "Decided to wait", true, false, Always, Some(60)),
        reason("INCUMBENT_CONTRACT", "Bound by a contract", true, false, Always, Some(180)),
        reason("LOST_TO_COMPETITOR", "Chose a competitor", false, false, Always, Some(365)),
        reason("MISSING_FEATURE", "Needs what we do not have", true, false, Always, Some(180)),
        reason("NO_CONTEXT", "Handed over without context", false, false, Never, None),
        reason("NOT_ICP", "Outside of our customer profile", false, true, Never, None),
        reason("INVALID_CONTACT", "Contact data is wrong", false, true, Never, None),
        reason("SPAM", "Spam", false, true, Never, None),
        reason("STUDENT_OR_JOB_SEEKER", "Student or job seeker", false, true, Never, None),
        reason("COMPETITOR_EMPLOYEE", "Works for a competitor", false, true, Never, None),
        reason("DUPLICATE", "Known under another identity", false, false, Never, None),
        reason("DO_NOT_CONTACT", "Asked not to be contacted", false, true, Always, None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(key: &str, outcome: CycleOutcome, stage: StageKind) -> Result<Return, Refused> {
        let reason = default_reasons().into_iter().find(|reason| reason.key == key).unwrap();
        let disposal = Disposal {
            recycle_at: Some(Instant(2 * DAY)),
            competitor: Some("Acme".into()),
            ..Disposal::default()
        };
        let mut attempts = Attempts::default();
        for day in 0..15 {
            attempts.record(if day % 2 == 0 { "CALL" } else { "EMAIL" }, Instant(day * DAY));
        }
        reason.allow(outcome, stage, &disposal, &attempts, AttemptRule::default(), Instant(DAY))
    }

    #[test]
    fn the_matrix_of_reasons_and_outcomes_is_the_published_one() {
        use CycleOutcome::{Disqualified, Lost, Recycled};
        // reason, recycle, disqualify, lost at SQL, lost at OPPORTUNITY
        let matrix = [
            ("NO_BUDGET", true, false, false, true),
            ("NO_TIMELINE", true, false, false, true),
            ("NO_AUTHORITY", true, false, false, false),
            ("NOT_READY", true, false, false, false),
            ("NO_RESPONSE", true, false, false, false),
            ("HOLDING_OFF", true, false, true, true),
            ("INCUMBENT_CONTRACT", true, false, true, true),
            ("LOST_TO_COMPETITOR", false, false, true, true),
            ("MISSING_FEATURE", true, false, true, true),
            ("NO_CONTEXT", false, false, false, false),
            ("NOT_ICP", false, true, false, false),
            ("SPAM", false, true, false, false),
            ("DO_NOT_CONTACT", false, true, true, true),
        ];
        for (key, recycle, disqualify, lost, lost_late) in matrix {
            assert_eq!(allow(key, Recycled, StageKind::Sal).is_ok(), recycle, "{key} recycle");
            assert_eq!(allow(key, Disqualified, StageKind::Sal).is_ok(), disqualify, "{key} disqualify");
            assert_eq!(allow(key, Lost, StageKind::Sql).is_ok(), lost, "{key} lost at SQL");
            assert_eq!(
                allow(key, Lost, StageKind::Opportunity).is_ok(),
                lost_late,
                "{key} lost at OPPORTUNITY"
            );
        }
    }

    #[test]
    fn no_response_needs_attempts_days_and_channels() {
        let mut attempts = Attempts::default();
        for day in 0..6 {
            attempts.record("CALL", Instant(day * DAY));
        }
        let missing = attempts.missing(AttemptRule::default());
        assert_eq!(missing, ["over 14 days, found 5", "by 2 kinds of contact, found 1"]);
    }
}
