//! Forms: defined by marketing, version by version; a capture by one is held against what it asks.

use std::collections::BTreeMap;

use handfast_domain::feedback::EffectKind;
use handfast_domain::field::nearest;
use handfast_domain::form::{
    FormDefinition, FormField, FormVersion, Usefulness, fillable, is_fillable, path_of, usefulness,
};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_store::form as rows;
use uuid::Uuid;

use super::capture::Intake;
use super::check::Checks;
use super::commit::Ask;
use super::window::Window;
use super::{Error, document, scope};
use crate::app::App;
use crate::workspace::Workspace;

const FIELDS: usize = 50;
const VERSIONS: usize = 200;

pub struct NewForm {
    pub key: String,
    pub name: String,
    pub fields: Vec<FormField>,
    /// Feedback that it is made of.
    pub based_on: Vec<Uuid>,
}

/// Defines a form, or a new version of it where its fields are others.
pub async fn define(app: &App, ask: &Ask<'_>, new: NewForm) -> Result<FormDefinition, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, "define a form")?;
    let NewForm { key, name, fields, based_on } = new;
    let (workspace, now) = (app.workspace(), app.now());
    let mut checks = Checks::default();
    checks.key("key", &key);
    checks.text("name", &name, 128);
    checks.need((1..=FIELDS).contains(&fields.len()), "fields", || {
        format!("1 to {FIELDS} fields, found {}", fields.len())
    });
    for (place, field) in fields.iter().take(FIELDS).enumerate() {
        let path = format!("fields/{place}");
        checks.text(&format!("{path}/label"), &field.label, 200);
        if let Some(problem) = problem(&workspace, &field.fills) {
            checks.say(&format!("{path}/fills"), problem);
        }
        let twice = fields[..place].iter().any(|other| other.fills == field.fills);
        checks.need(!twice, &format!("{path}/fills"), || format!("{} is asked twice", field.fills));
    }
    let identity = fields.iter().any(|field| ["email", "phone"].contains(&field.fills.as_str()));
    checks.need(identity, "fields", || {
        "a form asks for an e-mail or a phone: a lead needs an identity".to_owned()
    });
    checks.done()?;
    let basis = based_on.clone();
    let caused = Some((EffectKind::Form, based_on));
    document::put_based_on(app, ask, caused, move |all: &[FormDefinition], id| {
        let before = all.iter().find(|form| form.key == key).cloned();
        let mut form = before.unwrap_or(FormDefinition { id, key, name: String::new(), versions: vec![] });
        form.name = name;
        if form.current().is_none_or(|current| current.fields != fields) {
            if form.versions.len() >= VERSIONS {
                let message = format!("a form has at most {VERSIONS} versions; define another form");
                return Err(vec![Refused::invalid("input/key", message)]);
            }
            let number = form.current().map_or(1, |current| current.number + 1);
            form.versions.push(FormVersion { number, fields, defined_at: now, based_on: basis });
        }
        Ok(form)
    })
    .await
}

fn problem(workspace: &Workspace, fills: &str) -> Option<String> {
    let traits = workspace.traits.iter().map(|one| format!("traits.{}", one.key));
    let known = match fills.starts_with("traits.") {
        true => traits.clone().any(|one| one == fills),
        false => is_fillable(fills),
    };
    if known {
        return None;
    }
    let shown: String = fills.chars().take(80).collect();
    let near = nearest(fills, fillable().map(str::to_owned).chain(traits));
    let hint = if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) };
    Some(format!("nothing of a lead is {shown:?}{hint}; a trait is defined by defineTrait"))
}

pub fn find(workspace: &Workspace, key: &str) -> Option<std::sync::Arc<FormDefinition>> {
    workspace.forms.iter().find(|form| form.key == key).cloned()
}

/// Which fields of the form an intake fills; refused if a required one is empty.
pub fn filled(version: &FormVersion, intake: &Intake) -> Result<Vec<String>, Refused> {
    let missing = version.fields.iter().find(|field| field.required && !fills(intake, &field.fills));
    if let Some(field) = missing {
        let path = field.fills.replace('.', "/");
        let label: String = field.label.chars().take(80).collect();
        let message = format!(
            "version {} of the form asks for {} ({label}), which is missing",
            version.number, field.fills
        );
        return Err(Refused::invalid(&path, message));
    }
    let filled = version.fields.iter().filter(|field| fills(intake, &field.fills));
    Ok(filled.map(|field| field.fills.clone()).collect())
}

