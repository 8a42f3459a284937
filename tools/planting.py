"""Reads planted bugs and applies them to source text.

A bug is a file NAME.bug: 1 to 3 lines that say what is wrong and whom it harms, then one or more replacements:

    === replace
    let ceiling = doubled.min(self.backoff_max);
    === with
    let ceiling = self.backoff_min;

The old text must occur exactly once in the code under src/, in any file. It is compared token by token: white space,
line breaks, comments, and a comma before a closing bracket do not matter. Tests do not count as code. In the old text,
"..." matches any string literal; in the new text, the n-th "..." is the literal that the n-th one matched. An empty new
text deletes the old text. A bug therefore still applies after its code was moved to another file, formatted again, or
given other comments or messages.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Directory of the code that a bug changes. A bug in a test or in the simulation would prove nothing.
PRODUCTION = "src"

# Lines that describe the bug.
WORDS_MAX = 3

# Matches any string literal.
ANY_STRING = '"..."'

# Places that an error message lists.
PLACES_MAX = 5

TOKEN = re.compile(
    r"""
    (?P<ignored> \s+ | //[^\n]* | /\*.*?\*/ )
    | (?P<string> [bc]?"(?:\\.|[^"\\])*" | [bc]?r(?P<hashes>\#*)".*?"(?P=hashes) )
    | b?'(?:\\.[^']*|[^'\\])'
    | '?\w+
    | .
    """,
    re.DOTALL | re.VERBOSE,
)

# A comma before one of these is optional in Rust; rustfmt adds it when it breaks the line.
CLOSING = frozenset(")]}>")

TESTS = re.compile(r"^#\[cfg\(test\)\]\n(?:#.*\n)*(?:pub )?mod \w+ \{", re.MULTILINE)


class Unusable(Exception):
    """A bug that cannot be planted. It says nothing about the tests."""


@dataclass(frozen=True)
class Token:
    """A word, literal or punctuation mark, with its position in the text."""

    text: str
    start: int
    end: int
    is_string: bool


@dataclass(frozen=True)
class Replacement:
    """A piece of code and what takes its place."""

    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A deliberately wrong change of the code."""

    name: str
    words: tuple[str, ...]
    replacements: tuple[Replacement, ...]


@dataclass(frozen=True)
class Source:
    """A source file: its path from the root, its text, and the tokens of its code without its tests."""

    name: str
    text: str
    tokens: list[Token]

    def place(self, position: int) -> str:
        """Returns the file and line of a position in the text."""
        return f"{self.name}:{self.text.count(chr(10), 0, position) + 1}"

    def indentation(self, position: int) -> str:
        """Returns the white space at the beginning of the line of a position."""
        line = self.text[self.text.rfind("\n", 0, position) + 1 : position]
        return line[: len(line) - len(line.lstrip())]


@dataclass(frozen=True)
class Match:
    """An occurrence of an old text: its span in the source, and the literals that `"..."` matched."""

    source: Source
    start: int
    end: int
    strings: list[str]


def tokens(code: str) -> list[Token]:
    """Splits Rust code into its tokens, without comments and without optional commas."""
    found: list[Token] = []
    for match in TOKEN.finditer(code):
        if match["ignored"]:
            continue
        if match[0] in CLOSING and found and found[-1].text == ",":
            found.pop()
        found.append(Token(match[0], match.start(), match.end(), match["string"] is not None))
    return found


def parse(name: str, content: str) -> Bug:
    """Returns the bug that a file describes."""
    words, *parts = re.split(r"^=== replace[ ]*\n", content, flags=re.MULTILINE)
    lines = tuple(line.strip() for line in words.splitlines() if line.strip())
    if not 1 <= len(lines) <= WORDS_MAX:
        raise Unusable(f"must begin with 1 to {WORDS_MAX} lines that say what is wrong and whom it harms")
    if not parts:
        raise Unusable("has no line `=== replace`")
    replacements = []
    for part in parts:
        old, *new = re.split(r"^=== with[ ]*\n", part, flags=re.MULTILINE)
        if len(new) != 1 or re.search(r"^===", old + new[0], re.MULTILINE):
            raise Unusable("needs one `=== with` after each `=== replace`, and no other line that begins with `===`")
        if not tokens(old):
            raise Unusable("has an empty text to replace")
        replacements.append(Replacement(old, new[0]))
    return Bug(name, lines, tuple(replacements))


def read_sources(root: Path) -> list[Source]:
    """Returns all production code below a copy of the tree."""
    paths = [path for path in sorted((root / PRODUCTION).rglob("*.rs")) if path.name != "tests.rs"]
    return [source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def source(name: str, text: str) -> Source:
    """Returns a source file. Its tests, which are last, are not part of its code."""
    tests = TESTS.search(text)
    return Source(name, text, tokens(text[: tests.start()] if tests else text))


def plant(bug: Bug, sources: list[Source]) -> dict[str, str]:
    """Returns the new text of each file that a bug changes. Raises `Unusable` if a replacement is not unique."""
    problems: list[str] = []
    edits: dict[str, list[tuple[Match, str]]] = {}
    for number, replacement in enumerate(bug.replacements, start=1):
        matches = [match for one in sources for match in occurrences(replacement.old, one)]
        try:
            if len(matches) != 1:
                raise Unusable(describe(replacement.old, matches, sources))
            edits.setdefault(matches[0].source.name, []).append((matches[0], rendered(replacement.new, matches[0])))
        except Unusable as unusable:
            problems.append(f"replacement {number} {unusable}")
    if problems:
        raise Unusable("; ".join(problems))
    return {name: edited(changes) for name, changes in edits.items()}


def edited(changes: list[tuple[Match, str]]) -> str:
    """Returns the text of a file after all changes to it. Each was found in the original text."""
    changes = sorted(changes, key=lambda change: change[0].start)
    text, written, position = changes[0][0].source.text, "", 0
    for match, new in changes:
        if match.start < position:
            raise Unusable(f"changes {match.source.place(match.start)} twice")
        written += text[position : match.start] + new
        position = match.end
    return written + text[position:]


def occurrences(old: str, source: Source) -> Iterator[Match]:
    """Finds a text in the code of a file."""
    pattern = tokens(old)
    # The last comma of a match arm or field is absent from the source's tokens if a bracket follows.
    ends_with_comma = len(pattern) > 1 and pattern[-1].text == ","
    if ends_with_comma:
        pattern.pop()
    for index in range(len(source.tokens) - len(pattern) + 1):
        if not is_same(pattern[0], source.tokens[index]) or common(pattern, source.tokens, index) < len(pattern):
            continue
        found = source.tokens[index : index + len(pattern)]
        end = found[-1].end
        if ends_with_comma:
            comma = re.compile(r"\s*,").match(source.text, end)
            following = source.tokens[index + len(pattern) : index + len(pattern) + 1]
            if not comma and not (following and following[0].text in CLOSING):
                continue
            end = comma.end() if comma else end
        strings = [seen.text for wanted, seen in zip(pattern, found) if wanted.text == ANY_STRING]
        yield Match(source, found[0].start, end, strings)


def common(pattern: list[Token], code: list[Token], index: int) -> int:
    """Returns how many of a pattern's tokens the code has from this index on."""
    count = 0
    for wanted, seen in zip(pattern, code[index : index + len(pattern)]):
        if not is_same(wanted, seen):
            break
        count += 1
    return count


def is_same(wanted: Token, seen: Token) -> bool:
    """Whether a token of the code is what a pattern wants."""
    return wanted.text == seen.text or (seen.is_string and wanted.text == ANY_STRING)


def rendered(new: str, match: Match) -> str:
    """Returns the new text with the literals and the indentation of the place that it is written to."""
    text, strings = textwrap.dedent(new).strip("\n"), iter(match.strings)
    pieces, position = [], 0
    for token in tokens(text):
        if token.text == ANY_STRING:
            literal = next(strings, None)
            if literal is None:
                raise Unusable(f'has more {ANY_STRING} in its new text than in its old text')
            pieces += [text[position : token.start], literal]
            position = token.end
    text = "".join([*pieces, text[position:]])
    return text.strip().replace("\n", "\n" + match.source.indentation(match.start))


def describe(old: str, matches: list[Match], sources: list[Source]) -> str:
    """Says where a text occurs that must occur once; if nowhere, where the code begins to differ from it."""
    if matches:
        places = [match.source.place(match.start) for match in matches]
        more = f" and {len(places) - PLACES_MAX} more" if len(places) > PLACES_MAX else ""
        return f"occurs {len(places)} times: {', '.join(places[:PLACES_MAX])}{more}"
    pattern = tokens(old)
    length, nearest, index = max(
        ((common(pattern, one.tokens, index), one, index) for one in sources for index in range(len(one.tokens))),
        key=lambda candidate: candidate[0],
        default=(0, None, 0),
    )
    if not length or nearest is None:
        return f"occurs 0 times: `{pattern[0].text}` is nowhere in {PRODUCTION}/"
    found = [token.text for token in nearest.tokens[index + length : index + length + 1]]
    place = nearest.place(nearest.tokens[index + length - 1].start)
    wanted = pattern[min(length, len(pattern) - 1)].text
    return f"occurs 0 times: the nearest code differs at {place}: `{wanted}` expected, `{''.join(found)}` found"
