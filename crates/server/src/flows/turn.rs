//! Long work that stands in a table: imports, backtests. The node that leads carries it out, one after the other, in the order
//! in which it was asked for; what an earlier process left unfinished comes first.

use std::time::Duration;

use handfast_store::StoreError;
use tokio::sync::Notify;

use crate::app::App;

/// How often a node looks for work that was asked for on another one.
const LOOK: Duration = Duration::from_secs(1);
/// After a table that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs for as long as the server does. `unfinished` answers what is left, the oldest first; `one` ends it or lets it be taken
/// again.
pub async fn take<T, U, O>(
    app: App,
    what: &'static str,
    woken: fn(&App) -> &Notify,
    unfinished: impl Fn(App) -> U,
    one: impl Fn(App, T) -> O,
) where
    U: Future<Output = Result<Vec<T>, StoreError>>,
    O: Future<Output = ()>,
{
    loop {
        app.store.lead().await;
        match unfinished(app.clone()).await.map(|left| left.into_iter().next()) {
            Ok(Some(next)) => one(app.clone(), next).await,
            Ok(None) if app.store.is_shared() => {
                // What is asked for on another node wakes nobody here.
                let _ = tokio::time::timeout(LOOK, woken(&app).notified()).await;
            }
            Ok(None) => woken(&app).notified().await,
            Err(error) => {
                tracing::warn!(%error, "{what} cannot be read; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
