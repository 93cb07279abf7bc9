//! Feedback with its tags, the receiver's promise to acknowledge it, and what it caused.

use std::collections::BTreeMap;

use handfast_domain::clock::{ClockState, SlaClock};
use handfast_domain::feedback::{
    Answered, Effect, EffectKind, Feedback, FeedbackKind, FeedbackStatus, FeedbackSubject, Named,
};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed, closed_opt};
use crate::dialect;
use crate::error::Result;
use crate::lead::{Where, list};
use crate::ledger::ClockFilter;
use crate::rows::{execute, fetch_all, fetch_one, insert_new_rows, insert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    from_side: String,
    to_side: String,
    user_id: Uuid,
    kind: String,
    about_kind: Option<String>,
    about_key: Option<String>,
    text: String,
    posted_at: i64,
    status: String,
    acknowledged_by: Option<Uuid>,
    acknowledged_at: Option<i64>,
    closed_by: Option<Uuid>,
    closed_at: Option<i64>,
    answer: Option<String>,
    clock: Option<String>,
}

impl Row {
    fn decode(self) -> Result<Feedback> {
        let id = self.id;
        let at = |column: &'static str| Place("feedback", column, &id);
        let about = closed_opt(at("about_kind"), self.about_kind.as_deref(), FeedbackSubject::parse)?;
        let answered = |user: Option<Uuid>, at: Option<i64>| {
            user.zip(at).map(|(user, at)| Answered { user, at: Instant(at) })
        };
        let clock: Option<SlaClock> =
            self.clock.as_deref().map(|clock| decode::json(at("clock"), clock)).transpose()?;
        Ok(Feedback {
            id,
            from: closed(at("from_side"), &self.from_side, Side::parse)?,
            to: closed(at("to_side"), &self.to_side, Side::parse)?,
            user: self.user_id,
            kind: closed(at("kind"), &self.kind, FeedbackKind::parse)?,
            about: about.zip(self.about_key).map(|(kind, key)| Named { kind, key }),
            tags: vec![],
            text: self.text,
            posted_at: Instant(self.posted_at),
            status: closed(at("status"), &self.status, FeedbackStatus::parse)?,
            acknowledged: answered(self.acknowledged_by, self.acknowledged_at),
            closed: answered(self.closed_by, self.closed_at),
            answer: self.answer,
            clock,
        })
    }
}

const FEEDBACK: &str = "SELECT f.id, f.from_side, f.to_side, f.user_id, f.kind, f.about_kind, f.about_key, f.text, f.posted_at, \
    f.status, f.acknowledged_by, f.acknowledged_at, f.closed_by, f.closed_at, f.answer, f.clock FROM feedback f";

/// Which feedback; all given conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedbackFilter {
    /// The side that owes an answer.
    pub to: Option<Side>,
    pub status: Option<FeedbackStatus>,
    pub kind: Option<FeedbackKind>,
    pub about: Option<Named<FeedbackSubject>>,
    pub tag: Option<String>,
    /// Open, and due before this instant.
    pub overdue: Option<Instant>,
}

/// The newest first, after a place in that order.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &FeedbackFilter,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Feedback>> {
    let FeedbackFilter { to, status, kind, about, tag, overdue } = filter;
    let mut where_ = Where::new(db);
    where_.equals("f.to_side", to.map(Side::as_str));
    where_.equals("f.status", status.map(FeedbackStatus::as_str));
    where_.equals("f.kind", kind.map(FeedbackKind::as_str));
    if let Some(Named { kind, key }) = about {
        where_.equals("f.about_kind", Some(kind.as_str()));
        where_.equals("f.about_key", Some(key.as_str()));
    }
    if let Some(tag) = tag {
        let tag = where_.value(tag.as_str());
        where_.and(format!("f.id IN (SELECT t.feedback FROM feedback_tag t WHERE t.tag = {tag})"));
    }
    if let Some(now) = overdue {
        let now = where_.value(now.ms());
        where_.and(format!("f.status = 'OPEN' AND f.due_at < {now}"));
    }
    let (rest, values) = where_.page(("f.posted_at", "f.id"), from, false, limit);
    let rows: Vec<Row> = fetch_all(db, &format!("{FEEDBACK}{rest}"), values).await?;
    tagged(db, rows).await
}

