//! The way to a registry: where plain HTTP is allowed, who asks, and what its refusals mean.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use handfast_domain::digest::Digest;
use hyper::header::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::artifact::{Artifact, Found, read};
use super::{MAX_BESIDE, MAX_PLUGIN};

/// Why a registry did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    #[error("{0}")]
    Reference(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Denied(String),
    /// Something is there, and it is no plugin, or not what its digest says.
    #[error("{0}")]
    Unfit(String),
    #[error("{0}")]
    Other(String),
}

/// How to reach the registry.
#[derive(Clone, Debug, Default)]
pub struct Access<'a> {
    /// Without TLS, although the registry is on another machine.
    pub plain_http: bool,
    /// Name and password; those of docker's configuration without.
    pub user: Option<(String, String)>,
    /// Certificates in PEM that are trusted besides the system's.
    pub ca_file: Option<&'a Path>,
}

/// A place in a registry.
pub struct Registry {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
}

/// `oci://host/repository:tag`, `oci://host/repository@sha256:…`; the scheme may be left out.
pub fn reference(text: &str) -> Result<Reference, Failed> {
    let wrong = |why: String| {
        Failed::Reference(format!(
            "{text:?} names no place in a registry ({why}); write oci://host/repository:tag, or …@sha256:…"
        ))
    };
    let rest = text.strip_prefix("oci://").unwrap_or(text);
    if let Some((scheme, _)) = rest.split_once("://") {
        return Err(wrong(format!("the scheme is oci, not {scheme}")));
    }
    let host = rest.split_once('/').map(|(host, _)| host);
    // Docker's tools take a name without a host for one of Docker's own registry.
    if !host.is_some_and(|host| host.contains('.') || host.contains(':') || host == "localhost") {
        return Err(wrong("it begins with the registry's host".to_owned()));
    }
    rest.parse().map_err(|error: oci_client::ParseError| wrong(error.to_string()))
}

fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

