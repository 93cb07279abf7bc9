//! One page of looks judged again, by both rules as of then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handfast_domain::backtest::{
    Cell, Desk, Judged as Counted, Population, Scope, Tally, Vote, known_outcome,
};
use handfast_domain::digest::Digest;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::{Cause, StageKind};
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Outcome, Status, Verdict};
use handfast_rules::{Context, Judged, Rule, Settings};
use handfast_store::StoreError;
use handfast_store::backtest::{self as store, Look};
use uuid::Uuid;

use super::super::Error;
use crate::app::App;

/// A rule that is tried.
#[derive(Clone)]
pub struct Tried {
    pub rule: Rule,
    pub settings: Settings,
}

impl Tried {
    fn is(&self, other: &Tried) -> bool {
        (self.rule.digest(), self.settings.digest()) == (other.rule.digest(), other.settings.digest())
    }
}

/// What all pages of a run share.
pub struct Job {
    pub app: App,
    pub gate: StageKind,
    pub scope: Scope,
    pub baseline: Tried,
    pub candidate: Tried,
    /// Paths of the candidate's declared fields.
    pub paths: Vec<String>,
    /// Traits among them.
    pub traits: Vec<String>,
    /// Where leads wait that nobody in sales has.
    pub marketing_queue: String,
}

/// A snapshot with the instant and the charter of its look.
pub type Seen = (Context, Arc<Snapshot>);

/// What became of a page.
pub struct Page {
    pub tally: Tally,
    /// The leads that were judged, the newest first.
    pub seen: Vec<Seen>,
}

struct Wanted<'l> {
    look: &'l Look,
    good: bool,
    snapshot: Arc<Snapshot>,
    baseline: Vote,
    candidate: Vote,
    fuel: u64,
}

impl Job {
    /// Judges the newest `most` of these looks that have an outcome.
    pub async fn page(&self, looks: &[Look], most: u32) -> Result<Page, Error> {
        let mut population = Population { looks: count(looks.len()).into(), ..Population::default() };
        let mut wanted = self.wanted(looks, &mut population).await?;
        wanted.truncate(most as usize);
        population.judged = count(wanted.len()).into();
        self.judge(&mut wanted).await?;
        let late = self.late(&wanted).await?;
        let desks = self.desks(&wanted).await?;
        let mut tally = Tally::new(wanted.len());
        tally.population = population;
        let mut seen = Vec::with_capacity(wanted.len());
        for one in wanted {
            let Wanted { look, good, snapshot, baseline, candidate, fuel } = one;
            let cell = |path: &String| Cell::of(path, snapshot.get(path), look.at);
            let group = |path| snapshot.text(path).map(str::to_owned);
            let desk = desks.get(&(look.lead, look.cycle)).cloned().unwrap_or(Desk::Nobody);
            let unknown = |place: &usize| snapshot.get(&self.paths[*place]).is_none();
            tally.add(Counted {
                lead: look.lead,
                at: look.at,
                good,
                baseline,
                candidate,
                fuel,
                cells: self.paths.iter().map(cell).collect(),
                late: late.get(&look.lead).into_iter().flatten().copied().filter(unknown).collect(),
                groups: [group("persona.key"), group("campaign.key"), group("lead.source")],
                desk,
                imported: look.cause == Cause::Import,
            });
            seen.push((context(look), snapshot));
        }
        Ok(Page { tally, seen })
    }

