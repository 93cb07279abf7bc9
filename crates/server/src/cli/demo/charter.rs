//! The charter that the demo company's two sides sign: what the words mean, who promises what, and where the rules plug in.

use handfast_domain::charter::{CharterBody, Commitment, GlossaryTerm, Responsibility};
use handfast_domain::clock::Party;
use handfast_domain::criterion::{Comparator, Criterion, FieldTest};
use handfast_domain::disposition::AttemptRule;
use handfast_domain::number::Long;
use handfast_domain::persona::{Persona, PersonaTrait, StageProfile};
use handfast_domain::stage::{Channel, StageKind};

use super::market::HIGH_INTENT;

use Comparator::{Eq, Gte, In, Known, Lte};
use StageKind::{Iql, Mql, Opportunity, Sal, Sql};

pub const CURRENCY: &str = "EUR";
pub const TIME_ZONE: &str = "Europe/Berlin";

pub fn body() -> CharterBody {
    let mut body = CharterBody::unsigned(CURRENCY, TIME_ZONE);
    body.title = "How Meridian Example Robotics finds its customers".into();
    body.personas = personas();
    body.ideal_customer = vec![
        FieldTest::new(
            "company.industry",
            In,
            &["logistics", "retail", "food", "automotive", "manufacturing"],
        ),
        FieldTest::new("company.employees", Gte, &["50"]),
    ];
    for stage in &mut body.stages {
        stage.entry = entry(stage.kind);
    }
    // Four attempts over eight days by two kinds of contact, then the lead may rest.
    body.attempts = AttemptRule { attempts: 4, days: 8, channels: 2 };
    body.high_intent = HIGH_INTENT.iter().map(|content| (*content).to_owned()).collect();
    body.signals = vec!["feature-cold-storage-released".into()];
    body.glossary = glossary();
    body.responsibilities = responsibilities();
    body.commitments = commitments();
    body
}

fn entry(stage: StageKind) -> Vec<Criterion> {
    let required = |key: &str, text: &str, test| criterion(key, text, test, true);
    let noted = |key: &str, text: &str, test| criterion(key, text, test, false);
    match stage {
        Iql => vec![
            required(
                "may-be-contacted",
                "The person agreed to hear from us",
                FieldTest::new("contact.consent", Eq, &["true"]),
            ),
            required(
                "company-known",
                "We know the company's industry",
                FieldTest::new("company.industry", Known, &[]),
            ),
        ],
        Mql => vec![
            required(
                "country-known",
                "We know which country to sell to",
                FieldTest::new("company.country", Known, &[]),
            ),
            noted(
                "big-enough",
                "At least 50 people work there",
                FieldTest::new("company.employees", Gte, &["50"]),
            ),
        ],
        Sql => vec![
            required("need", "The buyer named a need", FieldTest::new("answers.need.grade", Gte, &["2"])),
            required(
                "authority",
                "We talk to somebody who is heard",
                FieldTest::new("answers.authority.grade", Gte, &["1"]),
            ),
            noted(
                "budget",
                "There is money for it this year",
                FieldTest::new("answers.budget.grade", Gte, &["2"]),
            ),
            noted("timeline", "There is a date", FieldTest::new("answers.timeline.grade", Gte, &["2"])),
        ],
        _ => vec![],
    }
}

fn criterion(key: &str, text: &str, test: FieldTest, required: bool) -> Criterion {
    Criterion { key: key.into(), text: text.into(), test: Some(test), reason_code: None, required }
}

