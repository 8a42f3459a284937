"""Signs the value of a button as the messenger does, for requests that the tests cannot wait for.

A value is the fields as a list in JSON, and an HMAC-SHA256 over the purpose and the fields, each with its length before
it; both parts in base64 for URLs.
"""

import base64
import hashlib
import hmac
import json

from shared.simulator import REGION

PURPOSE = "privatelink-detach chat 1 button"


def button(key, chat, request_id, endpoint, group, expires_at):
    of_command = [chat.name, chat.tenant, chat.group, chat.requester, "en", "preview", request_id]
    # After the expiry: the deadline, the ticket, the thread and the approver.
    of_request = [REGION, endpoint, group, "false", str(expires_at), "", "", "", ""]
    fields = of_command + of_request
    signature = hmac.new(key, digestmod=hashlib.sha256)
    for field in (PURPOSE, *fields):
        signature.update(len(field.encode()).to_bytes(8, "big") + field.encode())
    return f"{encoded(json.dumps(fields).encode())}.{encoded(signature.digest())}"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
