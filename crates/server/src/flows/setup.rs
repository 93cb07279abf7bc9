//! Setting up a workspace: the first start, and the nouns that leads move between.

use handfast_domain::charter::{Charter, CharterBody, CharterStatus, Known};
use handfast_domain::directory::{Pool, Queue, Team, User};
use handfast_domain::stage::Side;
use handfast_domain::time::{Clock, Ids};
use handfast_store::{Store, charter, directory};

use super::Error;
use crate::config::WorkspaceConfig;

/// Key of the user that the first start makes; its token is printed once.
pub const ADMIN: &str = "admin";

/// Makes what a workspace cannot live without: charter 0, a team of each side, their queues, an empty pool, an admin.
pub async fn ensure_workspace(
    store: &Store,
    clock: &dyn Clock,
    ids: &dyn Ids,
    new: &WorkspaceConfig,
) -> Result<(), Error> {
    if !charter::all(store.read()).await?.is_empty() {
        return Ok(());
    }
    let now = clock.now();
    let body = CharterBody::unsigned(&new.currency, &new.time_zone);
    // What the configuration names must be something that a charter may say.
    let named = ["currency", "timeZone"];
    let wrong = body
        .problems(&Known::default())
        .into_iter()
        .find(|problem| problem.path.iter().any(|part| named.contains(&part.as_str())));
    if let Some(problem) = wrong {
        return Err(Error::fault(format!("the configuration's section workspace: {}", problem.message)));
    }
    let charter = Charter {
        number: 0,
        digest: body.digest(),
        status: CharterStatus::Active,
        body,
        signatures: vec![],
        proposed_by: None,
        proposed_at: now,
        activated_at: Some(now),
        reviewed_at: None,
        rejection: None,
    };
    let team = |key: &str, name: &str, side, queue: Option<&str>| Team {
        id: ids.next(),
        key: key.into(),
        name: name.into(),
        side,
        calendar: None,
        fallback_queue: queue.map(str::to_owned),
    };
    let queue = |key: &str, name: &str, team: &str| Queue {
        id: ids.next(),
        key: key.into(),
        name: name.into(),
        team: team.into(),
    };
    let teams = [
        team("marketing", "Marketing", Side::Marketing, Some("marketing")),
        team("sales", "Sales", Side::Sales, Some("fallback")),
        team("ops", "Operations", Side::Ops, None),
    ];
    let queues =
        [queue("fallback", "Nobody was free", "sales"), queue("marketing", "Back to marketing", "marketing")];
    let pool = Pool { id: ids.next(), key: "sales".into(), queue: "fallback".into(), members: vec![] };
    let admin = User {
        id: ids.next(),
        key: ADMIN.into(),
        name: "Administrator".into(),
        side: Side::Ops,
        team: "ops".into(),
        service: true,
        calendar: None,
        capacity: 0,
        territories: vec![],
        absences: vec![],
    };
    store
        .write(move |tx| {
            Box::pin(async move {
                // Another node may have started at the same moment.
                if !charter::all(tx).await?.is_empty() {
                    return Ok(());
                }
                charter::put(tx, &charter).await?;
                for team in &teams {
                    directory::put(tx, team).await?;
                }
                for queue in &queues {
                    directory::put(tx, queue).await?;
                }
                directory::put(tx, &pool).await?;
                directory::put(tx, &admin).await
            })
        })
        .await?;
    Ok(())
}
