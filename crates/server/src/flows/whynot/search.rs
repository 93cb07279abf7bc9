//! The search for one slot: single fields first, then pairs of those that came nearest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handfast_domain::charter::RuleSlot;
use handfast_domain::criterion::FieldTest;
use handfast_domain::deployment::DeploymentMode;
use handfast_domain::evaluation::{Decision, judge_gate};
use handfast_domain::field::Value;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::StageKind;
use handfast_domain::time::{DAY, Instant};
use handfast_domain::verdict::{Outcome, Status};
use handfast_domain::whynot::{FieldChange, Sources, between, candidates, with};
use handfast_rules::{Context, Judged};
use uuid::Uuid;

use super::{Answer, SlotAnswer};
use crate::app::App;
use crate::flows::Error;
use crate::flows::evaluate::live_rule;
use crate::workspace::{LiveRule, Workspace};

/// Changes of one field that are tried, of a slot.
const SINGLES: usize = 1_000;
/// Changes of two fields that are tried, of a slot.
const PAIRS: usize = 3_000;
/// Snapshots that are judged together.
const BATCH: usize = 500;
/// Answers of a slot.
const ANSWERS: usize = 5;
/// Values of a field that take part in pairs.
const PAIRED: usize = 3;
/// Points tried at once, and rounds, when the exact threshold of an integer is looked for.
const POINTS: i64 = 64;
const ROUNDS: usize = 5;
/// Other leads whose values are tried.
const OBSERVED_LEADS: i64 = 200;
/// Values of one field that are taken from other leads.
const OBSERVED: usize = 8;

/// One search at one gate for one lead.
pub(super) struct Search<'a> {
    pub app: &'a App,
    pub workspace: &'a Workspace,
    pub stage: StageKind,
    pub snapshot: Snapshot,
    pub as_of: Instant,
}

/// A change with what the rule made of it.
struct Tried {
    changes: Vec<FieldChange>,
    judged: Judged,
}

impl Tried {
    fn passes(&self) -> bool {
        self.judged.verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Advance)
    }

    fn points(&self) -> i64 {
        self.judged.verdict.as_ref().map_or(i64::MIN, |said| i64::from(said.fit) + i64::from(said.engagement))
    }

    /// Fewer fields, then less effort, then the shorter way.
    fn rank(&self) -> (usize, u32, u64) {
        let changes = &self.changes;
        let cost = changes.iter().map(FieldChange::cost).sum();
        (changes.len(), cost, changes.iter().map(FieldChange::distance).fold(0, u64::saturating_add))
    }
}

