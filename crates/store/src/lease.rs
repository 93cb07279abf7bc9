//! Who may do what only one node does at a time: a row with a term, and a fence that rises whenever the holder changes.
//! Time is the database's, so that nodes need not agree about theirs.
//!
//! What is decided stands apart from the SQL, so that the simulation of `crates/prove` decides with the same code.

use crate::{
    dialect::Dialect,
    error::Result,
    rows::{execute, fetch_one, fetch_value},
};
use sea_orm::{ConnectionTrait, FromQueryResult};
use std::time::{Duration, Instant};

/// The row of a lease. Instants are the database's, in unix ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub holder: String,
    pub fence: i64,
    pub until: i64,
}

/// What the row becomes when `asker` asks at `now`; none while another one's term runs.
pub fn decide(row: Option<&Held>, asker: &str, now: i64, term: i64) -> Option<Held> {
    let fence = match row {
        None => 1,
        Some(row) if row.holder == asker => row.fence,
        Some(row) if row.until < now => row.fence + 1,
        Some(_) => return None,
    };
    Some(Held { holder: asker.to_owned(), fence, until: now.saturating_add(term) })
}

/// Whether a holder who was confirmed so long ago may go on without asking.
pub fn trusted(since: Duration, term: Duration) -> bool {
    since < term / 3
}

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

#[derive(FromQueryResult)]
struct Row {
    now: i64,
    holder: Option<String>,
    fence: Option<i64>,
    until: Option<i64>,
}

impl Lease {
    pub fn new(name: &'static str, holder: String, term: Duration) -> Lease {
        Lease { name, holder, term, held: None }
    }

    /// Takes the lease if it is free, keeps it if it is ours; answers the fence. It asks the database only when it may
    /// not go on without.
    pub async fn hold(&mut self, db: &impl ConnectionTrait) -> Result<Option<i64>> {
        if let Some((fence, confirmed)) = self.held
            && trusted(confirmed.elapsed(), self.term)
        {
            return Ok(Some(fence));
        }
        let asked = Instant::now();
        self.held = self.ask(db).await?.map(|fence| (fence, asked));
        Ok(self.held.map(|(fence, _)| fence))
    }

    async fn ask(&self, db: &impl ConnectionTrait) -> Result<Option<i64>> {
        let sql = format!(
            "SELECT n.now, l.holder, l.fence, l.until FROM (SELECT {} AS now) n LEFT JOIN lease l ON l.name = $1",
            Dialect::Postgres.now_ms()
        );
        let Some(found) = fetch_one::<Row>(db, &sql, vec![self.name.into()]).await? else { return Ok(None) };
        let row = match found {
            Row { holder: Some(holder), fence: Some(fence), until: Some(until), .. } => {
                Some(Held { holder, fence, until })
            }
            _ => None,
        };
        let term = i64::try_from(self.term.as_millis()).unwrap_or(i64::MAX);
        let Some(next) = decide(row.as_ref(), &self.holder, found.now, term) else { return Ok(None) };
        // Only if the row is as it was read: of two that ask together one is late.
        let taken = match row {
            None => {
                let sql = "INSERT INTO lease (name, holder, fence, until) VALUES ($1, $2, $3, $4) \
                           ON CONFLICT (name) DO NOTHING";
                let values = vec![self.name.into(), next.holder.into(), next.fence.into(), next.until.into()];
                execute(db, sql, values).await?
            }
            Some(row) => {
                let sql = "UPDATE lease SET holder = $1, fence = $2, until = $3 \
                           WHERE name = $4 AND holder = $5 AND fence = $6 AND until = $7";
                let values = vec![
                    next.holder.into(),
                    next.fence.into(),
                    next.until.into(),
                    self.name.into(),
                    row.holder.into(),
                    row.fence.into(),
                    row.until.into(),
                ];
                execute(db, sql, values).await?
            }
        };
        Ok((taken == 1).then_some(next.fence))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_rises_with_the_holder_and_only_when_a_term_is_over() {
        let held = |holder: &str, fence, until| Held { holder: holder.to_owned(), fence, until };
        let row = held("a", 7, 1_000);
        let cases = [
            (None, "a", 500, Some(held("a", 1, 510))),
            (Some(&row), "a", 500, Some(held("a", 7, 510))),
            // Nobody took it meanwhile: the fence is still the newest.
            (Some(&row), "a", 5_000, Some(held("a", 7, 5_010))),
            (Some(&row), "b", 500, None),
            (Some(&row), "b", 1_000, None),
            (Some(&row), "b", 1_001, Some(held("b", 8, 1_011))),
        ];
        for (row, asker, now, expected) in cases {
            assert_eq!(decide(row, asker, now, 10), expected, "{asker} at {now}");
        }
    }
}
