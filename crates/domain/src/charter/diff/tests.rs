use super::super::{CharterBody, Commitment, GlossaryTerm, Responsibility};
use super::*;
use crate::clock::{ClockKind, Party};
use crate::criterion::{Comparator, FieldTest};
use crate::number::Long;
use crate::stage::{Channel, StageKind};

fn full() -> CharterBody {
    let mut body = CharterBody::unsigned("EUR", "Europe/Berlin");
    let seniority = || FieldTest::new("contact.seniority", Comparator::Eq, &["VP"]);
    let criterion = |key: &str| Criterion {
        key: key.into(),
        text: format!("{key} is known"),
        test: Some(seniority()),
        reason_code: None,
        required: true,
    };
    body.stages[3].entry = vec![criterion("need"), criterion("budget")];
    body.personas = ["it-lead", "owner"]
        .map(|key| Persona {
            key: key.into(),
            name: key.into(),
            traits: vec![PersonaTrait { key: "senior".into(), test: seniority(), weight: 1 }],
            pains: vec!["too slow".into(), "too dear".into()],
            stage_profiles: vec![StageProfile {
                stage: StageKind::Mql,
                questions: vec!["what does it cost?".into()],
                channels: vec![Channel::Email],
                content_kinds: vec!["paper".into()],
            }],
        })
        .to_vec();
    body.ideal_customer = vec![seniority(), seniority()];
    body.ideal_profiles = ["mid-market", "enterprise"]
        .map(|key| IdealCustomerProfile {
            key: key.into(),
            name: key.into(),
            criteria: vec![IdealCriterion {
                key: "senior".into(),
                test: seniority(),
                weight: 2,
                required: true,
            }],
        })
        .to_vec();
    body.glossary = vec![GlossaryTerm {
        key: "lead".into(),
        marketing: "contact".into(),
        sales: "prospect".into(),
        meaning: "somebody with a name".into(),
    }];
    body.responsibilities = vec![Responsibility {
        stage: StageKind::Sal,
        activity: "first call".into(),
        responsible: "sales".into(),
        accountable: "head of sales".into(),
        consulted: vec!["marketing".into()],
        informed: vec![],
    }];
    let twice = Responsibility { stage: StageKind::Sql, ..body.responsibilities[0].clone() };
    body.responsibilities.push(twice);
    body.commitments = vec![Commitment {
        party: Party::Marketing,
        metric: "MQL_PER_MONTH".into(),
        target: Long(100),
        unit: "count".into(),
        window_days: 30,
        weight: 1,
    }];
    body.signals = vec!["sso-released".into(), "price-cut".into()];
    body
}

type Edit = fn(&mut CharterBody);

