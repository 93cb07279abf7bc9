//! The people and places that leads move between.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::calendar::{Absence, Calendar};
use handfast_domain::criterion::FieldTest;
use handfast_domain::directory as domain;
use handfast_domain::field::Kind;
use handfast_domain::stage::Side;
use handfast_store::directory::TraitDefinition as DefinedTrait;

use super::problem::{UserError, payload};
use super::scalar::{Long, Uuid, global};
use super::{app, ask, read_viewer, viewer};
use crate::flows::{directory as flow, signal};

/// Somebody who acts on the funnel, or a service that does.
#[derive(Clone, Debug, SimpleObject)]
pub struct User {
    pub id: ID,
    uuid: Uuid,
    /// Unique in the workspace.
    key: String,
    name: String,
    side: Side,
    /// Key of the team.
    team: String,
    /// Services cannot sign a charter.
    service: bool,
    /// Most open leads at a time.
    capacity: i32,
    /// Keys of the territories that the user works.
    territories: Vec<String>,
    /// Key of the user's own calendar; the team's holds without one.
    calendar: Option<String>,
    absences: Vec<Absence>,
}

impl User {
    pub fn wrap(user: &domain::User) -> User {
        User {
            id: global("User", user.id),
            uuid: Uuid(user.id),
            key: user.key.clone(),
            name: user.name.clone(),
            side: user.side,
            team: user.team.clone(),
            service: user.service,
            capacity: super::small(user.capacity),
            territories: user.territories.clone(),
            calendar: user.calendar.clone(),
            absences: user.absences.clone(),
        }
    }
}

/// Leads that a team shares until somebody takes them.
#[derive(Clone, Debug, SimpleObject)]
pub struct Queue {
    pub id: ID,
    key: String,
    name: String,
    /// Key of the team that works it.
    team: String,
}

impl Queue {
    pub fn wrap(queue: &domain::Queue) -> Queue {
        Queue {
            id: global("Queue", queue.id),
            key: queue.key.clone(),
            name: queue.name.clone(),
            team: queue.team.clone(),
        }
    }
}

/// People of one side who work together.
#[derive(Clone, Debug, SimpleObject)]
pub struct Team {
    pub id: ID,
    key: String,
    name: String,
    side: Side,
    /// Key of the calendar of its working hours; the wall clock counts without one.
    calendar: Option<String>,
    /// Key of the queue that takes its leads when nobody is available.
    fallback_queue: Option<String>,
}

impl Team {
    pub fn wrap(team: &domain::Team) -> Team {
        let domain::Team { id, key, name, side, calendar, fallback_queue } = team.clone();
        Team { id: global("Team", id), key, name, side, calendar, fallback_queue }
    }
}

/// Working hours under a key.
#[derive(Clone, Debug, SimpleObject)]
pub struct NamedCalendar {
    pub id: ID,
    key: String,
    calendar: Calendar,
}

impl NamedCalendar {
    fn wrap(named: &domain::NamedCalendar) -> NamedCalendar {
        let domain::NamedCalendar { id, key, calendar } = named.clone();
        NamedCalendar { id: global("Calendar", id), key, calendar }
    }
}

/// The owners among whom a router distributes.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct Pool {
    pub id: ID,
    key: String,
    /// Key of the queue that takes what no member can.
    queue: String,
    #[graphql(skip)]
    pool: domain::Pool,
}

/// A member of a pool.
#[derive(Clone, Debug, SimpleObject)]
pub struct PoolMember {
    /// Null for somebody who is no longer known.
    user: Option<User>,
    /// Share of the assignments relative to the other members.
    weight: i32,
}

impl Pool {
    fn wrap(pool: &domain::Pool) -> Pool {
        Pool {
            id: global("Pool", pool.id),
            key: pool.key.clone(),
            queue: pool.queue.clone(),
            pool: pool.clone(),
        }
    }
}

#[ComplexObject]
impl Pool {
    async fn members(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<PoolMember>> {
        let workspace = app(ctx)?.workspace();
        let wrap = |member: &domain::PoolMember| PoolMember {
            user: workspace.directory.user(member.user).map(User::wrap),
            weight: super::small(member.weight),
        };
        Ok(self.pool.members.iter().map(wrap).collect())
    }
}

/// A part of the market, by a test on the lead's fields.
#[derive(Clone, Debug, SimpleObject)]
pub struct Territory {
    pub id: ID,
    key: String,
    name: String,
    /// Holds for the leads that lie in it.
    test: FieldTest,
}

impl Territory {
    fn wrap(territory: &domain::Territory) -> Territory {
        let domain::Territory { id, key, name, test } = territory.clone();
        Territory { id: global("Territory", id), key, name, test }
    }
}

/// A custom field of leads. Rules read it as `traits.<key>`.
#[derive(Clone, Debug, SimpleObject)]
pub struct TraitDefinition {
    pub id: ID,
    key: String,
    kind: Kind,
    unit: Option<String>,
    meaning: String,
    /// Personal traits are shown, and no rule can read them.
    personal: bool,
}

impl TraitDefinition {
    fn wrap(definition: &DefinedTrait) -> TraitDefinition {
        let DefinedTrait { id, key, kind, unit, meaning, personal } = definition.clone();
        TraitDefinition { id: global("TraitDefinition", id), key, kind, unit, meaning, personal }
    }
}

#[derive(Default)]
pub struct DirectoryQuery;

#[Object]
impl DirectoryQuery {
    /// Whom your token acts for.
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<User> {
        Ok(User::wrap(&viewer(ctx)?.user))
    }

