//! Long work that stands in a table: imports, backtests. The node that leads carries it out, one after the other, in the order
//! in which it was asked for; what an earlier process left unfinished comes first.

use std::time::Duration;

use handfast_domain::refused::RefusalCode;
use handfast_store::StoreError;
use tokio::sync::Notify;

use super::Error;
use crate::app::App;

/// How often a node looks for work that was asked for on another one.
const LOOK: Duration = Duration::from_secs(1);
/// After a table that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// After a failure that another attempt may not meet.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often a step is tried that meets such failures.
const TRIES: u32 = 4;

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
        match oldest(&app, unfinished(app.clone())).await {
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

/// The oldest piece of work that is left. It may stand before its asker, perhaps another node, made known here the traits or
/// campaigns that were written with it: the workspace is at least as new as the work.
async fn oldest<T>(
    app: &App,
    left: impl Future<Output = Result<Vec<T>, StoreError>>,
) -> Result<Option<T>, Error> {
    let next = left.await?.into_iter().next();
    if next.is_some() {
        app.reload().await?;
    }
    Ok(next)
}

/// Does a step again after a moment while it fails for what passes: a queue that is full, a connection that is not free, leads that
/// others keep changing.
pub async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    mut step: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut left = TRIES;
    loop {
        match step().await {
            Err(error) if left > 1 && passes(&error) => {
                tracing::warn!(%error, "long work waits");
                left -= 1;
                tokio::time::sleep(PATIENCE).await;
            }
            done => return done,
        }
    }
}

fn passes(error: &Error) -> bool {
    match error {
        Error::Store(error) => error.retryable(),
        Error::Refused(why) => why.iter().all(|one| one.code == RefusalCode::VersionConflict),
        Error::Fault(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use handfast_domain::refused::Refused;

    use super::*;

    #[test]
    fn only_what_may_be_different_the_next_time_is_worth_another_attempt() {
        let cases = [
            (Error::from(Refused::version(7)), true),
            (Error::from(StoreError::Busy("no connection became free in time".into())), true),
            (Error::from(vec![Refused::version(7), Refused::not_found("lead")]), false),
            (Error::from(StoreError::Closed), false),
            (Error::fault("a bug"), false),
        ];
        for (error, expected) in cases {
            assert_eq!(passes(&error), expected, "{error}");
        }
    }
}
