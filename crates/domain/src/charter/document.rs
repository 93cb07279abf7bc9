//! A charter as a document that anybody can read: what was agreed, in plain words, in Markdown or HTML.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::words::{counted, hours, minutes, promise, spoken, test, yes};
use super::{Charter, CharterBody, CharterStatus, RuleSlot, SlotKind, StageDefinition};
use crate::criterion::Criterion;
use crate::deployment::ApprovalRule;
use crate::disposition::{DispositionReason, LostRule};
use crate::icp::IdealCustomerProfile;
use crate::persona::Persona;
use crate::text::text_enum;
use crate::time::DAY;
use crate::time::Instant;

mod html;
mod markdown;

text_enum! {
    /// How a document is written.
    pub enum CharterFormat {
        /// CommonMark with tables.
        Markdown = "MARKDOWN",
        /// A page of its own, without scripts and links.
        Html = "HTML",
    }
}

/// A part of the document, whose texts are plain: whoever writes them escapes them.
enum Block {
    Heading(u8, String),
    Text(String),
    /// A point is a word that stands out, or none, and a text.
    Points(Vec<(String, String)>),
    Table(Vec<&'static str>, Vec<Vec<String>>),
}

/// The charter in words. `people` are the names of those who signed.
pub fn document(charter: &Charter, people: &BTreeMap<Uuid, String>, format: CharterFormat) -> String {
    let blocks = blocks(charter, people);
    match format {
        CharterFormat::Markdown => markdown::write(&blocks),
        CharterFormat::Html => html::write(&charter.body.title, &blocks),
    }
}

fn blocks(charter: &Charter, people: &BTreeMap<Uuid, String>) -> Vec<Block> {
    let body = &charter.body;
    let mut page = Page(vec![Block::Heading(1, body.title.clone())]);
    page.standing(charter);
    page.signatures(charter, people);
    page.heading(2, "The stages of the funnel");
    body.stages.iter().for_each(|stage| page.stage(stage, body));
    if !body.personas.is_empty() {
        page.heading(2, "Personas");
        body.personas.iter().for_each(|persona| page.persona(persona));
    }
    if !body.profiles().is_empty() {
        page.heading(2, "The ideal customer");
        page.points(body.ideal_customer.iter().map(|one| (String::new(), test(one))));
    }
    body.ideal_profiles.iter().for_each(|profile| page.ideal_profile(profile));
    page.service_levels(body);
    page.responsibilities(body);
    page.commitments(body);
    page.glossary(body);
    page.reasons(body);
    page.rules(body);
    page.0
}

struct Page(Vec<Block>);

impl Page {
    fn heading(&mut self, level: u8, text: &str) {
        self.0.push(Block::Heading(level, text.to_owned()));
    }

    fn text(&mut self, text: impl Into<String>) {
        self.0.push(Block::Text(text.into()));
    }

    fn points(&mut self, points: impl Iterator<Item = (String, String)>) {
        let points: Vec<_> = points.collect();
        if !points.is_empty() {
            self.0.push(Block::Points(points));
        }
    }

