//! Attribution: which touches a won deal is owed to. A conversion is divided exactly, as a fraction of whole numbers; its
//! money in minor units by largest remainder, so that the credits of every model add up to the deal.

use std::collections::BTreeMap;

use crate::stage::{Channel, Side};
use crate::text::text_enum;
use crate::time::{DAY, HOUR, Instant};

text_enum! {
    /// How a won deal is divided among the touches of its path. A share that has nobody to take it, since the path is too
    /// short, goes to the others in proportion; touches that stand for several milestones get the shares of all of them.
    pub enum AttributionModel {
        /// All to the first touch.
        FirstTouch = "FIRST_TOUCH",
        /// All to the last touch.
        LastTouch = "LAST_TOUCH",
        /// All to the last touch whose channel is not DIRECT; to the last one where all are direct.
        LastNonDirect = "LAST_NON_DIRECT",
        /// The same to every touch.
        Linear = "LINEAR",
        /// The later, the more: half for each seven days before the win, by whole hours.
        TimeDecay = "TIME_DECAY",
        /// 40 % to the first, 40 % to the last, 20 % to those between.
        UShaped = "U_SHAPED",
        /// 30 % to the first, 30 % to the one that made the lead, 30 % to the one that made the opportunity, 10 % to the others.
        WShaped = "W_SHAPED",
        /// 22.5 % each to the first, to the one that made the lead, to the one that made the opportunity and to the last, 10 % to
        /// the others.
        FullPath = "FULL_PATH",
    }
}

text_enum! {
    /// What credits are counted by.
    pub enum AttributionBy {
        /// The channel of each touch.
        Channel = "CHANNEL",
        /// Its source, for example the site that referred.
        Source = "SOURCE",
        /// Its medium.
        Medium = "MEDIUM",
        /// Its content, for example a form or an asset.
        Content = "CONTENT",
        /// Key of its campaign.
        Campaign = "CAMPAIGN",
        /// The kind of its campaign, for example `webinar`.
        CampaignKind = "CAMPAIGN_KIND",
        /// Key of the audience that its campaign was planned for.
        Audience = "AUDIENCE",
        /// MARKETING or SALES. Touches of the channel OUTBOUND are sales', all others marketing's. Here, and nowhere else, the
        /// calls, mails and meetings that people of both made are steps of the path, too.
        Department = "DEPARTMENT",
    }
}

impl AttributionBy {
    /// Whether costs of campaigns are known by it.
    pub fn has_costs(self) -> bool {
        use AttributionBy::{Audience, Campaign, CampaignKind, Channel};
        matches!(self, Channel | Campaign | CampaignKind | Audience)
    }
}

/// How far back from the win a path reaches, in days.
pub const LOOK_BACK_DAYS: i64 = 90;
/// Half-life of TIME_DECAY, in days.
pub const HALF_LIFE_DAYS: i64 = 7;
/// Of a path with more touches the newest count.
pub const LONGEST_PATH: usize = 10_000;
/// Parts of a conversion in TIME_DECAY, whose weights have no small common denominator.
const PARTS: u64 = 1_000_000_000_000;

/// Hours of a half-life.
const HALF_LIFE: i64 = HALF_LIFE_DAYS * 24;
/// 2^32 × 2^(−1/168), 2^(−2/168), 2^(−4/168) … 2^(−128/168), rounded: the weight of a number of hours is the product of the
/// factors of its binary digits. Whole numbers, so that every machine comes to the same.
const DECAY: [u64; 8] = [
    4_277_283_299,
    4_259_672_114,
    4_224_666_981,
    4_155_517_347,
    4_020_595_089,
    3_763_750_398,
    3_298_236_304,
    2_532_816_193,
];

/// A touch as the models see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    pub at: Instant,
    pub channel: Channel,
}

/// When what happened on the way to a win. A path begins after the win before, and no earlier than the look-back allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milestones {
    /// The win before, if there was one.
    pub won_before: Option<Instant>,
    /// When the person became a lead: the first cycle since the win before opened.
    pub lead: Instant,
    /// When the opportunity was recorded; none where only the win is known, which then stands for both.
    pub opportunity: Option<Instant>,
    /// The win.
    pub won: Instant,
}

