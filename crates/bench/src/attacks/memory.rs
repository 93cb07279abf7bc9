//! Readers that never read: what each makes the server keep, and whether the server lets them go.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;

use super::loops::{Target, listen};
use super::users::{CAPTURE, leads};
use super::wire::Wire;
use crate::server::{Server, query};
use crate::{Failed, table};

/// What each may take.
const EACH_KIB: f64 = 64.0;

pub async fn measure(
    server: &Server,
    target: &Target,
    admin: &str,
    readers: usize,
    short: bool,
) -> Result<(), Failed> {
    let mut rows = Vec::new();
    let batches = if short { 1 } else { 20 };
    for (way, by_socket, kind) in [("sockets", true, "ws"), ("event streams", false, "sse")] {
        let target = Target { from: Ipv4Addr::new(127, 0, 3, u8::from(by_socket) + 2), ..target.clone() };
        // What a stage change and its log cost without readers is in memory already when they come.
        capture(server, target.to, admin, &format!("{kind}-before"), batches).await?;
        let before = server.memory().0;
        let mut all = Vec::new();
        for _ in 0..readers {
            all.push(listen(&target, by_socket).await?);
        }
        let peak = capture(server, target.to, admin, &format!("{kind}-with"), batches).await?;
        let each = peak.saturating_sub(before) as f64 / readers.max(1) as f64;
        let began = Instant::now();
        let cut = if short { String::from("not waited for") } else { cut(all).await.to_string() };
        let waited = began.elapsed();
        if !short {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let after = server.memory().0;
        let missed = if each > EACH_KIB { " !" } else { "" };
        rows.push(vec![
            way.to_owned(),
            readers.to_string(),
            (before / 1024).to_string(),
            (peak / 1024).to_string(),
            format!("{each:.0}{missed}"),
            cut,
            format!("{:.0}", waited.as_secs_f64()),
            (after / 1024).to_string(),
        ]);
    }
    table::print(
        "Readers that never read, of everything since the beginning",
        &["way", "readers", "MB before", "peak", "KiB each", "ended by the server", "after s", "MB after"],
        &rows,
    );
    Ok(())
}

/// New leads. Answers the most memory that the server was seen with.
async fn capture(
    server: &Server,
    to: std::net::SocketAddr,
    token: &str,
    kind: &str,
    batches: usize,
) -> Result<u64, Failed> {
    let mut peak = 0;
    for batch in 0..batches {
        let (token, leads) = (token.to_owned(), leads(kind, batch, 100));
        let sent = tokio::task::spawn_blocking(move || query(to, &token, CAPTURE, json!({"leads": leads})));
        sent.await??;
        tokio::time::sleep(Duration::from_millis(50)).await;
        peak = peak.max(server.memory().0);
    }
    Ok(peak)
}

/// How many of them the server has ended within half a minute.
async fn cut(readers: Vec<Wire>) -> usize {
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut ended = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    for mut reader in readers {
        let mut buffer = vec![0; 64 * 1024];
        // What the kernels hold is read first. Whoever is not cut goes on for ever with it.
        let mut room = 8 << 20;
        let end = async {
            while room > 0 {
                match reader.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return true,
                    Ok(bytes) => room -= bytes.min(room),
                }
            }
            false
        };
        ended += usize::from(tokio::time::timeout_at(deadline.into(), end).await.unwrap_or(false));
    }
    ended
}
