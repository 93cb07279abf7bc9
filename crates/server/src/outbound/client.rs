//! The HTTP client of webhooks: resolves, looks at every address, connects to one of those that it has looked at, and reads an
//! answer no further than it is worth. It follows nothing, keeps no cookies, and asks no proxy of the environment.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, Uri, header};
use futures_util::future::BoxFuture;
use handfast_domain::webhook::AttemptResult;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;

use super::config::WebhookConfig;
use super::target::Policy;

/// Addresses of one host that are tried.
const ADDRESSES: usize = 4;
/// How long a connection may wait for its next request.
const IDLE: Duration = Duration::from_secs(20);
const HEAD_BYTES: usize = 16 * 1_024;

/// What an endpoint said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
}

/// Why there is no answer that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failed {
    pub result: AttemptResult,
    pub status: Option<u16>,
    pub why: String,
}

impl Failed {
    fn new(result: AttemptResult, why: impl Into<String>) -> Failed {
        Failed { result, status: None, why: why.into() }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<Connector, Full<Bytes>>,
    policy: Policy,
    patience: Duration,
    answer_bytes: usize,
}

/// From a host and port to addresses.
type Resolve = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

impl Client {
    pub fn new(config: &WebhookConfig, policy: Policy) -> Result<Client, String> {
        let system: Resolve = Arc::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        });
        Client::resolving(config, policy, system)
    }

    fn resolving(config: &WebhookConfig, policy: Policy, resolve: Resolve) -> Result<Client, String> {
        let connector = Connector {
            policy: policy.clone(),
            resolve,
            tls: Arc::new(tls(config.ca_file.as_deref())?),
            patience: Duration::from_millis(config.connect_timeout_ms),
        };
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.concurrency);
        builder.http1_max_buf_size(HEAD_BYTES);
        let patience = Duration::from_millis(config.timeout_ms);
        Ok(Client { inner: builder.build(connector), policy, patience, answer_bytes: config.answer_bytes })
    }

    /// Sends the body and waits for the whole answer, which must be a short one.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, Failed> {
        // The operator may have taken back what was allowed when the webhook was set up.
        let url = self.policy.check(url).map_err(|why| Failed::new(AttemptResult::TargetForbidden, why))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::try_from(url.as_str())
            .map_err(|error| Failed::new(AttemptResult::TargetForbidden, error.to_string()))?;
        *request.headers_mut() = headers;
        let mut status = None;
        let ended = timeout(self.patience, self.exchange(request, &mut status)).await;
        ended.unwrap_or_else(|_| {
            let why = format!("no whole answer within {} ms", self.patience.as_millis());
            Err(Failed { status, ..Failed::new(AttemptResult::Timeout, why) })
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        status: &mut Option<u16>,
    ) -> Result<Answer, Failed> {
        let (head, mut body) = self.inner.request(request).await.map_err(of_client)?.into_parts();
        *status = Some(head.status.as_u16());
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let answer = Answer { status: head.status.as_u16(), retry_after: retry_after.map(str::to_owned) };
        // What was refused is known by now; reading the rest would only keep the connection.
        if !head.status.is_success() {
            return Ok(answer);
        }
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failed { status: *status, ..of_hyper(&error) })?;
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > self.answer_bytes {
                let why = format!("the answer is longer than {} bytes", self.answer_bytes);
                return Err(Failed { status: *status, ..Failed::new(AttemptResult::Answer, why) });
            }
        }
        Ok(answer)
    }
}

fn of_client(error: hyper_util::client::legacy::Error) -> Failed {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(failed) = inner.downcast_ref::<Failed>() {
            return failed.clone();
        }
        if let Some(error) = inner.downcast_ref::<hyper::Error>() {
            return of_hyper(error);
        }
        source = inner.source();
    }
    Failed::new(AttemptResult::Connection, "the connection failed")
}

fn of_hyper(error: &hyper::Error) -> Failed {
    if error.is_parse() || error.is_parse_too_large() {
        return Failed::new(AttemptResult::Answer, format!("what came back is no HTTP: {error}"));
    }
    Failed::new(AttemptResult::Connection, "the connection was cut before the answer was whole")
}

/// Trusts the roots of Mozilla and the operator's own.
fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let wrong = |why: String| format!("webhooks.ca_file {}: {why}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(wrong("it holds no certificate in PEM".to_owned()));
        }
    }
    // Another library may have brought a second provider: this one is named.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// From a URI to a connection.
#[derive(Clone)]
struct Connector {
    policy: Policy,
    resolve: Resolve,
    tls: Arc<ClientConfig>,
    patience: Duration,
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<Stream, Failed> {
        let patience = self.patience;
        let connected = timeout(patience, self.connect_patiently(uri)).await;
        connected.unwrap_or_else(|_| {
            let why = format!("no connection within {} ms", patience.as_millis());
            Err(Failed::new(AttemptResult::Timeout, why))
        })
    }