/// Any number of them, by id.
pub async fn by_id(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Feedback>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!("{FEEDBACK} WHERE f.id {}", list(db));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    Ok(tagged(db, rows).await?.into_iter().map(|one| (one.id, one)).collect())
}

pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Feedback>> {
    Ok(by_id(db, &[id]).await?.remove(&id))
}

/// One of them, which nobody else changes until the command ends.
pub async fn locked(tx: &Tx, id: Uuid) -> Result<Option<Feedback>> {
    let sql = format!("{FEEDBACK} WHERE f.id = $1{}", tx.dialect().for_update());
    let row: Option<Row> = fetch_one(tx, &sql, vec![id.into()]).await?;
    Ok(tagged(tx, row.into_iter().collect()).await?.pop())
}

async fn tagged(db: &impl ConnectionTrait, rows: Vec<Row>) -> Result<Vec<Feedback>> {
    #[derive(FromQueryResult)]
    struct Tag {
        tag: String,
        feedback: Uuid,
    }
    if rows.is_empty() {
        return Ok(vec![]);
    }
    let sql =
        format!("SELECT tag, feedback FROM feedback_tag WHERE feedback {} ORDER BY feedback, tag", list(db));
    let mut tags: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for Tag { tag, feedback } in
        fetch_all(db, &sql, vec![dialect::uuids(rows.iter().map(|row| &row.id))]).await?
    {
        tags.entry(feedback).or_default().push(tag);
    }
    let feedback = rows.into_iter().map(|row| {
        let tags = tags.remove(&row.id).unwrap_or_default();
        Ok(Feedback { tags, ..row.decode()? })
    });
    feedback.collect()
}

/// What of a clock the database searches by.
fn clock(clock: Option<&SlaClock>) -> Result<[Value; 5]> {
    Ok([
        clock.map(json).transpose()?.into(),
        clock.map(|clock| clock.id).into(),
        clock.map(|clock| clock.state.as_str()).into(),
        clock.map(|clock| clock.due_at.ms()).into(),
        clock.and_then(SlaClock::wake_at).map(|at| at.ms()).into(),
    ])
}

pub async fn insert(tx: &Tx, feedback: &Feedback, lead: Option<Uuid>) -> Result<()> {
    let about = feedback.about.as_ref();
    let mut row: Vec<Value> = vec![
        feedback.id.into(),
        feedback.from.as_str().into(),
        feedback.to.as_str().into(),
        feedback.user.into(),
        feedback.kind.as_str().into(),
        about.map(|about| about.kind.as_str()).into(),
        about.map(|about| about.key.clone()).into(),
        lead.into(),
        feedback.text.as_str().into(),
        feedback.posted_at.ms().into(),
        feedback.status.as_str().into(),
    ];
    row.extend(clock(feedback.clock.as_ref())?);
    let columns = &[
        "id",
        "from_side",
        "to_side",
        "user_id",
        "kind",
        "about_kind",
        "about_key",
        "lead",
        "text",
        "posted_at",
        "status",
        "clock",
        "clock_id",
        "clock_state",
        "due_at",
        "wake_at",
    ];
    insert_rows(tx, "feedback", columns, vec![row]).await?;
    let tags = feedback.tags.iter().map(|tag| vec![tag.as_str().into(), feedback.id.into()]);
    insert_new_rows(tx, "feedback_tag", &["tag", "feedback"], &["tag", "feedback"], tags.collect()).await?;
    Ok(())
}

