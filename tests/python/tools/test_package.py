"""Tests what `make package` does after the build. To run them: `python3 -m unittest discover tests/python/tools`."""

import hashlib
import os
import re
import sys
import tempfile
import unittest
import unittest.mock
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from package import ELF_64_LITTLE, ELF_ARM64, FUNCTIONS, list_components, normalize, problems, rust_flags


def program(content=b""):
    """An arm64 program as far as the checks look at it."""
    header = ELF_64_LITTLE.ljust(18, b"\0") + ELF_ARM64.to_bytes(2, "little")
    return header + b"\0GLIBC_2.34\0" + content


class Packages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def package(self, name, content, date_time):
        path = self.folder / name
        with zipfile.ZipFile(path, "w") as archive:
            entry = zipfile.ZipInfo("bootstrap", date_time)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, content)
        return path

    def test_zip_files_of_equal_programs_are_equal(self):
        one = self.package("one.zip", program(), (2026, 11, 22, 7, 0, 0))
        other = self.package("other.zip", program(), (2026, 11, 23, 8, 0, 0))
        self.assertEqual(normalize(one), normalize(other))
        self.assertEqual(normalize(one), hashlib.sha256(program()).hexdigest())
        self.assertEqual(one.read_bytes(), other.read_bytes())
        self.assertEqual(list(problems(one, [Path("/home/builder")])), [])

    def test_path_of_the_build_is_a_problem(self):
        package = self.package("p.zip", program(b"/home/builder/.cargo/registry/src"), (2026, 11, 22, 7, 0, 0))
        found = list(problems(package, [Path("/home/builder/.cargo"), Path("/builds")]))
        self.assertEqual(found, ["contains the path of the build, /home/builder/.cargo"])


CYCLONEDX = '''\
#!/bin/sh
mkdir -p crates/other
for list in worker intake sweeper messenger crates/other/tool; do
  printf '{"ref": "file://%s#1", "at": %s}' "$PWD" "$SOURCE_DATE_EPOCH" > ${list}_bin.cdx.json
done
'''


class Components(unittest.TestCase):
    def test_list_does_not_depend_on_the_folder_and_nothing_else_remains(self):
        with tempfile.TemporaryDirectory() as name:
            self.addCleanup(os.chdir, Path.cwd())
            os.chdir(name)
            tool = Path("tool")
            tool.write_text(CYCLONEDX, encoding="utf-8")
            tool.chmod(0o755)
            for function in FUNCTIONS:
                Path("lambda", function).mkdir(parents=True)
            with unittest.mock.patch.dict(os.environ, {"CARGO_CYCLONEDX": str(tool.resolve())}):
                list_components(Path("lambda"))
            lists = sorted(str(path) for path in Path().rglob("*.cdx.json"))
            functions = ("intake", "messenger", "sweeper", "worker")
            self.assertEqual(lists, [f"lambda/{function}/bootstrap.cdx.json" for function in functions])
            text = Path(lists[0]).read_text(encoding="utf-8")
            self.assertEqual(text, '{"ref": "file:///source#1", "at": 315532800}')


class Functions(unittest.TestCase):
    def test_every_function_of_the_template_is_built(self):
        template = (ROOT / "template.yaml").read_text(encoding="utf-8")
        self.assertEqual(sorted(FUNCTIONS), sorted(re.findall(r"^ +Binary: (\w+)$", template, re.MULTILINE)))


class RustFlags(unittest.TestCase):
    def test_innermost_folder_is_last_and_own_flags_stay(self):
        folders = {Path("/a/b/target"): "/target", Path("/a/b"): "/source", Path("/c"): "/cargo"}
        expected = [
            "-C opt-level=s",
            "--remap-path-prefix=/c=/cargo",
            "--remap-path-prefix=/a/b=/source",
            "--remap-path-prefix=/a/b/target=/target",
        ]
        self.assertEqual(rust_flags(folders, "-C opt-level=s"), " ".join(expected))

    def test_path_with_white_space_is_refused(self):
        with self.assertRaises(SystemExit):
            rust_flags({Path("/a b"): "/source"})


if __name__ == "__main__":
    unittest.main()
