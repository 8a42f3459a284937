"""What the functions call: the simulator as Alibaba Cloud, and a stand-in for SQS and EventBridge that says yes."""

import http.server
import json
import subprocess
import threading
import urllib.request

REGION = "eu-west-1"


class Simulator:
    """Alibaba Cloud, as a process."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        line = self.process.stdout.readline()
        _, found, self.url = line.strip().partition(" is simulated at ")
        assert found, f"the simulator did not say where it listens, but: {line!r}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_simulator/{path}", data=data, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=30) as answer:
            return json.load(answer)

    def start_over(self, groups, detach_takes_ms=3000):
        """One endpoint with these groups, and nothing that has happened yet."""
        endpoint = {"region_id": REGION, "endpoint_id": "ep-hp3shop", "security_groups": groups}
        self.control("PUT", "state", {"endpoints": [endpoint], "settings": {"detach_takes_ms": detach_takes_ms}})

    def groups(self):
        """The groups that are still on the endpoint."""
        (endpoint,) = self.control("GET", "state")["endpoints"]
        return [group["id"] for group in endpoint["security_groups"]]

    def counts(self):
        return self.control("GET", "counts")

    def called(self):
        """The actions in the order in which they were called."""
        return [call["action"] for call in self.control("GET", "journal")]


class Aws(http.server.ThreadingHTTPServer):
    """Takes every call to SQS and EventBridge, and keeps it as its operation and its body, but for a look at the bus."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.calls = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def operations(self):
        return [operation for operation, _ in self.calls]

    def events(self):
        """The completion events that were put on the bus."""
        entries = [entry for operation, body in self.calls if operation == "PutEvents" for entry in body["Entries"]]
        return [json.loads(entry["Detail"]) for entry in entries]


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        operation = self.headers["x-amz-target"].partition(".")[2]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        # The worker looks at the bus while it starts, and nothing depends on what it sees.
        if operation != "DescribeEventBus":
            self.server.calls.append((operation, body))
        answer = {
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
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
