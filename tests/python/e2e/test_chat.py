"""From a command in Slack to the outcome in its thread, through the resources of template.yaml."""

import json
import os
import re
import signal
import time
import uuid

import pytest
from slack_sdk.models.blocks import Block

import signed_values
from conftest import CHANNEL_WITHOUT_APP
from shared.local_chat import APPROVER, CHANNEL, REQUESTER, TEAM
from shared.processes import eventually
from shared.simulator import DETACH, LONG_MS, REGION
from stack import request

ID = re.compile(r"slack-[0-9a-f]{24}")
BUTTONS = ["approve", "decline"]
# As in test_interruptions.py.
SHORT_VISIBILITY_SECONDS = 8


@pytest.fixture(autouse=True)
def valid_blocks(chat):
    """After each test, Slack's SDK checks every message that the messenger posted."""
    before = len(chat.journal())
    yield
    for call in chat.journal()[before:]:
        blocks = call["body"]["blocks"]
        # `to_dict` checks the limits.
        assert [block.to_dict() for block in Block.parse_all(blocks)] == blocks


@pytest.fixture
def send(stack, chat):
    """Sends a command and returns the request's id."""

    def send(words, user=REQUESTER, channel=CHANNEL):
        response = chat.command(words, user, channel=channel, url=stack.slack_url())
        assert response["status"] == 200, response
        return ID.search(response["body"])[0]

    return send


@pytest.fixture
def approval_request(chat):
    """Waits for the message with the buttons."""

    def wait(request_id):
        def is_approval_request(message):
            return f"{request_id}.preview" in message["shown"] and message["buttons"]

        message = chat.wait_for(is_approval_request, "the approval request")
        assert [button["action_id"] for button in message["buttons"]] == BUTTONS
        assert (message["author"], message["thread_ts"], message["visible_to"]) == ("app", None, None)
        return message

    return wait


@pytest.fixture
def click(stack, chat):
    """Clicks a button of a message."""

    def click(action, user, message):
        response = chat.click(action, user, ts=message["ts"], url=stack.slack_url())
        assert response == {"status": 200, "body": ""}

    return click


def changed(chat, message, title):
    """Waits until the app has changed a message so that it begins with a title and has no buttons."""
    found = chat.wait_for(
        lambda each: each["ts"] == message["ts"] and each["shown"].startswith(f"*{title}*"), f"the change to {title}"
    )
    assert found["edited"] and found["buttons"] == []
    return found


def reply(chat, message):
    """Waits for the reply to a message, which must be the only one."""
    found = chat.wait_for(lambda each: each["thread_ts"] == message["ts"], "a reply to the approval request")
    assert (found["author"], found["visible_to"], found["buttons"]) == ("app", None, [])
    assert replies(chat, message) == [found]
    return found


def replies(chat, message):
    return [each for each in chat.messages() if each["thread_ts"] == message["ts"]]


def deliveries(stack, request_id):
    """The invocations of the worker with a request."""

    def contains(exchange):
        bodies = [record["body"] for record in exchange.get("event", {}).get("Records", [])]
        return any(json.loads(body).get("request_id") == request_id for body in bodies)

    return [exchange for exchange in stack.exchanges("WorkerFunctionName") if contains(exchange)]


def lines(shown, *labels):
    """The values of the labeled lines of a message."""
    return [re.search(rf"^\*{label}:\* (.*)$", shown, re.MULTILINE)[1] for label in labels]


