"""Sweeps: one that a schedule starts, with the worker that carries out its requests, and sweeps without requests."""

import json
import time
from pathlib import Path

from completions import SWEPT
from shared.processes import eventually
from shared.simulator import ACCESS_KEY, DESCRIBE_GROUPS, LIST_GROUPS, REGION, endpoint

INVALID = Path(__file__).parents[3] / "events" / "sweep-invalid.json"

GROUP, OTHER = "sg-swept", "sg-web"

# Forty endpoints. Six of them are blocked, so that 34 detaches are requested.
ENDPOINTS = [f"ep-sweep-{number:02}" for number in range(40)]
PROTECTED, LAST, LOCKED = ENDPOINTS[:3], ENDPOINTS[3:5], ENDPOINTS[5]
REQUESTED = ENDPOINTS[6:]

BLOCKED = {
    **dict.fromkeys(PROTECTED, "ProtectedEndpoint"),
    **dict.fromkeys(LAST, "EndpointMustContainSecurityGroup"),
    LOCKED: "FinancialLocked",
}


def start(alibaba, endpoints=ENDPOINTS, access_key=ACCESS_KEY):
    """Resets the simulator to these endpoints, which all use the group."""

    def described(endpoint_id):
        groups = [GROUP] if endpoint_id in LAST else [GROUP, OTHER]
        status = "FinancialLocked" if endpoint_id == LOCKED else "Normal"
        return endpoint(endpoint_id, groups, business_status=status)

    alibaba.start_over(
        settings={"detach_takes_ms": 100},
        access_keys=[access_key],
        endpoints=[described(endpoint_id) for endpoint_id in endpoints],
    )


def request(sweep_id, **fields):
    """A sweep request in mode `apply` for every endpoint."""
    sweep = {"sweep_id": sweep_id, "security_group_ids": [GROUP], "region_ids": [REGION], "scope": "all"}
    return {**sweep, "mode": "apply", "max_detaches": 1000, **fields}


def references(detail):
    return {reference["endpoint_id"]: reference["blocked_by"] for reference in detail["references"]}


def requests_of(consumer, sweep_id):
    """The details of the completion events of a sweep's requests."""
    details = [event["detail"] for event in consumer.received() if event["detail-type"] != SWEPT]
    return [detail for detail in details if detail["metadata"].get("sweep_id") == sweep_id]


def response_to(stack, sweep_id):
    def response():
        exchanges = stack.exchanges("SweeperFunctionName")
        [exchange] = [each for each in exchanges if each["event"].get("sweep_id") == sweep_id]
        return exchange.get("response")

    return eventually(response, "the response")


def test_scheduled_sweep_takes_a_group_off_every_endpoint_that_is_not_blocked(stack, alibaba, consumer):
    start(alibaba)
    stack.deploy(
        {
            "ProtectedEndpoints": ",".join(PROTECTED),
            "SweepScheduleExpression": time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 1)),
            # A literal id: MiniStack does not replace `<aws.scheduler.execution-id>`.
            "SweepInput": json.dumps(request("sweep-first", max_detaches=34, metadata={"ticket": "CHG0031044"})),
        }
    )
    try:
        first = consumer.wait_for("sweep-first")["detail"]
        response = response_to(stack, "sweep-first")
        stack.wait_until_empty()
    finally:
        stack.deploy({"ProtectedEndpoints": "", "SweepScheduleExpression": "", "SweepInput": ""})

    # The three protected endpoints are no longer protected. Here the other three are unblocked in Alibaba Cloud.
    state = alibaba.state()
    for each in state["endpoints"]:
        if each["endpoint_id"] in LAST:
            each["security_groups"].append(OTHER)
        each["business_status"] = "Normal"
    alibaba.start_over(**state)
    # Invoked as Scheduler invokes it, because MiniStack's schedule of a name fires only once.
    stack.invoke_async("SweeperFunctionName", request("sweep-second", max_detaches=6))
    second = consumer.wait_for("sweep-second")["detail"]
    stack.wait_until_empty()

    assert (first["mode"], first["verdict"], first["reason"]) == ("apply", "references_found", None)
    assert references(first) == BLOCKED
    assert not any(reference["requested"] for reference in first["references"])
    assert [first[name] for name in ("requested_count", "references_total", "remaining_count")] == [34, 6, 6]
    assert (first["endpoints_read"], first["endpoints_unread"]) == ({REGION: 40}, {})
    assert first["security_groups_found"] is True
    assert response == first
    details = requests_of(consumer, "sweep-first")
    assert sorted(detail["endpoint_id"] for detail in details) == REQUESTED
    assert {(detail["trigger"], detail["outcome"]) for detail in details} == {("sweep", "detached")}
    assert details[0]["metadata"] == {"ticket": "CHG0031044", "sweep_id": "sweep-first"}

    assert (second["verdict"], second["requested_count"], second["references"]) == ("no_references", 6, [])
    assert second["security_groups_found"] is True
    assert sorted(detail["endpoint_id"] for detail in requests_of(consumer, "sweep-second")) == sorted(BLOCKED)
    assert all(alibaba.groups(endpoint_id) == {OTHER: "Attached"} for endpoint_id in ENDPOINTS)
    assert "SweepSchedule" not in [resource["LogicalResourceId"] for resource in stack.resources()]


