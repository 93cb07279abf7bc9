//! Who is asking: a token of ours, looked up by its hash, and the user that it belongs to.

use handfast_store::token::{self, TokenText};

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
        Ok(Admitted { viewer: Viewer { user, scopes: token.scopes }, expires_at: token.expires_at })
    }
}
