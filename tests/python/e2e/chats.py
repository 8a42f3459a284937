"""The chat platforms as the tests use them: what people do and see there, for one common scenario.

Each driver has the ids of its simulated workspace, makes commands of its own with other signatures and ages, and turns
what the simulator shows into `Message`s.
"""

import json
import os
import re
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from slack_sdk.models.blocks import Block
from slack_sdk.signature import SignatureVerifier

from shared import dingtalk, feishu, local_chat
from shared.processes import call, eventually

BUTTONS = ["approve", "decline"]
# A command of this age is not carried out. The queue recognizes repetitions for a little longer.
TOO_OLD_SECONDS = 250


@dataclass
class Message:
    """A message as people see it."""

    id: str | None
    # Without markup.
    text: str
    # The actions of its buttons.
    buttons: list
    # The message that it replies to.
    reply_to: str | None = None
    # The only person who sees it.
    visible_to: str | None = None
    is_of_app: bool = True

    def lines(self, *labels):
        """The values of the labeled lines."""
        return [re.search(rf"^{label}: ?(.*)$", self.text, re.MULTILINE)[1] for label in labels]


class Chat:
    """What the platforms have in common."""

    # The platform's name in the lists and in request ids.
    name: str
    # The output of the stack with its URL.
    output: str
    # What the simulator calls a group, and the id of a message.
    place: str
    id_name: str
    tenant: str
    group: str
    # Allowed, but the app is not a member.
    group_without_app: str
    # Allowed, but the messenger has no credentials for it.
    other_tenant: str
    requester: str
    approver: str
    # What a notice for the group without the app fails with.
    not_in_group: str
    # Commands that are too old, as arguments of `signed`, and the status of the response.
    old_commands: list
    # The number of messages to the messenger about a command before its dry run.
    answers: int = 1

    def __init__(self, program, folder):
        self.simulator = self.start(program, folder)
        # A group to which only people have been added.
        members = [self.requester, self.approver]
        group = {"id": self.group_without_app, "name": "other", "members": members, "app": False}
        self.simulator.control("POST", f"{self.place}s", **group)
        self.url = self.simulator.url
        self.stack = None

    def start(self, program, folder):
        return local_chat.LocalChat(program, folder, self.name)

    def stop(self):
        self.simulator.stop()

    # ---- The stack's configuration

    def tenants(self):
        return [f"{self.name}:{tenant}" for tenant in (self.tenant, self.other_tenant)]

    def groups(self):
        groups = (self.group, self.group_without_app)
        return [f"{self.tenants()[0]}/{group}" for group in groups] + [f"{self.tenants()[1]}/{self.group}"]

    def person(self, user):
        return f"{self.name}:{self.tenant}/{user}"

    # ---- What people do

    def request(self, words, user=None):
        """Types a command. Returns the id of the request that the app names in its answer."""
        before = len(self.messages())
        place, url = {self.place: self.group}, self.stack.chat_url(self.output)
        response = self.simulator.command(words, user or self.requester, **place, url=url)
        assert response["status"] == 200, response
        return self.id_in(self.answer(response, before))

    def id_in(self, text):
        return re.search(rf"{self.name}-[0-9a-f]{{24}}", text)[0]

    def answer(self, response, before):
        """The first message of the app after a command: its answer, or already the result of its dry run."""
        assert json.loads(response["body"]) == {}, response

        def of_app():
            return [each for each in self.messages()[before:] if each.is_of_app]

        return eventually(of_app, "the answer")[0].text

    def click(self, action, user, message):
        """Clicks a button of a message. Returns the body of the response."""
        url = self.stack.chat_url(self.output)
        response = self.simulator.click(action, user, **self.which(message), url=url)
        assert response["status"] == 200, response
        return response["body"]

    def signed_click(self, action, user, message):
        """The body and the headers of a click that is not sent."""
        request = self.simulator.click(action, user, **self.which(message), send=False)
        return request["body"], request["headers"]

    def which(self, message):
        """The parameters of a click that name the message."""
        return {self.place: self.group, self.id_name: message.id}

    def post(self, body, headers):
        """Sends a call to the app. Returns the status of the response."""
        status, _, _ = self.stack.post(body.encode(), headers, f"chat/{self.name}")
        return status

    # ---- What people see

    def messages(self, group=None):
        return [self.message(each) for each in self.simulator.messages(group or self.group)]

    def conversation(self):
        return self.simulator.conversation(self.group)

    def wait_for(self, check, what):
        try:
            return eventually(lambda: next(filter(check, self.messages()), None), what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.conversation()}") from error

    def approval_request(self, request_id):
        """Waits for the message with the buttons."""
        message = self.wait_for(
            lambda each: f"{request_id}.preview" in each.text and each.buttons, "the approval request"
        )
        assert message.buttons == BUTTONS and message.is_of_app and message.visible_to is None
        return message

    def changed(self, message, title):
        """Waits until the app has changed a message so that it begins with a title and has no buttons."""
        found = self.wait_for(
            lambda each: each.id == message.id and each.text.startswith(title), f"the change to {title}"
        )
        assert found.buttons == []
        return found

    def outcomes(self, message):
        """The outcomes of the request whose approval request is `message`."""
        return [each for each in self.messages() if each.reply_to == message.id]

    def posts(self):
        """All calls that the app made."""
        return self.simulator.journal()

    def check(self, posts):
        """Checks calls beyond what the simulator does."""

    def outcome(self, message):
        """Waits for the outcome, which must be the only one."""
        eventually(lambda: self.outcomes(message), "the outcome")
        [found] = self.outcomes(message)
        assert (found.visible_to, found.buttons) == (None, [])
        return found


