"""Detaches security groups from Alibaba Cloud PrivateLink endpoints with the SDKs of AWS and Alibaba Cloud.

It accepts the same requests as the worker, from the queue or by direct invocation, and publishes completion events.
"""

import functools
import json
import logging
import os
import random
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from urllib.parse import urlsplit

import boto3
from alibabacloud_privatelink20200415 import models
from alibabacloud_privatelink20200415.client import Client
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config as AlibabaConfig
from botocore.config import Config
from darabonba.exceptions import UnretryableException
from darabonba.runtime import RuntimeOptions

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

LANES = 10  # the mapping's batch size
RESERVE = 10  # seconds at the end of an invocation, reserved for AWS calls
WAIT_MAX = 60  # seconds that an invocation waits for Alibaba Cloud
POLL_FIRST, POLL_GROWTH, POLL_MAX = 1.0, 1.5, 3.0  # seconds
BACKOFF_FIRST, BACKOFF_MAX = 1.0, 20.0  # seconds
NO_EFFECT_AFTER = 10  # seconds until an accepted detach without effect is called again
DEADLINE = int(os.environ.get("DETACH_DEADLINE_SECONDS") or 3600)

FIELDS = {
    "region_id": re.compile(r"[a-z]{2}(-[a-z0-9]+)+"),
    "endpoint_id": re.compile(r"ep-[0-9A-Za-z_-]{1,61}"),
    "security_group_id": re.compile(r"sg-[0-9A-Za-z_-]{1,61}"),
    "request_id": re.compile(r"[A-Za-z0-9._:-]{1,64}"),
    "client_token": re.compile(r"[!-~]{1,64}"),
}
REQUIRED = ("region_id", "endpoint_id", "security_group_id")
API_NAMES = {
    "RegionId": "region_id",
    "EndpointId": "endpoint_id",
    "SecurityGroupId": "security_group_id",
    "DryRun": "dry_run",
    "ClientToken": "client_token",
}
TRANSIENT = re.compile(
    r"EndpointLocked|ConcurrentCallNotSupported|EndpointConnectionOperationDenied|EndpointOperationDenied"
    r"|IncorrectStatus\.VpcEndpoint|SystemBusy|ServiceUnavailable|Internal(Server)?Error|IdempotenceProcessing"
    r"|Throttling(\..+)?|Rejected\.Throttling|SignatureNonceUsed"
    # Unrelated to the request, which waits until an operator fixes the credentials or the clock.
    r"|InvalidAccessKeyId\..+|SignatureDoesNotMatch|InvalidSecurityToken\..+|InvalidTimeStamp\..+"
)


def names(variable):
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


ALLOWED_REGIONS = names("ALLOWED_REGIONS")
PROTECTED = set(names("PROTECTED_SECURITY_GROUPS") + names("PROTECTED_ENDPOINTS"))
AWS_CONFIG = Config(connect_timeout=3, read_timeout=3, max_pool_connections=LANES, retries={"mode": "standard"})
OPTIONS = RuntimeOptions(connect_timeout=5_000, read_timeout=10_000, max_idle_conns=LANES)

sqs = boto3.client("sqs", config=AWS_CONFIG)
events = boto3.client("events", config=AWS_CONFIG)
pool = ThreadPoolExecutor(max_workers=LANES)


@functools.lru_cache(maxsize=None)
def privatelink(region):
    url = urlsplit(os.environ.get("PRIVATELINK_ENDPOINT_URL") or f"https://privatelink.{region}.aliyuncs.com")
    config = AlibabaConfig(
        access_key_id=os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"],
        access_key_secret=os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
        security_token=os.environ.get("ALIBABA_CLOUD_SECURITY_TOKEN"),
        region_id=region,
        endpoint=url.netloc,
        protocol=url.scheme,
    )
    return Client(config)


for allowed_region in ALLOWED_REGIONS:
    privatelink(allowed_region)


class Finished(Exception):
    """A request has an outcome."""

    def __init__(self, outcome, code=None, message=None):
        super().__init__(outcome)
        self.outcome, self.reason = outcome, code and {"code": code, "message": message}


class OutOfTime(Exception):
    """The invocation's time ends before the request has an outcome."""


