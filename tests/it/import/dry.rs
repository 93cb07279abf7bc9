//! Dry runs: they write nothing and foretell what a real run would say.

use super::cells::{cells, cells_mapping};
use super::story::{endings, endings_mapping};
use super::*;

#[test]
fn a_dry_run_writes_nothing_but_its_results() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&endings_mapping(), json!({"lead": {"campaign": "why"}, "createCampaigns": "fair"}));
    let file =
        endings("1,2024-01-01,a@example.test,WON,2024-02-01,7,new-campaign,\n2,2024-01-01,broken,,,,,\n");
    let state = "{ feedHead leads { edges { cursor } } campaigns { edges { cursor } } }";
    let before = api.query(state, json!({}));
    let ended = import_with(&api, &file, &mapping, json!({"dryRun": true}));
    assert_eq!(ended.told(), [(2, "CREATED"), (2, "WON"), (3, "REFUSED")], "{:?}", ended.rows);
    assert_eq!(
        (ended.counts(), &ended.run["dryRun"]),
        (json!({"rows": 2, "created": 1, "won": 1, "refused": 1}), &json!(true))
    );
    assert_eq!(api.query(state, json!({})), before);
    let ended = import(&api, &file, &mapping);
    assert_eq!(ended.counts(), json!({"rows": 2, "created": 1, "won": 1, "refused": 1}));
}

#[test]
fn a_dry_run_defines_no_trait() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"traits": [{"key": "seats", "kind": "integer", "from": "seats"}]}));
    let file = format!("id,at,mail,seats\n1,{AT},a@example.test,5\n2,{AT},b@example.test,five\n");
    let ended = import_with(&api, file, &mapping, json!({"dryRun": true}));
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "REFUSED")], "the values are checked all the same");
    assert_eq!(api.query("{ traitDefinitions { key } }", json!({}))["traitDefinitions"], json!([]));
}

/// What a dry run tells of each row, and what the import tells then.
fn foretells(file: &str, mapping: &Value) {
    let server = Server::start();
    let api = server.admin();
    let tell = |dry: bool| {
        let ended = import_with(&api, file, mapping, json!({"dryRun": dry}));
        let told = ["row", "outcome", "column", "value", "message"];
        ended.rows.iter().map(|row| json!(told.map(|key| row[key].clone()))).collect::<Vec<_>>()
    };
    let (dry, real) = (tell(true), tell(false));
    let differ: Vec<String> =
        real.iter().filter(|row| !dry.contains(row)).map(|row| format!("{row}")).collect();
    assert!(dry == real, "the dry run did not foretell {}\nit told {dry:#?}", differ.join("\n"));
}

#[test]
fn a_dry_run_foretells_which_cells_are_refused() {
    let rows = [
        vec![],
        vec![("mail", "no address")],
        vec![("at", "31.02.2024")],
        vec![("seats", "five")],
        vec![("rep", "nobody")],
        vec![("fair", "spring")],
        vec![("result", "gained")],
        vec![("result", "gained"), ("value", "#VALUE!")],
        vec![("result", "later"), ("why", "NOT_READY")],
    ];
    foretells(&cells(&rows), &cells_mapping());
}

#[test]
fn a_dry_run_foretells_that_the_charter_refuses_an_ending() {
    let row = |n: u32, outcome: &str, why: &str| {
        format!("{n},2024-01-01,d{n}@example.test,{outcome},2024-02-01,,{why},\n")
    };
    let rows =
        row(1, "LOST", "NOPE") + &row(2, "DISQUALIFIED", "NO_BUDGET") + &row(3, "LOST", "LOST_TO_COMPETITOR");
    foretells(&endings(&rows), &endings_mapping());
}

#[test]
fn a_dry_run_foretells_endings_of_people_without_ids() {
    let mapping = with(&endings_mapping(), json!({"id": null}));
    foretells(&endings(",2024-01-01,Ada@Example.test,WON,2024-02-01,,,\n"), &mapping);
}

#[test]
fn a_dry_run_foretells_that_a_campaign_s_key_is_none() {
    let mapping = with(&mapping(), json!({"lead": {"campaign": "fair"}, "createCampaigns": "fair"}));
    foretells(&format!("id,at,mail,fair\n1,{AT},a@example.test,Spring Fair\n"), &mapping);
}

#[test]
fn a_dry_run_foretells_that_a_lead_ends_twice() {
    let file = endings(
        "1,2024-01-01,a@example.test,WON,2024-02-01,,,\n\
         1,2024-01-01,a@example.test,LOST,2024-03-01,,HOLDING_OFF,\n",
    );
    foretells(&file, &endings_mapping());
}
