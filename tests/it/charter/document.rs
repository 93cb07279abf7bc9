//! The charter as a document that anybody can read.

use handfast_domain::time::{DAY, Instant};
use serde_json::{Value, json};

use super::{Parties, criterion, stage};

const NASTY: &str = "Bob's <script>alert(1)</script> | `deal`";

fn body(parties: &Parties) -> Value {
    parties.body(|body| {
        body["title"] = json!(NASTY);
        stage(body, "SQL")["entry"] = json!([criterion("answers.need.grade", "GTE", &["1"], true)]);
        stage(body, "SQL")["meaning"] = json!(format!("SQL means {NASTY}"));
        body["glossary"] =
            json!([{"key": "lead", "marketing": "contact", "sales": NASTY, "meaning": "somebody with a name"}]);
        body["responsibilities"] = json!([{"stage": "SAL", "activity": "call within a day", "responsible": "reps",
            "accountable": "head of sales", "consulted": [], "informed": ["marketing"]}]);
        body["personas"] = json!([{"key": "it-lead", "name": "Ida of IT", "pains": ["too many tools"],
            "traits": [{"key": "senior", "weight": 3,
                "test": {"field": "contact.seniority", "comparator": "EQ", "values": ["VP"]}}],
            "stageProfiles": [{"stage": "MQL", "channels": ["WEBINAR"], "contentKinds": ["paper"],
                "questions": ["what does it replace?"]}]}]);
    })
}

/// What everybody must find in it, whatever its format.
const SAID: [&str; 14] = [
    "in force since",
    "Who signed",
    "as we said",
    "answers.need.grade is known to us",
    "Ida of IT",
    "too many tools",
    "what does it replace?",
    "Webinar",
    "Answer a hand-off",
    "4 hours, the owner",
    "call within a day",
    "somebody with a name",
    "after 90 days",
    "Rules of the house",
];

#[test]
fn the_charter_is_a_document_that_anybody_can_read_and_no_word_of_it_is_markup() {
    let parties = Parties::start();
    let proposed = parties.propose(&body(&parties));
    let input = json!({"number": 1, "digest": proposed["digest"], "comment": "as we said"});
    parties.marketing.mutate("signCharter", "SignCharterInput", input.clone(), "charter { number }");
    let document = "query($number: Int) { charter(number: $number) { \
                    activatedAt reviewDueAt document markdown: document(format: MARKDOWN) html: document(format: HTML) } }";
    // Whoever may read leads may read what was agreed on them, be it in force or not.
    let open = parties.server.user("olga", "ops").query(document, json!({"number": 1}))["charter"].clone();
    assert!(open["markdown"].as_str().unwrap_or_default().contains("open for signatures"), "{open}");
    parties.sales.mutate("signCharter", "SignCharterInput", input, "charter { number }");
    parties.sales.mutate(
        "activateCharter",
        "ActivateCharterInput",
        json!({"number": 1}),
        "charter { number }",
    );

    let found = parties.sales.query(document, json!({}))["charter"].clone();
    let at = |name: &str| Instant::parse(found[name].as_str().unwrap_or_default()).expect("an instant");
    assert_eq!(at("reviewDueAt").since(at("activatedAt")), 90 * DAY);
    assert_eq!(open["reviewDueAt"], Value::Null, "what is not in force is due for nothing");
    assert_eq!(found["document"], found["markdown"], "Markdown without a word");
    let [markdown, html] = ["markdown", "html"].map(|format| found[format].as_str().expect("a text"));
    for text in [markdown, html] {
        let plain = text.replace('\\', "");
        let missing: Vec<&&str> = SAID.iter().filter(|said| !plain.contains(**said)).collect();
        assert!(missing.is_empty(), "{missing:?} in {text}");
        assert!(plain.contains(proposed["digest"].as_str().expect("a digest")), "{text}");
    }
    assert!(!html.contains("<script"), "{html}");
    assert!(html.starts_with("<!doctype html>") && html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let escaped = "# Bob's \\<script\\>alert(1)\\</script\\> \\| \\`deal\\`";
    assert_eq!(markdown.lines().next(), Some(escaped), "{markdown}");
    let row = markdown.lines().find(|line| line.starts_with("| lead | contact")).expect("the glossary");
    assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "four cells: {row}");
}

#[test]
fn the_command_line_prints_the_charter_in_force_or_another_one() {
    let parties = Parties::start();
    parties.propose(&body(&parties));
    let said = |args: &[&str]| {
        let output = parties.server.cli(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code())
    };
    let (out, err, code) = said(&["charter"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("# Charter 0") && out.contains("nobody signed"), "{out}");
    let (out, _, code) = said(&["charter", "--number", "1", "--html"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("<!doctype html>") && out.ends_with("</html>\n"), "{out}");
    assert!(out.contains("&lt;script&gt;") && !out.contains("<script"), "{out}");
    let (out, err, code) = said(&["charter", "--number", "9"]);
    assert_eq!((out.as_str(), code), ("", Some(3)), "{err}");
    assert!(err.contains("there is no charter 9"), "{err}");
}
