//! The opponent: the same rows served without GraphQL, as a good engineer would by hand. One statement for each level,
//! with no column too many, typed rows by position, small tables from memory, JSON by serde. It answers exactly what
//! Handfast answers, so that the answers can be compared.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use handfast_domain::time::Instant;
use sea_orm::sqlx::{self, ConnectOptions, Row, postgres, sqlite};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Failed;
use crate::server::{Database, OpponentArgs};

pub async fn serve(args: OpponentArgs) -> Result<(), Failed> {
    let router = router(&args.database(), &args.dir).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("Handfast serves http://{}/graphql", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

/// The answers to the reads of [`crate::reads`].
pub async fn router(database: &Database, dir: &std::path::Path) -> Result<Router, Failed> {
    match &database.postgres {
        Some(url) => {
            let options: postgres::PgConnectOptions =
                url.parse().map_err(|error: sqlx::Error| Failed(error.to_string()))?;
            let options =
                options.options([("search_path", database.schema.as_str())]).disable_statement_logging();
            let pool = postgres::PgPoolOptions::new().max_connections(4).test_before_acquire(false);
            on_postgres::router(pool.connect_with(options).await.map_err(|error| Failed(error.to_string()))?)
                .await
        }
        None => {
            let options = sqlite::SqliteConnectOptions::new()
                .filename(dir.join("handfast.db"))
                .read_only(true)
                .pragma("cache_size", "-2048")
                .disable_statement_logging();
            let pool = sqlite::SqlitePoolOptions::new().max_connections(4).test_before_acquire(false);
            on_sqlite::router(pool.connect_with(options).await.map_err(|error| Failed(error.to_string()))?)
                .await
        }
    }
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct OneLead {
    lead: Option<Lead>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lead {
    uuid: Uuid,
    stage: String,
    outcome: String,
    work_state: String,
    source: String,
    fit: i64,
    engagement: i64,
    captured_at: String,
    account: Option<Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persona: Option<Option<Persona>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<Option<Campaign>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    touchpoints: Option<Vec<Touch>>,
}

#[derive(Serialize)]
struct Account {
    name: String,
    domain: Option<String>,
    industry: Option<String>,
    country: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Persona {
    key: String,
    name: String,
}

#[derive(Serialize)]
struct Campaign {
    key: String,
    name: String,
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Touch {
    channel: String,
    content: Option<String>,
    occurred_at: String,
    campaign: Option<Name>,
}

#[derive(Serialize)]
struct Name {
    name: String,
}

#[derive(Serialize)]
struct Leads {
    leads: Page<Lead>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    edges: Vec<Edge<T>>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct Edge<T> {
    node: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Serialize)]
struct Funnel {
    funnel: Counts,
}

#[derive(Serialize)]
struct Counts {
    stages: Vec<Stage>,
    won: String,
    lost: String,
}

#[derive(Serialize)]
struct Stage {
    stage: String,
    label: String,
    open: String,
    entered: String,
}

#[derive(Serialize)]
struct Campaigns {
    campaigns: Page<Results>,
}

#[derive(Serialize)]
struct Results {
    key: String,
    name: String,
    results: Numbers,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    leads: String,
    mql: String,
    sal: String,
    sql: String,
    won: String,
    revenue: Money,
    cost_per_mql: Option<Money>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Money {
    amount_minor: String,
    currency: String,
}

/// What is asked of a page.
#[derive(Deserialize)]
struct Ask {
    /// Milliseconds and id of the last lead of the page before.
    at: Option<i64>,
    id: Option<Uuid>,
    touches: Option<bool>,
}

/// The parts of a charter that these answers need.
#[derive(Deserialize)]
struct Charter {
    currency: String,
    stages: Vec<Definition>,
    personas: Vec<Persona>,
}

#[derive(Deserialize)]
struct Definition {
    kind: String,
    label: String,
}

struct Shared<P> {
    pool: P,
    charter: Charter,
}

fn json<T: Serialize>(data: T) -> Response {
    let body = serde_json::to_vec(&Data { data }).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn failed(error: sqlx::Error) -> Response {
    (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

fn instant(ms: i64) -> String {
    Instant(ms).to_string()
}

fn funnel(charter: &Charter, rows: Vec<(String, String, String, i64)>) -> Funnel {
    let counts: HashMap<(&str, &str, &str), i64> = rows
        .iter()
        .map(|(family, subject, metric, value)| {
            ((family.as_str(), subject.as_str(), metric.as_str()), *value)
        })
        .collect();
    let sum = |family: &str, subject: &str| -> i64 {
        counts.iter().filter(|((f, s, _), _)| *f == family && *s == subject).map(|(_, value)| value).sum()
    };
    let stage = |stage: &Definition| Stage {
        stage: stage.kind.clone(),
        label: stage.label.clone(),
        open: counts.get(&("funnel", &stage.kind, "OPEN")).copied().unwrap_or(0).to_string(),
        entered: sum("entered", &stage.kind).to_string(),
    };
    let (won, lost) = (sum("closed", "WON").to_string(), sum("closed", "LOST").to_string());
    Funnel { funnel: Counts { stages: charter.stages.iter().map(stage).collect(), won, lost } }
}

fn results(
    charter: &Charter,
    campaigns: Vec<(Uuid, String, String, i64)>,
    rows: Vec<(String, String, i64)>,
) -> Campaigns {
    let mut counts: HashMap<Uuid, HashMap<&str, i64>> = HashMap::new();
    for (subject, metric, value) in &rows {
        if let Ok(id) = Uuid::try_parse(subject) {
            counts.entry(id).or_default().insert(metric, *value);
        }
    }
    let money = |amount: i64| Money { amount_minor: amount.to_string(), currency: charter.currency.clone() };
    let edges = campaigns.into_iter().map(|(id, key, name, cost)| {
        let of = |metric: &str| counts.get(&id).and_then(|counts| counts.get(metric)).copied().unwrap_or(0);
        let mql = of("MQL");
        let results = Numbers {
            leads: of("leads").to_string(),
            mql: mql.to_string(),
            sal: of("SAL").to_string(),
            sql: of("SQL").to_string(),
            won: of("won").to_string(),
            revenue: money(of("revenue")),
            cost_per_mql: (mql > 0).then(|| money((2 * cost + mql) / (2 * mql))),
        };
        Edge { node: Results { key, name, results } }
    });
    let page_info = PageInfo { has_next_page: false, end_cursor: None };
    Campaigns { campaigns: Page { edges: edges.collect(), page_info } }
}

/// The same answers over both drivers: the SQL differs in how lists of ids are given and in the newest of each.
macro_rules! opponent {
    ($module:ident, $pool:ty, $row:ty, ids: $ids:expr, touches: $touches:expr) => {
        mod $module {
            use super::*;

            type App = State<Arc<Shared<$pool>>>;

            pub async fn router(pool: $pool) -> Result<Router, Failed> {
                let row = sqlx::query("SELECT body FROM charter WHERE status = 'ACTIVE'").fetch_one(&pool).await;
                let body: String = row.map_err(|error| Failed(error.to_string()))?.get(0);
                let charter = serde_json::from_str(&body).map_err(|error| Failed(error.to_string()))?;
                let routes = Router::new()
                    .route("/lead/{id}", get(lead))
                    .route("/leads", get(leads))
                    .route("/funnel", get(counts))
                    .route("/campaigns", get(campaigns));
                Ok(routes.with_state(Arc::new(Shared { pool, charter })))
            }

            async fn lead(State(app): App, Path(id): Path<Uuid>) -> Response {
                let sql = "SELECT l.id, l.stage, l.outcome, l.work_state, l.source, l.fit, l.engagement, l.captured_at, \
                           a.name, a.domain, a.industry, a.country, l.persona \
                           FROM lead l LEFT JOIN account a ON a.id = l.account WHERE l.id = $1";
                let row = match sqlx::query(sql).bind(id).fetch_optional(&app.pool).await {
                    Ok(row) => row,
                    Err(error) => return failed(error),
                };
                let lead = row.map(|row| {
                    let key: Option<String> = row.get(12);
                    let persona = app.charter.personas.iter().find(|persona| Some(&persona.key) == key.as_ref());
                    Lead { persona: Some(persona.cloned()), ..read(&row) }
                });
                json(OneLead { lead })
            }

            fn read(row: &$row) -> Lead {
                let name: Option<String> = row.get(8);
                let account = name.map(|name| Account { name, domain: row.get(9), industry: row.get(10), country: row.get(11) });
                Lead {
                    uuid: row.get(0),
                    stage: row.get(1),
                    outcome: row.get(2),
                    work_state: row.get(3),
                    source: row.get(4),
                    fit: row.get(5),
                    engagement: row.get(6),
                    captured_at: instant(row.get(7)),
                    account,
                    persona: None,
                    campaign: None,
                    touchpoints: None,
                }
            }

            async fn leads(State(app): App, Query(ask): Query<Ask>) -> Response {
                let sql = "SELECT l.id, l.stage, l.outcome, l.work_state, l.source, l.fit, l.engagement, l.captured_at, \
                           a.name, a.domain, a.industry, a.country, c.key, c.name, c.kind FROM lead l \
                           LEFT JOIN account a ON a.id = l.account LEFT JOIN campaign c ON c.id = l.campaign \
                           WHERE (l.captured_at, l.id) < ($1, $2) ORDER BY l.captured_at DESC, l.id DESC LIMIT 51";
                let (at, id) = (ask.at.unwrap_or(i64::MAX), ask.id.unwrap_or(Uuid::max()));
                let rows = match sqlx::query(sql).bind(at).bind(id).fetch_all(&app.pool).await {
                    Ok(rows) => rows,
                    Err(error) => return failed(error),
                };
                let end_cursor = rows.iter().take(50).last().map(|row| format!("{},{}", row.get::<i64, _>(7), row.get::<Uuid, _>(0)));
                let page_info = PageInfo { has_next_page: rows.len() > 50, end_cursor };
                let mut leads: Vec<Lead> = rows
                    .iter()
                    .take(50)
                    .map(|row| {
                        let key: Option<String> = row.get(12);
                        let campaign = key.map(|key| Campaign { key, name: row.get(13), kind: row.get(14) });
                        Lead { campaign: Some(campaign), ..read(row) }
                    })
                    .collect();
                if ask.touches == Some(true) {
                    let ids: Vec<Uuid> = leads.iter().map(|lead| lead.uuid).collect();
                    let rows = match sqlx::query($touches).bind($ids(ids)).fetch_all(&app.pool).await {
                        Ok(rows) => rows,
                        Err(error) => return failed(error),
                    };
                    let mut touches: HashMap<Uuid, Vec<Touch>> = HashMap::new();
                    for row in rows {
                        let name: Option<String> = row.get(4);
                        touches.entry(row.get(0)).or_default().push(Touch {
                            channel: row.get(1),
                            content: row.get(2),
                            occurred_at: instant(row.get(3)),
                            campaign: name.map(|name| Name { name }),
                        });
                    }
                    for lead in &mut leads {
                        lead.touchpoints = Some(touches.remove(&lead.uuid).unwrap_or_default());
                    }
                }
                let edges = leads.into_iter().map(|node| Edge { node }).collect();
                json(Leads { leads: Page { edges, page_info } })
            }

            async fn counts(State(app): App) -> Response {
                let sql = "SELECT family, subject, metric, value FROM counter WHERE family IN ('funnel', 'entered', 'closed')";
                match sqlx::query(sql).fetch_all(&app.pool).await {
                    Ok(rows) => {
                        let rows = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)));
                        json(funnel(&app.charter, rows.collect()))
                    }
                    Err(error) => failed(error),
                }
            }

            async fn campaigns(State(app): App) -> Response {
                let sql = "SELECT id, key, name, cost_minor FROM campaign ORDER BY created_at DESC, id DESC LIMIT 200";
                let campaigns = match sqlx::query(sql).fetch_all(&app.pool).await {
                    Ok(rows) => rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect(),
                    Err(error) => return failed(error),
                };
                let sql = "SELECT subject, metric, value FROM counter WHERE family = 'campaign' \
                           AND metric IN ('leads', 'MQL', 'SAL', 'SQL', 'won', 'revenue')";
                match sqlx::query(sql).fetch_all(&app.pool).await {
                    Ok(rows) => {
                        let rows = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2)));
                        json(results(&app.charter, campaigns, rows.collect()))
                    }
                    Err(error) => failed(error),
                }
            }
        }
    };
}

opponent!(
    on_postgres,
    sqlx::PgPool,
    postgres::PgRow,
    ids: |ids: Vec<Uuid>| ids,
    touches: "SELECT k.lead, t.channel, t.content, t.occurred_at, c.name FROM unnest($1) AS k (lead) CROSS JOIN LATERAL \
              (SELECT * FROM touchpoint t WHERE t.lead = k.lead ORDER BY t.occurred_at DESC, t.id DESC LIMIT 5) t \
              LEFT JOIN campaign c ON c.id = t.campaign ORDER BY t.lead, t.occurred_at DESC, t.id DESC"
);
opponent!(
    on_sqlite,
    sqlx::SqlitePool,
    sqlite::SqliteRow,
    ids: |ids: Vec<Uuid>| serde_json::Value::from_iter(ids.iter().map(|id| id.simple().to_string())).to_string(),
    touches: "SELECT t.lead, t.channel, t.content, t.occurred_at, c.name FROM json_each($1) k JOIN touchpoint t ON t.id IN \
              (SELECT id FROM touchpoint WHERE lead = unhex(k.value) ORDER BY occurred_at DESC, id DESC LIMIT 5) \
              LEFT JOIN campaign c ON c.id = t.campaign ORDER BY k.key, t.occurred_at DESC, t.id DESC"
);
