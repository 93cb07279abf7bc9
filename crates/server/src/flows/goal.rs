//! Shared goals and projects: made by either side, owned by one person of each, and measured.

use handfast_domain::goal::{GoalConflict, SharedGoal, SharedProject, SharedStatus, conflicts};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::directory;
use uuid::Uuid;

use super::check::Checks;
use super::commit::Ask;
use super::{Error, document};
use crate::app::App;
use crate::workspace::Workspace;

const TITLE: usize = 200;
/// Days over which a metric can be measured.
pub const WINDOW: u32 = 366;

pub struct NewGoal {
    pub key: String,
    pub title: String,
    pub metric: String,
    pub target: i64,
    pub window_days: i32,
    /// Keys of users.
    pub marketing_owner: String,
    pub sales_owner: String,
    pub due_at: Option<Instant>,
}

pub struct NewProject {
    pub key: String,
    pub title: String,
    pub goal: Option<Uuid>,
    pub marketing_owner: String,
    pub sales_owner: String,
    pub due_at: Option<Instant>,
}

/// Makes a goal that both sides answer for.
pub async fn create_goal(app: &App, ask: &Ask<'_>, new: NewGoal) -> Result<SharedGoal, Error> {
    ask.viewer.party("make shared goals")?;
    let NewGoal { key, title, metric, target, window_days, marketing_owner, sales_owner, due_at } = new;
    let (workspace, now) = (app.workspace(), app.now());
    let mut checks = Checks::default();
    checks.key("key", &key);
    checks.text("title", &title, TITLE);
    let name = (1..=64).contains(&metric.len())
        && metric.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    checks.need(name, "metric", || "1 to 64 of A-Z, 0-9 and _, for example SAL_RATE".to_owned());
    checks.need(target > 0, "target", || format!("a target is above 0, found {target}"));
    let days = u32::try_from(window_days).ok().filter(|days| (1..=WINDOW).contains(days));
    checks.need(days.is_some(), "windowDays", || format!("1 to {WINDOW} days, found {window_days}"));
    let owners = owners(&workspace, &mut checks, &marketing_owner, &sales_owner);
    checks.done()?;
    let ((marketing_owner, sales_owner), window_days) = (owners, days.unwrap_or(1));
    document::put(app, ask, move |all: &[SharedGoal], id| {
        document::unused(all, &key, "a shared goal", "closeSharedGoal").map_err(|refused| vec![refused])?;
        Ok(SharedGoal {
            id,
            key,
            title,
            metric,
            target,
            window_days,
            marketing_owner,
            sales_owner,
            due_at,
            status: SharedStatus::Open,
            created_at: now,
        })
    })
    .await
}

/// Makes a project that both sides answer for.
pub async fn create_project(app: &App, ask: &Ask<'_>, new: NewProject) -> Result<SharedProject, Error> {
    ask.viewer.party("make shared projects")?;
    let NewProject { key, title, goal, marketing_owner, sales_owner, due_at } = new;
    let (workspace, now) = (app.workspace(), app.now());
    let mut checks = Checks::default();
    checks.key("key", &key);
    checks.text("title", &title, TITLE);
    if let Some(goal) = goal
        && !directory::all::<SharedGoal>(app.store.read()).await?.iter().any(|one| one.id == goal)
    {
        checks.refuse(Refused::not_found("shared goal").at("goal"));
    }
    let (marketing_owner, sales_owner) = owners(&workspace, &mut checks, &marketing_owner, &sales_owner);
    checks.done()?;
    document::put(app, ask, move |all: &[SharedProject], id| {
        document::unused(all, &key, "a shared project", "closeSharedProject")
            .map_err(|refused| vec![refused])?;
        let status = SharedStatus::Open;
        Ok(SharedProject {
            id,
            key,
            title,
            goal,
            marketing_owner,
            sales_owner,
            due_at,
            status,
            created_at: now,
        })
    })
    .await
}

/// One person of each side, for it is both who answer.
fn owners(workspace: &Workspace, checks: &mut Checks, marketing: &str, sales: &str) -> (Uuid, Uuid) {
    let mut owner = |path: &str, key: &str, side: Side| {
        let users = &workspace.directory.users;
        checks.exists(path, "user", key, users.iter().map(|user| user.key.as_str()));
        let found = users.iter().find(|user| user.key == key);
        if let Some(user) = found.filter(|user| user.side != side || user.service) {
            let what = if user.service { "a service" } else { user.side.as_str() };
            checks.say(path, format!("{key} is {what}; a person of {side} answers for it"));
        }
        found.map(|user| user.id).unwrap_or_default()
    };
    (owner("marketingOwner", marketing, Side::Marketing), owner("salesOwner", sales, Side::Sales))
}

/// Says that a goal is reached or given up, or takes it up again.
pub async fn set_goal(app: &App, ask: &Ask<'_>, id: Uuid, status: SharedStatus) -> Result<SharedGoal, Error> {
    ask.viewer.party("close shared goals")?;
    document::put(app, ask, move |all: &[SharedGoal], _| {
        let found = all.iter().find(|goal| goal.id == id).cloned();
        let found = found.ok_or_else(|| vec![Refused::not_found("shared goal").at("input/goal")])?;
        Ok(SharedGoal { status, ..found })
    })
    .await
}

/// Says that a project is done or given up, or takes it up again.
pub async fn set_project(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    status: SharedStatus,
) -> Result<SharedProject, Error> {
    ask.viewer.party("close shared projects")?;
    document::put(app, ask, move |all: &[SharedProject], _| {
        let found = all.iter().find(|project| project.id == id).cloned();
        let found = found.ok_or_else(|| vec![Refused::not_found("shared project").at("input/project")])?;
        Ok(SharedProject { status, ..found })
    })
    .await
}

pub async fn goals(app: &App) -> Result<Vec<SharedGoal>, Error> {
    Ok(directory::all::<SharedGoal>(app.store.read()).await?)
}

pub async fn projects(app: &App) -> Result<Vec<SharedProject>, Error> {
    Ok(directory::all::<SharedProject>(app.store.read()).await?)
}

/// Goals of one side that the other one does not share.
pub async fn conflicting(app: &App) -> Result<Vec<GoalConflict>, Error> {
    Ok(conflicts(&app.workspace().charter.body.commitments, &goals(app).await?))
}
