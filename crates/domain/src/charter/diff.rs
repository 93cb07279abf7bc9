//! What differs between two charters, by section, key and part, with the words of both: what a person reads before
//! signing. Texts that differ anywhere have at least one difference.

use std::collections::BTreeMap;

use super::words::{hours, minutes, test, yes};
use super::{CharterBody, Commitment, GlossaryTerm, Responsibility, RuleSlot, StageDefinition};
use crate::clock::{CalendarMode, SlaPolicy};
use crate::criterion::Criterion;
use crate::disposition::{AttemptRule, DispositionReason};
use crate::icp::{IdealCriterion, IdealCustomerProfile};
use crate::persona::{Persona, PersonaTrait, StageProfile};
use crate::text::text_enum;

text_enum! {
    /// A section of a charter's text.
    pub enum CharterSection {
        /// Single values, each under its own name: title, currency, time zone, queues, days, attempts.
        Terms = "TERMS",
        /// Stages of the funnel, by their kind.
        Stages = "STAGES",
        /// Criteria of the stages, by stage, `entry` or `exit`, and key.
        Criteria = "CRITERIA",
        /// Rule slots, by their key.
        Slots = "SLOTS",
        /// Personas, by their key; their traits and stage profiles below it.
        Personas = "PERSONAS",
        /// The ideal customer profile, by the field that is tested; named profiles as `profiles/` and their key, with their criteria
        /// below it.
        IdealCustomer = "IDEAL_CUSTOMER",
        /// Disposition reasons, by their key.
        Reasons = "REASONS",
        /// Service levels, by what is promised.
        Sla = "SLA",
        /// Words of both sides, by the key of the term.
        Glossary = "GLOSSARY",
        /// Who does what, by stage and activity.
        Responsibilities = "RESPONSIBILITIES",
        /// What each party promises, by party and metric.
        Commitments = "COMMITMENTS",
        /// What triggers an evaluation at once.
        HighIntent = "HIGH_INTENT",
        /// Signals that bring a lead back.
        Signals = "SIGNALS",
    }
}

text_enum! {
    /// What happened to a part of the text from one charter to the other.
    pub enum CharterDifferenceKind {
        /// Only the later text says something there.
        Added = "ADDED",
        /// Only the earlier text says something there.
        Removed = "REMOVED",
        /// Both say something there, and not the same.
        Changed = "CHANGED",
    }
}

/// One difference between two charters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "CharterDifference"))]
pub struct Difference {
    /// The section in which it stands.
    pub section: CharterSection,
    /// Where in the section, for example `SQL/entry/need`; null when the order of the whole section differs.
    pub key: Option<String>,
    /// Which part of what stands there, by its name in the body; `order` for the order of a list. Null: all of it.
    pub part: Option<String>,
    /// What happened.
    pub kind: CharterDifferenceKind,
    /// What the first charter says, in words; null where it says nothing.
    pub before: Option<String>,
    /// What the second charter says, in words; null where it says nothing.
    pub after: Option<String>,
}

/// The words of a part: none where nothing is said, several for a list.
type Words = Vec<String>;

/// What has a key of its own in a charter.
struct Entry {
    section: CharterSection,
    /// The list that it stands in, below the section.
    group: String,
    /// Its key in that list.
    name: String,
    /// The name is empty for something that has no parts.
    parts: Vec<(&'static str, Words)>,
}

impl Entry {
    fn place(&self) -> (CharterSection, &str, &str) {
        (self.section, &self.group, &self.name)
    }

    fn key(&self) -> Option<String> {
        Some(if self.group.is_empty() { self.name.clone() } else { format!("{}/{}", self.group, self.name) })
    }

