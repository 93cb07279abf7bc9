//! The log replayed: what the projections and counters must be, page by page in bounded memory, how they differ from
//! what is stored, and writing them again where they do.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::clock::SlaClock;
use handfast_domain::digest::Digest;
use handfast_domain::event::{Body, Event, Fact, StreamKind};
use handfast_domain::handoff::Handoff;
use handfast_domain::lead::{Cycle, Journey, Opportunity};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::change::{
    CLOCK_COLUMNS, CYCLE_COLUMNS, OPPORTUNITY_COLUMNS, TRANSITION_COLUMNS, clock_row, cycle_row, moving,
    opportunity_row, transition_row,
};
use crate::counter::{self, Deltas};
use crate::decode::{Place, digest};
use crate::dialect;
use crate::error::{Result, StoreError};
use crate::lead::{self, HandoffRow, OpportunityRow, list};
use crate::rows::{execute, fetch_all, fetch_value, insert_rows};
use crate::tx::Tx;

/// One thing that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whose: `lead 0190…`, `counter funnel/MQL/OPEN`.
    pub of: String,
    /// What: `lead.stage`, `cycle 2`, `clock 0190….state`.
    pub field: String,
    /// As it is stored.
    pub stored: String,
    /// As the log says.
    pub log: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { of, field, stored, log } = self;
        write!(f, "{of}: {field} is {stored}, the log says {log}")
    }
}

/// Leads that were replayed together, and what is wrong with them.
#[derive(Default)]
pub struct Page {
    /// Leads of the page.
    pub leads: u64,
    pub differences: Vec<Difference>,
    /// Those that differ, as the log has them: [`Replay::mend`] writes them.
    pub broken: Vec<Replayed>,
}

/// A lead as its events make it.
#[derive(Clone)]
pub struct Replayed {
    journey: Journey,
    cycles: BTreeMap<u32, Cycle>,
    handoffs: BTreeMap<Uuid, (u32, Handoff)>,
    deals: BTreeMap<Uuid, (u32, Opportunity)>,
    events: Vec<Event>,
}

/// A walk through the log, lead by lead.
#[derive(Default)]
pub struct Replay {
    after: Uuid,
    counters: Deltas,
    /// Pool and owner to leads and the last one's time; without an owner: all routings of the pool.
    pools: BTreeMap<(String, Option<Uuid>), (i64, i64)>,
}

/// Leads in one page: a few thousand events.
const PAGE: usize = 256;

impl Replay {
    /// Replays and compares the next leads; none after the last. Nobody may write meanwhile.
    pub async fn next(&mut self, db: &impl ConnectionTrait) -> Result<Option<Page>> {
        let ids = self.next_ids(db).await?;
        let Some(last) = ids.last() else { return Ok(None) };
        self.after = *last;
        let mut page = Page { leads: ids.len() as u64, ..Page::default() };
        let replayed = replay(db, &ids, &mut page.differences).await?;
        for lead in replayed.values() {
            counter::count(&mut self.counters, None, &lead.journey, &lead.events);
            self.count_pools(lead);
        }
        let mut differs = BTreeSet::new();
        match compare(db, &ids, &replayed, &mut differs).await {
            Ok(found) => page.differences.extend(found),
            // One row that cannot be read must not hide the others.
            Err(StoreError::Corrupt { .. }) => {
                for id in &ids {
                    match compare(db, std::slice::from_ref(id), &replayed, &mut differs).await {
                        Ok(found) => page.differences.extend(found),
                        Err(StoreError::Corrupt { table, column, id: row, why }) => {
                            differs.insert(*id);
                            page.differences.push(Difference {
                                of: format!("lead {id}"),
                                field: format!("{table}.{column} of row {row}"),
                                stored: why,
                                log: "something that can be read".to_owned(),
                            });
                        }
                        Err(other) => return Err(other),
                    }
                }
            }
            Err(other) => return Err(other),
        }
        page.broken =
            replayed.into_iter().filter(|(id, _)| differs.contains(id)).map(|(_, lead)| lead).collect();
        Ok(Some(page))
    }

