"""Every action of the simulator, called by Alibaba Cloud's official SDK over HTTP: its signatures are accepted, and the
answers are complete in the SDK's own types."""

import asyncio
import base64
import json
import time

import pytest
from alibabacloud_privatelink20200415 import models
from alibabacloud_sts20150401 import models as sts_models
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from darabonba.core import DaraCore

from simulated import KEY, ONCE, REGION, REQUEST_IDS, endpoint

DETACH = "DetachSecurityGroupFromVpcEndpoint"
GROUPS = "ListVpcEndpointSecurityGroups"
ENDPOINTS = "ListVpcEndpoints"

SHOP = endpoint(
    "ep-shop",
    ["sg-old", {"id": "sg-leaving", "status": "Detaching"}, {"id": "sg-new", "status": "Attaching"}],
    endpoint_name="The shop's <endpoint> & more",
    endpoint_status="Pending",
    business_status="FinancialLocked",
    connection_status="Disconnected",
    endpoint_type="Reverse",
    protected_enabled=True,
    vpc_id="vpc-shop",
    tags={"team": "shop", "größe": "klein"},
)
SHOP_RECORD = {
    "ConnectionStatus": "Disconnected",
    "EndpointBusinessStatus": "FinancialLocked",
    "EndpointId": "ep-shop",
    "EndpointName": "The shop's <endpoint> & more",
    "EndpointStatus": "Pending",
    "EndpointType": "Reverse",
    "ProtectedEnabled": True,
    "RegionId": REGION,
    "VpcId": "vpc-shop",
}
SHOP_TAGS = [{"Key": "größe", "Value": "klein"}, {"Key": "team", "Value": "shop"}]

ROLE = "acs:ram::1234567890123456:role/detach"
PROVIDER = "acs:ram::1234567890123456:oidc-provider/issuer"
ISSUER = "https://issuer.example"
# Anything but a letter, a digit, `-`, `_`, `.` and `~` is written differently by one encoder or another.
AWKWARD_CLIENT_TOKEN = " a+b%20c*d~e'()/=&?;:@,$!\"<>#[]|\\^`{}_.- "


def test_a_detach_is_accepted(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web"])])
    asked = models.DetachSecurityGroupFromVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-old", client_token=AWKWARD_CLIENT_TOKEN
    )
    answer = simulator.private_link().detach_security_group_from_vpc_endpoint_with_options(asked, ONCE)
    check_called(simulator, DETACH, answer, {})
    entry = simulator.journal()[0]
    assert (entry["client_token"], entry["dry_run"], entry["executed"]) == (AWKWARD_CLIENT_TOKEN, False, True)
    assert groups(simulator, "ep-shop") == {"sg-old": "Detaching", "sg-web": "Attached"}


def test_an_attach_is_accepted(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old"])], security_groups=["sg-spare"])
    asked = models.AttachSecurityGroupToVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-spare", client_token=AWKWARD_CLIENT_TOKEN
    )
    answer = simulator.private_link().attach_security_group_to_vpc_endpoint_with_options(asked, ONCE)
    check_called(simulator, "AttachSecurityGroupToVpcEndpoint", answer, {})
    assert groups(simulator, "ep-shop") == {"sg-old": "Attached", "sg-spare": "Attaching"}


def test_the_groups_of_an_endpoint_are_listed_with_their_status(simulator):
    simulator.start_over(endpoints=[SHOP])
    asked = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop")
    answer = simulator.private_link().list_vpc_endpoint_security_groups_with_options(asked, ONCE)
    listed = [
        {"SecurityGroupId": "sg-leaving", "SecurityGroupStatus": "Detaching"},
        {"SecurityGroupId": "sg-new", "SecurityGroupStatus": "Attaching"},
        {"SecurityGroupId": "sg-old", "SecurityGroupStatus": "Attached"},
    ]
    check_called(simulator, GROUPS, answer, {"SecurityGroups": listed, "MaxResults": 50, "TotalCount": 3})


