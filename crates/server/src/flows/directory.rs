//! Set-up nouns by key: what exists is replaced, what does not is made. Each is decided inside its own transaction.

use handfast_domain::calendar::{Absence, Calendar};
use handfast_domain::criterion::FieldTest;
use handfast_domain::directory::{Directory, NamedCalendar, Pool, PoolMember, Queue, Team, Territory, User};
use handfast_domain::field::{CATALOGUE, Kind, TraitKinds};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Side;
use handfast_store::Tx;
use handfast_store::directory::{self as rows, Noun, TraitDefinition};
use uuid::Uuid;

use super::check::Checks;
use super::commit::Ask;
use super::document::{self, Beside};
use super::{Error, scope};
use crate::app::App;

const NAME: usize = 128;
const MEMBERS: usize = 1_000;
const ABSENCES: usize = 1_000;
const TRAITS: usize = 500;

/// What the nouns refer to, as it stands in the transaction.
pub(super) struct Standing {
    pub directory: Directory,
    pub traits: Vec<TraitDefinition>,
}

impl Standing {
    pub async fn load(tx: &Tx) -> Result<Standing, Error> {
        Ok(Standing { directory: rows::load(tx).await?, traits: rows::all::<TraitDefinition>(tx).await? })
    }

    pub fn trait_kinds(&self) -> TraitKinds {
        let readable = self.traits.iter().filter(|definition| !definition.personal);
        readable.map(|definition| (definition.key.clone(), definition.kind)).collect()
    }
}

pub struct NewTeam {
    pub key: String,
    pub name: String,
    pub side: Side,
    pub calendar: Option<String>,
    pub fallback_queue: Option<String>,
}

pub async fn upsert_team(app: &App, ask: &Ask<'_>, new: NewTeam) -> Result<Team, Error> {
    put(app, ask, move |standing, id| {
        let NewTeam { key, name, side, calendar, fallback_queue } = new;
        let directory = &standing.directory;
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.text("name", &name, NAME);
        if let Some(calendar) = &calendar {
            checks.exists("calendar", "calendar", calendar, keys(&directory.calendars));
        }
        if let Some(queue) = &fallback_queue {
            checks.exists("fallbackQueue", "queue", queue, keys(&directory.queues));
        }
        let mut members = directory.users.iter().filter(|user| user.team == key);
        if let Some(other) = members.find(|user| !agree(user.side, side)) {
            checks.say("side", format!("{} of this team is {}; move that user first", other.key, other.side));
        }
        checks.done()?;
        Ok(Team {
            id: known(&directory.teams, &key).unwrap_or(id),
            key,
            name,
            side,
            calendar,
            fallback_queue,
        })
    })
    .await
}

pub struct NewUser {
    pub key: String,
    pub name: String,
    pub team: String,
    /// The team's without.
    pub side: Option<Side>,
    pub service: bool,
    pub calendar: Option<String>,
    pub capacity: i64,
    pub territories: Vec<String>,
}

/// Absences have a verb of their own and stay.
pub async fn upsert_user(app: &App, ask: &Ask<'_>, new: NewUser) -> Result<User, Error> {
    put(app, ask, move |standing, id| {
        let NewUser { key, name, team, side, service, calendar, capacity, territories } = new;
        let directory = &standing.directory;
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.text("name", &name, NAME);
        checks.exists("team", "team", &team, keys(&directory.teams));
        let of_team = directory.team(&team).map_or(Side::Ops, |team| team.side);
        let side = side.unwrap_or(of_team);
        checks.need(agree(side, of_team), "side", || {
            format!("a user of {side} cannot be in the team {team}, which is {of_team}")
        });
        if let Some(calendar) = &calendar {
            checks.exists("calendar", "calendar", calendar, keys(&directory.calendars));
        }
        checks.need((0..=10_000).contains(&capacity), "capacity", || {
            format!("0 to 10000 open leads, found {capacity}")
        });
        let capacity = u32::try_from(capacity).unwrap_or(0);
        for (place, territory) in territories.iter().enumerate() {
            let path = format!("territories/{place}");
            checks.exists(&path, "territory", territory, keys(&directory.territories));
            checks.need(!territories[..place].contains(territory), &path, || {
                format!("{territory} is listed twice")
            });
        }
        checks.done()?;
        let before = directory.users.iter().find(|user| user.key == key);
        let absences = before.map(|user| user.absences.clone()).unwrap_or_default();
        let id = before.map_or(id, |user| user.id);
        Ok(User { id, key, name, side, team, service, calendar, capacity, territories, absences })
    })
    .await
}

/// An absence that is known already stays once.
pub async fn add_absence(app: &App, ask: &Ask<'_>, user: String, absence: Absence) -> Result<User, Error> {
    put(app, ask, move |standing, _| {
        let users = &standing.directory.users;
        let mut checks = Checks::default();
        checks.exists("user", "user", &user, keys(users));
        checks.add("", absence.problem());
        checks.done()?;
        let found = users.iter().find(|found| found.key == user).cloned();
        let mut user = found.ok_or_else(|| vec![Refused::not_found("user").at("input/user")])?;
        if !user.absences.contains(&absence) {
            user.absences.push(absence);
            user.absences.sort_by_key(|absence| absence.from);
        }
        if user.absences.len() > ABSENCES {
            let message = format!("{} has {ABSENCES} absences; join those that touch into one", user.key);
            return Err(vec![Refused::invalid("input/user", message)]);
        }
        Ok(user)
    })
    .await
}

pub async fn upsert_calendar(
    app: &App,
    ask: &Ask<'_>,
    key: String,
    calendar: Calendar,
) -> Result<NamedCalendar, Error> {
    put(app, ask, move |standing, id| {
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.add("calendar", calendar.problems());
        checks.done()?;
        Ok(NamedCalendar { id: known(&standing.directory.calendars, &key).unwrap_or(id), key, calendar })
    })
    .await
}

