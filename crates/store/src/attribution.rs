//! Won deals with the paths that led to them, as reports read them: some hundreds of deals at a time.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::attribution::{LONGEST_PATH, Milestones};
use handfast_domain::event::{ActivityKind, Body, Fact};
use handfast_domain::stage::CycleOutcome;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::decode::{self, Place, closed, closed_opt, small};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;
use crate::touchpoint::{Touchpoint, between};

/// Deals that are read at once.
const PAGE: i64 = 200;
/// Touches that one statement reads.
const CHUNK: i64 = 20_000;

/// A cycle that was won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WonDeal {
    pub lead: Uuid,
    pub cycle: u32,
    /// Unknown for some imported deals.
    pub amount_minor: Option<i64>,
    pub milestones: Milestones,
}

impl WonDeal {
    /// Its place in the order of pages.
    pub fn place(&self) -> DealPlace {
        (self.milestones.won, self.lead, self.cycle)
    }
}

/// When it was won, its lead and its cycle.
pub type DealPlace = (Instant, Uuid, u32);

/// What somebody of ours did on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub id: Uuid,
    pub at: Instant,
    pub kind: ActivityKind,
    pub actor: Option<Uuid>,
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Touch(Box<Touchpoint>),
    Work(Work),
}

impl Step {
    pub fn at(&self) -> Instant {
        match self {
            Step::Touch(touch) => touch.occurred_at,
            Step::Work(work) => work.at,
        }
    }
}

/// A deal and the steps that led to it, in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub deal: WonDeal,
    pub steps: Vec<Step>,
}

/// Which deals, and what counts as a step.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: Instant,
    /// Not included.
    pub to: Instant,
    /// Whether calls, mails and meetings that people made are steps, too.
    pub with_work: bool,
}

#[derive(FromQueryResult)]
struct Row {
    lead: Uuid,
    number: i64,
    closed_at: i64,
    won_before: Option<i64>,
    lead_at: Option<i64>,
    opportunity_at: Option<i64>,
}

const DEAL: &str = "c.lead, c.number, c.closed_at, \
    (SELECT max(p.closed_at) FROM cycle p WHERE p.lead = c.lead AND p.number < c.number AND p.outcome = 'WON') \
        AS won_before, \
    (SELECT min(f.opened_at) FROM cycle f WHERE f.lead = c.lead AND f.number <= c.number AND f.number > \
        coalesce((SELECT max(p.number) FROM cycle p WHERE p.lead = c.lead AND p.number < c.number \
            AND p.outcome = 'WON'), 0)) AS lead_at, \
    (SELECT min(o.opened_at) FROM opportunity o WHERE o.lead = c.lead AND o.cycle = c.number) AS opportunity_at";

/// The next paths of the span after a place in the order of their wins; empty after the last one.
pub async fn paths(db: &impl ConnectionTrait, span: Span, after: Option<DealPlace>) -> Result<Vec<Path>> {
    let (at, lead, cycle) = after.unwrap_or((span.from, Uuid::nil(), 0));
    let sql = format!(
        "SELECT {DEAL} FROM cycle c WHERE c.closed_at >= $1 AND (c.closed_at, c.lead, c.number) > ($1, $2, $3) \
         AND c.closed_at < $4 AND c.outcome = 'WON' ORDER BY c.closed_at, c.lead, c.number LIMIT $5"
    );
    let values = vec![at.ms().into(), lead.into(), i64::from(cycle).into(), span.to.ms().into(), PAGE.into()];
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    walk(db, rows, span.with_work).await
}

/// The path of one cycle, if it was won.
pub async fn path(
    db: &impl ConnectionTrait,
    lead: Uuid,
    cycle: u32,
    with_work: bool,
) -> Result<Option<Path>> {
    let sql = format!("SELECT {DEAL} FROM cycle c WHERE c.lead = $1 AND c.number = $2 AND c.outcome = 'WON'");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![lead.into(), i64::from(cycle).into()]).await?;
    Ok(walk(db, rows, with_work).await?.pop())
}

async fn walk(db: &impl ConnectionTrait, rows: Vec<Row>, with_work: bool) -> Result<Vec<Path>> {
    let leads: BTreeSet<Uuid> = rows.iter().map(|row| row.lead).collect();
    let amounts = amounts(db, &leads).await?;
    let mut deals = vec![];
    for row in rows {
        let Row { lead, number, closed_at, won_before, lead_at, opportunity_at } = row;
        let cycle = small(Place("cycle", "number", &lead), number)?;
        let milestones = Milestones {
            won_before: won_before.map(Instant),
            lead: Instant(lead_at.unwrap_or(closed_at)),
            opportunity: opportunity_at.map(Instant),
            won: Instant(closed_at),
        };
        let amount_minor = amounts.get(&(lead, cycle)).copied();
        deals.push(WonDeal { lead, cycle, amount_minor, milestones });
    }
    let mut steps = steps(db, &deals, with_work).await?;
    let path = |deal: WonDeal| {
        let known = steps.entry(deal.lead).or_default();
        let steps = deal.milestones.path(known, Step::at).to_vec();
        Path { deal, steps }
    };
    Ok(deals.into_iter().map(path).collect())
}

