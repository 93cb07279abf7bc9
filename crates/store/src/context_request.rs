//! Questions of sales about leads, and marketing's answers.

use handfast_domain::context_request::{ContextAnswer, ContextRequest, ContextState, ContextTopic};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::decode::{Place, closed, small};
use crate::dialect;
use crate::error::{Result, StoreError};
use crate::lead::{Where, list};
use crate::rows::{execute, fetch_all, fetch_one};
use crate::tx::Tx;

pub(crate) const COLUMNS: &[&str] =
    &["id", "lead", "cycle", "handoff", "topic", "field", "question", "asked_by", "asked_at"];

/// As it is asked; the answer comes later.
pub(crate) fn row(request: &ContextRequest) -> Vec<Value> {
    let ContextRequest { id, lead, cycle, handoff, topic, field, question, asked_by, asked_at, answer: _ } =
        request;
    vec![
        (*id).into(),
        (*lead).into(),
        i64::from(*cycle).into(),
        (*handoff).into(),
        topic.as_str().into(),
        field.clone().into(),
        question.as_str().into(),
        (*asked_by).into(),
        asked_at.ms().into(),
    ]
}

/// The first answer stands.
pub(crate) async fn answer(tx: &Tx, request: Uuid, answer: &ContextAnswer) -> Result<()> {
    let sql = "UPDATE context_request SET answer = $1, answered_by = $2, answered_at = $3 \
               WHERE id = $4 AND answered_at IS NULL";
    let ContextAnswer { text, user, at } = answer;
    let values = vec![text.as_str().into(), (*user).into(), at.ms().into(), request.into()];
    match execute(tx, sql, values).await? {
        1 => Ok(()),
        // Answers move the version of the lead, so that the second one of two was decided from the first.
        _ => Err(StoreError::Overtaken("the question".to_owned())),
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    lead: Uuid,
    cycle: i64,
    handoff: Option<Uuid>,
    topic: String,
    field: Option<String>,
    question: String,
    asked_by: Uuid,
    asked_at: i64,
    answer: Option<String>,
    answered_by: Option<Uuid>,
    answered_at: Option<i64>,
}

impl Row {
    fn decode(self) -> Result<ContextRequest> {
        let id = self.id;
        let at = |column: &'static str| Place("context_request", column, &id);
        let answer = match (self.answer, self.answered_by, self.answered_at) {
            (text, Some(user), Some(at)) => {
                Some(ContextAnswer { text: text.unwrap_or_default(), user, at: Instant(at) })
            }
            _ => None,
        };
        Ok(ContextRequest {
            id,
            lead: self.lead,
            cycle: small(at("cycle"), self.cycle)?,
            handoff: self.handoff,
            topic: closed(at("topic"), &self.topic, ContextTopic::parse)?,
            field: self.field,
            question: self.question,
            asked_by: self.asked_by,
            asked_at: Instant(self.asked_at),
            answer,
        })
    }
}

const REQUEST: &str = "SELECT id, lead, cycle, handoff, topic, field, question, asked_by, asked_at, answer, answered_by, \
                       answered_at FROM context_request";

pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<ContextRequest>> {
    let row: Option<Row> = fetch_one(db, &format!("{REQUEST} WHERE id = $1"), vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Of any number of leads, the newest first.
pub async fn of(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<Vec<ContextRequest>> {
    let sql = format!("{REQUEST} WHERE lead {} ORDER BY lead, asked_at DESC, id DESC", list(db));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// The newest first, after a place in that order.
pub async fn page(
    db: &impl ConnectionTrait,
    state: Option<ContextState>,
    topic: Option<ContextTopic>,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<ContextRequest>> {
    let mut where_ = Where::new(db);
    match state {
        Some(ContextState::Open) => where_.and("answered_at IS NULL".to_owned()),
        Some(ContextState::Answered) => where_.and("answered_at IS NOT NULL".to_owned()),
        None => {}
    }
    where_.equals("topic", topic.map(|topic| topic.as_str().to_owned()));
    let (rest, values) = where_.page(("asked_at", "id"), from, false, limit);
    let rows: Vec<Row> = fetch_all(db, &format!("{REQUEST}{rest}"), values).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// How often a topic, or a field of it, was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub topic: ContextTopic,
    pub field: Option<String>,
    pub count: i64,
    pub answered: i64,
    /// Of those that were answered, in milliseconds from question to answer.
    pub mean_ms: Option<i64>,
}

/// What was asked for from `since` until before `until`, the most frequent first.
pub async fn most_requested(
    db: &impl ConnectionTrait,
    since: Instant,
    until: Instant,
    limit: i64,
) -> Result<Vec<Asked>> {
    #[derive(FromQueryResult)]
    struct Row {
        topic: String,
        field: Option<String>,
        asked: i64,
        answered: i64,
        waited: Option<i64>,
    }
    let sql = "SELECT topic, field, count(*) AS asked, count(answered_at) AS answered, \
               CAST(sum(answered_at - asked_at) AS bigint) AS waited FROM context_request \
               WHERE asked_at >= $1 AND asked_at < $2 GROUP BY topic, field \
               ORDER BY asked DESC, topic, field LIMIT $3";
    let rows: Vec<Row> = fetch_all(db, sql, vec![since.ms().into(), until.ms().into(), limit.into()]).await?;
    rows.into_iter()
        .map(|Row { topic, field, asked, answered, waited }| {
            let topic = closed(Place("context_request", "topic", &topic), &topic, ContextTopic::parse)?;
            let mean_ms = waited.filter(|_| answered > 0).map(|waited| waited / answered);
            Ok(Asked { topic, field, count: asked, answered, mean_ms })
        })
        .collect()
}
