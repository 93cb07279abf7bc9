//! Access tokens of an OpenID Connect issuer: JWTs whose algorithm, issuer, audience and type the configuration fixes, and
//! whose keys come only from the issuer's own key set. What a token says of itself (`jku`, `x5u`, `jwk`, another `alg`) decides
//! nothing. Rules: RFC 8725 (best practices for JWT) and RFC 9068 (the form of access tokens).

use std::io::Read;
use std::sync::{Arc, Once};
use std::time::Duration;

use arc_swap::ArcSwap;
use handfast_domain::time::{HOUR, Instant, SECOND};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use tokio::sync::Mutex;

/// Whose tokens are taken besides the server's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    pub issuer: String,
    pub audience: String,
    pub algorithm: String,
    pub token_type: String,
    pub user_claim: String,
}

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The key of a user.
    pub user: String,
    /// As the issuer wrote them.
    pub scopes: Vec<String>,
    pub expires_at: Instant,
}

/// An issuer and the keys that it had when it was asked last.
pub struct Oidc {
    config: OidcConfig,
    algorithm: Algorithm,
    validation: Validation,
    keys: ArcSwap<Keys>,
    /// Held while the issuer is asked, so that it is asked once.
    asking: Mutex<()>,
}

#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    at: Option<Instant>,
}

/// How long keys are taken at their word.
const FRESH_MS: i64 = HOUR;
/// An unknown key is asked for at most so often: whoever makes key ids up must not make the server ask.
const COOLDOWN_MS: i64 = 5 * SECOND;
/// A token that lives longer is none for access.
const LIFETIME_MS: i64 = 24 * HOUR;
const CLOCK_SKEW_MS: i64 = 30 * SECOND;
const ANSWER_BYTES: u64 = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    nbf: Option<i64>,
    scope: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Oidc {
    /// None where no issuer is configured. An error says what of the configuration cannot be.
    pub fn new(config: &OidcConfig) -> Result<Option<Arc<Oidc>>, String> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let algorithm: Algorithm = config.algorithm.parse().map_err(|_| unsupported(&config.algorithm))?;
        verification(algorithm).ok_or_else(|| unsupported(&config.algorithm))?;
        check_url("oidc.issuer", &config.issuer)?;
        if config.audience.is_empty() {
            return Err("oidc.audience is empty: say for whom tokens must be made".to_owned());
        }
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // The clock is ours.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // It fails where one is installed already: this one.
            let _ = PROVIDER.install_default();
        });
        let (config, keys) = (config.clone(), ArcSwap::from_pointee(Keys::default()));
        Ok(Some(Arc::new(Oidc { config, algorithm, validation, keys, asking: Mutex::new(()) })))
    }

    /// Whom the token speaks for; an error is for the log, never for the caller.
    pub async fn verify(&self, token: &str, now: Instant) -> Result<Subject, String> {
        let header = decode_header(token).map_err(|error| error.to_string())?;
        if header.alg != self.algorithm {
            return Err(format!("the algorithm is {:?}", header.alg));
        }
        let typ = header.typ.unwrap_or_default().to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) != self.config.token_type.to_ascii_lowercase() {
            return Err(format!("the type is {typ:?}"));
        }
        if header.crit.is_some() {
            return Err("it has critical extensions".to_owned());
        }
        let kid = header.kid.ok_or("it names no key")?;
        let key = self.key(&kid, now).await?;
        let claims =
            decode::<Claims>(token, &key, &self.validation).map_err(|error| error.to_string())?.claims;
        self.subject(claims, now)
    }

    fn subject(&self, claims: Claims, now: Instant) -> Result<Subject, String> {
        let at = |seconds: i64| Instant(seconds.saturating_mul(1_000));
        if at(claims.exp) <= now {
            return Err("it has expired".to_owned());
        }
        if at(claims.exp).since(now) > LIFETIME_MS {
            return Err("it lives longer than a day".to_owned());
        }
        if claims.nbf.is_some_and(|nbf| at(nbf).since(now) > CLOCK_SKEW_MS) {
            return Err("it is not valid yet".to_owned());
        }
        let user = claims.others.get(&self.config.user_claim).and_then(serde_json::Value::as_str);
        let user = user.ok_or_else(|| format!("the claim {} is missing", self.config.user_claim))?.to_owned();
        let scopes = claims.scope.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(Subject { user, scopes, expires_at: at(claims.exp) })
    }

    async fn key(&self, kid: &str, now: Instant) -> Result<DecodingKey, String> {
        let stale = |keys: &Keys, after: i64| keys.at.is_none_or(|at| !(0..after).contains(&now.since(at)));
        if stale(&self.keys.load(), FRESH_MS) || self.find(kid).is_none() {
            let _turn = self.asking.lock().await;
            let wait = if self.find(kid).is_some() { FRESH_MS } else { COOLDOWN_MS };
            if stale(&self.keys.load(), wait) {
                self.ask(now).await;
            }
        }
        self.find(kid).ok_or_else(|| "its key is not among the issuer's".to_owned())
    }

    fn find(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self.keys.load();
        let key = keys.set.as_ref()?.find(kid)?;
        let signs = key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let fits =
            key.common.key_algorithm.is_none_or(|algorithm| algorithm.to_string() == self.config.algorithm);
        (signs && fits).then(|| DecodingKey::from_jwk(key).ok()).flatten()
    }

    /// Keeps the old keys when the issuer does not answer.
    async fn ask(&self, now: Instant) {
        let issuer = self.config.issuer.clone();
        let asked = tokio::task::spawn_blocking(move || fetch(&issuer)).await;
        let before = self.keys.load_full();
        let set = match asked.map_err(|error| error.to_string()).and_then(|found| found) {
            Ok(set) => Some(set),
            Err(why) => {
                tracing::warn!(issuer = self.config.issuer, why, "the issuer's keys could not be read");
                before.set.clone()
            }
        };
        self.keys.store(Arc::new(Keys { set, at: Some(now) }));
    }
}

