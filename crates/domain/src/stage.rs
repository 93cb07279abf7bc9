//! The lifecycle of a lead: stage kinds, work states, cycles and who acts.

use crate::text::text_enum;

text_enum! {
    /// How qualified a lead is. The kinds are fixed and ordered; a charter labels them.
    pub enum StageKind {
        /// A visitor without identity.
        Anonymous = "ANONYMOUS",
        /// A lead with an identity: a form, an import, a referral.
        Inquiry = "INQUIRY",
        /// Information qualified lead: wants to learn.
        Iql = "IQL",
        /// Marketing qualified lead: marketing says that sales should talk to it.
        Mql = "MQL",
        /// Sales accepted lead: sales took it on.
        Sal = "SAL",
        /// Sales qualified lead: sales talked to it and confirms.
        Sql = "SQL",
        /// A deal is open.
        Opportunity = "OPPORTUNITY",
        /// The deal was won.
        Customer = "CUSTOMER",
        /// A customer that brings others.
        Advocate = "ADVOCATE",
    }
}

impl StageKind {
    /// 0 for ANONYMOUS up to 8 for ADVOCATE.
    pub fn ordinal(self) -> usize {
        self as usize
    }

    /// The stages strictly between `from` and `to`.
    pub fn between(from: StageKind, to: StageKind) -> Vec<StageKind> {
        Self::ALL.iter().copied().filter(|stage| *stage > from && *stage < to).collect()
    }
}

text_enum! {
    /// What is being done with a lead; the stage says how qualified it is.
    pub enum WorkState {
        /// Nobody has it: marketing's rules still decide.
        Unrouted = "UNROUTED",
        /// It waits in a queue.
        Queued = "QUEUED",
        /// It has an owner who has not accepted it yet.
        Assigned = "ASSIGNED",
        /// The owner accepted it and works it.
        Working = "WORKING",
        /// Buyer and seller talked.
        Connected = "CONNECTED",
        /// The next step is the buyer's.
        WaitingOnBuyer = "WAITING_ON_BUYER",
        /// Marketing keeps it warm until it can be qualified again.
        Nurturing = "NURTURING",
        /// The cycle ended for good.
        Closed = "CLOSED",
    }
}

text_enum! {
    /// How a cycle ended.
    pub enum CycleOutcome {
        Open = "OPEN",
        Won = "WON",
        Lost = "LOST",
        Recycled = "RECYCLED",
        Disqualified = "DISQUALIFIED",
        Merged = "MERGED",
        Erased = "ERASED",
    }
}

text_enum! {
    /// What opened a cycle.
    pub enum CycleOpenedBy {
        Capture = "CAPTURE",
        Requalify = "REQUALIFY",
        Reopen = "REOPEN",
        Expansion = "EXPANSION",
        Winback = "WINBACK",
    }
}

text_enum! {
    /// A department. Only MARKETING and SALES can sign a charter.
    pub enum Side {
        Marketing = "MARKETING",
        Sales = "SALES",
        Ops = "OPS",
        Integration = "INTEGRATION",
    }
}

text_enum! {
    /// Where a touch came from.
    pub enum Channel {
        OrganicSearch = "ORGANIC_SEARCH",
        PaidSearch = "PAID_SEARCH",
        PaidSocial = "PAID_SOCIAL",
        OrganicSocial = "ORGANIC_SOCIAL",
        Email = "EMAIL",
        Retargeting = "RETARGETING",
        Display = "DISPLAY",
        Content = "CONTENT",
        Webinar = "WEBINAR",
        Event = "EVENT",
        Referral = "REFERRAL",
        Partner = "PARTNER",
        Outbound = "OUTBOUND",
        Direct = "DIRECT",
        Other = "OTHER",
    }
}

impl Channel {
    /// The path of this channel's count in the field catalogue.
    pub fn field(self) -> &'static str {
        match self {
            Channel::OrganicSearch => "engagement.organic-search",
            Channel::PaidSearch => "engagement.paid-search",
            Channel::PaidSocial => "engagement.paid-social",
            Channel::OrganicSocial => "engagement.organic-social",
            Channel::Email => "engagement.email",
            Channel::Retargeting => "engagement.retargeting",
            Channel::Display => "engagement.display",
            Channel::Content => "engagement.content",
            Channel::Webinar => "engagement.webinar",
            Channel::Event => "engagement.event",
            Channel::Referral => "engagement.referral",
            Channel::Partner => "engagement.partner",
            Channel::Outbound => "engagement.outbound",
            Channel::Direct => "engagement.direct",
            Channel::Other => "engagement.other",
        }
    }
}

text_enum! {
    /// Why a change happened.
    pub enum Cause {
        Capture = "CAPTURE",
        Evaluation = "EVALUATION",
        Routing = "ROUTING",
        Sales = "SALES",
        Disposition = "DISPOSITION",
        Requalify = "REQUALIFY",
        Reopen = "REOPEN",
        Clock = "CLOCK",
        Import = "IMPORT",
        Setup = "SETUP",
    }
}
