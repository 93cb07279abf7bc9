//! What won deals are owed to: credits of all models side by side, the deals behind each figure, what each department brought
//! in, and what came of the money that campaigns cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};
use handfast_domain::attribution::{
    AttributionBy, AttributionModel, Credit, Department as Counted, HALF_LIFE_DAYS, LOOK_BACK_DAYS, Tally,
    meaning,
};
use handfast_domain::digest::Digest;
use handfast_domain::event::ActivityKind;
use handfast_domain::report::ExportFormat;
use handfast_domain::stage::{CycleOutcome, Side};
use handfast_domain::time::Instant;
use handfast_store::attribution::{Deal, Step};

use super::campaign::Campaign;
use super::directory::User;
use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::lead::{Lead, LeadRef, Touchpoint, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::failure;
use super::scalar::{Long, Money, global};
use super::{app, read_viewer};
use crate::flows::attribution::{self, Divided, Figure, Wanted};
use crate::flows::lead;
use crate::flows::lookback::Lookback;
use crate::workspace::Workspace;

/// Won deals of a span, divided among the touches that led to them, in several models side by side. In each model the rows,
/// the others and the untouched deals add up to all deals, exactly.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Attribution {
    /// The agreement in force.
    charter: FunnelCharter,
    /// Beginning of the span.
    from: Instant,
    /// Its end, which is not in it.
    to: Instant,
    by: AttributionBy,
    /// Deals that were won in the span: the conversions.
    deals: Long,
    /// What they were won with.
    revenue: Money,
    /// Of them, deals whose amount nobody knows: they count, and credit no money.
    without_amount: Long,
    /// Deals without a touch within the look-back, which no model can credit.
    untouched: Long,
    /// What those were won with.
    untouched_revenue: Money,
    #[graphql(skip)]
    counted: Arc<Sorted>,
    #[graphql(skip)]
    workspace: Arc<Workspace>,
}

/// Rows in the order in which they are shown.
struct Sorted {
    tally: Tally,
    keys: Vec<String>,
}

/// What one key is credited: a channel, a campaign, a source.
#[derive(Clone, SimpleObject)]
pub struct AttributionRow {
    /// Null for touches that do not say.
    key: Option<String>,
    /// The campaign, by CAMPAIGN.
    campaign: Option<Inline<Campaign>>,
    /// One for each model, in the order in which they were asked for.
    credits: Vec<Inline<AttributionCredit>>,
}

/// What a model credits.
#[derive(Clone, Debug, SimpleObject)]
pub struct AttributionCredit {
    model: AttributionModel,
    /// Conversions as a decimal number with six places: an exact sum of fractions, rounded for display.
    conversions: String,
    /// In minor units, without rounding: credits add up to the deals.
    revenue: Money,
}

/// What the figures of attribution mean.
#[derive(Clone, Debug, SimpleObject)]
pub struct AttributionDefinition {
    /// Rises when the same deals would be divided otherwise.
    version: i32,
    /// How far back from the win a path reaches.
    look_back_days: i32,
    /// Half-life of TIME_DECAY.
    half_life_days: i32,
    /// What is counted as a conversion.
    conversion: &'static str,
    /// Which touches belong to a deal.
    path: &'static str,
    /// Which touch led to the lead, to the opportunity, to the win.
    milestones: &'static str,
    /// How a conversion is divided.
    credit: &'static str,
    /// How its money is.
    money: &'static str,
    /// How sourced and influenced revenue are told apart.
    departments: &'static str,
}

fn definition() -> AttributionDefinition {
    AttributionDefinition {
        version: super::small(meaning::VERSION),
        look_back_days: days(LOOK_BACK_DAYS),
        half_life_days: days(HALF_LIFE_DAYS),
        conversion: meaning::CONVERSION,
        path: meaning::PATH,
        milestones: meaning::MILESTONES,
        credit: meaning::CREDIT,
        money: meaning::MONEY,
        departments: meaning::DEPARTMENTS,
    }
}

fn days(days: i64) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn count(number: u64) -> Long {
    Long(i64::try_from(number).unwrap_or(i64::MAX))
}

fn money(workspace: &Workspace, amount_minor: i64) -> Money {
    Money { amount_minor: Long(amount_minor), currency: workspace.charter.body.currency.clone() }
}