def test_a_group_may_come_without_its_status(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old"])], settings={"omit_group_status": True})
    asked = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop")
    answer = simulator.private_link().list_vpc_endpoint_security_groups_with_options(asked, ONCE)
    listed = [{"SecurityGroupId": "sg-old"}]
    check_called(simulator, GROUPS, answer, {"SecurityGroups": listed, "MaxResults": 50, "TotalCount": 1})


def test_endpoints_are_listed_with_all_that_is_known_of_them(simulator):
    simulator.start_over(endpoints=[SHOP, endpoint("ep-other", ["sg-old"])])
    asked = models.ListVpcEndpointsRequest(region_id=REGION, endpoint_id="ep-shop")
    answer = simulator.private_link().list_vpc_endpoints_with_options(asked, ONCE)
    record = {**SHOP_RECORD, "Tags": SHOP_TAGS}
    check_called(simulator, ENDPOINTS, answer, {"Endpoints": [record], "MaxResults": 50, "TotalCount": 1})


def test_one_endpoint_is_read(simulator):
    simulator.start_over(endpoints=[SHOP])
    asked = models.GetVpcEndpointAttributeRequest(region_id=REGION, endpoint_id="ep-shop")
    answer = simulator.private_link().get_vpc_endpoint_attribute_with_options(asked, ONCE)
    check_called(simulator, "GetVpcEndpointAttribute", answer, SHOP_RECORD)


def test_the_regions_are_listed(simulator):
    simulator.start_over(regions=[REGION, "us-east-1"])
    answer = simulator.private_link().describe_regions_with_options(models.DescribeRegionsRequest(), ONCE)
    regions = [
        {"RegionId": region, "LocalName": region, "RegionEndpoint": f"privatelink.{region}.aliyuncs.com"}
        for region in (REGION, "us-east-1")
    ]
    check_called(simulator, "DescribeRegions", answer, {"Regions": {"Region": regions}})


def test_a_token_is_exchanged_for_keys_that_sign(simulator):
    issuer = Issuer()
    simulator.start_over(
        access_keys=[],
        oidc_providers=[issuer.provider()],
        roles=[{"arn": ROLE, "oidc_provider_arn": PROVIDER}],
        endpoints=[endpoint("ep-shop", ["sg-old"])],
    )
    issued_at = int(time.time())
    asked = sts_models.AssumeRoleWithOIDCRequest(
        role_arn=ROLE,
        oidcprovider_arn=PROVIDER,
        oidctoken=issuer.token(issued_at),
        role_session_name="worker",
        duration_seconds=900,
    )
    answer = simulator.sts().assume_role_with_oidcwith_options(asked, ONCE)
    keys = answer.body.credentials
    role_id = answer.body.assumed_role_user.assumed_role_id
    said = {
        "AssumedRoleUser": {
            "Arn": "acs:ram::1234567890123456:assumed-role/detach/worker",
            "AssumedRoleId": role_id,
        },
        "Credentials": {
            "AccessKeyId": keys.access_key_id,
            "AccessKeySecret": keys.access_key_secret,
            "SecurityToken": keys.security_token,
            "Expiration": keys.expiration,
        },
        "OIDCTokenInfo": {
            "ClientIds": "sts.aliyuncs.com",
            "ExpirationTime": moment(issued_at + 300),
            "IssuanceTime": moment(issued_at),
            "Issuer": ISSUER,
            "Subject": "worker",
            "VerificationInfo": "Success",
        },
    }
    check_called(simulator, "AssumeRoleWithOIDC", answer, said)
    assert role_id.endswith(":worker") and moment(issued_at + 890) < keys.expiration < moment(time.time() + 901)

    client = simulator.private_link(
        access_key_id=keys.access_key_id,
        access_key_secret=keys.access_key_secret,
        security_token=keys.security_token,
    )
    page = client.list_vpc_endpoints_with_options(models.ListVpcEndpointsRequest(region_id=REGION), ONCE)
    assert [each.endpoint_id for each in page.body.endpoints] == ["ep-shop"]
    assert simulator.counts()["signatures_rejected"] == 0


# Each action with the test that calls it.
TESTED = {
    "AssumeRoleWithOIDC": test_a_token_is_exchanged_for_keys_that_sign,
    "AttachSecurityGroupToVpcEndpoint": test_an_attach_is_accepted,
    "DescribeRegions": test_the_regions_are_listed,
    DETACH: test_a_detach_is_accepted,
    "GetVpcEndpointAttribute": test_one_endpoint_is_read,
    GROUPS: test_the_groups_of_an_endpoint_are_listed_with_their_status,
    ENDPOINTS: test_endpoints_are_listed_with_all_that_is_known_of_them,
}


def test_no_action_of_the_simulator_is_left_out(simulator):
    """Whoever names an unknown action in a fault is told those that there are."""
    status, answer = simulator.control("POST", "faults", {"action": "?", "fault": {"kind": "hang"}})
    _, _, known = answer["error"].partition("unknown variant `?`, expected one of ")
    known, _, _ = known.partition(" at line ")
    assert (status, {name.strip("` ") for name in known.split(",")}) == (400, set(TESTED))


@pytest.mark.parametrize("kind", ["groups", "endpoints"])
def test_pages_lead_to_each_other_and_hold_everything_once(simulator, kind):
    ids = [f"sg-{number}" for number in range(5)]
    if kind == "groups":
        simulator.start_over(endpoints=[endpoint("ep-shop", ids)])
        call = simulator.private_link().list_vpc_endpoint_security_groups_with_options
        asked = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop", max_results=2)
        ids_on = lambda body: [group.security_group_id for group in body.security_groups]
    else:
        ids = [f"ep-{number}" for number in range(5)]
        simulator.start_over(endpoints=[endpoint(each, ["sg-old"]) for each in ids])
        call = simulator.private_link().list_vpc_endpoints_with_options
        asked = models.ListVpcEndpointsRequest(region_id=REGION, max_results=2)
        ids_on = lambda body: [endpoint.endpoint_id for endpoint in body.endpoints]

    pages = []
    while not pages or (asked.next_token and len(pages) < len(ids)):
        body = call(asked, ONCE).body
        pages.append((ids_on(body), body.max_results, body.total_count, bool(body.next_token)))
        asked.next_token = body.next_token
    assert pages == [(ids[:2], 2, 5, True), (ids[2:4], 2, 5, True), (ids[4:], 2, 5, False)]
    assert simulator.counts()["calls_total"] == 3


def test_a_client_token_answers_with_the_first_result_again(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web"])])
    asked = models.DetachSecurityGroupFromVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-old", client_token="once"
    )
    client = simulator.private_link()
    answers = [client.detach_security_group_from_vpc_endpoint_with_options(asked, ONCE) for _ in range(2)]
    assert [answer.body.request_id for answer in answers] == [REQUEST_IDS[0]] * 2
    counts = simulator.counts()["endpoints"]["ep-shop"]
    assert (counts["calls_total"], counts["detaches_accepted"]) == (2, 1)


def test_a_sessions_key_signs_with_its_token(simulator):
    session = {**KEY, "security_token": "CAISexample/+==~!*'();:@&$,?%23[]\"<>"}
    simulator.start_over(access_keys=[session], endpoints=[endpoint("ep-shop", ["sg-old"])])
    asked = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop")
    answer = simulator.private_link(**session).list_vpc_endpoint_security_groups_with_options(asked, ONCE)
    assert [group.security_group_id for group in answer.body.security_groups] == ["sg-old"]
    assert simulator.counts()["signatures_rejected"] == 0


def test_the_sdks_asynchronous_calls_are_accepted_too(simulator):
    """Their HTTP client adds `Content-Type: application/octet-stream` behind the signer's back."""
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web"])])
    asked = models.DetachSecurityGroupFromVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-old", client_token=AWKWARD_CLIENT_TOKEN
    )
    client = simulator.private_link()
    answer = asyncio.run(client.detach_security_group_from_vpc_endpoint_with_options_async(asked, ONCE))
    check_called(simulator, DETACH, answer, {})
    assert simulator.journal()[0]["client_token"] == AWKWARD_CLIENT_TOKEN


