"""Tests the tests: plants one known bug after the other and expects a check to catch each.

Every file in crates/detach-simulation/planted-bugs is a small wrong change of the code under src, and says in its first lines what is wrong
and whom it harms. The bugs are planted in a copy of the tree, never in the tree itself. A step is run on all bugs that the
steps before it have missed, the simulation first; and on the tree without a bug before anything else, since a step that
fails anyway catches nothing.
"""

import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BUGS = ROOT / "crates" / "detach-simulation" / "planted-bugs"

# What a bug may change. One in a test or in the simulation would prove nothing.
PRODUCTION = "src/"

# Lines before the diff: what the bug is and what harm it does.
WORDS_MAX = 3

# How long a step may run; a bug that makes the worker go round in circles is caught by it.
SECONDS_MAX = 600

# How long a step may compile. The first one compiles the dependencies, too.
BUILD_SECONDS_MAX = 3600

# Of a build that fails, its last lines.
BUILD_LINES_SHOWN = 20

# Failed tests that are named; there may be many, and one is enough.
TESTS_NAMED_MAX = 3

# What the simulation writes before the name of the check that failed.
CAUGHT_BY = "CAUGHT BY "


class Unusable(Exception):
    """A bug that cannot be planted, or a tree that cannot be tested. It tells nothing about the tests."""


@dataclass(frozen=True)
class Bug:
    """A patch, and what is said before it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def words(self) -> list[str]:
        before, _, _ = self.path.read_text(encoding="utf-8").partition("diff --git ")
        return before.strip().splitlines()


@dataclass(frozen=True)
class Step:
    """A way to catch bugs: what must compile, and what must fail."""

    name: str
    build: list[str]
    run: list[str]


STEPS = [
    Step(
        "simulation",
        "cargo build --locked --profile simulation -p detach-simulation --bin simulate".split(),
        "cargo run --quiet --locked --profile simulation -p detach-simulation --bin simulate -- all".split(),
    ),
    Step(
        "unit tests",
        "cargo test --locked --profile simulation --lib --no-run".split(),
        "cargo test --locked --profile simulation --lib".split(),
    ),
    Step(
        "tests/worker",
        "cargo test --locked --test worker --no-run".split(),
        "cargo test --locked --test worker".split(),
    ),
]


@dataclass
class Verdict:
    """What became of a bug so far."""

    step: str = "none"
    check: str = "NOT CAUGHT"
    seconds: float = 0.0
    is_caught: bool = False


def environment(target: Path) -> dict[str, str]:
    """Returns the programs' environment. Git must not take the copy for a part of the repository around it."""
    # Optimised code is compiled whole unless cargo is told otherwise, and each bug changes a few lines of it.
    defaults = {"CARGO_INCREMENTAL": "1", "RUST_TEST_THREADS": "8"}
    ours = {
        "CARGO_TARGET_DIR": str(target),
        "CARGO_TERM_COLOR": "never",
        "GIT_CEILING_DIRECTORIES": f"{target}{os.pathsep}{ROOT.parent}",
        "RUST_BACKTRACE": "0",
    }
    return {**defaults, **os.environ, **ours}


def execute(command: Sequence[str], folder: Path, env: dict[str, str], seconds: float) -> tuple[int | None, str]:
    """Runs a program and returns its status, None if its time ran out, and all that it wrote."""
    # A group of its own, so that what cargo has started ends with it.
    program = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = program.communicate(timeout=seconds)
        return program.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        output, _ = program.communicate()
        return None, output
    except BaseException:
        os.killpg(program.pid, signal.SIGKILL)
        raise


def tail(output: str, lines: int) -> str:
    return "\n".join(output.strip().splitlines()[-lines:])


def first_line(output: str) -> str:
    return output.strip().partition("\n")[0]


