//! Credits add up, whatever the path; and each model gives what its name promises.

use proptest::prelude::*;

use super::*;

const WON: Instant = Instant(1_800_000_000_000);

fn milestones() -> Milestones {
    Milestones { won_before: None, lead: WON.plus(-60 * DAY), opportunity: None, won: WON }
}

fn touch(days_before: i64, channel: Channel) -> Touch {
    Touch { at: WON.plus(-days_before * DAY), channel }
}

fn path(days_before: &[i64]) -> Vec<Touch> {
    days_before.iter().map(|days| touch(*days, Channel::Email)).collect()
}

/// The share of each touch in thousandths.
fn shares(model: AttributionModel, touches: &[Touch], milestones: &Milestones) -> Vec<u64> {
    let Shares { parts, whole } = Shares::of(model, touches, milestones).unwrap();
    assert_eq!(parts.iter().sum::<u64>(), whole, "{model} {touches:?}");
    apportion(1_000, &parts)
}

#[test]
fn each_model_divides_as_it_says() {
    use AttributionModel::*;
    let five = path(&[28, 21, 14, 7, 0]);
    let mid = Milestones { lead: WON.plus(-21 * DAY), opportunity: Some(WON.plus(-8 * DAY)), ..milestones() };
    let cases = [
        (FirstTouch, vec![1000, 0, 0, 0, 0]),
        (LastTouch, vec![0, 0, 0, 0, 1000]),
        (LastNonDirect, vec![0, 0, 0, 0, 1000]),
        (Linear, vec![200; 5]),
        // 1, 2, 4, 8 and 16 of 31.
        (TimeDecay, vec![32, 65, 129, 258, 516]),
        (UShaped, vec![400, 67, 67, 66, 400]),
        // The opportunity was opened between the third and the fourth.
        (WShaped, vec![300, 300, 300, 50, 50]),
        (FullPath, vec![225, 225, 225, 100, 225]),
    ];
    for (model, expected) in cases {
        assert_eq!(shares(model, &five, &mid), expected, "{model}");
    }
    assert_eq!(AttributionModel::ALL.len(), 8);
}

#[test]
fn a_short_path_leaves_no_share_over() {
    use AttributionModel::*;
    let at = milestones();
    for model in AttributionModel::ALL {
        assert_eq!(shares(*model, &path(&[3]), &at), [1000], "{model}: one touch takes all");
        assert_eq!(Shares::of(*model, &[], &at), None, "{model}");
    }
    assert_eq!(shares(UShaped, &path(&[3, 1]), &at), [500, 500]);
    // The first touch made the lead, the last one the opportunity and the win.
    let lead = Milestones { lead: WON.plus(-3 * DAY), ..at };
    assert_eq!(shares(WShaped, &path(&[3, 1]), &lead), [667, 333]);
    assert_eq!(shares(FullPath, &path(&[3, 1]), &lead), [500, 500]);
    // The opportunity's milestone falls on the touch that made the lead.
    let both = Milestones { lead: WON.plus(-2 * DAY), opportunity: Some(WON.plus(-2 * DAY)), ..at };
    assert_eq!(shares(WShaped, &path(&[3, 2, 1]), &both), [300, 600, 100]);
}

#[test]
fn a_direct_touch_is_passed_over_where_there_is_another() {
    let direct = [touch(3, Channel::Email), touch(2, Channel::Event), touch(1, Channel::Direct)];
    assert_eq!(shares(AttributionModel::LastNonDirect, &direct, &milestones()), [0, 1000, 0]);
    let all = [touch(3, Channel::Direct), touch(1, Channel::Direct)];
    assert_eq!(shares(AttributionModel::LastNonDirect, &all, &milestones()), [0, 1000]);
}

