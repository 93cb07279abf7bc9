//! A small schema, a token list and a clock, for the tests of the edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use async_graphql::{
    Context, Error, ErrorExtensions, Object, Result, Schema, SimpleObject, Subscription, ValidationMode,
};
use futures_util::{Stream, StreamExt, stream};
use handfast_domain::time::{Clock, Instant};
use uuid::Uuid;

use crate::http::{Admission, Admitted, IdempotencyKey, LastEventId, NotAdmitted, Schemas};

pub type TestSchema = Schema<Query, Mutation, Feed>;

pub fn schema() -> TestSchema {
    Schema::build(Query, Mutation, Feed).limit_depth(20).limit_complexity(1_000).finish()
}

pub fn schemas() -> Schemas<TestSchema> {
    let trusting = Schema::build(Query, Mutation, Feed).limit_depth(20).limit_complexity(1_000);
    Schemas::new(schema(), trusting.validation_mode(ValidationMode::Fast).finish(), &[])
}

/// `good` is anybody, `brief` expires at instant 1,000, no token is anonymous when `open`.
#[derive(Clone, Default)]
pub struct Tokens {
    pub open: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Viewer(pub String);

impl Admission for Tokens {
    type Viewer = Viewer;

    async fn admit(&self, bearer: Option<&str>) -> Result<Admitted<Viewer>, NotAdmitted> {
        match bearer {
            Some("good") => Ok(admitted(1, "ada", None)),
            Some("brief") => Ok(admitted(2, "bo", Some(Instant(1_000)))),
            None if self.open => Ok(admitted(3, "anonymous", None)),
            _ => Err(NotAdmitted::Denied),
        }
    }
}

fn admitted(token: u128, name: &str, expires_at: Option<Instant>) -> Admitted<Viewer> {
    Admitted { viewer: Viewer(name.into()), token: Uuid::from_u128(token), expires_at }
}

/// A clock that stands until it is set.
#[derive(Clone, Default)]
pub struct Fixed(pub Arc<AtomicI64>);

impl Clock for Fixed {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
}

/// Streams of `endless` that are open now.
pub static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The edge must survive a resolver that does what it should not.
fn explode() -> i32 {
    panic!("on purpose")
}

pub struct Query;

#[derive(SimpleObject)]
pub struct Node {
    id: i32,
}

#[derive(SimpleObject)]
pub struct Change {
    cursor: String,
    number: i64,
    text: Option<String>,
}

#[Object]
impl Query {
    async fn hello(&self, name: Option<String>) -> String {
        name.unwrap_or_else(|| "world".into())
    }

    async fn viewer(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(ctx.data::<Viewer>()?.0.clone())
    }

    async fn number(&self, n: i32) -> i32 {
        n
    }

    async fn refused(&self) -> Result<Option<String>> {
        Err(Error::new("no such lead").extend_with(|_, e| e.set("code", "NOT_FOUND")))
    }

    async fn broken(&self) -> Result<Option<String>> {
        Err(Error::new_with_source(std::io::Error::other("/var/lib/secret.db: disk failure")))
    }

    async fn panics(&self) -> i32 {
        explode()
    }

    async fn slow(&self, ms: u64) -> bool {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        true
    }

    async fn node(&self) -> Node {
        Node { id: 1 }
    }

    async fn tree(&self) -> Tree {
        Tree
    }
}

pub struct Tree;

#[Object]
impl Tree {
    async fn leaf(&self) -> i32 {
        7
    }

    async fn tree(&self) -> Tree {
        Tree
    }
}

pub struct Mutation;

#[Object]
impl Mutation {
    async fn set(&self, x: i32) -> i32 {
        x
    }

    async fn key(&self, ctx: &Context<'_>) -> Option<String> {
        ctx.data_opt::<IdempotencyKey>().map(|key| key.0.clone())
    }
}

pub struct Feed;

#[Subscription]
impl Feed {
    /// Changes after the cursor `c<number>`, `pause` milliseconds apart, up to `until`.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        after: Option<String>,
        #[graphql(default = 3)] until: i64,
        #[graphql(default)] pause: u64,
        #[graphql(default)] size: u32,
    ) -> Result<impl Stream<Item = Change> + use<>> {
        let after = ctx.data_opt::<LastEventId>().map(|id| id.0.clone()).or(after);
        let after = match after {
            None => 0,
            Some(cursor) => {
                cursor.strip_prefix('c').and_then(|n| n.parse::<i64>().ok()).ok_or_else(|| {
                    Error::new("this cursor is not one of ours")
                        .extend_with(|_, e| e.set("code", "CURSOR_INVALID"))
                })?
            }
        };
        let text = (size > 0).then(|| "x".repeat(size as usize));
        Ok(stream::iter(after + 1..=until).then(move |number| {
            let text = text.clone();
            async move {
                if pause > 0 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Change { cursor: format!("c{number}"), number, text }
            }
        }))
    }

    /// Never says anything, and counts how many listen.
    async fn endless(&self) -> impl Stream<Item = i32> + use<> {
        struct Open;
        impl Drop for Open {
            fn drop(&mut self) {
                OPEN.fetch_sub(1, Ordering::SeqCst);
            }
        }
        OPEN.fetch_add(1, Ordering::SeqCst);
        let open = Open;
        stream::pending().map(move |()| {
            let _ = &open;
            0
        })
    }

    /// Its second event fails inside, its third is fine.
    async fn patchy(&self) -> impl Stream<Item = Part> + use<> {
        stream::iter(1..=3).map(Part)
    }

    async fn panics(&self) -> impl Stream<Item = i32> + use<> {
        stream::iter(0..3).map(|n| if n == 1 { explode() } else { n })
    }
}

pub struct Part(i32);

#[Object]
impl Part {
    async fn number(&self) -> Result<i32> {
        if self.0 == 2 {
            Err(Error::new("odd one out").extend_with(|_, e| e.set("code", "GONE")))
        } else {
            Ok(self.0)
        }
    }
}
