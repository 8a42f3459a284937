"""From a command in chat to the outcome there, through the resources of template.yaml: the same scenarios on each
platform.
"""

import json
import os
import signal
import time
import uuid

import pytest

import signed_values
from chats import BUTTONS, PLATFORMS
from shared.processes import eventually
from shared.simulator import DETACH, LONG_MS, REGION
from stack import request

# As in test_interruptions.py.
SHORT_VISIBILITY_SECONDS = 8
BOTH = {"sg-old": "Attached", "sg-web": "Attached"}


@pytest.fixture(params=PLATFORMS)
def chat(request, chats, stack):
    """A platform. After each test, what the messenger posted there is checked."""
    chat = chats[request.param]
    chat.stack = stack
    before = len(chat.posts())
    yield chat
    chat.check(chat.posts()[before:])


@pytest.fixture
def endpoint(alibaba):
    """The id of an endpoint of this test alone, with two groups."""
    endpoint_id = f"ep-{os.urandom(6).hex()}"
    alibaba.start_with((endpoint_id, ["sg-old", "sg-web"]))
    return endpoint_id


def deliveries(stack, request_id):
    """The invocations of the worker with a request."""

    def contains(exchange):
        bodies = [record["body"] for record in exchange.get("event", {}).get("Records", [])]
        return any(json.loads(body).get("request_id") == request_id for body in bodies)

    return [exchange for exchange in stack.exchanges("WorkerFunctionName") if contains(exchange)]


def errors(stack, since):
    """The messages of the messenger's ERROR lines, which raise an alarm."""
    logged = [json.loads(line) for line in stack.log("MessengerLogGroupName", since) if line.startswith("{")]
    return [line["message"] for line in logged if line.get("level") == "ERROR"]


def dead_letters(stack, number):
    """Receives and deletes this number of dead letters of the messenger. Returns the bodies and the reasons."""
    letters = []
    for _ in range(number):
        letter = stack.receive("NoticeDeadLetterQueueUrl")
        stack.delete("NoticeDeadLetterQueueUrl", letter)
        letters.append((json.loads(letter["Body"]), letter["MessageAttributes"]["reason"]["StringValue"]))
    stack.wait_until_empty()
    return letters


def test_approved_request_ends_with_its_outcome_in_spite_of_a_lock_and_a_crash(stack, alibaba, consumer, chat):
    endpoint = f"ep-{os.urandom(6).hex()}"
    alibaba.start_with((endpoint, ["sg-old", "sg-web"]), detach_takes_ms=LONG_MS)
    request_id = chat.request(f"detach sg-old {endpoint} {REGION} deadline=2h ticket=CHG0031042")
    asked = chat.approval_request(request_id)
    assert asked.lines("Groups now", "Groups after the detach", "Requested by", "Ticket") == [
        "sg-old, sg-web",
        "sg-web",
        chat.mention(chat.requester),
        "CHG0031042",
    ]
    assert alibaba.groups(endpoint) == BOTH

    alibaba.inject_fault(DETACH, kind="code", code="EndpointLocked")
    # Only for the first receive, whose invocation is killed.
    with stack.visibility_timeout(SHORT_VISIBILITY_SECONDS):
        chat.click("approve", chat.approver, asked)
        eventually(lambda: alibaba.endpoint_counts(endpoint)["detaches_accepted"], "the detach is accepted")
    approved = chat.changed(asked, "Approved")
    assert f"{chat.mention(chat.approver)} approved the request." in approved.text
    assert approved.lines("Requested by") == [chat.mention(chat.requester)]
    assert alibaba.detach_calls(endpoint) == 3, "the dry run, the one that found the lock, and the accepted one"
    [killed] = deliveries(stack, request_id)
    os.kill(killed["process_id"], signal.SIGKILL)
    reads = alibaba.reads(endpoint)
    eventually(lambda: len(deliveries(stack, request_id)) == 2, "the message is delivered again")
    eventually(lambda: alibaba.reads(endpoint) > reads + 1, "the endpoint is read again")
    assert chat.outcomes(asked) == []
    alibaba.end_tasks()

    outcome = chat.outcome(asked)
    stack.wait_until_empty()
    assert chat.outcomes(asked) == [outcome]
    assert outcome.text.startswith("Detached")
    assert outcome.lines("Groups after", "Requested by", "Approved by", "Ticket") == [
        "sg-web",
        chat.mention(chat.requester),
        chat.mention(chat.approver),
        "CHG0031042",
    ]
    # The notice of the approval may arrive after the outcome.
    chat.changed(asked, "Approved")
    [preview], [event] = consumer.of(f"{request_id}.preview"), consumer.of(request_id)
    assert (preview["detail"]["trigger"], preview["detail"]["outcome"]) == ("chat", "dry_run_passed")
    detail = event["detail"]
    assert (detail["trigger"], detail["outcome"], detail["effort"]["deliveries"]) == ("chat", "detached", 2)
    assert detail["metadata"] | {"chat": ""} == {
        "chat": "",
        "requested_by": chat.person(chat.requester),
        "approved_by": chat.person(chat.approver),
        "ticket": "CHG0031042",
    }
    assert alibaba.groups(endpoint) == {"sg-web": "Attached"}


