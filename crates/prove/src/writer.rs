//! Writers: each captures leads and works on them as its story says, every change with an idempotency key. An answer counts when it is
//! on disk in a side file; one that was cut off is asked for again with the same key, maybe at another node.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use handfast_bench::Failed;
use handfast_bench::load::{Connection, post};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::checker::{Answer, Asked, Effect};
use crate::dice::Dice;

/// What all writers of a run share.
pub struct Desk {
    /// The nodes' doors, which stay where they are when a node starts again.
    pub doors: Vec<SocketAddr>,
    pub token: String,
    pub story: Story,
    /// Whether an answer counts only when its note is on disk.
    pub on_disk: bool,
    pub stop: AtomicBool,
    /// Writers that have come to the end of their story.
    pub finished: AtomicU64,
    pub acknowledged: AtomicU64,
    /// The longest time in which nobody was acknowledged anything, and when somebody was last.
    pub silence: Mutex<(Duration, Instant)>,
    /// Requests that got no answer or a refusal that invites to try again.
    pub again: AtomicU64,
    /// How long a change may stay without an answer before the run is given up.
    pub patience: Duration,
}

impl Desk {
    pub fn new(
        doors: Vec<SocketAddr>,
        token: String,
        story: Story,
        on_disk: bool,
        patience: Duration,
    ) -> Desk {
        Desk {
            doors,
            token,
            story,
            on_disk,
            stop: AtomicBool::new(false),
            finished: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            silence: Mutex::new((Duration::ZERO, Instant::now())),
            again: AtomicU64::new(0),
            patience,
        }
    }
}

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// How often a lead is closed and reopened before the next one is captured.
const ROUNDS: usize = 3;

/// What writers do with a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// An e-mail, closed, reopened, and again; lead after lead until they are told to stop.
    Changes,
    /// Recycled until a moment that comes within so many seconds; so many leads for each writer.
    Timers { leads: u64, within: u64 },
}

struct Writer {
    number: u64,
    desk: Arc<Desk>,
    dice: Dice,
    file: File,
    connections: Vec<Option<Connection>>,
    /// Where it was answered last: it stays there until it is not.
    door: usize,
}

/// Writes until its story is over, or until it is told to stop and its last change is answered.
pub async fn run(desk: Arc<Desk>, number: u64, seed: u64, dir: PathBuf) -> Result<(), Failed> {
    let file = File::create(side_file(&dir, number))?;
    let connections = desk.doors.iter().map(|_| None).collect();
    let door = usize::try_from(number)? % desk.doors.len();
    let dice = Dice::of(seed, number);
    let mut writer = Writer { number, desk: desk.clone(), dice, file, connections, door };
    let told = writer.tell().await;
    desk.finished.fetch_add(1, Ordering::Relaxed);
    told
}

fn side_file(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("writer-{number}"))
}

/// What the side files say.
pub fn read_back(dir: &Path, writers: u64) -> Result<Vec<Asked>, Failed> {
    let mut asked = BTreeMap::<String, Asked>::new();
    for number in 0..writers {
        for line in std::fs::read_to_string(side_file(dir, number))?.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [word, key, lead, version] = fields[..] else {
                return Err(Failed(format!("a line of the side file: {line:?}")));
            };
            let effect = EFFECTS.iter().find(|(_, name, ..)| *name == word).map(|(effect, ..)| *effect);
            let effect = effect.ok_or_else(|| Failed(format!("no effect {word:?}")))?;
            // A key belongs to one mutation.
            let key = format!("{word} {key}");
            let ask = asked.entry(key.clone());
            let ask = ask.or_insert_with(|| Asked { key, effect, answers: Vec::new() });
            ask.answers.push(Answer { lead: lead.parse()?, version: version.parse()? });
        }
    }
    Ok(asked.into_values().collect())
}

/// Each effect with its mutation.
const EFFECTS: [(Effect, &str, &str); 4] = [
    (Effect::Captured, "captureLead", "CaptureLeadInput"),
    (Effect::Closed, "dispositionLead", "DispositionLeadInput"),
    (Effect::Reopened, "reopenLead", "ReopenLeadInput"),
    (Effect::Noted, "logActivity", "LogActivityInput"),
];

