//! A Rust function in the place of wasm.

use std::sync::Arc;

use handfast_domain::field::Kind;
use handfast_domain::verdict::{Assignment, Outcome, Status, Target, Verdict};
use handfast_rules::{Descriptor, NativeRule, Rule, RuleKind};
use serde_json::json;

use crate::{NOW, host, lead, leads, settings};

fn descriptor() -> Descriptor {
    Descriptor {
        name: "built-in".into(),
        version: "1".into(),
        summary: String::new(),
        settings_schema: json!(true),
        reason_codes: vec![],
        reads: vec![("company.employees".into(), Kind::Integer)],
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    Verdict {
        outcome,
        text: None,
        disposition: None,
        fit: 0,
        engagement: 0,
        confidence: 10_000,
        reasons: vec![],
        missing: vec![],
        review_at: None,
        trace: vec![],
    }
}

#[tokio::test]
async fn a_native_qualifier_is_called_like_any_other() {
    let rule = Rule::Native(Arc::new(NativeRule::qualifier(descriptor(), |settings, _, lead| {
        let limit = settings["from"].as_i64().unwrap_or(0);
        let big = matches!(lead.get("company.employees"), Some(handfast_domain::field::Value::Integer(n)) if *n >= limit);
        verdict(if big { Outcome::Advance } else { Outcome::Hold })
    })));
    assert_eq!(rule.kind(), RuleKind::Qualify);
    let judged = host().evaluate(&rule, &settings(json!({"from": 600})), NOW, leads(1_200)).await;
    let advanced =
        judged.iter().filter(|judged| judged.verdict.as_ref().is_some_and(|v| v.outcome == Outcome::Advance));
    assert_eq!(advanced.count(), 600);
    assert_eq!(judged[3].output_digest, judged[3].verdict.as_ref().map(Verdict::digest));
}

#[tokio::test]
async fn a_native_router_is_called_like_any_other() {
    let rule = Rule::Native(Arc::new(NativeRule::router(descriptor(), |_, _, _| Assignment {
        target: Target::Queue("everyone".into()),
        priority: 1,
        reasons: vec![],
        trace: vec![],
    })));
    let routed = host().assign(&rule, &settings(json!({})), NOW, lead(json!({}))).await;
    assert_eq!((routed.status, routed.assignment.unwrap().priority), (Status::Ok, 1));
}

#[tokio::test]
async fn a_native_rule_that_panics_fails_its_call_and_not_the_host() {
    let rule = Rule::Native(Arc::new(NativeRule::qualifier(descriptor(), |_, _, lead| {
        assert!(lead.fields.is_empty(), "this panic is part of the test");
        verdict(Outcome::Hold)
    })));
    let judged = host().evaluate(&rule, &settings(json!({})), NOW, leads(2)).await;
    assert!(judged.iter().all(|judged| judged.status == Status::Trapped && judged.verdict.is_none()));
    let judged = host().evaluate(&rule, &settings(json!({})), NOW, vec![lead(json!({}))]).await;
    assert_eq!(judged[0].status, Status::Ok);
}
