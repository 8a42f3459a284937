"""The other triggers of the intake: the schedule, and events on the default bus."""

import json
import time
from pathlib import Path

from stack import request

EVENT_INVALID = Path(__file__).parents[3] / "events" / "event-invalid.json"


def test_schedule_makes_its_requests(stack, alibaba, consumer):
    alibaba.start_with(("ep-nightly", ["sg-old", "sg-web"]), ("ep-clean", ["sg-web"]), detach_takes_ms=100)
    requests = [request("ep-nightly", "sg-old"), request("ep-clean", "sg-old")]
    stack.deploy(
        {
            "ScheduleExpression": time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 1)),
            # A literal id: MiniStack does not replace `<aws.scheduler.execution-id>`.
            "ScheduleInput": json.dumps({"id": "nightly", "requests": requests}),
        }
    )
    try:
        details = [consumer.wait_for(name)["detail"] for name in ("nightly.1", "nightly.2")]
    finally:
        stack.deploy({"ScheduleExpression": "", "ScheduleInput": ""})
    stack.wait_until_empty()

    assert [(detail["trigger"], detail["outcome"]) for detail in details] == [
        ("schedule", "detached"),
        ("schedule", "already_detached"),
    ]
    assert [len(consumer.of(name)) for name in ("nightly.1", "nightly.2")] == [1, 1]
    assert "Schedule" not in [resource["LogicalResourceId"] for resource in stack.resources()]


def test_event_on_the_default_bus_makes_a_request(stack, alibaba, consumer, put_request_event):
    alibaba.start_with(("ep-event", ["sg-old", "sg-web"]), detach_takes_ms=100)
    event_id = put_request_event(request("ep-event", "sg-old"))

    # Without a request_id, the event's id is the default.
    detail = consumer.wait_for(event_id)["detail"]
    assert (detail["trigger"], detail["outcome"]) == ("event", "detached")


def test_invalid_event_is_tried_three_times_and_sent_to_the_failure_queue(stack, alibaba):
    alibaba.start_with()
    event = json.loads(EVENT_INVALID.read_text(encoding="utf-8"))
    # Invoked as EventBridge invokes it, because MiniStack's rules do not retry.
    stack.invoke_async("IntakeFunctionName", event)

    failed = stack.receive("IntakeFailureQueueUrl")
    stack.delete("IntakeFailureQueueUrl", failed)

    errors = [each["error"] for each in stack.exchanges("IntakeFunctionName") if each["event"] == event]
    assert [error["errorType"] for error in errors] == ["InvalidEvent"] * 3
    failure = json.loads(failed["Body"])
    assert (failure["requestPayload"], failure["responsePayload"]) == (event, errors[-1])
    assert stack.waiting() == 0
    assert alibaba.counts()["calls_total"] == 0
