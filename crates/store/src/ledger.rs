//! The ledger: days that must balance, where every lead is now, which open leads nobody attends, and where promises
//! stand. Openings and endings come from the counters, standings from the tables: a lost lead shows as a difference.

use std::collections::BTreeMap;

use handfast_domain::clock::{ClockKind, ClockState, Party, SlaClock};
use handfast_domain::ledger::{LedgerDay, LedgerPlace, UnattendedReason};
use handfast_domain::share::Share;
use handfast_domain::stage::CycleOutcome;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::counter::{STARTED, quarter};
use crate::decode::{Place, closed, json};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::{LEAD, LeadRow, StoredLead, Where};
use crate::rows::{fetch_all, fetch_one};

/// Consecutive days from `first` on, in one statement, so that all numbers are of the same moment. `edges` are the
/// instants at which each day begins, and at last the one at which the last day ends.
pub async fn days(db: &impl ConnectionTrait, first: i32, edges: &[Instant]) -> Result<Vec<LedgerDay>> {
    #[derive(FromQueryResult)]
    struct Row {
        source: String,
        place: i64,
        metric: String,
        cycles: i64,
    }
    let mut days: Vec<LedgerDay> = (first..)
        .take(edges.len().saturating_sub(1))
        .map(|day| LedgerDay { day, ..LedgerDay::default() })
        .collect();
    let Some(start) = edges.first().filter(|_| !days.is_empty()) else { return Ok(days) };
    let dialect = Dialect::of(db.get_database_backend());
    // CROSS JOIN: for each day a range of the index, never each cycle for each day.
    let sql = format!(
        "WITH edge AS (SELECT CAST(key AS bigint) AS place, CAST(value AS bigint) AS at FROM {edges}), \
         day AS (SELECT a.place, a.at AS begins, b.at AS ends FROM edge a JOIN edge b ON b.place = a.place + 1), \
         quarter AS (SELECT CAST(key AS bigint) AS place, value AS at FROM {quarters}) \
         SELECT 'START' AS source, CAST(0 AS bigint) AS place, '' AS metric, \
             (SELECT count(*) FROM cycle WHERE opened_at < $2) - (SELECT count(*) FROM cycle WHERE closed_at < $2) AS cycles \
         UNION ALL SELECT 'IN', day.place, '', count(*) FROM day CROSS JOIN cycle c \
             WHERE c.opened_at >= day.begins AND c.opened_at < day.ends GROUP BY day.place \
         UNION ALL SELECT 'OUT', day.place, '', count(*) FROM day CROSS JOIN cycle c \
             WHERE c.closed_at >= day.begins AND c.closed_at < day.ends GROUP BY day.place \
         UNION ALL SELECT 'COUNTED', a.place, c.metric, CAST(sum(c.value) AS bigint) \
             FROM quarter a JOIN quarter b ON b.place = a.place + 1 CROSS JOIN counter c \
             WHERE c.family = 'ledger' AND c.subject >= a.at AND c.subject < b.at GROUP BY a.place, c.metric",
        edges = dialect.text_table("$1"),
        quarters = dialect.text_table("$3"),
    );
    let values = vec![
        dialect::texts(edges.iter().map(|edge| edge.ms().to_string())),
        start.ms().into(),
        dialect::texts(edges.iter().map(|edge| quarter(*edge))),
    ];
    let mut open_at_start = 0;
    let mut moved = vec![0; days.len()];
    for Row { source, place, metric, cycles } in fetch_all::<Row>(db, &sql, values).await? {
        let Some(place) = usize::try_from(place).ok().filter(|place| *place < days.len()) else { continue };
        match (source.as_str(), CycleOutcome::parse(&metric)) {
            ("START", _) => open_at_start = cycles,
            ("IN", _) => moved[place] += cycles,
            ("OUT", _) => moved[place] -= cycles,
            (_, Some(outcome)) => drop(days[place].closed.insert(outcome, cycles)),
            _ => days[place].opened = cycles,
        }
    }
    for (day, moved) in days.iter_mut().zip(moved) {
        day.open_at_start = open_at_start;
        open_at_start += moved;
        day.open_at_end = open_at_start;
    }
    Ok(days)
}

/// The first and the last instant at which a cycle opened or closed.
pub async fn span(db: &impl ConnectionTrait) -> Result<Option<(Instant, Instant)>> {
    #[derive(FromQueryResult)]
    struct Row {
        first: Option<i64>,
        last: Option<i64>,
        closed: Option<i64>,
    }
    let sql = "SELECT (SELECT min(opened_at) FROM cycle) AS first, (SELECT max(opened_at) FROM cycle) AS last, \
               (SELECT max(closed_at) FROM cycle) AS closed";
    let row: Option<Row> = fetch_one(db, sql, vec![]).await?;
    Ok(row.and_then(|row| Some((Instant(row.first?), Instant(row.last.max(row.closed)?)))))
}

