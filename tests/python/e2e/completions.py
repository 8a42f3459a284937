"""A consumer of completion events: a rule on the stack's bus with a queue of the consumer's own as its target."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from processes import eventually

SCHEMA = Path(__file__).parents[3] / "docs" / "completion-event.schema.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
SOURCE = "privatelink-detach"
COMPLETED, FAILED = "Security Group Detach Completed", "Security Group Detach Failed"
OUTCOMES_COMPLETED = {"detached", "already_detached", "dry_run_passed", "endpoint_gone"}


def check_entry(entry, bus):
    """What MiniStack takes unseen: another bus, a detail that is no JSON, a field that is none."""
    assert set(entry) == {"EventBusName", "Source", "DetailType", "Detail"}, entry
    detail = json.loads(entry["Detail"])
    VALIDATOR.validate(detail)
    detail_type = COMPLETED if detail["outcome"] in OUTCOMES_COMPLETED else FAILED
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == (bus, SOURCE, detail_type), entry


class Completions:
    def __init__(self, ministack, bus):
        self.sqs = ministack.client("sqs")
        events = ministack.client("events")
        self.queue = self.sqs.create_queue(QueueName="consumer")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name="consumer", EventBusName=bus, EventPattern=json.dumps({"source": [SOURCE]}))
        events.put_targets(Rule="consumer", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
        self.seen = []

    def take(self):
        """Every event that has come until now."""
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            self.seen += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return self.seen

    def of(self, request_id):
        return [event for event in self.take() if event["detail"]["request_id"] == request_id]

    def wait_for(self, request_id, number=1):
        """The last of so many events, whose number is never exceeded."""
        eventually(lambda: len(self.of(request_id)) >= number, f"{number} events of {request_id}", within=120)
        events = self.of(request_id)
        assert len(events) == number, events
        return events[-1]
