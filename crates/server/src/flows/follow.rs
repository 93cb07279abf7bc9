//! What other nodes of the workspace changed: charters, rules, campaigns and set-up are kept in memory, and the log says when
//! they are others. Each request goes on with what it began with.

use std::time::Duration;

use handfast_domain::event::{Fact, SetupNoun};
use handfast_store::feed::EventFilter;
use handfast_store::tail::Told;

use super::Error;
use crate::app::App;

/// Facts after which the workspace in memory is not as it was.
const KINDS: [&str; 9] = [
    "CHARTER_PROPOSED",
    "CHARTER_SIGNED",
    "CHARTER_REJECTED",
    "CHARTER_ACTIVATED",
    "CHARTER_REVIEWED",
    "DEPLOYMENT_STARTED",
    "DEPLOYMENT_ENDED",
    "CAMPAIGN_CHANGED",
    "SETUP_CHANGED",
];

/// Runs for as long as the server does. A process that is alone has taken up its own changes at once.
pub async fn run(app: App) {
    if !app.store.is_shared() {
        return;
    }
    let filter = EventFilter { kinds: KINDS.map(str::to_owned).to_vec(), ..EventFilter::default() };
    let mut head = app.store.head();
    // What was loaded at the start is at least as new as this.
    let mut position = app.followed_from;
    loop {
        let known = *head.borrow_and_update();
        if position >= known {
            if head.changed().await.is_err() {
                return;
            }
            continue;
        }
        match take_up(&app, position, &filter).await {
            Ok(next) => position = next,
            Err(error) => {
                tracing::warn!(%error, "what another node changed could not be taken up; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Answers the position up to which everything is taken up.
async fn take_up(app: &App, position: i64, filter: &EventFilter) -> Result<i64, Error> {
    let page = app.store.events_after(position, 500, filter).await?;
    for event in &page.events {
        if let Some(token) = revoked(event)? {
            app.revoked.send_if_modified(|revoked| revoked.insert(token));
        }
    }
    if !page.events.is_empty() {
        app.reload().await?;
    }
    Ok(page.next)
}

fn revoked(event: &Told) -> Result<Option<uuid::Uuid>, Error> {
    Ok(match &event.body()?.fact {
        Fact::SetupChanged { noun: SetupNoun::Token, id } => Some(*id),
        _ => None,
    })
}
