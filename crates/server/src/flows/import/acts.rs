//! What a file tells, in the order in which it happened. A row is one act, or two where it also says how its lead ended;
//! files are seldom sorted by time, and the funnel must be told its story in order.

use std::collections::BTreeMap;
use std::path::Path;

use handfast_domain::calendar::TimeZone;
use handfast_domain::field::is_key;
use handfast_domain::stage::Channel;
use handfast_domain::time::Instant;

use super::mapping::{CellProblem, Mapping};
use super::rows::{Place, Row, Rows};

/// The most rows of one file; more come in several.
const ROWS: usize = 2_000_000;
/// The most campaigns that one file may create.
const CAMPAIGNS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The row cannot be read far enough to know when it happened; it is reported.
    Bad,
    /// Somebody becomes a lead, or is met again.
    Capture,
    /// More about a known lead: how its cycle ended, who has it, traits.
    Follow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    pub at: Instant,
    pub place: Place,
    pub kind: Kind,
}

/// The whole file, read once.
#[derive(Debug, Default)]
pub struct Acts {
    pub acts: Vec<Act>,
    pub rows: i64,
    /// Keys of the campaigns that rows name, with the channel of the first such row.
    pub campaigns: BTreeMap<String, Option<Channel>>,
    /// Rows that cannot be read at all, by where they begin.
    pub unreadable: BTreeMap<u64, CellProblem>,
}

/// How a mapping is read in this workspace.
#[derive(Clone, Debug)]
pub struct Reading {
    pub mapping: Mapping,
    pub zone: TimeZone,
    pub currency: String,
    /// When the run began: the time of rows that tell more about a lead and say no time.
    pub begun: Instant,
}

impl Acts {
    /// Reads the file. Blocking.
    pub fn read(path: &Path, reading: &Reading) -> Result<Acts, String> {
        let mut rows = Rows::open(path, reading.mapping.delimiter)?;
        let mut found = Acts::default();
        while let Some((place, row)) = rows.next()? {
            found.rows += 1;
            if found.rows as usize > ROWS {
                return Err(format!("a file has at most {ROWS} rows; split it"));
            }
            let noted = match row {
                Ok(row) => found.note(place, &row, reading).is_ok(),
                Err(problem) => {
                    found.unreadable.insert(place.byte, problem);
                    false
                }
            };
            if !noted {
                found.acts.push(Act { at: Instant::MIN, place, kind: Kind::Bad });
            }
        }
        // Bad rows first, then by time; rows of one instant in the order of the file.
        found.acts.sort_by_key(|act| (act.at, act.place.byte, act.kind));
        Ok(found)
    }

    fn note(&mut self, place: Place, row: &Row, reading: &Reading) -> Result<(), CellProblem> {
        let Reading { mapping, zone, currency, begun } = reading;
        let ended = mapping.ended(row, *zone, currency)?;
        if mapping.lead.is_none() {
            let at = match &ended {
                Some(ended) => ended.at,
                None => mapping.told_at(row, *zone)?.unwrap_or(*begun),
            };
            self.acts.push(Act { at, place, kind: Kind::Follow });
            return Ok(());
        }
        let at = mapping.captured_at(row, *zone)?;
        if let Some(lead) = &mapping.lead
            && mapping.create_campaigns.is_some()
            && let Some(key) = lead.campaign.as_ref().map_or(Ok(None), |cell| cell.text(row))?
            && is_key(&key)
            && !self.campaigns.contains_key(&key)
        {
            if self.campaigns.len() >= CAMPAIGNS {
                let message =
                    format!("a file creates at most {CAMPAIGNS} campaigns; is this column one of keys?");
                let column = lead.campaign.as_ref().and_then(|cell| cell.column.as_deref());
                return Err(CellProblem::new(column, Some(&key), message));
            }
            let channel = mapping.intake(row, at, *zone, currency)?.channel;
            self.campaigns.insert(key, channel);
        }
        self.acts.push(Act { at, place, kind: Kind::Capture });
        if let Some(ended) = ended {
            // Told after its beginning, even where the file says otherwise; the ending itself reports that.
            self.acts.push(Act { at: ended.at.max(at), place, kind: Kind::Follow });
        }
        Ok(())
    }
}
