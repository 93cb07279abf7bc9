//! Campaigns: created and edited by marketing. Their results are computed, never typed in.

use std::sync::Arc;

use handfast_domain::event::{Fact, StreamKind};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Channel, Side};
use handfast_domain::time::Instant;
use handfast_store::Tx;
use handfast_store::campaign::{self as rows, Campaign};
use handfast_store::change::append_fact;
use uuid::Uuid;

use super::check::Checks;
use super::commit::{Ask, Decided};
use super::{Error, scope};
use crate::app::App;

/// Integers up to here survive every reader of JSON.
const MOST: i64 = 1 << 53;
const REVIEWED: usize = 50;
/// Campaigns that a refusal names.
const NAMED: usize = 5;

#[derive(Clone, Debug)]
pub struct NewCampaign {
    pub key: String,
    pub name: String,
    pub kind: String,
    pub channel: Channel,
    /// Minor units and their currency.
    pub cost: Option<(i64, String)>,
    pub starts_at: Option<Instant>,
    pub ends_at: Option<Instant>,
    /// Earlier campaigns whose results were looked at.
    pub reviewed: Vec<Uuid>,
    /// Key of the audience that it is planned for.
    pub audience: Option<String>,
}

/// What changes; the rest stays. Kind and channel stay for good, since past decisions have read them.
#[derive(Clone, Debug, Default)]
pub struct CampaignEdit {
    pub name: Option<String>,
    pub cost: Option<(i64, String)>,
    pub starts_at: Option<Option<Instant>>,
    pub ends_at: Option<Option<Instant>>,
    /// Key of the audience.
    pub audience: Option<Option<String>>,
}

pub async fn create(app: &App, ask: &Ask<'_>, new: NewCampaign) -> Result<Campaign, Error> {
    let NewCampaign { key, name, kind, channel, cost, starts_at, ends_at, mut reviewed, audience } = new;
    let mut checks = Checks::default();
    checks.key("key", &key);
    checks.key("kind", &kind);
    let cost_minor = in_currency(app, &mut checks, cost).unwrap_or(0);
    let (id, created_at) = (app.id(), app.now());
    reviewed.sort();
    reviewed.dedup();
    review(app, ask, &mut checks, &kind, &reviewed).await?;
    let audience = audience.and_then(|key| planned_for(app, &mut checks, &key));
    let campaign = Campaign {
        id,
        key,
        name,
        kind,
        channel,
        cost_minor,
        starts_at,
        ends_at,
        created_at,
        reviewed,
        audience,
    };
    write(app, ask, "create a campaign", checks, What::New(campaign)).await
}

/// Campaigns that were looked at exist; where the server asks for it, somebody looked at one of the kind that has results.
async fn review(
    app: &App,
    ask: &Ask<'_>,
    checks: &mut Checks,
    kind: &str,
    reviewed: &[Uuid],
) -> Result<(), Error> {
    let workspace = app.workspace();
    checks.need(reviewed.len() <= REVIEWED, "reviewedCampaigns", || {
        format!("at most {REVIEWED} campaigns, found {}", reviewed.len())
    });
    if reviewed.iter().any(|id| workspace.campaign(*id).is_none()) {
        checks.refuse(Refused::not_found("campaign").at("reviewedCampaigns"));
    }
    if !app.review_campaigns || ask.viewer.require_side(Side::Marketing, "create a campaign").is_err() {
        return Ok(());
    }
    let of_kind: Vec<Uuid> =
        workspace.campaigns.newest.iter().filter(|one| one.kind == kind).map(|one| one.id).collect();
    let with_leads = rows::with_leads(app.store.read(), &of_kind).await?;
    if with_leads.is_empty() || reviewed.iter().any(|id| with_leads.contains(id)) {
        return Ok(());
    }
    let newest = workspace.campaigns.newest.iter().filter(|one| with_leads.contains(&one.id)).take(NAMED);
    let keys: Vec<&str> = newest.map(|campaign| campaign.key.as_str()).collect();
    let message = format!(
        "look at the results of an earlier campaign of the kind {kind} first, and name it here: {}",
        keys.join(", ")
    );
    checks.refuse(Refused::new(RefusalCode::ReviewMissing, message).at("reviewedCampaigns"));
    Ok(())
}

pub async fn update(app: &App, ask: &Ask<'_>, id: Uuid, edit: CampaignEdit) -> Result<Campaign, Error> {
    let mut checks = Checks::default();
    let cost_minor = in_currency(app, &mut checks, edit.cost.clone());
    let audience = edit.audience.clone().map(|key| key.and_then(|key| planned_for(app, &mut checks, &key)));
    write(app, ask, "edit a campaign", checks, What::Edit { id, edit, cost_minor, audience }).await
}

