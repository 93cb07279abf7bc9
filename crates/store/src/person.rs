//! People and accounts: contact data lives here and, sealed, in packets, snapshots and notes.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::field::Value as FieldValue;
use handfast_domain::incumbent::Incumbent;
use handfast_domain::lead_fact::FactOrigin;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed_opt};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::rows::{columns, execute, fetch_all, insert_new_rows, insert_rows, upsert_rows};
use crate::tx::Tx;

/// A person with contact data. E-mails are lower-case, phones in E.164.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub id: Uuid,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub title: Option<String>,
    pub seniority: Option<String>,
    pub department: Option<String>,
    pub country: Option<String>,
    pub consent: Option<bool>,
    pub created_at: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub id: Uuid,
    pub name: String,
    /// Unique; how accounts are recognised.
    pub domain: Option<String>,
    pub industry: Option<String>,
    pub employees: Option<i64>,
    pub annual_revenue: Option<i64>,
    pub country: Option<String>,
    pub region: Option<String>,
    /// The product that it uses today.
    pub incumbent: Option<String>,
    pub incumbent_vendor: Option<String>,
    pub incumbent_ends_at: Option<i64>,
    /// Who says so, and since when.
    pub incumbent_source: Option<String>,
    pub incumbent_at: Option<i64>,
    pub created_at: i64,
}

impl Account {
    /// What the company uses today.
    pub fn uses(&self) -> Incumbent {
        Incumbent {
            vendor: self.incumbent_vendor.clone(),
            product: self.incumbent.clone(),
            contract_ends_at: self.incumbent_ends_at.map(Instant),
        }
    }

    /// Fills in what is known of it by then; answers whether that is news. What was known before that moment changes nothing that is
    /// known since; and where another product is named without an end, the end of the one before says nothing any more.
    pub fn now_uses(&mut self, known: Incumbent, source: &str, at: Instant) -> bool {
        let Incumbent { vendor, product, contract_ends_at } = known;
        let before = self.uses();
        if self.incumbent_at.is_some_and(|since| since > at.ms()) {
            return false;
        }
        let other = |new: &Option<String>, old: &Option<String>| new.is_some() && old.is_some() && new != old;
        if other(&vendor, &before.vendor) || other(&product, &before.product) {
            self.incumbent_ends_at = None;
        }
        self.incumbent_vendor = vendor.or(self.incumbent_vendor.take());
        self.incumbent = product.or(self.incumbent.take());
        self.incumbent_ends_at = contract_ends_at.map(Instant::ms).or(self.incumbent_ends_at);
        let news = self.uses() != before;
        if news {
            (self.incumbent_source, self.incumbent_at) = (Some(source.to_owned()), Some(at.ms()));
        }
        news
    }
}

/// An identity in another system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalRef {
    pub system: String,
    pub id: String,
}

/// A typed value that somebody observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trait {
    pub lead: Uuid,
    pub key: String,
    pub value: FieldValue,
    pub source: String,
    pub observed_at: Instant,
    /// How it came to be known; none of values that were kept before that was.
    pub origin: Option<FactOrigin>,
    /// What it rests on.
    pub evidence: Option<String>,
    /// Who wrote it down.
    pub recorded_by: Option<Uuid>,
}

columns!("p": Person { id, name, email, phone, title, seniority, department, country, consent, created_at });
columns!("a": Account { id, name, domain, industry, employees, annual_revenue, country, region, incumbent, incumbent_vendor, incumbent_ends_at, incumbent_source, incumbent_at, created_at });