fn credits(
    workspace: &Workspace,
    models: &[AttributionModel],
    row: &[Credit],
) -> Vec<Inline<AttributionCredit>> {
    let credit = |(model, credit): (&AttributionModel, &Credit)| {
        let (conversions, revenue) = (credit.conversions.decimal(), money(workspace, credit.revenue_minor));
        Inline(AttributionCredit { model: *model, conversions, revenue })
    };
    models.iter().zip(row).map(credit).collect()
}

#[ComplexObject]
impl Attribution {
    /// The keys with the largest credits of the first model: revenue first, then conversions.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<AttributionRow>>> {
        let first = usize::try_from(super::bounded("first", first, 200)?).unwrap_or(0);
        let Sorted { tally, keys } = &*self.counted;
        let row = |key: &String| {
            let campaign = || self.workspace.campaign_by_key(key).cloned().map(Campaign::wrap).map(Inline);
            Inline(AttributionRow {
                key: Some(key.clone()).filter(|key| !key.is_empty()),
                campaign: if self.by == AttributionBy::Campaign { campaign() } else { None },
                credits: credits(
                    &self.workspace,
                    &tally.models,
                    tally.rows.get(key).map_or(&[], Vec::as_slice),
                ),
            })
        };
        Ok(keys.iter().take(first).map(row).collect())
    }

    /// What all other keys are credited together, beyond so many rows.
    async fn others(
        &self,
        #[graphql(desc = "0 to 200", default = 50)] beyond: i32,
    ) -> async_graphql::Result<Vec<Inline<AttributionCredit>>> {
        let beyond = if beyond == 0 { 0 } else { super::bounded("beyond", beyond, 200)? };
        let Sorted { tally, keys } = &*self.counted;
        let mut sum = tally.others.clone();
        for row in
            keys.iter().skip(usize::try_from(beyond).unwrap_or(0)).filter_map(|key| tally.rows.get(key))
        {
            sum.iter_mut().zip(row).for_each(|(sum, credit)| sum.merge(credit));
        }
        Ok(credits(&self.workspace, &tally.models, &sum))
    }

    /// All credits as a table: `row` is KEY, OTHERS (of keys beyond the 10,000 that are told apart) or UNTOUCHED, and the
    /// revenues of a model add up to that of all deals.
    async fn export(&self, format: ExportFormat) -> String {
        let Sorted { tally, keys } = &*self.counted;
        attribution::table(tally, keys, &self.workspace.charter.body.currency).write(format)
    }

    /// What the figures mean.
    async fn definition(&self) -> AttributionDefinition {
        definition()
    }
}

/// A won deal behind a figure.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct AttributedDeal {
    lead: Lead,
    /// Number of the cycle that was won.
    cycle: i32,
    won_at: Instant,
    /// What it was won with; null where nobody knows.
    amount: Option<Money>,
    /// What the figure has of the conversion, as a decimal number with six places.
    conversions: String,
    /// What the figure has of the amount.
    credit: Money,
    /// Steps of the figure that it is owed to.
    touch_count: Long,
    #[graphql(skip)]
    steps: Arc<Vec<(Step, Credit)>>,
    #[graphql(skip)]
    workspace: Arc<Workspace>,
}

#[ComplexObject]
impl AttributedDeal {
    /// The steps of the figure that it is owed to, in order of time.
    async fn touches(
        &self,
        #[graphql(desc = "1 to 200", default = 20)] first: i32,
    ) -> async_graphql::Result<Vec<AttributedTouch>> {
        listed(&self.workspace, &self.steps, first)
    }
}

fn listed(
    workspace: &Workspace,
    steps: &[(Step, Credit)],
    first: i32,
) -> async_graphql::Result<Vec<AttributedTouch>> {
    let first = usize::try_from(super::bounded("first", first, 200)?).unwrap_or(0);
    Ok(steps.iter().take(first).map(|step| AttributedTouch::wrap(workspace, step)).collect())
}

/// A step of a path and what it is credited. It is a touch, or work of a person.
#[derive(Clone, SimpleObject)]
pub struct AttributedTouch {
    at: Instant,
    touchpoint: Option<Inline<Touchpoint>>,
    /// What a person did to reach the buyer, by DEPARTMENT.
    activity: Option<ActivityKind>,
    /// Who did it.
    user: Option<User>,
    /// Its part of the conversion, as a decimal number with six places.
    conversions: String,
    /// Its part of the amount.
    credit: Money,
}

