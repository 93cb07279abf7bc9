//! Records beside the log: idempotency keys, tokens, files and the keys derived from the secret.

use super::*;
use handfast_domain::digest::Digest;
use handfast_store::{
    blob::{self, Blob},
    idempotency::{self, IdempotencyKey, Reservation},
    secret::{Purpose, RootSecret},
    token::{self, Token, TokenText},
};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey { user: uuid(1), field: "acceptHandoff".into(), key: text.into() }
}

async fn once(store: &Store, key: IdempotencyKey, input: &'static str) -> Result<String, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                match idempotency::reserve(tx, &key, Digest::of_bytes(input.as_bytes()), NOW).await? {
                    Reservation::Answered(answer) => Ok(answer),
                    Reservation::New => {
                        let effects: i64 = value(tx, "SELECT count(*) FROM scratch", vec![]).await;
                        add_note(tx, effects).await?;
                        if input == "fails" {
                            return Err(StoreError::Full);
                        }
                        let answer = format!("[{effects}]");
                        idempotency::answer(tx, &key, &answer).await?;
                        Ok(answer)
                    }
                }
            })
        })
        .await
}

#[tokio::test]
async fn a_key_has_one_effect_and_one_answer() {
    let (_dir, store) = store().await;
    let running: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { once(&store, key("a"), "input").await })
        })
        .collect();
    for command in running {
        assert_eq!(command.await.unwrap(), Ok("[0]".into()));
    }
    assert_eq!(notes(store.read()).await, [0]);
    let known = idempotency::lookup(store.read(), &key("a"), Digest::of_bytes(b"input")).await;
    assert_eq!(known, Ok(Some("[0]".into())));
    assert_eq!(
        once(&store, key("a"), "other").await,
        Err(StoreError::IdempotencyKeyReused { key: "a".into() })
    );
    let stranger = IdempotencyKey { user: uuid(2), ..key("a") };
    let elsewhere = IdempotencyKey { field: "rejectHandoff".into(), ..key("a") };
    assert_eq!(once(&store, stranger, "other").await, Ok("[1]".into()));
    assert_eq!(once(&store, elsewhere, "other").await, Ok("[2]".into()));
}

#[tokio::test]
async fn a_command_that_failed_gives_its_key_back() {
    let (_dir, store) = store().await;
    assert_eq!(once(&store, key("a"), "fails").await, Err(StoreError::Full));
    assert_eq!(once(&store, key("a"), "input").await, Ok("[0]".into()));
}