#[test]
fn each_difference_says_where_it_stands_and_what_both_texts_say() {
    let table: &[(Edit, &str)] = &[
        (
            |body| body.title = "Second".into(),
            "TERMS title - CHANGED Charter 0: defaults that nobody signed > Second",
        ),
        (|body| body.attempts.days = 7, "TERMS attempts/days - CHANGED 14 > 7"),
        (
            |body| body.stages[3].label = "Ready".into(),
            "STAGES MQL label CHANGED Marketing qualified > Ready",
        ),
        (
            |body| body.stages[3].entry[0].test = None,
            "CRITERIA MQL/entry/need test REMOVED contact.seniority is \"VP\" > -",
        ),
        (
            |body| body.stages[3].entry.swap(0, 1),
            "CRITERIA MQL/entry order CHANGED need; budget > budget; need",
        ),
        (|body| body.personas.swap(0, 1), "PERSONAS - order CHANGED it-lead; owner > owner; it-lead"),
        (|body| body.personas[0].traits[0].weight = 2, "PERSONAS it-lead/traits/senior weight CHANGED 1 > 2"),
        (
            |body| body.personas[0].pains = vec!["too slow; too dear".into()],
            "PERSONAS it-lead pains CHANGED [\"too slow\", \"too dear\"] > [\"too slow; too dear\"]",
        ),
        (
            |body| body.personas[0].stage_profiles[0].channels.clear(),
            "PERSONAS it-lead/stageProfiles/MQL channels REMOVED EMAIL > -",
        ),
        (
            |body| body.ideal_customer.truncate(1),
            "IDEAL_CUSTOMER contact.seniority#2 - REMOVED contact.seniority is \"VP\" > -",
        ),
        (|body| body.reasons[0].track = Some("slow".into()), "REASONS NO_BUDGET track CHANGED value > slow"),
        (
            |body| body.sla[1].target_minutes = 90,
            "SLA ACCEPT targetMinutes CHANGED 4 hours > 1 hour 30 minutes",
        ),
        (
            |body| body.sla[0].urgent_target_minutes = Some(1),
            "SLA ROUTE urgentTargetMinutes ADDED - > 1 minute",
        ),
        (|body| body.slots[1].pool = None, "SLOTS routing pool REMOVED sales > -"),
        (
            |body| body.commitments[0].target = Long(90),
            "COMMITMENTS MARKETING/MQL_PER_MONTH target CHANGED 100 > 90",
        ),
        (
            |body| body.glossary.clear(),
            "GLOSSARY lead - REMOVED marketing: contact; sales: prospect; meaning: somebody with a name > -",
        ),
        (
            |body| body.responsibilities[0].informed = vec!["ops".into()],
            "RESPONSIBILITIES SAL/first call informed ADDED - > ops",
        ),
        (|body| body.signals.push("news".into()), "SIGNALS news - ADDED - > news"),
        (
            |body| body.high_intent.swap(0, 1),
            "HIGH_INTENT - order CHANGED demo-request; pricing > pricing; demo-request",
        ),
    ];
    for (edit, expected) in table {
        let mut edited = full();
        edit(&mut edited);
        let shown = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
        let told: Vec<String> = diff(&full(), &edited)
            .iter()
            .map(|one| {
                let (section, kind) = (one.section, one.kind);
                let [key, part, before, after] = [&one.key, &one.part, &one.before, &one.after].map(shown);
                format!("{section} {key} {part} {kind} {before} > {after}")
            })
            .collect();
        assert_eq!(told, [*expected]);
        let back = diff(&edited, &full());
        assert_eq!(back.len(), 1, "{expected}: the way back has the same difference");
        assert_eq!((&back[0].key, &back[0].part), (&diff(&full(), &edited)[0].key, &back[0].part));
    }
    assert_eq!(diff(&full(), &full()), []);
    let twice = |metric: &str| {
        let mut body = full();
        body.commitments.push(Commitment { metric: metric.into(), ..body.commitments[0].clone() });
        body
    };
    let found = diff(&twice("MQL_PER_MONTH"), &twice("MQL_PER_MONTH#2"));
    assert_eq!(found.len(), 1, "a key that reads like a second one is another: {found:?}");
}

/// Every place of a value that can be another one, and every list.
fn places(value: &serde_json::Value, path: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, below)| places(below, format!("{path}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            found.push(path.clone());
            items.iter().enumerate().for_each(|(i, below)| places(below, format!("{path}/{i}"), found));
        }
        _ => found.push(path),
    }
}

#[test]
fn whatever_changes_the_digest_is_a_difference() {
    let body = full();
    let text = serde_json::to_value(&body).unwrap();
    let (mut found, mut tried) = (vec![], 0);
    places(&text, String::new(), &mut found);
    for path in found {
        let mut edited = text.clone();
        let place = edited.pointer_mut(&path).unwrap();
        let options = match &place {
            serde_json::Value::String(was) => vec![
                serde_json::json!(format!("{was} ")),
                "SALES".into(),
                "MARKETING".into(),
                "ADVOCATE".into(),
                "FIRST".into(),
                "KNOWN".into(),
                "NEVER".into(),
                "ROUTE".into(),
                "QUALIFY".into(),
                "WALL_CLOCK".into(),
                "TEAM_HOURS".into(),
            ],
            serde_json::Value::Number(was) => vec![serde_json::json!(was.as_i64().unwrap() + 1)],
            serde_json::Value::Array(was) => {
                let (mut turned, fewer) = (was.clone(), was.iter().skip(1).cloned().collect());
                turned.reverse();
                vec![serde_json::Value::Array(turned), serde_json::Value::Array(fewer)]
            }
            serde_json::Value::Bool(was) => vec![serde_json::json!(!*was)],
            _ => vec![serde_json::json!("new"), serde_json::json!(3), "MQL".into(), "SALES".into()],
        };
        for option in options {
            *edited.pointer_mut(&path).unwrap() = option;
            let Ok(other) = serde_json::from_value::<CharterBody>(edited.clone()) else { continue };
            if other != body {
                assert_ne!(diff(&body, &other), [], "{path}: {}", edited.pointer(&path).unwrap());
                tried += 1;
            }
        }
    }
    assert!(tried > 250, "{tried} edits were tried");
    assert!(body.policy(ClockKind::Accept).is_some());
}
