//! Nurture: tracks, and who is enrolled in them. What comes due is a matter of the timers.

use std::collections::BTreeSet;

use handfast_domain::nurture::{NurtureStep, NurtureTrack};
use handfast_domain::stage::{Cause, Side};
use handfast_store::person;
use uuid::Uuid;

use super::check::Checks;
use super::commit::Ask;
use super::directory::{known, put_noun};
use super::lead::{self, Target};
use super::{Error, scope};
use crate::app::App;

const NAME: usize = 128;
/// Steps of a track, and the days between two.
const STEPS: usize = 50;
const DAYS: u32 = 366;

pub struct NewTrack {
    pub key: String,
    pub name: String,
    pub personas: Vec<String>,
    pub steps: Vec<NurtureStep>,
}

/// Makes a track, or replaces the one with this key. Leads that are enrolled go on with the steps as they are then.
pub async fn upsert_track(app: &App, ask: &Ask<'_>, new: NewTrack) -> Result<NurtureTrack, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, "make nurture tracks")?;
    let personas: Vec<String> =
        app.workspace().charter.body.personas.iter().map(|persona| persona.key.clone()).collect();
    put_noun(app, ask, move |standing, id| {
        let NewTrack { key, name, personas: named, steps } = new;
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.text("name", &name, NAME);
        for (place, persona) in named.iter().enumerate() {
            checks.exists(
                &format!("personas/{place}"),
                "persona",
                persona,
                personas.iter().map(String::as_str),
            );
        }
        checks.need((1..=STEPS).contains(&steps.len()), "steps", || {
            format!("a track has 1 to {STEPS} steps, found {}", steps.len())
        });
        for (place, step) in steps.iter().take(STEPS).enumerate() {
            checks.text(&format!("steps/{place}/content"), &step.content, NAME);
            checks.need(step.after_days <= DAYS, &format!("steps/{place}/afterDays"), || {
                format!("0 to {DAYS} days after the step before, found {}", step.after_days)
            });
        }
        checks.done()?;
        let id = known(&standing.directory.tracks, &key).unwrap_or(id);
        Ok(NurtureTrack { id, key, name, personas: named, steps })
    })
    .await
}

/// Enrols a lead, in place of what it was enrolled in; who withdrew consent is not.
pub async fn enrol(app: &App, target: &Target<'_>, track: &str) -> Result<(), Error> {
    target.viewer.require(scope::LEADS_WRITE)?;
    target.viewer.require_side(Side::Marketing, "enrol a lead in a nurture track")?;
    if !unwilling(app, &[target.lead]).await?.is_empty() {
        let message = "this person does not consent to be marketed to; nothing may be sent";
        let refused = handfast_domain::refused::Refused::invalid("input/lead", message);
        return Err(refused.into());
    }
    lead::change(app, target, Cause::Nurture, None, |draft| draft.enrol(track)).await
}

/// Ends the enrolment before its last step.
pub async fn leave(app: &App, target: &Target<'_>) -> Result<(), Error> {
    target.viewer.require(scope::LEADS_WRITE)?;
    target.viewer.require_side(Side::Marketing, "take a lead out of a nurture track")?;
    lead::change(app, target, Cause::Nurture, None, |draft| draft.leave_nurture()).await
}

/// Those of whom it is known that they do not consent.
pub async fn unwilling(app: &App, leads: &[Uuid]) -> Result<BTreeSet<Uuid>, Error> {
    Ok(person::unwilling(app.store.read(), leads).await?)
}
