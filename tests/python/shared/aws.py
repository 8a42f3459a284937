"""A replacement for SQS, EventBridge and Secrets Manager that accepts every call."""

import hashlib
import json

from shared.servers import JsonHandler, LocalServer

# Calls that a function makes at no particular moment.
NOT_RECORDED = ("DescribeEventBus", "GetSecretValue")


class Aws(LocalServer):
    """Records each call as a pair of its operation and body, except for reads."""

    def __init__(self, secrets=None):
        """`secrets` has the text of each secret by its ARN."""
        super().__init__(Handler)
        self.secrets = secrets or {}
        self.calls = []

    def operations(self):
        return [operation for operation, _ in self.calls]

    def events(self):
        """The details of the completion events that were published."""
        entries = [entry for operation, body in self.calls if operation == "PutEvents" for entry in body["Entries"]]
        return [json.loads(entry["Detail"]) for entry in entries]


class Handler(JsonHandler):
    def do_POST(self):
        operation, body = self.operation(), json.loads(self.body())
        if operation not in NOT_RECORDED:
            self.server.calls.append((operation, body))
        content = {
            "DescribeEventBus": lambda: {"Name": body["Name"]},
            "PutEvents": lambda: {
                "FailedEntryCount": 0,
                "Entries": [{"EventId": f"event-{number}"} for number, _ in enumerate(body["Entries"])],
            },
            "GetSecretValue": lambda: {
                "ARN": body["SecretId"],
                "Name": body["SecretId"],
                "SecretString": self.server.secrets[body["SecretId"]],
                "VersionId": "00000000-0000-4000-8000-000000000001",
            },
            "SendMessage": lambda: receipt(body),
            "SendMessageBatch": lambda: {
                "Successful": [{"Id": entry["Id"], **receipt(entry)} for entry in body["Entries"]],
                "Failed": [],
            },
            "DeleteMessage": lambda: {},
            "ChangeMessageVisibility": lambda: {},
            "ChangeMessageVisibilityBatch": lambda: {
                "Successful": [{"Id": entry["Id"]} for entry in body["Entries"]],
                "Failed": [],
            },
        }[operation]()
        self.respond(200, content)


def receipt(message):
    """What SQS returns for a message that it has accepted."""
    body = message["MessageBody"].encode()
    return {"MessageId": hashlib.sha256(body).hexdigest()[:32], "MD5OfMessageBody": hashlib.md5(body).hexdigest()}