#[test]
fn a_path_begins_after_the_win_before_and_within_the_look_back() {
    let touches = path(&[91, 90, 40, 39, 0, -1]);
    let days = |milestones: &Milestones| {
        let found = milestones.path(&touches, |touch| touch.at).iter();
        found.map(|touch| WON.since(touch.at) / DAY).collect::<Vec<_>>()
    };
    assert_eq!(days(&milestones()), [90, 40, 39, 0], "what came after the win led to no win");
    let again = Milestones { won_before: Some(WON.plus(-40 * DAY)), ..milestones() };
    assert_eq!(days(&again), [39, 0], "the touch of the win before belongs to that win");
    let never = Milestones { won_before: Some(WON), ..milestones() };
    assert_eq!(days(&never), [0; 0]);
    let many = vec![touch(1, Channel::Email); LONGEST_PATH + 5];
    assert_eq!(milestones().path(&many, |touch| touch.at).len(), LONGEST_PATH);
}

#[test]
fn weights_fall_to_half_in_a_half_life_and_never_to_nothing() {
    let mut before = u64::MAX;
    for hours in 0..=LOOK_BACK_DAYS * 24 {
        let exact = 2f64.powf(32.0 - hours as f64 / HALF_LIFE as f64);
        let weight = decay(hours * HOUR);
        assert!((weight as f64 - exact).abs() <= 1.0 + exact * 1e-8, "{hours}: {weight}, not {exact}");
        assert!(weight < before, "{hours}");
        before = weight;
    }
    assert_eq!((decay(0), decay(HOUR - 1), decay(7 * DAY)), (1 << 32, 1 << 32, 1 << 31));
    assert_eq!((decay(-5), decay(i64::MAX)), (1 << 32, 1), "clocks that differ break nothing");
}

#[test]
fn sums_of_fractions_are_exact_and_rounded_for_display_only() {
    let sum = |fractions: &[(u64, u64)]| {
        let mut sum = Conversions::default();
        fractions.iter().for_each(|(part, whole)| sum.add(*part, *whole));
        sum.decimal()
    };
    assert_eq!(sum(&[]), "0.000000");
    assert_eq!(sum(&[(1, 3), (1, 3), (1, 3)]), "1.000000");
    assert_eq!(sum(&[(1, 3), (1, 6), (1, 2)]), "1.000000", "denominators that differ");
    assert_eq!(sum(&[(1, 7)]), "0.142857");
    assert_eq!(sum(&[(2, 3)]), "0.666667");
    assert_eq!(sum(&[(1, 2_000_000)]), "0.000001", "half counts up");
    assert_eq!(sum(&[(1, 2_000_001)]), "0.000000");
    assert_eq!(sum(&[(1_999_999, 2_000_000), (41, 1)]), "42.000000");
    assert_eq!(sum(&vec![(1, 49); 49_000]), "1000.000000");
}

