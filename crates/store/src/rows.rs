//! Rows in and out: multi-row inserts with few statement texts, and typed reads whose errors name table and column.

use crate::{
    dialect::Dialect,
    error::{Result, StoreError},
};
use sea_orm::sqlx::{self, Column as _, Decode, Postgres, Row as _, Sqlite, Type};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement, Value};
use std::cell::Cell;
use uuid::Uuid;

/// Inserts `rows` in the order given; each row has a value for each of `columns`.
pub async fn insert_rows(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[&str],
    rows: Vec<Vec<Value>>,
) -> Result<u64> {
    write_rows(db, table, columns, "", rows).await
}

/// Inserts `rows`; where one with the same `key` exists, its other columns take the new values.
pub async fn upsert_rows(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[&str],
    key: &[&str],
    rows: Vec<Vec<Value>>,
) -> Result<u64> {
    let changes: Vec<String> = columns
        .iter()
        .filter(|column| !key.contains(column))
        .map(|column| format!("{column}=excluded.{column}"))
        .collect();
    let action =
        if changes.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", changes.join(",")) };
    write_rows(db, table, columns, &format!(" ON CONFLICT ({}) DO {action}", key.join(",")), rows).await
}

/// Inserts those of `rows` whose `key` is new and leaves the others as they are.
pub async fn insert_new_rows(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[&str],
    key: &[&str],
    rows: Vec<Vec<Value>>,
) -> Result<u64> {
    write_rows(db, table, columns, &format!(" ON CONFLICT ({}) DO NOTHING", key.join(",")), rows).await
}

/// Inserts `rows`; where one with the same `key` exists, `column` grows by the given value.
pub async fn add_rows(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[&str],
    key: &[&str],
    column: &str,
    rows: Vec<Vec<Value>>,
) -> Result<u64> {
    let key = key.join(",");
    let action = format!(" ON CONFLICT ({key}) DO UPDATE SET {column}={table}.{column}+excluded.{column}");
    write_rows(db, table, columns, &action, rows).await
}

/// Runs one statement and answers the number of rows that it changed.
pub async fn execute(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<u64> {
    Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected())
}

pub async fn fetch_all<T: FromQueryResult>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<T>> {
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    rows.iter().map(|row| decode(row, sql)).collect()
}

/// Rows whose columns depend on what was asked for.
pub(crate) async fn fetch_cells<T>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
    read: impl Fn(&mut Cells<'_>) -> Result<T, DbErr>,
) -> Result<Vec<T>> {
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    rows.iter().map(|row| read(&mut Cells::of(row)).map_err(|error| undecodable(row, sql, error))).collect()
}

/// The first of such rows, if there is one. The driver of SQLite wakes the caller for each row and for the end of them: who
/// asks for one row is woken once.
pub(crate) async fn fetch_cells_one<T>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
    read: impl Fn(&mut Cells<'_>) -> Result<T, DbErr>,
) -> Result<Option<T>> {
    let row = db.query_one_raw(statement(db, sql, values)).await?;
    let read = |row: &QueryResult| read(&mut Cells::of(row)).map_err(|error| undecodable(row, sql, error));
    row.as_ref().map(read).transpose()
}

/// The first row, if there is one.
pub async fn fetch_one<T: FromQueryResult>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<T>> {
    let row = db.query_one_raw(statement(db, sql, values)).await?;
    row.as_ref().map(|row| decode(row, sql)).transpose()
}

/// The first column of the first row: a count, a maximum, one looked-up value.
pub async fn fetch_value<T: sea_orm::TryGetable>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<T>> {
    match db.query_one_raw(statement(db, sql, values)).await? {
        Some(row) => row.try_get_by_index(0).map(Some).map_err(|error| undecodable(&row, sql, error)),
        None => Ok(None),
    }
}

/// A row that is read by position, for reads that are hot: a name costs a look-up for each cell, and a null a text. Cells
/// cost more than their row, so that those which nobody asked for can be left out.
pub(crate) trait Columns: Sized {
    const ALIAS: &'static str;
    /// In the order of the fields.
    const NAMES: &'static [&'static str];

    /// Fields whose columns were left out are empty.
    fn read(cells: &mut Cells<'_>, only: Only) -> Result<Self, DbErr>;

    /// Of a table that was joined and may have no row; its first column is its key.
    fn read_joined(cells: &mut Cells<'_>, only: Only) -> Result<Option<Self>, DbErr> {
        if cells.is_null()? {
            cells.at += only.count(Self::NAMES.len());
            return Ok(None);
        }
        Self::read(cells, only).map(Some)
    }

    /// For the list of a SELECT.
    fn list(only: Only) -> String {
        let mut list = String::new();
        for (_, name) in Self::NAMES.iter().enumerate().filter(|(at, _)| only.has(*at)) {
            let comma = if list.is_empty() { "" } else { ", " };
            list.extend([comma, Self::ALIAS, ".", name]);
        }
        list
    }
}

