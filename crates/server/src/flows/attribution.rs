//! Attribution: the won deals of a span of time, divided among what led to them. Paths are read page by page; what is kept is
//! bounded by the number of different keys.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use handfast_domain::attribution::{
    self, AttributionBy, AttributionModel, Contribution, Credit, Shares, Tally, Touch,
};
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Channel, Side};
use handfast_domain::time::{DAY, Instant};
use handfast_store::attribution::{DealPlace, Path, Span, Step, WonDeal, path, paths};
use handfast_store::campaign::Campaign;
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::window::Window;
use crate::app::App;
use crate::workspace::Workspace;

/// The longest span of one report.
pub const MAX_DAYS: i64 = 366;
/// Won deals of one report; more are for several shorter spans.
const MOST: u64 = 100_000;
/// Different keys that are told apart in one report.
const KEYS: usize = 10_000;

/// What a step is counted under; empty where it does not say. None for what is no step here.
fn key<'a>(by: AttributionBy, workspace: &'a Workspace, step: &'a Step) -> Option<&'a str> {
    let touch = match step {
        Step::Touch(touch) => touch,
        Step::Work(work) => {
            let user = workspace.directory.user(work.actor?)?;
            let ours = matches!(user.side, Side::Marketing | Side::Sales);
            return (by == AttributionBy::Department && ours).then_some(user.side.as_str());
        }
    };
    let campaign = || touch.campaign.and_then(|id| workspace.campaign(id));
    let text = match by {
        AttributionBy::Channel => Some(touch.channel.as_str()),
        AttributionBy::Source => touch.source.as_deref(),
        AttributionBy::Medium => touch.medium.as_deref(),
        AttributionBy::Content => touch.content.as_deref(),
        AttributionBy::Campaign => campaign().map(|campaign| campaign.key.as_str()),
        AttributionBy::CampaignKind => campaign().map(|campaign| campaign.kind.as_str()),
        AttributionBy::Audience => campaign().and_then(|campaign| planned_for(workspace, campaign)),
        AttributionBy::Department => Some(attribution::side_of(touch.channel).as_str()),
    };
    Some(text.unwrap_or_default())
}

/// A span that a report may have.
pub fn window(app: &App, from: Option<Instant>, to: Option<Instant>) -> Result<Window, Refused> {
    let window = Window::new(app, from, to)?;
    let days = (window.to.since(window.from) + DAY - 1) / DAY;
    if days > MAX_DAYS {
        let message =
            format!("from and to span at most {MAX_DAYS} days, found {days}; ask for several spans");
        return Err(Refused::invalid("from", message));
    }
    Ok(window)
}

/// The steps of a path that count, as the models see them, each with its key.
struct Seen<'a> {
    steps: Vec<&'a Step>,
    touches: Vec<Touch>,
    keys: Vec<&'a str>,
}

impl<'a> Seen<'a> {
    fn of(workspace: &'a Workspace, by: AttributionBy, path: &'a Path) -> Seen<'a> {
        let mut seen = Seen { steps: vec![], touches: vec![], keys: vec![] };
        for step in &path.steps {
            let Some(key) = key(by, workspace, step) else { continue };
            let channel = match step {
                Step::Touch(touch) => touch.channel,
                // People's work is never direct traffic.
                Step::Work(_) => Channel::Outbound,
            };
            seen.steps.push(step);
            seen.touches.push(Touch { at: step.at(), channel });
            seen.keys.push(key);
        }
        seen
    }
}

