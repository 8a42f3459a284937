"""Processes that run next to the tests, HTTP calls to them, and waiting for their effects."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

STOP_TIMEOUT_SECONDS = 5
CALL_TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.1

# Ignores the proxy variables of the environment: every server is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, url, body=None, headers=None, timeout=CALL_TIMEOUT_SECONDS):
    """Returns the status, headers and body of the response, also for an error status."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        response = _opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.status, response.headers, response.read()


def eventually(check, what, timeout=60):
    """Returns the first true value of `check`. Fails after `timeout` seconds with its last value."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} seconds: {what}; last value: {value!r}")
        time.sleep(POLL_SECONDS)
    return value


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Blocks until the tests close its standard input or end, then kills the process group.
WATCHER = "import os, signal, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), signal.SIGKILL)"


class Program:
    """A program in its own process group. A watcher kills the group even if the tests end without calling `stop`."""

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
            [sys.executable, "-c", WATCHER, str(self.process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, check, what):
        """Returns the first true value of `check`. Fails if the program ends first."""

        def check_while_running():
            if self.process.poll() is not None:
                raise AssertionError(f"the program ended before this: {what}\n{self.log()}")
            return check()

        return eventually(check_while_running, what)

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        # The watcher kills the processes of the group that are still running.
        self.watcher.communicate()
        self.process.wait()
