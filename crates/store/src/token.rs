//! API tokens. A token is shown once; the store keeps its sha-256, so that a stolen database opens nothing.

use crate::{
    error::{Result, StoreError},
    rows::{execute, fetch_all, fetch_one, fetch_value, insert_rows},
    tx::Tx,
};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// `hf_`, 32 base-62 characters, and 6 more as a checksum, so that a mistyped token is told from an unknown one.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    pub fn from_random(bytes: [u8; 32]) -> TokenText {
        let body = format!("{PREFIX}{}", base62(&bytes, BODY));
        let checksum = checksum(&body);
        TokenText(body + &checksum)
    }

    /// A new one, from the system's random bytes.
    pub fn random() -> Result<TokenText> {
        Ok(TokenText::from_random(crate::secret::random()?))
    }

    pub fn parse(text: &str) -> Option<TokenText> {
        let rest = text.strip_prefix(PREFIX)?;
        if rest.len() != BODY + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (body, sum) = text.split_at(PREFIX.len() + BODY);
        (checksum(body) == sum).then(|| TokenText(text.to_owned()))
    }

    /// The token itself: for its owner's eyes, once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenText(hf_…)")
    }
}

/// What the store knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: Uuid,
    pub user: Uuid,
    pub name: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<Instant>,
    pub created_at: Instant,
    pub revoked_at: Option<Instant>,
    pub last_used_at: Option<Instant>,
}

impl Token {
    pub fn is_valid(&self, now: Instant) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

pub async fn create(tx: &Tx, token: &Token, hash: [u8; 32]) -> Result<()> {
    let Token { id, user, name, scopes, expires_at, created_at, revoked_at, last_used_at } = token;
    let row = vec![
        (*id).into(),
        (*user).into(),
        name.as_str().into(),
        hash.to_vec().into(),
        serde_json::Value::from(scopes.as_slice()).to_string().into(),
        expires_at.map(Instant::ms).into(),
        created_at.ms().into(),
        revoked_at.map(Instant::ms).into(),
        last_used_at.map(Instant::ms).into(),
    ];
    let columns =
        ["id", "user_id", "name", "hash", "scopes", "expires_at", "created_at", "revoked_at", "last_used_at"];
    insert_rows(tx, "api_token", &columns, vec![row]).await.map(drop)
}

/// Whatever its state: ask [`Token::is_valid`].
pub async fn find(db: &impl ConnectionTrait, hash: [u8; 32]) -> Result<Option<Token>> {
    let row: Option<Row> =
        fetch_one(db, &format!("{SELECT} WHERE hash = $1"), vec![hash.to_vec().into()]).await?;
    row.map(Token::try_from).transpose()
}

pub async fn by_id(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Token>> {
    let row: Option<Row> = fetch_one(db, &format!("{SELECT} WHERE id = $1"), vec![id.into()]).await?;
    row.map(Token::try_from).transpose()
}

/// Whether there is any token at all, whatever its state.
pub async fn any(db: &impl ConnectionTrait) -> Result<bool> {
    let sql = "SELECT created_at FROM api_token LIMIT 1";
    Ok(fetch_value::<i64>(db, sql, vec![]).await?.is_some())
}

/// The tokens of one user, newest first.
pub async fn list(db: &impl ConnectionTrait, user: Uuid) -> Result<Vec<Token>> {
    let sql = format!("{SELECT} WHERE user_id = $1 ORDER BY created_at DESC, id DESC");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![user.into()]).await?;
    rows.into_iter().map(Token::try_from).collect()
}

/// Ends a token; one that was revoked before keeps its time.
pub async fn revoke(tx: &Tx, id: Uuid, now: Instant) -> Result<()> {
    let sql = "UPDATE api_token SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1";
    match execute(tx, sql, vec![id.into(), now.ms().into()]).await? {
        0 => Err(StoreError::NotFound(format!("the token {id}"))),
        _ => Ok(()),
    }
}

pub async fn touch(tx: &Tx, id: Uuid, now: Instant) -> Result<()> {
    let sql = "UPDATE api_token SET last_used_at = $2 WHERE id = $1 AND coalesce(last_used_at, 0) < $2";
    execute(tx, sql, vec![id.into(), now.ms().into()]).await.map(drop)
}

const PREFIX: &str = "hf_";
const BODY: usize = 32;
const CHECKSUM: usize = 6;
const SELECT: &str =
    "SELECT id, user_id, name, scopes, expires_at, created_at, revoked_at, last_used_at FROM api_token";

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    name: String,
    scopes: String,
    expires_at: Option<i64>,
    created_at: i64,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<Row> for Token {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Token> {
        let scopes = serde_json::from_str(&row.scopes)
            .map_err(|why| StoreError::corrupt("api_token", "scopes", row.id, why))?;
        Ok(Token {
            id: row.id,
            user: row.user_id,
            name: row.name,
            scopes,
            expires_at: row.expires_at.map(Instant),
            created_at: Instant(row.created_at),
            revoked_at: row.revoked_at.map(Instant),
            last_used_at: row.last_used_at.map(Instant),
        })
    }
}

fn checksum(body: &str) -> String {
    base62(&Sha256::digest(body)[..4], CHECKSUM)
}

/// The last `digits` digits of the big-endian number in base 62, most significant first.
fn base62(number: &[u8], digits: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = number.to_vec();
    let mut text = vec![b'0'; digits];
    for digit in text.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_has_its_golden_form() {
        let token = TokenText::from_random([0; 32]);
        assert_eq!(token.expose(), "hf_000000000000000000000000000000001yYDd1");
        assert_eq!(base62(&[1, 0], 3), "048");
        assert!(!format!("{token:?}").contains("000"));
    }

    proptest! {
        #[test]
        fn tokens_come_back_and_no_character_can_change(bytes: [u8; 32], at in 0..41usize, other in "[0-9A-Za-z]") {
            let token = TokenText::from_random(bytes);
            prop_assert_eq!(token.expose().len(), 41);
            prop_assert_eq!(TokenText::parse(token.expose()), Some(token.clone()));
            let mut text = token.expose().to_owned();
            text.replace_range(at..=at, &other);
            prop_assert_eq!(TokenText::parse(&text).is_some(), text == token.expose());
        }

        #[test]
        fn any_text_is_refused_without_harm(text in ".{0,60}") {
            prop_assert_eq!(TokenText::parse(&text), None);
            prop_assert_eq!(TokenText::parse(&format!("hf_{text}")), None);
        }
    }
}
