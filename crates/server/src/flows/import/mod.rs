//! Imports of the past: a file becomes leads, with the rules' decisions as of then, and their endings. A run goes on after
//! a restart where it stopped: its progress is written in the transaction of the rows that it counts.

mod acts;
mod batch;
pub mod mapping;
mod rows;

use std::sync::atomic::Ordering;

use handfast_domain::calendar::TimeZone;
use handfast_domain::digest::Digest;
use handfast_domain::event::{Actor, Fact, SetupNoun, StreamKind};
use handfast_domain::field::is_key;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;
use handfast_store::campaign::{self, Campaign};
use handfast_store::change::{append_fact, append_facts};
use handfast_store::directory::{self, TraitDefinition};
use handfast_store::import::{self as store, Counts, ImportRun, Status};
use handfast_store::{StoreError, blob};
use uuid::Uuid;

use self::acts::{Acts, Reading};
use self::mapping::Mapping;
use self::rows::Rows;
use super::commit::Once;
use super::{Error, Viewer, scope, turn};
use crate::app::App;

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct Start {
    /// sha-256 of the file, which came before by `PUT /blobs?kind=import`.
    pub digest: Digest,
    /// What the uploader calls it.
    pub name: String,
    /// The mapping, as JSON.
    pub mapping: String,
    /// Checks every row and writes nothing but the results.
    pub dry_run: bool,
    /// Rows that happened at or after this instant are treated as if they came in now. Without: all are the past.
    pub live_from: Option<Instant>,
}

/// Checks mapping and file, and begins the run in the background.
pub async fn start(app: &App, viewer: &Viewer, once: Option<Once>, input: Start) -> Result<Uuid, Error> {
    viewer.require(scope::IMPORT)?;
    if let Some(answer) = Once::answered(once.as_ref(), app).await? {
        return read_id(&answer);
    }
    let Start { digest, name, mapping: text, dry_run, live_from } = input;
    let length = name.chars().count();
    if name.trim().is_empty() || length > 256 || name.chars().any(char::is_control) {
        let message = format!("a name of 1 to 256 characters on one line, found {length}");
        return Err(Refused::invalid("input/name", message).into());
    }
    let mapping = Mapping::parse(&text)?;
    if blob::find(app.store.read(), digest, "import").await?.is_none() {
        let message = format!("no uploaded file {digest}; send it with PUT /blobs?kind=import first");
        return Err(Refused::new(RefusalCode::NotFound, message).at("input/digest").into());
    }
    let (path, delimiter) = (app.store.blobs().file(digest).await?, mapping.delimiter);
    let opened = blocking(move || Rows::open(&path, delimiter)).await?;
    let rows = opened.map_err(|why| Refused::invalid("input/digest", why))?;
    mapping.check_header(rows.header())?;
    let traits = new_traits(app, &mapping)?;
    let (id, now, started_by) = (app.id(), app.now(), viewer.id());
    let run = ImportRun {
        id,
        digest,
        name,
        mapping: text,
        dry_run,
        status: Status::Running,
        next: 0,
        total: 0,
        counts: Counts::default(),
        message: None,
        live_from: live_from.unwrap_or(now),
        started_by,
        started_at: now,
        finished_at: None,
    };
    let own = app.clone();
    let begun = app.store.try_write::<_, Error, _>(move |tx| {
        Box::pin(async move {
            if let Some(answer) = Once::reserve(once.as_ref(), tx, now).await? {
                return Ok((answer, false));
            }
            for definition in traits.iter().filter(|_| !dry_run) {
                directory::put(tx, definition).await?;
                append_fact(tx, own.setup_changed(IMPORT, SetupNoun::Trait, definition.id)).await?;
            }
            store::insert(tx, &run).await?;
            Once::keep(once.as_ref(), tx, &id.to_string()).await?;
            Ok((id.to_string(), true))
        })
    });
    let (answer, begun) = begun.await?;
    if begun {
        app.reload().await?;
        app.imports.notify_one();
    }
    read_id(&answer)
}

/// Stops a run. The rows that are done stay.
pub async fn cancel(app: &App, viewer: &Viewer, id: Uuid) -> Result<(), Error> {
    viewer.require(scope::IMPORT)?;
    let now = app.now();
    let cancelled = app.store.write(move |tx| {
        Box::pin(
            async move { store::finish(tx, id, Status::Cancelled, Some("cancelled by a person"), now).await },
        )
    });
    if !cancelled.await? && store::get(app.store.read(), id).await?.is_none() {
        return Err(Refused::not_found("import").at("input/id").into());
    }
    Ok(())
}

/// Carries out imports one after the other, in the order in which they were started: the second may tell how the first
/// one's leads ended. What an earlier process left unfinished comes first.
pub async fn run(app: App) {
    let unfinished = |app: App| async move { store::unfinished(app.store.read()).await };
    turn::take(
        app,
        "imports",
        |app| &app.imports,
        unfinished,
        |app, run| async move { one(&app, run).await },
    )
    .await;
}

fn read_id(answer: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(answer).map_err(|_| Error::fault(format!("{answer:?} is no import")))
}

