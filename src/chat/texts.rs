//! Every text that people read, in each language: the answers to commands in `answers`, the messages of the messenger in
//! [`notices`], and what the code of a failure means in [`reasons`].
//!
//! A text is one row with all languages, so that a translation cannot be forgotten. It has no markup: `{name}` stands for a
//! value, which a platform renders in its own way.

mod answers;
pub mod notices;
pub mod reasons;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use answers::Answer;

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// The name in signed content.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }
}

/// `CHAT_LANGUAGE`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LanguageSetting {
    /// The language of the command.
    #[default]
    Auto,
    Always(Language),
}

impl LanguageSetting {
    /// The language of a text about a command in `language`.
    #[must_use]
    pub fn resolve(self, language: Language) -> Language {
        match self {
            Self::Auto => language,
            Self::Always(language) => language,
        }
    }
}

/// One text in each language. `{name}` stands for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    en: &'static str,
    zh: &'static str,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    Words(&'a str),
    /// The name of a value.
    Value(&'a str),
}

impl Text {
    const fn new(en: &'static str, zh: &'static str) -> Self {
        Self { en, zh }
    }

    /// The text as the table has it.
    #[must_use]
    pub fn of(&self, language: Language) -> &'static str {
        match language {
            Language::En => self.en,
            Language::Zh => self.zh,
        }
    }

    /// The words and the values of the text, in order.
    pub fn pieces(&self, language: Language) -> impl Iterator<Item = Piece<'static>> {
        let mut rest = self.of(language);
        std::iter::from_fn(move || {
            let (piece, end) = match (rest.find('{'), rest.find('}')) {
                _ if rest.is_empty() => return None,
                (Some(0), Some(end)) => (Piece::Value(&rest[1..end]), end + 1),
                (Some(0), None) => (Piece::Words(rest), rest.len()),
                (start, _) => {
                    let end = start.unwrap_or(rest.len());
                    (Piece::Words(&rest[..end]), end)
                }
            };
            rest = &rest[end..];
            Some(piece)
        })
    }

    /// The text with its values. A value is never read as a part of the text, so it may contain `{`.
    #[must_use]
    pub fn fill(&self, language: Language, values: &[(&str, &str)]) -> String {
        let fill = |piece| match piece {
            Piece::Words(words) => words,
            Piece::Value(name) => {
                values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value)
            }
        };
        self.pieces(language).map(fill).collect()
    }
}

const HOURS: Text = Text::new("{number} h", "{number} 小时");
const MINUTES: Text = Text::new("{number} min", "{number} 分钟");
const SECONDS: Text = Text::new("{number} s", "{number} 秒");

/// A length of time for people: `12.4 s`, `2 h`, `3 min 12 s`.
#[must_use]
pub fn duration(language: Language, duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 && duration.subsec_millis() > 0 {
        return SECONDS.fill(language, &[("number", &format!("{:.1}", duration.as_secs_f64()))]);
    }
    let parts = [(seconds / 3600, HOURS), (seconds / 60 % 60, MINUTES), (seconds % 60, SECONDS)];
    let shown = |(number, unit): (u64, Text)| {
        (number > 0).then(|| unit.fill(language, &[("number", &number.to_string())]))
    };
    let shown: Vec<_> = parts.into_iter().filter_map(shown).collect();
    if shown.is_empty() { SECONDS.fill(language, &[("number", "0")]) } else { shown.join(" ") }
}
