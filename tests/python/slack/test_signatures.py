"""Slack's SDK and Bolt accept the commands and clicks that the simulated Slack signs, and no others."""

from urllib.parse import parse_qs

import pytest
from slack_bolt import App, BoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import Clock, SignatureVerifier

from shared.local_chat import APPROVER, BOT_TOKEN, CHANNEL, REQUESTER, SIGNING_SECRET, TEAM

TEXT = "移除 sg-old ep-shop eu-west-1 ticket=变更-7"
BUTTON = {"type": "button", "text": {"type": "plain_text", "text": "批准"}, "action_id": "approve", "value": "值 & <x>"}
SIGNATURE, TIMESTAMP = "x-slack-signature", "x-slack-request-timestamp"


class At(Clock):
    def __init__(self, seconds):
        self.seconds = seconds

    def now(self):
        return self.seconds


@pytest.fixture(params=["command", "click"])
def signed(request, chat, client):
    """The headers and the body of a request to the app."""
    if request.param == "command":
        return chat.command(TEXT, send=False)
    blocks = [{"type": "actions", "elements": [BUTTON]}]
    ts = client.chat_postMessage(channel=CHANNEL, text="审批", blocks=blocks)["ts"]
    return chat.click("approve", APPROVER, ts=ts, send=False)


def test_sdk_verifies_what_the_simulated_slack_signs(signed):
    headers, body = signed["headers"], signed["body"]
    verifier = SignatureVerifier(SIGNING_SECRET)
    assert verifier.is_valid_request(body, headers)
    assert verifier.is_valid_request(body.encode(), headers)

    assert not SignatureVerifier("f" * 32).is_valid_request(body, headers)
    assert not verifier.is_valid_request(f"{body}&", headers)
    assert not verifier.is_valid_request(body.replace("eu-west-1", "us-west-1").replace("approve", "decline"), headers)
    sent_at = int(headers[TIMESTAMP])
    assert not verifier.is_valid_request(body, {**headers, TIMESTAMP: str(sent_at + 1)})
    assert SignatureVerifier(SIGNING_SECRET, At(sent_at + 300)).is_valid_request(body, headers)
    assert not SignatureVerifier(SIGNING_SECRET, At(sent_at + 301)).is_valid_request(body, headers)


@pytest.fixture
def received():
    """The payloads that the listeners of the Bolt app received."""
    return []


@pytest.fixture
def app(received):
    def authorize(team_id, enterprise_id):
        # Bolt's own would call `auth.test`.
        return AuthorizeResult(team_id=team_id, enterprise_id=enterprise_id, bot_token=BOT_TOKEN)

    app = App(
        signing_secret=SIGNING_SECRET,
        authorize=authorize,
        process_before_response=True,
        token_verification_enabled=False,
    )

    @app.command("/privatelink")
    def command(ack, payload):
        ack()
        received.append(payload)

    @app.action("approve")
    def approve(ack, body):
        ack()
        received.append(body)

    return app


def dispatch(app, request):
    headers = {name: [value] for name, value in request["headers"].items()}
    return app.dispatch(BoltRequest(body=request["body"], headers=headers)).status


def test_bolt_dispatches_a_command(app, received, chat):
    request = chat.command(TEXT, send=False)
    assert dispatch(app, request) == 200
    [payload] = received
    assert payload == {name: value for name, [value] in parse_qs(request["body"]).items()}
    names = ("team_id", "channel_id", "user_id", "command", "text")
    assert [payload[name] for name in names] == [TEAM, CHANNEL, REQUESTER, "/privatelink", TEXT]


def test_bolt_dispatches_a_click(app, received, chat, client):
    blocks = [{"type": "actions", "block_id": "buttons", "elements": [BUTTON]}]
    ts = client.chat_postMessage(channel=CHANNEL, text="审批", blocks=blocks)["ts"]
    assert dispatch(app, chat.click("approve", APPROVER, ts=ts, send=False)) == 200
    [body] = received
    assert (body["team"]["id"], body["user"]["id"], body["channel"]["id"]) == (TEAM, APPROVER, CHANNEL)
    assert (body["container"]["message_ts"], body["message"]["ts"]) == (ts, ts)
    [action] = body["actions"]
    assert (action["block_id"], action["value"]) == ("buttons", BUTTON["value"])
    assert action["text"]["text"] == BUTTON["text"]["text"]


def test_bolt_refuses_a_changed_request(app, received, signed):
    headers, body = signed["headers"], signed["body"]
    changed = [
        {"headers": headers, "body": f"{body}&"},
        {"headers": {**headers, TIMESTAMP: str(int(headers[TIMESTAMP]) + 1)}, "body": body},
        {"headers": {**headers, SIGNATURE: "v0=" + "0" * 64}, "body": body},
    ]
    assert [dispatch(app, each) for each in changed] == [401, 401, 401]
    assert received == []