/// Which columns of a table, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Only(u64);

impl Only {
    pub const ALL: Only = Only(u64::MAX);
    const NONE: Only = Only(0);

    /// The columns with these names; all of them if one is not known.
    pub(crate) fn of<T: Columns>(names: impl IntoIterator<Item = impl AsRef<str>>) -> Only {
        let place = |name: &str| T::NAMES.iter().position(|known| *known == name);
        let set = |Only(set): Only, name: &str| place(name).map(|at| Only(set | 1 << at));
        let mut names = names.into_iter();
        names.try_fold(Only::NONE, |only, name| set(only, name.as_ref())).unwrap_or(Only::ALL)
    }

    /// The columns of both.
    pub(crate) fn and(self, other: Only) -> Only {
        Only(self.0 | other.0)
    }

    pub(crate) fn has(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }

    fn count(self, of: usize) -> usize {
        (0..of).filter(|at| self.has(*at)).count()
    }
}

/// Gives a row its columns, in the order of its fields: `columns!("l": LeadRow { id, version })`.
macro_rules! columns {
    ($alias:literal: $row:ident { $first:ident $(, $rest:ident)* $(,)? }) => {
        impl $crate::rows::Columns for $row {
            const ALIAS: &'static str = $alias;
            const NAMES: &'static [&'static str] = &[stringify!($first) $(, stringify!($rest))*];

            fn read(cells: &mut $crate::rows::Cells<'_>, only: $crate::rows::Only) -> Result<Self, sea_orm::DbErr> {
                let mut at = 0..;
                Ok($row {
                    $first: cells.take_if(only, &mut at)?,
                    $($rest: cells.take_if(only, &mut at)?,)*
                })
            }
        }

        impl $row {
            /// All columns, for the list of a SELECT.
            pub(crate) const COLUMNS: &'static str =
                concat!($alias, ".", stringify!($first) $(, ", ", $alias, ".", stringify!($rest))*);
        }

        impl sea_orm::FromQueryResult for $row {
            fn from_query_result(row: &sea_orm::QueryResult, _: &str) -> Result<Self, sea_orm::DbErr> {
                let cells = &mut $crate::rows::Cells::of(row);
                <$row as $crate::rows::Columns>::read(cells, $crate::rows::Only::ALL)
            }
        }
    };
}
pub(crate) use columns;

/// The cells of a row, taken from left to right.
pub(crate) struct Cells<'r> {
    row: &'r QueryResult,
    at: usize,
}