def check_that_nothing_was_requested(stack, alibaba, consumer, detail):
    assert consumer.wait_for(detail["sweep_id"])["detail"] == detail
    assert (detail["requested_count"], stack.waiting()) == (0, 0)
    calls = {call["action"] for call in alibaba.journal()}
    assert not any(action.startswith(("Detach", "Attach")) for action in calls), calls
    assert requests_of(consumer, detail["sweep_id"]) == []


def test_sweep_with_more_references_than_max_detaches_requests_nothing(stack, alibaba, consumer):
    # 34 references that can be requested, and three blocked ones, which do not count toward max_detaches.
    start(alibaba, endpoints=ENDPOINTS[3:])
    detail = stack.sweep(request("sweep-over-limit", max_detaches=33))
    assert (detail["verdict"], detail["reason"]["code"]) == ("over_limit", "OverLimit")
    blocked = {endpoint_id: code for endpoint_id, code in references(detail).items() if code}
    assert blocked == {endpoint_id: BLOCKED[endpoint_id] for endpoint_id in [*LAST, LOCKED]}
    assert (detail["references_total"], detail["remaining_count"]) == (37, 37)
    check_that_nothing_was_requested(stack, alibaba, consumer, detail)


def test_sweep_with_an_unreadable_endpoint_requests_nothing(stack, alibaba, consumer):
    start(alibaba, endpoints=REQUESTED)
    state = alibaba.state()
    state["faults"] = [
        {
            "action": LIST_GROUPS,
            "endpoint_id": REQUESTED[7],
            "fault": {"kind": "code", "code": "NoPermission"},
        }
    ]
    alibaba.start_over(**state)
    detail = stack.sweep(request("sweep-incomplete"))
    assert (detail["verdict"], detail["reason"]["code"]) == ("incomplete", "Incomplete")
    unread = {"endpoint_id": REQUESTED[7], "code": "NoPermission"}
    assert detail["endpoints_unread"] == {REGION: {"list_error": None, "total": 1, "endpoints": [unread]}}
    assert detail["endpoints_read"] == {REGION: 33}
    check_that_nothing_was_requested(stack, alibaba, consumer, detail)


def test_sweep_that_reads_no_endpoint_does_not_call_the_group_unused(stack, alibaba, consumer):
    start(alibaba, endpoints=REQUESTED[:3])
    detail = stack.sweep(request("sweep-nowhere", scope={"vpc_id": "vpc-elsewhere"}))
    assert (detail["verdict"], detail["reason"]["code"]) == ("no_endpoints", "NoEndpoints")
    assert detail["endpoints_read"] == {REGION: 0}
    check_that_nothing_was_requested(stack, alibaba, consumer, detail)


def test_mistyped_group_is_not_reported_as_unused(stack, alibaba, consumer):
    start(alibaba, endpoints=REQUESTED[:3])
    detail = stack.sweep(request("sweep-mistyped", security_group_ids=["sg-swpet"]))
    assert (detail["verdict"], detail["security_groups_found"]) == ("incomplete", False)
    check_that_nothing_was_requested(stack, alibaba, consumer, detail)

    detail = stack.sweep(request("sweep-letter-case", security_group_ids=[GROUP.upper().replace("SG-", "sg-")]))
    assert (detail["verdict"], detail["security_groups_found"]) == ("incomplete", False)
    assert GROUP in detail["reason"]["message"]
    check_that_nothing_was_requested(stack, alibaba, consumer, detail)

    # Without the permission for the check that the groups exist, the event says that it was not made.
    start(alibaba, endpoints=REQUESTED[:3], access_key={**ACCESS_KEY, "denied_actions": [DESCRIBE_GROUPS]})
    detail = stack.sweep(request("sweep-unchecked", security_group_ids=["sg-swpet"]))
    assert (detail["verdict"], detail["security_groups_found"]) == ("no_references", None)
    check_that_nothing_was_requested(stack, alibaba, consumer, detail)


def test_invalid_sweep_is_sent_to_the_failure_queue_after_one_attempt(stack, alibaba):
    start(alibaba, endpoints=[])
    sweep = json.loads(INVALID.read_text(encoding="utf-8"))
    stack.invoke_async("SweeperFunctionName", sweep)

    failed = stack.receive("SweeperFailureQueueUrl")
    stack.delete("SweeperFailureQueueUrl", failed)

    errors = [each["error"] for each in stack.exchanges("SweeperFunctionName") if each["event"] == sweep]
    assert [error["errorType"] for error in errors] == ["InvalidSweep"]
    failure = json.loads(failed["Body"])
    assert (failure["requestPayload"], failure["responsePayload"]) == (sweep, errors[-1])
    assert alibaba.counts()["calls_total"] == 0
