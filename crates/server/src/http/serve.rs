//! Serving connections: a deadline for request heads, a cap on connections, and an end that lets requests
//! finish.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::Service;

use super::Lifecycle;
use super::config::ConnectionLimits;
use super::places::Shares;
use super::rate::{Peer, whole};

/// Serves until the server drains, then waits for open requests as long as the limits allow.
pub async fn serve(listener: TcpListener, app: Router, lifecycle: Lifecycle, limits: ConnectionLimits) {
    let mut http = http1::Builder::new();
    // The usual loop sets no timer, and without one a client may take forever over its headers.
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(limits.head_timeout_ms));
    http.max_buf_size(limits.head_bytes.max(16 * 1024));
    // Connections inherit it. Where it cannot be set, the system's own, of megabytes, holds.
    let _ = SockRef::from(&listener).set_send_buffer_size(limits.send_buffer_bytes as usize);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let shares = Shares::new(limits.connections_per_address);
    let accept = async {
        loop {
            // At the cap new connections wait in the kernel's queue instead of being refused.
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let (stream, peer) = accept(&listener).await;
            // Whoever takes all it can get leaves the others theirs.
            let Some(share) = shares.take(whole(peer.0.to_canonical())) else { continue };
            // A reader that takes nothing would hold its answer in memory for ever.
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(Duration::from_millis(limits.write_timeout_ms)));
            let app = app.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                // A router is always ready.
                app.clone().call(request)
            });
            let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
            let mut stay = lifecycle.stay();
            tokio::spawn(async move {
                let mut connection = pin!(connection.with_upgrades());
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stay.over() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                drop((slot, share));
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = lifecycle.drained() => {}
    }
    drop(listener);
    let patience = Duration::from_millis(limits.drain_ms);
    if tokio::time::timeout(patience, lifecycle.left()).await.is_err() {
        tracing::warn!(ms = limits.drain_ms, "some connections did not end in time and are cut");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Small answers must not wait for more to come; without this option they are only slower.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(from.ip()));
            }
            Err(error) if is_one_connections(&error) => {}
            Err(error) => {
                // For example too many open files: waiting for some to close is all that can be done.
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