def test_approved_request_ends_in_the_thread_in_spite_of_a_lock_and_a_crash(
    stack, alibaba, consumer, chat, send, approval_request, click
):
    alibaba.start_with(("ep-chat", ["sg-old", "sg-web"]), detach_takes_ms=LONG_MS)
    request_id = send(f"detach sg-old ep-chat {REGION} deadline=2h ticket=CHG0031042")
    asked = approval_request(request_id)
    assert lines(asked["shown"], "Groups now", "Groups after the detach", "Requested by", "Ticket") == [
        "`sg-old`, `sg-web`",
        "`sg-web`",
        f"@{REQUESTER}",
        "`CHG0031042`",
    ]
    assert alibaba.groups("ep-chat") == {"sg-old": "Attached", "sg-web": "Attached"}

    alibaba.inject_fault(DETACH, kind="code", code="EndpointLocked")
    # Only for the first receive, whose invocation is killed.
    with stack.visibility_timeout(SHORT_VISIBILITY_SECONDS):
        click("approve", APPROVER, asked)
        eventually(lambda: alibaba.endpoint_counts("ep-chat")["detaches_accepted"], "the detach is accepted")
    approved = changed(chat, asked, "Approved")
    assert f"@{APPROVER} approved the request." in approved["shown"]
    assert lines(approved["shown"], "Requested by") == [f"@{REQUESTER}"]
    assert alibaba.detach_calls("ep-chat") == 3, "the dry run, the one that found the lock, and the accepted one"
    [killed] = deliveries(stack, request_id)
    os.kill(killed["process_id"], signal.SIGKILL)
    reads = alibaba.reads("ep-chat")
    eventually(lambda: len(deliveries(stack, request_id)) == 2, "the message is delivered again")
    eventually(lambda: alibaba.reads("ep-chat") > reads + 1, "the endpoint is read again")
    assert replies(chat, asked) == []
    alibaba.end_tasks()

    outcome = reply(chat, asked)
    stack.wait_until_empty()
    assert outcome["shown"].startswith("*Detached*")
    assert lines(outcome["shown"], "Groups after", "Requested by", "Approved by", "Ticket") == [
        "`sg-web`",
        f"@{REQUESTER}",
        f"@{APPROVER}",
        "`CHG0031042`",
    ]
    [preview], [event] = consumer.of(f"{request_id}.preview"), consumer.of(request_id)
    assert (preview["detail"]["trigger"], preview["detail"]["outcome"]) == ("chat", "dry_run_passed")
    detail = event["detail"]
    assert (detail["trigger"], detail["outcome"], detail["effort"]["deliveries"]) == ("chat", "detached", 2)
    assert detail["metadata"] | {"chat": ""} == {
        "chat": "",
        "requested_by": f"slack:{TEAM}/{REQUESTER}",
        "approved_by": f"slack:{TEAM}/{APPROVER}",
        "ticket": "CHG0031042",
    }
    assert alibaba.groups("ep-chat") == {"sg-web": "Attached"}


def test_requester_cannot_approve_and_is_told_alone(stack, alibaba, consumer, chat, send, approval_request, click):
    alibaba.start_with(("ep-own", ["sg-old", "sg-web"]))
    request_id = send(f"移除 sg-old ep-own {REGION}", user=APPROVER)
    asked = approval_request(request_id)
    click("approve", APPROVER, asked)

    told = chat.wait_for(
        lambda each: each["visible_to"] == APPROVER and each["ts"] > asked["ts"], "the message to the requester"
    )
    stack.wait_until_empty()
    assert told["shown"].startswith("*无权操作*"), told
    # The buttons remain for another approver, and for the requester, who may decline.
    assert approval_request(request_id) == asked
    assert consumer.of(request_id) == deliveries(stack, request_id) == []
    click("decline", APPROVER, asked)
    changed(chat, asked, "已拒绝")


def test_declined_request_loses_its_buttons(stack, alibaba, consumer, chat, send, approval_request, click):
    alibaba.start_with(("ep-declined", ["sg-old", "sg-web"]))
    request_id = send(f"detach sg-old ep-declined {REGION}")
    asked = approval_request(request_id)
    click("decline", APPROVER, asked)

    declined = changed(chat, asked, "Declined")
    stack.wait_until_empty()
    assert f"@{APPROVER}" in declined["shown"]
    assert consumer.of(request_id) == deliveries(stack, request_id) == replies(chat, asked) == []


def test_request_that_would_now_remove_the_last_group_is_refused(
    stack, alibaba, consumer, chat, send, approval_request, click
):
    alibaba.start_with(("ep-stale", ["sg-old", "sg-web"]))
    request_id = send(f"detach sg-old ep-stale {REGION}")
    asked = approval_request(request_id)
    # After the dry run, someone else detaches the other group.
    alibaba.start_with(("ep-stale", ["sg-old"]))
    click("approve", APPROVER, asked)

    outcome = reply(chat, asked)
    stack.wait_until_empty()
    assert outcome["shown"].startswith("*Detach refused*") and "EndpointMustContainSecurityGroup" in outcome["shown"]
    [event] = consumer.of(request_id)
    assert (event["detail"]["outcome"], event["detail"]["reason"]["code"]) == (
        "refused",
        "EndpointMustContainSecurityGroup",
    )
    assert alibaba.groups("ep-stale") == {"sg-old": "Attached"}


