//! Signatures of plugin versions: whose keys count, what a signature says, and when it is too old for a slot.
//!
//! The format is minisign's: Ed25519 over the BLAKE2b-512 of the file, and a second signature over the first one and the
//! *trusted comment*. The comment holds the [`Statement`]: which plugin and version the signer meant, and a serial number. So
//! bytes cannot be passed off as another version, and what was signed long ago cannot be passed off as new.
//!
//! # Keys
//! A key belongs to a team. A signature counts if its key was neither revoked nor expired when the server took it in; that it
//! expires later changes nothing. Revoking a key takes its word away: what it signed cannot be deployed any more where
//! signatures are required. What is live goes on: a lost key must not stop a funnel, and the one-step rollback needs no
//! signature. To retire a key in good order, let it expire.
//!
//! # Downgrade and replay
//! A slot remembers, for each plugin name, the newest serial that was ever LIVE in it ([`is_older`]). A version with an older
//! serial, or without one, is refused there, so that nobody brings back a flaw by replaying an old signed file. Three ways
//! remain: the one-step rollback; the version that is live, with other settings; and a deployment that says why, which is
//! recorded. Serials of revoked keys do not count, or a thief could close a slot with a high number.

use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::time::{DAY, Instant};

/// Longest text of a signature, in bytes. Those that `handfast plugin sign` writes have about 450.
pub const MAX_SIGNATURE: usize = 4_096;
/// Longest text of a public key, in bytes: the two lines of a `.pub` file.
pub const MAX_PUBLIC_KEY: usize = 2_048;

/// A public key by which a team signs its plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamKey {
    pub id: Uuid,
    /// Key of the team.
    pub team: String,
    /// What the team calls it.
    pub name: String,
    /// As minisign prints it: 16 hexadecimal digits.
    pub key_id: String,
    /// The second line of the `.pub` file.
    pub public_key: String,
    pub registered_by: Uuid,
    pub registered_at: Instant,
    /// Signatures that come in later do not count.
    pub expires_at: Option<Instant>,
    pub revoked_at: Option<Instant>,
    pub revoked_by: Option<Uuid>,
    /// Why it was revoked.
    pub revoke_reason: Option<String>,
}

/// What the signer said, in the trusted comment: `handfast/1 name:scorecard version:1.4.0 serial:1764217000123 sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Name of the plugin, as it says of itself.
    pub name: String,
    /// Label of the version.
    pub version: String,
    /// Rises from version to version: a number that the team counts, or the time of signing in unix milliseconds.
    pub serial: i64,
    /// sha-256 of the file. The signature covers the file anyway; with it a mix-up is told from a forgery.
    pub digest: Option<Digest>,
}

const HEADER: &str = "handfast/1";
/// Integers stay within ±2^53.
const MAX_SERIAL: i64 = 1 << 53;

impl Statement {
    /// Reads a trusted comment. What else it says is left alone.
    pub fn parse(comment: &str) -> Result<Statement, String> {
        let mut words = comment.split_whitespace();
        if words.next() != Some(HEADER) {
            return Err(format!("the trusted comment must begin with {HEADER}"));
        }
        let (mut name, mut version, mut serial, mut digest) = (None, None, None, None);
        for (key, value) in words.filter_map(|word| word.split_once(':')) {
            let slot = match key {
                "name" => &mut name,
                "version" => &mut version,
                "serial" => &mut serial,
                "sha256" => &mut digest,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(format!("the trusted comment says {key} twice"));
            }
        }
        let said = |key: &str, value: Option<&str>| match value.filter(|value| !value.is_empty()) {
            Some(value) => Ok(value.to_owned()),
            None => Err(format!("the trusted comment does not say {key}:…")),
        };
        let serial = said("serial", serial)?;
        let number: Option<i64> = serial.parse().ok().filter(|number| (1..=MAX_SERIAL).contains(number));
        let digest = digest.map(|hex| Digest::parse(hex).ok_or("sha256: takes 64 hexadecimal digits"));
        Ok(Statement {
            name: said("name", name)?,
            version: said("version", version)?,
            serial: number.ok_or_else(|| {
                format!("the serial {serial:?} is no number from 1 to 2^53; count, or use unix milliseconds")
            })?,
            digest: digest.transpose()?,
        })
    }
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Statement { name, version, serial, digest } = self;
        write!(f, "{HEADER} name:{name} version:{version} serial:{serial}")?;
        digest.iter().try_for_each(|digest| write!(f, " sha256:{digest}"))
    }
}

/// A signature that fits the file, by a key that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The team's key.
    pub key: Uuid,
    pub statement: Statement,
}

impl Signed {
    /// Whether the signer meant this plugin and this version of it.
    pub fn is_about(&self, name: &str, label: &str) -> Result<(), String> {
        let Statement { name: said, version, .. } = &self.statement;
        if said != name {
            return Err(format!("the signature is about the plugin {said}, the file is {name}"));
        }
        if version != label {
            return Err(format!(
                "the signature is about the version {version}, the upload calls it {label}; sign it again, or upload it as \
                 {version}"
            ));
        }
        Ok(())
    }
}

