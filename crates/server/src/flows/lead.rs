//! Verbs that change one lead and need no rule: load it, let the domain decide, write, and repeat if overtaken.

use handfast_domain::change::{Draft, Scene};
use handfast_domain::event::Actor;
use handfast_domain::incumbent::Incumbent;
use handfast_domain::lead::Journey;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Cause;
use handfast_domain::time::Instant;
use handfast_store::change::Conflict;
use uuid::Uuid;

use super::commit::{Committed, Once, Plan};
use super::{Error, Viewer, scope};
use crate::app::App;
use crate::workspace::Workspace;

/// How often a flow starts over when somebody else changed the lead meanwhile.
pub const ATTEMPTS: usize = 4;
/// The same where the rules were changed meanwhile: that ends, however fast teams deploy.
const RULE_ATTEMPTS: usize = 50;

/// How often something is tried again.
pub struct Tries {
    left: usize,
    of_rules: usize,
}

impl Default for Tries {
    fn default() -> Tries {
        Tries { left: ATTEMPTS, of_rules: RULE_ATTEMPTS }
    }
}

impl Tries {
    /// Whether to try.
    pub fn again(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    /// Notes by what it was overtaken.
    pub fn overtaken(&mut self, by: &Conflict) {
        if matches!(by, Conflict::Rule { .. }) && self.of_rules > 0 {
            self.of_rules -= 1;
            self.left += 1;
        }
    }
}

/// Which lead, as whom, and whether it may have changed.
pub struct Target<'a> {
    pub viewer: &'a Viewer,
    pub lead: Uuid,
    pub expected_version: Option<i64>,
    pub once: Option<Once>,
    /// Refuses or accepts without writing.
    pub dry_run: bool,
}

impl Target<'_> {
    /// How it ended for the caller. A refusal is none if the request was carried out after all: the same one was on its way
    /// already, and what it changed is what this one was refused for.
    pub async fn ended(&self, app: &App, ended: Result<(), Error>) -> Result<(), Error> {
        match ended {
            Err(Error::Refused(_)) if Once::answered(self.once.as_ref(), app).await?.is_some() => Ok(()),
            ended => ended,
        }
    }
}

/// Changes one lead by a verb of the domain. `at` is when it happened.
pub async fn change(
    app: &App,
    target: &Target<'_>,
    cause: Cause,
    at: Option<Instant>,
    verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
) -> Result<(), Error> {
    change_knowing(app, target, cause, at, false, verb).await
}

/// [`change`] by a verb that may end a cycle: what is known of the company's contract says when the lead comes back.
pub async fn end(
    app: &App,
    target: &Target<'_>,
    cause: Cause,
    at: Option<Instant>,
    verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
) -> Result<(), Error> {
    change_knowing(app, target, cause, at, true, verb).await
}

async fn change_knowing(
    app: &App,
    target: &Target<'_>,
    cause: Cause,
    at: Option<Instant>,
    contract: bool,
    verb: impl Fn(&mut Draft<'_>) -> Result<(), Refused>,
) -> Result<(), Error> {
    target.viewer.require(scope::LEADS_WRITE)?;
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let mut tries = Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = load(app, target.lead).await?;
        let scene = scene(app, &workspace, target.viewer.actor(), cause, at);
        let incumbent = match journey.lead.account.filter(|_| contract) {
            Some(account) => handfast_store::person::incumbent(app.store.read(), account).await?,
            None => Incumbent::default(),
        };
        let mut draft = Draft::new(journey, scene);
        draft.incumbent = incumbent;
        draft.expect_version(target.expected_version)?;
        verb(&mut draft)?;
        if target.dry_run || draft.is_empty() {
            return Ok(());
        }
        let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), target.lead.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(()),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(overtaken(app, target.lead).await)
}

/// The scene of a change that happens now.
pub fn scene<'a>(
    app: &'a App,
    workspace: &'a Workspace,
    actor: Actor,
    cause: Cause,
    at: Option<Instant>,
) -> Scene<'a> {
    let now = app.now();
    Scene {
        now,
        at: at.unwrap_or(now),
        actor,
        cause,
        charter: &workspace.charter,
        directory: &workspace.directory,
        ids: app.ids.as_ref(),
        live: true,
    }
}

pub async fn load(app: &App, lead: Uuid) -> Result<Journey, Error> {
    let mut found = handfast_store::lead::journeys(app.store.read(), &[lead]).await?;
    found.remove(&lead).ok_or_else(|| Refused::not_found("lead").at("input/lead").into())
}

/// After too many attempts the caller learns where the lead stands now.
pub async fn overtaken(app: &App, lead: Uuid) -> Error {
    match load(app, lead).await {
        Ok(journey) => Refused::version(journey.lead.version).into(),
        Err(error) => error,
    }
}

/// A lead by its id, its e-mail or its id in another system.
pub async fn find(app: &App, by: &LeadKey) -> Result<Uuid, Error> {
    use handfast_store::person::{ExternalRef, identities};
    let db = app.store.read();
    let found = match by {
        LeadKey::Id(id) => {
            handfast_store::lead::leads(db, &[*id]).await?.first().map(|stored| stored.lead.id)
        }
        LeadKey::Email(email) => {
            let email = super::capture::normal_email(email)?;
            identities(db, std::slice::from_ref(&email), &[], &[]).await?.emails.get(&email).copied()
        }
        LeadKey::External { system, id } => {
            let at = ExternalRef { system: system.clone(), id: id.clone() };
            identities(db, &[], &[], std::slice::from_ref(&at)).await?.refs.get(&at).copied()
        }
    };
    found.ok_or_else(|| Refused::not_found("lead").at("input/lead").into())
}

#[derive(Clone, Debug)]
pub enum LeadKey {
    Id(Uuid),
    Email(String),
    External { system: String, id: String },
}

/// What a conflict says when it cannot be solved by repeating.
pub fn conflict(conflict: &Conflict) -> Refused {
    match conflict {
        Conflict::Lead { current, .. } => Refused::version(*current),
        Conflict::Rule { .. } => {
            let message = "the rules were changed again and again meanwhile; repeat the request";
            Refused::new(RefusalCode::VersionConflict, message)
        }
        Conflict::Pool { key } => {
            let message =
                format!("{key} was changed by others again and again meanwhile; repeat the request");
            Refused::new(RefusalCode::VersionConflict, message)
        }
    }
}
