"""Alibaba Cloud: the simulator as a process, its control endpoints, and what is asked about its endpoints."""

import json
import re
import time

from processes import Program, call

REGION = "eu-west-1"
ACCESS_KEY = {"access_key_id": "LTAI5tSimulatorKey", "access_key_secret": "SimulatorSecret"}
DETACH = "DetachSecurityGroupFromVpcEndpoint"
# Longer than any test: what takes so long is ended by `end_tasks`.
LONG_MS = 3_600_000


def request(endpoint, group, **fields):
    return {"region_id": REGION, "endpoint_id": endpoint, "security_group_id": group, **fields}


class Alibaba:
    def __init__(self, binary, folder):
        self.program = Program([binary], {}, folder, "simulator")
        greeting = self.program.wait_until(
            lambda: re.search(r"simulated at (http://\S+)", self.program.log()), "the simulator says where it listens"
        )
        self.url = greeting[1]

    def begin(self, *endpoints, access_key=ACCESS_KEY, **settings):
        """Starts over with these endpoints, of which each is an id and its groups. Nothing was called yet."""
        self.put(
            {
                "settings": settings,
                "access_keys": [access_key],
                "endpoints": [
                    {"region_id": REGION, "endpoint_id": endpoint, "security_groups": groups}
                    for endpoint, groups in endpoints
                ],
            }
        )

    def put(self, state):
        status, _, body = call("PUT", f"{self.url}/_simulator/state", json.dumps(state).encode())
        assert status == 200, body

    def get(self, name):
        status, _, body = call("GET", f"{self.url}/_simulator/{name}")
        assert status == 200, body
        return json.loads(body)

    def groups(self, endpoint):
        [found] = [each for each in self.get("state")["endpoints"] if each["endpoint_id"] == endpoint]
        return [group["id"] for group in found["security_groups"]]

    def counts(self, endpoint):
        """What was called on the endpoint; `calls` has only the actions that were."""
        nothing = {"calls": {}, "detaches_accepted": 0, "lock_rejections": 0, "detaches_in_flight_max": 0}
        return self.get("counts")["endpoints"].get(endpoint, nothing)

    def detach_calls(self, endpoint):
        return self.counts(endpoint)["calls"].get(DETACH, 0)

    def end_tasks(self, **settings):
        """Ends at once what takes long, and forgets the counts."""
        state = self.get("state")
        state["settings"] |= settings
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for endpoint in state["endpoints"]:
            if "task" in endpoint:
                endpoint["task"] |= {"ends_at": now, "free_at": now}
        self.put(state)
