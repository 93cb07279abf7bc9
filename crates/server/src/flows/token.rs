//! API tokens: made for a user with some scopes, shown once, revoked at any time.

use handfast_domain::event::SetupNoun;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::time::Instant;
use handfast_store::change::append_fact;
use handfast_store::token::{self, Token, TokenText};
use uuid::Uuid;

use super::check::Checks;
use super::commit::{Ask, Decided};
use super::setup::ADMIN;
use super::{Error, Viewer, scope};
use crate::app::App;

/// Tokens of one user that are valid at the same time.
const MOST: usize = 100;

#[derive(Clone, Debug)]
pub struct NewToken {
    /// Key of the user that the token acts for.
    pub user: String,
    /// What it is for.
    pub name: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<Instant>,
}

/// A token and, the one time that it is known, its text.
#[derive(Clone, Debug)]
pub struct Created {
    pub token: Token,
    pub secret: Option<TokenText>,
}

/// Makes a token. Only the request that made it is told its text: a repetition and a dry run are not.
pub async fn create(app: &App, ask: &Ask<'_>, new: NewToken) -> Result<Created, Error> {
    ask.viewer.require(scope::ADMIN)?;
    let (token, secret) = (checked(app, new)?, TokenText::random()?);
    let hash = secret.hash();
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            write(tx, &token, hash).await?;
            let answer = token.id.to_string();
            Ok((token, answer))
        })
    });
    match decided.await? {
        Decided::Now(token) => Ok(Created { token, secret: (!ask.dry_run).then_some(secret) }),
        Decided::Before(id) => Ok(Created { token: find(app, &id).await?, secret: None }),
    }
}

/// For the operator at the machine, who needs no token.
pub async fn create_offline(
    app: &App,
    user: &str,
    name: &str,
    scopes: Vec<String>,
    expires_at: Option<Instant>,
) -> Result<String, Error> {
    let new = NewToken { user: user.to_owned(), name: name.to_owned(), scopes, expires_at };
    let (token, secret) = (checked(app, new)?, TokenText::random()?);
    let hash = secret.hash();
    let written = app.decide(None, false, move |tx| {
        Box::pin(async move { Ok((write(tx, &token, hash).await?, String::new())) })
    });
    written.await?;
    Ok(secret.expose().to_owned())
}

/// The admin's token of the very first start; nothing if there ever was one.
pub async fn bootstrap(app: &App) -> Result<Option<String>, Error> {
    let scopes = scope::ALL.iter().map(|scope| (*scope).to_owned()).collect();
    let new = NewToken { user: ADMIN.to_owned(), name: "first start".to_owned(), scopes, expires_at: None };
    if token::any(app.store.read()).await? {
        return Ok(None);
    }
    let (token, secret) = (checked(app, new)?, TokenText::random()?);
    let hash = secret.hash();
    let made = app.store.write(move |tx| {
        Box::pin(async move {
            if token::any(tx).await? {
                return Ok(false);
            }
            token::create(tx, &token, hash).await?;
            Ok(true)
        })
    });
    Ok(made.await?.then(|| secret.expose().to_owned()))
}

/// Ends a token at once. Everyone may end a token of their own; the admin ends any.
pub async fn revoke(app: &App, ask: &Ask<'_>, id: Uuid) -> Result<Token, Error> {
    let (now, own, actor) = (app.now(), app.clone(), ask.viewer.actor());
    let (user, admin) = (ask.viewer.id(), ask.viewer.may(scope::ADMIN));
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let found = token::by_id(tx, id).await?.filter(|token| admin || token.user == user);
            found.ok_or_else(|| Refused::not_found("token").at("input/token"))?;
            token::revoke(tx, id, now).await?;
            append_fact(tx, own.setup_changed(actor, SetupNoun::Token, id)).await?;
            let token = token::by_id(tx, id).await?.ok_or_else(|| Refused::not_found("token"))?;
            Ok((token, id.to_string()))
        })
    });
    let token = match decided.await? {
        Decided::Now(token) => token,
        Decided::Before(id) => find(app, &id).await?,
    };
    if !ask.dry_run {
        app.revoked.send_if_modified(|revoked| revoked.insert(token.id));
    }
    Ok(token)
}

/// The tokens of a user, newest first: one's own, or for the admin anybody's.
pub async fn list(app: &App, viewer: &Viewer, user: Option<&str>) -> Result<Vec<Token>, Error> {
    let user = match user.filter(|key| *key != viewer.user.key) {
        None => viewer.id(),
        Some(key) => {
            viewer.require(scope::ADMIN)?;
            let workspace = app.workspace();
            let found = workspace.directory.users.iter().find(|user| user.key == key);
            found.ok_or_else(|| Refused::not_found("user").at("user"))?.id
        }
    };
    Ok(token::list(app.store.read(), user).await?)
}

fn checked(app: &App, new: NewToken) -> Result<Token, Error> {
    let NewToken { user, name, scopes, expires_at } = new;
    let (workspace, now) = (app.workspace(), app.now());
    let users = &workspace.directory.users;
    let mut checks = Checks::default();
    checks.text("name", &name, 128);
    checks.exists("user", "user", &user, users.iter().map(|user| user.key.as_str()));
    checks.need(!scopes.is_empty(), "scopes", || format!("a token needs a scope: {}", scope::ALL.join(", ")));
    for (place, unknown) in scopes.iter().enumerate().filter(|(_, held)| !scope::ALL.contains(&held.as_str()))
    {
        let shown: String = unknown.chars().take(80).collect();
        checks.say(
            &format!("scopes/{place}"),
            format!("no scope {shown:?}; there are {}", scope::ALL.join(", ")),
        );
    }
    checks.need(expires_at.is_none_or(|end| end > now), "expiresAt", || {
        format!("a token that expires must do so later than now, which is {now}")
    });
    checks.done()?;
    let user = users.iter().find(|found| found.key == user).map(|found| found.id);
    let user = user.ok_or_else(|| Refused::not_found("user"))?;
    let held = scope::ALL.iter().filter(|scope| scopes.iter().any(|held| held == *scope));
    let scopes = held.map(|scope| (*scope).to_owned()).collect();
    Ok(Token {
        id: app.id(),
        user,
        name,
        scopes,
        expires_at,
        created_at: now,
        revoked_at: None,
        last_used_at: None,
    })
}

async fn write(tx: &handfast_store::Tx, token: &Token, hash: [u8; 32]) -> Result<(), Error> {
    let valid = token::list(tx, token.user).await?;
    if valid.iter().filter(|other| other.is_valid(token.created_at)).count() >= MOST {
        let message = format!("this user has {MOST} valid tokens; revoke those that are not used any more");
        return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/user").into());
    }
    Ok(token::create(tx, token, hash).await?)
}

async fn find(app: &App, id: &str) -> Result<Token, Error> {
    let found = match Uuid::try_parse(id) {
        Ok(id) => token::by_id(app.store.read(), id).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| Refused::not_found("token").into())
}
