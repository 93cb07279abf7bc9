//! From snapshots to columns: what a rule declared, one column each, text as a dictionary.

use std::collections::HashMap;
use std::sync::Arc;

use handfast_domain::field::{Kind, Value};
use handfast_domain::snapshot::Snapshot;

use crate::contract::{self, Column};

/// What a rule reads, prepared for walking it along a snapshot's sorted fields.
pub struct Reads {
    pub fields: Vec<(String, Kind)>,
    /// Positions in `fields`, sorted by path.
    sorted: Vec<usize>,
}

/// The declared cells of some leads, row by row. Unknown cells, and those of another kind, are empty.
pub struct Rows<'a> {
    width: usize,
    cells: Vec<Option<&'a Value>>,
}

impl Reads {
    pub fn new(fields: &[(String, Kind)]) -> Reads {
        let mut sorted: Vec<usize> = (0..fields.len()).collect();
        sorted.sort_by(|a, b| fields[*a].0.cmp(&fields[*b].0));
        Reads { fields: fields.to_vec(), sorted }
    }

    /// Both sides are sorted, so that one pass over each finds all pairs.
    pub fn rows<'a>(&self, leads: &'a [Arc<Snapshot>]) -> Rows<'a> {
        let width = self.fields.len();
        let mut cells = vec![None; width * leads.len()];
        for (lead, row) in leads.iter().zip(cells.chunks_mut(width.max(1))) {
            let mut wanted = self.sorted.iter().copied().peekable();
            for (path, value) in &lead.fields {
                while let Some(at) = wanted.next_if(|at| self.fields[*at].0 <= *path) {
                    if self.fields[at].0 == *path && value.is(self.fields[at].1) {
                        row[at] = Some(value);
                    }
                }
            }
        }
        Rows { width, cells }
    }
}

impl<'a> Rows<'a> {
    pub fn row(&self, lead: usize) -> &[Option<&'a Value>] {
        &self.cells[lead * self.width..(lead + 1) * self.width]
    }

    /// The columns of the leads in `range`.
    pub fn columns(&self, reads: &Reads, range: std::ops::Range<usize>) -> Columns<'a> {
        let columns = reads
            .fields
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| {
                Built::new(*kind, range.clone().map(|lead| self.cells[lead * self.width + at]))
            })
            .collect();
        Columns(columns)
    }
}

/// Owns the columns that a call lowers.
pub struct Columns<'a>(Vec<Built<'a>>);

impl Columns<'_> {
    pub fn lower(&self) -> Vec<Column<'_>> {
        self.0.iter().map(Built::lower).collect()
    }
}

enum Built<'a> {
    Booleans(Vec<Option<bool>>),
    Integers(Vec<Option<i64>>),
    Texts { distinct: Vec<&'a str>, index: Vec<u32> },
    IntegerLists { values: Vec<i64>, ends: Vec<u32> },
    TextLists { distinct: Vec<&'a str>, index: Vec<u32>, ends: Vec<u32> },
}

impl<'a> Built<'a> {
    fn new(kind: Kind, cells: impl ExactSizeIterator<Item = Option<&'a Value>>) -> Built<'a> {
        match kind {
            Kind::Boolean => Built::Booleans(
                cells
                    .map(|cell| match cell {
                        Some(Value::Boolean(value)) => Some(*value),
                        _ => None,
                    })
                    .collect(),
            ),
            Kind::Integer => Built::Integers(
                cells
                    .map(|cell| match cell {
                        Some(Value::Integer(value)) => Some(*value),
                        _ => None,
                    })
                    .collect(),
            ),
            Kind::Text => {
                let mut texts = Dictionary::default();
                let index = cells
                    .map(|cell| match cell {
                        Some(Value::Text(text)) => texts.entry(text),
                        _ => 0,
                    })
                    .collect();
                Built::Texts { distinct: texts.distinct, index }
            }
            Kind::IntegerList => {
                let (mut values, mut ends) = (Vec::new(), Vec::with_capacity(cells.len()));
                for cell in cells {
                    if let Some(Value::IntegerList(list)) = cell {
                        values.extend_from_slice(list);
                    }
                    ends.push(values.len() as u32);
                }
                Built::IntegerLists { values, ends }
            }
            Kind::TextList => {
                let mut texts = Dictionary::default();
                let (mut index, mut ends) = (Vec::new(), Vec::with_capacity(cells.len()));
                for cell in cells {
                    if let Some(Value::TextList(list)) = cell {
                        index.extend(list.iter().map(|text| texts.entry(text)));
                    }
                    ends.push(index.len() as u32);
                }
                Built::TextLists { distinct: texts.distinct, index, ends }
            }
        }
    }

    fn lower(&self) -> Column<'_> {
        match self {
            Built::Booleans(values) => Column::Booleans(values),
            Built::Integers(values) => Column::Integers(values),
            Built::Texts { distinct, index } => Column::Texts(contract::Texts { distinct, index }),
            Built::IntegerLists { values, ends } => {
                Column::IntegerLists(contract::IntegerLists { values, ends })
            }
            Built::TextLists { distinct, index, ends } => {
                Column::TextLists(contract::TextLists { distinct, index, ends })
            }
        }
    }
}

/// Distinct texts in the order in which they first appear: the same leads give the same bytes.
#[derive(Default)]
struct Dictionary<'a> {
    distinct: Vec<&'a str>,
    /// Filled once the dictionary has outgrown a linear search.
    places: HashMap<&'a str, u32>,
}