pub async fn people(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Person>> {
    let sql = format!("SELECT {} FROM person p WHERE p.id {}", Person::COLUMNS, list(db));
    fetch_all(db, &sql, vec![dialect::uuids(ids)]).await
}

pub async fn accounts(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Account>> {
    let sql = format!("SELECT {} FROM account a WHERE a.id {}", Account::COLUMNS, list(db));
    fetch_all(db, &sql, vec![dialect::uuids(ids)]).await
}

pub async fn accounts_by_domain(db: &impl ConnectionTrait, domains: &[String]) -> Result<Vec<Account>> {
    let texts = Dialect::of(db.get_database_backend()).text_list("$1");
    let sql = format!("SELECT {} FROM account a WHERE a.domain {texts}", Account::COLUMNS);
    fetch_all(db, &sql, vec![dialect::texts(domains)]).await
}

pub async fn insert_people(tx: &Tx, people: Vec<Person>) -> Result<()> {
    let rows = people.into_iter().map(|person| {
        let Person { id, name, email, phone, title, seniority, department, country, consent, created_at } =
            person;
        vec![
            id.into(),
            name.into(),
            email.into(),
            phone.into(),
            title.into(),
            seniority.into(),
            department.into(),
            country.into(),
            consent.into(),
            created_at.into(),
        ]
    });
    let columns = &[
        "id",
        "name",
        "email",
        "phone",
        "title",
        "seniority",
        "department",
        "country",
        "consent",
        "created_at",
    ];
    insert_rows(tx, "person", columns, rows.collect()).await?;
    Ok(())
}

/// Fills in what was unknown and replaces what is known better now; nothing is forgotten.
pub async fn enrich_person(tx: &Tx, person: &Person) -> Result<()> {
    let sql = "UPDATE person SET name = coalesce($1, name), email = coalesce(email, $2), phone = coalesce(phone, $3), \
               title = coalesce($4, title), seniority = coalesce($5, seniority), department = coalesce($6, department), \
               country = coalesce($7, country), consent = coalesce($8, consent) WHERE id = $9";
    let Person { id, name, email, phone, title, seniority, department, country, consent, created_at: _ } =
        person.clone();
    let values = vec![
        name.into(),
        email.into(),
        phone.into(),
        title.into(),
        seniority.into(),
        department.into(),
        country.into(),
        consent.into(),
        id.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// In the order of their ids, so that no two commands wait for each other.
pub async fn upsert_accounts(tx: &Tx, mut accounts: Vec<Account>) -> Result<()> {
    accounts.sort_by_key(|account| account.id);
    let rows = accounts.into_iter().map(|account| {
        let Account {
            id,
            name,
            domain,
            industry,
            employees,
            annual_revenue,
            country,
            region,
            incumbent,
            incumbent_vendor,
            incumbent_ends_at,
            incumbent_source,
            incumbent_at,
            created_at,
        } = account;
        vec![
            id.into(),
            name.into(),
            domain.into(),
            industry.into(),
            employees.into(),
            annual_revenue.into(),
            country.into(),
            region.into(),
            incumbent.into(),
            incumbent_vendor.into(),
            incumbent_ends_at.into(),
            incumbent_source.into(),
            incumbent_at.into(),
            created_at.into(),
        ]
    });
    let columns = &[
        "id",
        "name",
        "domain",
        "industry",
        "employees",
        "annual_revenue",
        "country",
        "region",
        "incumbent",
        "incumbent_vendor",
        "incumbent_ends_at",
        "incumbent_source",
        "incumbent_at",
        "created_at",
    ];
    upsert_rows(tx, "account", columns, &["id"], rows.collect()).await?;
    Ok(())
}

pub async fn insert_refs(tx: &Tx, refs: Vec<(ExternalRef, Uuid)>) -> Result<()> {
    let rows = refs.into_iter().map(|(at, lead)| vec![at.system.into(), at.id.into(), lead.into()]);
    insert_new_rows(
        tx,
        "external_ref",
        &["system", "external_id", "lead"],
        &["system", "external_id"],
        rows.collect(),
    )
    .await?;
    Ok(())
}

const TRAIT: &str = "lead, key, value, source, observed_at, origin, evidence, recorded_by";
const TRAIT_COLUMNS: [&str; 8] =
    ["lead", "key", "value", "source", "observed_at", "origin", "evidence", "recorded_by"];

/// The value that was observed last counts; what it replaces, and what comes too late, is kept as history.
pub async fn put_traits(tx: &Tx, observed: Vec<Trait>) -> Result<()> {
    if observed.is_empty() {
        return Ok(());
    }
    let leads: BTreeSet<Uuid> = observed.iter().map(|one| one.lead).collect();
    let leads: Vec<Uuid> = leads.into_iter().collect();
    let known = traits(tx, &leads).await?.into_iter().map(|one| ((one.lead, one.key.clone()), one));
    let mut known: BTreeMap<(Uuid, String), Trait> = known.collect();
    let (mut changed, mut older) = (BTreeSet::new(), vec![]);
    for one in observed {
        let place = (one.lead, one.key.clone());
        match known.get_mut(&place) {
            Some(kept) if kept.observed_at > one.observed_at => {
                if kept.value != one.value {
                    older.push(one);
                }
            }
            Some(kept) => {
                let before = std::mem::replace(kept, one);
                if before.value != kept.value {
                    older.push(before);
                }
                changed.insert(place);
            }
            None => {
                known.insert(place.clone(), one);
                changed.insert(place);
            }
        }
    }
    let row = |one: Trait| -> Result<Vec<sea_orm::Value>> {
        let Trait { lead, key, value, source, observed_at, origin, evidence, recorded_by } = one;
        Ok(vec![
            lead.into(),
            key.into(),
            json(&value)?.into(),
            source.into(),
            observed_at.ms().into(),
            origin.map(FactOrigin::as_str).into(),
            evidence.into(),
            recorded_by.into(),
        ])
    };
    let now = known.into_iter().filter(|(place, _)| changed.contains(place)).map(|(_, one)| row(one));
    let now = now.collect::<Result<Vec<_>>>()?;
    upsert_rows(tx, "trait", &TRAIT_COLUMNS, &["lead", "key"], now).await?;
    let older = older.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    let key = &["lead", "key", "observed_at", "source"];
    insert_new_rows(tx, "trait_history", &TRAIT_COLUMNS, key, older).await?;
    Ok(())
}

/// Which leads are known under these identities.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    pub emails: BTreeMap<String, Uuid>,
    pub phones: BTreeMap<String, Uuid>,
    pub refs: BTreeMap<ExternalRef, Uuid>,
}

#[derive(FromQueryResult)]
struct Known {
    identity: String,
    lead: Uuid,
}

pub async fn identities(
    db: &impl ConnectionTrait,
    emails: &[String],
    phones: &[String],
    refs: &[ExternalRef],
) -> Result<Identities> {
    let texts = Dialect::of(db.get_database_backend()).text_list("$1");
    let mut found = Identities::default();
    for (column, values, into) in [("email", emails, &mut found.emails), ("phone", phones, &mut found.phones)]
    {
        if values.is_empty() {
            continue;
        }
        let sql = format!(
            "SELECT p.{column} AS identity, coalesce(l.merged_into, l.id) AS lead FROM person p \
             JOIN lead l ON l.person = p.id WHERE p.{column} {texts}"
        );
        let rows: Vec<Known> = fetch_all(db, &sql, vec![dialect::texts(values)]).await?;
        into.extend(rows.into_iter().map(|row| (row.identity, row.lead)));
    }
    let mut systems: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for at in refs {
        systems.entry(&at.system).or_default().push(&at.id);
    }
    for (system, ids) in systems {
        let sql = format!(
            "SELECT external_id AS identity, lead FROM external_ref WHERE external_id {texts} AND system = $2"
        );
        let rows: Vec<Known> = fetch_all(db, &sql, vec![dialect::texts(ids), system.into()]).await?;
        let named = rows
            .into_iter()
            .map(|row| (ExternalRef { system: system.to_owned(), id: row.identity }, row.lead));
        found.refs.extend(named);
    }
    Ok(found)
}

/// Those of the leads whose person does not consent to be marketed to.
pub async fn unwilling(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<BTreeSet<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
    }
    let sql = format!(
        "SELECT l.id FROM lead l JOIN person p ON p.id = l.person WHERE l.id {} AND p.consent = false",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// E-mails and phones of any number of leads.
pub async fn addresses(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<Vec<String>> {
    #[derive(FromQueryResult)]
    struct Row {
        email: Option<String>,
        phone: Option<String>,
    }
    let sql = format!(
        "SELECT p.email, p.phone FROM lead l JOIN person p ON p.id = l.person WHERE l.id {}",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    Ok(rows.into_iter().flat_map(|row| row.email.into_iter().chain(row.phone)).collect())
}

#[derive(FromQueryResult)]
struct TraitRow {
    lead: Uuid,
    key: String,
    value: String,
    source: String,
    observed_at: i64,
    origin: Option<String>,
    evidence: Option<String>,
    recorded_by: Option<Uuid>,
}

impl TraitRow {
    fn decode(self) -> Result<Trait> {
        let place = |column: &'static str| Place("trait", column, &self.lead);
        let value = decode::json(place("value"), &self.value)?;
        let origin = closed_opt(place("origin"), self.origin.as_deref(), FactOrigin::parse)?;
        let TraitRow { lead, key, source, observed_at, evidence, recorded_by, .. } = self;
        let observed_at = Instant(observed_at);
        Ok(Trait { lead, key, value, source, observed_at, origin, evidence, recorded_by })
    }
}

/// Traits of these leads, by key.
pub async fn traits(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<Vec<Trait>> {
    let sql = format!("SELECT {TRAIT} FROM trait WHERE lead {} ORDER BY lead, key", list(db));
    let rows: Vec<TraitRow> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter().map(TraitRow::decode).collect()
}

/// Values that the traits of these leads had before, by key, the newest first and of each key the newest few.
pub async fn trait_history(db: &impl ConnectionTrait, leads: &[Uuid], few: usize) -> Result<Vec<Trait>> {
    let sql = format!(
        "SELECT {TRAIT} FROM (SELECT h.*, row_number() OVER (PARTITION BY h.lead, h.key ORDER BY h.observed_at DESC, h.source) \
         AS rank FROM trait_history h WHERE h.lead {}) ranked WHERE rank <= $2 ORDER BY lead, key, observed_at DESC, source",
        list(db)
    );
    let few = i64::try_from(few).unwrap_or(i64::MAX);
    let rows: Vec<TraitRow> = fetch_all(db, &sql, vec![dialect::uuids(leads), few.into()]).await?;
    rows.into_iter().map(TraitRow::decode).collect()
}

/// When the contract of what a company uses today ends, as far as that is known.
pub async fn incumbent(db: &impl ConnectionTrait, account: Uuid) -> Result<Incumbent> {
    let found = accounts(db, &[account]).await?;
    Ok(found.first().map(Account::uses).unwrap_or_default())
}
