//! Readers that never read: what each makes the server keep, and whether the server lets them go.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::loops::{Target, listen};
use super::users::{CAPTURE, leads};
use crate::server::{Server, query};
use crate::{Failed, table};
use serde_json::json;

/// What each may take.
const EACH_KIB: f64 = 64.0;
/// How long the server may take to give them up: ten seconds are its own patience.
const PATIENCE: Duration = Duration::from_secs(30);

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
        while !short && open(target.to, target.from) > 0 && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let (waited, left) = (began.elapsed(), open(target.to, target.from));
        let held = server.memory().0;
        drop(all);
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
            if left > 0 && !short { format!("{left} !") } else { left.to_string() },
            format!("{:.0}", waited.as_secs_f64()),
            (held / 1024).to_string(),
            (after / 1024).to_string(),
        ]);
    }
    table::print(
        "Readers that never read, of everything since the beginning",
        &[
            "way",
            "readers",
            "MB before",
            "peak",
            "KiB each",
            "still open",
            "after s",
            "MB then",
            "MB without them",
        ],
        &rows,
    );
    Ok(())
}

/// New leads. Answers the most memory that the server was seen with.
async fn capture(
    server: &Server,
    to: SocketAddr,
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

/// How many readers of an address have still a connection, by the kernel's own list: they read nothing that would tell.
fn open(server: SocketAddr, from: Ipv4Addr) -> usize {
    const ESTABLISHED: &str = "01";
    let list = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let address = |ip: [u8; 4]| format!("{:08X}", u32::from_le_bytes(ip));
    let (port, reader) = (format!(":{:04X}", server.port()), address(from.octets()));
    let open = list.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, local, other, state, ..]
            if local.ends_with(&port) && other.starts_with(&reader) && state == ESTABLISHED)
    });
    open.count()
}