#[test]
fn keys_beyond_the_limit_are_counted_together() {
    let mut tally = Tally::new(vec![AttributionModel::Linear, AttributionModel::LastTouch], 2);
    for (amount, keys) in [(100, ["a", "b", "c"]), (50, ["d", "a", "e"])] {
        tally.add(&path(&[3, 2, 1]), &keys, &milestones(), amount);
    }
    tally.add(&[], &[], &milestones(), 7);
    let told = |row: &[Credit]| {
        row.iter().map(|one| (one.conversions.decimal(), one.revenue_minor)).collect::<Vec<_>>()
    };
    assert_eq!(tally.rows.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(told(&tally.rows["a"]), [("0.666667".into(), 34 + 17), ("0.000000".into(), 0)]);
    assert_eq!(told(&tally.others), [("1.000000".into(), 33 + 17 + 16), ("2.000000".into(), 150)]);
    assert_eq!((tally.deals, tally.revenue_minor, tally.untouched.revenue_minor), (3, 157, 7));
}

#[test]
fn no_euro_stands_with_two_departments() {
    use Side::{Marketing, Sales};
    let mut found = Contribution::default();
    let model = AttributionModel::Linear;
    found.add(model, &path(&[3, 2, 1]), &[Marketing, Sales, Sales], &milestones(), 100);
    found.add(model, &path(&[2, 1]), &[Sales, Sales], &milestones(), 50);
    found.add(model, &path(&[2, 1]), &[Sales, Marketing], &milestones(), 31);
    found.add(model, &[], &[], &milestones(), 9);
    let told = |one: &Department| {
        let money = (one.sourced.revenue_minor, one.influenced.revenue_minor);
        (one.sourced_deals, one.influenced_deals, money)
    };
    assert_eq!(told(&found.marketing), (1, 1, (34, 15)));
    assert_eq!(told(&found.sales), (2, 1, (50 + 16, 66)));
    assert_eq!((found.untouched.revenue_minor, found.revenue_minor), (9, 190));
}

fn channels() -> impl Strategy<Value = Channel> {
    (0..Channel::ALL.len()).prop_map(|place| Channel::ALL[place])
}

proptest! {
    /// I11.
    #[test]
    fn credits_add_up_to_the_deal_in_every_model(
        mut times in proptest::collection::vec((0i64..100 * DAY, channels()), 1..60),
        amount in 0i64..1_000_000_000_000_000,
        lead in 0i64..100 * DAY,
        opportunity in proptest::option::of(0i64..100 * DAY),
        sales in proptest::collection::vec(any::<bool>(), 60),
    ) {
        times.sort_by_key(|(before, _)| std::cmp::Reverse(*before));
        let touches: Vec<Touch> =
            times.iter().map(|(before, channel)| Touch { at: WON.plus(-before), channel: *channel }).collect();
        let milestones = Milestones {
            won_before: None,
            lead: WON.plus(-lead),
            opportunity: opportunity.map(|before| WON.plus(-before)),
            won: WON,
        };
        let keys: Vec<&str> = touches.iter().map(|touch| touch.channel.as_str()).collect();
        let mut tally = Tally::new(AttributionModel::ALL.to_vec(), 4);
        tally.add(&touches, &keys, &milestones, amount);
        for (place, model) in AttributionModel::ALL.iter().enumerate() {
            let shares = Shares::of(*model, &touches, &milestones).unwrap();
            prop_assert_eq!(shares.parts.len(), touches.len());
            prop_assert_eq!(shares.parts.iter().sum::<u64>(), shares.whole, "{}", model);
            let credits = shares.credits(amount);
            prop_assert_eq!(credits.iter().sum::<i64>(), amount, "{}", model);
            for (part, credit) in shares.parts.iter().zip(&credits) {
                let exact = i128::from(amount) * i128::from(*part);
                let apart = (i128::from(*credit) * i128::from(shares.whole) - exact).abs();
                prop_assert!(apart < i128::from(shares.whole), "{model}: {credit} is a cent or more off");
            }
            let rows = || tally.rows.values().chain([&tally.others]).map(|row| &row[place]);
            prop_assert_eq!(rows().map(|one| one.revenue_minor).sum::<i64>(), amount, "{}", model);
            let mut sum = Credit::default();
            rows().for_each(|one| sum.merge(one));
            prop_assert_eq!(sum.conversions.decimal(), "1.000000", "{}", model);

            let sides: Vec<Side> =
                sales[..touches.len()].iter().map(|one| if *one { Side::Sales } else { Side::Marketing }).collect();
            let mut found = Contribution::default();
            found.add(*model, &touches, &sides, &milestones, amount);
            let all = [&found.marketing, &found.sales].map(|one| one.sourced.revenue_minor + one.influenced.revenue_minor);
            prop_assert_eq!(all[0] + all[1], amount, "{}", model);
        }
    }

    #[test]
    fn whole_numbers_are_divided_without_rest(
        amount in any::<u64>(),
        weights in proptest::collection::vec(0u64..1 << 33, 1..40),
    ) {
        let given = apportion(amount, &weights);
        let expected = if weights.iter().any(|weight| *weight > 0) { u128::from(amount) } else { 0 };
        prop_assert_eq!(given.iter().map(|one| u128::from(*one)).sum::<u128>(), expected);
        for (weight, one) in weights.iter().zip(&given) {
            prop_assert!(*weight > 0 || *one == 0, "nothing for a weight of 0");
        }
    }
}
