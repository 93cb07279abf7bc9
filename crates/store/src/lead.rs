//! Leads as they stand: journeys for the flows that change them, rows for the pages that show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use handfast_domain::handoff::{Handoff, HandoffStatus, Packet};
use handfast_domain::lead::{Cycle, Journey, Lead, Opportunity};
use handfast_domain::meeting::MeetingOutcome;
use handfast_domain::stage::{Channel, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed, closed_opt, digest, json, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{Columns, Only, columns, fetch_all};

pub(crate) struct LeadRow {
    pub id: Uuid,
    version: i64,
    person: Uuid,
    account: Option<Uuid>,
    campaign: Option<Uuid>,
    source: String,
    channel: String,
    captured_at: i64,
    cycle: i64,
    outcome: String,
    stage: String,
    furthest_stage: String,
    stage_version: i64,
    entered_stage_at: i64,
    work_state: String,
    owner: Option<Uuid>,
    queue: Option<String>,
    priority: i64,
    persona: Option<String>,
    fit: i64,
    engagement: i64,
    next_evaluation_at: Option<i64>,
    recycle_on: Option<String>,
    suppressed: bool,
    grey_slots: String,
    nurture: Option<String>,
    customer: Option<String>,
    follow_ups: String,
    merged_into: Option<Uuid>,
    erased_at: Option<i64>,
}

columns!("l": LeadRow {
    id, version, person, account, campaign, source, channel, captured_at, cycle, outcome, stage, furthest_stage, stage_version, entered_stage_at, work_state, owner, queue, priority, persona, fit, engagement, next_evaluation_at, recycle_on, suppressed, grey_slots, nurture, customer, follow_ups, merged_into, erased_at
});

/// The columns of a lead as `l`, for every statement that reads leads.
pub(crate) const LEAD: &str = LeadRow::COLUMNS;

/// A lead with the ids that its wrappers follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLead {
    pub lead: Arc<Lead>,
    pub person: Uuid,
}

impl LeadRow {
    pub(crate) fn decode(self) -> Result<StoredLead> {
        self.decode_only(Only::ALL)
    }

    /// A field whose column was left out has its type's first value; nobody looks at it.
    pub(crate) fn decode_only(self, only: Only) -> Result<StoredLead> {
        let id = self.id;
        let at = |column: &'static str| Place("lead", column, &id);
        let left_out = |column: &str, text: &str| {
            text.is_empty()
                && Self::NAMES.iter().position(|name| *name == column).is_some_and(|n| !only.has(n))
        };
        let stage = |column: &'static str, text: &str| match left_out(column, text) {
            true => Ok(StageKind::Anonymous),
            false => closed(at(column), text, StageKind::parse),
        };
        let lead = Lead {
            id,
            version: self.version,
            account: self.account,
            campaign: self.campaign,
            source: self.source,
            channel: match left_out("channel", &self.channel) {
                true => Channel::Other,
                false => closed(at("channel"), &self.channel, Channel::parse)?,
            },
            captured_at: Instant(self.captured_at),
            cycle: small(at("cycle"), self.cycle)?,
            outcome: match left_out("outcome", &self.outcome) {
                true => CycleOutcome::Open,
                false => closed(at("outcome"), &self.outcome, CycleOutcome::parse)?,
            },
            stage: stage("stage", &self.stage)?,
            furthest_stage: stage("furthest_stage", &self.furthest_stage)?,
            stage_version: small(at("stage_version"), self.stage_version)?,
            entered_stage_at: Instant(self.entered_stage_at),
            work_state: match left_out("work_state", &self.work_state) {
                true => WorkState::Unrouted,
                false => closed(at("work_state"), &self.work_state, WorkState::parse)?,
            },
            owner: self.owner,
            queue: self.queue,
            priority: small(at("priority"), self.priority)?,
            persona: self.persona,
            fit: small(at("fit"), self.fit)?,
            engagement: small(at("engagement"), self.engagement)?,
            next_evaluation_at: self.next_evaluation_at.map(Instant),
            recycle_on: self.recycle_on,
            suppressed: self.suppressed,
            grey_slots: match left_out("grey_slots", &self.grey_slots) {
                true => Default::default(),
                false => json(at("grey_slots"), &self.grey_slots)?,
            },
            nurture: self.nurture.as_deref().map(|text| json(at("nurture"), text)).transpose()?,
            customer: self.customer.as_deref().map(|text| json(at("customer"), text)).transpose()?,
            follow_ups: match left_out("follow_ups", &self.follow_ups) {
                true => Default::default(),
                false => json(at("follow_ups"), &self.follow_ups)?,
            },
            merged_into: self.merged_into,
            erased_at: self.erased_at.map(Instant),
        };
        Ok(StoredLead { lead: Arc::new(lead), person: self.person })
    }
}

