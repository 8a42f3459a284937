//! Parses what a person typed after the command's or the robot's name.
//!
//! The ids differ by shape, so their order is free. An error never repeats the text: it is untrusted, and a secret may have
//! been pasted.

use std::time::Duration;

use super::texts::Language;
use crate::request::{DEADLINE_SECONDS, EndpointId, RegionId, RequestId, SecurityGroupId};

/// What a text asks for, and its language: that of its verb, or Chinese if only an unknown word is Chinese.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub language: Language,
    pub result: Result<Command, Vec<Problem>>,
}

/// A command without errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Help,
    Detach(Detach),
}

/// The request for a detach, or for its dry run alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detach {
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    pub security_group_id: SecurityGroupId,
    /// Whether only the dry run's result is wanted.
    pub dry_run: bool,
    /// How long the detach may take, counted from its approval.
    pub deadline: Option<Duration>,
    pub ticket: Option<Ticket>,
}

/// The name of a change or an incident in another system. It has the characters of a `request_id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ticket(RequestId);

impl Ticket {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        RequestId::parse(text).map(Self)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A part of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Verb,
    SecurityGroup,
    Endpoint,
    Region,
    Deadline,
    Ticket,
}

impl Part {
    pub const ALL: [Self; 6] =
        [Self::Verb, Self::SecurityGroup, Self::Endpoint, Self::Region, Self::Deadline, Self::Ticket];
}

/// What is wrong with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    Missing(Part),
    Repeated(Part),
    Invalid(Part),
    /// The number of words that are no part of a command.
    Unknown(usize),
}

/// Chinese commas, which no part of a command contains: they separate words, like white space.
const SEPARATORS: &str = "，、";

/// Parses the words of a text, split on Unicode white space and on Chinese commas.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let mut draft = Draft::default();
    let is_separator = |c: char| c.is_whitespace() || SEPARATORS.contains(c);
    for word in text.split(is_separator).filter(|word| !word.is_empty()) {
        draft.read(word);
    }
    draft.finish()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Help,
    Detach,
    DryRun,
}

/// The verb that a word is, and its language.
fn verb(word: &str) -> Option<(Verb, Language)> {
    match word.to_ascii_lowercase().as_str() {
        "help" | "?" => Some((Verb::Help, Language::En)),
        "detach" => Some((Verb::Detach, Language::En)),
        "dry-run" => Some((Verb::DryRun, Language::En)),
        "帮助" => Some((Verb::Help, Language::Zh)),
        "移除" => Some((Verb::Detach, Language::Zh)),
        "预检" => Some((Verb::DryRun, Language::Zh)),
        _ => None,
    }
}

#[derive(Default)]
struct Draft {
    language: Option<Language>,
    is_help: bool,
    is_detach: bool,
    is_dry_run: bool,
    security_group_id: Option<SecurityGroupId>,
    endpoint_id: Option<EndpointId>,
    region_id: Option<RegionId>,
    deadline: Option<Duration>,
    ticket: Option<Ticket>,
    words: usize,
    unknown: usize,
    /// The language of the unknown words.
    unknown_language: Language,
    problems: Vec<Problem>,
}

impl Draft {
    fn read(&mut self, word: &str) {
        self.words += 1;
        if let Some((verb, language)) = verb(word) {
            self.language.get_or_insert(language);
            match verb {
                Verb::Help => self.is_help = true,
                Verb::Detach => self.is_detach = true,
                Verb::DryRun => self.is_dry_run = true,
            }
        } else if let Some(value) = word.strip_prefix("deadline=") {
            let deadline = deadline(value);
            put(&mut self.deadline, deadline, Part::Deadline, &mut self.problems);
        } else if let Some(value) = word.strip_prefix("ticket=") {
            put(&mut self.ticket, Ticket::parse(value), Part::Ticket, &mut self.problems);
        } else if word.starts_with("sg-") {
            let id = SecurityGroupId::parse(word);
            put(&mut self.security_group_id, id, Part::SecurityGroup, &mut self.problems);
        } else if word.starts_with("ep-") {
            put(&mut self.endpoint_id, EndpointId::parse(word), Part::Endpoint, &mut self.problems);
        } else if let Some(id) = RegionId::parse(word) {
            put(&mut self.region_id, Some(id), Part::Region, &mut self.problems);
        } else {
            self.unknown += 1;
            if word.chars().any(is_chinese) {
                self.unknown_language = Language::Zh;
            }
        }
    }