fn unsupported(name: &str) -> String {
    format!(
        "oidc.algorithm {name:?}: use one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
    )
}

/// Keys that come over a network in the clear are anybody's.
fn check_url(what: &str, url: &str) -> Result<(), String> {
    let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    match host {
        None if url.starts_with("https://") => Ok(()),
        Some("127.0.0.1" | "localhost") => Ok(()),
        _ => Err(format!("{what} {url:?} must begin with https://")),
    }
}

fn fetch(issuer: &str) -> Result<JwkSet, String> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
        jwks_uri: String,
    }
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let found: Discovery = get(&url)?;
    if found.issuer != issuer {
        return Err(format!("it calls itself {:?}", found.issuer));
    }
    check_url("jwks_uri", &found.jwks_uri)?;
    get(&found.jwks_uri)
}

fn get<T: serde::de::DeserializeOwned>(url: &str) -> Result<T, String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build().into();
    let mut answer = agent.get(url).call().map_err(|error| format!("{url}: {error}"))?;
    let mut bytes = Vec::new();
    let read = answer.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| format!("{url}: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{url}: {error}"))
}

/// Verifies with ring, which TLS brings in any case; the other backends of the library would be a second one. Nothing is signed.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        let how = verification(*algorithm).ok_or(ErrorKind::UnsupportedAlgorithm)?;
        Ok(Box::new(Verifier { algorithm: *algorithm, how, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

#[derive(Clone, Copy)]
enum Verification {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

/// None for what has no public key: whoever knows it could sign with a shared secret.
fn verification(algorithm: Algorithm) -> Option<Verification> {
    Some(match algorithm {
        Algorithm::RS256 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Verification::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Verification::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Verification::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Verification::Curve(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Verification::Curve(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Verification::Curve(&ED25519),
        _ => return None,
    })
}

struct Verifier {
    algorithm: Algorithm,
    how: Verification,
    key: DecodingKey,
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (self.how, self.key.kind()) {
            (Verification::Rsa(how), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signature)
            }
            (Verification::Curve(how), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(how, key).verify(message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(algorithm: &str, issuer: &str) -> OidcConfig {
        OidcConfig {
            issuer: issuer.to_owned(),
            audience: "handfast".to_owned(),
            algorithm: algorithm.to_owned(),
            token_type: "at+jwt".to_owned(),
            user_claim: "sub".to_owned(),
        }
    }

    #[test]
    fn only_algorithms_with_a_public_key_and_issuers_behind_tls_are_configured() {
        let refused = |algorithm, issuer| Oidc::new(&config(algorithm, issuer)).err().unwrap_or_default();
        for algorithm in ["HS256", "none", "rs256", ""] {
            assert!(
                refused(algorithm, "https://id.example.test").contains("use one of RS256"),
                "{algorithm}"
            );
        }
        for issuer in [
            "http://id.example.test",
            "ftp://id.example.test",
            "id.example.test",
            "http://127.0.0.1.example.test",
        ] {
            assert!(refused("RS256", issuer).contains("must begin with https://"), "{issuer}");
        }
        for issuer in ["https://id.example.test", "http://127.0.0.1:9", "http://localhost/realm"] {
            assert!(Oidc::new(&config("ES256", issuer)).is_ok_and(|oidc| oidc.is_some()), "{issuer}");
        }
        assert!(Oidc::new(&config("RS256", "")).is_ok_and(|oidc| oidc.is_none()));
    }

    #[test]
    fn a_token_is_taken_from_its_first_to_its_last_moment_and_never_for_more_than_a_day() {
        let oidc =
            Oidc::new(&config("RS256", "https://id.example.test")).expect("valid").expect("configured");
        let now = Instant(1_000_000_000_000);
        let subject = |claims: serde_json::Value| {
            let claims = serde_json::from_value::<Claims>(claims).map_err(|error| error.to_string())?;
            oidc.subject(claims, now)
        };
        let good = subject(
            serde_json::json!({"exp": 1_000_000_001, "nbf": 1_000_000_030, "sub": "ada", "scope": "leads:read  import"}),
        );
        let expected = Subject {
            user: "ada".into(),
            scopes: vec!["leads:read".into(), "import".into()],
            expires_at: Instant(1_000_000_001_000),
        };
        assert_eq!(good, Ok(expected));
        for (claims, why) in [
            (serde_json::json!({"exp": 1_000_000_000, "sub": "ada"}), "it has expired"),
            (serde_json::json!({"exp": 1_000_086_401, "sub": "ada"}), "longer than a day"),
            (serde_json::json!({"exp": 9_000_000_000_000_000_000_i64, "sub": "ada"}), "longer than a day"),
            (serde_json::json!({"exp": 9e18, "sub": "ada"}), "invalid type"),
            (serde_json::json!({"exp": "1000000001", "sub": "ada"}), "invalid type"),
            (serde_json::json!({"exp": 1_000_000_001, "nbf": 1_000_000_031, "sub": "ada"}), "not valid yet"),
            (serde_json::json!({"exp": 1_000_000_001}), "the claim sub is missing"),
            (serde_json::json!({"exp": 1_000_000_001, "sub": 7}), "the claim sub is missing"),
        ] {
            let refused = subject(claims.clone()).expect_err("refused");
            assert!(refused.contains(why), "{claims}: {refused}");
        }
    }
}
