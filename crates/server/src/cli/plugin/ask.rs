//! Questions to a running server: what answers in which slot, which versions there are, and why a lead stands where it
//! stands.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::describe::table;
use crate::cli::client::{CliError, Client};

const STATUS: &str = "query { ruleSlots { key kind team gate pool position \
    live { ...ran } canary { ...ran } shadows { ...ran } pending { ...ran } } } \
    fragment ran on Deployment { uuid mode share stillNeeded startedAt startedBy { name } versionDigest settingsDigest \
    version { name label } }";
const VERSIONS: &str = "query($name: String, $team: String) { pluginVersions(first: 100, name: $name, team: $team) \
    { digest name label team kind status caseCount size uploadedAt } }";
const EXPLAIN: &str = "query($by: LeadRef!) { lead(by: $by) { id stage outcome fit engagement nextEvaluationAt greySlots \
    evaluations(first: 1) { asOf cause charter \
    gates { gate composition result missing criteria { text holds required } } \
    decisions { slot gate outcome status fit engagement confidence text target message fuel mode version \
    reasons { label weight field } missing { field worth } reviewAt } } } }";

pub const DOCUMENTS: [&str; 3] = [STATUS, VERSIONS, EXPLAIN];

/// What answers for each slot, what runs beside it, and what waits for approval.
pub fn status(client: &Client) -> Result<ExitCode, CliError> {
    let answer = client.query(STATUS, json!({}))?;
    let mut lines = table(&["slot", "asks", "team", "mode", "rule", "since", "by", "sha256", "deployment"]);
    for slot in list(&answer["ruleSlots"]) {
        let asks = match slot["gate"].as_str() {
            Some(gate) => format!("{gate}?"),
            None => format!("who in {}?", text(&slot["pool"])),
        };
        let beside = Some(&slot["canary"]).filter(|canary| !canary.is_null()).into_iter();
        let beside = beside.chain(list(&slot["shadows"])).chain(list(&slot["pending"]));
        for ran in std::iter::once(&slot["live"]).chain(beside) {
            let rule = match ran["version"]["name"].as_str() {
                Some(name) => format!("{name} {}", text(&ran["version"]["label"])),
                None if ran.is_null() => "built in: holds every lead".into(),
                None => "a version that is gone".into(),
            };
            let (since, by) = (text(&ran["startedAt"]), text(&ran["startedBy"]["name"]));
            let (key, team) = (text(&slot["key"]), text(&slot["team"]));
            let digest = short(&ran["versionDigest"]);
            lines.add_row([key, asks.clone(), team, mode(ran), rule, since, by, digest, text(&ran["uuid"])]);
        }
    }
    // Deployments are copied from here, so they are not broken.
    lines.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    print(&lines);
    Ok(ExitCode::SUCCESS)
}

fn mode(ran: &Value) -> String {
    let needed: Vec<String> = list(&ran["stillNeeded"]).iter().map(text).collect();
    let mode = match ran["share"].as_f64().filter(|_| ran["mode"] == "CANARY") {
        Some(share) => format!("CANARY {} %", share / 100.0),
        None => text(&ran["mode"]),
    };
    if needed.is_empty() { mode } else { format!("{mode}, waits for {}", needed.join(" and ")) }
}

