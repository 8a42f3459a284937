"""Tests how planted bugs are read and applied. To run them: `python3 -m unittest discover tests/python/tools`."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))

from planted_bugs import Step, can_catch
from planting import Unusable, parse, plant, read_sources, source

BACKOFF = """\
impl Limits {
    /// The wait after an error.
    fn backoff(&self, errors: u32) -> Duration {
        let ceiling = self.base * errors; // grows
        warn!("waiting, attempt {errors}");
        ceiling.min(self.max)
    }
}

#[cfg(test)]
mod tests {
    fn backoff() {
        let ceiling = self.base * errors;
    }
}
"""


def bug_file(old: str, new: str) -> str:
    """Returns the content of a bug file with one replacement."""
    return f"It is wrong.\nIt harms the sender.\n\n=== replace\n{old}\n=== with\n{new}\n"


def planted(text: str, old: str, new: str) -> str:
    """Returns a source file after one replacement in it."""
    return plant(parse("bug", bug_file(old, new)), [source("src/a.rs", text)])["src/a.rs"]


class Reading(unittest.TestCase):
    def test_words_and_replacements(self) -> None:
        bug = parse("bug", bug_file("a();", "b();") + "\n=== replace\nc();\n=== with\n")
        self.assertEqual(bug.words, ("It is wrong.", "It harms the sender."))
        self.assertEqual([one.old.strip() for one in bug.replacements], ["a();", "c();"])
        self.assertEqual([one.new.strip() for one in bug.replacements], ["b();", ""])

    def test_rejects_malformed_files(self) -> None:
        malformed = {
            "no words": "=== replace\na\n=== with\nb\n",
            "too many words": "1\n2\n3\n4\n=== replace\na\n=== with\nb\n",
            "no replacement": "It is wrong.\n",
            "no new text": "It is wrong.\n=== replace\na\n",
            "two new texts": "It is wrong.\n=== replace\na\n=== with\nb\n=== with\nc\n",
            "unknown section": "It is wrong.\n=== replace\na\n=== in f\nb\n=== with\nc\n",
            "empty old text": "It is wrong.\n=== replace\n// a comment\n=== with\nb\n",
        }
        for why, content in malformed.items():
            with self.subTest(why), self.assertRaises(Unusable):
                parse("bug", content)


class Matching(unittest.TestCase):
    def test_ignores_white_space_line_breaks_and_comments(self) -> None:
        old = "fn backoff(\n  &self, errors: u32\n) -> Duration {\n\n// why\n let ceiling = self.base\n    * errors;"
        self.assertIn("    fn wait() { // grows\n", planted(BACKOFF, old, "fn wait() {"))

    def test_ignores_a_comma_before_a_closing_bracket(self) -> None:
        wrapped = "    call(\n        first,\n        second,\n    );\n"
        self.assertEqual(planted(wrapped, "call(first, second);", "call();"), "    call();\n")
        self.assertEqual(planted("call(first, second);\n", wrapped, "call();"), "call();\n")

    def test_final_comma_matches_the_last_field_without_one(self) -> None:
        self.assertEqual(planted("A { b, c: 1 }\n", "c: 1,", "c: 2,"), "A { b, c: 2, }\n")
        self.assertEqual(planted("A { c: 1, b }\n", "c: 1,", ""), "A {  b }\n")
        with self.assertRaises(Unusable):
            planted("A { c: 1 + 1 }\n", "c: 1,", "c: 2,")

    def test_does_not_ignore_text_in_strings(self) -> None:
        with self.assertRaises(Unusable):
            planted(BACKOFF, 'warn!("waiting,  attempt {errors}");', "")
        self.assertEqual(planted('a("// no comment"); b();\n', "b();", "c();"), 'a("// no comment"); c();\n')

    def test_does_not_match_part_of_a_word(self) -> None:
        self.assertEqual(planted("self.base_max; self.base;\n", "self.base", "0"), "self.base_max; 0;\n")

    def test_lifetimes_and_characters_are_tokens(self) -> None:
        text = "fn f<'a>(a: &'a str) -> bool { a == '\"' || a == '\\'' } // it's\nfn g() {}\n"
        self.assertIn("fn h() {}", planted(text, "fn g() {}", "fn h() {}"))

    def test_any_string_matches_a_literal_and_keeps_it(self) -> None:
        changed = planted(BACKOFF, 'warn!("...");', 'error!("...");')
        self.assertIn('        error!("waiting, attempt {errors}");\n', changed)
        with self.assertRaises(Unusable):
            planted(BACKOFF, "ceiling.min(self.max)", 'panic!("...")')

    def test_tests_are_not_code(self) -> None:
        changed = planted(BACKOFF, "let ceiling = self.base * errors;", "let ceiling = self.base;")
        self.assertEqual(changed.count("let ceiling = self.base * errors;"), 1)
        self.assertIn("let ceiling = self.base; // grows\n", changed)

    def test_code_after_a_declared_test_module_is_code(self) -> None:
        self.assertIn("b()", planted("#[cfg(test)]\nmod tests;\n\nfn f() { a() }\n", "a()", "b()"))


class Planting(unittest.TestCase):
    def test_keeps_the_indentation(self) -> None:
        changed = planted(BACKOFF, "ceiling.min(self.max)", "if errors > 1 {\n    return self.max;\n}\nceiling")
        indented = "        if errors > 1 {\n            return self.max;\n        }\n        ceiling\n    }\n"
        self.assertIn(indented, changed)

    def test_finds_code_in_any_file(self) -> None:
        sources = [source("src/a.rs", "fn a() {}\n"), source("src/b/c.rs", "fn b() {}\n")]
        changed = plant(parse("bug", bug_file("fn b() {}", "fn c() {}")), sources)
        self.assertEqual(changed, {"src/b/c.rs": "fn c() {}\n"})

    def test_several_replacements_in_any_order(self) -> None:
        content = bug_file("second();", "2();") + "=== replace\nfirst();\n=== with\nsecond();\n"
        changed = plant(parse("bug", content), [source("src/a.rs", "first(); second(); third();\n")])
        self.assertEqual(changed, {"src/a.rs": "second(); 2(); third();\n"})

    def test_rejects_overlapping_replacements(self) -> None:
        content = bug_file("first(); second();", "1();") + "=== replace\nsecond(); third();\n=== with\n"
        with self.assertRaisesRegex(Unusable, r"changes src/a\.rs:1 twice"):
            plant(parse("bug", content), [source("src/a.rs", "first(); second(); third();\n")])

    def test_names_all_places_of_a_text_that_is_not_unique(self) -> None:
        sources = [source("src/a.rs", "x();\ny();\nx();\n"), source("src/b.rs", "x();\n")]
        with self.assertRaisesRegex(Unusable, r"replacement 1 occurs 3 times: src/a\.rs:1, src/a\.rs:3, src/b\.rs:1"):
            plant(parse("bug", bug_file("x();", "")), sources)

    def test_names_the_nearest_place_of_a_text_that_is_missing(self) -> None:
        sources = [source("src/a.rs", "let a = 1;\nlet b = old(2);\n")]
        with self.assertRaisesRegex(Unusable, r"occurs 0 times: .* src/a\.rs:2: `new` expected, `old` found"):
            plant(parse("bug", bug_file("let b = new(2);", "")), sources)
        with self.assertRaisesRegex(Unusable, r"occurs 0 times: `absent` is nowhere in src/"):
            plant(parse("bug", bug_file("absent();", "")), sources)

    def test_reads_production_code_only(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ["src/lib.rs", "src/detach/core.rs", "src/detach/tests.rs", "tests/main.rs", "src/notes.md"]:
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("fn f() {}\n", encoding="utf-8")
            self.assertEqual([one.name for one in read_sources(Path(folder))], ["src/detach/core.rs", "src/lib.rs"])


class Steps(unittest.TestCase):
    def test_step_runs_on_bugs_in_code_that_it_runs(self) -> None:
        sources = [source("src/a/b.rs", "first();\n"), source("src/c.rs", "second();\n")]
        step = Step("a step", [], [], without=("src/a",))
        first, second = "=== replace\nfirst();\n=== with\n", "=== replace\nsecond();\n=== with\n"
        for replacements, is_possible in [(first, False), (second, True), (first + second, True)]:
            with self.subTest(replacements):
                bug = parse("bug", f"It is wrong.\n\n{replacements}")
                self.assertEqual(can_catch(step, bug, sources), is_possible)
                self.assertTrue(can_catch(Step("another step", [], []), bug, sources))

    def test_step_reports_a_bug_that_does_not_apply(self) -> None:
        self.assertTrue(can_catch(Step("a step", [], [], without=("src/",)), parse("bug", bug_file("a();", "")), []))


if __name__ == "__main__":
    unittest.main()
