//! What an intake must keep to: identities in their normal form, texts within their limits, keys that exist.

use handfast_domain::field::{Kind, Value, is_key};
use handfast_domain::refused::Refused;
use handfast_domain::time::{DAY, Instant};
use uuid::Uuid;

use super::Intake;
use crate::flows::{form, incumbent};
use crate::workspace::Workspace;

/// A checked intake: identities in their normal form, texts within their limits, keys that exist.
pub fn check(workspace: &Workspace, intake: &Intake, now: Instant) -> Result<Intake, Refused> {
    let mut intake = intake.clone();
    for (path, text) in [
        ("name", &intake.name),
        ("title", &intake.title),
        ("seniority", &intake.seniority),
        ("department", &intake.department),
        ("country", &intake.country),
        ("source", &intake.source),
        ("content", &intake.content),
        ("anonymousId", &intake.anonymous_id),
    ] {
        check_text(path, text.as_deref())?;
    }
    intake.email = intake.email.as_deref().map(normal_email).transpose()?;
    intake.phone = intake.phone.as_deref().map(normal_phone).transpose()?;
    if let Some((system, id)) = &intake.external {
        check_external(system, id)?;
    }
    if intake.email.is_none() && intake.phone.is_none() && intake.external.is_none() {
        return Err(Refused::invalid("", "a lead needs an identity: an e-mail, a phone or an external id"));
    }
    let company = intake.company.clone().unwrap_or_default();
    for (path, number) in [("employees", company.employees), ("annualRevenue", company.annual_revenue)] {
        if let Some(number) = number.filter(|number| !(0..=1 << 53).contains(number)) {
            let message = format!("0 to 2^53, found {number}");
            return Err(Refused::invalid(path, message).at("company"));
        }
    }
    for (path, name) in [("incumbentVendor", &company.incumbent_vendor), ("incumbent", &company.incumbent)] {
        check_text(path, name.as_deref()).map_err(|refused| refused.at("company"))?;
    }
    if let Some(ends) = company.incumbent_ends_at {
        incumbent::check_end(ends, now).map_err(|refused| refused.at("company/incumbentContractEndsAt"))?;
    }
    if let Some(key) = intake.campaign.as_ref().filter(|key| !is_key(key)) {
        let shown: String = key.chars().take(80).collect();
        let message = format!("{shown:?} is no key of a campaign: 1 to 64 of a-z, 0-9, - and _");
        return Err(Refused::invalid("campaign", message));
    }
    if let Some(key) = &intake.campaign
        && workspace.campaign_by_key(key).is_none()
    {
        return Err(Refused::invalid("campaign", format!("no campaign {key:?}; create it first")));
    }
    if let Some(key) = &intake.owner {
        user(workspace, key).map_err(|refused| refused.at("owner"))?;
    }
    for (key, text) in &intake.traits {
        if trait_value(workspace, key, text).is_none() {
            return Err(trait_problem(workspace, key, text));
        }
    }
    if let Some(key) = &intake.form {
        let found = form::find(workspace, key).ok_or_else(|| {
            let shown: String = key.chars().take(80).collect();
            Refused::invalid("form", format!("no form {shown:?}; define it by defineForm first"))
        })?;
        // A form without a version is none that was ever defined.
        if let Some(version) = found.current() {
            form::filled(version, &intake)?;
        }
    }
    if let Some(expectation) = &intake.expectation {
        expectation.check("firstMeeting/expectation")?;
    }
    if intake.occurred_at.is_some_and(|at| at > now.plus(DAY)) {
        return Err(Refused::invalid("occurredAt", "a capture cannot lie more than a day ahead"));
    }
    Ok(intake)
}

/// The user of a key.
pub fn user(workspace: &Workspace, key: &str) -> Result<Uuid, Refused> {
    let users = &workspace.directory.users;
    let found = users.iter().find(|user| user.key == key).map(|user| user.id);
    found.ok_or_else(|| {
        let shown: String = key.chars().take(80).collect();
        let near = handfast_domain::field::nearest(key, users.iter().map(|user| user.key.clone()));
        let hint = if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) };
        Refused::invalid("", format!("no user {shown:?}{hint}; create it first"))
    })
}

