//! A text as a reader sees it: markdown without its markup.

/// The lines of a plain text.
pub(super) fn plain(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The lines of a markdown text. A line break needs two spaces before it, an empty line, or a block.
pub(super) fn markdown(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut continues = false;
    for line in text.lines() {
        let shown = readable(without_prefix(line.trim()));
        match lines.last_mut() {
            _ if shown.is_empty() => {}
            Some(last) if continues && !begins_block(line) => last.push_str(&[" ", &shown].concat()),
            _ => lines.push(shown.clone()),
        }
        continues = !shown.is_empty() && !line.ends_with("  ") && !line.trim_start().starts_with('#');
    }
    lines
}

/// Whether a line begins a heading, a quotation or an item of a list.
fn begins_block(line: &str) -> bool {
    let line = line.trim_start();
    let after_number = line.trim_start_matches(|character: char| character.is_ascii_digit());
    ["#", "> ", "- ", "* "].iter().any(|mark| line.starts_with(mark))
        || (after_number.len() < line.len() && after_number.starts_with(". "))
}

/// The line without the mark of a heading or of a quotation.
fn without_prefix(line: &str) -> &str {
    let heading = line.trim_start_matches('#');
    let rest = if heading.starts_with(' ') { heading } else { line };
    rest.strip_prefix("> ").unwrap_or(rest).trim_start()
}

/// The text of a line: links with their targets, without emphasis and tags, with escapes and entities decoded.
fn readable(line: &str) -> String {
    let (mut text, mut rest) = (String::new(), line);
    while let Some(first) = rest.chars().next() {
        if let Some((escaped, after)) = escaped(rest).or_else(|| entity(rest)) {
            text.push(escaped);
            rest = after;
        } else if let Some((label, target, after)) = link(rest) {
            text.push_str(&[&readable(label), " (", target, ")"].concat());
            rest = after;
        } else if let Some(after) = ["**", "__", "`"].iter().find_map(|mark| rest.strip_prefix(mark)) {
            rest = after;
        } else if let Some(after) = behind_tag(rest) {
            rest = after;
        } else {
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    text
}

/// A character behind a backslash.
fn escaped(text: &str) -> Option<(char, &str)> {
    let rest = text.strip_prefix('\\')?;
    let character = rest.chars().next().filter(char::is_ascii_punctuation)?;
    Some((character, &rest[1..]))
}

/// A character that is written as an entity.
fn entity(text: &str) -> Option<(char, &str)> {
    let (name, rest) = text.strip_prefix('&')?.split_once(';')?;
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "nbsp" => ' ',
        _ => char::from_u32(name.strip_prefix('#')?.parse().ok()?)?,
    };
    Some((character, rest))
}

/// A link or an image: its label, its target, and the text behind it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let label = text.strip_prefix("![").or_else(|| text.strip_prefix('['))?;
    let (label, rest) = label.split_once("](")?;
    let (target, rest) = rest.split_once(')')?;
    Some((label, target, rest))
}

/// The text behind a tag, such as `<font color=red>`.
fn behind_tag(text: &str) -> Option<&str> {
    let tag = text.strip_prefix('<')?;
    let is_tag = tag.starts_with(|first: char| first == '/' || first.is_ascii_alphabetic());
    tag.split_once('>').filter(|_| is_tag).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_resolved() {
        for (text, shown) in [
            ("### Detach **sg-old**?", "Detach sg-old?"),
            ("> quoted", "quoted"),
            ("#1 is no heading", "#1 is no heading"),
            (r"\[a\]\(b\) \*\*c\*\*", "[a](b) **c**"),
            ("[**点我**](https://example.invalid/a)", "点我 (https://example.invalid/a)"),
            ("<font color=#FF0000>red</font> 1 < 2 > 0", "red 1 < 2 > 0"),
            ("&lt;b&gt; &#42;&#x; &amp;lt;", "<b> *&#x; &lt;"),
        ] {
            assert_eq!(markdown(text), [shown], "{text}");
        }
    }

    #[test]
    fn line_break_needs_spaces_or_a_block() {
        for (text, lines) in [
            ("one\n\n  \ntwo  ", &["one", "two"][..]),
            ("one  \ntwo", &["one", "two"]),
            ("one\ntwo", &["one two"]),
            ("### one\ntwo", &["one", "two"]),
            ("one\n- two\n3. three\n> four\n# five", &["one", "- two", "3. three", "four", "five"]),
            ("one\n**two**\n3 three", &["one two 3 three"]),
        ] {
            assert_eq!(markdown(text), lines, "{text:?}");
        }
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(plain("**one**\n\ntwo"), ["**one**", "", "two"]);
    }
}