def test_requester_cannot_approve_and_is_told_alone(stack, consumer, chat, endpoint):
    request_id = chat.request(f"移除 sg-old {endpoint} {REGION}", user=chat.approver)
    asked = chat.approval_request(request_id)
    response = chat.click("approve", chat.approver, asked)
    assert "这是您自己的请求" in chat.told(response, chat.approver, asked)

    stack.wait_until_empty()
    # The buttons remain for another approver, and for the requester, who may decline.
    assert chat.approval_request(request_id) == asked
    assert consumer.of(request_id) == deliveries(stack, request_id) == []
    chat.click("decline", chat.approver, asked)
    chat.changed(asked, "已拒绝")


def test_declined_request_loses_its_buttons(stack, consumer, chat, endpoint):
    request_id = chat.request(f"detach sg-old {endpoint} {REGION}")
    asked = chat.approval_request(request_id)
    chat.click("decline", chat.approver, asked)

    chat.changed(asked, "Declined")
    stack.wait_until_empty()
    declined = chat.changed(asked, "Declined")
    assert f"{chat.mention(chat.approver)} declined the request." in declined.text
    assert consumer.of(request_id) == deliveries(stack, request_id) == chat.outcomes(asked) == []


def test_request_that_would_now_remove_the_last_group_is_refused(stack, alibaba, consumer, chat, endpoint):
    request_id = chat.request(f"detach sg-old {endpoint} {REGION}")
    asked = chat.approval_request(request_id)
    # After the dry run, someone else detaches the other group.
    alibaba.start_with((endpoint, ["sg-old"]))
    chat.click("approve", chat.approver, asked)

    outcome = chat.outcome(asked)
    stack.wait_until_empty()
    assert outcome.text.startswith("Detach refused") and "EndpointMustContainSecurityGroup" in outcome.text
    [event] = consumer.of(request_id)
    assert (event["detail"]["outcome"], event["detail"]["reason"]["code"]) == (
        "refused",
        "EndpointMustContainSecurityGroup",
    )
    assert alibaba.groups(endpoint) == {"sg-old": "Attached"}


# The deployment of another setting takes long, and the worker does not know the platform.
@pytest.mark.parametrize("chat", ["slack"], indirect=True)
def test_approved_request_of_a_deployment_for_dry_runs_only_ends_with_its_dry_run(
    stack, alibaba, consumer, chat, endpoint
):
    stack.deploy({"DryRunOnly": "true"})
    try:
        request_id = chat.request(f"detach sg-old {endpoint} {REGION}")
        asked = chat.approval_request(request_id)
        chat.click("approve", chat.approver, asked)
        outcome = chat.outcome(asked)
    finally:
        stack.deploy({"DryRunOnly": "false"})
    stack.wait_until_empty()

    assert outcome.text.startswith("Not detached: this deployment carries out dry runs only")
    chat.changed(asked, "Approved")
    [event] = consumer.of(request_id)
    assert (event["detail"]["outcome"], event["detail"]["dry_run"]) == ("dry_run_passed", True)
    assert alibaba.groups(endpoint) == BOTH


@pytest.mark.parametrize("action", BUTTONS)
def test_expired_request_is_not_carried_out(stack, consumer, chat, endpoint, chat_key, action):
    request_id = f"{chat.name}-{os.urandom(12).hex()}"
    value = signed_values.button(chat_key, chat, request_id, endpoint, "sg-old", expires_at=int(time.time()))
    asked = chat.post_buttons(value)
    response = chat.click(action, chat.approver, asked)

    assert "can no longer be approved" in chat.told(response, chat.approver, asked)
    stack.wait_until_empty()
    # An update could replace the text of an approval.
    assert asked in chat.messages()
    assert consumer.of(request_id) == deliveries(stack, request_id) == []


