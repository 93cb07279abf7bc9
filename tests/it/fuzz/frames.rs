//! A WebSocket client that writes each frame itself, so that it can write wrong ones.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handfast_tests::Server;
use serde_json::{Value, json};

use super::dice::{Dice, mutate, text};
use crate::catalogue::address;

/// The codes that the server closes with of its own accord, as they are documented.
const CLOSES: &[u16] = &[1001, 1009, 4290, 4400, 4401, 4403, 4406, 4408, 4409, 4429];

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How long the server may take over what it was told.
const PATIENCE: Duration = Duration::from_secs(10);

fn header(first: u8, masked: bool, length: u64, out: &mut Vec<u8>) {
    let mask = if masked { 0x80 } else { 0 };
    out.push(first);
    match length {
        0..126 => out.push(mask | length as u8),
        126..65_536 => {
            out.push(mask | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend(length.to_be_bytes());
        }
    }
}

fn frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    header(first, true, payload.len() as u64, out);
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// What one connection sends, and the close codes of its own in it: the server says those again.
pub struct Script {
    pub bytes: Vec<u8>,
    closes: Vec<u16>,
    /// Before it says goodbye.
    wait: Duration,
}

/// A session of some messages, good and bad.
pub fn script(token: &str, dice: &mut Dice) -> Script {
    let mut script = Script { bytes: vec![], closes: vec![], wait: Duration::ZERO };
    let clean = dice.percent(50);
    script.wait = Duration::from_millis(if dice.percent(50) { 10 } else { 0 });
    let orderly = clean || dice.percent(75);
    if orderly {
        frame(0x80 | TEXT, init(token).to_string().as_bytes(), &mut script.bytes);
    }
    let messages = if !clean && dice.percent(3) { dice.around(100).min(300) } else { dice.between(1, 10) };
    for _ in 0..messages {
        let good = message(token, clean, dice);
        let mut bytes = good.to_string().into_bytes();
        if !clean && dice.percent(12) {
            mutate(dice, &mut bytes);
        }
        match if clean { dice.between(2, 30) } else { dice.below(30) } {
            0 => wrong(dice, &bytes, &mut script),
            1 => frame(0x80 | BINARY, &bytes, &mut script.bytes),
            2..=6 => pieces(dice, &bytes, &mut script.bytes),
            7 => frame(0x80 | PING, &vec![b'p'; dice.below(126)], &mut script.bytes),
            8 => frame(0x80 | PONG, &vec![b'p'; dice.below(126)], &mut script.bytes),
            9 if dice.percent(20) => {
                let code = *dice.pick(&[1000, 1001, 1011, 3000, 4000, 4400, 4999]);
                script.closes.push(code);
                let mut payload = code.to_be_bytes().to_vec();
                payload.extend(text(dice).bytes().take(60));
                // What is cut in the middle of a letter is no text.
                while std::str::from_utf8(&payload[2..]).is_err() {
                    payload.pop();
                }
                frame(0x80 | CLOSE, &payload, &mut script.bytes);
            }
            _ => frame(0x80 | TEXT, &bytes, &mut script.bytes),
        }
    }
    if !clean && dice.percent(5) {
        let cut = dice.below(script.bytes.len() + 1);
        script.bytes.truncate(cut);
    }
    script
}

fn init(token: &str) -> Value {
    json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}})
}

