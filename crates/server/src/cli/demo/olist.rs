//! The marketing funnel of a real marketplace, Olist 2017 and 2018: 5,541 leads and 583 wins, anonymised by its owner.

use std::collections::BTreeSet;
use std::path::Path;

use handfast_domain::charter::{CharterBody, Commitment};
use handfast_domain::clock::Party;
use handfast_domain::criterion::{Comparator, FieldTest};
use handfast_domain::number::Long;
use handfast_domain::persona::{Persona, PersonaTrait};
use serde_json::json;

use super::Demo;
use super::company::{self, MARKETING, OPS, SALES, mutate};
use crate::cli::client::{CliError, Client};
use crate::cli::import;

/// How the two files are read; the same mappings serve `handfast import`.
const LEADS: &str = include_str!("olist-leads.json");
const DEALS: &str = include_str!("olist-deals.json");
const SCORECARD: &str = include_str!("olist-scorecard.json");
const FAIR_SHARE: &str = include_str!("fair-share.json");

pub fn set_up(demo: &Demo, data: &Path) -> Result<(), CliError> {
    let (leads, deals) = (data.join("olist_mql.csv"), data.join("olist_closed_deals.csv"));
    for file in [&leads, &deals] {
        if !file.exists() {
            let message = format!(
                "{} is missing: --data takes the folder of olist_mql.csv and olist_closed_deals.csv",
                file.display()
            );
            return Err(CliError::NotFound(message));
        }
    }
    eprintln!("Setting up Olist: its people, personas, charter and rules.");
    people(&demo.admin, &deals)?;
    // The personas of the charter rest on a trait that the import would define only later.
    let meaning = "Behaviour that sales development saw";
    let behaviour = json!({"key": "behaviour-profile", "kind": "TEXT", "meaning": meaning});
    mutate(&demo.admin, "defineTrait", "DefineTraitInput", behaviour)?;
    company::agree(demo, &json!(charter()))?;
    company::rules(demo, SCORECARD, FAIR_SHARE)?;
    let marketing = demo.client(&demo.token(MARKETING)?);
    for (file, mapping) in [(&leads, LEADS), (&deals, DEALS)] {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        eprintln!("Importing {name}.");
        let run = import::run(&marketing, file, &name, mapping, false, None, &import::bar())?;
        let text = |key: &str| run[key].as_str().unwrap_or("0").to_owned();
        eprintln!(
            "  {} rows: {} created, {} won, {} refused, {} warnings",
            text("rows"),
            text("created"),
            text("won"),
            text("refused"),
            text("warnings")
        );
    }
    Ok(())
}

/// Sales development and sales representatives are known by their ids alone.
fn people(admin: &Client, deals: &Path) -> Result<(), CliError> {
    let read = |error: csv::Error| CliError::Failed(format!("{}: {error}", deals.display()));
    for (key, name, team) in [
        (MARKETING, "Olist marketing", "marketing"),
        (SALES, "Olist sales", "sales"),
        (company::DESK, "Olist sales desk", "sales"),
        (OPS, "Olist operations", "ops"),
    ] {
        mutate(admin, "upsertUser", "UpsertUserInput", json!({"key": key, "name": name, "team": team}))?;
    }
    let mut reps = BTreeSet::new();
    for row in csv::Reader::from_path(deals).map_err(read)?.deserialize::<Deal>() {
        reps.insert(row.map_err(read)?.sr_id);
    }
    for id in &reps {
        let short = &id[..id.len().min(6)];
        let user = json!({"key": format!("sr-{id}"), "name": format!("Sales rep {short}"), "team": "sales", "capacity": 200});
        mutate(admin, "upsertUser", "UpsertUserInput", user)?;
    }
    let members: Vec<_> = reps.iter().map(|id| json!({"user": format!("sr-{id}")})).collect();
    mutate(
        admin,
        "upsertPool",
        "UpsertPoolInput",
        json!({"key": "sales", "queue": "fallback", "members": members}),
    )
}

#[derive(serde::Deserialize)]
struct Deal {
    sr_id: String,
}

fn charter() -> CharterBody {
    let mut body = CharterBody::unsigned("BRL", "America/Sao_Paulo");
    body.title = "How Olist finds its sellers".into();
    // Behaviour profiles that Olist's sales development gave after it had talked to a seller.
    body.personas = [
        ("cat", "Cat: stability", "calm, wants a partner for long"),
        ("eagle", "Eagle: outcome", "asks for results"),
        ("wolf", "Wolf: influence", "decides with others"),
        ("shark", "Shark: dominance", "wants the best terms"),
    ]
    .into_iter()
    .map(|(key, name, pain)| Persona {
        key: key.into(),
        name: name.into(),
        traits: vec![PersonaTrait {
            key: "behaviour".into(),
            test: FieldTest::new("traits.behaviour-profile", Comparator::Eq, &[key]),
            weight: 100,
        }],
        pains: vec![pain.into()],
        stage_profiles: vec![],
    })
    .collect();
    let promise = |party, metric: &str, target, unit: &str| Commitment {
        party,
        metric: metric.into(),
        target: Long(target),
        unit: unit.into(),
        window_days: 30,
        weight: 1,
    };
    body.commitments = vec![
        promise(Party::Marketing, "MQL_PER_MONTH", 700, "count"),
        promise(Party::Sales, "WIN_RATE", 1_000, "basis points"),
    ];
    body
}
