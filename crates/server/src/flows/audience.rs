//! Audiences: leads by tests on their fields, made by hand, from past wins, or revised after feedback.

use std::collections::BTreeMap;
use std::sync::Arc;

use handfast_domain::audience::{Audience, AudienceVersion, Basis, WinBasis, defining, hold};
use handfast_domain::criterion::FieldTest;
use handfast_domain::feedback::EffectKind;
use handfast_domain::field::{CATALOGUE, Value};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_store::audience as rows;
use uuid::Uuid;

use super::check::Checks;
use super::commit::Ask;
use super::window::Window;
use super::{Error, document, scope};
use crate::app::App;
use crate::workspace::Workspace;

const TESTS: usize = 20;
const VERSIONS: usize = 200;
/// Leads that are looked at for one answer, the newest ones.
pub const LOOKED: usize = 20_000;
/// Leads whose fields are read at once.
const PAGE: i64 = 250;
/// Wins that an audience is read from, the newest ones, and the leads that they are held against.
const WINS: i64 = 2_000;
const OTHERS: usize = 5_000;

/// The fields of a lead.
type Fields = BTreeMap<String, Value>;

/// What an audience is made of.
pub enum Definition {
    Tests(Vec<FieldTest>),
    /// What past wins have more often than others; a value counts from so many wins on.
    Wins {
        window: Window,
        support: i64,
    },
}

/// Makes an audience. Whoever may not is told so before anything is said of the definition.
pub async fn create(
    app: &App,
    ask: &Ask<'_>,
    (key, name): (String, String),
    definition: Result<Definition, Refused>,
) -> Result<Audience, Error> {
    may(ask, "make an audience")?;
    let definition = definition?;
    let mut checks = Checks::default();
    checks.key("key", &key);
    checks.text("name", &name, 128);
    checks.done()?;
    if app.workspace().audiences.iter().any(|audience| audience.key == key) && ask.once.is_none() {
        document::unused(&all(app), &key, "an audience", "reviseAudience")?;
    }
    let version = version(app, ask, definition, vec![]).await?;
    document::put(app, ask, move |all: &[Audience], id| {
        document::unused(all, &key, "an audience", "reviseAudience").map_err(|refused| vec![refused])?;
        Ok(Audience { id, key, name, versions: vec![version] })
    })
    .await
}

/// Makes another version of an audience and remembers the feedback that asked for it, which caused it from then on.
pub async fn revise(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    definition: Result<Definition, Refused>,
    based_on: Vec<Uuid>,
) -> Result<Audience, Error> {
    may(ask, "revise an audience")?;
    let definition = definition?;
    if find(&app.workspace(), id).is_none() {
        return Err(Refused::not_found("audience").at("input/audience").into());
    }
    let made = version(app, ask, definition, based_on.clone()).await?;
    let caused = Some((EffectKind::Audience, based_on));
    document::put_based_on(app, ask, caused, move |all: &[Audience], _| {
        let found = all.iter().find(|audience| audience.id == id).cloned();
        let mut audience = found.ok_or_else(|| vec![Refused::not_found("audience").at("input/audience")])?;
        if audience.versions.len() >= VERSIONS {
            let message = format!("an audience has at most {VERSIONS} versions; make another one");
            return Err(vec![Refused::invalid("input/audience", message)]);
        }
        let number = audience.current().map_or(1, |current| current.number + 1);
        audience.versions.push(AudienceVersion { number, ..made });
        Ok(audience)
    })
    .await
}

fn may(ask: &Ask<'_>, verb: &str) -> Result<(), Refused> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, verb)
}

fn all(app: &App) -> Vec<Audience> {
    app.workspace().audiences.iter().map(|audience| (**audience).clone()).collect()
}

pub fn find(workspace: &Workspace, id: Uuid) -> Option<&Arc<Audience>> {
    workspace.audiences.iter().find(|audience| audience.id == id)
}

/// The first version of what was asked for, counted.
async fn version(
    app: &App,
    ask: &Ask<'_>,
    definition: Definition,
    feedback: Vec<Uuid>,
) -> Result<AudienceVersion, Error> {
    let (tests, wins) = match definition {
        Definition::Tests(tests) => (tests, None),
        Definition::Wins { window, support } => {
            let (tests, basis) = from_wins(app, window, support).await?;
            (tests, Some(basis))
        }
    };
    checked(&app.workspace(), &tests)?;
    let size = i64::try_from(members(app, &tests, None, usize::MAX).await?.len()).unwrap_or(i64::MAX);
    let based_on = Basis { feedback, wins };
    let (created_by, created_at) = (ask.viewer.id(), app.now());
    Ok(AudienceVersion { number: 1, tests, based_on, size, created_by, created_at })
}

