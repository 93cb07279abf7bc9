//! Opaque cursors: a place in the feed, and a place in a sorted list. Signed, so that only our own are ever read.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use handfast_domain::digest::Digest;
use handfast_domain::refused::{RefusalCode, Refused};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::Value;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    #[error("the cursor is not one of this server's: pass it back unchanged, or start again without one")]
    Invalid,
    #[error("the workspace was restored from a backup after this cursor was made: read again from the start")]
    EpochChanged,
    #[error("the cursor is at position {position}, the feed ends at {head}: was the database replaced?")]
    Ahead { position: i64, head: i64 },
}

impl CursorError {
    /// Its code in the API's table of errors.
    pub fn code(self) -> RefusalCode {
        match self {
            CursorError::Invalid => RefusalCode::CursorInvalid,
            CursorError::EpochChanged => RefusalCode::CursorEpochChanged,
            CursorError::Ahead { .. } => RefusalCode::CursorAhead,
        }
    }
}

impl From<CursorError> for Refused {
    fn from(error: CursorError) -> Refused {
        Refused::new(error.code(), error.to_string())
    }
}

/// Where a keyset page ended: the sort values of its last row, valid for one sort order and one filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor {
    #[serde(rename = "s")]
    pub sort: String,
    #[serde(rename = "f")]
    pub filter: Digest,
    #[serde(rename = "k")]
    pub keys: Vec<Key>,
}

/// One value of a keyset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    #[serde(rename = "i")]
    Int(i64),
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "u")]
    Id(Uuid),
}

impl From<Key> for Value {
    fn from(key: Key) -> Value {
        match key {
            Key::Int(number) => number.into(),
            Key::Text(text) => text.into(),
            Key::Id(id) => id.into(),
        }
    }
}

/// Makes and reads the cursors of one workspace and epoch.
#[derive(Clone)]
pub struct Cursors {
    key: [u8; 64],
    epoch: [u8; 8],
}

impl Cursors {
    pub fn new(key: [u8; 32], epoch: [u8; 8]) -> Cursors {
        // HMAC fills a key up to its block with zeros.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        Cursors { key: block, epoch }
    }

