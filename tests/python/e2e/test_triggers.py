"""The other ways to the intake: its schedule, and events on the default bus."""

import json
import time
from pathlib import Path

from alibaba import request

EVENT_INVALID = Path(__file__).parents[3] / "events" / "event-invalid.json"


def test_the_schedule_makes_its_requests(stack, alibaba, consumer):
    alibaba.begin(("ep-nightly", ["sg-old", "sg-web"]), ("ep-clean", ["sg-web"]), detach_takes_ms=100)
    requests = [request("ep-nightly", "sg-old"), request("ep-clean", "sg-old")]
    stack.deploy(
        {
            "ScheduleExpression": time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 1)),
            # An id of our own: MiniStack does not put the execution's in the place of its name.
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


def test_an_event_on_the_default_bus_makes_its_request(stack, alibaba, consumer, requester):
    alibaba.begin(("ep-event", ["sg-old", "sg-web"]), detach_takes_ms=100)
    event_id = requester(request("ep-event", "sg-old"))

    # A request that does not name itself is named after its event.
    detail = consumer.wait_for(event_id)["detail"]
    assert (detail["trigger"], detail["outcome"]) == ("event", "detached")


def test_an_event_that_is_not_valid_is_tried_three_times_and_kept(stack, alibaba):
    alibaba.begin()
    event = json.loads(EVENT_INVALID.read_text(encoding="utf-8"))
    # Invoked as EventBridge does it: MiniStack's own rule tries an event once and forgets it.
    stack.invoke_later("IntakeFunctionName", event)

    kept = stack.receive("IntakeFailureQueueUrl")
    stack.delete("IntakeFailureQueueUrl", kept)

    errors = [each["error"] for each in stack.exchanges("IntakeFunctionName") if each["event"] == event]
    assert [error["errorType"] for error in errors] == ["InvalidEvent"] * 3
    failure = json.loads(kept["Body"])
    assert (failure["requestPayload"], failure["responsePayload"]) == (event, errors[-1])
    assert stack.waiting() == 0
    assert alibaba.get("counts")["calls_total"] == 0
