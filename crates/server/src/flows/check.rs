//! Checks of input that the set-up flows share: every problem is found, each with its path and how to mend it.

use handfast_domain::field::{is_key, nearest};
use handfast_domain::refused::Refused;

/// The problems of one request so far.
#[derive(Default)]
pub struct Checks(Vec<Refused>);

impl Checks {
    pub fn say(&mut self, path: &str, message: impl Into<String>) {
        self.refuse(Refused::invalid(path, message));
    }

    pub fn refuse(&mut self, refused: Refused) {
        self.0.push(refused.at("input"));
    }

    pub fn need(&mut self, holds: bool, path: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.say(path, message());
        }
    }

    pub fn add(&mut self, path: &str, problems: impl IntoIterator<Item = Refused>) {
        self.0.extend(problems.into_iter().map(|problem| problem.at(path).at("input")));
    }

    pub fn key(&mut self, path: &str, key: &str) {
        self.need(is_key(key), path, || {
            let shown: String = key.chars().take(80).collect();
            format!("{shown:?} is no key: 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit")
        });
    }

    /// A text for people: something in it, not too long, on one line.
    pub fn text(&mut self, path: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if text.trim().is_empty() || length > most {
            self.say(path, format!("1 to {most} characters, found {length}"));
        } else if text.chars().any(char::is_control) {
            self.say(path, "line breaks and other control characters are not allowed");
        }
    }

    /// Something that must exist already.
    pub fn exists<'a>(
        &mut self,
        path: &str,
        what: &str,
        key: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        if known.clone().any(|other| other == key) {
            return;
        }
        let shown: String = key.chars().take(80).collect();
        let near = nearest(key, known.map(str::to_owned));
        let hint = if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) };
        self.say(path, format!("no {what} {shown:?}{hint}; create it first"));
    }

    pub fn done(self) -> Result<(), Vec<Refused>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// Somebody's words, of one or of many lines: something in them, and not too long.
pub fn words(checks: &mut Checks, path: &str, text: &str, most: usize) -> String {
    let (text, length) = (text.trim(), text.trim().chars().count());
    checks.need((1..=most).contains(&length), path, || format!("1 to {most} characters, found {length}"));
    let odd = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    checks.need(!odd, path, || "control characters other than line breaks are not allowed".to_owned());
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_thing_names_the_nearest_and_where_it_was_asked_for() {
        let mut checks = Checks::default();
        checks.exists("team", "team", "salse", ["sales", "ops"].into_iter());
        let refused = checks.done().unwrap_err();
        assert_eq!(refused[0].message, "no team \"salse\"; nearest: sales; create it first");
        assert_eq!(refused[0].path, ["input", "team"]);
    }

    #[test]
    fn texts_are_one_line_with_something_in_it() {
        for (text, good) in
            [("Sales", true), ("", false), ("  ", false), ("a\nb", false), (&"x".repeat(11), false)]
        {
            let mut checks = Checks::default();
            checks.text("name", text, 10);
            assert_eq!(checks.done().is_ok(), good, "{text:?}");
        }
    }
}
