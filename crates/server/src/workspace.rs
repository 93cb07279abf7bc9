//! The workspace as an immutable snapshot: charter in force, directory, defined traits and live rules. Small tables are
//! read from here, never from the database, and a request keeps the snapshot that it began with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use handfast_domain::audience::Audience;
use handfast_domain::calendar::TimeZone;
use handfast_domain::charter::{Charter, CharterStatus, Known};
use handfast_domain::content::ContentAsset;
use handfast_domain::deployment::{Breaker, Deployment, DeploymentMode};
use handfast_domain::digest::Digest;
use handfast_domain::directory::{Directory, User};
use handfast_domain::field::TraitKinds;
use handfast_domain::form::FormDefinition;
use handfast_domain::offer::Offer;
use handfast_domain::time::Instant;
use handfast_domain::webhook::Webhook;
use handfast_rules::{Host, Rule, Settings};
use handfast_store::campaign::Campaign;
use handfast_store::directory::TraitDefinition;
use handfast_store::{Store, directory};
use uuid::Uuid;

use crate::flows::Error;

/// A rule that is asked in a slot.
#[derive(Clone)]
pub struct LiveRule {
    /// None: the built-in rule.
    pub deployment: Option<Uuid>,
    pub mode: DeploymentMode,
    pub rule: Rule,
    pub settings: Settings,
    pub breaker: Breaker,
}

/// A version that judges a share of the leads.
#[derive(Clone)]
pub struct Canary {
    pub rule: LiveRule,
    pub deployment: Arc<Deployment>,
}

/// A version that runs beside the one that counts.
#[derive(Clone)]
pub struct Shadow {
    pub rule: LiveRule,
    pub deployment: Arc<Deployment>,
}

/// What runs in a slot.
#[derive(Clone, Default)]
pub struct SlotRules {
    pub live: Option<LiveRule>,
    pub canary: Option<Canary>,
    pub shadows: Vec<Shadow>,
}

/// All campaigns: pages of leads look one up for each lead and each touch.
#[derive(Clone)]
pub struct Campaigns {
    /// The newest first.
    pub newest: Vec<Arc<Campaign>>,
    by_id: HashMap<Uuid, Arc<Campaign>>,
    by_key: HashMap<String, Arc<Campaign>>,
}

impl Campaigns {
    fn new(campaigns: Vec<Campaign>) -> Campaigns {
        let mut newest: Vec<Arc<Campaign>> = campaigns.into_iter().map(Arc::new).collect();
        newest.sort_by_key(|campaign| std::cmp::Reverse((campaign.created_at, campaign.id)));
        let by_id = newest.iter().map(|campaign| (campaign.id, campaign.clone())).collect();
        let by_key = newest.iter().map(|campaign| (campaign.key.clone(), campaign.clone())).collect();
        Campaigns { newest, by_id, by_key }
    }
}

#[derive(Clone)]
pub struct Workspace {
    pub charter: Charter,
    pub charters: Vec<Charter>,
    pub directory: Directory,
    pub traits: Vec<TraitDefinition>,
    /// Those of the directory, shared with every request that one of them makes.
    users: HashMap<Uuid, Arc<User>>,
    pub campaigns: Campaigns,
    /// By key.
    pub contents: Vec<Arc<ContentAsset>>,
    /// By key.
    pub forms: Vec<Arc<FormDefinition>>,
    /// By key.
    pub audiences: Vec<Arc<Audience>>,
    /// By key.
    pub offers: Vec<Arc<Offer>>,
    /// Slot key to what runs there. A slot without a LIVE rule is answered by the built-in one.
    pub rules: BTreeMap<String, SlotRules>,
    /// The oldest first.
    pub webhooks: Vec<Arc<Webhook>>,
    zone: TimeZone,
}