    /// All of it in one text.
    fn whole(&self) -> Option<String> {
        let said = self.parts.iter().filter_map(|(part, words)| {
            let words = joined(words)?;
            Some(if part.is_empty() { words } else { format!("{part}: {words}") })
        });
        Some(said.collect::<Vec<_>>().join("; "))
    }
}

/// What differs, section by section. Nothing exactly if the texts are the same.
pub fn diff(before: &CharterBody, after: &CharterBody) -> Vec<Difference> {
    let (old, new) = (entries(before), entries(after));
    let (olds, news) = (by_place(&old), by_place(&new));
    let mut found = vec![];
    for &section in CharterSection::ALL {
        let gone = old.iter().filter(|one| one.section == section && !news.contains_key(&one.place()));
        found.extend(gone.map(|one| difference(section, one.key(), None, one.whole(), None)));
        for one in new.iter().filter(|one| one.section == section) {
            match olds.get(&one.place()) {
                None => found.push(difference(section, one.key(), None, None, one.whole())),
                Some(was) => found.extend(changes(was, one)),
            }
        }
        found.extend(orders(section, &old, &new, &olds, &news));
    }
    found
}

type Places<'e> = BTreeMap<(CharterSection, &'e str, &'e str), &'e Entry>;

fn by_place(entries: &[Entry]) -> Places<'_> {
    entries.iter().map(|one| (one.place(), one)).collect()
}

fn difference(
    section: CharterSection,
    key: Option<String>,
    part: Option<String>,
    before: Option<String>,
    after: Option<String>,
) -> Difference {
    let kind = match (&before, &after) {
        (None, _) => CharterDifferenceKind::Added,
        (_, None) => CharterDifferenceKind::Removed,
        _ => CharterDifferenceKind::Changed,
    };
    Difference { section, key, part, kind, before, after }
}

/// The parts of an entry that differ. Both have the same parts, since both are of one section and group.
fn changes(was: &Entry, is: &Entry) -> Vec<Difference> {
    let pairs = was.parts.iter().zip(&is.parts).filter(|((_, was), (_, is))| was != is);
    pairs
        .map(|((part, was), (_, now))| {
            let (before, after) = match (joined(was), joined(now)) {
                // Lists that are cut otherwise and read alike.
                (before, after) if before == after => (Some(format!("{was:?}")), Some(format!("{now:?}"))),
                both => both,
            };
            let part = Some((*part).to_owned()).filter(|part| !part.is_empty());
            difference(is.section, is.key(), part, before, after)
        })
        .collect()
}

/// Lists whose common entries stand in another order: the first of two personas wins a tie, for example.
fn orders(
    section: CharterSection,
    old: &[Entry],
    new: &[Entry],
    olds: &Places<'_>,
    news: &Places<'_>,
) -> Vec<Difference> {
    let of = |entries: &[Entry], other: &Places<'_>| {
        let mut groups: BTreeMap<String, Words> = BTreeMap::new();
        let common = entries.iter().filter(|one| one.section == section && other.contains_key(&one.place()));
        common.for_each(|one| groups.entry(one.group.clone()).or_default().push(one.name.clone()));
        groups
    };
    let (before, mut after) = (of(old, news), of(new, olds));
    let pairs = before.into_iter().filter_map(|(group, was)| {
        let is = after.remove(&group).filter(|is| *is != was)?;
        let key = Some(group).filter(|group| !group.is_empty());
        Some(difference(section, key, Some("order".to_owned()), joined(&was), joined(&is)))
    });
    pairs.collect()
}

fn joined(words: &Words) -> Option<String> {
    (!words.is_empty()).then(|| words.join("; "))
}

fn said(text: impl ToString) -> Words {
    vec![text.to_string()]
}

fn maybe(text: Option<impl ToString>) -> Words {
    text.map(|text| text.to_string()).into_iter().collect()
}

fn list(texts: &[impl ToString]) -> Words {
    texts.iter().map(ToString::to_string).collect()
}

