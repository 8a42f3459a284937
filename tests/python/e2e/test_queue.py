"""Messages in the queue: lanes, batches and their responses, dead-letter copies."""

from completions import FAILED
from shared.processes import eventually
from shared.simulator import ACCESS_KEY, DETACH, LONG_MS, endpoint
from stack import request


def test_lanes_of_a_batch_run_concurrently_and_each_request_has_one_outcome(stack, alibaba, consumer):
    lanes = [f"ep-lane-{number}" for number in range(1, 6)]
    first_lane = ("ep-lane-1", ["sg-a", "sg-b", "sg-web"])
    other_lanes = [(endpoint, ["sg-a", "sg-web"]) for endpoint in lanes[1:]]
    unchanged = [("ep-dry", ["sg-a", "sg-web"]), ("ep-gone", ["sg-web"]), ("ep-last", ["sg-a"])]
    alibaba.start_with(first_lane, *other_lanes, *unchanged, detach_takes_ms=LONG_MS)
    requests = [
        request("ep-lane-1", "sg-a", request_id="batch-first"),
        request("ep-lane-1", "sg-b", request_id="batch-second"),
        *[request(endpoint, "sg-a", request_id=f"batch-{endpoint}") for endpoint in lanes[1:]],
        request("ep-dry", "sg-a", request_id="batch-dry", dry_run=True),
        request("ep-gone", "sg-a", request_id="batch-gone"),
        request("ep-last", "sg-a", request_id="batch-last"),
        request("ep-unknown", "sg-a", request_id="batch-unknown"),
    ]
    with stack.paused():
        ids = stack.send(*requests)

    # No detach ends before `end_tasks`, so all of them run at the same time.
    eventually(lambda: all(alibaba.detach_calls(endpoint) for endpoint in lanes), "a detach in every lane")
    before = [alibaba.endpoint_counts(endpoint) for endpoint in lanes]
    alibaba.end_tasks(detach_takes_ms=500)

    events = {each["request_id"]: consumer.wait_for(each["request_id"]) for each in requests}
    stack.wait_until_empty()
    after = [alibaba.endpoint_counts(endpoint) for endpoint in lanes]
    assert [each["detaches_accepted"] for each in before] == [1, 1, 1, 1, 1]
    assert [each["detaches_accepted"] for each in after] == [1, 0, 0, 0, 0], "the second request of the first lane"
    assert [each["detaches_in_flight_max"] for each in before] == [1, 1, 1, 1, 1]
    assert [each["detaches_in_flight_max"] for each in after] == [1, 0, 0, 0, 0]
    assert {each["lock_rejections"] for each in before + after} == {0}
    details = {name: event["detail"] for name, event in events.items()}
    assert {name: (d["outcome"], (d["reason"] or {}).get("code")) for name, d in details.items()} == {
        "batch-first": ("detached", None),
        "batch-second": ("detached", None),
        "batch-ep-lane-2": ("detached", None),
        "batch-ep-lane-3": ("detached", None),
        "batch-ep-lane-4": ("detached", None),
        "batch-ep-lane-5": ("detached", None),
        "batch-dry": ("dry_run_passed", None),
        "batch-gone": ("already_detached", None),
        "batch-last": ("refused", "EndpointMustContainSecurityGroup"),
        "batch-unknown": ("refused", "EndpointNotFound"),
    }
    assert all(len(consumer.of(name)) == 1 for name in events)
    assert details["batch-first"]["completed_at"] <= details["batch-second"]["evidence"]["confirmed_at"]
    [batch] = stack.batches(ids[0])
    assert [record["messageId"] for record in batch["event"]["Records"]] == ids
    eventually(lambda: stack.batches(ids[0])[0].get("response") == {"batchItemFailures": []}, "the response")


def test_last_group_is_detached_after_its_replacement_is_attached(stack, alibaba, consumer):
    stack.deploy({"ReplacementSecurityGroups": "vpc-other=sg-other,vpc-shop=sg-spare"})
    try:
        alibaba.start_over(
            settings={"attach_takes_ms": 200, "detach_takes_ms": 200},
            access_keys=[ACCESS_KEY],
            endpoints=[endpoint("ep-replaced", ["sg-old"], vpc_id="vpc-shop")],
            security_groups=["sg-spare"],
        )
        stack.send(request("ep-replaced", "sg-old", request_id="replaced"))
        detail = consumer.wait_for("replaced")["detail"]
        stack.wait_until_empty()
    finally:
        stack.deploy({"ReplacementSecurityGroups": ""})

    assert (detail["outcome"], detail["reason"]) == ("detached", None)
    evidence = detail["evidence"]
    assert evidence["replacement_security_group_id"] == "sg-spare"
    assert (evidence["security_groups_before"], evidence["security_groups_after"]) == (["sg-old"], ["sg-spare"])
    assert alibaba.groups("ep-replaced") == {"sg-spare": "Attached"}
    writes = [(call["action"], call["security_group_id"]) for call in alibaba.journal() if call["security_group_id"]]
    assert writes == [("AttachSecurityGroupToVpcEndpoint", "sg-spare"), (DETACH, "sg-old")]