/// Hands over every path of the span, the earliest win first.
async fn each(back: Lookback<'_>, by: AttributionBy, mut take: impl FnMut(&Path)) -> Result<(), Error> {
    let (mut after, mut count, mut pages) = (None, 0u64, back.pages("deals were won"));
    let span = span(back.window, by);
    loop {
        let page = paths(back.app.store.read(), span, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        (after, count) = (Some(last.deal.place()), count + page.len() as u64);
        if count > MOST && back.is_awaited() {
            let message = format!(
                "more than {MOST} deals were won from {} to {}; ask for shorter spans, or for the whole of it by startReport",
                span.from, span.to
            );
            return Err(Refused::invalid("from", message).into());
        }
        page.iter().for_each(&mut take);
        pages.turn(page.len(), last.deal.milestones.won).await?;
    }
}

/// Credits of a span, by key, in several models side by side.
pub struct Report {
    pub tally: Tally,
    /// Deals whose amount nobody knows; their conversions count, and they credit no money.
    pub without_amount: u64,
}

/// Divides all deals of the span.
pub async fn report(
    back: Lookback<'_>,
    by: AttributionBy,
    models: Vec<AttributionModel>,
) -> Result<Report, Error> {
    let workspace = back.app.workspace();
    let mut report = Report { tally: Tally::new(models, KEYS), without_amount: 0 };
    each(back, by, |path| {
        let seen = Seen::of(&workspace, by, path);
        report.without_amount += u64::from(path.deal.amount_minor.is_none());
        let amount = path.deal.amount_minor.unwrap_or(0);
        report.tally.add(&seen.touches, &seen.keys, &path.deal.milestones, amount);
    })
    .await?;
    Ok(report)
}

fn span(Window { from, to }: Window, by: AttributionBy) -> Span {
    Span { from, to, with_work: by == AttributionBy::Department }
}

/// What each department brought in.
pub async fn contribution(app: &App, window: Window, model: AttributionModel) -> Result<Contribution, Error> {
    let (workspace, by) = (app.workspace(), AttributionBy::Department);
    let mut found = Contribution::default();
    each(Lookback::on(app, window), by, |path| {
        let seen = Seen::of(&workspace, by, path);
        let sides: Vec<Side> =
            seen.keys.iter().map(|key| Side::parse(key).unwrap_or(Side::Marketing)).collect();
        let amount = path.deal.amount_minor.unwrap_or(0);
        found.add(model, &seen.touches, &sides, &path.deal.milestones, amount);
    })
    .await?;
    Ok(found)
}

/// A deal as one model divides it among steps.
#[derive(Clone, Debug)]
pub struct Divided {
    pub deal: WonDeal,
    pub steps: Vec<(Step, Credit)>,
    /// What its steps are credited together; the whole deal where nobody touched it.
    pub sum: Credit,
}

/// Which steps of a deal are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    /// Empty for touches that do not say.
    Key(String),
    /// None: deals that nobody touched.
    Untouched,
}

/// The steps that get a part. None for a deal without one that is wanted.
fn divide(
    workspace: &Workspace,
    by: AttributionBy,
    model: AttributionModel,
    wanted: &Wanted,
    path: &Path,
) -> Option<Divided> {
    let (seen, deal) = (Seen::of(workspace, by, path), path.deal.clone());
    let amount = deal.amount_minor.unwrap_or(0);
    let mut sum = Credit::default();
    let Some(shares) = Shares::of(model, &seen.touches, &deal.milestones) else {
        sum.conversions.add(1, 1);
        sum.revenue_minor = amount;
        return (*wanted == Wanted::Untouched).then_some(Divided { deal, steps: vec![], sum });
    };
    let mut steps = vec![];
    for (place, revenue_minor) in shares.credits(amount).into_iter().enumerate() {
        let part = shares.parts[place];
        let asked = match wanted {
            Wanted::All => true,
            Wanted::Key(key) => key == seen.keys[place],
            Wanted::Untouched => false,
        };
        if part == 0 || !asked {
            continue;
        }
        let mut credit = Credit { revenue_minor, ..Credit::default() };
        credit.conversions.add(part, shares.whole);
        sum.merge(&credit);
        steps.push((seen.steps[place].clone(), credit));
    }
    (!steps.is_empty()).then_some(Divided { deal, steps, sum })
}

/// One deal of a lead, divided; none if its cycle was not won, or nobody touched it.
pub async fn deal(
    app: &App,
    lead: Uuid,
    cycle: u32,
    by: AttributionBy,
    model: AttributionModel,
) -> Result<Option<Divided>, Error> {
    let found = path(app.store.read(), lead, cycle, by == AttributionBy::Department).await?;
    Ok(found.and_then(|path| divide(&app.workspace(), by, model, &Wanted::All, &path)))
}

/// The figure whose rows are asked for.
#[derive(Clone, Debug)]
pub struct Figure {
    pub window: Window,
    pub by: AttributionBy,
    pub model: AttributionModel,
    pub wanted: Wanted,
}

/// The deals behind a figure, the earliest win first: their credits add up to it.
pub async fn rows(
    app: &App,
    figure: &Figure,
    after: Option<DealPlace>,
    limit: usize,
) -> Result<Vec<Divided>, Error> {
    let workspace = app.workspace();
    let (mut after, mut found, mut read) = (after, vec![], 0);
    while found.len() < limit && read <= MOST {
        let page = paths(app.store.read(), span(figure.window, figure.by), after).await?;
        let Some(last) = page.last() else { break };
        (after, read) = (Some(last.deal.place()), read + page.len() as u64);
        let divided = |path| divide(&workspace, figure.by, figure.model, &figure.wanted, path);
        found.extend(page.iter().filter_map(divided));
        tokio::task::yield_now().await;
    }
    found.truncate(limit);
    Ok(found)
}

