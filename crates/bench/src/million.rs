//! A funnel of a million leads: a season that the demo's company lives through by the public API, copied inside the
//! database. Leads, people, accounts, cycles, touches and campaigns are copied, with ids and times of their own, and
//! counters are multiplied; records that only one lead's own page shows, and the log, stay those of the season.

use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database as Sea, DatabaseConnection, DbBackend, Statement};
use serde::{Deserialize, Serialize};

use crate::Failed;
use crate::server::{Database, Server};

/// Campaigns are copied so often at most: the demo has twenty.
const CAMPAIGN_COPIES: u64 = 9;
/// Copies of the season that one statement writes.
const CHUNK: u64 = 50;

/// Tokens of two people of the demo's company.
#[derive(Serialize, Deserialize)]
pub struct Tokens {
    /// Of its head of sales.
    pub sales: String,
    /// Of an operator, who may do everything.
    pub ops: String,
}

/// Lets the demo play its season in a data directory, with so many leads.
pub fn season(
    handfast: &Path,
    plugins: &Path,
    dir: &Path,
    database: &Database,
    leads: u64,
) -> Result<Tokens, Failed> {
    let mut command = database.command(handfast);
    command.args(["demo", "--port", "0", "--data-dir"]).arg(dir).arg("--plugins").arg(plugins);
    command.args(["--leads", &leads.to_string()]).arg("--sources").arg(crate::root().join("plugins"));
    let server = Server::start(&mut command)?;
    eprintln!("   {}: a season of the demo", database.name());
    let sales = server.says("sales ", Duration::from_secs(1200))?;
    let ops = server.says("ops ", Duration::from_secs(20))?;
    server.stop();
    Ok(Tokens { sales, ops })
}

/// Copies the season until there are so many leads. Answers (leads, touches).
pub async fn multiply(database: &Database, dir: &Path, leads: u64) -> Result<(u64, u64), Failed> {
    let db = connect(database, dir).await?;
    if database.postgres.is_none() {
        db.execute_unprepared("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000").await?;
    }
    db.execute_unprepared("CREATE TEMP TABLE base_lead AS SELECT id, person FROM lead").await?;
    db.execute_unprepared("CREATE TEMP TABLE base_campaign AS SELECT * FROM campaign").await?;
    db.execute_unprepared("CREATE TEMP TABLE base_account AS SELECT * FROM account").await?;
    let season = count(&db, "base_lead").await?;
    let copies = leads.saturating_sub(season).div_ceil(season.max(1));
    let sql = Sql { sqlite: database.postgres.is_none() };

    let campaigns = copies.min(CAMPAIGN_COPIES);
    db.execute_unprepared(&format!(
        "INSERT INTO campaign (id, key, name, kind, channel, cost_minor, starts_at, ends_at, created_at) \
         SELECT {}, c.key || '-' || n.v, c.name || ' ' || n.v, c.kind, c.channel, c.cost_minor, c.starts_at, c.ends_at, \
         c.created_at - n.v FROM base_campaign c, {} WHERE n.v > 0",
        sql.copy("c.id"),
        sql.series(1, campaigns)
    ))
    .await?;
    let mut from = 1;
    while from <= copies {
        let to = (from + CHUNK - 1).min(copies);
        let series = sql.series(from, to);
        for statement in copies_of(&sql, &series) {
            db.execute_unprepared(&statement).await?;
        }
        eprintln!("   {}: {} of {leads} leads", database.name(), season * (to + 1));
        from = to + 1;
    }
    // Copy n of a lead names copy n % 10 of its campaign.
    let of_campaign = |copy: u64| (0..=copies).filter(|n| n % (CAMPAIGN_COPIES + 1) == copy).count();
    for copy in 1..=campaigns {
        db.execute_unprepared(&format!(
            "INSERT INTO counter (family, subject, metric, value) SELECT family, substr(subject, 1, 24) || '{copy:08x}', \
             metric, value * {} FROM counter c WHERE family = 'campaign' AND EXISTS (SELECT 1 FROM base_campaign b WHERE {} = c.subject)",
            of_campaign(copy),
            sql.simple("b.id"),
        ))
        .await?;
    }
    db.execute_unprepared(&format!(
        "UPDATE counter SET value = value * {} WHERE family = 'campaign' AND EXISTS (SELECT 1 FROM base_campaign b WHERE {} = counter.subject)",
        of_campaign(0),
        sql.simple("b.id"),
    ))
    .await?;
    db.execute_unprepared(&format!(
        "UPDATE counter SET value = value * {} WHERE family IN ('funnel', 'furthest', 'entered', 'closed')",
        copies + 1
    ))
    .await?;
    let found = (count(&db, "lead").await?, count(&db, "touchpoint").await?);
    // Each as it would be after a while: PostgreSQL looks after itself, SQLite is not told to analyse anything.
    let settle = if sql.sqlite { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "VACUUM ANALYZE" };
    db.execute_unprepared(settle).await?;
    db.close().await?;
    Ok(found)
}

/// What differs between the databases.
struct Sql {
    sqlite: bool,
}

impl Sql {
    /// `n(v)`, the numbers from one to another.
    fn series(&self, from: u64, to: u64) -> String {
        if self.sqlite {
            format!(
                "(WITH RECURSIVE s(v) AS (SELECT {from} UNION ALL SELECT v + 1 FROM s WHERE v < {to}) SELECT v FROM s) n"
            )
        } else {
            format!("generate_series({from}, {to}) n(v)")
        }
    }

