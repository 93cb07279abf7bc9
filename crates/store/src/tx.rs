//! The transaction that a write command gets: what it may run, and what it appended to the feed so far.

use crate::{
    dialect::Dialect,
    error::{StoreError, breaks_transaction, of_database},
    feed::FeedHead,
};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    prelude::async_trait::async_trait,
};
use std::sync::{Mutex, PoisonError};

/// All of it is committed with the command, or none. Queries see what the command has written.
pub struct Tx {
    connection: DatabaseTransaction,
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    head: FeedHead,
    /// The first error after which the database may have rolled everything back by itself.
    broken: Option<StoreError>,
}

impl Tx {
    pub(crate) fn new(connection: DatabaseTransaction, head: FeedHead) -> Tx {
        Tx { connection, state: Mutex::new(State { head, broken: None }) }
    }

    pub fn dialect(&self) -> Dialect {
        Dialect::of(self.connection.get_database_backend())
    }

    pub(crate) fn head(&self) -> FeedHead {
        self.lock().head
    }

    pub(crate) fn set_head(&self, head: FeedHead) {
        self.lock().head = head;
    }

    pub(crate) fn broken(&self) -> Option<StoreError> {
        self.lock().broken.clone()
    }

    pub(crate) fn into_connection(self) -> DatabaseTransaction {
        self.connection
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once the transaction is gone, the next statement would be committed on its own: none may run.
    fn check(&self) -> Result<(), DbErr> {
        match &self.lock().broken {
            Some(error) => Err(DbErr::Custom(format!("the transaction is lost: {error}"))),
            None => Ok(()),
        }
    }

    fn watch<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        // On PostgreSQL whatever a statement is refused for ends its transaction.
        let ends = |error| match self.dialect() {
            Dialect::Sqlite => breaks_transaction(error),
            Dialect::Postgres => breaks_transaction(error) || of_database(error),
        };
        if let Err(error) = &result
            && ends(error)
        {
            self.lock().broken.get_or_insert_with(|| error.clone().into());
        }
        result
    }
}

#[async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.check()?;
        self.watch(self.connection.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.check()?;
        self.watch(self.connection.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.check()?;
        self.watch(self.connection.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.check()?;
        self.watch(self.connection.query_all_raw(statement).await)
    }
}
