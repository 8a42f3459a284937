"""Messages in the queue: lanes, batches and their answers, dead letters."""

from alibaba import ACCESS_KEY, DETACH, LONG_MS, request
from completions import FAILED
from processes import eventually


def test_a_batch_of_ten_goes_by_lanes_side_by_side_and_each_request_has_one_outcome(stack, alibaba, consumer):
    lanes = [f"ep-lane-{number}" for number in range(1, 6)]
    two = ("ep-lane-1", ["sg-a", "sg-b", "sg-web"])
    others = [(endpoint, ["sg-a", "sg-web"]) for endpoint in lanes[1:]]
    still = [("ep-dry", ["sg-a", "sg-web"]), ("ep-gone", ["sg-web"]), ("ep-last", ["sg-a"])]
    alibaba.begin(two, *others, *still, detach_takes_ms=LONG_MS)
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

    # None of these detaches ends by itself, so all of them run at the same time.
    eventually(lambda: all(alibaba.detach_calls(endpoint) for endpoint in lanes), "a detach in every lane")
    first = [alibaba.counts(endpoint) for endpoint in lanes]
    alibaba.end_tasks(detach_takes_ms=500)

    events = {each["request_id"]: consumer.wait_for(each["request_id"]) for each in requests}
    stack.wait_until_empty()
    then = [alibaba.counts(endpoint) for endpoint in lanes]
    assert [each["detaches_accepted"] for each in first] == [1, 1, 1, 1, 1]
    assert [each["detaches_accepted"] for each in then] == [1, 0, 0, 0, 0], "the second request of the first lane"
    assert [each["detaches_in_flight_max"] for each in first] == [1, 1, 1, 1, 1]
    assert [each["detaches_in_flight_max"] for each in then] == [1, 0, 0, 0, 0]
    assert {each["lock_rejections"] for each in first + then} == {0}
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
    eventually(lambda: stack.batches(ids[0])[0].get("response") == {"batchItemFailures": []}, "the answer")


def test_only_what_is_not_finished_goes_back_with_all_of_its_lane(stack, alibaba, consumer):
    alibaba.begin(("ep-slow", ["sg-a", "sg-b", "sg-web"]), ("ep-done", ["sg-web"]), detach_takes_ms=LONG_MS)
    names = ["back-slow", "back-behind", "back-done"]
    # All but the last 10 seconds of an invocation are for requests.
    with stack.worker_timeout(15):
        with stack.paused():
            slow, behind, done = stack.send(
                request("ep-slow", "sg-a", request_id="back-slow"),
                request("ep-slow", "sg-b", request_id="back-behind"),
                request("ep-done", "sg-a", request_id="back-done"),
            )
        first = eventually(lambda: answered(stack, slow), "the first invocation ends")[0]
        counts = alibaba.counts("ep-slow")
        alibaba.end_tasks(detach_takes_ms=100)
        details = [consumer.wait_for(name)["detail"] for name in names]
        stack.wait_until_empty()

    failures = sorted(failure["itemIdentifier"] for failure in first["response"]["batchItemFailures"])
    assert failures == sorted([slow, behind])
    assert counts["detaches_accepted"] == 1, "nothing is asked for what stands behind"
    assert [detail["outcome"] for detail in details] == ["already_detached", "detached", "already_detached"]
    deliveries = [detail["effort"]["deliveries"] for detail in details]
    assert deliveries == [len(stack.batches(slow)), len(stack.batches(behind)), 1] and deliveries[0] > 1
    assert [len(consumer.of(name)) for name in names] == [1, 1, 1]


def test_a_request_that_ram_denied_is_kept_and_ends_well_when_it_is_redriven(stack, alibaba, consumer):
    denied = {**ACCESS_KEY, "denied_actions": [DETACH]}
    alibaba.begin(("ep-denied", ["sg-old", "sg-web"]), access_key=denied)
    [message_id] = stack.send(asked := request("ep-denied", "sg-old", metadata={"ticket": "CHG0031043"}))

    # A request that does not name itself is named after its message.
    event = consumer.wait_for(message_id)
    reason = event["detail"]["reason"]
    assert (event["detail-type"], event["detail"]["outcome"]) == (FAILED, "refused")
    assert (reason["code"], reason["runbook"]) == ("NoPermission", "docs/runbook.md#nopermission")
    assert event["detail"]["evidence"] == {
        "security_groups_before": ["sg-old", "sg-web"],
        "security_groups_after": ["sg-old", "sg-web"],
        "endpoint_status": "Active",
        "confirmed_at": None,
    }
    letter = stack.receive("DeadLetterQueueUrl")
    check_letter(letter, event, message_id, "eu-west-1/ep-denied")
    assert letter["Body"] == stack.batches(message_id)[0]["event"]["Records"][0]["body"]

    alibaba.begin(("ep-denied", ["sg-old", "sg-web"]), detach_takes_ms=100)
    stack.redrive(letter)

    again = consumer.wait_for(message_id, number=2)["detail"]
    assert (again["outcome"], again["effort"]["deliveries"], again["metadata"]) == ("detached", 1, asked["metadata"])
    assert alibaba.groups("ep-denied") == ["sg-web"]


def test_a_malformed_message_is_rejected_and_kept_and_nothing_is_called(stack, alibaba, consumer):
    alibaba.begin(("ep-quiet", ["sg-old", "sg-web"]))
    message_id = stack.send_text('{"region_id": "eu-west-1", "endpoint_id": "ep-quiet"')

    event = consumer.wait_for(message_id)
    letter = stack.receive("DeadLetterQueueUrl")
    check_letter(letter, event, message_id, "lane")
    stack.delete("DeadLetterQueueUrl", letter)
    assert letter["Body"] == '{"region_id": "eu-west-1", "endpoint_id": "ep-quiet"'
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
        "region_id": None,
        "endpoint_id": None,
        "security_group_id": None,
        "evidence": {
            "security_groups_before": None,
            "security_groups_after": None,
            "endpoint_status": None,
            "confirmed_at": None,
        },
        "effort": {"deliveries": 1, "detach_calls": 0, "look_calls": 0, "retries": {}},
        "api_request_ids": [],
        "metadata": {},
    }
    assert alibaba.get("counts")["calls_total"] == 0


def answered(stack, message_id):
    return [exchange for exchange in stack.batches(message_id) if "response" in exchange]


def check_letter(letter, event, message_id, lane):
    detail = event["detail"]
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {
        "reason_code": detail["reason"]["code"],
        "reason_message": detail["reason"]["message"][:256],
        "outcome": detail["outcome"],
        "request_id": detail["request_id"],
        "source_message_id": message_id,
        "trigger": detail["trigger"],
    }
    assert letter["Attributes"]["MessageGroupId"] == lane
    assert letter["Attributes"]["MessageDeduplicationId"] == message_id
