//! `schema/fields.json` and `schema/events.json` are written from the code: run with `UPDATE=1` to write them anew.

use std::collections::BTreeSet;
use std::path::Path;

use handfast_domain::clock::{CalendarMode, ClockEvent, ClockKind, ClockLevel, Party};
use handfast_domain::digest::Digest;
use handfast_domain::event::{Actor, ActorKind, Body, Event, Fact, SCHEMA_VERSION, StreamKind};
use handfast_domain::field::{ANSWER_PARTS, CATALOGUE, CATALOGUE_VERSION};
use handfast_domain::stage::{Cause, Channel, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use handfast_domain::time::Instant;
use serde_json::{Value, json};
use uuid::Uuid;

fn fields() -> Value {
    json!({
        "title": "Fields that a rule or a criterion may read",
        "catalogueVersion": CATALOGUE_VERSION,
        "fields": CATALOGUE,
        "families": [
            {
                "path": "traits.<key>",
                "meaning": "Trait that the workspace defined, of the kind it was defined with; a personal one is never readable",
            },
            {
                "path": "answers.<key>",
                "meaning": "Graded answer of a qualification in the open cycle",
                "parts": ANSWER_PARTS,
            },
        ],
    })
}

fn events() -> Value {
    let mut schema = schemars::schema_for!(Event).to_value();
    let head = json!({
        "title": "Events of Handfast",
        "schemaVersion": SCHEMA_VERSION,
        "$comment": "Additions raise schemaVersion; readers ignore members and kinds that they do not know.",
    });
    for (key, value) in head.as_object().into_iter().flatten() {
        schema[key] = value.clone();
    }
    schema
}

#[test]
fn schema_files_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema");
    for (name, value) in [("fields.json", fields()), ("events.json", events())] {
        let path = folder.join(name);
        let current = format!("{}\n", serde_json::to_string_pretty(&sorted(value)).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &current).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == current,
            "schema/{name} is stale: run UPDATE=1 cargo test -p handfast-domain --test schema"
        );
    }
}

/// With sorted keys, whatever feature of serde_json another crate of the build has asked for.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        plain => plain,
    }
}

fn event(fact: Fact) -> Value {
    let body =
        Body { actor: Actor::of(ActorKind::Clock), cause: Cause::Clock, charter: 1, cycle: Some(1), fact };
    let (occurred_at, recorded_at) = (Instant(-1), Instant(1_772_438_400_000));
    let (id, stream_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (version, ordinal) = (1, 0);
    let stream = StreamKind::Lead;
    serde_json::to_value(Event { id, stream, stream_id, version, ordinal, occurred_at, recorded_at, body })
        .unwrap()
}

fn samples() -> Vec<Fact> {
    let (id, at) = (Uuid::from_u128(3), Instant(1_772_438_400_000));
    vec![
        Fact::LeadCaptured {
            account: None,
            campaign: Some(id),
            source: "web".into(),
            channel: Channel::Email,
        },
        Fact::CycleOpened { cycle: 2, by: CycleOpenedBy::Requalify, resumed_from: Some(1) },
        Fact::StageChanged {
            from: None,
            to: StageKind::Mql,
            skipped: vec![StageKind::Iql],
            asserted: false,
            stage_version: 1,
            evaluation: None,
        },
        Fact::HandoffOffered { handoff: id, packet: Digest([9; 32]), completeness: 10_000 },
        Fact::CycleClosed {
            cycle: 1,
            outcome: CycleOutcome::Won,
            reason: None,
            competitor: None,
            attempts: 0,
            amount_minor: Some(1_000_000_000_000_000),
            recycle_at: None,
            recycle_on: None,
            permanent: false,
            work_state: WorkState::Closed,
        },
        Fact::ClockChanged {
            clock: ClockEvent::Started {
                id,
                kind: ClockKind::Accept,
                party: Party::Sales,
                level: ClockLevel::Owner,
                cycle: 1,
                subject_owner: None,
                policy_charter: 0,
                mode: CalendarMode::OwnerHours,
                at,
                target_ms: 1,
                due_at: at,
            },
        },
        Fact::ClockChanged { clock: ClockEvent::Breached { id, at } },
    ]
}

#[test]
fn written_events_are_valid_by_the_schema_and_spoiled_ones_are_not() {
    let options = jsonschema::options().should_validate_formats(true);
    let schema = options.build(&events()).expect("the schema is a schema");
    for fact in samples() {
        let event = event(fact);
        let errors: Vec<String> = schema.iter_errors(&event).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{event}");
        for spoil in ["/body/fact/kind", "/body/cause", "/id", "/occurredAt", "/stream"] {
            let mut spoiled = event.clone();
            *spoiled.pointer_mut(spoil).unwrap() = json!("NO_SUCH");
            assert!(!schema.is_valid(&spoiled), "{spoil}");
        }
    }
}

#[test]
fn the_schema_names_every_kind_of_fact_and_describes_each() {
    let schema = events();
    let variants = schema["$defs"]["Fact"]["oneOf"].as_array().expect("facts are a closed set");
    let kinds: BTreeSet<&str> =
        variants.iter().filter_map(|v| v["properties"]["kind"]["const"].as_str()).collect();
    assert_eq!(kinds, Fact::KINDS.iter().copied().collect());
    for fact in samples() {
        assert!(kinds.contains(fact.kind()));
    }
    for variant in variants {
        assert!(variant["description"].is_string(), "{}", variant["properties"]["kind"]);
        for (name, member) in variant["properties"].as_object().into_iter().flatten() {
            let described = member["description"].is_string() || name == "kind";
            assert!(described, "{} of {} has no description", name, variant["properties"]["kind"]);
        }
    }
}

#[test]
fn the_catalogue_is_written_whole_and_holds_nothing_personal() {
    let written = fields();
    let listed = written["fields"].as_array().unwrap();
    assert_eq!(listed.len(), CATALOGUE.len());
    for field in listed {
        let members = field.as_object().unwrap();
        for member in ["kind", "meaning", "path", "personal", "routing"] {
            assert!(members.contains_key(member), "{member} of {}", field["path"]);
        }
        assert_eq!(field["personal"], false);
    }
}
