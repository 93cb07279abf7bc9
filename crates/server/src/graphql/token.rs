//! API tokens: made for a user with some scopes, shown once, listed and revoked.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::time::Instant;
use handfast_store::token::Token as Row;

use super::directory::User;
use super::problem::{UserError, failure, payload};
use super::scalar::{global, local};
use super::{app, ask, viewer};
use crate::flows::token::{self, NewToken};

/// An API token. Its text is known only to whoever made it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Token {
    pub id: ID,
    /// What it is for.
    name: String,
    /// What it may do: `leads:read`, `leads:write`, `leads:erase`, `charter:sign`, `plugins:deploy`, `import`, `webhooks:write`, `admin`.
    scopes: Vec<String>,
    created_at: Instant,
    /// Null for one that never expires.
    expires_at: Option<Instant>,
    revoked_at: Option<Instant>,
    last_used_at: Option<Instant>,
    #[graphql(skip)]
    user_id: uuid::Uuid,
}

impl Token {
    fn wrap(token: Row) -> Token {
        let Row { id, user, name, scopes, expires_at, created_at, revoked_at, last_used_at } = token;
        Token {
            id: global("Token", id),
            name,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
            user_id: user,
        }
    }
}

#[ComplexObject]
impl Token {
    /// Whom it acts for.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.user_id).map(User::wrap))
    }
}

#[derive(Default)]
pub struct TokenQuery;

#[Object]
impl TokenQuery {
    /// Your tokens, or for the administrator those of the user with a key; the newest first.
    async fn tokens(&self, ctx: &Context<'_>, user: Option<String>) -> async_graphql::Result<Vec<Token>> {
        let found = token::list(app(ctx)?, viewer(ctx)?, user.as_deref()).await.map_err(failure)?;
        Ok(found.into_iter().map(Token::wrap).collect())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct CreateTokenInput {
    /// Key of the user that it acts for; side and team are the user's.
    user: String,
    /// What it is for.
    name: String,
    /// What it may do: `leads:read`, `leads:write`, `leads:erase`, `charter:sign`, `plugins:deploy`, `import`, `webhooks:write`, `admin`.
    scopes: Vec<String>,
    expires_at: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct CreateTokenPayload {
    token: Option<Token>,
    /// The text of the token, shown this one time; null for a repetition and a dry run.
    secret: Option<String>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RevokeTokenInput {
    token: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct TokenPayload {
    token: Option<Token>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct TokenMutation;

#[Object]
impl TokenMutation {
    /// Makes a token for a user.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        input: CreateTokenInput,
    ) -> async_graphql::Result<CreateTokenPayload> {
        let CreateTokenInput { user, name, scopes, expires_at, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "createToken", idempotency_key, dry_run, &(&user, &name, &scopes, expires_at))?;
        let (made, errors) =
            payload(token::create(app(ctx)?, &ask, NewToken { user, name, scopes, expires_at }).await)?;
        let (token, secret) = made.map_or((None, None), |made| (Some(made.token), made.secret));
        let secret = secret.map(|text| text.expose().to_owned());
        Ok(CreateTokenPayload { token: token.map(Token::wrap), secret, errors })
    }

    /// Ends a token at once: your own, or for the administrator any.
    async fn revoke_token(
        &self,
        ctx: &Context<'_>,
        input: RevokeTokenInput,
    ) -> async_graphql::Result<TokenPayload> {
        let RevokeTokenInput { token: id, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "revokeToken", idempotency_key, dry_run, &id)?;
        let ended = match local("Token", &id, "input/token") {
            Ok(id) => token::revoke(app(ctx)?, &ask, id).await,
            Err(refused) => Err(refused.into()),
        };
        let (ended, errors) = payload(ended)?;
        Ok(TokenPayload { token: ended.map(Token::wrap), errors })
    }
}
