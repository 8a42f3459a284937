"""EventBridge as the worker sees it: a proxy before MiniStack that records every entry, and fails when it is told to.

MiniStack cannot fail on demand, and takes entries that AWS would refuse or lose: for a bus that does not exist, or with
a detail that is no JSON.
"""

import http.client
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NOT_FORWARDED = {"connection", "date", "server", "transfer-encoding", "content-length"}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def internal_failure(proxy):
    proxy.answer(500, {"__type": "InternalFailure"})


def refused_entry(proxy):
    """An answer of 200, and yet a failure."""
    entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    proxy.answer(200, {"FailedEntryCount": 1, "Entries": [entry]})


def closed_connection(proxy):
    proxy.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    proxy.close_connection = True


class EventBridge:
    def __init__(self):
        self.upstream = None
        self.entries = []
        # By endpoint: how an event about it fails.
        self.failures = {}
        bridge = self

        class Proxy(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.headers["x-amz-target"] == "AWSEvents.PutEvents":
                    entries = json.loads(body)["Entries"]
                    fail = bridge.take(entries)
                    if fail:
                        return fail(self)
                self.forward(body)

            def forward(self, body):
                connection = http.client.HTTPConnection(urlsplit(bridge.upstream).netloc)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED}
                connection.request("POST", self.path, body, headers)
                answer = connection.getresponse()
                self.answer(answer.status, json.loads(answer.read()))

            def answer(self, status, content):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, entries):
        """Records the entries, and says how they fail, if they do."""
        failures = [
            fail for entry in entries for endpoint, fail in self.failures.items() if f'"{endpoint}"' in entry["Detail"]
        ]
        fail = failures[0] if failures else None
        self.entries += [{"entry": entry, "failed": fail is not None} for entry in entries]
        return fail

    def tries(self, endpoint):
        return [each for each in self.entries if f'"{endpoint}"' in each["entry"]["Detail"]]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