#[derive(FromQueryResult)]
pub(crate) struct CycleRow {
    pub lead: Uuid,
    number: i64,
    opened_at: i64,
    opened_by: String,
    resumed_from: Option<i64>,
    closed_at: Option<i64>,
    outcome: String,
    furthest_stage: String,
    reason: Option<String>,
    competitor: Option<String>,
    conversations: i64,
    attempts: String,
}

const CYCLE: &str = "c.lead, c.number, c.opened_at, c.opened_by, c.resumed_from, c.closed_at, c.outcome, \
    c.furthest_stage, c.reason, c.competitor, c.conversations, c.attempts";

impl CycleRow {
    fn decode(self) -> Result<Cycle> {
        let lead = self.lead;
        let at = |column: &'static str| Place("cycle", column, &lead);
        Ok(Cycle {
            number: small(at("number"), self.number)?,
            opened_at: Instant(self.opened_at),
            opened_by: closed(at("opened_by"), &self.opened_by, CycleOpenedBy::parse)?,
            resumed_from: self.resumed_from.map(|number| small(at("resumed_from"), number)).transpose()?,
            closed_at: self.closed_at.map(Instant),
            outcome: closed(at("outcome"), &self.outcome, CycleOutcome::parse)?,
            furthest_stage: closed(at("furthest_stage"), &self.furthest_stage, StageKind::parse)?,
            reason: self.reason,
            competitor: self.competitor,
            conversations: small(at("conversations"), self.conversations)?,
            attempts: json(at("attempts"), &self.attempts)?,
        })
    }
}

#[derive(FromQueryResult)]
struct ClockRow {
    id: Uuid,
    lead: Uuid,
    body: String,
}

#[derive(FromQueryResult)]
pub(crate) struct HandoffRow {
    id: Uuid,
    pub lead: Uuid,
    status: String,
    packet_digest: String,
    completeness: i64,
    offered_at: i64,
    answered_at: Option<i64>,
    reason: Option<String>,
    first_meeting: Option<String>,
    first_meeting_at: Option<i64>,
    packet: Option<String>,
}

impl HandoffRow {
    pub(crate) fn decode(self) -> Result<(Handoff, Option<Packet>)> {
        let id = self.id;
        let at = |column: &'static str| Place("handoff", column, &id);
        let packet = self.packet.as_deref().map(|text| json(at("packet"), text)).transpose()?;
        let handoff = Handoff {
            id,
            status: closed(at("status"), &self.status, HandoffStatus::parse)?,
            packet_digest: digest(at("packet_digest"), &self.packet_digest)?,
            completeness: small(at("completeness"), self.completeness)?,
            offered_at: Instant(self.offered_at),
            answered_at: self.answered_at.map(Instant),
            reason: self.reason,
            first_meeting: closed_opt(
                at("first_meeting"),
                self.first_meeting.as_deref(),
                MeetingOutcome::parse,
            )?,
            first_meeting_at: self.first_meeting_at.map(Instant),
        };
        Ok((handoff, packet))
    }
}

#[derive(FromQueryResult)]
pub(crate) struct OpportunityRow {
    id: Uuid,
    pub lead: Uuid,
    amount_minor: Option<i64>,
    currency: String,
    expected_close: Option<i64>,
    opened_at: i64,
}

impl OpportunityRow {
    pub(crate) fn decode(self) -> Opportunity {
        let OpportunityRow { id, lead: _, amount_minor, currency, expected_close, opened_at } = self;
        let (expected_close, opened_at) = (expected_close.map(Instant), Instant(opened_at));
        Opportunity { id, amount_minor, currency, expected_close, opened_at }
    }
}