#[tokio::test]
async fn old_keys_are_forgotten_in_portions() {
    let (_dir, store) = store().await;
    for name in ["a", "b", "c"] {
        once(&store, key(name), "input").await.unwrap();
    }
    let mut forgotten = Vec::new();
    for before in [NOW, NOW.plus(1), NOW.plus(1), NOW.plus(1)] {
        let purged = store.write(move |tx| Box::pin(idempotency::purge(tx, before, 2)));
        forgotten.push(purged.await.unwrap());
    }
    assert_eq!(forgotten, [0, 2, 1, 0]);
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_until_it_is_revoked_or_over() {
    let (_dir, store) = store().await;
    let text = TokenText::from_random([9; 32]);
    let new = Token {
        id: uuid(1),
        user: uuid(2),
        name: "the CRM's side panel".into(),
        scopes: vec!["leads:read".into(), "leads:write".into()],
        expires_at: Some(NOW.plus(1000)),
        created_at: NOW,
        revoked_at: None,
        last_used_at: None,
    };
    let (token, hash) = (new.clone(), text.hash());
    store.write(move |tx| Box::pin(async move { token::create(tx, &token, hash).await })).await.unwrap();
    assert_eq!(token::find(store.read(), text.hash()).await, Ok(Some(new.clone())));
    assert_eq!(token::find(store.read(), [0; 32]).await, Ok(None));
    assert_eq!(token::list(store.read(), uuid(2)).await, Ok(vec![new.clone()]));
    assert_eq!(token::list(store.read(), uuid(3)).await, Ok(vec![]));
    assert!(new.is_valid(NOW.plus(999)) && !new.is_valid(NOW.plus(1000)));

    store
        .write(|tx| {
            Box::pin(async move {
                token::touch(tx, uuid(1), NOW.plus(7)).await?;
                token::touch(tx, uuid(1), NOW.plus(3)).await?;
                token::revoke(tx, uuid(1), NOW.plus(8)).await?;
                token::revoke(tx, uuid(1), NOW.plus(9)).await
            })
        })
        .await
        .unwrap();
    let revoked = token::find(store.read(), text.hash()).await.unwrap().unwrap();
    assert_eq!((revoked.last_used_at, revoked.revoked_at), (Some(NOW.plus(7)), Some(NOW.plus(8))));
    assert!(!revoked.is_valid(NOW));
    let unknown = store.write(|tx| Box::pin(token::revoke(tx, uuid(5), NOW))).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn a_file_is_kept_by_its_digest_and_checked_when_read() {
    let (dir, store) = store().await;
    let blobs = store.blobs();
    for _ in 0..2 {
        let mut writer = blobs.create(10).await.unwrap();
        writer.write(b"hand").await.unwrap();
        writer.write(b"fast").await.unwrap();
        assert_eq!(writer.finish().await.unwrap(), (Digest::of_bytes(b"handfast"), 8));
    }
    let digest = Digest::of_bytes(b"handfast");
    assert_eq!(blobs.read(digest).await.unwrap(), b"handfast");
    let row = |kind: &str| Blob { digest, kind: kind.into(), size: 8, created_at: NOW };
    for kind in ["PLUGIN", "IMPORT", "PLUGIN"] {
        let row = row(kind);
        store.write(move |tx| Box::pin(async move { blob::register(tx, &row).await })).await.unwrap();
    }
    assert_eq!(blob::find(store.read(), digest, "IMPORT").await, Ok(Some(row("IMPORT"))));
    assert_eq!(blob::find(store.read(), digest, "OTHER").await, Ok(None));
    let forget =
        async |kind: &'static str| store.write(move |tx| Box::pin(blob::forget(tx, digest, kind))).await;
    assert_eq!((forget("PLUGIN").await, forget("IMPORT").await), (Ok(false), Ok(true)));

    std::fs::write(blobs.file(digest).await.unwrap(), b"handfist").unwrap();
    let damaged = blobs.read(digest).await;
    if store.is_shared() {
        // The database of several nodes has the bytes, too.
        assert_eq!(damaged.unwrap(), b"handfast");
    } else {
        assert!(matches!(damaged, Err(StoreError::Open(_))));
    }
    blobs.remove(digest).await.unwrap();
    blobs.remove(digest).await.unwrap();
    assert!(matches!(blobs.read(digest).await, Err(StoreError::Open(_))));

    let files = || std::fs::read_dir(store.dir().join("blobs")).unwrap().count();
    let mut large = blobs.create(3).await.unwrap();
    assert_eq!(large.write(b"hand").await, Err(StoreError::TooLarge { limit: 3 }));
    assert_eq!(files(), 1);
    drop(large);
    assert_eq!(files(), 0);
    // A crash leaves a draft; the next start removes it.
    std::fs::write(store.dir().join("blobs/draft-77"), b"half").unwrap();
    store.close().await;
    let store = Store::open(options(&dir)).await.unwrap();
    assert_eq!(std::fs::read_dir(store.dir().join("blobs")).unwrap().count(), 0);
}

#[test]
fn subkeys_match_the_golden_vector_and_differ_by_purpose() {
    let secret = RootSecret::from_bytes([7; 32]);
    let hex = |purpose| Digest(secret.subkey(purpose)).to_string();
    assert_eq!(hex(Purpose::Cursors), "eb4be464de1ebec88701e31670b473a0ea4f1c3e83ec4a00146aa25946729922");
    assert_ne!(hex(Purpose::Cursors), hex(Purpose::Webhooks));
    assert!(!format!("{secret:?}").contains('7'));
}
