//! The season of the synthetic company, hour by hour: people come, rules judge, sales answers, and afterwards the same goes
//! on at the pace of the clock on the wall.

use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use handfast_domain::time::{Clock, DAY, HOUR, Instant, MINUTE, SECOND};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::prospects::{DAYS, Market, Prospect, Touch, Truth, touch_input};
use super::random::Random;
use super::sales::{Case, Seller, Step, first};
use super::{Demo, company};
use crate::app::SystemClock;
use crate::cli::client::{CliError, Client};

/// Midnight, so many days ago that the season ends now.
pub fn start() -> Instant {
    let now = SystemClock.now().ms();
    Instant(now - now.rem_euclid(DAY) - (DAYS - 1) * DAY)
}

/// Something that somebody will do.
struct Planned {
    at: Instant,
    number: u64,
    case: Case,
    step: Step,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    /// The earliest is the greatest, since a heap gives its greatest.
    fn cmp(&self, other: &Planned) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// The company at work.
pub struct Life<'d> {
    demo: &'d Demo,
    random: Random,
    marketing: Client,
    people: BTreeMap<String, Client>,
    /// What is known of leads by their e-mail.
    pub truths: BTreeMap<String, Truth>,
    planned: BinaryHeap<Planned>,
    planned_ever: u64,
    cursor: Value,
    /// How much faster than the wall's clock sales works.
    pace: i64,
}

/// Plays the whole season and answers the company as it stands at its end.
pub fn play(demo: &Demo) -> Result<Life<'_>, CliError> {
    let (start, mut life) = (start(), Life::new(demo)?);
    life.pace = 1;
    let leads = demo.args.leads as usize;
    let prospects = Market::new(demo.args.seed, leads).prospects(&mut life.random, leads, start);
    for one in &prospects {
        life.truths.insert(email(one), one.truth);
    }
    let mut arrivals = prospects.iter().peekable();
    let mut touches: Vec<(Instant, Value)> = vec![];
    for one in &prospects {
        let visitor = one.visitor.as_ref();
        touches.extend(
            one.visits
                .iter()
                .filter_map(|touch| Some((touch.at, touch_input(touch, ("anonymousId", json!(visitor?)))))),
        );
        let lead = json!({"email": email(one)});
        touches
            .extend(one.touches.iter().map(|touch| (touch.at, touch_input(touch, ("lead", lead.clone())))));
    }
    touches.sort_by_key(|(at, _)| *at);
    let mut touches = touches.into_iter().peekable();

    let bar = ProgressBar::new(DAYS as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} day {pos} of {len} {msg}") {
        bar.set_style(style);
    }
    eprintln!("Playing a season of {DAYS} days with {leads} leads (seed {}).", demo.args.seed);
    let (mut at, end) = (start, SystemClock.now());
    let mut chapters = STORY.iter().filter(|_| demo.story).peekable();
    while at < end {
        if demo.stopped() {
            return Ok(life);
        }
        let until = at.plus(step(at)).min(end);
        life.sell(until)?;
        at = until;
        demo.travel(at)?;
        let mut forms = vec![];
        while let Some(one) = arrivals.next_if(|one| one.captured_at <= at) {
            forms.push(one.form.clone());
        }
        life.capture(&forms)?;
        let mut happened = vec![];
        while let Some((_, touch)) = touches.next_if(|(when, _)| *when <= at) {
            happened.push(touch);
        }
        life.touch(&happened)?;
        life.notice(at)?;
        while let Some((_, chapter)) = chapters.next_if(|(day, _)| start.plus(day * DAY) <= at) {
            life.tell(*chapter)?;
        }
        bar.set_position(at.since(start).div_euclid(DAY).unsigned_abs());
    }
    bar.finish_and_clear();
    Ok(life)
}

/// What happens besides, at the end of which day.
const STORY: [(i64, Chapter); 5] = [
    (30, Chapter::Duplicate),
    (45, Chapter::Charter),
    (60, Chapter::Duplicate),
    (70, Chapter::Erasure),
    (80, Chapter::Erasure),
];

#[derive(Clone, Copy)]
enum Chapter {
    /// Both sides sign a second charter.
    Charter,
    /// Somebody turns out to be known already.
    Duplicate,
    /// Somebody wants to be forgotten.
    Erasure,
}

