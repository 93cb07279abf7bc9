//! A person is forgotten (R19): nothing of it is found anywhere, and every number is as it was.

use std::path::{Path, PathBuf};

use handfast_tests::{Api, offline, on_postgres};
use serde_json::{Value, json};

use crate::work::{World, done, look};

/// What only this person has: each of them would be found in any file that holds it.
const CANARIES: [&str; 15] = [
    "zqname",
    "zqmail",
    "4930998877",
    "zqtitle",
    "zqdepartment",
    "zqvisitor",
    "zqnote",
    "zqevidence",
    "zqquestion",
    "zqanswer",
    "zqoverride",
    "zqtrait",
    "zqref",
    "zqtouch",
    "zqimport",
];

fn erase(api: &Api, lead: &Value, more: Value) -> Value {
    let mut input = json!({"lead": {"id": lead["id"]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    let selection = "lead { id outcome erasedAt contact { name email phone title } cycles { outcome } } filesDeleted scrubbed";
    api.attempt("eraseLead", "EraseLeadInput", input, selection)
}

/// Every file below a folder that holds one of the canaries, with the first of them.
fn found(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut hits = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            match kind {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let holds = |canary: &&&str| {
                        bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
                    };
                    hits.extend(CANARIES.iter().find(holds).map(|canary| (path, *canary)));
                }
                _ => {}
            }
        }
    }
    hits
}

/// Somebody of whom everything is known that can be.
fn known(world: &World) -> Value {
    let trait_ = json!({"key": "hobby", "kind": "TEXT", "personal": true, "meaning": "What they like"});
    world.admin.mutate("defineTrait", "DefineTraitInput", trait_, "definition { key }");
    let visit = json!({"anonymousId": "zqvisitor", "channel": "DIRECT", "external": {"system": "web", "id": "zqtouch"}});
    let visit = json!({"touchpoints": [visit]});
    world.mia.mutate("recordTouchpoints", "RecordTouchpointsInput", visit, "leads");
    let lead = json!({
        "email": "zqmail@example.test", "phone": "+4930998877", "name": "zqname Example", "title": "zqtitle", "department":
        "zqdepartment", "anonymousId": "zqvisitor", "consent": true, "external": {"system": "crm", "id": "zqref"},
        "traits": [{"key": "hobby", "value": "zqtrait"}],
    });
    let lead = world.mql_of(lead);
    let input = json!({"lead": {"id": lead["id"]}, "topic": "OTHER", "question": "zqquestion?"});
    let asked = world.rob.mutate("requestContext", "RequestContextInput", input, "contextRequest { id }");
    let input = json!({"contextRequest": asked["contextRequest"]["id"], "answer": "zqanswer."});
    world.mia.mutate("answerContext", "AnswerContextInput", input, "contextRequest { id }");
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY", "note": "zqnote"}));
    let answers = json!({"answers": [{"key": "need", "grade": 3, "evidence": "zqevidence"}]});
    done(&world.rob, "qualify", &lead, answers);
    lead
}

