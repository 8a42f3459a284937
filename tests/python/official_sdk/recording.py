"""Records the complete requests that Alibaba Cloud's official Python SDK sends for this project's calls, at a fixed time
and with fixed nonces.

As a program it writes tests/vectors/official-sdk.json, with which tests/worker/official_sdk.rs compares the worker's
requests, and tests/vectors/official-sdk-services.json with the calls to STS and ECS. This project's clients create the
same nonces from the seeds in the files.

    python tests/python/official_sdk/recording.py
"""

import contextlib
import http.server
import importlib.metadata
import json
import pathlib
import threading
import types
import urllib.parse
from datetime import datetime
from unittest import mock

from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_privatelink20200415 import models
from alibabacloud_privatelink20200415.client import Client
from alibabacloud_sts20150401 import models as sts_models
from alibabacloud_sts20150401.client import Client as Sts
from alibabacloud_tea_openapi import utils
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.request import DaraRequest
from darabonba.runtime import RuntimeOptions

VECTORS = pathlib.Path(__file__).parents[2] / "vectors"
RECORDING = VECTORS / "official-sdk.json"
SERVICES_RECORDING = VECTORS / "official-sdk-services.json"

SIGNED_AT = "2026-01-02T03:04:05Z"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
# The SDK signs its User-Agent, which describes the machine, so the recording needs a fixed machine.
MACHINE = types.SimpleNamespace(system=lambda: "Linux", machine=lambda: "x86_64", python_version=lambda: "3.10.0")

# Headers of the SDK that the worker does not sign. tests/worker/official_sdk.rs explains why.
NOT_SIGNED_BY_WORKER = {"accept", "user-agent", "x-acs-accesskey-id", "x-acs-credentials-provider"}

KEY = {"access_key_id": "LTAI5tExampleAccessKeyId", "access_key_secret": "ExampleAccessKeySecretForTests0"}
# A real security token is Base64. This one also has the other characters that a header allows.
SESSION = {
    "access_key_id": "STS.ExampleAccessKeyId",
    "access_key_secret": "Example+Secret/Of=A~Session!",
    "security_token": "CAISexample/+==~!*'();:@&$,?%23[]\"<>",
}
REGION = "eu-west-1"
TARGET = {"region_id": REGION, "endpoint_id": "ep-hp33b2e43fays7s8abcd"}
GROUP = {"security_group_id": "sg-hp3c8qj1tyct90ejabcd"}
REPLACEMENT = {"security_group_id": "sg-hp35nmx8zkq2y7vtabcd"}
# Characters that encodings treat differently, with one of two bytes and one of four bytes in UTF-8.
AWKWARD = "a b+c%20d*e~f'(g)/h=i&j?k;l:m@n,o$p!q\"r<s>t#u[v]w|x\\y^z`{}_.-ü𝄞"
# A client token has at most 64 ASCII characters.
AWKWARD_CLIENT_TOKEN = " 0c593ea1 +%20*~'()/=&?;:@,$!\"<>#[]|\\^`{}_.- "

DETACH, ATTACH, LIST_GROUPS, LIST_ENDPOINTS = (
    "DetachSecurityGroupFromVpcEndpoint",
    "AttachSecurityGroupToVpcEndpoint",
    "ListVpcEndpointSecurityGroups",
    "ListVpcEndpoints",
)
GET_CALLER_IDENTITY, ASSUME_ROLE, DESCRIBE_GROUPS = "GetCallerIdentity", "AssumeRole", "DescribeSecurityGroups"

# The SDK's client, types and method of each action.
SDK = {
    DETACH: (Client, models, "detach_security_group_from_vpc_endpoint"),
    ATTACH: (Client, models, "attach_security_group_to_vpc_endpoint"),
    LIST_GROUPS: (Client, models, "list_vpc_endpoint_security_groups"),
    LIST_ENDPOINTS: (Client, models, "list_vpc_endpoints"),
    GET_CALLER_IDENTITY: (Sts, sts_models, "get_caller_identity"),
    ASSUME_ROLE: (Sts, sts_models, "assume_role"),
    DESCRIBE_GROUPS: (Ecs, ecs_models, "describe_security_groups"),
}

