//! Rows in bulk: inserted, replaced, and refused or named when they do not fit.

use super::*;
use handfast_store::{
    dialect::{texts, uuids},
    rows::{fetch_all, fetch_one, insert_new_rows, insert_rows, upsert_rows},
};
use sea_orm::FromQueryResult;

const COLUMNS: &[&str] = &["id", "text", "size"];

fn rows(ids: std::ops::Range<i64>, text: &str) -> Vec<Vec<Value>> {
    ids.map(|id| vec![id.into(), text.into(), (id * 10).into()]).collect()
}

#[tokio::test]
async fn any_number_of_rows_is_inserted_whole_and_in_order() {
    let (_dir, store) = store().await;
    for count in [0, 1, 2, 3, 15, 63, 64, 65, 127, 1000] {
        let inserted = store.write(move |tx| {
            Box::pin(async move {
                execute(tx, "DELETE FROM scratch", vec![]).await?;
                let written = insert_rows(tx, "scratch", COLUMNS, rows(0..count, "a")).await?;
                Ok((written, notes(tx).await))
            })
        });
        assert_eq!(inserted.await.unwrap(), (count as u64, (0..count).collect::<Vec<_>>()));
    }
    assert_eq!(
        value::<i64>(store.read(), "SELECT CAST(sum(size) AS bigint) FROM scratch", vec![]).await,
        4_995_000
    );
}

#[tokio::test]
async fn an_upsert_replaces_and_an_insert_of_new_rows_keeps() {
    let (_dir, store) = store().await;
    let changed = store.write(|tx| {
        Box::pin(async move {
            insert_rows(tx, "scratch", COLUMNS, rows(0..70, "old")).await?;
            let kept = insert_new_rows(tx, "scratch", COLUMNS, &["id"], rows(60..80, "kept")).await?;
            let replaced = upsert_rows(tx, "scratch", COLUMNS, &["id"], rows(65..90, "new")).await?;
            Ok((kept, replaced))
        })
    });
    assert_eq!(changed.await.unwrap(), (10, 25));
    let count = |text: &'static str| {
        let store = store.clone();
        async move {
            value::<i64>(store.read(), "SELECT count(*) FROM scratch WHERE text = $1", vec![text.into()])
                .await
        }
    };
    assert_eq!((count("old").await, count("kept").await, count("new").await), (65, 0, 25));
}

#[tokio::test]
async fn a_row_of_the_wrong_width_is_refused_before_anything_is_written() {
    let (_dir, store) = store().await;
    let written = store.write(|tx| {
        Box::pin(async move {
            let mut rows = rows(0..3, "a");
            rows[2].pop();
            insert_rows(tx, "scratch", COLUMNS, rows).await
        })
    });
    assert_eq!(written.await, Err(StoreError::Db("table `scratch`: a row of 2 values for 3 columns".into())));
}

#[derive(Debug, FromQueryResult)]
#[expect(dead_code, reason = "only decoded")]
struct Note {
    id: i64,
    text: String,
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_named_by_table_column_and_row() {
    // Columns of PostgreSQL hold nothing of another type.
    if !only_sqlite() {
        return;
    }
    let (_dir, store) = store().await;
    let spoil = "INSERT INTO scratch (id, text) VALUES (7, NULL), (8, x'ff')";
    store.write(move |tx| Box::pin(async move { execute(tx, spoil, vec![]).await })).await.unwrap();
    for row in [7, 8] {
        let sql = "SELECT id, text FROM scratch WHERE id = $1";
        let errors = [
            fetch_all::<Note>(store.read(), sql, vec![row.into()]).await.unwrap_err(),
            fetch_one::<Note>(store.read(), sql, vec![row.into()]).await.unwrap_err(),
        ];
        for error in errors {
            let StoreError::Corrupt { table, column, id, .. } = &error else { panic!("{error:?}") };
            assert_eq!(
                (table.as_str(), column.as_str(), id.clone()),
                ("scratch", "text", row.to_string()),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_list_is_one_parameter() {
    let (_dir, store) = store().await;
    let events: Vec<NewEvent> = (1..=5).map(|number| event(number, number, 1, 0)).collect();
    store
        .write(|tx| Box::pin(async move { handfast_store::feed::append_events(tx, events).await }))
        .await
        .unwrap();
    let count = async |column: &str, list: String, parameter: Value| {
        let sql = format!("SELECT count(*) FROM event WHERE {column} {list}");
        value::<i64>(store.read(), &sql, vec![parameter]).await
    };
    let dialect = store.dialect();
    assert_eq!(count("id", dialect.uuid_list("$1"), uuids(&[uuid(1), uuid(4), uuid(9)])).await, 2);
    assert_eq!(count("id", dialect.uuid_list("$1"), uuids(&[])).await, 0);
    assert_eq!(count("kind", dialect.text_list("$1"), texts(["stageChanged", "it's \"odd\""])).await, 1);
}
