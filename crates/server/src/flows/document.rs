//! Nouns that are few, read whole and kept as a document under a key: decided inside of their transaction from all that there are.
//! Who may do it is for the caller to say.

use futures_util::future::BoxFuture;
use handfast_domain::feedback::EffectKind;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Side;
use handfast_store::Tx;
use handfast_store::change::append_fact;
use handfast_store::directory::{self as rows, Noun};
use uuid::Uuid;

use super::commit::{Ask, Decided};
use super::{Error, charter_review, feedback};
use crate::app::App;

/// The most nouns of a kind: they are held in memory, or read whole.
const MOST: usize = 1_000;

/// Writes one noun, once, and takes it up. `make` is given all of them and the id of a new one.
pub async fn put<T, F>(app: &App, ask: &Ask<'_>, make: F) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    F: FnOnce(&[T], Uuid) -> Result<T, Vec<Refused>> + Send + 'static,
{
    put_based_on(app, ask, None, make).await
}

/// [`put`] of something that was made of feedback, which has caused it from then on: both or neither.
pub async fn put_based_on<T, F>(
    app: &App,
    ask: &Ask<'_>,
    basis: Option<(EffectKind, Vec<Uuid>)>,
    make: F,
) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    F: FnOnce(&[T], Uuid) -> Result<T, Vec<Refused>> + Send + 'static,
{
    put_with(app, ask, Beside { basis, reviewed_by: None }, make).await
}

/// [`put`] of a meeting at which these people went through the charter in force.
pub async fn put_reviewing<T, F>(
    app: &App,
    ask: &Ask<'_>,
    reviewed_by: Option<Vec<(Side, Uuid)>>,
    make: F,
) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    F: FnOnce(&[T], Uuid) -> Result<T, Vec<Refused>> + Send + 'static,
{
    put_with(app, ask, Beside { basis: None, reviewed_by }, make).await
}

/// What is written in the same command.
#[derive(Default)]
pub struct Beside {
    basis: Option<(EffectKind, Vec<Uuid>)>,
    reviewed_by: Option<Vec<(Side, Uuid)>>,
}

async fn put_with<T, F>(app: &App, ask: &Ask<'_>, beside: Beside, make: F) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    F: FnOnce(&[T], Uuid) -> Result<T, Vec<Refused>> + Send + 'static,
{
    write(app, ask, beside, move |tx, id| {
        Box::pin(async move {
            let all = rows::all::<T>(tx).await?;
            let noun = make(&all, id)?;
            if noun.id() == id && all.len() >= MOST {
                let message = format!("there are {MOST} of them, which is as many as a workspace keeps");
                return Err(Refused::invalid("input/key", message).into());
            }
            Ok(noun)
        })
    })
    .await
}

/// Writes one noun, once, and takes it up. What it is is decided inside of the transaction, with the id of a new one.
pub async fn write<T, D>(app: &App, ask: &Ask<'_>, beside: Beside, decide: D) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    D: for<'t> FnOnce(&'t Tx, Uuid) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
{
    let Beside { basis, reviewed_by } = beside;
    let (id, own, actor) = (app.id(), app.clone(), ask.viewer.actor());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let noun = decide(tx, id).await?;
            rows::put(tx, &noun).await?;
            append_fact(tx, own.setup_changed(actor, T::NOUN, noun.id())).await?;
            if let Some((kind, feedback)) = basis {
                feedback::caused(&own, tx, actor, &feedback, (kind, noun.id())).await?;
            }
            if let Some(people) = reviewed_by {
                charter_review::say_both(&own, tx, actor, &people).await?;
            }
            let answer = noun.id().to_string();
            Ok((noun, answer))
        })
    });
    match decided.await? {
        Decided::Now(noun) => {
            if !ask.dry_run {
                app.reload().await?;
            }
            Ok(noun)
        }
        Decided::Before(id) => {
            let all = rows::all::<T>(app.store.read()).await?;
            let found = all.into_iter().find(|noun| noun.id().to_string() == id);
            found.ok_or_else(|| Error::fault(format!("{id}, which was written before, is gone")))
        }
    }
}

/// Refuses a key that is taken; `verb` edits what has it.
pub fn unused<T: Noun>(all: &[T], key: &str, what: &str, verb: &str) -> Result<(), Refused> {
    if all.iter().all(|noun| noun.key() != key) {
        return Ok(());
    }
    let message = format!("{what} {key:?} exists already; {verb} edits it");
    Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/key"))
}
