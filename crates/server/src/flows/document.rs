//! Nouns that are few, read whole and kept as a document under a key: decided inside of their transaction from all that there are.
//! Who may do it is for the caller to say.

use futures_util::future::BoxFuture;
use handfast_domain::feedback::EffectKind;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_store::Tx;
use handfast_store::change::append_fact;
use handfast_store::directory::{self as rows, Noun};
use uuid::Uuid;

use super::commit::{Ask, Decided};
use super::{Error, feedback};
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
    write(app, ask, basis, move |tx, id| {
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
pub async fn write<T, D>(
    app: &App,
    ask: &Ask<'_>,
    basis: Option<(EffectKind, Vec<Uuid>)>,
    decide: D,
) -> Result<T, Error>
where
    T: Noun + Clone + Sync + 'static,
    D: for<'t> FnOnce(&'t Tx, Uuid) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
{
    let (id, own, actor) = (app.id(), app.clone(), ask.viewer.actor());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let noun = decide(tx, id).await?;
            rows::put(tx, &noun).await?;
            append_fact(tx, own.setup_changed(actor, T::NOUN, noun.id())).await?;
            if let Some((kind, feedback)) = basis {
                feedback::caused(&own, tx, actor, &feedback, (kind, noun.id())).await?;
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
