//! What a lead's company uses today: a person of marketing or sales learned it, and every lead of the company is looked at again.

use handfast_domain::change::Draft;
use handfast_domain::incumbent::Incumbent;
use handfast_domain::refused::Refused;
use handfast_domain::stage::Cause;
use handfast_domain::time::{DAY, Instant};
use handfast_store::person::{Account, accounts};
use uuid::Uuid;

use super::check::Checks;
use super::commit::{Committed, Once, Plan};
use super::{Error, lead, reevaluation};
use crate::app::App;

/// Longest name of a vendor, a product or a source, in characters.
const NAME: usize = 256;
/// Contracts end within so many days from now: what lies further ahead is a slip of the pen.
const AHEAD: i64 = 100 * 366;

/// What was learned; what is left out stays as it is, and null takes it away.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    pub vendor: Option<Option<String>>,
    pub product: Option<Option<String>>,
    pub contract_ends_at: Option<Option<Instant>>,
    pub source: Option<String>,
}

/// Keeps it with the company of the lead.
pub async fn record(app: &App, target: &lead::Target<'_>, learned: Learned) -> Result<(), Error> {
    let side = target.viewer.party("say what a company uses")?;
    check(app, &learned)?;
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let source = learned.source.clone().unwrap_or_else(|| side.as_str().to_lowercase());
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, target.lead).await?;
        let account = account(app, journey.lead.account).await?;
        let scene = lead::scene(app, &workspace, target.viewer.actor(), Cause::Sales, None);
        let mut draft = Draft::new(journey, scene);
        draft.expect_version(target.expected_version)?;
        let after = account.map(|account| known(account, &learned, &source, scene.now));
        draft.record_incumbent(after.as_ref().and_then(|account| account.uses().contract_ends_at))?;
        if target.dry_run {
            return Ok(());
        }
        let accounts: Vec<Account> = after.into_iter().collect();
        let reevaluations = reevaluation::of_accounts(app, &workspace, accounts.iter());
        let plan = Plan { changes: vec![draft.finish()], accounts, reevaluations, ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), target.lead.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(()),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}

async fn account(app: &App, id: Option<Uuid>) -> Result<Option<Account>, Error> {
    let Some(id) = id else { return Ok(None) };
    Ok(accounts(app.store.read(), &[id]).await?.into_iter().next())
}

fn known(mut account: Account, learned: &Learned, source: &str, at: Instant) -> Account {
    let Learned { vendor, product, contract_ends_at, source: _ } = learned.clone();
    let Incumbent { vendor: v, product: p, contract_ends_at: ends } = account.uses();
    account.incumbent_vendor = vendor.unwrap_or(v);
    account.incumbent = product.unwrap_or(p);
    account.incumbent_ends_at = contract_ends_at.unwrap_or(ends).map(Instant::ms);
    // Whoever says it again says that it is still so.
    (account.incumbent_source, account.incumbent_at) = (Some(source.to_owned()), Some(at.ms()));
    account
}

fn check(app: &App, learned: &Learned) -> Result<(), Error> {
    let Learned { vendor, product, contract_ends_at, source } = learned;
    let mut checks = Checks::default();
    let names = [("vendor", vendor.clone().flatten()), ("product", product.clone().flatten())];
    for (path, name) in names.into_iter().chain([("source", source.clone())]) {
        if let Some(name) = name {
            checks.text(path, &name, NAME);
        }
    }
    checks.need(vendor.is_some() || product.is_some() || contract_ends_at.is_some(), "vendor", || {
        "say the vendor, the product or the contract's end: nothing of them was given".to_owned()
    });
    if let Some(ends) = contract_ends_at.flatten() {
        check_end(ends, app.now()).unwrap_or_else(|refused| checks.refuse(refused.at("contractEndsAt")));
    }
    Ok(checks.done()?)
}

/// The end of a contract is a date of our time.
pub fn check_end(ends: Instant, now: Instant) -> Result<(), Refused> {
    let (first, last) = (Instant(0), now.plus(AHEAD * DAY));
    if (first..=last).contains(&ends) {
        return Ok(());
    }
    Err(Refused::invalid("", format!("a contract ends between {first} and {last}, found {ends}")))
}