    /// The id of copy `n.v`: the first twelve bytes of an id are its own, by time and counter.
    fn copy(&self, id: &str) -> String {
        self.copied(id, "n.v")
    }

    fn copied(&self, id: &str, number: &str) -> String {
        if self.sqlite {
            format!("unhex(substr(hex({id}), 1, 24) || printf('%08X', {number}))")
        } else {
            format!(
                "(substr(replace({id}::text, '-', ''), 1, 24) || lpad(to_hex({number}::int), 8, '0'))::uuid"
            )
        }
    }

    /// The campaign of copy `n.v` of a lead.
    fn campaign(&self, id: &str) -> String {
        let number = format!("n.v % {}", CAMPAIGN_COPIES + 1);
        format!("CASE WHEN {number} = 0 THEN {id} ELSE {} END", self.copied(id, &format!("({number})")))
    }

    fn simple(&self, id: &str) -> String {
        if self.sqlite { format!("lower(hex({id}))") } else { format!("replace({id}::text, '-', '')") }
    }
}

fn copies_of(sql: &Sql, series: &str) -> Vec<String> {
    let (id, lead, person) = (sql.copy("l.id"), sql.copy("b.id"), sql.copy("b.person"));
    let account = sql.copy("l.account");
    // A copy is older than its season by so many minutes, so that pages mix copies of many leads.
    let earlier = |column: &str| format!("{column} - n.v * 61001");
    vec![
        format!(
            "INSERT INTO account (id, name, domain, industry, employees, annual_revenue, country, region, incumbent, created_at) \
             SELECT {}, a.name, n.v || '.' || a.domain, a.industry, a.employees, a.annual_revenue, a.country, a.region, \
             a.incumbent, {} FROM base_account a, {series}",
            sql.copy("a.id"),
            earlier("a.created_at")
        ),
        format!(
            "INSERT INTO person (id, name, email, phone, title, seniority, department, country, consent, created_at) \
             SELECT {person}, p.name, n.v || '.' || p.email, NULL, p.title, p.seniority, p.department, p.country, p.consent, \
             {} FROM base_lead b JOIN person p ON p.id = b.person, {series}",
            earlier("p.created_at")
        ),
        format!(
            "INSERT INTO lead (id, version, person, account, campaign, source, channel, captured_at, cycle, outcome, stage, \
             furthest_stage, stage_version, entered_stage_at, work_state, owner, queue, priority, persona, fit, engagement, \
             next_evaluation_at, recycle_on, suppressed, grey_slots, salt) \
             SELECT {id}, l.version, {person}, CASE WHEN l.account IS NULL THEN NULL ELSE {account} END, \
             CASE WHEN l.campaign IS NULL THEN NULL ELSE {} END, l.source, l.channel, {}, l.cycle, l.outcome, l.stage, \
             l.furthest_stage, l.stage_version, {}, l.work_state, l.owner, l.queue, l.priority, l.persona, l.fit, l.engagement, \
             NULL, NULL, l.suppressed, l.grey_slots, l.salt FROM base_lead b JOIN lead l ON l.id = b.id, {series}",
            sql.campaign("l.campaign"),
            earlier("l.captured_at"),
            earlier("l.entered_stage_at")
        ),
        format!(
            "INSERT INTO cycle (lead, number, opened_at, opened_by, resumed_from, closed_at, outcome, furthest_stage, reason, \
             competitor, conversations, attempts) SELECT {lead}, c.number, {}, c.opened_by, c.resumed_from, {}, c.outcome, \
             c.furthest_stage, c.reason, c.competitor, c.conversations, c.attempts \
             FROM base_lead b JOIN cycle c ON c.lead = b.id, {series}",
            earlier("c.opened_at"),
            earlier("c.closed_at")
        ),
        format!(
            "INSERT INTO touchpoint (id, lead, anonymous_id, campaign, channel, source, medium, content, occurred_at, \
             received_at, system, external_id) SELECT {}, {lead}, NULL, CASE WHEN t.campaign IS NULL THEN NULL ELSE {} END, \
             t.channel, t.source, t.medium, t.content, {}, {}, NULL, NULL \
             FROM base_lead b JOIN touchpoint t ON t.lead = b.id, {series}",
            sql.copy("t.id"),
            sql.campaign("t.campaign"),
            earlier("t.occurred_at"),
            earlier("t.received_at")
        ),
    ]
}

/// One connection, since what it prepares is its own.
pub async fn connect(database: &Database, dir: &Path) -> Result<DatabaseConnection, Failed> {
    let url = match &database.postgres {
        Some(url) => format!("{url}?options=-csearch_path%3D{}", database.schema),
        None => format!("sqlite://{}", dir.join("handfast.db").display()),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).min_connections(1).sqlx_logging(false);
    options.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
    Ok(Sea::connect(options).await?)
}

async fn count(db: &DatabaseConnection, table: &str) -> Result<u64, Failed> {
    let backend: DbBackend = db.get_database_backend();
    let row =
        db.query_one_raw(Statement::from_string(backend, format!("SELECT count(*) FROM {table}"))).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