# For each call: its name, the seed of the worker's client and the resulting nonce, the credentials, the action, the
# inputs of the SDK, and the parameters that only the worker sends.
CALLS = [
    (
        "the first page of groups, with a key",
        *(1, "a833bdcdb6d1beb188dc97e5aab5fe3d", KEY, LIST_GROUPS),
        {**TARGET, "max_results": 50},
        {},
    ),
    (
        "a later page of groups, in a session",
        *(2, "33db743040f85a8ee9c932d26834c151", SESSION, LIST_GROUPS),
        {**TARGET, "max_results": 50, "next_token": AWKWARD},
        {},
    ),
    (
        "groups, with nothing that may be left out",
        *(3, "94e1893eef38aee251214f2dfad25d9a", KEY, LIST_GROUPS),
        TARGET,
        {"MaxResults": "50"},
    ),
    (
        "the endpoint's record, in a session",
        *(4, "1f8941ad79474a2bb64dea1ab855af0d", SESSION, LIST_ENDPOINTS),
        {**TARGET, "max_results": 50},
        {},
    ),
    (
        "a later page of records, with a key",
        *(5, "2c6731e6a2df08f239a62695ca733b6a", KEY, LIST_ENDPOINTS),
        {**TARGET, "max_results": 50, "next_token": AWKWARD},
        {},
    ),
    (
        "a detach, with a key",
        *(6, "b70ee8554ce5b43ab19c9af83b6371e7", KEY, DETACH),
        {**TARGET, **GROUP, "client_token": "0c593ea1-3bea-11e9-b96b-88e9fe637760", "dry_run": False},
        {},
    ),
    (
        "a dry run, in a session",
        *(7, "c5fc598e707e729138f4d74b451e8c20", SESSION, DETACH),
        {**TARGET, **GROUP, "client_token": AWKWARD_CLIENT_TOKEN, "dry_run": True},
        {},
    ),
    (
        "a detach, with nothing that may be left out",
        *(8, "4c8410fd03841eda19e172200481df9c", KEY, DETACH),
        {**TARGET, **GROUP},
        {"ClientToken": "0c593ea1-3bea-11e9-b96b-88e9fe637760", "DryRun": "false"},
    ),
    (
        "an attach, with a key",
        *(9, "9d758036471cdf4d81798eb396bf6bd4", KEY, ATTACH),
        {**TARGET, **REPLACEMENT, "client_token": "0c593ea1-3bea-11e9-b96b-88e9fe637760", "dry_run": False},
        {},
    ),
    (
        "a dry run of an attach, in a session",
        *(10, "e41db8a4d12b78f5e6662968543ebdb8", SESSION, ATTACH),
        {**TARGET, **REPLACEMENT, "client_token": AWKWARD_CLIENT_TOKEN, "dry_run": True},
        {},
    ),
    (
        "an attach, with nothing that may be left out",
        *(11, "e7920b14b3fab26369fe65fbe6ddc9f1", KEY, ATTACH),
        {**TARGET, **REPLACEMENT},
        {"ClientToken": "0c593ea1-3bea-11e9-b96b-88e9fe637760", "DryRun": "false"},
    ),
]


ROLE = {"role_arn": "acs:ram::1234567890123456:role/reader", "role_session_name": "me@laptop"}
POLICY = '{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecs:*"],"Resource":"acs:ecs:*:*:*/*"}]}'
IDS = '["sg-hp3c8qj1tyct90ejabcd","sg-b_-"]'

# As CALLS, for STS and ECS. The SDK of ECS takes the ids as the text of a JSON array.
SERVICE_CALLS = [
    ("an identity, with a key", *(1, "a833bdcdb6d1beb188dc97e5aab5fe3d", KEY, GET_CALLER_IDENTITY), {}, {}),
    ("an identity, in a session", *(2, "33db743040f85a8ee9c932d26834c151", SESSION, GET_CALLER_IDENTITY), {}, {}),
    (
        "a role, with a key",
        *(3, "94e1893eef38aee251214f2dfad25d9a", KEY, ASSUME_ROLE),
        {**ROLE, "duration_seconds": 3600},
        {},
    ),
    (
        "a role, in a session, with all parameters",
        *(4, "1f8941ad79474a2bb64dea1ab855af0d", SESSION, ASSUME_ROLE),
        {**ROLE, "duration_seconds": 900, "external_id": "a_=,.@:/-1", "policy": POLICY},
        {},
    ),
    (
        "a role, with nothing that may be left out",
        *(5, "2c6731e6a2df08f239a62695ca733b6a", KEY, ASSUME_ROLE),
        ROLE,
        {"DurationSeconds": "3600"},
    ),
    (
        "groups, with a key",
        *(6, "b70ee8554ce5b43ab19c9af83b6371e7", KEY, DESCRIBE_GROUPS),
        {"region_id": REGION, "security_group_ids": IDS, "max_results": 100},
        {},
    ),
    (
        "a later page of groups, in a session",
        # The second nonce of the seed: this project's client reads the first page before.
        *(7, "b7e1e158672161737b2b2203a8a4fd91", SESSION, DESCRIBE_GROUPS),
        {"region_id": REGION, "security_group_ids": IDS, "max_results": 100, "next_token": AWKWARD},
        {},
    ),
]


