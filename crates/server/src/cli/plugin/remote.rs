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
    { deployment { uuid slot mode state share versionDigest stillNeeded } errors { message path code } } }";
const PROMOTE: &str = "mutation($input: PromoteInput!) { promote(input: $input) \
    { deployment { uuid slot mode state share versionDigest stillNeeded } errors { message path code } } }";
const APPROVE: &str = "mutation($input: ApproveDeploymentInput!) { approveDeployment(input: $input) \
    { deployment { uuid slot mode state share versionDigest stillNeeded } errors { message path code } } }";
const DECLINE: &str = "mutation($input: DeclineDeploymentInput!) { declineDeployment(input: $input) \
    { deployment { uuid slot mode state share versionDigest stillNeeded } errors { message path code } } }";
const ROLLBACK: &str = "mutation($input: RollbackInput!) { rollback(input: $input) \
    { deployment { versionDigest version { name label } } errors { message path code } } }";

pub const DOCUMENTS: [&str; 7] = [UPLOAD, VERSION, DEPLOY, PROMOTE, APPROVE, DECLINE, ROLLBACK];

/// Uploads a component and waits for its checks; answers its digest.
pub fn push(
    client: &Client,
    wasm: &Path,
    team: &str,
    label: Option<&str>,
    folder: Option<&Path>,
    signature: Option<String>,
) -> Result<String, CliError> {
    let bytes = bytes(wasm)?;
    let digest = client.put_blob("plugin", bytes.len() as u64, bytes.as_slice())?;
    let cases = cases(folder)?.into_iter().map(|(path, case)| {
        serde_json::to_string(&case.inlined())
            .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
    });
    let cases: Vec<String> = cases.collect::<Result<_, _>>()?;
    let input =
        json!({"digest": digest, "team": team, "label": label, "cases": cases, "signature": signature});
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
    let deployment = deploy_as(client, input)?;
    Ok(deployment["uuid"].as_str().unwrap_or_default().to_owned())
}

pub fn deploy_as(client: &Client, input: Value) -> Result<Value, CliError> {
    deployment(client, "deployPlugin", DEPLOY, input)
}

pub fn promote(
    client: &Client,
    id: &str,
    mode: &str,
    share: Option<i32>,
    why: Option<String>,
) -> Result<Value, CliError> {
    let input = json!({"deployment": global(id), "mode": mode, "share": share, "why": why});
    deployment(client, "promote", PROMOTE, input)
}

pub fn approve(client: &Client, id: &str, comment: Option<String>) -> Result<Value, CliError> {
    let input = json!({"deployment": global(id), "comment": comment});
    deployment(client, "approveDeployment", APPROVE, input)
}

pub fn decline(client: &Client, id: &str, reason: &str) -> Result<Value, CliError> {
    let input = json!({"deployment": global(id), "reason": reason});
    deployment(client, "declineDeployment", DECLINE, input)
}

fn deployment(client: &Client, field: &str, document: &str, input: Value) -> Result<Value, CliError> {
    let mut payload = client.mutate(field, document, json!({"input": input}))?;
    Ok(payload["deployment"].take())
}

/// The API's identity of a deployment; people read and type the plain one.
fn global(id: &str) -> String {
    match uuid::Uuid::try_parse(id) {
        Ok(uuid) => crate::graphql::scalar::global("Deployment", uuid).0,
        Err(_) => id.to_owned(),
    }
}

/// Prints the deployment's id, and what comes next.
pub fn tell(deployment: &Value) -> Result<ExitCode, CliError> {
    let text = |key: &str| deployment[key].as_str().unwrap_or_default();
    let (id, slot, digest) = (text("uuid"), text("slot"), text("versionDigest"));
    println!("{id}");
    let back = format!("handfast plugin rollback --slot {slot} --deployment {id} --reason …");
    match (text("state"), text("mode")) {
        ("PENDING_APPROVAL", _) => {
            let sides = deployment["stillNeeded"].as_array().into_iter().flatten();
            let sides: Vec<&str> = sides.filter_map(Value::as_str).collect();
            eprintln!("It waits for {}: handfast plugin approve {id}", sides.join(" and "));
        }
        ("RUNNING", "SHADOW") => {
            eprintln!(
                "{digest} runs beside {slot} from now on. Next: handfast plugin promote {id} --canary 10"
            );
        }
        ("RUNNING", "CANARY") => {
            let share = deployment["share"].as_f64().unwrap_or_default() / 100.0;
            eprintln!("{digest} judges {share} % of the leads of {slot} from now on. Back: {back}");
        }
        ("RUNNING", _) => eprintln!("{slot} is answered by {digest} from now on. Back: {back}"),
        (state, _) => eprintln!("It is {state}."),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn rollback(client: &Client, slot: &str, id: Option<String>, reason: &str) -> Result<ExitCode, CliError> {
    let deployment = id.as_deref().map(global);
    let input = json!({"slot": slot, "deployment": deployment, "reason": reason});
    let payload = client.mutate("rollback", ROLLBACK, json!({"input": input}))?;
    match payload["deployment"]["versionDigest"].as_str() {
        Some(digest) => println!("{digest}"),
        None => eprintln!("The built-in rule answers now: it holds every lead."),
    }
    Ok(ExitCode::SUCCESS)
}
