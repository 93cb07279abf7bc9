//! Rows of an uploaded file, CSV or NDJSON: read one by one in bounded memory, and again at a place that was noted.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, Position, ReaderBuilder};

use super::mapping::{COLUMNS, CellProblem};

/// The largest row and the largest cell, in bytes. An unclosed quote makes the rest of a file one cell.
const ROW: u64 = 1024 * 1024;
const CELL: usize = 64 * 1024;

/// A row's cells by the names of their columns.
#[derive(Clone, Debug)]
pub struct Row {
    header: Arc<Vec<String>>,
    cells: Vec<Option<String>>,
}

impl Row {
    pub fn get(&self, column: &str) -> Option<&str> {
        let place = self.header.iter().position(|name| name == column)?;
        self.cells.get(place)?.as_deref()
    }
}

/// Where a row begins, and its number as an editor shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub byte: u64,
    pub line: u64,
}

/// A row, or what is wrong with it, and where it begins.
pub type Placed = (Place, Result<Row, CellProblem>);

/// A file that is read row by row. Blocking: call it from a thread that may wait.
pub enum Rows {
    Csv(Csv),
    Ndjson(Ndjson),
}

impl Rows {
    /// Opens the file; `{` at its beginning says NDJSON.
    pub fn open(path: &Path, delimiter: Option<char>) -> Result<Rows, String> {
        let mut file = File::open(path).map_err(|error| format!("the file cannot be opened: {error}"))?;
        let mut start = vec![];
        file.by_ref().take(64 * 1024).read_to_end(&mut start).map_err(|error| error.to_string())?;
        let bom = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err("the file is UTF-16; save it as UTF-8 and upload it again".to_owned());
        }
        let text = &start[bom..];
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err("the file is empty".to_owned());
        }
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Ok(Rows::Ndjson(Ndjson::open(file, bom as u64)?)),
            _ => Ok(Rows::Csv(Csv::open(path, file, bom as u64, text, delimiter)?)),
        }
    }

    /// Names of the columns: a CSV file's header, or the keys of the first NDJSON row.
    pub fn header(&self) -> &[String] {
        match self {
            Rows::Csv(csv) => &csv.header,
            Rows::Ndjson(ndjson) => &ndjson.header,
        }
    }

    /// The next row with its place; none at the end. A row that cannot be read is a problem of its own.
    pub fn next(&mut self) -> Result<Option<Placed>, String> {
        match self {
            Rows::Csv(csv) => csv.next(),
            Rows::Ndjson(ndjson) => ndjson.next(),
        }
    }

    /// The row that begins at a place which [`Rows::next`] gave.
    pub fn at(&mut self, place: Place) -> Result<Result<Row, CellProblem>, String> {
        let row = match self {
            Rows::Csv(csv) => csv.at(place.byte)?,
            Rows::Ndjson(ndjson) => {
                ndjson.seek(place)?;
                ndjson.next()?.map(|(_, row)| row)
            }
        };
        row.ok_or_else(|| "the file ended before a row that was there".to_owned())
    }
}

pub struct Csv {
    reader: csv::Reader<Bounded>,
    header: Arc<Vec<String>>,
    delimiter: u8,
    limit: Arc<AtomicU64>,
    record: ByteRecord,
    /// Knows on which line a byte stands.
    lines: Lines,
    /// Bad rows whose lines were read again, one by one.
    mended: usize,
}

/// The most bad rows whose lines are read again: each costs a look through a whole row's length.
const OPEN_QUOTES: usize = 100;