impl AttributedTouch {
    fn wrap(workspace: &Workspace, (step, credit): &(Step, Credit)) -> AttributedTouch {
        let (touchpoint, work) = match step {
            Step::Touch(touch) => (Some(Inline(Touchpoint::wrap(touch, workspace))), None),
            Step::Work(work) => (None, Some(work)),
        };
        let user = work.and_then(|work| workspace.directory.user(work.actor?));
        AttributedTouch {
            at: step.at(),
            touchpoint,
            activity: work.map(|work| work.kind),
            user: user.map(User::wrap),
            conversions: credit.conversions.decimal(),
            credit: money(workspace, credit.revenue_minor),
        }
    }
}

impl AttributedDeal {
    fn wrap(workspace: &Arc<Workspace>, divided: Divided, lead: Lead) -> AttributedDeal {
        let Divided { deal, steps, sum } = divided;
        AttributedDeal {
            lead,
            cycle: super::small(deal.cycle),
            won_at: deal.milestones.won,
            amount: deal.amount_minor.map(|minor| money(workspace, minor)),
            conversions: sum.conversions.decimal(),
            credit: money(workspace, sum.revenue_minor),
            touch_count: count(steps.len() as u64),
            steps: Arc::new(steps),
            workspace: workspace.clone(),
        }
    }
}

/// A deal that sales recorded: that of one cycle of a lead.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Opportunity {
    pub id: ID,
    /// Number of the cycle.
    cycle: i32,
    /// What it is expected to bring; once it was won, what it was won with. Null where nobody knows.
    amount: Option<Money>,
    opened_at: Instant,
    /// When it was expected to close.
    expected_close: Option<Instant>,
    /// When its cycle ended.
    closed_at: Option<Instant>,
    /// How its cycle ended.
    outcome: CycleOutcome,
    #[graphql(skip)]
    deal: Arc<Deal>,
}

impl Opportunity {
    fn wrap(deal: Deal) -> Opportunity {
        let amount = deal.amount_minor.map(|minor| (Long(minor), deal.currency.clone()));
        Opportunity {
            id: global("Opportunity", deal.id),
            cycle: super::small(deal.cycle),
            amount: amount.map(|(amount_minor, currency)| Money { amount_minor, currency }),
            opened_at: deal.opened_at,
            expected_close: deal.expected_close,
            closed_at: deal.closed_at,
            outcome: deal.outcome,
            deal: Arc::new(deal),
        }
    }
}

#[ComplexObject]
impl Opportunity {
    /// The touches that the deal is owed to, in order of time; empty until it is won. The credits of all of them add up to its
    /// amount.
    async fn attribution(
        &self,
        ctx: &Context<'_>,
        model: AttributionModel,
        #[graphql(desc = "1 to 200", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<AttributedTouch>> {
        let app = app(ctx)?;
        let (lead, cycle) = (self.deal.lead, self.deal.cycle);
        let found =
            attribution::deal(app, lead, cycle, AttributionBy::Channel, model).await.map_err(failure)?;
        let steps = found.map_or(vec![], |divided| divided.steps);
        listed(&app.workspace(), &steps, first)
    }
}

/// What each department brought in. Every minor unit stands in one place: sourced and influenced revenue of both, and that of
/// untouched deals, add up to all revenue.
#[derive(Clone, SimpleObject)]
pub struct Contribution {
    /// The agreement in force.
    charter: FunnelCharter,
    /// Beginning of the span.
    from: Instant,
    /// Its end, which is not in it.
    to: Instant,
    model: AttributionModel,
    /// Deals that were won in the span.
    deals: Long,
    /// What they were won with.
    revenue: Money,
    /// Deals that nobody touched within the look-back.
    untouched: Long,
    /// What those were won with.
    untouched_revenue: Money,
    /// MARKETING and SALES.
    departments: Vec<DepartmentContribution>,
    /// What the figures mean.
    definition: AttributionDefinition,
}

/// What one department brought in.
#[derive(Clone, SimpleObject)]
pub struct DepartmentContribution {
    side: Side,
    /// Deals whose first step was the department's.
    sourced_deals: Long,
    /// Deals that the other one sourced, in which this one took steps, too.
    influenced_deals: Long,
    /// What the model credits to the department in deals that it sourced.
    sourced_revenue: Money,
    /// What the model credits to it in deals that the other one sourced.
    influenced_revenue: Money,
    /// Both together, in conversions: a decimal number with six places.
    conversions: String,
    /// What campaigns that began in the span cost; null for sales, whose costs are not known here.
    cost: Option<Money>,
    /// Sourced and influenced revenue less cost, of cost, in basis points: 10000 is twice the money back. Null without cost.
    roi_basis_points: Option<Long>,
}