/// Every version that was uploaded, the newest first.
pub fn versions(client: &Client, name: Option<&str>, team: Option<&str>) -> Result<ExitCode, CliError> {
    let answer = client.query(VERSIONS, json!({"name": name, "team": team}))?;
    let versions = list(&answer["pluginVersions"]);
    if versions.is_empty() {
        eprintln!("No version yet: handfast plugin push <component> --team <team> --cases <folder>");
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = table(&["sha256", "name", "label", "team", "status", "cases", "bytes", "uploaded"]);
    for version in versions {
        lines.add_row([
            text(&version["digest"]),
            text(&version["name"]),
            text(&version["label"]),
            text(&version["team"]),
            text(&version["status"]),
            version["caseCount"].to_string(),
            text(&version["size"]),
            text(&version["uploadedAt"]),
        ]);
    }
    // Digests are copied from here, so they are not broken.
    lines.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    print(&lines);
    Ok(ExitCode::SUCCESS)
}

/// The latest evaluation of a lead, gate by gate.
pub fn explain(client: &Client, lead: &str) -> Result<ExitCode, CliError> {
    let answer = client.query(EXPLAIN, json!({"by": reference(lead)}))?;
    let found = &answer["lead"];
    if found.is_null() {
        return Err(CliError::NotFound(format!("there is no lead {lead}")));
    }
    explained(found).iter().for_each(|line| println!("{line}"));
    Ok(ExitCode::SUCCESS)
}

/// By e-mail, by the id of another system (`crm:4711`), by UUID or by the API's id.
fn reference(lead: &str) -> Value {
    match lead.split_once(':') {
        _ if lead.contains('@') => json!({"email": lead}),
        Some((system, id)) => json!({"external": {"system": system, "id": id}}),
        None => json!({"id": lead}),
    }
}

/// A lead in words: where it stands, what the rules said at each gate, and what follows.
fn explained(lead: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{}, {}: fit {}, engagement {}",
        text(&lead["stage"]),
        text(&lead["outcome"]).to_lowercase(),
        lead["fit"],
        lead["engagement"]
    )];
    let Some(evaluation) = list(&lead["evaluations"]).first() else {
        lines.push("It was never evaluated: nothing has asked for a gate yet.".into());
        return lines;
    };
    lines.push(format!(
        "Evaluated as of {} under charter {}, because of {}.",
        text(&evaluation["asOf"]),
        evaluation["charter"],
        text(&evaluation["cause"])
    ));
    let decisions = list(&evaluation["decisions"]);
    for gate in list(&evaluation["gates"]) {
        let name = &gate["gate"];
        let met =
            if gate["result"] == "ADVANCE" { "met".into() } else { text(&gate["result"]).to_lowercase() };
        lines.push(format!("\nGate {}: {met}", text(name)));
        let own: Vec<&Value> = decisions.iter().filter(|decision| decision["gate"] == *name).collect();
        if own.len() > 1 {
            lines.push(format!("  {} rules, composed by {}", own.len(), text(&gate["composition"])));
        }
        own.iter().for_each(|decision| lines.extend(decided(decision)));
        for criterion in list(&gate["criteria"]) {
            let mark = match (&criterion["holds"], &criterion["required"]) {
                (Value::Bool(true), _) => "holds",
                (_, Value::Bool(true)) => "does not hold",
                _ => "does not hold, and need not",
            };
            lines.push(format!("  the charter: {} ({mark})", text(&criterion["text"])));
        }
        let missing: Vec<String> = list(&gate["missing"]).iter().map(text).collect();
        if !missing.is_empty() {
            lines.push(format!("  what is missing: {}", missing.join("; ")));
        }
    }
    let routed: Vec<&Value> = decisions.iter().filter(|decision| decision["gate"].is_null()).collect();
    if !routed.is_empty() {
        lines.push("\nRouting".into());
        routed.iter().for_each(|decision| lines.extend(decided(decision)));
    }
    lines.push(String::new());
    let grey: Vec<String> = list(&lead["greySlots"]).iter().map(text).collect();
    if !grey.is_empty() {
        lines.push(format!("Both sides are asked: a grey case is open for {}.", grey.join(", ")));
    }
    match lead["nextEvaluationAt"].as_str() {
        Some(at) => lines.push(format!("The rules look at it again at {at} at the latest.")),
        None => lines.push("The rules look at it again when a field that they read changes.".into()),
    }
    lines
}

