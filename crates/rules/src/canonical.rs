//! The two digests of each decision, written without the general canonicaliser: it costs ten times the verdict itself.
//!
//! `handfast_domain::verdict` defines them; a property test holds both ways equal.

use std::io::Write;

use handfast_domain::digest::Digest;
use handfast_domain::field::Value;
use handfast_domain::snapshot::OwnerState;
use handfast_domain::verdict::{Input, Outcome, Verdict};

use crate::columns::Reads;
use crate::rule::{Context, Settings};

/// RFC 8785 writes numbers as doubles: beyond this, the general way decides what becomes of them.
const EXACT: i64 = 1 << 53;

/// Digests of inputs that share rule, settings and context.
pub struct Inputs<'a> {
    reads: &'a Reads,
    settings: Digest,
    context: Context,
    head: Vec<u8>,
    tail: Vec<u8>,
    buffer: Vec<u8>,
}

impl<'a> Inputs<'a> {
    pub fn new(reads: &'a Reads, settings: &Settings, context: Context) -> Inputs<'a> {
        let head = format!(
            "handfast/input/1\n{{\"asOf\":{},\"charter\":{},\"fields\":[",
            context.as_of.ms(),
            context.charter
        );
        let tail = format!("],\"settings\":\"{}\"}}", settings.digest());
        let (head, tail) = (head.into_bytes(), tail.into_bytes());
        Inputs { reads, settings: settings.digest(), context, head, tail, buffer: Vec::new() }
    }

    pub fn digest(&mut self, row: &[Option<&Value>]) -> Digest {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.head);
        let mut first = true;
        for ((path, _), value) in self.reads.fields.iter().zip(row) {
            let Some(value) = value else { continue };
            self.buffer.extend_from_slice(if first { b"[" } else { b",[" });
            first = false;
            text(&mut self.buffer, path);
            self.buffer.push(b',');
            if !cell(&mut self.buffer, value) {
                return self.digest_with(row, &[]);
            }
            self.buffer.push(b']');
        }
        self.buffer.extend_from_slice(&self.tail);
        Digest::of_bytes(&self.buffer)
    }

    /// The general way; with owners, for routing.
    pub fn digest_with(&self, row: &[Option<&Value>], owners: &[OwnerState]) -> Digest {
        let fields = self.reads.fields.iter().zip(row);
        let fields =
            fields.filter_map(|((path, _), value)| value.map(|value| (path.as_str(), value))).collect();
        let Context { as_of, charter, .. } = self.context;
        Input { as_of, charter, settings: self.settings, fields, owners }.digest()
    }
}

/// Digest of a verdict. The trace is left out: whether it was asked for must not change what was decided.
pub fn verdict(verdict: &Verdict, out: &mut Vec<u8>) -> Digest {
    out.clear();
    let outcome = match verdict.outcome {
        Outcome::Advance => "ADVANCE",
        Outcome::Hold => "HOLD",
        Outcome::Review => "REVIEW",
        Outcome::Recycle => "RECYCLE",
        Outcome::Disqualify => "DISQUALIFY",
    };
    out.extend_from_slice(b"handfast/verdict/1\n{\"confidence\":");
    number(out, i64::from(verdict.confidence));
    if let Some(disposition) = &verdict.disposition {
        out.extend_from_slice(b",\"disposition\":");
        text(out, disposition);
    }
    out.extend_from_slice(b",\"engagement\":");
    number(out, i64::from(verdict.engagement));
    out.extend_from_slice(b",\"fit\":");
    number(out, i64::from(verdict.fit));
    out.extend_from_slice(b",\"missing\":");
    list(out, &verdict.missing, |out, missing| {
        out.extend_from_slice(b"{\"field\":");
        text(out, &missing.field);
        out.extend_from_slice(b",\"worth\":");
        number(out, i64::from(missing.worth));
        out.push(b'}');
    });
    out.extend_from_slice(b",\"outcome\":");
    text(out, outcome);
    out.extend_from_slice(b",\"reasons\":");
    list(out, &verdict.reasons, |out, reason| {
        out.extend_from_slice(b"{\"code\":");
        text(out, &reason.code);
        if let Some(field) = &reason.field {
            out.extend_from_slice(b",\"field\":");
            text(out, field);
        }
        out.extend_from_slice(b",\"label\":");
        text(out, &reason.label);
        out.extend_from_slice(b",\"weight\":");
        number(out, i64::from(reason.weight));
        out.push(b'}');
    });
    if let Some(at) = verdict.review_at {
        out.extend_from_slice(b",\"reviewAt\":");
        number(out, at.ms());
    }
    if let Some(words) = &verdict.text {
        out.extend_from_slice(b",\"text\":");
        text(out, words);
    }
    out.push(b'}');
    Digest::of_bytes(out)
}

