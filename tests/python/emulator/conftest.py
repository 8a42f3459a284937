"""Fixtures for functions under AWS's Runtime Interface Emulator.

The environment variables RIE, WORKER, INTAKE, SWEEPER, MESSENGER, SIMULATOR and PANICKING are the paths of the binaries.
PANICKING is the package crates/panicking-worker, built with the same profile as the functions.
"""

import base64
import json
import os
from pathlib import Path

import pytest

from shared.aws import Aws
from shared.rie import Function
from shared.simulator import ACCESS_KEY

EVENTS = Path(__file__).parents[3] / "events"
QUEUES = "https://sqs.eu-central-1.amazonaws.com/123456789012"
SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
CHAT_SECRETS = {
    f"{SECRETS}:signing-AbCdEf": json.dumps([base64.b64encode(b"k" * 32).decode()]),
    f"{SECRETS}:tokens-AbCdEf": json.dumps({"slack": {"bot_tokens": {"T0LOCALCHAT": "xoxb-local-chat"}}}),
}


@pytest.fixture
def alibaba(simulator_process):
    simulator_process.start_with(("ep-hp3shop", ["sg-hp3vendor", "sg-hp3own"]), detach_takes_ms=3000)
    return simulator_process


@pytest.fixture
def aws():
    aws = Aws(CHAT_SECRETS)
    yield aws
    aws.stop()


@pytest.fixture
def start(tmp_path):
    """Starts a program as a function. It ends with the test, and a failed test's report contains its log."""
    functions = []

    def start(program, environment):
        assert not functions, "only one function per test"
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
        "ALIBABA_CLOUD_ACCESS_KEY_ID": ACCESS_KEY["access_key_id"],
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ACCESS_KEY["access_key_secret"],
    }


@pytest.fixture
def intake_environment(aws):
    return {"AWS_ENDPOINT_URL": aws.url, "DETACH_QUEUE_URL": f"{QUEUES}/requests.fifo"}


@pytest.fixture
def sweeper_environment(worker_environment):
    return {name: value for name, value in worker_environment.items() if name != "DEAD_LETTER_QUEUE_URL"}


@pytest.fixture
def messenger_environment(aws):
    signing, tokens = CHAT_SECRETS
    return {
        "AWS_ENDPOINT_URL": aws.url,
        "NOTICE_QUEUE_URL": f"{QUEUES}/notices",
        "DEAD_LETTER_QUEUE_URL": f"{QUEUES}/notices-dead-letter",
        "CHAT_SIGNING_SECRET_ARN": signing,
        "CHAT_TOKEN_SECRET_ARN": tokens,
    }


@pytest.fixture
def event():
    return lambda name: json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
