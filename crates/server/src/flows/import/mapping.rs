//! The mapping of an import: which column of a file is which field, and how its texts are read. It is a document of its
//! own, so that the same export of another system can be imported again and again.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::calendar::TimeZone;
use handfast_domain::field::{Kind, is_key, nearest};
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Channel, CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use serde::{Deserialize, Serialize};

use super::rows::Row;
use crate::flows::capture::{Intake, IntakeCompany};

/// How a file is read. An unknown key is refused, so that a slip of the pen does not silently leave a field out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// Key of the system that the ids come from, for example `hubspot`.
    pub system: String,
    /// The id of the lead there. With it, the same row is imported once however often the file comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cell>,
    /// When the lead came in; needed with `lead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Time>,
    /// Each row is a touch: rows with the same `id` are told apart by what they say of it (its time, channel, source, campaign
    /// and content), so that each is imported once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touches: bool,
    /// Who the lead is. Without it, rows only tell more about leads that are known by `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<LeadCells>,
    /// Key of the user who has the lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Cell>,
    /// Stage that the lead had reached: it is asserted, and no rule is asked. Without it the rules decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Cell>,
    /// Traits; those that are not defined yet are defined by the import.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<TraitCell>,
    /// How and when the lead's cycle ended, where the row says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Campaigns that are named and do not exist yet are created with this kind; without it their rows are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_campaigns: Option<String>,
    /// Separator of a CSV file; found by its first line without: comma, semicolon, tab or bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
}

/// One cell: the column's name alone, or with how its text is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// The column; without it the value is always `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Texts that mean "unknown"; an empty cell always does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What a text stands for. With it, a text that is not listed becomes `otherwise`, or the row is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// The value of an unknown or unlisted text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// Put before the text, for example to make a key of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Decimal sign of a number, `.` or `,`; the other one then separates thousands. `$`, `€`, blanks, and the endings K
    /// and M are understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
}

/// A text is the name of a column. Written by hand, since serde's untagged enums cannot say which key they do not know.
impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Cell, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        struct Whole {
            column: Option<String>,
            missing: Vec<String>,
            values: BTreeMap<String, String>,
            otherwise: Option<String>,
            prefix: String,
            decimal: Option<char>,
        }
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Cell;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a column, or an object such as {\"column\": \"origin\", \"missing\": [\"unknown\"]}")
            }

            fn visit_str<E: serde::de::Error>(self, column: &str) -> Result<Cell, E> {
                Ok(Cell { column: Some(column.to_owned()), ..Cell::default() })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Cell, A::Error> {
                let whole = Whole::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                let Whole { column, missing, values, otherwise, prefix, decimal } = whole;
                Ok(Cell { column, missing, values, otherwise, prefix, decimal })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// An instant: the column's pattern after chrono's strftime and the zone that its times are local to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Time {
    /// The column; without it the time is always `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// RFC 3339 without, for example `%Y-%m-%d %H:%M:%S`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The charter's zone without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The time of rows that do not say it, in RFC 3339: an export without dates has at least the one of the export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeadCells {
    pub email: Option<Cell>,
    pub phone: Option<Cell>,
    pub anonymous_id: Option<Cell>,
    pub name: Option<Cell>,
    pub title: Option<Cell>,
    pub seniority: Option<Cell>,
    pub department: Option<Cell>,
    pub country: Option<Cell>,
    pub consent: Option<Cell>,
    pub source: Option<Cell>,
    pub channel: Option<Cell>,
    pub campaign: Option<Cell>,
    pub content: Option<Cell>,
    pub company: Option<CompanyCells>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CompanyCells {
    pub name: Option<Cell>,
    pub domain: Option<Cell>,
    pub industry: Option<Cell>,
    pub employees: Option<Cell>,
    /// In major units: 12.5 is 1250 minor ones.
    pub annual_revenue: Option<Cell>,
    pub country: Option<Cell>,
    pub region: Option<Cell>,
    pub incumbent: Option<Cell>,
    pub incumbent_vendor: Option<Cell>,
    pub incumbent_contract_ends_at: Option<Time>,
}

/// A trait and its cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TraitCell {
    pub key: String,
    pub from: Cell,
    #[serde(default = "text")]
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// Personal traits are shown, and no rule can read them.
    #[serde(default)]
    pub personal: bool,
}

fn text() -> Kind {
    Kind::Text
}

/// How a cycle ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ending {
    /// WON, LOST, RECYCLED or DISQUALIFIED; a row without it has no ending.
    pub outcome: Cell,
    pub at: Time,
    /// In major units of the charter's currency; may be unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Cell>,
    /// Key of a disposition reason; needed unless it was won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cell>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub competitor: Option<Cell>,
}

