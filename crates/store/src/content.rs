//! Content beside its documents: what was sent, what leads have seen, what it was part of, and what was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use handfast_domain::content::{ContentAsset, ContentRequest, ContentRequestStatus};
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::{Where, list};
use crate::rows::{execute, fetch_all, fetch_one, insert_rows};
use crate::tx::Tx;

/// Content that somebody of sales sent to a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentUse {
    pub id: Uuid,
    pub content: Uuid,
    pub lead: Uuid,
    pub user: Uuid,
    pub at: Instant,
}

pub async fn insert_use(tx: &Tx, sent: &ContentUse) -> Result<()> {
    let ContentUse { id, content, lead, user, at } = sent;
    let row = vec![(*id).into(), (*content).into(), (*lead).into(), (*user).into(), at.ms().into()];
    insert_rows(tx, "content_use", &["id", "content", "lead", "user_id", "at"], vec![row]).await?;
    Ok(())
}

/// How often sales sent any number of pieces; those that nobody sent are left out.
pub async fn uses(db: &impl ConnectionTrait, contents: &[Uuid]) -> Result<BTreeMap<Uuid, i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        content: Uuid,
        uses: i64,
    }
    let sql = format!(
        "SELECT content, count(*) AS uses FROM content_use WHERE content {} GROUP BY content",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(contents)]).await?;
    Ok(rows.into_iter().map(|row| (row.content, row.uses)).collect())
}

/// Cycles that were won since `from` after their lead had seen any of these pieces, by a touch that names the key or because
/// sales sent it. It reads the wins by their index and each one's touches by theirs: ask the pool for reports.
pub async fn influenced(
    db: &impl ConnectionTrait,
    contents: &[Arc<ContentAsset>],
    from: Instant,
) -> Result<BTreeMap<Uuid, i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        content: String,
        wins: i64,
    }
    if contents.is_empty() {
        return Ok(BTreeMap::new());
    }
    let dialect = Dialect::of(db.get_database_backend());
    // A use is told by the key of its content as a touch is, so that both of one win count once.
    let sql = format!(
        "SELECT content, count(*) AS wins FROM ( \
             SELECT t.content, c.lead, c.number FROM cycle c JOIN touchpoint t ON t.lead = c.lead \
                 AND t.occurred_at <= c.closed_at AND t.content {keys} \
                 WHERE c.closed_at >= $2 AND c.outcome = 'WON' \
             UNION SELECT a.key, c.lead, c.number FROM cycle c JOIN content_use u ON u.lead = c.lead \
                 AND u.at <= c.closed_at JOIN content a ON a.id = u.content AND a.key {keys} \
                 WHERE c.closed_at >= $2 AND c.outcome = 'WON') seen GROUP BY content",
        keys = dialect.text_list("$1")
    );
    let keys = dialect::texts(contents.iter().map(|content| &content.key));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![keys, from.ms().into()]).await?;
    let id = |key: &str| contents.iter().find(|content| content.key == key).map(|content| content.id);
    Ok(rows.into_iter().filter_map(|row| Some((id(&row.content)?, row.wins))).collect())
}

/// A look of a lead at content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Key of the content, which may be none that was registered.
    pub key: String,
    pub at: Instant,
    /// Whether sales sent it; else it was a touch.
    pub sent: bool,
}

/// The newest looks of a lead at content, the newest first.
pub async fn seen(db: &impl ConnectionTrait, lead: Uuid, limit: i64) -> Result<Vec<Seen>> {
    #[derive(FromQueryResult)]
    struct Row {
        content: String,
        at: i64,
        sent: bool,
    }
    let sql = "SELECT content, at, sent FROM ( \
                   SELECT t.content, t.occurred_at AS at, FALSE AS sent FROM touchpoint t \
                       WHERE t.lead = $1 AND t.content IS NOT NULL \
                   UNION ALL SELECT a.key, u.at, TRUE FROM content_use u JOIN content a ON a.id = u.content \
                       WHERE u.lead = $1) looked ORDER BY at DESC, content LIMIT $2";
    let rows: Vec<Row> = fetch_all(db, sql, vec![lead.into(), limit.into()]).await?;
    let look = |row: Row| Seen { key: row.content, at: Instant(row.at), sent: row.sent };
    Ok(rows.into_iter().map(look).collect())
}

