//! The charter: what may be proposed, who signs what, and when it comes into force.

use handfast_domain::charter::{Charter, CharterBody, CharterStatus, Commitment, Signature, SlotKind};
use handfast_domain::clock::{ClockKind, Party};
use handfast_domain::criterion::{Comparator, Criterion, FieldTest};
use handfast_domain::digest::Digest;
use handfast_domain::number::Long;
use handfast_domain::persona::{Persona, PersonaTrait};
use handfast_domain::refused::RefusalCode;
use handfast_domain::stage::{Side, StageKind};
use uuid::Uuid;

use crate::world::{MIA, MONDAY, SAM, SUE, known};

fn good() -> CharterBody {
    let mut body = CharterBody::unsigned("EUR", "Europe/Berlin");
    body.commitments = [(Party::Marketing, "MQL_PER_MONTH"), (Party::Sales, "FIRST_TOUCH_IN_TIME")]
        .map(|(party, metric)| Commitment {
            party,
            metric: metric.into(),
            target: Long(100),
            unit: "count".into(),
            window_days: 30,
            weight: 1,
        })
        .to_vec();
    body
}

fn proposed() -> Charter {
    Charter::propose(1, good(), MIA, &known(), MONDAY).expect("a good body can be proposed")
}

fn signature(charter: &Charter, user: Uuid, side: Side) -> Signature {
    Signature { user, side, digest: charter.digest, at: MONDAY, comment: None }
}

fn signed() -> Charter {
    let mut charter = proposed();
    charter.sign(signature(&charter, MIA, Side::Marketing)).unwrap();
    charter.sign(signature(&charter, SAM, Side::Sales)).unwrap();
    charter
}

fn persona(key: &str, weight: u32) -> Persona {
    let test = FieldTest::new("contact.seniority", Comparator::Eq, &["VP"]);
    Persona {
        key: key.into(),
        name: key.into(),
        traits: vec![PersonaTrait { key: "senior".into(), test, weight }],
        pains: vec![],
        stage_profiles: vec![],
    }
}

