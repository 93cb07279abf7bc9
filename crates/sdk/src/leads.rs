//! A batch of leads, read by position: column and lead. Rows with names are in `reads.rs`.

use crate::reads::Row;
use crate::types::{Column, Field, IntegerLists, Kind, TextLists, Texts};

/// The leads of one call. A column that is not of the kind that is asked for answers "unknown".
#[derive(Clone, Debug)]
pub struct Leads {
    count: usize,
    columns: Vec<Column>,
}

/// The texts of one lead in a list column.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextList<'a> {
    distinct: &'a [String],
    index: &'a [u32],
}

impl Leads {
    pub fn new(count: u32, columns: Vec<Column>) -> Leads {
        Leads { count: count as usize, columns }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The column at a position of `reads`.
    pub fn column(&self, position: usize) -> Option<&Column> {
        self.columns.get(position)
    }

    pub fn boolean(&self, position: usize, lead: usize) -> Option<bool> {
        match self.columns.get(position)? {
            Column::Booleans(values) => *values.get(lead)?,
            _ => None,
        }
    }

    pub fn integer(&self, position: usize, lead: usize) -> Option<i64> {
        match self.columns.get(position)? {
            Column::Integers(values) => *values.get(lead)?,
            _ => None,
        }
    }

    pub fn text(&self, position: usize, lead: usize) -> Option<&str> {
        match self.columns.get(position)? {
            Column::Texts(texts) => texts.get(lead),
            _ => None,
        }
    }

    /// Empty when unknown.
    pub fn integers(&self, position: usize, lead: usize) -> &[i64] {
        match self.columns.get(position) {
            Some(Column::IntegerLists(lists)) => lists.get(lead),
            _ => &[],
        }
    }

    /// Empty when unknown.
    pub fn texts(&self, position: usize, lead: usize) -> TextList<'_> {
        match self.columns.get(position) {
            Some(Column::TextLists(lists)) => lists.get(lead),
            _ => TextList::default(),
        }
    }

    /// Row by row, in batch order.
    pub fn rows<'a, R: Row<'a>>(&'a self) -> impl Iterator<Item = R> {
        (0..self.count).map(|lead| R::read(self, lead))
    }

    /// Builds a batch from JSON objects (path to value), for the tests of a rule.
    pub fn from_json(reads: &[Field], leads: &[serde_json::Value]) -> Result<Leads, String> {
        let columns = reads.iter().map(|field| column_of(field, leads)).collect::<Result<_, _>>()?;
        Ok(Leads { count: leads.len(), columns })
    }
}

impl Texts {
    pub fn get(&self, lead: usize) -> Option<&str> {
        let index = *self.index.get(lead)? as usize;
        self.distinct.get(index.checked_sub(1)?).map(String::as_str)
    }

    fn push(&mut self, text: Option<&str>) {
        self.index.push(text.map_or(0, |text| entry(&mut self.distinct, text)));
    }
}

impl IntegerLists {
    pub fn get(&self, lead: usize) -> &[i64] {
        span(&self.ends, lead).and_then(|(start, end)| self.values.get(start..end)).unwrap_or(&[])
    }
}

impl TextLists {
    pub fn get(&self, lead: usize) -> TextList<'_> {
        let index = span(&self.ends, lead).and_then(|(start, end)| self.index.get(start..end)).unwrap_or(&[]);
        TextList { distinct: &self.distinct, index }
    }
}

impl<'a> TextList<'a> {
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let distinct = self.distinct;
        self.index
            .iter()
            .filter_map(move |index| distinct.get((*index as usize).checked_sub(1)?))
            .map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn contains(&self, text: &str) -> bool {
        self.iter().any(|item| item == text)
    }
}

fn span(ends: &[u32], lead: usize) -> Option<(usize, usize)> {
    let start = if lead == 0 { 0 } else { *ends.get(lead - 1)? as usize };
    Some((start, *ends.get(lead)? as usize))
}

/// Position of `text` in the dictionary, counted from 1.
fn entry(distinct: &mut Vec<String>, text: &str) -> u32 {
    let at = distinct.iter().position(|known| known == text).unwrap_or_else(|| {
        distinct.push(text.to_owned());
        distinct.len() - 1
    });
    at as u32 + 1
}

