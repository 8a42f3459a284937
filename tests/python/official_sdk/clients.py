"""Clients of Alibaba Cloud's official SDK for the simulator."""

from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_privatelink20200415.client import Client as PrivateLink
from alibabacloud_sts20150401.client import Client as Sts
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

from shared.simulator import ACCESS_KEY, REGION

# No retries, so that each SDK call is one HTTP call.
ONCE = RuntimeOptions(autoretry=False, max_attempts=1, connect_timeout=30_000, read_timeout=30_000)

# The request ids of the first calls after the simulator starts over. They depend only on the call's number.
REQUEST_IDS = [
    "C42C5A1A-A382-0138-910A-2DEC89025CC1",
    "E7B25AD2-7BCC-B532-9758-35DE1C9756CE",
    "4FAD8879-896D-31FB-1D0B-14E4DB018FED",
    "91A3A94B-2375-57CF-6E73-E372E2338ACA",
    "B631E75C-64BC-496A-6303-3B0CA389C35A",
]


def private_link(simulator, **access_key):
    """A PrivateLink client, by default with the simulator's default access key."""
    return PrivateLink(config(simulator, **(access_key or ACCESS_KEY)))


def sts(simulator, **access_key):
    """An STS client, by default without credentials."""
    return Sts(config(simulator, **access_key))


def ecs(simulator, **access_key):
    """An ECS client, by default with the simulator's default access key."""
    return Ecs(config(simulator, **(access_key or ACCESS_KEY)))


def config(simulator, **access_key):
    return Config(**access_key, endpoint=simulator.address, protocol="HTTP", region_id=REGION)