/// What is wrong with a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellProblem {
    pub column: Option<String>,
    pub value: Option<String>,
    pub message: String,
}

impl CellProblem {
    pub fn new(column: Option<&str>, value: Option<&str>, message: impl Into<String>) -> CellProblem {
        CellProblem {
            column: column.map(str::to_owned),
            value: value.map(|text| text.chars().take(80).collect()),
            message: message.into(),
        }
    }
}

type Read<T> = Result<Option<T>, CellProblem>;

/// The most columns of a file, and the longest mapping in bytes.
pub const COLUMNS: usize = 1_000;
const LENGTH: usize = 64 * 1024;

impl Mapping {
    pub fn parse(text: &str) -> Result<Mapping, Vec<Refused>> {
        let wrong = |message: String| vec![Refused::invalid("input/mapping", message)];
        if text.len() > LENGTH {
            return Err(wrong(format!("a mapping has at most {LENGTH} bytes, found {}", text.len())));
        }
        let mapping: Mapping =
            serde_json::from_str(text).map_err(|error| wrong(format!("no mapping: {error}")))?;
        let problems = mapping.problems();
        if problems.is_empty() { Ok(mapping) } else { Err(problems) }
    }

    fn problems(&self) -> Vec<Refused> {
        let mut found = vec![];
        let mut need = |holds: bool, path: &str, message: &str| {
            if !holds {
                found.push(Refused::invalid(path, message).at("input/mapping"));
            }
        };
        need(is_key(&self.system), "system", "a key is 1 to 64 of a-z, 0-9, - and _");
        need(
            self.lead.is_none() || self.occurred_at.is_some(),
            "occurredAt",
            "rows that tell of a lead need the time when it came in",
        );
        need(
            self.lead.is_some() || self.id.is_some(),
            "id",
            "without `lead`, rows need the `id` of the lead that they tell more about",
        );
        need(
            self.lead.is_some() || self.ending.is_some() || !self.traits.is_empty() || self.owner.is_some(),
            "lead",
            "the mapping reads nothing: give `lead`, `ending`, `traits` or `owner`",
        );
        need(
            !self.touches || self.lead.is_some(),
            "touches",
            "rows that are touches say in `lead` what there is of each, for example its channel",
        );
        need(
            self.create_campaigns.as_deref().is_none_or(is_key),
            "createCampaigns",
            "the kind of the new campaigns is a key: 1 to 64 of a-z, 0-9, - and _",
        );
        need(
            self.delimiter.is_none_or(|sign| sign.is_ascii() && !matches!(sign, '"' | '\n' | '\r')),
            "delimiter",
            "one ASCII character, for example ; or a tab",
        );
        for (place, one) in self.traits.iter().enumerate() {
            let twice = self.traits[..place].iter().any(|other| other.key == one.key);
            need(!twice, &format!("traits/{place}/key"), "this trait is mapped twice; keep one of them");
            need(is_key(&one.key), &format!("traits/{place}/key"), "a key is 1 to 64 of a-z, 0-9, - and _");
        }
        for (path, time) in self.times() {
            let known = time.pattern.as_deref().is_none_or(TimeZone::is_pattern);
            let example = "a pattern of strftime with a whole date, for example %Y-%m-%d or %d.%m.%Y %H:%M";
            need(known, &format!("{path}/pattern"), example);
            let fixed = time.otherwise.as_deref().map(Instant::parse);
            need(
                fixed != Some(None),
                &format!("{path}/otherwise"),
                "expected RFC 3339, for example 2026-03-01T09:30:00Z",
            );
            need(
                fixed.is_some() || time.column.is_some(),
                path,
                "name the column, or a time for all rows as `otherwise`",
            );
        }
        found
    }

    fn times(&self) -> impl Iterator<Item = (&'static str, &Time)> {
        let ending = self.ending.as_ref().map(|ending| ("ending/at", &ending.at));
        let company = self.lead.as_ref().and_then(|lead| lead.company.as_ref());
        let contract = company.and_then(|company| company.incumbent_contract_ends_at.as_ref());
        let contract = contract.map(|time| ("lead/company/incumbentContractEndsAt", time));
        self.occurred_at.iter().map(|time| ("occurredAt", time)).chain(ending).chain(contract)
    }