impl Workspace {
    pub async fn load(store: &Store, host: &Host) -> Result<Workspace, Error> {
        let db = store.read();
        let charters = handfast_store::charter::all(db).await?;
        let active = charters.iter().find(|charter| charter.status == CharterStatus::Active).cloned();
        let charter = active.ok_or_else(|| Error::fault("no charter is active; run `handfast doctor`"))?;
        let zone = TimeZone::parse(&charter.body.time_zone).unwrap_or(TimeZone::UTC);
        let traits = directory::all::<TraitDefinition>(db).await?;
        let directory = directory::load(db).await?;
        let users = directory.users.iter().map(|user| (user.id, Arc::new(user.clone())));
        let mut workspace = Workspace {
            charter,
            charters,
            users: users.collect(),
            directory,
            traits,
            campaigns: Campaigns::new(handfast_store::campaign::all(db).await?),
            contents: directory::all::<ContentAsset>(db).await?.into_iter().map(Arc::new).collect(),
            forms: directory::all::<FormDefinition>(db).await?.into_iter().map(Arc::new).collect(),
            audiences: directory::all::<Audience>(db).await?.into_iter().map(Arc::new).collect(),
            offers: directory::all::<Offer>(db).await?.into_iter().map(Arc::new).collect(),
            rules: BTreeMap::new(),
            webhooks: handfast_store::webhook::all(db).await?.into_iter().map(Arc::new).collect(),
            zone,
        };
        let running = handfast_store::deployment::running(db).await?;
        let digests = running.iter().map(|one| one.settings).collect();
        let settings = handfast_store::plugin::settings_of(db, &digests).await?;
        for deployment in running {
            let (slot, id, mode) = (deployment.slot.clone(), deployment.id, deployment.mode);
            match load_rule(store, host, &workspace, &deployment, &settings).await {
                Ok(rule) => workspace.rules.entry(slot).or_default().take(rule, deployment),
                // The other slots go on; without its LIVE rule a slot holds every lead until the file is back.
                Err(error) => {
                    tracing::error!(slot, deployment = %id, %mode, %error, "the rule of a slot cannot be loaded")
                }
            }
        }
        Ok(workspace)
    }

    /// Traits that rules and criteria may read: all but the personal ones.
    pub fn trait_kinds(&self) -> TraitKinds {
        self.readable().map(|definition| (definition.key.clone(), definition.kind)).collect()
    }

    pub fn readable_traits(&self) -> Vec<String> {
        self.readable().map(|definition| definition.key.clone()).collect()
    }

    fn readable(&self) -> impl Iterator<Item = &TraitDefinition> {
        self.traits.iter().filter(|definition| !definition.personal)
    }

    pub fn user(&self, id: Uuid) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// What a charter must agree with.
    pub fn known(&self) -> Known {
        Known::of(&self.directory, self.trait_kinds())
    }

    pub fn campaign(&self, id: Uuid) -> Option<&Arc<Campaign>> {
        self.campaigns.by_id.get(&id)
    }

    pub fn campaign_by_key(&self, key: &str) -> Option<&Arc<Campaign>> {
        self.campaigns.by_key.get(key)
    }

    pub fn content(&self, id: Uuid) -> Option<&Arc<ContentAsset>> {
        self.contents.iter().find(|content| content.id == id)
    }

    pub fn content_by_key(&self, key: &str) -> Option<&Arc<ContentAsset>> {
        self.contents.iter().find(|content| content.key == key)
    }

    pub fn webhook(&self, id: Uuid) -> Option<&Arc<Webhook>> {
        self.webhooks.iter().find(|webhook| webhook.id == id)
    }

    pub fn zone(&self) -> TimeZone {
        self.zone
    }

    /// Days since 1970-01-01 in the charter's time zone.
    pub fn day(&self, at: Instant) -> i32 {
        self.zone.date(at).days()
    }

    pub fn charter_digest(&self) -> Digest {
        self.charter.digest
    }
}

impl SlotRules {
    fn take(&mut self, rule: LiveRule, deployment: Deployment) {
        let deployment = Arc::new(deployment);
        match deployment.mode {
            DeploymentMode::Live => self.live = Some(rule),
            DeploymentMode::Canary => self.canary = Some(Canary { rule, deployment }),
            DeploymentMode::Shadow => self.shadows.push(Shadow { rule, deployment }),
        }
    }

    pub fn is_running(&self, id: Uuid) -> bool {
        let live = self.live.iter().filter_map(|rule| rule.deployment);
        let beside = self.canary.iter().map(|canary| canary.deployment.id);
        live.chain(beside).chain(self.shadows.iter().map(|shadow| shadow.deployment.id)).any(|one| one == id)
    }
}

async fn load_rule(
    store: &Store,
    host: &Host,
    workspace: &Workspace,
    deployment: &Deployment,
    settings: &BTreeMap<Digest, String>,
) -> Result<LiveRule, Error> {
    let wasm = store.blobs().read(deployment.version).await?;
    let plugin = host.load(&wasm, &workspace.trait_kinds()).await;
    let plugin = plugin.map_err(|error| Error::fault(error.to_string()))?;
    let text = settings.get(&deployment.settings);
    let text =
        text.ok_or_else(|| Error::fault(format!("the settings {} are missing", deployment.settings)))?;
    let settings = Settings::parse(text).map_err(|error| Error::fault(error.to_string()))?;
    Ok(LiveRule {
        deployment: Some(deployment.id),
        mode: deployment.mode,
        rule: plugin.into(),
        settings,
        breaker: deployment.terms.breaker,
    })
}