impl Registry {
    pub fn open(place: &str, access: &Access<'_>) -> Result<Registry, Failed> {
        // The client's library brings none: the one that everything else here uses.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reference = reference(place)?;
        let registry = reference.resolve_registry().to_owned();
        let mut config = ClientConfig {
            protocol: match access.plain_http || is_local(&registry) {
                true => ClientProtocol::HttpsExcept(vec![registry.clone()]),
                false => ClientProtocol::Https,
            },
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(60)),
            user_agent: concat!("handfast/", env!("CARGO_PKG_VERSION")),
            https_proxy: environment("HTTPS_PROXY"),
            no_proxy: environment("NO_PROXY"),
            // A plugin is no image of many platforms.
            platform_resolver: None,
            ..ClientConfig::default()
        };
        if let Some(path) = access.ca_file {
            let data = std::fs::read(path)
                .map_err(|error| Failed::Other(format!("the certificates {}: {error}", path.display())))?;
            config.extra_root_certificates = vec![Certificate { encoding: CertificateEncoding::Pem, data }];
        }
        let client = Client::try_from(config).map_err(|error| {
            Failed::Other(format!("no client: {}; are the system's certificates installed?", causes(&error)))
        })?;
        let auth = match &access.user {
            Some((name, password)) => RegistryAuth::Basic(name.clone(), password.clone()),
            None => of_docker(&registry)?,
        };
        Ok(Registry { client, reference, auth })
    }

    /// Of the repository, as `host/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.reference.registry(), self.reference.repository())
    }

    /// Pushes what lies beside first, so that nothing half made has the name of something whole. Answers the digest.
    pub async fn push(
        &self,
        plugin: &Artifact,
        beside: Option<(String, Artifact)>,
    ) -> Result<String, Failed> {
        if self.reference.digest().is_some() {
            return Err(Failed::Reference("publish under a tag; the digest comes of itself".to_owned()));
        }
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        if let Some((tag, artifact)) = beside {
            let place = Reference::with_tag(registry.to_owned(), repository.to_owned(), tag);
            self.push_to(&place, &artifact).await?;
        }
        self.push_to(&self.reference, plugin).await?;
        let digest = self.client.fetch_manifest_digest(&self.reference, &self.auth).await;
        digest.map_err(|error| self.failed(error))
    }

    /// The blobs, then the manifest that names them. The library's own `push` writes line breaks of annotations into the JSON
    /// as they are, which no registry can read.
    async fn push_to(&self, place: &Reference, artifact: &Artifact) -> Result<(), Failed> {
        let Artifact { manifest, config, layers } = artifact;
        self.client.store_auth_if_needed(place.resolve_registry(), &self.auth).await;
        let blobs = layers.iter().map(|layer| (&layer.data, layer.sha256_digest()));
        for (data, digest) in blobs.chain([(&config.data, config.sha256_digest())]) {
            let pushed = self.client.push_blob(place, data.clone(), &digest).await;
            pushed.map_err(|error| self.failed(error))?;
        }
        let body = serde_json::to_vec(manifest).map_err(|error| Failed::Other(error.to_string()))?;
        let kind = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        let pushed = self.client.push_manifest_raw(place, body, kind).await;
        pushed.map(drop).map_err(|error| self.failed(error))
    }

    /// What the manifest says, and its digest, which is that of the bytes that came.
    pub async fn find(&self) -> Result<(Found, String), Failed> {
        let (manifest, digest): (OciImageManifest, String) = self
            .client
            .pull_image_manifest(&self.reference, &self.auth)
            .await
            .map_err(|error| self.failed(error))?;
        let found = read(&manifest)
            .map_err(|why| Failed::Unfit(format!("{} is no plugin: {why}", self.reference.whole())))?;
        if found.size > MAX_PLUGIN {
            let message = format!(
                "{} has {} bytes; a plugin has at most {MAX_PLUGIN}",
                self.reference.whole(),
                found.size
            );
            return Err(Failed::Unfit(message));
        }
        Ok((found, digest))
    }

    /// The plugin's bytes.
    pub async fn plugin(&self, found: &Found) -> Result<Vec<u8>, Failed> {
        let bytes = self.blob(&found.layer, MAX_PLUGIN).await?;
        if !bytes.starts_with(b"\0asm") {
            let whole = self.reference.whole();
            return Err(Failed::Unfit(format!("{whole} says that it is wasm, and does not begin like it")));
        }
        Ok(bytes)
    }

    /// Cases or settings, which the manifest names by their digest.
    pub async fn beside(&self, digest: &str) -> Result<Vec<u8>, Failed> {
        self.blob(digest, MAX_BESIDE).await
    }

    /// A blob, read no further than the limit and compared with its digest.
    async fn blob(&self, digest: &str, limit: u64) -> Result<Vec<u8>, Failed> {
        let whole = self.reference.whole();
        let wanted = digest.strip_prefix("sha256:").and_then(Digest::parse);
        let wanted =
            wanted.ok_or_else(|| Failed::Unfit(format!("{whole} names {digest:?}, which is no sha256")))?;
        // By its digest alone: the other addresses that a manifest may name are not asked.
        let stream = self.client.pull_blob_stream(&self.reference, digest).await;
        let mut stream = stream.map_err(|error| self.failed(error))?;
        let mut bytes = vec![];
        let broken = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::Other | std::io::ErrorKind::InvalidData => {
                Failed::Unfit(format!("{whole}: {error}"))
            }
            _ => Failed::Other(format!("{whole}: the registry stopped in the middle: {error}")),
        };
        while let Some(part) = stream.try_next().await.map_err(broken)? {
            if bytes.len() as u64 + part.len() as u64 > limit {
                return Err(Failed::Unfit(format!("{whole}: {digest} has more than {limit} bytes")));
            }
            bytes.extend_from_slice(&part);
        }
        let found = Digest::of_bytes(&bytes);
        if found != wanted {
            return Err(Failed::Unfit(format!(
                "{whole}: the registry sent sha256:{found} for {digest}; nothing was written"
            )));
        }
        Ok(bytes)
    }

    fn failed(&self, error: OciDistributionError) -> Failed {
        use OciDistributionError as E;
        let whole = self.reference.whole();
        let registry = self.reference.registry();
        let denied = || {
            let who = match &self.auth {
                RegistryAuth::Basic(name, _) => format!("the user {name:?}"),
                RegistryAuth::Anonymous => "somebody without a name".to_owned(),
                RegistryAuth::Bearer(_) => "this token".to_owned(),
            };
            Failed::Denied(format!(
                "{registry} denies {whole} to {who}; give --username and a password, or `docker login {registry}`"
            ))
        };
        let absent = || Failed::NotFound(format!("{whole} is not in the registry"));
        match &error {
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => denied(),
            E::RegistryError { envelope, .. } => match envelope.errors.first().map(|first| &first.code) {
                Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => denied(),
                Some(
                    OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
                    | OciErrorCode::BlobUnknown,
                ) => absent(),
                _ => Failed::Other(format!("{registry} refused {whole}: {envelope}")),
            },
            E::ServerError { code: 401 | 403, .. } => denied(),
            E::ServerError { code: 404, .. } | E::ImageManifestNotFoundError(_) => absent(),
            E::ServerError { code, message, .. } => {
                let said: String = message.chars().take(200).collect();
                Failed::Other(format!("{registry} answered {code} for {whole}: {said}"))
            }
            E::DigestError(error) => Failed::Unfit(format!("{whole}: {error}; nothing was written")),
            E::ImageIndexParsingNoPlatformResolverError => {
                Failed::Unfit(format!("{whole} is an image of several platforms, no plugin"))
            }
            E::ManifestParsingError(_) | E::VersionedParsingError(_) | E::UnsupportedMediaTypeError(_) => {
                Failed::Unfit(format!("{whole} is no plugin: {error}"))
            }
            E::RequestError(error) => {
                let hint = match self.reference.registry() {
                    registry if is_local(registry) => "",
                    _ => "; if it speaks plain HTTP and the network is yours alone, add --plain-http",
                };
                Failed::Other(format!("no answer from {registry}: {}{hint}", causes(error)))
            }
            other => Failed::Other(format!("{whole}: {}", causes(other))),
        }
    }
}

