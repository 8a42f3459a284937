"""template.yaml as a stack in MiniStack: transformed offline, as AWS transforms it in a deployment, and handed to
MiniStack's own CloudFormation. Nothing here describes a resource a second time.
"""

import io
import json
import os
import shlex
import sys
import uuid
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from ministack import REGION
from processes import call, eventually

TEMPLATE = Path(__file__).parents[3] / "template.yaml"
RECORDER = Path(__file__).with_name("recorder.py")
CODE_BUCKET = "code"
EXECUTABLE = 0o755


class NoManagedPolicies:
    """Every role in the template is written by hand, so there are no names to look up."""

    def load(self):
        return {}


def transformed():
    """The template after the SAM transformation, with the code where `sam package` would have put it."""
    template = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = {"Bucket": CODE_BUCKET, "Key": f"{binary}.zip"}
    # The transformation asks for a region.
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    return transform(template, {}, NoManagedPolicies())


def package(binary):
    """A function's zip. Its `bootstrap` is the recorder, which starts the binary."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        launcher = f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(RECORDER))}\n"
        for name, content in {"bootstrap": launcher, "function": Path(binary).read_bytes()}.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = EXECUTABLE << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


class Stack:
    """The stack, and what its user does with it."""

    def __init__(self, ministack, name, record):
        self.name = name
        self.url = ministack.url
        self.record = record
        self.s3 = ministack.client("s3")
        self.cloudformation = ministack.client("cloudformation")
        self.functions = ministack.client("lambda")
        self.sqs = ministack.client("sqs")
        self.logs = ministack.client("logs")
        self.parameters = {}
        self.outputs = {}

    # ---- Deployment

    def upload(self, binaries):
        self.s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for name, binary in binaries.items():
            self.s3.put_object(Bucket=CODE_BUCKET, Key=f"{name}.zip", Body=package(binary))

    def deploy(self, parameters):
        """Creates the stack, or updates it: a later deployment keeps every parameter that it does not name."""
        deploy = self.cloudformation.update_stack if self.outputs else self.cloudformation.create_stack
        self.parameters |= parameters
        deploy(
            StackName=self.name,
            TemplateBody=json.dumps(transformed()),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )

        def ended():
            [stack] = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
            return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack

        stack = eventually(ended, "the deployment ends")
        if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
            raise AssertionError([event for event in events if event["ResourceStatus"].endswith("_FAILED")])
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def resources(self):
        return self.cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]

    # ---- Requests

    def post(self, body, headers, path="detachments"):
        """Calls the function URL. It leads to AWS; MiniStack knows it by its host name."""
        url = urlsplit(self.outputs["WebhookUrl"])
        return call("POST", f"{self.url}{url.path}{path}", body, {**headers, "host": url.netloc})

    def send(self, *requests):
        """Puts requests into the queue as the README has it, one message each, and returns the messages' ids."""
        entries = [
            {
                "Id": str(number),
                "MessageBody": json.dumps(request),
                "MessageGroupId": f"{request['region_id']}/{request['endpoint_id']}",
                "MessageDeduplicationId": str(uuid.uuid4()),
            }
            for number, request in enumerate(requests)
        ]
        answer = self.sqs.send_message_batch(QueueUrl=self.outputs["RequestQueueUrl"], Entries=entries)
        assert not answer.get("Failed"), answer
        ids = {each["Id"]: each["MessageId"] for each in answer["Successful"]}
        return [ids[entry["Id"]] for entry in entries]

    def send_text(self, text):
        """Puts a message into the queue that need not be a request."""
        message = {"MessageBody": text, "MessageGroupId": "lane", "MessageDeduplicationId": str(uuid.uuid4())}
        return self.sqs.send_message(QueueUrl=self.outputs["RequestQueueUrl"], **message)["MessageId"]

    def invoke_later(self, function, event):
        """Invokes a function as AWS's own services do, which wait for no answer."""
        self.functions.invoke(
            FunctionName=self.outputs[function], InvocationType="Event", Payload=json.dumps(event).encode()
        )

    # ---- Queues

    def waiting(self, queue="RequestQueueUrl"):
        """How many messages the queue holds, whether they can be seen or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)
        return sum(int(number) for number in answer["Attributes"].values())

    def wait_until_empty(self):
        eventually(lambda: self.waiting() == 0, "the request queue is empty")

    def receive(self, queue):
        """Takes a message out of a queue; it is deleted by whoever is done with it."""

        def received():
            answer = self.sqs.receive_message(
                QueueUrl=self.outputs[queue], AttributeNames=["All"], MessageAttributeNames=["All"]
            )
            return answer.get("Messages")

        [message] = eventually(received, f"a message in {queue}")
        return message

    def delete(self, queue, message):
        self.sqs.delete_message(QueueUrl=self.outputs[queue], ReceiptHandle=message["ReceiptHandle"])

    def redrive(self, message):
        """What a message move task does, which MiniStack has not: sends the copy on as it is, and deletes it."""
        self.sqs.send_message(
            QueueUrl=self.outputs["RequestQueueUrl"],
            MessageBody=message["Body"],
            MessageAttributes=message["MessageAttributes"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageDeduplicationId=message["Attributes"]["MessageDeduplicationId"],
        )
        self.delete("DeadLetterQueueUrl", message)

    def clear(self):
        """Forgets every message, and ends every process of the functions, whatever it is doing."""
        for queue in ("RequestQueueUrl", "DeadLetterQueueUrl", "IntakeFailureQueueUrl"):
            self.sqs.purge_queue(QueueUrl=self.outputs[queue])
        for function in ("WorkerFunctionName", "IntakeFunctionName"):
            self.restart(function)

    # ---- Switches that a user has, too; each is turned back

    def timeout(self, function):
        return self.functions.get_function_configuration(FunctionName=self.outputs[function])["Timeout"]

    def set_timeout(self, function, seconds):
        """UpdateFunctionConfiguration: Lambda gives the next invocation a new process, MiniStack ends the old ones."""
        name = self.outputs[function]
        self.functions.update_function_configuration(FunctionName=name, Timeout=seconds)
        self.functions.get_waiter("function_updated_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def restart(self, function):
        """To Lambda any change will do, and the runbook changes the description. MiniStack wants one of a few."""
        self.set_timeout(function, self.timeout(function))

    @contextmanager
    def worker_timeout(self, seconds):
        before = self.timeout("WorkerFunctionName")
        self.set_timeout("WorkerFunctionName", seconds)
        try:
            yield
        finally:
            self.set_timeout("WorkerFunctionName", before)

    @contextmanager
    def visibility_timeout(self, seconds):
        queue, name = self.outputs["RequestQueueUrl"], "VisibilityTimeout"
        before = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name]
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={name: str(seconds)})
        try:
            yield
        finally:
            self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={name: before})

    @contextmanager
    def paused(self):
        """What is sent meanwhile comes to the worker as one batch."""
        mapping = self.outputs["WorkerEventSourceMappingId"]
        self.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
        try:
            yield
        finally:
            self.functions.update_event_source_mapping(UUID=mapping, Enabled=True)

    # ---- What the functions did

    def exchanges(self, function):
        """Every invocation of the function: its event, and its response or error as soon as there is one."""
        name = self.outputs[function]
        exchanges = {}
        lines = self.record.read_text(encoding="utf-8").split("\n")[:-1] if self.record.exists() else []
        for entry in map(json.loads, lines):
            if entry["function"] == name:
                exchanges.setdefault(entry["request_id"], {}).update(entry)
        return list(exchanges.values())

    def batches(self, message_id):
        """The worker's invocations that brought this message."""

        def brings(exchange):
            records = exchange.get("event", {}).get("Records", [])
            return any(record["messageId"] == message_id for record in records)

        return [exchange for exchange in self.exchanges("WorkerFunctionName") if brings(exchange)]

    def log(self, group, since):
        """The lines of a function, which MiniStack has when an invocation is over."""
        answer = self.logs.filter_log_events(logGroupName=self.outputs[group], startTime=int(since * 1000))
        return [event["message"].rstrip() for event in answer["events"]]
