//! The synthetic company: teams, calendars, people, campaigns, its charter and its rules, all set up by the public API.

use serde_json::{Value, json};

use super::market::CAMPAIGNS;
use super::{Demo, charter};
use crate::cli::client::{CliError, Client};
use crate::cli::plugin;

/// Keys of the people whose tokens are printed.
pub const MARKETING: &str = "mara-marketing";
pub const SALES: &str = "sam-sales";
pub const OPS: &str = "olga-operations";
/// Works whatever lands in the fallback queue.
pub const DESK: &str = "dora-desk";

type Rep = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], u32);

/// The reps: key, name, team, calendar, territories, most open leads.
#[rustfmt::skip]
const REPS: [Rep; 12] = [
    ("anna-rep", "Anna Rep", "sales-dach", "office-berlin", &["dach"], 90),
    ("ben-rep", "Ben Rep", "sales-dach", "office-berlin", &["dach"], 90),
    ("carla-rep", "Carla Rep", "sales-dach", "office-berlin", &["dach"], 70),
    ("dirk-rep", "Dirk Rep", "sales-dach", "half-days", &["dach"], 40),
    ("elin-rep", "Elin Rep", "sales-north", "office-stockholm", &["nordics"], 90),
    ("finn-rep", "Finn Rep", "sales-north", "office-stockholm", &["nordics"], 90),
    ("greta-rep", "Greta Rep", "sales-north", "office-stockholm", &["nordics", "uk"], 80),
    ("hugo-rep", "Hugo Rep", "sales-north", "office-stockholm", &["uk"], 80),
    ("iris-rep", "Iris Rep", "sales-key", "office-berlin", &["enterprise"], 60),
    ("jan-rep", "Jan Rep", "sales-key", "office-berlin", &["enterprise", "dach"], 60),
    ("kim-rep", "Kim Rep", "sales-key", "office-stockholm", &["enterprise", "nordics"], 60),
    ("lou-rep", "Lou Rep", "sales-key", "office-berlin", &["enterprise"], 60),
];

pub fn set_up(demo: &Demo) -> Result<(), CliError> {
    eprintln!("Setting up the company: people, calendars, campaigns, charter, rules.");
    // The company was there before its season began.
    demo.travel(super::season::start())?;
    people(&demo.admin)?;
    let trait_ = json!({"key": "time-on-site", "kind": "INTEGER", "unit": "seconds", "meaning": "Time on the website before the form"});
    mutate(&demo.admin, "defineTrait", "DefineTraitInput", trait_)?;
    for one in &CAMPAIGNS {
        let input = json!({
            "key": one.key, "name": one.name, "kind": one.kind, "channel": one.channel,
            "cost": {"amountMinor": (one.cost * 100).to_string(), "currency": charter::CURRENCY},
        });
        mutate(&demo.admin, "createCampaign", "CreateCampaignInput", input)?;
    }
    agree(demo, &json!(charter::body()))?;
    if demo.story {
        tracks(demo)?;
    }
    rules(demo, SCORECARD, FAIR_SHARE)
}

/// What rests gets something to read meanwhile; the charter's reasons name the tracks.
fn tracks(demo: &Demo) -> Result<(), CliError> {
    let marketing = demo.client(&demo.token(MARKETING)?);
    for (key, name, days) in [
        ("value", "What it is worth", &[1, 7, 21][..]),
        ("find-the-sponsor", "Find the sponsor", &[2, 10]),
        ("re-engage", "Say hello again", &[5, 20]),
    ] {
        let step =
            |days: &i64| json!({"afterDays": days, "channel": "EMAIL", "content": format!("{key}-{days}")});
        let steps: Vec<Value> = days.iter().map(step).collect();
        let input = json!({"key": key, "name": name, "steps": steps});
        mutate(&marketing, "upsertNurtureTrack", "UpsertNurtureTrackInput", input)?;
    }
    Ok(())
}

/// What both sides learned in the first half of the season, as a second charter.
pub fn agree_again(demo: &Demo) -> Result<(), CliError> {
    let mut body = charter::body();
    body.title = format!("{}, revised", body.title);
    body.attempts.attempts = 3;
    agree(demo, &json!(body))
}

const SCORECARD: &str = include_str!("scorecard.json");
const FAIR_SHARE: &str = include_str!("fair-share.json");

