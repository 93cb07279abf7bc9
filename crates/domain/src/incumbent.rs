//! What a company uses today, until when it is bound to it, and when a lead that was dropped for it comes back.

use crate::time::{DAY, Instant};

/// What a company uses today, and until when it is bound to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incumbent {
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub contract_ends_at: Option<Instant>,
}

/// Days before the end of the incumbent's contract at which a lead comes back that is bound by it: early enough to be heard before
/// the contract is renewed.
const NOTICE_DAYS: i64 = 90;

/// When a lead comes back that was let go for a reason that a contract explains: INCUMBENT_CONTRACT 90 days before the contract's
/// end, or at its end once those 90 days have begun; LOST_TO_COMPETITOR at the end of the competitor's contract, if that is the one
/// that is known. None for other reasons, and for a contract that is over.
pub fn returns_at(
    reason: &str,
    competitor: Option<&str>,
    incumbent: &Incumbent,
    now: Instant,
) -> Option<Instant> {
    let ends = incumbent.contract_ends_at.filter(|ends| *ends > now)?;
    let theirs = |name: &Option<String>| {
        name.as_deref().zip(competitor).is_some_and(|(name, other)| name.eq_ignore_ascii_case(other))
    };
    match reason {
        "INCUMBENT_CONTRACT" => {
            Some(ends.plus(-NOTICE_DAYS * DAY)).filter(|notice| *notice > now).or(Some(ends))
        }
        "LOST_TO_COMPETITOR" => {
            Some(ends).filter(|_| theirs(&incumbent.vendor) || theirs(&incumbent.product))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_says_when_a_lead_comes_back() {
        let day = |day: i64| Instant(day * DAY);
        let known = |ends: i64| Incumbent {
            vendor: Some("Acme".into()),
            product: None,
            contract_ends_at: Some(day(ends)),
        };
        let at = |reason: &str, ends: i64| returns_at(reason, Some("acme"), &known(ends), day(100));
        assert_eq!(at("INCUMBENT_CONTRACT", 400), Some(day(310)));
        assert_eq!(at("INCUMBENT_CONTRACT", 190), Some(day(190)), "the notice would be now: at the end");
        assert_eq!(at("INCUMBENT_CONTRACT", 191), Some(day(101)));
        assert_eq!(at("LOST_TO_COMPETITOR", 400), Some(day(400)));
        assert_eq!(at("INCUMBENT_CONTRACT", 100), None, "it is over");
        assert_eq!(at("NO_BUDGET", 400), None);
        assert_eq!(returns_at("INCUMBENT_CONTRACT", None, &Incumbent::default(), day(0)), None);
        let other = returns_at("LOST_TO_COMPETITOR", Some("Bolt"), &known(400), day(100));
        assert_eq!(other, None, "whoever won it has another contract than the one that ends now");
    }
}
