//! A parser for the subset of YAML that template.yaml uses: block maps and lists, flow lists, quoted, folded and
//! literal scalars, and CloudFormation's tags.
//!
//! Scalars stay text. Any other construct fails the test instead of being misread.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// A tag without its exclamation mark, and its argument: `!Ref Name`.
    Tagged(String, Box<Node>),
}

pub(crate) fn read(document: &str) -> Node {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines: Vec<_> = document.lines().filter(is_content).map(Line::of).collect();
    let mut reader = Reader { lines, at: 0 };
    let node = reader.block(0);
    assert_eq!(reader.lines.get(reader.at).map(|line| &line.text), None, "unparsed line");
    node
}

impl Node {
    /// The value of a key that must exist.
    pub(crate) fn key(&self, name: &str) -> &Self {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(crate) fn entries(&self) -> &[(String, Self)] {
        if let Self::Map(entries) = self { entries } else { panic!("not a map: {self:?}") }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { panic!("not a list: {self:?}") }
    }

    pub(crate) fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { panic!("not text: {self:?}") }
    }
}

struct Line {
    indent: usize,
    text: String,
}

impl Line {
    fn of(line: &str) -> Self {
        let text = line.trim();
        Self { indent: line.len() - line.trim_start().len(), text: text.to_owned() }
    }
}

struct Reader {
    lines: Vec<Line>,
    at: usize,
}

impl Reader {
    /// The next line, if it belongs to a block with this indent.
    fn line(&self, indent: usize) -> Option<&str> {
        let line = self.lines.get(self.at).filter(|line| line.indent >= indent)?;
        assert_eq!(line.indent, indent, "indented too far: {}", line.text);
        Some(&line.text)
    }

    fn block(&mut self, indent: usize) -> Node {
        let first = self.line(indent).expect("a block has lines").to_owned();
        if first.starts_with("- ") {
            return self.list(indent);
        }
        if entry(&first).is_some() {
            return self.map(indent);
        }
        self.at += 1;
        // The text after a dash is indented relative to the dash.
        self.value(&first, indent.saturating_sub(1))
    }

    fn list(&mut self, indent: usize) -> Node {
        let mut items = Vec::new();
        while let Some(text) = self.line(indent).and_then(|text| text.strip_prefix("- ")) {
            let rest = text.to_owned();
            // The text after the dash is the first line of a nested block.
            self.lines[self.at] = Line { indent: indent + 2, text: rest };
            items.push(self.block(indent + 2));
        }
        Node::List(items)
    }

    fn map(&mut self, indent: usize) -> Node {
        let mut entries: Vec<(String, Node)> = Vec::new();
        while let Some(line) = self.line(indent).filter(|line| !line.starts_with("- ")) {
            let (key, value) = entry(line).unwrap_or_else(|| panic!("not a map entry: {line}"));
            let (key, value) = (key.to_owned(), value.to_owned());
            self.at += 1;
            assert!(entries.iter().all(|(other, _)| *other != key), "duplicate key {key}");
            entries.push((key, self.value(&value, indent)));
        }
        Node::Map(entries)
    }

    /// The value after a key or a tag, on the same line or on the lines below.
    fn value(&mut self, text: &str, indent: usize) -> Node {
        if let Some(tagged) = text.strip_prefix('!') {
            let (tag, rest) = tagged.split_once(' ').unwrap_or((tagged, ""));
            if rest.is_empty() || is_block_text(rest) {
                return Node::Tagged(tag.to_owned(), Box::new(self.value(rest, indent)));
            }
        }
        if is_block_text(text) {
            let separator = if text.starts_with('>') { " " } else { "\n" };
            let lines = self.lines[self.at..].iter().take_while(|line| line.indent > indent);
            let lines: Vec<_> = lines.map(|line| line.text.clone()).collect();
            self.at += lines.len();
            return Node::Text(lines.join(separator));
        }
        if text.is_empty() {
            let below = self.lines.get(self.at).expect("a key has a value");
            // A list may have the same indent as its key.
            let is_list = below.indent == indent && below.text.starts_with("- ");
            assert!(below.indent > indent || is_list, "no value before {}", below.text);
            return self.block(below.indent);
        }
        let mut rest = text;
        let node = inline(&mut rest, false);
        assert_eq!(rest, "", "{text}");
        node
    }
}

fn is_block_text(text: &str) -> bool {
    [">-", "|-"].contains(&text)
}

/// A line's key and the text after it.
fn entry(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(['!', '[']) {
        return None;
    }
    let (key, value) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
    Some((key.trim_matches('"'), value))
}

/// A value on one line. In a flow list it ends at a comma or bracket.
fn inline(rest: &mut &str, is_item: bool) -> Node {
    if let Some(tagged) = rest.strip_prefix('!') {
        let (tag, value) = tagged.split_once(' ').expect("a tag has a value");
        *rest = value;
        return Node::Tagged(tag.to_owned(), Box::new(inline(rest, is_item)));
    }
    if let Some(items) = rest.strip_prefix('[') {
        let mut list = Vec::new();
        *rest = items;
        loop {
            list.push(inline(rest, true));
            let (separator, after) = rest.split_at(1);
            *rest = after.trim_start();
            match separator {
                "]" => return Node::List(list),
                "," => {}
                other => panic!("{other} in a list"),
            }
        }
    }
    for quote in ['"', '\''] {
        if let Some(quoted) = rest.strip_prefix(quote) {
            let (text, after) = quoted.split_once(quote).expect("quotes are closed");
            assert!(!text.contains('\\') || quote == '\'', "escape sequences are not supported: {text}");
            *rest = after;
            return Node::Text(text.to_owned());
        }
    }
    assert!(!rest.starts_with(['{', '&', '*', '|', '>', '%', '@', '`']), "not supported: {rest}");
    let end = if is_item { rest.find([',', ']']).unwrap_or(rest.len()) } else { rest.len() };
    let (text, after) = rest.split_at(end);
    assert!(!text.contains(" #"), "trailing comments are not supported: {text}");
    *rest = after;
    Node::Text(text.to_owned())
}