    /// Every column that the mapping names must stand in the file's header.
    pub fn check_header(&self, header: &[String]) -> Result<(), Vec<Refused>> {
        let wrong = |message: String| Refused::invalid("input/mapping", message);
        let mut seen = BTreeSet::new();
        let twice: Vec<&str> = header.iter().filter(|name| !seen.insert(*name)).map(String::as_str).collect();
        if header.len() > COLUMNS {
            return Err(vec![wrong(format!("a file has at most {COLUMNS} columns, found {}", header.len()))]);
        }
        let mut found = vec![];
        for column in self.columns() {
            if twice.contains(&column.as_str()) {
                found.push(wrong(format!(
                    "the file has two columns named {column:?}; give them different names"
                )));
            } else if !seen.contains(&column) {
                let near = nearest(&column, header.iter().cloned());
                let hint = if near.is_empty() { header.iter().take(20).cloned().collect() } else { near };
                let shown: String = column.chars().take(80).collect();
                found.push(wrong(format!("the file has no column {shown:?}; it has {}", hint.join(", "))));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// The column that a field comes from, by the field's path: `["company", "employees"]`, `["traits", "seats"]`.
    pub fn column_of(&self, path: &[&str]) -> Option<&str> {
        let lead = self.lead.as_ref();
        let company = lead.and_then(|lead| lead.company.as_ref());
        let cell = match path {
            ["traits", key] => self.traits.iter().find(|one| one.key == *key).map(|one| &one.from),
            ["owner"] => self.owner.as_ref(),
            ["external", ..] => self.id.as_ref(),
            ["occurredAt"] => return self.occurred_at.as_ref()?.column.as_deref(),
            ["email"] => lead?.email.as_ref(),
            ["phone"] => lead?.phone.as_ref(),
            ["anonymousId"] => lead?.anonymous_id.as_ref(),
            ["name"] => lead?.name.as_ref(),
            ["title"] => lead?.title.as_ref(),
            ["seniority"] => lead?.seniority.as_ref(),
            ["department"] => lead?.department.as_ref(),
            ["country"] => lead?.country.as_ref(),
            ["source"] => lead?.source.as_ref(),
            ["campaign"] => lead?.campaign.as_ref(),
            ["content"] => lead?.content.as_ref(),
            ["company", "domain"] => company?.domain.as_ref(),
            ["company", "employees"] => company?.employees.as_ref(),
            ["company", "annualRevenue"] => company?.annual_revenue.as_ref(),
            ["company", "incumbentContractEndsAt"] => {
                return company?.incumbent_contract_ends_at.as_ref()?.column.as_deref();
            }
            _ => None,
        };
        cell.and_then(|cell| cell.column.as_deref())
    }

    /// The column of an ending that a refusal is about.
    pub fn ending_column(&self, refused: &Refused) -> Option<&str> {
        let ending = self.ending.as_ref()?;
        let about = |name: &str| refused.path.iter().any(|part| part == name);
        let cell = match (&ending.reason, &ending.competitor) {
            (_, Some(competitor)) if about("competitor") => competitor,
            (Some(reason), _) if about("reason") => reason,
            _ => return ending.at.column.as_deref(),
        };
        cell.column.as_deref()
    }

    /// The names of all columns that are read.
    fn columns(&self) -> BTreeSet<String> {
        fn names(value: &serde_json::Value, found: &mut BTreeSet<String>) {
            match value {
                serde_json::Value::Object(map) => {
                    if let Some(serde_json::Value::String(column)) = map.get("column") {
                        found.insert(column.clone());
                    }
                    map.iter().filter(|(key, _)| *key != "values").for_each(|(_, value)| names(value, found));
                }
                serde_json::Value::Array(list) => list.iter().for_each(|value| names(value, found)),
                _ => {}
            }
        }
        let mut found = BTreeSet::new();
        // Written out, each cell names its column in the same way.
        if let Ok(written) = serde_json::to_value(self) {
            names(&written, &mut found);
        }
        found
    }
}

impl Cell {
    /// The text of the row's cell; none if it is unknown.
    pub fn text(&self, row: &Row) -> Read<String> {
        let Some(column) = &self.column else { return Ok(self.otherwise.clone()) };
        let raw = row.get(column).map(str::trim).filter(|text| !text.is_empty());
        let Some(text) = raw.filter(|text| !self.missing.iter().any(|missing| missing == text)) else {
            return Ok(self.otherwise.clone());
        };
        if self.values.is_empty() {
            return Ok(Some(format!("{}{text}", self.prefix)));
        }
        match self.values.get(text).or(self.otherwise.as_ref()) {
            Some(value) => Ok(Some(value.clone())),
            None => {
                let known: Vec<&str> = self.values.keys().map(String::as_str).take(20).collect();
                Err(self.problem(
                    row,
                    format!("the mapping lists {}; add this text or `otherwise`", known.join(", ")),
                ))
            }
        }
    }

    fn problem(&self, row: &Row, message: String) -> CellProblem {
        let value = self.column.as_ref().and_then(|column| row.get(column));
        CellProblem::new(self.column.as_deref(), value, message)
    }

    /// A word of a closed list.
    pub fn word<T>(&self, row: &Row, parse: impl Fn(&str) -> Option<T>, known: &[&str]) -> Read<T> {
        let Some(text) = self.text(row)? else { return Ok(None) };
        let word = parse(&text.to_uppercase().replace([' ', '-'], "_"));
        word.map(Some).ok_or_else(|| self.problem(row, format!("expected one of {}", known.join(", "))))
    }

    pub fn boolean(&self, row: &Row) -> Read<bool> {
        let Some(text) = self.text(row)? else { return Ok(None) };
        match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => Ok(Some(true)),
            "false" | "no" | "n" | "0" => Ok(Some(false)),
            _ => Err(self.problem(row, "expected true or false, yes or no, 1 or 0".to_owned())),
        }
    }

    /// A number times 10 to the power of `digits`, which must come out whole.
    pub fn number(&self, row: &Row, digits: u32) -> Read<i64> {
        let Some(text) = self.text(row)? else { return Ok(None) };
        let number = read_number(&text, self.decimal.unwrap_or('.'), digits);
        let expected = || {
            let sign = self.decimal.unwrap_or('.');
            let example = if digits == 0 { "1250".to_owned() } else { format!("1250{sign}50") };
            let size = format!("of at most 2^53 with at most {digits} decimals");
            let mend = "`decimal` in the mapping sets another sign";
            self.problem(
                row,
                format!("expected a number {size} after {sign:?}, for example {example}; {mend}"),
            )
        };
        number.map(Some).ok_or_else(expected)
    }
}

/// Reads `$1,117.10K` exactly: no number of a ledger goes through floating point.
fn read_number(text: &str, decimal: char, digits: u32) -> Option<i64> {
    let thousands = if decimal == ',' { '.' } else { ',' };
    let text: String = text.chars().filter(|c| !matches!(c, '$' | '€' | '£' | ' ' | '\u{a0}')).collect();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (text, shift) = match text.chars().last().map(|last| last.to_ascii_uppercase()) {
        Some('K') => (&text[..text.len() - 1], digits + 3),
        Some('M') => (&text[..text.len() - 1], digits + 6),
        _ => (text, digits),
    };
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = text.split_once(decimal).unwrap_or((text, ""));
    // Thousands stand in groups of three, or the sign is a decimal one after all.
    let mut groups = whole.split(thousands);
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    if !rest.is_empty() && (first.len() > 3 || rest.iter().any(|group| group.len() != 3)) {
        return None;
    }
    let whole = format!("{first}{}", rest.concat());
    if !part.is_ascii() {
        return None;
    }
    let (part, beyond) = part.split_at(part.len().min(shift as usize));
    let fits =
        (1..=16).contains(&whole.len()) && !first.is_empty() && only_digits(&whole) && only_digits(part);
    if !fits || beyond.bytes().any(|c| c != b'0') {
        return None;
    }
    let padded = format!("{whole}{part:0<width$}", width = shift as usize);
    padded.parse::<i64>().ok().map(|number| sign * number).filter(|number| number.unsigned_abs() <= 1 << 53)
}

impl Time {
    pub fn read(&self, row: &Row, zone: TimeZone) -> Read<Instant> {
        let raw = self.column.as_ref().and_then(|column| row.get(column));
        let raw = raw.map(str::trim).filter(|text| !text.is_empty());
        let Some(text) = raw.filter(|text| !self.missing.iter().any(|missing| missing == text)) else {
            return Ok(self.otherwise.as_deref().and_then(Instant::parse));
        };
        let read = match &self.pattern {
            Some(pattern) => self.time_zone.unwrap_or(zone).read(text, pattern),
            None => Instant::parse(text),
        };
        let form = self.pattern.as_deref().unwrap_or("RFC 3339, such as 2026-03-01T09:30:00Z");
        let wrong = |message: String| Err(CellProblem::new(self.column.as_deref(), Some(text), message));
        match read {
            Some(at) if at < Instant(0) => {
                wrong(format!("{at} lies before 1970; does the year have the form of {form}?"))
            }
            Some(at) => Ok(Some(at)),
            None => wrong(format!(
                "expected a time that exists, in the form {form}; `pattern` in the mapping sets another one"
            )),
        }
    }

    /// The time, where a row needs one.
    fn needed(&self, row: &Row, zone: TimeZone, what: &str) -> Result<Instant, CellProblem> {
        let value = self.column.as_ref().and_then(|column| row.get(column));
        let missing = || CellProblem::new(self.column.as_deref(), value, format!("{what} is missing"));
        self.read(row, zone)?.ok_or_else(missing)
    }
}

/// Decimals of a currency's minor unit, after ISO 4217.
pub fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// A row's ending, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub outcome: CycleOutcome,
    pub at: Instant,
    pub amount_minor: Option<i64>,
    pub reason: Option<String>,
    pub competitor: Option<String>,
}

impl Mapping {
    /// The id of the lead in its system.
    pub fn id_of(&self, row: &Row) -> Read<String> {
        self.id.as_ref().map_or(Ok(None), |cell| cell.text(row))
    }

