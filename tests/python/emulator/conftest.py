"""The functions under AWS's Runtime Interface Emulator. RIE, WORKER, INTAKE, SIMULATOR and PANICKING name the programs;
PANICKING is the package beside this file, built as the functions are."""

import json
import os
from pathlib import Path

import pytest

from outside import Aws, Simulator
from rie import Function

EVENTS = Path(__file__).parents[3] / "events"
QUEUES = "https://sqs.eu-central-1.amazonaws.com/123456789012"


@pytest.fixture(scope="session")
def simulator_process():
    simulator = Simulator(os.environ["SIMULATOR"])
    yield simulator
    simulator.stop()


@pytest.fixture
def alibaba(simulator_process):
    simulator_process.start_over(["sg-hp3vendor", "sg-hp3own"])
    return simulator_process


@pytest.fixture
def aws():
    aws = Aws()
    yield aws
    aws.stop()


@pytest.fixture
def start(tmp_path):
    """Starts a program as a function; it ends with its test, and its log is part of a failed test's report."""
    functions = []

    def start(program, environment):
        assert not functions, "one function a test"
        functions.append(Function(os.environ[program], environment, tmp_path))
        return functions[0]

    yield start
    for function in functions:
        function.stop()
        print(function.log())


@pytest.fixture
def worker_environment(alibaba, aws):
    return {
        "AWS_ENDPOINT_URL": aws.url,
        "DETACH_QUEUE_URL": f"{QUEUES}/requests.fifo",
        "DEAD_LETTER_QUEUE_URL": f"{QUEUES}/dead-letters.fifo",
        "PRIVATELINK_ENDPOINT_URL": alibaba.url,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAI5tSimulatorKey",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "SimulatorSecret",
    }


@pytest.fixture
def intake_environment(aws):
    return {"AWS_ENDPOINT_URL": aws.url, "DETACH_QUEUE_URL": f"{QUEUES}/requests.fifo"}


@pytest.fixture
def event():
    return lambda name: json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
