//! The funnel in numbers: where leads stand, how far they came, what converts, how cycles end.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, SimpleObject};
use handfast_domain::charter::{Charter, CharterBody, CharterStatus, StageDefinition};
use handfast_domain::clock::Party;
use handfast_domain::evaluation::Composition;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use handfast_store::funnel::{Counts, CutBy};

use super::inline::Inline;
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::app::App;
use crate::flows::funnel;
use crate::workspace::Workspace;

/// The whole funnel at one moment. Every number comes from counters that each change keeps, so asking is cheap; those of a past
/// moment are told from the log.
#[derive(Clone, Debug, SimpleObject)]
pub struct Funnel {
    /// The agreement in force then: what its stages mean is what is counted.
    charter: FunnelCharter,
    as_of: Instant,
    /// The charter's stages, in order; and stages of earlier charters where leads stand.
    stages: Vec<Inline<FunnelStage>>,
    /// From each stage to the next one.
    conversion: Vec<Inline<FunnelConversion>>,
    /// Cycles that were won.
    won: Long,
    /// Cycles that were lost at SQL or OPPORTUNITY.
    lost: Long,
    /// Cycles that went back to nurture.
    recycled: Long,
    /// Cycles that ended for good, with a reason.
    disqualified: Long,
}

/// The charter that an answer rests on.
#[derive(Clone, Debug, SimpleObject)]
pub struct FunnelCharter {
    /// 0 is the default that serves until the first charter is activated.
    number: i32,
    /// Whether marketing and sales both signed it.
    signed: bool,
}

impl FunnelCharter {
    pub fn of(workspace: &Workspace) -> FunnelCharter {
        FunnelCharter::wrap(&workspace.charter)
    }

    pub fn wrap(charter: &Charter) -> FunnelCharter {
        FunnelCharter { number: super::small(charter.number), signed: is_signed(charter) }
    }
}

/// Charter 0 has no signatures; one that waits for them, or was rejected, is not signed either.
fn is_signed(charter: &Charter) -> bool {
    !charter.unsigned() && !matches!(charter.status, CharterStatus::Proposed | CharterStatus::Rejected)
}

/// One stage and the leads at it.
#[derive(Clone, Debug, SimpleObject)]
pub struct FunnelStage {
    pub stage: StageKind,
    /// The charter's word for it.
    pub label: String,
    /// Leads whose open cycle stands here.
    pub open: Long,
    /// Leads that came this far at most, in all their cycles.
    pub furthest: Long,
    /// Cycles that entered this stage, skipped stages included.
    pub entered: Long,
    /// Leads whose newest cycle stands here or ended here, by its outcome; outcomes without leads are left out.
    pub standing: Vec<Inline<FunnelStanding>>,
}

/// Leads of a stage with one outcome.
#[derive(Clone, Debug, SimpleObject)]
pub struct FunnelStanding {
    /// OPEN, or how the newest cycle ended.
    pub outcome: CycleOutcome,
    pub leads: Long,
}

/// How many of the cycles that entered a stage entered the next one.
#[derive(Clone, Debug, SimpleObject)]
pub struct FunnelConversion {
    from: StageKind,
    to: StageKind,
    /// Cycles that entered `from`.
    entered: Long,
    /// Cycles that entered `to`.
    advanced: Long,
    /// `advanced` of `entered` in basis points: 2500 is a quarter. Null while nothing entered `from`.
    rate_basis_points: Option<i32>,
}

#[derive(Default)]
pub struct FunnelQuery;

#[Object]
impl FunnelQuery {
    /// Where leads stand, what converts, and how cycles end: now, or at any past moment. Subscribe to `funnelCounts` to see it
    /// move.
    async fn funnel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A past moment, told from the log of at most 500,000 leads; now without.")]
        as_of: Option<Instant>,
        #[graphql(
            desc = "By which of its times the log is cut off there.",
            default_with = "FunnelBasis::Recorded"
        )]
        basis: FunnelBasis,
    ) -> async_graphql::Result<Inline<Funnel>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let Some(at) = as_of else {
            let workspace = app.workspace();
            return Ok(Inline(Funnel::of(&workspace.charter, &*counts(app).await?, app.now())));
        };
        let (charter, counts) = funnel::as_of(app, at, basis.into()).await.map_err(failure)?;
        Ok(Inline(Funnel::of(&charter, &counts, at)))
    }
}