    /// People and services, by key; of one team or all.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a team.")] team: Option<String>,
    ) -> async_graphql::Result<Vec<User>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        let wanted = |user: &&domain::User| team.as_ref().is_none_or(|team| user.team == *team);
        Ok(workspace.directory.users.iter().filter(wanted).map(User::wrap).collect())
    }

    /// Teams, by key.
    async fn teams(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Team>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().directory.teams.iter().map(Team::wrap).collect())
    }

    /// Calendars, by key.
    async fn calendars(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<NamedCalendar>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().directory.calendars.iter().map(NamedCalendar::wrap).collect())
    }

    /// Queues, by key.
    async fn queues(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Queue>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().directory.queues.iter().map(Queue::wrap).collect())
    }

    /// Pools, by key.
    async fn pools(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Pool>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().directory.pools.iter().map(Pool::wrap).collect())
    }

    /// Territories, by key.
    async fn territories(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Territory>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().directory.territories.iter().map(Territory::wrap).collect())
    }

    /// The custom fields of leads.
    async fn trait_definitions(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<TraitDefinition>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().traits.iter().map(TraitDefinition::wrap).collect())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertTeamInput {
    key: String,
    name: String,
    side: Side,
    /// Key of a calendar.
    calendar: Option<String>,
    /// Key of a queue.
    fallback_queue: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct TeamPayload {
    team: Option<Team>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertUserInput {
    /// The name that tokens, pools and imports use.
    key: String,
    name: String,
    /// Key of a team.
    team: String,
    /// The team's without.
    side: Option<Side>,
    /// A program; it cannot sign a charter.
    service: Option<bool>,
    /// Key of a calendar; the team's without.
    calendar: Option<String>,
    /// Most open leads at a time, up to 10000; 50 without.
    capacity: Option<i32>,
    /// Keys of territories.
    territories: Option<Vec<String>>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct UserPayload {
    user: Option<User>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct AddAbsenceInput {
    /// Key of the user.
    user: String,
    absence: Absence,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertCalendarInput {
    key: String,
    calendar: Calendar,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct CalendarPayload {
    calendar: Option<NamedCalendar>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertQueueInput {
    key: String,
    name: String,
    /// Key of the team that works it.
    team: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct QueuePayload {
    queue: Option<Queue>,
    errors: Vec<UserError>,
}

/// A user among whom a router distributes.
#[derive(Clone, Debug, InputObject)]
pub struct PoolMemberInput {
    /// Key of a user.
    user: String,
    /// 1 to 100, relative to the other members; 1 without.
    #[graphql(default = 1)]
    weight: i32,
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertPoolInput {
    key: String,
    /// Key of the queue that takes what no member can.
    queue: String,
    members: Vec<PoolMemberInput>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct PoolPayload {
    pool: Option<Pool>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertTerritoryInput {
    key: String,
    name: String,
    test: FieldTest,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct TerritoryPayload {
    territory: Option<Territory>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct DefineTraitInput {
    key: String,
    kind: Kind,
    /// For example `minor units`, `seats`.
    unit: Option<String>,
    meaning: String,
    /// Personal traits are shown, and no rule can read them.
    personal: Option<bool>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct TraitPayload {
    definition: Option<TraitDefinition>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct SignalPayload {
    /// Leads whose next cycle it opened.
    leads: Long,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct DirectoryMutation;

#[Object]
impl DirectoryMutation {
    /// Makes a team, or replaces the one with this key.
    async fn upsert_team(
        &self,
        ctx: &Context<'_>,
        input: UpsertTeamInput,
    ) -> async_graphql::Result<TeamPayload> {
        let UpsertTeamInput { key, name, side, calendar, fallback_queue, idempotency_key, dry_run } = input;
        let ask = ask(
            ctx,
            "upsertTeam",
            idempotency_key,
            dry_run,
            &(&key, &name, side, &calendar, &fallback_queue),
        )?;
        let new = flow::NewTeam { key, name, side, calendar, fallback_queue };
        let (team, errors) = payload(flow::upsert_team(app(ctx)?, &ask, new).await)?;
        Ok(TeamPayload { team: team.as_ref().map(Team::wrap), errors })
    }

    /// Makes a user, or replaces the one with this key; absences stay.
    async fn upsert_user(
        &self,
        ctx: &Context<'_>,
        input: UpsertUserInput,
    ) -> async_graphql::Result<UserPayload> {
        let said = format!("{:?}", UpsertUserInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let UpsertUserInput {
            key,
            name,
            team,
            side,
            service,
            calendar,
            capacity,
            territories,
            idempotency_key,
            dry_run,
        } = input;
        let ask = ask(ctx, "upsertUser", idempotency_key, dry_run, &said)?;
        let capacity = i64::from(capacity.unwrap_or(50));
        let (service, territories) = (service.unwrap_or(false), territories.unwrap_or_default());
        let new = flow::NewUser { key, name, team, side, service, calendar, capacity, territories };
        let (user, errors) = payload(flow::upsert_user(app(ctx)?, &ask, new).await)?;
        Ok(UserPayload { user: user.as_ref().map(User::wrap), errors })
    }

    /// Says when a user is away: no lead is routed to it then, and its clocks stand still.
    async fn add_absence(
        &self,
        ctx: &Context<'_>,
        input: AddAbsenceInput,
    ) -> async_graphql::Result<UserPayload> {
        let AddAbsenceInput { user, absence, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "addAbsence", idempotency_key, dry_run, &(&user, &absence))?;
        let (user, errors) = payload(flow::add_absence(app(ctx)?, &ask, user, absence).await)?;
        Ok(UserPayload { user: user.as_ref().map(User::wrap), errors })
    }

    /// Makes a calendar, or replaces the one with this key.
    async fn upsert_calendar(
        &self,
        ctx: &Context<'_>,
        input: UpsertCalendarInput,
    ) -> async_graphql::Result<CalendarPayload> {
        let UpsertCalendarInput { key, calendar, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "upsertCalendar", idempotency_key, dry_run, &(&key, &calendar))?;
        let (calendar, errors) = payload(flow::upsert_calendar(app(ctx)?, &ask, key, calendar).await)?;
        Ok(CalendarPayload { calendar: calendar.as_ref().map(NamedCalendar::wrap), errors })
    }

    /// Makes a queue, or replaces the one with this key.
    async fn upsert_queue(
        &self,
        ctx: &Context<'_>,
        input: UpsertQueueInput,
    ) -> async_graphql::Result<QueuePayload> {
        let UpsertQueueInput { key, name, team, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "upsertQueue", idempotency_key, dry_run, &(&key, &name, &team))?;
        let (queue, errors) = payload(flow::upsert_queue(app(ctx)?, &ask, key, name, team).await)?;
        Ok(QueuePayload { queue: queue.as_ref().map(Queue::wrap), errors })
    }

    /// Makes a pool, or replaces the one with this key; the counts of its members stay.
    async fn upsert_pool(
        &self,
        ctx: &Context<'_>,
        input: UpsertPoolInput,
    ) -> async_graphql::Result<PoolPayload> {
        let UpsertPoolInput { key, queue, members, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "upsertPool", idempotency_key, dry_run, &(&key, &queue, &members))?;
        let members = members.into_iter().map(|member| (member.user, i64::from(member.weight))).collect();
        let (pool, errors) = payload(flow::upsert_pool(app(ctx)?, &ask, key, queue, members).await)?;
        Ok(PoolPayload { pool: pool.as_ref().map(Pool::wrap), errors })
    }

    /// Makes a territory, or replaces the one with this key.
    async fn upsert_territory(
        &self,
        ctx: &Context<'_>,
        input: UpsertTerritoryInput,
    ) -> async_graphql::Result<TerritoryPayload> {
        let UpsertTerritoryInput { key, name, test, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "upsertTerritory", idempotency_key, dry_run, &(&key, &name, &test))?;
        let (territory, errors) = payload(flow::upsert_territory(app(ctx)?, &ask, key, name, test).await)?;
        Ok(TerritoryPayload { territory: territory.as_ref().map(Territory::wrap), errors })
    }

    /// Defines a custom field of leads. Its kind and whether it is personal stay for good.
    async fn define_trait(
        &self,
        ctx: &Context<'_>,
        input: DefineTraitInput,
    ) -> async_graphql::Result<TraitPayload> {
        let DefineTraitInput { key, kind, unit, meaning, personal, idempotency_key, dry_run } = input;
        let personal = personal.unwrap_or(false);
        let ask =
            ask(ctx, "defineTrait", idempotency_key, dry_run, &(&key, kind, &unit, &meaning, personal))?;
        let new = flow::NewTrait { key, kind, unit, meaning, personal };
        let (definition, errors) = payload(flow::define_trait(app(ctx)?, &ask, new).await)?;
        Ok(TraitPayload { definition: definition.as_ref().map(TraitDefinition::wrap), errors })
    }

    /// Something happened that recycled leads wait for, for example `feature-sso-released`: they come back. The charter
    /// lists the signals.
    async fn announce_signal(
        &self,
        ctx: &Context<'_>,
        signal: String,
    ) -> async_graphql::Result<SignalPayload> {
        let (leads, errors) = payload(signal::announce(app(ctx)?, viewer(ctx)?, &signal).await)?;
        Ok(SignalPayload { leads: Long(i64::from(leads.unwrap_or(0))), errors })
    }
}
