//! Plugins to and from registries of containers: `publish` and `pull`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use handfast_domain::digest::Digest;
use handfast_domain::signature::{Statement, stated};
use handfast_domain::time::Clock as _;
use handfast_rules::Interfaces;
use serde_json::Value;

use super::{bytes, cases, desk, read};
use crate::app::SystemClock;
use crate::cli::client::CliError;
use crate::cli::runtime;
use crate::oci::artifact::Bundle;
use crate::oci::registry::{Access, Failed, Registry};
use crate::oci::{MAX_BESIDE, MAX_PLUGIN};

/// How to reach a registry.
#[derive(Args)]
pub struct RegistryArgs {
    /// Speak without TLS to a registry on another machine. To this machine it is always so.
    #[arg(long)]
    plain_http: bool,
    /// Certificates in PEM that are trusted besides the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// User of the registry; what `docker login` left without it.
    #[arg(long, env = "HANDFAST_REGISTRY_USERNAME")]
    username: Option<String>,
    /// The user's password. A process list shows flags: prefer the variable.
    #[arg(long, env = "HANDFAST_REGISTRY_PASSWORD", hide_env_values = true, requires = "username")]
    password: Option<String>,
}

impl RegistryArgs {
    fn open(&self, place: &str) -> Result<Registry, CliError> {
        let RegistryArgs { plain_http, ca_file, username, password } = self;
        let user = username.clone().map(|name| (name, password.clone().unwrap_or_default()));
        let access = Access { plain_http: *plain_http, user, ca_file: ca_file.as_deref() };
        Registry::open(place, &access).map_err(failed)
    }
}