class Tree:
    """A copy of the tree to plant bugs in. It is kept from one run to the next, so that little is compiled again."""

    def __init__(self, target: Path) -> None:
        self.folder = target / "planted-bugs-tree"
        self.env = environment(target)

    def copy(self) -> None:
        """Brings the copy up to date: what is tracked, and what is new and not ignored."""
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            if path.relative_to(self.folder).as_posix() not in names:
                path.unlink()
        for name in names:
            self.write(name, (ROOT / name).read_bytes())
            shutil.copymode(ROOT / name, self.folder / name)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file that has changed. It is then new to cargo, which goes by the time of the change."""
        path = self.folder / name
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @contextmanager
    def planted(self, bug: Bug) -> Iterator[None]:
        """The tree with one bug in it, until the end of the block."""
        names = [name for name in files(bug) if (self.folder / name).is_file()]
        # From the copy: the tree itself may have been worked on meanwhile.
        originals = {name: (self.folder / name).read_bytes() for name in names}
        try:
            status, output = execute(["git", "apply", str(bug.path)], self.folder, self.env, SECONDS_MAX)
            if status != 0:
                raise Unusable(f"does not apply: {first_line(output)}")
            yield
        finally:
            for name, content in originals.items():
                self.write(name, content)

    def catch(self, step: Step, seconds: float) -> str | None:
        """Runs a step on the copy as it is, and returns the name of the check that failed, if one did."""
        status, output = execute(step.build, self.folder, self.env, BUILD_SECONDS_MAX)
        if status != 0:
            raise Unusable(f"does not compile for {step.name}:\n{tail(output, BUILD_LINES_SHOWN)}")
        status, output = execute(step.run, self.folder, self.env, seconds)
        if status and (tests := failed_tests(output)):
            # Without the others: a test that failed because the machine was busy has caught nothing.
            status, output = execute([*step.run, "--", "--exact", *tests], self.folder, self.env, seconds)
        if status is None:
            return f"timeout: still running after {seconds:.0f} s"
        return None if status == 0 else failed_checks(output) or f"no check, but status {status}: {tail(output, 1)}"


def failed_tests(output: str) -> list[str]:
    """Returns the tests that failed, as cargo names them."""
    return re.findall(r"^test (\S+)(?: - should panic)? \.\.\. FAILED$", output, re.MULTILINE)


def failed_checks(output: str) -> str:
    """Returns the check that the simulation names, or the first of the tests that failed; nothing if there are none."""
    for line in output.splitlines():
        if line.startswith(CAUGHT_BY):
            return line.removeprefix(CAUGHT_BY).strip()
    tests = failed_tests(output)
    more = len(tests) - TESTS_NAMED_MAX
    return ", ".join(tests[:TESTS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def files(bug: Bug) -> list[str]:
    """Returns the files that a bug changes."""
    return re.findall(r"^\+\+\+ b/(.+)$", bug.path.read_text(encoding="utf-8"), re.MULTILINE)


def faults(bug: Bug) -> list[str]:
    """Returns what is wrong with a patch on the tree as it is now."""
    found = []
    if not 1 <= len(bug.words) <= WORDS_MAX:
        found.append(f"must say in 1 to {WORDS_MAX} lines before the diff what is wrong and whom it harms")
    if not all(name.startswith(PRODUCTION) for name in files(bug)):
        found.append(f"must change nothing outside {PRODUCTION}")
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    status, output = execute(["git", "apply", "--check", str(bug.path)], ROOT, env, SECONDS_MAX)
    if status != 0:
        found.append(f"does not apply: {first_line(output)}")
    return found


def check(bugs: list[Bug]) -> None:
    """Ends with what is wrong if a bug could not be planted; nothing is compiled."""
    found = [f"{bug.name} {fault}" for bug in bugs for fault in faults(bug)]
    if found:
        sys.exit("\n".join(found))
    print(f"{len(bugs)} planted bugs: every one applies")


def run(bugs: list[Bug], seconds: float) -> bool:
    """Plants every bug, prints a line for each, and says whether all were caught."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target" / "planted-bugs").resolve()
    tree = Tree(target)
    target.mkdir(parents=True, exist_ok=True)
    # Two runs in one copy would find each other's bugs. The lock ends with the process.
    lock = (target / "planted-bugs.lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another run works in {tree.folder}: wait for it, or set another CARGO_TARGET_DIR")
    tree.copy()
    widths = [max(map(len, ["bug", *(bug.name for bug in bugs)])), max(len(step.name) for step in STEPS)]
    verdicts = {bug: Verdict() for bug in bugs}

    def show(*columns: str) -> None:
        bug, step, check, took = columns
        print(f"{bug:<{widths[0]}} | {step:<{widths[1]}} | {took:>7} | {check}", flush=True)

    def show_verdict(bug: Bug) -> None:
        verdict = verdicts[bug]
        show(bug.name, verdict.step, verdict.check, f"{verdict.seconds:.1f}")

    show("bug", "step", "check that caught it", "seconds")
    left = list(bugs)
    for step in STEPS:
        if not left:
            break
        try:
            failed = tree.catch(step, seconds)
        except Unusable as unusable:
            failed = str(unusable)
        if failed:
            sys.exit(f"{step.name}: fails on the tree without a bug, so it would catch anything: {failed}")
        for bug in list(left):
            verdict, began = verdicts[bug], time.monotonic()
            try:
                with tree.planted(bug):
                    caught_by = tree.catch(step, seconds)
            except Unusable as unusable:
                verdict.check, caught_by = f"UNUSABLE: {unusable}", None
                left.remove(bug)
            verdict.seconds += time.monotonic() - began
            if caught_by:
                verdict.step, verdict.check, verdict.is_caught = step.name, caught_by, True
                left.remove(bug)
            if bug not in left:
                show_verdict(bug)
    for bug in left:
        show_verdict(bug)
    caught = sum(verdict.is_caught for verdict in verdicts.values())
    print(f"{caught} of {len(bugs)} planted bugs caught")
    return caught == len(bugs)


def chosen(names: list[str]) -> list[Bug]:
    """Returns the bugs of these names, or all; ends if there is none of a name."""
    bugs = {path.stem: Bug(path) for path in sorted(BUGS.glob("*.patch"))}
    unknown = [name for name in names if name.removesuffix(".patch") not in bugs]
    if unknown or not bugs:
        sys.exit(f"there is no {', '.join(unknown) or 'bug'} in {BUGS.relative_to(ROOT)}")
    return [bugs[name.removesuffix(".patch")] for name in names] or list(bugs.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="Plants known bugs and expects the tests to catch every one.")
    parser.add_argument("bugs", nargs="*", metavar="BUG", help="names of bugs; all of them if there are none")
    parser.add_argument("--list", action="store_true", help="only print the bugs and what they are")
    parser.add_argument("--check", action="store_true", help="only check that every bug applies to the tree")
    parser.add_argument(
        "--timeout", type=float, default=SECONDS_MAX, metavar="SECONDS", help="of a step for one bug (default: 600)"
    )
    arguments = parser.parse_args()
    bugs = chosen(arguments.bugs)
    if arguments.list:
        print("\n".join(f"{bug.name}: {' '.join(bug.words)}" for bug in bugs))
    elif arguments.check:
        check(bugs)
    elif not run(bugs, arguments.timeout):
        sys.exit(1)


if __name__ == "__main__":
    main()
