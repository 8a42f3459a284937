"""template.yaml as a stack in MiniStack. The SAM transformation runs offline, and MiniStack's CloudFormation creates
the stack from its result, so no resource is defined here.
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
from shared.processes import call, eventually
from shared.simulator import REGION as ALIBABA_REGION

TEMPLATE = Path(__file__).parents[3] / "template.yaml"
RECORDER = Path(__file__).with_name("recorder.py")
CODE_BUCKET = "code"
TEMPLATE_KEY = "template.json"
EXECUTABLE = 0o755
QUEUES = ("RequestQueueUrl", "NoticeQueueUrl")
QUEUES_OF_FAILURES = (
    "DeadLetterQueueUrl",
    "IntakeFailureQueueUrl",
    "SweeperFailureQueueUrl",
    "NoticeDeadLetterQueueUrl",
)
FUNCTIONS = ("WorkerFunctionName", "IntakeFunctionName", "SweeperFunctionName", "MessengerFunctionName")


class NoManagedPolicies:
    """The template uses no managed policies, so there are no names to resolve."""

    def load(self):
        return {}


def transformed():
    """The template after the SAM transformation, with the code location that `sam package` would set, and without the
    saved queries, which MiniStack does not have.
    """
    template = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    resources = template["Resources"].items()
    template["Resources"] = {name: each for name, each in resources if each["Type"] != "AWS::Logs::QueryDefinition"}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = {"Bucket": CODE_BUCKET, "Key": f"{binary}.zip"}
    # The transformation needs a region.
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    return transform(template, {}, NoManagedPolicies())


def package(binary):
    """A function's zip file. Its `bootstrap` is the recorder, which runs the binary."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        launcher = f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(RECORDER))}\n"
        for name, content in {"bootstrap": launcher, "function": Path(binary).read_bytes()}.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = EXECUTABLE << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def request(endpoint, group, **fields):
    """A detach request for the simulator's region."""
    return {"region_id": ALIBABA_REGION, "endpoint_id": endpoint, "security_group_id": group, **fields}


