//! Submissions of forms: which fields were filled, and what became of whoever filled them.

use handfast_domain::form::Submitted;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed, small};
use crate::error::Result;
use crate::rows::{fetch_all, insert_rows};
use crate::tx::Tx;

/// Somebody sent a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    pub id: Uuid,
    pub form: Uuid,
    pub version: u32,
    pub lead: Uuid,
    pub at: Instant,
    /// What was filled, in the order of the form.
    pub filled: Vec<String>,
}

pub async fn insert(tx: &Tx, submissions: &[Submission]) -> Result<()> {
    let mut rows = vec![];
    for Submission { id, form, version, lead, at, filled } in submissions {
        let (version, filled) = (i64::from(*version), json(filled)?);
        rows.push(vec![
            (*id).into(),
            (*form).into(),
            version.into(),
            (*lead).into(),
            at.ms().into(),
            filled.into(),
        ]);
    }
    insert_rows(tx, "form_submission", &["id", "form", "version", "lead", "at", "filled"], rows).await?;
    Ok(())
}

/// Submissions of a form in a span of time, counted by what was filled and what became of the lead: the database groups them, and
/// their kinds are few however many there are. Ask the pool for reports.
pub async fn submitted(
    db: &impl ConnectionTrait,
    form: Uuid,
    (from, to): (Instant, Instant),
) -> Result<Vec<Submitted>> {
    #[derive(FromQueryResult)]
    struct Row {
        version: i64,
        filled: String,
        furthest_stage: String,
        won: bool,
        submissions: i64,
    }
    let sql = "SELECT s.version, s.filled, l.furthest_stage, s.won, count(*) AS submissions FROM ( \
                   SELECT f.lead, f.version, f.filled, EXISTS (SELECT 1 FROM cycle c WHERE c.lead = f.lead \
                       AND c.outcome = 'WON' AND c.closed_at >= f.at) AS won \
                   FROM form_submission f WHERE f.form = $1 AND f.at >= $2 AND f.at < $3) s \
               JOIN lead l ON l.id = s.lead GROUP BY s.version, s.filled, l.furthest_stage, s.won";
    let rows: Vec<Row> = fetch_all(db, sql, vec![form.into(), from.ms().into(), to.ms().into()]).await?;
    rows.into_iter()
        .map(|row| {
            let place = |column: &'static str| Place("form_submission", column, &form);
            Ok(Submitted {
                version: small(place("version"), row.version)?,
                filled: decode::json(place("filled"), &row.filled)?,
                furthest: closed(
                    Place("lead", "furthest_stage", &form),
                    &row.furthest_stage,
                    StageKind::parse,
                )?,
                won: row.won,
                count: row.submissions,
            })
        })
        .collect()
}
