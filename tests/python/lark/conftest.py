"""Fixtures for Feishu's official Python package against the simulated Feishu and the release program of the intake.

The environment variables RIE, INTAKE and LOCAL_CHAT are the paths of the binaries.
"""

import json
import os

import pytest
from lark_oapi import Client, EventDispatcherHandler
from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody
from lark_oapi.core.cache import LocalCache
from lark_oapi.core.model import RawRequest
from lark_oapi.core.token import TokenManager
from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse

from shared.feishu import APP, APP_SECRET, CONVERSATION, NONCE, SIGNATURE, TIMESTAMP
from shared.local_chat import LocalChat

NAMES = {name.lower(): name for name in (TIMESTAMP, NONCE, SIGNATURE)}


@pytest.fixture(scope="session")
def chat(tmp_path_factory):
    chat = LocalChat(os.environ["LOCAL_CHAT"], tmp_path_factory.mktemp("local-chat"), "feishu")
    yield chat
    chat.stop()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Removes the variables in which the package finds proxies and credentials."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("LARK_", "FEISHU_")):
            monkeypatch.delenv(name)


class Sdk:
    """The package's handler of events and callbacks. It checks no age of a timestamp."""

    def __init__(self, encrypt_key, verification_token):
        self.received = []
        builder = EventDispatcherHandler.builder(encrypt_key, verification_token)
        builder.register_p2_im_message_receive_v1(self.received.append)
        builder.register_p2_card_action_trigger(self.on_click)
        self.handler = builder.build()

    def on_click(self, click):
        self.received.append(click)
        return P2CardActionTriggerResponse({"toast": {"type": "success", "content": "已批准"}})

    def accepts(self, body, headers):
        return self.handle(body, headers).status_code == 200

    def handle(self, body, headers):
        request = RawRequest()
        request.uri = "/chat/feishu"
        # A Python web framework gives it the headers in this form.
        request.headers = {NAMES.get(name.lower(), name): value for name, value in headers.items()}
        request.body = body.encode()
        return self.handler.do(request)


@pytest.fixture
def sdk_of():
    """The package with the secrets of an app."""
    return Sdk


@pytest.fixture
def client_of(chat, monkeypatch):
    """A client of the simulated API with the secret of an app, and without a token."""
    # All clients share the tokens.
    monkeypatch.setattr(TokenManager, "cache", LocalCache())

    def client_of(secret):
        return Client.builder().app_id(APP).app_secret(secret).domain(chat.url).build()

    yield client_of
    chat.clear_faults()


@pytest.fixture
def client(client_of):
    return client_of(APP_SECRET)


@pytest.fixture
def card_of():
    """A card with a button for each value."""

    def card_of(*values):
        text = {"tag": "markdown", "content": "**审批**"}
        buttons = [
            {
                "tag": "button",
                "text": {"tag": "plain_text", "content": "批准"},
                "behaviors": [{"type": "callback", "value": value}],
            }
            for value in values
        ]
        return {"schema": "2.0", "config": {"update_multi": True}, "body": {"elements": [text, *buttons]}}

    return card_of


@pytest.fixture
def post_card(client, card_of):
    """Posts a card with a button for each value, and returns the id of the message."""

    def post_card(*values):
        body = CreateMessageRequestBody.builder().receive_id(CONVERSATION).msg_type("interactive")
        body = body.content(json.dumps(card_of(*values))).build()
        request = CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body).build()
        response = client.im.v1.message.create(request)
        assert response.success(), (response.code, response.msg)
        return response.data.message_id

    return post_card
