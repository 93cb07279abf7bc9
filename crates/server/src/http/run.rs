//! Executing what passed the gate: under a deadline, and surviving a resolver that panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request, Response, Value};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};

use handfast_store::SPANS;
use serde_json::value::RawValue;
use tracing::Instrument;

use super::aside::Aside;
use super::config::Limits;
use super::gate::event_cursor;
use super::problem::{self, Code, Problem};
use super::{Admission, Behind, Edge, RequestId};
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

/// What a stream tells.
pub enum Told {
    /// As JSON, with the cursor of the event that it carries.
    Next { text: Box<RawValue>, cursor: Option<String> },
    /// It was refused, or its source failed: there is nothing more.
    Refused(Response),
}

impl Told {
    fn of(mut response: Response, id: &RequestId, limits: &Limits) -> Told {
        problem::finish(&mut response, id, limits);
        if ends(&response) {
            return Told::Refused(response);
        }
        let cursor = event_cursor(&response.data).map(str::to_owned);
        match serde_json::value::to_raw_value(&response) {
            Ok(text) => Told::Next { text, cursor },
            // Only maps whose keys are not strings fail, and a GraphQL answer has none.
            Err(_) => Told::Refused(Problem::internal().into_graphql()),
        }
    }
}

/// The answers to a subscription, or the one answer to a query, down to their text. What is costly, or tells the past, is
/// worked out aside.
pub fn many<E: Executor, A: Admission>(
    edge: &Arc<Edge<E, A>>,
    request: Request,
    kind: OperationType,
    cost: u64,
    id: RequestId,
) -> BoxStream<'static, Told> {
    if kind != OperationType::Subscription {
        return one(edge.clone(), request, kind, cost, id).into_stream().boxed();
    }
    let limits = edge.gate.limits().clone();
    telemetry::operation(kind, None);
    let behind = Behind::default();
    let answers = AssertUnwindSafe(edge.schemas.checking.execute_stream(request.data(behind.clone()), None))
        .catch_unwind()
        .map(move |answer| Told::of(answer.unwrap_or_else(|_| panicked()), &id, &limits))
        .boxed();
    let opened = async move |(mut answers, behind, aside): (BoxStream<'static, Told>, Behind, Aside)| {
        // To hold the document against the schema is work, too: so far it goes before it waits for anything.
        let (first, answers) =
            aside.run("opened", async move { (answers.next().now_or_never(), answers) }).await;
        (first, (answers, behind, aside))
    };
    let next = |(mut answers, behind, aside): (BoxStream<'static, Told>, Behind, Aside)| async move {
        let (answer, answers) = if behind.get() {
            aside.run("behind", async move { (answers.next().await, answers) }).await
        } else {
            (answers.next().await, answers)
        };
        answer.map(|answer| (answer, (answers, behind, aside)))
    };
    let begun = opened((answers, behind, edge.aside.clone())).into_stream();
    let told = begun.flat_map(move |(first, rest)| match first {
        Some(None) => stream::empty().boxed(),
        Some(Some(told)) => stream::iter([told]).chain(stream::unfold(rest, next)).boxed(),
        None => stream::unfold(rest, next).boxed(),
    });
    told.boxed()
}

async fn one<E: Executor, A: Admission>(
    edge: Arc<Edge<E, A>>,
    request: Request,
    kind: OperationType,
    cost: u64,
    id: RequestId,
) -> Told {
    let limits = edge.gate.limits().clone();
    let turn = match edge.turn(cost).await {
        Ok(turn) => turn,
        Err(problem) => return Told::of(problem.into_graphql(), &id, &limits),
    };
    let schema = edge.schemas.checking.clone();
    let work = async move { Told::of(once(&schema, request, kind, limits.deadline()).await, &id, &limits) };
    match turn {
        Some(_) => edge.aside.run("costly", work).await,
        None => work.await,
    }
}

/// Whether a subscription is over with this answer: it was refused, or its source failed. A field that fails
/// inside one event has a longer path, and the next event may be fine.
fn ends(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.len() <= 1)
}

fn panicked() -> Response {
    // The panic hook has written the message and the place to the log.
    Problem::internal().into_graphql()
}