/// What came back of the money that campaigns cost.
#[derive(Clone, SimpleObject)]
pub struct Roi {
    /// Null for campaigns without one.
    key: Option<String>,
    /// The campaign, by CAMPAIGN.
    campaign: Option<Inline<Campaign>>,
    /// What the campaigns that began in the span cost.
    cost: Money,
    /// What the model credits to all touches of the key in the span.
    revenue: Money,
    /// The same in conversions: a decimal number with six places.
    conversions: String,
    /// Revenue less cost, of cost, in basis points: 0 is the money back, 10000 twice of it. Null without cost.
    roi_basis_points: Option<Long>,
}

/// Rounded toward zero.
pub fn roi(revenue: i64, cost: i64) -> Option<Long> {
    let gain = (i128::from(revenue) - i128::from(cost)) * 10_000;
    let roi = gain.checked_div(i128::from(cost))?;
    Some(Long(i64::try_from(roi).unwrap_or(i64::MAX)))
}

#[derive(Default)]
pub struct AttributionQuery;

#[Object]
impl AttributionQuery {
    /// What the deals that were won in a span are owed to, in several models side by side.
    async fn attribution(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "AttributionBy::Channel")] by: AttributionBy,
        #[graphql(desc = "All of them without; each at most once.")] models: Option<Vec<AttributionModel>>,
        #[graphql(desc = "The last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Not included; now without. At most 366 days after `from`.")] to: Option<Instant>,
    ) -> async_graphql::Result<Attribution> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = attribution::window(app, from, to).map_err(|refused| failure(refused.into()))?;
        let models = attribution::models(models).map_err(|refused| failure(refused.into()))?;
        let attribution::Report { tally, without_amount } =
            attribution::report(Lookback::on(app, window), by, models).await.map_err(failure)?;
        let workspace = app.workspace();
        let (deals, revenue) = (count(tally.deals), money(&workspace, tally.revenue_minor));
        let untouched = count(tally.untouched_deals);
        let untouched_revenue = money(&workspace, tally.untouched.revenue_minor);
        let keys = attribution::sorted(&tally);
        Ok(Attribution {
            charter: FunnelCharter::of(&workspace),
            from: window.from,
            to: window.to,
            by,
            deals,
            revenue,
            without_amount: count(without_amount),
            untouched,
            untouched_revenue,
            counted: Arc::new(Sorted { tally, keys }),
            workspace,
        })
    }

    /// The deals behind a figure of `attribution` or `contribution`, the earliest win first. Their credits add up to it.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn attributed_deals(
        &self,
        ctx: &Context<'_>,
        by: AttributionBy,
        #[graphql(desc = "Key of the row; touches that do not say without.")] key: Option<String>,
        #[graphql(desc = "Instead of a row, the deals that nobody touched.", default)] untouched: bool,
        model: AttributionModel,
        #[graphql(desc = "The last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Not included; now without. At most 366 days after `from`.")] to: Option<Instant>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<AttributedDeal>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        // The end of an open span moves from page to page.
        let filter = Digest::of("filter", 1, &("attributed", by, &key, untouched, model, from, to));
        let page = PageArgs { first, after, ..PageArgs::default() }.window(app, "won", filter)?;
        let window = attribution::window(app, from, to).map_err(|refused| failure(refused.into()))?;
        let wanted = match untouched {
            true => Wanted::Untouched,
            false => Wanted::Key(key.unwrap_or_default()),
        };
        let figure = Figure { window, by, model, wanted };
        let after = page.from.map(|(at, lead)| (Instant(at), lead, u32::MAX));
        let limit = usize::try_from(page.limit).unwrap_or(0);
        let rows = attribution::rows(app, &figure, after, limit).await.map_err(failure)?;
        let ids: Vec<uuid::Uuid> = rows.iter().map(|divided| divided.deal.lead).collect();
        let look = ctx.look_ahead().field("edges").field("node").field("lead");
        let leads: BTreeMap<uuid::Uuid, Lead> = leads_by(app, &ids, &want(look)).await?;
        let known = |divided: Divided| {
            let lead = leads.get(&divided.deal.lead).cloned()?;
            Some((divided, lead))
        };
        let rows: Vec<_> = rows.into_iter().filter_map(known).collect();
        let (workspace, place) = (app.workspace(), |divided: &Divided| divided.deal.place());
        Ok(page.page(
            app,
            rows,
            |(divided, _)| (place(divided).0.ms(), place(divided).1),
            |(divided, lead)| AttributedDeal::wrap(&workspace, divided, lead),
        ))
    }

    /// The deals that sales recorded of a lead, the first one first; at most 1,000.
    async fn opportunities(
        &self,
        ctx: &Context<'_>,
        lead: LeadRef,
    ) -> async_graphql::Result<Vec<Opportunity>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let key = lead.key().map_err(|refused| failure(refused.into()))?;
        let lead = lead::find(app, &key).await.map_err(failure)?;
        let deals = handfast_store::attribution::deals(app.store.read(), lead).await;
        Ok(deals.map_err(|error| failure(error.into()))?.into_iter().map(Opportunity::wrap).collect())
    }

    /// What marketing and sales brought in, sourced and influenced, without a minor unit twice.
    async fn contribution(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How each deal is divided.", default_with = "AttributionModel::WShaped")]
        model: AttributionModel,
        #[graphql(desc = "The last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Not included; now without. At most 366 days after `from`.")] to: Option<Instant>,
    ) -> async_graphql::Result<Contribution> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = attribution::window(app, from, to).map_err(|refused| failure(refused.into()))?;
        let found = attribution::contribution(app, window, model).await.map_err(failure)?;
        let workspace = app.workspace();
        let department = |side: Side, counted: &Counted| {
            let mut sum = counted.sourced.clone();
            sum.merge(&counted.influenced);
            let cost = (side == Side::Marketing).then(|| attribution::cost(&workspace, window));
            DepartmentContribution {
                side,
                sourced_deals: count(counted.sourced_deals),
                influenced_deals: count(counted.influenced_deals),
                sourced_revenue: money(&workspace, counted.sourced.revenue_minor),
                influenced_revenue: money(&workspace, counted.influenced.revenue_minor),
                conversions: sum.conversions.decimal(),
                cost: cost.map(|cost| money(&workspace, cost)),
                roi_basis_points: cost.and_then(|cost| roi(sum.revenue_minor, cost)),
            }
        };
        Ok(Contribution {
            charter: FunnelCharter::of(&workspace),
            from: window.from,
            to: window.to,
            model,
            deals: count(found.deals),
            revenue: money(&workspace, found.revenue_minor),
            untouched: count(found.untouched_deals),
            untouched_revenue: money(&workspace, found.untouched.revenue_minor),
            departments: vec![
                department(Side::Marketing, &found.marketing),
                department(Side::Sales, &found.sales),
            ],
            definition: definition(),
        })
    }

    /// What came back of the money that campaigns cost, the largest cost first: revenue that a model credits to their touches
    /// in the span, against what the campaigns that began in the span cost.
    async fn roi(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "CHANNEL, CAMPAIGN, CAMPAIGN_KIND or AUDIENCE.",
            default_with = "AttributionBy::CampaignKind"
        )]
        by: AttributionBy,
        #[graphql(desc = "How each deal is divided.", default_with = "AttributionModel::WShaped")]
        model: AttributionModel,
        #[graphql(desc = "The last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Not included; now without. At most 366 days after `from`.")] to: Option<Instant>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Roi>> {
        read_viewer(ctx)?;
        let (app, first) = (app(ctx)?, super::bounded("first", first, 200)?);
        let window = attribution::window(app, from, to).map_err(|refused| failure(refused.into()))?;
        let mut rows = attribution::returns(app, window, by, model).await.map_err(failure)?;
        rows.truncate(usize::try_from(first).unwrap_or(0));
        let workspace = app.workspace();
        let row = |attribution::Return { key, cost_minor, credit }| Roi {
            campaign: match by {
                AttributionBy::Campaign => {
                    workspace.campaign_by_key(&key).cloned().map(Campaign::wrap).map(Inline)
                }
                _ => None,
            },
            key: Some(key).filter(|key: &String| !key.is_empty()),
            cost: money(&workspace, cost_minor),
            revenue: money(&workspace, credit.revenue_minor),
            conversions: credit.conversions.decimal(),
            roi_basis_points: roi(credit.revenue_minor, cost_minor),
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::roi;
    use crate::graphql::scalar::Long;

    #[test]
    fn a_return_is_told_in_basis_points_of_its_cost() {
        let cases = [
            (0, 100, Some(-10_000)),
            (100, 100, Some(0)),
            (300, 100, Some(20_000)),
            (7, 0, None),
            (1, 3, Some(-6_666)),
        ];
        for (revenue, cost, expected) in cases {
            assert_eq!(roi(revenue, cost), expected.map(Long), "{revenue} of {cost}");
        }
    }
}
