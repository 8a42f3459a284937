"""The intake as a function under AWS's Runtime Interface Emulator, with chat of one platform."""

import base64
import json
import os
import time
from dataclasses import dataclass

from shared.aws import Aws
from shared.rie import Function

SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
VERIFICATION, SIGNING = f"{SECRETS}:verification-AbCdEf", f"{SECRETS}:signing-AbCdEf"
QUEUES = "https://sqs.eu-central-1.amazonaws.com/123456789012"
REQUESTS, NOTICES = f"{QUEUES}/requests.fifo", f"{QUEUES}/notices"


@dataclass
class Posted:
    """What the intake did with a call."""

    status: int
    # The body of the response.
    body: str | None
    requests: list
    # The number of messages to the messenger.
    notices: int


class ChatIntake:
    """Accepts commands of every person in one conversation."""

    def __init__(self, platform, verification, tenant, conversation, folder):
        self.path = f"/chat/{platform}"
        self.aws = Aws(
            {
                VERIFICATION: json.dumps({platform: verification}),
                SIGNING: json.dumps([base64.b64encode(b"k" * 32).decode()]),
            }
        )
        environment = {
            "AWS_ENDPOINT_URL": self.aws.url,
            "DETACH_QUEUE_URL": REQUESTS,
            "NOTICE_QUEUE_URL": NOTICES,
            "CHAT_VERIFICATION_SECRET_ARN": VERIFICATION,
            "CHAT_SIGNING_SECRET_ARN": SIGNING,
            "CHAT_TENANTS": f"{platform}:{tenant}",
            "CHAT_CONVERSATIONS": f"{platform}:{tenant}/{conversation}",
            "CHAT_REQUESTERS": "*",
        }
        self.function = Function(os.environ["INTAKE"], environment, folder)

    def post(self, body, headers, is_base64=False):
        """Posts a body as a function URL does."""
        before = len(self.aws.calls)
        event = {
            "version": "2.0",
            "rawPath": self.path,
            "headers": headers,
            "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(time.time() * 1000)},
            "body": base64.b64encode(body.encode()).decode() if is_base64 else body,
            "isBase64Encoded": is_base64,
        }
        _, response = self.function.invoke(event)
        requests, notices = [], 0
        for operation, call in self.aws.calls[before:]:
            if (operation, call["QueueUrl"]) == ("SendMessageBatch", REQUESTS):
                requests += [json.loads(entry["MessageBody"]) for entry in call["Entries"]]
            else:
                assert (operation, call["QueueUrl"]) == ("SendMessage", NOTICES)
                notices += 1
        return Posted(response["statusCode"], response.get("body"), requests, notices)

    def stop(self):
        self.function.stop()
        print(self.function.log())
        self.aws.stop()


def is_dry_run(requests, endpoint):
    """Whether the requests are the dry run of one command."""
    found = [(each["endpoint_id"], each["dry_run"], each["expect_attached"]) for each in requests]
    return found == [(endpoint, True, True)]
