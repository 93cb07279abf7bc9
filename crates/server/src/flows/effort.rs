//! Effort: sales logs the time that it spent on leads, and a report holds it against what came of it.

use std::collections::BTreeSet;

use handfast_domain::dimension::{Dimension, Groups};
use handfast_domain::effort::{self as domain, Effort, EffortFound, EffortKind, EffortRow, Efforts};
use handfast_domain::passage::Passage;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{CycleOutcome, Side};
use handfast_domain::time::Instant;
use handfast_store::effort as rows;
use handfast_store::passage::passages;
use uuid::Uuid;

use super::commit::{Ask, Decided, Once};
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{Grouping, PAGE, Values, Want, each_ended};
use super::{Error, lead, scope};
use crate::app::App;
use crate::workspace::Workspace;

/// What pages of entries hold.
pub const SPENT: &str = "entries of time were logged";

/// Time that somebody says to have spent.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub minutes: i64,
    pub kind: EffortKind,
    pub at: Option<Instant>,
}

/// Logs it for the cycle that was open then. Answers which entry it is; none with a dry run.
pub async fn log(app: &App, ask: &Ask<'_>, of: Uuid, spent: Spent) -> Result<Option<Uuid>, Error> {
    may(ask, "log time")?;
    if let Some(answer) = Once::answered(ask.once.as_ref(), app).await? {
        return Ok(answer.parse().ok());
    }
    let now = app.now();
    let at = spent.at.unwrap_or(now);
    let minutes = domain::check(spent.minutes, at, now)?;
    let journey = lead::load(app, of).await?;
    let state = &journey.lead;
    if let Some(into) = state.merged_into {
        let message = format!("this lead was merged into {into}, which goes on for it: log the time there");
        return Err(Refused::new(RefusalCode::IllegalTransition, message).at("input/lead").into());
    }
    if let Some(at) = state.erased_at {
        let message = format!("this lead was erased at {at}; no time is logged for it any more");
        return Err(Refused::new(RefusalCode::IllegalTransition, message).at("input/lead").into());
    }
    let cycle = rows::cycle_at(app.store.read(), of, at).await?.unwrap_or(state.cycle);
    let (id, user) = (app.id(), ask.viewer.id());
    let entry = Effort {
        id,
        lead: of,
        cycle,
        user,
        minutes,
        kind: spent.kind,
        at,
        recorded_at: now,
        withdrawn_at: None,
    };
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            rows::insert(tx, &entry).await?;
            Ok(((), id.to_string()))
        })
    });
    Ok(match decided.await? {
        Decided::Now(()) => Some(id).filter(|_| !ask.dry_run),
        Decided::Before(answer) => answer.parse().ok(),
    })
}

/// Takes an entry back: by whoever logged it, or an administrator.
pub async fn withdraw(app: &App, ask: &Ask<'_>, id: Uuid) -> Result<Uuid, Error> {
    may(ask, "withdraw time")?;
    let absent = || Refused::not_found("entry").at("input/effort");
    let entry = rows::find(app.store.read(), id).await?.ok_or_else(absent)?;
    if entry.user != ask.viewer.id() && !ask.viewer.may(scope::ADMIN) {
        let message = "only whoever logged an entry takes it back";
        return Err(Refused::new(RefusalCode::Forbidden, message).at("input/effort").into());
    }
    let now = app.now();
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            if !rows::withdraw(tx, id, now).await? {
                let message = "this entry was taken back already";
                return Err(Refused::new(RefusalCode::IllegalTransition, message).at("input/effort").into());
            }
            Ok(((), id.to_string()))
        })
    });
    decided.await?;
    Ok(id)
}

fn may(ask: &Ask<'_>, verb: &str) -> Result<(), Refused> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Sales, verb)
}

/// The values of an entry: by OWNER and TEAM it is counted for whoever spent the time.
fn values_of(
    workspace: &Workspace,
    grouping: &Grouping,
    values: &Values,
    passage: &Passage,
    user: Uuid,
) -> Vec<Option<String>> {
    let mut found = values.of(workspace, grouping, passage);
    for (place, dimension) in grouping.by.iter().enumerate() {
        let user = || workspace.directory.user(user);
        match dimension {
            Dimension::Owner => found[place] = user().map(|user| user.key.clone()),
            Dimension::Team => found[place] = user().map(|user| user.team.clone()),
            _ => {}
        }
    }
    found
}