/// The text, taken apart. Whoever adds a field to the body is told by the compiler to name it here.
fn entries(body: &CharterBody) -> Vec<Entry> {
    let CharterBody {
        title,
        currency,
        time_zone,
        stages,
        slots,
        personas,
        ideal_customer,
        ideal_profiles,
        reasons,
        attempts: AttemptRule { attempts, days, channels },
        sla,
        glossary,
        responsibilities,
        commitments,
        fallback_queue,
        marketing_queue,
        max_hold_days,
        high_intent,
        signals,
        review_after_days,
    } = body;
    use CharterSection as Of;
    let mut found = Entries(vec![]);
    for (name, value) in [
        ("title", title.clone()),
        ("currency", currency.clone()),
        ("timeZone", time_zone.clone()),
        ("fallbackQueue", fallback_queue.clone()),
        ("marketingQueue", marketing_queue.clone()),
        ("maxHoldDays", max_hold_days.to_string()),
        ("reviewAfterDays", review_after_days.to_string()),
        ("attempts/attempts", attempts.to_string()),
        ("attempts/days", days.to_string()),
        ("attempts/channels", channels.to_string()),
    ] {
        found.add(Of::Terms, "", name, vec![("", said(value))]);
    }
    stages.iter().for_each(|one| found.stage(one));
    slots.iter().for_each(|one| found.slot(one));
    personas.iter().for_each(|one| found.persona(one));
    for one in ideal_customer {
        found.add(Of::IdealCustomer, "", &one.field, vec![("", said(test(one)))]);
    }
    ideal_profiles.iter().for_each(|one| found.ideal_profile(one));
    reasons.iter().for_each(|one| found.reason(one));
    sla.iter().for_each(|one| found.policy(one));
    for GlossaryTerm { key, marketing, sales, meaning } in glossary {
        let parts = vec![("marketing", said(marketing)), ("sales", said(sales)), ("meaning", said(meaning))];
        found.add(Of::Glossary, "", key, parts);
    }
    for Responsibility { stage, activity, responsible, accountable, consulted, informed } in responsibilities
    {
        let parts = vec![
            ("activity", said(activity)),
            ("responsible", said(responsible)),
            ("accountable", said(accountable)),
            ("consulted", list(consulted)),
            ("informed", list(informed)),
        ];
        found.add(Of::Responsibilities, "", &format!("{stage}/{activity}"), parts);
    }
    for Commitment { party, metric, target, unit, window_days, weight } in commitments {
        let parts = vec![
            ("metric", said(metric)),
            ("target", said(target)),
            ("unit", said(unit)),
            ("windowDays", said(window_days)),
            ("weight", said(weight)),
        ];
        found.add(Of::Commitments, "", &format!("{party}/{metric}"), parts);
    }
    high_intent.iter().for_each(|one| found.add(Of::HighIntent, "", one, vec![("", said(one))]));
    signals.iter().for_each(|one| found.add(Of::Signals, "", one, vec![("", said(one))]));
    found.0
}

struct Entries(Vec<Entry>);

