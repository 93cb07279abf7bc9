//! The alignment pulse: what people of each side think of the two, month by month.

use handfast_domain::pulse::{Gap, Pulse, Said, gaps};
use handfast_domain::stage::Side;
use handfast_store::pulse as rows;

use super::Error;
use super::check::Checks;
use super::commit::Ask;
use crate::app::App;

/// Four answers of one person, each 1 to 5.
pub struct Answers {
    pub knows_needs: i32,
    pub delivers: i32,
    pub other_knows_needs: i32,
    pub other_delivers: i32,
}

/// Says what one thinks this month, in the place of what one said before.
pub async fn answer(app: &App, ask: &Ask<'_>, answers: Answers) -> Result<Month, Error> {
    let side = ask.viewer.party("answer the pulse")?;
    let mut checks = Checks::default();
    let mut point = |path: &str, value: i32| {
        let given = u8::try_from(value).ok().filter(|value| (1..=5).contains(value));
        checks.need(given.is_some(), path, || format!("1 (not at all) to 5 (fully), found {value}"));
        given.unwrap_or(1)
    };
    let pulse = Pulse {
        month: month(app),
        user: ask.viewer.id(),
        side,
        knows_needs: point("knowsNeeds", answers.knows_needs),
        delivers: point("delivers", answers.delivers),
        other_knows_needs: point("otherKnowsNeeds", answers.other_knows_needs),
        other_delivers: point("otherDelivers", answers.other_delivers),
        at: app.now(),
    };
    checks.done()?;
    let month = pulse.month.clone();
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            rows::put(tx, &pulse).await?;
            Ok(((), String::new()))
        })
    });
    decided.await?;
    let found = perception(app, 1).await?.into_iter().find(|one| one.month == month);
    Ok(found.unwrap_or_else(|| Month::of(month, &Default::default())))
}

/// The month of now in the charter's time zone, as `2026-03`.
fn month(app: &App) -> String {
    let day = app.workspace().zone().date(app.now()).to_string();
    day.rsplit_once('-').map_or(day.clone(), |(month, _)| month.to_owned())
}

/// What both sides said in a month.
pub struct Month {
    pub month: String,
    pub marketing: Said,
    pub sales: Said,
    pub gaps: Vec<Gap>,
}

impl Month {
    fn of(month: String, said: &std::collections::BTreeMap<Side, Said>) -> Month {
        let of = |side| said.get(&side).copied().unwrap_or_default();
        let (marketing, sales) = (of(Side::Marketing), of(Side::Sales));
        Month { month, gaps: gaps(&marketing, &sales), marketing, sales }
    }
}

/// The newest months in which anybody answered, the newest first.
pub async fn perception(app: &App, months: i64) -> Result<Vec<Month>, Error> {
    let said = rows::said(app.store.read(), months).await?;
    Ok(said.into_iter().rev().map(|(month, said)| Month::of(month, &said)).collect())
}