/// A message of the protocol, with some of its parts exchanged.
fn message(token: &str, clean: bool, dice: &mut Dice) -> Value {
    const DOCUMENTS: &[&str] = &[
        "subscription { leadEvents { cursor kind } }",
        "subscription { leadStageChanged { cursor to } }",
        "subscription { funnelCounts { open } }",
        "subscription { leadEvents(after: \"zz\") { cursor } }",
        "subscription { nothing }",
        "subscription {",
        "{ viewer { key } }",
        "{ leads(first: 0) { edges { cursor } } }",
        "mutation { announceSignal(signal: \"x\") { __typename } }",
        "{ viewer { ...A } } fragment A on User { ...A }",
        "",
    ];
    if clean {
        // Of many ids hardly one comes twice.
        let id = dice.below(1_000).to_string();
        return match dice.below(8) {
            0 => json!({"type": "ping"}),
            1 => json!({"type": "complete", "id": id}),
            _ => json!({"type": "subscribe", "id": id, "payload": {"query": dice.pick(DOCUMENTS)}}),
        };
    }
    let id = (*dice.pick(&["1", "2", "3", "", "\u{0}", "ü", "undefined"])).to_owned();
    let mut message = match dice.below(20) {
        0 => init(token),
        1 => json!({"type": "connection_init", "payload": {"token": text(dice)}}),
        2 | 3 => json!({"type": "ping", "payload": {"x": text(dice)}}),
        4 => json!({"type": "pong"}),
        5..=7 => json!({"type": "complete", "id": id}),
        8 => json!({"type": text(dice), "id": id, "payload": null}),
        9 => json!({"type": "ping", "payload": {"x": "x".repeat(dice.around(65_500).min(280_000))}}),
        _ => json!({"type": "subscribe", "id": id, "payload": {"query": dice.pick(DOCUMENTS)}}),
    };
    if dice.percent(8) {
        let key = *dice.pick(&["type", "id", "payload", "more"]);
        message[key] = match dice.below(6) {
            0 => Value::Null,
            1 => json!(7),
            2 => json!([[[{}]]]),
            3 => json!({"query": 5, "variables": []}),
            4 => (0..dice.around(34)).fold(json!(1), |inner, _| json!([inner])),
            _ => json!(text(dice)),
        };
    }
    message
}

/// One message in several frames, with pings between them.
fn pieces(dice: &mut Dice, bytes: &[u8], out: &mut Vec<u8>) {
    let size = dice.between(1, bytes.len().max(1)).max(bytes.len() / 50 + 1);
    let parts: Vec<&[u8]> = bytes.chunks(size).collect();
    for (n, part) in parts.iter().enumerate() {
        let kind = if n == 0 { TEXT } else { 0 };
        let last = if n + 1 == parts.len() { 0x80 } else { 0 };
        frame(last | kind, part, out);
        if dice.percent(10) {
            frame(0x80 | PING, b"between", out);
        }
    }
}

/// A frame that the protocol forbids.
fn wrong(dice: &mut Dice, bytes: &[u8], script: &mut Script) {
    let out = &mut script.bytes;
    match dice.below(11) {
        // Not masked.
        0 => {
            header(0x80 | TEXT, false, bytes.len() as u64, out);
            out.extend(bytes);
        }
        // Reserved bits and kinds.
        1 => frame(0xf0 | TEXT, bytes, out),
        2 => frame(0x80 | *dice.pick(&[3, 7, 11, 15]), bytes, out),
        // A continuation of nothing, and a message within a message.
        3 => frame(0x80, bytes, out),
        4 => {
            frame(TEXT, bytes, out);
            frame(TEXT, bytes, out);
        }
        // A ping that is too long, or in parts.
        5 => frame(0x80 | PING, &[b'p'; 200], out),
        6 => frame(PING, b"p", out),
        // A close of one byte, of a code that there is not, of a reason that is no text.
        7 => frame(0x80 | CLOSE, b"x", out),
        8 => {
            let code: u16 = *dice.pick(&[0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535]);
            script.closes.push(code);
            frame(0x80 | CLOSE, &code.to_be_bytes(), out);
        }
        9 => frame(0x80 | CLOSE, b"\x03\xe8\xff\xfe", out),
        // More is announced than ever comes.
        _ => {
            header(0x80 | TEXT, true, *dice.pick(&[300_000, 1 << 32, u64::MAX >> 1, u64::MAX]), out);
            out.extend([0; 4]);
            out.extend(bytes);
        }
    }
}

