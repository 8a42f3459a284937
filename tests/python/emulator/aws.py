"""A replacement for SQS and EventBridge that accepts every call."""

import json

from shared.servers import JsonHandler, LocalServer


class Aws(LocalServer):
    """Records each call as a pair of its operation and body, except for DescribeEventBus."""

    def __init__(self):
        super().__init__(Handler)
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
        # The worker calls DescribeEventBus while it starts, at no particular moment.
        if operation != "DescribeEventBus":
            self.server.calls.append((operation, body))
        content = {
            "DescribeEventBus": lambda: {"Name": body["Name"]},
            "PutEvents": lambda: {
                "FailedEntryCount": 0,
                "Entries": [{"EventId": f"event-{number}"} for number, _ in enumerate(body["Entries"])],
            },
            "DeleteMessage": lambda: {},
            "ChangeMessageVisibility": lambda: {},
            "ChangeMessageVisibilityBatch": lambda: {
                "Successful": [{"Id": entry["Id"]} for entry in body["Entries"]],
                "Failed": [],
            },
        }[operation]()
        self.respond(200, content)
