"""Fixtures for the command line program on a pseudo-terminal.

The environment variables CLI and SIMULATOR are the paths of the programs.
"""

import json
import os
import subprocess
import time

import pytest

from shared.simulator import ACCESS_KEY, REGION
from terminal import Terminal


@pytest.fixture
def alibaba(simulator_process):
    simulator_process.start_with(
        ("ep-a", ["sg-a", "sg-b"]), ("ep-b", ["sg-a", "sg-b"]), detach_takes_ms=500
    )
    return simulator_process


class Cli:
    """Runs the program against the simulator."""

    def __init__(self, simulator, folder):
        self.simulator = simulator
        self.folder = folder
        self.terminals = []

    def command(self, *arguments):
        return [os.environ["CLI"], *arguments, "--endpoint-url", self.simulator.url]

    def environment(self, **variables):
        return {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ACCESS_KEY["access_key_id"],
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ACCESS_KEY["access_key_secret"],
            "TERM": "xterm-256color",
            **variables,
        }

    def start(self, *arguments, columns=80, stdout="terminal", **variables):
        """Starts it on a terminal, which ends with the test."""
        terminal = Terminal(self.command(*arguments), self.environment(**variables), columns, stdout)
        self.terminals.append(terminal)
        return terminal

    def run(self, *arguments):
        """Runs it without a terminal."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def plan(self, *endpoint_ids):
        """The path of a plan that detaches sg-a from these endpoints."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        groups = [{"security_group_id": group, "status": "Attached"} for group in ("sg-a", "sg-b")]
        references = [
            {
                "region_id": REGION,
                "endpoint_id": endpoint_id,
                "endpoint_name": None,
                "security_group_id": "sg-a",
                "status": "Attached",
                "security_groups": groups,
            }
            for endpoint_id in endpoint_ids
        ]
        path = self.folder / "plan.json"
        path.write_text(
            json.dumps(
                {
                    "version": "1",
                    "account_id": "1234567890123456",
                    "arn": "acs:ram::1234567890123456:user/simulator",
                    "security_group_ids": ["sg-a"],
                    "security_groups_found": None,
                    "region_ids": [REGION],
                    "scope": "all",
                    "max_detaches": len(references),
                    "verdict": "references_found",
                    "started_at": now,
                    "completed_at": now,
                    "endpoints_read": {REGION: len(references)},
                    "endpoints_skipped": {REGION: 0},
                    "references_count": len(references),
                    "blocked_count": 0,
                    "references": references,
                    "blocked": [],
                }
            )
        )
        return str(path)

    def stop(self):
        for terminal in self.terminals:
            terminal.stop()


@pytest.fixture
def cli(alibaba, tmp_path):
    cli = Cli(alibaba, tmp_path)
    yield cli
    cli.stop()
