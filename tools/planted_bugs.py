"""Tests the tests: plants one known bug after the other and expects a check to catch each.

Every file in crates/detach-simulation/planted-bugs is a small wrong change of the code under src; planting.py describes
the format. The program plants the bugs in a copy of the tree, never in the tree itself. Each step runs on all bugs that
the earlier steps missed and whose code it runs, the simulation first. Before that, each step must pass on the tree
without a bug: a step that fails anyway catches nothing.
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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from planting import Bug, Source, Unusable, parse, plant, read_sources

ROOT = Path(__file__).resolve().parent.parent

BUGS = ROOT / "crates" / "detach-simulation" / "planted-bugs"

# How long a step may run. Catches a bug that makes the worker loop forever.
SECONDS_MAX = 600

# How long a step may compile. The first build also compiles the dependencies.
BUILD_SECONDS_MAX = 3600

# Lines of a failed build that are shown, from its first error on.
BUILD_LINES_SHOWN = 12

# Failed tests that are named; there may be many, and one is enough.
TESTS_NAMED_MAX = 3

# What the simulation writes before the name of the check that failed.
CAUGHT_BY = "CAUGHT BY "


@dataclass(frozen=True)
class Step:
    """A way to catch bugs: what must compile, and what must fail."""

    name: str
    build: list[str]
    run: list[str]
    # Beginnings of the names of files whose code the step does not run.
    without: tuple[str, ...] = ()

    def can_catch(self, changed: Iterable[str]) -> bool:
        """Whether the step runs code of one of these files."""
        return not all(name.startswith(self.without) for name in changed)


# Our two crates compile again for every bug. With these settings that takes about a third of the processor time, and
# the simulation runs about as fast as before. Overflow checks and debug assertions stay on.
PROFILE = [
    argument
    for package in ["privatelink-detach", "detach-simulation"]
    for setting in ["opt-level=1", "codegen-units=256", "debug=0"]
    for argument in ["--config", f"profile.simulation.package.{package}.{setting}"]
]


def cargo(arguments: str) -> list[str]:
    """Returns the command that runs cargo with these arguments."""
    return ["cargo", *PROFILE, *arguments.split()]


# The worker and the sweeper run none of it.
INTAKE_AND_CHAT = ("src/chat", "src/intake", "src/messenger")

STEPS = [
    Step(
        "simulation",
        cargo("build --locked --profile simulation -p detach-simulation --bin simulate"),
        cargo("run --quiet --locked --profile simulation -p detach-simulation --bin simulate -- all"),
        without=INTAKE_AND_CHAT,
    ),
    Step(
        "unit tests",
        cargo("test --locked --profile simulation --lib --no-run"),
        cargo("test --locked --profile simulation --lib"),
    ),
    Step(
        "tests/sweeper",
        cargo("test --locked --test sweeper --no-run"),
        cargo("test --locked --test sweeper"),
        without=INTAKE_AND_CHAT,
    ),
    Step(
        "tests/worker",
        cargo("test --locked --test worker --no-run"),
        cargo("test --locked --test worker"),
        without=INTAKE_AND_CHAT,
    ),
    Step(
        "tests/messenger",
        cargo("test --locked --test messenger --no-run"),
        cargo("test --locked --test messenger"),
    ),
    Step(
        "tests/intake",
        cargo("test --locked --test intake --no-run"),
        # The comparison with openapi.yaml needs a program that is not in the copy of the tree.
        cargo("test --locked --test intake -- --skip openapi::"),
    ),
]


@dataclass
class Verdict:
    """What the steps so far say about a bug."""

    step: str = "none"
    check: str = "NOT CAUGHT"
    seconds: float = 0.0
    is_caught: bool = False


def environment(target: Path) -> dict[str, str]:
    """Returns the environment of the programs that run in the copy."""
    # Cargo compiles optimized code from scratch by default, and each bug changes only a few lines.
    defaults = {"CARGO_INCREMENTAL": "1", "RUST_TEST_THREADS": "8"}
    ours = {
        "CARGO_TARGET_DIR": str(target),
        "CARGO_TERM_COLOR": "never",
        "RUST_BACKTRACE": "0",
    }
    return {**defaults, **os.environ, **ours}


def execute(command: Sequence[str], folder: Path, env: dict[str, str], seconds: float) -> tuple[int | None, str]:
    """Runs a program and returns its exit status, `None` after a timeout, and its output."""
    # A process group of its own, so that the programs that cargo starts end with it.
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


def build_failure(step: Step, status: int | None, output: str) -> str:
    """Says why the code does not compile: the first error of the compiler."""
    if status is None:
        return f"build for {step.name} is still running after {BUILD_SECONDS_MAX} s"
    lines = output.strip().splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error")]
    first = errors[0] if errors else max(0, len(lines) - BUILD_LINES_SHOWN)
    return "\n".join([f"does not compile for {step.name}:", *lines[first : first + BUILD_LINES_SHOWN]])


class Tree:
    """A copy of the tree to plant bugs in. It is kept from one run to the next, so that little is compiled again."""

    def __init__(self, target: Path) -> None:
        self.folder = target / "planted-bugs-tree"
        self.env = environment(target)

    def copy(self) -> None:
        """Updates the copy: all tracked files, and new files that are not ignored."""
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
        """Writes a file if its content changed. Cargo compiles a file again if its modification time is newer."""
        path = self.folder / name
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @contextmanager
    def planted(self, bug: Bug) -> Iterator[None]:
        """Plants a bug until the end of the block."""
        # Files of the copy: the tree itself can change during the run.
        changed = plant(bug, read_sources(self.folder))
        originals = {name: (self.folder / name).read_bytes() for name in changed}
        try:
            for name, text in changed.items():
                self.write(name, text.encode())
            yield
        finally:
            for name, content in originals.items():
                self.write(name, content)

    def catch(self, step: Step, seconds: float) -> str | None:
        """Runs a step on the copy as it is, and returns the name of the check that failed, if one did."""
        status, output = execute(step.build, self.folder, self.env, BUILD_SECONDS_MAX)
        if status != 0:
            raise Unusable(build_failure(step, status, output))
        status, output = execute(step.run, self.folder, self.env, seconds)
        if status and (tests := failed_tests(output)):
            # Runs them again without the others: a test that failed because the machine was busy caught nothing.
            separator = [] if "--" in step.run else ["--"]
            status, output = execute([*step.run, *separator, "--exact", *tests], self.folder, self.env, seconds)
        if status is None:
            return f"timeout: still running after {seconds:.0f} s"
        return None if status == 0 else failed_checks(output) or f"no check, but status {status}: {last_line(output)}"


def last_line(output: str) -> str:
    return output.strip().rpartition("\n")[2]


def failed_tests(output: str) -> list[str]:
    """Returns the tests that failed, as cargo names them."""
    return re.findall(r"^test (\S+)(?: - should panic)? \.\.\. FAILED$", output, re.MULTILINE)


def failed_checks(output: str) -> str:
    """Returns the check that the simulation names, or the first failed tests; an empty string if there are none."""
    for line in output.splitlines():
        if line.startswith(CAUGHT_BY):
            return line.removeprefix(CAUGHT_BY).strip()
    tests = failed_tests(output)
    more = len(tests) - TESTS_NAMED_MAX
    return ", ".join(tests[:TESTS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def check(bugs: list[Bug]) -> None:
    """Exits with an error if a bug does not apply. Compiles nothing."""
    sources, found = read_sources(ROOT), []
    for bug in bugs:
        try:
            plant(bug, sources)
        except Unusable as unusable:
            found.append(f"{bug.name}: {unusable}")
    if found:
        sys.exit("\n".join(found))
    print(f"{len(bugs)} planted bugs: every one applies")


class Report:
    """The table of the run: a line for each bug, as soon as its verdict is final."""

    def __init__(self, bugs: list[Bug]) -> None:
        self.bug_width = max(map(len, ["bug", *(bug.name for bug in bugs)]))
        self.step_width = max(len(step.name) for step in STEPS)
        self.line("bug", "step", "seconds", "check that caught it")

    def line(self, bug: str, step: str, seconds: str, check: str) -> None:
        print(f"{bug:<{self.bug_width}} | {step:<{self.step_width}} | {seconds:>7} | {check}", flush=True)

    def verdict(self, bug: Bug, verdict: Verdict) -> None:
        self.line(bug.name, verdict.step, f"{verdict.seconds:.1f}", verdict.check)


def require_pass(tree: Tree, step: Step, seconds: float) -> None:
    """Exits with an error if a step fails on the tree without a bug."""
    try:
        failed = tree.catch(step, seconds)
    except Unusable as unusable:
        failed = str(unusable)
    if failed:
        sys.exit(f"{step.name}: fails on the tree without a bug, so it would catch anything: {failed}")


def can_catch(step: Step, bug: Bug, sources: list[Source]) -> bool:
    """Whether a step runs code that a bug changes. One that does not apply counts as changing it: the step reports it."""
    try:
        return step.can_catch(plant(bug, sources))
    except Unusable:
        return True


def run(bugs: list[Bug], seconds: float) -> bool:
    """Plants every bug, prints a line for each, and returns whether all were caught."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target" / "planted-bugs").resolve()
    tree = Tree(target)
    target.mkdir(parents=True, exist_ok=True)
    # Two runs in one copy would find each other's bugs. The lock ends with the process.
    lock = (target / "planted-bugs.lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another run uses {tree.folder}: wait for it, or set another CARGO_TARGET_DIR")
    tree.copy()
    report = Report(bugs)
    verdicts = {bug.name: Verdict() for bug in bugs}
    left = list(bugs)
    sources = read_sources(tree.folder)
    for step in STEPS:
        possible = [bug for bug in left if can_catch(step, bug, sources)]
        if not possible:
            continue
        require_pass(tree, step, seconds)
        for bug in possible:
            verdict, began = verdicts[bug.name], time.monotonic()
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
                report.verdict(bug, verdict)
    for bug in left:
        report.verdict(bug, verdicts[bug.name])
    caught = sum(verdict.is_caught for verdict in verdicts.values())
    print(f"{caught} of {len(bugs)} planted bugs caught")
    return caught == len(bugs)


def chosen(names: list[str]) -> list[Bug]:
    """Returns the bugs with these names, or all of them. Exits with an error if a name or a file is wrong."""
    paths = {path.stem: path for path in sorted(BUGS.glob("*.bug"))}
    names = [name.removesuffix(".bug") for name in names]
    unknown = [name for name in names if name not in paths]
    if unknown or not paths:
        sys.exit(f"there is no {', '.join(unknown) or 'bug'} in {BUGS.relative_to(ROOT)}")
    bugs, found = [], []
    for name in names or paths:
        try:
            bugs.append(parse(name, paths[name].read_text(encoding="utf-8")))
        except Unusable as unusable:
            found.append(f"{name}: {unusable}")
    if found:
        sys.exit("\n".join(found))
    return bugs


def main() -> None:
    parser = argparse.ArgumentParser(description="Plants known bugs and expects the tests to catch every one.")
    parser.add_argument("bugs", nargs="*", metavar="BUG", help="names of bugs (default: all)")
    parser.add_argument("--list", action="store_true", help="only print the bugs and their descriptions")
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