    /// After the last page: counters and pools that are not what the log comes to.
    pub async fn counters(&self, db: &impl ConnectionTrait) -> Result<Vec<Difference>> {
        #[derive(FromQueryResult)]
        struct Row {
            name: String,
            value: i64,
        }
        let sql = "SELECT family || '/' || subject || '/' || metric AS name, value FROM counter";
        let stored: Vec<Row> = fetch_all(db, sql, vec![]).await?;
        let log = self
            .counters
            .iter()
            .map(|((family, subject, metric), value)| (format!("{family}/{subject}/{metric}"), *value));
        let mut found = vec![];
        sums("counter", stored.into_iter().map(|row| (row.name, row.value)), log, &mut found);
        #[derive(FromQueryResult)]
        struct Share {
            pool: String,
            owner: Option<Uuid>,
            value: i64,
        }
        let sql = "SELECT pool, owner, assigned AS value FROM pool_count \
                   UNION ALL SELECT pool, NULL, revision FROM pool_revision";
        let stored: Vec<Share> = fetch_all(db, sql, vec![]).await?;
        let name = |pool: &str, owner: Option<Uuid>| match owner {
            Some(owner) => format!("{pool}, leads of {owner}"),
            None => format!("{pool}, revision"),
        };
        let stored = stored.into_iter().map(|row| (name(&row.pool, row.owner), row.value));
        let log = self.pools.iter().map(|((pool, owner), (value, _))| (name(pool, *owner), *value));
        sums("pool", stored, log, &mut found);
        Ok(found)
    }

    /// Writes the projections of these leads again, as the log has them. What the log does not hold stays: the person,
    /// packets, notes.
    pub async fn mend(tx: &Tx, broken: &[Replayed]) -> Result<()> {
        for lead in broken {
            write(tx, lead).await?;
        }
        Ok(())
    }

    /// After the last page: writes all counters again, as the log has them.
    pub async fn mend_counters(self, tx: &Tx) -> Result<()> {
        for table in ["counter", "pool_count", "pool_revision"] {
            execute(tx, &format!("DELETE FROM {table}"), vec![]).await?;
        }
        counter::add(tx, self.counters).await?;
        for ((pool, owner), (count, last)) in self.pools {
            let (table, columns, row): (_, &[&str], _) = match owner {
                Some(owner) => (
                    "pool_count",
                    &["pool", "owner", "assigned", "last_assigned"],
                    vec![pool.into(), owner.into(), count.into(), last.into()],
                ),
                None => ("pool_revision", &["pool", "revision"], vec![pool.into(), count.into()]),
            };
            insert_rows(tx, table, columns, vec![row]).await?;
        }
        Ok(())
    }

    /// Leads of the log and of the table, so that neither side's extra rows are missed.
    async fn next_ids(&self, db: &impl ConnectionTrait) -> Result<Vec<Uuid>> {
        #[derive(FromQueryResult)]
        struct Row {
            id: Uuid,
        }
        let mut ids = BTreeSet::new();
        for sql in [
            "SELECT DISTINCT stream_id AS id FROM event WHERE stream_kind = 'LEAD' AND stream_id > $1 ORDER BY stream_id LIMIT $2",
            "SELECT id FROM lead WHERE id > $1 ORDER BY id LIMIT $2",
        ] {
            let rows: Vec<Row> = fetch_all(db, sql, vec![self.after.into(), (PAGE as i64).into()]).await?;
            ids.extend(rows.into_iter().map(|row| row.id));
        }
        Ok(ids.into_iter().take(PAGE).collect())
    }

    fn count_pools(&mut self, lead: &Replayed) {
        for event in &lead.events {
            let Fact::LeadAssigned { pool: Some(pool), owner, .. } = &event.body.fact else { continue };
            let first = lead.events.iter().find(|first| first.version == event.version).unwrap_or(event);
            for owner in [None].into_iter().chain(owner.map(Some)) {
                let (count, last) = self.pools.entry((pool.clone(), owner)).or_default();
                (*count, *last) = (*count + 1, (*last).max(first.occurred_at.ms()));
            }
        }
    }
}

/// Open leads without owner, queue and dated re-evaluation: how many, and the first of them.
pub async fn nobodys(db: &impl ConnectionTrait, limit: i64) -> Result<(i64, Vec<Uuid>)> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let nobody =
        "FROM lead WHERE outcome = 'OPEN' AND owner IS NULL AND queue IS NULL AND next_evaluation_at IS NULL";
    let count = fetch_value(db, &format!("SELECT count(*) {nobody}"), vec![]).await?.unwrap_or(0);
    let sql = format!("SELECT id {nobody} ORDER BY entered_stage_at, id LIMIT $1");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![limit.into()]).await?;
    Ok((count, rows.into_iter().map(|row| row.id).collect()))
}

