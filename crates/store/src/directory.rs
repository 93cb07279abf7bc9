//! Set-up nouns: few, read whole, stored as a key and a document each.

use std::collections::BTreeMap;

use handfast_domain::audience::Audience;
use handfast_domain::content::ContentAsset;
use handfast_domain::directory::{Directory, NamedCalendar, Pool, Queue, Team, Territory, User};
use handfast_domain::event::SetupNoun;
use handfast_domain::field::Kind;
use handfast_domain::form::FormDefinition;
use handfast_domain::goal::{SharedGoal, SharedProject};
use handfast_domain::nurture::NurtureTrack;
use handfast_domain::offer::Offer;
use handfast_domain::review::AlignmentReview;
use handfast_domain::snapshot::OwnerState;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::change::{json, pool_revision};
use crate::decode::{self, Place};
use crate::error::Result;
use crate::rows::{fetch_all, upsert_rows};
use crate::tx::Tx;

/// A custom field that the workspace defined for its leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraitDefinition {
    pub id: Uuid,
    pub key: String,
    pub kind: Kind,
    pub unit: Option<String>,
    pub meaning: String,
    /// Personal traits never enter a snapshot: no rule can read them.
    pub personal: bool,
}

/// A noun that is kept as a document under a key.
pub trait Noun: Serialize + DeserializeOwned + Send {
    const TABLE: &'static str;
    const NOUN: SetupNoun;
    fn id(&self) -> Uuid;
    fn key(&self) -> &str;
}

macro_rules! noun {
    ($($type:ty => $table:literal, $noun:ident);+ $(;)?) => {
        $(impl Noun for $type {
            const TABLE: &'static str = $table;
            const NOUN: SetupNoun = SetupNoun::$noun;
            fn id(&self) -> Uuid {
                self.id
            }
            fn key(&self) -> &str {
                &self.key
            }
        })+
    };
}

noun! {
    Team => "team", Team;
    User => "app_user", User;
    NamedCalendar => "calendar", Calendar;
    Queue => "queue", Queue;
    Pool => "pool", Pool;
    Territory => "territory", Territory;
    NurtureTrack => "nurture_track", NurtureTrack;
    TraitDefinition => "trait_definition", Trait;
    ContentAsset => "content", Content;
    FormDefinition => "form", Form;
    Audience => "audience", Audience;
    Offer => "offer", Offer;
    SharedGoal => "shared_goal", SharedGoal;
    SharedProject => "shared_project", SharedProject;
    AlignmentReview => "alignment_review", Review;
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    body: String,
}

/// Creates the noun, or replaces the one with the same id. A key that another one has is a conflict.
pub async fn put<T: Noun>(tx: &Tx, noun: &T) -> Result<()> {
    let row = vec![noun.id().into(), noun.key().into(), json(noun)?.into()];
    upsert_rows(tx, T::TABLE, &["id", "key", "body"], &["id"], vec![row]).await?;
    Ok(())
}

pub async fn all<T: Noun>(db: &impl ConnectionTrait) -> Result<Vec<T>> {
    let sql = format!("SELECT id, body FROM {} ORDER BY key", T::TABLE);
    let rows: Vec<Row> = fetch_all(db, &sql, vec![]).await?;
    rows.iter().map(|row| decode::json(Place(T::TABLE, "body", &row.id), &row.body)).collect()
}

pub async fn load(db: &impl ConnectionTrait) -> Result<Directory> {
    Ok(Directory {
        users: all::<User>(db).await?,
        teams: all::<Team>(db).await?,
        calendars: all::<NamedCalendar>(db).await?,
        queues: all::<Queue>(db).await?,
        pools: all::<Pool>(db).await?,
        territories: all::<Territory>(db).await?,
        tracks: all::<NurtureTrack>(db).await?,
    })
}

/// The counts that a routing decision is made from: the pool's revision and each member's share so far.
pub async fn pool_state(
    db: &impl ConnectionTrait,
    directory: &Directory,
    pool: &Pool,
    now: Instant,
) -> Result<(u64, Vec<OwnerState>)> {
    #[derive(FromQueryResult)]
    struct Count {
        owner: Uuid,
        assigned: i64,
        last_assigned: i64,
    }
    #[derive(FromQueryResult)]
    struct Open {
        owner: Uuid,
        leads: i64,
    }
    let revision = pool_revision(db, &pool.key).await?;
    let sql = "SELECT owner, assigned, last_assigned FROM pool_count WHERE pool = $1";
    let counts: Vec<Count> = fetch_all(db, sql, vec![pool.key.as_str().into()]).await?;
    let counts: BTreeMap<Uuid, Count> = counts.into_iter().map(|count| (count.owner, count)).collect();
    let sql = "SELECT owner, count(*) AS leads FROM lead WHERE outcome = 'OPEN' AND owner IS NOT NULL GROUP BY owner";
    let open: Vec<Open> = fetch_all(db, sql, vec![]).await?;
    let open: BTreeMap<Uuid, i64> = open.into_iter().map(|row| (row.owner, row.leads)).collect();
    let mut owners = vec![];
    for member in &pool.members {
        let Some(user) = directory.user(member.user) else { continue };
        let open_leads = u32::try_from(open.get(&user.id).copied().unwrap_or(0)).unwrap_or(u32::MAX);
        let count = counts.get(&user.id);
        owners.push(OwnerState {
            id: user.id,
            team: user.team.clone(),
            territories: user.territories.clone(),
            available: directory.is_present(user, now) && open_leads < user.capacity,
            open_leads,
            capacity: user.capacity,
            weight: member.weight,
            assigned: count.map_or(0, |count| u64::try_from(count.assigned).unwrap_or(0)),
            last_assigned: count.map(|count| count.last_assigned),
        });
    }
    owners.sort_by_key(|owner| owner.id);
    Ok((revision, owners))
}
