//! A guest that misbehaves costs its own verdict and nothing else.

use handfast_domain::verdict::{Outcome, Status};
use handfast_rules::{Host, HostConfig, Judged, Limits};
use proptest::prelude::*;
use serde_json::json;

use crate::{NOW, host, lead, leads, load, load_in, rule, settings};

/// Judges leads 0 to `count`, of which the 13th employee count sets the bomb off.
async fn judge(act: &str, on: Option<usize>, count: usize) -> Vec<Judged> {
    let bombs = load("bombs").await;
    host().evaluate(&rule(&bombs), &settings(json!({"act": act, "on": on})), NOW, leads(count)).await
}

fn statuses(judged: &[Judged]) -> Vec<Status> {
    judged.iter().map(|judged| judged.status).collect()
}

#[tokio::test]
async fn every_way_to_fail_has_its_status_and_spares_the_others() {
    let expected = [
        ("loop", Status::OutOfFuel),
        ("recurse", Status::Stack),
        ("grow", Status::Memory),
        ("aliased-return", Status::InvalidOutput),
        ("trap", Status::Trapped),
        ("too-many", Status::InvalidOutput),
        ("too-few", Status::InvalidOutput),
        ("code-out-of-range", Status::InvalidOutput),
        ("field-out-of-range", Status::InvalidOutput),
        ("points-out-of-range", Status::InvalidOutput),
        ("long-text", Status::InvalidOutput),
        ("control-character", Status::InvalidOutput),
        ("many-reasons", Status::InvalidOutput),
        ("fault", Status::Fault),
    ];
    let calm = judge("behave", Some(99), 9).await;
    assert_eq!(statuses(&calm), [Status::Ok; 9]);
    for (act, status) in expected {
        let judged = judge(act, Some(4), 9).await;
        for (at, (judged, calm)) in judged.iter().zip(&calm).enumerate() {
            assert_ne!(judged.input_digest, calm.input_digest, "{act}: settings are part of the input");
            if at == 4 {
                assert_eq!(judged.status, status, "{act}: {:?}", judged.message);
                assert_eq!((&judged.verdict, judged.output_digest), (&None, None), "{act}");
                assert!(judged.message.as_ref().is_some_and(|message| !message.is_empty()), "{act}");
            } else {
                assert_eq!((judged.status, &judged.verdict), (Status::Ok, &calm.verdict), "{act}, lead {at}");
            }
            assert_eq!(judged.batch_size, 9);
        }
    }
}

#[tokio::test]
async fn the_wall_clock_stops_what_fuel_does_not() {
    let limits = Limits {
        fuel_base: u64::MAX / 2,
        fuel_max: u64::MAX,
        ms_base: 60,
        ms_per_lead: 0,
        ..Limits::default()
    };
    let host = Host::new(HostConfig { threads: 1, limits, ..HostConfig::new() }).unwrap();
    let bombs = load_in(&host, "bombs").await;
    let judged = host.evaluate(&rule(&bombs), &settings(json!({"act": "loop"})), NOW, leads(1)).await;
    assert_eq!(statuses(&judged), [Status::Timeout], "{:?}", judged[0].message);
    let judged = host.evaluate(&rule(&bombs), &settings(json!({"act": "behave"})), NOW, leads(1)).await;
    assert_eq!(statuses(&judged), [Status::Ok]);
}

#[tokio::test]
async fn after_eight_failures_the_rest_of_the_batch_abstains() {
    let judged = judge("trap", None, 40).await;
    assert_eq!(statuses(&judged), [Status::Trapped; 40]);
    let asked = judged.iter().filter(|judged| judged.fuel > 0).count();
    assert_eq!(asked, 8, "single leads that were run");
    assert!(
        judged[39].message.as_ref().is_some_and(|message| message.contains("8 leads of this batch failed"))
    );
}

#[tokio::test]
async fn heavy_leads_that_share_a_batch_still_get_their_verdicts() {
    let alone = judge("work", None, 1).await;
    let limits = host().limits().clone();
    assert!(alone[0].fuel > limits.fuel_per_lead, "each is heavier than its share: {}", alone[0].fuel);
    let together = judge("work", None, 12).await;
    assert!(alone[0].fuel * 12 > limits.fuel(12), "together they are too heavy");
    assert_eq!(statuses(&together), [Status::Ok; 12]);
    assert!(together.iter().all(|judged| judged.verdict == alone[0].verdict));
}

#[tokio::test]
async fn a_lead_of_a_batch_replays_alone_to_the_same_digests() {
    let bombs = load("bombs").await;
    for act in ["work", "trap", "behave"] {
        let (with, leads) = (settings(json!({"act": act, "on": 3})), leads(9));
        let judged = host().evaluate(&rule(&bombs), &with, NOW, leads.clone()).await;
        for (judged, lead) in judged.into_iter().zip(leads) {
            let again = host().replay(&rule(&bombs), &with, NOW, lead, judged.batch_size).await;
            assert_eq!(again.input_digest, judged.input_digest);
            assert_eq!((again.status, again.output_digest), (judged.status, judged.output_digest), "{act}");
        }
    }
}

#[tokio::test]
async fn a_trace_is_cut_and_does_not_change_the_digest() {
    let bombs = load("bombs").await;
    let with = settings(json!({"act": "long-trace"}));
    let explained = handfast_rules::Context { explain: true, ..NOW };
    let plain = host().evaluate(&rule(&bombs), &with, NOW, vec![lead(json!({}))]).await.remove(0);
    let traced = host().evaluate(&rule(&bombs), &with, explained, vec![lead(json!({}))]).await.remove(0);
    assert_eq!((plain.input_digest, plain.output_digest), (traced.input_digest, traced.output_digest));
    let (plain, traced) = (plain.verdict.unwrap().trace, traced.verdict.unwrap().trace);
    assert!(plain.is_empty());
    assert!(traced.len() <= 100 && traced.iter().all(|line| line.len() <= 256 && !line.contains('\n')));
    assert!(traced.iter().map(String::len).sum::<usize>() <= 17 << 10);
    assert!(traced.last().is_some_and(|line| line.contains("more lines were cut")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_verdict_never_depends_on_its_company(count in 1usize..40, bad in 0usize..60, act in 0usize..3) {
        let act = ["trap", "too-few", "loop"][act];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let judged = runtime.block_on(judge(act, Some(bad), count));
        for (at, judged) in judged.iter().enumerate() {
            if at == bad {
                prop_assert!(judged.verdict.is_none());
            } else {
                let outcome = if at % 2 == 0 { Outcome::Advance } else { Outcome::Hold };
                prop_assert_eq!(judged.verdict.as_ref().map(|verdict| verdict.outcome), Some(outcome));
            }
        }
    }
}
