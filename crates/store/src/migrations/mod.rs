//! The schema's history. A migration is a list of SQL statements in the portable types of [`crate::dialect`]; it is
//! never edited once released. New ones go to a file of their own and to the end of [`ALL`].

mod m0001_infrastructure;
mod m0002_funnel;
mod m0003_sequencer;
mod m0004_blob_chunk;
mod m0005_ledger_quarter;
mod m0006_webhook;
mod m0007_consumer;
mod m0008_deployment;
mod m0009_backtest;
mod m0010_signature;
mod m0011_precedent;
mod m0012_reevaluation;
mod m0013_override;
mod m0014_charter_reading;
mod m0015_numbering;
mod m0016_context_request;
mod m0017_lead_end;
mod m0018_nurture;
mod m0020_report;
mod m0021_looks;
mod m0025_feedback;
mod m0026_rating;
mod m0027_content;
mod m0028_campaign_review;
mod m0029_form;
mod m0030_audience;
mod m0031_shared;
mod m0032_pulse;
mod m0033_follow_up;
mod m0034_first_meeting;
mod m0035_effort;
mod m0037_fact;
mod m0038_incumbent;
mod m0039_charter_review;
mod m0040_campaign_audience;
mod m0041_customer;
mod m0042_report_run;

use crate::{
    dialect::Dialect,
    error::{Result, StoreError},
    open::{meta, set_meta},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait::async_trait,
};

const ALL: &[SqlMigration] = &[
    m0001_infrastructure::MIGRATION,
    m0002_funnel::MIGRATION,
    m0003_sequencer::MIGRATION,
    m0004_blob_chunk::MIGRATION,
    m0005_ledger_quarter::MIGRATION,
    m0006_webhook::MIGRATION,
    m0007_consumer::MIGRATION,
    m0008_deployment::MIGRATION,
    m0009_backtest::MIGRATION,
    m0010_signature::MIGRATION,
    m0011_precedent::MIGRATION,
    m0012_reevaluation::MIGRATION,
    m0013_override::MIGRATION,
    m0014_charter_reading::MIGRATION,
    m0015_numbering::MIGRATION,
    m0016_context_request::MIGRATION,
    m0017_lead_end::MIGRATION,
    m0018_nurture::MIGRATION,
    m0020_report::MIGRATION,
    m0021_looks::MIGRATION,
    m0025_feedback::MIGRATION,
    m0026_rating::MIGRATION,
    m0027_content::MIGRATION,
    m0028_campaign_review::MIGRATION,
    m0029_form::MIGRATION,
    m0030_audience::MIGRATION,
    m0031_shared::MIGRATION,
    m0032_pulse::MIGRATION,
    m0033_follow_up::MIGRATION,
    m0034_first_meeting::MIGRATION,
    m0035_effort::MIGRATION,
    m0037_fact::MIGRATION,
    m0038_incumbent::MIGRATION,
    m0039_charter_review::MIGRATION,
    m0040_campaign_audience::MIGRATION,
    m0041_customer::MIGRATION,
    m0042_report_run::MIGRATION,
];

#[derive(Clone, Copy)]
pub(crate) struct SqlMigration {
    pub name: &'static str,
    pub up: &'static [&'static str],
    /// What only one of them needs, or says otherwise.
    pub sqlite: &'static [&'static str],
    pub postgres: &'static [&'static str],
}

/// The newest migration that is not additive: a version that knows it can work with everything that came after it. Whoever
/// adds a migration that the version before could not live with names it here (`ARCHITECTURE.md`, "Changing the schema").
const SERVES_FROM: &str = "m0005_ledger_quarter";
/// Where the database says so to an older version.
const SERVES_FROM_KEY: &str = "serves_from";

/// Brings the schema to the version of this binary. Connections that were open before must be replaced afterwards.
///
/// A database of a newer version is left as it is, if that version says that this one can work with it.
pub(crate) async fn migrate(db: &DatabaseConnection) -> Result<()> {
    let applied: Vec<String> =
        Migrator::get_migration_models(db).await?.into_iter().map(|model| model.version).collect();
    let Err(newer) = known(&applied) else {
        Migrator::up(db, None).await?;
        if meta(db, SERVES_FROM_KEY).await?.as_deref() != Some(SERVES_FROM) {
            set_meta(db, SERVES_FROM_KEY, SERVES_FROM).await?;
        }
        return Ok(());
    };
    let from = meta(db, SERVES_FROM_KEY).await?;
    if from.is_some_and(|from| ALL.iter().any(|migration| migration.name == from)) {
        tracing::warn!(
            migration = newer,
            "the database was written by a newer version, which this one can work with"
        );
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the database was written by a newer version of handfast (it has `{newer}`), and this one cannot work with it: \
         start that version, or restore a backup that is older than it"
    )))
}

/// Whether these are migrations of this version; the first that is not, if any.
pub(crate) fn known(names: &[String]) -> Result<(), String> {
    let unknown = |name: &&String| !ALL.iter().any(|migration| migration.name == **name);
    names.iter().find(unknown).map_or(Ok(()), |name| Err(name.clone()))
}

/// Makes the schema as it was after these migrations, the first of ours. [`migrate`] goes on from there.
pub(crate) async fn migrate_up_to(db: &DatabaseConnection, names: &[String]) -> Result<()> {
    let first = ALL.iter().take(names.len()).map(|migration| migration.name);
    if !first.eq(names.iter().map(String::as_str)) {
        return Err(StoreError::Open(format!("{names:?} is no history of this version's schema")));
    }
    Ok(Migrator::up(db, Some(u32::try_from(names.len()).unwrap_or(u32::MAX))).await?)
}

/// Whether there is nothing to migrate.
pub(crate) async fn is_current(db: &DatabaseConnection) -> Result<bool> {
    let applied = Migrator::get_migration_models(db).await?;
    Ok(ALL.iter().all(|migration| applied.iter().any(|model| model.version == migration.name)))
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        ALL.iter().map(|migration| Box::new(*migration) as Box<dyn MigrationTrait>).collect()
    }
}

impl MigrationName for SqlMigration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for SqlMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let dialect = Dialect::of(db.get_database_backend());
        let own = match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        };
        for statement in self.up.iter().chain(own) {
            db.execute_unprepared(&dialect.ddl(statement)).await?;
        }
        Ok(())
    }

    /// All or nothing: a process that dies half-way leaves the old schema.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