def parse(body):
    try:
        fields = json.loads(body) if isinstance(body, str) else body
    except ValueError as error:
        raise Finished("rejected", "InvalidRequest", f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Finished("rejected", "InvalidRequest", "not a JSON object")
    request = {API_NAMES.get(name, name): value for name, value in fields.items() if value is not None}
    known = {*FIELDS, "dry_run", "deadline_seconds", "metadata"}
    problems = [f"{name} is unknown" for name in request if name not in known]
    problems += [f"{name} is missing" for name in REQUIRED if name not in request]
    for name, pattern in FIELDS.items():
        value = request.get(name)
        if name in request and not (isinstance(value, str) and pattern.fullmatch(value)):
            problems.append(f"{name} is not valid")
    for name, kind in (("dry_run", bool), ("deadline_seconds", int), ("metadata", dict)):
        if name in request and not isinstance(request[name], kind):
            problems.append(f"{name} is not of the right type")
    if problems:
        raise Finished("rejected", "InvalidRequest", "; ".join(problems))
    if ALLOWED_REGIONS and request["region_id"] not in ALLOWED_REGIONS:
        raise Finished("rejected", "RegionNotAllowed", "the region is not allowed here")
    if PROTECTED & {request["endpoint_id"], request["security_group_id"]}:
        raise Finished("rejected", "Protected", "the endpoint or the security group is protected")
    return request


class Detach:
    """Carries out one request. It reads before each write, and again after each error."""

    def __init__(self, request, effort):
        self.region, self.endpoint, self.group = (request[name] for name in REQUIRED)
        self.dry_run = request.get("dry_run", False)
        self.token = request.get("client_token") or str(uuid.uuid4())
        self.client, self.effort = privatelink(self.region), effort
        self.accepted_at, self.was_seen = None, False

    def run(self, until):
        polls = errors = 0
        while True:
            try:
                self.step()
                wait = min(POLL_FIRST * POLL_GROWTH**polls, POLL_MAX) * random.uniform(0.85, 1.15)
                polls, errors = polls + 1, 0
            except AlibabaCloudException as error:
                if error.code == "DryRunOperation" and self.dry_run:
                    raise Finished("dry_run_passed") from None
                if not TRANSIENT.fullmatch(error.code) and (error.status_code or 500) < 500:
                    raise Finished("refused", error.code, error.message) from None
                log.warning("%s: %s", self.endpoint, error.code)
                wait, errors = self.back_off(errors, error.retry_after), errors + 1
            except UnretryableException as error:  # no readable response: the result of the call is unknown
                log.warning("%s: %s", self.endpoint, error)
                wait, errors = self.back_off(errors), errors + 1
            if time.monotonic() + wait > until:
                raise OutOfTime
            time.sleep(wait)

    def back_off(self, errors, retry_after=None):
        jittered = random.uniform(0.5, min(BACKOFF_FIRST * 2**errors, BACKOFF_MAX))
        return max(jittered, (retry_after or 0) / 1000)

    def step(self):
        groups = self.groups()
        status = groups.get(self.group)
        if self.group not in groups:
            return self.confirm()
        self.was_seen = True
        if status in ("Attaching", "Detaching"):
            return None
        if self.accepted_at and time.monotonic() - self.accepted_at < NO_EFFECT_AFTER:
            return None
        if self.accepted_at:
            self.token = str(uuid.uuid4())
        if len(groups) == 1:
            raise Finished("refused", "EndpointMustContainSecurityGroup", "the group is the last one of the endpoint")
        request = models.DetachSecurityGroupFromVpcEndpointRequest(
            region_id=self.region,
            endpoint_id=self.endpoint,
            security_group_id=self.group,
            client_token=self.token,
            dry_run=self.dry_run or None,
        )
        self.effort["detach_calls"] += 1
        self.client.detach_security_group_from_vpc_endpoint_with_options(request, OPTIONS)
        if self.dry_run:
            raise Finished("refused", "DryRunIgnored", "the dry run was carried out")
        self.accepted_at = time.monotonic()

    def groups(self):
        groups, token = {}, None
        while True:
            request = models.ListVpcEndpointSecurityGroupsRequest(
                region_id=self.region, endpoint_id=self.endpoint, max_results=50, next_token=token
            )
            self.effort["read_calls"] += 1
            body = self.client.list_vpc_endpoint_security_groups_with_options(request, OPTIONS).body
            groups.update({group.security_group_id: group.security_group_status for group in body.security_groups or []})
            token = body.next_token
            if not token:
                return groups

    def confirm(self):
        request = models.ListVpcEndpointsRequest(region_id=self.region, endpoint_id=self.endpoint)
        self.effort["read_calls"] += 1
        endpoints = self.client.list_vpc_endpoints_with_options(request, OPTIONS).body.endpoints
        if not endpoints:
            if self.was_seen:
                raise Finished("endpoint_gone")
            raise Finished("refused", "EndpointNotFound", "the endpoint does not exist in this region")
        if endpoints[0].endpoint_status != "Pending":
            raise Finished("detached" if self.was_seen else "already_detached")


def finish(body, default_id, until, sent_at, is_message):
    """Carries out one request and publishes its completion event."""
    fields, effort = {}, {"detach_calls": 0, "read_calls": 0}
    try:
        fields = parse(body)
        Detach(fields, effort).run(until)
    except Finished as finished:
        end = finished
    except OutOfTime:
        if is_message and time.time() < sent_at + fields.get("deadline_seconds", DEADLINE):
            raise
        end = Finished("unconfirmed", "DeadlineExceeded", "the detach was not confirmed in time")
    detail = {
        "request_id": fields.get("request_id", default_id),
        "outcome": end.outcome,
        **{name: fields.get(name) for name in REQUIRED},
        "reason": end.reason,
        "effort": effort,
        "completed_at": datetime.now(timezone.utc).isoformat(),
        "duration_ms": round((time.time() - sent_at) * 1000),
        "metadata": fields.get("metadata", {}),
    }
    if end.outcome in ("rejected", "unconfirmed") and is_message:
        dead_letter(body, default_id, end.reason["code"])
    entry = {
        "Source": "privatelink-detach",
        "DetailType": "Security Group Detach " + ("Failed" if end.reason else "Completed"),
        "Detail": json.dumps(detail),
        "EventBusName": os.environ.get("COMPLETION_BUS_NAME") or "default",
    }
    response = events.put_events(Entries=[entry])
    if response["FailedEntryCount"]:
        raise RuntimeError(f"the event was not accepted: {response['Entries'][0].get('ErrorCode')}")
    log.info("%s: %s %s", detail["request_id"], end.outcome, end.reason or "")
    return detail


def dead_letter(body, message_id, code):
    sqs.send_message(
        QueueUrl=os.environ["DEAD_LETTER_QUEUE_URL"],
        MessageBody=body,
        MessageGroupId=message_id,
        MessageDeduplicationId=message_id,
        MessageAttributes={"reason_code": {"DataType": "String", "StringValue": code}},
    )


def work_lane(records, until):
    """Processes a lane. Returns the ids of the first unfinished message and of all messages after it."""
    for n, record in enumerate(records):
        try:
            sent_at = int(record["attributes"]["SentTimestamp"]) / 1000
            finish(record["body"], record["messageId"], until, sent_at, is_message=True)
        except Exception as error:
            if not isinstance(error, OutOfTime):
                log.exception("%s is not finished", record["messageId"])
            return_to_queue(records[n:])
            return [record["messageId"] for record in records[n:]]
    return []


def return_to_queue(records):
    timeout = min(5 * 2 ** (int(records[0]["attributes"]["ApproximateReceiveCount"]) - 1), 60)
    entries = [
        {"Id": str(n), "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": timeout}
        for n, record in enumerate(records)
    ]
    try:
        sqs.change_message_visibility_batch(QueueUrl=os.environ["DETACH_QUEUE_URL"], Entries=entries)
    except Exception:
        log.exception("the messages become visible after the visibility timeout of the queue")


def handler(event, context):
    left = context.get_remaining_time_in_millis() / 1000 - RESERVE
    until = time.monotonic() + min(left, WAIT_MAX)
    if "Records" not in event:
        return finish(event, context.aws_request_id, until, time.time(), is_message=False)
    lanes = {}
    for record in event["Records"]:
        lanes.setdefault(record["attributes"].get("MessageGroupId", record["messageId"]), []).append(record)
    failed = pool.map(lambda lane: work_lane(lane, until), lanes.values())
    return {"batchItemFailures": [{"itemIdentifier": message_id} for ids in failed for message_id in ids]}
