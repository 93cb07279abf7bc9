//! Charters as a subscriber sees them.

use serde_json::{Value, json};

use super::{Parties, sign, try_activate, try_reject};
use crate::subscribe;

const FOLLOWED: &str = "subscription($after: FeedCursor, $changes: [CharterChange!]) { \
    charterChanged(after: $after, changes: $changes) { cursor change number digest side replaces \
    user { key } charter { status } } }";

#[test]
fn charters_are_told_from_the_proposal_to_the_reading_each_with_where_to_go_on() {
    let parties = Parties::start();
    let head = parties.sales.query("{ feedHead }", json!({}))["feedHead"].clone();
    let mut digests = json!([]);
    let live = subscribe::follow(&parties.server, "ws", FOLLOWED, json!({"after": head}), 7, || {
        let first = parties.propose(&parties.body(|body| body["title"] = json!("First")));
        assert_eq!(try_reject(&parties.sales, &first, "not like this")["errors"], json!([]));
        let second = parties.propose(&parties.body(|body| body["title"] = json!("Second")));
        sign(&parties.marketing, &second);
        sign(&parties.sales, &second);
        assert_eq!(try_activate(&parties.sales, &second)["errors"], json!([]));
        let read = json!({"number": 2});
        parties.marketing.mutate("acknowledgeCharter", "AcknowledgeCharterInput", read, "charter { number }");
        digests = json!([first["digest"], second["digest"]]);
    });
    let Some(live) = live else { return };
    let shown = |event: &Value| {
        json!([event["change"], event["number"], event["side"], event["replaces"], event["user"]["key"]])
    };
    let expected = [
        json!(["PROPOSED", 1, null, null, "mara"]),
        json!(["REJECTED", 1, "SALES", null, "saul"]),
        json!(["PROPOSED", 2, null, null, "mara"]),
        json!(["SIGNED", 2, "MARKETING", null, "mara"]),
        json!(["SIGNED", 2, "SALES", null, "saul"]),
        json!(["ACTIVATED", 2, null, 0, "saul"]),
        json!(["ACKNOWLEDGED", 2, null, null, "mara"]),
    ];
    assert_eq!(live.iter().map(shown).collect::<Vec<_>>(), expected);
    for event in &live {
        let place = if event["number"] == 1 { 0 } else { 1 };
        assert_eq!(event["digest"], digests[place], "{event}");
    }
    assert_eq!(live[6]["charter"], json!({"status": "ACTIVE"}));
    let table = [
        (json!({"after": live[3]["cursor"]}), &expected[4..]),
        (
            json!({"after": head, "changes": ["PROPOSED", "ACTIVATED"]}),
            &[0, 2, 5].map(|i| expected[i].clone())[..],
        ),
    ];
    for (variables, expected) in table {
        for mode in ["ws", "sse"] {
            let count = expected.len();
            let seen = subscribe::follow(&parties.server, mode, FOLLOWED, variables.clone(), count, || {});
            let seen = seen.expect("the clients are there");
            assert_eq!(seen.iter().map(shown).collect::<Vec<_>>(), expected, "{mode} {variables}");
        }
    }
}