    async fn connect_patiently(self, uri: Uri) -> Result<Stream, Failed> {
        let secure = uri.scheme_str() != Some("http");
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = self.reach(&host, port).await?;
        if !secure {
            return Ok(Stream(TokioIo::new(Box::new(tcp))));
        }
        let wrong = |why: String| Failed::new(AttemptResult::Tls, format!("TLS failed: {why}"));
        // RFC 6066 has no dot at the end of a name.
        let name = host.strip_suffix('.').unwrap_or(&host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| wrong(error.to_string()))?;
        let stream = TlsConnector::from(self.tls).connect(name, tcp).await;
        Ok(Stream(TokioIo::new(Box::new(stream.map_err(|error| wrong(error.to_string()))?))))
    }

    /// Every address is looked at before any is connected to, and the one that was looked at is the one that is connected to.
    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Failed> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => (self.resolve)(host.to_owned(), port).await.unwrap_or_default(),
        };
        if found.is_empty() {
            return Err(Failed::new(AttemptResult::Dns, "the name of the host has no address"));
        }
        for address in &found {
            let allowed = self.policy.allows(address.ip());
            allowed.map_err(|why| Failed::new(AttemptResult::TargetForbidden, why))?;
        }
        let mut last = None;
        for address in found.into_iter().take(ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is small and waits for its answer.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Some(error.kind()),
            }
        }
        let why = match last {
            Some(io::ErrorKind::ConnectionRefused) => "the host refused the connection".to_owned(),
            Some(kind) => format!("the host cannot be reached: {kind}"),
            None => "the host cannot be reached".to_owned(),
        };
        Err(Failed::new(AttemptResult::Connection, why))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// With TLS or without.
struct Stream(TokioIo<Box<dyn Both>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request with a text, and counts the connections.
    async fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, count) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut bytes = [0; 4_096];
                    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(answer.as_bytes()).await;
                        if answer != KEPT {
                            return;
                        }
                    }
                });
            }
        });
        (port, count)
    }

    fn config() -> WebhookConfig {
        let allow_networks = vec!["127.0.0.1/32".parse().unwrap()];
        WebhookConfig { allow_http: true, allow_networks, timeout_ms: 2_000, ..WebhookConfig::default() }
    }

    /// A client whose resolver answers these addresses, one list after the other.
    fn client(answers: Vec<Vec<&'static str>>) -> Client {
        let (config, asked) = (config(), AtomicUsize::new(0));
        let resolve: Resolve = Arc::new(move |_, port| {
            let turn = asked.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let of = answers[turn].iter().map(|text| SocketAddr::new(text.parse().unwrap(), port));
            let found: Vec<SocketAddr> = of.collect();
            Box::pin(async move { Ok(found) })
        });
        Client::resolving(&config, Policy::new(&config), resolve).unwrap()
    }

    async fn post(client: &Client, port: u16) -> Result<Answer, Failed> {
        client.post(&format!("http://hooks.example.test:{port}/"), HeaderMap::new(), b"{}".to_vec()).await
    }

    const KEPT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const CLOSE: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_name_that_turns_to_the_inside_is_not_connected_to() {
        let (port, count) = server(CLOSE).await;
        // 127.0.0.1 stands for the open internet here, since it is allowed; its neighbour is not.
        let turning = client(vec![vec!["127.0.0.1"], vec!["127.0.0.2"], vec!["127.0.0.1", "10.0.0.1"]]);
        assert_eq!(post(&turning, port).await.map(|answer| answer.status), Ok(204));
        for _ in 0..2 {
            let refused = post(&turning, port).await.unwrap_err();
            assert_eq!(refused.result, AttemptResult::TargetForbidden);
            assert!(!refused.why.contains("127.0") && !refused.why.contains("10.0"), "{}", refused.why);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_connection_that_is_kept_is_used_again_without_a_new_look() {
        let (port, count) = server(KEPT).await;
        let client = client(vec![vec!["127.0.0.1"], vec!["127.0.0.2"]]);
        for _ in 0..3 {
            assert_eq!(post(&client, port).await.map(|answer| answer.status), Ok(200));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart() {
        for (answer, result) in [
            ("hello, this is no HTTP\r\n\r\n", AttemptResult::Answer),
            ("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nshort", AttemptResult::Connection),
            ("", AttemptResult::Connection),
        ] {
            let (port, _) = server(answer).await;
            let failed = post(&client(vec![vec!["127.0.0.1"]]), port).await.unwrap_err();
            assert_eq!(failed.result, result, "{answer:?}: {}", failed.why);
        }
        let none = post(&client(vec![vec![]]), 9_999).await.unwrap_err();
        assert_eq!(none.result, AttemptResult::Dns);
    }

    #[test]
    fn a_file_of_certificates_that_holds_none_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let config = WebhookConfig { ca_file: Some(file.path().into()), ..config() };
        let refused = Client::new(&config, Policy::new(&config)).err().unwrap_or_default();
        assert!(refused.contains("ca_file") && refused.contains("no certificate"), "{refused}");
    }
}
