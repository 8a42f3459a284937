"""AWS on this machine: MiniStack as a process, and boto3 clients that talk to it and to nothing else.

Where it is not AWS, and what the tests do about it:

* It runs the functions on this machine, whatever their architecture is. They are built for this machine.
* It gives the functions its own environment, and that is how they learn where AWS is. `EventBridge` stands between.
* It delivers one batch of a FIFO queue at a time, whatever the mapping's concurrency is. Only lanes within a batch are
  seen side by side.
* It takes every answer to a batch and every entry for EventBridge. conftest.py looks at all of them after every test.
* It can neither fail on demand nor move a dead-letter queue's messages. `EventBridge` and `Stack.redrive` do that.
* It has no memory limit, checks no permission, and does not look at the queue policies, which ask for TLS.
* Its rules and schedules try a function once, and its Scheduler does not know `<aws.scheduler.execution-id>`.
* A changed description does not end a function's processes, a timeout that is set anew does.
"""

import os
import sys

import boto3
from botocore.config import Config

from processes import Program, call, free_port

REGION = "eu-central-1"
ACCOUNT = "000000000000"
CALL_TIMEOUT_SECONDS = 60


class MiniStack:
    def __init__(self, folder, functions_environment):
        """Starts it. The functions inherit its environment, and with it `functions_environment`."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "PATH": os.environ["PATH"],
            # Whatever it keeps, it keeps here.
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "S3_DATA_DIR": str(folder / "s3"),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            # A listener that BIND_HOST does not reach.
            "IOT_MTLS_ENABLED": "0",
            # The queues' URLs are made of it.
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            # Lambda tries an event again after one minute and after two.
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The only way by which it tells the functions where AWS is.
            "AWS_ENDPOINT_URL": self.url,
            **functions_environment,
        }
        self.program = Program([sys.executable, "-m", "ministack"], environment, folder, "ministack")

    def wait_until_ready(self):
        def answers():
            try:
                return call("GET", f"{self.url}/_ministack/health")[0] == 200
            except OSError:
                return False

        self.program.wait_until(answers, "MiniStack answers")

    def client(self, service):
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="none",
            # No proxies, whatever the environment says.
            config=Config(proxies={}, retries={"total_max_attempts": 1}, read_timeout=CALL_TIMEOUT_SECONDS),
        )