async fn one(app: &App, run: ImportRun) {
    let id = run.id;
    tracing::info!(import = %id, done = run.next, of = run.total, "an import begins or goes on");
    // While the past is told, the rules do not look at its leads as of now.
    app.importing.store(true, Ordering::Relaxed);
    let done = carry_out(app, run).await;
    app.importing.store(false, Ordering::Relaxed);
    let (status, message) = match done {
        Ok(true) => (Status::Done, None),
        // Somebody cancelled it, or another node goes on with it.
        Ok(false) => return,
        Err(Error::Store(StoreError::Closed)) => return tokio::time::sleep(turn::PATIENCE).await,
        Err(error) => {
            tracing::error!(import = %id, %error, "an import failed");
            (Status::Failed, Some(error.to_string()))
        }
    };
    let now = app.now();
    let ended = app.store.write(move |tx| {
        Box::pin(async move { store::finish(tx, id, status, message.as_deref(), now).await })
    });
    if let Err(error) = ended.await {
        tracing::error!(import = %id, %error, "the end of an import could not be recorded; it goes on soon");
        tokio::time::sleep(turn::PATIENCE).await;
    }
}

/// Answers whether all of it is done; not when the run is no longer ours.
async fn carry_out(app: &App, run: ImportRun) -> Result<bool, Error> {
    let id = run.id;
    let Some(run) = store::get(app.store.read(), id).await?.filter(|run| run.status == Status::Running)
    else {
        return Ok(false);
    };
    let mapping = Mapping::parse(&run.mapping)?;
    let body = &app.workspace().charter.body;
    let zone = TimeZone::parse(&body.time_zone).unwrap_or(TimeZone::UTC);
    let reading = Reading { mapping, zone, currency: body.currency.clone(), begun: run.started_at };
    let (path, own) = (app.store.blobs().file(run.digest).await?, reading.clone());
    let acts = blocking(move || Acts::read(&path, &own))
        .await?
        .map_err(|why| Refused::invalid("input/digest", why))?;
    let (total, counts) = (acts.acts.len() as i64, Counts { rows: acts.rows, ..run.counts });
    app.store.write(move |tx| Box::pin(async move { store::set_total(tx, id, total, counts).await })).await?;
    if !run.dry_run
        && let Some(kind) = &reading.mapping.create_campaigns
    {
        create_campaigns(app, kind, &acts).await?;
    }
    batch::all(app, ImportRun { total, counts, ..run }, reading, acts).await
}

/// Traits that the mapping names and nobody has defined; one that exists keeps its kind.
fn new_traits(app: &App, mapping: &Mapping) -> Result<Vec<TraitDefinition>, Error> {
    let workspace = app.workspace();
    let (mut new, mut wrong) = (vec![], vec![]);
    for (place, one) in mapping.traits.iter().enumerate() {
        match workspace.traits.iter().find(|known| known.key == one.key) {
            None => new.push(TraitDefinition {
                id: app.id(),
                key: one.key.clone(),
                kind: one.kind,
                unit: one.unit.clone(),
                meaning: one.meaning.clone().unwrap_or_else(|| format!("Imported from {}", mapping.system)),
                personal: one.personal,
            }),
            Some(known) if (known.kind, known.personal) != (one.kind, one.personal) => {
                let privacy = if known.personal { "personal" } else { "not personal" };
                let message = format!("the trait {} is {} and {privacy}, and stays so", one.key, known.kind);
                wrong.push(Refused::invalid(&format!("input/mapping/traits/{place}"), message));
            }
            Some(_) => {}
        }
    }
    if wrong.is_empty() { Ok(new) } else { Err(wrong.into()) }
}

/// Campaigns that the file names and that do not exist yet, all at once.
async fn create_campaigns(app: &App, kind: &str, acts: &Acts) -> Result<(), Error> {
    let (workspace, now) = (app.workspace(), app.now());
    let missing =
        acts.campaigns.iter().filter(|(key, _)| workspace.campaign_by_key(key).is_none() && is_key(key));
    let new: Vec<Campaign> = missing
        .map(|(key, channel)| Campaign {
            id: app.id(),
            key: key.clone(),
            name: key.clone(),
            kind: kind.to_owned(),
            channel: channel.unwrap_or(Channel::Other),
            cost_minor: 0,
            starts_at: None,
            ends_at: None,
            created_at: now,
            reviewed: vec![],
            audience: None,
        })
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let event = |campaign: &Campaign| {
        app.fact(IMPORT, StreamKind::Campaign, campaign.id, Fact::CampaignChanged { campaign: campaign.id })
    };
    let events = new.iter().map(event).collect();
    let written = app.store.write(move |tx| {
        Box::pin(async move {
            campaign::put(tx, &new).await?;
            append_facts(tx, events).await
        })
    });
    written.await?;
    app.reload().await
}

/// The actor of what an import says.
const IMPORT: Actor = Actor::of(handfast_domain::event::ActorKind::Import);

/// Files are read on threads that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::fault(format!("reading a file failed: {error}")))
}
