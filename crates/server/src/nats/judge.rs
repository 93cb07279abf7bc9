//! Whether the mirror can go on with a stream that is there.

use serde::Deserialize;

/// What JetStream says of a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct State {
    pub messages: u64,
    pub last_seq: i64,
}

/// What is to be done with a stream that is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    GoOn(i64),
    /// If the last message, which has this number, is the one that the feed has there.
    Check(i64),
    /// For this reason.
    Rebuild(&'static str),
    Foreign,
}

/// Whose mirror a stream is; it stands in the stream's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub workspace: String,
    pub epoch: String,
}

const MARK: (&str, &str) = ("Mirror of a Handfast feed: workspace ", ", epoch ");

impl Mark {
    pub fn write(&self) -> String {
        format!("{}{}{}{}", MARK.0, self.workspace, MARK.1, self.epoch)
    }

    pub fn read(text: &str) -> Option<Mark> {
        let (workspace, epoch) = text.strip_prefix(MARK.0)?.split_once(MARK.1)?;
        Some(Mark { workspace: workspace.to_owned(), epoch: epoch.to_owned() })
    }
}

/// What is to be done with a stream: `found` is whose it is, `ours` whose it should be.
pub fn judge(state: State, found: Option<&Mark>, ours: &Mark, limited: bool) -> Verdict {
    let State { messages, last_seq } = state;
    match found {
        // Made by hand, and never used.
        None if last_seq == 0 => Verdict::GoOn(0),
        None => Verdict::Foreign,
        Some(mark) if mark.workspace != ours.workspace => Verdict::Foreign,
        // Its positions are other ones, and cursors of that time are refused as well.
        Some(mark) if mark.epoch != ours.epoch => {
            Verdict::Rebuild("the workspace was restored from a backup")
        }
        Some(_) if last_seq == 0 => Verdict::GoOn(0),
        Some(_) if messages == 0 && limited => Verdict::GoOn(last_seq),
        Some(_) if !limited && i64::try_from(messages).unwrap_or(i64::MAX) < last_seq => {
            Verdict::Rebuild("messages are missing in it")
        }
        Some(_) => Verdict::Check(last_seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(workspace: &str, epoch: &str) -> Mark {
        Mark { workspace: workspace.to_owned(), epoch: epoch.to_owned() }
    }

    #[test]
    fn a_stream_is_gone_on_with_only_where_it_says_what_the_feed_says() {
        use Verdict::*;
        let restored = Rebuild("the workspace was restored from a backup");
        let missing = || Rebuild("messages are missing in it");
        let ours = mark("w", "2");
        // Messages, number of the last, whose it is, whether NATS drops old ones.
        let cases = [
            (0, 0, Some(mark("w", "2")), false, GoOn(0)),
            (0, 0, None, false, GoOn(0)),
            (7, 7, None, false, Foreign),
            (0, 7, None, false, Foreign),
            (7, 7, Some(mark("v", "2")), false, Foreign),
            (0, 0, Some(mark("v", "2")), false, Foreign),
            (7, 7, Some(mark("w", "1")), false, restored),
            (7, 7, Some(mark("w", "2")), false, Check(7)),
            (6, 7, Some(mark("w", "2")), false, missing()),
            (0, 7, Some(mark("w", "2")), false, missing()),
            (6, 7, Some(mark("w", "2")), true, Check(7)),
            (0, 7, Some(mark("w", "2")), true, GoOn(7)),
        ];
        for (messages, last_seq, found, limited, verdict) in cases {
            let judged = judge(State { messages, last_seq }, found.as_ref(), &ours, limited);
            assert_eq!(judged, verdict, "{messages} messages, the last {last_seq}, of {found:?}, {limited}");
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_no_other_text_is_one() {
        let ours = mark("0123456789abcdef", "fedcba9876543210");
        assert_eq!(Mark::read(&ours.write()), Some(ours));
        for other in ["", "Orders", "Mirror of a Handfast feed"] {
            assert_eq!(Mark::read(other), None, "{other:?}");
        }
    }
}