/// An entry with its cycle.
pub struct Entry {
    pub effort: Effort,
    pub passage: Passage,
    pub values: Vec<Option<String>>,
}

/// The next entries of the window, after a place; none after the last.
pub async fn entries(
    back: Lookback<'_>,
    grouping: &Grouping,
    after: &mut Option<(Instant, Uuid)>,
) -> Result<Option<Vec<Entry>>, Error> {
    let Lookback { app, window, .. } = back;
    let (db, workspace) = (app.store.reports(), app.workspace());
    let page = rows::spent(db, (window.from, window.to), *after, PAGE).await?;
    let Some(last) = page.last() else { return Ok(None) };
    *after = Some((last.at, last.id));
    let leads: BTreeSet<Uuid> = page.iter().map(|effort| effort.lead).collect();
    let cycles = passages(db, &leads).await?;
    let values = Values::load(app, grouping, &leads).await?;
    let entry = |effort: Effort| {
        let passage = cycles.get(&effort.lead)?.iter().find(|one| one.cycle == effort.cycle)?.clone();
        let values = values_of(&workspace, grouping, &values, &passage, effort.user);
        Some(Entry { effort, passage, values })
    };
    Ok(Some(page.into_iter().filter_map(entry).collect()))
}

/// Time of the window, deals that were won in it and deals that are open now, by group.
pub async fn effort_by(back: Lookback<'_>, grouping: &Grouping) -> Result<EffortFound, Error> {
    let (mut found, mut groups) = (Efforts::default(), Groups::default());
    let (mut after, mut pages) = (None, back.pages(SPENT));
    while let Some(page) = entries(back, grouping, &mut after).await? {
        let rows = page.len();
        for Entry { effort, passage, values } in page {
            found.spent(groups.take(values), &passage, effort.minutes);
        }
        pages.turn(rows, after.map_or(back.window.from, |(at, _)| at)).await?;
    }
    each_ended(back, grouping, Want { amounts: true }, |ended| {
        if ended.passage.outcome == CycleOutcome::Won {
            found.won(groups.take(ended.values), ended.amount_minor);
        }
    })
    .await?;
    let Lookback { app, window, .. } = back;
    let (db, workspace) = (app.store.reports(), app.workspace());
    let (mut after, mut pages) = (None, back.pages("deals are open"));
    loop {
        let deals = rows::open_deals(db, after, PAGE).await?;
        let Some(last) = deals.last() else { return Ok(found.finish()) };
        after = Some(last.id);
        let leads: BTreeSet<Uuid> = deals.iter().map(|deal| deal.lead).collect();
        let cycles = passages(db, &leads).await?;
        let values = Values::load(app, grouping, &leads).await?;
        for deal in deals {
            let cycle = cycles.get(&deal.lead).and_then(|all| all.iter().find(|one| one.cycle == deal.cycle));
            let Some(passage) = cycle else { continue };
            found.open(groups.take(values.of(&workspace, grouping, passage)), deal.amount_minor);
        }
        pages.turn(leads.len(), window.to).await?;
    }
}

pub fn table(by: &[Dimension], rows: &[EffortRow], currency: &str) -> Table {
    let mut columns = vec!["row"];
    columns.extend(by.iter().map(|dimension| dimension.as_str()));
    columns.extend([
        "minutes",
        "poorMinutes",
        "leads",
        "shareBasisPoints",
        "won",
        "revenueMinor",
        "minutesPerWin",
        "openDeals",
        "pipelineMinor",
        "currency",
    ]);
    let row = |row: &EffortRow| {
        let mut cells = vec![if row.group.is_others() { "OTHERS".into() } else { "KEY".into() }];
        cells.extend((0..by.len()).map(|place| row.group.values().get(place).cloned().flatten().into()));
        cells.extend([
            row.minutes.into(),
            row.poor_minutes.into(),
            row.leads.into(),
            row.share.into(),
            row.won.into(),
            row.revenue_minor.into(),
            row.per_win().into(),
            row.open.into(),
            row.pipeline_minor.into(),
            currency.into(),
        ]);
        cells
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}
