//! A qualifier that misbehaves as its settings ask: `{"act": "loop", "on": 13}` loops at each lead with 13 employees, and at
//! every lead when `on` is left out. The host's tests are its only user.

use std::hint::black_box;

use handfast_sdk::*;
use serde::Deserialize;

reads! {
    pub struct Lead {
        employees: integer = "company.employees",
        industry: text = "company.industry",
    }
}

codes! {
    pub enum Code {
        Quiet = "quiet", "Behaved", "Nothing was asked for.";
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    act: Act,
    on: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Act {
    Behave,
    Loop,
    Recurse,
    Grow,
    AliasedReturn,
    Trap,
    TooMany,
    TooFew,
    CodeOutOfRange,
    FieldOutOfRange,
    PointsOutOfRange,
    LongText,
    ControlCharacter,
    ManyReasons,
    Fault,
    CountCompany,
    LongTrace,
    /// A lead that costs much fuel, but not too much.
    Work,
}

pub struct Bomb;

impl Qualifier for Bomb {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "bombs".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Misbehaves on request".into(),
            settings_schema:
                r#"{"type": "object", "required": ["act"], "properties": {"act": {"type": "string"}}}"#.into(),
            reason_codes: Code::all(),
            reads: Lead::reads(),
        }
    }

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        let negative = settings.on.is_some_and(|on| on < 0);
        negative
            .then(|| SettingsProblem::new("/on", "no account has fewer than 0 employees"))
            .into_iter()
            .collect()
    }

    fn evaluate(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(leads.len());
        let mut fuse = false;
        for lead in leads.rows::<Lead>() {
            let lit = settings.on.is_none() || settings.on == lead.employees;
            fuse |= lit;
            verdicts.push(if lit { explode(settings.act, context, leads) } else { calm(&lead) });
        }
        match settings.act {
            Act::TooMany if fuse => verdicts.push(Verdict::new(Outcome::Hold)),
            Act::TooFew if fuse => drop(verdicts.pop()),
            _ => {}
        }
        verdicts
    }
}

fn calm(lead: &Lead) -> Verdict {
    let outcome = if lead.industry == Some("steel") { Outcome::Advance } else { Outcome::Hold };
    Verdict::new(outcome).because(Code::Quiet.weighs(1).on(Lead::employees))
}

fn explode(act: Act, context: &Context, leads: &Leads) -> Verdict {
    let hold = Verdict::new(Outcome::Hold);
    match act {
        Act::Behave | Act::TooMany | Act::TooFew => hold,
        Act::Loop => loop {
            black_box(());
        },
        Act::Recurse => Verdict { fit: recurse(black_box(1)), ..hold },
        Act::Grow => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(Vec::with_capacity(1 << 20)));
            }
        }
        Act::AliasedReturn => Verdict { trace: aliased(4_000, 1 << 20), ..hold },
        Act::Trap => trap(),
        Act::CodeOutOfRange => hold.because(Reason { code: 999, weight: 1, field: None }),
        Act::FieldOutOfRange => hold.misses(999, 1),
        Act::PointsOutOfRange => Verdict { fit: 1_001, ..hold },
        Act::LongText => Verdict::new(Outcome::Review("x".repeat(257))),
        Act::ControlCharacter => Verdict::new(Outcome::Recycle("no\u{1b}[2Jbudget".into())),
        Act::ManyReasons => Verdict { reasons: vec![Code::Quiet.weighs(1); 33], ..hold },
        Act::Fault => Verdict::new(Outcome::Fault("asked to".into())),
        Act::CountCompany => Verdict { fit: leads.len() as i32, ..hold },
        Act::LongTrace if context.explain => Verdict { trace: vec!["line\n".repeat(200); 300], ..hold },
        Act::LongTrace => hold,
        Act::Work => {
            let spent = (0..1_000_000u64).fold(0, |sum, n| black_box(sum ^ n));
            Verdict { fit: (spent % 2) as i32, ..hold }
        }
    }
}

/// Deep in the engine's stack without touching the guest's own, which would trap as a memory fault first.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the point of it")]
fn recurse(depth: i32) -> i32 {
    recurse(depth.wrapping_add(1)).wrapping_mul(31) ^ depth
}

/// Many strings over one buffer: small in the guest, gigabytes when copied out. They are never dropped: the copy traps.
fn aliased(count: usize, len: usize) -> Vec<String> {
    let buffer = Box::leak(vec![b'x'; len].into_boxed_slice());
    // SAFETY: for a well-behaved host it would not be; the host under test must refuse before anything is freed twice.
    (0..count).map(|_| unsafe { String::from_raw_parts(buffer.as_mut_ptr(), len, len) }).collect()
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    std::process::abort()
}

export_qualifier!(Bomb, "../../schema/wit/handfast-rules@1.0.0");
