//! Receivers of webhooks: good ones, bad ones, and one behind TLS.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handfast_tests::{eventually, root};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Got {
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub at: Instant,
}

impl Got {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body is JSON")
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Say {
    Status(u16),
    /// A status with one more header.
    With(u16, &'static str, String),
    /// Nothing, for a long time.
    Hang,
    /// The connection is cut.
    Cut,
    /// One byte now and then, for ever.
    Drip,
    /// Ten gigabytes.
    Flood,
    /// Something that is no HTTP.
    Noise,
}

type Answer = Arc<dyn Fn(usize, &Got) -> Say + Send + Sync>;

/// A server that remembers what it got. It answers each request by its number, from 0, and what it holds.
pub struct Receiver {
    pub address: SocketAddr,
    scheme: &'static str,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Receiver {
    pub fn good() -> Receiver {
        Receiver::start(|_, _| Say::Status(204))
    }

    pub fn start(answer: impl Fn(usize, &Got) -> Say + Send + Sync + 'static) -> Receiver {
        Receiver::serve(answer, None)
    }

    /// With a certificate of an authority that only `tests/keys/ca.pem` knows.
    pub fn secure() -> Receiver {
        let file = |name: &str| root().join("tests/keys").join(name);
        let certificate = CertificateDer::from_pem_file(file("server.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config =
            builder.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
        Receiver::serve(|_, _| Say::Status(204), Some(Arc::new(config.expect("they belong together"))))
    }

    fn serve(
        answer: impl Fn(usize, &Got) -> Say + Send + Sync + 'static,
        tls: Option<Arc<ServerConfig>>,
    ) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Arc::new(answer)));
        let receiver = Receiver { address, scheme, got: Arc::default(), answer };
        let (got, answer) = (receiver.got.clone(), receiver.answer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (got, answer, tls) = (got.clone(), answer.clone(), tls.clone());
                std::thread::spawn(move || {
                    match tls {
                        None => converse(stream, &got, &answer),
                        Some(config) => {
                            let session = ServerConnection::new(config).expect("a session");
                            converse(StreamOwned::new(session, stream), &got, &answer)
                        }
                    };
                });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address)
    }

    /// From now on requests are answered so.
    pub fn answers(&self, answer: impl Fn(usize, &Got) -> Say + Send + Sync + 'static) {
        *self.answer.lock().expect("nobody panics with it") = Arc::new(answer);
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("nobody panics with it").clone()
    }

    pub fn forget(&self) {
        self.got.lock().expect("nobody panics with it").clear();
    }

    /// Waits until so many came.
    pub fn await_got(&self, count: usize) -> Vec<Got> {
        eventually(40, &format!("{count} deliveries come"), || {
            let got = self.got();
            (got.len() >= count).then_some(got)
        })
    }
}

/// Requests of one connection. None when it ends.
fn converse(stream: impl Read + Write, got: &Mutex<Vec<Got>>, answer: &Mutex<Answer>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream)?;
        let number = {
            let mut got = got.lock().ok()?;
            got.push(request.clone());
            got.len() - 1
        };
        let say = answer.lock().ok()?.clone();
        let stream = stream.get_mut();
        let mut write = |text: &str| stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).ok();
        match say(number, &request) {
            Say::Status(status) => write(&format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nok"))?,
            Say::With(status, name, value) => {
                write(&format!("HTTP/1.1 {status} x\r\n{name}: {value}\r\ncontent-length: 0\r\n\r\n"))?
            }
            Say::Hang => std::thread::sleep(Duration::from_secs(60)),
            Say::Cut => return None,
            Say::Noise => return write("220 smtp.example.test ready\r\n\r\n"),
            Say::Drip => {
                write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
                for _ in 0..1_000 {
                    write("x")?;
                    std::thread::sleep(Duration::from_millis(300));
                }
            }
            Say::Flood => {
                write("HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")?;
                let block = "x".repeat(64 * 1_024);
                while write(&block).is_some() {}
                return None;
            }
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<Got> {
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: BTreeMap<String, String> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(Got { headers, body: String::from_utf8(body).ok()?, at: Instant::now() })
}

/// A port where nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
