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
        /// It has not ended.
        Open = "OPEN",
        /// The buyer became a customer.
        Won = "WON",
        /// The deal was lost.
        Lost = "LOST",
        /// Back to nurture, until a date or a signal.
        Recycled = "RECYCLED",
        /// Out, with a reason.
        Disqualified = "DISQUALIFIED",
        /// The person was known under another lead.
        Merged = "MERGED",
        /// The person was erased; the count stays.
        Erased = "ERASED",
    }
}

text_enum! {
    /// What opened a cycle.
    pub enum CycleOpenedBy {
        /// The person became a lead.
        Capture = "CAPTURE",
        /// A date came, or interest showed again.
        Requalify = "REQUALIFY",
        /// A person opened it again.
        Reopen = "REOPEN",
        /// A customer wants more.
        Expansion = "EXPANSION",
        /// A lost customer is back.
        Winback = "WINBACK",
    }
}

text_enum! {
    /// A department. Only MARKETING and SALES can sign a charter.
    pub enum Side {
        /// Brings and qualifies leads.
        Marketing = "MARKETING",
        /// Works and closes them.
        Sales = "SALES",
        /// Runs the system; signs nothing.
        Ops = "OPS",
        /// A machine; signs nothing.
        Integration = "INTEGRATION",
    }
}

text_enum! {
    /// Where a touch came from.
    pub enum Channel {
        /// A search engine's own results.
        OrganicSearch = "ORGANIC_SEARCH",
        /// Advertisements on search engines.
        PaidSearch = "PAID_SEARCH",
        /// Advertisements in social networks.
        PaidSocial = "PAID_SOCIAL",
        /// Posts in social networks.
        OrganicSocial = "ORGANIC_SOCIAL",
        /// E-mail.
        Email = "EMAIL",
        /// Advertisements that follow a visitor.
        Retargeting = "RETARGETING",
        /// Banners on other sites.
        Display = "DISPLAY",
        /// Articles, papers, downloads.
        Content = "CONTENT",
        /// A webinar.
        Webinar = "WEBINAR",
        /// An event on site.
        Event = "EVENT",
        /// Somebody recommended us.
        Referral = "REFERRAL",
        /// A partner.
        Partner = "PARTNER",
        /// We turned to the lead first.
        Outbound = "OUTBOUND",
        /// The visitor came by itself.
        Direct = "DIRECT",
        /// Anything else.
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
        /// A person became a lead.
        Capture = "CAPTURE",
        /// The rules looked at the lead.
        Evaluation = "EVALUATION",
        /// A router chose an owner.
        Routing = "ROUTING",
        /// Sales did something.
        Sales = "SALES",
        /// Somebody said what became of the lead.
        Disposition = "DISPOSITION",
        /// A date came, or interest showed again.
        Requalify = "REQUALIFY",
        /// Sales asked marketing about the lead, or marketing answered.
        Context = "CONTEXT",
        /// Two leads were found to be one person.
        Merge = "MERGE",
        /// A person is forgotten.
        Erasure = "ERASURE",
        /// Something is sent to a lead that is not ready.
        Nurture = "NURTURE",
        /// A person opened the lead again.
        Reopen = "REOPEN",
        /// Time passed.
        Clock = "CLOCK",
        /// An import of the past says so.
        Import = "IMPORT",
        /// The workspace was set up.
        Setup = "SETUP",
    }
}
