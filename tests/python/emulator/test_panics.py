"""A panic fails only its own lane or its own invocation."""

import json
import time


def record(message_id, endpoint_id):
    now = str(int(time.time() * 1000))
    body = {"region_id": "eu-west-1", "endpoint_id": endpoint_id, "security_group_id": "sg-a", "dry_run": True}
    return {
        "messageId": message_id,
        "receiptHandle": f"handle of {message_id}",
        "body": json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": now,
            "ApproximateFirstReceiveTimestamp": now,
            "MessageGroupId": f"eu-west-1/{endpoint_id}",
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:requests.fifo",
        "awsRegion": "eu-central-1",
    }


def lines(function, message):
    every = [json.loads(line) for line in function.own_lines()]
    return [line for line in every if line["message"].startswith(message)]


def test_panic_in_a_batch_fails_only_its_lane(start):
    function = start("PANICKING", {})
    batch = [record("m-1", "ep-a"), record("m-2", "ep-cursed"), record("m-3", "ep-b")]
    assert function.invoke({"Records": batch}) == (200, {"batchItemFailures": [{"itemIdentifier": "m-2"}]})
    process = function.process_id()
    (panicked,) = lines(function, "panicked")
    assert (panicked["panic_message"], panicked["span"]["endpoint_id"]) == ("cursed", "ep-cursed")
    completed = {(line["span"]["request_id"], line["outcome"]) for line in lines(function, "completed")}
    assert completed == {("m-1", "dry_run_passed"), ("m-3", "dry_run_passed")}

    assert function.invoke({"Records": [record("m-4", "ep-a")]}) == (200, {"batchItemFailures": []})
    assert process and function.process_id() == process


def test_panic_in_a_direct_invocation_fails_only_that_invocation(start):
    """AWS's runtime crate catches this panic, and the error type is the crate's."""
    function = start("PANICKING", {})
    request = {"region_id": "eu-west-1", "endpoint_id": "ep-cursed", "security_group_id": "sg-a"}
    status, error = function.invoke(request)
    process = function.process_id()
    assert (status, error["errorMessage"]) == (200, "Lambda panicked: cursed")
    assert len(lines(function, "panicked")) == 1

    status, detail = function.invoke({**request, "endpoint_id": "ep-a", "dry_run": True})
    assert (status, detail["outcome"]) == (200, "dry_run_passed")
    assert process and function.process_id() == process