def test_repeated_call_is_one_request(stack, alibaba, consumer, chat, endpoint):
    signed = chat.signed(f"detach sg-old {endpoint} {REGION}")
    assert [chat.post(*signed) for _ in range(3)] == [200] * 3

    asked = chat.wait_for(lambda each: endpoint in each.text and each.buttons, "the approval request")
    stack.wait_until_empty()
    [request_id] = {each["detail"]["request_id"].removesuffix(".preview") for each in of_endpoint(consumer, endpoint)}
    assert len(consumer.of(f"{request_id}.preview")) == 1
    assert alibaba.detach_calls(endpoint) == 1, "the dry run"
    assert [each for each in chat.messages() if endpoint in each.text and each.buttons] == [asked]

    click = chat.signed_click("approve", chat.approver, asked)
    assert [chat.post(*click) for _ in range(3)] == [200] * 3
    outcome = chat.outcome(asked)
    stack.wait_until_empty()
    assert outcome.text.startswith("Detached") and chat.outcomes(asked) == [outcome]
    assert len(consumer.of(request_id)) == len(deliveries(stack, request_id)) == 1
    chat.changed(asked, "Approved")


def of_endpoint(consumer, endpoint):
    return [event for event in consumer.received() if event["detail"].get("endpoint_id") == endpoint]


def test_old_command_is_not_carried_out(stack, alibaba, consumer, chat, endpoint):
    before = chat.messages()
    for arguments, status in chat.old_commands:
        assert chat.post(*chat.signed(f"detach sg-old {endpoint} {REGION}", **arguments)) == status, arguments
    stack.wait_until_empty()
    assert chat.messages() == before
    assert alibaba.endpoint_counts(endpoint)["calls"] == {} and of_endpoint(consumer, endpoint) == []


def test_forged_call_is_not_carried_out(stack, alibaba, consumer, chat, endpoint):
    before = chat.messages()
    assert chat.post(*chat.signed(f"detach sg-old {endpoint} {REGION}", secret="f" * 32)) == 401
    stack.wait_until_empty()
    assert chat.messages() == before and alibaba.endpoint_counts(endpoint)["calls"] == {}

    request_id = chat.request(f"detach sg-old {endpoint} {REGION}")
    asked = chat.approval_request(request_id)
    body, headers = chat.signed_click("approve", chat.approver, asked)
    forged = {
        # A timestamp belongs to a signature, but is a number.
        name: value[1:] + value[:1] if "sign" in name.lower() and not value.isdigit() else value
        for name, value in headers.items()
    }
    assert forged != headers
    assert chat.post(body, forged) == 401
    stack.wait_until_empty()
    assert chat.approval_request(request_id) == asked
    assert consumer.of(request_id) == deliveries(stack, request_id) == []


# The signature does not depend on the platform, and the messenger reads the keys again only every 30 s.
@pytest.mark.parametrize("chat", ["slack"], indirect=True)
def test_reply_address_of_another_request_posts_nothing(stack, alibaba, consumer, chat):
    honest, forged = (f"ep-{os.urandom(6).hex()}" for _ in range(2))
    alibaba.start_with((honest, ["sg-old", "sg-web"]), (forged, ["sg-old", "sg-web"]))
    request_id = chat.request(f"detach sg-old {honest} {REGION}")
    chat.approval_request(request_id)
    [event] = consumer.of(f"{request_id}.preview")
    stack.wait_until_empty()
    conversation, posts, started = chat.messages(), len(chat.posts()), time.time()

    # Everyone with access to the queue can send a request with the trigger `chat`.
    body = request(forged, "sg-old", dry_run=True, request_id=f"{request_id}.preview")
    stack.sqs.send_message(
        QueueUrl=stack.outputs["RequestQueueUrl"],
        MessageBody=json.dumps(body | {"metadata": event["detail"]["metadata"]}),
        MessageGroupId="lane",
        MessageDeduplicationId=str(uuid.uuid4()),
        MessageAttributes={"trigger": {"DataType": "String", "StringValue": "chat"}},
    )
    event = consumer.wait_for(f"{request_id}.preview", number=2)
    assert (event["detail"]["trigger"], event["detail"]["endpoint_id"]) == ("chat", forged)
    stack.wait_until_empty()

    assert eventually(lambda: errors(stack, started), "the messenger logs an error") == [
        "the message is deleted: no chat signing key of this deployment made the signature"
    ]
    assert (chat.messages(), len(chat.posts())) == (conversation, posts)