fn personas() -> Vec<Persona> {
    let one =
        |key: &str, name: &str, pains: &[&str], traits: Vec<(&str, FieldTest, u32)>, questions: &[&str]| {
            Persona {
                key: key.into(),
                name: name.into(),
                traits: traits
                    .into_iter()
                    .map(|(key, test, weight)| PersonaTrait { key: key.into(), test, weight })
                    .collect(),
                pains: texts(pains),
                stage_profiles: vec![
                    StageProfile {
                        stage: Iql,
                        questions: texts(&questions[..1]),
                        channels: vec![Channel::OrganicSearch, Channel::PaidSocial],
                        content_kinds: texts(&["guide", "video"]),
                    },
                    StageProfile {
                        stage: Mql,
                        questions: texts(&questions[1..]),
                        channels: vec![Channel::Webinar, Channel::Event],
                        content_kinds: texts(&["white-paper", "customer-story"]),
                    },
                ],
            }
        };
    let department = |names: &[&str]| FieldTest::new("contact.department", In, names);
    let seniority = |names: &[&str]| FieldTest::new("contact.seniority", In, names);
    let industry = |names: &[&str]| FieldTest::new("company.industry", In, names);
    let from = |people: &str| FieldTest::new("company.employees", Gte, &[people]);
    vec![
        one(
            "operations-leader",
            "Olive, who runs operations",
            &["Overtime every winter", "Two agencies and still too few people"],
            vec![
                ("runs-operations", department(&["operations", "logistics"]), 40),
                ("decides", seniority(&["C_LEVEL", "VP", "DIRECTOR"]), 40),
                ("large-enough", from("50"), 20),
            ],
            &["What does a robot change on my floor?", "When does it pay back?"],
        ),
        one(
            "warehouse-manager",
            "Walter, who keeps the warehouse going",
            &["Picking errors", "New people every month"],
            vec![
                ("in-the-warehouse", department(&["logistics"]), 40),
                ("leads-a-team", seniority(&["MANAGER"]), 40),
                ("right-trade", industry(&["logistics", "retail", "food"]), 20),
            ],
            &["Is it safe beside people?", "Who repairs it at night?"],
        ),
        one(
            "money-keeper",
            "Frida, who keeps the money",
            &["Costs that nobody can plan"],
            vec![
                ("in-finance", department(&["finance", "purchasing"]), 60),
                ("can-sign", seniority(&["C_LEVEL", "DIRECTOR"]), 40),
            ],
            &["Buy or rent?", "What is the risk?"],
        ),
        one(
            "systems-owner",
            "Sven, who owns the systems",
            &["Every machine speaks another protocol"],
            vec![
                ("in-it", department(&["it", "engineering"]), 60),
                ("has-say", seniority(&["MANAGER", "DIRECTOR"]), 20),
                ("large-enough", from("100"), 20),
            ],
            &["Which interfaces are there?", "Who answers for security?"],
        ),
        one(
            "founder",
            "Fay, who founded it",
            &["Growth without people"],
            vec![
                ("leads-it-all", department(&["management"]), 60),
                ("small", FieldTest::new("company.employees", Lte, &["100"]), 40),
            ],
            &["Can we begin with one?", "Can we stop if it fails?"],
        ),
    ]
}

fn glossary() -> Vec<GlossaryTerm> {
    let term = |key: &str, marketing: &str, sales: &str, meaning: &str| GlossaryTerm {
        key: key.into(),
        marketing: marketing.into(),
        sales: sales.into(),
        meaning: meaning.into(),
    };
    vec![
        term("mql", "a lead", "a suspect", "Met the scorecard; sales answers it within four business hours."),
        term(
            "rejected",
            "ignored",
            "not worth the time",
            "Sent back with a reason of this charter, never silently.",
        ),
        term(
            "recycled",
            "nurture",
            "dead",
            "Not now: it comes back on a date or a signal, and the date is written down.",
        ),
    ]
}

fn responsibilities() -> Vec<Responsibility> {
    let line = |stage,
                activity: &str,
                responsible: &str,
                accountable: &str,
                consulted: &[&str],
                informed: &[&str]| {
        Responsibility {
            stage,
            activity: activity.into(),
            responsible: responsible.into(),
            accountable: accountable.into(),
            consulted: texts(consulted),
            informed: texts(informed),
        }
    };
    vec![
        line(Iql, "Keeps the lead warm", "Campaigns", "Head of marketing", &[], &["Sales"]),
        line(
            Mql,
            "Sets the scorecard",
            "Marketing operations",
            "Head of marketing",
            &["Head of sales"],
            &["Reps"],
        ),
        line(Mql, "Answers the hand-off", "The owner", "Head of sales", &[], &["Marketing operations"]),
        line(Sal, "Reaches the lead", "The owner", "Head of sales", &["Campaigns"], &[]),
        line(Opportunity, "Closes the deal", "The owner", "Head of sales", &["Finance"], &["Marketing"]),
    ]
}

fn commitments() -> Vec<Commitment> {
    let promise = |party, metric: &str, target, unit: &str, weight| Commitment {
        party,
        metric: metric.into(),
        target: Long(target),
        unit: unit.into(),
        window_days: 30,
        weight,
    };
    vec![
        promise(Party::Marketing, "MQL_PER_MONTH", 200, "count", 2),
        promise(Party::Marketing, "SAL_RATE", 6_000, "basis points", 3),
        promise(Party::Sales, "ACCEPTED_IN_TIME", 8_000, "basis points", 3),
        promise(Party::Sales, "FIRST_TOUCH_IN_TIME", 7_500, "basis points", 2),
    ]
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use handfast_domain::charter::Known;

    use super::*;

    #[test]
    fn the_demo_charter_can_be_proposed() {
        let known = Known {
            teams: texts(&["marketing", "sales"]),
            queues: texts(&["fallback", "marketing"]),
            pools: texts(&["sales"]),
            ..Known::default()
        };
        assert_eq!(body().problems(&known), vec![]);
        assert_eq!(body().personas.len(), 5);
    }
}