    /// The looks that have an outcome and a snapshot and that were asked for.
    async fn wanted<'l>(
        &self,
        looks: &'l [Look],
        population: &mut Population,
    ) -> Result<Vec<Wanted<'l>>, StoreError> {
        let mut known = vec![];
        for look in looks {
            match known_outcome(self.gate, look.told) {
                _ if !look.last => population.superseded += 1,
                Some(good) => known.push((look, good)),
                None if look.told.by_rule => population.closed_by_rule += 1,
                None => population.unknown += 1,
            }
        }
        let keys: BTreeSet<(Uuid, Digest)> =
            known.iter().map(|(look, _)| (look.lead, look.snapshot)).collect();
        if keys.is_empty() {
            return Ok(vec![]);
        }
        let mut snapshots: BTreeMap<_, Arc<Snapshot>> = BTreeMap::new();
        for (key, snapshot) in store::snapshots(self.app.store.read(), &keys).await? {
            snapshots.insert(key, Arc::new(snapshot));
        }
        let mut wanted = vec![];
        for (look, good) in known {
            match snapshots.get(&(look.lead, look.snapshot)).cloned() {
                None => population.erased += 1,
                Some(snapshot) if !self.asked_for(&snapshot) => population.filtered += 1,
                Some(snapshot) => {
                    wanted.push(Wanted { look, good, snapshot, baseline: None, candidate: None, fuel: 0 });
                }
            }
        }
        Ok(wanted)
    }

    fn asked_for(&self, snapshot: &Snapshot) -> bool {
        let Scope { persona, campaign, source, .. } = &self.scope;
        let conditions = [("persona.key", persona), ("campaign.key", campaign), ("lead.source", source)];
        conditions
            .into_iter()
            .all(|(path, wanted)| wanted.is_none() || snapshot.text(path) == wanted.as_deref())
    }

    /// Leads of one instant are one call, since the instant is an input.
    async fn judge(&self, wanted: &mut [Wanted<'_>]) -> Result<(), Overload> {
        let mut calls: BTreeMap<(Instant, u32), Vec<usize>> = BTreeMap::new();
        for (place, one) in wanted.iter().enumerate() {
            calls.entry((one.look.at, one.look.charter)).or_default().push(place);
        }
        let same = self.baseline.is(&self.candidate);
        for places in calls.into_values() {
            let leads: Vec<Arc<Snapshot>> =
                places.iter().map(|place| wanted[*place].snapshot.clone()).collect();
            let context = context(wanted[places[0]].look);
            for (place, judged) in places.iter().zip(self.ask(&self.candidate, context, &leads).await?) {
                let one = &mut wanted[*place];
                one.candidate = judged.verdict.map(|verdict| verdict.outcome);
                one.fuel = judged.fuel;
                one.baseline = one.candidate;
            }
            if !same {
                for (place, judged) in places.iter().zip(self.ask(&self.baseline, context, &leads).await?) {
                    wanted[*place].baseline = judged.verdict.map(|verdict| verdict.outcome);
                }
            }
        }
        Ok(())
    }

    /// What a rule says of these leads, once the host has room for the call.
    async fn ask(
        &self,
        tried: &Tried,
        context: Context,
        leads: &[Arc<Snapshot>],
    ) -> Result<Vec<Judged>, Overload> {
        let judge = || self.app.host.judge_here(&tried.rule, &tried.settings, context, leads);
        patiently(FIRST_WAIT, judge).await
    }

    /// Declared traits, by their places, that were observed after the look.
    async fn late(&self, wanted: &[Wanted<'_>]) -> Result<BTreeMap<Uuid, Vec<usize>>, StoreError> {
        let mut late: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        if self.traits.is_empty() || wanted.is_empty() {
            return Ok(late);
        }
        let at: BTreeMap<Uuid, Instant> = wanted.iter().map(|one| (one.look.lead, one.look.at)).collect();
        let leads = at.keys().copied().collect();
        for (lead, key, observed) in store::observed(self.app.store.read(), &leads, &self.traits).await? {
            let path = format!("traits.{key}");
            let place = self.paths.iter().position(|known| *known == path);
            if let Some(place) = place.filter(|_| at.get(&lead).is_some_and(|at| observed > *at)) {
                late.entry(lead).or_default().push(place);
            }
        }
        Ok(late)
    }

    /// Who first had the leads that either rule lets through.
    async fn desks(&self, wanted: &[Wanted<'_>]) -> Result<BTreeMap<(Uuid, u32), Desk>, StoreError> {
        let advance = Some(Outcome::Advance);
        let passes = |one: &&Wanted<'_>| one.baseline == advance || one.candidate == advance;
        let leads: BTreeSet<Uuid> = wanted.iter().filter(passes).map(|one| one.look.lead).collect();
        if leads.is_empty() {
            return Ok(BTreeMap::new());
        }
        let assigned = store::assigned(self.app.store.read(), &leads).await?;
        let desk = |(key, had): (_, Vec<(Option<Uuid>, Option<String>)>)| {
            let owner = had.iter().find_map(|(owner, _)| *owner).map(Desk::Owner);
            let queues = had.iter().filter_map(|(_, queue)| queue.clone());
            let queue = queues.into_iter().find(|queue| *queue != self.marketing_queue).map(Desk::Queue);
            (key, owner.or(queue).unwrap_or(Desk::Nobody))
        };
        Ok(assigned.into_iter().map(desk).collect())
    }

    /// Of how many of these leads the candidate says something else once it does not know the field.
    pub async fn changed_without(&self, path: &str, seen: &[Seen]) -> Result<u32, Overload> {
        let judge = async |context: Context, lead: Arc<Snapshot>| {
            let judged = self.ask(&self.candidate, context, &[lead]).await?.pop();
            Ok(judged.and_then(|judged| judged.verdict).map(essence))
        };
        let mut changed = 0;
        for (context, snapshot) in seen {
            if snapshot.get(path).is_none() {
                continue;
            }
            let mut without = Snapshot::clone(snapshot);
            without.fields.remove(path);
            let with = judge(*context, snapshot.clone()).await?;
            changed += u32::from(with != judge(*context, Arc::new(without)).await?);
        }
        Ok(changed)
    }
}

/// The host had no room for a call for as long as it was waited for.
#[derive(Debug)]
pub struct Overload;

impl From<Overload> for Error {
    fn from(_: Overload) -> Error {
        StoreError::Busy("the rules host was at capacity (RULES_BUSY)".to_owned()).into()
    }
}

/// The first wait for the host; each one after it is twice as long, up to fifty times.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// How often a call waits for the host: half a minute in all.
const WAITS: u32 = 36;

/// Asks again while the host has no room: that a lead was not judged for want of it says nothing about the rule.
async fn patiently(first: Duration, mut judge: impl FnMut() -> Vec<Judged>) -> Result<Vec<Judged>, Overload> {
    let (mut pause, longest) = (first, first * 50);
    for _ in 0..WAITS {
        let judged = judge();
        if judged.iter().all(|one| one.status != Status::Busy) {
            return Ok(judged);
        }
        tokio::time::sleep(pause).await;
        pause = longest.min(pause * 2);
    }
    Err(Overload)
}

fn essence(verdict: Verdict) -> (Outcome, i32, i32) {
    (verdict.outcome, verdict.fit, verdict.engagement)
}

fn context(look: &Look) -> Context {
    Context { as_of: look.at, charter: look.charter, explain: false }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Status) -> Vec<Judged> {
        let judged = |status| Judged {
            status,
            verdict: None,
            input_digest: Digest::of_bytes(b"input"),
            output_digest: None,
            fuel: 1,
            batch_size: 2,
            message: None,
        };
        vec![judged(Status::Fault), judged(status)]
    }

    #[tokio::test]
    async fn an_overload_that_passes_costs_time_and_no_verdict() {
        let soon = Duration::from_micros(10);
        let mut calls = 0;
        let judged = patiently(soon, || {
            calls += 1;
            answer(if calls < 8 { Status::Busy } else { Status::Trapped })
        });
        assert_eq!(judged.await.unwrap(), answer(Status::Trapped), "a failure of the rule is its answer");
        assert_eq!(calls, 8);
        assert!(patiently(soon, || answer(Status::Busy)).await.is_err(), "one that lasts is told");
    }
}
