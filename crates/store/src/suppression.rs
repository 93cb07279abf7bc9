//! People who are not to be contacted, by a keyed hash of their addresses: it outlives an erasure, and without the workspace's
//! secret it says nothing.

use std::collections::BTreeSet;

use handfast_domain::time::Instant;
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{ConnectionTrait, FromQueryResult};
use sha2::Sha256;

use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{fetch_all, insert_new_rows};
use crate::secret::{Purpose, RootSecret};
use crate::tx::Tx;

/// The hash of an e-mail or a phone, normalised as they are stored.
pub fn hash(secret: &RootSecret, address: &str) -> [u8; 32] {
    let key = secret.subkey(Purpose::Suppression);
    // A key of any length is good.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return [0; 32] };
    mac.update(address.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Keeps these addresses from becoming leads again.
pub async fn put(tx: &Tx, addresses: &[[u8; 32]], reason: &str, at: Instant) -> Result<()> {
    let row = |hash: &[u8; 32]| vec![hash.to_vec().into(), reason.into(), at.ms().into()];
    let rows = addresses.iter().map(row).collect();
    insert_new_rows(tx, "suppression", &["identity", "reason", "at"], &["identity"], rows).await?;
    Ok(())
}

/// Which of these are kept.
pub async fn known(db: &impl ConnectionTrait, addresses: &[[u8; 32]]) -> Result<BTreeSet<[u8; 32]>> {
    #[derive(FromQueryResult)]
    struct Row {
        identity: Vec<u8>,
    }
    if addresses.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => {
            "SELECT identity FROM suppression WHERE identity IN (SELECT unhex(value) FROM json_each($1))"
        }
        Dialect::Postgres => {
            "SELECT identity FROM suppression WHERE identity = ANY (ARRAY(SELECT decode(value, 'hex') \
             FROM json_array_elements_text($1::json)))"
        }
    };
    let hex = |hash: &[u8; 32]| handfast_domain::digest::Digest(*hash).to_string();
    let list = dialect::texts(addresses.iter().map(hex).collect::<Vec<_>>());
    let rows: Vec<Row> = fetch_all(db, sql, vec![list]).await?;
    Ok(rows.into_iter().filter_map(|row| row.identity.try_into().ok()).collect())
}