/// By which of its two times the log is cut off at a past moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum FunnelBasis {
    /// When it was written down: what the live counters said then.
    Recorded,
    /// When it happened: what was so then, with what imports and late news told afterwards.
    Occurred,
}

impl From<FunnelBasis> for CutBy {
    fn from(basis: FunnelBasis) -> CutBy {
        match basis {
            FunnelBasis::Recorded => CutBy::Recorded,
            FunnelBasis::Occurred => CutBy::Occurred,
        }
    }
}

impl Funnel {
    fn of(charter: &Charter, counts: &Counts, as_of: Instant) -> Funnel {
        Funnel {
            charter: FunnelCharter::wrap(charter),
            as_of,
            stages: wrap(&charter.body, counts),
            conversion: conversion(&charter.body, counts),
            won: Long(counts.closed(CycleOutcome::Won)),
            lost: Long(counts.closed(CycleOutcome::Lost)),
            recycled: Long(counts.closed(CycleOutcome::Recycled)),
            disqualified: Long(counts.closed(CycleOutcome::Disqualified)),
        }
    }
}

/// All stages of the charter, from counters that each change keeps.
pub async fn stages(app: &App) -> async_graphql::Result<Vec<Inline<FunnelStage>>> {
    let counts = counts(app).await?;
    Ok(wrap(&app.workspace().charter.body, &counts))
}

async fn counts(app: &App) -> async_graphql::Result<Arc<Counts>> {
    app.store.funnel().await.map_err(|error| failure(error.into()))
}

fn wrap(body: &CharterBody, counts: &Counts) -> Vec<Inline<FunnelStage>> {
    let stage = |definition: &StageDefinition| {
        let stage = definition.kind;
        let standing = CycleOutcome::ALL.iter().map(|outcome| (*outcome, counts.standing(stage, *outcome)));
        Inline(FunnelStage {
            stage,
            label: definition.label.clone(),
            open: Long(counts.open(stage)),
            furthest: Long(counts.furthest(stage)),
            entered: Long(counts.entered(stage)),
            standing: standing
                .filter(|(_, leads)| *leads != 0)
                .map(|(outcome, leads)| Inline(FunnelStanding { outcome, leads: Long(leads) }))
                .collect(),
        })
    };
    let mut stages: Vec<Inline<FunnelStage>> = body.stages.iter().map(stage).collect();
    // A lead may stand at a stage that an earlier charter had; it must not vanish.
    for kind in StageKind::ALL.iter().filter(|kind| body.stage(**kind).is_none()) {
        let left = stage(&StageDefinition {
            kind: *kind,
            label: kind.to_string(),
            meaning: String::new(),
            owner: Party::Marketing,
            entry: vec![],
            exit: vec![],
            composition: Composition::All,
        });
        if !left.0.standing.is_empty() {
            let place = stages.iter().position(|other| other.0.stage > *kind).unwrap_or(stages.len());
            stages.insert(place, left);
        }
    }
    stages
}

fn conversion(body: &CharterBody, counts: &Counts) -> Vec<Inline<FunnelConversion>> {
    // A visitor has no cycle yet, so nothing converts from ANONYMOUS.
    let counted = body.stages.iter().map(|stage| stage.kind);
    let counted: Vec<StageKind> = counted.filter(|stage| *stage > StageKind::Anonymous).collect();
    counted
        .windows(2)
        .map(|pair| {
            let (entered, advanced) = (counts.entered(pair[0]), counts.entered(pair[1]));
            Inline(FunnelConversion {
                from: pair[0],
                to: pair[1],
                entered: Long(entered),
                advanced: Long(advanced),
                rate_basis_points: basis_points(advanced, entered),
            })
        })
        .collect()
}

/// Rounded to the nearest; half a basis point counts up.
fn basis_points(part: i64, whole: i64) -> Option<i32> {
    let rate = part.checked_mul(20_000)?.checked_add(whole)?.checked_div(whole.checked_mul(2)?)?;
    i32::try_from(rate).ok()
}

#[cfg(test)]
mod tests {
    use super::basis_points;

    #[test]
    fn a_rate_is_rounded_to_the_nearest_and_none_without_a_whole() {
        assert_eq!(basis_points(0, 0), None);
        assert_eq!(basis_points(0, 7), Some(0));
        assert_eq!(basis_points(1, 3), Some(3_333));
        assert_eq!(basis_points(2, 3), Some(6_667));
        assert_eq!(basis_points(7, 7), Some(10_000));
        assert_eq!(basis_points(583, 5_541), Some(1_052));
    }
}
