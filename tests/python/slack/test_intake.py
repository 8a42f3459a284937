"""The intake accepts the requests that Slack's SDK signs, and no others."""

import time
from urllib.parse import urlencode

import pytest
from slack_sdk.signature import SignatureVerifier

from shared.chat_intake import ChatIntake, is_dry_run
from shared.local_chat import CHANNEL, REQUESTER, SIGNING_SECRET, TEAM

OLD_SECRET = "a" * 32
TEXT = "detach sg-old ep-shop eu-west-1"


@pytest.fixture(scope="module")
def intake(tmp_path_factory):
    # The newest first, as during a rotation.
    secrets = {"signing_secrets": [SIGNING_SECRET, OLD_SECRET]}
    intake = ChatIntake("slack", secrets, TEAM, CHANNEL, tmp_path_factory.mktemp("intake"))
    yield intake
    intake.stop()


@pytest.fixture
def post(intake):
    """Posts a body. Returns the status, and the requests that the intake put into the queue."""

    def post(body, headers, is_base64=False):
        form = {"content-type": "application/x-www-form-urlencoded"}
        posted = intake.post(body, {**form, **headers}, is_base64)
        # Slack shows the response.
        assert posted.notices == 0
        return posted.status, posted.requests

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


@pytest.mark.parametrize("secret", [SIGNING_SECRET, OLD_SECRET])
@pytest.mark.parametrize("age", [0, 200])
def test_signed_command_becomes_a_dry_run(post, secret, age):
    body = command()
    status, sent = post(body, sign(body, secret, age))
    assert status == 200 and is_dry_run(sent, "ep-shop"), sent


@pytest.mark.parametrize("is_base64", [False, True])
def test_body_that_is_not_ascii_is_verified_as_its_bytes(post, is_base64):
    for body in (command(f"{TEXT} ticket=CHG7", user_name="韩梅梅"), command() + "&user_name2=韩梅梅 😀"):
        status, sent = post(body, sign(body), is_base64)
        assert status == 200 and is_dry_run(sent, "ep-shop"), sent


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