fn fills(intake: &Intake, what: &str) -> bool {
    let company = intake.company.as_ref();
    match what {
        "email" => intake.email.is_some(),
        "phone" => intake.phone.is_some(),
        "name" => intake.name.is_some(),
        "title" => intake.title.is_some(),
        "seniority" => intake.seniority.is_some(),
        "department" => intake.department.is_some(),
        "country" => intake.country.is_some(),
        "consent" => intake.consent.is_some(),
        "company.name" => company.is_some_and(|company| company.name.is_some()),
        "company.domain" => company.is_some_and(|company| company.domain.is_some()),
        "company.industry" => company.is_some_and(|company| company.industry.is_some()),
        "company.employees" => company.is_some_and(|company| company.employees.is_some()),
        "company.annualRevenue" => company.is_some_and(|company| company.annual_revenue.is_some()),
        "company.country" => company.is_some_and(|company| company.country.is_some()),
        "company.region" => company.is_some_and(|company| company.region.is_some()),
        "company.incumbent" => company.is_some_and(|company| company.incumbent.is_some()),
        "company.incumbentVendor" => company.is_some_and(|company| company.incumbent_vendor.is_some()),
        "company.incumbentContractEndsAt" => {
            company.is_some_and(|company| company.incumbent_ends_at.is_some())
        }
        _ => what.strip_prefix("traits.").is_some_and(|key| intake.traits.iter().any(|(one, _)| one == key)),
    }
}

/// One field of a form, what became of those who filled it, and who reads it.
pub struct Judged {
    pub field: FormField,
    /// Whether the current version asks it.
    pub current: bool,
    pub usefulness: Usefulness,
    /// Keys of the rule slots whose live rule reads it.
    pub read_by: Vec<String>,
    /// Whether a criterion or a persona of the charter in force reads it.
    pub in_charter: bool,
}

/// Of each field that any version asked in the window: those of the current one first.
pub async fn judge(app: &App, form: &FormDefinition, window: Window) -> Result<Vec<Judged>, Error> {
    let workspace = app.workspace();
    let submitted = rows::submitted(app.store.reports(), form.id, (window.from, window.to)).await?;
    let mut useful: BTreeMap<String, Usefulness> = usefulness(form, &submitted);
    let current = form.current().map(|version| version.fields.as_slice()).unwrap_or_default();
    let mut fields: Vec<&FormField> = current.iter().collect();
    for field in form.versions.iter().rev().flat_map(|version| &version.fields) {
        if useful.contains_key(&field.fills) && !fields.iter().any(|known| known.fills == field.fills) {
            fields.push(field);
        }
    }
    let judged = fields.into_iter().map(|field| {
        let path = path_of(&field.fills);
        let path = path.as_deref();
        Judged {
            field: field.clone(),
            current: current.iter().any(|one| one.fills == field.fills),
            usefulness: useful.remove(&field.fills).unwrap_or_default(),
            read_by: path.map(|path| readers(&workspace, path)).unwrap_or_default(),
            in_charter: path.is_some_and(|path| in_charter(&workspace, path)),
        }
    });
    Ok(judged.collect())
}

fn readers(workspace: &Workspace, path: &str) -> Vec<String> {
    let reads = |slot: &&String| {
        let live = workspace.rules.get(*slot).and_then(|rules| rules.live.as_ref());
        live.is_some_and(|live| live.rule.descriptor().reads.iter().any(|(read, _)| read == path))
    };
    workspace.rules.keys().filter(reads).cloned().collect()
}

fn in_charter(workspace: &Workspace, path: &str) -> bool {
    let body = &workspace.charter.body;
    let personas = body.personas.iter().flat_map(|persona| &persona.traits).map(|one| &one.test);
    let criteria = body.stages.iter().flat_map(|stage| stage.entry.iter().chain(&stage.exit));
    let ideal = body.ideal_profiles.iter().flat_map(|profile| &profile.criteria).map(|one| &one.test);
    let personas = personas.chain(ideal).chain(&body.ideal_customer);
    let mut tests = personas.chain(criteria.filter_map(|criterion| criterion.test.as_ref()));
    tests.any(|test| test.field == path)
}
