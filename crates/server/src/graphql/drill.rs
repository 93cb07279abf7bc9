//! The leads behind a figure.

use std::collections::BTreeMap;

use async_graphql::{Context, InputObject, Object, OneofObject, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::conversion::CohortPeriod;
use handfast_domain::digest::Digest;
use handfast_domain::dimension::Dimension;
use handfast_domain::handoff::HandoffStatus;
use handfast_domain::quantile::days;
use handfast_domain::refused::Refused;
use handfast_domain::report::{Figure, Value};
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;

use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::passage::WindowInput;
use super::problem::failure;
use super::scalar::{Long, Money};
use super::{app, read_viewer, small};
use crate::app::App;
use crate::flows::drill::{self, Asked, Row};
use crate::flows::passage::{self, Grouping};
use crate::flows::window::Window;

/// The figure whose rows are asked for, as the report was asked for it.
#[derive(Clone, Debug, OneofObject)]
pub enum FigureInput {
    /// Of `conversion`.
    Conversion(ConversionFigureInput),
    /// Of `winLoss`, `dealShape`, `dispositions` or `kpis`.
    Ending(EndingFigureInput),
    /// Of `velocity`.
    Stay(StayFigureInput),
    /// Of `journeys`.
    Journey(JourneyFigureInput),
    /// Of `handoffLeakage`.
    Handoff(HandoffFigureInput),
    /// Of `traitLift`.
    Lift(LiftFigureInput),
    /// Of `retention`.
    Customer(CustomerFigureInput),
    /// Of `followUp`.
    FollowUp(FollowUpFigureInput),
    /// Of `effortBy`: the entries of time.
    Effort(EffortFigureInput),
}

/// A figure of `velocity`: stays that ended in the span.
#[derive(Clone, Debug, InputObject)]
pub struct StayFigureInput {
    /// Where the cycles stood.
    stage: StageKind,
    /// Those that went on to another stage, or those that ended there.
    advanced: bool,
    window: Option<WindowInput>,
    by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
    /// A value for the dimension, null for cycles that do not say; all keys without.
    values: Option<Vec<Option<String>>>,
}

/// A figure of `journeys`: leads that went one way.
#[derive(Clone, Debug, InputObject)]
pub struct JourneyFigureInput {
    /// The way in one line, as `journeys` tells it.
    path: String,
    window: Option<WindowInput>,
}

/// A figure of `handoffLeakage`: hand-offs that were offered in the span.
#[derive(Clone, Debug, InputObject)]
pub struct HandoffFigureInput {
    /// How they stand; in any way without.
    status: Option<HandoffStatus>,
    /// With this reason only.
    reason: Option<String>,
    window: Option<WindowInput>,
}

/// A figure of `traitLift`: leads that ended in the span, without those of whom the trait was only known afterwards.
#[derive(Clone, Debug, InputObject)]
pub struct LiftFigureInput {
    /// WON, LOST, RECYCLED or DISQUALIFIED.
    #[graphql(default_with = "CycleOutcome::Won")]
    outcome: CycleOutcome,
    /// Those that ended so, or those that did not; all of them without.
    ended: Option<bool>,
    /// Key of the trait, or a path of the field catalogue for what the lead came with.
    #[graphql(name = "trait")]
    trait_key: String,
    /// The value. Without it and a band: leads that lack the trait.
    value: Option<String>,
    /// The smallest number of a band; needs `most`.
    least: Option<Long>,
    /// The largest number of a band, which is in it.
    most: Option<Long>,
    window: Option<WindowInput>,
}

/// A figure of `retention`: customers whose first win lies in the span.
#[derive(Clone, Debug, InputObject)]
pub struct CustomerFigureInput {
    /// Those that were won again, or those that were not.
    returned: Option<bool>,
    /// Those that left, or those that did not.
    churned: Option<bool>,
    window: Option<WindowInput>,
    by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
    /// A value for the dimension, null for customers that do not say; all keys without.
    values: Option<Vec<Option<String>>>,
    /// The period of a cohort; needs `begins`.
    cohort: Option<CohortPeriod>,
    /// First day of the cohort.
    begins: Option<Date>,
}

/// A figure of `followUp`.
#[derive(Clone, Debug, InputObject)]
pub struct FollowUpFigureInput {
    /// Those that were touched, or those that nobody touched; without, all that were assigned and not taken back.
    touched: Option<bool>,
    window: Option<WindowInput>,
    group_by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
    /// The key as the only value, null for leads that do not say; all keys without.
    values: Option<Vec<Option<String>>>,
}

/// The minutes of `effortBy`.
#[derive(Clone, Debug, InputObject)]
pub struct EffortFigureInput {
    window: Option<WindowInput>,
    /// Up to three dimensions.
    by: Option<Vec<Dimension>>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
    /// A value for each dimension, null for cycles that do not say; all keys without.
    values: Option<Vec<Option<String>>>,
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
    /// When it was counted: when it entered the stage, left it, ended, was offered to sales, was assigned, when time was spent on it, or when
    /// the lead came.
    at: Instant,
    /// When it came to the other stage, of `conversion`; when it was first touched, of `followUp`.
    reached_at: Option<Instant>,
    /// Days that the figure says it took, with two places: from entering to coming there, at the stage, from the assignment to the first touch, from the first opening to the
    /// last end of a journey, from the first win until a customer left or was won again; else from the cycle's opening to its end.
    days: Option<String>,
    /// How the cycle stands.
    outcome: CycleOutcome,
    /// Disposition reason of its end.
    reason: Option<String>,
    /// What it was won with; null where nobody knows, and of figures about stages and traits.
    amount: Option<Money>,
    /// Minutes of the entry, of `effortBy`.
    minutes: Option<Long>,
}

/// How a figure is counted, besides what it is.
#[derive(Default)]
struct Counted {
    window: Option<WindowInput>,
    by: Vec<Dimension>,
    key: Option<String>,
    values: Option<Vec<Option<String>>>,
    cohort: Option<CohortPeriod>,
    begins: Option<Date>,
}

impl FigureInput {
    fn split(self) -> Result<(Figure, Counted), Refused> {
        Ok(match self {
            FigureInput::Conversion(input) => {
                let ConversionFigureInput { from, to, reached, window, by, trait_key, .. } = input;
                let ConversionFigureInput { values, cohort, begins, .. } = input;
                let by = Vec::from_iter(by);
                (
                    Figure::Conversion { from, to, reached },
                    Counted { window, by, key: trait_key, values, cohort, begins },
                )
            }
            FigureInput::Ending(input) => {
                let EndingFigureInput { outcome, window, by, trait_key, values, cohort, begins } = input;
                let by = by.unwrap_or_default();
                (Figure::Ending { outcome }, Counted { window, by, key: trait_key, values, cohort, begins })
            }
            FigureInput::Stay(input) => {
                let StayFigureInput { stage, advanced, window, by, trait_key, values } = input;
                let by = Vec::from_iter(by);
                let counted = Counted { window, by, key: trait_key, values, ..Counted::default() };
                (Figure::Stay { stage, advanced }, counted)
            }
            FigureInput::Journey(JourneyFigureInput { path, window }) => {
                (Figure::Journey { path }, Counted { window, ..Counted::default() })
            }
            FigureInput::Handoff(HandoffFigureInput { status, reason, window }) => {
                (Figure::Handoff { status, reason }, Counted { window, ..Counted::default() })
            }
            FigureInput::Lift(input) => {
                let LiftFigureInput { outcome, ended, trait_key: key, value, least, most, window } = input;
                let said = match (value, least, most) {
                    (None, None, None) => None,
                    (Some(word), None, None) => Some(Value::Word(word)),
                    (None, Some(Long(least)), Some(Long(most))) => Some(Value::Band(least, most)),
                    _ => {
                        let message = "give `value`, or both `least` and `most`, or none of them for leads without the trait";
                        return Err(Refused::invalid("figure/lift", message));
                    }
                };
                (Figure::Lift { outcome, ended, key, said }, Counted { window, ..Counted::default() })
            }
            FigureInput::FollowUp(input) => {
                let FollowUpFigureInput { touched, window, group_by, trait_key, values } = input;
                let by = Vec::from_iter(group_by);
                let counted = Counted { window, by, key: trait_key, values, ..Counted::default() };
                (Figure::FollowUp { touched }, counted)
            }
            FigureInput::Effort(EffortFigureInput { window, by, trait_key, values }) => {
                let by = by.unwrap_or_default();
                let counted = Counted { window, by, key: trait_key, values, ..Counted::default() };
                (Figure::Effort, counted)
            }
            FigureInput::Customer(input) => {
                let CustomerFigureInput { returned, churned, window, by, trait_key, values, cohort, begins } =
                    input;
                let by = Vec::from_iter(by);
                (
                    Figure::Customer { returned, churned },
                    Counted { window, by, key: trait_key, values, cohort, begins },
                )
            }
        })
    }

    /// The figure, over a span that `window` allows.
    pub fn asked(
        self,
        app: &App,
        window: impl FnOnce(Option<WindowInput>) -> Result<Window, Refused>,
    ) -> Result<Asked, Refused> {
        let workspace = app.workspace();
        let (figure, counted) = self.split()?;
        let Counted { window: span, by, key, values, cohort, begins } = counted;
        if cohort.is_some() != begins.is_some() {
            let message = "a period needs both: `cohort` and its first day as `begins`";
            return Err(Refused::invalid("figure", message));
        }
        let asked = Asked {
            figure,
            window: window(span)?,
            grouping: Grouping::new(&workspace, by, key)?,
            values,
            period: cohort.zip(begins.map(Date::days)),
        };
        asked.check(&workspace)?;
        Ok(asked)
    }
}

fn span_of(app: &App, span: Option<WindowInput>) -> Result<Window, Refused> {
    let WindowInput { from, to } = span.unwrap_or_default();
    passage::window(app, from, to)
}

#[derive(Default)]
pub struct DrillQuery;

#[Object]
impl DrillQuery {
    /// The leads behind a figure of a report, the earliest first: as many cycles as were counted. A page does not end between cycles of
    /// one lead that were counted at the same instant, and has some more then.
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
        let mut page = PageArgs { first, after, ..PageArgs::default() }.window(app, "drill", filter)?;
        let asked =
            figure.asked(app, |span| span_of(app, span)).map_err(|refused| failure(refused.into()))?;
        let after = page.from.map(|(at, lead)| (Instant(at), lead, u32::MAX));
        let limit = usize::try_from(page.limit).unwrap_or(0);
        let (rows, limit) = drill::rows(app, &asked, after, limit).await.map_err(failure)?;
        page.limit = i64::try_from(limit).unwrap_or(page.limit);
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
            days: row.took.map(days),
            outcome: row.passage.outcome,
            reason: row.passage.reason,
            amount: row
                .amount_minor
                .map(|minor| Money { amount_minor: Long(minor), currency: currency.clone() }),
            minutes: row.minutes.map(|minutes| Long(i64::from(minutes))),
        };
        Ok(page.page(app, rows, |(row, _)| (row.spot.0.ms(), row.spot.1), wrap))
    }
}