fn checked(workspace: &Workspace, tests: &[FieldTest]) -> Result<(), Vec<Refused>> {
    let mut checks = Checks::default();
    checks.need((1..=TESTS).contains(&tests.len()), "tests", || {
        format!("1 to {TESTS} tests, found {}; an audience without any is nobody", tests.len())
    });
    let traits = workspace.trait_kinds();
    for (place, test) in tests.iter().take(TESTS).enumerate() {
        let path = format!("tests/{place}");
        if let Some(problem) = test.problem(&traits) {
            checks.say(&path, problem);
        }
        let routing = CATALOGUE.iter().any(|field| field.path == test.field && field.routing);
        checks.need(!routing, &path, || {
            format!("{} is known to routers alone; test another field", test.field)
        });
    }
    checks.done()
}

async fn from_wins(app: &App, window: Window, support: i64) -> Result<(Vec<FieldTest>, WinBasis), Error> {
    let won = rows::won(app.store.reports(), (window.from, window.to), WINS).await?;
    let mut wins = vec![];
    for ids in won.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        wins.extend(fields(app, ids).await?.into_values());
    }
    let mut others = vec![];
    let mut from = None;
    while others.len() < OTHERS {
        let page = rows::addressable(app.store.reports(), from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = Some(*last);
        let ids: Vec<Uuid> = page.iter().map(|(_, id)| *id).collect();
        others.extend(fields(app, &ids).await?.into_values());
    }
    let (tests, traits) = defining(&wins, &others, support);
    if tests.is_empty() {
        let message = format!(
            "of {} won leads since {} no value stands out: it must be a fifth more frequent among them than among all \
             leads, in at least {support} wins, and the values of its field in half of the wins; widen the window or \
             lower minWins",
            wins.len(),
            window.from
        );
        return Err(Refused::invalid("input/fromWins", message).into());
    }
    let count = |list: &[Fields]| i64::try_from(list.len()).unwrap_or(i64::MAX);
    let Window { from, to } = window;
    let basis = WinBasis { from, to, wins: count(&wins), others: count(&others), traits };
    Ok((tests, basis))
}

/// What rules could read of any number of leads now.
pub async fn fields(app: &App, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Fields>, Error> {
    let (db, workspace) = (app.store.reports(), app.workspace());
    let journeys = handfast_store::lead::journeys(db, ids).await?;
    let profiles = handfast_store::profile::profiles(db, ids, &workspace.readable_traits()).await?;
    let fields = profiles.into_iter().filter_map(|(id, profile)| {
        let (snapshot, _) = profile.snapshot(journeys.get(&id)?, &workspace.charter, false);
        Some((id, snapshot.fields))
    });
    Ok(fields.collect())
}

/// Leads of which all tests hold, the newest capture first, after a place in that order: as many as are asked for, among the
/// next [`LOOKED`] that marketing may address.
pub async fn members(
    app: &App,
    tests: &[FieldTest],
    mut from: Option<(i64, Uuid)>,
    limit: usize,
) -> Result<Vec<(i64, Uuid)>, Error> {
    let (mut found, mut looked) = (vec![], 0);
    while found.len() < limit && looked < LOOKED {
        let page = rows::addressable(app.store.reports(), from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = Some(*last);
        looked += page.len();
        let ids: Vec<Uuid> = page.iter().map(|(_, id)| *id).collect();
        let fields = fields(app, &ids).await?;
        found.extend(page.into_iter().filter(|(_, id)| fields.get(id).is_some_and(|one| hold(tests, one))));
    }
    found.truncate(limit);
    Ok(found)
}

/// The audiences that a lead belongs to now.
pub async fn segments(app: &App, lead: Uuid) -> Result<Vec<Arc<Audience>>, Error> {
    let workspace = app.workspace();
    if workspace.audiences.is_empty() {
        return Ok(vec![]);
    }
    let fields = fields(app, &[lead]).await?;
    let Some(fields) = fields.get(&lead) else { return Ok(vec![]) };
    Ok(workspace.audiences.iter().filter(|audience| audience.holds(fields)).cloned().collect())
}