/// What the figures of attribution mean, in words.
pub mod meaning {
    /// Rises when the same deals would be divided otherwise.
    pub const VERSION: u32 = 1;
    pub const CONVERSION: &str = "A cycle that was won, counted when it was won.";
    pub const PATH: &str = "All touches of the lead from the win before, which is not included, to this win, which is, and at \
        most 90 days back: a path begins anew after each win, and goes on over cycles that were lost or recycled. Of more than \
        10,000 touches the newest count.";
    pub const MILESTONES: &str = "The touch that led to a milestone is the last one at or before it, else the first of all. The \
        lead was made when its first cycle since the win before opened; the opportunity when sales recorded it, or with the win \
        where nobody recorded one.";
    pub const CREDIT: &str = "A conversion is divided into exact fractions, which are rounded for display only. TIME_DECAY \
        divides it into 10^12 parts by whole-number weights.";
    pub const MONEY: &str = "The amount that the deal was won with, in minor units by largest remainder: the credits of each \
        model add up to the deal. Unknown amounts count as 0.";
    pub const DEPARTMENTS: &str = "The department of the first step sourced the deal. Its credits in it are sourced revenue, \
        those of the other department influenced revenue, so that each minor unit stands in one place.";
}

impl Milestones {
    /// The first instant whose touches belong to the path.
    pub fn begin(&self) -> Instant {
        let oldest = self.won.plus(-LOOK_BACK_DAYS * DAY);
        self.won_before.map_or(oldest, |before| oldest.max(before.plus(1)))
    }

    /// The touches of the path among those of the lead, both in order of time.
    pub fn path<'a, T>(&self, touches: &'a [T], at: impl Fn(&T) -> Instant) -> &'a [T] {
        let from = touches.partition_point(|touch| at(touch) < self.begin());
        let to = touches.partition_point(|touch| at(touch) <= self.won);
        &touches[from.max(to.saturating_sub(LONGEST_PATH)).min(to)..to]
    }
}

/// One conversion divided: `parts[n]` of `whole` belong to the n-th touch, and the parts add up to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    pub parts: Vec<u64>,
    pub whole: u64,
}

impl Shares {
    /// Divides a conversion among the touches of its path, which are in order of time. None for a path without touches.
    pub fn of(model: AttributionModel, touches: &[Touch], milestones: &Milestones) -> Option<Shares> {
        let last = touches.len().checked_sub(1)?;
        // The last touch at or before a milestone led to it; a milestone before all touches is the first one's.
        let led = |at: Instant| touches.partition_point(|touch| touch.at <= at).saturating_sub(1);
        let lead = led(milestones.lead);
        let opportunity = led(milestones.opportunity.unwrap_or(milestones.won));
        Some(match model {
            AttributionModel::FirstTouch => Shares::among(touches.len(), &[0], 1, 0),
            AttributionModel::LastTouch => Shares::among(touches.len(), &[last], 1, 0),
            AttributionModel::LastNonDirect => {
                let place = touches.iter().rposition(|touch| touch.channel != Channel::Direct);
                Shares::among(touches.len(), &[place.unwrap_or(last)], 1, 0)
            }
            AttributionModel::Linear => Shares { parts: vec![1; touches.len()], whole: touches.len() as u64 },
            AttributionModel::TimeDecay => {
                let weights: Vec<u64> =
                    touches.iter().map(|touch| decay(milestones.won.since(touch.at))).collect();
                Shares { parts: apportion(PARTS, &weights), whole: PARTS }
            }
            AttributionModel::UShaped => Shares::among(touches.len(), &[0, last], 2, 1),
            AttributionModel::WShaped => Shares::among(touches.len(), &[0, lead, opportunity], 3, 1),
            AttributionModel::FullPath => Shares::among(touches.len(), &[0, lead, opportunity, last], 9, 4),
        })
    }