class Stack:
    """The deployed stack, and operations on it."""

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
        """Creates or updates the stack. An update keeps the parameters that it does not name."""
        deploy = self.cloudformation.update_stack if self.outputs else self.cloudformation.create_stack
        self.parameters |= parameters
        # From S3, as `sam deploy` does it: an inline template may have at most 51,200 bytes.
        self.s3.put_object(Bucket=CODE_BUCKET, Key=TEMPLATE_KEY, Body=json.dumps(transformed()).encode())
        deploy(
            StackName=self.name,
            TemplateURL=f"https://s3.{REGION}.amazonaws.com/{CODE_BUCKET}/{TEMPLATE_KEY}",
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

    def chat_url(self, output):
        """The URL for a chat platform, with a host that MiniStack recognizes and that leads to this machine."""
        url = urlsplit(self.outputs[output])
        host = url.netloc.replace("on.aws", "localhost")
        return f"http://{host}:{urlsplit(self.url).port}{url.path}"

    def post(self, body, headers, path="detachments"):
        """Calls the function URL. Its host is AWS's; MiniStack recognizes it by the host header."""
        url = urlsplit(self.outputs["WebhookUrl"])
        return call("POST", f"{self.url}{url.path}{path}", body, {**headers, "host": url.netloc})

    def send(self, *requests):
        """Sends requests to the queue as the README describes, one message each, and returns the message ids."""
        entries = [
            {
                "Id": str(number),
                "MessageBody": json.dumps(request),
                "MessageGroupId": f"{request['region_id']}/{request['endpoint_id']}",
                "MessageDeduplicationId": str(uuid.uuid4()),
            }
            for number, request in enumerate(requests)
        ]
        response = self.sqs.send_message_batch(QueueUrl=self.outputs["RequestQueueUrl"], Entries=entries)
        assert not response.get("Failed"), response
        ids = {each["Id"]: each["MessageId"] for each in response["Successful"]}
        return [ids[entry["Id"]] for entry in entries]

    def send_text(self, text):
        """Sends a message to the queue that does not have to be a request."""
        message = {"MessageBody": text, "MessageGroupId": "lane", "MessageDeduplicationId": str(uuid.uuid4())}
        return self.sqs.send_message(QueueUrl=self.outputs["RequestQueueUrl"], **message)["MessageId"]

    def invoke_async(self, function, event):
        """Invokes a function asynchronously, as AWS services do."""
        self.functions.invoke(
            FunctionName=self.outputs[function], InvocationType="Event", Payload=json.dumps(event).encode()
        )

    def sweep(self, request):
        """Invokes the sweeper and returns its response."""
        payload = json.dumps(request).encode()
        response = self.functions.invoke(FunctionName=self.outputs["SweeperFunctionName"], Payload=payload)
        return json.loads(response["Payload"].read())

    # ---- Queues

    def waiting(self, queue="RequestQueueUrl"):
        """The number of visible, invisible and delayed messages in a queue."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        response = self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)
        return sum(int(number) for number in response["Attributes"].values())

    def wait_until_empty(self):
        for queue in QUEUES:
            eventually(lambda: self.waiting(queue) == 0, f"{queue} is empty")

    def receive(self, queue):
        """Receives a message. The caller deletes it."""

        def received():
            response = self.sqs.receive_message(
                QueueUrl=self.outputs[queue], AttributeNames=["All"], MessageAttributeNames=["All"]
            )
            return response.get("Messages")

        [message] = eventually(received, f"a message in {queue}")
        return message

    def delete(self, queue, message):
        self.sqs.delete_message(QueueUrl=self.outputs[queue], ReceiptHandle=message["ReceiptHandle"])

    def redrive(self, message):
        """Moves a message from the dead-letter queue to the request queue, as a message move task of SQS does."""
        self.sqs.send_message(
            QueueUrl=self.outputs["RequestQueueUrl"],
            MessageBody=message["Body"],
            MessageAttributes=message["MessageAttributes"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageDeduplicationId=message["Attributes"]["MessageDeduplicationId"],
        )
        self.delete("DeadLetterQueueUrl", message)

    def clear(self):
        """Deletes all messages and ends all processes of the functions."""
        for queue in (*QUEUES, *QUEUES_OF_FAILURES):
            self.sqs.purge_queue(QueueUrl=self.outputs[queue])
        for function in FUNCTIONS:
            self.restart(function)

    # ---- Settings that an operator can also change; each is restored

    def timeout(self, function):
        return self.functions.get_function_configuration(FunctionName=self.outputs[function])["Timeout"]

    def set_timeout(self, function, seconds):
        """Sets the timeout. Lambda then starts a new process for the next invocation; MiniStack ends the old ones."""
        name = self.outputs[function]
        self.functions.update_function_configuration(FunctionName=name, Timeout=seconds)
        self.functions.get_waiter("function_updated_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def restart(self, function):
        """Ends the function's processes. The runbook changes the description, which does nothing in MiniStack."""
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
        """Messages that are sent while the worker is paused reach it as one batch."""
        mapping = self.outputs["WorkerEventSourceMappingId"]
        self.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
        try:
            yield
        finally:
            self.functions.update_event_source_mapping(UUID=mapping, Enabled=True)

    # ---- Invocations and logs

    def exchanges(self, function):
        """The invocations of a function: each with its event and, after its end, its response or error."""
        name = self.outputs[function]
        exchanges = {}
        lines = self.record.read_text(encoding="utf-8").split("\n")[:-1] if self.record.exists() else []
        for entry in map(json.loads, lines):
            if entry["function"] == name:
                exchanges.setdefault(entry["request_id"], {}).update(entry)
        return list(exchanges.values())

    def batches(self, message_id):
        """The invocations of the worker whose batch contains a message."""

        def contains_message(exchange):
            records = exchange.get("event", {}).get("Records", [])
            return any(record["messageId"] == message_id for record in records)

        return [exchange for exchange in self.exchanges("WorkerFunctionName") if contains_message(exchange)]

    def log(self, group, since):
        """The log lines of a function. MiniStack has them after an invocation ends."""
        response = self.logs.filter_log_events(logGroupName=self.outputs[group], startTime=int(since * 1000))
        return [event["message"].rstrip() for event in response["events"]]
