//! A small company for the tests: four people, three queues, office hours in Berlin, and leads with their whole log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use handfast_domain::calendar::{Calendar, TimeZone, Weekday, WeeklyInterval};
use handfast_domain::change::{Change, Draft, Scene};
use handfast_domain::charter::{Charter, CharterBody, CharterStatus, Known, RuleSlot, SlotKind};
use handfast_domain::context_request::{ContextRequest, ContextTopic, Question};
use handfast_domain::criterion::{Comparator, Criterion, FieldTest};
use handfast_domain::deployment::DeploymentMode;
use handfast_domain::digest::Digest;
use handfast_domain::directory::{Directory, NamedCalendar, Queue, Team, User};
use handfast_domain::evaluation::{Composition, Decision, Evaluation, GateResult, RULED_GATES, judge_gate};
use handfast_domain::event::{Actor, ActorKind, Event, Fact};
use handfast_domain::handoff::Packet;
use handfast_domain::lead::Journey;
use handfast_domain::nurture::{NurtureStep, NurtureTrack};
use handfast_domain::profile::{Answer, Profile};
use handfast_domain::qualify::{Capture, Destination, Judgement};
use handfast_domain::refused::Refused;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::{Cause, Channel, Side, StageKind};
use handfast_domain::time::{DAY, Ids, Instant};
use handfast_domain::verdict::{Outcome, Status};
use uuid::Uuid;

/// Monday, 2026-03-02 09:00 in Berlin.
pub const MONDAY: Instant = Instant(1_772_438_400_000);

pub const MIA: Uuid = Uuid::from_u128(1);
pub const SAM: Uuid = Uuid::from_u128(2);
pub const SUE: Uuid = Uuid::from_u128(3);
pub const IVO: Uuid = Uuid::from_u128(4);
pub const PEOPLE: [Uuid; 4] = [MIA, SAM, SUE, IVO];

/// Identities in the order of their making.
pub struct Counter(AtomicU64);

impl Counter {
    pub fn at(next: u64) -> Counter {
        Counter(AtomicU64::new(next))
    }

