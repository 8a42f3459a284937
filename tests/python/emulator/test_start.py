"""The release programs respond to two invocations in one process under AWS's runtime emulator."""

import re

import pytest

from shared.simulator import DESCRIBE_GROUPS, DETACH, LIST_ENDPOINTS, LIST_GROUPS

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# The request ids of the third and the sixth call after the simulator starts over.
THIRD_CALL, SIXTH_CALL = "4FAD8879-896D-31FB-1D0B-14E4DB018FED", "9601D57E-7616-8D1C-BD64-A5D9ADEFE000"


def test_worker_responds_twice_in_one_process(start, worker_environment, event, alibaba, aws):
    function = start("WORKER", worker_environment)
    status, first = function.invoke(event("direct-dry-run"))
    process = function.process_id()
    assert (status, first) == (200, passed(first, THIRD_CALL))
    status, second = function.invoke(event("direct-dry-run"))
    assert (status, second) == (200, passed(second, SIXTH_CALL))
    assert function.process_id() == process
    assert re.findall(r"^START RequestId: (\S+)", function.log(), re.MULTILINE) == [
        first["request_id"],
        second["request_id"],
    ]
    assert aws.operations() == ["PutEvents", "PutEvents"] and aws.events() == [first, second]
    called = [call["action"] for call in alibaba.journal()]
    assert called == [LIST_GROUPS, LIST_ENDPOINTS, DETACH] * 2
    assert alibaba.endpoint_counts("ep-hp3shop")["detaches_accepted"] == 0


def passed(detail, api_request_id):
    """The expected detail of a passed dry run. Times and ids are checked and taken from the actual detail."""
    accepted_at, started_at, completed_at = (detail[name] for name in ("accepted_at", "started_at", "completed_at"))
    assert all(MOMENT.fullmatch(moment) for moment in (accepted_at, started_at, completed_at))
    assert accepted_at <= started_at <= completed_at and 0 <= detail["duration_ms"] < 60_000
    groups = ["sg-hp3own", "sg-hp3vendor"]
    return {
        "version": "1",
        "request_id": detail["request_id"],
        "outcome": "dry_run_passed",
        "trigger": "direct",
        "dry_run": True,
        "region_id": "eu-west-1",
        "endpoint_id": "ep-hp3shop",
        "security_group_id": "sg-hp3vendor",
        "reason": None,
        "evidence": {
            "security_groups_before": groups,
            "security_groups_after": groups,
            "security_group_seen": True,
            "replacement_security_group_id": None,
            "endpoint_status": "Active",
            "confirmed_at": None,
        },
        "effort": {"deliveries": 1, "detach_calls": 1, "read_calls": 2, "retries": {}},
        "accepted_at": accepted_at,
        "started_at": started_at,
        "completed_at": completed_at,
        "duration_ms": detail["duration_ms"],
        "api_request_ids": [api_request_id],
        "metadata": {},
    }


def test_intake_responds_twice_in_one_process(start, intake_environment, event, aws):
    function = start("INTAKE", intake_environment)
    healthy = {
        "statusCode": 204,
        "headers": {"cache-control": "no-store"},
        "body": None,
        "cookies": [],
        "isBase64Encoded": False,
    }
    assert function.invoke(event("health")) == (200, healthy)
    process = function.process_id()
    assert function.invoke(event("health")) == (200, healthy)
    assert process and function.process_id() == process
    assert aws.calls == []


def test_messenger_responds_twice_in_one_process(start, messenger_environment, aws):
    function = start("MESSENGER", messenger_environment)
    record = {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
    }
    # A message that is no notice is deleted.
    assert function.invoke({"Records": [record]}) == (200, {"batchItemFailures": []})
    process = function.process_id()
    assert function.invoke({"Records": [record]}) == (200, {"batchItemFailures": []})
    assert process and function.process_id() == process
    assert aws.calls == []


