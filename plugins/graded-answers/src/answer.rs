//! The questions that may count, and what is known of each.

use handfast_sdk::{Field, Kind, Leads};

/// Key and question. The first four are BANT, the next four PACT, the others MEDDIC and what sales asks besides.
pub const QUESTIONS: [(&str, &str); 15] = [
    ("budget", "Is there money for it?"),
    ("authority", "Who decides?"),
    ("need", "What is it needed for?"),
    ("timeline", "When does it have to run?"),
    ("pain", "What hurts today?"),
    ("consequence", "What happens if nothing happens?"),
    ("target-profile", "Are they whom we serve best?"),
    ("metrics", "How will success be measured?"),
    ("economic-buyer", "Did we talk to whoever pays?"),
    ("decision-criteria", "What will the decision be made by?"),
    ("decision-process", "How will the decision be made?"),
    ("champion", "Who sells it inside?"),
    ("competition", "Whom are we compared with?"),
    ("technical-fit", "Does it work in their house?"),
    ("next-step", "What was agreed next?"),
];

/// Columns of one question: grade, confidence, evidence, time.
const WIDTH: usize = 4;

/// The highest grade: proven.
pub const PROVEN: i64 = 4;

/// What is known of one answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// 0 unknown or no, 4 proven.
    pub grade: i64,
    /// Basis points.
    pub confidence: i64,
    /// Whether it says what it rests on.
    pub evidence: bool,
    /// When it was given.
    pub at: Option<i64>,
}

pub fn reads() -> Vec<Field> {
    let parts = [
        ("grade", Kind::Integer),
        ("confidence", Kind::Integer),
        ("evidence", Kind::Boolean),
        ("at", Kind::Integer),
    ];
    let fields = |key: &str| parts.map(|(part, kind)| Field::new(&format!("answers.{key}.{part}"), kind));
    QUESTIONS.iter().flat_map(|(key, _)| fields(key)).collect()
}

/// The position of a question.
pub fn find(key: &str) -> Option<usize> {
    QUESTIONS.iter().position(|(known, _)| *known == key)
}

/// The position of its grade among the fields.
pub fn grade(question: usize) -> u16 {
    (question * WIDTH) as u16
}

/// What one lead answered; nothing if it was not asked.
pub fn read(leads: &Leads, lead: usize, question: usize) -> Option<Answer> {
    let first = question * WIDTH;
    let grade = leads.integer(first, lead)?;
    Some(Answer {
        grade: grade.clamp(0, PROVEN),
        // Older snapshots hold only grades: those count as sure, and as said without evidence.
        confidence: leads.integer(first + 1, lead).unwrap_or(10_000).clamp(0, 10_000),
        evidence: leads.boolean(first + 2, lead).unwrap_or(false),
        at: leads.integer(first + 3, lead),
    })
}
