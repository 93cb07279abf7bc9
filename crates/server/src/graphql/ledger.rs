//! The ledger: days that balance, where every lead is now, which open leads nobody attends, and where promises stand.

use std::collections::BTreeMap;

use async_graphql::{Context, Object, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::clock::{ClockKind, ClockState, Party};
use handfast_domain::digest::Digest;
use handfast_domain::ledger::{LedgerDay as Counted, LedgerPlace, UnattendedReason};
use handfast_domain::stage::CycleOutcome;
use handfast_domain::time::Instant;
use handfast_store::ledger::{self, ClockFilter};
use handfast_store::loaded::LoadedLead;

use super::charter::Charter;
use super::feedback::Feedback;
use super::lead::{Clock, Lead, want};
use super::page::{Page, PageArgs, Window};
use super::problem::{coded, failure};
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::ledger::{self as flow, Given, MAX_DAYS, days};

/// One day of the ledger, in cycles: open at start + opened − closed = open at end. What opened and closed is counted as
/// it happens; what was open is read from the cycles themselves. Two books, one balance.
#[derive(Clone, Debug, SimpleObject)]
pub struct LedgerDay {
    /// The day in the charter's time zone.
    day: Date,
    /// Cycles that were open when the day began.
    open_at_start: Long,
    /// Cycles that opened in the day.
    opened: Long,
    /// Cycles that ended in the day, by how; outcomes without cycles are left out.
    closed: Vec<LedgerClosing>,
    /// Cycles that were open when the day ended; today: that are open now.
    open_at_end: Long,
    /// 0. Anything else is a lead that was lost, or counted twice: run `handfast doctor`.
    balance: Long,
}

/// Cycles that ended in one way.
#[derive(Clone, Debug, SimpleObject)]
pub struct LedgerClosing {
    outcome: CycleOutcome,
    cycles: Long,
}

impl LedgerDay {
    fn wrap(day: &Counted) -> Option<LedgerDay> {
        let closed = day.closed.iter().filter(|(_, cycles)| **cycles != 0);
        Some(LedgerDay {
            day: Date::from_days(day.day)?,
            open_at_start: Long(day.open_at_start),
            opened: Long(day.opened),
            closed: closed
                .map(|(outcome, cycles)| LedgerClosing { outcome: *outcome, cycles: Long(*cycles) })
                .collect(),
            open_at_end: Long(day.open_at_end),
            balance: Long(day.balance()),
        })
    }
}

/// Where all leads are now: each in exactly one place.
#[derive(Clone, Debug, SimpleObject)]
pub struct LedgerNow {
    as_of: Instant,
    /// Places with their leads; the places add up to the total.
    places: Vec<LedgerCount>,
    /// Leads in all places together.
    total: Long,
    /// Leads that the log knows.
    captured: Long,
    /// Whether every captured lead is in a place, and none of them with nobody.
    balanced: bool,
}

/// Leads in one place.
#[derive(Clone, Debug, SimpleObject)]
pub struct LedgerCount {
    place: LedgerPlace,
    /// How the newest cycle ended; null for open leads.
    outcome: Option<CycleOutcome>,
    leads: Long,
}

/// An open lead that nobody attends.
#[derive(Clone, SimpleObject)]
pub struct Unattended {
    lead: Lead,
    reason: UnattendedReason,
    /// The promise that is overdue and unmet; null where nobody has the lead.
    clock: Option<Clock>,
    /// When the promise was due, or since when the lead stands at its stage.
    since: Instant,
}

/// A promise with what it was given on.
#[derive(Clone, SimpleObject)]
pub struct LeadClock {
    clock: Clock,
    /// The lead that it was given on; null if it was given on something else.
    lead: Option<Lead>,
    /// The feedback that it is to acknowledge.
    feedback: Option<Feedback>,
    /// The charter that is to be reviewed.
    charter: Option<Charter>,
}

/// The promises of one kind: met + breached + cancelled + running + paused = started.
#[derive(Clone, Debug, SimpleObject)]
pub struct SlaSummary {
    kind: ClockKind,
    /// Promises that were given.
    started: Long,
    running: Long,
    paused: Long,
    met: Long,
    /// Promises that were broken; one that was kept too late stays broken.
    breached: Long,
    cancelled: Long,
    /// Whether the states add up to what was started.
    balanced: bool,
}

#[derive(Default)]
pub struct LedgerQuery;

#[Object]
impl LedgerQuery {
    /// Days of the ledger, the oldest first. Without arguments: today.
    async fn ledger(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One day; give this or from and to.")] day: Option<Date>,
        #[graphql(desc = "The first day.")] from: Option<Date>,
        #[graphql(desc = "The last day; today without. At most 366 days after `from`.")] to: Option<Date>,
    ) -> async_graphql::Result<Vec<LedgerDay>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        if day.is_some() && (from.is_some() || to.is_some()) {
            return Err(coded("VALIDATION", "give day, or from and to, not both", false));
        }
        let today = app.workspace().day(app.now());
        let last = day.or(to).map_or(today, Date::days);
        let first = day.or(from).map_or(last, Date::days);
        let count = i64::from(last) - i64::from(first) + 1;
        if !(1..=i64::from(MAX_DAYS)).contains(&count) {
            let message =
                format!("from must not be after to, and they span 1 to {MAX_DAYS} days, found {count}");
            return Err(coded("VALIDATION", message, false));
        }
        let found = days(app, first, last).await.map_err(failure)?;
        Ok(found.iter().filter_map(LedgerDay::wrap).collect())
    }

    /// Every lead in exactly one place: with a person, in a queue, waiting for the rules, in nurture, closed, or nobody's.
    async fn ledger_now(&self, ctx: &Context<'_>) -> async_graphql::Result<LedgerNow> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let standing = ledger::standing(app.store.reports()).await.map_err(|error| failure(error.into()))?;
        let total = standing.places.values().sum::<i64>();
        let nobody = standing.places.keys().any(|(place, _)| *place == LedgerPlace::Nobody);
        let places = standing.places.iter().map(|((place, outcome), leads)| LedgerCount {
            place: *place,
            outcome: (*outcome != CycleOutcome::Open).then_some(*outcome),
            leads: Long(*leads),
        });
        Ok(LedgerNow {
            as_of: app.now(),
            places: places.collect(),
            total: Long(total),
            captured: Long(standing.captured),
            balanced: total == standing.captured && !nobody,
        })
    }

    /// Open leads that nobody attends: without owner, queue and dated re-evaluation, or with a promise of sales overdue
    /// and unmet. Each once, with its oldest reason; whoever waits longest comes first.
    async fn unattended(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<Unattended>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let filter = Digest::of("filter", 1, &"unattended");
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "since", filter)?;
        let rows = ledger::unattended(app.store.reports(), app.now(), window.from, window.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let leads = rows.iter().map(|row| row.stored.clone()).collect();
        let mut leads = load(ctx, leads, &["edges", "node", "lead"]).await?;
        let mut page = vec![];
        for row in rows {
            let Some(loaded) = leads.remove(&row.stored.lead.id) else { continue };
            page.push((row, loaded));
        }
        Ok(window.page(
            app,
            page,
            |(row, _)| (row.since.ms(), row.stored.lead.id),
            |(row, loaded)| Unattended {
                lead: Lead::wrap(loaded),
                reason: row.reason,
                clock: row.clock.as_ref().map(Clock::wrap),
                since: row.since,
            },
        ))
    }

    /// Promises with the leads, the feedback or the charter that they were given on, the earliest due time first. All given conditions hold together.
    async fn sla_clocks(
        &self,
        ctx: &Context<'_>,
        state: Option<ClockState>,
        kind: Option<ClockKind>,
        #[graphql(desc = "Who owes.")] party: Option<Party>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<LeadClock>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let filter = ClockFilter { state, kind, party, due_until: None };
        let digest = Digest::of("filter", 1, &format!("{filter:?}"));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "due", digest)?;
        clock_page(ctx, &filter, window).await
    }

    /// How many promises of each kind were given, and where they stand.
    async fn sla_summary(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<SlaSummary>> {
        read_viewer(ctx)?;
        let counts = flow::clock_counts(app(ctx)?).await.map_err(failure)?;
        let wrap = |(kind, counts): (ClockKind, ledger::ClockCounts)| SlaSummary {
            kind,
            started: Long(counts.started),
            running: Long(counts.state(ClockState::Running)),
            paused: Long(counts.state(ClockState::Paused)),
            met: Long(counts.state(ClockState::Met)),
            breached: Long(counts.state(ClockState::Breached)),
            cancelled: Long(counts.state(ClockState::Cancelled)),
            balanced: counts.is_balanced(),
        };
        Ok(counts.into_iter().map(wrap).collect())
    }
}