/// Plays a script on a connection of its own and judges what comes back. Answers how it ended.
pub fn play(server: &Server, script: &Script) -> Result<String, String> {
    let mut stream =
        TcpStream::connect(address(server)).map_err(|error| format!("no connection: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).map_err(|error| error.to_string())?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let head = format!(
        "GET /graphql HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n",
        address(server)
    );
    // A server that has heard enough may close while it is still being told.
    drop(stream.write_all(head.as_bytes()));
    drop(stream.write_all(&script.bytes));
    std::thread::sleep(script.wait);
    // Whoever is still there is asked to end in order.
    let mut end = vec![];
    frame(0x80 | CLOSE, &1000_u16.to_be_bytes(), &mut end);
    drop(stream.write_all(&end));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let (began, mut heard, mut part) = (Instant::now(), vec![], [0; 16 * 1024]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => heard.extend_from_slice(&part[..read]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            // Unread bytes reset a connection that is closed.
            Err(_) => break,
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the connection is open {PATIENCE:?} after its client has said goodbye"));
        }
    }
    judge(&heard, &script.closes)
}

/// Whether all that was heard is of the protocol.
fn judge(heard: &[u8], closes: &[u16]) -> Result<String, String> {
    let Some(end) = heard.windows(4).position(|part| part == b"\r\n\r\n") else {
        // A reset may have taken the answer away.
        return if heard.is_empty() {
            Ok("reset".to_owned())
        } else {
            Err(format!("no answer to the handshake: {heard:?}"))
        };
    };
    let head = String::from_utf8_lossy(&heard[..end]);
    if !head.starts_with("HTTP/1.1 101") {
        return Err(format!("the handshake is answered {head}"));
    }
    let mut rest = &heard[end + 4..];
    let (mut closed, mut kinds) = (None, BTreeSet::new());
    while let Some((kind, payload, after)) = next(rest) {
        rest = after;
        match kind {
            _ if closed.is_some() => return Err(format!("a frame of kind {kind} comes after the close")),
            TEXT => kinds.extend(message_of_server(payload)?),
            PING | PONG => {}
            CLOSE => {
                let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                let reason = payload.get(2..).unwrap_or_default();
                // A client's own code comes back; one that is none is answered with 1002.
                let known = code.is_none_or(|code| {
                    CLOSES.contains(&code) || closes.contains(&code) || [1000, 1002].contains(&code)
                });
                if !known || std::str::from_utf8(reason).is_err() || payload.len() > 125 {
                    return Err(format!("closed with {code:?} {}", String::from_utf8_lossy(reason)));
                }
                closed = Some(code.map_or("closed".to_owned(), |code| code.to_string()));
            }
            other => return Err(format!("a frame of kind {other}")),
        }
    }
    let data = if kinds.contains("next") { " after data" } else { "" };
    Ok(format!("{}{data}", closed.unwrap_or_else(|| "cut".to_owned())))
}

/// The next whole frame: the server sends none in parts and masks none.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, start) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = start + usize::try_from(length).ok()?;
    // Anything but a final frame without reserved bits and mask is told by its odd kind.
    let kind = if first & 0xf0 == 0x80 { first & 0x0f } else { first };
    Some((kind, bytes.get(start..end)?, &bytes[end..]))
}

/// The type of a message, which must be one that a server may send.
fn message_of_server(payload: &[u8]) -> Result<Option<String>, String> {
    let message: Value =
        serde_json::from_slice(payload).map_err(|error| format!("a message is no JSON: {error}"))?;
    let (id, payload) = (message["id"].is_string(), &message["payload"]);
    let good = match message["type"].as_str() {
        Some("connection_ack" | "pong") => true,
        Some("complete") => id,
        Some("next") => id && (payload["data"].is_object() || payload["errors"].is_array()),
        Some("error") => id && payload.as_array().is_some_and(|errors| !errors.is_empty()),
        _ => false,
    };
    let errors = if payload.is_array() { payload } else { &payload["errors"] };
    super::errors(errors)?;
    if good {
        Ok(message["type"].as_str().map(str::to_owned))
    } else {
        Err(format!("no message of the protocol: {message}"))
    }
}
