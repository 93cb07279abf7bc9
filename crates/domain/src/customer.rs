//! Customers: what comes after the first win. A customer renews, speaks for us, or leaves; whatever it buys next is a cycle of its own.

use serde::{Deserialize, Serialize};

use crate::change::Draft;
use crate::clock::{ClockKind, ClockLevel};
use crate::ending::COMPETITOR;
use crate::event::Fact;
use crate::lead::Lead;
use crate::refused::{RefusalCode, Refused};
use crate::sales::{allowed_from, check_words};
use crate::stage::{CycleOpenedBy, CycleOutcome, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

text_enum! {
    /// Why a customer left.
    pub enum ChurnReason {
        /// It cost too much.
        Price = "PRICE",
        /// It never came to use it.
        NeverAdopted = "NEVER_ADOPTED",
        /// Something that it needs is missing.
        MissingFeature = "MISSING_FEATURE",
        /// Service or quality were not good enough.
        Service = "SERVICE",
        /// It went to a competitor.
        LostToCompetitor = "LOST_TO_COMPETITOR",
        /// It does not need such a thing any more.
        NoNeed = "NO_NEED",
        /// It was sold, merged or closed down.
        ClosedDown = "CLOSED_DOWN",
        /// It did not pay: we ended it.
        NotPaid = "NOT_PAID",
    }
}

text_enum! {
    /// How a customer speaks for us.
    pub enum Advocacy {
        /// It brought another buyer.
        Referral = "REFERRAL",
        /// It can be named, or asked, by others who think of buying.
        Reference = "REFERENCE",
    }
}

/// What came after the first win.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// How often it renewed.
    pub renewals: u32,
    /// When it renewed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Instant>,
    /// When its contract ends unless it renews; null where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_at: Option<Instant>,
    /// When it left; null while it is a customer, and again once it was won back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churned_at: Option<Instant>,
    /// Why it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn_reason: Option<ChurnReason>,
    /// To whom it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub competitor: Option<String>,
    /// When it left for the first time, be it that it was won back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_churned_at: Option<Instant>,
}

impl Customer {
    pub(crate) fn apply(&mut self, fact: &Fact, at: Instant) {
        match fact {
            Fact::CycleClosed { outcome: CycleOutcome::Won, .. } => {
                (self.churned_at, self.churn_reason, self.competitor) = (None, None, None);
            }
            // Said of one that left only where another lead of the same person is still a customer.
            Fact::RenewalDated { renews_at } => {
                self.renews_at = *renews_at;
                (self.churned_at, self.churn_reason, self.competitor) = (None, None, None);
            }
            Fact::CustomerRenewed { renews_at } => {
                self.renewals += 1;
                // What is told late of an earlier year moves no date back.
                if self.renewed_at.is_none_or(|before| before <= at) {
                    (self.renewed_at, self.renews_at) = (Some(at), *renews_at);
                }
            }
            Fact::CustomerChurned { reason, competitor, .. } => {
                // Told again, it is a correction.
                if self.first_churned_at.is_none() || self.first_churned_at == self.churned_at {
                    self.first_churned_at = Some(at);
                }
                (self.churned_at, self.churn_reason) = (Some(at), Some(*reason));
                (self.competitor, self.renews_at) = (competitor.clone(), None);
            }
            Fact::LeadMerged { .. } | Fact::LeadErased {} => self.renews_at = None,
            _ => {}
        }
    }
}

/// A customer that leaves.
#[derive(Clone, Debug)]
pub struct Churn {
    pub reason: ChurnReason,
    /// To whom it goes; only with LOST_TO_COMPETITOR.
    pub competitor: Option<String>,
    /// When somebody tries to win it back.
    pub win_back_at: Option<Instant>,
}

impl Lead {
    /// Whether it was won, in this cycle or in an earlier one, or goes on for a lead that was.
    pub fn was_won(&self) -> bool {
        self.furthest_stage >= StageKind::Customer || self.customer.is_some()
    }

    /// Whether it was won and left.
    pub fn churned(&self) -> bool {
        self.customer.as_ref().is_some_and(|customer| customer.churned_at.is_some())
    }

    /// What opens the next cycle of a lead that comes back by itself; none while its newest one is open, and where only a person
    /// may open one.
    pub fn comes_back_by(&self) -> Option<CycleOpenedBy> {
        use CycleOutcome::{Lost, Recycled, Won};
        match self.outcome {
            Recycled | Lost | Won if self.churned() => Some(CycleOpenedBy::Winback),
            Recycled | Lost => Some(CycleOpenedBy::Requalify),
            Won => Some(CycleOpenedBy::Expansion),
            _ => None,
        }
    }
}

