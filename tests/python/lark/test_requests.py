"""Feishu's SDK verifies and decrypts the messages and clicks that the simulated Feishu sends, and no changed ones."""

import json

import pytest

from shared.feishu import (
    APP,
    APPROVER,
    CONVERSATION,
    ENCRYPT_KEY,
    NONCE,
    REQUESTER,
    TENANT,
    TIMESTAMP,
    VERIFICATION_TOKEN,
)

TEXT = "移除 sg-old ep-shop eu-west-1 ticket=变更-7"
VALUE = {"action": "approve", "request": "值 & <x>"}


@pytest.fixture
def sdk(sdk_of):
    return sdk_of(ENCRYPT_KEY, VERIFICATION_TOKEN)


@pytest.fixture
def signed_click(chat, post_card):
    message_id = post_card(VALUE)
    return message_id, chat.click("approve", APPROVER, chat=CONVERSATION, message_id=message_id, send=False)


@pytest.fixture(params=["command", "click"])
def signed(request, chat):
    """The headers and the body of a request to the app."""
    if request.param == "command":
        return chat.command(TEXT, REQUESTER, chat=CONVERSATION, send=False)
    return request.getfixturevalue("signed_click")[1]


def test_sdk_verifies_what_the_simulated_feishu_signs(sdk_of, sdk, signed):
    headers, body = {name.lower(): value for name, value in signed["headers"].items()}, signed["body"]
    assert list(json.loads(body)) == ["encrypt"]
    assert sdk.accepts(body, headers)
    assert len(sdk.received) == 1

    assert not sdk_of("f" * 32, VERIFICATION_TOKEN).accepts(body, headers)
    assert not sdk_of(ENCRYPT_KEY, "another").accepts(body, headers)
    assert not sdk.accepts(f"{body} ", headers)
    for name in (TIMESTAMP, NONCE):
        value = headers[name.lower()]
        other = value[:-1] + ("0" if value[-1] != "0" else "1")
        assert not sdk.accepts(body, {**headers, name.lower(): other})
    assert len(sdk.received) == 1


def test_sdk_reads_a_message(sdk, chat):
    request = chat.command(TEXT, REQUESTER, chat=CONVERSATION, send=False)
    assert sdk.accepts(request["body"], request["headers"])
    [received] = sdk.received
    assert (received.header.event_type, received.header.tenant_key, received.header.app_id) == (
        "im.message.receive_v1",
        TENANT,
        APP,
    )
    sender, message = received.event.sender, received.event.message
    assert (sender.sender_type, sender.sender_id.open_id) == ("user", REQUESTER)
    assert (message.chat_id, message.chat_type, message.message_type) == (CONVERSATION, "group", "text")
    [mention] = message.mentions
    assert json.loads(message.content)["text"] == f"{mention.key} {TEXT}"
    assert message.message_id in [each["message_id"] for each in chat.messages(CONVERSATION)]


def test_sdk_reads_a_click(sdk, signed_click):
    message_id, request = signed_click
    assert sdk.accepts(request["body"], request["headers"])
    [received] = sdk.received
    assert received.event.action.value == VALUE
    assert (received.event.operator.open_id, received.event.operator.tenant_key) == (APPROVER, TENANT)
    assert (received.event.context.open_message_id, received.event.context.open_chat_id) == (
        message_id,
        CONVERSATION,
    )
