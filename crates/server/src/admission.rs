//! Who is asking: a token of ours, looked up by its hash, or one of a trusted issuer, and the user that it belongs to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use handfast_domain::time::{Instant, MINUTE};
use handfast_store::StoreError;
use handfast_store::token::{self, Token, TokenText};
use uuid::Uuid;

use crate::app::App;
use crate::flows::{Viewer, scope};
use crate::http::{Admission, Admitted, Denied, NotAdmitted};
use crate::oidc::Oidc;

/// Admits whoever has a valid token of a user that exists.
#[derive(Clone)]
pub struct Tokens {
    app: App,
    oidc: Option<Arc<Oidc>>,
    known: Arc<Mutex<HashMap<[u8; 32], Known>>>,
}

/// What of a token every request asks for.
#[derive(Clone)]
struct Known {
    id: Uuid,
    user: Uuid,
    scopes: Arc<[String]>,
    expires_at: Option<Instant>,
    /// When it was looked up.
    at: Instant,
}

/// A token is looked up once in this time, not for each request. So long it may still be used on the other nodes of a
/// workspace after it was revoked on one, where it ends at once.
const TRUSTED_MS: i64 = 1_000;
/// Tokens that are remembered.
const REMEMBERED: usize = 10_000;

impl Admission for Tokens {
    type Viewer = Viewer;

    async fn admit(&self, bearer: Option<&str>) -> Result<Admitted<Viewer>, NotAdmitted> {
        let app = &self.app;
        if let (Some(oidc), Some(bearer)) = (&self.oidc, bearer.filter(|text| text.contains('.'))) {
            return Ok(self.vouched(oidc, bearer).await?);
        }
        let text = bearer.and_then(TokenText::parse).ok_or(Denied)?;
        let token = self.find(text.hash()).await?.ok_or(Denied)?;
        let user = app.workspace().user(token.user).cloned().ok_or(Denied)?;
        Ok(Admitted {
            viewer: Viewer { user, token: Some(token.id), scopes: token.scopes },
            token: token.id,
            expires_at: token.expires_at,
        })
    }

    fn ended(&self, viewer: &Viewer) -> BoxFuture<'static, ()> {
        // What an issuer vouches for ends by itself, and soon.
        let Some(token) = viewer.token else { return Box::pin(std::future::pending()) };
        let mut revoked = self.app.revoked.subscribe();
        Box::pin(async move {
            // The sender lives as long as the process.
            drop(revoked.wait_for(|revoked| revoked.contains(&token)).await);
        })
    }
}

impl Tokens {
    pub fn new(app: App, oidc: Option<Arc<Oidc>>) -> Tokens {
        Tokens { app, oidc, known: Arc::default() }
    }

    /// Whoever the issuer says, if there is such a user. Its budget is the user's, whatever tokens it has.
    async fn vouched(&self, oidc: &Oidc, bearer: &str) -> Result<Admitted<Viewer>, Denied> {
        let subject = oidc.verify(bearer, self.app.now()).await.map_err(|why| {
            tracing::info!(why, "an issuer's token was refused");
            Denied
        })?;
        let workspace = self.app.workspace();
        let user = workspace.directory.users.iter().find(|user| user.key == subject.user);
        let Some(user) = user.and_then(|user| workspace.user(user.id)).cloned() else {
            tracing::info!("an issuer's token was refused: it speaks for nobody that there is");
            return Err(Denied);
        };
        let scopes: Arc<[String]> =
            subject.scopes.into_iter().filter(|scope| scope::ALL.contains(&scope.as_str())).collect();
        let (token, expires_at) = (user.id, Some(subject.expires_at));
        Ok(Admitted { viewer: Viewer { user, token: None, scopes }, token, expires_at })
    }

    async fn find(&self, hash: [u8; 32]) -> Result<Option<Known>, NotAdmitted> {
        let (app, now) = (&self.app, self.app.now());
        let trusted = |known: &&Known| (0..TRUSTED_MS).contains(&now.since(known.at));
        if let Some(known) = self.lock().get(&hash).filter(trusted) {
            let valid =
                known.expires_at.is_none_or(|end| now < end) && !app.revoked.borrow().contains(&known.id);
            return Ok(valid.then(|| known.clone()));
        }
        let found = token::find(app.store.read(), hash).await.map_err(|error| {
            tracing::error!(%error, "a token could not be looked up");
            NotAdmitted::Busy
        })?;
        let Some(Token { id, user, scopes, expires_at, last_used_at, .. }) =
            found.filter(|token| token.is_valid(now))
        else {
            return Ok(None);
        };
        self.note_use(id, last_used_at);
        let token = Known { id, user, scopes: scopes.into(), expires_at, at: now };
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(hash, token.clone());
        Ok(Some(token))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        // No code runs under this lock that could leave the map half-written.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps when a token was used last, to the minute: not every request is worth a write.
    fn note_use(&self, token: Uuid, before: Option<Instant>) {
        let (app, now) = (self.app.clone(), self.app.now());
        if before.is_some_and(|before| now.since(before) < MINUTE) {
            return;
        }
        tokio::spawn(async move {
            // Beside others: it changes this row alone, and nobody shall wait for it.
            let noted = app.store.try_write_beside::<_, StoreError, _>(move |tx| {
                Box::pin(async move { token::touch(tx, token, now).await })
            });
            if let Err(error) = noted.await {
                tracing::debug!(%error, "the use of a token could not be noted");
            }
        });
    }
}