#[derive(Args)]
pub struct PublishArgs {
    /// The component.
    wasm: PathBuf,
    /// Where to: oci://host/repository:tag.
    place: String,
    /// What you call the version; what its signature says without, else what the plugin says of itself.
    #[arg(long)]
    label: Option<String>,
    /// Folder of its cases, which travel beside it.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Settings to begin with, which travel beside it.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Its signature; the file beside it that ends in .minisig, if there is one, without.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Args)]
pub struct PullArgs {
    /// Where from: oci://host/repository:tag or oci://host/repository@sha256:….
    place: String,
    /// The file to write; the plugin's name in this folder without. A signature goes beside it, as .minisig.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A new folder for its cases.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// A file for the settings that came with it.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
}

fn failed(error: Failed) -> CliError {
    let message = error.to_string();
    match error {
        Failed::Reference(_) => CliError::Usage(message),
        Failed::NotFound(_) => CliError::NotFound(message),
        Failed::Denied(_) => CliError::Denied(message),
        Failed::Unfit(_) => CliError::Gate(message),
        Failed::Other(_) => CliError::Failed(message),
    }
}

/// A signature that goes along with a component.
pub struct Signed {
    pub text: String,
    pub statement: Statement,
}

/// The signature of a component: of the named file, else of the one beside it, if there is one. One that is about other bytes
/// goes nowhere.
pub fn signature(wasm: &Path, named: Option<&Path>) -> Result<Option<Signed>, CliError> {
    let beside = signature_path(wasm);
    let path = match named {
        Some(path) => path,
        None if beside.is_file() => &beside,
        None => return Ok(None),
    };
    let wrong = |why: String| CliError::Gate(format!("{}: {why}", path.display()));
    let text = read(path)?;
    let statement = stated(&text).map_err(wrong)?;
    let digest = Digest::of_bytes(&bytes(wasm)?);
    match statement.digest.filter(|said| *said != digest) {
        None => Ok(Some(Signed { text, statement })),
        Some(other) => Err(wrong(format!(
            "it is about the file {other}, and {} is {digest}; sign it again",
            wasm.display()
        ))),
    }
}

/// Where minisign looks for the signature of a file.
pub fn signature_path(wasm: &Path) -> PathBuf {
    let mut name = wasm.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

pub fn publish(args: PublishArgs) -> Result<ExitCode, CliError> {
    let PublishArgs { wasm, place, label, cases: folder, settings, signature: named, registry } = args;
    let registry = registry.open(&place)?;
    let bytes = bytes(&wasm)?;
    if bytes.len() as u64 > MAX_PLUGIN {
        let message =
            format!("{} has {} bytes; a plugin has at most {MAX_PLUGIN}", wasm.display(), bytes.len());
        return Err(CliError::Gate(message));
    }
    let files = cases(folder.as_deref())?;
    let checked: Vec<_> = files.iter().map(|(_, case)| case.clone().inlined()).collect();
    // What the server would refuse is not passed on to others.
    let said = desk::described(&bytes, &checked)?;
    let interfaces = Interfaces::read(&bytes).unwrap_or_default();
    let signed = signature(&wasm, named.as_deref())?;
    let label = label.or_else(|| signed.as_ref().map(|signed| signed.statement.version.clone()));
    let label = label.unwrap_or_else(|| said.version.clone());
    let signature = signed.map(|signed| signed.text);
    let mut bundle = Bundle { wasm: bytes, signature, ..Bundle::default() };
    if !checked.is_empty() {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named: BTreeMap<String, _> = files.iter().map(|(path, _)| name(path)).zip(checked).collect();
        bundle.cases = Some(limited("the cases", serde_json::to_vec(&named).map_err(fault)?)?);
    }
    if let Some(path) = &settings {
        let text = read(path)?;
        serde_json::from_str::<Value>(&text)
            .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
        bundle.settings = Some(limited("the settings", text.into_bytes())?);
    }
    let artifact = bundle.artifact(&said, &label, &interfaces, SystemClock.now()).map_err(fault)?;
    let digest = runtime()?.block_on(registry.push(&artifact, bundle.beside())).map_err(failed)?;
    println!("{}@{digest}", registry.name());
    if bundle.signature.is_none() {
        eprintln!("It is not signed: handfast plugin sign {}", wasm.display());
    }
    eprintln!("Next: handfast plugin pull oci://{}@{digest}", registry.name());
    Ok(ExitCode::SUCCESS)
}

pub fn pull(args: PullArgs) -> Result<ExitCode, CliError> {
    let PullArgs { place, output, cases, settings, registry } = args;
    let registry = registry.open(&place)?;
    if let Some(folder) = &cases
        && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(CliError::Conflict(format!("{} is not empty; name a new folder", folder.display())));
    }
    let (found, digest, wasm, case_file, settings_file) = runtime()?
        .block_on(async {
            let (found, digest) = registry.find().await?;
            let beside = async |wanted: bool, blob: &Option<String>| match blob.as_deref().filter(|_| wanted)
            {
                Some(blob) => registry.beside(blob).await.map(Some),
                None => Ok(None),
            };
            let case_file = beside(cases.is_some(), &found.cases).await?;
            let settings_file = beside(settings.is_some(), &found.settings).await?;
            let wasm = registry.plugin(&found).await?;
            Ok((found, digest, wasm, case_file, settings_file))
        })
        .map_err(failed)?;
    let output = output.unwrap_or_else(|| {
        let name = found.name.as_deref().filter(|name| handfast_domain::field::is_key(name));
        PathBuf::from(format!("{}.wasm", name.unwrap_or("plugin")))
    });
    for (wanted, got, what) in [(&cases, &case_file, "cases"), (&settings, &settings_file, "settings")] {
        if wanted.is_some() && got.is_none() {
            return Err(CliError::NotFound(format!("{place} came without {what}; leave --{what} out")));
        }
    }
    let case_files = case_file.as_deref().map(case_files).transpose()?;
    write(&output, &wasm)?;
    match &found.signature {
        Some(text) => write(&signature_path(&output), text.as_bytes())?,
        // A signature of what stood there before would be one of something else.
        None => drop(std::fs::remove_file(signature_path(&output))),
    }
    for (folder, files) in cases.iter().zip(case_files) {
        std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
        for (name, text) in files {
            write(&folder.join(name), text.as_bytes())?;
        }
    }
    for (path, text) in settings.iter().zip(&settings_file) {
        write(path, text)?;
    }
    println!("{}", Digest::of_bytes(&wasm));
    eprintln!("{} of {}@{digest}", output.display(), registry.name());
    eprintln!("Next: handfast plugin check {}", output.display());
    Ok(ExitCode::SUCCESS)
}

/// The files of the cases: whoever made them may not choose where they go.
fn case_files(bytes: &[u8]) -> Result<BTreeMap<String, String>, CliError> {
    let odd = |why: String| CliError::Gate(format!("the cases in the registry: {why}"));
    let files: BTreeMap<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
    let plain = |name: &str| {
        let stem = name.strip_suffix(".json").unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !stem.is_empty() && !stem.starts_with('.') && stem.len() <= 128 && stem.chars().all(allowed)
    };
    let pretty = |(name, case): (String, Value)| match plain(&name) {
        true => serde_json::to_string_pretty(&case).map(|text| (name, text + "\n")).map_err(fault),
        false => Err(odd(format!("{name:?} is no name of a case file"))),
    };
    files.into_iter().map(pretty).collect()
}

fn limited(what: &str, bytes: Vec<u8>) -> Result<Vec<u8>, CliError> {
    match bytes.len() as u64 {
        ..=MAX_BESIDE => Ok(bytes),
        more => Err(CliError::Gate(format!(
            "{what} have {more} bytes together; at most {MAX_BESIDE} travel along"
        ))),
    }
}

fn fault(error: serde_json::Error) -> CliError {
    CliError::Failed(error.to_string())
}

/// Beside it first, so that nothing half written has the name.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| {
        drop(std::fs::remove_file(&part));
        unwritten(path, &error)
    })
}

fn unwritten(path: &Path, error: &std::io::Error) -> CliError {
    CliError::Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_cannot_choose_where_its_cases_go() {
        assert_eq!(case_files(br#"{"a-1.json": {"x": 1}}"#).unwrap()["a-1.json"], "{\n  \"x\": 1\n}\n");
        for name in ["../a.json", "/etc/a.json", "a/b.json", ".json", "..json", ".a.json", "a.txt", ""] {
            let text = serde_json::json!({name: {}}).to_string();
            assert!(case_files(text.as_bytes()).is_err(), "{name}");
        }
    }
}
