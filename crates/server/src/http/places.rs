//! Places for what stays open: so many in the process, and so many for each token or address.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::config::SocketLimits;
use super::problem::{Code, Problem};
use crate::telemetry::Stream;

/// What one of many may hold of something.
pub struct Shares<K: Eq + Hash> {
    each: usize,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

/// One place of a share, given back when it is dropped.
pub struct Share<K: Eq + Hash> {
    pub of: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub fn new(each: usize) -> Self {
        Self { each, held: Arc::default() }
    }

    /// None when the share is used up.
    pub fn take(&self, of: K) -> Option<Share<K>> {
        let mut held = lock(&self.held);
        let count = held.entry(of.clone()).or_default();
        (*count < self.each).then(|| {
            *count += 1;
            Share { of, held: self.held.clone() }
        })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        let Some(count) = held.get_mut(&self.of) else { return };
        *count -= 1;
        if *count == 0 {
            held.remove(&self.of);
        }
    }
}

fn lock<K>(held: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    // No code runs under this lock that could leave a count half-changed.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The places of sockets and event streams.
pub struct Places {
    all: Arc<Semaphore>,
    of_token: Shares<Uuid>,
}

/// A token's place, and with it one in the process.
pub struct Place {
    pub token: Uuid,
    _share: Share<Uuid>,
    _place: Stream,
}

impl Places {
    pub fn new(limits: &SocketLimits) -> Places {
        Places {
            all: Arc::new(Semaphore::new(limits.streams)),
            of_token: Shares::new(limits.streams_per_token),
        }
    }

    pub fn take(&self, token: Uuid) -> Result<Place, Problem> {
        let share = self.of_token.take(token).ok_or_else(|| {
            let limit = self.of_token.each;
            let text = format!("this token has {limit} open sockets and event streams, limit {limit}");
            Problem::new(Code::TooManyStreams, text)
        })?;
        let place = self.all.clone().try_acquire_owned();
        let place = place.map_err(|_| Problem::new(Code::Busy, "too many open streams, try again later"))?;
        Ok(Place { token, _share: share, _place: Stream::new(place) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_places_and_gets_them_back() {
        let limits = SocketLimits { streams: 3, streams_per_token: 2, ..SocketLimits::default() };
        let places = Places::new(&limits);
        let [a, b] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let first = places.take(a).expect("the first");
        let _second = places.take(a).expect("the second");
        let refused = |token| places.take(token).err().map(|problem| problem.code);
        assert_eq!(refused(a), Some(Code::TooManyStreams));
        let third = places.take(b).expect("another token's");
        assert_eq!(refused(b), Some(Code::Busy), "the process has no more");
        drop((first, third));
        assert!(places.take(a).is_ok());
        assert_eq!(lock(&places.of_token.held).len(), 1, "who holds nothing is forgotten");
    }
}
