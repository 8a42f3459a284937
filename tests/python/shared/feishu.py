"""Feishu's calls to an app, made as its documentation describes: signed, and encrypted with AES-256-CBC."""

import base64
import hashlib
import json
import os
import time

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

# The default workspace of the simulator.
TENANT, CONVERSATION = "2ed263bf32cf1651", "oc_5ad11d72b830411d72b836c20f9b4e17"
REQUESTER, APPROVER = "ou_7d8a6e6df7621556ce0d21922b676706", "ou_c99c5f35d542efc7ee492afe11af19ef"
APP, APP_SECRET = "cli_9f5343c580712544", "dskLLdkasdjlasdKKe5VwDPmbQUqz6Fv"
ENCRYPT_KEY, VERIFICATION_TOKEN = "9ffbc6f03c9157079cf8f526729114a7", "v2JX7qcRmYbHd0TnLw3sKzEoUaG5fP81"

TIMESTAMP, NONCE, SIGNATURE = (f"X-Lark-{name}" for name in ("Request-Timestamp", "Request-Nonce", "Signature"))


def milliseconds(age=0):
    return str(int((time.time() - age) * 1000))


def event(event_type, content, token=VERIFICATION_TOKEN, tenant=TENANT):
    header = {
        "event_id": os.urandom(16).hex(),
        "event_type": event_type,
        "create_time": milliseconds(),
        "token": token,
        "app_id": APP,
        "tenant_key": tenant,
    }
    return {"schema": "2.0", "header": header, "event": content}


def message(text, age=0, person=REQUESTER, conversation=CONVERSATION, tenant=TENANT, **fields):
    """A message that mentions the bot, sent `age` seconds ago. `fields` change the message."""
    ids = {"open_id": person, "union_id": "on_8ed6aa67826108097d9ee143816345", "user_id": "e33ggbyz"}
    bot = {"open_id": "ou_b0700000000000000000000000000000", "union_id": "on_b07", "user_id": ""}
    return event(
        "im.message.receive_v1",
        {
            "sender": {"sender_id": ids, "sender_type": "user", "tenant_key": tenant},
            "message": {
                "message_id": f"om_{os.urandom(16).hex()}",
                "create_time": milliseconds(age),
                "update_time": milliseconds(age),
                "chat_id": conversation,
                "chat_type": "group",
                "message_type": "text",
                "content": json.dumps({"text": f"@_user_1 {text}"}, ensure_ascii=False),
                "mentions": [{"key": "@_user_1", "id": bot, "name": "移除机器人", "tenant_key": tenant}],
                **fields,
            },
        },
        tenant=tenant,
    )


def click(value, action="approve", person=REQUESTER, conversation=CONVERSATION, tenant=TENANT):
    """A click on a button whose signed value is `value`."""
    return event(
        "card.action.trigger",
        {
            "operator": {"tenant_key": tenant, "open_id": person, "union_id": "on_8ed6aa67826108097d9ee143816345"},
            "token": "c-295ee57216a5dc9de90fefd0aadb4b1d7d9c2dd4",
            "action": {"value": {"action": action, "request": value}, "tag": "button"},
            "host": "im_message",
            "context": {"open_message_id": f"om_{os.urandom(16).hex()}", "open_chat_id": conversation},
        },
        tenant=tenant,
    )


def encrypt(content, key=ENCRYPT_KEY, padded=lambda data: pad(data, AES.block_size)):
    """The initialization vector and the ciphertext of an object."""
    data = padded(json.dumps(content, ensure_ascii=False).encode())
    start = os.urandom(AES.block_size)
    return start + AES.new(hashlib.sha256(key.encode()).digest(), AES.MODE_CBC, start).encrypt(data)


def body_of(content, key=ENCRYPT_KEY):
    return json.dumps({"encrypt": base64.b64encode(encrypt(content, key)).decode()})


def sign(body, key=ENCRYPT_KEY, age=0):
    """The headers of a body that Feishu sends `age` seconds ago."""
    timestamp, nonce = str(int(time.time()) - age), os.urandom(6).hex()
    signature = hashlib.sha256((timestamp + nonce + key + body).encode()).hexdigest()
    return {TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature}
