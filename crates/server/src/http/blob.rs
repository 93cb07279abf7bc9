//! `PUT /blobs?kind=plugin|import`: bytes come in as a stream, are kept under their sha-256, and are named by it afterwards.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::StreamExt;
use handfast_store::StoreError;
use handfast_store::blob::{self, Blob};
use serde::Deserialize;
use serde_json::json;

use super::graphql::discard;
use super::media::Media;
use super::problem::{Code, Problem};
use super::{Admission, RequestId, bearer};
use crate::admission::Tokens;
use crate::app::App;
use crate::flows::scope;

/// What a file is for, the scope that sending it needs, and its largest size.
const KINDS: [(&str, &str, u64); 2] =
    [("plugin", scope::PLUGINS_DEPLOY, 32 * 1024 * 1024), ("import", scope::IMPORT, 2 * 1024 * 1024 * 1024)];

/// A sender that is silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);

pub fn routes(app: App, tokens: Tokens) -> Router {
    Router::new().route("/blobs", any(put)).with_state((app, tokens))
}

#[derive(Deserialize)]
struct Asked {
    kind: Option<String>,
}

async fn put(
    State((app, tokens)): State<(App, Tokens)>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::unknown);
    let taken = async {
        if parts.method != Method::PUT {
            return Err(Problem::new(
                Code::MethodNotAllowed,
                "send the file with PUT /blobs?kind=plugin|import",
            ));
        }
        let token = bearer(&parts.headers).map_err(|_| Problem::unauthenticated())?;
        let admitted = tokens.admit(token).await?;
        let known = KINDS.iter().find(|(name, ..)| asked.kind.as_deref() == Some(name));
        let (kind, needed, limit) = known.ok_or_else(|| {
            Problem::new(Code::BadRequest, "say what the file is for: PUT /blobs?kind=plugin or ?kind=import")
        })?;
        if !admitted.viewer.may(needed) {
            let message =
                format!("your token lacks the scope {needed}, which a file of the kind {kind} needs");
            return Err(Problem::new(Code::Forbidden, message));
        }
        if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(Problem::new(Code::UnsupportedMediaType, "send the file as it is, not compressed"));
        }
        take(&app, kind, *limit, body).await
    };
    match taken.await {
        Ok(blob) => {
            let answer = json!({"sha256": blob.digest, "kind": blob.kind, "size": blob.size});
            ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
        }
        Err(problem) => {
            let refused = problem.code == Code::MethodNotAllowed;
            let mut answer = problem.into_http(Media::Json, &id);
            if refused {
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("PUT"));
            }
            answer
        }
    }
}

async fn take(app: &App, kind: &str, limit: u64, body: Body) -> Result<Blob, Problem> {
    let mut writer = app.store.blobs().create(limit).await.map_err(failed)?;
    let mut stream = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(SILENCE, stream.next()).await;
        let next = next.map_err(|_| {
            Problem::new(
                Code::BodyTimeout,
                format!("no byte came for {} s; send the file again", SILENCE.as_secs()),
            )
        })?;
        let Some(chunk) = next else { break };
        let chunk = chunk
            .map_err(|_| Problem::new(Code::BadRequest, "the file ended before its announced length"))?;
        if let Err(error) = writer.write(&chunk).await {
            discard(stream).await;
            return Err(failed(error));
        }
    }
    let (digest, size) = writer.finish().await.map_err(failed)?;
    let blob = Blob { digest, kind: kind.to_owned(), size, created_at: app.now() };
    let row = blob.clone();
    let written = app.store.write(move |tx| Box::pin(async move { blob::register(tx, &row).await }));
    written.await.map_err(failed)?;
    Ok(blob)
}

fn failed(error: StoreError) -> Problem {
    match error {
        StoreError::TooLarge { limit } => {
            Problem::new(Code::PayloadTooLarge, format!("a file of this kind has at most {limit} bytes"))
        }
        StoreError::Unsynced(_) => {
            Problem::new(Code::StorageFailed, "the server's disk failed, and it writes nothing any more")
        }
        StoreError::Full => Problem::new(Code::StorageFull, "the server's disk is full; nothing was kept"),
        error => {
            tracing::error!(%error, "a file could not be kept");
            Problem::internal()
        }
    }
}
