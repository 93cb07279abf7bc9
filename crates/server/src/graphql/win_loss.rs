//! How deals ended: win/loss analysis, deal shapes, reasons over time, and the figures that everybody asks for first.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::conversion::CohortPeriod;
use handfast_domain::dimension::Dimension;
use handfast_domain::metric::MetricKey;
use handfast_domain::quantile::days;
use handfast_domain::report::ExportFormat;
use handfast_domain::stage::CycleOutcome;
use handfast_domain::win_loss::EndsRow;

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, grouping, points, shown, window};
use super::problem::failure;
use super::scalar::{Long, Money};
use super::{app, read_viewer};
use crate::flows::lookback::Lookback;
use crate::flows::win_loss::{self, Disposed, Kpis as Counted};
use crate::workspace::Workspace;

fn money(workspace: &Workspace, amount_minor: i64) -> Money {
    Money { amount_minor: Long(amount_minor), currency: workspace.charter.body.currency.clone() }
}

/// How the cycles that ended in the window ended, by what they are counted by.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct WinLoss {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    by: Vec<Dimension>,
    /// Number of rows.
    row_count: Long,
    #[graphql(skip)]
    found: Arc<Vec<EndsRow>>,
    #[graphql(skip)]
    workspace: Arc<Workspace>,
}

/// Cycles that are counted together.
#[derive(Clone, Debug, SimpleObject)]
pub struct WinLossRow {
    /// A value for each dimension, in their order; null where cycles do not say. Empty for the others.
    values: Vec<Option<String>>,
    /// Whether these are the combinations beyond the 1,000 that are told apart.
    others: bool,
    /// Cycles that were won.
    won: Long,
    /// Cycles that were lost.
    lost: Long,
    /// Cycles that went back to nurture.
    recycled: Long,
    /// Cycles that ended for good, with a reason.
    disqualified: Long,
    /// Won, of won and lost, in basis points; null without any of them.
    win_rate_basis_points: Option<i32>,
    /// Lower end of the win rate's interval of 95 %, in basis points.
    low: i32,
    /// Upper end of the win rate's interval of 95 %, in basis points.
    high: i32,
    /// What the won deals were won with.
    revenue: Money,
    /// Won deals whose amount nobody knows.
    without_amount: Long,
    /// Half of the won deals with a known amount were no larger.
    median_amount: Option<Money>,
    /// Days from opening to win that half of the won cycles took at most, with two places.
    median_days_to_win: Option<String>,
    /// The same from opening to loss.
    median_days_to_loss: Option<String>,
}

impl WinLossRow {
    fn wrap(workspace: &Workspace, row: &EndsRow) -> WinLossRow {
        let (ends, interval) = (&row.ends, row.rate.interval());
        WinLossRow {
            values: row.group.values().to_vec(),
            others: row.group.is_others(),
            won: count(ends.won),
            lost: count(ends.lost),
            recycled: count(ends.recycled),
            disqualified: count(ends.disqualified),
            win_rate_basis_points: (row.rate.of > 0).then(|| row.rate.basis_points()),
            low: points(interval.low),
            high: points(interval.high),
            revenue: money(workspace, ends.revenue_minor),
            without_amount: count(ends.without_amount),
            median_amount: row.median_minor.map(|minor| money(workspace, minor)),
            median_days_to_win: row.median_won.map(days),
            median_days_to_loss: row.median_lost.map(days),
        }
    }
}

#[ComplexObject]
impl WinLoss {
    /// Those with the most won and lost deals first; the others last.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<WinLossRow>>> {
        let row = |row: &EndsRow| Inline(WinLossRow::wrap(&self.workspace, row));
        Ok(self.found.iter().take(shown(first, 500)?).map(row).collect())
    }

    /// All rows as a table; `row` is KEY, or OTHERS for combinations beyond the 1,000 that are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        let currency = &self.workspace.charter.body.currency;
        win_loss::table(&self.by, &self.found, currency).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        use MetricKey::{CycleLength, DealSize, Revenue, WinRate};
        definitions(&[WinRate, Revenue, DealSize, CycleLength])
    }
}

/// What deals are worth and how long they take: those that were won in the window.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct DealShapes {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    by: Option<Dimension>,
    #[graphql(skip)]
    found: Arc<Vec<EndsRow>>,
    #[graphql(skip)]
    workspace: Arc<Workspace>,
}