    /// When the lead came in.
    pub fn captured_at(&self, row: &Row, zone: TimeZone) -> Result<Instant, CellProblem> {
        match &self.occurred_at {
            Some(time) => time.needed(row, zone, "the time"),
            None => Err(CellProblem::new(None, None, "the mapping names no time")),
        }
    }

    /// When a row holds that tells more about a lead and of no ending; none if it does not say.
    pub fn told_at(&self, row: &Row, zone: TimeZone) -> Read<Instant> {
        self.occurred_at.as_ref().map_or(Ok(None), |time| time.read(row, zone))
    }

    /// How the row's cycle ended, if it did.
    pub fn ended(&self, row: &Row, zone: TimeZone, currency: &str) -> Read<Ended> {
        let Some(Ending { outcome, at, amount, reason, competitor }) = &self.ending else { return Ok(None) };
        const OUTCOMES: [&str; 4] = ["WON", "LOST", "RECYCLED", "DISQUALIFIED"];
        let known = |text: &str| CycleOutcome::parse(text).filter(|_| OUTCOMES.contains(&text));
        let Some(outcome) = outcome.word(row, known, &OUTCOMES)? else { return Ok(None) };
        let at = at.needed(row, zone, "the time of the ending")?;
        let text = |cell: &Option<Cell>| cell.as_ref().map_or(Ok(None), |cell| cell.text(row));
        let amount = amount.as_ref().map_or(Ok(None), |cell| cell.number(row, minor_digits(currency)))?;
        let (reason, competitor) = (text(reason)?, text(competitor)?);
        // Zero is how many systems write "unknown".
        Ok(Some(Ended { outcome, at, amount_minor: amount.filter(|minor| *minor > 0), reason, competitor }))
    }