/// The key id and the second line of a public key: of the whole `.pub` file, or of that line alone.
pub fn public_key(text: &str) -> Result<(String, String), String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.rev().find(|line| !line.starts_with("untrusted comment:")).unwrap_or_default();
    let wrong = "this is no public key of minisign: send the .pub file that `handfast plugin keygen` or `minisign -G` wrote";
    PublicKey::from_base64(line).map_err(|_| wrong.to_owned())?;
    let id = key_id(line).ok_or_else(|| wrong.to_owned())?;
    Ok((id, line.to_owned()))
}

/// What a signature says, before anybody knows whether it is true.
pub fn stated(signature: &str) -> Result<Statement, String> {
    let decoded = Signature::decode(signature.trim_end()).map_err(|_| NO_SIGNATURE.to_owned())?;
    Statement::parse(decoded.trusted_comment())
}

const NO_SIGNATURE: &str =
    "this is no signature of minisign: send the text of the .minisig file, all four lines of it";

/// Checks a signature over a file that a team uploads at `now`, against the keys of all teams. A refusal is a sentence.
pub fn verify(
    wasm: &[u8],
    digest: Digest,
    signature: &str,
    keys: &[TeamKey],
    team: &str,
    now: Instant,
) -> Result<Signed, String> {
    if signature.len() > MAX_SIGNATURE {
        return Err(format!("the signature has {} bytes, at most {MAX_SIGNATURE} are read", signature.len()));
    }
    let decoded = Signature::decode(signature.trim_end()).map_err(|_| NO_SIGNATURE.to_owned())?;
    let line = signature.lines().nth(1).unwrap_or_default();
    let id = key_id(line).ok_or_else(|| NO_SIGNATURE.to_owned())?;
    let key = signer(&id, keys, team, now)?;
    let statement = Statement::parse(decoded.trusted_comment());
    if let Some(other) = statement.as_ref().ok().and_then(|said| said.digest).filter(|said| *said != digest) {
        return Err(format!("the signature is about the file {other}, this one is {digest}"));
    }
    let public = PublicKey::from_base64(&key.public_key).map_err(|error| error.to_string())?;
    public.verify(wasm, &decoded, false).map_err(|error| match error {
        minisign_verify::Error::UnsupportedLegacyMode => {
            "the signature is of minisign's old kind without a hash; sign with a current version".to_owned()
        }
        _ => format!("the signature does not fit: the file was changed after the key {id} signed it, or somebody else did"),
    })?;
    let statement = statement.map_err(|why| {
        format!(
            "{why}; sign with `handfast plugin sign`, or minisign -t \"{HEADER} name:… version:… serial:…\""
        )
    })?;
    // A number from far ahead would leave no room for the versions to come.
    if statement.serial > now.plus(DAY).ms() {
        return Err(format!(
            "the serial {} lies more than a day in the future; count from 1, or use unix milliseconds",
            statement.serial
        ));
    }
    Ok(Signed { key: key.id, statement })
}

/// The team's key with this id, if its word counts now.
fn signer<'k>(id: &str, keys: &'k [TeamKey], team: &str, now: Instant) -> Result<&'k TeamKey, String> {
    let known: Vec<&TeamKey> = keys.iter().filter(|key| key.key_id == id).collect();
    let Some(key) = known.iter().find(|key| key.team == team) else {
        return Err(match known.first() {
            Some(other) => format!("the key {id} is one of the team {}, not of {team}", other.team),
            None => format!("the key {id} is not known; the team {team} must register it first"),
        });
    };
    if let Some(at) = key.revoked_at {
        let why = key.revoke_reason.as_deref().unwrap_or("no reason given");
        return Err(format!("the key {id} ({}) was revoked at {at}: {why}", key.name));
    }
    if let Some(end) = key.expires_at.filter(|end| *end <= now) {
        return Err(format!("the key {id} ({}) expired at {end}; sign with one that has not", key.name));
    }
    Ok(key)
}

/// Whether a version counts as older than the newest that was ever LIVE in the slot. One without a serial does, as soon as
/// there was one with it: whoever strips a signature must not gain by it.
pub fn is_older(serial: Option<i64>, newest: Option<i64>) -> bool {
    newest.is_some_and(|newest| serial.is_none_or(|serial| serial < newest))
}

