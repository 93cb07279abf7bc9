//! A server of NATS in a process of its own, and as much of a client as reads a stream: its text protocol and JetStream's
//! requests, so that what is seen is what went over the wire.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use handfast_tests::eventually;
use serde_json::{Value, json};

pub struct NatsServer {
    program: PathBuf,
    child: Option<Child>,
    dir: tempfile::TempDir,
    port: u16,
}

impl NatsServer {
    pub fn start(program: &Path) -> NatsServer {
        // Nobody else takes it in the moment between.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = NatsServer { program: program.to_owned(), child: None, dir, port };
        server.start_again();
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// On the same port, with what it kept.
    pub fn start_again(&mut self) {
        let child = Command::new(&self.program)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        self.child = Some(child);
        eventually(20, "NATS answers", || Wire::connect(self.port)?.request("$JS.API.INFO", &json!({})));
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Deletes what a killed one kept.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.dir.path()).expect("its folder is deleted");
        std::fs::create_dir(self.dir.path()).expect("an empty folder");
    }

    pub fn wire(&self) -> Wire {
        Wire::connect(self.port).expect("NATS answers")
    }

    /// The answer of JetStream.
    pub fn ask(&self, what: &str, body: &Value) -> Value {
        self.wire().request(&format!("$JS.API.{what}"), body).expect("JetStream answers")
    }

    /// All messages of a stream; none if there is no such stream.
    pub fn stream(&self, name: &str) -> Option<Vec<Message>> {
        let mut wire = Wire::connect(self.port)?;
        let info = wire.request(&format!("$JS.API.STREAM.INFO.{name}"), &json!({}))?;
        let count = info["state"]["messages"].as_u64()?;
        wire.send("SUB deliver 2\r\n")?;
        let config = json!({
            "deliver_subject": "deliver", "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant",
        });
        let body = json!({"stream_name": name, "config": config});
        wire.send(&format!(
            "SUB answer 1\r\nPUB $JS.API.CONSUMER.CREATE.{name} answer {}\r\n{body}\r\n",
            body.to_string().len()
        ))?;
        let mut messages = Vec::new();
        while (messages.len() as u64) < count {
            let message = wire.next()?;
            if message.subscription == "2" {
                messages.push(message);
            }
        }
        Some(messages)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Debug)]
pub struct Message {
    pub subject: String,
    /// As written on the wire.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    subscription: String,
    reply: String,
}

impl Message {
    /// Its number in the stream, by what the answer to it would be addressed to.
    pub fn number(&self) -> u64 {
        self.reply.split('.').nth(5).and_then(|text| text.parse().ok()).expect("a number in the stream")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers))
    }
}

pub struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    /// None where nobody listens.
    fn connect(port: u16) -> Option<Wire> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut wire = Wire { reader: BufReader::new(stream) };
        wire.line()?.strip_prefix("INFO ")?;
        wire.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n")?;
        Some(wire)
    }

    fn send(&mut self, text: &str) -> Option<()> {
        self.reader.get_mut().write_all(text.as_bytes()).ok()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    }

    /// The answer to a request; none when the connection breaks or nobody answers.
    pub fn request(&mut self, subject: &str, body: &Value) -> Option<Value> {
        let body = body.to_string();
        self.send(&format!("SUB answer 1\r\nPUB {subject} answer {}\r\n{body}\r\n", body.len()))?;
        let answer = self.next()?;
        self.send("UNSUB 1\r\n")?;
        Some(answer.body).filter(Value::is_object)
    }

    /// Publishes a message of headers alone. Answers what JetStream says to it.
    pub fn publish<'a>(&mut self, subject: &str, headers: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
        let lines: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = format!("NATS/1.0\r\n{lines}\r\n");
        let size = headers.len();
        let sent =
            self.send(&format!("SUB answer 1\r\nHPUB {subject} answer {size} {size}\r\n{headers}\r\n"));
        sent.and_then(|()| self.next()).expect("NATS answers").body
    }

    /// The next message of any subscription.
    fn next(&mut self) -> Option<Message> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let (head, sizes) = match words.first() {
                Some(&"PING") => {
                    self.send("PONG\r\n")?;
                    continue;
                }
                Some(&"MSG") => words.split_at(words.len() - 1),
                Some(&"HMSG") => words.split_at(words.len() - 2),
                _ => continue,
            };
            let sizes: Vec<usize> = sizes.iter().filter_map(|size| size.parse().ok()).collect();
            let (headers, whole) = if sizes.len() == 2 { (sizes[0], sizes[1]) } else { (0, sizes[0]) };
            let mut bytes = vec![0; whole + 2];
            self.reader.read_exact(&mut bytes).ok()?;
            let text = String::from_utf8(bytes[..headers].to_vec()).expect("headers are text");
            let pairs = text.lines().skip(1).filter_map(|line| line.split_once(':'));
            return Some(Message {
                subject: head[1].to_owned(),
                subscription: head[2].to_owned(),
                reply: head.get(3).copied().unwrap_or_default().to_owned(),
                headers: pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
                body: serde_json::from_slice(&bytes[headers..whole]).unwrap_or_default(),
            });
        }
    }
}
