//! What a router dealt to the owners of a pool, by the decisions that were recorded and the pool as each of them saw it.

use handfast_domain::charter::SlotKind;
use handfast_domain::digest::Digest;
use handfast_domain::fairness::Fairness;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::verdict::{Status, Target};
use uuid::Uuid;

use super::Error;
use super::window::Window;
use crate::app::App;

#[derive(Clone, Debug)]
pub struct Report {
    pub window: Window,
    pub fairness: Fairness,
    /// Not all decisions of the window were looked at.
    pub truncated: bool,
}

/// Adds up the routings of a pool in a window.
pub async fn fairness(app: &App, pool: &str, window: Window) -> Result<Report, Error> {
    let workspace = app.workspace();
    if workspace.directory.pool(pool).is_none() {
        let known: Vec<&str> = workspace.directory.pools.iter().map(|pool| pool.key.as_str()).collect();
        let message = format!("no pool {pool:?}; there are {}", known.join(", "));
        return Err(Refused::new(RefusalCode::NotFound, message).at("pool").into());
    }
    // Earlier charters may have had other slots for the pool.
    let mut slots: Vec<String> = vec![];
    for charter in &workspace.charters {
        let routes = charter.body.slots.iter().filter(|slot| slot.kind == SlotKind::Route);
        slots.extend(routes.map(|slot| slot.key.clone()));
    }
    slots.sort();
    slots.dedup();
    let mut fairness = Fairness::default();
    let mut pages = window.pages(slots);
    while let Some(page) = pages.next(app).await? {
        let counted = page.into_iter().filter(|vote| vote.gate.is_none() && vote.counts());
        let votes: Vec<_> = counted.collect();
        let wanted: Vec<(Uuid, Digest)> = votes.iter().map(|vote| (vote.lead, vote.snapshot)).collect();
        let snapshots = handfast_store::judged::snapshots(app.store.read(), &wanted).await?;
        for vote in &votes {
            let Some(snapshot) = snapshots.get(&(vote.lead, vote.snapshot)) else {
                fairness.add_erased();
                continue;
            };
            let Some(seen) = snapshot.pool.as_ref().filter(|seen| seen.key == pool) else { continue };
            let target = vote.target.as_deref().filter(|_| vote.status == Status::Ok).and_then(target);
            fairness.add(&seen.owners, target.as_ref());
        }
    }
    Ok(Report { window, fairness, truncated: !pages.is_whole() })
}

/// As decisions write it.
fn target(text: &str) -> Option<Target> {
    match text.split_once(':')? {
        ("owner", id) => Uuid::try_parse(id).ok().map(Target::Owner),
        ("queue", key) => Some(Target::Queue(key.to_owned())),
        _ => None,
    }
}
