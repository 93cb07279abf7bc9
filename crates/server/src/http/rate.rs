//! How much a caller may cost: a bucket for each token and one for each address, out of which every request takes what it
//! costs. Buckets fill steadily; a full one is the burst.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use uuid::Uuid;

use super::config::RateLimits;
use super::problem::{Code, Problem};

/// Whose address a request came from, as the connection says it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The buckets.
pub struct Rates {
    tokens: Option<Bucket<Uuid>>,
    addresses: Option<Bucket<IpAddr>>,
    /// Until when an address that could not pay for a refusal may not ask. Its bucket alone would let it in again as soon as
    /// there is 1 in it.
    blocked: Mutex<HashMap<IpAddr, Instant>>,
    trusted: Vec<IpNet>,
}

struct Bucket<K: Clone + Eq + std::hash::Hash> {
    whose: &'static str,
    limiter: Limiter<K>,
    per_second: u64,
    burst: NonZeroU32,
    spent: AtomicU64,
}

/// What a caller may still cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What this request cost.
    pub cost: u64,
    /// What a full bucket holds.
    pub limit: u64,
    pub remaining: u64,
    /// Until the bucket is full again.
    pub reset: Duration,
}

/// Whose turn comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    WithAll,
    /// Whoever lives on its reserve gets what those who do not leave.
    AfterOthers,
}

/// How far an address may be ahead of what fills into its bucket before its turn comes after the others'.
const AHEAD: Duration = Duration::from_millis(100);
/// A request that was refused costs its address this much: a little work, many times over, is an attack.
const REFUSED: u64 = 1_000;
/// How long an address that has nothing left waits for its refusal: it asks again at once, and refusals cost, too.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// Addresses that are remembered as having nothing left.
const BLOCKED: usize = 10_000;

impl Rates {
    pub fn new(limits: &RateLimits, trusted: &[IpNet]) -> Rates {
        Rates {
            tokens: Bucket::new("token", limits.token_per_second, limits.token_burst),
            addresses: Bucket::new("address", limits.address_per_second, limits.address_burst),
            blocked: Mutex::default(),
            trusted: trusted.to_vec(),
        }
    }

    /// The address that a request came from: that of the connection, or where that is a trusted proxy the last one that the
    /// proxies name and that is none of them.
    pub fn address(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let is_proxy = |address: &IpAddr| self.trusted.iter().any(|net| net.contains(address));
        let mut from = peer.0.to_canonical();
        if self.trusted.is_empty() || !is_proxy(&from) {
            return whole(from);
        }
        let named = headers.get_all("x-forwarded-for").iter().rev();
        for text in named.filter_map(|value| value.to_str().ok()).flat_map(|text| text.rsplit(',')) {
            let Ok(address) = text.trim().parse::<IpAddr>() else { break };
            from = address.to_canonical();
            if !is_proxy(&from) {
                break;
            }
        }
        whole(from)
    }

    /// Whether somebody at the address may ask at all, and with whom its turn comes.
    pub fn knock(&self, address: IpAddr) -> Result<Turn, Problem> {
        let Some(bucket) = &self.addresses else { return Ok(Turn::WithAll) };
        let mut blocked = self.blocked();
        if let Some(until) = blocked.get(&address) {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(bucket.exhausted(1, left));
            }
            blocked.remove(&address);
        }
        drop(blocked);
        let left = bucket.take(&address, 1)?;
        Ok(if left.reset > AHEAD { Turn::AfterOthers } else { Turn::WithAll })
    }

    /// Notes a refusal. An address that cannot pay for it may not ask for as long as the next one takes to fill in.
    pub fn refused(&self, address: IpAddr) {
        let Some(bucket) = &self.addresses else { return };
        if bucket.take(&address, REFUSED).is_ok() {
            return;
        }
        let mut blocked = self.blocked();
        if blocked.len() >= BLOCKED {
            let now = Instant::now();
            blocked.retain(|_, until| *until > now);
        }
        let wait = Duration::from_millis(REFUSED * 1_000 / bucket.per_second);
        blocked.insert(address, Instant::now() + wait);
    }

    fn blocked(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        // No code runs under this lock that could leave the map half-written.
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream whose every event costs what is asked of it. It was paid for once already; whoever replays a long past goes
    /// on at the pace of the budget.
    pub fn paced<T: Send + 'static>(
        self: &Arc<Self>,
        events: BoxStream<'static, T>,
        token: Uuid,
        address: IpAddr,
        cost: u64,
    ) -> BoxStream<'static, T> {
        if self.tokens.is_none() && self.addresses.is_none() {
            return events;
        }
        let rates = self.clone();
        let paid = events.then(move |event| {
            let rates = rates.clone();
            async move {
                while let Err(problem) = rates.spend(token, address, cost) {
                    tokio::time::sleep(problem.after.unwrap_or(Duration::from_secs(1))).await;
                }
                event
            }
        });
        paid.boxed()
    }

    /// Takes what an operation costs; none is left over where nothing is limited.
    pub fn spend(&self, token: Uuid, address: IpAddr, cost: u64) -> Result<Option<Left>, Problem> {
        take(&self.addresses, &address, cost)?;
        take(&self.tokens, &token, cost)
    }
}