pub fn check_external(system: &str, id: &str) -> Result<(), Refused> {
    if !is_key(system) {
        let shown: String = system.chars().take(80).collect();
        let message = format!("{shown:?} is no key: a-z, 0-9, - and _, 1 to 64");
        return Err(Refused::invalid("external/system", message));
    }
    check_text("external/id", Some(id))
}

pub fn check_text(path: &str, text: Option<&str>) -> Result<(), Refused> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.chars().count() > 256 {
        return Err(Refused::invalid(path, format!("1 to 256 characters, found {}", text.chars().count())));
    }
    if text.chars().any(char::is_control) {
        return Err(Refused::invalid(path, "control characters are not allowed"));
    }
    Ok(())
}

/// Lower case, one @, a domain with a dot; without opinions on the rest.
pub fn normal_email(text: &str) -> Result<String, Refused> {
    let email = text.trim().to_lowercase();
    let refused = |why: &str| Err(Refused::invalid("email", why.to_owned()));
    if email.len() > 254 {
        return refused("an e-mail address has at most 254 characters");
    }
    let Some((local, domain)) = email.rsplit_once('@') else { return refused("an e-mail address has an @") };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | ',' | ';' | '@');
    if local.is_empty() || local.len() > 64 || local.contains(odd) {
        return refused("the part before the @ is empty, too long or has characters that are not allowed");
    }
    let labels: Vec<&str> = domain.split('.').collect();
    let good = |label: &&str| {
        !label.is_empty() && label.len() <= 63 && !label.contains(odd) && !label.starts_with('-')
    };
    if labels.len() < 2 || !labels.iter().all(good) {
        return refused("the part after the @ is no domain, for example example.com");
    }
    Ok(email)
}

/// E.164: a plus sign and 7 to 15 digits; blanks and punctuation are dropped.
pub fn normal_phone(text: &str) -> Result<String, Refused> {
    let kept: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/')).collect();
    let digits = kept.strip_prefix('+').or_else(|| kept.strip_prefix("00")).unwrap_or_default();
    if (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()) {
        return Ok(format!("+{digits}"));
    }
    Err(Refused::invalid(
        "phone",
        "a phone number is +, the country code and the number, for example +49 30 901820",
    ))
}

/// A trait's value from its text, if the trait is defined and the text fits its kind.
pub fn trait_value(workspace: &Workspace, key: &str, text: &str) -> Option<Value> {
    let definition = workspace.traits.iter().find(|definition| definition.key == key)?;
    if text.len() > 1024 || text.chars().any(|c| c.is_control()) {
        return None;
    }
    match definition.kind {
        Kind::Boolean => match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => Some(Value::Boolean(true)),
            "false" | "no" | "n" | "0" => Some(Value::Boolean(false)),
            _ => None,
        },
        Kind::Integer => text.parse().ok().filter(|n: &i64| n.unsigned_abs() < 1 << 53).map(Value::Integer),
        Kind::Text => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
        Kind::IntegerList => {
            let list: Result<Vec<i64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
            list.ok().map(Value::IntegerList)
        }
        Kind::TextList => Some(Value::TextList(text.split(',').map(|part| part.trim().to_owned()).collect())),
    }
}

pub fn trait_problem(workspace: &Workspace, key: &str, text: &str) -> Refused {
    let shown: String = text.chars().take(80).collect();
    match workspace.traits.iter().find(|definition| definition.key == key) {
        Some(definition) => Refused::invalid(
            &format!("traits/{key}"),
            format!("{shown:?} is no value of {key}, which is {}", definition.kind),
        ),
        None => {
            let known = workspace.traits.iter().map(|definition| definition.key.clone());
            let nearest = handfast_domain::field::nearest(key, known);
            let hint =
                if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) };
            Refused::invalid(
                &format!("traits/{key}"),
                format!("no trait {key:?} is defined{hint}; define it first"),
            )
        }
    }
}