def without_markup(text):
    return re.sub(r"[*`]", "", text)


class Slack(Chat):
    name, output = "slack", "SlackUrl"
    place, id_name = "channel", "ts"
    tenant, group = local_chat.TEAM, local_chat.CHANNEL
    group_without_app, other_tenant = "C0WITHOUTAPP", "T0WITHOUTTOKEN"
    requester, approver = local_chat.REQUESTER, local_chat.APPROVER
    not_in_group = "not_in_channel"
    old_commands = [({"age": TOO_OLD_SECONDS}, 401)]
    # Slack shows the response.
    answers = 0

    verification = {"signing_secrets": [local_chat.SIGNING_SECRET]}
    tokens = {"bot_tokens": {tenant: local_chat.BOT_TOKEN}}
    wrong_tokens = {"bot_tokens": {tenant: "xoxb-wrong"}}

    def start(self, program, folder):
        return local_chat.LocalSlack(program, folder)

    def signed(self, words, age=0, secret=None, tenant=None, group=None):
        """The body and the headers of a command, signed `age` seconds ago."""
        fields = {
            "team_id": tenant or self.tenant,
            "channel_id": group or self.group,
            "user_id": self.requester,
            "command": "/privatelink",
            "text": words,
            "trigger_id": f"{time.time_ns()}.1.a",
        }
        body, timestamp = urlencode(fields), str(int(time.time()) - age)
        verifier = SignatureVerifier(secret or local_chat.SIGNING_SECRET)
        signature = verifier.generate_signature(timestamp=timestamp, body=body)
        return body, {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": timestamp,
            "x-slack-signature": signature,
        }

    def answer(self, response, before):
        return response["body"]

    def message(self, shown):
        return Message(
            id=shown["ts"],
            text=without_markup(shown["shown"]),
            buttons=[button["action_id"] for button in shown["buttons"]],
            reply_to=shown["thread_ts"],
            visible_to=shown["visible_to"],
            is_of_app=shown["author"] == "app",
        )

    def mention(self, user):
        return f"@{user}"

    def told(self, response, user, message):
        """What a person alone is told after a click."""
        assert response == ""
        return self.wait_for(
            lambda each: each.visible_to == user and each.id > message.id, "the message to the person"
        ).text

    def post_buttons(self, value):
        """Posts a message with buttons as the app does."""
        buttons = [
            {
                "type": "button",
                "text": {"type": "plain_text", "text": each, "emoji": False},
                "action_id": each,
                "value": value,
            }
            for each in BUTTONS
        ]
        posted = self.simulator.post(text="expired", blocks=[{"type": "actions", "elements": buttons}])
        return self.message(posted)

    def check(self, posts):
        """Slack's SDK checks the messages that the messenger posted."""
        for call in posts:
            blocks = call["body"]["blocks"]
            # `to_dict` checks the limits.
            assert [block.to_dict() for block in Block.parse_all(blocks)] == blocks