/// Where all leads are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Leads by place; those that are closed by how their newest cycle ended.
    pub places: BTreeMap<(LedgerPlace, CycleOutcome), i64>,
    /// Leads that the log knows: their sum must be this.
    pub captured: i64,
}

/// One scan over the leads: ask the pool for reports.
pub async fn standing(db: &impl ConnectionTrait) -> Result<Standing> {
    #[derive(FromQueryResult)]
    struct Row {
        place: String,
        outcome: String,
        leads: i64,
    }
    let sql = "SELECT place, outcome, count(*) AS leads FROM (SELECT l.outcome, CASE \
             WHEN l.outcome = 'OPEN' AND l.owner IS NOT NULL THEN 'OWNER' \
             WHEN l.outcome = 'OPEN' AND l.queue IS NOT NULL THEN 'QUEUE' \
             WHEN l.outcome = 'OPEN' AND l.next_evaluation_at IS NOT NULL THEN 'REEVALUATION' \
             WHEN l.outcome = 'OPEN' THEN 'NOBODY' \
             WHEN l.work_state <> 'NURTURING' THEN 'CLOSED' \
             WHEN EXISTS (SELECT 1 FROM clock c WHERE c.lead = l.id AND c.cycle = l.cycle AND c.kind = 'REQUALIFY' \
                 AND c.state = 'RUNNING') THEN 'NURTURE_UNTIL_DATE' \
             WHEN l.recycle_on IS NOT NULL THEN 'NURTURE_UNTIL_SIGNAL' \
             ELSE 'NOBODY' END AS place FROM lead l) placed GROUP BY place, outcome \
         UNION ALL SELECT 'CAPTURED', '', CAST(coalesce(sum(value), 0) AS bigint) FROM counter WHERE family = 'furthest'";
    let mut standing = Standing::default();
    for Row { place, outcome, leads } in fetch_all::<Row>(db, sql, vec![]).await? {
        if place == "CAPTURED" {
            standing.captured = leads;
            continue;
        }
        let at = |column: &'static str| Place("lead", column, &"?");
        let place = closed(at("work_state"), &place, LedgerPlace::parse)?;
        let outcome = closed(at("outcome"), &outcome, CycleOutcome::parse)?;
        standing.places.insert((place, outcome), leads);
    }
    Ok(standing)
}

/// An open lead that nobody attends, and the promise that was broken, if one was.
#[derive(Clone, Debug)]
pub struct Unattended {
    pub stored: StoredLead,
    pub reason: UnattendedReason,
    pub clock: Option<SlaClock>,
    pub since: Instant,
}

/// Open leads that nobody attends, each once with its oldest reason, whoever waits longest first. The newest clock of a
/// kind and level counts: one that a re-assignment replaced does not.
pub async fn unattended(
    db: &impl ConnectionTrait,
    now: Instant,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Unattended>> {
    #[derive(FromQueryResult)]
    struct Extra {
        since: i64,
        clock: Option<Uuid>,
        body: Option<String>,
    }
    let mut where_ = Where::new(db);
    let now = where_.value(now.ms());
    where_.and("w.rank = 1".to_owned());
    if let Some((since, id)) = from {
        let (a, b) = (where_.value(since), where_.value(id));
        where_.and(format!("(w.since, w.lead) > ({a}, {b})"));
    }
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT {LEAD}, w.since, w.clock, w.body FROM (SELECT u.*, \
             row_number() OVER (PARTITION BY u.lead ORDER BY u.since, u.clock) AS rank FROM ( \
             SELECT n.id AS lead, n.entered_stage_at AS since, NULL AS clock, NULL AS body FROM lead n \
                 WHERE n.outcome = 'OPEN' AND n.owner IS NULL AND n.queue IS NULL AND n.next_evaluation_at IS NULL \
             UNION ALL SELECT c.lead, c.due_at, c.id, c.body FROM clock c \
                 JOIN lead o ON o.id = c.lead AND o.cycle = c.cycle AND o.outcome = 'OPEN' \
                 WHERE c.met_at IS NULL AND c.state IN ('RUNNING', 'BREACHED') AND c.due_at < {now} \
                 AND c.kind IN ('ACCEPT', 'FIRST_TOUCH', 'DISPOSITION') \
                 AND NOT EXISTS (SELECT 1 FROM clock newer WHERE newer.lead = c.lead AND newer.cycle = c.cycle \
                     AND newer.kind = c.kind AND newer.level = c.level AND newer.id > c.id)) u) w \
         JOIN lead l ON l.id = w.lead{conditions} ORDER BY w.since, w.lead LIMIT {limit}"
    );
    let rows: Vec<Joined<Extra>> = fetch_all(db, &sql, values).await?;
    rows.into_iter()
        .map(|Joined { lead, extra }| {
            let clock = extra.clock.zip(extra.body);
            let clock: Option<SlaClock> =
                clock.map(|(id, body)| json(Place("clock", "body", &id), &body)).transpose()?;
            let reason = clock.as_ref().and_then(|clock| UnattendedReason::of(clock.kind));
            let reason = reason.unwrap_or(UnattendedReason::Nobody);
            Ok(Unattended { stored: lead.decode()?, reason, clock, since: Instant(extra.since) })
        })
        .collect()
}