fn open_quote() -> CellProblem {
    let message = format!("a quote is not closed, or the row has more than {ROW} bytes");
    CellProblem::new(None, None, message)
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

impl Csv {
    fn open(
        path: &Path,
        mut file: File,
        bom: u64,
        start: &[u8],
        delimiter: Option<char>,
    ) -> Result<Csv, String> {
        let delimiter = delimiter.and_then(|sign| u8::try_from(sign).ok()).unwrap_or_else(|| sniff(start));
        file.seek(SeekFrom::Start(0)).map_err(text)?;
        let limit = Arc::new(AtomicU64::new(bom + ROW));
        let lines = Lines::new(path, bom).map_err(text)?;
        let bounded = Bounded { file, at: 0, limit: limit.clone() };
        let mut builder = ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).delimiter(delimiter).from_reader(bounded);
        let record = ByteRecord::new();
        let mut csv = Csv { reader, header: Arc::default(), delimiter, limit, record, lines, mended: 0 };
        csv.seek(bom)?;
        let header = match csv.next()? {
            Some((_, Ok(row))) => {
                row.cells.into_iter().map(|cell| cell.unwrap_or_default().trim().to_owned()).collect()
            }
            Some((_, Err(problem))) => return Err(format!("the header: {}", problem.message)),
            None => return Err("the file is empty".to_owned()),
        };
        csv.header = Arc::new(header);
        Ok(csv)
    }

    fn seek(&mut self, byte: u64) -> Result<(), String> {
        let mut position = Position::new();
        position.set_byte(byte);
        self.limit.store(byte + ROW, Ordering::Relaxed);
        self.reader.seek(position).map_err(|error| error.to_string())
    }

    fn next(&mut self) -> Result<Option<Placed>, String> {
        let from = self.reader.position().byte();
        self.limit.store(from + ROW, Ordering::Relaxed);
        let read = self.reader.read_byte_record(&mut self.record);
        let begins = self.lines.record_at(from).map_err(text)?;
        let mut ends = self.reader.position().byte();
        let last = ends >= self.lines.end;
        let row = match read {
            Ok(false) => return Ok(None),
            Ok(true) if last && self.lines.ends_in_quotes(begins.byte, self.delimiter).map_err(text)? => {
                Err(open_quote())
            }
            Ok(true) => self.row(),
            // The reader went as far as a row may be long and found no end.
            Err(error) if error.is_io_error() => {
                ends = (begins.byte + ROW).min(self.lines.end);
                Err(open_quote())
            }
            Err(error) => return Err(format!("row {}: {error}", begins.line)),
        };
        // A bad row of several lines may have swallowed good ones by a quote that nobody closed: they are rows again.
        if row.is_err()
            && self.mended < OPEN_QUOTES
            && let Some(next) = self.lines.next_line(begins.byte, ends).map_err(text)?
        {
            self.mended += 1;
            self.seek(next)?;
        }
        Ok(Some((begins, row)))
    }

    /// The row that begins at a byte.
    fn at(&mut self, byte: u64) -> Result<Option<Result<Row, CellProblem>>, String> {
        if self.reader.position().byte() != byte {
            self.seek(byte)?;
        }
        self.limit.store(byte + ROW, Ordering::Relaxed);
        let read = self.reader.read_byte_record(&mut self.record).map_err(|error| error.to_string())?;
        Ok(read.then(|| self.row()))
    }

    fn row(&self) -> Result<Row, CellProblem> {
        let (found, expected) = (self.record.len(), self.header.len());
        if expected != 0 && found != expected {
            let message = format!(
                "the row has {found} cells, the header {expected}; a quote or separator may be missing"
            );
            return Err(CellProblem::new(None, None, message));
        }
        let mut cells = Vec::with_capacity(found);
        for (place, cell) in self.record.iter().enumerate() {
            let column = || self.header.get(place).map(String::as_str);
            let Ok(text) = std::str::from_utf8(cell) else {
                let shown = String::from_utf8_lossy(cell);
                return Err(CellProblem::new(column(), Some(&shown), "not UTF-8; save the file as UTF-8"));
            };
            if text.len() > CELL {
                let message =
                    format!("a cell has at most {CELL} bytes, found {}; is a quote not closed?", text.len());
                return Err(CellProblem::new(column(), Some(text), message));
            }
            if text.contains('\0') {
                return Err(CellProblem::new(column(), Some(text), "a NUL character is not allowed"));
            }
            cells.push(Some(text.to_owned()));
        }
        Ok(Row { header: self.header.clone(), cells })
    }
}

/// Lines of a file as an editor counts them, whatever ends them. The reader of CSV counts line feeds alone.
struct Lines {
    reader: BufReader<File>,
    at: u64,
    line: u64,
    /// The last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
    /// For looks at a part of the file.
    part: File,
    end: u64,
}

impl Lines {
    fn new(path: &Path, at: u64) -> std::io::Result<Lines> {
        // Handles of its own: clones of one would share its place.
        let (mut file, part) = (File::open(path)?, File::open(path)?);
        file.seek(SeekFrom::Start(at))?;
        let end = file.metadata()?.len();
        Ok(Lines { reader: BufReader::new(file), at, line: 1, after_return: false, part, end })
    }

    /// Where the record begins that the reader looked for from `from` on: it skips ends of lines before it.
    fn record_at(&mut self, from: u64) -> std::io::Result<Place> {
        while let Some(byte) = self.reader.fill_buf()?.first().copied() {
            if self.at >= from && !is_end(byte) {
                break;
            }
            self.line += u64::from(byte == b'\r' || byte == b'\n' && !self.after_return);
            self.after_return = byte == b'\r';
            self.reader.consume(1);
            self.at += 1;
        }
        Ok(Place { byte: self.at, line: self.line })
    }