    fn finish(mut self) -> Parsed {
        let language = self.language.unwrap_or(self.unknown_language);
        if self.words == 0 || self.is_help {
            return Parsed { language, result: Ok(Command::Help) };
        }
        if self.unknown > 0 {
            self.problems.push(Problem::Unknown(self.unknown));
        }
        let has_problem = |part: Part, problems: &[Problem]| problems.contains(&Problem::Invalid(part));
        let missing = [
            (Part::Verb, !self.is_detach && !self.is_dry_run),
            (Part::SecurityGroup, self.security_group_id.is_none()),
            (Part::Endpoint, self.endpoint_id.is_none()),
            (Part::Region, self.region_id.is_none()),
        ];
        for (part, is_missing) in missing {
            if is_missing && !has_problem(part, &self.problems) {
                self.problems.push(Problem::Missing(part));
            }
        }
        let result = match (self.security_group_id, self.endpoint_id, self.region_id) {
            (Some(security_group_id), Some(endpoint_id), Some(region_id)) if self.problems.is_empty() => {
                let (dry_run, deadline, ticket) = (self.is_dry_run, self.deadline, self.ticket);
                Ok(Command::Detach(Detach {
                    region_id,
                    endpoint_id,
                    security_group_id,
                    dry_run,
                    deadline,
                    ticket,
                }))
            }
            _ => Err(self.problems),
        };
        Parsed { language, result }
    }
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Stores a part, or records why it is not stored. A problem is recorded once: a text may repeat it thousands of times.
fn put<T>(place: &mut Option<T>, value: Option<T>, part: Part, problems: &mut Vec<Problem>) {
    let problem = match value {
        None => Problem::Invalid(part),
        Some(_) if place.is_some() => Problem::Repeated(part),
        Some(value) => {
            *place = Some(value);
            return;
        }
    };
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// A deadline in seconds, or with `s`, `m` or `h`, within the limits of `deadline_seconds`.
fn deadline(text: &str) -> Option<Duration> {
    let (number, seconds_each) = match text.char_indices().last()? {
        (end, 's') => (&text[..end], 1),
        (end, 'm') => (&text[..end], 60),
        (end, 'h') => (&text[..end], 3600),
        _ => (text, 1),
    };
    // `parse` alone would accept a sign.
    let number: u64 = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok())??;
    let seconds = number.checked_mul(seconds_each)?;
    DEADLINE_SECONDS.contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detach(text: &str) -> Detach {
        match parse(text).result {
            Ok(Command::Detach(detach)) => detach,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn problems(text: &str) -> Vec<Problem> {
        parse(text).result.unwrap_err()
    }

    #[test]
    fn ids_are_recognized_in_any_order() {
        let expected = detach("detach sg-a ep-a eu-west-1");
        assert_eq!(expected.endpoint_id, EndpointId::parse("ep-a").unwrap());
        assert_eq!((expected.dry_run, expected.deadline, &expected.ticket), (false, None, &None));
        for text in [
            "detach ep-a eu-west-1 sg-a",
            "eu-west-1 sg-a ep-a detach",
            "  Detach\u{3000}ep-a\u{a0}eu-west-1\t\nsg-a ",
            "移除\u{3000}sg-a\u{3000}ep-a\u{3000}eu-west-1",
            "移除 sg-a，ep-a、eu-west-1，",
        ] {
            assert_eq!(detach(text), expected, "{text}");
        }
    }

    #[test]
    fn options_are_read() {
        let all = detach("detach ticket=CHG-12:3.4_5 sg-a deadline=2h ep-a eu-west-1 dry-run");
        assert_eq!(all.ticket, Ticket::parse("CHG-12:3.4_5"));
        assert_eq!((all.deadline, all.dry_run), (Some(Duration::from_hours(2)), true));
        assert!(detach("dry-run sg-a ep-a eu-west-1").dry_run);
        assert!(detach("预检 sg-a ep-a eu-west-1").dry_run);
    }

    #[test]
    fn deadline_has_a_unit_and_the_limits_of_a_request() {
        for (text, seconds) in
            [("30", 30), ("30s", 30), ("90m", 5400), ("11h", 39_600), ("39600", 39_600), ("0090s", 90)]
        {
            assert_eq!(deadline(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "29",
            "12h",
            "39601",
            "1d",
            "-90",
            "+90",
            "1.5h",
            "９０",
            "99999999999999999999h",
            "h2",
            "2 h",
        ] {
            assert_eq!(deadline(text), None, "{text}");
        }
    }

    #[test]
    fn help_and_an_empty_text_ask_for_help() {
        for (text, language) in [
            ("", Language::En),
            (" \u{3000}", Language::En),
            ("help", Language::En),
            ("HELP me", Language::En),
            ("帮助", Language::Zh),
        ] {
            assert_eq!(parse(text), Parsed { language, result: Ok(Command::Help) }, "{text:?}");
        }
    }

    #[test]
    fn language_is_that_of_the_verb_or_of_an_unknown_word() {
        assert_eq!(parse("移除 sg-a").language, Language::Zh);
        assert_eq!(parse("预检 detach").language, Language::Zh);
        assert_eq!(parse("detach 移除").language, Language::En);
        assert_eq!(parse("sg-a").language, Language::En);
        assert_eq!(parse("移出 sg-a").language, Language::Zh);
        assert_eq!(parse("移除sg-a ep-a").language, Language::Zh);
        assert_eq!(parse("detach 安全组").language, Language::En);
        assert_eq!(parse("détach").language, Language::En);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        assert_eq!(
            problems("hunter2 detach sg-! ep-a ep-b deadline=1d ticket= sg-!"),
            [
                Problem::Invalid(Part::SecurityGroup),
                Problem::Repeated(Part::Endpoint),
                Problem::Invalid(Part::Deadline),
                Problem::Invalid(Part::Ticket),
                Problem::Unknown(1),
                Problem::Missing(Part::Region),
            ]
        );
        assert_eq!(problems("sg-a ep-a eu-west-1"), [Problem::Missing(Part::Verb)]);
        assert_eq!(problems("detach sg-a ep-a eu-west-1 eu-west-1"), [Problem::Repeated(Part::Region)]);
        assert_eq!(problems("detach sg-a ep-a eu-west-1 dryrun --dry-run"), [Problem::Unknown(2)]);
    }

    #[test]
    fn problems_of_a_long_text_are_limited() {
        let text = "sg-! ep-! x deadline=y ticket=! eu-west-1 ".repeat(10_000);
        assert!(problems(&text).len() < 10);
    }
}