def test_sweeper_responds_twice_in_one_process(start, sweeper_environment, event, alibaba, aws):
    function = start("SWEEPER", sweeper_environment)
    status, first = function.invoke(event("sweep-report"))
    process = function.process_id()
    assert (status, first) == (200, reported(first))
    status, second = function.invoke(event("sweep-report"))
    assert (status, second) == (200, reported(second))
    assert process and function.process_id() == process
    assert aws.operations() == ["PutEvents", "PutEvents"] and aws.events() == [first, second]
    called = [call["action"] for call in alibaba.journal()]
    # The scope is listed before and after the groups. Whether the groups exist is checked at the same time.
    reads = [action for action in called if action != DESCRIBE_GROUPS]
    assert reads == [LIST_ENDPOINTS, LIST_GROUPS, LIST_ENDPOINTS] * 2 and len(called) == 8


def test_invalid_sweep_fails_and_the_process_continues(start, sweeper_environment, event, alibaba, aws):
    function = start("SWEEPER", sweeper_environment)
    message = (
        "the sweep request is not valid: scope.vpc is not a filter; max_detaches is required with apply;"
        " 0 allows no detach"
    )
    assert function.invoke(event("sweep-invalid")) == (200, {"errorType": "InvalidSweep", "errorMessage": message})
    process = function.process_id()
    assert (aws.calls, alibaba.journal()) == ([], [])
    # The deployment does not allow `apply`, so it is a report.
    status, detail = function.invoke(event("sweep-over-limit"))
    assert (status, detail["mode"], detail["mode_requested"]) == (200, "report", "apply")
    assert process and function.process_id() == process
    assert aws.operations() == ["PutEvents"]


def reported(detail):
    """The expected detail of a report. Its times are checked and taken from the actual detail."""
    started_at, completed_at = detail["started_at"], detail["completed_at"]
    assert MOMENT.fullmatch(started_at) and MOMENT.fullmatch(completed_at) and started_at <= completed_at
    reference = {
        "region_id": "eu-west-1",
        "endpoint_id": "ep-hp3shop",
        "endpoint_name": None,
        "security_group_id": "sg-hp3vendor",
        "status": "Attached",
        "requested": False,
        "blocked_by": None,
        "replacement_security_group_id": None,
    }
    return {
        "version": "1",
        "sweep_id": "d32c5kddcf5bb8c3",
        "mode": "report",
        "mode_requested": "report",
        "verdict": "references_found",
        "security_group_ids": ["sg-hp3vendor"],
        "security_groups_found": True,
        "scope": "all",
        "endpoints_read": {"eu-west-1": 1},
        "endpoints_skipped": {"eu-west-1": 0},
        "endpoints_unread": {},
        "started_at": started_at,
        "completed_at": completed_at,
        "references": [reference],
        "references_total": 1,
        "requested_count": 0,
        "remaining_count": 1,
        "reason": None,
    }


@pytest.mark.parametrize(
    "event_received, error_type, message",
    [
        (
            {"Records": [{"EventSource": "aws:sns", "Sns": {}}]},
            "UnsupportedSource",
            "the event comes from an unnamed source, not from SQS; send the request to the request queue, or invoke"
            " with the bare request",
        ),
        (
            {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
            "Unidentified",
            "record 0 of the batch has no message id",
        ),
        (
            {"Records": ["message"]},
            "UnreadableBatch",
            "record 0 of the batch is not a JSON object",
        ),
        (
            {"Messages": [{"MessageId": "m", "Body": "{}"}]},
            "UnsupportedPayload",
            "the payload is neither an SQS event nor one request: invoke with the bare request, an object with"
            " region_id, endpoint_id and security_group_id",
        ),
    ],
)
def test_failed_invocation_has_an_error_type_and_the_process_continues(
    start, worker_environment, event, alibaba, event_received, error_type, message
):
    function = start("WORKER", worker_environment)
    assert function.invoke(event_received) == (200, {"errorType": error_type, "errorMessage": message})
    process = function.process_id()
    assert function.invoke(event("direct-dry-run"))[1]["outcome"] == "dry_run_passed"
    assert process and function.process_id() == process
    assert alibaba.counts()["calls_total"] == 3
