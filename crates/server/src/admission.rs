//! Who is asking: a token of ours, looked up by its hash, and the user that it belongs to.

use futures_util::future::BoxFuture;
use handfast_domain::time::{Instant, MINUTE};
use handfast_store::token::{self, TokenText};
use uuid::Uuid;

use crate::app::App;
use crate::flows::Viewer;
use crate::http::{Admission, Admitted, Denied};

/// Admits whoever has a valid token of a user that exists.
#[derive(Clone)]
pub struct Tokens(pub App);

impl Admission for Tokens {
    type Viewer = Viewer;

    async fn admit(&self, bearer: Option<&str>) -> Result<Admitted<Viewer>, Denied> {
        let app = &self.0;
        let text = bearer.and_then(TokenText::parse).ok_or(Denied)?;
        let found = token::find(app.store.read(), text.hash()).await.map_err(|error| {
            tracing::error!(%error, "a token could not be looked up");
            Denied
        })?;
        let token = found.filter(|token| token.is_valid(app.now())).ok_or(Denied)?;
        let workspace = app.workspace();
        let user = workspace.directory.user(token.user).cloned().ok_or(Denied)?;
        self.note_use(token.id, token.last_used_at);
        let viewer = Viewer { user, token: token.id, scopes: token.scopes };
        Ok(Admitted { viewer, expires_at: token.expires_at })
    }

    fn ended(&self, viewer: &Viewer) -> BoxFuture<'static, ()> {
        let (mut revoked, token) = (self.0.revoked.subscribe(), viewer.token);
        Box::pin(async move {
            // The sender lives as long as the process.
            drop(revoked.wait_for(|revoked| revoked.contains(&token)).await);
        })
    }
}

impl Tokens {
    /// Keeps when a token was used last, to the minute: not every request is worth a write.
    fn note_use(&self, token: Uuid, before: Option<Instant>) {
        let (app, now) = (self.0.clone(), self.0.now());
        if before.is_some_and(|before| now.since(before) < MINUTE) {
            return;
        }
        tokio::spawn(async move {
            let noted =
                app.store.write(move |tx| Box::pin(async move { token::touch(tx, token, now).await }));
            if let Err(error) = noted.await {
                tracing::debug!(%error, "the use of a token could not be noted");
            }
        });
    }
}
