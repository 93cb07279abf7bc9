//! The alignment pulse: how each side sees itself, beside how the other one sees it.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::pulse::{Gap, PulseQuestion, Said};
use handfast_domain::stage::Side;

use super::problem::{UserError, failure, payload};
use super::scalar::Long;
use super::{app, ask, read_viewer};
use crate::flows::pulse::{self, Answers, Month};

/// What both sides said of each other in a month.
#[derive(Clone, SimpleObject)]
pub struct AlignmentPulse {
    /// In the charter's time zone, as `2026-03`.
    month: String,
    /// How many people of marketing answered.
    marketing_answers: Long,
    /// How many people of sales answered.
    sales_answers: Long,
    /// Both sides, each by both questions.
    gaps: Vec<PerceptionGap>,
}

/// How a side sees itself beside how the other one sees it, from 1 (not at all) to 5 (fully).
#[derive(Clone, SimpleObject)]
pub struct PerceptionGap {
    /// The side that is judged.
    side: Side,
    question: PulseQuestion,
    /// What it says of itself, in hundredths of a point; null if nobody of it answered.
    own_mean_hundredths: Option<i32>,
    /// What the other side says of it, in hundredths of a point.
    other_mean_hundredths: Option<i32>,
    /// The first less the second: above 0 the side thinks better of itself than the other one does.
    gap_hundredths: Option<i32>,
}

impl From<Month> for AlignmentPulse {
    fn from(month: Month) -> AlignmentPulse {
        let answers = |said: &Said| Long(said.answers);
        let gap = |gap: &Gap| PerceptionGap {
            side: gap.side,
            question: gap.question,
            own_mean_hundredths: gap.own,
            other_mean_hundredths: gap.others,
            gap_hundredths: gap.gap(),
        };
        AlignmentPulse {
            marketing_answers: answers(&month.marketing),
            sales_answers: answers(&month.sales),
            gaps: month.gaps.iter().map(gap).collect(),
            month: month.month,
        }
    }
}

#[derive(Default)]
pub struct PulseQuery;

#[Object]
impl PulseQuery {
    /// The newest months in which anybody answered the pulse, the newest first: where the two pictures differ. Who said what is not
    /// told.
    async fn perception_gap(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 24", default = 6)] first: i32,
    ) -> async_graphql::Result<Vec<AlignmentPulse>> {
        read_viewer(ctx)?;
        let first = super::bounded("first", first, 24)?;
        let months = pulse::perception(app(ctx)?, first).await.map_err(failure)?;
        Ok(months.into_iter().map(AlignmentPulse::from).collect())
    }
}

/// Four answers, each from 1 (not at all) to 5 (fully).
#[derive(Clone, Debug, InputObject)]
pub struct AnswerPulseInput {
    /// I know what the other side needs of us.
    knows_needs: i32,
    /// We deliver what the other side needs.
    delivers: i32,
    /// The other side knows what we need of it.
    other_knows_needs: i32,
    /// The other side delivers what we need.
    other_delivers: i32,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct PulsePayload {
    /// This month by now; null when it was refused.
    pulse: Option<AlignmentPulse>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct PulseMutation;

#[Object]
impl PulseMutation {
    /// Says once a month how well the two sides know and serve each other, in the place of what you said before in the month.
    async fn answer_pulse(
        &self,
        ctx: &Context<'_>,
        input: AnswerPulseInput,
    ) -> async_graphql::Result<PulsePayload> {
        let AnswerPulseInput { knows_needs, delivers, other_knows_needs, other_delivers, .. } = input;
        let said = (knows_needs, delivers, other_knows_needs, other_delivers);
        let ask = ask(ctx, "answerPulse", input.idempotency_key, input.dry_run, &said)?;
        let answers = Answers { knows_needs, delivers, other_knows_needs, other_delivers };
        let (month, errors) = payload(pulse::answer(app(ctx)?, &ask, answers).await)?;
        Ok(PulsePayload { pulse: month.map(AlignmentPulse::from), errors })
    }
}