    pub fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Ids for Counter {
    fn next(&self) -> Uuid {
        Uuid::from_u128(0x1000_0000 + u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

pub fn directory() -> Directory {
    let user = |id: Uuid, key: &str, side: Side, team: &str| User {
        id,
        key: key.into(),
        name: key.into(),
        side,
        team: team.into(),
        service: false,
        calendar: None,
        capacity: 50,
        territories: vec![],
        absences: vec![],
    };
    let team = |n: u128, key: &str, side: Side, calendar: Option<&str>| Team {
        id: Uuid::from_u128(n),
        key: key.into(),
        name: key.into(),
        side,
        calendar: calendar.map(str::to_owned),
        fallback_queue: None,
    };
    let queue = |n: u128, key: &str, team: &str| Queue {
        id: Uuid::from_u128(n),
        key: key.into(),
        name: key.into(),
        team: team.into(),
    };
    use Weekday::{Friday, Monday, Thursday, Tuesday, Wednesday};
    let weekly = [Monday, Tuesday, Wednesday, Thursday, Friday]
        .map(|day| WeeklyInterval { day, from: 9 * 60, to: 17 * 60 })
        .to_vec();
    let calendar =
        Calendar { time_zone: TimeZone::parse("Europe/Berlin").unwrap(), weekly, holidays: vec![] };
    Directory {
        users: vec![
            user(MIA, "mia", Side::Marketing, "marketing"),
            user(SAM, "sam", Side::Sales, "sales"),
            user(SUE, "sue", Side::Sales, "sales"),
            user(IVO, "ivo", Side::Sales, "inside"),
        ],
        teams: vec![
            team(11, "marketing", Side::Marketing, None),
            team(12, "sales", Side::Sales, Some("office")),
            team(13, "inside", Side::Sales, None),
        ],
        calendars: vec![NamedCalendar { id: Uuid::from_u128(21), key: "office".into(), calendar }],
        queues: vec![
            queue(31, "fallback", "sales"),
            queue(32, "marketing", "marketing"),
            queue(33, "inside", "inside"),
        ],
        pools: vec![],
        territories: vec![],
        tracks: vec![track(41, "value", &[1, 3]), track(42, "slow", &[30])],
    }
}

fn track(n: u128, key: &str, days: &[u32]) -> NurtureTrack {
    let step =
        |days: &u32| NurtureStep { after_days: *days, channel: Channel::Email, content: "letter".into() };
    let steps = days.iter().map(step).collect();
    NurtureTrack { id: Uuid::from_u128(n), key: key.into(), name: key.into(), personas: vec![], steps }
}

pub fn known() -> Known {
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    Known {
        teams: keys(&["marketing", "sales", "inside"]),
        queues: keys(&["fallback", "marketing", "inside"]),
        pools: keys(&["sales"]),
        traits: Default::default(),
    }
}

/// How the rules of a generated charter look.
#[derive(Clone, Debug)]
pub struct Funnel {
    pub iql_slots: usize,
    pub mql_slots: usize,
    pub composition: Composition,
    /// Employees that MQL requires.
    pub employees: Option<i64>,
    /// Grade of the need that SQL requires.
    pub grade: Option<i64>,
    pub strict_attempts: bool,
}

impl Default for Funnel {
    fn default() -> Funnel {
        let composition = Composition::All;
        Funnel {
            iql_slots: 0,
            mql_slots: 1,
            composition,
            employees: None,
            grade: None,
            strict_attempts: true,
        }
    }
}

impl Funnel {
    pub fn charter(&self) -> Charter {
        let mut body = CharterBody::unsigned("EUR", "Europe/Berlin");
        body.signals = vec!["feature-sso".into()];
        if !self.strict_attempts {
            body.attempts.attempts = 1;
            body.attempts.days = 0;
            body.attempts.channels = 1;
        }
        body.slots.retain(|slot| slot.kind == SlotKind::Route);
        for (gate, count) in [(StageKind::Iql, self.iql_slots), (StageKind::Mql, self.mql_slots)] {
            for position in 0..count {
                body.slots.push(RuleSlot {
                    key: format!("{}-{position}", gate.as_str().to_lowercase()),
                    kind: SlotKind::Qualify,
                    gate: Some(gate),
                    team: "marketing".into(),
                    position: position as u32,
                    scoring: position == 0,
                    pool: None,
                    approval: handfast_domain::deployment::ApprovalRule::None,
                });
            }
        }
        for stage in &mut body.stages {
            stage.composition = self.composition;
            let (field, least) = match stage.kind {
                StageKind::Mql => ("company.employees", self.employees),
                StageKind::Sql => ("answers.need.grade", self.grade),
                _ => continue,
            };
            stage.entry.extend(least.map(|least| Criterion {
                key: "enough".into(),
                text: format!("{field} is at least {least}"),
                test: Some(FieldTest::new(field, Comparator::Gte, &[&least.to_string()])),
                reason_code: None,
                required: true,
            }));
        }
        charter(0, body)
    }
}

/// A charter in force.
pub fn charter(number: u32, body: CharterBody) -> Charter {
    Charter {
        number,
        digest: body.digest(),
        status: CharterStatus::Active,
        body,
        signatures: vec![],
        proposed_by: None,
        proposed_at: MONDAY,
        activated_at: Some(MONDAY),
        reviewed_at: None,
        rejection: None,
    }
}

/// A rule's answer.
#[derive(Clone, Debug)]
pub enum Vote {
    Advance,
    /// With days until the next look, if the rule names them.
    Hold(Option<i64>),
    Review,
    Recycle(String, Option<i64>),
    Disqualify(String),
    Failed(Status),
}

pub fn question() -> Question {
    let (topic, field) = (ContextTopic::Background, Some("company.employees".to_owned()));
    Question { topic, field, text: "How many people work there?".to_owned() }
}

/// The company, its leads, and the time.
pub struct World {
    pub directory: Directory,
    pub charter: Charter,
    pub ids: Counter,
    pub now: Instant,
    pub leads: Vec<Lead>,
}

/// A lead with its log.
#[derive(Clone, Debug)]
pub struct Lead {
    pub journey: Journey,
    pub events: Vec<Event>,
    pub profile: Profile,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Step {
    pub result: Result<(), Refused>,
    pub change: Option<Change>,
}

impl World {
    pub fn new(funnel: &Funnel, leads: usize) -> World {
        let ids = Counter::at(0);
        let leads = (0..leads).map(|_| Lead {
            journey: Journey::blank(ids.next(), MONDAY),
            events: vec![],
            profile: Profile { salt: "salt".into(), ..Profile::default() },
        });
        let leads = leads.collect();
        World { directory: directory(), charter: funnel.charter(), ids, now: MONDAY, leads }
    }

    pub fn wait(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
    }

    /// What waits for an answer, the oldest first.
    pub fn questions(&self, lead: usize) -> Vec<ContextRequest> {
        let mut open: Vec<ContextRequest> = vec![];
        for event in &self.leads[lead].events {
            match &event.body.fact {
                Fact::ContextRequested { request, handoff, topic, field } => open.push(ContextRequest {
                    id: *request,
                    lead: event.stream_id,
                    cycle: event.body.cycle.unwrap_or(0),
                    handoff: *handoff,
                    topic: *topic,
                    field: field.clone(),
                    question: question().text,
                    asked_by: event.body.actor.user.unwrap_or(SAM),
                    asked_at: event.occurred_at,
                    answer: None,
                }),
                Fact::ContextAnswered { request } => open.retain(|asked| asked.id != *request),
                _ => {}
            }
        }
        open
    }

    pub fn lead(&self, lead: usize) -> &handfast_domain::lead::Lead {
        &self.leads[lead].journey.lead
    }

    /// A verb of a person or of the machine, now.
    pub fn act(
        &mut self,
        lead: usize,
        cause: Cause,
        verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.step(lead, cause, self.now, true, verb).result
    }

    /// One change of one lead. It holds for every verb that a refusal changes nothing, and that it does not matter
    /// whether the journey came from the whole log or from the store, which loads the clocks of the newest cycle only.
    pub fn step(
        &mut self,
        lead: usize,
        cause: Cause,
        at: Instant,
        live: bool,
        verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
    ) -> Step {
        let before = self.leads[lead].journey.clone();
        let first = self.ids.peek();
        let (result, change) = self.attempt(&self.ids, before.clone(), cause, at, live, &verb);
        let mut loaded = before.clone();
        loaded.clocks.retain(|clock| clock.cycle == before.lead.cycle);
        let (again, same) = self.attempt(&Counter::at(first), loaded, cause, at, live, &verb);
        assert_eq!(result, again, "the verb answers the same on a loaded journey");
        let events = |change: &Option<Change>| change.as_ref().map(|change| change.events.clone());
        assert_eq!(events(&change), events(&same), "the verb does the same to a loaded journey");
        if let Some(change) = &change {
            let lead = &mut self.leads[lead];
            lead.journey = change.after.clone();
            lead.events.extend(change.events.iter().cloned());
        }
        Step { result, change }
    }

    fn attempt(
        &self,
        ids: &Counter,
        journey: Journey,
        cause: Cause,
        at: Instant,
        live: bool,
        verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
    ) -> (Result<(), Refused>, Option<Change>) {
        let scene = Scene {
            now: self.now,
            at,
            actor: Actor::of(ActorKind::Import),
            cause,
            charter: &self.charter,
            directory: &self.directory,
            ids,
            live,
        };
        let before = journey.clone();
        let mut draft = Draft::new(journey, scene);
        let result = verb(&mut draft);
        if result.is_err() {
            assert_eq!(draft.journey, before, "a refusal changes nothing");
            assert!(draft.is_empty() && draft.routed.is_none(), "a refusal writes nothing");
            return (result, None);
        }
        (result, Some(draft.finish()))
    }

    pub fn capture(&mut self, lead: usize) -> Result<(), Refused> {
        self.act(lead, Cause::Capture, |draft| {
            draft.capture(Capture {
                account: None,
                campaign: None,
                source: "organic_search".into(),
                channel: Channel::OrganicSearch,
            })
        })
    }

    pub fn snapshot(&self, lead: usize) -> Snapshot {
        let Lead { journey, profile, .. } = &self.leads[lead];
        profile.snapshot(journey, &self.charter, false).0
    }

    /// What the rules of the gates above the lead's stage say, one vote after the other.
    pub fn judgement(&self, lead: usize, votes: &[Vote]) -> Judgement {
        let snapshot = self.snapshot(lead);
        let stage =
            if self.leads[lead].journey.is_open() { self.lead(lead).stage } else { StageKind::Inquiry };
        let mut votes = votes.iter().cycle();
        let (mut gates, mut decisions): (Vec<GateResult>, Vec<Decision>) = (vec![], vec![]);
        let body = &self.charter.body;
        for gate in RULED_GATES.into_iter().filter(|gate| *gate > stage) {
            if !handfast_domain::evaluation::is_guarded(body, gate) {
                continue;
            }
            for slot in body.slots_of(gate) {
                let vote = votes.next().unwrap_or(&Vote::Advance);
                decisions.push(decision(self.ids.next(), &slot.key, gate, vote, self.now));
            }
            let result = judge_gate(body, gate, &snapshot, &decisions);
            let met = result.result == Outcome::Advance;
            gates.push(result);
            if !met {
                break;
            }
        }
        let evaluation = self.evaluation(lead, &snapshot, gates, decisions);
        Judgement { evaluation, snapshots: vec![Arc::new(snapshot)], persona: None }
    }

    pub fn evaluation(
        &self,
        lead: usize,
        snapshot: &Snapshot,
        gates: Vec<GateResult>,
        decisions: Vec<Decision>,
    ) -> Evaluation {
        Evaluation {
            id: self.ids.next(),
            lead: self.lead(lead).id,
            cycle: self.lead(lead).cycle,
            as_of: self.now,
            charter: self.charter.number,
            snapshot: snapshot.digest(),
            cause: Cause::Evaluation,
            gates,
            decisions,
        }
    }

    pub fn evaluate(&mut self, lead: usize, votes: &[Vote]) -> Result<(), Refused> {
        let judgement = self.judgement(lead, votes);
        self.act(lead, Cause::Evaluation, |draft| draft.evaluated(copy(&judgement)))
    }

    pub fn route(&mut self, lead: usize, owner: Option<Uuid>, queue: Option<&str>) -> Result<(), Refused> {
        let destination = destination(owner, queue);
        self.act(lead, Cause::Routing, |draft| draft.route(destination.clone(), packet()))
    }

    /// The gate to SQL, judged by the charter's criteria.
    pub fn qualify(&mut self, lead: usize) -> Result<(), Refused> {
        let snapshot = self.snapshot(lead);
        let gates = vec![judge_gate(&self.charter.body, StageKind::Sql, &snapshot, &[])];
        let evaluation = self.evaluation(lead, &snapshot, gates, vec![]);
        let snapshots = vec![Arc::new(snapshot)];
        self.act(lead, Cause::Sales, |draft| draft.qualify(evaluation.clone(), snapshots.clone()))
    }
}

pub fn copy(judgement: &Judgement) -> Judgement {
    let Judgement { evaluation, snapshots, persona } = judgement;
    Judgement { evaluation: evaluation.clone(), snapshots: snapshots.clone(), persona: persona.clone() }
}

pub fn destination(owner: Option<Uuid>, queue: Option<&str>) -> Destination {
    let pool = owner.map(|_| ("sales".to_owned(), 1));
    Destination { owner, queue: queue.map(str::to_owned), priority: 3, decision: None, pool }
}

pub fn packet() -> Packet {
    Packet {
        background: vec![],
        behaviour: vec![],
        content_seen: vec!["pricing".into()],
        insights: vec![],
        talking_points: vec![],
        promises: vec![],
        first_meeting_expectation: None,
        first_meeting_purpose: None,
    }
}

pub fn decision(id: Uuid, slot: &str, gate: StageKind, vote: &Vote, now: Instant) -> Decision {
    let in_days = |days: &Option<i64>| days.map(|days| now.plus(days * DAY));
    let (status, outcome, target, review_at) = match vote {
        Vote::Advance => (Status::Ok, Some(Outcome::Advance), None, None),
        Vote::Hold(days) => (Status::Ok, Some(Outcome::Hold), None, in_days(days)),
        Vote::Review => (Status::Ok, Some(Outcome::Review), None, None),
        Vote::Recycle(reason, days) => {
            (Status::Ok, Some(Outcome::Recycle), Some(reason.clone()), in_days(days))
        }
        Vote::Disqualify(reason) => (Status::Ok, Some(Outcome::Disqualify), Some(reason.clone()), None),
        Vote::Failed(status) => (*status, None, None, None),
    };
    Decision {
        id,
        slot: slot.into(),
        gate: Some(gate),
        deployment: None,
        version: Digest([1; 32]),
        settings: Digest([2; 32]),
        snapshot: Digest([5; 32]),
        input: Digest([3; 32]),
        output: outcome.map(|_| Digest([4; 32])),
        mode: DeploymentMode::Live,
        status,
        outcome,
        text: None,
        target,
        fit: 10,
        engagement: 20,
        confidence: 5_000,
        reasons: vec![],
        missing: vec![],
        review_at,
        fuel: 1,
        batch_size: 1,
        engine: "test".into(),
        message: None,
    }
}

/// A sure answer with evidence.
pub fn graded(grade: i64, at: Instant) -> Answer {
    Answer { grade, confidence: 10_000, evidence: true, at }
}
