//! Stars through the public API: one word of each person, counted by side.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::charter::Parties;

const RATINGS: &str = "count meanHundredths distribution reasons { reason count } sides { side count meanHundredths distribution }";

fn rate(api: &Api, subject: &str, id: &Value, stars: i32, reasons: &[&str]) -> Value {
    let input = json!({"subject": subject, "id": id, "stars": stars, "reasons": reasons});
    api.attempt("rate", "RateInput", input, &format!("ratings {{ {RATINGS} }}"))
}

#[test]
fn each_person_has_one_rating_and_both_sides_are_counted() {
    let parties = Parties::start();
    let (sales, marketing) = (&parties.sales, &parties.marketing);
    let ada = parties.server.user("ada", "sales");
    let input = json!({"key": "fair", "name": "Fair", "kind": "fair", "channel": "EVENT"});
    let selection = "campaign { id ratings { count meanHundredths distribution } }";
    let made = marketing.mutate("createCampaign", "CreateCampaignInput", input, selection);
    let campaign = made["campaign"]["id"].clone();
    assert_eq!(
        made["campaign"]["ratings"],
        json!({"count": "0", "meanHundredths": null, "distribution": ["0", "0", "0", "0", "0"]})
    );
    rate(sales, "CAMPAIGN", &campaign, 1, &["WRONG_PEOPLE"]);
    rate(&ada, "CAMPAIGN", &campaign, 2, &["WRONG_PEOPLE", "WRONG_TIME", "WRONG_TIME"]);
    rate(marketing, "CAMPAIGN", &campaign, 5, &["RIGHT_PEOPLE"]);
    // Saul thinks again.
    let now = rate(sales, "CAMPAIGN", &campaign, 2, &["WRONG_PEOPLE"])["ratings"].clone();
    let expected = json!({
        "count": "3", "meanHundredths": 300, "distribution": ["0", "2", "0", "0", "1"],
        "reasons": [{"reason": "WRONG_PEOPLE", "count": "2"}, {"reason": "RIGHT_PEOPLE", "count": "1"},
            {"reason": "WRONG_TIME", "count": "1"}],
        "sides": [
            {"side": "MARKETING", "count": "1", "meanHundredths": 500, "distribution": ["0", "0", "0", "0", "1"]},
            {"side": "SALES", "count": "2", "meanHundredths": 200, "distribution": ["0", "2", "0", "0", "0"]}],
    });
    assert_eq!(now, expected);
    let document = format!(
        "query($id: ID!) {{ ratings(subject: CAMPAIGN, id: $id) {{ {RATINGS} }} ownRating(subject: CAMPAIGN, id: $id) {{ stars reasons }} \
         campaign(id: $id) {{ ratings {{ meanHundredths }} }} }}"
    );
    let read = sales.query(&document, json!({"id": campaign}));
    assert_eq!(read["ratings"], expected);
    assert_eq!(read["ownRating"], json!({"stars": 2, "reasons": ["WRONG_PEOPLE"]}));
    assert_eq!(read["campaign"]["ratings"]["meanHundredths"], 300);

    let lead = sales.capture("rated@example.test");
    assert_eq!(rate(marketing, "LEAD", &lead["id"], 4, &[])["ratings"]["meanHundredths"], 400);
    for stars in [0, 6, -1] {
        let refused = rate(sales, "LEAD", &lead["id"], stars, &[])["errors"][0].clone();
        assert_eq!((&refused["code"], &refused["path"]), (&json!("VALIDATION"), &json!(["input", "stars"])));
    }
    let nobody = json!("01a217bd-0000-7000-8000-000000000000");
    for subject in ["LEAD", "CAMPAIGN", "CONTENT"] {
        assert_eq!(rate(sales, subject, &nobody, 3, &[])["errors"][0]["code"], "NOT_FOUND", "{subject}");
    }
    assert_eq!(rate(&parties.admin, "LEAD", &lead["id"], 3, &[])["errors"][0]["code"], "FORBIDDEN");
}
