"""The command line program on a terminal: confirmation, progress, interruption, and what goes to standard output."""

import json
import termios

import pytest

from shared.processes import eventually
from shared.simulator import DETACH, LIST_GROUPS, LONG_MS, REGION
from terminal import CTRL_C, STYLE

DETACH_A = ["detach", "sg-a", "ep-a", "--region", REGION]


@pytest.mark.parametrize("columns", [80, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(cli, alibaba, columns):
    groups = ["sg-a", *(f"sg-{'x' * 55}{number}" for number in range(9))]
    alibaba.start_with(("ep-a", groups), detach_takes_ms=1500)
    terminal = cli.start(*DETACH_A, columns=columns)
    terminal.wait_for("Detach? [y/N]")
    terminal.write(b"y\n")
    assert terminal.end() == 0
    assert max(map(len, terminal.lines())) <= columns, terminal.text
    assert "outcome" in terminal.text and "detached" in terminal.text
    # The progress is drawn on one line, which shows the time and what happens.
    assert "ep-a sg-a: detach accepted" in terminal.text


@pytest.mark.parametrize("columns", [80, 200])
def test_plan_is_shown_within_the_width_before_the_question(cli, alibaba, columns):
    terminal = cli.start("apply", cli.plan("ep-a", "ep-b"), columns=columns)
    terminal.wait_for("Detach? [y/N]")
    before = terminal.text
    for part in ["1234567890123456", "ep-a", "ep-b", "sg-a (Attached), sg-b (Attached)", "2 detaches"]:
        assert part in before, before
    assert alibaba.counts()["calls"].get(DETACH) is None
    terminal.write(b"yes\n")
    assert terminal.end() == 0
    assert max(map(len, terminal.lines())) <= columns, terminal.text
    assert alibaba.groups("ep-a").keys() == alibaba.groups("ep-b").keys() == {"sg-b"}


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04"])
def test_no_other_answer_than_yes_detaches(cli, alibaba, answer):
    for arguments in [DETACH_A, ["apply", cli.plan("ep-a")]]:
        terminal = cli.start(*arguments)
        terminal.wait_for("Detach? [y/N]")
        terminal.write(answer)
        assert terminal.end() == 1
        assert "nothing was detached" in terminal.text
    assert alibaba.counts()["calls"].get(DETACH) is None


def test_no_color_means_no_styles(cli):
    terminal = cli.start(*DETACH_A, "--yes", NO_COLOR="1")
    assert terminal.end() == 0
    assert not STYLE.search(terminal.text), repr(terminal.text)


def test_dumb_terminal_gets_plain_lines(cli):
    terminal = cli.start(*DETACH_A, "--yes", TERM="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text, repr(terminal.text)
    assert "ep-a sg-a: detach accepted; polling" in terminal.lines()


def test_standard_output_has_only_data(cli):
    terminal = cli.start(*DETACH_A, "-o", "json", stdout="pipe")
    terminal.wait_for("Detach? [y/N]")
    terminal.write(b"y\n")
    assert terminal.end() == 0
    assert json.loads(terminal.standard_output())["outcome"] == "detached"
    assert "outcome" not in terminal.text

    ended = cli.run("apply", cli.plan("ep-b"), "--yes", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert [result["outcome"] for result in json.loads(ended.stdout)["results"]] == ["detached"]
    assert "\x1b" not in ended.stdout + ended.stderr


def test_ctrl_c_during_the_reading_requests_nothing(cli, alibaba):
    alibaba.inject_fault(LIST_GROUPS, kind="hang")
    terminal = cli.start(*DETACH_A)
    eventually(lambda: alibaba.counts()["calls"].get(LIST_GROUPS), "the program reads")
    terminal.write(CTRL_C)
    assert terminal.end() == 130
    assert "no detach was requested" in terminal.text
    assert alibaba.counts()["calls"].get(DETACH) is None


def test_ctrl_c_at_the_question_requests_nothing(cli, alibaba):
    terminal = cli.start(*DETACH_A)
    terminal.wait_for("Detach? [y/N]")
    terminal.write(CTRL_C)
    assert terminal.end() == 130
    assert alibaba.counts()["calls"].get(DETACH) is None


def test_ctrl_c_during_a_detach_names_its_state_and_restores_the_terminal(cli, alibaba):
    alibaba.start_with(("ep-a", ["sg-a", "sg-b"]), detach_takes_ms=LONG_MS)
    terminal = cli.start(*DETACH_A, "--yes")
    before = terminal.attributes
    terminal.wait_for("detach accepted; group Detaching")
    terminal.write(CTRL_C)
    terminal.wait_for("run the command again")
    attributes = termios.tcgetattr(terminal.descriptor)
    assert terminal.end() == 130
    assert "ep-a sg-a: detach accepted, not confirmed yet" in " ".join(terminal.lines())
    assert attributes == before
    # A cursor that was hidden would stay so.
    assert terminal.text.count("\x1b[?25l") <= terminal.text.count("\x1b[?25h")

    alibaba.end_tasks()
    ended = cli.run(*DETACH_A, "--yes", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["outcome"] in ("detached", "already_detached")
    assert alibaba.counts()["calls"].get(DETACH) is None


def test_second_ctrl_c_ends_at_once(cli, alibaba):
    alibaba.inject_fault(DETACH, kind="hang")
    terminal = cli.start(*DETACH_A, "--yes")
    eventually(lambda: alibaba.counts()["calls"].get(DETACH), "the program detaches")
    terminal.write(CTRL_C)
    terminal.wait_for("waiting for the calls in flight")
    terminal.write(CTRL_C)
    assert terminal.end() == 130
    assert "the detach may have been accepted" in " ".join(terminal.lines())
