"""Invocations that end before their work: by their time, by SIGKILL, or because EventBridge fails."""

import json
import os
import signal

import eventbridge as failures
from alibaba import LONG_MS, request
from processes import eventually

# All but the last 10 seconds of an invocation are for requests.
SHORT_TIMEOUT_SECONDS = 12
SHORT_VISIBILITY_SECONDS = 8


def test_a_detach_that_outlives_three_invocations_is_asked_for_once(stack, alibaba, consumer):
    alibaba.begin(("ep-long", ["sg-old", "sg-web"]), detach_takes_ms=LONG_MS)
    with stack.worker_timeout(SHORT_TIMEOUT_SECONDS):
        [message_id] = stack.send(request("ep-long", "sg-old", request_id="long"))
        answered = eventually(lambda: answers(stack, message_id, 3), "three invocations have ended", within=120)
        assert alibaba.detach_calls("ep-long") == 1
        alibaba.end_tasks()
        detail = consumer.wait_for("long")["detail"]
        stack.wait_until_empty()

    handed_back = {"batchItemFailures": [{"itemIdentifier": message_id}]}
    assert answered[:3] == [handed_back, handed_back, handed_back]
    deliveries = len(stack.batches(message_id))
    assert deliveries >= 4
    assert receive_counts(stack, message_id) == [str(number + 1) for number in range(deliveries)]
    assert alibaba.detach_calls("ep-long") == 0, "since then"
    # The last delivery found it gone at its first look; it cannot know that an earlier one had asked for it.
    assert detail["outcome"] == "already_detached"
    assert (detail["effort"]["deliveries"], detail["effort"]["detach_calls"]) == (deliveries, 0)
    assert detail["evidence"]["security_groups_before"] == ["sg-web"]
    assert len(consumer.of("long")) == 1


def test_a_killed_function_repeats_reading_and_not_writing(stack, alibaba, consumer):
    alibaba.begin(("ep-killed", ["sg-old", "sg-web"]), detach_takes_ms=LONG_MS)
    # Only the first receive: it is what ends unseen.
    with stack.visibility_timeout(SHORT_VISIBILITY_SECONDS):
        [message_id] = stack.send(request("ep-killed", "sg-old", request_id="killed"))
        eventually(lambda: alibaba.detach_calls("ep-killed"), "the detach is asked for")
    [killed] = stack.batches(message_id)
    os.kill(killed["process_id"], signal.SIGKILL)
    calls = alibaba.counts("ep-killed")["calls"]

    eventually(lambda: len(stack.batches(message_id)) == 2, "the message is delivered again")
    eventually(lambda: looks(alibaba, "ep-killed") > looks_in(calls) + 1, "the endpoint is looked at again")
    assert alibaba.detach_calls("ep-killed") == 1
    alibaba.end_tasks()
    detail = consumer.wait_for("killed")["detail"]
    stack.wait_until_empty()

    killed, second = stack.batches(message_id)
    assert "response" not in killed and "error" not in killed
    assert killed["process_id"] != second["process_id"]
    assert alibaba.detach_calls("ep-killed") == 0, "since then"
    assert (detail["outcome"], detail["effort"]["deliveries"]) == ("detached", 2)
    assert detail["effort"]["detach_calls"] == 0
    assert len(consumer.of("killed")) == 1


def test_an_event_that_eventbridge_does_not_take_keeps_its_request_in_the_queue(stack, alibaba, consumer, eventbridge):
    failing = {
        "ep-500": failures.internal_failure,
        "ep-entry": failures.refused_entry,
        "ep-closed": failures.closed_connection,
    }
    alibaba.begin(*[(endpoint, ["sg-old", "sg-web"]) for endpoint in failing], detach_takes_ms=100)
    eventbridge.failures |= failing
    with stack.paused():
        ids = stack.send(*[request(endpoint, "sg-old", request_id=f"bus-{endpoint}") for endpoint in failing])
    [response] = eventually(lambda: answers(stack, ids[0], 1), "the first invocation ends")[:1]

    assert sorted(failure["itemIdentifier"] for failure in response["batchItemFailures"]) == sorted(ids)
    assert stack.waiting() == 3
    assert [consumer.of(f"bus-{endpoint}") for endpoint in failing] == [[], [], []]
    assert [alibaba.groups(endpoint) for endpoint in failing] == [["sg-web"]] * 3

    eventbridge.failures.clear()
    events = [consumer.wait_for(f"bus-{endpoint}") for endpoint in failing]
    stack.wait_until_empty()

    for endpoint, message_id, event in zip(failing, ids, events, strict=True):
        assert event["detail"]["outcome"] == "already_detached", "by the delivery whose event was not taken"
        assert event["detail"]["effort"]["deliveries"] == len(stack.batches(message_id)) > 1
        assert alibaba.detach_calls(endpoint) == 1
        assert consumer.of(f"bus-{endpoint}") == [event]
        *refused, taken = eventbridge.tries(endpoint)
        assert refused and all(each["failed"] for each in refused) and not taken["failed"]
        assert json.loads(taken["entry"]["Detail"]) == event["detail"]


def answers(stack, message_id, number):
    """The answers to the invocations that brought a message, once there are so many."""
    answered = [exchange["response"] for exchange in stack.batches(message_id) if "response" in exchange]
    return answered if len(answered) >= number else None


def receive_counts(stack, message_id):
    records = [record for batch in stack.batches(message_id) for record in batch["event"]["Records"]]
    return [each["attributes"]["ApproximateReceiveCount"] for each in records if each["messageId"] == message_id]


def looks(alibaba, endpoint):
    return looks_in(alibaba.counts(endpoint)["calls"])


def looks_in(calls):
    return sum(number for action, number in calls.items() if action.startswith("List"))