/// False for a number that only the general way can write.
fn cell(out: &mut Vec<u8>, value: &Value) -> bool {
    let exact = |n: &i64| (-EXACT..=EXACT).contains(n);
    match value {
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Integer(n) if exact(n) => number(out, *n),
        Value::Text(words) => text(out, words),
        Value::IntegerList(values) if values.iter().all(exact) => list(out, values, |out, n| number(out, *n)),
        Value::TextList(values) => list(out, values, |out, words| text(out, words)),
        Value::Integer(_) | Value::IntegerList(_) => return false,
    }
    true
}

fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// serde_json escapes strings exactly as RFC 8785 asks.
fn text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn number(out: &mut Vec<u8>, n: i64) {
    let _ = write!(out, "{n}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_domain::field::Kind;
    use handfast_domain::time::Instant;
    use handfast_domain::verdict::{Missing, Reason};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let integer = prop_oneof![-1_000i64..1_000, any::<i64>()];
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            integer.clone().prop_map(Value::Integer),
            any::<String>().prop_map(Value::Text),
            prop::collection::vec(integer, 0..4).prop_map(Value::IntegerList),
            prop::collection::vec(any::<String>(), 0..4).prop_map(Value::TextList),
        ]
    }

    proptest! {
        #[test]
        fn quick_input_digests_equal_the_domains(cells in prop::collection::vec(prop::option::of(value()), 0..8), at in any::<i32>()) {
            let fields: Vec<(String, Kind)> = (0..cells.len()).map(|n| (format!("traits.f\"{n}"), Kind::Text)).collect();
            let reads = Reads::new(&fields);
            let context = Context { as_of: Instant(i64::from(at) * 1_000), charter: 3, explain: true };
            let settings = Settings::from(serde_json::json!({"a": 1}));
            let mut inputs = Inputs::new(&reads, &settings, context);
            let row: Vec<Option<&Value>> = cells.iter().map(Option::as_ref).collect();
            prop_assert_eq!(inputs.digest(&row), inputs.digest_with(&row, &[]));
        }

        #[test]
        fn quick_verdict_digests_equal_the_domains(
            words in prop::collection::vec(any::<String>(), 4),
            numbers in prop::collection::vec(-1_000i32..1_000, 4),
            known in prop::collection::vec(any::<bool>(), 5),
        ) {
            let text = |at: usize| known[at].then(|| words[at].clone());
            let mut it = Verdict {
                outcome: Outcome::Recycle,
                text: text(0),
                disposition: text(1),
                fit: numbers[0],
                engagement: numbers[1],
                confidence: 77,
                reasons: vec![Reason { code: words[2].clone(), label: words[3].clone(), weight: numbers[2], field: text(2) }; 2],
                missing: vec![Missing { field: words[0].clone(), worth: numbers[3] }],
                review_at: known[4].then_some(Instant(5)),
                trace: vec![],
            };
            let plain = it.digest();
            it.trace = vec!["asked for".into()];
            prop_assert_eq!(verdict(&it, &mut Vec::new()), plain);
        }
    }
}
