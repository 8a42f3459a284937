"""MiniStack, a local AWS, as a process, and boto3 clients that call only MiniStack.

Differences from AWS, and how the tests handle them:

* It runs functions on this machine regardless of their architecture. The functions are built for this machine.
* Functions inherit its environment, which contains the AWS endpoints. `EventBridge` is a proxy in between.
* It delivers one batch of a FIFO queue at a time, regardless of the mapping's concurrency. The tests see concurrency
  only between the lanes of one batch.
* It accepts every batch response and every EventBridge entry. conftest.py checks all of them after each test.
* It cannot fail on request and cannot redrive a dead-letter queue. `EventBridge` and `Stack.redrive` do that.
* It has no memory limit and checks neither permissions nor the queue policies, which require TLS.
* Its rules and schedules invoke a function once, and its Scheduler does not replace `<aws.scheduler.execution-id>`.
  A schedule with an `at(...)` expression runs once for each name, even if it is created again.
* It has no saved queries of CloudWatch Logs Insights, and does not evaluate JSON filter patterns.
* Changing a description does not end a function's processes; setting the timeout does.
"""

import os
import sys

import boto3
from botocore.config import Config

from shared.processes import Program, call, free_port

REGION = "eu-central-1"
ACCOUNT = "000000000000"
CALL_TIMEOUT_SECONDS = 60


class MiniStack:
    def __init__(self, folder, functions_environment):
        """Starts MiniStack. Functions inherit its environment, which includes `functions_environment`."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "PATH": os.environ["PATH"],
            # All files that it writes are in this folder.
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "S3_DATA_DIR": str(folder / "s3"),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            # BIND_HOST does not apply to this listener.
            "IOT_MTLS_ENABLED": "0",
            # The host in queue URLs.
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            # Lambda waits one minute and two minutes between attempts of an event.
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Functions inherit it.
            "AWS_ENDPOINT_URL": self.url,
            **functions_environment,
        }
        self.program = Program([sys.executable, "-m", "ministack"], environment, folder, "ministack")

    def wait_until_ready(self):
        def is_healthy():
            try:
                return call("GET", f"{self.url}/_ministack/health")[0] == 200
            except OSError:
                return False

        self.program.wait_until(is_healthy, "MiniStack is healthy")

    def client(self, service):
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="none",
            # Ignores the proxy variables of the environment.
            config=Config(proxies={}, retries={"total_max_attempts": 1}, read_timeout=CALL_TIMEOUT_SECONDS),
        )