fn people(admin: &Client) -> Result<(), CliError> {
    let weekdays = ["MON", "TUE", "WED", "THU", "FRI"];
    let week = |spans: &[(u16, u16)]| -> Vec<Value> {
        let day = |day: &&str| {
            spans.iter().map(|(from, to)| json!({"day": day, "from": from, "to": to})).collect::<Vec<_>>()
        };
        weekdays.iter().flat_map(day).collect()
    };
    for (key, zone, spans) in [
        ("office-berlin", "Europe/Berlin", &[(540, 720), (765, 1050)][..]),
        ("office-stockholm", "Europe/Stockholm", &[(510, 720), (765, 1020)][..]),
        ("half-days", "Europe/Berlin", &[(540, 780)][..]),
    ] {
        let calendar = json!({"timeZone": zone, "weekly": week(spans), "holidays": ["2026-01-01", "2026-05-01", "2026-12-25"]});
        mutate(admin, "upsertCalendar", "UpsertCalendarInput", json!({"key": key, "calendar": calendar}))?;
    }
    for (key, name, calendar) in [
        ("sales-dach", "Sales: Germany, Austria, Switzerland", "office-berlin"),
        ("sales-north", "Sales: Britain and the north", "office-stockholm"),
        ("sales-key", "Sales: key accounts", "office-berlin"),
        ("sales", "Sales", "office-berlin"),
    ] {
        let team = json!({"key": key, "name": name, "side": "SALES", "calendar": calendar, "fallbackQueue": "fallback"});
        mutate(admin, "upsertTeam", "UpsertTeamInput", team)?;
    }
    let marketing = json!({"key": "marketing", "name": "Marketing", "side": "MARKETING", "calendar": "office-berlin", "fallbackQueue": "marketing"});
    mutate(admin, "upsertTeam", "UpsertTeamInput", marketing)?;
    let territories = [
        (
            "dach",
            "Germany, Austria, Switzerland",
            json!({"field": "company.region", "comparator": "EQ", "values": ["dach"]}),
        ),
        (
            "nordics",
            "The Nordics",
            json!({"field": "company.region", "comparator": "EQ", "values": ["nordics"]}),
        ),
        (
            "uk",
            "Britain and Ireland",
            json!({"field": "company.region", "comparator": "EQ", "values": ["uk"]}),
        ),
        (
            "enterprise",
            "Large accounts",
            json!({"field": "company.employees", "comparator": "GTE", "values": ["1000"]}),
        ),
    ];
    for (key, name, test) in territories {
        mutate(
            admin,
            "upsertTerritory",
            "UpsertTerritoryInput",
            json!({"key": key, "name": name, "test": test}),
        )?;
    }
    for (key, name, team) in [
        (MARKETING, "Mara, head of marketing", "marketing"),
        (SALES, "Sam, head of sales", "sales"),
        (DESK, "Dora, sales desk", "sales"),
        (OPS, "Olga, operations", "ops"),
    ] {
        mutate(admin, "upsertUser", "UpsertUserInput", json!({"key": key, "name": name, "team": team}))?;
    }
    for (key, name, team, calendar, territories, capacity) in REPS {
        let user = json!({
            "key": key, "name": name, "team": team, "calendar": calendar, "territories": territories, "capacity": capacity,
        });
        mutate(admin, "upsertUser", "UpsertUserInput", user)?;
    }
    let weight = |calendar: &str| if calendar == "half-days" { 1 } else { 2 };
    let members: Vec<Value> =
        REPS.iter().map(|rep| json!({"user": rep.0, "weight": weight(rep.3)})).collect();
    mutate(
        admin,
        "upsertPool",
        "UpsertPoolInput",
        json!({"key": "sales", "queue": "fallback", "members": members}),
    )
}

/// Proposes a charter, signs it as both heads, and puts it into force.
pub fn agree(demo: &Demo, body: &Value) -> Result<(), CliError> {
    let (marketing, sales) = (demo.client(&demo.token(MARKETING)?), demo.client(&demo.token(SALES)?));
    let select = "charter { number digest }";
    let proposed =
        payload(&marketing, "proposeCharter", "ProposeCharterInput", json!({"body": body}), select)?;
    let (number, digest) = (&proposed["charter"]["number"], &proposed["charter"]["digest"]);
    for client in [&marketing, &sales] {
        let sign = json!({"number": number, "digest": digest, "comment": "This is how we work together."});
        payload(client, "signCharter", "SignCharterInput", sign, select)?;
    }
    payload(&marketing, "activateCharter", "ActivateCharterInput", json!({"number": number}), select)
        .map(drop)
}

/// Uploads both plugins with their cases and deploys them with the demo's settings.
pub fn rules(demo: &Demo, scorecard: &str, fair_share: &str) -> Result<(), CliError> {
    let ops = demo.client(&demo.token(OPS)?);
    for (name, team, slot, settings) in
        [("scorecard", "marketing", "mql", scorecard), ("fair-share", "sales", "routing", fair_share)]
    {
        let wasm = demo.args.plugins.join(format!("{name}.wasm"));
        let cases = demo.args.sources.join(name).join("cases");
        let digest = plugin::push(&ops, &wasm, team, None, Some(&cases), None)?;
        plugin::deploy(&ops, &digest, slot, settings)?;
    }
    Ok(())
}

/// A mutation `field(input: …)` that must succeed.
pub fn payload(
    client: &Client,
    field: &str,
    kind: &str,
    input: Value,
    select: &str,
) -> Result<Value, CliError> {
    let document = format!(
        "mutation($input: {kind}!) {{ {field}(input: $input) {{ {select} errors {{ message path code }} }} }}"
    );
    client.mutate(field, &document, json!({"input": input}))
}

pub fn mutate(client: &Client, field: &str, kind: &str, input: Value) -> Result<(), CliError> {
    payload(client, field, kind, input, "__typename").map(drop)
}
