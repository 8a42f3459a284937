"""All tests share one MiniStack with one stack, one simulator of Alibaba Cloud, one of each chat platform, and one
consumer of completion events. Each test has its own endpoints and request ids, and starts and ends with empty queues.

The environment variables WORKER, INTAKE, SWEEPER, MESSENGER, SIMULATOR and LOCAL_CHAT are the paths of the binaries.
"""

import base64
import json
import os
import time

import pytest

import completions
import webhook
from chats import PLATFORMS
from eventbridge import EventBridge
from ministack import MiniStack
from shared.simulator import ACCESS_KEY
from stack import QUEUES_OF_FAILURES, Stack

BUS = "completions"
LINES_SHOWN_MAX = 100


class Secret:
    """A secret in Secrets Manager."""

    def __init__(self, ministack, name, value):
        self.client = ministack.client("secretsmanager")
        self.arn = self.client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]

        self.value = value

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
def credentials(ministack):
    return Secret(ministack, "alibaba", ACCESS_KEY)


@pytest.fixture(scope="session")
def signing_secret():
    return webhook.new_secret()


@pytest.fixture(scope="session")
def signing_secrets(ministack, signing_secret):
    return Secret(ministack, "webhooks", [signing_secret])


@pytest.fixture(scope="session")
def chats(folder):
    """The simulated platforms by their names."""
    chats = {}
    try:
        for name, platform in PLATFORMS.items():
            chats[name] = platform(os.environ["LOCAL_CHAT"], folder)
        yield chats
    finally:
        for chat in chats.values():
            chat.stop()


@pytest.fixture(scope="session")
def chat_key():
    """The key that signs buttons and reply addresses."""
    return os.urandom(32)


@pytest.fixture(scope="session")
def chat_tokens(ministack, chats):
    return Secret(ministack, "chat-token", {name: chat.tokens for name, chat in chats.items()})


@pytest.fixture(scope="session")
def chat_parameters(ministack, chats, chat_key, chat_tokens):
    platforms = chats.values()
    people = [chat.person(user) for chat in platforms for user in (chat.requester, chat.approver)]
    requesters = people + [f"{chat.tenants()[1]}/{chat.requester}" for chat in platforms]
    lists = {
        "Tenants": [tenant for chat in platforms for tenant in chat.tenants()],
        "Conversations": [group for chat in platforms for group in chat.groups()],
        "Requesters": requesters,
        "Approvers": people,
    }
    verification = {name: chat.verification for name, chat in chats.items()}
    secrets = {
        "Verification": Secret(ministack, "chat-verification", verification),
        "Signing": Secret(ministack, "chat-signing", [base64.b64encode(chat_key).decode()]),
        "Token": chat_tokens,
    }
    return {
        "EnableChat": "true",
        **{f"Chat{name}": ",".join(entries) for name, entries in lists.items()},
        **{f"Chat{name}SecretArn": secret.arn for name, secret in secrets.items()},
        **{chat.output.replace("Url", "EndpointUrl"): chat.url for chat in platforms},
    }


@pytest.fixture(scope="session")
def deployed(folder, ministack, simulator_process, credentials, signing_secrets, chat_parameters):
    stack = Stack(ministack, "e2e", folder / "record.jsonl")
    stack.upload({name: os.environ[name.upper()] for name in ("worker", "intake", "sweeper", "messenger")})
    stack.deploy(
        {
            "AlibabaCredentials": "SECRETS_MANAGER",
            "AlibabaCredentialsSecretArn": credentials.arn,
            "PrivatelinkEndpointUrl": simulator_process.url,
            "AllowedRegions": "eu-west-1",
            "WebhookAuthentication": "SIGNATURE",
            "WebhookSecretsArn": signing_secrets.arn,
            "RequestEventSources": "my.tool,com.example.offboarding",
            "CreateCompletionBus": "true",
            "CompletionBusName": BUS,
            "SweepApplyAllowed": "true",
            **chat_parameters,
        }
    )
    return stack


@pytest.fixture(scope="session")
def consumer(ministack, deployed):
    return completions.Completions(ministack, deployed.outputs["CompletionBusName"])


@pytest.fixture(autouse=True)
def stack(request, deployed, simulator_process, chats, eventbridge, consumer):
    """The stack with empty queues. After each test it checks what MiniStack accepts without a check."""
    started, entries_before = time.time(), len(eventbridge.entries)
    yield deployed
    eventbridge.failures.clear()
    if not getattr(request.node, "has_passed", False):
        report_activity(deployed, simulator_process, chats, eventbridge.entries[entries_before:], started)
        deployed.clear()
        return
    deployed.wait_until_empty()
    assert [deployed.waiting(queue) for queue in QUEUES_OF_FAILURES] == [0, 0, 0, 0]
    for each in eventbridge.entries:
        completions.check_entry(each["entry"], deployed.outputs["CompletionBusName"])
    for function in ("WorkerFunctionName", "MessengerFunctionName"):
        for exchange in deployed.exchanges(function):
            check_response(exchange)


def check_response(exchange):
    """Checks a batch response: AWS fails the whole batch for another key or an unknown id, and MiniStack does not."""
    if "response" not in exchange or "Records" not in exchange["event"]:
        return
    assert list(exchange["response"]) == ["batchItemFailures"], exchange
    failures = exchange["response"]["batchItemFailures"]
    assert all(list(failure) == ["itemIdentifier"] for failure in failures), exchange
    identifiers = [failure["itemIdentifier"] for failure in failures]
    received = {record["messageId"] for record in exchange["event"]["Records"]}
    assert len(set(identifiers)) == len(identifiers) and set(identifiers) <= received, exchange


@pytest.fixture
def alibaba(simulator_process):
    return simulator_process


@pytest.fixture
def put_request_event(ministack):
    """Puts a request on the default bus and returns the event's id."""
    client = ministack.client("events")

    def put(detail):
        entry = {"Source": "my.tool", "DetailType": "Security Group Detach Requested", "Detail": json.dumps(detail)}
        response = client.put_events(Entries=[entry])
        assert response["FailedEntryCount"] == 0, response
        return response["Entries"][0]["EventId"]

    return put


def report_activity(stack, simulator, chats, entries, started):
    """Adds calls, invocations, logs, events and conversations to the report of a failed test."""
    invocations = [each for each in stack.exchanges("WorkerFunctionName") if each["at"] >= started]
    for title, lines in {
        "the simulator's journal": map(json.dumps, simulator.journal()),
        "the worker's invocations": map(json.dumps, invocations),
        "the worker's log": stack.log("WorkerLogGroupName", started),
        "the intake's log": stack.log("IntakeLogGroupName", started),
        "the sweeper's log": stack.log("SweeperLogGroupName", started),
        "the messenger's log": stack.log("MessengerLogGroupName", started),
        **{f"the conversation in {name}": chat.conversation().splitlines() for name, chat in chats.items()},
        "the entries for EventBridge": map(json.dumps, entries),
    }.items():
        print(f"---- {title}", *list(lines)[-LINES_SHOWN_MAX:], sep="\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.has_passed = report.passed
    return report
