//! What a guest answered, held against its own descriptor and the contract, and freed of positions.

use std::collections::HashSet;

use handfast_domain::field::{self, TraitKinds};
use handfast_domain::snapshot::OwnerState;
use handfast_domain::time::Instant;
use handfast_domain::verdict::{self, Assignment, Missing, POINTS, Reason, Target, Verdict};

use crate::contract;
use crate::report::Code;
use crate::rule::{CodeInfo, Descriptor, RuleKind};

const REASONS: usize = 32;
const TEXT: usize = 256;
const TRACE_LINES: usize = 100;
const TRACE_BYTES: usize = 16 << 10;

/// A verdict, or the rule's own words for why there is none.
pub enum Answer<T> {
    Given(T),
    Fault(String),
}

pub fn verdict(
    raw: contract::Verdict,
    descriptor: &Descriptor,
    explain: bool,
) -> Result<Answer<Verdict>, String> {
    use verdict::Outcome;
    let (outcome, text, disposition) = match raw.outcome {
        contract::Outcome::Fault(words) => return Ok(Answer::Fault(tidy(&words))),
        contract::Outcome::Advance => (Outcome::Advance, None, None),
        contract::Outcome::Hold => (Outcome::Hold, None, None),
        contract::Outcome::Review(words) => (Outcome::Review, Some(plain("the review's text", words)?), None),
        contract::Outcome::Recycle(reason) => {
            (Outcome::Recycle, None, Some(key("the disposition reason", reason)?))
        }
        contract::Outcome::Disqualify(reason) => {
            (Outcome::Disqualify, None, Some(key("the disposition reason", reason)?))
        }
    };
    if raw.confidence > 10_000 {
        return Err(format!("confidence {}; it is 0 to 10000 basis points", raw.confidence));
    }
    let review_at = raw.review_at.map(Instant);
    if let Some(at) = review_at
        && !(Instant::MIN..=Instant::MAX).contains(&at)
    {
        return Err(format!("review-at {} is outside of the calendar", at.ms()));
    }
    if raw.missing.len() > descriptor.reads.len() {
        return Err(format!("{} missing fields of {} declared", raw.missing.len(), descriptor.reads.len()));
    }
    let missing = raw
        .missing
        .iter()
        .map(|missing| {
            Ok(Missing { field: path(missing.field, descriptor)?, worth: points("worth", missing.worth)? })
        })
        .collect::<Result<_, String>>()?;
    Ok(Answer::Given(Verdict {
        outcome,
        text,
        disposition,
        fit: points("fit", raw.fit)?,
        engagement: points("engagement", raw.engagement)?,
        confidence: raw.confidence,
        reasons: reasons(&raw.reasons, descriptor)?,
        missing,
        review_at,
        trace: if explain { trace(raw.trace) } else { Vec::new() },
    }))
}

pub fn assignment(
    raw: contract::Assignment,
    descriptor: &Descriptor,
    owners: &[OwnerState],
    explain: bool,
) -> Result<Answer<Assignment>, String> {
    let target = match raw.target {
        contract::Target::Fault(words) => return Ok(Answer::Fault(tidy(&words))),
        contract::Target::Queue(queue) => Target::Queue(key("the queue", queue)?),
        contract::Target::Owner(id) => match id.parse() {
            Ok(id) if owners.iter().any(|owner| owner.id == id) => Target::Owner(id),
            _ => return Err(format!("owner {:?} is not in the pool", tidy(&id))),
        },
    };
    Ok(Answer::Given(Assignment {
        target,
        priority: points("priority", raw.priority)?,
        reasons: reasons(&raw.reasons, descriptor)?,
        trace: if explain { trace(raw.trace) } else { Vec::new() },
    }))
}

/// Checks what `describe` answered, except for the reads, which depend on the workspace.
pub fn descriptor(raw: contract::Descriptor) -> Result<Descriptor, (Code, String)> {
    let bad = |message: String| (Code::PluginBadOutput, message);
    for (what, text, limit) in
        [("name", &raw.name, 64), ("version", &raw.version, 64), ("summary", &raw.summary, 1_024)]
    {
        if text.is_empty() && what != "summary" || text.len() > limit || text.chars().any(char::is_control) {
            return Err(bad(format!(
                "{what} {:?}: 1 to {limit} bytes without control characters",
                tidy(text)
            )));
        }
    }
    if raw.reason_codes.len() > 1_000 || raw.reads.len() > 1_000 {
        return Err(bad("more than 1000 reason codes or reads".into()));
    }
    let mut seen = HashSet::new();
    let mut reason_codes = Vec::with_capacity(raw.reason_codes.len());
    for info in raw.reason_codes {
        if info.code.is_empty() || info.code.len() > 64 || !seen.insert(info.code.clone()) {
            return Err(bad(format!("reason code {:?}: 1 to 64 bytes, each once", tidy(&info.code))));
        }
        reason_codes.push(CodeInfo {
            code: plain("a reason code", info.code).map_err(bad)?,
            label: plain("a reason's label", info.label).map_err(bad)?,
            description: tidy(&info.description),
        });
    }
    let mut seen = HashSet::new();
    let mut reads = Vec::with_capacity(raw.reads.len());
    for field in raw.reads {
        if field.path.len() > 128 || !seen.insert(field.path.clone()) {
            return Err(bad(format!("read {:?}: at most 128 bytes, each once", tidy(&field.path))));
        }
        reads.push((field.path, field.kind.into()));
    }
    if raw.settings_schema.len() > 256 << 10 {
        let message = format!(
            "the settings schema has {} bytes, the limit is {}",
            raw.settings_schema.len(),
            256 << 10
        );
        return Err((Code::PluginSchemaInvalid, message));
    }
    let settings_schema = serde_json::from_str(&raw.settings_schema)
        .map_err(|error| (Code::PluginSchemaInvalid, format!("the settings schema is not JSON: {error}")))?;
    Ok(Descriptor {
        name: raw.name,
        version: raw.version,
        summary: raw.summary,
        settings_schema,
        reason_codes,
        reads,
    })
}

