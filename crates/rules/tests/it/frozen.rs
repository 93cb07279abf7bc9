//! Guests that were built once against each released contract: every later host takes them and answers the same.

use std::path::PathBuf;

use handfast_domain::digest::Digest;
use handfast_domain::field::{Kind, TraitKinds};
use handfast_rules::{Case, Code, RuleKind};

use crate::{host, root};

/// File, world, and the digest of its bytes: a guest that was built anew would prove nothing.
const FROZEN: &[(&str, RuleKind, &str)] =
    &[("qualifier-1.0.0", RuleKind::Qualify, QUALIFIER), ("router-1.0.0", RuleKind::Route, ROUTER)];
const QUALIFIER: &str = "1e76ab7995fbe372010263edb2936072cba5f904386342741749573049992ccf";
const ROUTER: &str = "597d9c9a8572a1cd029b0e72a26dca9be68ed496ce36e1922bfda1b90a81f909";

fn file(name: &str) -> PathBuf {
    root().join("crates/rules/tests/guests").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(&format!("{name}.wasm"))).unwrap()
}

fn traits() -> TraitKinds {
    TraitKinds::from([("numbers".to_owned(), Kind::IntegerList)])
}

#[tokio::test]
async fn guests_of_every_released_contract_are_taken_and_answer_as_ever() {
    for (name, kind, digest) in FROZEN {
        let wasm = bytes(name);
        assert_eq!(Digest::of_bytes(&wasm).to_string(), *digest, "{name}.wasm is another file");
        assert!(wasm.len() < 60 << 10, "{name}.wasm has {} bytes", wasm.len());
        let case = Case::read(&file(&format!("{name}.json"))).unwrap();
        let known = case.leads.iter().map(|lead| lead.expect.len()).min();
        assert!(known > Some(0), "{name}.json expects something of each lead");
        let report = host().check(&wasm, &[case], &traits()).await;
        assert!(report.ok(), "{name}: {:#?}", report.checks);
        assert_eq!(report.kind, Some(*kind));
    }
}

#[tokio::test]
async fn a_frozen_guest_still_refuses_settings_in_its_own_words() {
    let plugin = host().load(&bytes("qualifier-1.0.0"), &traits()).await.unwrap();
    let refused = host().check_settings(&plugin, r#"{"floor": -1}"#).await.unwrap_err();
    assert_eq!(
        (refused[0].pointer.as_str(), refused[0].message.as_str()),
        ("/floor", "must not be negative")
    );
}

/// The adapters of versions that were never released are for unit tests alone.
#[tokio::test]
async fn a_contract_that_was_never_released_is_refused_with_a_sentence() {
    for (name, version) in [("made-up-1.1.0", "1.1.0"), ("made-up-2.0.0", "2.0.0")] {
        let report = host().check(&bytes(name), &[], &traits()).await;
        let refusal = report.refusal().unwrap();
        assert_eq!((refusal.name, refusal.code), ("exports", Some(Code::PluginWorldMismatch)));
        let words = format!(
            "was built against handfast:rules@{version}, and this host knows 1.0.0: build it against"
        );
        assert!(refusal.message.starts_with(&words), "{}", refusal.message);
    }
}