    fn part(&mut self, from: u64, to: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![];
        self.part.seek(SeekFrom::Start(from))?;
        (&self.part).take(to.saturating_sub(from).min(2 * ROW)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the file, from the beginning of a record on, ends within quotes.
    fn ends_in_quotes(&mut self, from: u64, delimiter: u8) -> std::io::Result<bool> {
        let (mut quoted, mut fresh, mut quote_before) = (false, true, false);
        for byte in self.part(from, self.end)? {
            match (quoted, byte) {
                (true, b'"') => (quoted, quote_before) = (false, true),
                (true, _) => {}
                // A second quote: it was a quote in the text.
                (false, b'"') if quote_before || fresh => {
                    (quoted, quote_before, fresh) = (true, false, false)
                }
                (false, _) => {
                    quote_before = false;
                    fresh = byte == delimiter || is_end(byte);
                }
            }
        }
        Ok(quoted)
    }

    /// Where the line after the one of a byte begins, if the record that ends at `to` has more than one.
    fn next_line(&mut self, from: u64, to: u64) -> std::io::Result<Option<u64>> {
        let bytes = self.part(from, to)?;
        let Some(end) = bytes.iter().position(|byte| is_end(*byte)) else { return Ok(None) };
        let rest = bytes[end..].iter().take_while(|byte| is_end(**byte)).count();
        Ok(Some(from + (end + rest) as u64).filter(|next| *next < to))
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The separator that the first line has most of.
fn sniff(start: &[u8]) -> u8 {
    let line = start.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let count = |sign: u8| line.iter().filter(|byte| **byte == sign).count();
    let best = [b',', b';', b'\t', b'|'].into_iter().rev().max_by_key(|sign| count(*sign));
    best.unwrap_or(b',')
}

/// A file that refuses to go further than a row may be long: the reader would gather it whole.
struct Bounded {
    file: File,
    at: u64,
    limit: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // The reader asks ahead by its buffer, so the bound is a little soft.
        if self.at > self.limit.load(Ordering::Relaxed) + CELL as u64 {
            let message = format!("a row has at most {ROW} bytes; is a quote not closed?");
            return Err(std::io::Error::other(message));
        }
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// Rows that are looked at to learn the names of all columns.
const HEADER_ROWS: usize = 100;

pub struct Ndjson {
    reader: BufReader<File>,
    header: Arc<Vec<String>>,
    next: Place,
}

impl Ndjson {
    fn open(file: File, bom: u64) -> Result<Ndjson, String> {
        let mut ndjson = Ndjson {
            reader: BufReader::new(file),
            header: Arc::default(),
            next: Place { byte: bom, line: 1 },
        };
        let start = ndjson.next;
        ndjson.seek(start)?;
        // A row may leave keys out, or be broken: the next ones tell the other columns.
        let (mut names, mut problem): (Vec<String>, _) = (vec![], None);
        for _ in 0..HEADER_ROWS {
            let Some((place, line)) = ndjson.line()? else { break };
            match flat(&line) {
                Ok(cells) => {
                    for (name, _) in cells {
                        if names.len() <= COLUMNS && !names.contains(&name) {
                            names.push(name);
                        }
                    }
                }
                Err(found) => problem = problem.or(Some(format!("row {}: {}", place.line, found.message))),
            }
        }
        if let Some(problem) = problem.filter(|_| names.is_empty()) {
            return Err(problem);
        }
        ndjson.header = Arc::new(names);
        ndjson.seek(start)?;
        Ok(ndjson)
    }

    fn seek(&mut self, place: Place) -> Result<(), String> {
        if place != self.next {
            self.next = place;
            self.reader.seek(SeekFrom::Start(place.byte)).map_err(|error| error.to_string())?;
        } else if self.reader.stream_position().map_err(|error| error.to_string())? != place.byte {
            self.reader.seek(SeekFrom::Start(place.byte)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The next line that is not blank.
    fn line(&mut self) -> Result<Option<(Place, Vec<u8>)>, String> {
        loop {
            let mut line = vec![];
            let read = self.reader.by_ref().take(ROW + 1).read_until(b'\n', &mut line);
            let read = read.map_err(|error| error.to_string())? as u64;
            let place = self.next;
            if read > ROW {
                return Err(format!("row {}: a row has at most {ROW} bytes", place.line));
            }
            self.next = Place { byte: place.byte + read, line: place.line + 1 };
            if read == 0 {
                return Ok(None);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some((place, line)));
            }
        }
    }

    fn next(&mut self) -> Result<Option<Placed>, String> {
        let Some((place, line)) = self.line()? else { return Ok(None) };
        // Each row may have keys of its own.
        let row = flat(&line).map(|cells| {
            let (names, cells) = cells.into_iter().unzip();
            Row { header: Arc::new(names), cells }
        });
        Ok(Some((place, row)))
    }
}

/// A JSON object as columns: `company.name` is the name in the company.
fn flat(line: &[u8]) -> Result<Vec<(String, Option<String>)>, CellProblem> {
    fn walk(prefix: &str, value: &serde_json::Value, found: &mut Vec<(String, Option<String>)>) {
        use serde_json::Value;
        let name = || prefix.to_owned();
        match value {
            Value::Null => found.push((name(), None)),
            Value::Bool(flag) => found.push((name(), Some(flag.to_string()))),
            Value::Number(number) => found.push((name(), Some(number.to_string()))),
            Value::String(text) => found.push((name(), Some(text.clone()))),
            Value::Array(list) => {
                let texts =
                    list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                found.push((name(), Some(texts.collect::<Vec<_>>().join(","))));
            }
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&path, value, found);
                }
            }
        }
    }
    let Ok(text) = std::str::from_utf8(line) else {
        let shown = String::from_utf8_lossy(line);
        return Err(CellProblem::new(None, Some(shown.trim()), "not UTF-8; save the file as UTF-8"));
    };
    let text = text.trim();
    let wrong = |message: String| CellProblem::new(None, Some(text), message);
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    if !value.is_object() {
        return Err(wrong("a row of NDJSON is an object".to_owned()));
    }
    let mut found = vec![];
    walk("", &value, &mut found);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Line and text of each row, or what is wrong with it.
    type Found = Vec<(u64, Result<String, String>)>;

    fn rows(bytes: &[u8]) -> Result<(Vec<String>, Found), String> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        let mut rows = Rows::open(file.path(), None)?;
        let header = rows.header().to_vec();
        let (mut found, mut places) = (vec![], vec![]);
        let shown = |row: Result<Row, CellProblem>| match row {
            Ok(row) => Ok(row
                .cells
                .iter()
                .map(|cell| cell.clone().unwrap_or("-".into()))
                .collect::<Vec<_>>()
                .join("|")),
            Err(problem) => Err(problem.message),
        };
        while let Some((place, row)) = rows.next()? {
            places.push(place);
            found.push((place.line, shown(row)));
        }
        // Backwards, so that no place is where the reader stands anyway.
        for (place, (_, first)) in places.into_iter().zip(&found).rev().filter(|(_, (_, row))| row.is_ok()) {
            assert_eq!(shown(rows.at(place)?), *first, "the row at {place:?}");
        }
        Ok((header, found))
    }

    #[test]
    fn every_common_way_to_write_a_table_gives_the_same_rows() {
        let expected = [Ok("1|x, y".to_owned()), Ok("2|ü".to_owned())];
        for text in [
            "id,name\n1,\"x, y\"\n2,ü\n",
            "id,name\r\n1,\"x, y\"\r\n2,ü",
            "id,name\r1,\"x, y\"\r2,ü\r",
            "\u{feff}id;name\n1;x, y\n2;ü\n",
            "id\tname\n1\tx, y\n2\tü\n",
            "{\"id\": 1, \"name\": \"x, y\"}\n\n{\"id\": \"2\", \"name\": \"ü\"}",
        ] {
            let (header, found) = rows(text.as_bytes()).expect(text);
            assert_eq!(header, ["id", "name"], "{text:?}");
            let found: Vec<_> = found.into_iter().map(|(_, row)| row).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_bad_row_is_named_and_stops_no_other() {
        let (_, found) = rows(b"a,b\n1,2\n3\n4,\xff\n5,6\n").expect("a file");
        let numbers: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(numbers, [2, 3, 4, 5]);
        assert!(found[1].1.as_ref().unwrap_err().contains("1 cells, the header 2"));
        assert!(found[2].1.as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(found[3].1, Ok("5|6".to_owned()));
    }

    #[test]
    fn a_quote_that_nobody_closed_costs_its_own_line_alone() {
        for rows_after in [3, 2_000, 60_000] {
            let text = format!("a,b\n1,\"open\n{}", "2,3 and some more text\n".repeat(rows_after));
            let (_, found) = rows(text.as_bytes()).expect("a file");
            assert_eq!(found.len(), rows_after + 1);
            assert!(found[0].0 == 2 && found[0].1.is_err(), "{:?}", found[0]);
            assert!(found[1..].iter().all(|(_, row)| row.is_ok()) && found[1].0 == 3);
        }
    }

    #[test]
    fn what_cannot_be_a_table_is_refused_with_its_reason() {
        for (bytes, reason) in [(&b""[..], "empty"), (b"\xff\xfea\0", "UTF-16")] {
            let refused = rows(bytes).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
