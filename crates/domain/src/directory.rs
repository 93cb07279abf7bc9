//! The people and places that leads move between: users, teams, queues, pools, territories and their calendars.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::calendar::{Absence, Calendar};
use crate::clock::{CalendarMode, WorkingTime};
use crate::criterion::FieldTest;
use crate::nurture::NurtureTrack;
use crate::stage::Side;
use crate::time::Instant;

/// Somebody who acts on the funnel, or a service that does. The side decides which signature the user can give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub id: Uuid,
    /// Unique in the workspace; the name that tokens and imports use.
    pub key: String,
    pub name: String,
    pub side: Side,
    /// Key of the team.
    pub team: String,
    /// Services cannot sign.
    pub service: bool,
    /// Key of the calendar; the team's without one.
    pub calendar: Option<String>,
    /// Most open leads at a time.
    pub capacity: u32,
    /// Keys of the territories that the user works.
    pub territories: Vec<String>,
    pub absences: Vec<Absence>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Team {
    pub id: Uuid,
    pub key: String,
    pub name: String,
    pub side: Side,
    /// Key of the calendar of the team's working hours.
    pub calendar: Option<String>,
    /// Key of the queue that takes the team's leads when nobody is available.
    pub fallback_queue: Option<String>,
}

impl User {
    /// Whether the user is somebody who works by the charter: a person, and no machine.
    pub fn reads_charters(&self) -> bool {
        !self.service && self.side != Side::Integration
    }
}

/// A calendar with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedCalendar {
    pub id: Uuid,
    pub key: String,
    pub calendar: Calendar,
}

/// Leads that a team shares until somebody takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    pub id: Uuid,
    pub key: String,
    pub name: String,
    pub team: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolMember {
    pub user: Uuid,
    /// Share of the assignments relative to the other members.
    pub weight: u32,
}

/// The owners among whom a router distributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    pub id: Uuid,
    pub key: String,
    /// Key of the queue that takes what no member can.
    pub queue: String,
    pub members: Vec<PoolMember>,
}

/// A part of the market, by a test on the lead's fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Territory {
    pub id: Uuid,
    pub key: String,
    pub name: String,
    pub test: FieldTest,
}

/// All of them, small enough to be held whole.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub users: Vec<User>,
    pub teams: Vec<Team>,
    pub calendars: Vec<NamedCalendar>,
    pub queues: Vec<Queue>,
    pub pools: Vec<Pool>,
    pub territories: Vec<Territory>,
    pub tracks: Vec<NurtureTrack>,
}

impl Directory {
    pub fn user(&self, id: Uuid) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub fn team(&self, key: &str) -> Option<&Team> {
        self.teams.iter().find(|team| team.key == key)
    }

    pub fn queue(&self, key: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.key == key)
    }

    pub fn pool(&self, key: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.key == key)
    }

    /// Whether the user may take leads out of the queue: members of the queue's team may.
    pub fn works_queue(&self, user: Uuid, queue: &str) -> bool {
        self.user(user).zip(self.queue(queue)).is_some_and(|(user, queue)| user.team == queue.team)
    }

    fn calendar(&self, key: Option<&String>) -> Option<&Calendar> {
        let key = key?;
        self.calendars.iter().find(|named| named.key == *key).map(|named| &named.calendar)
    }

    fn calendar_of(&self, user: &User) -> Option<&Calendar> {
        let own = self.calendar(user.calendar.as_ref());
        own.or_else(|| self.team(&user.team).and_then(|team| self.calendar(team.calendar.as_ref())))
    }

    /// The hours in which a clock runs. Without a calendar the wall clock counts: a promise is kept rather too early.
    pub fn working_time(
        &self,
        mode: CalendarMode,
        owner: Option<Uuid>,
        queue: Option<&str>,
    ) -> WorkingTime<'_> {
        let user = owner.and_then(|owner| self.user(owner));
        let team = match user {
            Some(user) => self.team(&user.team),
            None => queue.and_then(|queue| self.queue(queue)).and_then(|queue| self.team(&queue.team)),
        };
        let hours = match mode {
            CalendarMode::WallClock => None,
            CalendarMode::TeamHours => {
                team.and_then(|team| self.calendar(team.calendar.as_ref())).map(|c| (c, &[][..]))
            }
            CalendarMode::OwnerHours => match user {
                Some(user) => self.calendar_of(user).map(|calendar| (calendar, user.absences.as_slice())),
                None => team.and_then(|team| self.calendar(team.calendar.as_ref())).map(|c| (c, &[][..])),
            },
        };
        match hours {
            Some((calendar, absences)) => WorkingTime::Hours { calendar, absences },
            None => WorkingTime::Wall,
        }
    }

    /// Within working hours and not absent.
    pub fn is_present(&self, user: &User, at: Instant) -> bool {
        let absent = user.absences.iter().any(|absence| absence.from <= at && at < absence.to);
        !absent && self.calendar_of(user).is_none_or(|calendar| calendar.is_working(at))
    }
}