/// Leads by id, in no particular order; unknown ids are left out.
pub async fn leads(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<StoredLead>> {
    let sql = format!("SELECT {LEAD} FROM lead l WHERE l.id {}", list(db));
    let rows: Vec<LeadRow> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    rows.into_iter().map(LeadRow::decode).collect()
}

/// Everything that changes of these leads start from: five statements for any number of leads.
pub async fn journeys(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Journey>> {
    let mut found = BTreeMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    for StoredLead { lead, .. } in leads(db, ids).await? {
        let mut journey = Journey::blank(lead.id, lead.captured_at);
        journey.lead = Arc::unwrap_or_clone(lead);
        found.insert(journey.lead.id, journey);
    }
    let ids = || vec![dialect::uuids(found.keys())];
    let (cycle_ids, clock_ids, handoff_ids, deal_ids) = (ids(), ids(), ids(), ids());
    let newest = "JOIN lead l ON l.id = c.lead AND l.cycle =";
    let sql = format!("SELECT {CYCLE} FROM cycle c {newest} c.number WHERE c.lead {}", list(db));
    for row in fetch_all::<CycleRow>(db, &sql, cycle_ids).await? {
        if let Some(journey) = found.get_mut(&row.lead) {
            journey.cycle = row.decode()?;
        }
    }
    // A re-qualification clock outlives the cycle that it was started in, until the next one opens.
    let sql = format!(
        "SELECT c.id, c.lead, c.body FROM clock c {newest} c.cycle WHERE c.lead {} ORDER BY c.id",
        list(db)
    );
    for row in fetch_all::<ClockRow>(db, &sql, clock_ids).await? {
        if let Some(journey) = found.get_mut(&row.lead) {
            journey.clocks.push(json(Place("clock", "body", &row.id), &row.body)?);
        }
    }
    let sql = format!(
        "SELECT c.id, c.lead, c.status, c.packet_digest, c.completeness, c.offered_at, c.answered_at, c.reason, \
         c.first_meeting, c.first_meeting_at, CAST(NULL AS text) AS packet FROM handoff c {newest} c.cycle WHERE c.lead {} ORDER BY c.offered_at, c.id",
        list(db)
    );
    for row in fetch_all::<HandoffRow>(db, &sql, handoff_ids).await? {
        if let Some(journey) = found.get_mut(&row.lead) {
            journey.handoff = Some(row.decode()?.0);
        }
    }
    let sql = format!(
        "SELECT c.id, c.lead, c.amount_minor, c.currency, c.expected_close, c.opened_at FROM opportunity c \
         {newest} c.cycle WHERE c.lead {} ORDER BY c.opened_at, c.id",
        list(db)
    );
    for row in fetch_all::<OpportunityRow>(db, &sql, deal_ids).await? {
        if let Some(journey) = found.get_mut(&row.lead) {
            journey.opportunity = Some(row.decode());
        }
    }
    Ok(found)
}

/// All cycles of the leads, oldest first.
pub async fn cycles(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<(Uuid, Cycle)>> {
    let sql = format!("SELECT {CYCLE} FROM cycle c WHERE c.lead {} ORDER BY c.lead, c.number", list(db));
    let rows: Vec<CycleRow> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    rows.into_iter().map(|row| Ok((row.lead, row.decode()?))).collect()
}

/// All clocks of the leads, oldest first.
pub async fn clocks(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, handfast_domain::clock::SlaClock)>> {
    let sql =
        format!("SELECT c.id, c.lead, c.body FROM clock c WHERE c.lead {} ORDER BY c.lead, c.id", list(db));
    let rows: Vec<ClockRow> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    rows.into_iter().map(|row| Ok((row.lead, json(Place("clock", "body", &row.id), &row.body)?))).collect()
}

/// Clocks by their own ids.
pub async fn clocks_by_id(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, handfast_domain::clock::SlaClock>> {
    let sql = format!("SELECT c.id, c.lead, c.body FROM clock c WHERE c.id {}", list(db));
    let rows: Vec<ClockRow> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    rows.into_iter().map(|row| Ok((row.id, json(Place("clock", "body", &row.id), &row.body)?))).collect()
}

/// The newest hand-off of each lead with its packet.
pub async fn handoffs(
    db: &impl ConnectionTrait,
    leads: &[Uuid],
) -> Result<Vec<(Uuid, Handoff, Option<Packet>)>> {
    let sql = format!(
        "SELECT id, lead, status, packet_digest, completeness, offered_at, answered_at, reason, first_meeting, \
         first_meeting_at, packet FROM ( \
         SELECT h.*, row_number() OVER (PARTITION BY h.lead ORDER BY h.offered_at DESC, h.id DESC) AS rank \
         FROM handoff h WHERE h.lead {}) ranked WHERE rank = 1",
        list(db)
    );
    let rows: Vec<HandoffRow> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter()
        .map(|row| {
            let lead = row.lead;
            row.decode().map(|(handoff, packet)| (lead, handoff, packet))
        })
        .collect()
}

/// Leads whose rules want another look, or whose clocks need attention, by `now`; the earliest first.
pub async fn due(db: &impl ConnectionTrait, now: Instant, limit: i64) -> Result<Due> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql =
        "SELECT l.id FROM lead l WHERE l.next_evaluation_at <= $1 ORDER BY l.next_evaluation_at LIMIT $2";
    let evaluations: Vec<Row> = fetch_all(db, sql, vec![now.ms().into(), limit.into()]).await?;
    let sql = "SELECT lead AS id FROM clock WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2";
    let clocks: Vec<Row> = fetch_all(db, sql, vec![now.ms().into(), limit.into()]).await?;
    let sql = "SELECT l.id FROM lead l WHERE l.nurture_at <= $1 ORDER BY l.nurture_at LIMIT $2";
    let nurtured: Vec<Row> = fetch_all(db, sql, vec![now.ms().into(), limit.into()]).await?;
    let clocks = clocks.into_iter().chain(nurtured).collect();
    let ids = |rows: Vec<Row>| {
        let mut ids: Vec<Uuid> = rows.into_iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    Ok(Due { evaluations: ids(evaluations), clocks: ids(clocks) })
}

/// Leads that wait for a signal to come back, after `after` in the order of their ids.
pub async fn waiting_for(
    db: &impl ConnectionTrait,
    signal: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql = "SELECT l.id FROM lead l WHERE l.recycle_on = $1 AND l.id > $2 AND l.outcome IN ('RECYCLED', 'LOST') \
               AND NOT l.suppressed ORDER BY l.id LIMIT $3";
    let rows: Vec<Row> = fetch_all(db, sql, vec![signal.into(), after.into(), limit.into()]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

pub struct Due {
    pub evaluations: Vec<Uuid>,
    /// With those whose next step of nurture is due.
    pub clocks: Vec<Uuid>,
}

pub(crate) fn list(db: &impl ConnectionTrait) -> String {
    Dialect::of(db.get_database_backend()).uuid_list("$1")
}

/// A WHERE clause in the making; values are numbered as they come.
pub(crate) struct Where {
    dialect: Dialect,
    conditions: Vec<String>,
    values: Vec<sea_orm::Value>,
}

impl Where {
    pub(crate) fn new(db: &impl ConnectionTrait) -> Where {
        Where { dialect: Dialect::of(db.get_database_backend()), conditions: vec![], values: vec![] }
    }

    pub(crate) fn value(&mut self, value: impl Into<sea_orm::Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    pub(crate) fn and(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    pub(crate) fn equals(&mut self, column: &str, value: Option<impl Into<sea_orm::Value>>) {
        if let Some(value) = value {
            let parameter = self.value(value);
            self.conditions.push(format!("{column} = {parameter}"));
        }
    }

    /// One value is compared directly, so that the index of a board serves; several are a list.
    pub(crate) fn texts<'t>(&mut self, column: &str, texts: impl Iterator<Item = &'t str>) {
        let texts: Vec<&str> = texts.collect();
        match texts.as_slice() {
            [] => {}
            [one] => self.equals(column, Some(*one)),
            many => {
                let parameter = self.value(dialect::texts(many));
                self.conditions.push(format!("{column} {}", self.dialect.text_list(&parameter)));
            }
        }
    }

    /// The end of a statement that reads a page of a list whose order is (`at`, `id`), the newest first: what lies beyond
    /// `from`, toward the newer ones if `backward`. Those come the oldest first.
    pub(crate) fn page(
        mut self,
        (at, id): (&str, &str),
        from: Option<(i64, Uuid)>,
        backward: bool,
        limit: i64,
    ) -> (String, Vec<sea_orm::Value>) {
        let (before, order) = if backward { (">", "ASC") } else { ("<", "DESC") };
        if let Some((from_at, from_id)) = from {
            let (a, b) = (self.value(from_at), self.value(from_id));
            self.and(format!("({at}, {id}) {before} ({a}, {b})"));
        }
        let limit = self.value(limit);
        let (conditions, values) = self.finish();
        (format!("{conditions} ORDER BY {at} {order}, {id} {order} LIMIT {limit}"), values)
    }

    pub(crate) fn finish(self) -> (String, Vec<sea_orm::Value>) {
        let text = if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        };
        (text, self.values)
    }
}

/// Clocks whose look brought nothing are looked at again later: working hours may put an expiry off.
pub async fn snooze(tx: &crate::tx::Tx, leads: &[Uuid], now: Instant, until: Instant) -> Result<()> {
    crate::change::lock(tx, &leads.iter().copied().collect()).await?;
    let sql = format!(
        "UPDATE clock SET wake_at = $2 WHERE wake_at <= $3 AND lead {}",
        tx.dialect().uuid_list("$1")
    );
    crate::rows::execute(tx, &sql, vec![dialect::uuids(leads), until.ms().into(), now.ms().into()]).await?;
    Ok(())
}