/// A way to spoil a body, and the path that must be named.
type Spoiler = (&'static str, fn(&mut CharterBody));

#[test]
fn a_good_body_has_no_problem_and_every_bad_one_is_named_by_its_path() {
    assert_eq!(good().problems(&known()), []);
    let spoilers: &[Spoiler] = &[
        ("title", |body| body.title = " ".into()),
        ("timeZone", |body| body.time_zone = "Middle/Earth".into()),
        ("currency", |body| body.currency = "eur".into()),
        ("maxHoldDays", |body| body.max_hold_days = 0),
        ("stages/2", |body| body.stages.swap(1, 2)),
        ("stages", |body| body.stages.retain(|stage| stage.kind != StageKind::Sal)),
        ("stages/3/entry/0", |body| body.stages[3].entry.push(criterion(None))),
        ("stages/3/exit/0/test", |body| {
            let test = FieldTest::new("company.employes", Comparator::Gte, &["50"]);
            body.stages[3].exit.push(criterion(Some(test)));
        }),
        ("slots/0/key", |body| body.slots[0].key = "Not a key".into()),
        ("slots/1/key", |body| body.slots[1].key = body.slots[0].key.clone()),
        ("slots/0/team", |body| body.slots[0].team = "finance".into()),
        ("slots/0/gate", |body| body.slots[0].gate = Some(StageKind::Sal)),
        ("slots/0/gate", |body| body.slots[0].gate = None),
        ("slots/1/pool", |body| body.slots[1].pool = Some("no-such-pool".into())),
        ("slots/1/pool", |body| body.slots[1].gate = Some(StageKind::Mql)),
        ("personas/1/key", |body| body.personas = vec![persona("vp", 1), persona("vp", 1)]),
        ("personas/0/traits/0/weight", |body| body.personas = vec![persona("vp", 101)]),
        ("idealCustomer/0", |body| {
            body.ideal_customer = vec![FieldTest::new("company.industry", Comparator::Gte, &["5"])];
        }),
        ("reasons/0/disqualify", |body| body.reasons[0].disqualify = true),
        ("reasons/1/disqualify", |body| body.reasons[1].disqualify = true),
        ("reasons/9/returnsToMarketing", |body| body.reasons[9].returns_to_marketing = false),
        ("reasons/17/key", |body| body.reasons.push(body.reasons[3].clone())),
        ("reasons", |body| body.reasons.retain(|reason| reason.key != "NO_CONTEXT")),
        ("sla/0/targetMinutes", |body| body.sla[0].target_minutes = 0),
        ("sla/10/kind", |body| body.sla.push(body.sla[0].clone())),
        ("sla", |body| body.sla.retain(|policy| policy.kind != ClockKind::Requalify)),
        ("fallbackQueue", |body| body.fallback_queue = "nowhere".into()),
        ("marketingQueue", |body| body.marketing_queue = "nowhere".into()),
        ("commitments", |body| body.commitments.retain(|commitment| commitment.party == Party::Sales)),
    ];
    for (path, spoil) in spoilers {
        let mut body = good();
        spoil(&mut body);
        let problems = body.problems(&known());
        let paths: Vec<String> = problems.iter().map(|problem| problem.path.join("/")).collect();
        assert_eq!(paths, [format!("input/body/{path}")], "{problems:?}");
        assert_eq!(Charter::propose(1, body, MIA, &known(), MONDAY), Err(problems));
    }
}

fn criterion(test: Option<FieldTest>) -> Criterion {
    Criterion { key: "big".into(), text: "Is big enough".into(), test, reason_code: None, required: true }
}

#[test]
fn several_problems_are_told_at_once() {
    let mut body = CharterBody::unsigned("Euro", "Berlin");
    body.fallback_queue = "nowhere".into();
    assert_eq!(body.problems(&known()).len(), 5, "zone, currency, queue and the commitments of both parties");
}

#[test]
fn a_charter_is_signed_when_both_sides_signed_the_same_digest() {
    let mut charter = proposed();
    assert_eq!(charter.status, CharterStatus::Proposed);
    charter.sign(signature(&charter, MIA, Side::Marketing)).unwrap();
    assert_eq!(charter.status, CharterStatus::Proposed);
    charter.sign(signature(&charter, SAM, Side::Sales)).unwrap();
    assert_eq!(charter.status, CharterStatus::Signed);
    charter.sign(signature(&charter, SUE, Side::Sales)).unwrap();
    assert_eq!((charter.status, charter.signatures.len()), (CharterStatus::Signed, 3));
}

#[test]
fn two_signatures_of_one_side_are_no_agreement() {
    let mut charter = proposed();
    charter.sign(signature(&charter, SAM, Side::Sales)).unwrap();
    charter.sign(signature(&charter, SUE, Side::Sales)).unwrap();
    assert_eq!(charter.status, CharterStatus::Proposed);
    let refused = charter.activate(MONDAY).unwrap_err();
    assert_eq!(refused.code, RefusalCode::CharterState);
    assert!(refused.message.contains("MARKETING") && !refused.message.contains("SALES"), "{refused}");
}

#[test]
fn a_signature_that_does_not_count_is_refused_and_changes_nothing() {
    let mut charter = proposed();
    charter.sign(signature(&charter, MIA, Side::Marketing)).unwrap();
    let before = charter.clone();
    let other = Signature { digest: Digest([7; 32]), ..signature(&charter, SAM, Side::Sales) };
    for (signature, expected) in [
        (other, RefusalCode::Validation),
        (signature(&charter, SAM, Side::Ops), RefusalCode::Forbidden),
        (signature(&charter, SAM, Side::Integration), RefusalCode::Forbidden),
        // The same person for the other side is still the same person.
        (signature(&charter, MIA, Side::Sales), RefusalCode::AlreadyExists),
    ] {
        assert_eq!(charter.sign(signature).unwrap_err().code, expected);
        assert_eq!(charter, before);
    }
}

#[test]
fn forward_needs_both_signatures_and_back_to_a_co_signed_charter_needs_none() {
    let mut charter = proposed();
    assert_eq!(charter.activate(MONDAY).unwrap_err().code, RefusalCode::CharterState);
    let mut charter = signed();
    charter.activate(MONDAY).unwrap();
    assert_eq!((charter.status, charter.activated_at), (CharterStatus::Active, Some(MONDAY)));
    assert_eq!(
        charter.activate(MONDAY).unwrap_err().code,
        RefusalCode::CharterState,
        "it is in force already"
    );
    let late = signature(&charter, SUE, Side::Sales);
    assert_eq!(charter.sign(late).unwrap_err().code, RefusalCode::CharterState);
    charter.status = CharterStatus::Superseded;
    charter.activate(MONDAY.plus(1)).unwrap();
    assert_eq!((charter.status, charter.activated_at), (CharterStatus::Active, Some(MONDAY.plus(1))));
}

#[test]
fn nothing_leads_back_to_a_charter_that_nobody_signed_or_that_was_rejected() {
    let mut zero = crate::world::charter(0, CharterBody::unsigned("EUR", "Europe/Berlin"));
    assert!(zero.unsigned());
    zero.status = CharterStatus::Superseded;
    assert_eq!(zero.activate(MONDAY).unwrap_err().code, RefusalCode::CharterState);
    let mut rejected = signed();
    rejected.status = CharterStatus::Rejected;
    assert_eq!(rejected.activate(MONDAY).unwrap_err().code, RefusalCode::CharterState);
    let again = signature(&rejected, SUE, Side::Sales);
    assert_eq!(rejected.sign(again).unwrap_err().code, RefusalCode::CharterState);
}

/// What two people signed must stay what they signed: change these values only together with a new digest version.
#[test]
fn the_digest_of_a_body_is_stable_and_covers_all_of_it() {
    let body = CharterBody::unsigned("EUR", "Europe/Berlin");
    assert_eq!(body.digest().to_string(), "c502aeb2a322876d12357eb3dd4f1c763441dc645cce534d8366517b208ff600");
    let written = serde_json::to_string(&good()).unwrap();
    let read: CharterBody = serde_json::from_str(&written).unwrap();
    assert_eq!(read.digest().to_string(), "541352e36ea412f2d8537938bfb40a796726fe15f6d686277f65ad162df875a8");
    assert!(body.slots.iter().any(|slot| slot.kind == SlotKind::Route));
    let changes: &[fn(&mut CharterBody)] = &[
        |body| body.title.push('!'),
        |body| body.stages[0].meaning.push('!'),
        |body| body.slots[0].position += 1,
        |body| body.reasons[0].label.push('!'),
        |body| body.sla[0].target_minutes += 1,
        |body| body.attempts.days += 1,
        |body| body.commitments[0].target.0 += 1,
        |body| body.max_hold_days += 1,
        |body| body.high_intent.clear(),
        |body| body.review_after_days += 1,
    ];
    for change in changes {
        let mut other = good();
        change(&mut other);
        assert_ne!(other.digest(), good().digest());
    }
}
