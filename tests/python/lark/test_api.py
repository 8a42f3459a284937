"""Feishu's SDK calls the simulated API: tokens, messages, replies, cards and errors as the real one has them."""

import json
import uuid

import pytest
from lark_oapi.api.im.v1 import (
    CreateMessageRequest,
    CreateMessageRequestBody,
    PatchMessageRequest,
    PatchMessageRequestBody,
    ReplyMessageRequest,
    ReplyMessageRequestBody,
)
from lark_oapi.core.exception import ObtainAccessTokenException

from shared.feishu import CONVERSATION

WITHOUT_APP = f"oc_{'0' * 32}"


def create(client, text, chat=CONVERSATION, key=None):
    body = CreateMessageRequestBody.builder().receive_id(chat).msg_type("text").content(json.dumps({"text": text}))
    if key:
        body = body.uuid(key)
    request = CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build()
    return client.im.v1.message.create(request)


def reply(client, message_id, text, in_thread=False):
    body = ReplyMessageRequestBody.builder().msg_type("text").content(json.dumps({"text": text}))
    body = body.reply_in_thread(in_thread).build()
    request = ReplyMessageRequest.builder().message_id(message_id).request_body(body).build()
    return client.im.v1.message.reply(request)


def patch(client, message_id, card):
    body = PatchMessageRequestBody.builder().content(json.dumps(card)).build()
    request = PatchMessageRequest.builder().message_id(message_id).request_body(body).build()
    return client.im.v1.message.patch(request)


def found(chat, message_id):
    [message] = [each for each in chat.messages(CONVERSATION) if each["message_id"] == message_id]
    return message


def test_message_and_replies_are_posted(client, chat):
    posted = create(client, "审批 😀 @_all")
    assert posted.success(), (posted.code, posted.msg)
    assert (posted.data.chat_id, posted.data.msg_type) == (CONVERSATION, "text")
    assert found(chat, posted.data.message_id)["author"] == "app"

    for in_thread in (False, True):
        replied = reply(client, posted.data.message_id, "已确认", in_thread)
        assert replied.success(), (replied.code, replied.msg)
        assert replied.data.parent_id == replied.data.root_id == posted.data.message_id
        assert bool(replied.data.thread_id) == in_thread
        assert found(chat, replied.data.message_id)["parent_id"] == posted.data.message_id


def test_repeated_uuid_is_one_message(client, chat):
    key = str(uuid.uuid4())
    first, second = (create(client, "once", key=key) for _ in range(2))
    assert first.success() and second.success()
    assert first.data.message_id == second.data.message_id
    assert not create(client, "too long", key="k" * 51).success()


def test_card_is_changed(client, chat, card_of, post_card):
    message_id = post_card({"action": "approve", "request": "v"})
    assert [button["text"] for button in found(chat, message_id)["buttons"]] == ["批准"]

    card = card_of()
    changed = patch(client, message_id, card)
    assert changed.success(), (changed.code, changed.msg)
    message = found(chat, message_id)
    assert message["buttons"] == [] and message["edited"]


@pytest.mark.parametrize(
    "call, code",
    [
        (lambda client: create(client, "x", WITHOUT_APP), 230002),
        (lambda client: reply(client, f"om_{'0' * 32}", "x"), None),
        (lambda client: patch(client, f"om_{'0' * 32}", {"schema": "2.0"}), None),
    ],
    ids=["group-without-app", "missing-message", "missing-card"],
)
def test_refused_call_is_an_error_of_the_sdk(client, chat, call, code):
    chat.control("POST", "chats", id=WITHOUT_APP, name="other", app=False)
    response = call(client)
    assert not response.success()
    assert response.code == code or code is None, (response.code, response.msg)


def test_wrong_secret_gets_no_token(client_of):
    with pytest.raises(ObtainAccessTokenException) as raised:
        create(client_of(secret="w" * 32), "x")
    assert raised.value.code == 10014


def test_token_that_is_no_longer_valid_is_refused(client, chat):
    assert create(client, "before").success()
    chat.control("POST", "expire-tokens")
    # The SDK keeps its token for the documented time.
    assert create(client, "after").code == 99991663
