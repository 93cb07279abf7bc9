//! What is refused, why, and in which words.

use handfast_domain::field::{Kind, TraitKinds};
use handfast_rules::{CheckReport, Code, Host, HostConfig, Limits, RuleKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{guest, host};

async fn check(bytes: &[u8]) -> CheckReport {
    host().check(bytes, &[], &TraitKinds::new()).await
}

async fn refusal(bytes: &[u8]) -> (&'static str, Code, String) {
    let report = check(bytes).await;
    let refusal = report.refusal().expect("refused");
    (refusal.name, refusal.code.expect("with a code"), refusal.message.clone())
}

/// A component with the exports of a qualifier, of a wrong shape.
fn imitation(module: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m {module} (func (export "f")))
            (core instance $c (instantiate $m))
            (func $f (canon lift (core func $c "f")))
            (instance $types)
            (instance $meta (export "describe" (func $f)) (export "check-settings" (func $f)))
            (instance $qualify (export "evaluate" (func $f)))
            (export "handfast:rules/types@1.0.0" (instance $types))
            (export "handfast:rules/meta@1.0.0" (instance $meta))
            (export "handfast:rules/qualify@1.0.0" (instance $qualify)))"#
    );
    wat::parse_str(text).unwrap()
}

/// The bytes with one text replaced by another of the same length.
fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patched = bytes.to_vec();
    let mut found = false;
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from.as_bytes() {
            patched[at..at + from.len()].copy_from_slice(to.as_bytes());
            found = true;
        }
    }
    assert!(found, "{from} is not in the guest");
    patched
}

#[tokio::test]
async fn a_good_plugin_passes_every_check_in_order() {
    let report = check(&guest("scorecard")).await;
    let names: Vec<&str> = report.checks.iter().map(|check| check.name).collect();
    let order = [
        "size",
        "valid",
        "component",
        "imports",
        "exports",
        "resources",
        "compile",
        "describe",
        "schema",
        "reads",
        "cases",
    ];
    assert_eq!(names, order);
    assert!(report.ok(), "{:#?}", report.checks);
    assert_eq!(report.kind, Some(RuleKind::Qualify));
    assert_eq!(report.checks.last().unwrap().code, Some(Code::NoCases), "no cases is a warning");
    let descriptor = report.descriptor.unwrap();
    assert_eq!(descriptor.name, "scorecard");
    assert!(descriptor.reads.contains(&("traits.occupation".into(), Kind::Text)));
    assert_eq!(check(&guest("fair-share")).await.kind, Some(RuleKind::Route));
}

