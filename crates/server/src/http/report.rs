//! `GET /reports/{uuid}`: the table of a report that was made in the background, part by part.

use std::io;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::stream;
use handfast_domain::report::{ExportFormat, ReportRun};
use handfast_domain::run::RunStatus;
use handfast_store::report;
use uuid::Uuid;

use super::media::Media;
use super::problem::{Code, Problem};
use super::{Admission, RequestId, bearer};
use crate::admission::Tokens;
use crate::app::App;
use crate::flows::scope;

pub fn routes(app: App, tokens: Tokens) -> Router {
    Router::new().route("/reports/{uuid}", any(get)).with_state((app, tokens))
}

async fn get(
    State((app, tokens)): State<(App, Tokens)>,
    Path(uuid): Path<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::unknown);
    let found = async {
        if parts.method != Method::GET {
            return Err(Problem::new(Code::MethodNotAllowed, "read a report with GET /reports/{uuid}"));
        }
        let token = bearer(&parts.headers).map_err(|_| Problem::unauthenticated())?;
        let admitted = tokens.admit(token).await?;
        let allowed = admitted.viewer.require(scope::LEADS_READ);
        allowed.map_err(|refused| Problem::new(Code::Forbidden, refused.message))?;
        finished(&app, &uuid).await
    };
    match found.await {
        Ok(run) => answer(app, &run),
        Err(problem) => {
            let refused = problem.code == Code::MethodNotAllowed;
            // As for an event stream: a refusal is told by its status.
            let mut answer = problem.into_http(Media::GraphQl, &id);
            if refused {
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            answer
        }
    }
}

async fn finished(app: &App, uuid: &str) -> Result<ReportRun, Problem> {
    let missing =
        || Problem::new(Code::NotFound, "no such report; it is kept for 30 days, and not beyond an erasure");
    let id = Uuid::try_parse(uuid).map_err(|_| missing())?;
    let run = report::get(app.store.read(), id).await.map_err(|error| {
        tracing::error!(%error, "a report could not be read");
        Problem::internal()
    })?;
    let run = run.ok_or_else(missing)?;
    if run.status != RunStatus::Finished {
        let text = format!("the report is {}; wait until reportProgress says FINISHED", run.status);
        return Err(Problem::new(Code::NotFound, text));
    }
    Ok(run)
}

fn answer(app: App, run: &ReportRun) -> Response {
    let (kind, ending) = match run.asked.format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "csv"),
        ExportFormat::Ndjson => ("application/x-ndjson; charset=utf-8", "ndjson"),
    };
    let (id, bytes) = (run.id, run.bytes.unwrap_or(0));
    // An error cuts the answer off, so that nobody takes it for whole.
    let cut = |why: &'static str| Some((Err(io::Error::other(why)), None));
    let parts = stream::unfold(Some((app, run.clone(), 0_i64, bytes)), move |state| async move {
        let (app, run, number, left) = state?;
        match report::part(app.store.read(), &run, number).await {
            Ok(Some(part)) => {
                let left = left - i64::try_from(part.len()).unwrap_or(left);
                Some((Ok(Bytes::from(part)), Some((app, run, number + 1, left))))
            }
            Ok(None) if left == 0 => None,
            Ok(None) => cut("the report was forgotten meanwhile"),
            Err(error) => {
                tracing::error!(%error, report = %run.id, "a report could not be read to its end");
                cut("the report could not be read")
            }
        }
    });
    let mut answer = Body::from_stream(parts).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let file =
        format!("attachment; filename=\"{}-{id}.{ending}\"", run.asked.report.kind().as_str().to_lowercase());
    if let Ok(file) = HeaderValue::from_str(&file) {
        headers.insert(header::CONTENT_DISPOSITION, file);
    }
    answer
}
