"""One MiniStack with one stack, one simulator and one consumer of events for all tests; every test has endpoints and
request ids of its own, and begins and ends with empty queues.

WORKER, INTAKE and SIMULATOR name the programs.
"""

import json
import os
import time

import pytest

import completions
import webhook
from alibaba import ACCESS_KEY, Alibaba
from eventbridge import EventBridge
from ministack import MiniStack
from stack import Stack

BUS = "completions"
LINES_SHOWN_MAX = 100


class Secret:
    """A secret in Secrets Manager."""

    def __init__(self, ministack, name, value):
        self.client = ministack.client("secretsmanager")
        self.arn = self.client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]

    def put(self, value):
        self.client.put_secret_value(SecretId=self.arn, SecretString=json.dumps(value))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def eventbridge():
    bridge = EventBridge()
    yield bridge
    bridge.stop()


@pytest.fixture(scope="session")
def ministack(folder, eventbridge):
    environment = {"AWS_ENDPOINT_URL_EVENTBRIDGE": eventbridge.url, "RECORD": str(folder / "record.jsonl")}
    stack = MiniStack(folder, environment)
    try:
        stack.wait_until_ready()
        eventbridge.upstream = stack.url
        yield stack
    finally:
        stack.program.stop()


@pytest.fixture(scope="session")
def simulator(folder):
    alibaba = Alibaba(os.environ["SIMULATOR"], folder)
    yield alibaba
    alibaba.program.stop()


@pytest.fixture(scope="session")
def keys(ministack):
    return Secret(ministack, "alibaba", ACCESS_KEY)


@pytest.fixture(scope="session")
def signing_secret():
    return webhook.new_secret()


@pytest.fixture(scope="session")
def signing_secrets(ministack, signing_secret):
    return Secret(ministack, "webhooks", [signing_secret])


@pytest.fixture(scope="session")
def deployed(folder, ministack, simulator, keys, signing_secrets):
    stack = Stack(ministack, "e2e", folder / "record.jsonl")
    stack.upload({"worker": os.environ["WORKER"], "intake": os.environ["INTAKE"]})
    stack.deploy(
        {
            "AlibabaCredentials": "SECRETS_MANAGER",
            "AlibabaCredentialsSecretArn": keys.arn,
            "PrivatelinkEndpointUrl": simulator.url,
            "AllowedRegions": "eu-west-1",
            "WebhookAuthentication": "SIGNATURE",
            "WebhookSecretsArn": signing_secrets.arn,
            "CreateCompletionBus": "true",
            "CompletionBusName": BUS,
        }
    )
    return stack


@pytest.fixture(scope="session")
def consumer(ministack, deployed):
    return completions.Completions(ministack, deployed.outputs["CompletionBusName"])


@pytest.fixture(autouse=True)
def stack(request, deployed, simulator, eventbridge, consumer):
    """The stack at rest. What MiniStack does not look at is looked at after every test, whatever it is about."""
    started, entries_before = time.time(), len(eventbridge.entries)
    yield deployed
    eventbridge.failures.clear()
    if not getattr(request.node, "has_passed", False):
        show(deployed, simulator, eventbridge.entries[entries_before:], started)
        deployed.clear()
        return
    deployed.wait_until_empty()
    assert deployed.waiting("DeadLetterQueueUrl") == deployed.waiting("IntakeFailureQueueUrl") == 0
    for each in eventbridge.entries:
        completions.check_entry(each["entry"], deployed.outputs["CompletionBusName"])
    for exchange in deployed.exchanges("WorkerFunctionName"):
        check_answer(exchange)


def check_answer(exchange):
    """What MiniStack takes for success, and AWS for the failure of the whole batch: another key, or an id of none."""
    if "response" not in exchange or "Records" not in exchange["event"]:
        return
    assert list(exchange["response"]) == ["batchItemFailures"], exchange
    failures = exchange["response"]["batchItemFailures"]
    assert all(list(failure) == ["itemIdentifier"] for failure in failures), exchange
    identifiers = [failure["itemIdentifier"] for failure in failures]
    brought = {record["messageId"] for record in exchange["event"]["Records"]}
    assert len(set(identifiers)) == len(identifiers) and set(identifiers) <= brought, exchange


@pytest.fixture
def alibaba(simulator):
    return simulator


@pytest.fixture
def requester(ministack):
    """Somebody who asks by events; returns the event's id."""
    client = ministack.client("events")

    def put(detail):
        entry = {"Source": "my.tool", "DetailType": "Security Group Detach Requested", "Detail": json.dumps(detail)}
        answer = client.put_events(Entries=[entry])
        assert answer["FailedEntryCount"] == 0, answer
        return answer["Entries"][0]["EventId"]

    return put


def show(stack, simulator, entries, started):
    """Adds to a failed test's report what happened meanwhile."""
    invocations = [each for each in stack.exchanges("WorkerFunctionName") if each["at"] >= started]
    for title, lines in {
        "the simulator's journal": map(json.dumps, simulator.get("journal")),
        "the worker's invocations": map(json.dumps, invocations),
        "the worker's log": stack.log("WorkerLogGroupName", started),
        "the intake's log": stack.log("IntakeLogGroupName", started),
        "what was put to EventBridge": map(json.dumps, entries),
    }.items():
        print(f"---- {title}", *list(lines)[-LINES_SHOWN_MAX:], sep="\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.has_passed = report.passed
    return report