impl Entries {
    /// What is listed twice under one key counts as `key#2`. Where the key is free text, the text is a part as well, since it may
    /// read like that.
    fn add(&mut self, section: CharterSection, group: &str, name: &str, parts: Vec<(&'static str, Words)>) {
        let taken = |name: &str| self.0.iter().any(|one| one.place() == (section, group, name));
        let names = std::iter::once(name.to_owned()).chain((2..).map(|n: u32| format!("{name}#{n}")));
        let free = names.into_iter().find(|name| !taken(name)).unwrap_or_default();
        self.0.push(Entry { section, group: group.to_owned(), name: free, parts });
    }

    fn stage(&mut self, stage: &StageDefinition) {
        let StageDefinition { kind, label, meaning, owner, entry, exit, composition } = stage;
        let parts = vec![
            ("label", said(label)),
            ("meaning", said(meaning)),
            ("owner", said(owner)),
            ("composition", said(composition)),
        ];
        self.add(CharterSection::Stages, "", kind.as_str(), parts);
        for (way, criteria) in [("entry", entry), ("exit", exit)] {
            for Criterion { key, text, test: tested, reason_code, required } in criteria {
                let parts = vec![
                    ("text", said(text)),
                    ("test", maybe(tested.as_ref().map(test))),
                    ("reasonCode", maybe(reason_code.as_ref())),
                    ("required", said(yes(*required))),
                ];
                self.add(CharterSection::Criteria, &format!("{kind}/{way}"), key, parts);
            }
        }
    }

    fn slot(&mut self, slot: &RuleSlot) {
        let RuleSlot { key, kind, gate, team, position, scoring, pool, approval } = slot;
        let parts = vec![
            ("kind", said(kind)),
            ("gate", maybe(*gate)),
            ("team", said(team)),
            ("position", said(position)),
            ("scoring", said(yes(*scoring))),
            ("pool", maybe(pool.as_ref())),
            ("approval", said(approval)),
        ];
        self.add(CharterSection::Slots, "", key, parts);
    }

    fn persona(&mut self, persona: &Persona) {
        let Persona { key, name, traits, pains, stage_profiles } = persona;
        self.add(CharterSection::Personas, "", key, vec![("name", said(name)), ("pains", list(pains))]);
        for PersonaTrait { key: part, test: tested, weight } in traits {
            let parts = vec![("test", said(test(tested))), ("weight", said(weight))];
            self.add(CharterSection::Personas, &format!("{key}/traits"), part, parts);
        }
        for StageProfile { stage, questions, channels, content_kinds } in stage_profiles {
            let parts = vec![
                ("questions", list(questions)),
                ("channels", list(channels)),
                ("contentKinds", list(content_kinds)),
            ];
            self.add(CharterSection::Personas, &format!("{key}/stageProfiles"), stage.as_str(), parts);
        }
    }

    fn ideal_profile(&mut self, profile: &IdealCustomerProfile) {
        let IdealCustomerProfile { key, name, criteria } = profile;
        self.add(CharterSection::IdealCustomer, "profiles", key, vec![("name", said(name))]);
        for IdealCriterion { key: part, test: tested, weight, required } in criteria {
            let parts = vec![
                ("test", said(test(tested))),
                ("weight", said(weight)),
                ("required", said(yes(*required))),
            ];
            self.add(CharterSection::IdealCustomer, &format!("profiles/{key}"), part, parts);
        }
    }

    fn reason(&mut self, reason: &DispositionReason) {
        let DispositionReason {
            key,
            label,
            recycle,
            disqualify,
            lost,
            recycle_after_days,
            needs_date,
            needs_attempts,
            needs_competitor,
            returns_to_marketing,
            permanent,
            track,
        } = reason;
        let parts = vec![
            ("label", said(label)),
            ("recycle", said(yes(*recycle))),
            ("disqualify", said(yes(*disqualify))),
            ("lost", said(lost)),
            ("recycleAfterDays", maybe(*recycle_after_days)),
            ("needsDate", said(yes(*needs_date))),
            ("needsAttempts", said(yes(*needs_attempts))),
            ("needsCompetitor", said(yes(*needs_competitor))),
            ("returnsToMarketing", said(yes(*returns_to_marketing))),
            ("permanent", said(yes(*permanent))),
            ("track", maybe(track.as_ref())),
        ];
        self.add(CharterSection::Reasons, "", key, parts);
    }

    fn policy(&mut self, policy: &SlaPolicy) {
        let SlaPolicy {
            kind,
            party,
            mode,
            target_minutes,
            urgent_target_minutes,
            steps,
            pause_reasons,
            max_pause_minutes,
            min_attempts,
            within_days,
            min_channels,
        } = policy;
        // Days are not spoken of: they would be others in other hours.
        let lasts = |count: u32| minutes(count, CalendarMode::OwnerHours);
        let parts = vec![
            ("party", maybe(*party)),
            ("mode", said(hours(*mode))),
            ("targetMinutes", said(lasts(*target_minutes))),
            ("urgentTargetMinutes", maybe(urgent_target_minutes.map(lasts))),
            ("steps", steps.iter().map(|step| format!("{step}%")).collect()),
            ("pauseReasons", list(pause_reasons)),
            ("maxPauseMinutes", said(lasts(*max_pause_minutes))),
            ("minAttempts", maybe(*min_attempts)),
            ("withinDays", maybe(*within_days)),
            ("minChannels", maybe(*min_channels)),
        ];
        self.add(CharterSection::Sla, "", kind.as_str(), parts);
    }
}

#[cfg(test)]
mod tests;
