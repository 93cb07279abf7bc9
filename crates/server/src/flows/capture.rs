//! Capture: people become leads. Any number of them in one command: found by identity or created, their touches and
//! traits recorded, judged by the rules, routed.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::change::Draft;
use handfast_domain::digest::Digest;
use handfast_domain::field::Value;
use handfast_domain::incumbent::Incumbent;
use handfast_domain::lead::Journey;
use handfast_domain::lead_fact::FactOrigin;
use handfast_domain::meeting::Expectation;
use handfast_domain::profile::{Company, Contact, Profile, Source};
use handfast_domain::qualify::Capture;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Cause, Channel, StageKind};
use handfast_domain::time::Instant;
use handfast_store::change::NewLead;
use handfast_store::form::Submission;
use handfast_store::person::{
    Account, ExternalRef, Identities, Person, Trait, accounts_by_domain, identities,
};
use handfast_store::suppression;
use handfast_store::touchpoint::Touchpoint;
use serde::Serialize;
use uuid::Uuid;

mod check;

pub use check::{
    check, check_external, check_text, normal_email, normal_phone, trait_problem, trait_value, user,
};

use super::commit::{Committed, Once, Plan};
use super::evaluate::{self, Subject};
use super::{Error, Viewer, form, lead, reevaluation, scope};
use crate::app::App;
use crate::workspace::Workspace;

/// The most leads that one request may capture.
pub const BATCH: usize = 200;

/// What is known of somebody who becomes a lead.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Intake {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub external: Option<(String, String)>,
    pub anonymous_id: Option<String>,
    pub name: Option<String>,
    pub title: Option<String>,
    pub seniority: Option<String>,
    pub department: Option<String>,
    pub country: Option<String>,
    pub consent: Option<bool>,
    pub company: Option<IntakeCompany>,
    pub source: Option<String>,
    pub channel: Option<Channel>,
    /// Key of a campaign.
    pub campaign: Option<String>,
    /// Content that the form belonged to, for example `demo-request`.
    pub content: Option<String>,
    pub traits: Vec<(String, String)>,
    /// Key of the form that it came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// What the buyer expects of the first meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expectation: Option<Expectation>,
    pub occurred_at: Option<Instant>,
    /// The touch's system and id there: the same one is recorded once.
    pub touch: Option<(String, String)>,
    /// Only an import says where a lead stands, and who has it.
    pub stage: Option<StageKind>,
    /// Key of a user.
    pub owner: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct IntakeCompany {
    pub name: Option<String>,
    pub domain: Option<String>,
    pub industry: Option<String>,
    pub employees: Option<i64>,
    pub annual_revenue: Option<i64>,
    pub country: Option<String>,
    pub region: Option<String>,
    pub incumbent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent_vendor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent_ends_at: Option<Instant>,
}

/// What became of one intake: its lead, and whether it is new.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Captured {
    pub lead: Uuid,
    pub created: bool,
}

/// The result for each intake, in order; a refusal of one does not stop the others.
pub type Results = Vec<Result<Captured, Refused>>;

