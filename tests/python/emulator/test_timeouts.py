"""An invocation that is shorter than its detach, and one that exceeds its timeout."""

import time

from shared.processes import eventually
from shared.simulator import DETACH, LIST_ENDPOINTS, LIST_GROUPS


def test_worker_returns_a_request_to_the_queue_before_its_timeout(start, worker_environment, event, alibaba, aws):
    """The worker reserves 10 of 16 seconds for AWS calls, and the detach takes longer than the other 6."""
    alibaba.start_with(("ep-hp3shop", ["sg-hp3vendor", "sg-hp3own"]), detach_takes_ms=12_000)
    function = start("WORKER", {**worker_environment, "AWS_LAMBDA_FUNCTION_TIMEOUT": "16"})
    message = delivered(event("queue-single"), 1)
    (record,) = message["Records"]

    returned_to_queue = {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert function.invoke(message) == (200, returned_to_queue)
    process = function.process_id()
    ((operation, changed),) = aws.calls
    (entry,) = changed["Entries"]
    assert (operation, entry["ReceiptHandle"]) == ("ChangeMessageVisibilityBatch", record["receiptHandle"])
    assert 4 <= entry["VisibilityTimeout"] <= 6

    eventually(lambda: len(alibaba.groups("ep-hp3shop")) == 1, "the detach ends")
    assert function.invoke(delivered(message, 2)) == (200, {"batchItemFailures": []})
    assert process and function.process_id() == process
    assert aws.operations() == ["ChangeMessageVisibilityBatch", "PutEvents", "DeleteMessage"]
    assert ended(aws) == ("already_detached", {"deliveries": 2, "detach_calls": 0, "read_calls": 2, "retries": {}})
    assert alibaba.detach_calls("ep-hp3shop") == 1
    assert "Task timed out" not in function.log()


def test_worker_that_is_killed_while_waiting_is_continued_by_the_next_process(
    start, worker_environment, event, alibaba, aws
):
    """The worker ends long before its timeout, so the test freezes it while it waits for the detach. The emulator kills
    it at the timeout, and another process reads the endpoint and confirms the detach."""
    function = start("WORKER", {**worker_environment, "AWS_LAMBDA_FUNCTION_TIMEOUT": "20"})
    message = delivered(event("queue-single"), 1)
    wait_for_response = function.start_invocation(message)
    eventually(lambda: alibaba.detach_calls("ep-hp3shop") == 1, "the detach is called")
    function.freeze()
    killed = function.process_id()

    assert wait_for_response() == (200, "Task timed out after 20.00 seconds")
    assert aws.calls == []
    assert len(alibaba.groups("ep-hp3shop")) == 1

    assert function.invoke(delivered(message, 2)) == (200, {"batchItemFailures": []})
    assert function.process_id() not in (None, killed)
    assert aws.operations() == ["PutEvents", "DeleteMessage"]
    assert ended(aws) == ("already_detached", {"deliveries": 2, "detach_calls": 0, "read_calls": 2, "retries": {}})
    called = [call["action"] for call in alibaba.journal()]
    assert (called.count(DETACH), called[-2:]) == (1, [LIST_GROUPS, LIST_ENDPOINTS])


def delivered(event, count):
    """Sets the times and the receive count as SQS does at the given delivery."""
    for record in event["Records"]:
        attributes = record["attributes"]
        if count == 1:
            now = str(int(time.time() * 1000))
            attributes.update(SentTimestamp=now, ApproximateFirstReceiveTimestamp=now)
        attributes["ApproximateReceiveCount"] = str(count)
    return event


def ended(aws):
    (event,) = aws.events()
    return event["outcome"], event["effort"]
