"""Slack's SDK calls the simulated Web API: messages, updates and errors as the real one has them."""

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, SectionBlock

from shared.local_chat import BYSTANDER, CHANNEL


def blocks(text):
    buttons = [ButtonElement(text="批准", action_id="approve", value="v", style="primary")]
    return [SectionBlock(text=text), ActionsBlock(elements=buttons)]


def found(chat, ts):
    [message] = [each for each in chat.messages() if each["ts"] == ts]
    return message


def test_message_is_posted_answered_and_updated(client, chat):
    posted = client.chat_postMessage(channel=CHANNEL, text="审批 😀", blocks=blocks("*审批* <@U0REQUESTER>"))
    assert posted["ok"] and posted["channel"] == CHANNEL
    ts = posted["ts"]
    assert [button["text"] for button in found(chat, ts)["buttons"]] == ["批准"]

    reply = client.chat_postMessage(channel=CHANNEL, text="confirmed", thread_ts=ts)
    assert found(chat, reply["ts"])["thread_ts"] == ts

    updated = client.chat_update(channel=CHANNEL, ts=ts, text="approved", blocks=[SectionBlock(text="approved")])
    assert (updated["ok"], updated["ts"]) == (True, ts)
    message = found(chat, ts)
    assert (message["text"], message["buttons"]) == ("approved", []) and message["edited"]


def test_ephemeral_message_has_one_reader(client, chat):
    sent = client.chat_postEphemeral(channel=CHANNEL, user=BYSTANDER, text="only you")
    assert found(chat, sent["message_ts"])["visible_to"] == BYSTANDER


@pytest.mark.parametrize(
    "method, arguments, code",
    [
        ("chat_postMessage", {"channel": "C0NOTHERE", "text": "x"}, "channel_not_found"),
        ("chat_postMessage", {"channel": "C0WITHOUTAPP", "text": "x"}, "not_in_channel"),
        ("chat_postMessage", {"channel": "C0ARCHIVED", "text": "x"}, "is_archived"),
        ("chat_postMessage", {"channel": CHANNEL, "blocks": [{"type": "sektion"}], "text": "x"}, "invalid_blocks"),
        ("chat_update", {"channel": CHANNEL, "ts": "1.000001", "text": "x"}, "message_not_found"),
        ("chat_postEphemeral", {"channel": CHANNEL, "user": "U0NOTHERE", "text": "x"}, "user_not_in_channel"),
    ],
)
def test_refused_call_is_an_error_of_the_sdk(client, chat, method, arguments, code):
    chat.set_channel(id="C0WITHOUTAPP", app=False)
    chat.set_channel(id="C0ARCHIVED", app=True, archived=True)
    with pytest.raises(SlackApiError) as raised:
        getattr(client, method)(**arguments)
    assert (raised.value.response.status_code, raised.value.response["error"]) == (200, code)


def test_wrong_token_is_an_error_of_the_sdk(chat):
    other = WebClient("xoxb-other", base_url=f"{chat.url}/api/", retry_handlers=[])
    with pytest.raises(SlackApiError) as raised:
        other.chat_postMessage(channel=CHANNEL, text="x")
    assert raised.value.response["error"] == "invalid_auth"


def test_rate_limit_names_the_wait_that_the_sdk_honors(client, chat):
    limited = {"method": "chat.postMessage", "status": 429, "headers": {"retry-after": "1"}}
    body = '{"ok": false, "error": "ratelimited"}'
    chat.plan_fault(**limited, body=body)
    with pytest.raises(SlackApiError) as raised:
        client.chat_postMessage(channel=CHANNEL, text="x")
    response = raised.value.response
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert {name.lower(): value for name, value in response.headers.items()}["retry-after"] == "1"

    chat.plan_fault(**limited, body=body)
    client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
    before = len(chat.journal())
    assert client.chat_postMessage(channel=CHANNEL, text="again")["ok"]
    first, second = chat.journal()[before:]
    assert second["at_ms"] - first["at_ms"] >= 1000
