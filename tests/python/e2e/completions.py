"""A consumer of completion events: a rule on the stack's bus whose target is the consumer's queue."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from shared.processes import eventually

DOCS = Path(__file__).parents[3] / "docs"
SOURCE = "privatelink-detach"
COMPLETED, FAILED = "Security Group Detach Completed", "Security Group Detach Failed"
SWEPT = "Security Group Sweep Completed"
OUTCOMES_COMPLETED = {"detached", "already_detached", "dry_run_passed", "endpoint_gone"}


def validator(schema):
    return Draft202012Validator(json.loads((DOCS / schema).read_text(encoding="utf-8")))


DETACHES, SWEEPS = validator("completion-event.schema.json"), validator("sweep-completed.schema.json")


def check_entry(entry, bus):
    """Checks the bus, the fields and the detail of an entry, which MiniStack does not."""
    assert set(entry) == {"EventBusName", "Source", "DetailType", "Detail"}, entry
    detail = json.loads(entry["Detail"])
    if entry["DetailType"] == SWEPT:
        SWEEPS.validate(detail)
        detail_type = SWEPT
    else:
        DETACHES.validate(detail)
        detail_type = COMPLETED if detail["outcome"] in OUTCOMES_COMPLETED else FAILED
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == (bus, SOURCE, detail_type), entry


def id_of(event):
    return event["detail"]["sweep_id" if event["detail-type"] == SWEPT else "request_id"]


class Completions:
    def __init__(self, ministack, bus):
        self.sqs = ministack.client("sqs")
        events = ministack.client("events")
        self.queue = self.sqs.create_queue(QueueName="consumer")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name="consumer", EventBusName=bus, EventPattern=json.dumps({"source": [SOURCE]}))
        events.put_targets(Rule="consumer", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
        self.events = []

    def received(self):
        """All events until now."""
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            self.events += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return self.events

    def of(self, request_id):
        """The events of a request, or of a sweep."""
        return [event for event in self.received() if request_id == id_of(event)]

    def wait_for(self, request_id, number=1):
        """Waits for this number of events of a request or a sweep and returns the last. More events are an error."""
        eventually(lambda: len(self.of(request_id)) >= number, f"{number} events of {request_id}", timeout=120)
        events = self.of(request_id)
        assert len(events) == number, events
        return events[-1]