/// A lead's row with columns of another table.
struct Joined<T> {
    lead: LeadRow,
    extra: T,
}

impl<T: FromQueryResult> FromQueryResult for Joined<T> {
    fn from_query_result(row: &sea_orm::QueryResult, prefix: &str) -> Result<Self, sea_orm::DbErr> {
        let lead = LeadRow::from_query_result(row, prefix)?;
        Ok(Joined { lead, extra: T::from_query_result(row, prefix)? })
    }
}

/// Which promises to list; all given conditions hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockFilter {
    pub state: Option<ClockState>,
    pub kind: Option<ClockKind>,
    pub party: Option<Party>,
    /// Due at this instant or before it.
    pub due_until: Option<Instant>,
}

impl ClockFilter {
    /// On a table of clocks `c`, after a place in the order of due times. The kind is left to tables that have several.
    pub(crate) fn conditions(&self, db: &impl ConnectionTrait, from: Option<(i64, Uuid)>) -> Where {
        let mut where_ = Where::new(db);
        where_.equals("c.state", self.state.map(ClockState::as_str));
        where_.equals("c.party", self.party.map(Party::as_str));
        if let Some(until) = self.due_until {
            let until = where_.value(until.ms());
            where_.and(format!("c.due_at <= {until}"));
        }
        if let Some((due, id)) = from {
            let (a, b) = (where_.value(due), where_.value(id));
            where_.and(format!("(c.due_at, c.id) > ({a}, {b})"));
        }
        where_
    }
}

/// Clocks with their leads, the earliest due time first.
pub async fn clocks(
    db: &impl ConnectionTrait,
    filter: &ClockFilter,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(SlaClock, StoredLead)>> {
    #[derive(FromQueryResult)]
    struct Extra {
        clock: Uuid,
        body: String,
    }
    let mut where_ = filter.conditions(db, from);
    where_.equals("c.kind", filter.kind.map(ClockKind::as_str));
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT {LEAD}, c.id AS clock, c.body FROM clock c JOIN lead l ON l.id = c.lead{conditions} \
         ORDER BY c.due_at, c.id LIMIT {limit}"
    );
    let rows: Vec<Joined<Extra>> = fetch_all(db, &sql, values).await?;
    rows.into_iter()
        .map(|Joined { lead, extra }| {
            Ok((json(Place("clock", "body", &extra.clock), &extra.body)?, lead.decode()?))
        })
        .collect()
}

/// The promises of one kind: how many were given, and where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockCounts {
    pub started: i64,
    pub states: BTreeMap<ClockState, i64>,
}

impl ClockCounts {
    pub fn state(&self, state: ClockState) -> i64 {
        self.states.get(&state).copied().unwrap_or(0)
    }

    /// Every promise is in exactly one state (I13).
    pub fn is_balanced(&self) -> bool {
        self.states.values().sum::<i64>() == self.started
    }
}

/// Counts by kind, from counters.
pub async fn clock_counts(db: &impl ConnectionTrait) -> Result<BTreeMap<ClockKind, ClockCounts>> {
    #[derive(FromQueryResult)]
    struct Row {
        subject: String,
        metric: String,
        value: i64,
    }
    let sql = "SELECT subject, metric, value FROM counter WHERE family = 'clock'";
    let mut counts: BTreeMap<ClockKind, ClockCounts> = BTreeMap::new();
    for Row { subject, metric, value } in fetch_all::<Row>(db, sql, vec![]).await? {
        let Some(kind) = ClockKind::parse(&subject) else { continue };
        let counts = counts.entry(kind).or_default();
        match ClockState::parse(&metric) {
            Some(state) => drop(counts.states.insert(state, value)),
            None if metric == STARTED => counts.started = value,
            None => {}
        }
    }
    Ok(counts)
}

/// Promises that were due in a span: of each kind those that were kept, of those that were kept or broken. One statement.
pub async fn kept(
    db: &impl ConnectionTrait,
    (from, to): (Instant, Instant),
) -> Result<Vec<(ClockKind, Share)>> {
    #[derive(FromQueryResult)]
    struct Row {
        kind: String,
        kept: i64,
        ended: i64,
    }
    let sql = "SELECT c.kind, CAST(sum(CASE WHEN c.state = 'MET' THEN 1 ELSE 0 END) AS bigint) AS kept, count(*) AS ended \
               FROM clock c WHERE c.due_at >= $1 AND c.due_at < $2 AND c.state IN ('MET', 'BREACHED') \
               GROUP BY c.kind ORDER BY c.kind";
    let rows: Vec<Row> = fetch_all(db, sql, vec![from.ms().into(), to.ms().into()]).await?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    rows.into_iter()
        .map(|row| {
            let kind = closed(Place("clock", "kind", &"?"), &row.kind, ClockKind::parse)?;
            Ok((kind, Share::of(count(row.kept), count(row.ended))))
        })
        .collect()
}
