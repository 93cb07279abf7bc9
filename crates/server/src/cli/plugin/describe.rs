//! What a component says of itself, as a page to read: fields, reason codes, and its settings out of the JSON Schema.

use std::path::Path;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use handfast_domain::field::{ANSWER_PARTS, CATALOGUE, TraitKinds};
use handfast_rules::{CheckReport, Descriptor, settings};
use serde_json::json;

use super::{bytes, desk};
use crate::cli::client::CliError;
use crate::cli::runtime;

/// Columns of a page: what a terminal and a README can show.
const WIDTH: u16 = 110;

pub fn describe(wasm: &Path, as_json: bool) -> Result<ExitCode, CliError> {
    let report = report(wasm)?;
    let (Some(descriptor), Some(kind)) = (&report.descriptor, report.kind) else {
        return Err(CliError::Gate(refused(&report)));
    };
    let settings = settings(&descriptor.settings_schema);
    if as_json {
        let page = json!({
            "digest": report.digest, "kind": kind, "name": descriptor.name, "version": descriptor.version,
            "summary": descriptor.summary, "reads": reads(descriptor), "reasonCodes": descriptor.reason_codes,
            "settings": settings, "settingsSchema": descriptor.settings_schema,
        });
        println!("{page:#}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} {}, a {}", descriptor.name, descriptor.version, kind.world());
    println!("sha256 {}", report.digest);
    println!("{}", descriptor.summary);
    let mut fields = table(&["field", "kind", "meaning"]);
    for (path, kind) in &descriptor.reads {
        fields.add_row([path.as_str(), &kind.to_string(), meaning(path)]);
    }
    section("Reads", &fields);
    let mut codes = table(&["code", "label", "meaning"]);
    for code in &descriptor.reason_codes {
        codes.add_row([&code.code, &code.label, &code.description]);
    }
    section("Reason codes", &codes);
    let mut known = table(&["setting", "form", "default", "meaning"]);
    for setting in &settings {
        let default = match &setting.default {
            Some(value) => value.to_string(),
            None if setting.required => "required".into(),
            None => "-".into(),
        };
        known.add_row([&setting.pointer, &setting.form, &default, &setting.meaning]);
    }
    section("Settings", &known);
    Ok(ExitCode::SUCCESS)
}

/// All checks but the cases; the descriptor is there when they got that far.
pub fn report(wasm: &Path) -> Result<CheckReport, CliError> {
    let (bytes, host) = (bytes(wasm)?, desk::host()?);
    Ok(runtime()?.block_on(host.check(&bytes, &[], &TraitKinds::new())))
}

/// The refusal of a component as a sentence.
pub fn refused(report: &CheckReport) -> String {
    match report.refusal() {
        Some(check) => {
            let code = check.code.map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
            format!("{}: {}{code}", check.name, check.message)
        }
        None => "the component does not describe itself".into(),
    }
}

fn reads(descriptor: &Descriptor) -> Vec<serde_json::Value> {
    let reads = descriptor.reads.iter();
    reads.map(|(path, kind)| json!({"path": path, "kind": kind, "meaning": meaning(path)})).collect()
}

/// What the catalogue says of a field; families have no line of their own in it.
fn meaning(path: &str) -> &'static str {
    if let Some(part) = path.strip_prefix("answers.").and_then(|answer| Some(answer.split_once('.')?.1)) {
        return ANSWER_PARTS.iter().find(|known| known.path == part).map_or("", |known| known.meaning);
    }
    match CATALOGUE.iter().find(|field| field.path == path) {
        Some(field) => field.meaning,
        None if path.starts_with("traits.") => "A trait that the workspace defined; unknown where it did not",
        None => "",
    }
}

pub fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(heads);
    table.set_width(WIDTH);
    table
}

fn section(name: &str, table: &Table) {
    println!("\n{name}");
    if table.row_count() == 0 {
        println!("  none");
        return;
    }
    // The frame leaves blanks at the ends of lines.
    table.lines().for_each(|line| println!(" {}", line.trim_end()));
}