    /// `each` for every one of `places`, which may be the same, and `rest` for all others together.
    fn among(touches: usize, places: &[usize], each: u64, rest: u64) -> Shares {
        let mut held = vec![0u64; touches];
        for place in places {
            held[*place] += 1;
        }
        let others = held.iter().filter(|times| **times == 0).count() as u64;
        let places = places.len() as u64;
        if others == 0 || rest == 0 {
            return Shares { parts: held, whole: places };
        }
        let part = |times: u64| if times == 0 { rest } else { times * each * others };
        Shares { parts: held.into_iter().map(part).collect(), whole: (places * each + rest) * others }
    }

    /// Divides money as the conversion is divided: the credits add up to `amount_minor`, each within one minor unit of its exact
    /// share.
    pub fn credits(&self, amount_minor: i64) -> Vec<i64> {
        let amount = u64::try_from(amount_minor).unwrap_or(0);
        // No credit is larger than the amount, which fits.
        apportion(amount, &self.parts).into_iter().map(|credit| credit as i64).collect()
    }
}

/// 2^32 for now, half of it a half-life before, and so on. Never 0 within the look-back.
fn decay(ms_before: i64) -> u64 {
    let hours = ms_before.max(0) / HOUR;
    let (halves, rest) = (hours / HALF_LIFE, hours % HALF_LIFE);
    let digits = DECAY.iter().enumerate().filter(|(digit, _)| rest >> digit & 1 == 1);
    let weight = digits.fold(1u64 << 32, |weight, (_, factor)| (weight * factor + (1 << 31)) >> 32);
    (weight >> halves.min(31)).max(1)
}

/// Divides a whole number in proportion to weights by largest remainder; the earlier one goes first where two remainders
/// are equal.
pub fn apportion(amount: u64, weights: &[u64]) -> Vec<u64> {
    let whole: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if whole == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u64| u128::from(amount) * u128::from(weight);
    let mut given: Vec<u64> = weights.iter().map(|weight| (exact(*weight) / whole) as u64).collect();
    let left = amount - given.iter().sum::<u64>();
    if left > 0 {
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(exact(weights[*place]) % whole));
        order.into_iter().take(left as usize).for_each(|place| given[place] += 1);
    }
    given
}

/// A sum of fractions, exact: numerators by their denominators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversions(BTreeMap<u64, u128>);

impl Conversions {
    /// Adds `part` of `whole`.
    pub fn add(&mut self, part: u64, whole: u64) {
        if part == 0 || whole == 0 {
            return;
        }
        let common = gcd(part, whole);
        *self.0.entry(whole / common).or_default() += u128::from(part / common);
    }

    pub fn merge(&mut self, other: &Conversions) {
        for (whole, parts) in &other.0 {
            *self.0.entry(*whole).or_default() += parts;
        }
    }

    /// As a decimal number with six places, rounded to the nearest.
    pub fn decimal(&self) -> String {
        let millionths = self.millionths();
        format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
    }

    /// In millionths, rounded to the nearest.
    pub fn millionths(&self) -> u128 {
        const SCALE: u128 = 1_000_000_000_000_000_000_000_000;
        const SHOWN: u128 = SCALE / 1_000_000;
        let (mut whole, mut rest) = (0, 0);
        for (denominator, numerator) in &self.0 {
            let denominator = u128::from(*denominator);
            whole += numerator / denominator;
            rest += numerator % denominator * SCALE / denominator;
        }
        // Each denominator cut off less than one of 10^24 parts.
        whole * 1_000_000 + (rest + self.0.len() as u128 + SHOWN / 2) / SHOWN
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What one model credits to one thing: a channel, a campaign, a department.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    pub conversions: Conversions,
    pub revenue_minor: i64,
}

impl Credit {
    pub fn merge(&mut self, other: &Credit) {
        self.conversions.merge(&other.conversions);
        self.revenue_minor = self.revenue_minor.saturating_add(other.revenue_minor);
    }
}

/// Credits of many deals by what each touch is counted under, for several models side by side. What comes when there are
/// `most` keys already is counted with the others, so that nothing is left out.
#[derive(Clone, Debug)]
pub struct Tally {
    pub models: Vec<AttributionModel>,
    pub rows: BTreeMap<String, Vec<Credit>>,
    /// Of keys that found no place.
    pub others: Vec<Credit>,
    /// Deals without a touch in their path.
    pub untouched: Credit,
    pub untouched_deals: u64,
    pub deals: u64,
    pub revenue_minor: i64,
    most: usize,
}

impl Tally {
    pub fn new(models: Vec<AttributionModel>, most: usize) -> Tally {
        let others = vec![Credit::default(); models.len()];
        let (rows, untouched) = (BTreeMap::new(), Credit::default());
        Tally { models, rows, others, untouched, untouched_deals: 0, deals: 0, revenue_minor: 0, most }
    }