/// Whether the workspace can serve every declared read. A trait that is not defined yet is a column of unknowns, so that one
/// plugin serves workspaces with different traits; only another kind is a conflict.
pub fn reads(descriptor: &Descriptor, rule: RuleKind, traits: &TraitKinds) -> Result<String, (Code, String)> {
    let mut undefined = Vec::new();
    for (path, kind) in &descriptor.reads {
        let refuse = |message: String| Err((Code::FieldUnknown, message));
        if let Some(key) = path.strip_prefix("traits.")
            && field::is_key(key)
            && !traits.contains_key(key)
        {
            undefined.push(key);
            continue;
        }
        match field::kind_of(path, traits) {
            Ok(known) if known == *kind => {}
            Ok(known) => return refuse(format!("{path} is declared as {kind}, but it is {known}")),
            Err(unknown) => return refuse(unknown.to_string()),
        }
        let routing = field::CATALOGUE.iter().any(|field| field.path == path && field.routing);
        if routing && rule == RuleKind::Qualify {
            return refuse(format!("{path} is known only after the qualification; a router may read it"));
        }
    }
    let mut message = format!("{} fields", descriptor.reads.len());
    if !undefined.is_empty() {
        message += &format!("; traits not defined in this workspace stay unknown: {}", undefined.join(", "));
    }
    Ok(message)
}

/// One line for people: control characters become spaces, and what is too long is cut.
pub fn tidy(text: &str) -> String {
    line(text, TEXT)
}

/// The same with a limit of one's own, in bytes.
pub fn line(text: &str, limit: usize) -> String {
    let end = text.floor_char_boundary(limit);
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn reasons(raw: &[contract::Reason], descriptor: &Descriptor) -> Result<Vec<Reason>, String> {
    if raw.len() > REASONS {
        return Err(format!("{} reasons, the limit is {REASONS}", raw.len()));
    }
    raw.iter()
        .map(|reason| {
            let info = descriptor.reason_codes.get(usize::from(reason.code)).ok_or_else(|| {
                format!("reason code {} of {} declared", reason.code, descriptor.reason_codes.len())
            })?;
            Ok(Reason {
                code: info.code.clone(),
                label: info.label.clone(),
                weight: points("a reason's weight", reason.weight)?,
                field: reason.field.map(|field| path(field, descriptor)).transpose()?,
            })
        })
        .collect()
}

fn path(position: u16, descriptor: &Descriptor) -> Result<String, String> {
    let declared = descriptor.reads.get(usize::from(position));
    declared
        .map(|(path, _)| path.clone())
        .ok_or_else(|| format!("field {position} of {} declared", descriptor.reads.len()))
}

fn points(what: &str, points: i32) -> Result<i32, String> {
    if POINTS.contains(&points) {
        return Ok(points);
    }
    Err(format!("{what} {points}; points lie between {} and {}", POINTS.start(), POINTS.end()))
}

fn plain(what: &str, text: String) -> Result<String, String> {
    if text.len() > TEXT {
        return Err(format!("{what} has {} bytes, the limit is {TEXT}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} {:?} has control characters", tidy(&text)));
    }
    Ok(text)
}

fn key(what: &str, text: String) -> Result<String, String> {
    if text.is_empty() { Err(format!("{what} is empty")) } else { plain(what, text) }
}

/// A trace is for reading, not for deciding: it is cut, never refused.
fn trace(lines: Vec<String>) -> Vec<String> {
    let mut left = TRACE_BYTES;
    let mut kept = Vec::new();
    for line in lines.iter().take(TRACE_LINES) {
        let line = tidy(line);
        let Some(rest) = left.checked_sub(line.len()) else { break };
        left = rest;
        kept.push(line);
    }
    if kept.len() < lines.len() {
        kept.truncate(TRACE_LINES - 1);
        kept.push(format!("… {} more lines were cut", lines.len() - kept.len()));
    }
    kept
}