/// How long the company is left alone: less by day than at night and on weekends, when little happens.
fn step(at: Instant) -> i64 {
    // Day 0, 1970-01-01, was a Thursday.
    let weekday = (at.ms().div_euclid(DAY) + 3).rem_euclid(7);
    let hour = at.ms().rem_euclid(DAY) / HOUR;
    if weekday < 5 && (6..17).contains(&hour) { 2 * HOUR } else { 6 * HOUR }
}

fn email(one: &Prospect) -> String {
    one.form["email"].as_str().unwrap_or_default().to_owned()
}

impl<'d> Life<'d> {
    pub fn new(demo: &'d Demo) -> Result<Life<'d>, CliError> {
        let marketing = demo.client(&demo.token(company::MARKETING)?);
        let mut people = BTreeMap::new();
        let workspace = demo.app.workspace();
        for user in &workspace.directory.users {
            if user.side == handfast_domain::stage::Side::Sales && !user.service {
                people.insert(user.key.clone(), demo.client(&demo.token(&user.key)?));
            }
        }
        let cursor = demo.admin.query("{ feedHead }", json!({}))?["feedHead"].clone();
        Ok(Life {
            demo,
            random: Random::new(demo.args.seed),
            marketing,
            people,
            truths: BTreeMap::new(),
            planned: BinaryHeap::new(),
            planned_ever: 0,
            cursor,
            pace: 240,
        })
    }

    fn capture(&self, forms: &[Value]) -> Result<(), CliError> {
        for forms in forms.chunks(100) {
            company::mutate(&self.marketing, "captureLeads", "CaptureLeadsInput", json!({"leads": forms}))?;
        }
        Ok(())
    }

    fn touch(&self, touches: &[Value]) -> Result<(), CliError> {
        for touches in touches.chunks(200) {
            company::mutate(
                &self.marketing,
                "recordTouchpoints",
                "RecordTouchpointsInput",
                json!({"touchpoints": touches}),
            )?;
        }
        Ok(())
    }

    /// Lets everybody do what they had planned until then, each thing at its time.
    fn sell(&mut self, until: Instant) -> Result<(), CliError> {
        while let Some(planned) = self.planned.pop() {
            if planned.at > until {
                self.planned.push(planned);
                break;
            }
            let Planned { at, case, step, .. } = planned;
            let client = match step {
                Step::AddContext | Step::Reply | Step::Hear | Step::Weigh(_) => Some(&self.marketing),
                _ => self.people.get(&case.rep),
            };
            let Some(client) = client.cloned() else { continue };
            self.demo.set_clock(at);
            let next = Seller { client: &client, story: self.demo.story, random: &mut self.random, now: at }
                .take(&case, step)?;
            if let Some((step, wait)) = next {
                self.plan(at.plus(wait / self.pace), case, step);
            }
        }
        Ok(())
    }

    fn plan(&mut self, at: Instant, case: Case, step: Step) {
        self.planned_ever += 1;
        self.planned.push(Planned { at, number: self.planned_ever, case, step });
    }

    fn tell(&mut self, chapter: Chapter) -> Result<(), CliError> {
        match chapter {
            Chapter::Charter => company::agree_again(self.demo),
            Chapter::Duplicate => {
                let Some(known) = self.known()?.first().cloned() else { return Ok(()) };
                let phone = format!("+4930{}", self.random.whole(1_000_000, 9_999_999));
                let input = json!({"lead": {"phone": phone, "source": "email"}});
                let select = "lead { id }";
                let again =
                    company::payload(&self.marketing, "captureLead", "CaptureLeadInput", input, select)?;
                let input = json!({"lead": {"id": known}, "duplicate": {"id": again["lead"]["id"]}});
                company::mutate(&self.marketing, "mergeLeads", "MergeLeadsInput", input)
            }
            Chapter::Erasure => {
                let Some(known) = self.known()?.last().cloned() else { return Ok(()) };
                let input = json!({"lead": {"id": known}, "leaveAlone": true});
                company::mutate(&self.demo.admin, "eraseLead", "EraseLeadInput", input)
            }
        }
    }

    /// Sees the new hand-offs, and grey cases if the two sides talk with each other.
    fn notice(&mut self, now: Instant) -> Result<(), CliError> {
        let document = "query($after: FeedCursor, $kinds: [String!]) { events(after: $after, first: 500, filter: {kinds: $kinds}) { \
                        events { kind payload lead { id contact { email } owner { key } queue { team } } } cursor atHead } }";
        let mut kinds = vec!["HANDOFF_OFFERED"];
        kinds.extend(self.demo.story.then_some("GREY_CASE_OPENED"));
        loop {
            let asked = json!({"after": self.cursor, "kinds": kinds});
            let page = self.demo.admin.query(document, asked)?["events"].clone();
            self.cursor = page["cursor"].clone();
            for event in page["events"].as_array().into_iter().flatten() {
                let lead = &event["lead"];
                let grey = grey_case(event);
                let rep = match (lead["owner"]["key"].as_str(), lead["queue"]["team"].as_str()) {
                    (Some(owner), _) => owner,
                    (None, Some("sales")) => company::DESK,
                    _ if grey.is_some() => company::DESK,
                    _ => continue,
                };
                let email = lead["contact"]["email"].as_str().unwrap_or_default();
                let truth = self.truths.get(email).copied().unwrap_or_else(|| stranger(&mut self.random));
                let case = Case { lead: lead["id"].clone(), rep: rep.to_owned(), truth };
                let wait = |random: &mut Random| HOUR + random.wait(8.0 * HOUR as f64) as i64;
                let next = match grey {
                    Some(grey) => Some((Step::Weigh(grey), wait(&mut self.random))),
                    None => first(&mut self.random),
                };
                if let Some((step, wait)) = next {
                    self.plan(now.plus(wait / self.pace), case, step);
                }
            }
            if page["atHead"] == json!(true) {
                return Ok(());
            }
        }
    }

    /// From now on at the wall's clock: somebody new now and then, visits of those who are known, and sales at work.
    pub fn go_on(&mut self) -> Result<(), CliError> {
        let market = Market::new(self.demo.args.seed, self.demo.args.leads as usize);
        // Numbers that no season uses.
        let mut number = usize::try_from(SystemClock.now().ms() / SECOND).unwrap_or(1_000_000);
        let mut known = self.known()?;
        while !self.demo.stopped() {
            std::thread::sleep(Duration::from_millis(self.random.whole(700, 2_200).unsigned_abs()));
            let now = SystemClock.now();
            if self.demo.args.data.is_none() && self.random.chance(0.25) {
                number += 1;
                let one = market.passer_by(&mut self.random, number);
                self.truths.insert(email(&one), one.truth);
                self.capture(std::slice::from_ref(&one.form))?;
            }
            if !known.is_empty() && self.random.chance(0.7) {
                let lead = self.random.pick(&known).clone();
                let touch = self.visit(now);
                self.touch(&[touch_input(&touch, ("lead", json!({"id": lead})))])?;
            }
            if self.random.chance(0.05) {
                known = self.known()?;
            }
            let now = SystemClock.now();
            self.notice(now)?;
            self.sell(now)?;
        }
        Ok(())
    }

    fn visit(&mut self, at: Instant) -> Touch {
        use handfast_domain::stage::Channel;
        let (channel, content) = *self.random.pick(&[
            (Channel::Email, "newsletter"),
            (Channel::Direct, "product-page"),
            (Channel::Direct, "pricing"),
            (Channel::OrganicSearch, "guide-picking"),
            (Channel::Retargeting, "video-tour"),
            (Channel::Direct, "demo-request"),
        ]);
        Touch { at: at.plus(-MINUTE), channel, content, campaign: None }
    }

    /// Leads that marketing still works on.
    fn known(&self) -> Result<Vec<String>, CliError> {
        let document = "{ leads(first: 200, filter: {outcomes: [OPEN], stages: [INQUIRY, IQL]}) { edges { node { id } } } }";
        let page = self.demo.admin.query(document, json!({}))?["leads"].clone();
        let edges = page["edges"].as_array().cloned().unwrap_or_default();
        Ok(edges.iter().filter_map(|edge| edge["node"]["id"].as_str().map(str::to_owned)).collect())
    }
}

/// The grey case that an event opened.
fn grey_case(event: &Value) -> Option<Uuid> {
    let payload = event["payload"].as_str().filter(|_| event["kind"] == "GREY_CASE_OPENED")?;
    let body: Value = serde_json::from_str(payload).ok()?;
    Uuid::try_parse(body["fact"]["case"].as_str()?).ok()
}

/// Of whom nothing is known beforehand.
fn stranger(random: &mut Random) -> Truth {
    Truth {
        fit: random.between(0.3, 1.0),
        intent: random.between(0.2, 1.0),
        authority: random.between(0.2, 1.0),
        budget: random.between(0.2, 1.0),
        employees: random.whole(20, 900),
        caused: 0.0,
    }
}