impl<'a> Dictionary<'a> {
    const LINEAR: usize = 16;

    /// Position of `text`, counted from 1.
    fn entry(&mut self, text: &'a str) -> u32 {
        if self.distinct.len() <= Self::LINEAR {
            if let Some(at) = self.distinct.iter().position(|known| *known == text) {
                return at as u32 + 1;
            }
            self.distinct.push(text);
            if self.distinct.len() > Self::LINEAR {
                self.places = self.distinct.iter().zip(1..).map(|(text, at)| (*text, at)).collect();
            }
            return self.distinct.len() as u32;
        }
        *self.places.entry(text).or_insert_with(|| {
            self.distinct.push(text);
            self.distinct.len() as u32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_domain::field::CATALOGUE_VERSION;
    use proptest::prelude::*;

    fn lead(fields: &[(&str, Value)]) -> Arc<Snapshot> {
        let fields = fields.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        Arc::new(Snapshot {
            catalogue: CATALOGUE_VERSION,
            lead: uuid::Uuid::nil(),
            salt: String::new(),
            charter: 0,
            fields,
            pool: None,
        })
    }

    fn reads(fields: &[(&str, Kind)]) -> Reads {
        Reads::new(&fields.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect::<Vec<_>>())
    }

    #[test]
    fn only_declared_cells_of_the_declared_kind_are_taken() {
        let reads = reads(&[("b", Kind::Text), ("a", Kind::Integer), ("d", Kind::Boolean)]);
        let leads = [
            lead(&[("a", Value::Integer(1)), ("b", Value::Text("x".into())), ("c", Value::Integer(9))]),
            lead(&[("a", Value::Text("1".into())), ("d", Value::Boolean(true))]),
            lead(&[]),
        ];
        let rows = reads.rows(&leads);
        assert_eq!(rows.row(0), [Some(&Value::Text("x".into())), Some(&Value::Integer(1)), None]);
        assert_eq!(rows.row(1), [None, None, Some(&Value::Boolean(true))]);
        assert_eq!(rows.row(2), [None, None, None]);
    }

    #[test]
    fn a_rule_that_reads_nothing_gets_no_columns() {
        let rows = reads(&[]);
        let leads = [lead(&[("a", Value::Integer(1))])];
        assert!(rows.rows(&leads).columns(&rows, 0..1).lower().is_empty());
        assert!(rows.rows(&leads).row(0).is_empty());
    }

    proptest! {
        #[test]
        fn a_dictionary_gives_every_text_back(texts in prop::collection::vec(prop::option::of("[a-f]{0,2}"), 0..200)) {
            let values: Vec<Option<Value>> = texts.iter().map(|text| text.clone().map(Value::Text)).collect();
            let Built::Texts { distinct, index } = Built::new(Kind::Text, values.iter().map(Option::as_ref)) else {
                unreachable!("a text column")
            };
            let back: Vec<Option<String>> =
                index.iter().map(|at| (*at > 0).then(|| distinct[*at as usize - 1].to_owned())).collect();
            prop_assert_eq!(back, texts);
            let unique: std::collections::HashSet<_> = distinct.iter().collect();
            prop_assert_eq!(unique.len(), distinct.len());
        }
    }
}
