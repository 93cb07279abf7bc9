//! The charter's way into force: proposed, signed by both sides over one digest, activated; or rejected by either.

use handfast_domain::charter::{Charter, CharterBody, CharterStatus, Known, Rejection, Signature};
use handfast_domain::digest::Digest;
use handfast_domain::event::{Fact, StreamKind};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::Side;
use handfast_store::change::{append_fact, append_facts};
use handfast_store::{Tx, charter as rows};

use super::commit::{Ask, Decided, stream_of};
use super::directory::Standing;
use super::{Error, Viewer, charter_review, scope};
use crate::app::App;

/// Longest comment of a signature, and longest reason of a rejection, in characters.
const WORDS: usize = 1_000;

/// Opens a charter for signatures. From now on its text never changes.
pub async fn propose(app: &App, ask: &Ask<'_>, body: CharterBody) -> Result<Charter, Error> {
    ask.viewer.require(scope::CHARTER_SIGN)?;
    let (by, now) = (ask.viewer.id(), app.now());
    settle(app, ask, move |standing| {
        let known = Known::of(&standing.nouns.directory, standing.nouns.trait_kinds());
        let charter = Charter::propose(standing.next, body, by, &known, now)?;
        let fact = Fact::CharterProposed { number: charter.number, digest: charter.digest };
        Ok((charter, fact))
    })
    .await
}

/// Signs for the viewer's side what the viewer saw: the digest says which text that was.
pub async fn sign(
    app: &App,
    ask: &Ask<'_>,
    number: u32,
    digest: Digest,
    comment: Option<String>,
) -> Result<Charter, Error> {
    let signer = party(ask.viewer, "sign")?;
    check_words("input/comment", comment.as_deref())?;
    let signature = Signature { user: signer.0, side: signer.1, digest, at: app.now(), comment };
    settle(app, ask, move |standing| {
        let mut charter = standing.charter(number)?;
        let fact = Fact::CharterSigned { number, digest: charter.digest, side: signature.side };
        charter.sign(signature).map_err(one)?;
        Ok((charter, fact))
    })
    .await
}

/// Says no for the viewer's side. A rejected charter stays as it is; another one can be proposed.
pub async fn reject(app: &App, ask: &Ask<'_>, number: u32, reason: String) -> Result<Charter, Error> {
    let signer = party(ask.viewer, "reject")?;
    check_words("input/reason", Some(&reason))?;
    let rejection = Rejection { user: signer.0, side: signer.1, at: app.now(), reason };
    settle(app, ask, move |standing| {
        let mut charter = standing.charter(number)?;
        let fact = Fact::CharterRejected { number, digest: charter.digest, side: rejection.side };
        charter.reject(rejection).map_err(one)?;
        Ok((charter, fact))
    })
    .await
}

/// Puts a charter into force that both sides signed, be it a new one or an earlier one. Running clocks keep the policy
/// that they started with.
pub async fn activate(app: &App, ask: &Ask<'_>, number: u32) -> Result<Charter, Error> {
    person(ask.viewer, "activate")?;
    let now = app.now();
    settle(app, ask, move |standing| {
        let mut charter = standing.charter(number)?;
        charter.activate(now).map_err(one)?;
        // Teams, queues and traits may have changed since it was proposed.
        let known = Known::of(&standing.nouns.directory, standing.nouns.trait_kinds());
        let problems = charter.body.problems(&known);
        if !problems.is_empty() {
            let path = vec!["input".to_owned(), "number".to_owned()];
            let moved = |problem: Refused| {
                let place = problem.path.iter().skip(2).cloned().collect::<Vec<_>>().join("/");
                Refused { message: format!("{place}: {}", problem.message), path: path.clone(), ..problem }
            };
            return Err(problems.into_iter().map(moved).collect());
        }
        let replaces = standing.active().map_or(0, |active| active.number);
        let fact = Fact::CharterActivated { number, digest: charter.digest, replaces };
        Ok((charter, fact))
    })
    .await
}

