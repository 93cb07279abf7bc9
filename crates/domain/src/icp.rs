//! Ideal customer profiles of the charter, and how well a lead fits one, in basis points.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::charter::CharterBody;
use crate::criterion::FieldTest;
use crate::field::Value;
use crate::text::text_enum;

/// Key of the profile that the plain tests of `idealCustomer` make together.
pub const PLAIN: &str = "ideal-customer";

/// Fit from which on a lead is a good one, and an ideal one, in basis points.
const GOOD: u16 = 5_000;
const IDEAL: u16 = 8_000;

/// What makes a customer an ideal one, and how much it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "IdealCriterion", input_name = "IdealCriterionInput")
)]
#[serde(rename_all = "camelCase")]
pub struct IdealCriterion {
    /// Key of the criterion, unique in the profile.
    pub key: String,
    /// Holds for leads that meet it.
    pub test: FieldTest,
    /// 1 to 100, relative to the other criteria of the profile.
    pub weight: u32,
    /// Whether a lead that is known not to meet it lies outside of the profile, however well it fits otherwise.
    #[serde(default)]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub required: bool,
}

/// A kind of customer that both sides want to win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "IdealCustomerProfile", input_name = "IdealCustomerProfileInput")
)]
#[serde(rename_all = "camelCase")]
pub struct IdealCustomerProfile {
    /// Key of the profile, unique in the charter.
    pub key: String,
    /// Name of the profile, for people.
    pub name: String,
    /// 1 to 50.
    pub criteria: Vec<IdealCriterion>,
}

text_enum! {
    /// How well a lead fits an ideal customer profile, in words.
    pub enum IcpBand {
        /// At least 8,000 basis points, and every required criterion holds.
        Ideal = "IDEAL",
        /// At least 5,000 basis points, and no required criterion is known to fail.
        Good = "GOOD",
        /// Less than that.
        Poor = "POOR",
        /// A required criterion is known to fail.
        Outside = "OUTSIDE",
        /// Nothing is known that the profile asks for.
        Unknown = "UNKNOWN",
    }
}

/// How well a lead fits one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct IcpFit {
    /// Key of the profile; `ideal-customer` are the tests of `idealCustomer`, which count alike.
    pub profile: String,
    /// Name of the profile.
    pub name: String,
    /// Weight of the criteria that hold, as a share of the weight of all, in basis points and rounded down.
    pub fit: u16,
    /// The same in words.
    pub band: IcpBand,
    /// Keys of the criteria that hold.
    pub matched: Vec<String>,
    /// Keys of the criteria that do not hold, though their fields are known.
    pub missing: Vec<String>,
    /// Keys of the criteria whose fields are not known: what to find out.
    pub unknown: Vec<String>,
}

impl CharterBody {
    /// Every ideal customer profile, in the order of the charter. The plain tests of `idealCustomer` are the first of them.
    pub fn profiles(&self) -> Vec<IdealCustomerProfile> {
        let plain = |test: &FieldTest| IdealCriterion {
            key: test.field.clone(),
            test: test.clone(),
            weight: 1,
            required: false,
        };
        let plain = IdealCustomerProfile {
            key: PLAIN.to_owned(),
            name: "The ideal customer".to_owned(),
            criteria: self.ideal_customer.iter().map(plain).collect(),
        };
        let plain = Some(plain).filter(|plain| !plain.criteria.is_empty());
        plain.into_iter().chain(self.ideal_profiles.iter().cloned()).collect()
    }
}

/// How well fields fit one profile. An unknown field neither holds nor fails.
pub fn fit(profile: &IdealCustomerProfile, fields: &BTreeMap<String, Value>) -> IcpFit {
    let (mut held, mut total) = (0u64, 0u64);
    let (mut matched, mut missing, mut unknown) = (vec![], vec![], vec![]);
    let (mut fails, mut open) = (false, false);
    for IdealCriterion { key, test, weight, required } in &profile.criteria {
        total += u64::from(*weight);
        if test.holds(fields) {
            held += u64::from(*weight);
            matched.push(key.clone());
        } else if fields.contains_key(&test.field) {
            fails |= required;
            missing.push(key.clone());
        } else {
            open |= required;
            unknown.push(key.clone());
        }
    }
    let fit = u16::try_from((held * 10_000).checked_div(total).unwrap_or(0)).unwrap_or(10_000);
    let band = match fit {
        _ if fails => IcpBand::Outside,
        _ if matched.is_empty() && missing.is_empty() => IcpBand::Unknown,
        IDEAL.. if !open => IcpBand::Ideal,
        GOOD.. => IcpBand::Good,
        _ => IcpBand::Poor,
    };
    let (profile, name) = (profile.key.clone(), profile.name.clone());
    IcpFit { profile, name, fit, band, matched, missing, unknown }
}