/// Captures leads as they come in: they are judged and routed at once.
pub async fn capture(
    app: &App,
    viewer: &Viewer,
    once: Option<Once>,
    intakes: &[Intake],
    dry_run: bool,
) -> Result<Results, Error> {
    viewer.require(scope::LEADS_WRITE)?;
    if intakes.is_empty() || intakes.len() > BATCH {
        let message = format!("1 to {BATCH} leads in one request, found {}", intakes.len());
        return Err(Refused::invalid("input/leads", message).into());
    }
    if let Some(answer) = Once::answered(once.as_ref(), app).await? {
        return read_answer(&answer);
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let scene = lead::scene(app, &workspace, viewer.actor(), Cause::Capture, None);
        let prepared = prepare(app, &workspace, intakes, scene.now, &BTreeMap::new()).await?;
        let (plan, results) = plan(app, &workspace, scene, prepared).await?;
        if dry_run {
            return Ok(results);
        }
        let answer = write_answer(&results);
        match app.commit(plan, once.as_ref(), answer).await? {
            Committed::Done => return Ok(results),
            Committed::Before(answer) => return read_answer(&answer),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    let message = "the same people were changed by others again and again meanwhile; repeat the request";
    Err(Refused::new(RefusalCode::VersionConflict, message).into())
}

type Answer = Vec<Result<Captured, Refused>>;

fn write_answer(results: &Answer) -> String {
    serde_json::to_string(results).unwrap_or_default()
}

fn read_answer(answer: &str) -> Result<Results, Error> {
    serde_json::from_str(answer)
        .map_err(|error| Error::fault(format!("a stored answer cannot be read: {error}")))
}

/// An intake that was checked, and the lead that it belongs to.
pub struct Prepared {
    pub results: Vec<Result<Place, Refused>>,
    pub people: Vec<Intaken>,
}

/// Which of the people an intake became.
#[derive(Clone, Copy)]
pub struct Place(pub usize);

/// One person with everything that the request says of it; several intakes may belong to the same person.
pub struct Intaken {
    pub lead: Uuid,
    pub known: bool,
    pub person: Person,
    pub account: Option<(Account, bool)>,
    pub campaign: Option<Uuid>,
    pub source: String,
    pub channel: Channel,
    pub refs: Vec<ExternalRef>,
    pub anonymous: Vec<String>,
    pub traits: BTreeMap<String, Value>,
    pub touches: Vec<Touchpoint>,
    pub submissions: Vec<Submission>,
    pub expectation: Option<Expectation>,
    /// Key and version of the form that it came by last.
    pub form: Option<String>,
    pub at: Instant,
    pub high_intent: bool,
    pub stage: Option<StageKind>,
    pub owner: Option<Uuid>,
}

/// Checks the intakes and finds out who is known, in four statements for any number of them. `newer` are accounts by
/// domain that the database does not show yet as they will be.
pub async fn prepare(
    app: &App,
    workspace: &Workspace,
    intakes: &[Intake],
    now: Instant,
    newer: &BTreeMap<String, Account>,
) -> Result<Prepared, Error> {
    let checked: Vec<Result<Intake, Refused>> =
        intakes.iter().map(|intake| check(workspace, intake, now)).collect();
    let good = || checked.iter().filter_map(|result| result.as_ref().ok());
    let emails: Vec<String> = good().filter_map(|intake| intake.email.clone()).collect();
    let phones: Vec<String> = good().filter_map(|intake| intake.phone.clone()).collect();
    let refs: Vec<ExternalRef> =
        good().filter_map(|intake| intake.external.clone()).map(external_ref).collect();
    let domains: Vec<String> = good().filter_map(account_domain).collect();
    let db = app.store.read();
    let mut known = identities(db, &emails, &phones, &refs).await?;
    let suppressed = suppressed(app, emails.iter().chain(&phones), &known).await?;
    let accounts = if domains.is_empty() { vec![] } else { accounts_by_domain(db, &domains).await? };
    let mut accounts: BTreeMap<String, (Account, bool)> =
        accounts.into_iter().filter_map(|a| Some((a.domain.clone()?, (a, false)))).collect();
    let newer = domains.iter().filter_map(|domain| Some((domain.clone(), newer.get(domain)?.clone())));
    accounts.extend(newer.map(|(domain, account)| (domain, (account, false))));
    let mut people: Vec<Intaken> = vec![];
    let mut places: BTreeMap<Uuid, usize> = BTreeMap::new();
    let mut results = Vec::with_capacity(checked.len());
    for (index, intake) in checked.into_iter().enumerate() {
        let intake = match intake {
            Ok(intake) => intake,
            Err(refused) => {
                results.push(Err(refused.at(&format!("input/leads/{index}"))));
                continue;
            }
        };
        let external = intake.external.clone().map(external_ref);
        let by_email = intake.email.as_ref().and_then(|email| known.emails.get(email));
        let by_phone = intake.phone.as_ref().and_then(|phone| known.phones.get(phone));
        let by_ref = external.as_ref().and_then(|at| known.refs.get(at));
        let found = by_ref.or(by_email).or(by_phone).copied();
        let asked = |address: &Option<String>| address.as_ref().is_some_and(|one| suppressed.contains(one));
        if found.is_none() && (asked(&intake.email) || asked(&intake.phone)) {
            results.push(Err(left_alone()));
            continue;
        }
        let lead = found.unwrap_or_else(|| app.id());
        // Later intakes of the same request find this one.
        intake.email.iter().for_each(|email| _ = known.emails.entry(email.clone()).or_insert(lead));
        intake.phone.iter().for_each(|phone| _ = known.phones.entry(phone.clone()).or_insert(lead));
        external.iter().for_each(|at| _ = known.refs.entry(at.clone()).or_insert(lead));
        let place = *places.entry(lead).or_insert_with(|| {
            people.push(blank(app, lead, found.is_some(), &intake, now));
            people.len() - 1
        });
        let account = account(app, &intake, &mut accounts, now);
        absorb(app, workspace, &mut people[place], intake, external, account, now);
        results.push(Ok(Place(place)));
    }
    Ok(Prepared { results, people })
}

fn left_alone() -> Refused {
    let message = "this person asked not to be contacted; nothing was recorded";
    Refused::new(RefusalCode::Suppressed, message)
}

/// Those addresses of unknown people that are to be left in peace.
async fn suppressed<'a>(
    app: &App,
    addresses: impl Iterator<Item = &'a String>,
    known: &Identities,
) -> Result<BTreeSet<String>, Error> {
    let unknown =
        addresses.filter(|one| !known.emails.contains_key(*one) && !known.phones.contains_key(*one));
    let hashes: BTreeMap<[u8; 32], &String> =
        unknown.map(|one| (suppression::hash(app.store.secret(), one), one)).collect();
    let list: Vec<[u8; 32]> = hashes.keys().copied().collect();
    let found = suppression::known(app.store.read(), &list).await?;
    Ok(found.iter().filter_map(|hash| hashes.get(hash).map(|one| (*one).clone())).collect())
}

fn blank(app: &App, lead: Uuid, known: bool, intake: &Intake, now: Instant) -> Intaken {
    let at = intake.occurred_at.unwrap_or(now);
    let person = Person { id: app.id(), created_at: now.ms(), ..Person::default() };
    Intaken {
        lead,
        known,
        person,
        account: None,
        campaign: None,
        source: intake.source.clone().unwrap_or_default(),
        channel: intake.channel.unwrap_or(Channel::Other),
        refs: vec![],
        anonymous: vec![],
        traits: BTreeMap::new(),
        touches: vec![],
        submissions: vec![],
        expectation: None,
        form: None,
        at,
        high_intent: false,
        stage: None,
        owner: None,
    }
}

fn absorb(
    app: &App,
    workspace: &Workspace,
    one: &mut Intaken,
    intake: Intake,
    external: Option<ExternalRef>,
    account: Option<(Account, bool)>,
    now: Instant,
) {
    let submission = submission(app, workspace, one.lead, &intake, now);
    if let Some((submission, key)) = submission.as_ref().zip(intake.form.as_ref()) {
        one.form = Some(format!("form {key}, version {}", submission.version));
    }
    one.submissions.extend(submission);
    let campaign = intake.campaign.as_deref().and_then(|key| workspace.campaign_by_key(key));
    let person = &mut one.person;
    let newer = |new: Option<String>, old: &mut Option<String>| {
        if new.is_some() {
            *old = new;
        }
    };
    newer(intake.email, &mut person.email);
    newer(intake.phone, &mut person.phone);
    newer(intake.name, &mut person.name);
    newer(intake.title, &mut person.title);
    newer(intake.seniority, &mut person.seniority);
    newer(intake.department, &mut person.department);
    newer(intake.country, &mut person.country);
    person.consent = intake.consent.or(person.consent);
    if account.is_some() {
        one.account = account;
    }
    one.campaign = one.campaign.or(campaign.map(|campaign| campaign.id));
    one.refs.extend(external.clone());
    one.stage = intake.stage.max(one.stage);
    one.owner = intake.owner.and_then(|key| user(workspace, &key).ok()).or(one.owner);
    one.expectation = intake.expectation.or(one.expectation.take());
    one.anonymous.extend(intake.anonymous_id);
    for (key, text) in intake.traits {
        if let Some(value) = trait_value(workspace, &key, &text) {
            one.traits.insert(key, value);
        }
    }
    let channel = intake.channel.or(campaign.map(|campaign| campaign.channel)).unwrap_or(Channel::Other);
    let occurred_at = intake.occurred_at.unwrap_or(now);
    if !one.known && one.touches.is_empty() {
        one.channel = channel;
    }
    one.high_intent |=
        intake.content.as_ref().is_some_and(|content| workspace.charter.body.high_intent.contains(content));
    one.touches.push(Touchpoint {
        id: app.id(),
        lead: Some(one.lead),
        anonymous_id: None,
        campaign: campaign.map(|campaign| campaign.id),
        channel,
        source: intake.source,
        medium: None,
        content: intake.content,
        occurred_at,
        received_at: now,
        external: intake.touch.map(external_ref),
    });
}

/// By which version of which form it came, and what that filled. That nothing is missing was checked before.
fn submission(
    app: &App,
    workspace: &Workspace,
    lead: Uuid,
    intake: &Intake,
    now: Instant,
) -> Option<Submission> {
    let form = form::find(workspace, intake.form.as_deref()?)?;
    let version = form.current()?;
    let filled = form::filled(version, intake).ok()?;
    let at = intake.occurred_at.unwrap_or(now);
    Some(Submission { id: app.id(), form: form.id, version: version.number, lead, at, filled })
}

fn account(
    app: &App,
    intake: &Intake,
    accounts: &mut BTreeMap<String, (Account, bool)>,
    now: Instant,
) -> Option<(Account, bool)> {
    let domain = account_domain(intake);
    let company = intake.company.clone().unwrap_or_default();
    let name = company.name.clone().or_else(|| domain.clone())?;
    let blank = || Account {
        id: app.id(),
        name: name.clone(),
        domain: domain.clone(),
        created_at: now.ms(),
        ..Account::default()
    };
    let known = domain.as_ref().and_then(|domain| accounts.get(domain).cloned());
    let (mut account, _) = known.unwrap_or_else(|| (blank(), true));
    let before = account.clone();
    account.name = company.name.unwrap_or(account.name);
    account.industry = company.industry.or(account.industry);
    account.employees = company.employees.or(account.employees);
    account.annual_revenue = company.annual_revenue.or(account.annual_revenue);
    account.country = company.country.or(account.country);
    account.region = company.region.or(account.region);
    let uses = Incumbent {
        vendor: company.incumbent_vendor,
        product: company.incumbent,
        contract_ends_at: company.incumbent_ends_at,
    };
    let source = intake.source.as_deref().filter(|source| !source.is_empty()).unwrap_or("capture");
    account.now_uses(uses, source, intake.occurred_at.unwrap_or(now));
    let changed = account != before
        || domain.as_ref().is_none_or(|domain| accounts.get(domain).is_none_or(|known| known.1));
    if let Some(domain) = &domain {
        accounts.insert(domain.clone(), (account.clone(), changed));
    }
    Some((account, changed))
}

/// The account is recognised by its own domain; a mailbox at a free provider says nothing about a company.
fn account_domain(intake: &Intake) -> Option<String> {
    let named = intake.company.as_ref().and_then(|company| company.domain.clone());
    let mail = || {
        intake.email.as_ref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain.to_owned())
    };
    let named = named.map(|domain| domain.trim().trim_start_matches("www.").to_lowercase());
    named.or_else(|| mail().filter(|domain| !FREE_MAIL.contains(&domain.as_str())))
}

