"""A proxy between the worker and MiniStack's EventBridge. It records every entry, and fails on request.

MiniStack cannot fail on request, and accepts entries that AWS rejects or drops: for a bus that does not exist, or with
a detail that is not JSON.
"""

import json
import socket
import struct

from shared.processes import call
from shared.servers import JsonHandler, LocalServer

NOT_FORWARDED = {"connection", "date", "server", "transfer-encoding", "content-length"}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def internal_failure(proxy):
    proxy.respond(500, {"__type": "InternalFailure"})


def rejected_entry(proxy):
    """A response with status 200 whose only entry failed."""
    entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    proxy.respond(200, {"FailedEntryCount": 1, "Entries": [entry]})


def closed_connection(proxy):
    proxy.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    proxy.close_connection = True


class EventBridge(LocalServer):
    def __init__(self):
        super().__init__(Proxy)
        self.upstream = None
        self.entries = []
        # The failure of the events about an endpoint, by endpoint id.
        self.failures = {}

    def record(self, entries):
        """Records the entries and returns their failure, if there is one."""
        failures = [
            fail for entry in entries for endpoint, fail in self.failures.items() if f'"{endpoint}"' in entry["Detail"]
        ]
        fail = failures[0] if failures else None
        self.entries += [{"entry": entry, "failed": fail is not None} for entry in entries]
        return fail

    def attempts(self, endpoint):
        """The recorded entries about an endpoint."""
        return [each for each in self.entries if f'"{endpoint}"' in each["entry"]["Detail"]]


class Proxy(JsonHandler):
    def do_POST(self):
        body = self.body()
        if self.operation() == "PutEvents":
            fail = self.server.record(json.loads(body)["Entries"])
            if fail:
                return fail(self)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED}
        status, _, content = call("POST", f"{self.server.upstream}{self.path}", body, headers)
        self.respond(status, json.loads(content))