/// Won deals that are counted together.
#[derive(Clone, Debug, SimpleObject)]
pub struct DealShape {
    /// Null for deals that do not say, and without `by`.
    key: Option<String>,
    /// Whether these are the keys beyond the 1,000 that are told apart.
    others: bool,
    /// Deals that were won.
    won: Long,
    /// A quarter of those with a known amount were no larger.
    lower_quartile: Option<Money>,
    /// Half of them were no larger.
    median_amount: Option<Money>,
    /// Three quarters of them were no larger.
    upper_quartile: Option<Money>,
    /// Days from opening to win that half of them took at most, with two places.
    median_cycle_days: Option<String>,
}

#[ComplexObject]
impl DealShapes {
    /// Those with the most deals first; the others last.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<DealShape>>> {
        let amount = |minor: i64| money(&self.workspace, minor);
        let row = |row: &EndsRow| {
            Inline(DealShape {
                key: row.group.key().map(str::to_owned),
                others: row.group.is_others(),
                won: count(row.ends.won),
                lower_quartile: row.middle_half().map(|(lower, _)| amount(lower)),
                median_amount: row.median_minor.map(amount),
                upper_quartile: row.middle_half().map(|(_, upper)| amount(upper)),
                median_cycle_days: row.median_won.map(days),
            })
        };
        Ok(self.found.iter().take(shown(first, 500)?).map(row).collect())
    }

    /// All rows as the table of `winLoss`.
    async fn export(&self, format: ExportFormat) -> String {
        let (by, currency) = (Vec::from_iter(self.by), &self.workspace.charter.body.currency);
        win_loss::table(&by, &self.found, currency).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::DealSize, MetricKey::CycleLength])
    }
}

/// Why cycles ended in the window, over time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Dispositions {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    group_by: Dimension,
    cohort: CohortPeriod,
    /// Number of rows.
    row_count: Long,
    #[graphql(skip)]
    found: Arc<Vec<Disposed>>,
}

/// Cycles that ended alike in one period.
#[derive(Clone, Debug, SimpleObject)]
pub struct DispositionCount {
    /// First day of the period in the charter's time zone.
    begins: Option<Date>,
    /// The reason, or what else is counted by; null for cycles that do not say, as won ones have no reason.
    key: Option<String>,
    /// Whether these are the keys beyond the 1,000 that are told apart.
    others: bool,
    /// How they ended.
    outcome: CycleOutcome,
    cycles: Long,
}

#[ComplexObject]
impl Dispositions {
    /// The earliest period first, and in it the most frequent.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 500", default = 200)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<DispositionCount>>> {
        let row = |row: &Disposed| {
            Inline(DispositionCount {
                begins: Date::from_days(row.begins),
                key: row.group.key().map(str::to_owned),
                others: row.group.is_others(),
                outcome: row.outcome,
                cycles: count(row.cycles),
            })
        };
        Ok(self.found.iter().take(shown(first, 500)?).map(row).collect())
    }

    /// All rows as a table; `row` is KEY, or OTHERS for keys beyond the 1,000 that are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        win_loss::dispositions_table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::Dispositions])
    }
}

/// The figures that everybody asks for first, beside those of the span of the same length before.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Kpis {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// Figures of the window.
    now: KpiFigures,
    /// Figures of the span of the same length that ended when the window began.
    before: KpiFigures,
    /// Revenue less that before, of that before, in basis points: 10000 is twice as much. Null where there was none.
    revenue_growth_basis_points: Option<Long>,
    #[graphql(skip)]
    found: Arc<[Counted; 2]>,
    #[graphql(skip)]
    workspace: Arc<Workspace>,
}

/// Figures of a span.
#[derive(Clone, Debug, SimpleObject)]
pub struct KpiFigures {
    /// Deals that were won.
    won: Long,
    /// Deals that were lost.
    lost: Long,
    /// Won, of won and lost, in basis points; null without any of them.
    win_rate_basis_points: Option<i32>,
    /// Lower end of the win rate's interval of 95 %, in basis points.
    low: i32,
    /// Upper end of the win rate's interval of 95 %, in basis points.
    high: i32,
    /// Companies that bought for the first time; a buyer without a company is one of its own.
    new_accounts: Long,
    /// What deals were won with.
    revenue: Money,
    /// Half of the won deals with a known amount were no larger.
    median_amount: Option<Money>,
    /// Days from opening to win that half of the won cycles took at most, with two places.
    median_cycle_days: Option<String>,
}

