//! Whether customers come back, through the public API.

use serde_json::{Value, json};

use crate::attribution::touches;
use crate::conversion::told;
use crate::import::{import, server_in};

const RETENTION: &str = "query($cohort: CohortPeriod! = MONTH, $window: WindowInput, $by: Dimension) { retention(cohort: $cohort, window: $window, by: $by) { \
    advocates export(format: CSV) definitions { key } cohorts { begins key entered: customers reached: returned medianDays immature rateBasisPoints low high } \
    totals { begins key entered: customers reached: returned medianDays immature } } }";

#[test]
fn customers_return_with_their_next_win_and_count_by_their_first() {
    let server = server_in("EUR", "UTC");
    let api = server.admin();
    let file = "customer_id,time,interaction,conversion,conversion_value,channel\n\
        a,2024-01-05T00:00:00Z,conversion,1,10,Facebook\n\
        a,2024-01-25T00:00:00Z,conversion,1,10,Instagram\n\
        b,2024-01-10T00:00:00Z,conversion,1,10,Facebook\n\
        c,2024-02-01T00:00:00Z,conversion,1,10,Instagram\n\
        c,2024-02-11T00:00:00Z,conversion,1,10,Instagram\n\
        c,2024-05-01T00:00:00Z,conversion,1,10,Facebook\n\
        d,2024-02-11T00:00:00Z,impression,0,0,Instagram\n";
    let ended = import(&api, file, &touches());
    assert_eq!(ended.counts()["won"], 6, "{:?}", ended.refused());
    let year = json!({"from": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"});
    let asked = |more: Value| {
        let mut variables = json!({"window": year});
        variables.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        api.query(RETENTION, variables)["retention"].clone()
    };
    let found = asked(json!({}));
    assert_eq!(told(&found["cohorts"]), ["2024-01-01 - 1/2 20.00", "2024-02-01 - 1/1 10.00"]);
    assert_eq!(
        (told(&found["totals"]), &found["advocates"]),
        (vec!["- - 2/3 10.00".to_owned()], &json!("0"))
    );
    assert_eq!(
        told(&asked(json!({"by": "SOURCE"}))["totals"]),
        ["- Facebook 1/2 20.00", "- Instagram 1/1 10.00"]
    );
    let spring = json!({"window": {"from": "2024-04-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"}});
    assert_eq!(asked(spring)["cohorts"], json!([]), "who bought before is no new customer");
    let export = found["export"].as_str().unwrap_or_default();
    assert!(export.contains("COHORT,2024-01-01,,2,1,5000,20.00,false,0\r\n"), "{export}");
    assert_eq!(found["definitions"][0]["key"], "RETENTION");
}