/// Notes that the viewer read the charter in force. Saying it again changes nothing and is no event.
pub async fn acknowledge(app: &App, ask: &Ask<'_>, number: u32) -> Result<Charter, Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    if !ask.viewer.user.reads_charters() {
        let (key, side) = (&ask.viewer.user.key, ask.viewer.user.side);
        let what = if ask.viewer.user.service { "a service".to_owned() } else { format!("of {side}") };
        let message = format!("{key} is {what}; people of MARKETING, SALES and OPS read a charter");
        return Err(Refused::new(RefusalCode::Forbidden, message).into());
    }
    let (own, actor, user) = (app.clone(), ask.viewer.actor(), ask.viewer.id());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let charter = find(rows::all(tx).await?, number)?;
            charter.acknowledge().map_err(|refused| refused.at("input/number"))?;
            if rows::acknowledge(tx, number, user, own.now()).await? {
                let number = charter.number.to_string();
                let stream = stream_of(StreamKind::Charter, &number);
                let fact = Fact::CharterAcknowledged { number: charter.number, digest: charter.digest };
                append_fact(tx, own.fact(actor, StreamKind::Charter, stream, fact)).await?;
            }
            Ok((charter, number.to_string()))
        })
    });
    match decided.await? {
        Decided::Now(charter) => Ok(charter),
        Decided::Before(_) => Ok(find(rows::all(app.store.read()).await?, number)?),
    }
}

fn find(charters: Vec<Charter>, number: u32) -> Result<Charter, Refused> {
    let found = charters.into_iter().find(|charter| charter.number == number);
    found.ok_or_else(|| Refused::not_found("charter").at("input/number"))
}

/// What a charter's change is decided from.
struct Scene {
    nouns: Standing,
    charters: Vec<Charter>,
    next: u32,
}

impl Scene {
    fn charter(&self, number: u32) -> Result<Charter, Vec<Refused>> {
        let found = self.charters.iter().find(|charter| charter.number == number).cloned();
        found.ok_or_else(|| one(Refused::not_found("charter").at("input/number")))
    }

    fn active(&self) -> Option<&Charter> {
        self.charters.iter().find(|charter| charter.status == CharterStatus::Active)
    }
}

/// Decides and writes one charter, once, with its event, and takes it up.
async fn settle<F>(app: &App, ask: &Ask<'_>, make: F) -> Result<Charter, Error>
where
    F: FnOnce(&Scene) -> Result<(Charter, Fact), Vec<Refused>> + Send + 'static,
{
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let charters = rows::all(tx).await?;
            let scene =
                Scene { nouns: Standing::load(tx).await?, charters, next: rows::next_number(tx).await? };
            let (charter, fact) = make(&scene)?;
            let mut facts = vec![fact];
            if charter.status == CharterStatus::Active {
                if let Some(before) = scene.active() {
                    replace(tx, before, &charter).await?;
                }
                let before = scene.active().map(|before| before.number);
                facts.extend(charter_review::activated(&own, tx, actor, &charter, before).await?);
            }
            rows::put(tx, &charter).await?;
            append_facts(tx, charter_review::events(&own, actor, charter.number, facts)).await?;
            let number = charter.number.to_string();
            Ok((charter, number))
        })
    });
    match decided.await? {
        Decided::Now(charter) => {
            app.reload().await?;
            Ok(charter)
        }
        Decided::Before(number) => {
            let all = rows::all(app.store.read()).await?;
            let found = all.into_iter().find(|charter| charter.number.to_string() == number);
            found.ok_or_else(|| Refused::not_found("charter").into())
        }
    }
}

/// What was counted under the charter before must stay right under the new one.
async fn replace(tx: &Tx, before: &Charter, after: &Charter) -> Result<(), Error> {
    let (old, new) = (&before.body, &after.body);
    if new.currency != old.currency
        && let Some(other) = rows::amounts(tx, &new.currency).await?
    {
        let message = format!(
            "there are {other}, which could not be added up with amounts in {}; keep the currency {}",
            new.currency, old.currency
        );
        return Err(Refused::new(RefusalCode::CurrencyMismatch, message).at("input/number").into());
    }
    rows::put(tx, &Charter { status: CharterStatus::Superseded, ..before.clone() }).await?;
    Ok(())
}

/// Who signs: a person of one of the two sides, never a service.
fn party(viewer: &Viewer, verb: &str) -> Result<(uuid::Uuid, Side), Refused> {
    person(viewer, verb)?;
    Ok((viewer.id(), viewer.user.side))
}

/// A charter binds people, so that no machine changes which one does.
fn person(viewer: &Viewer, verb: &str) -> Result<(), Refused> {
    viewer.require(scope::CHARTER_SIGN)?;
    if viewer.user.service {
        let message = format!("{} is a service; only people {verb} a charter", viewer.user.key);
        return Err(Refused::new(RefusalCode::Forbidden, message));
    }
    Ok(())
}

fn check_words(path: &str, text: Option<&str>) -> Result<(), Refused> {
    let Some(text) = text else { return Ok(()) };
    let length = text.chars().count();
    if text.trim().is_empty() || length > WORDS {
        return Err(Refused::invalid(path, format!("1 to {WORDS} characters, found {length}")));
    }
    Ok(())
}

fn one(refused: Refused) -> Vec<Refused> {
    vec![refused]
}
