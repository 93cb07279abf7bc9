//! One write command on its way through the writer: run, caught when it panics or takes too long, acknowledged.

use crate::{error::StoreError, tx::Tx};
use futures_util::future::BoxFuture;
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
    time::Duration,
};
use tokio::sync::oneshot;

/// Tells the caller how the group ended: `Ok` after COMMIT.
pub(crate) type Ack = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(crate) trait Command: Send {
    /// `Ok`: keep what was written, then acknowledge. `Err`: undo it, then acknowledge.
    fn run<'a>(self: Box<Self>, tx: &'a Tx, limit: Duration) -> BoxFuture<'a, Result<Ack, Ack>>;
    /// Answers without running.
    fn fail(self: Box<Self>, error: StoreError);
}

pub(crate) struct Task<T, E, F> {
    pub work: F,
    pub answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Command for Task<T, E, F>
where
    F: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn run<'a>(self: Box<Self>, tx: &'a Tx, limit: Duration) -> BoxFuture<'a, Result<Ack, Ack>> {
        Box::pin(async move {
            let Task { work, answer } = *self;
            let ended = match guarded(work, tx, limit).await {
                // A command may have tolerated the error that took its transaction away.
                Ok(_) if tx.broken().is_some() => Err(tx.broken().unwrap_or(StoreError::Closed).into()),
                other => other,
            };
            match ended {
                Ok(value) => Ok(Box::new(move |end: Result<(), StoreError>| {
                    drop(answer.send(end.map(|()| value).map_err(E::from)));
                }) as Ack),
                Err(error) => Err(Box::new(move |_| drop(answer.send(Err(error)))) as Ack),
            }
        })
    }

    fn fail(self: Box<Self>, error: StoreError) {
        drop(self.answer.send(Err(error.into())));
    }
}

tokio::task_local! {
    static INSIDE: ();
}

/// True while a command runs in this task: a `write` in it would wait for itself.
pub(crate) fn inside_command() -> bool {
    INSIDE.try_with(|()| ()).is_ok()
}

async fn guarded<T, E, F>(work: F, tx: &Tx, limit: Duration) -> Result<T, E>
where
    F: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<T, E>> + Send,
    E: From<StoreError>,
{
    // The call that makes the future may panic too, so it happens inside.
    let run = Box::pin(INSIDE.scope((), async move { work(tx).await }));
    match tokio::time::timeout(limit, catch(run)).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(StoreError::Panicked(panic).into()),
        Err(_) => Err(StoreError::command_timeout(limit).into()),
    }
}

async fn catch<T>(mut future: std::pin::Pin<Box<impl Future<Output = T>>>) -> Result<T, String> {
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(text_of(panic.as_ref()))),
    })
    .await
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    }
}
