//! The people who become leads, each with a hidden truth: how well they really suit us and how much they really want to
//! buy. Marketing's data shows it dimly, sales finds it out, and so a scorecard can be right or wrong.

use std::collections::BTreeSet;

use handfast_domain::stage::Channel;
use handfast_domain::time::{DAY, HOUR, Instant, MINUTE};
use serde_json::{Value, json};

use super::market::{
    CAMPAIGNS, COMPANY_FIRST, COMPANY_SECOND, COUNTRIES, Campaign, FIRST_NAMES, INDUSTRIES, LAST_NAMES,
    NURTURE, ROLES,
};
use super::random::Random;

/// Free mailboxes, which say nothing about a company.
pub const FREE_MAIL: &str = "freemail.test";

/// Days of the season.
pub const DAYS: i64 = 90;

/// A visit, a click, a talk.
#[derive(Clone, Debug)]
pub struct Touch {
    pub at: Instant,
    pub channel: Channel,
    pub content: &'static str,
    pub campaign: Option<&'static str>,
}

/// Somebody who becomes a lead in the season.
pub struct Prospect {
    /// The form as the website sends it.
    pub form: Value,
    pub captured_at: Instant,
    /// Visits before it had a name, by the visitor's id.
    pub visitor: Option<String>,
    pub visits: Vec<Touch>,
    /// What it did afterwards.
    pub touches: Vec<Touch>,
    pub truth: Truth,
}

/// What nobody knows before sales talks to it, each from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    pub fit: f64,
    pub intent: f64,
    pub authority: f64,
    pub budget: f64,
    pub employees: i64,
    /// Share of the intent that the campaign made which brought it, from 0 to 1; the rest was there before.
    pub caused: f64,
}

struct Company {
    name: String,
    domain: String,
    industry: usize,
    country: (&'static str, &'static str),
    employees: i64,
    /// Minor units.
    revenue: i64,
    incumbent: Option<&'static str>,
}

/// The companies that could buy. The same seed and count make the same ones.
pub struct Market(Vec<Company>);

impl Market {
    pub fn new(seed: u64, leads: usize) -> Market {
        let (mut random, mut taken) = (Random::new(seed), BTreeSet::new());
        Market((0..leads.div_ceil(3).max(1)).map(|_| company(&mut random, &mut taken)).collect())
    }

    /// As many prospects as asked for, in the order of their capture.
    pub fn prospects(&self, random: &mut Random, count: usize, start: Instant) -> Vec<Prospect> {
        let mut taken = BTreeSet::new();
        let mut all: Vec<Prospect> =
            (0..count).map(|number| prospect(random, number, &self.0, &mut taken, start)).collect();
        all.sort_by_key(|prospect| prospect.captured_at);
        all
    }

    /// Somebody for the live trickle; a number that was not used before makes a new person.
    pub fn passer_by(&self, random: &mut Random, number: usize) -> Prospect {
        let mut taken = BTreeSet::new();
        let mut one = prospect(random, number, &self.0, &mut taken, Instant(0));
        let email = one.form["email"].as_str().unwrap_or_default();
        if let Some((name, host)) = email.split_once('@') {
            one.form["email"] = json!(format!("{name}.{number}@{host}"));
        }
        one
    }
}

fn company(random: &mut Random, taken: &mut BTreeSet<String>) -> Company {
    let industry =
        INDUSTRIES.iter().position(|one| std::ptr::eq(one, random.weighted(&INDUSTRIES, |one| one.1)));
    let industry = industry.unwrap_or(0);
    let (first, second) = (random.pick(&COMPANY_FIRST), random.pick(&COMPANY_SECOND[industry]));
    let (country, region, _) = random.weighted(&COUNTRIES, |one| one.2);
    // Most companies are small, few are large.
    let employees = (8.0 * 10f64.powf(random.between(0.0, 2.9)) * random.between(0.6, 1.4)) as i64;
    let revenue = employees * random.whole(90_000, 240_000) * 100;
    let plain = format!("{}-{}.example", first.to_lowercase(), second.to_lowercase());
    let numbered = || format!("{}-{}-{}.example", first.to_lowercase(), second.to_lowercase(), taken.len());
    let domain = if taken.contains(&plain) { numbered() } else { plain };
    taken.insert(domain.clone());
    let incumbents =
        [None, None, Some("Handcart Classic"), Some("Conveyor Sample"), Some("Shuttle Specimen")];
    Company {
        name: format!("{first} {second} Example"),
        domain,
        industry,
        country: (country, region),
        employees,
        revenue,
        incumbent: *random.pick(&incumbents),
    }
}