/// The error with what lies below it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.extend([": ", &said]);
        }
        below = cause.source();
    }
    text
}

fn environment(name: &str) -> Option<String> {
    let found = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).ok();
    found.filter(|value| !value.is_empty())
}

/// What `docker login` left, in its configuration or with a helper.
fn of_docker(registry: &str) -> Result<RegistryAuth, Failed> {
    use docker_credential::{CredentialRetrievalError as E, DockerCredential};
    // Docker's own registry is kept under the address of its first version.
    let name = if registry == "index.docker.io" { "https://index.docker.io/v1/" } else { registry };
    match docker_credential::get_credential(name) {
        Ok(DockerCredential::UsernamePassword(name, password)) => Ok(RegistryAuth::Basic(name, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(Failed::Denied(format!(
            "docker's configuration has an identity token for {registry}, which is not understood here; give --username and a \
             password"
        ))),
        Err(E::ConfigNotFound | E::ConfigReadError | E::NoCredentialConfigured) => {
            Ok(RegistryAuth::Anonymous)
        }
        // A helper says in its own words that it has none.
        Err(E::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => Err(Failed::Other(format!("docker's configuration for {registry}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_its_host() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let good = [
            ("oci://localhost/card:1", ("localhost", "card", Some("1"), None)),
            ("oci://127.0.0.1:5000/team/card", ("127.0.0.1:5000", "team/card", Some("latest"), None)),
            (&format!("ghcr.io/team/card@{digest}"), ("ghcr.io", "team/card", None, Some(digest.as_str()))),
        ];
        for (text, parts) in good {
            let found = reference(text).unwrap();
            assert_eq!((found.registry(), found.repository(), found.tag(), found.digest()), parts);
        }
        let bad = [
            "",
            "card",
            "team/card:1",
            "https://ghcr.io/card",
            "oci://ghcr.io/Card:1",
            "oci://ghcr.io/card@sha256:12",
        ];
        for text in bad {
            let why = reference(text).unwrap_err().to_string();
            assert!(why.contains("oci://host/repository:tag"), "{text}: {why}");
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        let cases = [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.8.0.1", true),
            ("127.0.0.1.example.test", false),
            ("localhost.example.test:5000", false),
            ("10.0.0.1:5000", false),
        ];
        for (registry, local) in cases {
            assert_eq!(is_local(registry), local, "{registry}");
        }
    }
}
