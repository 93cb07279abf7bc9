//! The leads behind a figure.

use std::collections::BTreeMap;

use async_graphql::{Context, InputObject, Object, OneofObject, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::conversion::CohortPeriod;
use handfast_domain::digest::Digest;
use handfast_domain::dimension::Dimension;
use handfast_domain::quantile::days;
use handfast_domain::refused::Refused;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;

use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::passage::{WindowInput, grouping, window};
use super::problem::failure;
use super::scalar::{Long, Money};
use super::{app, read_viewer, small};
use crate::app::App;
use crate::flows::drill::{self, Asked, Figure, Row};

/// The figure whose rows are asked for, as the report was asked for it.
#[derive(Clone, Debug, OneofObject)]
pub enum FigureInput {
    /// Of `conversion`.
    Conversion(ConversionFigureInput),
    /// Of `winLoss`, `dealShape`, `dispositions` or `kpis`.
    Ending(EndingFigureInput),
}

/// A figure of `conversion`.
#[derive(Clone, Debug, InputObject)]
pub struct ConversionFigureInput {
    /// Not ANONYMOUS.
    from: StageKind,
    /// A later stage.
    to: StageKind,
    /// Those that came to the other stage, or those that did not; without, all that entered.
    reached: Option<bool>,
    window: Option<WindowInput>,
    by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
    /// A value for each dimension, null for cycles that do not say; all keys without. Keys that were counted with the others are
    /// asked for by their own names.
    values: Option<Vec<Option<String>>>,
    /// The period of a cohort; needs `begins`.
    cohort: Option<CohortPeriod>,
    /// First day of the cohort.
    begins: Option<Date>,
}

/// A figure about cycles that ended.
#[derive(Clone, Debug, InputObject)]
pub struct EndingFigureInput {
    /// How they ended; in any way without.
    outcome: Option<CycleOutcome>,
    window: Option<WindowInput>,
    /// Up to three dimensions.
    by: Option<Vec<Dimension>>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
    /// A value for each dimension, null for cycles that do not say; all keys without. Keys that were counted with the others are
    /// asked for by their own names.
    values: Option<Vec<Option<String>>>,
    /// The period of a row; needs `begins`.
    cohort: Option<CohortPeriod>,
    /// First day of the period.
    begins: Option<Date>,
}

/// A cycle behind a figure.
#[derive(Clone, SimpleObject)]
pub struct DrilledCycle {
    lead: Lead,
    /// Number of the cycle.
    cycle: i32,
    /// When it was counted: when it entered the stage, or ended.
    at: Instant,
    /// When it came to the other stage, of `conversion`.
    reached_at: Option<Instant>,
    /// Days from entering to coming there, or from its opening to its end, with two places.
    days: Option<String>,
    /// How the cycle stands.
    outcome: CycleOutcome,
    /// Disposition reason of its end.
    reason: Option<String>,
    /// What it was won with; null where nobody knows, and of `conversion`.
    amount: Option<Money>,
}

impl FigureInput {
    fn asked(self, app: &App) -> async_graphql::Result<Asked> {
        let workspace = app.workspace();
        let (figure, span, by, key, values, cohort, begins) = match self {
            FigureInput::Conversion(ConversionFigureInput {
                from,
                to,
                reached,
                window,
                by,
                trait_key,
                values,
                cohort,
                begins,
            }) => (
                Figure::Conversion { from, to, reached },
                window,
                Vec::from_iter(by),
                trait_key,
                values,
                cohort,
                begins,
            ),
            FigureInput::Ending(EndingFigureInput {
                outcome,
                window,
                by,
                trait_key,
                values,
                cohort,
                begins,
            }) => (
                Figure::Ending { outcome },
                window,
                by.unwrap_or_default(),
                trait_key,
                values,
                cohort,
                begins,
            ),
        };
        if cohort.is_some() != begins.is_some() {
            let refused =
                Refused::invalid("figure", "a period needs both: `cohort` and its first day as `begins`");
            return Err(failure(refused.into()));
        }
        let asked = Asked {
            figure,
            window: window(app, span)?,
            grouping: grouping(&workspace, by, key)?,
            values,
            period: cohort.zip(begins.map(Date::days)),
        };
        asked.check().map_err(|refused| failure(refused.into()))?;
        Ok(asked)
    }
}

#[derive(Default)]
pub struct DrillQuery;

#[Object]
impl DrillQuery {
    /// The leads behind a figure of a report, the earliest first: as many cycles as were counted.
    async fn drill(
        &self,
        ctx: &Context<'_>,
        figure: FigureInput,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<DrilledCycle>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        // The end of an open span moves from page to page.
        let filter = Digest::of("filter", 1, &format!("{figure:?}"));
        let page = PageArgs { first, after, ..PageArgs::default() }.window(app, "drill", filter)?;
        let asked = figure.asked(app)?;
        let after = page.from.map(|(at, lead)| (Instant(at), lead, u32::MAX));
        let limit = usize::try_from(page.limit).unwrap_or(0);
        let rows = drill::rows(app, &asked, after, limit).await.map_err(failure)?;
        let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.passage.lead).collect();
        let look = ctx.look_ahead().field("edges").field("node").field("lead");
        let leads: BTreeMap<uuid::Uuid, Lead> = leads_by(app, &ids, &want(look)).await?;
        let known = |row: Row| leads.get(&row.passage.lead).cloned().map(|lead| (row, lead));
        let rows: Vec<_> = rows.into_iter().filter_map(known).collect();
        let currency = app.workspace().charter.body.currency.clone();
        let wrap = |(row, lead): (Row, Lead)| DrilledCycle {
            lead,
            cycle: small(row.passage.cycle),
            at: row.at,
            reached_at: row.reached,
            days: match asked.figure {
                Figure::Conversion { .. } => row.reached.map(|at| days(at.since(row.at).max(0))),
                Figure::Ending { .. } => row.passage.lasted().map(days),
            },
            outcome: row.passage.outcome,
            reason: row.passage.reason,
            amount: row
                .amount_minor
                .map(|minor| Money { amount_minor: Long(minor), currency: currency.clone() }),
        };
        Ok(page.page(app, rows, |(row, _)| (row.spot.0.ms(), row.spot.1), wrap))
    }
}