pub async fn upsert_queue(
    app: &App,
    ask: &Ask<'_>,
    key: String,
    name: String,
    team: String,
) -> Result<Queue, Error> {
    put(app, ask, move |standing, id| {
        let directory = &standing.directory;
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.text("name", &name, NAME);
        checks.exists("team", "team", &team, keys(&directory.teams));
        checks.done()?;
        Ok(Queue { id: known(&directory.queues, &key).unwrap_or(id), key, name, team })
    })
    .await
}

/// `members` are keys of users with their weights.
pub async fn upsert_pool(
    app: &App,
    ask: &Ask<'_>,
    key: String,
    queue: String,
    members: Vec<(String, i64)>,
) -> Result<Pool, Error> {
    put(app, ask, move |standing, id| {
        let directory = &standing.directory;
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.exists("queue", "queue", &queue, keys(&directory.queues));
        checks.need(members.len() <= MEMBERS, "members", || {
            format!("at most {MEMBERS} members, found {}", members.len())
        });
        let mut listed = vec![];
        for (place, (user, weight)) in members.iter().take(MEMBERS).enumerate() {
            let path = format!("members/{place}");
            checks.exists(&format!("{path}/user"), "user", user, keys(&directory.users));
            checks.need(!members[..place].iter().any(|(other, _)| other == user), &path, || {
                format!("{user} is listed twice; give one weight")
            });
            let share = u32::try_from(*weight).ok().filter(|share| (1..=100).contains(share));
            checks.need(share.is_some(), &format!("{path}/weight"), || {
                format!("a weight is 1 to 100, found {weight}; leave out who gets nothing")
            });
            let user = directory.users.iter().find(|found| found.key == *user);
            listed.extend(user.zip(share).map(|(user, weight)| PoolMember { user: user.id, weight }));
        }
        checks.done()?;
        Ok(Pool { id: known(&directory.pools, &key).unwrap_or(id), key, queue, members: listed })
    })
    .await
}

pub async fn upsert_territory(
    app: &App,
    ask: &Ask<'_>,
    key: String,
    name: String,
    test: FieldTest,
) -> Result<Territory, Error> {
    put(app, ask, move |standing, id| {
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.text("name", &name, NAME);
        if let Some(problem) = test.problem(&standing.trait_kinds()) {
            checks.say("test", problem);
        }
        checks.need(!is_routing(&test.field), "test/field", || {
            format!("{} is known only after the territory is; test another field", test.field)
        });
        checks.done()?;
        Ok(Territory { id: known(&standing.directory.territories, &key).unwrap_or(id), key, name, test })
    })
    .await
}

pub struct NewTrait {
    pub key: String,
    pub kind: Kind,
    pub unit: Option<String>,
    pub meaning: String,
    pub personal: bool,
}

/// Kind and privacy of a trait stay for good: values are stored by them, and rules may read it or not.
pub async fn define_trait(app: &App, ask: &Ask<'_>, new: NewTrait) -> Result<TraitDefinition, Error> {
    put(app, ask, move |standing, id| {
        let NewTrait { key, kind, unit, meaning, personal } = new;
        let mut checks = Checks::default();
        checks.key("key", &key);
        checks.text("meaning", &meaning, 256);
        if let Some(unit) = &unit {
            checks.text("unit", unit, 32);
        }
        let before = standing.traits.iter().find(|definition| definition.key == key);
        checks.need(before.is_some() || standing.traits.len() < TRAITS, "key", || {
            format!("at most {TRAITS} traits can be defined")
        });
        checks.done()?;
        if let Some(before) = before.filter(|before| (before.kind, before.personal) != (kind, personal)) {
            let privacy = if before.personal { "personal" } else { "not personal" };
            let message = format!(
                "the trait {key} exists already: it is {} and {privacy}, and stays so; take another key",
                before.kind
            );
            return Err(vec![Refused::new(RefusalCode::AlreadyExists, message).at("input/key")]);
        }
        Ok(TraitDefinition { id: before.map_or(id, |one| one.id), key, kind, unit, meaning, personal })
    })
    .await
}

/// Decides and writes one noun, once, and takes it up.
async fn put<T, F>(app: &App, ask: &Ask<'_>, make: F) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    F: FnOnce(&Standing, Uuid) -> Result<T, Vec<Refused>> + Send + 'static,
{
    ask.viewer.require(scope::ADMIN)?;
    put_noun(app, ask, make).await
}

/// The same for a noun that others than the administrator keep.
pub(super) async fn put_noun<T, F>(app: &App, ask: &Ask<'_>, make: F) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    F: FnOnce(&Standing, Uuid) -> Result<T, Vec<Refused>> + Send + 'static,
{
    document::write(app, ask, Beside::default(), move |tx, id| {
        Box::pin(async move { Ok(make(&Standing::load(tx).await?, id)?) })
    })
    .await
}

/// Who brings leads and who works them stay apart: the side decides which signature a user gives.
fn agree(user: Side, team: Side) -> bool {
    let party = |side| matches!(side, Side::Marketing | Side::Sales);
    !(party(user) && party(team)) || user == team
}

fn is_routing(path: &str) -> bool {
    CATALOGUE.iter().any(|field| field.path == path && field.routing)
}

fn keys<T: Noun>(nouns: &[T]) -> impl Iterator<Item = &str> + Clone {
    nouns.iter().map(Noun::key)
}

pub(super) fn known<T: Noun>(nouns: &[T], key: &str) -> Option<Uuid> {
    nouns.iter().find(|noun| noun.key() == key).map(Noun::id)
}
