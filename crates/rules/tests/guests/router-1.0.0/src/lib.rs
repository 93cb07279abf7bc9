//! A router that touches everything that `handfast:rules@1.0.0` offers one: each field of an owner, each target, reasons and
//! a priority.

wit_bindgen::generate!({ path: "wit", world: "router" });

use exports::handfast::rules::types::{
    Assignment, CodeInfo, Column, Context, Descriptor, Field, Kind, Owner, Reason, SettingsProblem, Target,
};
use exports::handfast::rules::{meta, route};

struct Frozen;

impl meta::Guest for Frozen {
    fn describe() -> Descriptor {
        Descriptor {
            name: "frozen-router".into(),
            version: "1.0.0".into(),
            summary: "Touches everything that the contract offers a router".into(),
            settings_schema: r#"{"type": "object", "maxProperties": 0}"#.into(),
            reason_codes: vec![CodeInfo {
                code: "owed".into(),
                label: "Owed the next lead".into(),
                description: "The smallest weighted sum.".into(),
            }],
            reads: vec![
                Field { path: "verdict.fit".into(), kind: Kind::Integer },
                Field { path: "company.country".into(), kind: Kind::Text },
            ],
        }
    }

    fn check_settings(_: String) -> Vec<SettingsProblem> {
        Vec::new()
    }
}

impl route::Guest for Frozen {
    fn assign(_: String, context: Context, columns: Vec<Column>, owners: Vec<Owner>) -> Assignment {
        let [Column::Integers(fits), Column::Texts(countries)] = &columns[..] else {
            panic!("other columns than were declared")
        };
        let country = match countries.index[0] {
            0 => "",
            at => &countries.distinct[at as usize - 1],
        };
        if country == "fault" {
            return given(Target::Fault("asked to".into()), 0, context);
        }
        // Each field of an owner has a say, so that a field that moved would change who gets the lead.
        let owed = |owner: &Owner| {
            let idle = owner.last_assigned.map_or(1_000, |at| (context.as_of - at) / 1_000);
            owner.assigned as i64 * 100 / i64::from(owner.weight.max(1)) + i64::from(owner.open_leads) - idle
        };
        let works = |owner: &&Owner| {
            owner.available
                && owner.open_leads < owner.capacity
                && (owner.territories.is_empty() || owner.territories.iter().any(|territory| territory == country))
        };
        let priority = fits[0].unwrap_or(0) as i32;
        match owners.iter().filter(works).min_by_key(|owner| (owed(owner), owner.id.clone())) {
            Some(owner) => given(Target::Owner(owner.id.clone()), priority, context),
            None => given(Target::Queue(owners.first().map_or("nobody".into(), |owner| owner.team.clone())), priority, context),
        }
    }
}

fn given(target: Target, priority: i32, context: Context) -> Assignment {
    let reasons = match target {
        Target::Owner(_) => vec![Reason { code: 0, weight: priority, field: Some(0) }],
        _ => Vec::new(),
    };
    Assignment { target, priority, reasons, trace: if context.explain { vec!["routed".into()] } else { Vec::new() } }
}

export!(Frozen);