/// How it was answered, and where its clock stands. What was said stays.
pub async fn put(tx: &Tx, feedback: &Feedback) -> Result<()> {
    let answered = |answered: Option<Answered>| {
        let (user, at) = answered.map(|one| (one.user, one.at.ms())).unzip();
        [Value::from(user), Value::from(at)]
    };
    let mut values: Vec<Value> = vec![feedback.id.into(), feedback.status.as_str().into()];
    values.extend(answered(feedback.acknowledged));
    values.extend(answered(feedback.closed));
    values.push(feedback.answer.clone().into());
    values.extend(clock(feedback.clock.as_ref())?);
    let sql = "UPDATE feedback SET status = $2, acknowledged_by = $3, acknowledged_at = $4, closed_by = $5, closed_at = $6, \
               answer = $7, clock = $8, clock_id = $9, clock_state = $10, due_at = $11, wake_at = $12 WHERE id = $1";
    execute(tx, sql, values).await?;
    Ok(())
}

/// Whether it is new: the same effect twice is one.
pub async fn link(tx: &Tx, effect: &Effect) -> Result<bool> {
    let Effect { id, feedback, of, user, at } = effect;
    let row = vec![
        (*id).into(),
        (*feedback).into(),
        of.kind.as_str().into(),
        of.key.as_str().into(),
        (*user).into(),
        at.ms().into(),
    ];
    let columns = &["id", "feedback", "kind", "subject", "user_id", "at"];
    let key = &["feedback", "kind", "subject"];
    Ok(insert_new_rows(tx, "feedback_effect", columns, key, vec![row]).await? > 0)
}

/// What any number of feedback caused, the oldest first.
pub async fn effects(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<Effect>>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        feedback: Uuid,
        kind: String,
        subject: String,
        user_id: Uuid,
        at: i64,
    }
    let sql = format!(
        "SELECT id, feedback, kind, subject, user_id, at FROM feedback_effect WHERE feedback {} ORDER BY feedback, at, id",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    let mut found: BTreeMap<Uuid, Vec<Effect>> = BTreeMap::new();
    for Row { id, feedback, kind, subject, user_id, at } in rows {
        let kind = closed(Place("feedback_effect", "kind", &id), &kind, EffectKind::parse)?;
        let of = Named { kind, key: subject };
        let effect = Effect { id, feedback, of, user: user_id, at: Instant(at) };
        found.entry(feedback).or_default().push(effect);
    }
    Ok(found)
}

/// Feedback whose clock has something to do.
pub async fn due(db: &impl ConnectionTrait, now: Instant, limit: i64) -> Result<Vec<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql = "SELECT id FROM feedback WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2";
    let rows: Vec<Row> = fetch_all(db, sql, vec![now.ms().into(), limit.into()]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Feedback with a clock, the earliest due time first, after a place in that order.
pub async fn clocks(
    db: &impl ConnectionTrait,
    filter: &ClockFilter,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Feedback>> {
    let mut where_ = Where::new(db);
    where_.and("f.clock_id IS NOT NULL".to_owned());
    where_.equals("f.clock_state", filter.state.map(ClockState::as_str));
    // A side that owes an answer is the party of its clock.
    where_.equals("f.to_side", filter.party.map(|party| party.as_str()));
    if let Some((due, id)) = from {
        let (a, b) = (where_.value(due), where_.value(id));
        where_.and(format!("(f.due_at, f.clock_id) > ({a}, {b})"));
    }
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!("{FEEDBACK}{conditions} ORDER BY f.due_at, f.clock_id LIMIT {limit}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    tagged(db, rows).await
}

/// How many promises to acknowledge feedback stand in each state.
pub async fn clock_states(db: &impl ConnectionTrait) -> Result<BTreeMap<ClockState, i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        state: String,
        clocks: i64,
    }
    let sql = "SELECT clock_state AS state, count(*) AS clocks FROM feedback WHERE clock_id IS NOT NULL GROUP BY clock_state";
    let rows: Vec<Row> = fetch_all(db, sql, vec![]).await?;
    let state = |row: &Row| closed(Place("feedback", "clock_state", &"?"), &row.state, ClockState::parse);
    rows.iter().map(|row| Ok((state(row)?, row.clocks))).collect()
}