#[tokio::test]
async fn an_import_is_refused_by_name_with_the_way_out() {
    let wasi =
        wat::parse_str(r#"(component (import "wasi:clocks/monotonic-clock@0.2.0" (instance)))"#).unwrap();
    let (name, code, message) = refusal(&wasi).await;
    assert_eq!((name, code), ("imports", Code::PluginImportForbidden));
    assert!(
        message.contains("wasi:clocks/monotonic-clock@0.2.0") && message.contains("--stub-wasi"),
        "{message}"
    );
    let own = wat::parse_str(r#"(component (import "crm:api/read" (func)))"#).unwrap();
    let (_, code, message) = refusal(&own).await;
    assert_eq!(code, Code::PluginImportForbidden);
    assert!(message.contains("declared field"), "{message}");
}

#[tokio::test]
async fn what_is_not_a_component_is_refused_early() {
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(refusal(&core).await.1, Code::PluginNotAComponent);
    assert_eq!(refusal(b"").await.1, Code::PluginNotAComponent);
    assert_eq!(refusal(b"#!/bin/sh").await.1, Code::PluginNotAComponent);
    let limits = Limits { upload: 1_000, ..Limits::default() };
    let small = Host::new(HostConfig { threads: 1, limits, ..HostConfig::new() }).unwrap();
    let report = small.check(&guest("bombs"), &[], &TraitKinds::new()).await;
    assert_eq!(report.refusal().unwrap().code, Some(Code::PluginTooLarge));
}

#[tokio::test]
async fn another_world_version_or_shape_is_a_mismatch() {
    let empty = wat::parse_str("(component)").unwrap();
    assert_eq!(refusal(&empty).await.1, Code::PluginWorldMismatch);
    let later = wat::parse_str(
        r#"(component (instance $i) (export "handfast:rules/types@1.0.0" (instance $i))
            (export "handfast:rules/meta@1.0.0" (instance $i)) (export "handfast:rules/qualify@1.1.0" (instance $i)))"#,
    );
    let (name, code, message) = refusal(&later.unwrap()).await;
    assert_eq!((name, code), ("exports", Code::PluginWorldMismatch));
    assert!(message.contains("qualify@1.1.0"), "{message}");
    let (name, code, message) = refusal(&imitation("")).await;
    assert_eq!((name, code), ("describe", Code::PluginWorldMismatch), "{message}");
}

#[tokio::test]
async fn declared_resources_beyond_the_limits_are_refused_before_compiling() {
    for module in
        ["(memory 1025)", "(table 40001 funcref)", &"(memory 1)".repeat(9), &"(table 1 funcref)".repeat(17)]
    {
        let (name, code, message) = refusal(&imitation(module)).await;
        assert_eq!((name, code), ("resources", Code::PluginTooLarge), "{message}");
    }
    assert_ne!(refusal(&imitation("(memory 1024) (table 40000 funcref)")).await.0, "resources");
}

#[tokio::test]
async fn features_that_would_break_replay_are_malformed() {
    for module in ["(memory i64 1)", "(memory 1 1 shared)"] {
        let (name, code, _) = refusal(&imitation(module)).await;
        assert_eq!((name, code), ("valid", Code::PluginMalformed), "{module}");
    }
}

#[tokio::test]
async fn an_asynchronous_component_is_refused_with_the_flag_that_makes_another() {
    let wasm = wat::parse_str("(component (core func (canon task.cancel)))").expect("the text form");
    let (name, code, message) = refusal(&wasm).await;
    assert_eq!((name, code), ("valid", Code::PluginMalformed), "{message}");
    assert!(message.contains("--backend-qjs-disable-async"), "{message}");
}

#[tokio::test]
async fn an_unknown_field_is_refused_with_the_nearest_name() {
    let (name, code, message) =
        refusal(&patched(&guest("bombs"), "company.employees", "company.employeez")).await;
    assert_eq!((name, code), ("reads", Code::FieldUnknown));
    assert!(message.contains("\"company.employeez\"; nearest: company.employees"), "{message}");
}

#[tokio::test]
async fn a_trait_may_be_undefined_but_not_of_another_kind() {
    let wasm = guest("scorecard");
    let traits = |kind| TraitKinds::from([("occupation".to_owned(), kind)]);
    let report = host().check(&wasm, &[], &traits(Kind::Text)).await;
    assert!(report.ok());
    let reads = report.checks.iter().find(|check| check.name == "reads").unwrap();
    assert!(
        reads.message.contains("time-on-site") && !reads.message.contains("occupation"),
        "{}",
        reads.message
    );
    let report = host().check(&wasm, &[], &traits(Kind::Integer)).await;
    let refusal = report.refusal().unwrap();
    assert_eq!(refusal.code, Some(Code::FieldUnknown));
    assert_eq!(refusal.message, "traits.occupation is declared as text, but it is integer");
    assert_eq!(host().load(&wasm, &traits(Kind::Integer)).await.err().unwrap().code, Code::FieldUnknown);
}

#[tokio::test]
async fn a_schema_that_is_none_is_refused() {
    let broken = patched(&guest("bombs"), r#"{"type": "object", "req"#, r#"{"type": "obiect", "req"#);
    assert_eq!(refusal(&broken).await.1, Code::PluginSchemaInvalid);
    let broken = patched(&guest("bombs"), r#"{"type": "object", "req"#, r#"<"type": "object", "req"#);
    assert_eq!(refusal(&broken).await.1, Code::PluginSchemaInvalid);
}

#[test]
fn truncated_bytes_are_refused_and_never_panic() {
    let wasm = guest("bombs");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config::with_cases(64));
    runner
        .run(&(0..wasm.len()), |end| {
            let report = runtime.block_on(check(&wasm[..end]));
            prop_assert!(!report.ok(), "cut at {end}");
            Ok(())
        })
        .unwrap();
}

/// A changed byte may leave a valid plugin behind; what matters is that the host always answers.
#[test]
fn mutated_bytes_get_a_report_and_never_panic() {
    let wasm = guest("bombs");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config::with_cases(48));
    runner
        .run(&prop::collection::vec((0..wasm.len(), any::<u8>()), 1..4), |changes| {
            let mut bytes = wasm.clone();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let report = runtime.block_on(check(&bytes));
            prop_assert!(report.ok() != report.refusal().is_some());
            Ok(())
        })
        .unwrap();
}
