"""What becomes of an invocation that has less time than its detach takes, and of one that takes longer than it may."""

import time

from rie import eventually

GROUPS, ENDPOINTS = "ListVpcEndpointSecurityGroups", "ListVpcEndpoints"
DETACH = "DetachSecurityGroupFromVpcEndpoint"


def test_the_worker_hands_back_before_its_time_is_up(start, worker_environment, event, alibaba, aws):
    """Of 16 seconds it keeps 10 for its calls to AWS, and the detach takes longer than what is left."""
    alibaba.start_over(["sg-hp3vendor", "sg-hp3own"], detach_takes_ms=12_000)
    function = start("WORKER", {**worker_environment, "AWS_LAMBDA_FUNCTION_TIMEOUT": "16"})
    message = delivered(event("queue-single"), 1)
    (record,) = message["Records"]

    handed_back = {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert function.invoke(message) == (200, handed_back)
    process = function.process_id()
    ((operation, changed),) = aws.calls
    (entry,) = changed["Entries"]
    assert (operation, entry["ReceiptHandle"]) == ("ChangeMessageVisibilityBatch", record["receiptHandle"])
    assert 4 <= entry["VisibilityTimeout"] <= 6

    eventually(lambda: len(alibaba.groups()) == 1, "the detach is done")
    assert function.invoke(delivered(message, 2)) == (200, {"batchItemFailures": []})
    assert process and function.process_id() == process
    assert aws.operations() == ["ChangeMessageVisibilityBatch", "PutEvents", "DeleteMessage"]
    assert ended(aws) == ("already_detached", {"deliveries": 2, "detach_calls": 0, "look_calls": 2, "retries": {}})
    assert alibaba.called().count(DETACH) == 1
    assert "Task timed out" not in function.log()


def test_a_worker_that_is_killed_in_the_middle_of_a_wait_leaves_the_truth_to_the_next(
    start, worker_environment, event, alibaba, aws
):
    """The worker itself ends long before its limit, so it is frozen while it waits for the detach. The emulator kills it
    when its time is up; another process looks, and finds that nothing is left to be done."""
    function = start("WORKER", {**worker_environment, "AWS_LAMBDA_FUNCTION_TIMEOUT": "20"})
    message = delivered(event("queue-single"), 1)
    answer = function.invoke_meanwhile(message)
    eventually(lambda: alibaba.called().count(DETACH) == 1, "the detach is asked for")
    function.freeze()
    killed = function.process_id()

    assert answer() == (200, "Task timed out after 20.00 seconds")
    assert aws.calls == []
    assert len(alibaba.groups()) == 1

    assert function.invoke(delivered(message, 2)) == (200, {"batchItemFailures": []})
    assert function.process_id() not in (None, killed)
    assert aws.operations() == ["PutEvents", "DeleteMessage"]
    assert ended(aws) == ("already_detached", {"deliveries": 2, "detach_calls": 0, "look_calls": 2, "retries": {}})
    called = alibaba.called()
    assert (called.count(DETACH), called[-2:]) == (1, [GROUPS, ENDPOINTS])


def delivered(event, count):
    """The event as SQS delivers it now, for the so-many-th time."""
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
