//! Does a text mean one of these words? Compared without regard to case, since people type it.

use serde::Deserialize;

/// Words that a value `is`, or `contains`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Words {
    #[serde(default)]
    pub is: Vec<String>,
    #[serde(default)]
    pub contains: Vec<String>,
}

impl Words {
    /// For many questions: the words are lowered once.
    pub fn lowered(&self) -> Words {
        let lower = |words: &[String]| words.iter().map(|word| fold(word)).collect();
        Words { is: lower(&self.is), contains: lower(&self.contains) }
    }

    /// Both sides lowered.
    pub fn match_lowered(&self, text: &str) -> bool {
        self.is.iter().any(|word| word == text)
            || self.contains.iter().any(|word| text.contains(word.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.is.is_empty() && self.contains.is_empty()
    }
}

/// Most texts are ASCII, which costs a tenth.
pub fn fold(text: &str) -> String {
    let text = text.trim();
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}
