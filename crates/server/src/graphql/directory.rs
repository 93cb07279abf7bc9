//! The people and places that leads move between.

use async_graphql::{ID, SimpleObject};
use handfast_domain::directory as domain;
use handfast_domain::stage::Side;

use super::scalar::{Uuid, global};

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
