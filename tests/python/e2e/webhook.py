"""Signs webhooks as docs/openapi.yaml describes."""

import base64
import hashlib
import hmac
import json
import os
import time

KEY_BYTES = 32


def new_secret():
    return "whsec_" + base64.b64encode(os.urandom(KEY_BYTES)).decode()


def headers(secret, webhook_id, body):
    timestamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([webhook_id.encode(), timestamp.encode(), body])
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def body(*requests):
    return json.dumps(requests[0] if len(requests) == 1 else {"requests": requests}).encode()
