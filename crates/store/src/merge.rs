//! What a duplicate brings along: names in other systems, touches, activities, traits, and what is known of the person. Rows of
//! the log stay where they are.

use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::error::Result;
use crate::rows::{execute, fetch_all, fetch_value};
use crate::touchpoint;
use crate::tx::Tx;

/// Leads that were merged into this one.
pub async fn duplicates(db: &impl ConnectionTrait, lead: Uuid) -> Result<Vec<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql = "SELECT id FROM lead WHERE merged_into = $1 ORDER BY id";
    let rows: Vec<Row> = fetch_all(db, sql, vec![lead.into()]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Moves it all to the lead that goes on. What led to deals that the duplicate won stays with them, so that their attribution
/// does not change.
pub async fn join(tx: &Tx, duplicate: Uuid, lead: Uuid) -> Result<()> {
    let sql = "SELECT max(closed_at) FROM cycle WHERE lead = $1 AND outcome = 'WON'";
    let won: Option<i64> = fetch_value(tx, sql, vec![duplicate.into()]).await?.flatten();
    let since = won.unwrap_or(i64::MIN);
    execute(tx, "UPDATE external_ref SET lead = $1 WHERE lead = $2", vec![lead.into(), duplicate.into()])
        .await?;
    touchpoint::join(tx, duplicate, lead, Instant(since)).await?;
    let sql = "UPDATE activity SET lead = $1, cycle = (SELECT cycle FROM lead WHERE id = $1) WHERE lead = $2 AND at > $3";
    execute(tx, sql, vec![lead.into(), duplicate.into(), since.into()]).await?;
    let sql = "UPDATE follow_up SET lead = $1, cycle = (SELECT cycle FROM lead WHERE id = $1) WHERE lead = $2 AND planned_at > $3";
    execute(tx, sql, vec![lead.into(), duplicate.into(), since.into()]).await?;
    // Time counts for the cycle that it was spent on: only what was spent on the one that goes on elsewhere goes with it.
    let sql = "UPDATE effort SET lead = $1, cycle = (SELECT cycle FROM lead WHERE id = $1) WHERE lead = $2 \
               AND cycle = (SELECT cycle FROM lead WHERE id = $2 AND outcome = 'MERGED')";
    execute(tx, sql, vec![lead.into(), duplicate.into()]).await?;
    let sql = "INSERT INTO meeting_expectation (lead, cycle, purpose, expectation, stated_by, stated_at) \
               SELECT $1, o.cycle, m.purpose, m.expectation, m.stated_by, m.stated_at FROM meeting_expectation m \
               JOIN lead d ON d.id = m.lead AND d.cycle = m.cycle AND d.outcome = 'MERGED', lead o WHERE m.lead = $2 AND o.id = $1 \
               ON CONFLICT (lead, cycle) DO NOTHING";
    execute(tx, sql, vec![lead.into(), duplicate.into()]).await?;
    let sql = "UPDATE content_use SET lead = $1 WHERE lead = $2 AND at > $3";
    execute(tx, sql, vec![lead.into(), duplicate.into(), since.into()]).await?;
    const PARTS: &str = "value, source, observed_at, origin, evidence, recorded_by";
    // Of two values the one that was observed last counts; the other one is history, and so is the duplicate's own.
    for (of, other, order) in [("$1", "$2", "<"), ("$2", "$1", "<=")] {
        let sql = format!(
            "INSERT INTO trait_history (lead, key, {PARTS}) SELECT $1, key, {PARTS} FROM trait t WHERE t.lead = {of} \
             AND EXISTS (SELECT 1 FROM trait o WHERE o.lead = {other} AND o.key = t.key AND o.value <> t.value \
             AND t.observed_at {order} o.observed_at) ON CONFLICT (lead, key, observed_at, source) DO NOTHING"
        );
        execute(tx, &sql, vec![lead.into(), duplicate.into()]).await?;
    }
    let sql = format!(
        "INSERT INTO trait_history (lead, key, {PARTS}) SELECT $1, key, {PARTS} FROM trait_history WHERE lead = $2 \
         ON CONFLICT (lead, key, observed_at, source) DO NOTHING"
    );
    execute(tx, &sql, vec![lead.into(), duplicate.into()]).await?;
    let sql = format!(
        "INSERT INTO trait (lead, key, {PARTS}) SELECT $1, key, {PARTS} FROM trait WHERE lead = $2 \
         ON CONFLICT (lead, key) DO UPDATE SET value = excluded.value, source = excluded.source, \
         observed_at = excluded.observed_at, origin = excluded.origin, evidence = excluded.evidence, \
         recorded_by = excluded.recorded_by WHERE excluded.observed_at > trait.observed_at"
    );
    execute(tx, &sql, vec![lead.into(), duplicate.into()]).await?;
    join_person(tx, duplicate, lead).await
}

/// Fills in what was unknown. An address moves if there was none; else it stays, and leads to the lead that goes on.
async fn join_person(tx: &Tx, duplicate: Uuid, lead: Uuid) -> Result<()> {
    const PERSON: &str = "(SELECT person FROM lead WHERE id = $1)";
    const OTHER: &str = "(SELECT o.{} FROM person o JOIN lead l ON l.person = o.id WHERE l.id = $2)";
    let plain = ["name", "title", "seniority", "department", "country", "consent"];
    let filled: Vec<String> = plain
        .iter()
        .map(|column| format!("{column} = coalesce({column}, {})", OTHER.replace("{}", column)))
        .collect();
    let sql = format!("UPDATE person SET {} WHERE id = {PERSON}", filled.join(", "));
    execute(tx, &sql, vec![lead.into(), duplicate.into()]).await?;
    for column in ["email", "phone"] {
        #[derive(FromQueryResult)]
        struct Both {
            own: Option<String>,
            other: Option<String>,
        }
        let sql = format!(
            "SELECT p.{column} AS own, o.{column} AS other FROM lead l JOIN person p ON p.id = l.person, \
             lead d JOIN person o ON o.id = d.person WHERE l.id = $1 AND d.id = $2"
        );
        let both: Vec<Both> = fetch_all(tx, &sql, vec![lead.into(), duplicate.into()]).await?;
        let moves = both.into_iter().find_map(|both| both.other.filter(|_| both.own.is_none()));
        if let Some(address) = moves {
            let sql = format!("UPDATE person SET {column} = $2 WHERE id = {PERSON}");
            let gone = format!("UPDATE person SET {column} = NULL WHERE id = {PERSON}");
            execute(tx, &gone, vec![duplicate.into()]).await?;
            execute(tx, &sql, vec![lead.into(), address.into()]).await?;
        }
    }
    Ok(())
}