/// Decisions whose evaluation is missing; nobody would find them otherwise.
pub async fn orphans(db: &impl ConnectionTrait, limit: i64) -> Result<Vec<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql = "SELECT d.id FROM decision d WHERE NOT EXISTS (SELECT 1 FROM evaluation e WHERE e.id = d.evaluation) LIMIT $1";
    let rows: Vec<Row> = fetch_all(db, sql, vec![limit.into()]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The snapshots that these leads have.
pub async fn snapshots(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeSet<(Uuid, Digest)>> {
    #[derive(FromQueryResult)]
    struct Row {
        lead: Uuid,
        digest: String,
    }
    let sql = format!("SELECT lead, digest FROM snapshot WHERE lead {}", list(db));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter()
        .map(|row| Ok((row.lead, digest(Place("snapshot", "digest", &row.lead), &row.digest)?)))
        .collect()
}

/// Those of the leads that were erased, and their snapshots with them.
pub async fn erased(db: &impl ConnectionTrait, leads: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql = format!("SELECT id FROM lead WHERE erased_at IS NOT NULL AND id {}", list(db));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(FromQueryResult)]
struct EventRow {
    id: Uuid,
    stream_id: Uuid,
    version: i64,
    ordinal: i64,
    payload: String,
    occurred_at: i64,
    recorded_at: i64,
}

async fn replay(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    differences: &mut Vec<Difference>,
) -> Result<BTreeMap<Uuid, Replayed>> {
    let sql = format!(
        "SELECT id, stream_id, version, ordinal, payload, occurred_at, recorded_at FROM event \
         WHERE stream_kind = 'LEAD' AND stream_id {} ORDER BY stream_id, version, ordinal",
        list(db)
    );
    let rows: Vec<EventRow> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    let mut found: BTreeMap<Uuid, Replayed> = BTreeMap::new();
    for row in rows {
        let (id, at) = (row.stream_id, Instant(row.occurred_at));
        let lead = found.entry(id).or_insert_with(|| Replayed {
            journey: Journey::blank(id, at),
            cycles: BTreeMap::new(),
            handoffs: BTreeMap::new(),
            deals: BTreeMap::new(),
            events: vec![],
        });
        let mut fault = |field: String, stored: String, log: String| {
            differences.push(Difference { of: format!("lead {id}"), field, stored, log });
        };
        // Versions rise by one, and the events of a version count from 0.
        let (version, ordinal) =
            (lead.journey.lead.version, lead.events.last().map_or(-1, |last| i64::from(last.ordinal)));
        let follows = (row.version, row.ordinal) == (version + 1, 0)
            || (row.version == version && row.ordinal == ordinal + 1);
        if !follows {
            let expected =
                format!("version {version} event {} or version {} event 0", ordinal + 1, version + 1);
            fault(
                format!("event {}", row.id),
                format!("version {} event {}", row.version, row.ordinal),
                expected,
            );
        }
        match serde_json::from_str::<Body>(&row.payload) {
            Ok(body) => lead.apply(Event {
                id: row.id,
                stream: StreamKind::Lead,
                stream_id: id,
                version: row.version,
                ordinal: u32::try_from(row.ordinal).unwrap_or(u32::MAX),
                occurred_at: at,
                recorded_at: Instant(row.recorded_at),
                body,
            }),
            Err(error) => {
                fault(
                    format!("event {}", row.id),
                    error.to_string(),
                    "a payload that can be read".to_owned(),
                );
            }
        }
    }
    found.values_mut().for_each(Replayed::keep);
    Ok(found)
}

impl Replayed {
    fn apply(&mut self, event: Event) {
        let fact = &event.body.fact;
        // The journey forgets these when another one takes their place.
        if matches!(
            fact,
            Fact::CycleOpened { .. } | Fact::HandoffOffered { .. } | Fact::OpportunityRecorded { .. }
        ) {
            self.keep();
        }
        self.journey.apply(fact, event.occurred_at);
        self.journey.lead.version = event.version;
        self.events.push(event);
    }

    fn keep(&mut self) {
        let Journey { cycle, handoff, opportunity, .. } = &self.journey;
        if cycle.number > 0 {
            self.cycles.insert(cycle.number, cycle.clone());
        }
        self.handoffs.extend(handoff.iter().map(|one| (one.id, (cycle.number, one.clone()))));
        self.deals.extend(opportunity.iter().map(|one| (one.id, (cycle.number, one.clone()))));
    }

    /// Decisions and evaluations that the log names.
    fn decisions(&self) -> impl Iterator<Item = Uuid> {
        self.events.iter().flat_map(|event| match &event.body.fact {
            Fact::LeadEvaluated { decisions, .. } => decisions.clone(),
            Fact::LeadAssigned { decision, .. } => decision.iter().copied().collect(),
            _ => vec![],
        })
    }
}

/// Rows of one table that belong to a lead, by their key in it; columns by name.
type Rows = BTreeMap<String, Map<String, Value>>;

/// All tables of one lead.
type Tables = BTreeMap<&'static str, Rows>;

/// Compares what is stored of the leads with what the log makes of them.
async fn compare(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    replayed: &BTreeMap<Uuid, Replayed>,
    differs: &mut BTreeSet<Uuid>,
) -> Result<Vec<Difference>> {
    let mut stored = stored(db, ids).await?;
    let mut found = vec![];
    for id in ids {
        let before = found.len();
        let log = replayed.get(id).map(log_tables).unwrap_or_default();
        let stored = stored.remove(id).unwrap_or_default();
        let tables: BTreeSet<&str> = log.keys().chain(stored.keys()).copied().collect();
        let none = Rows::new();
        for table in tables {
            let (stored, log) = (stored.get(table).unwrap_or(&none), log.get(table).unwrap_or(&none));
            differ(&format!("lead {id}"), table, stored, log, &mut found);
        }
        if found.len() > before {
            differs.insert(*id);
        }
    }
    Ok(found)
}

fn differ(of: &str, table: &str, stored: &Rows, log: &Rows, found: &mut Vec<Difference>) {
    let mut differs = |field: String, stored: Option<&Value>, log: Option<&Value>, absent: &str| {
        let text = |value: Option<&Value>| value.map_or_else(|| absent.to_owned(), Value::to_string);
        found.push(Difference { of: of.to_owned(), field, stored: text(stored), log: text(log) });
    };
    let rows: BTreeSet<&String> = stored.keys().chain(log.keys()).collect();
    let there = Value::from("there");
    for row in rows {
        let name = if row.is_empty() { table.to_owned() } else { format!("{table} {row}") };
        match (stored.get(row), log.get(row)) {
            (Some(stored), Some(log)) => {
                let columns: BTreeSet<&String> = stored.keys().chain(log.keys()).collect();
                for column in columns.into_iter().filter(|column| stored.get(*column) != log.get(*column)) {
                    differs(format!("{name}.{column}"), stored.get(column), log.get(column), "nothing");
                }
            }
            (stored, log) => differs(name, stored.and(Some(&there)), log.and(Some(&there)), "missing"),
        }
    }
}

fn sums(
    of: &str,
    stored: impl Iterator<Item = (String, i64)>,
    log: impl Iterator<Item = (String, i64)>,
    found: &mut Vec<Difference>,
) {
    let mut both: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    stored.for_each(|(name, value)| both.entry(name).or_default().0 += value);
    log.for_each(|(name, value)| both.entry(name).or_default().1 += value);
    for (name, (stored, log)) in both.into_iter().filter(|(_, (stored, log))| stored != log) {
        let (stored, log) = (stored.to_string(), log.to_string());
        found.push(Difference { of: format!("{of} {name}"), field: "value".to_owned(), stored, log });
    }
}

fn columns(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(columns)) => columns,
        _ => Map::new(),
    }
}