@pytest.mark.parametrize("place", ["group", "tenant"])
def test_notice_that_cannot_be_posted_is_a_dead_letter_and_an_alarm(stack, consumer, chat, endpoint, place):
    """In a group without the app, and in a tenant without credentials."""
    started = time.time()
    arguments, expected = {
        "group": ({"group": chat.group_without_app}, chat.not_in_group),
        "tenant": ({"tenant": chat.other_tenant}, chat.other_tenant),
    }[place]
    assert chat.post(*chat.signed(f"detach sg-old {endpoint} {REGION}", **arguments)) == 200

    letters = dead_letters(stack, chat.answers + 1)
    [preview] = [body["detail"] for body, _ in letters if "detail" in body]
    assert (preview["endpoint_id"], preview["outcome"]) == (endpoint, "dry_run_passed")
    assert len([body for body, _ in letters if "chat_answer" in body]) == chat.answers
    reasons = [reason for _, reason in letters]
    assert all(expected in reason for reason in reasons), reasons
    lines = [f"copied to the dead-letter queue, and not tried again: {reason}" for reason in reasons]
    eventually(lambda: sorted(errors(stack, started)) == sorted(lines), "the messenger logs its errors")
    assert chat.messages(chat.group_without_app) == []


def test_token_or_secret_that_the_platform_refuses_is_a_dead_letter_and_an_alarm(stack, chat, chat_tokens, endpoint):
    chat_tokens.put({chat.name: chat.wrong_tokens})
    stack.restart("MessengerFunctionName")
    started = time.time()
    try:
        assert chat.post(*chat.signed(f"detach sg-old {endpoint} {REGION}")) == 200
        letters = dead_letters(stack, chat.answers + 1)
    finally:
        chat_tokens.put(chat_tokens.value)
        stack.restart("MessengerFunctionName")
    reasons = [reason for _, reason in letters]
    assert all("CHAT_TOKEN_SECRET_ARN" in reason for reason in reasons), reasons
    lines = [f"copied to the dead-letter queue, and not tried again: {reason}" for reason in reasons]
    eventually(lambda: sorted(errors(stack, started)) == sorted(lines), "the messenger logs its errors")
    assert not any(endpoint in each.text for each in chat.messages())


@pytest.mark.parametrize("chat", ["dingtalk", "feishu"], indirect=True)
def test_access_token_that_the_platform_no_longer_accepts_is_replaced(stack, chat, endpoint):
    """Slack's tokens do not expire."""
    asked = chat.approval_request(chat.request(f"detach sg-old {endpoint} {REGION}"))
    stack.wait_until_empty()
    started, before = time.time(), len(chat.posts())
    chat.simulator.control("POST", "expire-tokens")
    chat.click("decline", chat.approver, asked)
    stack.wait_until_empty()

    chat.changed(asked, "Declined")
    methods = [post["method"] for post in chat.posts()[before:]]
    assert len(methods) == 3 and methods[0] == methods[2] and methods[1] == chat.token_call, methods
    assert errors(stack, started) == []


@pytest.mark.parametrize("chat", ["dingtalk"], indirect=True)
def test_other_documented_forms_of_calls_are_read(stack, chat, endpoint):
    forms = ("top_level_content", "click_in_value", "click_time_in_seconds")
    chat.simulator.control("POST", "forms", **dict.fromkeys(forms, True))
    try:
        asked = chat.approval_request(chat.request(f"detach sg-old {endpoint} {REGION}"))
        chat.click("decline", chat.approver, asked)
        chat.changed(asked, "Declined")
    finally:
        chat.simulator.control("POST", "forms", **dict.fromkeys(forms, False))


@pytest.mark.parametrize("chat", ["feishu"], indirect=True)
def test_address_check_is_answered(stack, chat):
    response = chat.simulator.control("POST", "verify", url=stack.chat_url(chat.output))
    assert response["status"] == 200 and list(json.loads(response["body"])) == ["challenge"], response
