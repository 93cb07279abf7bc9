//! Executing what passed the gate: under a deadline, and surviving a resolver that panics.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request, Response, Value};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use handfast_store::SPANS;
use tracing::Instrument;

use super::problem::{Code, Problem};
use crate::telemetry;

/// Executes a query or a mutation.
pub async fn once<E: Executor>(
    schema: &E,
    request: Request,
    kind: OperationType,
    deadline: Duration,
) -> Response {
    let began = std::time::Instant::now();
    let word = if kind == OperationType::Mutation { "mutation" } else { "query" };
    let span = tracing::debug_span!(target: SPANS, "operation", kind = word);
    let work = AssertUnwindSafe(schema.execute(request)).catch_unwind();
    let ended = tokio::time::timeout(deadline, work).instrument(span).await;
    telemetry::operation(kind, Some(began.elapsed()));
    match ended {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => panicked(),
        Err(_) => {
            let mut text = format!("no answer within {} ms", deadline.as_millis());
            if kind == OperationType::Mutation {
                text += "; the change may still have been made: send it again with the same idempotency key to learn it";
            }
            Problem::new(Code::DeadlineExceeded, text).into_graphql()
        }
    }
}

/// The answers to a subscription, or the one answer to a query.
pub fn many<E: Executor>(
    schema: &E,
    request: Request,
    kind: OperationType,
    deadline: Duration,
) -> BoxStream<'static, Response> {
    if kind != OperationType::Subscription {
        let schema = schema.clone();
        return async move { once(&schema, request, kind, deadline).await }.into_stream().boxed();
    }
    telemetry::operation(kind, None);
    AssertUnwindSafe(schema.execute_stream(request, None))
        .catch_unwind()
        .map(|answer| answer.unwrap_or_else(|_| panicked()))
        .boxed()
}

/// Whether a subscription is over with this answer: it was refused, or its source failed. A field that fails
/// inside one event has a longer path, and the next event may be fine.
pub fn ends(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.len() <= 1)
}

fn panicked() -> Response {
    // The panic hook has written the message and the place to the log.
    Problem::internal().into_graphql()
}
