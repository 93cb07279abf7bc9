//! Measures of goals and commitments, each counted once for the windows of an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handfast_domain::measure::{Counted, Measure, attainment};
use handfast_domain::time::{DAY, Instant};

use super::Error;
use crate::app::App;

/// Different windows of one answer.
const LENGTHS: usize = 100;

/// What happened in windows of so many days up to now: three statements for each length.
#[derive(Clone, Default)]
pub struct Measured {
    now: Option<Instant>,
    windows: BTreeMap<u32, Arc<Counted>>,
}

/// How far something is that has a metric and a target.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub from: Instant,
    pub to: Instant,
    /// None: there is nothing to divide by.
    pub value: Option<i64>,
    /// Of the target, in basis points.
    pub attainment: Option<i64>,
}

impl Measured {
    pub async fn read(app: &App, days: impl Iterator<Item = u32>) -> Result<Measured, Error> {
        let now = app.now().plus(1);
        let mut windows = BTreeMap::new();
        let days: BTreeSet<u32> = days.filter(|days| *days > 0).collect();
        for days in days.into_iter().take(LENGTHS) {
            let span = (now.plus(-i64::from(days) * DAY), now);
            let counted = handfast_store::measure::counted(app.store.reports(), span, days).await?;
            windows.insert(days, Arc::new(counted));
        }
        Ok(Measured { now: Some(now), windows })
    }

    /// None where there is nothing to measure.
    pub fn value(&self, measure: Measure, days: u32) -> Option<i64> {
        measure.value(self.windows.get(&days)?)
    }

    /// None of a metric that the server does not measure.
    pub fn progress(&self, metric: &str, days: u32, target: i64) -> Option<Progress> {
        let measure = Measure::parse(metric)?;
        let (to, counted) = (self.now?, self.windows.get(&days)?);
        let value = measure.value(counted);
        let attainment = value.and_then(|value| attainment(value, target));
        Some(Progress { from: to.plus(-i64::from(days) * DAY), to, value, attainment })
    }
}