    pub fn asserted_stage(&self, row: &Row) -> Read<StageKind> {
        const STAGES: [&str; 7] = ["INQUIRY", "IQL", "MQL", "SAL", "SQL", "OPPORTUNITY", "CUSTOMER"];
        let known = |text: &str| StageKind::parse(text).filter(|_| STAGES.contains(&text));
        self.stage.as_ref().map_or(Ok(None), |cell| cell.word(row, known, &STAGES))
    }

    pub fn owner_of(&self, row: &Row) -> Read<String> {
        self.owner.as_ref().map_or(Ok(None), |cell| cell.text(row))
    }

    pub fn traits_of(&self, row: &Row) -> Result<Vec<(String, String)>, CellProblem> {
        let mut found = vec![];
        for one in &self.traits {
            if let Some(text) = one.from.text(row)? {
                found.push((one.key.clone(), text));
            }
        }
        Ok(found)
    }

    /// The lead of a row, as a form would have brought it.
    pub fn intake(
        &self,
        row: &Row,
        at: Instant,
        zone: TimeZone,
        currency: &str,
    ) -> Result<Intake, CellProblem> {
        let lead = self.lead.clone().unwrap_or_default();
        let text = |cell: &Option<Cell>| cell.as_ref().map_or(Ok(None), |cell| cell.text(row));
        let channels: Vec<&str> = Channel::ALL.iter().map(|channel| channel.as_str()).collect();
        let channel =
            lead.channel.as_ref().map_or(Ok(None), |cell| cell.word(row, Channel::parse, &channels))?;
        let company = match &lead.company {
            None => None,
            Some(cells) => {
                let number = |cell: &Option<Cell>, digits| {
                    cell.as_ref().map_or(Ok(None), |cell| cell.number(row, digits))
                };
                Some(IntakeCompany {
                    name: text(&cells.name)?,
                    domain: text(&cells.domain)?,
                    industry: text(&cells.industry)?,
                    employees: number(&cells.employees, 0)?,
                    annual_revenue: number(&cells.annual_revenue, minor_digits(currency))?,
                    country: text(&cells.country)?,
                    region: text(&cells.region)?,
                    incumbent: text(&cells.incumbent)?,
                    incumbent_vendor: text(&cells.incumbent_vendor)?,
                    incumbent_ends_at: cells
                        .incumbent_contract_ends_at
                        .as_ref()
                        .map_or(Ok(None), |time| time.read(row, zone))?,
                })
            }
        };
        Ok(Intake {
            email: text(&lead.email)?,
            phone: text(&lead.phone)?,
            external: self.id_of(row)?.map(|id| (self.system.clone(), id)),
            anonymous_id: text(&lead.anonymous_id)?,
            name: text(&lead.name)?,
            title: text(&lead.title)?,
            seniority: text(&lead.seniority)?,
            department: text(&lead.department)?,
            country: text(&lead.country)?,
            consent: lead.consent.as_ref().map_or(Ok(None), |cell| cell.boolean(row))?,
            company,
            source: text(&lead.source)?,
            channel,
            campaign: text(&lead.campaign)?,
            content: text(&lead.content)?,
            traits: self.traits_of(row)?,
            occurred_at: Some(at),
            ..Intake::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly_as_people_write_them() {
        let cases = [
            ("1250", '.', 0, Some(1_250)),
            ("1,250.50", '.', 2, Some(125_050)),
            ("1.250,5", ',', 2, Some(125_050)),
            ("1,5", '.', 2, None),
            ("10,50", '.', 2, None),
            ("1.234,56", '.', 2, None),
            ("1,234,567", '.', 0, Some(1_234_567)),
            ("$1,117.10K", '.', 2, Some(111_710_000)),
            ("2.5M", '.', 0, Some(2_500_000)),
            ("-7", '.', 2, Some(-700)),
            ("0.0", '.', 2, Some(0)),
            ("0.10000", '.', 2, Some(10)),
            ("0.105", '.', 2, None),
            ("#VALUE!", '.', 2, None),
            ("1e309", '.', 2, None),
            ("NaN", '.', 0, None),
            ("", '.', 0, None),
            ("99999999999999999999", '.', 0, None),
        ];
        for (text, decimal, digits, expected) in cases {
            assert_eq!(read_number(text, decimal, digits), expected, "{text:?}");
        }
    }

    #[test]
    fn an_unknown_key_of_a_mapping_is_refused_and_named() {
        for (text, named) in [
            (r#"{"system": "crm", "occuredAt": {"column": "a"}}"#, "occuredAt"),
            (r#"{"system": "crm", "id": {"colum": "a"}}"#, "colum"),
            (r#"{"system": "crm", "id": 7}"#, "the name of a column"),
        ] {
            let refused = Mapping::parse(text).unwrap_err();
            assert!(refused[0].message.contains(named), "{}", refused[0].message);
        }
    }

    #[test]
    fn a_column_that_the_file_lacks_is_named_with_the_nearest() {
        let text = r#"{"system": "crm", "id": "lead_id", "occurredAt": {"column": "created"}, "lead": {"email": {"column": "emial"}}}"#;
        let mapping = Mapping::parse(text).unwrap();
        let header = ["lead_id", "created", "email"].map(str::to_owned);
        let refused = mapping.check_header(&header).unwrap_err();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].message, "the file has no column \"emial\"; it has email");
    }
}