impl Writer {
    async fn tell(&mut self) -> Result<(), Failed> {
        let leads = match self.desk.story {
            Story::Changes => u64::MAX,
            Story::Timers { leads, .. } => leads,
        };
        for n in 0..leads {
            let lead = json!({"email": format!("w{}-{n}@example.test", self.number)});
            let captured = self.change(Effect::Captured, &format!("{n}"), json!({"lead": lead})).await?;
            let Some(lead) = captured else { return Ok(()) };
            for (name, effect, input) in self.plot(&json!({"id": lead})) {
                if self.change(effect, &format!("{n}-{name}"), input).await?.is_none() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What happens to a lead: part of the key, effect, input.
    fn plot(&mut self, lead: &Value) -> Vec<(usize, Effect, Value)> {
        let round = |round| {
            [
                (round, Effect::Noted, json!({"lead": lead, "kind": "EMAIL", "direction": "OUTBOUND"})),
                (round, Effect::Closed, json!({"lead": lead, "outcome": "DISQUALIFY", "reason": "NOT_ICP"})),
                (round, Effect::Reopened, json!({"lead": lead, "reason": "again"})),
            ]
        };
        match self.desk.story {
            Story::Changes => (0..ROUNDS).flat_map(round).collect(),
            Story::Timers { within, .. } => {
                let due = crate::now() + self.dice.millis(3_000, within * 1_000);
                let due = handfast_domain::time::Instant(due.as_millis() as i64).to_string();
                let input =
                    json!({"lead": lead, "outcome": "RECYCLE", "reason": "NO_TIMELINE", "recycleAt": due});
                vec![(0, Effect::Closed, input)]
            }
        }
    }

    /// Makes one change, and answers the lead's id; none when it is time to stop.
    async fn change(
        &mut self,
        effect: Effect,
        name: &str,
        mut input: Value,
    ) -> Result<Option<String>, Failed> {
        if self.desk.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some((_, field, kind)) = EFFECTS.iter().find(|(known, ..)| *known == effect) else {
            return Ok(None);
        };
        let key = format!("w{}-{name}", self.number);
        input["idempotencyKey"] = key.clone().into();
        let document = format!(
            "mutation($input: {kind}!) {{ {field}(input: $input) {{ lead {{ id uuid version }} errors {{ message }} }} }}"
        );
        let body = json!({"query": document, "variables": {"input": input}});
        let shot = post("/graphql", &self.desk.token, &body);
        // Now and then it asks again for what it knows already.
        let times = 1 + usize::from(self.dice.percent(5));
        let mut id = None;
        for _ in 0..times {
            // What came too late for its date is no timer.
            let Some(lead) = self.ask(&shot, field).await? else { return Ok(Some(String::new())) };
            let text = |name: &str| lead[name].as_str().map(str::to_owned);
            let (Some(uuid), Some(version)) = (text("uuid"), lead["version"].as_i64()) else {
                return Err(Failed(format!("{key}: no lead in the answer {lead}")));
            };
            writeln!(self.file, "{field} {key} {uuid} {version}")?;
            if self.desk.on_disk {
                let file = self.file.try_clone()?;
                tokio::task::spawn_blocking(move || file.sync_data()).await??;
            }
            id = text("id");
        }
        self.desk.acknowledged.fetch_add(1, Ordering::Relaxed);
        let mut silence = self.desk.silence.lock().unwrap_or_else(PoisonError::into_inner);
        *silence = (silence.0.max(silence.1.elapsed()), Instant::now());
        Ok(id)
    }

    /// Asks until there is an answer; none if that is a refusal that the story knows.
    async fn ask(&mut self, shot: &Vec<u8>, field: &str) -> Result<Option<Value>, Failed> {
        let began = Instant::now();
        loop {
            // As behind a balancer that finds another node for whoever got no answer; and elsewhere at times, to be sure
            // that all of them say the same.
            if self.dice.percent(5) {
                self.door = self.dice.below(self.desk.doors.len());
            }
            let door = self.door;
            match timeout(ANSWER, self.once(door, shot, field)).await {
                Ok(Ok(payload)) => {
                    let errors = payload["errors"].to_string();
                    if errors == "[]" {
                        return Ok(Some(payload["lead"].clone()));
                    }
                    if self.desk.story != Story::Changes && errors.contains("must lie in the future") {
                        return Ok(None);
                    }
                    return Err(Failed(format!("{field} was refused: {errors}")));
                }
                ended => {
                    self.connections[door] = None;
                    self.door = self.dice.below(self.desk.doors.len());
                    self.desk.again.fetch_add(1, Ordering::Relaxed);
                    if began.elapsed() > self.desk.patience {
                        let why = match ended {
                            Ok(Err(Failed(why))) => why,
                            _ => format!("no answer within {ANSWER:?}"),
                        };
                        return Err(Failed(format!(
                            "{field}: nobody answered for {:?}: {why}",
                            self.desk.patience
                        )));
                    }
                    sleep(self.dice.millis(20, 200)).await;
                }
            }
        }
    }

    async fn once(&mut self, door: usize, shot: &Vec<u8>, field: &str) -> Result<Value, Failed> {
        let mut connection = match self.connections[door].take() {
            Some(connection) => connection,
            None => Connection::open(self.desk.doors[door]).await?,
        };
        connection.ask(shot).await?;
        let answer: Value = serde_json::from_slice(connection.body())?;
        if !answer["errors"].is_null() {
            return Err(Failed(answer["errors"].to_string()));
        }
        self.connections[door] = Some(connection);
        let payload = &answer["data"][field];
        // Others were faster, time and again.
        match payload["errors"].to_string() {
            errors if errors.contains("repeat the request") => Err(Failed(errors)),
            _ => Ok(payload.clone()),
        }
    }
}

/// The uuid in a global id.
pub fn uuid_of(id: &str) -> Option<Uuid> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    text.split_once(':')?.1.parse().ok()
}