const FREE_MAIL: [&str; 12] = [
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "yahoo.com",
    "icloud.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "proton.me",
    "aol.com",
];

/// From prepared people to one plan: new leads are captured, known ones enriched, and all are judged together.
pub async fn plan(
    app: &App,
    workspace: &Workspace,
    scene: handfast_domain::change::Scene<'_>,
    prepared: Prepared,
) -> Result<(Plan, Results), Error> {
    let Prepared { results, people } = prepared;
    let known: Vec<Uuid> = people.iter().filter(|one| one.known).map(|one| one.lead).collect();
    let db = app.store.read();
    let mut journeys = handfast_store::lead::journeys(db, &known).await?;
    let stored = handfast_store::lead::leads(db, &known).await?;
    let persons: BTreeMap<Uuid, Uuid> =
        stored.into_iter().map(|stored| (stored.lead.id, stored.person)).collect();
    let mut profiles = handfast_store::profile::profiles(db, &known, &workspace.readable_traits()).await?;
    // What somebody did before it had a name belongs to what the rules see.
    let visitors: Vec<String> = people.iter().flat_map(|one| one.anonymous.iter().cloned()).collect();
    let visits = handfast_store::touchpoint::visits(db, &visitors).await?;
    let mut plan = Plan::default();
    let (mut subjects, mut drafts) = (vec![], vec![]);
    let mut created = vec![];
    let mut refused: BTreeMap<usize, Refused> = BTreeMap::new();
    for (place, one) in people.iter().enumerate() {
        created.push(!one.known);
        let journey = match journeys.remove(&one.lead) {
            Some(journey) => journey,
            None => Journey::blank(one.lead, one.at),
        };
        // A row of the past that comes late moves nobody before its own beginning.
        let told_at = one.at.max(journey.cycle.opened_at);
        let scene =
            handfast_domain::change::Scene { at: if scene.live { scene.at } else { told_at }, ..scene };
        let cycle = journey.lead.cycle;
        let mut draft = Draft::new(journey, scene);
        let started = start(&mut draft, one).and_then(|()| assert(&mut draft, one));
        // What sales has already is sealed: whoever comes again then changes nothing of it.
        let mut stated = |one: &Expectation| draft.expect_first_meeting(one, false).is_ok();
        let expectation = one.expectation.clone().filter(|one| started.is_ok() && stated(one));
        if let Err(why) = started {
            refused.insert(place, why);
            continue;
        }
        let mut profile = profiles.remove(&one.lead).unwrap_or_default();
        if draft.journey.lead.cycle != cycle {
            profile.begin_cycle();
        }
        for visit in visits
            .iter()
            .filter(|visit| visit.anonymous_id.as_ref().is_some_and(|id| one.anonymous.contains(id)))
        {
            profile.engagement.record(visit.channel, visit.content.as_deref(), visit.occurred_at);
        }
        describe(app, workspace, one, &mut profile);
        profile.expectation = expectation.or(profile.expectation);
        write_records(&mut plan, one, &profile, persons.get(&one.lead).copied(), &scene);
        if draft.journey.is_open() && draft.journey.lead.stage < StageKind::Mql {
            let (journey, high_intent, as_of) = (draft.journey.clone(), one.high_intent, scene.at);
            subjects.push(Subject { journey, profile, high_intent, as_of });
            drafts.push((place, draft));
        } else if !draft.is_empty() {
            plan.changes.push(draft.finish());
        }
    }
    if scene.live {
        // Whoever comes again without anything new that the rules read is left alone.
        let same = drafts.iter().zip(&subjects).filter(|((place, draft), subject)| {
            people[*place].known && draft.is_empty() && !subject.high_intent
        });
        let unchanged = reevaluation::unchanged(app, workspace, same.map(|(_, subject)| subject)).await?;
        let changed = |(subject, _): &(Subject, _)| !unchanged.contains(&subject.journey.lead.id);
        (subjects, drafts) = subjects.into_iter().zip(drafts).filter(changed).unzip();
        let older = plan.accounts.iter().filter(|account| account.created_at < scene.now.ms());
        plan.reevaluations = reevaluation::of_accounts(app, workspace, older);
    }
    let cause = scene.cause;
    let judged = evaluate::judge(app, workspace, cause, &subjects).await;
    let (places, drafts): (Vec<usize>, Vec<Draft<'_>>) = drafts.into_iter().unzip();
    let changes = evaluate::changes(app, workspace, scene, subjects, judged, drafts).await?;
    for (place, change) in places.into_iter().zip(changes) {
        match change {
            Ok(change) => plan.changes.push(change),
            Err(why) => drop(refused.insert(place, why)),
        }
    }
    let answers = results.into_iter().map(|result| {
        let Place(place) = result?;
        match refused.get(&place) {
            Some(why) => Err(why.clone()),
            None => Ok(Captured { lead: people[place].lead, created: created[place] }),
        }
    });
    Ok((plan, answers.collect()))
}

/// A new person is captured; a known one comes back if it may.
fn start(draft: &mut Draft<'_>, one: &Intaken) -> Result<(), Refused> {
    if !one.known {
        return draft.capture(Capture {
            account: one.account.as_ref().map(|(account, _)| account.id),
            campaign: one.campaign,
            source: one.source.clone(),
            channel: one.channel,
        });
    }
    if draft.journey.lead.suppressed {
        return Err(left_alone());
    }
    match draft.journey.lead.comes_back_by().filter(|_| one.high_intent) {
        Some(by) => draft.requalify(by),
        None => Ok(()),
    }
}

/// What an import says of the lead besides: where it stood, and who had it.
fn assert(draft: &mut Draft<'_>, one: &Intaken) -> Result<(), Refused> {
    match one.stage {
        Some(StageKind::Customer) if draft.journey.is_open() => draft.assert_won(None)?,
        Some(stage) if stage > draft.journey.lead.stage => draft.advance(stage, None, true)?,
        _ => {}
    }
    match one.owner {
        Some(owner) => draft.assert_owner(owner),
        None => Ok(()),
    }
}

/// Puts what this request says into the profile that the rules will see.
fn describe(app: &App, workspace: &Workspace, one: &Intaken, profile: &mut Profile) {
    if profile.salt.is_empty() {
        profile.salt = salt(app);
    }
    let person = &one.person;
    let Contact { title, seniority, department, country, email_domain, consent } = &mut profile.contact;
    let newer = |new: &Option<String>, old: &mut Option<String>| {
        if new.is_some() {
            old.clone_from(new);
        }
    };
    newer(&person.title, title);
    newer(&person.seniority, seniority);
    newer(&person.department, department);
    newer(&person.country, country);
    let domain =
        person.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain.to_owned());
    newer(&domain, email_domain);
    *consent = person.consent.or(*consent);
    if let Some((account, _)) = &one.account {
        profile.company = Company {
            industry: account.industry.clone(),
            employees: account.employees,
            annual_revenue: account.annual_revenue,
            country: account.country.clone(),
            region: account.region.clone(),
            incumbent: account.uses(),
        };
    }
    if profile.campaign.is_none() {
        let campaign = one.campaign.and_then(|id| workspace.campaign(id));
        profile.campaign =
            campaign.map(|c| Source { key: c.key.clone(), kind: c.kind.clone(), channel: c.channel });
    }
    for touch in &one.touches {
        profile.engagement.record(touch.channel, touch.content.as_deref(), touch.occurred_at);
    }
    let readable = workspace.trait_kinds();
    for (key, value) in one.traits.iter().filter(|(key, _)| readable.contains_key(*key)) {
        profile.traits.insert(key.clone(), value.clone());
    }
}