fn prospect(
    random: &mut Random,
    number: usize,
    companies: &[Company],
    taken: &mut BTreeSet<String>,
    start: Instant,
) -> Prospect {
    let company = random.pick(companies);
    let (title, seniority, department, _, standing) = *random.weighted(&ROLES, |role| role.3);
    let campaign = random.weighted(&CAMPAIGNS, |one| one.weight);
    let truth = truth(random, company, standing, campaign);
    let captured_at = moment(random, start, campaign.days);
    let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
    let private = random.chance(0.08);
    let host = if private { FREE_MAIL } else { company.domain.as_str() };
    let plain = format!("{}.{}@{host}", first.to_lowercase(), last.to_lowercase());
    let numbered = || format!("{}.{}.{number}@{host}", first.to_lowercase(), last.to_lowercase());
    let email = if taken.insert(plain.clone()) { plain } else { numbered() };
    let visitor = random.chance(0.35).then(|| format!("visitor-{number:06}"));
    let visits = if visitor.is_some() { visits(random, captured_at, start) } else { vec![] };
    let content = *random.pick(campaign.content);
    let seconds = (40.0 + 900.0 * truth.intent * random.between(0.5, 1.4)) as i64;
    let mut form = json!({
        "email": email,
        "name": format!("{first} {last}"),
        "title": title,
        "seniority": seniority,
        "department": department,
        "country": company.country.0,
        "consent": random.chance(0.9),
        "company": {
            "name": company.name,
            "domain": company.domain,
            "industry": INDUSTRIES[company.industry].0,
            "country": company.country.0,
            "region": company.country.1,
        },
        "source": campaign.source,
        "channel": campaign.channel,
        "campaign": campaign.key,
        "content": content,
        "traits": [{"key": "time-on-site", "value": seconds.to_string()}],
    });
    // Forms are never filled in whole.
    if random.chance(0.85) {
        form["company"]["employees"] = json!(company.employees);
    }
    if random.chance(0.4) {
        form["company"]["annualRevenue"] = json!(company.revenue.to_string());
    }
    if let Some(incumbent) = company.incumbent {
        form["company"]["incumbent"] = json!(incumbent);
    }
    if random.chance(0.3) && number < 1_000 {
        // The thousand numbers that Ofcom set aside for drama; nobody shares one, since a phone identifies a lead.
        form["phone"] = json!(format!("+447700900{number:03}"));
    }
    if let Some(visitor) = &visitor {
        form["anonymousId"] = json!(visitor);
    }
    let touches = touches(random, &truth, captured_at, start);
    Prospect { form, captured_at, visitor, visits, touches, truth }
}

fn truth(random: &mut Random, company: &Company, standing: f64, campaign: &Campaign) -> Truth {
    let size = ((company.employees as f64).ln() / 9.0).clamp(0.0, 1.0);
    let industry = INDUSTRIES[company.industry].2;
    let fit = (0.4 * industry + 0.35 * standing + 0.25 * size + 0.22 * random.bell()).clamp(0.0, 1.0);
    let intent = (random.unit() * random.unit().max(0.25) * 1.25 + campaign.pull + 0.15 * random.bell())
        .clamp(0.0, 1.0);
    let authority = (standing + 0.25 * random.bell()).clamp(0.0, 1.0);
    let budget = (0.45 * size + 0.35 * fit + 0.3 * random.unit()).clamp(0.0, 1.0);
    let caused = if intent > 0.0 { (campaign.pull / intent).clamp(0.0, 1.0) } else { 0.0 };
    Truth { fit, intent, authority, budget, employees: company.employees, caused }
}

