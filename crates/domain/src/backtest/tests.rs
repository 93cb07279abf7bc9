use super::*;
use crate::time::DAY;
use crate::verdict::Outcome::{Advance, Disqualify, Hold};
use proptest::prelude::*;

fn uuid(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn lead(number: u32) -> Judged {
    Judged {
        lead: uuid(number),
        at: Instant(1_000 * DAY - i64::from(number) * 60_000),
        good: number.is_multiple_of(3),
        baseline: Some(Hold),
        candidate: Some(Hold),
        fuel: 3_000 + u64::from(number % 100),
        cells: vec![],
        late: vec![],
        groups: [None, Some("spring".to_owned()), Some("web".to_owned())],
        desk: Desk::Nobody,
        imported: false,
    }
}

fn tally(leads: impl IntoIterator<Item = Judged>) -> Tally {
    let mut tally = Tally::new(1_000);
    leads.into_iter().for_each(|lead| tally.add(lead));
    tally
}

fn report(tally: &Tally, paths: &[&str]) -> Report {
    let probed = |path: &&str| Probed { path: (*path).to_owned(), changed: 10, sample: 100 };
    let probed: Vec<Probed> = paths.iter().map(probed).collect();
    tally.report(&probed, |_| Board::default(), 2)
}

fn kinds(report: &Report) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn an_outcome_is_what_people_said() {
    use CycleOutcome::{Disqualified, Erased, Lost, Merged, Open, Recycled, Won};
    use StageKind::{Customer, Inquiry, Iql, Mql, Opportunity, Sal, Sql};
    // gate, outcome, furthest stage, closed by a rule, known outcome
    let table = [
        (Mql, Open, Mql, false, None),
        (Mql, Open, Sal, false, Some(true)),
        (Iql, Open, Mql, false, None),
        (Iql, Open, Sql, false, Some(true)),
        (Sql, Open, Sql, false, None),
        (Sql, Open, Opportunity, false, Some(true)),
        (Mql, Won, Customer, false, Some(true)),
        (Sql, Won, Customer, false, Some(true)),
        (Mql, Lost, Opportunity, false, Some(true)),
        (Sql, Lost, Sql, false, Some(false)),
        (Mql, Lost, Inquiry, false, Some(false)),
        (Mql, Recycled, Mql, false, Some(false)),
        (Mql, Recycled, Sal, false, Some(true)),
        (Mql, Recycled, Inquiry, true, None),
        (Mql, Disqualified, Sql, false, Some(false)),
        (Mql, Disqualified, Inquiry, true, None),
        (Mql, Merged, Sql, false, None),
        (Mql, Erased, Sql, false, None),
    ];
    for (gate, outcome, furthest, by_rule, known) in table {
        let told = Told { outcome, furthest, by_rule };
        assert_eq!(known_outcome(gate, told), known, "{gate} {told:?}");
    }
}

#[test]
fn precision_recall_and_flips_are_those_of_the_counts() {
    // Of 300 leads 100 are good; the candidate lets 60 good and 40 others through, today's version nobody.
    let leads = (0..300).map(|number| {
        let good = number % 3 == 0;
        let passes = if good { number < 180 } else { number < 60 };
        let candidate = match (passes, number) {
            (true, _) => Some(Advance),
            (false, 299) => None,
            (false, _) => Some(Hold),
        };
        Judged { candidate, ..lead(number) }
    });
    let report = report(&tally(leads), &[]);
    assert_eq!(report.base.counts(), (100, 300));
    let candidate = report.candidate;
    assert_eq!(candidate.precision.counts(), (60, 100));
    assert_eq!(candidate.recall.counts(), (60, 100));
    assert_eq!(candidate.lift.map(|lift| lift.basis_points), Some(18_000));
    assert_eq!((candidate.faults.0, report.baseline.advanced.part.0, report.flips.0), (1, 0, 101));
    assert_eq!(report.baseline.lift, None);
    let cells: Vec<_> =
        report.matrix.iter().map(|cell| (cell.candidate, cell.leads.0, cell.good.0)).collect();
    assert_eq!(cells, [(Some(Advance), 100, 60), (Some(Hold), 199, 40), (None, 1, 0)]);
    let source = &report.sources[0];
    assert_eq!(
        (source.key.as_deref(), source.leads.0, source.gained.0, source.lost.0),
        (Some("web"), 300, 100, 0)
    );
    assert_eq!(report.fuel.mean.0, 3_049);
    assert!((3_098..=3_200).contains(&report.fuel.p99.0), "{:?}", report.fuel);
    assert_eq!(kinds(&report), [FindingKind::Faults]);
}

#[test]
fn a_blind_rule_has_no_lift_and_few_leads_are_said_to_be_few() {
    let blind =
        |number| Judged { candidate: Some(if number % 4 == 0 { Advance } else { Hold }), ..lead(number) };
    assert_eq!(kinds(&report(&tally((0..2_400).map(blind)), &[])), [FindingKind::NoLift]);
    assert!(kinds(&report(&tally((0..40).map(blind)), &[])).contains(&FindingKind::SmallSample));
    let nobody = report(&tally((0..300).map(lead)), &[]);
    assert_eq!(kinds(&nobody), [FindingKind::NoLift, FindingKind::SmallSample, FindingKind::NoDifference]);
    assert_eq!(kinds(&report(&tally([]), &[])), [FindingKind::SmallSample]);
}

#[test]
fn a_field_that_knows_the_end_leaks_and_one_that_came_later_is_late() {
    let knows = |number: u32| {
        let one = lead(number);
        let cells = vec![Cell::Flag(one.good), Cell::Text(u64::from(number % 7)), Cell::Unknown];
        Judged { cells, late: vec![2], candidate: Some(Advance).filter(|_| one.good).or(Some(Hold)), ..one }
    };
    let tally = tally((0..600).map(knows));
    let found = report(&tally, &["traits.tags", "lead.source", "traits.quality"]);
    let of = |kind| {
        found.findings.iter().find(|finding| finding.kind == kind).and_then(|one| one.field.as_deref())
    };
    assert_eq!(of(FindingKind::LeakingField), Some("traits.tags"));
    assert_eq!(of(FindingKind::LateField), Some("traits.quality"));
    assert_eq!((found.fields[0].alone, found.fields[2].late.0), (Some(10_000), 600));
    assert!(found.fields[1].alone.is_some_and(|auc| auc < 5_600), "{:?}", found.fields[1]);
    // What the candidate does not rest on it may declare.
    let idle = |path: &str| Probed { path: path.to_owned(), changed: 0, sample: 100 };
    let probed = ["traits.tags", "lead.source", "traits.quality"].map(idle);
    let idle = tally.report(&probed, |_| Board::default(), 2);
    assert!(!kinds(&idle).contains(&FindingKind::LeakingField));
}

#[test]
fn a_base_rate_and_a_field_that_move_are_seen_in_order_of_time() {
    // The newest first: good leads become more frequent, and the field goes from 1 to 4.
    let moves = |number: u32| Judged {
        good: number % 20 < 8 - number / 500 * 2,
        cells: vec![Cell::Number(4 - (number / 500) as i32)],
        candidate: Some(if number.is_multiple_of(2) { Advance } else { Disqualify }),
        ..lead(number)
    };
    let found = report(&tally((0..2_000).map(moves)), &["company.employees"]);
    let rates: Vec<u32> = found.quarters.iter().map(|quarter| quarter.good.basis_points).collect();
    assert_eq!(rates.len(), 4);
    assert!(rates.is_sorted() && found.quarters.is_sorted_by_key(|quarter| quarter.from), "{rates:?}");
    let kinds = kinds(&found);
    assert!(
        kinds.contains(&FindingKind::BaseRateDrift) && kinds.contains(&FindingKind::FieldDrift),
        "{kinds:?}"
    );
    let calm = report(
        &tally((0..2_000).map(|number| Judged { cells: vec![Cell::Number(7)], ..lead(number) })),
        &["x"],
    );
    assert!(
        !self::kinds(&calm)
            .iter()
            .any(|kind| matches!(kind, FindingKind::BaseRateDrift | FindingKind::FieldDrift))
    );
}

#[test]
fn clocks_are_at_risk_where_an_average_week_brings_more_than_there_are_places() {
    // 40 more leads in 4 weeks are 10 a week.
    assert_eq!(clocks_at_risk(40, 28 * DAY, 45, 50, 2), 10);
    assert_eq!(clocks_at_risk(40, 28 * DAY, 40, 50, 2), 0);
    assert_eq!(
        clocks_at_risk(40, 28 * DAY, 60, 50, 2),
        20,
        "whoever has too many already gets no place for less"
    );
    assert_eq!(clocks_at_risk(0, 28 * DAY, 60, 50, 2), 0);
    assert_eq!(clocks_at_risk(3, 0, 50, 50, 1), 3, "a moment counts as a week");
    let more = (0..40).map(|number| Judged {
        candidate: Some(Advance),
        desk: Desk::Owner(uuid(number % 2)),
        ..lead(number)
    });
    let board = |desk: &Desk| Board {
        owner: Some(format!("{desk:?}")),
        queue: None,
        places: Some((10, if *desk == Desk::Owner(uuid(1)) { 10 } else { 100 })),
    };
    let found = tally(more).report(&[], board, 2);
    assert_eq!(
        found.owners.iter().map(|one| (one.change.0, one.clocks_at_risk.0)).collect::<Vec<_>>().len(),
        2
    );
    assert_eq!((found.clocks_at_risk.0, found.owners[0].change.0), (40, 20));
}

fn any_lead() -> impl Strategy<Value = Judged> {
    (any::<u32>(), any::<bool>(), 0..6_usize, 0..6_usize, 0_u64..1_000_000, 0_u64..400, 0..5_u32).prop_map(
        |(number, good, baseline, candidate, fuel, text, desk)| Judged {
            good,
            baseline: VOTES[baseline],
            candidate: VOTES[candidate],
            fuel,
            cells: vec![Cell::Text(text), Cell::Number(text as i32 % 50), Cell::Unknown],
            late: if good { vec![2] } else { vec![] },
            groups: [None, Some(format!("c{}", text % 30)), Some(format!("s{}", text % 3))],
            desk: if desk == 0 { Desk::Nobody } else { Desk::Owner(uuid(desk)) },
            ..lead(number)
        },
    )
}

proptest! {
    #[test]
    fn pages_merge_to_the_counts_of_all(leads in prop::collection::vec(any_lead(), 1..400), size in 1_usize..200) {
        let whole = tally(leads.clone());
        let mut merged = Tally::new(0);
        for page in leads.chunks(size) {
            merged.merge(tally(page.to_vec()));
        }
        let cut = |report: Report| {
            // Where quarters begin depends on the pages.
            let fields: Vec<_> = report.fields.iter().map(|field| (field.known, field.late)).collect();
            (fields, Report { fields: vec![], quarters: vec![], findings: vec![], ..report })
        };
        let paths = ["a", "b", "c"];
        prop_assert_eq!(cut(report(&merged, &paths)), cut(report(&whole, &paths)));
        prop_assert_eq!(merged.flips(), whole.flips());
        prop_assert!(merged.slices.len() <= SLICES);
        prop_assert_eq!(merged.slices.iter().map(|slice| slice.leads).sum::<u32>(), leads.len() as u32);
    }
}