#[test]
fn nothing_of_a_person_is_found_anywhere_and_every_number_is_as_it_was() {
    let world = World::start();
    let lead = known(&world);
    let numbers = || {
        let document =
            "{ ledgerNow { balanced } funnel { stages { stage entered } } charter { number } feedHead }";
        let mut numbers = world.mia.query(document, json!({}));
        numbers.as_object_mut().map(|fields| fields.remove("feedHead"));
        numbers
    };
    let before = numbers();
    let forbidden = erase(&world.mia, &lead, json!({}));
    assert_eq!(forbidden["errors"][0]["code"], "FORBIDDEN", "it needs a scope of its own: {forbidden}");
    let officer = world.server.token("mia", &["leads:read", "leads:erase"]);
    let tried = erase(&officer, &lead, json!({"dryRun": true}));
    assert_eq!((&tried["errors"], &tried["lead"]["outcome"]), (&json!([]), &json!("OPEN")));
    if !on_postgres() {
        assert!(!found(world.server.dir.path()).is_empty(), "the search sees what is there");
    }
    let erased = erase(&officer, &lead, json!({}));
    assert_eq!(erased["errors"], json!([]), "{erased}");
    assert_eq!(erased["lead"]["outcome"], "ERASED");
    assert_eq!(erased["lead"]["contact"], json!({"name": null, "email": null, "phone": null, "title": null}));
    assert!(erased["lead"]["erasedAt"].is_string() && erased["scrubbed"] == true, "{erased}");
    assert_eq!(numbers(), before, "nothing that counts was lost");
    assert_eq!(found(world.server.dir.path()), vec![], "no file of the running server holds anything");

    let left = look(
        &world.mia,
        &lead,
        "stage furthestStage traits { key } contextRequests { question answer } evaluations { id } \
        timeline { kind detail } handoff { status packet { background { key } } }",
    );
    assert_eq!(
        (&left["stage"], &left["furthestStage"], &left["traits"]),
        (&json!("SQL"), &json!("SQL"), &json!([]))
    );
    assert_eq!(left["contextRequests"], json!([{"question": "", "answer": ""}]));
    assert_eq!(left["handoff"], json!({"status": "ACCEPTED", "packet": null}));
    let again = erase(&officer, &lead, json!({}));
    assert_eq!(again["errors"][0]["code"], "ILLEGAL_TRANSITION", "{again}");
    let refused = crate::work::refused(&world.rob, "reopenLead", &lead, json!({"reason": "again"}));
    assert_eq!(refused["code"], "ILLEGAL_TRANSITION");

    let fresh = world.mql("zqmail@example.test", json!({}));
    assert_ne!(fresh["id"], lead["id"], "nobody knows who it was");
    assert_eq!(erase(&officer, &fresh, json!({"leaveAlone": true}))["errors"], json!([]));
    let input = json!({"lead": {"email": "ZQMAIL@example.test", "consent": true}});
    let quiet = world.mia.attempt("captureLead", "CaptureLeadInput", input, "lead { id }");
    assert_eq!(
        (&quiet["errors"][0]["code"], &quiet["lead"]),
        (&json!("SUPPRESSED"), &json!(null)),
        "left in peace"
    );

    let held = json!({"lead": {"email": "zqmail.held@example.test"}});
    let selection = "lead { id evaluations { decisions { id slot } } }";
    let held = world.mia.mutate("captureLead", "CaptureLeadInput", held, selection)["lead"].clone();
    let decision = held["evaluations"][0]["decisions"][0]["id"].clone();
    let input = json!({"decision": decision, "outcome": "ADVANCE", "reason": "zqoverride"});
    let told = world.mia.attempt("overrideDecision", "OverrideDecisionInput", input, "lead { stage }");
    assert_eq!(told["lead"]["stage"], "MQL", "{told}");
    assert_eq!(erase(&officer, &held, json!({}))["errors"], json!([]));

    let (dir, _) = world.server.stop();
    assert_eq!(found(dir.path()), vec![], "no file of the stopped server holds anything");
    let doctor = offline(dir.path(), &["doctor"]);
    let told =
        String::from_utf8_lossy(&doctor.stdout).into_owned() + &String::from_utf8_lossy(&doctor.stderr);
    assert!(doctor.status.success(), "the log still verifies, and the rows follow from it: {told}");
    // On PostgreSQL this is where the rows are seen.
    let backups = tempfile::tempdir().expect("a temporary directory");
    let to = backups.path().join("after");
    let taken = offline(dir.path(), &["backup", "--to", to.to_str().expect("a plain path")]);
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    assert_eq!(found(backups.path()), vec![], "no row holds anything");
}

#[test]
fn a_merged_person_goes_as_a_whole_and_the_files_of_its_imports_with_it() {
    let world = World::start();
    let officer = world.server.token("mia", &["leads:read", "leads:erase"]);
    let file = "id,at,mail,who\nzqref,2024-01-01T10:00:00Z,zqmail@example.test,zqname zqimport\n\
                other,2024-01-01T10:00:00Z,other@example.test,Other\n";
    let mapping = json!({"system": "crm", "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "mail", "name": "who"}});
    let ended = crate::import::import(&world.admin, file, &mapping);
    assert_eq!(ended.counts(), json!({"rows": 2, "created": 2}));
    let document = "query($by: LeadRef!) { lead(by: $by) { id } }";
    let imported = world.mia.query(document, json!({"by": {"email": "zqmail@example.test"}}))["lead"].clone();
    let input = json!({"lead": {"phone": "+4930998877"}});
    let newer = world.mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id }")["lead"].clone();
    let input = json!({"lead": {"id": imported["id"]}, "duplicate": {"id": newer["id"]}});
    let merged = world.mia.mutate("mergeLeads", "MergeLeadsInput", input, "lead { id }");
    assert_eq!(merged["lead"]["id"], imported["id"]);
    let part = erase(&officer, &newer, json!({}));
    assert_eq!(part["errors"][0]["code"], "ILLEGAL_TRANSITION", "it goes with the one that goes on: {part}");
    let erased = erase(&officer, &imported, json!({}));
    assert_eq!((&erased["errors"], &erased["filesDeleted"]), (&json!([]), &json!("1")), "{erased}");
    assert_eq!(found(world.server.dir.path()), vec![], "neither lead, nor the file, is left");
    assert!(look(&world.mia, &newer, "erasedAt")["erasedAt"].is_string());
    assert!(
        world.mia.query(document, json!({"by": {"email": "other@example.test"}}))["lead"]["id"].is_string()
    );
}
