//! Versions and deployments of a running server.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{bytes, cases};
use crate::cli::client::{CliError, Client};

const UPLOAD: &str = "mutation($input: UploadPluginVersionInput!) { uploadPluginVersion(input: $input) \
    { version { status } errors { message path code } } }";
const VERSION: &str = "query($digest: Digest!) { pluginVersion(digest: $digest) { name label status checks { name ok code message } } }";
const DEPLOY: &str = "mutation($input: DeployPluginInput!) { deployPlugin(input: $input) \
    { deployment { uuid } errors { message path code } } }";
const ROLLBACK: &str = "mutation($input: RollbackInput!) { rollback(input: $input) \
    { deployment { versionDigest version { name label } } errors { message path code } } }";

pub const DOCUMENTS: [&str; 4] = [UPLOAD, VERSION, DEPLOY, ROLLBACK];

/// Uploads a component and waits for its checks; answers its digest.
pub fn push(
    client: &Client,
    wasm: &Path,
    team: &str,
    label: Option<&str>,
    folder: Option<&Path>,
) -> Result<String, CliError> {
    let bytes = bytes(wasm)?;
    let digest = client.put_blob("plugin", bytes.len() as u64, bytes.as_slice())?;
    let cases = cases(folder)?.into_iter().map(|(path, case)| {
        serde_json::to_string(&case.inlined())
            .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
    });
    let cases: Vec<String> = cases.collect::<Result<_, _>>()?;
    let input = json!({"digest": digest, "team": team, "label": label, "cases": cases});
    client.mutate("uploadPluginVersion", UPLOAD, json!({"input": input}))?;
    loop {
        let version = client.query(VERSION, json!({"digest": digest}))?["pluginVersion"].clone();
        match version["status"].as_str() {
            Some("VALIDATING") => std::thread::sleep(std::time::Duration::from_millis(100)),
            Some("VALIDATED") => return Ok(digest),
            _ => return Err(CliError::Gate(refusal(&version))),
        }
    }
}

/// The check that refused a version, in a sentence.
fn refusal(version: &Value) -> String {
    let failed = version["checks"].as_array().into_iter().flatten().find(|check| check["ok"] == json!(false));
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    match failed {
        Some(check) => {
            format!("{}: {} ({})", text(check, "name"), text(check, "message"), text(check, "code"))
        }
        None => format!("the version is {}", version["status"]),
    }
}

/// Makes a version answer for a slot; answers the deployment's id.
pub fn deploy(client: &Client, digest: &str, slot: &str, settings: &str) -> Result<String, CliError> {
    let input = json!({"slot": slot, "digest": digest, "settings": settings, "mode": "LIVE"});
    let payload = client.mutate("deployPlugin", DEPLOY, json!({"input": input}))?;
    Ok(payload["deployment"]["uuid"].as_str().unwrap_or_default().to_owned())
}

pub fn rollback(client: &Client, slot: &str, reason: &str) -> Result<ExitCode, CliError> {
    let payload = client.mutate("rollback", ROLLBACK, json!({"input": {"slot": slot, "reason": reason}}))?;
    match payload["deployment"]["versionDigest"].as_str() {
        Some(digest) => println!("{digest}"),
        None => eprintln!("Nothing was deployed in {slot} before: the built-in rule holds every lead."),
    }
    Ok(ExitCode::SUCCESS)
}
