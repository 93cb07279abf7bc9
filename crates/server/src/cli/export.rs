//! `handfast export events`: the log of a running server as lines of JSON, into a file or to stdout, taken up again where it
//! stopped.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;

use super::ServerArgs;
use super::client::{CliError, Client};

#[derive(Args)]
pub struct ExportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The log as lines of JSON in the shape of schema/events.json, each with its cursor.
    Events(EventsArgs),
}

#[derive(Args)]
struct EventsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Begin after this cursor; from the beginning without it.
    #[arg(long, value_name = "CURSOR", conflicts_with = "consumer")]
    after: Option<String>,
    /// End with this cursor; where the log ends now without it.
    #[arg(long, value_name = "CURSOR", conflicts_with = "follow")]
    until: Option<String>,
    /// Only these kinds, for example STAGE_CHANGED,CYCLE_CLOSED.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', conflicts_with = "consumer")]
    kinds: Vec<String>,
    /// Only the events of this lead.
    #[arg(long, value_name = "ID", conflicts_with = "consumer")]
    lead: Option<String>,
    /// Begin after what this consumer acknowledged, with its filter.
    #[arg(long, value_name = "KEY")]
    consumer: Option<String>,
    /// Acknowledge for the consumer what was written, once all of it is on disk.
    #[arg(long, requires = "consumer", requires = "out")]
    ack: bool,
    /// Write to this file instead of stdout. One that has something in it is only continued with --resume.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Append to the file after its last whole line.
    #[arg(long, requires = "out", conflicts_with_all = ["consumer", "after"])]
    resume: bool,
    /// Wait for more at the end, until you stop it.
    #[arg(long, conflicts_with = "consumer")]
    follow: bool,
}

const ACK: &str = "mutation($input: AckEventsInput!) { ackEvents(input: $input) { advanced errors { message path code } } }";

pub const DOCUMENTS: [&str; 1] = [ACK];

/// Connections that broke without a line in between, after which it is given up.
const TRIES: u32 = 5;

pub fn export(args: ExportArgs) -> Result<ExitCode, CliError> {
    let What::Events(args) = args.what;
    let client = args.server.client();
    let (mut sink, last) = Sink::open(args.out.as_deref(), args.resume)?;
    let mut run =
        Run { client: &client, args: &args, after: last.or_else(|| args.after.clone()), bar: bar() };
    let mut fails = 0;
    loop {
        let before = sink.lines;
        match run.read(&mut sink) {
            Ok(()) if args.follow => {
                fails = 0;
                sink.flush()?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(()) => break,
            Err(Cut::Refused(error)) => return Err(error),
            // A consumer goes on after what it acknowledged, which is not where the connection broke.
            Err(Cut::Broken(why)) if args.consumer.is_some() => {
                return Err(CliError::Failed(format!("{why}; nothing was acknowledged: run it again")));
            }
            Err(Cut::Broken(why)) => {
                fails = if sink.lines > before { 1 } else { fails + 1 };
                if fails >= TRIES {
                    sink.flush()?;
                    let place = run.after.as_deref().unwrap_or_default();
                    return Err(CliError::Failed(format!(
                        "{why}; go on with --after {place}, or with --resume"
                    )));
                }
                std::thread::sleep(Duration::from_millis(200 * u64::from(fails)));
            }
        }
    }
    sink.finish()?;
    run.bar.finish_and_clear();
    let end = run.after.clone().unwrap_or_default();
    if let (true, Some(consumer)) = (args.ack, &args.consumer) {
        client.mutate("ackEvents", ACK, json!({"input": {"consumer": consumer, "upTo": end}}))?;
    }
    eprintln!("{} events; go on with --after {end}", sink.lines);
    Ok(ExitCode::SUCCESS)
}

/// Why the reading stopped before the end.
enum Cut {
    Refused(CliError),
    Broken(String),
}

struct Run<'a> {
    client: &'a Client,
    args: &'a EventsArgs,
    /// The cursor of the last line, and at the end that of the whole answer.
    after: Option<String>,
    bar: ProgressBar,
}