/// What deals were won with, by lead and cycle: the log says so, also of those that only an import told of.
pub async fn amounts(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<(Uuid, u32), i64>> {
    #[derive(FromQueryResult)]
    struct Closed {
        id: Uuid,
        stream_id: Uuid,
        payload: String,
    }
    if leads.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT e.id, e.stream_id, e.payload FROM event e WHERE e.stream_id {} AND e.stream_kind = 'LEAD' \
         AND e.kind = 'CYCLE_CLOSED'",
        list(db)
    );
    let leads = dialect::uuids(leads);
    let mut found = BTreeMap::new();
    for Closed { id, stream_id, payload } in fetch_all(db, &sql, vec![leads]).await? {
        let body: Body = decode::json(Place("event", "payload", &id), &payload)?;
        if let Fact::CycleClosed { cycle, outcome: CycleOutcome::Won, amount_minor: Some(minor), .. } =
            body.fact
        {
            found.insert((stream_id, cycle), minor);
        }
    }
    Ok(found)
}

/// Everything that may belong to the deals' paths, by lead and in order of time.
async fn steps(
    db: &impl ConnectionTrait,
    deals: &[WonDeal],
    with_work: bool,
) -> Result<BTreeMap<Uuid, Vec<Step>>> {
    let mut found: BTreeMap<Uuid, Vec<Step>> = BTreeMap::new();
    let begin = deals.iter().map(|deal| deal.milestones.begin()).min();
    let end = deals.iter().map(|deal| deal.milestones.won).max();
    let Some(within) = begin.zip(end) else { return Ok(found) };
    let leads: Vec<Uuid> = deals.iter().map(|deal| deal.lead).collect();
    let mut keep = |lead: Uuid, step: Step| {
        let steps = found.entry(lead).or_default();
        // No path has so many; what a machine counted a hundred times does not fill the memory.
        if steps.len() >= 2 * LONGEST_PATH {
            steps.drain(..LONGEST_PATH);
        }
        steps.push(step);
    };
    let mut after = None;
    loop {
        let touches = between(db, &leads, within, after, CHUNK).await?;
        let more = touches.len() as i64 == CHUNK;
        for touch in touches {
            let Some(lead) = touch.lead else { continue };
            after = Some((lead, touch.occurred_at, touch.id));
            keep(lead, Step::Touch(Box::new(touch)));
        }
        if !more {
            break;
        }
    }
    if !with_work {
        return Ok(found);
    }
    let mut after = None;
    loop {
        let work = work(db, &leads, within, after, CHUNK).await?;
        let more = work.len() as i64 == CHUNK;
        for (lead, work) in work {
            after = Some((lead, work.at, work.id));
            keep(lead, Step::Work(work));
        }
        if !more {
            break;
        }
    }
    // Stable: of what happened at the same instant, marketing's touch comes first.
    found.values_mut().for_each(|steps| steps.sort_by_key(Step::at));
    Ok(found)
}

/// What people did to reach the leads in a span of time, in the order of lead, instant and id: no notes, nothing that a machine
/// did, and not what the buyer began.
async fn work(
    db: &impl ConnectionTrait,
    leads: &[Uuid],
    (from, to): (Instant, Instant),
    after: Option<(Uuid, Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<(Uuid, Work)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        kind: String,
        actor: Option<Uuid>,
        at: i64,
    }
    let mut values: Vec<Value> = vec![dialect::uuids(leads), from.ms().into(), to.ms().into(), limit.into()];
    let further = match after {
        Some((lead, at, id)) => {
            values.extend([lead.into(), at.ms().into(), id.into()]);
            " AND (a.lead, a.at, a.id) > ($5, $6, $7)"
        }
        None => "",
    };
    let sql = format!(
        "SELECT a.id, a.lead, a.kind, a.actor, a.at FROM activity a WHERE a.lead {} AND a.at >= $2 AND a.at <= $3 \
         AND NOT a.automated AND a.kind <> 'NOTE' AND a.direction <> 'INBOUND'{further} \
         ORDER BY a.lead, a.at, a.id LIMIT $4",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter()
        .map(|row| {
            let kind = closed(Place("activity", "kind", &row.id), &row.kind, ActivityKind::parse)?;
            Ok((row.lead, Work { id: row.id, at: Instant(row.at), kind, actor: row.actor }))
        })
        .collect()
}

/// A deal that sales recorded, open or ended with its cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    pub amount_minor: Option<i64>,
    pub currency: String,
    pub expected_close: Option<Instant>,
    pub opened_at: Instant,
    pub closed_at: Option<Instant>,
    pub outcome: CycleOutcome,
}

/// The deals of a lead, the first one first.
pub async fn deals(db: &impl ConnectionTrait, lead: Uuid) -> Result<Vec<Deal>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        cycle: i64,
        amount_minor: Option<i64>,
        currency: String,
        expected_close: Option<i64>,
        opened_at: i64,
        closed_at: Option<i64>,
        outcome: Option<String>,
    }
    let sql = "SELECT o.id, o.lead, o.cycle, o.amount_minor, o.currency, o.expected_close, o.opened_at, \
               c.closed_at, c.outcome FROM opportunity o LEFT JOIN cycle c ON c.lead = o.lead AND c.number = o.cycle \
               WHERE o.lead = $1 ORDER BY o.cycle, o.opened_at, o.id LIMIT 1000";
    let rows: Vec<Row> = fetch_all(db, sql, vec![lead.into()]).await?;
    rows.into_iter()
        .map(|row| {
            let at = |column| Place("opportunity", column, &row.id);
            let outcome = closed_opt(at("outcome"), row.outcome.as_deref(), CycleOutcome::parse)?;
            Ok(Deal {
                id: row.id,
                lead: row.lead,
                cycle: small(at("cycle"), row.cycle)?,
                amount_minor: row.amount_minor,
                currency: row.currency.clone(),
                expected_close: row.expected_close.map(Instant),
                opened_at: Instant(row.opened_at),
                closed_at: row.closed_at.map(Instant),
                outcome: outcome.unwrap_or(CycleOutcome::Open),
            })
        })
        .collect()
}
