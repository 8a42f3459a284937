"""Hooks for schemathesis: signs calls, and drops generated bodies that are invalid for reasons that JSON Schema cannot
express.

The environment variable SCHEMATHESIS_HOOKS makes schemathesis load this file. WEBHOOK_SECRET is the signing secret of
webhooks, SLACK_SECRET that of Slack, DINGTALK_SECRET the secret of the DingTalk app, and FEISHU_KEY the Encrypt Key of the
Feishu app.
"""

import base64
import hashlib
import hmac
import json
import os
import re
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


class DingTalkSignature(AuthBase):
    """Signs a call as DingTalk signs a message: the time and the secret, not the body."""

    def __init__(self, secret):
        self.key = secret.encode()

    def __call__(self, call):
        timestamp = str(time.time_ns() // 1_000_000)
        signature = hmac.digest(self.key, b"\n".join([timestamp.encode(), self.key]), hashlib.sha256)
        call.headers["timestamp"] = timestamp
        call.headers["sign"] = base64.b64encode(signature).decode()
        return call


class FeishuSignature(AuthBase):
    """Signs the final bytes of a call as Feishu does."""

    def __init__(self, key):
        self.key = key.encode()

    def __call__(self, call):
        timestamp, nonce = str(int(time.time())), uuid.uuid4().hex
        body = call.body or b""
        body = body.encode() if isinstance(body, str) else body
        signature = hashlib.sha256(timestamp.encode() + nonce.encode() + self.key + body)
        call.headers["x-lark-request-timestamp"] = timestamp
        call.headers["x-lark-request-nonce"] = nonce
        call.headers["x-lark-signature"] = signature.hexdigest()
        return call


# Only for the paths that require a signature, so that the test also shows that the other path needs none.
schemathesis.auth.set_from_requests(Signature(os.environ["WEBHOOK_SECRET"])).apply_to(path="/detachments")
schemathesis.auth.set_from_requests(SlackSignature(os.environ["SLACK_SECRET"])).apply_to(path="/chat/slack")
schemathesis.auth.set_from_requests(DingTalkSignature(os.environ["DINGTALK_SECRET"])).apply_to(path="/chat/dingtalk")
schemathesis.auth.set_from_requests(FeishuSignature(os.environ["FEISHU_KEY"])).apply_to(path="/chat/feishu")


@schemathesis.hook
def filter_case(context, case):
    """Drops generated calls that are valid by JSON Schema but break a rule that it cannot express, or the reverse."""
    if case.path == "/chat/slack":
        return is_slack_case(case)
    if case.path == "/chat/dingtalk":
        return is_dingtalk_case(case)
    if case.path == "/chat/feishu":
        return is_feishu_case(case)
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE or not isinstance(case.body, dict):
        return True
    requests = case.body.get("requests", [case.body])
    targets = [target(request) for request in requests]
    return len(targets) == len(set(targets)) and all(is_valid(request) for request in requests)


def is_slack_case(case):
    """Whether the call is a valid command, or its body is invalid."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        # The check for missing signatures makes calls of its own.
        return has_valid_header(case)
    # The content of a click is JSON with a signed value, which no schema generates; the response to a check is empty.
    return not isinstance(case.body, dict) or not {"payload", "ssl_check"} & case.body.keys()


def is_dingtalk_case(case):
    """Whether the call is a valid message, or its body is invalid and would be read."""
    is_positive = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if not is_positive and not has_valid_header(case):
        return False
    if not isinstance(case.body, dict):
        return True
    # The content of a click has a signed value, and the signature of a message has other headers.
    if "outTrackId" in case.body:
        return False
    if is_positive:
        # A time that is too far ahead is not accepted, and 1.0 is no integer.
        return case.body.get("createAt") is None
    # Messages from elsewhere, of other people and of another time are not carried out, whatever else they contain.
    person, created_at = case.body.get("senderStaffId"), case.body.get("createAt")
    is_read = isinstance(person, str) and re.fullmatch("[0-9A-Za-z._:=-]{1,64}", person)
    is_timed = isinstance(created_at, int) and created_at >= 0
    is_member = isinstance(case.body.get("senderCorpId"), str) and bool(is_read)
    return case.body.get("conversationType") == "2" and is_member and not is_timed


def is_feishu_case(case):
    """Whether the body is invalid: no schema generates an encrypted one."""
    is_positive = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    return not is_positive and has_valid_header(case)


def has_valid_header(case):
    """Whether no header is invalid: an invalid signature is replaced by a valid one."""
    header = case.meta and case.meta.components.get("header")
    return header is None or header.mode == GenerationMode.POSITIVE


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
