"""The PrivateLink simulator as a process, and its control endpoints."""

import json
import re
import time

from shared.processes import Program, call

REGION = "eu-west-1"
ACCESS_KEY = {"access_key_id": "LTAI5tSimulatorKey", "access_key_secret": "SimulatorSecret"}
DETACH = "DetachSecurityGroupFromVpcEndpoint"
LIST_GROUPS = "ListVpcEndpointSecurityGroups"
LIST_ENDPOINTS = "ListVpcEndpoints"
DESCRIBE_GROUPS = "DescribeSecurityGroups"
# Longer than any test: `end_tasks` ends the operations that take this long.
LONG_MS = 3_600_000


def endpoint(endpoint_id, groups, **fields):
    """An endpoint as the simulator's state describes it."""
    return {"region_id": REGION, "endpoint_id": endpoint_id, "security_groups": groups, **fields}


class Simulator:
    """One process for a whole test run; each test starts with its own state."""

    def __init__(self, binary, folder):
        # An empty environment: no proxy and no log level.
        self.program = Program([binary], {}, folder, "simulator")
        address = self.program.wait_until(
            lambda: re.search(r"simulated at (http://\S+)", self.program.log()), "the simulator prints its address"
        )
        self.url = address[1]
        self.address = self.url.removeprefix("http://")

    def stop(self):
        self.program.stop()

    def control(self, method, path, body=None):
        """Calls a control endpoint and returns the status and content of the response."""
        data = None if body is None else json.dumps(body).encode()
        status, _, content = call(method, f"{self.url}/_simulator/{path}", data)
        return status, json.loads(content)

    def start_over(self, **state):
        """Replaces the state and resets the counts. A part that is not given has the simulator's default."""
        status, content = self.control("PUT", "state", state)
        assert status == 200, content

    def start_with(self, *endpoints, access_key=ACCESS_KEY, **settings):
        """Starts over with these endpoints, each a pair of an id and its groups."""
        self.start_over(
            settings=settings,
            access_keys=[access_key],
            endpoints=[endpoint(endpoint_id, groups) for endpoint_id, groups in endpoints],
        )

    def state(self):
        return self.read("state")

    def journal(self):
        """All calls since the simulator started over, in order."""
        return self.read("journal")

    def counts(self):
        return self.read("counts")

    def read(self, path):
        status, content = self.control("GET", path)
        assert status == 200, content
        return content

    def groups(self, endpoint_id):
        """The endpoint's groups and their status, by id."""
        [found] = [each for each in self.state()["endpoints"] if each["endpoint_id"] == endpoint_id]
        return {group["id"]: group["status"] for group in found["security_groups"]}

    def endpoint_counts(self, endpoint_id):
        """The counts of one endpoint. `calls` has only the actions that were called."""
        none = {"calls": {}, "detaches_accepted": 0, "lock_rejections": 0, "detaches_in_flight_max": 0}
        return self.counts()["endpoints"].get(endpoint_id, none)

    def detach_calls(self, endpoint_id):
        return self.endpoint_counts(endpoint_id)["calls"].get(DETACH, 0)

    def reads(self, endpoint_id):
        """The number of calls that read an endpoint."""
        calls = self.endpoint_counts(endpoint_id)["calls"]
        return sum(number for action, number in calls.items() if action.startswith("List"))

    def end_tasks(self, **settings):
        """Ends all operations now, changes settings, and resets the counts."""
        state = self.state()
        state["settings"] |= settings
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for each in state["endpoints"]:
            if "task" in each:
                each["task"] |= {"ends_at": now, "free_at": now}
        self.start_over(**state)

    def inject_fault(self, action, **fault):
        """Makes the next call of an action fail."""
        injection = {"action": action, "call": {"next": 1}, "fault": fault}
        assert self.control("POST", "faults", injection) == (200, {"injected": 1})