class DingTalk(Chat):
    name, output = "dingtalk", "DingTalkUrl"
    place, id_name = "conversation", "card"
    tenant, group = dingtalk.TENANT, dingtalk.CONVERSATION
    group_without_app, other_tenant = "cidWithoutTheRobotAbCdEf0w==", "dingwithoutanapp0000"
    requester, approver = dingtalk.REQUESTER, dingtalk.APPROVER
    not_in_group = "add the robot to the group"
    old_commands = [({"age": TOO_OLD_SECONDS}, 401), ({"message_age": TOO_OLD_SECONDS}, 200)]

    verification = {"app_secrets": [dingtalk.APP_SECRET], "card_secrets": [dingtalk.CARD_SECRET]}
    app = {
        "app_key": dingtalk.APP_KEY,
        "app_secret": dingtalk.APP_SECRET,
        "robot_code": dingtalk.ROBOT,
        "card_template_id": dingtalk.CARD_TEMPLATE,
    }
    tokens = {"apps": {tenant: app}}
    wrong_tokens = {"apps": {tenant: {**app, "app_secret": "wrong-secret-0123456789"}}}
    token_call = "oauth2/accessToken"

    def signed(self, words, age=0, secret=None, tenant=None, group=None, message_age=0):
        """The body and the headers of a command that was typed `message_age` and signed `age` seconds ago."""
        message = dingtalk.message(
            words, age=message_age, conversation=group or self.group, tenant=tenant or self.tenant
        )
        return json.dumps(message), dingtalk.sign_message(secret or dingtalk.APP_SECRET, age)

    def message(self, shown):
        return Message(
            # Only a card has an id.
            id=shown.get("card", {}).get("out_track_id"),
            text=without_markup(shown["shown"]),
            buttons=[button["action_id"] for button in shown.get("buttons", [])],
            visible_to=shown["visible_to"],
            is_of_app=shown["author"] == "app",
        )

    def mention(self, user):
        return user

    def outcomes(self, message):
        """The messages after the card that name the request: a group has no threads."""
        messages, request_id = self.messages(), self.id_in(message.text)
        [position] = [number for number, each in enumerate(messages) if each.id == message.id]
        # The answer to the command names the dry run.
        names_request = re.compile(rf"{request_id}(?!\.preview)").search
        return [each for each in messages[position + 1 :] if each.is_of_app and names_request(each.text)]

    def told(self, response, user, message):
        """The response changes what the person alone sees of the card."""
        response = json.loads(response)
        assert response["cardData"]["cardParamMap"] == {}, response
        note = response["userPrivateData"]["cardParamMap"]["note"]
        cards = [each["card"] for each in self.simulator.messages(self.group) if "card" in each]
        [card] = [each for each in cards if each["out_track_id"] == message.id]
        assert card["private_parameters"] == {user: {"note": note}}, card
        return note

    def call(self, method, path, body, token=None):
        headers = {"content-type": "application/json"}
        if token:
            headers["x-acs-dingtalk-access-token"] = token
        status, _, content = call(method, f"{self.url}/v1.0/{path}", json.dumps(body).encode(), headers)
        assert status == 200, content
        return json.loads(content)

    def post_buttons(self, value):
        keys = {"appKey": dingtalk.APP_KEY, "appSecret": dingtalk.APP_SECRET}
        token = self.call("POST", self.token_call, keys)["accessToken"]
        parameters = {
            "title": "expired",
            "body": "",
            "status": "open",
            "approve": "Approve",
            "decline": "Decline",
            "request_1": value[:1000],
            "request_2": value[1000:],
        }
        track_id = f"dingtalk-{os.urandom(12).hex()}"
        card = {
            "cardTemplateId": dingtalk.CARD_TEMPLATE,
            "outTrackId": track_id,
            "callbackType": "HTTP",
            "callbackRouteKey": "privatelink-detach",
            "cardData": {"cardParamMap": parameters},
            "openSpaceId": f"dtv1.card//IM_GROUP.{self.group}",
            "imGroupOpenSpaceModel": {"supportForward": False},
            "imGroupOpenDeliverModel": {"robotCode": dingtalk.ROBOT},
            "userIdType": 1,
        }
        self.call("POST", "card/instances/createAndDeliver", card, token)
        return self.wait_for(lambda each: each.id == track_id, "the card")