/// The models that are asked for, each once; all of them without.
pub fn models(asked: Option<Vec<AttributionModel>>) -> Result<Vec<AttributionModel>, Refused> {
    let models = asked.unwrap_or_else(|| AttributionModel::ALL.to_vec());
    let twice = models.iter().enumerate().find(|(place, model)| models[..*place].contains(model));
    match twice {
        _ if models.is_empty() => {
            Err(Refused::invalid("models", "name at least one model, or leave them out for all"))
        }
        Some((_, model)) => {
            Err(Refused::invalid("models", format!("{model} is named twice; keep one of them")))
        }
        None => Ok(models),
    }
}

/// The keys of a tally, those with the largest credits of the first model first.
pub fn sorted(tally: &Tally) -> Vec<String> {
    let mut keys: Vec<(&String, &Credit)> =
        tally.rows.iter().filter_map(|(key, row)| Some((key, row.first()?))).collect();
    keys.sort_by_cached_key(|(key, credit)| {
        (Reverse(credit.revenue_minor), Reverse(credit.conversions.millionths()), (*key).clone())
    });
    keys.into_iter().map(|(key, _)| key.clone()).collect()
}

/// All credits as a table that adds up to the deals: a row for each key and model, then what keys beyond the limit and untouched
/// deals have. Keys come in the order that is given.
pub fn table(tally: &Tally, keys: &[String], currency: &str) -> Table {
    let columns = vec!["row", "key", "model", "conversions", "revenueMinor", "currency"];
    let mut rows = vec![];
    let mut add = |row: &str, key: Option<&str>, credits: &[Credit]| {
        for (model, credit) in tally.models.iter().zip(credits) {
            let (conversions, revenue) = (credit.conversions.decimal(), credit.revenue_minor);
            rows.push(vec![
                row.into(),
                key.filter(|key| !key.is_empty()).into(),
                model.as_str().into(),
                conversions.into(),
                revenue.into(),
                currency.into(),
            ]);
        }
    };
    for key in keys {
        add("KEY", Some(key), tally.rows.get(key).map_or(&[], Vec::as_slice));
    }
    add("OTHERS", None, &tally.others);
    add("UNTOUCHED", None, &vec![tally.untouched.clone(); tally.models.len()]);
    Table { columns, rows }
}

/// Key of the audience that a campaign was planned for.
fn planned_for<'a>(workspace: &'a Workspace, campaign: &Campaign) -> Option<&'a str> {
    let audience = campaign.audience?;
    workspace.audiences.iter().find(|one| one.id == audience).map(|one| one.key.as_str())
}

/// What the campaigns that began in the window cost. One without a beginning began when it was planned.
pub fn cost(workspace: &Workspace, window: Window) -> i64 {
    began(workspace, window).map(|campaign| campaign.cost_minor).fold(0, i64::saturating_add)
}

pub fn began(workspace: &Workspace, Window { from, to }: Window) -> impl Iterator<Item = &Arc<Campaign>> {
    let at = |campaign: &Campaign| campaign.starts_at.unwrap_or(campaign.created_at);
    workspace.campaigns.newest.iter().filter(move |campaign| (from..to).contains(&at(campaign)))
}

/// What was spent under a key, and what came back.
pub struct Return {
    pub key: String,
    pub cost_minor: i64,
    pub credit: Credit,
}

/// Costs against credits, the largest cost first, then the largest revenue.
pub async fn returns(
    app: &App,
    window: Window,
    by: AttributionBy,
    model: AttributionModel,
) -> Result<Vec<Return>, Error> {
    if !by.has_costs() {
        let message =
            format!("costs are known by CHANNEL, CAMPAIGN, CAMPAIGN_KIND and AUDIENCE, not by {by}");
        return Err(Refused::invalid("by", message).into());
    }
    let workspace = app.workspace();
    let mut found: BTreeMap<String, Return> = BTreeMap::new();
    let blank = |key: String| Return { key, cost_minor: 0, credit: Credit::default() };
    for campaign in began(&workspace, window) {
        let key = match by {
            AttributionBy::Channel => campaign.channel.as_str(),
            AttributionBy::Campaign => &campaign.key,
            AttributionBy::Audience => planned_for(&workspace, campaign).unwrap_or_default(),
            _ => &campaign.kind,
        };
        let row = found.entry(key.to_owned()).or_insert_with(|| blank(key.to_owned()));
        row.cost_minor = row.cost_minor.saturating_add(campaign.cost_minor);
    }
    for (key, row) in report(Lookback::on(app, window), by, vec![model]).await?.tally.rows {
        let credit = row.into_iter().next().unwrap_or_default();
        found.entry(key.clone()).or_insert_with(|| blank(key)).credit = credit;
    }
    let mut rows: Vec<Return> = found.into_values().collect();
    rows.sort_by_key(|row| (Reverse(row.cost_minor), Reverse(row.credit.revenue_minor)));
    Ok(rows)
}