fn column_of(field: &Field, leads: &[serde_json::Value]) -> Result<Column, String> {
    let values = || leads.iter().map(|lead| lead.get(&field.path).filter(|value| !value.is_null()));
    let wrong = || format!("{}: expected {:?}", field.path, field.kind);
    let list = |value: Option<&serde_json::Value>| match value {
        None => Ok(Vec::new()),
        Some(value) => value.as_array().cloned().ok_or_else(wrong),
    };
    Ok(match field.kind {
        Kind::Boolean => Column::Booleans(
            values()
                .map(|v| v.map(|v| v.as_bool().ok_or_else(wrong)).transpose())
                .collect::<Result<_, _>>()?,
        ),
        Kind::Integer => Column::Integers(
            values()
                .map(|v| v.map(|v| v.as_i64().ok_or_else(wrong)).transpose())
                .collect::<Result<_, _>>()?,
        ),
        Kind::Text => {
            let mut texts = Texts::default();
            for value in values() {
                texts.push(value.map(|v| v.as_str().ok_or_else(wrong)).transpose()?);
            }
            Column::Texts(texts)
        }
        Kind::IntegerList => {
            let mut lists = IntegerLists::default();
            for value in values() {
                for item in list(value)? {
                    lists.values.push(item.as_i64().ok_or_else(wrong)?);
                }
                lists.ends.push(lists.values.len() as u32);
            }
            Column::IntegerLists(lists)
        }
        Kind::TextList => {
            let mut lists = TextLists::default();
            for value in values() {
                for item in list(value)? {
                    let index = entry(&mut lists.distinct, item.as_str().ok_or_else(wrong)?);
                    lists.index.push(index);
                }
                lists.ends.push(lists.index.len() as u32);
            }
            Column::TextLists(lists)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    crate::reads! {
        struct Lead {
            employees: integer = "company.employees",
            industry: text = "company.industry",
            consent: boolean = "contact.consent",
            outcomes: text_list = "history.outcomes",
            numbers: integer_list = "traits.numbers",
        }
    }

    fn batch(leads: &[serde_json::Value]) -> Leads {
        Leads::from_json(&Lead::reads(), leads).unwrap()
    }

    #[test]
    fn rows_give_back_what_the_columns_were_made_of() {
        let leads = batch(&[
            json!({"company.employees": 12, "company.industry": "steel", "history.outcomes": ["LOST", "WON"]}),
            json!({"contact.consent": false, "traits.numbers": [3, 4]}),
            json!({"company.industry": "steel", "history.outcomes": ["WON"]}),
        ]);
        let rows: Vec<Lead> = leads.rows().collect();
        assert_eq!((rows[0].employees, rows[0].industry, rows[0].consent), (Some(12), Some("steel"), None));
        assert_eq!(rows[0].outcomes.iter().collect::<Vec<_>>(), ["LOST", "WON"]);
        assert_eq!((rows[1].employees, rows[1].industry, rows[1].consent), (None, None, Some(false)));
        assert!(rows[1].outcomes.is_empty() && rows[2].outcomes.contains("WON"));
        assert_eq!((rows[0].numbers, rows[1].numbers), (&[][..], &[3, 4][..]));
        assert!(matches!(leads.column(1), Some(Column::Texts(texts)) if texts.distinct == ["steel"]));
    }

    #[test]
    fn field_constants_are_positions_in_reads() {
        let reads = Lead::reads();
        assert_eq!(reads[usize::from(Lead::employees)].path, "company.employees");
        assert_eq!(reads[usize::from(Lead::numbers)].path, "traits.numbers");
    }

    #[test]
    fn damaged_columns_answer_unknown_instead_of_panicking() {
        let texts = Texts { distinct: vec!["a".into()], index: vec![2, 1] };
        let lists = TextLists { distinct: vec![], index: vec![7], ends: vec![5, 1] };
        let leads = Leads::new(2, vec![Column::Texts(texts), Column::TextLists(lists)]);
        assert_eq!((leads.text(0, 0), leads.text(0, 1), leads.text(0, 9)), (None, Some("a"), None));
        assert!(leads.texts(1, 0).iter().next().is_none() && leads.texts(1, 1).iter().next().is_none());
        assert_eq!((leads.integer(0, 0), leads.boolean(5, 0)), (None, None));
    }
}