class Feishu(Chat):
    name, output = "feishu", "FeishuUrl"
    place, id_name = "chat", "message_id"
    tenant, group = feishu.TENANT, feishu.CONVERSATION
    group_without_app, other_tenant = f"oc_{'0' * 32}", "2f00000000000000"
    requester, approver = feishu.REQUESTER, feishu.APPROVER
    not_in_group = "230002"
    # Feishu repeats a message that the app does not accept.
    old_commands = [({"age": TOO_OLD_SECONDS}, 200), ({"message_age": TOO_OLD_SECONDS}, 200)]

    verification = {"encrypt_keys": [feishu.ENCRYPT_KEY], "verification_tokens": [feishu.VERIFICATION_TOKEN]}
    tokens = {"apps": {tenant: {"app_id": feishu.APP, "app_secret": feishu.APP_SECRET}}}
    wrong_tokens = {"apps": {tenant: {"app_id": feishu.APP, "app_secret": "wrong-secret-0123456789"}}}
    token_call = "auth.tenant_access_token.internal"

    def signed(self, words, age=0, secret=None, tenant=None, group=None, message_age=0):
        """The body and the headers of a command that was typed `message_age` and sent `age` seconds ago."""
        message = feishu.message(
            words, age=message_age, conversation=group or self.group, tenant=tenant or self.tenant
        )
        key = secret or feishu.ENCRYPT_KEY
        body = feishu.body_of(message, key)
        return body, {"content-type": "application/json", **feishu.sign(body, key, age)}

    def message(self, shown):
        return Message(
            id=shown["message_id"],
            text=without_markup(shown["shown"]),
            buttons=[button["action"] for button in shown["buttons"]],
            reply_to=shown["parent_id"],
            visible_to=shown["visible_to"],
            is_of_app=shown["author"] == "app",
        )

    def mention(self, user):
        return f"@{user}"

    def told(self, response, user, message):
        """The response shows the person a toast."""
        response = json.loads(response)
        assert set(response) == {"toast"}, response
        return response["toast"]["content"]

    def call(self, path, body, token=None):
        headers = {"content-type": "application/json; charset=utf-8"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        _, _, content = call("POST", f"{self.url}/open-apis/{path}", json.dumps(body).encode(), headers)
        response = json.loads(content)
        assert response["code"] == 0, response
        return response

    def post_buttons(self, value):
        keys = {"app_id": feishu.APP, "app_secret": feishu.APP_SECRET}
        token = self.call("auth/v3/tenant_access_token/internal", keys)["tenant_access_token"]
        buttons = [
            {
                "tag": "button",
                "text": {"tag": "plain_text", "content": each},
                "type": "primary",
                "behaviors": [{"type": "callback", "value": {"action": each, "request": value}}],
            }
            for each in BUTTONS
        ]
        card = {"schema": "2.0", "config": {"update_multi": True}, "body": {"elements": buttons}}
        body = {"receive_id": self.group, "msg_type": "interactive", "content": json.dumps(card)}
        posted = self.call("im/v1/messages?receive_id_type=chat_id", body, token)["data"]["message_id"]
        return self.wait_for(lambda each: each.id == posted, "the card")


PLATFORMS = {each.name: each for each in (Slack, DingTalk, Feishu)}