/// What both databases know.
pub(crate) trait Known:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Known for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<'r> Cells<'r> {
    pub fn of(row: &'r QueryResult) -> Cells<'r> {
        Cells { row, at: 0 }
    }

    /// The next cell, if it was asked for.
    pub fn take_if<T: Known + Default>(
        &mut self,
        only: Only,
        at: &mut std::ops::RangeFrom<usize>,
    ) -> Result<T, DbErr> {
        match at.next() {
            Some(at) if only.has(at) => self.take(),
            _ => Ok(T::default()),
        }
    }

    pub fn take<T: Known>(&mut self) -> Result<T, DbErr> {
        let at = self.at;
        self.at += 1;
        let (cell, name) = match (self.row.try_as_sqlite_row(), self.row.try_as_pg_row()) {
            (Some(row), _) => (row.try_get(at), row.columns().get(at).map(|column| column.name())),
            (None, Some(row)) => (row.try_get(at), row.columns().get(at).map(|column| column.name())),
            (None, None) => return Err(DbErr::Type("a row of a third database".to_owned())),
        };
        cell.map_err(|error: sqlx::Error| DbErr::Type(format!("`{}`: {error}", name.unwrap_or("?"))))
    }

    /// Whether the next cell is empty.
    fn is_null(&self) -> Result<bool, DbErr> {
        let next = Cells { row: self.row, at: self.at }.take::<Option<Uuid>>();
        next.map(|cell| cell.is_none())
    }
}

/// Many rows a statement save round trips to the connection's thread; sizes that halve keep the texts few, so that
/// each stays prepared, and any number of rows needs few statements.
const CHUNKS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// SQLite allows 32,766 parameters in a statement, PostgreSQL 65,535.
const MAX_PARAMETERS: usize = 32_766;

/// Inserts as many rows into each of two tables of PostgreSQL, by one statement for both.
pub(crate) async fn insert_both(
    db: &impl ConnectionTrait,
    [(first, first_columns), (second, second_columns)]: [(&str, &[&str]); 2],
    [first_rows, second_rows]: [Vec<Vec<Value>>; 2],
) -> Result<()> {
    let (mut left, width) = (first_rows.len(), first_columns.len() + second_columns.len());
    let (mut first_rows, mut second_rows) = (first_rows.into_iter(), second_rows.into_iter());
    while left > 0 {
        let size = chunk(left, width);
        let mut sql = "WITH first AS (".to_owned();
        push_insert(&mut sql, db, (first, first_columns), 0, size);
        sql.push_str(") ");
        push_insert(&mut sql, db, (second, second_columns), size * first_columns.len(), size);
        let rows = first_rows.by_ref().take(size).chain(second_rows.by_ref().take(size));
        execute(db, &sql, rows.flatten().collect()).await?;
        left -= size;
    }
    Ok(())
}

/// How many of `left` rows the next statement takes.
fn chunk(left: usize, columns: usize) -> usize {
    let fits = |size: &&usize| **size <= left && **size * columns <= MAX_PARAMETERS;
    CHUNKS.iter().find(fits).copied().unwrap_or(1)
}

fn push_insert(
    sql: &mut String,
    db: &impl ConnectionTrait,
    (table, columns): (&str, &[&str]),
    before: usize,
    rows: usize,
) {
    sql.extend(["INSERT INTO ", table]);
    for (index, column) in columns.iter().enumerate() {
        sql.extend([if index == 0 { " (" } else { "," }, column]);
    }
    sql.push_str(") VALUES ");
    Dialect::of(db.get_database_backend()).push_rows(sql, before, rows, columns.len());
}

async fn write_rows(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[&str],
    on_conflict: &str,
    rows: Vec<Vec<Value>>,
) -> Result<u64> {
    if let Some(row) = rows.iter().find(|row| row.len() != columns.len()) {
        let (values, columns) = (row.len(), columns.len());
        return Err(StoreError::Db(format!(
            "table `{table}`: a row of {values} values for {columns} columns"
        )));
    }
    let mut left = rows.len();
    let mut rows = rows.into_iter();
    let mut written = 0;
    while left > 0 {
        let size = chunk(left, columns.len());
        let mut sql = String::with_capacity(96 + table.len() + size * (columns.len() * 2 + 3));
        push_insert(&mut sql, db, (table, columns), 0, size);
        sql.push_str(on_conflict);
        written += execute(db, &sql, rows.by_ref().take(size).flatten().collect()).await?;
        left -= size;
    }
    Ok(written)
}

tokio::task_local! {
    static STATEMENTS: Cell<u64>;
}

/// Runs `work` and answers how many statements it ran in its own task: what a read costs. Commands run in the writer's.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, u64) {
    let count = async {
        let answer = work.await;
        (answer, STATEMENTS.with(Cell::get))
    };
    STATEMENTS.scope(Cell::new(0), count).await
}

fn statement(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Statement {
    // Nobody counts outside of tests.
    let _ = STATEMENTS.try_with(|count| count.set(count.get() + 1));
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

fn decode<T: FromQueryResult>(row: &QueryResult, sql: &str) -> Result<T> {
    T::from_query_result(row, "").map_err(|error| undecodable(row, sql, error))
}

fn undecodable(row: &QueryResult, sql: &str, error: DbErr) -> StoreError {
    let why = error.to_string();
    let mut words = sql.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("from")).skip(1);
    let table = words.next().unwrap_or("?").trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    // Both libraries put the column's name in quotes.
    let column = why.split(['"', '`']).nth(1).unwrap_or("?").trim_matches('\\').to_owned();
    let id = row
        .try_get::<Uuid>("", "id")
        .map(|id| id.to_string())
        .or_else(|_| row.try_get::<i64>("", "id").map(|id| id.to_string()))
        .unwrap_or_else(|_| "?".to_owned());
    StoreError::corrupt(table, &column, id, why)
}
