"""A program on a pseudo-terminal, as an operator uses it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

TIMEOUT_SECONDS = 60
CTRL_C = b"\x03"

# What a terminal does with these is no text: colors and styles end with m, the rest moves the cursor or erases.
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
STYLE = re.compile(r"\x1b\[[0-9;]*m")
# A line of the progress: the time, and what happens.
PROGRESS = re.compile(r" *[0-9]+s ")


class Terminal:
    """The program's terminal. Its standard output is a pipe if `stdout` says so."""

    def __init__(self, command, environment, columns=80, stdout="terminal"):
        self.text = ""
        self.columns = columns
        reader, writer = os.pipe() if stdout == "pipe" else (None, None)
        self.process_id, self.descriptor = pty.fork()
        if self.process_id == 0:
            # The tests' process is another one from here on.
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                if writer is not None:
                    os.dup2(writer, 1)
                os.execve(command[0], command, environment)
            finally:
                os._exit(127)
        self.reader = reader
        if writer is not None:
            os.close(writer)
        self.attributes = termios.tcgetattr(self.descriptor)

    def read(self, timeout):
        """Adds what the program wrote. False if it has closed its terminal."""
        ready, _, _ = select.select([self.descriptor], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:
            # Linux reports the end of the other side as an error.
            return False
        self.text += data.decode()
        return bool(data)

    def wait_for(self, text):
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.text!r}"
            assert self.read(0.1), f"the program ended without {text!r}: {self.text!r}"

    def write(self, data):
        os.write(self.descriptor, data)

    def end(self):
        """Waits for the end of the program and returns its exit status."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.read(0.1):
            assert time.monotonic() < deadline, f"the program does not end: {self.text!r}"
        _, status = os.waitpid(self.process_id, 0)
        self.process_id = None
        return os.waitstatus_to_exitcode(status)

    def standard_output(self):
        """What the program wrote to its pipe, after its end."""
        with os.fdopen(self.reader, "rb") as pipe:
            self.reader = None
            return pipe.read().decode()

    def lines(self):
        """The lines without cursor movements. A line that is drawn again is several lines."""
        text = ESCAPE.sub("\n", self.text)
        return [line for written in re.split(r"[\r\n]+", text) if written for line in self.drawn(written)]

    def drawn(self, text):
        """The lines of a text without line ends: those of the progress but the last are filled to the width instead."""
        while len(text) > self.columns and PROGRESS.match(text) and PROGRESS.match(text[self.columns :]):
            yield text[: self.columns].rstrip()
            text = text[self.columns :]
        yield text

    def stop(self):
        if self.process_id is not None:
            os.kill(self.process_id, signal.SIGKILL)
            os.waitpid(self.process_id, 0)
        os.close(self.descriptor)
        if self.reader is not None:
            os.close(self.reader)