    /// 16 hexadecimal digits. It changes when the workspace is restored from a backup.
    pub fn epoch(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.epoch))
    }

    pub fn feed(&self, position: i64) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.epoch);
        bytes.extend(position.to_be_bytes());
        self.seal(Kind::Feed, bytes)
    }

    /// The position after which to go on; `head` is the newest one.
    pub fn read_feed(&self, cursor: &str, head: i64) -> Result<i64, CursorError> {
        let bytes = self.unseal(Kind::Feed, cursor)?;
        let (version, rest) = bytes.split_first().ok_or(CursorError::Invalid)?;
        let (epoch, position) = rest.split_at_checked(8).ok_or(CursorError::Invalid)?;
        let position = i64::from_be_bytes(position.try_into().map_err(|_| CursorError::Invalid)?);
        if *version != VERSION || position < 0 {
            return Err(CursorError::Invalid);
        }
        if epoch != self.epoch {
            return Err(CursorError::EpochChanged);
        }
        if position > head {
            return Err(CursorError::Ahead { position, head });
        }
        Ok(position)
    }

    pub fn page(&self, cursor: &PageCursor) -> String {
        // A cursor is plain data: it always has a JSON form.
        self.seal(Kind::Page, serde_json::to_vec(cursor).unwrap_or_default())
    }

    /// The keyset after which to go on. A cursor of another sort order, filter or number of keys is invalid.
    pub fn read_page(
        &self,
        cursor: &str,
        sort: &str,
        filter: Digest,
        keys: usize,
    ) -> Result<Vec<Key>, CursorError> {
        let bytes = self.unseal(Kind::Page, cursor)?;
        let page: PageCursor = serde_json::from_slice(&bytes).map_err(|_| CursorError::Invalid)?;
        if page.sort != sort || page.filter != filter || page.keys.len() != keys {
            return Err(CursorError::Invalid);
        }
        Ok(page.keys)
    }

    fn seal(&self, kind: Kind, mut bytes: Vec<u8>) -> String {
        let tag = self.mac(kind, &bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn unseal(&self, kind: Kind, cursor: &str) -> Result<Vec<u8>, CursorError> {
        if cursor.len() > MAX_TEXT {
            return Err(CursorError::Invalid);
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Invalid)?;
        let end = bytes.len().checked_sub(TAG).ok_or(CursorError::Invalid)?;
        let tag = bytes.split_off(end);
        self.mac(kind, &bytes).verify_truncated_left(&tag).map_err(|_| CursorError::Invalid)?;
        Ok(bytes)
    }

    fn mac(&self, kind: Kind, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(match kind {
            Kind::Feed => b"feed\n",
            Kind::Page => b"page\n",
        });
        mac.update(bytes);
        mac
    }
}

const VERSION: u8 = 1;
const TAG: usize = 8;
/// Longer than any that we make; what a client sends is not decoded beyond it.
const MAX_TEXT: usize = 4096;

#[derive(Clone, Copy)]
enum Kind {
    Feed,
    Page,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursors() -> Cursors {
        Cursors::new([7; 32], *b"epoch--1")
    }

    fn keys() -> impl Strategy<Value = Vec<Key>> {
        let key = prop_oneof![
            any::<i64>().prop_map(Key::Int),
            ".{0,40}".prop_map(Key::Text),
            any::<u128>().prop_map(|id| Key::Id(Uuid::from_u128(id))),
        ];
        prop::collection::vec(key, 0..5)
    }

    /// Every text that differs from `cursor` in one bit and is still text.
    fn flipped(cursor: &str) -> impl Iterator<Item = String> {
        (0..cursor.len() * 8).filter_map(move |bit| {
            let mut bytes = cursor.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            String::from_utf8(bytes).ok()
        })
    }

    proptest! {
        #[test]
        fn feed_cursors_come_back_and_no_bit_can_change(position in 0..i64::MAX) {
            let cursor = cursors().feed(position);
            prop_assert_eq!(cursors().read_feed(&cursor, i64::MAX), Ok(position));
            for other in flipped(&cursor) {
                prop_assert_eq!(cursors().read_feed(&other, i64::MAX), Err(CursorError::Invalid), "{}", other);
            }
        }

        #[test]
        fn page_cursors_come_back_and_no_bit_can_change(sort in "[a-z]{1,9}", keys in keys()) {
            let filter = Digest::of_bytes(sort.as_bytes());
            let page = PageCursor { sort: sort.clone(), filter, keys: keys.clone() };
            let cursor = cursors().page(&page);
            prop_assert_eq!(cursors().read_page(&cursor, &sort, filter, keys.len()), Ok(keys.clone()));
            for other in flipped(&cursor) {
                let read = cursors().read_page(&other, &sort, filter, keys.len());
                prop_assert_eq!(read, Err(CursorError::Invalid), "{}", other);
            }
        }

        #[test]
        fn any_text_is_refused_without_harm(text in ".{0,200}") {
            prop_assert_eq!(cursors().read_feed(&text, 0), Err(CursorError::Invalid));
            let read = cursors().read_page(&text, "", Digest::of_bytes(b""), 0);
            prop_assert_eq!(read, Err(CursorError::Invalid));
        }
    }

    #[test]
    fn a_cursor_tells_apart_a_restore_and_a_lost_tail() {
        let old = Cursors::new([7; 32], *b"epoch--0").feed(5);
        assert_eq!(cursors().read_feed(&old, 9), Err(CursorError::EpochChanged));
        let ahead = cursors().read_feed(&cursors().feed(10), 9);
        assert_eq!(ahead, Err(CursorError::Ahead { position: 10, head: 9 }));
        let stranger = Cursors::new([8; 32], *b"epoch--1").feed(5);
        assert_eq!(cursors().read_feed(&stranger, 9), Err(CursorError::Invalid));
    }

    #[test]
    fn one_kind_of_cursor_is_not_accepted_as_the_other() {
        let filter = Digest::of_bytes(b"");
        let page = cursors().page(&PageCursor { sort: "age".into(), filter, keys: vec![Key::Int(1)] });
        assert_eq!(cursors().read_feed(&page, i64::MAX), Err(CursorError::Invalid));
        assert_eq!(cursors().read_page(&cursors().feed(1), "age", filter, 1), Err(CursorError::Invalid));
        assert_eq!(cursors().unseal(Kind::Page, &cursors().feed(1)), Err(CursorError::Invalid));
        assert_eq!(cursors().unseal(Kind::Feed, &page), Err(CursorError::Invalid));
        assert_eq!(cursors().read_page(&page, "name", filter, 1), Err(CursorError::Invalid));
        assert_eq!(cursors().read_page(&page, "age", Digest::of_bytes(b"x"), 1), Err(CursorError::Invalid));
        assert_eq!(cursors().read_page(&page, "age", filter, 2), Err(CursorError::Invalid));
    }
}