/// The id in the second line of a key or signature: eight bytes after the two of the algorithm, the last one first.
fn key_id(line: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(line.trim()).ok()?;
    Some(bytes.get(2..10)?.iter().rev().map(|byte| format!("{byte:02X}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `minisign` 0.11 of Debian: `minisign -G -W`, `minisign -S -t …` over the four bytes "wasm".
    const KEY: &str = include_str!("signature/key.pub");
    const SIGNED: &str = include_str!("signature/wasm.minisig");
    const NOW: Instant = Instant(1_800_000_000_000);

    fn key() -> TeamKey {
        let (key_id, public_key) = public_key(KEY).unwrap();
        TeamKey {
            id: Uuid::from_u128(7),
            team: "marketing".into(),
            name: "release".into(),
            key_id,
            public_key,
            registered_by: Uuid::nil(),
            registered_at: Instant(0),
            expires_at: None,
            revoked_at: None,
            revoked_by: None,
            revoke_reason: None,
        }
    }

    fn check(wasm: &[u8], text: &str, keys: &[TeamKey], team: &str) -> Result<Signed, String> {
        verify(wasm, Digest::of_bytes(wasm), text, keys, team, NOW)
    }

    #[test]
    fn a_signature_of_the_usual_tool_counts_and_says_what_it_is_about() {
        let signed = check(b"wasm", SIGNED, &[key()], "marketing").unwrap();
        let said = Statement { name: "card".into(), version: "1.4.0".into(), serial: 42, digest: None };
        assert_eq!((signed.key, &signed.statement), (key().id, &said));
        assert_eq!(signed.is_about("card", "1.4.0"), Ok(()));
        assert!(signed.is_about("other", "1.4.0").unwrap_err().contains("the plugin card"));
        assert!(signed.is_about("card", "1.5.0").unwrap_err().contains("the version 1.4.0"));
        // The comment line of a .pub file is not needed.
        let line = KEY.lines().last().unwrap();
        assert_eq!(public_key(line), public_key(KEY));
        assert!(KEY.contains(&public_key(KEY).unwrap().0), "the id is the one that minisign shows");
    }

    #[test]
    fn whatever_is_wrong_is_told_in_a_sentence() {
        let with = |change: fn(&mut TeamKey)| {
            let mut key = key();
            change(&mut key);
            vec![key]
        };
        let good = || vec![key()];
        let edited = SIGNED.replace("serial:42", "serial:43");
        type Told<'a> = (&'a [u8], &'a str, Vec<TeamKey>, &'a str, &'a str);
        let cases: &[Told<'_>] = &[
            (b"wasn", SIGNED, good(), "marketing", "does not fit"),
            (b"wasm", &edited, good(), "marketing", "does not fit"),
            (b"wasm", "nonsense", good(), "marketing", "no signature of minisign"),
            (b"wasm", "a\nb\nc\nd", good(), "marketing", "no signature of minisign"),
            (b"wasm", SIGNED, vec![], "marketing", "is not known"),
            (b"wasm", SIGNED, good(), "sales", "of the team marketing, not of sales"),
            (b"wasm", SIGNED, with(|key| key.expires_at = Some(NOW)), "marketing", "expired"),
            (b"wasm", SIGNED, with(|key| key.revoked_at = Some(NOW)), "marketing", "was revoked"),
        ];
        for (wasm, text, keys, team, said) in cases {
            let why = check(wasm, text, keys, team).unwrap_err();
            assert!(why.contains(said), "{said}: {why}");
        }
        for cut in 0..SIGNED.trim_end().len() {
            assert!(check(b"wasm", &SIGNED[..cut], &good(), "marketing").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_statement_is_read_as_it_was_written() {
        let said = Statement {
            name: "card".into(),
            version: "1.0".into(),
            serial: 9,
            digest: Some(Digest::of_bytes(b"wasm")),
        };
        assert_eq!(Statement::parse(&said.to_string()), Ok(said.clone()));
        assert_eq!(Statement::parse(&format!("{said}\tfile:card.wasm hashed")), Ok(said));
        let wrong = [
            ("timestamp:1\tfile:card.wasm", "begin with handfast/1"),
            ("handfast/1 version:1 serial:1", "does not say name"),
            ("handfast/1 name:a version:1", "does not say serial"),
            ("handfast/1 name:a version:1 serial:0", "no number from 1"),
            ("handfast/1 name:a version:1 serial:x", "no number from 1"),
            ("handfast/1 name:a name:b version:1 serial:1", "twice"),
            ("handfast/1 name:a version:1 serial:1 sha256:12", "64 hexadecimal"),
        ];
        for (comment, said) in wrong {
            let why = Statement::parse(comment).unwrap_err();
            assert!(why.contains(said), "{comment}: {why}");
        }
    }

    #[test]
    fn older_is_less_than_the_newest_and_unsigned_is_older_than_signed() {
        let cases = [
            (None, None, false),
            (Some(1), None, false),
            (Some(1), Some(1), false),
            (Some(2), Some(1), false),
            (Some(1), Some(2), true),
            (None, Some(1), true),
        ];
        for (serial, newest, older) in cases {
            assert_eq!(is_older(serial, newest), older, "{serial:?} after {newest:?}");
        }
    }
}
