//! Places for open sockets and event streams: so many in the process, and so many for each token.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::config::SocketLimits;
use super::problem::{Code, Problem};
use crate::telemetry::Stream;

pub struct Places {
    all: Arc<Semaphore>,
    of_token: usize,
    held: Arc<Mutex<HashMap<Uuid, usize>>>,
}

/// One of a token's places, given back when it is dropped.
pub struct Held {
    pub token: Uuid,
    held: Arc<Mutex<HashMap<Uuid, usize>>>,
}

impl Places {
    pub fn new(limits: &SocketLimits) -> Places {
        let all = Arc::new(Semaphore::new(limits.streams));
        Places { all, of_token: limits.streams_per_token, held: Arc::default() }
    }

    /// A place in the process.
    pub fn take(&self) -> Result<Stream, Problem> {
        let place = self.all.clone().try_acquire_owned();
        let place = place.map_err(|_| Problem::new(Code::Busy, "too many open streams, try again later"));
        place.map(Stream::new)
    }

    /// A place of a token, besides the one in the process.
    pub fn hold(&self, token: Uuid) -> Result<Held, Problem> {
        let mut held = lock(&self.held);
        let count = held.entry(token).or_default();
        if *count >= self.of_token {
            let limit = self.of_token;
            let text = format!("this token has {limit} open sockets and event streams, limit {limit}");
            return Err(Problem::new(Code::TooManyStreams, text));
        }
        *count += 1;
        Ok(Held { token, held: self.held.clone() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.held).entry(self.token) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock(held: &Mutex<HashMap<Uuid, usize>>) -> MutexGuard<'_, HashMap<Uuid, usize>> {
    // No code runs under this lock that could leave a count half-changed.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_places_and_gets_them_back() {
        let places = Places::new(&SocketLimits { streams_per_token: 2, ..SocketLimits::default() });
        let [a, b] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let first = places.hold(a).expect("the first");
        let _second = places.hold(a).expect("the second");
        let refused = places.hold(a).err().expect("no third");
        assert_eq!(refused.code, Code::TooManyStreams);
        assert!(places.hold(b).is_ok());
        drop(first);
        assert!(places.hold(a).is_ok());
        assert_eq!(lock(&places.held).len(), 1, "who holds nothing is forgotten");
    }
}
