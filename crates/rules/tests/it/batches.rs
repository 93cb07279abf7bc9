//! Many leads, many callers, one order.

use handfast_domain::snapshot::{OwnerState, PoolState, Snapshot};
use handfast_domain::verdict::{Status, Target};
use handfast_rules::{Host, HostConfig};
use serde_json::json;

use crate::{NOW, host, lead, leads, load, load_in, rule, settings};

#[tokio::test]
async fn any_number_of_leads_comes_back_in_order() {
    let (bombs, with) = (load("bombs").await, settings(json!({"act": "behave", "on": -1})));
    for count in [0, 1, 2, 500, 501, 1_234] {
        let leads = leads(count);
        let judged = host().evaluate(&rule(&bombs), &with, NOW, leads.clone()).await;
        assert_eq!(judged.len(), count);
        for at in [0, 1, 250, 499, 500, 617, 1_233].into_iter().filter(|at| *at < count) {
            let alone = host().evaluate(&rule(&bombs), &with, NOW, vec![leads[at].clone()]).await.remove(0);
            assert_eq!(judged[at].verdict, alone.verdict, "lead {at} of {count}");
            assert_eq!(judged[at].input_digest, alone.input_digest);
            assert_eq!(judged[at].output_digest, alone.output_digest);
        }
        assert!(judged.iter().all(|judged| judged.batch_size <= 500));
    }
}

#[tokio::test]
async fn the_input_digest_covers_what_was_declared_and_nothing_else() {
    let (bombs, with) = (load("bombs").await, settings(json!({"act": "behave"})));
    let digest = async |fields| {
        host().evaluate(&rule(&bombs), &with, NOW, vec![lead(fields)]).await.remove(0).input_digest
    };
    let plain = digest(json!({"company.employees": 7})).await;
    assert_eq!(plain, digest(json!({"company.employees": 7, "contact.title": "CEO"})).await);
    assert_ne!(plain, digest(json!({"company.employees": 8})).await);
    assert_ne!(plain, digest(json!({})).await);
    assert_eq!(
        digest(json!({})).await,
        digest(json!({"company.employees": "seven"})).await,
        "another kind is unknown"
    );
}

#[tokio::test]
async fn a_full_queue_answers_busy_for_every_lead() {
    let host = Host::new(HostConfig { threads: 1, queue: 1, ..HostConfig::new() }).unwrap();
    let bombs = load_in(&host, "bombs").await;
    let spinning = {
        let (host, rule) = (host.clone(), rule(&bombs));
        tokio::spawn(
            async move { host.evaluate(&rule, &settings(json!({"act": "loop"})), NOW, leads(2)).await },
        )
    };
    let judge =
        async || host.evaluate(&rule(&bombs), &settings(json!({"act": "behave"})), NOW, leads(3)).await;
    // One turn of this runtime lets the other call in; it cannot leave before its next turn.
    tokio::task::yield_now().await;
    let busy = judge().await;
    assert!(busy.iter().all(|judged| judged.status == Status::Busy && judged.verdict.is_none()));
    assert!(busy[0].message.as_ref().is_some_and(|message| message.contains("RULES_BUSY")));
    assert_eq!(spinning.await.unwrap().len(), 2);
    let after = judge().await;
    assert!(after.iter().all(|judged| judged.status == Status::Ok));
    assert_eq!(after[2].input_digest, busy[2].input_digest, "a lead that waited has the same input");
}