/// A page of promises with what they were given on.
pub async fn clock_page(
    ctx: &Context<'_>,
    filter: &ClockFilter,
    window: Window,
) -> async_graphql::Result<Page<LeadClock>> {
    let app = app(ctx)?;
    let rows = flow::clocks(app, filter, window.from, window.limit).await.map_err(failure)?;
    let leads = rows.iter().filter_map(|(_, given)| given.lead());
    let leads = leads.map(|stored| (stored.lead.id, stored.clone()));
    // Several promises may be given on one lead.
    let leads: BTreeMap<_, _> = leads.collect();
    let leads = load(ctx, leads.into_values().collect(), &["edges", "node", "lead"]).await?;
    let mut page = vec![];
    for (clock, given) in rows {
        let (lead, feedback, charter) = match given {
            Given::Lead(stored) => (leads.get(&stored.lead.id).cloned(), None, None),
            Given::Feedback(feedback) => (None, Some(feedback), None),
            Given::Charter(number) => (None, None, Some(number)),
        };
        page.push((clock, lead, feedback, charter));
    }
    let workspace = app.workspace();
    Ok(window.page(
        app,
        page,
        |(clock, ..)| (clock.due_at.ms(), clock.id),
        |(clock, lead, feedback, number)| LeadClock {
            clock: Clock::wrap(&clock),
            lead: lead.map(Lead::wrap),
            feedback: feedback.map(|told| Feedback::wrap(&workspace, *told)),
            charter: number
                .and_then(|number| workspace.charters.iter().find(|charter| charter.number == number))
                .map(|charter| Charter::wrap(&workspace, charter)),
        },
    ))
}

/// The leads with the children that the selection at `path` asks for.
async fn load(
    ctx: &Context<'_>,
    leads: Vec<handfast_store::lead::StoredLead>,
    path: &[&str],
) -> async_graphql::Result<BTreeMap<uuid::Uuid, LoadedLead>> {
    let look = path.iter().fold(ctx.look_ahead(), |look, field| look.field(field));
    let loaded = handfast_store::loaded::load(app(ctx)?.store.read(), leads, &want(look)).await;
    let loaded = loaded.map_err(|error| failure(error.into()))?;
    Ok(loaded.into_iter().map(|one| (one.stored.lead.id, one)).collect())
}
