"""Invocations that end early: by their timeout, by SIGKILL, or because EventBridge fails."""

import json
import os
import signal

import eventbridge as failures
from shared.processes import eventually
from shared.simulator import LONG_MS
from stack import request

# The last 10 seconds of an invocation are reserved for AWS calls.
SHORT_TIMEOUT_SECONDS = 12
SHORT_VISIBILITY_SECONDS = 8


def test_detach_that_outlasts_three_invocations_is_called_once(stack, alibaba, consumer):
    alibaba.start_with(("ep-long", ["sg-old", "sg-web"]), detach_takes_ms=LONG_MS)
    with stack.worker_timeout(SHORT_TIMEOUT_SECONDS):
        [message_id] = stack.send(request("ep-long", "sg-old", request_id="long"))
        received = eventually(lambda: responses(stack, message_id, 3), "three invocations end", timeout=120)
        assert alibaba.detach_calls("ep-long") == 1
        alibaba.end_tasks()
        detail = consumer.wait_for("long")["detail"]
        stack.wait_until_empty()

    returned_to_queue = {"batchItemFailures": [{"itemIdentifier": message_id}]}
    assert received[:3] == [returned_to_queue] * 3
    deliveries = len(stack.batches(message_id))
    assert deliveries >= 4
    assert receive_counts(stack, message_id) == [str(number + 1) for number in range(deliveries)]
    assert alibaba.detach_calls("ep-long") == 0, "after the counts were reset"
    # The last delivery confirms the detach at its first read; it does not know that an earlier delivery called Detach.
    assert detail["outcome"] == "already_detached"
    assert (detail["effort"]["deliveries"], detail["effort"]["detach_calls"]) == (deliveries, 0)
    assert detail["evidence"]["security_groups_before"] == ["sg-web"]
    assert len(consumer.of("long")) == 1


def test_killed_worker_repeats_reads_but_not_the_detach(stack, alibaba, consumer):
    alibaba.start_with(("ep-killed", ["sg-old", "sg-web"]), detach_takes_ms=LONG_MS)
    # Only for the first receive, whose invocation is killed.
    with stack.visibility_timeout(SHORT_VISIBILITY_SECONDS):
        [message_id] = stack.send(request("ep-killed", "sg-old", request_id="killed"))
        eventually(lambda: alibaba.detach_calls("ep-killed"), "the detach is called")
    [killed] = stack.batches(message_id)
    os.kill(killed["process_id"], signal.SIGKILL)
    reads = alibaba.reads("ep-killed")

    eventually(lambda: len(stack.batches(message_id)) == 2, "the message is delivered again")
    eventually(lambda: alibaba.reads("ep-killed") > reads + 1, "the endpoint is read again")
    assert alibaba.detach_calls("ep-killed") == 1
    alibaba.end_tasks()
    detail = consumer.wait_for("killed")["detail"]
    stack.wait_until_empty()

    killed, second = stack.batches(message_id)
    assert "response" not in killed and "error" not in killed
    assert killed["process_id"] != second["process_id"]
    assert alibaba.detach_calls("ep-killed") == 0, "after the counts were reset"
    assert (detail["outcome"], detail["effort"]["deliveries"]) == ("detached", 2)
    assert detail["effort"]["detach_calls"] == 0
    assert len(consumer.of("killed")) == 1


def test_request_stays_in_the_queue_until_its_event_is_published(stack, alibaba, consumer, eventbridge):
    failing = {
        "ep-500": failures.internal_failure,
        "ep-entry": failures.rejected_entry,
        "ep-closed": failures.closed_connection,
    }
    alibaba.start_with(*[(endpoint, ["sg-old", "sg-web"]) for endpoint in failing], detach_takes_ms=100)
    eventbridge.failures |= failing
    with stack.paused():
        ids = stack.send(*[request(endpoint, "sg-old", request_id=f"bus-{endpoint}") for endpoint in failing])
    [response] = eventually(lambda: responses(stack, ids[0], 1), "the first invocation ends")[:1]

    assert sorted(failure["itemIdentifier"] for failure in response["batchItemFailures"]) == sorted(ids)
    assert stack.waiting() == 3
    assert [consumer.of(f"bus-{endpoint}") for endpoint in failing] == [[], [], []]
    assert [alibaba.groups(endpoint) for endpoint in failing] == [{"sg-web": "Attached"}] * 3

    eventbridge.failures.clear()
    events = [consumer.wait_for(f"bus-{endpoint}") for endpoint in failing]
    stack.wait_until_empty()

    for endpoint, message_id, event in zip(failing, ids, events, strict=True):
        assert event["detail"]["outcome"] == "already_detached", "the first delivery detached it"
        assert event["detail"]["effort"]["deliveries"] == len(stack.batches(message_id)) > 1
        assert alibaba.detach_calls(endpoint) == 1
        assert consumer.of(f"bus-{endpoint}") == [event]
        *rejected, accepted = eventbridge.attempts(endpoint)
        assert rejected and all(each["failed"] for each in rejected) and not accepted["failed"]
        assert json.loads(accepted["entry"]["Detail"]) == event["detail"]


def responses(stack, message_id, number):
    """The responses of the invocations with this message, if there are at least this many."""
    found = [exchange["response"] for exchange in stack.batches(message_id) if "response" in exchange]
    return found if len(found) >= number else None


def receive_counts(stack, message_id):
    records = [record for batch in stack.batches(message_id) for record in batch["event"]["Records"]]
    return [each["attributes"]["ApproximateReceiveCount"] for each in records if each["messageId"] == message_id]
