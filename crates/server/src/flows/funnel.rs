//! The funnel at a past moment, told from the log.

use handfast_domain::charter::Charter;
use handfast_domain::refused::Refused;
use handfast_domain::time::Instant;
use handfast_store::funnel::{Counts, CutBy, Past, charter_at};

use super::Error;
use crate::app::App;

/// Leads whose past one request tells.
pub const MOST_LEADS: i64 = 500_000;

/// What the counters said then, and the charter that was in force.
pub async fn as_of(app: &App, at: Instant, by: CutBy) -> Result<(Charter, Counts), Error> {
    let now = app.now();
    if at > now {
        let message = format!("asOf must be a past moment; it is {now}, found {at}");
        return Err(Refused::invalid("asOf", message).into());
    }
    let leads = app.store.funnel().await?.leads();
    if leads > MOST_LEADS {
        let message = format!(
            "the past of at most {MOST_LEADS} leads is told, and there are {leads}; ask for the present"
        );
        return Err(Refused::invalid("asOf", message).into());
    }
    let db = app.store.reports();
    let number = charter_at(db, at, by).await?;
    let workspace = app.workspace();
    let known = workspace.charters.iter().find(|charter| charter.number == number);
    let charter = known.unwrap_or(&workspace.charter).clone();
    let mut past = Past::new(at, by);
    while past.next(db).await? {
        // A page is worked off without a wait: others get their turn between two of them.
        tokio::task::yield_now().await;
    }
    Ok((charter, past.finish()))
}