    /// A table below its heading, or nothing where it has no rows.
    fn table(&mut self, heading: &str, head: &[&'static str], rows: Vec<Vec<String>>) {
        if !rows.is_empty() {
            self.heading(2, heading);
            self.0.push(Block::Table(head.to_vec(), rows));
        }
    }

    fn standing(&mut self, charter: &Charter) {
        let since = charter.activated_at.map(day).unwrap_or_default();
        let stands = match charter.status {
            CharterStatus::Proposed => "open for signatures".to_owned(),
            CharterStatus::Signed => "signed by both sides and not in force yet".to_owned(),
            CharterStatus::Active => format!("in force since {since}"),
            CharterStatus::Superseded => format!("no longer in force; it last came into force on {since}"),
            CharterStatus::Rejected => "rejected".to_owned(),
        };
        self.text(format!("Charter {}: {stands}.", charter.number));
        if charter.unsigned() {
            self.text(
                "These are defaults that nobody signed. They serve until the two sides sign a charter.",
            );
        }
        let body = &charter.body;
        let days = u32::try_from(body.review_after() / DAY).unwrap_or(u32::MAX);
        let after = || format!("{} after it came into force", counted(days, "day"));
        let review = charter.review_due_at().map_or_else(after, day);
        let points = [
            ("Currency", body.currency.clone()),
            ("Time zone", body.time_zone.clone()),
            ("Due for review", review),
            ("Digest", charter.digest.to_string()),
        ];
        self.points(points.into_iter().map(|(name, text)| (name.to_owned(), text)));
    }

    fn signatures(&mut self, charter: &Charter, people: &BTreeMap<Uuid, String>) {
        let name = |id: &Uuid| people.get(id).cloned().unwrap_or_else(|| "somebody who left".to_owned());
        let rows = charter.signatures.iter().map(|signature| {
            let comment = signature.comment.clone().unwrap_or_default();
            vec![spoken(signature.side.as_str()), name(&signature.user), day(signature.at), comment]
        });
        self.table("Who signed", &["Side", "Who", "When", "Comment"], rows.collect());
        if charter.signatures.is_empty() && !charter.unsigned() {
            self.heading(2, "Who signed");
            self.text("Nobody yet.");
        }
        if let Some(no) = &charter.rejection {
            let (side, who) = (spoken(no.side.as_str()), name(&no.user));
            self.heading(2, "Why it was rejected");
            self.text(format!("{side} said no on {} ({who}): {}", day(no.at), no.reason));
        }
    }

    fn stage(&mut self, stage: &StageDefinition, body: &CharterBody) {
        let StageDefinition { kind, label, meaning, owner, entry, exit, composition } = stage;
        self.heading(3, &format!("{label} ({kind})"));
        self.text(meaning.clone());
        self.text(format!("Worked by {}.", spoken(owner.as_str()).to_lowercase()));
        for (what, criteria) in [("To enter it:", entry), ("Before a lead leaves it:", exit)] {
            if !criteria.is_empty() {
                self.text(what);
                self.points(criteria.iter().map(criterion));
            }
        }
        let slots: Vec<&RuleSlot> = body.slots_of(*kind).collect();
        if !slots.is_empty() {
            let keys: Vec<&str> = slots.iter().map(|slot| slot.key.as_str()).collect();
            let how = match (slots.len(), composition) {
                (1, _) => "decides who gets here",
                (_, crate::evaluation::Composition::All) => "decide who gets here; all of them must agree",
                (_, crate::evaluation::Composition::Any) => "decide who gets here; one that agrees is enough",
                (_, crate::evaluation::Composition::First) => {
                    "decide who gets here; the first that does not hold the lead counts"
                }
            };
            self.text(format!("Rule slot {} {how}.", keys.join(", ")));
        }
    }

    fn persona(&mut self, persona: &Persona) {
        self.heading(3, &format!("{} ({})", persona.name, persona.key));
        let traits = persona
            .traits
            .iter()
            .map(|part| (part.key.clone(), format!("{}; counts {}", test(&part.test), part.weight)));
        self.points(traits);
        if !persona.pains.is_empty() {
            self.text("What troubles them:");
            self.points(persona.pains.iter().map(|pain| (String::new(), pain.clone())));
        }
        let rows = persona.stage_profiles.iter().map(|profile| {
            let channels: Vec<String> =
                profile.channels.iter().map(|channel| spoken(channel.as_str())).collect();
            vec![
                profile.stage.to_string(),
                profile.questions.join("; "),
                channels.join(", "),
                profile.content_kinds.join(", "),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            self.0.push(Block::Table(vec!["Stage", "They ask", "Reached by", "Content that helps"], rows));
        }
    }

    fn ideal_profile(&mut self, profile: &IdealCustomerProfile) {
        self.heading(3, &format!("{} ({})", profile.name, profile.key));
        let criteria = profile.criteria.iter().map(|one| {
            let force = if one.required { "; required" } else { "" };
            (one.key.clone(), format!("{}; counts {}{force}", test(&one.test), one.weight))
        });
        self.points(criteria);
    }

    fn service_levels(&mut self, body: &CharterBody) {
        let rows = body.sla.iter().map(|policy| {
            let lasts = |count: u32| minutes(count, policy.mode);
            let mut within = format!("{}, {}", lasts(policy.target_minutes), hours(policy.mode));
            if let Some(urgent) = policy.urgent_target_minutes {
                within += &format!("; {} after an act of high intent", lasts(urgent));
            }
            if let (Some(attempts), Some(days), Some(channels)) =
                (policy.min_attempts, policy.within_days, policy.min_channels)
            {
                within += &format!("; {attempts} attempts over {days} days by {channels} channels");
            }
            let steps: Vec<String> = policy.steps.iter().map(|step| format!("{step}%")).collect();
            let pauses: Vec<String> = policy.pause_reasons.iter().map(|reason| spoken(reason)).collect();
            let pauses = match pauses.is_empty() {
                true => "never".to_owned(),
                false => format!("{}; {} at most", pauses.join(", "), lasts(policy.max_pause_minutes)),
            };
            let party = policy.party.map_or("Whom it concerns".to_owned(), |party| spoken(party.as_str()));
            vec![promise(policy.kind).to_owned(), party, within, steps.join(", "), pauses]
        });
        let head = ["Promise", "By", "Within", "Warned at", "May pause"];
        self.table("Service levels", &head, rows.collect());
    }

    fn responsibilities(&mut self, body: &CharterBody) {
        let rows = body.responsibilities.iter().map(|line| {
            let (consulted, informed) = (line.consulted.join(", "), line.informed.join(", "));
            let (does, answers) = (line.responsible.clone(), line.accountable.clone());
            vec![line.stage.to_string(), line.activity.clone(), does, answers, consulted, informed]
        });
        let head = ["Stage", "Activity", "Does it", "Answers for it", "Is asked", "Is told"];
        self.table("Who does what", &head, rows.collect());
    }

    fn commitments(&mut self, body: &CharterBody) {
        let rows = body.commitments.iter().map(|one| {
            let over = counted(one.window_days, "day");
            let target = format!("{} {}", one.target, one.unit);
            vec![spoken(one.party.as_str()), one.metric.clone(), target, over, one.weight.to_string()]
        });
        let head = ["Party", "What", "Target", "Over", "Counts"];
        self.table("What each party promises", &head, rows.collect());
    }

    fn glossary(&mut self, body: &CharterBody) {
        let rows = body.glossary.iter().map(|term| {
            vec![term.key.clone(), term.marketing.clone(), term.sales.clone(), term.meaning.clone()]
        });
        let head = ["Term", "Marketing says", "Sales says", "Both mean"];
        self.table("Glossary", &head, rows.collect());
    }

    fn reasons(&mut self, body: &CharterBody) {
        let rows = body.reasons.iter().map(|reason| {
            let lost = match reason.lost {
                LostRule::Never => "no",
                LostRule::AtOpportunity => "from an open deal on",
                LostRule::Always => "yes",
            };
            vec![
                reason.key.clone(),
                reason.label.clone(),
                comes_back(reason),
                yes(reason.disqualify).to_owned(),
                lost.to_owned(),
                needs(reason),
            ]
        });
        let head = ["Reason", "In words", "Comes back", "Disqualifies", "Loses a deal", "Besides"];
        self.table("Reasons for letting a lead go", &head, rows.collect());
    }

    fn rules(&mut self, body: &CharterBody) {
        self.heading(2, "Rules of the house");
        let tried = &body.attempts;
        let attempts = format!(
            "{} over {} by {} before nobody answered",
            counted(tried.attempts, "attempt"),
            counted(tried.days, "day"),
            counted(tried.channels, "channel")
        );
        let mut points = vec![
            ("Before giving up", attempts),
            ("Nobody is available", format!("the queue {} has the lead", body.fallback_queue)),
            ("Context is missing", format!("the queue {} has the lead", body.marketing_queue)),
            ("A rule holds a lead", format!("{} at most", counted(body.max_hold_days, "day"))),
        ];
        if !body.high_intent.is_empty() {
            points.push(("Looked at at once", body.high_intent.join(", ")));
        }
        if !body.signals.is_empty() {
            points.push(("Brings leads back", body.signals.join(", ")));
        }
        self.points(points.into_iter().map(|(name, text)| (name.to_owned(), text)));
        let rows = body.slots.iter().map(|slot| {
            let what = match (slot.kind, slot.gate, &slot.pool) {
                (SlotKind::Qualify, Some(gate), _) => format!("whether a lead becomes {gate}"),
                (_, _, Some(pool)) => format!("who of the pool {pool} works a lead"),
                _ => spoken(slot.kind.as_str()),
            };
            let agrees = match slot.approval {
                ApprovalRule::None => "nobody",
                ApprovalRule::OtherSide => "the other side",
                ApprovalRule::BothSides => "both sides",
            };
            let scores = yes(slot.scoring).to_owned();
            vec![
                slot.key.clone(),
                what,
                slot.team.clone(),
                slot.position.to_string(),
                scores,
                agrees.to_owned(),
            ]
        });
        let head = ["Rule slot", "Decides", "Team", "Place", "Scores", "Must agree to a new rule"];
        self.table("Where rules decide", &head, rows.collect());
    }
}

fn criterion(criterion: &Criterion) -> (String, String) {
    let Criterion { key, text, test: tested, reason_code, required } = criterion;
    let mut ways: Vec<String> = tested.iter().map(test).collect();
    ways.extend(reason_code.iter().map(|code| format!("a rule gave the reason {code}")));
    let force = if *required { "required" } else { "recorded only" };
    (key.clone(), format!("{text} ({}; {force})", ways.join(" and ")))
}

fn comes_back(reason: &DispositionReason) -> String {
    let after = reason.recycle_after_days.map(|days| format!("after {}", counted(days, "day")));
    match (reason.recycle, reason.permanent) {
        (_, true) => "never".to_owned(),
        (false, _) => "no".to_owned(),
        (true, _) => after.unwrap_or_else(|| "yes".to_owned()),
    }
}

fn needs(reason: &DispositionReason) -> String {
    let mut said: Vec<String> = [
        (reason.needs_date, "needs the date that the buyer named"),
        (reason.needs_attempts, "needs the agreed attempts"),
        (reason.needs_competitor, "needs the competitor's name"),
        (reason.returns_to_marketing, "goes back to marketing, which owes context"),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, text)| text.to_owned())
    .collect();
    said.extend(reason.track.iter().map(|track| format!("nurture track {track}")));
    said.join("; ")
}

/// The day in UTC: a document is read in every zone.
fn day(at: Instant) -> String {
    at.utc().format("%Y-%m-%d").to_string()
}

/// On one line, without characters that print nothing and turn the text around.
fn line(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean: String =
        text.chars().filter(|c| !hidden(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
