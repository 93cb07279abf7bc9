//! Erasure: everything that says who a lead was goes at once, from the rows, from files of imports, and from the write-ahead log.

use std::time::Duration;

use handfast_domain::change::Draft;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Cause;
use handfast_store::{StoreError, blob, merge, person, personal, suppression};

use super::commit::{Committed, Erased, Once, Plan};
use super::lead::{self, Target};
use super::{Error, scope};
use crate::app::App;

/// How long a caller waits until the write-ahead log is empty.
const SCRUB: Duration = Duration::from_secs(30);

/// What an erasure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Files of imports that told of the person, which are deleted.
    pub files: u32,
    /// Whether nothing of it is left in the write-ahead log either; a server that goes on empties it within minutes.
    pub scrubbed: bool,
}

/// Erases a lead and those that were merged into it. `leave_alone` keeps the addresses, hashed, from becoming a lead again; whoever
/// asked for that before stays in peace anyway.
pub async fn erase(app: &App, target: &Target<'_>, leave_alone: bool) -> Result<Done, Error> {
    target.viewer.require(scope::LEADS_ERASE)?;
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(Done { files: 0, scrubbed: true });
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let (workspace, db) = (app.workspace(), app.store.read());
        let journey = lead::load(app, target.lead).await?;
        if let Some(into) = journey.lead.merged_into {
            let message =
                format!("this lead was merged into {into}: erase that one, and this one goes with it");
            return Err(Refused::new(RefusalCode::IllegalTransition, message).at("input/lead").into());
        }
        let mut leads = vec![target.lead];
        leads.extend(merge::duplicates(db, target.lead).await?);
        let files = personal::files_of(db, &leads).await?;
        if files.iter().any(|(_, open)| *open) {
            let message =
                "an import that tells of this person is at work; erase when it is done, or cancel it";
            return Err(Refused::new(RefusalCode::IllegalTransition, message).at("input/lead").into());
        }
        let suppressed = journey.lead.suppressed;
        let scene = lead::scene(app, &workspace, target.viewer.actor(), Cause::Erasure, None);
        let mut draft = Draft::new(journey, scene);
        draft.expect_version(target.expected_version)?;
        draft.erase()?;
        let mut changes = vec![draft.finish()];
        for duplicate in &leads[1..] {
            let mut draft = Draft::new(lead::load(app, *duplicate).await?, scene);
            draft.erase()?;
            changes.push(draft.finish());
        }
        if target.dry_run {
            return Ok(Done { files: u32::try_from(files.len()).unwrap_or(u32::MAX), scrubbed: false });
        }
        let mut hashes = vec![];
        if leave_alone || suppressed {
            for address in person::addresses(db, &leads).await? {
                hashes.push(suppression::hash(app.store.secret(), &address));
            }
        }
        let reason = if suppressed { "DO_NOT_CONTACT" } else { "ERASED" }.to_owned();
        let erased = Erased { leads, suppressed: hashes, reason, at: scene.now };
        // Tables of reports may be large; what is left of them goes with the rest.
        super::report::shrink(app, None).await?;
        let plan = Plan { changes, erased: Some(erased), ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), target.lead.to_string()).await? {
            Committed::Done => {
                let count = files.len();
                for (digest, _) in files {
                    forget_file(app, digest).await?;
                }
                let scrubbed = app.store.scrub(SCRUB).await;
                return Ok(Done { files: u32::try_from(count).unwrap_or(u32::MAX), scrubbed });
            }
            Committed::Before(_) => return Ok(Done { files: 0, scrubbed: true }),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}

/// The row first: a file without a row is found by nobody, a row without its file would be missed.
async fn forget_file(app: &App, digest: handfast_domain::digest::Digest) -> Result<(), Error> {
    let forgotten = app.store.try_write_beside::<bool, StoreError, _>(move |tx| {
        Box::pin(async move { blob::forget(tx, digest, "import").await })
    });
    if forgotten.await? {
        app.store.blobs().remove(digest).await?;
    }
    Ok(())
}
