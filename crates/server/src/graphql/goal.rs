//! What both sides answer for together: goals with their progress, projects, the team that the two are, and where goals part.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::clock::Party;
use handfast_domain::goal::{GoalConflictKind, SharedGoal as Goal, SharedProject as Project, SharedStatus};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;

use super::charter::Charter;
use super::directory::User;
use super::inline::Inline;
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, global, local};
use super::{app, ask, not_found, read_viewer};
use crate::app::App;
use crate::flows::goal::{self, NewGoal, NewProject};
use crate::flows::measure::Measured;
use crate::workspace::Workspace;

/// What both sides want to reach, with a person of each who answers for it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct SharedGoal {
    pub id: ID,
    /// Unique in the workspace.
    key: String,
    title: String,
    /// For example `SAL_RATE`, `MQL_PER_MONTH`, `WIN_RATE`, `REVENUE`, `FIRST_TOUCH_IN_TIME`.
    metric: String,
    /// In the metric's own unit: a number, basis points or minor units.
    target: Long,
    /// Days up to now over which the metric is measured.
    window_days: i32,
    due_at: Option<Instant>,
    status: SharedStatus,
    created_at: Instant,
    #[graphql(skip)]
    kept: Goal,
    #[graphql(skip)]
    measured: Measured,
}

/// How far a goal is.
#[derive(Clone, SimpleObject)]
pub struct GoalProgress {
    /// Begin of the window that was measured.
    from: Instant,
    /// Its end.
    to: Instant,
    /// In the metric's own unit; null where there was nothing to divide by.
    value: Option<Long>,
    /// Of the target, in basis points; null as the value.
    attainment_basis_points: Option<Long>,
}

impl GoalProgress {
    fn of(measured: &Measured, metric: &str, days: u32, target: i64) -> Option<GoalProgress> {
        let progress = measured.progress(metric, days, target)?;
        Some(GoalProgress {
            from: progress.from,
            to: progress.to,
            value: progress.value.map(Long),
            attainment_basis_points: progress.attainment.map(Long),
        })
    }
}

impl SharedGoal {
    fn wrap(kept: Goal, measured: &Measured) -> SharedGoal {
        SharedGoal {
            id: global("SharedGoal", kept.id),
            key: kept.key.clone(),
            title: kept.title.clone(),
            metric: kept.metric.clone(),
            target: Long(kept.target),
            window_days: super::small(kept.window_days),
            due_at: kept.due_at,
            status: kept.status,
            created_at: kept.created_at,
            kept,
            measured: measured.clone(),
        }
    }
}

/// Whoever answers must be known: a user is never taken away.
fn owner(workspace: &Workspace, id: uuid::Uuid) -> async_graphql::Result<Inline<User>> {
    workspace.directory.user(id).map(User::wrap).map(Inline).ok_or_else(|| not_found("user"))
}