    /// Adds a won deal; `keys` are those of its touches.
    pub fn add(&mut self, touches: &[Touch], keys: &[&str], milestones: &Milestones, amount_minor: i64) {
        self.deals += 1;
        self.revenue_minor = self.revenue_minor.saturating_add(amount_minor);
        if touches.is_empty() {
            self.untouched_deals += 1;
            self.untouched.conversions.add(1, 1);
            self.untouched.revenue_minor = self.untouched.revenue_minor.saturating_add(amount_minor);
        }
        for (place, model) in self.models.iter().enumerate() {
            let Some(shares) = Shares::of(*model, touches, milestones) else { return };
            let credits = shares.credits(amount_minor);
            for ((key, part), credit) in keys.iter().zip(&shares.parts).zip(credits) {
                let new = || vec![Credit::default(); self.models.len()];
                let full = self.rows.len() >= self.most && !self.rows.contains_key(*key);
                let row = match full {
                    true => &mut self.others,
                    false => self.rows.entry((*key).to_owned()).or_insert_with(new),
                };
                row[place].conversions.add(*part, shares.whole);
                row[place].revenue_minor = row[place].revenue_minor.saturating_add(credit);
            }
        }
    }
}

/// What one department brought in. Every euro of a deal stands in one place: with one department, as sourced or as
/// influenced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Department {
    /// Deals whose first touch was the department's.
    pub sourced_deals: u64,
    /// Deals that another one sourced, in which the department touched the buyer, too.
    pub influenced_deals: u64,
    /// What the model credits to its touches in deals that it sourced.
    pub sourced: Credit,
    /// What the model credits to its touches in deals that another one sourced.
    pub influenced: Credit,
}

/// What both departments brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contribution {
    pub marketing: Department,
    pub sales: Department,
    /// Deals that nobody touched within the look-back.
    pub untouched: Credit,
    pub untouched_deals: u64,
    pub deals: u64,
    pub revenue_minor: i64,
}

impl Contribution {
    /// The department of a side; what is not sales' is marketing's.
    fn of(&mut self, side: Side) -> &mut Department {
        if side == Side::Sales { &mut self.sales } else { &mut self.marketing }
    }

    /// Adds a won deal; `sides` are those of its touches, MARKETING or SALES.
    pub fn add(
        &mut self,
        model: AttributionModel,
        touches: &[Touch],
        sides: &[Side],
        milestones: &Milestones,
        amount_minor: i64,
    ) {
        self.deals += 1;
        self.revenue_minor = self.revenue_minor.saturating_add(amount_minor);
        let (Some(shares), Some(first)) = (Shares::of(model, touches, milestones), sides.first()) else {
            self.untouched_deals += 1;
            self.untouched.conversions.add(1, 1);
            self.untouched.revenue_minor = self.untouched.revenue_minor.saturating_add(amount_minor);
            return;
        };
        self.of(*first).sourced_deals += 1;
        if let Some(other) = sides.iter().find(|side| *side != first) {
            self.of(*other).influenced_deals += 1;
        }
        for ((side, part), credit) in sides.iter().zip(&shares.parts).zip(shares.credits(amount_minor)) {
            let department = self.of(*side);
            let line = if side == first { &mut department.sourced } else { &mut department.influenced };
            line.conversions.add(*part, shares.whole);
            line.revenue_minor = line.revenue_minor.saturating_add(credit);
        }
    }
}

/// Whose touches those of a channel are: sales turns to buyers in OUTBOUND, everything else is marketing's.
pub fn side_of(channel: Channel) -> Side {
    if channel == Channel::Outbound { Side::Sales } else { Side::Marketing }
}

#[cfg(test)]
mod tests;
