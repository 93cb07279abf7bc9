//! Offers: a story and an incentive for an audience, for a time.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Instant;

/// What an audience is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    pub id: Uuid,
    pub key: String,
    /// The story, in a line.
    pub title: String,
    /// What the buyer gets for deciding now.
    pub incentive: String,
    /// Content that tells the story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Uuid>,
    pub audience: Uuid,
    pub from: Instant,
    /// None: until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    pub created_at: Instant,
}

impl Offer {
    /// From its beginning up to but without its end.
    pub fn holds_at(&self, at: Instant) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_holds_from_its_beginning_until_before_its_end() {
        let offer = Offer {
            id: Uuid::nil(),
            key: "spring".into(),
            title: "Start in spring".into(),
            incentive: "Three months free".into(),
            content: None,
            audience: Uuid::nil(),
            from: Instant(10),
            until: Some(Instant(20)),
            created_at: Instant(0),
        };
        let held: Vec<i64> = [9, 10, 19, 20].into_iter().filter(|at| offer.holds_at(Instant(*at))).collect();
        assert_eq!(held, [10, 19]);
        assert!(Offer { until: None, ..offer }.holds_at(Instant::MAX));
    }
}
