//! A quarter in the life of a company with hidden truth, played through the public API alone: what must hold at its end holds.

use std::process::{Command, Stdio};

use handfast_tests::{binary, database, offline, root};
use serde_json::{Value, json};

#[test]
fn a_season_balances_every_day_keeps_every_promise_in_the_books_and_loses_nobody() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let seed = std::env::var("HANDFAST_SIM_SEED").unwrap_or_else(|_| "11".to_owned());
    let plugins = handfast_tests::plugin("scorecard");
    let plugins = plugins.parent().expect("a folder of plugins");
    let mut command = Command::new(binary());
    command.args(["sim", "--json", "--leads", "160", "--seed", &seed, "--plugins"]).arg(plugins);
    command.arg("--sources").arg(root().join("plugins")).arg("--data-dir").arg(dir.path());
    let output = command
        .current_dir(dir.path())
        .envs(database(dir.path()))
        .env("HANDFAST__LOG__LEVEL", "warn")
        .stdin(Stdio::null())
        .output()
        .expect("the season is played");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {errors}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&told["unbalanced"], &told["crooked"]), (&json!([]), &json!([])), "seed {seed}");
    assert!(told["days"].as_u64().is_some_and(|days| days >= 90), "every day of the season: {told}");
    assert_eq!(
        (&told["balancedNow"], told["places"].get("NOBODY")),
        (&json!(true), None),
        "seed {seed}: {told}"
    );
    assert_eq!(told["charters"], 2, "both sides signed twice");

    // Everything of the loop between the two sides happened, however often.
    let happened = [
        "HANDOFF_ACCEPTED",
        "HANDOFF_REJECTED",
        "CONTEXT_REQUESTED",
        "CONTEXT_ANSWERED",
        "FEEDBACK_POSTED",
        "FEEDBACK_ANSWERED",
        "NURTURE_ENROLLED",
        "NURTURE_STEP_DUE",
        "LEAD_MERGED",
        "LEAD_ERASED",
        "OPPORTUNITY_RECORDED",
        "GREY_CASE_OPENED",
        "GREY_CASE_RESOLVED",
        "FOLLOW_UP_PLANNED",
        "FOLLOW_UP_ENDED",
        "RENEWAL_DATED",
    ];
    let missing: Vec<_> =
        happened.iter().filter(|kind| told["facts"][**kind].as_i64().unwrap_or(0) == 0).collect();
    assert!(missing.is_empty(), "seed {seed}: {missing:?} never happened: {told}");
    for outcome in ["WON", "LOST", "RECYCLED", "DISQUALIFIED", "MERGED", "ERASED"] {
        assert!(
            told["ended"][outcome].as_i64().unwrap_or(0) > 0,
            "seed {seed}: no cycle ended {outcome}: {told}"
        );
    }
    // What made people buy is known here, and each model is told how far it is from it.
    let errors = told["attributionError"].as_object().expect("models");
    let within = |error: &Value| error.as_i64().is_some_and(|error| (0..=10_000).contains(&error));
    assert!(errors.len() == 8 && errors.values().all(within), "seed {seed}: {told}");
    let opened = told["facts"]["CYCLE_OPENED"].as_i64().unwrap_or(0);
    let captured = told["facts"]["LEAD_CAPTURED"].as_i64().unwrap_or(0);
    assert!(opened > captured, "seed {seed}: some came back: {told}");

    let doctor = offline(dir.path(), &["doctor"]);
    let words =
        String::from_utf8_lossy(&doctor.stdout).into_owned() + &String::from_utf8_lossy(&doctor.stderr);
    assert!(
        doctor.status.success(),
        "seed {seed}: rows are a replay of the log, and the log verifies: {words}"
    );
}