#[ComplexObject]
impl SharedGoal {
    /// Who of marketing answers for it.
    async fn marketing_owner(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<User>> {
        owner(&app(ctx)?.workspace(), self.kept.marketing_owner)
    }

    /// Who of sales answers for it.
    async fn sales_owner(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<User>> {
        owner(&app(ctx)?.workspace(), self.kept.sales_owner)
    }

    /// How far it is; null of a metric that the server does not measure.
    async fn progress(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<GoalProgress>> {
        let Goal { metric, target, window_days, .. } = &self.kept;
        if let Some(known) = GoalProgress::of(&self.measured, metric, *window_days, *target) {
            return Ok(Some(known));
        }
        let measured = Measured::read(app(ctx)?, std::iter::once(*window_days)).await.map_err(failure)?;
        Ok(GoalProgress::of(&measured, metric, *window_days, *target))
    }
}

/// What both sides do together, with a person of each who answers for it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct SharedProject {
    pub id: ID,
    /// Unique in the workspace.
    key: String,
    title: String,
    due_at: Option<Instant>,
    status: SharedStatus,
    created_at: Instant,
    #[graphql(skip)]
    kept: Project,
}

impl SharedProject {
    fn wrap(kept: Project) -> SharedProject {
        SharedProject {
            id: global("SharedProject", kept.id),
            key: kept.key.clone(),
            title: kept.title.clone(),
            due_at: kept.due_at,
            status: kept.status,
            created_at: kept.created_at,
            kept,
        }
    }
}

#[ComplexObject]
impl SharedProject {
    /// The goal that it serves.
    async fn goal(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<SharedGoal>> {
        let Some(id) = self.kept.goal else { return Ok(None) };
        let all = goal::goals(app(ctx)?).await.map_err(failure)?;
        let found = all.into_iter().find(|one| one.id == id);
        Ok(found.map(|goal| SharedGoal::wrap(goal, &Measured::default())))
    }

    /// Who of marketing answers for it.
    async fn marketing_owner(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<User>> {
        owner(&app(ctx)?.workspace(), self.kept.marketing_owner)
    }

    /// Who of sales answers for it.
    async fn sales_owner(&self, ctx: &Context<'_>) -> async_graphql::Result<Inline<User>> {
        owner(&app(ctx)?.workspace(), self.kept.sales_owner)
    }
}

/// A goal of one side that the other one does not share.
#[derive(Clone, SimpleObject)]
pub struct GoalConflict {
    kind: GoalConflictKind,
    /// The side that has the goal.
    party: Party,
    /// The metric; null where it is about all goals of the side.
    metric: Option<String>,
    /// What to do about it.
    hint: String,
}

/// Marketing and sales as one unit.
#[derive(Clone, SimpleObject)]
pub struct RevenueTeam {
    /// People of marketing, services left out.
    marketing: Vec<Inline<User>>,
    /// People of sales, services left out.
    sales: Vec<Inline<User>>,
    /// Open shared goals.
    goals: Vec<SharedGoal>,
    /// Open shared projects.
    projects: Vec<SharedProject>,
    /// The charter in force.
    charter: Charter,
}

/// Goals with what they are measured by, all of them together.
async fn measured(app: &App, goals: Vec<Goal>) -> async_graphql::Result<Vec<SharedGoal>> {
    let days = goals.iter().map(|goal| goal.window_days);
    let measured = Measured::read(app, days).await.map_err(failure)?;
    Ok(goals.into_iter().map(|goal| SharedGoal::wrap(goal, &measured)).collect())
}

#[derive(Default)]
pub struct GoalQuery;

#[Object]
impl GoalQuery {
    /// Goals that both sides answer for, by key.
    async fn shared_goals(
        &self,
        ctx: &Context<'_>,
        status: Option<SharedStatus>,
    ) -> async_graphql::Result<Vec<SharedGoal>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let mut goals = goal::goals(app).await.map_err(failure)?;
        goals.retain(|goal| status.is_none_or(|status| goal.status == status));
        if ctx.look_ahead().field("progress").exists() {
            return measured(app, goals).await;
        }
        Ok(goals.into_iter().map(|goal| SharedGoal::wrap(goal, &Measured::default())).collect())
    }

    /// Projects that both sides answer for, by key.
    async fn shared_projects(
        &self,
        ctx: &Context<'_>,
        status: Option<SharedStatus>,
    ) -> async_graphql::Result<Vec<SharedProject>> {
        read_viewer(ctx)?;
        let mut projects = goal::projects(app(ctx)?).await.map_err(failure)?;
        projects.retain(|project| status.is_none_or(|status| project.status == status));
        Ok(projects.into_iter().map(SharedProject::wrap).collect())
    }

    /// Goals of one side without a counterpart on the other, and sides that promise nothing but numbers. It reads the commitments of
    /// the charter in force and the open shared goals.
    async fn goal_conflicts(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<GoalConflict>> {
        read_viewer(ctx)?;
        let found = goal::conflicting(app(ctx)?).await.map_err(failure)?;
        let wrap = |one: handfast_domain::goal::GoalConflict| {
            let other = if one.party == Party::Marketing { Party::Sales } else { Party::Marketing };
            let hint = match (one.kind, &one.metric) {
                (GoalConflictKind::NoCounterpart, Some(metric)) => {
                    format!(
                        "{other} promises nothing about {metric}: make it a shared goal, or let both promise it"
                    )
                }
                _ => format!(
                    "{} promises only numbers of things: add a rate, such as SAL_RATE or WIN_RATE",
                    one.party
                ),
            };
            GoalConflict { kind: one.kind, party: one.party, metric: one.metric, hint }
        };
        Ok(found.into_iter().map(wrap).collect())
    }

    /// Marketing and sales as one unit: the people, what they want to reach, what they do together, and what they signed.
    async fn revenue_team(&self, ctx: &Context<'_>) -> async_graphql::Result<RevenueTeam> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let workspace = app.workspace();
        let people = |side: Side| {
            let users = workspace.directory.users.iter();
            users.filter(|user| user.side == side && !user.service).map(User::wrap).map(Inline).collect()
        };
        let mut projects = goal::projects(app).await.map_err(failure)?;
        projects.retain(|project| project.status == SharedStatus::Open);
        let mut goals = goal::goals(app).await.map_err(failure)?;
        goals.retain(|goal| goal.status == SharedStatus::Open);
        Ok(RevenueTeam {
            marketing: people(Side::Marketing),
            sales: people(Side::Sales),
            goals: goals.into_iter().map(|goal| SharedGoal::wrap(goal, &Measured::default())).collect(),
            projects: projects.into_iter().map(SharedProject::wrap).collect(),
            charter: Charter::wrap(&workspace, &workspace.charter),
        })
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct CreateSharedGoalInput {
    /// Unique in the workspace.
    key: String,
    title: String,
    /// A name of A-Z, 0-9 and _. Measured are `<STAGE>_COUNT`, `<STAGE>_PER_MONTH`, `<STAGE>_RATE` (of those that entered the stage
    /// before in the window, those that came to this one until now, as `conversion` counts them), `WON_COUNT`, `WINS_PER_MONTH`, `OPPORTUNITIES_PER_MONTH`, `WIN_RATE`, `REVENUE`, `REVENUE_PER_MQL` and `<CLOCK>_IN_TIME`, for example `SAL_RATE` and `ACCEPT_IN_TIME`.
    metric: String,
    /// Above 0, in the metric's own unit: a number, basis points or minor units.
    target: Long,
    /// 1 to 366 days over which the metric is measured.
    #[graphql(default = 30)]
    window_days: i32,
    /// Key of a person of marketing.
    marketing_owner: String,
    /// Key of a person of sales.
    sales_owner: String,
    due_at: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CreateSharedProjectInput {
    /// Unique in the workspace.
    key: String,
    title: String,
    /// The shared goal that it serves.
    goal: Option<ID>,
    /// Key of a person of marketing.
    marketing_owner: String,
    /// Key of a person of sales.
    sales_owner: String,
    due_at: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CloseSharedGoalInput {
    /// The goal.
    goal: ID,
    /// DONE or DROPPED; OPEN takes it up again.
    status: SharedStatus,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct CloseSharedProjectInput {
    /// The project.
    project: ID,
    /// DONE or DROPPED; OPEN takes it up again.
    status: SharedStatus,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct SharedGoalPayload {
    /// The goal as it is now; null when it was refused.
    goal: Option<SharedGoal>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct SharedProjectPayload {
    /// The project as it is now; null when it was refused.
    project: Option<SharedProject>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct GoalMutation;

#[Object]
impl GoalMutation {
    /// Either side makes a goal that a person of each answers for.
    async fn create_shared_goal(
        &self,
        ctx: &Context<'_>,
        input: CreateSharedGoalInput,
    ) -> async_graphql::Result<SharedGoalPayload> {
        let said =
            format!("{:?}", CreateSharedGoalInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let CreateSharedGoalInput { key, title, metric, target, window_days, .. } = input;
        let (marketing_owner, sales_owner, due_at) = (input.marketing_owner, input.sales_owner, input.due_at);
        let ask = ask(ctx, "createSharedGoal", input.idempotency_key, input.dry_run, &said)?;
        let target = target.0;
        let new = NewGoal { key, title, metric, target, window_days, marketing_owner, sales_owner, due_at };
        goal_answer(goal::create_goal(app(ctx)?, &ask, new).await)
    }

    /// Either side makes a project that a person of each answers for.
    async fn create_shared_project(
        &self,
        ctx: &Context<'_>,
        input: CreateSharedProjectInput,
    ) -> async_graphql::Result<SharedProjectPayload> {
        let said = format!(
            "{:?}",
            CreateSharedProjectInput { idempotency_key: None, dry_run: None, ..input.clone() }
        );
        let CreateSharedProjectInput { key, title, goal, marketing_owner, sales_owner, due_at, .. } = input;
        let ask = ask(ctx, "createSharedProject", input.idempotency_key, input.dry_run, &said)?;
        match goal.map(|id| local("SharedGoal", &id, "input/goal")).transpose() {
            Ok(goal) => {
                let new = NewProject { key, title, goal, marketing_owner, sales_owner, due_at };
                project_answer(goal::create_project(app(ctx)?, &ask, new).await)
            }
            Err(refused) => project_answer(Err(refused.into())),
        }
    }

    /// Says that a shared goal is reached or given up, or takes it up again.
    async fn close_shared_goal(
        &self,
        ctx: &Context<'_>,
        input: CloseSharedGoalInput,
    ) -> async_graphql::Result<SharedGoalPayload> {
        let CloseSharedGoalInput { goal: id, status, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "closeSharedGoal", idempotency_key, dry_run, &(&id.0, status))?;
        match local("SharedGoal", &id, "input/goal") {
            Ok(id) => goal_answer(goal::set_goal(app(ctx)?, &ask, id, status).await),
            Err(refused) => goal_answer(Err(refused.into())),
        }
    }

    /// Says that a shared project is done or given up, or takes it up again.
    async fn close_shared_project(
        &self,
        ctx: &Context<'_>,
        input: CloseSharedProjectInput,
    ) -> async_graphql::Result<SharedProjectPayload> {
        let CloseSharedProjectInput { project: id, status, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "closeSharedProject", idempotency_key, dry_run, &(&id.0, status))?;
        let id: Result<uuid::Uuid, Refused> = local("SharedProject", &id, "input/project");
        match id {
            Ok(id) => project_answer(goal::set_project(app(ctx)?, &ask, id, status).await),
            Err(refused) => project_answer(Err(refused.into())),
        }
    }
}

fn goal_answer(done: Result<Goal, crate::flows::Error>) -> async_graphql::Result<SharedGoalPayload> {
    let (goal, errors) = payload(done)?;
    let goal = goal.map(|goal| SharedGoal::wrap(goal, &Measured::default()));
    Ok(SharedGoalPayload { goal, errors })
}

fn project_answer(done: Result<Project, crate::flows::Error>) -> async_graphql::Result<SharedProjectPayload> {
    let (project, errors) = payload(done)?;
    Ok(SharedProjectPayload { project: project.map(SharedProject::wrap), errors })
}