def test_approved_request_of_a_deployment_for_dry_runs_only_ends_with_its_dry_run(
    stack, alibaba, consumer, chat, send, approval_request, click
):
    alibaba.start_with(("ep-dry-only", ["sg-old", "sg-web"]))
    stack.deploy({"DryRunOnly": "true"})
    try:
        request_id = send(f"detach sg-old ep-dry-only {REGION}")
        asked = approval_request(request_id)
        click("approve", APPROVER, asked)
        outcome = reply(chat, asked)
    finally:
        stack.deploy({"DryRunOnly": "false"})
    stack.wait_until_empty()

    assert outcome["shown"].startswith("*Not detached: this deployment carries out dry runs only*")
    changed(chat, asked, "Approved")
    [event] = consumer.of(request_id)
    assert (event["detail"]["outcome"], event["detail"]["dry_run"]) == ("dry_run_passed", True)
    assert alibaba.groups("ep-dry-only") == {"sg-old": "Attached", "sg-web": "Attached"}


@pytest.mark.parametrize("action", BUTTONS)
def test_expired_request_is_not_carried_out(stack, alibaba, consumer, chat, click, chat_key, action):
    alibaba.start_with(("ep-expired", ["sg-old", "sg-web"]))
    request_id = f"slack-{os.urandom(12).hex()}"
    value = signed_values.button(chat_key, request_id, "ep-expired", "sg-old", expires_at=int(time.time()))
    asked = chat.post(
        text="expired",
        blocks=[
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": {"type": "plain_text", "text": each, "emoji": False},
                        "action_id": each,
                        "value": value,
                    }
                    for each in BUTTONS
                ],
            }
        ],
    )
    click(action, APPROVER, asked)

    told = chat.wait_for(
        lambda each: each["visible_to"] == APPROVER and each["ts"] > asked["ts"], "the message to the approver"
    )
    assert told["shown"].startswith("*Request expired*"), told
    stack.wait_until_empty()
    # An update could replace the text of an approval.
    assert asked in chat.messages()
    assert consumer.of(request_id) == deliveries(stack, request_id) == []


def test_reply_address_of_another_request_posts_nothing(
    stack, alibaba, consumer, chat, send, approval_request, click
):
    alibaba.start_with(("ep-honest", ["sg-old", "sg-web"]), ("ep-forged", ["sg-old", "sg-web"]))
    asked = approval_request(send(f"detach sg-old ep-honest {REGION}"))
    request_id = ID.search(asked["shown"])[0]
    [honest] = consumer.of(f"{request_id}.preview")
    stack.wait_until_empty()
    conversation, calls, started = chat.messages(), len(chat.journal()), time.time()

    # Everyone with access to the queue can send a request with the trigger `chat`.
    forged = request("ep-forged", "sg-old", dry_run=True, request_id=f"{request_id}.preview")
    stack.sqs.send_message(
        QueueUrl=stack.outputs["RequestQueueUrl"],
        MessageBody=json.dumps(forged | {"metadata": honest["detail"]["metadata"]}),
        MessageGroupId="lane",
        MessageDeduplicationId=str(uuid.uuid4()),
        MessageAttributes={"trigger": {"DataType": "String", "StringValue": "chat"}},
    )
    event = consumer.wait_for(f"{request_id}.preview", number=2)
    assert (event["detail"]["trigger"], event["detail"]["endpoint_id"]) == ("chat", "ep-forged")
    stack.wait_until_empty()

    def errors():
        logged = [json.loads(line) for line in stack.log("MessengerLogGroupName", started) if line.startswith("{")]
        return [line["message"] for line in logged if line.get("level") == "ERROR"]

    assert eventually(errors, "the messenger logs an error") == [
        "the message is deleted: no chat signing key of this deployment made the signature"
    ]
    assert (chat.messages(), len(chat.journal())) == (conversation, calls)


def test_notice_for_a_channel_without_the_app_is_a_dead_letter(stack, alibaba, consumer, chat, send):
    alibaba.start_with(("ep-channel", ["sg-old", "sg-web"]))
    request_id = send(f"detach sg-old ep-channel {REGION}", channel=CHANNEL_WITHOUT_APP)

    dead_letter = stack.receive("NoticeDeadLetterQueueUrl")
    stack.delete("NoticeDeadLetterQueueUrl", dead_letter)
    stack.wait_until_empty()
    event = json.loads(dead_letter["Body"])
    assert (event["detail"]["request_id"], event["detail"]["outcome"]) == (f"{request_id}.preview", "dry_run_passed")
    assert "not_in_channel" in dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert all(each["visible_to"] for each in chat.messages(CHANNEL_WITHOUT_APP))