/// One decision: what was said, by which bytes, why, and what was not known.
fn decided(decision: &Value) -> Vec<String> {
    let said = match decision["outcome"].as_str() {
        Some(outcome) => format!(
            "{outcome} (fit {}, engagement {}, {} % sure)",
            decision["fit"],
            decision["engagement"],
            decision["confidence"].as_i64().unwrap_or_default() / 100
        ),
        None if decision["status"] == "OK" => text(&decision["target"]),
        None => format!("no answer, {}: {}", text(&decision["status"]), text(&decision["message"])),
    };
    let mode = match decision["mode"].as_str() {
        Some("LIVE") | None => String::new(),
        Some(mode) => format!(", {mode}"),
    };
    let mut lines = vec![format!(
        "  {} says {said} [{}{mode}, {} fuel]",
        text(&decision["slot"]),
        short(&decision["version"]),
        text(&decision["fuel"])
    )];
    if let Some(words) = decision["text"].as_str() {
        lines.push(format!("      {words}"));
    }
    if let (Some(_), Some(target)) = (decision["outcome"].as_str(), decision["target"].as_str()) {
        lines.push(format!("      reason for the disposition: {target}"));
    }
    for reason in list(&decision["reasons"]) {
        let weight = reason["weight"].as_i64().unwrap_or_default();
        let field = reason["field"].as_str().map(|field| format!(" ({field})")).unwrap_or_default();
        lines.push(format!("    {weight:>+5}  {}{field}", text(&reason["label"])));
    }
    for missing in list(&decision["missing"]) {
        let worth = missing["worth"].as_i64().unwrap_or_default();
        lines.push(format!("        ?  {} is unknown; it could be worth {worth:+}", text(&missing["field"])));
    }
    if let Some(at) = decision["reviewAt"].as_str() {
        lines.push(format!("      wants to look again at {at}"));
    }
    lines
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// As many digits of a digest as people compare.
fn short(digest: &Value) -> String {
    digest.as_str().map(|digest| digest.chars().take(12).collect()).unwrap_or_default()
}

fn print(table: &comfy_table::Table) {
    table.lines().for_each(|line| println!("{}", line.trim_end()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_is_named_as_people_have_it() {
        for (typed, by) in [
            ("ada@example.test", json!({"email": "ada@example.test"})),
            ("crm:4711", json!({"external": {"system": "crm", "id": "4711"}})),
            ("TGVhZDox", json!({"id": "TGVhZDox"})),
            ("00000000-0000-7000-8000-000000000001", json!({"id": "00000000-0000-7000-8000-000000000001"})),
        ] {
            assert_eq!(reference(typed), by, "{typed}");
        }
    }

    #[test]
    fn an_evaluation_reads_gate_by_gate() {
        let lead = json!({
            "stage": "IQL", "outcome": "OPEN", "fit": 12, "engagement": 3, "greySlots": ["mql"], "nextEvaluationAt": null,
            "evaluations": [{
                "asOf": "2026-03-01T09:00:00.000Z", "cause": "CAPTURE", "charter": 1,
                "gates": [{"gate": "MQL", "composition": "ALL", "result": "HOLD", "missing": ["consent"],
                    "criteria": [{"text": "consent is given", "holds": false, "required": true}]}],
                "decisions": [
                    {"slot": "mql", "gate": "MQL", "outcome": "HOLD", "status": "OK", "fit": 12, "engagement": 3,
                     "confidence": 7500, "fuel": "81000", "version": "abcdef0123456789", "mode": "LIVE",
                     "reasons": [{"label": "Large", "weight": 12, "field": "company.employees"}],
                     "missing": [{"field": "company.industry", "worth": 30}], "reviewAt": null},
                    {"slot": "other", "gate": "MQL", "outcome": null, "status": "TRAPPED", "message": "unreachable", "fuel": "7",
                     "version": "abcdef0123456789", "mode": "LIVE", "reasons": [], "missing": []},
                ],
            }],
        });
        let told = explained(&lead).join("\n");
        for words in [
            "IQL, open: fit 12, engagement 3",
            "Gate MQL: hold",
            "2 rules, composed by ALL",
            "mql says HOLD (fit 12, engagement 3, 75 % sure) [abcdef012345, 81000 fuel]",
            "  +12  Large (company.employees)",
            "?  company.industry is unknown; it could be worth +30",
            "other says no answer, TRAPPED: unreachable",
            "the charter: consent is given (does not hold)",
            "what is missing: consent",
            "a grey case is open for mql",
            "when a field that they read changes",
        ] {
            assert!(told.contains(words), "{words:?} is not in:\n{told}");
        }
        let new =
            json!({"stage": "INQUIRY", "outcome": "OPEN", "fit": 0, "engagement": 0, "evaluations": []});
        assert!(explained(&new)[1].contains("never evaluated"));
    }
}