/// When a lead came to which stage, the first one first.
pub async fn stages(db: &impl ConnectionTrait, lead: Uuid) -> Result<Vec<(Instant, StageKind)>> {
    #[derive(FromQueryResult)]
    struct Row {
        at: i64,
        to_stage: String,
    }
    let sql = "SELECT at, to_stage FROM stage_transition WHERE lead = $1 ORDER BY stage_version";
    let rows: Vec<Row> = fetch_all(db, sql, vec![lead.into()]).await?;
    let stage =
        |row: &Row| closed(Place("stage_transition", "to_stage", &lead), &row.to_stage, StageKind::parse);
    rows.iter().map(|row| Ok((Instant(row.at), stage(row)?))).collect()
}

#[derive(FromQueryResult)]
struct RequestRow {
    id: Uuid,
    persona: String,
    stage: String,
    objection: String,
    user_id: Uuid,
    requested_at: i64,
    status: String,
    content: Option<Uuid>,
    reason: Option<String>,
    closed_by: Option<Uuid>,
    closed_at: Option<i64>,
}

impl RequestRow {
    fn decode(self) -> Result<ContentRequest> {
        let id = self.id;
        let at = |column: &'static str| Place("content_request", column, &id);
        Ok(ContentRequest {
            id,
            persona: self.persona,
            stage: closed(at("stage"), &self.stage, StageKind::parse)?,
            objection: self.objection,
            user: self.user_id,
            requested_at: Instant(self.requested_at),
            status: closed(at("status"), &self.status, ContentRequestStatus::parse)?,
            content: self.content,
            reason: self.reason,
            closed_by: self.closed_by,
            closed_at: self.closed_at.map(Instant),
        })
    }
}

const REQUEST: &str = "SELECT id, persona, stage, objection, user_id, requested_at, status, content, reason, closed_by, \
    closed_at FROM content_request";

pub async fn insert_request(tx: &Tx, request: &ContentRequest) -> Result<()> {
    let row = vec![
        request.id.into(),
        request.persona.as_str().into(),
        request.stage.as_str().into(),
        request.objection.as_str().into(),
        request.user.into(),
        request.requested_at.ms().into(),
        request.status.as_str().into(),
    ];
    let columns = &["id", "persona", "stage", "objection", "user_id", "requested_at", "status"];
    insert_rows(tx, "content_request", columns, vec![row]).await?;
    Ok(())
}

/// How it was answered. What was asked stays.
pub async fn put_request(tx: &Tx, request: &ContentRequest) -> Result<()> {
    let sql = "UPDATE content_request SET status = $2, content = $3, reason = $4, closed_by = $5, closed_at = $6 WHERE id = $1";
    let values = vec![
        request.id.into(),
        request.status.as_str().into(),
        request.content.into(),
        request.reason.clone().into(),
        request.closed_by.into(),
        request.closed_at.map(|at| at.ms()).into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// One request; inside of a command nobody else changes it until that ends.
pub async fn request(db: &impl ConnectionTrait, id: Uuid, lock: bool) -> Result<Option<ContentRequest>> {
    let lock = if lock { Dialect::of(db.get_database_backend()).for_update() } else { "" };
    let row: Option<RequestRow> =
        fetch_one(db, &format!("{REQUEST} WHERE id = $1{lock}"), vec![id.into()]).await?;
    row.map(RequestRow::decode).transpose()
}

/// The newest first, after a place in that order.
pub async fn requests(
    db: &impl ConnectionTrait,
    status: Option<ContentRequestStatus>,
    persona: Option<&str>,
    stage: Option<StageKind>,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<ContentRequest>> {
    let mut where_ = Where::new(db);
    where_.equals("status", status.map(ContentRequestStatus::as_str));
    where_.equals("persona", persona.map(str::to_owned));
    where_.equals("stage", stage.map(StageKind::as_str));
    let (rest, values) = where_.page(("requested_at", "id"), from, false, limit);
    let rows: Vec<RequestRow> = fetch_all(db, &format!("{REQUEST}{rest}"), values).await?;
    rows.into_iter().map(RequestRow::decode).collect()
}

/// Open requests by persona and stage.
pub async fn open_requests(db: &impl ConnectionTrait) -> Result<BTreeMap<(String, StageKind), i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        persona: String,
        stage: String,
        requests: i64,
    }
    let sql = "SELECT persona, stage, count(*) AS requests FROM content_request WHERE status = 'OPEN' GROUP BY persona, stage";
    let rows: Vec<Row> = fetch_all(db, sql, vec![]).await?;
    let place = |row: &Row| closed(Place("content_request", "stage", &"?"), &row.stage, StageKind::parse);
    rows.into_iter().map(|row| Ok(((row.persona.clone(), place(&row)?), row.requests))).collect()
}