impl Run<'_> {
    /// Reads up to the end of the log as it is now.
    fn read(&mut self, sink: &mut Sink) -> Result<(), Cut> {
        let EventsArgs { until, kinds, lead, consumer, .. } = self.args;
        let kinds = (!kinds.is_empty()).then(|| kinds.join(","));
        let asked = [
            ("after", &self.after),
            ("until", until),
            ("kinds", &kinds),
            ("lead", lead),
            ("consumer", consumer),
        ];
        // A cursor that the server refuses stays refused.
        let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let (end, reader) = match self.client.stream("/events.ndjson", asked) {
            Ok(answer) => answer,
            Err(error) if self.after.is_some() && error.is_passing() => {
                return Err(Cut::Broken(error.to_string()));
            }
            Err(error) => return Err(Cut::Refused(error)),
        };
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            match read {
                Ok(0) => break,
                Ok(_) if line.ends_with(b"\n") => {
                    let cursor = cursor_of(&line).ok_or_else(|| {
                        Cut::Refused(CliError::Failed("the server sent a line that is no event".to_owned()))
                    })?;
                    sink.write(&line).map_err(Cut::Refused)?;
                    self.after = Some(cursor);
                    self.bar.inc(1);
                }
                Ok(_) => return Err(Cut::Broken("the connection broke in the middle of a line".to_owned())),
                Err(error) => return Err(Cut::Broken(format!("the connection broke: {error}"))),
            }
        }
        self.after = Some(end);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Line {
    cursor: String,
}

fn cursor_of(line: &[u8]) -> Option<String> {
    serde_json::from_slice(line).ok().map(|Line { cursor }| cursor)
}

/// Where the lines go.
struct Sink {
    to: Box<dyn Write>,
    /// To be made sure of at the end.
    file: Option<(File, PathBuf)>,
    lines: u64,
}

impl Sink {
    /// Opens it and answers the cursor of the last whole line that it holds already.
    fn open(path: Option<&Path>, resume: bool) -> Result<(Sink, Option<String>), CliError> {
        let Some(path) = path else {
            let to = Box::new(BufWriter::new(std::io::stdout()));
            return Ok((Sink { to, file: None, lines: 0 }, None));
        };
        let failed = |error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size > 0 && !resume {
            let text = format!("{} is not empty: continue it with --resume, or remove it", path.display());
            return Err(CliError::Conflict(text));
        }
        let (end, line) = last_line(&mut file, size).map_err(failed)?;
        let cursor = line.as_deref().map(|line| {
            let wrong = || {
                CliError::Conflict(format!("the last line of {} is no event with a cursor", path.display()))
            };
            cursor_of(line).ok_or_else(wrong)
        });
        let cursor = cursor.transpose()?;
        // Half a line is what was being written when it stopped.
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(failed)?;
        let to = Box::new(BufWriter::with_capacity(1 << 16, file.try_clone().map_err(failed)?));
        Ok((Sink { to, file: Some((file, path.to_owned())), lines: 0 }, cursor))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), CliError> {
        self.to.write_all(line).map_err(|error| self.failed(&error))?;
        self.lines += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CliError> {
        self.to.flush().map_err(|error| self.failed(&error))
    }

    fn finish(&mut self) -> Result<(), CliError> {
        self.flush()?;
        let synced = self.file.as_ref().map_or(Ok(()), |(file, _)| file.sync_all());
        synced.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> CliError {
        let place = self.file.as_ref().map_or("stdout".to_owned(), |(_, path)| path.display().to_string());
        CliError::Failed(format!("{place}: {error}"))
    }
}

/// The last whole line of a file, and where it ends.
fn last_line(file: &mut File, size: u64) -> std::io::Result<(u64, Option<Vec<u8>>)> {
    const STEP: u64 = 64 * 1024;
    let (mut start, mut tail) = (size, Vec::new());
    loop {
        // Two line ends, or the beginning of the file: the line between them is whole.
        let end = tail.iter().rposition(|byte| *byte == b'\n');
        let before = end.and_then(|end| tail[..end].iter().rposition(|byte| *byte == b'\n'));
        match (end, before) {
            (Some(end), Some(before)) => {
                return Ok((start + end as u64 + 1, Some(tail[before + 1..=end].to_vec())));
            }
            (Some(end), None) if start == 0 => return Ok((end as u64 + 1, Some(tail[..=end].to_vec()))),
            (None, _) if start == 0 => return Ok((0, None)),
            _ => {}
        }
        let step = STEP.min(start);
        start -= step;
        let mut more = vec![0; usize::try_from(step).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut more)?;
        more.extend(tail);
        tail = more;
    }
}

/// On stderr; nothing where that is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} events, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_continued_after_its_last_whole_line() {
        let long = "x".repeat(200_000);
        let cases = [
            (String::new(), 0, None),
            ("half".to_owned(), 0, None),
            ("one\n".to_owned(), 4, Some("one\n")),
            ("one\ntwo\nhalf".to_owned(), 8, Some("two\n")),
            (format!("one\ntwo\n{long}"), 8, Some("two\n")),
            (format!("{long}\nhalf"), 200_001, Some(long.as_str())),
        ];
        for (text, end, line) in cases {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let found = last_line(&mut file, text.len() as u64).unwrap();
            assert_eq!(found.0, end);
            let line = line.map(|line| format!("{}\n", line.trim_end()).into_bytes());
            assert!(found.1 == line, "{} bytes", text.len());
        }
    }
}
