//! Signals: something happened, for example a feature was released, and the leads that wait for it come back.

use handfast_domain::disposition::unknown_signal as unknown;
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, CycleOpenedBy, Side};
use uuid::Uuid;

use super::evaluate::{self, Look};
use super::{Error, Viewer, lead, scope};
use crate::app::App;

/// Leads that are looked for at a time.
const PAGE: i64 = 200;

/// Opens the next cycle of every lead that waits for the signal, and answers how many came back. To announce it again is
/// harmless: nobody waits any more.
pub async fn announce(app: &App, viewer: &Viewer, signal: &str) -> Result<u32, Error> {
    viewer.require(scope::LEADS_WRITE)?;
    viewer.require_side(Side::Marketing, "announce a signal")?;
    let signals = &app.workspace().charter.body.signals;
    if !signals.iter().any(|known| known == signal) {
        return Err(Refused::invalid("signal", unknown(signal, signals)).into());
    }
    let (mut after, mut back) = (Uuid::nil(), 0);
    loop {
        let page = handfast_store::lead::waiting_for(app.store.read(), signal, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(back) };
        after = *last;
        for lead in &page {
            let target =
                lead::Target { viewer, lead: *lead, expected_version: None, once: None, dry_run: false };
            let opened = lead::change(app, &target, Cause::Requalify, None, |draft| {
                draft.requalify(CycleOpenedBy::Requalify)
            });
            match opened.await {
                Ok(()) => back += 1,
                // Somebody else opened, merged or suppressed it meanwhile.
                Err(Error::Refused(why)) => tracing::debug!(%lead, ?why, "does not come back"),
                Err(other) => return Err(other),
            }
        }
        evaluate::evaluate(app, evaluate::RULE, Cause::Evaluation, &page, Look::All).await?;
    }
}
