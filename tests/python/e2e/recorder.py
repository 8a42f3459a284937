"""Runs a function under MiniStack and records its events and responses.

MiniStack accepts responses that AWS rejects, so the tests check the responses themselves. MiniStack starts this program
as the function's `bootstrap`. The process becomes the unchanged function; a child process is a proxy between the
function and the Runtime API, and ends with the function. Each event and each response becomes one line of JSON in the
file that RECORD names.
"""

import http.client
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESULT = re.compile(r"/runtime/invocation/([^/]+)/(response|error)$")
NOT_FORWARDED = {"connection", "date", "server", "transfer-encoding", "content-length", "host"}


def record(**entry):
    """Writes a line with one call, so that lines of several functions do not mix."""
    line = json.dumps({"at": time.time(), "function": os.environ["AWS_LAMBDA_FUNCTION_NAME"], **entry}) + "\n"
    file = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    runtime_api = None
    process_id = None

    def log_message(self, *arguments):
        pass

    def forward(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if result := RESULT.search(self.path):
            # Recorded before it is forwarded, so that a test that sees its effects also finds the record.
            request_id, kind = result.groups()
            record(process_id=self.process_id, request_id=request_id, **{kind: json.loads(body)})
        connection = http.client.HTTPConnection(self.runtime_api)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if self.path.endswith("/runtime/invocation/next") and response.status == 200:
            request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
            record(process_id=self.process_id, request_id=request_id, event=json.loads(content))
        self.send_response(response.status)
        for name, value in response.headers.items():
            if name.lower() not in NOT_FORWARDED:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = forward


def main():
    Proxy.runtime_api = os.environ["AWS_LAMBDA_RUNTIME_API"]
    Proxy.process_id = os.getpid()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    function_is_running, held_by_function = os.pipe()
    if os.fork() == 0:
        os.close(held_by_function)
        # MiniStack waits until the function's output is closed.
        null = os.open(os.devnull, os.O_RDWR)
        for output in (1, 2):
            os.dup2(null, output)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.read(function_is_running, 1)
        os._exit(0)
    os.set_inheritable(held_by_function, True)
    environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    os.execve("./function", ["./function"], environment)


main()