/// How well fields fit every profile of a charter, in its order.
pub fn fits(body: &CharterBody, fields: &BTreeMap<String, Value>) -> Vec<IcpFit> {
    body.profiles().iter().map(|profile| fit(profile, fields)).collect()
}

/// The profile that a lead fits best: by band, then by fit; on a tie the first in the charter's order. None without profiles.
pub fn best(body: &CharterBody, fields: &BTreeMap<String, Value>) -> Option<IcpFit> {
    let better = |one: IcpFit, other: IcpFit| {
        let rank = |fit: &IcpFit| (fit.band, std::cmp::Reverse(fit.fit));
        if rank(&other) < rank(&one) { other } else { one }
    };
    fits(body, fields).into_iter().reduce(better)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criterion::Comparator;

    fn criterion(key: &str, field: &str, comparator: Comparator, value: &str, weight: u32) -> IdealCriterion {
        let test = FieldTest::new(field, comparator, &[value]);
        IdealCriterion { key: key.into(), test, weight, required: key == "country" }
    }

    fn profile() -> IdealCustomerProfile {
        IdealCustomerProfile {
            key: "mid-market".into(),
            name: "Mid-market software".into(),
            criteria: vec![
                criterion("industry", "company.industry", Comparator::Eq, "software", 40),
                criterion("size", "company.employees", Comparator::Gte, "50", 35),
                criterion("country", "company.country", Comparator::Eq, "DE", 25),
            ],
        }
    }

    fn judged(fields: &[(&str, Value)]) -> IcpFit {
        fit(&profile(), &fields.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    /// 40 + 35 + 25 = 100, so that each weight is its share in percent.
    #[test]
    fn a_fit_is_the_weight_of_what_holds() {
        let all = judged(&[
            ("company.industry", text("software")),
            ("company.employees", Value::Integer(80)),
            ("company.country", text("DE")),
        ]);
        assert_eq!((all.fit, all.band), (10_000, IcpBand::Ideal));
        let most =
            judged(&[("company.industry", text("software")), ("company.employees", Value::Integer(80))]);
        assert_eq!((most.fit, most.band), (7_500, IcpBand::Good), "the required one is open");
        assert_eq!(
            (most.matched, most.unknown),
            (vec!["industry".into(), "size".into()], vec!["country".into()])
        );
        let small = judged(&[("company.employees", Value::Integer(9)), ("company.country", text("DE"))]);
        assert_eq!((small.fit, small.band, small.missing), (2_500, IcpBand::Poor, vec!["size".into()]));
        let abroad = judged(&[("company.industry", text("software")), ("company.country", text("FR"))]);
        assert_eq!((abroad.fit, abroad.band), (4_000, IcpBand::Outside));
        assert_eq!((judged(&[]).fit, judged(&[]).band), (0, IcpBand::Unknown));
    }

    #[test]
    fn plain_tests_are_a_profile_and_the_best_one_counts() {
        let mut body = CharterBody::unsigned("EUR", "UTC");
        assert_eq!(best(&body, &BTreeMap::new()), None);
        body.ideal_customer = vec![
            FieldTest::new("company.industry", Comparator::Eq, &["retail"]),
            FieldTest::new("company.employees", Comparator::Gte, &["10"]),
        ];
        body.ideal_profiles = vec![profile()];
        let fields = BTreeMap::from([
            ("company.industry".to_owned(), text("software")),
            ("company.employees".to_owned(), Value::Integer(80)),
        ]);
        let keys: Vec<String> = fits(&body, &fields).into_iter().map(|fit| fit.profile).collect();
        assert_eq!(keys, [PLAIN, "mid-market"]);
        let found = best(&body, &fields).unwrap();
        assert_eq!((found.profile.as_str(), found.fit), ("mid-market", 7_500));
    }

    /// A charter that was signed before there were named profiles keeps its digest.
    #[test]
    fn a_body_without_profiles_is_written_as_before() {
        let body = CharterBody::unsigned("EUR", "UTC");
        let written = serde_json::to_value(&body).unwrap();
        assert!(written.get("idealProfiles").is_none());
        let read: CharterBody = serde_json::from_value(written).unwrap();
        assert_eq!(read.digest(), body.digest());
    }
}
