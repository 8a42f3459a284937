"""AWS's Runtime Interface Emulator with one function, and what else a function needs here."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

POLL_SECONDS = 0.05
START_WITHIN_SECONDS = 60
ANSWER_WITHIN_SECONDS = 180

# What AWS sets for a function of its own accord; the emulator adds the rest.
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "aws-s3cret",
    "AWS_SESSION_TOKEN": "aws-t0ken",
}


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


class Function:
    """A program as a Lambda function. One invocation at a time: the emulator does not survive two."""

    def __init__(self, program, environment, folder):
        self.port = free_port()
        self.log_path = Path(folder, "function.log")
        addresses = {
            "--runtime-interface-emulator-address": f"127.0.0.1:{self.port}",
            "--runtime-api-address": f"127.0.0.1:{free_port()}",
        }
        arguments = [part for pair in addresses.items() for part in pair]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [os.environ["RIE"], *arguments, str(program)],
                env={**LAMBDA, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # An interrupt of the tests is theirs alone: they end all that they have started.
                start_new_session=True,
            )
        eventually(self.is_listening, "the emulator listens", START_WITHIN_SECONDS)

    def is_listening(self):
        assert self.process.poll() is None, f"the emulator has ended:\n{self.log()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def invoke(self, event):
        """Status and body of the emulator's answer; a body that is JSON is read as such."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_SECONDS)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(body)
        except ValueError:
            return answer.status, body

    def invoke_meanwhile(self, event):
        """Begins an invocation; what is returned waits for its answer when it is called."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.invoke(event)), daemon=True)
        thread.start()

        def answer():
            thread.join(ANSWER_WITHIN_SECONDS)
            assert answers, f"the emulator has not answered:\n{self.log()}"
            return answers[0]

        return answer

    def process_id(self):
        """The function's process, which is the emulator's only child; None if there is none."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(child) for each in tasks for child in each.read_text().split()]
        assert len(children) <= 1, children
        return children[0] if children else None

    def freeze(self):
        os.kill(self.process_id(), signal.SIGSTOP)

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def own_lines(self):
        """What the function itself has written: all that is neither the emulator's log nor the platform's lines."""
        others = re.compile(r"\d\d \w{3} \d{4} [\d:,]+ \[\w+\] \(rapid\)|(START|END|REPORT) RequestId: |$")
        return [line for line in self.log().splitlines() if not others.match(line)]

    def stop(self):
        process = self.process_id() if self.process.poll() is None else None
        self.process.kill()
        self.process.wait()
        if process is not None:
            # Nobody but the emulator would end it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
