"""DingTalk's calls to an app, signed with Python's `hmac` as its documentation does it. No signature covers a body."""

import base64
import hashlib
import hmac
import json
import os
import time

# The default workspace of the simulator.
TENANT, CONVERSATION = "dingd8e1123006514592", "cidKSrzmSb4xkWUZbz4xKbRcg=="
REQUESTER, APPROVER = "manager4220", "0123456789"
APP_KEY = ROBOT = "dingue4kfzdxbyn0pjqd"
APP_SECRET = "GT-local-chat-4f1c2d3b4a596877a1b2c3d4e5f60718293a4b5c6d7e8f90"
CARD_TEMPLATE = "8f250f96-da0f-4c9f-8302-740fa0ced1f5.schema"
CARD_SECRET = "local-chat-card-secret-5b688f1d"


def milliseconds(age=0):
    return int((time.time() - age) * 1000)


def message(text, age=0, person=REQUESTER, conversation=CONVERSATION, tenant=TENANT, **fields):
    """A message that mentions the robot, sent `age` seconds ago. A field that is None is left out."""
    content = {
        "conversationId": conversation,
        "atUsers": [{"dingtalkId": "$:LWCP_v1:$dcd233dc9801cb42e0c2d146"}],
        "chatbotCorpId": tenant,
        "chatbotUserId": "$:LWCP_v1:$dcd233dc9801cb42e0c2d146",
        "msgId": f"msg{base64.b64encode(os.urandom(12)).decode()}",
        "senderNick": "李雷 **[点我](https://example.invalid)**",
        "isAdmin": False,
        "senderStaffId": person,
        "sessionWebhookExpiredTime": milliseconds(age - 5400),
        "createAt": milliseconds(age),
        "senderCorpId": tenant,
        "conversationType": "2",
        "senderId": "$:LWCP_v1:$fd0a5658adb62464bc91cdbb",
        "conversationTitle": "网络变更群",
        "isInAtList": True,
        "sessionWebhook": "https://oapi.dingtalk.invalid/robot/sendBySession?session=060d90b0c7d2c9af",
        "text": {"content": f" {text}"},
        "robotCode": ROBOT,
        "msgtype": "text",
        **fields,
    }
    return {name: value for name, value in content.items() if value is not None}


def click(value, action="approve", person=REQUESTER, tenant=TENANT, track_id="dingtalk-0123456789abcdef01234567"):
    """A click on a card whose signed value is `value`: a parameter of a card is at most 1 KB, so it is cut in two."""
    params = {"request_1": value[:1000], "request_2": value[1000:]}
    content = {"cardPrivateData": {"actionIds": [action], "params": params}}
    return {
        "type": "actionCallback",
        "outTrackId": track_id,
        "corpId": tenant,
        "userId": person,
        "content": json.dumps(content, ensure_ascii=False),
    }


def signature(key, text):
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def sign_message(secret=APP_SECRET, age=0):
    """The headers of a message that DingTalk sends `age` seconds ago."""
    timestamp = str(milliseconds(age))
    return {"timestamp": timestamp, "sign": signature(secret, f"{timestamp}\n{secret}")}


def sign_click(secret=CARD_SECRET, age=0, unit=1000):
    """The headers of a click that DingTalk sends `age` seconds ago, with its time in milliseconds or in seconds."""
    timestamp = str(int((time.time() - age) * unit))
    return {"x-ddpaas-signature-timestamp": timestamp, "x-ddpaas-signature": signature(secret, timestamp)}
