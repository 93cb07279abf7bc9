//! Whether the server takes work: starting, ready, draining.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::sync::watch;

/// Shared by the server's start and stop and by everything that must know of them.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    /// Reads and no longer writes, for this reason.
    Failed(Arc<str>),
    Draining,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Starting)))
    }

    /// From now on `/readyz` says 200.
    pub fn ready(&self) {
        self.0.send_if_modified(|phase| {
            *phase == Phase::Starting && {
                *phase = Phase::Ready;
                true
            }
        });
    }

    /// From now on `/readyz` says 503 and why: somebody else should get the work. What is open goes on, and reading does.
    pub fn fail(&self, why: &str) {
        self.0.send_if_modified(|phase| {
            *phase != Phase::Draining && {
                *phase = Phase::Failed(why.into());
                true
            }
        });
    }

    /// From now on `/readyz` says 503, sockets close with 1001 and event streams end; there is no way back.
    pub fn drain(&self) {
        self.0.send_replace(Phase::Draining);
    }

    pub fn is_draining(&self) -> bool {
        *self.0.borrow() == Phase::Draining
    }

    /// Returns once the server drains.
    pub async fn drained(&self) {
        self.stay().over().await;
    }

    /// Something that the server waits for before it ends.
    pub fn stay(&self) -> Stay {
        Stay(self.0.subscribe())
    }

    /// Returns once every stay was dropped.
    pub async fn left(&self) {
        self.0.closed().await;
    }
}

/// The server does not end while this lives, or not before its patience does.
#[derive(Debug)]
pub struct Stay(watch::Receiver<Phase>);

impl Stay {
    /// Returns once the server drains.
    pub async fn over(&mut self) {
        // An error means that the server is gone altogether.
        let _ = self.0.wait_for(|phase| *phase == Phase::Draining).await;
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

pub async fn healthz() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

pub async fn readyz(State(lifecycle): State<Lifecycle>) -> impl IntoResponse {
    let phase = lifecycle.0.borrow().clone();
    match phase {
        Phase::Ready => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "starting" }))),
        Phase::Failed(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "failed", "reason": &*why })))
        }
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "draining" }))),
    }
}