#[tokio::test]
async fn many_callers_at_once_get_their_own_answers() {
    let (bombs, with) = (load("bombs").await, settings(json!({"act": "count-company"})));
    let calls = (1..40usize).map(|count| {
        let (rule, with) = (rule(&bombs), with.clone());
        tokio::spawn(async move { (count, host().evaluate(&rule, &with, NOW, leads(count)).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (count, judged) = call.await.unwrap();
        assert!(
            judged
                .iter()
                .all(|judged| judged.verdict.as_ref().is_some_and(|verdict| verdict.fit == count as i32))
        );
    }
}

#[tokio::test]
async fn a_router_answers_with_an_owner_of_the_pool_or_a_queue() {
    let (fair, with) = (load("fair-share").await, settings(json!({"fallbackQueue": "sales"})));
    let owner = |n: u128, assigned| OwnerState {
        id: uuid::Uuid::from_u128(n),
        team: "mid-market".into(),
        territories: vec!["dach".into()],
        available: true,
        open_leads: 0,
        capacity: 3,
        weight: 1,
        assigned,
        last_assigned: None,
    };
    let with_pool = |owners| {
        let pool = PoolState { key: "pool".into(), revision: 7, owners };
        std::sync::Arc::new(Snapshot {
            pool: Some(pool),
            ..lead(json!({"verdict.fit": 30})).as_ref().clone()
        })
    };
    let routed = host().assign(&rule(&fair), &with, NOW, with_pool(vec![owner(1, 5), owner(2, 4)])).await;
    let assignment = routed.assignment.as_ref().unwrap();
    assert_eq!((routed.status, &assignment.target), (Status::Ok, &Target::Owner(uuid::Uuid::from_u128(2))));
    assert_eq!(routed.output_digest, Some(assignment.digest()));
    let other = host().assign(&rule(&fair), &with, NOW, with_pool(vec![owner(1, 5), owner(2, 3)])).await;
    assert_ne!(routed.input_digest, other.input_digest, "the owners are part of the input");
    let nobody = host().assign(&rule(&fair), &with, NOW, with_pool(vec![])).await;
    assert_eq!(nobody.assignment.map(|assignment| assignment.target), Some(Target::Queue("sales".into())));
    let without = host().assign(&rule(&fair), &with, NOW, lead(json!({}))).await;
    assert_eq!(without.status, Status::Ok, "no pool is an empty pool");
}

#[tokio::test]
async fn a_rule_of_the_other_kind_is_a_failed_call_and_no_panic() {
    let (fair, bombs) = (load("fair-share").await, load("bombs").await);
    let judged = host().evaluate(&rule(&fair), &settings(json!({"fallbackQueue": "x"})), NOW, leads(2)).await;
    assert!(judged.iter().all(|judged| judged.status == Status::InvalidOutput));
    let routed =
        host().assign(&rule(&bombs), &settings(json!({"act": "behave"})), NOW, lead(json!({}))).await;
    assert_eq!(routed.status, Status::InvalidOutput);
}

#[tokio::test]
async fn whoever_brings_a_thread_gets_the_same_verdicts_and_takes_no_turn() {
    let host = Host::new(HostConfig { threads: 1, queue: 1, beside: 1, ..HostConfig::new() }).unwrap();
    let bombs = load_in(&host, "bombs").await;
    let (with, leads) = (settings(json!({"act": "behave"})), leads(1_234));
    let expected = host.evaluate(&rule(&bombs), &with, NOW, leads.clone()).await;
    let judge = || host.judge_here(&rule(&bombs), &with, NOW, &leads);
    let inputs = |judged: &[handfast_rules::Judged]| -> Vec<_> {
        judged.iter().map(|one| (one.status, one.input_digest, one.output_digest)).collect()
    };
    assert_eq!(inputs(&judge()), inputs(&expected));
    // Its only thread and place are taken by a loop; this thread needs neither.
    let spinning = {
        let (host, rule) = (host.clone(), rule(&bombs));
        let with = settings(json!({"act": "loop"}));
        tokio::spawn(async move { host.evaluate(&rule, &with, NOW, super::leads(2)).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(inputs(&judge()), inputs(&expected));
    spinning.await.unwrap();
    let none = Host::new(HostConfig { beside: 0, ..HostConfig::new() }).unwrap();
    let busy = none.judge_here(&rule(&bombs), &with, NOW, &leads[..3]);
    assert!(busy.iter().all(|one| one.status == Status::Busy), "one more than may is told so");
}
