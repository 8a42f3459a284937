"""Programs that run beside the tests, calls to them, and waiting for what they do."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

STOP_WITHIN_SECONDS = 5
CALL_TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.1

# Without the proxies that the environment may name: everything is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, url, body=None, headers=None):
    """Status, headers and body of an answer, whatever the status."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        answer = _opener.open(request, timeout=CALL_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers, answer.read()


def eventually(check, what, within=60):
    """Waits until `check` returns something true, and returns that. Fails with what it returned last."""
    deadline = time.monotonic() + within
    while not (seen := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} seconds: {what}; last seen: {seen!r}")
        time.sleep(POLL_SECONDS)
    return seen


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Reads until whoever holds the other end of its input is gone, then ends a process group.
WATCH = "import os, signal, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), signal.SIGKILL)"


class Program:
    """A program in a process group of its own. The group ends as a whole, with everything that the program started, and
    also when the tests do not come to stop it.
    """

    def __init__(self, command, environment, folder, name):
        self.log_path = Path(folder, f"{name}.log")
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.watcher = subprocess.Popen(
            [sys.executable, "-c", WATCH, str(self.process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, check, what):
        def seen():
            if self.process.poll() is not None:
                raise AssertionError(f"the program ended before this: {what}\n{self.log()}")
            return check()

        return eventually(seen, what)

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(STOP_WITHIN_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        # The watcher ends whatever of the group has not ended by itself.
        self.watcher.communicate()
        self.process.wait()
