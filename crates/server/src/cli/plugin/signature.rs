//! Keys and signatures in minisign's format: made here or with the tool itself, and told to the server.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use handfast_domain::digest::Digest;
use handfast_domain::signature::{Statement, public_key};
use handfast_domain::time::Clock as _;
use minisign::{KeyPair, SecretKeyBox};
use serde_json::{Value, json};

use super::registry::signature_path;
use super::{bytes, desk, read};
use crate::app::SystemClock;
use crate::cli::ServerArgs;
use crate::cli::client::CliError;

const REGISTER: &str = "mutation($input: RegisterTeamKeyInput!) { registerTeamKey(input: $input) \
    { key { id keyId } errors { message path code } } }";
const REVOKE: &str = "mutation($input: RevokeTeamKeyInput!) { revokeTeamKey(input: $input) \
    { key { keyId } errors { message path code } } }";
const KEYS: &str =
    "query($team: String) { teamKeys(team: $team) { id keyId team name expiresAt revokedAt revokeReason } }";

pub const DOCUMENTS: [&str; 3] = [REGISTER, REVOKE, KEYS];

#[derive(Args)]
pub struct KeygenArgs {
    /// File of the secret key; the public one goes beside it, as .pub.
    #[arg(default_value = "handfast.key")]
    key: PathBuf,
    /// Leave the secret key without a password, for machines that sign. Keep the file as one keeps a password.
    #[arg(long)]
    no_password: bool,
    /// File that holds the password in its first line; else it is asked for.
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct SignArgs {
    /// The component. Its signature goes beside it, as .minisig.
    wasm: PathBuf,
    /// File of the secret key, of `handfast plugin keygen` or `minisign -G`.
    #[arg(long, value_name = "FILE", default_value = "handfast.key")]
    key: PathBuf,
    /// Label of the version; what the plugin says of itself without.
    #[arg(long)]
    label: Option<String>,
    /// Name of the plugin. With it and a label the component is signed unseen; else it is checked and asked for both.
    #[arg(long, requires = "label")]
    name: Option<String>,
    /// Rises from version to version; the time in unix milliseconds without.
    #[arg(long)]
    serial: Option<i64>,
    /// File that holds the key's password in its first line; else it is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct RegisterKeyArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// File of the public key.
    public: PathBuf,
    /// Key of the team.
    #[arg(long)]
    team: String,
    /// What the team calls it.
    #[arg(long)]
    name: String,
    /// As in 2027-01-01T00:00:00Z; never without.
    #[arg(long)]
    expires_at: Option<String>,
}

#[derive(Args)]
pub struct RevokeKeyArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Id of the key, as `handfast plugin keys` prints it first.
    key: String,
    /// Why; the other teams read it.
    #[arg(long)]
    reason: String,
}

#[derive(Args)]
pub struct KeysArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Key of a team; all of them without.
    #[arg(long)]
    team: Option<String>,
}

pub fn keygen(args: KeygenArgs) -> Result<ExitCode, CliError> {
    let KeygenArgs { key, no_password, password_file } = args;
    let public = key.with_extension("pub");
    for path in [&key, &public] {
        if path.exists() {
            let message = format!("{} exists; a key that is gone cannot be made again", path.display());
            return Err(CliError::Conflict(message));
        }
    }
    let pair = match no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(password(password_file.as_deref())?),
    };
    let wrong = |error: minisign::PError| CliError::Failed(format!("no key was made: {error}"));
    let pair = pair.map_err(wrong)?;
    let secret = pair.sk.to_box(Some("Handfast: secret key of a team")).map_err(wrong)?;
    let open = pair.pk.to_box().map_err(wrong)?.into_string();
    create(&key, secret.into_string().as_bytes(), true)?;
    create(&public, open.as_bytes(), false)?;
    let (id, _) = public_key(&open).map_err(CliError::Failed)?;
    println!("{id}");
    eprintln!("{} is secret, {} is for everybody.", key.display(), public.display());
    eprintln!("Next: handfast plugin register-key {} --team <team> --name <name>", public.display());
    Ok(ExitCode::SUCCESS)
}

