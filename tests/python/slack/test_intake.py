"""The intake accepts the requests that Slack's SDK signs, and no others."""

import base64
import json
import os
import time
from urllib.parse import urlencode

import pytest
from slack_sdk.signature import SignatureVerifier

from shared.aws import Aws
from shared.local_chat import CHANNEL, REQUESTER, SIGNING_SECRET, TEAM
from shared.rie import Function

SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
VERIFICATION, SIGNING = f"{SECRETS}:verification-AbCdEf", f"{SECRETS}:signing-AbCdEf"
QUEUES = "https://sqs.eu-central-1.amazonaws.com/123456789012"
OLD_SECRET = "a" * 32
TEXT = "detach sg-old ep-shop eu-west-1"


@pytest.fixture(scope="module")
def aws():
    aws = Aws(
        {
            # The newest first, as during a rotation.
            VERIFICATION: json.dumps({"slack": {"signing_secrets": [SIGNING_SECRET, OLD_SECRET]}}),
            SIGNING: json.dumps([base64.b64encode(b"k" * 32).decode()]),
        }
    )
    yield aws
    aws.stop()


@pytest.fixture(scope="module")
def intake(aws, tmp_path_factory):
    environment = {
        "AWS_ENDPOINT_URL": aws.url,
        "DETACH_QUEUE_URL": f"{QUEUES}/requests.fifo",
        "NOTICE_QUEUE_URL": f"{QUEUES}/notices",
        "CHAT_VERIFICATION_SECRET_ARN": VERIFICATION,
        "CHAT_SIGNING_SECRET_ARN": SIGNING,
        "CHAT_TENANTS": f"slack:{TEAM}",
        "CHAT_CONVERSATIONS": f"slack:{TEAM}/{CHANNEL}",
        "CHAT_REQUESTERS": "*",
    }
    function = Function(os.environ["INTAKE"], environment, tmp_path_factory.mktemp("intake"))
    yield function
    function.stop()
    print(function.log())


@pytest.fixture
def post(intake, aws):
    """Posts a body as a function URL does. Returns the status, and the messages that the intake put into the queue."""
    aws.calls.clear()

    def post(body, headers, is_base64=False):
        before = len(aws.calls)
        event = {
            "version": "2.0",
            "rawPath": "/chat/slack",
            "headers": {"content-type": "application/x-www-form-urlencoded", **headers},
            "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(time.time() * 1000)},
            "body": base64.b64encode(body.encode()).decode() if is_base64 else body,
            "isBase64Encoded": is_base64,
        }
        _, response = intake.invoke(event)
        assert {operation for operation, _ in aws.calls} <= {"SendMessageBatch"}
        sent = [json.loads(entry["MessageBody"]) for _, call in aws.calls[before:] for entry in call["Entries"]]
        return response["statusCode"], sent

    return post


def command(text=TEXT, **fields):
    """The body of a slash command. Slack encodes everything that is not ASCII."""
    return urlencode(
        {
            "team_id": TEAM,
            "channel_id": CHANNEL,
            "channel_name": "运维",
            "user_id": REQUESTER,
            "user_name": "李雷",
            "command": "/privatelink",
            "text": text,
            "trigger_id": f"{time.time_ns()}.1.a",
            **fields,
        }
    )


def sign(body, secret=SIGNING_SECRET, age=0):
    """The headers with which Slack's SDK signs a body, `age` seconds ago."""
    timestamp = str(int(time.time()) - age)
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    return {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}


def is_preview(sent):
    found = [(each["endpoint_id"], each["dry_run"], each["expect_attached"]) for each in sent]
    return found == [("ep-shop", True, True)]


@pytest.mark.parametrize("secret", [SIGNING_SECRET, OLD_SECRET])
@pytest.mark.parametrize("age", [0, 200])
def test_signed_command_becomes_a_dry_run(post, secret, age):
    body = command()
    status, sent = post(body, sign(body, secret, age))
    assert status == 200 and is_preview(sent), sent


@pytest.mark.parametrize("is_base64", [False, True])
def test_body_that_is_not_ascii_is_verified_as_its_bytes(post, is_base64):
    for body in (command(f"{TEXT} ticket=CHG7", user_name="韩梅梅"), command() + "&user_name2=韩梅梅 😀"):
        status, sent = post(body, sign(body), is_base64)
        assert status == 200 and is_preview(sent), sent


@pytest.mark.parametrize(
    "headers",
    [
        lambda body: sign(body, "b" * 32),
        lambda body: sign(body, age=250),
        lambda body: sign(body, age=-60),
        lambda body: sign(f"{body}&"),
        lambda body: sign(body.replace("ep-shop", "ep-cart")),
        lambda body: {**sign(body), "x-slack-request-timestamp": str(int(time.time()) - 5)},
        lambda body: {**sign(body), "x-slack-signature": sign(body)["x-slack-signature"].upper()},
        lambda body: {name: value for name, value in sign(body).items() if "timestamp" not in name},
        lambda body: {},
    ],
    ids=["other-secret", "old", "early", "longer", "changed", "timestamp", "upper-case", "no-timestamp", "unsigned"],
)
def test_other_signature_is_refused(post, headers):
    body = command()
    assert post(body, headers(body)) == (401, [])