def test_unfinished_request_returns_to_the_queue_with_the_rest_of_its_lane(stack, alibaba, consumer):
    alibaba.start_with(("ep-slow", ["sg-a", "sg-b", "sg-web"]), ("ep-done", ["sg-web"]), detach_takes_ms=LONG_MS)
    names = ["return-slow", "return-next", "return-done"]
    # The last 10 seconds of an invocation are reserved for AWS calls.
    with stack.worker_timeout(15):
        with stack.paused():
            slow, next_in_lane, done = stack.send(
                request("ep-slow", "sg-a", request_id="return-slow"),
                request("ep-slow", "sg-b", request_id="return-next"),
                request("ep-done", "sg-a", request_id="return-done"),
            )
        first = eventually(lambda: ended(stack, slow), "the first invocation ends")[0]
        counts = alibaba.endpoint_counts("ep-slow")
        alibaba.end_tasks(detach_takes_ms=100)
        details = [consumer.wait_for(name)["detail"] for name in names]
        stack.wait_until_empty()

    failures = sorted(failure["itemIdentifier"] for failure in first["response"]["batchItemFailures"])
    assert failures == sorted([slow, next_in_lane])
    assert counts["detaches_accepted"] == 1, "no detach for the next request in the lane"
    assert [detail["outcome"] for detail in details] == ["already_detached", "detached", "already_detached"]
    deliveries = [detail["effort"]["deliveries"] for detail in details]
    assert deliveries == [len(stack.batches(slow)), len(stack.batches(next_in_lane)), 1] and deliveries[0] > 1
    assert [len(consumer.of(name)) for name in names] == [1, 1, 1]


def test_request_denied_by_ram_is_copied_to_the_dead_letter_queue_and_can_be_redriven(stack, alibaba, consumer):
    denied = {**ACCESS_KEY, "denied_actions": [DETACH]}
    alibaba.start_with(("ep-denied", ["sg-old", "sg-web"]), access_key=denied)
    [message_id] = stack.send(sent := request("ep-denied", "sg-old", metadata={"ticket": "CHG0031043"}))

    # Without a request_id, the message id is the default.
    event = consumer.wait_for(message_id)
    reason = event["detail"]["reason"]
    assert (event["detail-type"], event["detail"]["outcome"]) == (FAILED, "refused")
    assert (reason["code"], reason["runbook"]) == ("NoPermission", "docs/runbook.md#nopermission")
    assert event["detail"]["evidence"] == {
        "security_groups_before": ["sg-old", "sg-web"],
        "security_groups_after": ["sg-old", "sg-web"],
        "security_group_seen": True,
        "replacement_security_group_id": None,
        "endpoint_status": "Active",
        "confirmed_at": None,
    }
    copy = stack.receive("DeadLetterQueueUrl")
    check_dead_letter_copy(copy, event, message_id, "eu-west-1/ep-denied")
    assert copy["Body"] == stack.batches(message_id)[0]["event"]["Records"][0]["body"]

    alibaba.start_with(("ep-denied", ["sg-old", "sg-web"]), detach_takes_ms=100)
    stack.redrive(copy)

    again = consumer.wait_for(message_id, number=2)["detail"]
    assert (again["outcome"], again["effort"]["deliveries"], again["metadata"]) == ("detached", 1, sent["metadata"])
    assert alibaba.groups("ep-denied") == {"sg-web": "Attached"}


def test_malformed_message_is_rejected_and_copied_without_a_call(stack, alibaba, consumer):
    alibaba.start_with(("ep-quiet", ["sg-old", "sg-web"]))
    message_id = stack.send_text('{"region_id": "eu-west-1", "endpoint_id": "ep-quiet"')

    event = consumer.wait_for(message_id)
    copy = stack.receive("DeadLetterQueueUrl")
    check_dead_letter_copy(copy, event, message_id, "lane")
    stack.delete("DeadLetterQueueUrl", copy)
    assert copy["Body"] == '{"region_id": "eu-west-1", "endpoint_id": "ep-quiet"'
    detail = event["detail"]
    reason = detail.pop("reason")
    assert (event["detail-type"], reason["code"]) == (FAILED, "InvalidRequest")
    for name in ("accepted_at", "started_at", "completed_at", "duration_ms"):
        del detail[name]
    assert detail == {
        "version": "1",
        "request_id": message_id,
        "outcome": "rejected",
        "trigger": "queue",
        "dry_run": None,
        "region_id": None,
        "endpoint_id": None,
        "security_group_id": None,
        "evidence": {
            "security_groups_before": None,
            "security_groups_after": None,
            "security_group_seen": None,
            "replacement_security_group_id": None,
            "endpoint_status": None,
            "confirmed_at": None,
        },
        "effort": {"deliveries": 1, "detach_calls": 0, "read_calls": 0, "retries": {}},
        "api_request_ids": [],
        "metadata": {},
    }
    assert alibaba.counts()["calls_total"] == 0


def ended(stack, message_id):
    return [exchange for exchange in stack.batches(message_id) if "response" in exchange]


def check_dead_letter_copy(copy, event, message_id, lane):
    detail = event["detail"]
    attributes = {name: value["StringValue"] for name, value in copy["MessageAttributes"].items()}
    assert attributes == {
        "reason_code": detail["reason"]["code"],
        "reason_message": detail["reason"]["message"][:256],
        "outcome": detail["outcome"],
        "request_id": detail["request_id"],
        "source_message_id": message_id,
        "trigger": detail["trigger"],
    }
    assert copy["Attributes"]["MessageGroupId"] == lane
    assert copy["Attributes"]["MessageDeduplicationId"] == message_id
