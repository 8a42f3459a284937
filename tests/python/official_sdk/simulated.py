"""The simulator as a process, its control endpoints, and the official SDK's clients for it."""

import json
import subprocess
import urllib.error
import urllib.request

from alibabacloud_privatelink20200415.client import Client as PrivateLink
from alibabacloud_sts20150401.client import Client as Sts
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

REGION = "eu-west-1"
KEY = {"access_key_id": "LTAI5tSimulatorKey", "access_key_secret": "SimulatorSecret"}

# Without retries, so that a call is one call, and never through a proxy.
ONCE = RuntimeOptions(autoretry=False, max_attempts=1, connect_timeout=30_000, read_timeout=30_000)

# The ids that a simulator which has just started over gives to its first calls: they are a function of the number.
REQUEST_IDS = [
    "C42C5A1A-A382-0138-910A-2DEC89025CC1",
    "E7B25AD2-7BCC-B532-9758-35DE1C9756CE",
    "4FAD8879-896D-31FB-1D0B-14E4DB018FED",
    "91A3A94B-2375-57CF-6E73-E372E2338ACA",
    "B631E75C-64BC-496A-6303-3B0CA389C35A",
]


class Simulator:
    """One process; every test starts its state over."""

    def __init__(self, program):
        # It prints its address first. The environment is empty: no proxy, no log level.
        self.process = subprocess.Popen(
            [program], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        line = self.process.stdout.readline()
        _, found, self.url = line.strip().partition(" is simulated at ")
        assert found, f"the simulator did not say where it listens, but: {line!r}"
        self.address = self.url.removeprefix("http://")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def control(self, method, path, body=None):
        """Status and answer of a control endpoint."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_simulator/{path}", data=data, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def start_over(self, **seed):
        status, answer = self.control("PUT", "state", seed)
        assert status == 200, answer

    def strike(self, action, **fault):
        """The next call of this action meets this fault."""
        wanted = {"action": action, "call": {"next": 1}, "fault": fault}
        assert self.control("POST", "faults", wanted) == (200, {"injected": 1})

    def counts(self):
        return self.control("GET", "counts")[1]

    def journal(self):
        return self.control("GET", "journal")[1]

    def private_link(self, **keys):
        return PrivateLink(self.config(**(keys or KEY)))

    def sts(self):
        return Sts(self.config())

    def config(self, **keys):
        return Config(**keys, endpoint=self.address, protocol="HTTP", region_id=REGION)


def endpoint(endpoint_id, groups, **more):
    return {"region_id": REGION, "endpoint_id": endpoint_id, "security_groups": groups, **more}