/// A moment in a window of days: people fill in forms by day and on workdays, mostly.
fn moment(random: &mut Random, start: Instant, (from, to): (i64, i64)) -> Instant {
    let span = (to.min(DAYS) - from) as f64;
    for _ in 0..8 {
        let day = from as f64 + random.unit() * span;
        let at = start.plus((day * DAY as f64) as i64);
        if is_busy(at) || random.chance(0.12) {
            return at;
        }
    }
    start.plus(((from as f64 + random.unit() * span) * DAY as f64) as i64)
}

/// Workdays, 7 to 18 in UTC.
fn is_busy(at: Instant) -> bool {
    // Day 0, 1970-01-01, was a Thursday.
    let weekday = (at.ms().div_euclid(DAY) + 3).rem_euclid(7);
    let hour = at.ms().rem_euclid(DAY) / HOUR;
    weekday < 5 && (7..18).contains(&hour)
}

fn visits(random: &mut Random, captured_at: Instant, start: Instant) -> Vec<Touch> {
    let mut visits: Vec<Touch> = (0..random.whole(1, 3))
        .map(|_| {
            let (channel, content, campaign, _) = *random.weighted(&NURTURE, |one| one.3);
            let before = (random.wait(2.0 * DAY as f64) as i64).max(5 * MINUTE);
            Touch { at: captured_at.plus(-before).max(start), channel, content, campaign }
        })
        .filter(|visit| visit.channel != Channel::Email)
        .collect();
    visits.sort_by_key(|visit| visit.at);
    visits
}

/// Who wants to buy comes back often and soon, and some day asks for a price or a demo.
fn touches(random: &mut Random, truth: &Truth, captured_at: Instant, start: Instant) -> Vec<Touch> {
    let end = start.plus(DAYS * DAY);
    let mut touches = vec![];
    let mut at = captured_at;
    let more = (truth.intent * 9.0 + random.between(0.0, 2.5)) as usize;
    for _ in 0..more {
        let gap = random.wait((1.0 + 9.0 * (1.0 - truth.intent)) * DAY as f64) as i64;
        at = at.plus(gap.max(10 * MINUTE));
        if !is_busy(at) && random.chance(0.7) {
            at = at.plus(10 * HOUR);
        }
        if at >= end {
            break;
        }
        let wants = random.chance(truth.intent * truth.intent * 0.3);
        let (channel, content, campaign, _) = *random.weighted(&NURTURE, |one| one.3);
        let touch = if wants {
            let content = if random.chance(0.5) { "pricing" } else { "demo-request" };
            Touch { at, channel: Channel::Direct, content, campaign: Some("demo-tour") }
        } else {
            Touch { at, channel, content, campaign }
        };
        touches.push(touch);
    }
    touches
}

/// A touch as the API takes it.
pub fn touch_input(touch: &Touch, who: (&str, Value)) -> Value {
    let mut input = json!({
        "channel": touch.channel,
        "content": touch.content,
        "campaign": touch.campaign,
        "occurredAt": touch.at.to_string(),
    });
    input[who.0] = who.1;
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_somebody_else_and_obviously_made_up() {
        let all = Market::new(1, 2_000).prospects(&mut Random::new(1), 2_000, Instant(0));
        let emails: BTreeSet<&str> = all.iter().filter_map(|one| one.form["email"].as_str()).collect();
        assert_eq!(emails.len(), 2_000);
        assert!(emails.iter().all(|email| email.ends_with(".example") || email.ends_with(FREE_MAIL)));
    }

    #[test]
    fn everything_happens_within_the_season_and_in_order() {
        let (start, end) = (Instant(0), Instant(DAYS * DAY));
        for one in Market::new(2, 500).prospects(&mut Random::new(2), 500, start) {
            assert!(start <= one.captured_at && one.captured_at < end);
            assert!(one.visits.iter().all(|visit| start <= visit.at && visit.at <= one.captured_at));
            let mut before = one.captured_at;
            for touch in &one.touches {
                assert!(before < touch.at && touch.at < end);
                before = touch.at;
            }
        }
    }
}