@pytest.mark.parametrize("action", TESTED)
def test_an_answer_has_only_fields_that_the_sdks_type_knows(simulator, monkeypatch, action):
    """What a type does not know, it leaves out: the bodies as they came are compared with what became of them."""
    came = []
    answered = DaraCore.from_map

    def compare(model, answer):
        typed = answered(model, answer)
        came.append((answer["body"], typed.body.to_map()))
        return typed

    monkeypatch.setattr(DaraCore, "from_map", compare)
    TESTED[action](simulator)
    assert came
    for body, kept in came:
        assert kept == body


def check_called(simulator, action, answer, said):
    """The answer is this, and the call was one, of this action, and rightly signed."""
    assert type(answer).__name__ == f"{action}Response"
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json;charset=utf-8")
    assert answer.body.to_map() == {"RequestId": REQUEST_IDS[0], **said}
    counts = simulator.counts()
    assert (counts["calls"], counts["calls_unknown"], counts["signatures_rejected"]) == ({action: 1}, 0, 0)
    assert simulator.control("GET", "state")[1]["settings"]["verify_signatures"] is True


def groups(simulator, endpoint_id):
    endpoints = simulator.control("GET", "state")[1]["endpoints"]
    found = next(each for each in endpoints if each["endpoint_id"] == endpoint_id)
    return {group["id"]: group["status"] for group in found["security_groups"]}


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Issuer:
    """An issuer of tokens with a key that it has just made."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def provider(self):
        numbers = self.key.public_key().public_numbers()
        text = lambda number: base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        jwk = {"kty": "RSA", "use": "sig", "kid": "key-1", "n": text(numbers.n), "e": text(numbers.e)}
        return {
            "arn": PROVIDER,
            "issuer_url": ISSUER,
            "client_ids": ["sts.aliyuncs.com"],
            "jwks": {"keys": [jwk]},
        }

    def token(self, issued_at):
        claims = {
            "iss": ISSUER,
            "sub": "worker",
            "aud": "sts.aliyuncs.com",
            "iat": issued_at,
            "exp": issued_at + 300,
        }
        header = {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64url(signature)}"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