impl Draft<'_> {
    /// Says when the contract of a customer ends, or that nobody knows.
    pub fn date_renewal(&mut self, renews_at: Option<Instant>) -> Result<(), Refused> {
        self.require_customer("date the renewal of")?;
        self.check_ahead("input/renewsAt", renews_at)?;
        let known = self.journey.lead.customer.as_ref().and_then(|customer| customer.renews_at);
        if known != renews_at {
            self.emit(Fact::RenewalDated { renews_at });
        }
        Ok(())
    }

    /// The contract of a customer goes on, until `renews_at` if that is known.
    pub fn renew(&mut self, renews_at: Option<Instant>) -> Result<(), Refused> {
        self.require_customer("renew")?;
        self.check_told()?;
        self.check_ahead("input/renewsAt", renews_at)?;
        self.emit(Fact::CustomerRenewed { renews_at });
        Ok(())
    }

    /// A customer leaves, or it is told again, and better, why and when it left. On a date, if one is named, a cycle WINBACK opens.
    pub fn churn(&mut self, churn: Churn) -> Result<(), Refused> {
        self.require_won("record the churn of")?;
        self.check_told()?;
        let Churn { reason, competitor, win_back_at } = churn;
        if let Some(competitor) = &competitor {
            check_words("input/competitor", competitor, COMPETITOR)?;
            if reason != ChurnReason::LostToCompetitor {
                let message = format!("a competitor goes with LOST_TO_COMPETITOR; the reason is {reason}");
                return Err(Refused::invalid("input/competitor", message));
            }
        }
        if let Some(at) = win_back_at {
            self.check_win_back(at)?;
        }
        self.emit(Fact::CustomerChurned { reason, competitor, win_back_at });
        if let Some(at) = win_back_at {
            // Another date on which it would have come back is out of date.
            self.cancel_clocks(|clock| clock.kind != ClockKind::Requalify);
            self.start_clock_until(ClockKind::Requalify, ClockLevel::Lead, at);
        }
        Ok(())
    }

    fn check_win_back(&self, at: Instant) -> Result<(), Refused> {
        let (lead, now) = (&self.journey.lead, self.scene.now);
        let refuse = |message: String| Err(Refused::invalid("input/winBackAt", message));
        if lead.suppressed {
            let message = "this person asked not to be contacted; leave winBackAt out";
            return Err(Refused::new(RefusalCode::Suppressed, message).at("input/winBackAt"));
        }
        if at <= now {
            return refuse(format!("a date after {now}, found {at}"));
        }
        match lead.outcome {
            CycleOutcome::Won | CycleOutcome::Lost | CycleOutcome::Recycled => Ok(()),
            CycleOutcome::Open => {
                refuse(format!("cycle {} is open; end it, or leave winBackAt out", lead.cycle))
            }
            ended => refuse(format!(
                "cycle {} is {ended}, after which only reopenLead opens the next one; leave winBackAt out",
                lead.cycle
            )),
        }
    }

    /// A customer speaks for us: where its newest cycle is the one that was won, it becomes an advocate.
    pub fn advocate(&mut self, advocacy: Advocacy) -> Result<(), Refused> {
        self.require_customer("make an advocate of")?;
        self.check_told()?;
        self.emit(Fact::AdvocacyRecorded { advocacy });
        let lead = &self.journey.lead;
        if lead.outcome == CycleOutcome::Won && lead.stage == StageKind::Customer {
            self.advance(StageKind::Advocate, None, false)?;
        }
        Ok(())
    }

    /// Goes on for a duplicate that is a customer: it is one then, even if it had left itself, and the contract that ends first is what
    /// somebody has to think of.
    pub(crate) fn take_over_customer(&mut self, theirs: &Lead) {
        let date = |lead: &Lead| lead.customer.as_ref().and_then(|customer| customer.renews_at);
        let ours = &self.journey.lead;
        if !theirs.was_won() || theirs.churned() {
            return;
        }
        let renews_at = date(ours).into_iter().chain(date(theirs)).min();
        if ours.was_won() && !ours.churned() && renews_at == date(ours) {
            return;
        }
        if ours.churned() {
            self.cancel_clocks(|clock| clock.kind != ClockKind::Requalify);
        }
        self.emit(Fact::RenewalDated { renews_at });
    }

    fn require_won(&self, verb: &str) -> Result<(), Refused> {
        self.refuse_gone()?;
        let lead = &self.journey.lead;
        match lead.was_won() {
            true => Ok(()),
            false => Err(Refused::illegal(lead.stage, verb, &allowed_from(lead.stage))),
        }
    }

    fn require_customer(&self, verb: &str) -> Result<(), Refused> {
        self.require_won(verb)?;
        match self.journey.lead.customer.as_ref().and_then(|customer| customer.churned_at) {
            Some(at) => {
                let message = format!("this customer left at {at}; win it again first");
                Err(Refused::new(RefusalCode::IllegalTransition, message))
            }
            None => Ok(()),
        }
    }

    /// When something happened to a customer: not before its newest win, as far as that is known here, and a day ahead at most.
    fn check_told(&self) -> Result<(), Refused> {
        let Draft { journey, scene, .. } = self;
        let won = journey.cycle.closed_at.filter(|_| journey.cycle.outcome == CycleOutcome::Won);
        let (since, most) = (won.unwrap_or(journey.lead.captured_at), scene.now.plus(DAY));
        if !(since..=most).contains(&scene.at) {
            let what = if won.is_some() { "won" } else { "captured" };
            let message = format!("from {since}, when it was {what}, to {most}; found {}", scene.at);
            return Err(Refused::invalid("input/occurredAt", message));
        }
        Ok(())
    }

    fn check_ahead(&self, path: &str, at: Option<Instant>) -> Result<(), Refused> {
        match at.filter(|at| *at <= self.scene.at) {
            Some(at) => Err(Refused::invalid(path, format!("a date after {}, found {at}", self.scene.at))),
            None => Ok(()),
        }
    }
}