pub fn sign(args: SignArgs) -> Result<ExitCode, CliError> {
    let SignArgs { wasm, key, label, name, serial, password_file } = args;
    let bytes = bytes(&wasm)?;
    let text = read(&key)?;
    let (name, version) = match (name, label) {
        (Some(name), Some(label)) => (name, label),
        (_, label) => {
            let said = desk::described(&bytes, &[])?;
            (said.name, label.unwrap_or(said.version))
        }
    };
    let statement = Statement {
        name,
        version,
        serial: serial.unwrap_or_else(|| SystemClock.now().ms()),
        digest: Some(Digest::of_bytes(&bytes)),
    };
    // What the server could not read is not signed.
    if Statement::parse(&statement.to_string()).as_ref() != Ok(&statement) {
        let message =
            format!("{statement:?} cannot be signed: names and labels have no spaces, a serial is 1 to 2^53");
        return Err(CliError::Usage(message));
    }
    let wrong = |error: minisign::PError| CliError::Denied(format!("the key {}: {error}", key.display()));
    let sealed = SecretKeyBox::from_string(&text).map_err(wrong)?;
    let secret = match sealed.clone().into_unencrypted_secret_key() {
        Ok(secret) if !secret.is_encrypted() => secret,
        _ => sealed.into_secret_key(password(password_file.as_deref())?).map_err(wrong)?,
    };
    let signed =
        minisign::sign(None, &secret, bytes.as_slice(), Some(&statement.to_string()), None).map_err(wrong)?;
    let path = signature_path(&wasm);
    std::fs::write(&path, signed.into_string())
        .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
    println!("{}", path.display());
    eprintln!("{} {}, serial {}", statement.name, statement.version, statement.serial);
    Ok(ExitCode::SUCCESS)
}

pub fn register(args: RegisterKeyArgs) -> Result<ExitCode, CliError> {
    let RegisterKeyArgs { server, public, team, name, expires_at } = args;
    let input = json!({"team": team, "name": name, "publicKey": read(&public)?, "expiresAt": expires_at});
    let payload = server.client().mutate("registerTeamKey", REGISTER, json!({"input": input}))?;
    println!("{}", payload["key"]["id"].as_str().unwrap_or_default());
    eprintln!(
        "The team {team} signs with {} from now on.",
        payload["key"]["keyId"].as_str().unwrap_or_default()
    );
    Ok(ExitCode::SUCCESS)
}

pub fn revoke(args: RevokeKeyArgs) -> Result<ExitCode, CliError> {
    let RevokeKeyArgs { server, key, reason } = args;
    let input = json!({"teamKey": key, "reason": reason});
    let payload = server.client().mutate("revokeTeamKey", REVOKE, json!({"input": input}))?;
    eprintln!(
        "{} does not count any more. What is live goes on.",
        payload["key"]["keyId"].as_str().unwrap_or_default()
    );
    Ok(ExitCode::SUCCESS)
}

pub fn keys(args: KeysArgs) -> Result<ExitCode, CliError> {
    let KeysArgs { server, team } = args;
    let found = server.client().query(KEYS, json!({"team": team}))?["teamKeys"].clone();
    let text = |key: &Value, field: &str| key[field].as_str().unwrap_or_default().to_owned();
    for key in found.as_array().into_iter().flatten() {
        let state = match (key["revokedAt"].as_str(), key["expiresAt"].as_str()) {
            (Some(at), _) => format!("revoked {at}: {}", text(key, "revokeReason")),
            (None, Some(end)) => format!("until {end}"),
            (None, None) => "good".to_owned(),
        };
        let [id, key_id, team, name] = ["id", "keyId", "team", "name"].map(|field| text(key, field));
        println!("{id}  {key_id}  {team:<16}{name:<24}{state}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The first line of the file, else what a person types.
fn password(file: Option<&Path>) -> Result<Option<String>, CliError> {
    match file {
        Some(path) => Ok(Some(read(path)?.lines().next().unwrap_or_default().to_owned())),
        None => Ok(None),
    }
}

/// A new file; a secret one is for its owner alone from its first moment on.
fn create(path: &Path, bytes: &[u8], secret: bool) -> Result<(), CliError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
}