/// Whoever has one IPv6 address has the 2^64 of its network.
pub fn whole(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

fn take<K: Clone + Eq + std::hash::Hash>(
    bucket: &Option<Bucket<K>>,
    key: &K,
    cost: u64,
) -> Result<Option<Left>, Problem> {
    bucket.as_ref().map(|bucket| bucket.take(key, cost)).transpose()
}

impl<K: Clone + Eq + std::hash::Hash> Bucket<K> {
    /// None when the limit is 0: there is none.
    fn new(whose: &'static str, per_second: u32, burst: u32) -> Option<Bucket<K>> {
        let per_second = NonZeroU32::new(per_second)?;
        // A bucket that holds less than a second brings would never be full.
        let burst = NonZeroU32::new(burst).unwrap_or(per_second).max(per_second);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let limiter = RateLimiter::dashmap(quota).with_middleware::<StateInformationMiddleware>();
        Some(Bucket { whose, limiter, per_second: per_second.get().into(), burst, spent: AtomicU64::new(0) })
    }

    fn take(&self, key: &K, cost: u64) -> Result<Left, Problem> {
        // Whoever has not come for long has a full bucket, which need not be remembered.
        if self.spent.fetch_add(1, Ordering::Relaxed) % 4_096 == 4_095 {
            self.limiter.retain_recent();
        }
        // An operation that costs more than a bucket holds takes all of it.
        let wanted = NonZeroU32::new(u32::try_from(cost).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let wanted = wanted.min(self.burst);
        let limit = u64::from(self.burst.get());
        match self.limiter.check_key_n(key, wanted) {
            Ok(Ok(state)) => {
                let remaining = u64::from(state.remaining_burst_capacity());
                let missing = limit.saturating_sub(remaining);
                Ok(Left {
                    cost,
                    limit,
                    remaining,
                    reset: Duration::from_millis(missing * 1_000 / self.per_second),
                })
            }
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                Err(self.exhausted(cost, wait))
            }
            Err(_) => Err(self.exhausted(cost, Duration::from_secs(1))),
        }
    }

    fn exhausted(&self, cost: u64, wait: Duration) -> Problem {
        let (whose, per_second, burst) = (self.whose, self.per_second, self.burst);
        let wait = wait.as_millis().max(1);
        let text = format!(
            "this {whose} has spent its budget of {burst} with {per_second} more each second; the request costs {cost}, \
             send it again in {wait} ms"
        );
        Problem::new(Code::RateLimited, text)
            .after(Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)))
    }
}

