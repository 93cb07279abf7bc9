//! Use cases: load values from the store, ask the rules, call the domain, write one change. A flow's name is a verb;
//! nothing here knows GraphQL.

pub mod attribution;
pub mod audience;
pub mod audience_results;
pub mod backtest;
pub mod breaker;
pub mod campaign;
pub mod capture;
pub mod charter;
pub mod charter_review;
pub mod check;
pub mod commit;
pub mod consumer;
pub mod content;
pub mod context_request;
pub mod conversion;
pub mod decision_override;
pub mod deliver;
pub mod deploy;
pub mod directory;
pub mod doctor;
pub mod document;
pub mod drill;
pub mod effort;
pub mod erase;
pub mod evaluate;
pub mod export;
pub mod fairness;
pub mod feed;
pub mod feedback;
pub mod follow;
pub mod follow_up;
pub mod follow_up_rate;
pub mod forget;
pub mod form;
pub mod friction;
pub mod funnel;
pub mod goal;
pub mod grey_case;
pub mod guardrail;
pub mod import;
pub mod incumbent;
pub mod insight;
pub mod instead;
pub mod lead;
pub mod lead_fact;
pub mod leakage;
pub mod ledger;
pub mod lookback;
pub mod measure;
pub mod merge;
pub mod nurture;
pub mod offer;
pub mod overlap;
pub mod passage;
pub mod plugin;
pub mod pulse;
pub mod qualify;
pub mod rating;
pub mod reevaluation;
pub mod report;
pub mod restatement;
pub mod retention;
pub mod review;
pub mod route;
pub mod scoreboard;
pub mod setup;
pub mod shadow;
pub mod signal;
pub mod signature;
pub mod timers;
pub mod token;
pub mod told;
pub mod touch;
pub mod trait_lift;
pub mod turn;
pub mod velocity;
pub mod verify;
pub mod webhook;
pub mod whynot;
pub mod win_loss;
pub mod window;

use std::sync::Arc;

use handfast_domain::directory::User;
use handfast_domain::event::Actor;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Side;
use handfast_store::StoreError;
use uuid::Uuid;

/// Why a flow did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Expected, and part of the answer's payload.
    #[error("{}", .0.iter().map(|refused| refused.message.as_str()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refused>),
    #[error(transparent)]
    Store(StoreError),
    /// Our own failure: logged whole, told in short.
    #[error("{0}")]
    Fault(String),
}

impl Error {
    pub fn fault(message: impl Into<String>) -> Error {
        Error::Fault(message.into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        Error::Refused(vec![refused])
    }
}

impl From<Vec<Refused>> for Error {
    fn from(refused: Vec<Refused>) -> Error {
        Error::Refused(refused)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::VersionConflict { current } => Refused::version(current).into(),
            StoreError::NotFound(what) => Refused::not_found(&what).into(),
            StoreError::IdempotencyKeyReused { .. } => {
                Refused::new(RefusalCode::IdempotencyKeyReused, error.to_string())
                    .at("input/idempotencyKey")
                    .into()
            }
            other => Error::Store(other),
        }
    }
}

/// Who asks: a user with the scopes of the token. Side and team come from the user alone.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub user: Arc<User>,
    /// The token of ours that it came with; none where an issuer vouches for it.
    pub token: Option<Uuid>,
    pub scopes: Arc<[String]>,
}

/// What a token may do. Reading is open to both sides; writing needs a scope and often a side.
pub mod scope {
    pub const LEADS_READ: &str = "leads:read";
    pub const LEADS_WRITE: &str = "leads:write";
    pub const LEADS_ERASE: &str = "leads:erase";
    pub const CHARTER_SIGN: &str = "charter:sign";
    pub const PLUGINS_DEPLOY: &str = "plugins:deploy";
    pub const IMPORT: &str = "import";
    pub const WEBHOOKS_WRITE: &str = "webhooks:write";
    pub const ADMIN: &str = "admin";
    pub const ALL: [&str; 8] =
        [LEADS_READ, LEADS_WRITE, LEADS_ERASE, CHARTER_SIGN, PLUGINS_DEPLOY, IMPORT, WEBHOOKS_WRITE, ADMIN];
}

impl Viewer {
    pub fn actor(&self) -> Actor {
        Actor::user(self.user.id)
    }

    pub fn id(&self) -> Uuid {
        self.user.id
    }

    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope || held == scope::ADMIN)
    }

    pub fn require(&self, scope: &str) -> Result<(), Refused> {
        if self.may(scope) {
            return Ok(());
        }
        Err(Refused::new(RefusalCode::Forbidden, format!("your token lacks the scope {scope}")))
    }

    /// Some verbs are for people of the two parties, each for its own side.
    pub fn party(&self, verb: &str) -> Result<Side, Refused> {
        self.require(scope::LEADS_WRITE)?;
        let side = self.user.side;
        if self.user.service || !matches!(side, Side::Marketing | Side::Sales) {
            let message = format!("people of MARKETING and of SALES {verb}; you are {side}");
            return Err(Refused::new(RefusalCode::Forbidden, message));
        }
        Ok(side)
    }

    /// Some verbs belong to one side; OPS and INTEGRATION act for neither.
    pub fn require_side(&self, side: Side, verb: &str) -> Result<(), Refused> {
        if self.user.side == side || self.may(scope::ADMIN) {
            return Ok(());
        }
        let message = format!("only {side} can {verb}; you are {}", self.user.side);
        Err(Refused::new(RefusalCode::Forbidden, message))
    }
}

/// What an earlier process left in the middle of its checks is checked again, and what it was about to send is sent.
pub async fn resume(app: &crate::app::App) -> Result<(), Error> {
    if !app.store.is_shared() {
        app.store.write(|tx| Box::pin(handfast_store::job::unlock_all(tx))).await?;
    }
    plugin::resume(app).await
}