class Listener(http.server.ThreadingHTTPServer):
    """Records requests as a proxy, so that they have the host that the SDK chooses."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RecordingHandler)
        self.requests = []


class RecordingHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urllib.parse.urlsplit(self.path)
        pairs = [pair.partition("=") for pair in url.query.split("&") if pair]
        self.server.requests.append(
            {
                "method": self.command,
                "path": url.path,
                "query": url.query,
                "parameters": {name: urllib.parse.unquote_plus(value) for name, _, value in pairs},
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body.decode(),
            }
        )
        response = b'{"RequestId": "8D778FF9-7640-4C13-BCD6-9265CA9A2F81"}'
        self.send_response(200)
        self.send_header("content-type", "application/json;charset=utf-8")
        self.send_header("content-length", str(len(response)))
        self.end_headers()
        self.wfile.write(response)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def recording_proxy():
    with Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            listener.shutdown()
            thread.join()


@contextlib.contextmanager
def fixed(nonce):
    """Replaces the SDK's clock, machine and nonce with fixed ones."""
    clock = types.SimpleNamespace(utcnow=lambda: datetime.strptime(SIGNED_AT, TIME_FORMAT))
    with (
        mock.patch.object(utils, "datetime", clock),
        mock.patch.object(utils, "platform", MACHINE),
        mock.patch.object(utils.Utils, "get_nonce", staticmethod(lambda: nonce)),
        # Removes variables for proxies and debugging.
        mock.patch.dict("os.environ", clear=True),
    ):
        yield


def send(listener, credentials, action, fields):
    """Makes one call with the SDK. The SDK chooses the host; the connection goes to the listener, unencrypted."""
    config = Config(**credentials, region_id=REGION, protocol="http")
    runtime = RuntimeOptions(http_proxy=f"http://127.0.0.1:{listener.server_port}")
    sdk, models_of_sdk, method = SDK[action]
    method = getattr(sdk(config), f"{method}_with_options")
    request = () if action == GET_CALLER_IDENTITY else (getattr(models_of_sdk, f"{action}Request")(**fields),)
    method(*request, runtime)
    return listener.requests[-1]


def signed_as_the_worker(sent, credentials, added):
    """Signs the worker's parameters and headers with the SDK's signer. The worker's signature must be equal."""
    parameters = {**sent["parameters"], **added}
    if "DryRun" in parameters:
        parameters["DryRun"] = parameters["DryRun"].lower()
    request = DaraRequest()
    request.method, request.pathname, request.query = sent["method"], sent["path"], parameters
    is_signed = lambda name: name == "host" or name.startswith("x-acs-")
    request.headers = {
        name: value for name, value in sent["headers"].items() if is_signed(name) and name not in NOT_SIGNED_BY_WORKER
    }
    body_hash = utils.Utils.hash(sent["body"].encode(), "ACS3-HMAC-SHA256").hex()
    return {
        "query": utils.get_canonical_query_string(parameters),
        "authorization": utils.Utils.get_authorization(
            request, "ACS3-HMAC-SHA256", body_hash, credentials["access_key_id"], credentials["access_key_secret"]
        ),
    }


def record():
    """What tests/vectors/official-sdk.json contains, from the installed SDK."""
    about = (
        "What Alibaba Cloud's official Python SDK sends for the worker's calls, made by"
        " tests/python/official_sdk/recording.py. Parameters are decoded. The signature beside each request is the SDK's own, too,"
        " over what the worker sends of it."
    )
    return recorded(about, ["alibabacloud_privatelink20200415"], CALLS)


def record_services():
    """What tests/vectors/official-sdk-services.json contains, from the installed SDK."""
    about = "As official-sdk.json, for the command line program's calls to STS and ECS."
    return recorded(about, ["alibabacloud_sts20150401", "alibabacloud_ecs20140526"], SERVICE_CALLS)


def recorded(about, packages, calls):
    """The requests of the installed SDK in the format of the files."""
    recordings = []
    with recording_proxy() as listener:
        for name, seed, nonce, credentials, action, fields, added in calls:
            with fixed(nonce):
                sent = send(listener, credentials, action, fields)
                as_the_worker = signed_as_the_worker(sent, credentials, added)
            inputs = {"seed": seed, "nonce": nonce, "signed_at": SIGNED_AT, "action": action, **credentials, **fields}
            recordings.append({"name": name, "inputs": inputs, "sent": sent, "signed_as_the_worker": as_the_worker})
    packages = [*packages, "alibabacloud_tea_openapi", "alibabacloud-tea", "darabonba-core"]
    return {
        "about": about,
        "sdk": {package: importlib.metadata.version(package) for package in packages},
        "recordings": recordings,
    }


def text_of(recording):
    return json.dumps(recording, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    RECORDING.write_text(text_of(record()), encoding="utf-8")
    SERVICES_RECORDING.write_text(text_of(record_services()), encoding="utf-8")