impl Search<'_> {
    /// What one rule of the gate would need.
    pub async fn slot(&self, slot: &RuleSlot, said: Option<&Decision>) -> Result<SlotAnswer, Error> {
        let live = live_rule(self.workspace, slot);
        let status = said.map_or(Status::Fault, |said| said.status);
        let outcome = said.and_then(|said| said.outcome);
        let mut answer = SlotAnswer {
            slot: slot.key.clone(),
            status,
            outcome,
            answers: vec![],
            tried: 0,
            note: String::new(),
        };
        if live.deployment.is_none() {
            answer.note = "no rule is deployed here: the built-in rule holds every lead".to_owned();
            return Ok(answer);
        }
        if outcome == Some(Outcome::Advance) {
            answer.note = "it says ADVANCE already".to_owned();
            return Ok(answer);
        }
        let changes = self.candidates(slot, live).await?;
        let fields = changes.iter().map(|change| &change.field).collect::<BTreeSet<_>>().len();
        let mut singles = changes;
        singles.sort_by_key(FieldChange::cost);
        let cut = singles.len() > SINGLES;
        singles.truncate(SINGLES);
        let singles: Vec<Vec<FieldChange>> = singles.into_iter().map(|change| vec![change]).collect();
        let tried = self.ask(live, singles).await;
        answer.tried += tried.len();
        let mut good: Vec<Tried> = vec![];
        // Of each field the best value is enough; where it is a number, the nearest that is.
        for found in sorted(tried.iter().filter(|tried| tried.passes())) {
            if good.len() < ANSWERS && !good.iter().any(|one| one.changes[0].field == found.changes[0].field)
            {
                let (nearest, asked) = self.nearest(live, found).await;
                answer.tried += asked;
                good.push(nearest);
            }
        }
        let mut pairs = 0;
        if good.is_empty() {
            let both = self.pairs(&tried);
            pairs = both.len();
            let tried = self.ask(live, both).await;
            answer.tried += tried.len();
            good = sorted(tried.iter().filter(|tried| tried.passes()))
                .into_iter()
                .take(ANSWERS)
                .map(copy)
                .collect();
        }
        good.sort_by_key(Tried::rank);
        answer.note = match good.is_empty() {
            false => format!("{} of {fields} fields tried", count(&good)),
            true => format!(
                "no change of one or two of its {fields} fields was found to make it say ADVANCE, among {} values and {pairs} \
                 pairs of them{}",
                tried.len(),
                if cut { "; there were more values" } else { "" }
            ),
        };
        for one in good {
            let (gate, missing) = self.gate(&one.changes).await;
            let cost = one.changes.iter().map(FieldChange::cost).sum();
            answer.answers.push(Answer { changes: one.changes, cost, gate, missing });
        }
        Ok(answer)
    }

    async fn candidates(&self, slot: &RuleSlot, live: &LiveRule) -> Result<Vec<FieldChange>, Error> {
        let body = &self.workspace.charter.body;
        let entry = body.stage(self.stage).into_iter().flat_map(|stage| &stage.entry);
        let traits = body.personas.iter().flat_map(|persona| &persona.traits).map(|part| &part.test);
        let tests: Vec<&FieldTest> = entry
            .filter_map(|criterion| criterion.test.as_ref())
            .chain(&body.ideal_customer)
            .chain(body.ideal_profiles.iter().flat_map(|profile| &profile.criteria).map(|part| &part.test))
            .chain(traits)
            .collect();
        let descriptor = live.rule.descriptor();
        let sources = Sources {
            reads: &descriptor.reads,
            settings: live.settings.value(),
            tests: &tests,
            body,
            traits: &self.workspace.trait_kinds(),
            observed: &self.observed(slot).await?,
            as_of: self.as_of,
        };
        Ok(candidates(&self.snapshot, &sources))
    }

    /// Values that several other leads of the slot had of late: what only one lead has could point to it.
    async fn observed(&self, slot: &RuleSlot) -> Result<BTreeMap<String, Vec<Value>>, Error> {
        let db = self.app.store.read();
        let window = (self.as_of.plus(-90 * DAY), self.as_of.plus(1));
        let slots = [slot.key.clone()];
        let newest = handfast_store::judged::votes(db, &slots, window, None, OBSERVED_LEADS).await?;
        let wanted: Vec<(Uuid, _)> = newest.iter().map(|vote| (vote.lead, vote.snapshot)).collect();
        let mut counts: BTreeMap<String, BTreeMap<String, (Value, BTreeSet<Uuid>)>> = BTreeMap::new();
        for ((lead, _), snapshot) in handfast_store::judged::snapshots(db, &wanted).await? {
            for (path, value) in snapshot.fields {
                let values = counts.entry(path).or_default();
                values
                    .entry(format!("{value:?}"))
                    .or_insert_with(|| (value, Default::default()))
                    .1
                    .insert(lead);
            }
        }
        Ok(counts
            .into_iter()
            .map(|(path, values)| {
                let mut values: Vec<_> = values.into_values().filter(|(_, leads)| leads.len() > 1).collect();
                values.sort_by_key(|(_, leads)| std::cmp::Reverse(leads.len()));
                (path, values.into_iter().take(OBSERVED).map(|(value, _)| value).collect())
            })
            .collect())
    }

    /// Judges the snapshot with each of these changes.
    async fn ask(&self, live: &LiveRule, changes: Vec<Vec<FieldChange>>) -> Vec<Tried> {
        let context = Context { as_of: self.as_of, charter: self.workspace.charter.number, explain: false };
        let body = &self.workspace.charter.body;
        let mut tried = Vec::with_capacity(changes.len());
        for batch in changes.chunks(BATCH) {
            let leads = batch.iter().map(|changes| Arc::new(with(&self.snapshot, changes, body))).collect();
            let judged = self.app.host.evaluate(&live.rule, &live.settings, context, leads).await;
            let both = batch.iter().cloned().zip(judged);
            tried.extend(both.map(|(changes, judged)| Tried { changes, judged }));
        }
        tried
    }

    /// The value next to the one that is there at which the rule still says ADVANCE, for an integer that rose or fell to one;
    /// and how many snapshots were judged for it.
    async fn nearest(&self, live: &LiveRule, found: &Tried) -> (Tried, usize) {
        let mut best = copy(found);
        let FieldChange { field, from, to: Value::Integer(to) } = found.changes[0].clone() else {
            return (best, 0);
        };
        let start = match &from {
            Some(Value::Integer(from)) => *from,
            _ => 0,
        };
        let (mut low, mut high, mut asked) = (start, to, 0);
        for _ in 0..ROUNDS {
            let points = between(low, high, POINTS);
            if points.len() < 2 {
                break;
            }
            let change = |to: i64| {
                vec![FieldChange { field: field.clone(), from: from.clone(), to: Value::Integer(to) }]
            };
            let tried = self.ask(live, points.iter().map(|point| change(*point)).collect()).await;
            asked += tried.len();
            let Some(at) = tried.iter().position(Tried::passes) else { break };
            best = copy(&tried[at]);
            high = points[at];
            low = if at == 0 { low } else { points[at - 1] };
            if low.abs_diff(high) <= 1 {
                break;
            }
        }
        (best, asked)
    }

    /// Pairs of changes of different fields: of each field the values by which the rule came nearest to ADVANCE.
    fn pairs(&self, tried: &[Tried]) -> Vec<Vec<FieldChange>> {
        let mut by_field: BTreeMap<&str, Vec<&Tried>> = BTreeMap::new();
        for one in tried.iter().filter(|one| one.judged.status == Status::Ok) {
            by_field.entry(&one.changes[0].field).or_default().push(one);
        }
        let mut best: Vec<&Tried> = vec![];
        for values in by_field.values_mut() {
            values.sort_by_key(|one| (std::cmp::Reverse(one.points()), one.rank()));
            best.extend(values.iter().take(PAIRED));
        }
        best.sort_by_key(|one| (std::cmp::Reverse(one.points()), one.rank()));
        let mut pairs = vec![];
        // Diagonally, so that the best are tried with all others before the budget ends.
        for sum in 1..best.len().saturating_mul(2) {
            for first in (0..=sum / 2).filter(|first| sum - first < best.len() && *first < sum - first) {
                let (first, second) = (best[first], best[sum - first]);
                if first.changes[0].field != second.changes[0].field {
                    pairs.push(vec![first.changes[0].clone(), second.changes[0].clone()]);
                }
                if pairs.len() >= PAIRS {
                    return pairs;
                }
            }
        }
        pairs
    }

    /// What the whole gate would decide: the other slots see the changed lead, too.
    async fn gate(&self, changes: &[FieldChange]) -> (Outcome, Vec<String>) {
        let body = &self.workspace.charter.body;
        let snapshot = Arc::new(with(&self.snapshot, changes, body));
        let context = Context { as_of: self.as_of, charter: self.workspace.charter.number, explain: false };
        let mut decisions = vec![];
        for slot in body.slots_of(self.stage) {
            let live = live_rule(self.workspace, slot);
            let judged =
                self.app.host.evaluate(&live.rule, &live.settings, context, vec![snapshot.clone()]).await;
            decisions.extend(judged.into_iter().map(|judged| self.supposed(slot, live, &snapshot, judged)));
        }
        let result = judge_gate(body, self.stage, &snapshot, &decisions);
        (result.result, result.missing)
    }

    /// As a decision, which nobody records.
    fn supposed(&self, slot: &RuleSlot, live: &LiveRule, snapshot: &Snapshot, judged: Judged) -> Decision {
        let Judged { status, verdict, input_digest, output_digest, fuel, batch_size, message } = judged;
        let said = verdict.as_ref();
        Decision {
            id: Uuid::nil(),
            slot: slot.key.clone(),
            gate: Some(self.stage),
            deployment: live.deployment,
            version: live.rule.digest(),
            settings: live.settings.digest(),
            snapshot: snapshot.digest(),
            input: input_digest,
            output: output_digest,
            mode: DeploymentMode::Live,
            status,
            outcome: said.map(|said| said.outcome),
            text: None,
            target: None,
            fit: said.map_or(0, |said| said.fit),
            engagement: said.map_or(0, |said| said.engagement),
            confidence: said.map_or(0, |said| said.confidence),
            reasons: said.map(|said| said.reasons.clone()).unwrap_or_default(),
            missing: vec![],
            review_at: None,
            fuel,
            batch_size,
            engine: String::new(),
            message,
        }
    }
}

fn sorted<'t>(tried: impl Iterator<Item = &'t Tried>) -> Vec<&'t Tried> {
    let mut tried: Vec<&Tried> = tried.collect();
    tried.sort_by_key(|one| one.rank());
    tried
}

fn copy(one: &Tried) -> Tried {
    Tried { changes: one.changes.clone(), judged: one.judged.clone() }
}

fn count(good: &[Tried]) -> String {
    let one = good.iter().filter(|one| one.changes.len() == 1).count();
    match one {
        0 => format!("{} changes of two fields found; none of one", good.len()),
        1 => "one field found that would do".to_owned(),
        more => format!("{more} fields found that would do"),
    }
}