/// The audience of a key.
fn planned_for(app: &App, checks: &mut Checks, key: &str) -> Option<Uuid> {
    let workspace = app.workspace();
    let audiences = || workspace.audiences.iter();
    checks.exists("audience", "audience", key, audiences().map(|one| one.key.as_str()));
    audiences().find(|one| one.key == key).map(|one| one.id)
}

/// The key is what imports and integrations know; people follow the id.
pub fn find(app: &App, id: Option<Uuid>, key: Option<&str>) -> Option<Arc<Campaign>> {
    let workspace = app.workspace();
    let by_id = id.and_then(|id| workspace.campaign(id));
    by_id.or_else(|| key.and_then(|key| workspace.campaign_by_key(key))).cloned()
}

/// Campaigns by their creation, the newest first, from the workspace in memory; backward the ones before a place.
pub fn page(app: &App, from: Option<(i64, Uuid)>, backward: bool, limit: i64) -> Vec<Arc<Campaign>> {
    let workspace = app.workspace();
    let all = &workspace.campaigns.newest;
    let limit = usize::try_from(limit).unwrap_or(0);
    let newer_than = |from| all.partition_point(|campaign| (campaign.created_at.ms(), campaign.id) > from);
    let not_older_than =
        |from| all.partition_point(|campaign| (campaign.created_at.ms(), campaign.id) >= from);
    match (backward, from) {
        (false, from) => all[from.map_or(0, not_older_than)..].iter().take(limit).cloned().collect(),
        (true, from) => {
            let before = &all[..from.map_or(all.len(), newer_than)];
            before[before.len().saturating_sub(limit)..].to_vec()
        }
    }
}

enum What {
    New(Campaign),
    Edit { id: Uuid, edit: CampaignEdit, cost_minor: Option<i64>, audience: Option<Option<Uuid>> },
}

impl What {
    async fn decide(self, tx: &Tx) -> Result<Campaign, Error> {
        let campaign = match self {
            What::New(campaign) => {
                if rows::by_key(tx, &campaign.key).await?.is_some() {
                    let message =
                        format!("a campaign {:?} exists already; updateCampaign edits it", campaign.key);
                    return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/key").into());
                }
                campaign
            }
            What::Edit { id, edit, cost_minor, audience } => {
                let found = rows::by_id(tx, id).await?;
                let before = found.ok_or_else(|| Refused::not_found("campaign").at("input/campaign"))?;
                Campaign {
                    name: edit.name.unwrap_or(before.name),
                    cost_minor: cost_minor.unwrap_or(before.cost_minor),
                    starts_at: edit.starts_at.unwrap_or(before.starts_at),
                    ends_at: edit.ends_at.unwrap_or(before.ends_at),
                    audience: audience.unwrap_or(before.audience),
                    ..before
                }
            }
        };
        let mut checks = Checks::default();
        checks.text("name", &campaign.name, 128);
        if let Some((from, to)) = campaign.starts_at.zip(campaign.ends_at) {
            checks.need(from < to, "endsAt", || format!("ends at {to}, not after its start at {from}"));
        }
        checks.done()?;
        Ok(campaign)
    }
}

async fn write(app: &App, ask: &Ask<'_>, verb: &str, checks: Checks, what: What) -> Result<Campaign, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, verb)?;
    checks.done()?;
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let campaign = what.decide(tx).await?;
            rows::put(tx, std::slice::from_ref(&campaign)).await?;
            let fact = Fact::CampaignChanged { campaign: campaign.id };
            append_fact(tx, own.fact(actor, StreamKind::Campaign, campaign.id, fact)).await?;
            let answer = campaign.id.to_string();
            Ok((campaign, answer))
        })
    });
    match decided.await? {
        Decided::Now(campaign) => {
            if !ask.dry_run {
                app.reload().await?;
            }
            Ok(campaign)
        }
        Decided::Before(id) => {
            let found = match Uuid::try_parse(&id) {
                Ok(id) => rows::by_id(app.store.read(), id).await?,
                Err(_) => None,
            };
            found.ok_or_else(|| Refused::not_found("campaign").into())
        }
    }
}

/// Amounts of the workspace are in one currency, or they could not be added up.
fn in_currency(app: &App, checks: &mut Checks, cost: Option<(i64, String)>) -> Option<i64> {
    let (minor, currency) = cost?;
    let expected = &app.workspace().charter.body.currency;
    if currency != *expected {
        let message = format!("amounts of this workspace are in {expected}, found {currency}");
        checks.refuse(Refused::new(RefusalCode::CurrencyMismatch, message).at("cost/currency"));
    }
    checks.need((0..=MOST).contains(&minor), "cost/amountMinor", || {
        format!("0 to {MOST} minor units, found {minor}")
    });
    Some(minor)
}
