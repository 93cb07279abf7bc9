//! Who may do what only one node does at a time: a row with a term, and a fence that rises whenever the holder changes.
//! Time is the database's, so that nodes need not agree about theirs.

use crate::{
    dialect::Dialect,
    error::Result,
    rows::{execute, fetch_value},
};
use sea_orm::ConnectionTrait;
use std::time::{Duration, Instant};

pub(crate) struct Lease {
    name: &'static str,
    holder: String,
    term: Duration,
    /// The fence, and when it was last confirmed.
    held: Option<(i64, Instant)>,
}

/// Milliseconds of the database's clock.
pub(crate) async fn now(db: &impl ConnectionTrait) -> Result<i64> {
    Ok(fetch_value(db, &format!("SELECT {}", Dialect::Postgres.now_ms()), vec![]).await?.unwrap_or(0))
}

impl Lease {
    pub fn new(name: &'static str, holder: String, term: Duration) -> Lease {
        Lease { name, holder, term, held: None }
    }

    /// Takes the lease if it is free, keeps it if it is ours; answers the fence. It asks the database only when a third
    /// of the term has passed.
    pub async fn hold(&mut self, db: &impl ConnectionTrait) -> Result<Option<i64>> {
        if let Some((fence, confirmed)) = self.held
            && confirmed.elapsed() < self.term / 3
        {
            return Ok(Some(fence));
        }
        let asked = Instant::now();
        let now = Dialect::Postgres.now_ms();
        let sql = format!(
            "INSERT INTO lease (name, holder, fence, until) VALUES ($1, $2, 1, {now} + $3) \
             ON CONFLICT (name) DO UPDATE SET \
             fence = lease.fence + CASE WHEN lease.holder = excluded.holder THEN 0 ELSE 1 END, \
             holder = excluded.holder, until = excluded.until \
             WHERE lease.holder = excluded.holder OR lease.until < {now} RETURNING fence"
        );
        let term = i64::try_from(self.term.as_millis()).unwrap_or(i64::MAX);
        let values = vec![self.name.into(), self.holder.as_str().into(), term.into()];
        let fence: Option<i64> = fetch_value(db, &sql, values).await?;
        self.held = fence.map(|fence| (fence, asked));
        Ok(fence)
    }

    /// Somebody else has it: ask again at the next turn.
    pub fn lost(&mut self) {
        self.held = None;
    }

    /// The next node need not wait until the term is over.
    pub async fn give_back(&mut self, db: &impl ConnectionTrait) -> Result<()> {
        self.held = None;
        let sql = "UPDATE lease SET until = 0 WHERE name = $1 AND holder = $2";
        execute(db, sql, vec![self.name.into(), self.holder.as_str().into()]).await.map(drop)
    }
}
