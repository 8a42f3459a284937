"""What schemathesis cannot learn from docs/openapi.yaml: how to sign a call, and which bodies are not valid although
JSON Schema has no words for why.

Schemathesis loads this file because the environment variable SCHEMATHESIS_HOOKS names it. WEBHOOK_SECRET is the secret
to sign with.
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
    """Signs a call as the last thing before it is sent, over the bytes that travel; not all of them are UTF-8."""

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


# Only where the description asks for it, so that the other path is seen to need none.
schemathesis.auth.set_from_requests(Signature(os.environ["WEBHOOK_SECRET"])).apply_to(path="/detachments")


@schemathesis.hook
def filter_case(context, case):
    """Drops what is made to be valid, and is by JSON Schema, but not by the rules that it cannot express."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE or not isinstance(case.body, dict):
        return True
    requests = case.body.get("requests", [case.body])
    named = [subject(request) for request in requests if request.get("request_id") is not None]
    return len(named) == len(set(named)) and all(is_valid(request) for request in requests)


def subject(request):
    """What no two requests of a body may have in common; one without a request_id is given a name of its own."""
    return (
        request["request_id"],
        request.get("region_id", request.get("RegionId")),
        request.get("endpoint_id", request.get("EndpointId")),
        request.get("security_group_id", request.get("SecurityGroupId")),
        bool(request.get("dry_run", request.get("DryRun"))),
    )


def is_valid(request):
    """Whether the deadline is written as a whole number, 900 and not 900.0, and the metadata is short enough."""
    metadata = json.dumps(request.get("metadata") or {}, ensure_ascii=False, separators=(",", ":"))
    return not isinstance(request.get("deadline_seconds"), float) and len(metadata.encode()) <= METADATA_BYTES_MAX
