"""Hooks for schemathesis: signs calls, and drops generated bodies that are invalid for reasons that JSON Schema cannot
express.

The environment variable SCHEMATHESIS_HOOKS makes schemathesis load this file. WEBHOOK_SECRET is the signing secret of
webhooks, SLACK_SECRET that of Slack.
"""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid

import schemathesis
from requests.auth import AuthBase
from schemathesis import GenerationMode

METADATA_BYTES_MAX = 1024


class Signature(AuthBase):
    """Signs the final bytes of a call, which need not be UTF-8."""

    def __init__(self, secret):
        self.key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)

    def __call__(self, call):
        webhook_id, timestamp = uuid.uuid4().hex, str(int(time.time()))
        body = call.body or b""
        body = body.encode() if isinstance(body, str) else body
        signed = b".".join([webhook_id.encode(), timestamp.encode(), body])
        signature = base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256)).decode()
        call.headers["webhook-id"] = webhook_id
        call.headers["webhook-timestamp"] = timestamp
        call.headers["webhook-signature"] = f"v1,{signature}"
        return call


class SlackSignature(AuthBase):
    """Signs the final bytes of a call as Slack does."""

    def __init__(self, secret):
        self.key = secret.encode()

    def __call__(self, call):
        timestamp = str(int(time.time()))
        body = call.body or b""
        body = body.encode() if isinstance(body, str) else body
        signature = hmac.digest(self.key, b":".join([b"v0", timestamp.encode(), body]), hashlib.sha256)
        call.headers["x-slack-request-timestamp"] = timestamp
        call.headers["x-slack-signature"] = f"v0={signature.hex()}"
        return call


# Only for the paths that require a signature, so that the test also shows that the other path needs none.
schemathesis.auth.set_from_requests(Signature(os.environ["WEBHOOK_SECRET"])).apply_to(path="/detachments")
schemathesis.auth.set_from_requests(SlackSignature(os.environ["SLACK_SECRET"])).apply_to(path="/chat/slack")


@schemathesis.hook
def filter_case(context, case):
    """Drops generated calls that are valid by JSON Schema but break a rule that it cannot express, or the reverse."""
    if case.path == "/chat/slack":
        return is_slack_case(case)
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE or not isinstance(case.body, dict):
        return True
    requests = case.body.get("requests", [case.body])
    targets = [target(request) for request in requests]
    return len(targets) == len(set(targets)) and all(is_valid(request) for request in requests)


def is_slack_case(case):
    """Whether the call is a valid command, or its body is invalid."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        # An invalid signature is replaced by a valid one, and the check for missing signatures makes calls of its own.
        header = case.meta and case.meta.components.get("header")
        return header is None or header.mode == GenerationMode.POSITIVE
    # The content of a click is JSON with a signed value, which no schema generates; the response to a check is empty.
    return not isinstance(case.body, dict) or not {"payload", "ssl_check"} & case.body.keys()


def target(request):
    """The fields whose combination must be unique in a list."""
    return (
        request.get("region_id", request.get("RegionId")),
        request.get("endpoint_id", request.get("EndpointId")),
        request.get("security_group_id", request.get("SecurityGroupId")),
        bool(request.get("dry_run", request.get("DryRun"))),
    )


def is_valid(request):
    """Whether the deadline is written as an integer, 900 and not 900.0, and the metadata is within its limit."""
    metadata = json.dumps(request.get("metadata") or {}, ensure_ascii=False, separators=(",", ":"))
    return not isinstance(request.get("deadline_seconds"), float) and len(metadata.encode()) <= METADATA_BYTES_MAX
