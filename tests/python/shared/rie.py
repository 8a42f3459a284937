"""One function under AWS's Runtime Interface Emulator (RIE)."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
from pathlib import Path

from shared.processes import Program, call, free_port

RESPONSE_TIMEOUT_SECONDS = 180

# The variables that AWS sets for every function; the emulator sets the others.
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "aws-s3cret",
    "AWS_SESSION_TOKEN": "aws-t0ken",
}


class Function(Program):
    """A program as a Lambda function. Invocations must not overlap: the emulator ends at a second concurrent one."""

    def __init__(self, program, environment, folder):
        self.port = free_port()
        addresses = {
            "--runtime-interface-emulator-address": f"127.0.0.1:{self.port}",
            "--runtime-api-address": f"127.0.0.1:{free_port()}",
        }
        arguments = [part for pair in addresses.items() for part in pair]
        super().__init__([os.environ["RIE"], *arguments, program], {**LAMBDA, **environment}, folder, "function")
        self.wait_until(self.is_listening, "the emulator listens")

    def is_listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def invoke(self, event):
        """Returns the status and body of the emulator's response. A JSON body is parsed."""
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        status, _, content = call("POST", url, json.dumps(event).encode(), timeout=RESPONSE_TIMEOUT_SECONDS)
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode()

    def start_invocation(self, event):
        """Invokes in a thread. Returns a function that waits for the response and returns it."""
        responses = []
        thread = threading.Thread(target=lambda: responses.append(self.invoke(event)), daemon=True)
        thread.start()

        def wait():
            thread.join(RESPONSE_TIMEOUT_SECONDS)
            assert responses, f"no response from the emulator:\n{self.log()}"
            return responses[0]

        return wait

    def process_id(self):
        """The id of the function's process, the only child of the emulator; None if there is none."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(child) for each in tasks for child in each.read_text().split()]
        assert len(children) <= 1, children
        return children[0] if children else None

    def freeze(self):
        os.kill(self.process_id(), signal.SIGSTOP)

    def own_lines(self):
        """The lines of the log that the function wrote, without the emulator's and the platform's."""
        others = re.compile(r"\d\d \w{3} \d{4} [\d:,]+ \[\w+\] \(rapid\)|(START|END|REPORT) RequestId: |$")
        return [line for line in self.log().splitlines() if not others.match(line)]

    def stop(self):
        process = self.process_id() if self.process.poll() is None else None
        super().stop()
        if process is not None:
            # The function is in a process group of its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