fn write_records(
    plan: &mut Plan,
    one: &Intaken,
    profile: &Profile,
    person: Option<Uuid>,
    scene: &handfast_domain::change::Scene<'_>,
) {
    let origin = match &one.form {
        _ if scene.cause == Cause::Import => FactOrigin::Import,
        Some(_) => FactOrigin::Form,
        None => FactOrigin::Capture,
    };
    match person {
        Some(person) => plan.enriched.push(Person { id: person, ..one.person.clone() }),
        None => {
            plan.people.push(one.person.clone());
            let salt = profile.salt.clone();
            plan.created.push(NewLead { id: one.lead, person: one.person.id, salt });
        }
    }
    if let Some((account, changed)) = &one.account {
        let known = plan.accounts.iter_mut().find(|other| other.id == account.id);
        match known {
            Some(known) => known.clone_from(account),
            None if *changed => plan.accounts.push(account.clone()),
            None => {}
        }
    }
    plan.refs.extend(one.refs.iter().map(|at| (at.clone(), one.lead)));
    plan.adopted.extend(one.anonymous.iter().map(|visitor| (visitor.clone(), one.lead)));
    plan.touches.extend(one.touches.iter().cloned());
    plan.submissions.extend(one.submissions.iter().cloned());
    plan.traits.extend(one.traits.iter().map(|(key, value)| Trait {
        lead: one.lead,
        key: key.clone(),
        value: value.clone(),
        source: one.source.clone(),
        observed_at: one.at.min(scene.now),
        origin: Some(origin),
        evidence: one.form.clone(),
        recorded_by: scene.actor.user,
    }));
}

/// Random per lead; from the id source, so that tests can repeat it.
fn salt(app: &App) -> String {
    Digest::of("salt", 1, &(app.id(), app.id())).to_string()[..32].to_owned()
}

fn external_ref((system, id): (String, String)) -> ExternalRef {
    ExternalRef { system, id }
}