fn one(row: impl ToString, value: &impl Serialize) -> (String, Map<String, Value>) {
    (row.to_string(), columns(value))
}

#[derive(FromQueryResult)]
struct ClockRow {
    id: Uuid,
    lead: Uuid,
    body: String,
    cycle: i64,
    kind: String,
    party: String,
    level: String,
    state: String,
    due_at: i64,
    met_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct TransitionRow {
    lead: Uuid,
    lead_version: i64,
    stage_version: i64,
    from_stage: Option<String>,
    to_stage: String,
    at: i64,
    cause: String,
    charter: i64,
    event: Uuid,
}

#[derive(FromQueryResult)]
struct Known {
    id: Uuid,
    lead: Uuid,
}

async fn stored(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Tables>> {
    let list = list(db);
    let keys = || vec![dialect::uuids(ids)];
    let mut found: BTreeMap<Uuid, Tables> = BTreeMap::new();
    let mut put = |lead: Uuid, table: &'static str, (row, columns): (String, Map<String, Value>)| {
        found.entry(lead).or_default().entry(table).or_default().insert(row, columns);
    };
    for stored in lead::leads(db, ids).await? {
        put(stored.lead.id, "lead", one("", &stored.lead));
    }
    for (lead, cycle) in lead::cycles(db, ids).await? {
        put(lead, "cycle", one(cycle.number, &cycle));
    }
    let sql = format!(
        "SELECT id, lead, body, cycle, kind, party, level, state, due_at, met_at FROM clock WHERE lead {list}"
    );
    for row in fetch_all::<ClockRow>(db, &sql, keys()).await? {
        let mut columns = match serde_json::from_str(&row.body) {
            Ok(Value::Object(columns)) => columns,
            _ => Map::new(),
        };
        // What is listed and searched by stands beside the body and must agree with it.
        let ClockRow { cycle, kind, party, level, state, due_at, met_at, .. } = row;
        let beside = serde_json::json!([cycle, kind, party, level, state, due_at, met_at]);
        columns.insert("columns".to_owned(), beside);
        put(row.lead, "clock", (row.id.to_string(), columns));
    }
    let sql = format!(
        "SELECT id, lead, status, packet_digest, completeness, offered_at, answered_at, reason, first_meeting, \
         first_meeting_at, packet FROM handoff \
         WHERE lead {list}"
    );
    for row in fetch_all::<HandoffRow>(db, &sql, keys()).await? {
        let lead = row.lead;
        let (handoff, packet) = row.decode()?;
        let (row, mut columns) = one(handoff.id, &handoff);
        // An erased packet is no difference, a changed one is.
        let seal = packet.map_or(handoff.packet_digest, |packet| packet.digest());
        columns.insert("packet".to_owned(), seal.to_string().into());
        put(lead, "handoff", (row, columns));
    }
    let sql = format!(
        "SELECT id, lead, amount_minor, currency, expected_close, opened_at FROM opportunity WHERE lead {list}"
    );
    for row in fetch_all::<OpportunityRow>(db, &sql, keys()).await? {
        let (lead, deal) = (row.lead, row.decode());
        put(lead, "opportunity", one(deal.id, &deal));
    }
    let sql = format!(
        "SELECT lead, lead_version, stage_version, from_stage, to_stage, at, cause, charter, event FROM stage_transition \
         WHERE lead {list}"
    );
    for row in fetch_all::<TransitionRow>(db, &sql, keys()).await? {
        let TransitionRow {
            lead,
            lead_version,
            stage_version,
            from_stage,
            to_stage,
            at,
            cause,
            charter,
            event,
        } = row;
        let columns = transition(lead_version, from_stage.as_deref(), &to_stage, at, &cause, charter, event);
        put(lead, "transition", (stage_version.to_string(), columns));
    }
    // An evaluation without gates holds nothing but a routing's decision, which the log names itself.
    for (table, sql) in [
        // What a shadow said counts for nothing, and the log does not tell it.
        ("decision", "SELECT id, lead FROM decision WHERE agrees IS NULL AND"),
        ("evaluation", "SELECT id, lead FROM evaluation WHERE gates <> '[]' AND"),
    ] {
        for row in fetch_all::<Known>(db, &format!("{sql} lead {list}"), keys()).await? {
            put(row.lead, table, (row.id.to_string(), Map::new()));
        }
    }
    Ok(found)
}

fn transition(
    version: i64,
    from: Option<&str>,
    to: &str,
    at: i64,
    cause: &str,
    charter: i64,
    event: Uuid,
) -> Map<String, Value> {
    columns(&serde_json::json!({
        "leadVersion": version, "from": from, "to": to, "at": at, "cause": cause, "charter": charter, "event": event,
    }))
}

fn log_tables(lead: &Replayed) -> Tables {
    let clock = |clock: &SlaClock| {
        let (row, mut columns) = one(clock.id, clock);
        let SlaClock { cycle, kind, party, level, state, due_at, met_at, .. } = clock;
        columns.insert(
            "columns".to_owned(),
            serde_json::json!([cycle, kind, party, level, state, due_at, met_at]),
        );
        (row, columns)
    };
    let handoff = |handoff: &Handoff| {
        let (row, mut columns) = one(handoff.id, handoff);
        columns.insert("packet".to_owned(), handoff.packet_digest.to_string().into());
        (row, columns)
    };
    let mut transitions = Rows::new();
    let mut evaluations = Rows::new();
    for event in &lead.events {
        match &event.body.fact {
            Fact::StageChanged { from, to, stage_version, .. } => {
                let from = from.map(|stage| stage.as_str());
                let (cause, charter) = (event.body.cause.as_str(), i64::from(event.body.charter));
                let at = event.occurred_at.ms();
                let columns = transition(event.version, from, to.as_str(), at, cause, charter, event.id);
                transitions.insert(stage_version.to_string(), columns);
            }
            Fact::LeadEvaluated { evaluation, gate: Some(_), .. } => {
                evaluations.insert(evaluation.to_string(), Map::new());
            }
            _ => {}
        }
    }
    Tables::from([
        ("lead", Rows::from([one("", &lead.journey.lead)])),
        ("cycle", lead.cycles.values().map(|cycle| one(cycle.number, cycle)).collect()),
        ("clock", lead.journey.clocks.iter().map(clock).collect()),
        ("handoff", lead.handoffs.values().map(|(_, one)| handoff(one)).collect()),
        ("opportunity", lead.deals.values().map(|(_, deal)| one(deal.id, deal)).collect()),
        ("transition", transitions),
        ("evaluation", evaluations),
        ("decision", lead.decisions().map(|id| (id.to_string(), Map::new())).collect()),
    ])
}

async fn write(tx: &Tx, lead: &Replayed) -> Result<()> {
    let Replayed { journey, cycles, handoffs, deals, events } = lead;
    let state = &journey.lead;
    let id = state.id;
    let sql = "UPDATE lead SET cycle = $1, outcome = $2, stage = $3, furthest_stage = $4, stage_version = $5, \
        entered_stage_at = $6, work_state = $7, owner = $8, queue = $9, priority = $10, persona = $11, fit = $12, \
        engagement = $13, next_evaluation_at = $14, recycle_on = $15, suppressed = $16, grey_slots = $17, nurture = $18, \
        nurture_at = $19, customer = $20, renews_at = $21, follow_ups = $22, follow_up_at = $23, merged_into = $24, \
        erased_at = $25, version = $26, \
        account = $27, campaign = $28, source = $29, channel = $30, captured_at = $31 WHERE id = $32";
    let mut values = moving(state)?;
    values.extend([
        state.version.into(),
        state.account.into(),
        state.campaign.into(),
        state.source.as_str().into(),
        state.channel.as_str().into(),
        state.captured_at.ms().into(),
        id.into(),
    ]);
    execute(tx, sql, values).await?;
    for table in ["cycle", "clock", "opportunity", "stage_transition"] {
        execute(tx, &format!("DELETE FROM {table} WHERE lead = $1"), vec![id.into()]).await?;
    }
    let rows = cycles.values().map(|cycle| cycle_row(id, cycle)).collect::<Result<_>>()?;
    insert_rows(tx, "cycle", CYCLE_COLUMNS, rows).await?;
    let rows = journey.clocks.iter().map(|clock| clock_row(id, clock, journey)).collect::<Result<_>>()?;
    insert_rows(tx, "clock", CLOCK_COLUMNS, rows).await?;
    let rows = deals.values().map(|(cycle, deal)| opportunity_row(id, *cycle, deal)).collect();
    insert_rows(tx, "opportunity", OPPORTUNITY_COLUMNS, rows).await?;
    let rows = events.iter().map(transition_row).collect::<Result<Vec<_>>>()?;
    insert_rows(tx, "stage_transition", TRANSITION_COLUMNS, rows.into_iter().flatten().collect()).await?;
    // Packets stand in no log: rows are changed, never replaced.
    let kept = dialect::uuids(handoffs.keys());
    let sql = format!("DELETE FROM handoff WHERE lead = $2 AND NOT (id {})", list(tx));
    execute(tx, &sql, vec![kept, id.into()]).await?;
    let rows = handoffs.values().map(|(cycle, handoff)| {
        vec![
            handoff.id.into(),
            id.into(),
            i64::from(*cycle).into(),
            handoff.status.as_str().into(),
            handoff.packet_digest.to_string().into(),
            i64::from(handoff.completeness).into(),
            handoff.offered_at.ms().into(),
            handoff.answered_at.map(|at| at.ms()).into(),
            handoff.reason.clone().into(),
            handoff.first_meeting.map(|outcome| outcome.as_str()).into(),
            handoff.first_meeting_at.map(|at| at.ms()).into(),
        ]
    });
    let columns = &[
        "id",
        "lead",
        "cycle",
        "status",
        "packet_digest",
        "completeness",
        "offered_at",
        "answered_at",
        "reason",
        "first_meeting",
        "first_meeting_at",
    ];
    crate::rows::upsert_rows(tx, "handoff", columns, &["id"], rows.collect()).await?;
    Ok(())
}