/// The fields `RateLimit` and `RateLimit-Policy` of the IETF's draft "RateLimit header fields for HTTP".
pub fn write(left: Left, headers: &mut HeaderMap) {
    let Left { limit, remaining, reset, .. } = left;
    let seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
    let now = format!("\"token\";r={remaining};t={seconds}");
    let policy = format!("\"token\";q={limit}");
    for (name, text) in [("ratelimit", now), ("ratelimit-policy", policy)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn rates(token: (u32, u32), address: (u32, u32), trusted: &[&str]) -> Rates {
        let limits = RateLimits {
            token_per_second: token.0,
            token_burst: token.1,
            address_per_second: address.0,
            address_burst: address.1,
        };
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().expect("a network")).collect();
        Rates::new(&limits, &trusted)
    }

    #[test]
    fn a_token_spends_its_bucket_and_nobody_elses() {
        let rates = rates((1, 100), (0, 0), &[]);
        let [a, b] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let left = rates.spend(a, HERE, 60).expect("room").expect("limited");
        assert_eq!((left.cost, left.limit, left.remaining), (60, 100, 40));
        assert!((59..=60).contains(&left.reset.as_secs()), "{left:?}");
        let refused = rates.spend(a, HERE, 60).expect_err("spent");
        assert_eq!(refused.code, Code::RateLimited);
        let start = "this token has spent its budget of 100 with 1 more each second; the request costs 60, send it again in";
        assert!(refused.message.starts_with(start), "{refused:?}");
        assert!(refused.after.is_some_and(|after| (19..=20).contains(&after.as_secs())), "{refused:?}");
        assert!(rates.spend(a, HERE, 40).is_ok(), "what was refused took nothing");
        assert!(rates.spend(b, HERE, 100).is_ok());
    }

    #[test]
    fn an_operation_that_costs_more_than_a_bucket_holds_takes_all_of_it() {
        let rates = rates((1, 100), (0, 0), &[]);
        let token = Uuid::from_u128(1);
        assert_eq!(rates.spend(token, HERE, 1_000_000).expect("once").expect("limited").remaining, 0);
        assert!(rates.spend(token, HERE, 1_000_000).is_err());
    }

    #[test]
    fn an_address_that_is_refused_again_and_again_may_not_ask_for_a_while() {
        // The bucket fills by 1 in no time, and by what a refusal costs in five seconds.
        let rates = rates((0, 0), (200, 20_000), &[]);
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(rates.knock(HERE).expect("a full bucket"), Turn::WithAll);
        let mut refused = 0;
        while let Ok(turn) = rates.knock(HERE) {
            assert_eq!(turn, if refused == 0 { Turn::WithAll } else { Turn::AfterOthers }, "after {refused}");
            rates.refused(HERE);
            refused += 1;
        }
        assert!((19..=21).contains(&refused), "{refused}");
        std::thread::sleep(Duration::from_millis(100));
        let waits = rates.knock(HERE).expect_err("what came meanwhile does not pay for a refusal");
        assert!(waits.after.is_some_and(|after| after > Duration::from_secs(3)), "{waits:?}");
        assert_eq!(rates.knock(other).expect("a bucket of its own"), Turn::WithAll);
        assert_eq!(rates.spend(Uuid::nil(), other, 5), Ok(None), "no limit, nothing to tell");
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_it_speaks_for() {
        let headers = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("text"));
            }
            headers
        };
        let proxied = rates((0, 0), (0, 0), &["10.0.0.0/8", "::1/128"]);
        let from = |rates: &Rates, peer: &str, lines: &[&str]| {
            rates.address(Peer(peer.parse().expect("an address")), &headers(lines)).to_string()
        };
        assert_eq!(from(&proxied, "10.0.0.1", &["6.6.6.6, 192.0.2.7, 10.9.9.9"]), "192.0.2.7");
        assert_eq!(from(&proxied, "10.0.0.1", &["6.6.6.6", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(from(&proxied, "::ffff:10.0.0.1", &["2001:db8::1"]), "2001:db8::");
        assert_eq!(
            from(&proxied, "10.0.0.1", &["6.6.6.6, what"]),
            "10.0.0.1",
            "what cannot be read ends the chain"
        );
        assert_eq!(from(&proxied, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(from(&proxied, "192.0.2.9", &["6.6.6.6"]), "192.0.2.9", "a stranger speaks for itself");
        assert_eq!(from(&rates((0, 0), (0, 0), &[]), "10.0.0.1", &["6.6.6.6"]), "10.0.0.1");
    }
}
