use super::*;
use crate::charter::{Charter, GlossaryTerm, Rejection, Responsibility, Signature};
use crate::criterion::{Comparator, FieldTest};
use crate::persona::{PersonaTrait, StageProfile};
use crate::stage::{Side, StageKind};

const NASTY: &str =
    "<script>alert('1')</script> | `rm` *all* _of_ [it](http://example.test) & \"more\"\n# next";

/// A charter whose every free text is the given one, with a mark for each place.
fn filled(text: &str) -> (Charter, Vec<String>) {
    let mut marks = vec![];
    let mut mark = |place: &str| {
        let told = format!("zz{place}{text}");
        marks.push(format!("zz{place}"));
        told
    };
    let mut body = CharterBody::unsigned("EUR", "Europe/Berlin");
    body.title = mark("title");
    let seniority = |value: String| FieldTest {
        field: "contact.seniority".into(),
        comparator: Comparator::Eq,
        values: vec![value],
    };
    body.stages[3].label = mark("label");
    body.stages[3].meaning = mark("meaning");
    for (way, criteria) in [("entry", 0), ("exit", 1)] {
        let criterion = Criterion {
            key: format!("{way}-key"),
            text: mark(way),
            test: Some(seniority(mark(&format!("{way}-value")))),
            reason_code: Some(mark(&format!("{way}-code"))),
            required: true,
        };
        let stage = &mut body.stages[3];
        if criteria == 0 { stage.entry.push(criterion) } else { stage.exit.push(criterion) }
    }
    body.personas = vec![Persona {
        key: "persona-key".into(),
        name: mark("persona"),
        traits: vec![PersonaTrait { key: "trait-key".into(), test: seniority(mark("trait")), weight: 1 }],
        pains: vec![mark("pain")],
        stage_profiles: vec![StageProfile {
            stage: StageKind::Mql,
            questions: vec![mark("question")],
            channels: vec![],
            content_kinds: vec![mark("content")],
        }],
    }];
    body.ideal_customer = vec![seniority(mark("ideal"))];
    body.reasons[0].label = mark("reason");
    body.reasons[0].track = Some(mark("track"));
    body.glossary = vec![GlossaryTerm {
        key: "term-key".into(),
        marketing: mark("theirs"),
        sales: mark("ours"),
        meaning: mark("both"),
    }];
    body.responsibilities = vec![Responsibility {
        stage: StageKind::Sal,
        activity: mark("activity"),
        responsible: mark("responsible"),
        accountable: mark("accountable"),
        consulted: vec![mark("consulted")],
        informed: vec![mark("informed")],
    }];
    body.commitments = vec![super::super::Commitment {
        party: crate::clock::Party::Sales,
        metric: mark("metric"),
        target: crate::number::Long(7),
        unit: mark("unit"),
        window_days: 1,
        weight: 1,
    }];
    body.high_intent = vec![mark("intent")];
    body.signals = vec!["signal-key".into()];
    let (digest, user) = (body.digest(), Uuid::from_u128(1));
    let comment = Some(mark("comment"));
    let at = Instant(1_790_000_000_000);
    let rejection = Rejection { user, side: Side::Sales, at, reason: mark("rejection") };
    let charter = Charter {
        number: 3,
        digest,
        status: CharterStatus::Rejected,
        body,
        signatures: vec![Signature { user, side: Side::Marketing, digest, at, comment }],
        proposed_by: Some(user),
        proposed_at: at,
        activated_at: None,
        reviewed_at: None,
        rejection: Some(rejection),
    };
    (charter, marks)
}

fn people(name: &str) -> BTreeMap<Uuid, String> {
    [(Uuid::from_u128(1), name.to_owned())].into()
}

#[test]
fn every_word_that_was_agreed_stands_in_the_document() {
    let (charter, mut marks) = filled("");
    marks.extend(
        ["persona-key", "trait-key", "entry-key", "term-key", "signal-key", "Mara"].map(str::to_owned),
    );
    marks.push(charter.digest.to_string());
    for format in CharterFormat::ALL {
        let text = document(&charter, &people("Mara"), *format);
        let missing: Vec<&String> = marks.iter().filter(|mark| !text.contains(mark.as_str())).collect();
        assert!(missing.is_empty(), "{format}: {missing:?}");
        for stage in &charter.body.stages {
            assert!(text.contains(&stage.meaning), "{format}: {}", stage.kind);
        }
    }
}

#[test]
fn no_text_is_taken_for_markup_in_html() {
    let ((charter, marks), (plain, _)) = (filled(NASTY), filled(""));
    let text = document(&charter, &people(NASTY), CharterFormat::Html);
    let tags = |text: &str| {
        let tags: Vec<String> =
            text.split('<').skip(1).filter_map(|part| part.split('>').next().map(str::to_owned)).collect();
        tags
    };
    assert_eq!(tags(&text), tags(&document(&plain, &people("Mara"), CharterFormat::Html)));
    assert!(!text.contains("<script"), "{text}");
    assert!(text.matches("&lt;script&gt;").count() >= marks.len(), "{text}");
    assert!(text.contains("&amp; &quot;more&quot; # next"), "{text}");
}

#[test]
fn no_text_is_taken_for_markup_in_markdown() {
    let ((charter, _), (plain, _)) = (filled(NASTY), filled(""));
    let text = document(&charter, &people(NASTY), CharterFormat::Markdown);
    let shape = |text: &str| -> Vec<(bool, bool, usize)> {
        // Whatever is escaped does not count.
        let bare = |line: &str| {
            let mut kept = String::new();
            let mut chars = line.chars();
            while let Some(c) = chars.next() {
                if c == '\\' {
                    chars.next();
                } else {
                    kept.push(c)
                }
            }
            kept
        };
        let of = |line: String| {
            let odd = line.matches(['`', '<', '>', '[', ']', '_', '&', '$', '~']).count();
            (line.starts_with('#'), line.starts_with("- "), line.matches('|').count() + 100 * odd)
        };
        text.lines().map(|line| of(bare(line))).collect()
    };
    assert_eq!(shape(&text), shape(&document(&plain, &people("Mara"), CharterFormat::Markdown)));
    for (written, expected) in
        [("# no", "\\# no"), ("1. no", "1\\. no"), ("- no", "\\- no"), ("a - b. c#", "a - b. c\\#")]
    {
        let mut charter = plain.clone();
        charter.body.stages[3].meaning = written.into();
        let text = document(&charter, &people("Mara"), CharterFormat::Markdown);
        assert!(text.lines().any(|line| line == expected), "{written}");
    }
}
