//! The schema's history. A migration is a list of SQL statements in the portable types of [`crate::dialect`]; it is
//! never edited once released. New ones go to a file of their own and to the end of [`ALL`].

mod m0001_infrastructure;
mod m0002_funnel;
mod m0003_sequencer;
mod m0004_blob_chunk;
mod m0005_ledger_quarter;
mod m0006_webhook;
mod m0007_consumer;

use crate::{
    dialect::Dialect,
    error::{Result, StoreError},
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
];

#[derive(Clone, Copy)]
pub(crate) struct SqlMigration {
    pub name: &'static str,
    pub up: &'static [&'static str],
    /// What only one of them needs, or says otherwise.
    pub sqlite: &'static [&'static str],
    pub postgres: &'static [&'static str],
}

/// Brings the schema to the version of this binary. Connections that were open before must be replaced afterwards.
pub(crate) async fn migrate(db: &DatabaseConnection) -> Result<()> {
    let applied: Vec<String> =
        Migrator::get_migration_models(db).await?.into_iter().map(|model| model.version).collect();
    if let Some(newer) = applied.iter().find(|name| !ALL.iter().any(|migration| migration.name == **name)) {
        return Err(StoreError::Open(format!(
            "the database was written by a newer version of handfast (it has `{newer}`): start that version"
        )));
    }
    Ok(Migrator::up(db, None).await?)
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