impl KpiFigures {
    fn wrap(workspace: &Workspace, counted: &Counted) -> KpiFigures {
        let (row, interval) = (&counted.ends, counted.ends.rate.interval());
        KpiFigures {
            won: count(row.ends.won),
            lost: count(row.ends.lost),
            win_rate_basis_points: (row.rate.of > 0).then(|| row.rate.basis_points()),
            low: points(interval.low),
            high: points(interval.high),
            new_accounts: count(counted.new_accounts),
            revenue: money(workspace, row.ends.revenue_minor),
            median_amount: row.median_minor.map(|minor| money(workspace, minor)),
            median_cycle_days: row.median_won.map(days),
        }
    }
}

#[ComplexObject]
impl Kpis {
    /// Both spans as a table.
    async fn export(&self, format: ExportFormat) -> String {
        let [now, before] = &*self.found;
        win_loss::kpis_table(&[now, before], &self.workspace.charter.body.currency).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        use MetricKey::{CycleLength, DealSize, NewAccounts, Revenue, WinRate};
        definitions(&[WinRate, NewAccounts, Revenue, DealSize, CycleLength])
    }
}

#[derive(Default)]
pub struct WinLossQuery;

#[Object]
impl WinLossQuery {
    /// Win/loss analysis: how the cycles that ended in the window ended, by up to three dimensions.
    async fn win_loss(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Up to three dimensions, each once; all cycles together without.")] by: Option<
            Vec<Dimension>,
        >,
        window: Option<WindowInput>,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<WinLoss> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, by.unwrap_or_default(), trait_key)?;
        let found = win_loss::win_loss(Lookback::on(app, window), &grouping).await.map_err(failure)?;
        Ok(WinLoss {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            by: grouping.by,
            row_count: count(found.len() as u64),
            found: Arc::new(found),
            workspace,
        })
    }

    /// What deals are worth and how long they take, by where they come from.
    async fn deal_shape(
        &self,
        ctx: &Context<'_>,
        by: Option<Dimension>,
        window: Option<WindowInput>,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<DealShapes> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, by, trait_key)?;
        let mut found = win_loss::win_loss(Lookback::on(app, window), &grouping).await.map_err(failure)?;
        found.retain(|row| row.ends.won > 0);
        found.sort_by_key(|row| (row.group.is_others(), std::cmp::Reverse(row.ends.won)));
        let charter = FunnelCharter::of(&workspace);
        Ok(DealShapes { charter, window: window.into(), by, found: Arc::new(found), workspace })
    }

    /// Why leads are put aside: the cycles that ended in the window, over time.
    async fn dispositions(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "Dimension::Reason")] group_by: Dimension,
        window: Option<WindowInput>,
        #[graphql(desc = "The period of a row.", default_with = "CohortPeriod::Month")] cohort: CohortPeriod,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<Dispositions> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, [group_by], trait_key)?;
        let found =
            win_loss::dispositions(Lookback::on(app, window), cohort, &grouping).await.map_err(failure)?;
        Ok(Dispositions {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            group_by,
            cohort,
            row_count: count(found.len() as u64),
            found: Arc::new(found),
        })
    }

    /// Win rate, new accounts, revenue: of a window, and of the one of the same length before.
    async fn kpis(&self, ctx: &Context<'_>, window: Option<WindowInput>) -> async_graphql::Result<Kpis> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let back = Lookback::on(app, window);
        let now = win_loss::kpis(back).await.map_err(failure)?;
        let before = win_loss::kpis(back.over(win_loss::before(window))).await.map_err(failure)?;
        let [revenue, earlier] = [&now, &before].map(|one| i128::from(one.ends.ends.revenue_minor));
        let growth = ((revenue - earlier) * 10_000).checked_div(earlier);
        Ok(Kpis {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            now: KpiFigures::wrap(&workspace, &now),
            before: KpiFigures::wrap(&workspace, &before),
            revenue_growth_basis_points: growth.map(|points| Long(i64::try_from(points).unwrap_or(i64::MAX))),
            found: Arc::new([now, before]),
            workspace,
        })
    }
}
