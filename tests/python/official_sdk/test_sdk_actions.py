"""Calls every action of the simulator with Alibaba Cloud's official SDK over HTTP. The simulator accepts the SDK's
signatures, and the SDK's types represent the whole responses."""

import asyncio
import base64
import json
import time

import pytest
from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_privatelink20200415 import models
from alibabacloud_sts20150401 import models as sts_models
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from darabonba.core import DaraCore

from clients import ONCE, REQUEST_IDS, ecs, private_link, sts
from shared.simulator import ACCESS_KEY, DETACH, LIST_ENDPOINTS, LIST_GROUPS, REGION, endpoint

SHOP = endpoint(
    "ep-shop",
    ["sg-old", {"id": "sg-leaving", "status": "Detaching"}, {"id": "sg-new", "status": "Attaching"}],
    endpoint_name="The shop's <endpoint> & more",
    endpoint_status="Pending",
    business_status="FinancialLocked",
    connection_status="Disconnected",
    endpoint_type="Reverse",
    protected_enabled=True,
    resource_group_id="rg-shop",
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
    "ResourceGroupId": "rg-shop",
    "VpcId": "vpc-shop",
}
SHOP_TAGS = [{"Key": "größe", "Value": "klein"}, {"Key": "team", "Value": "shop"}]

OWNER = "acs:ram::1234567890123456:user/simulator"
ROLE = "acs:ram::1234567890123456:role/detach"
PROVIDER = "acs:ram::1234567890123456:oidc-provider/issuer"
ISSUER = "https://issuer.example"
# Encoders differ in all characters except letters, digits, `-`, `_`, `.` and `~`.
AWKWARD_CLIENT_TOKEN = " a+b%20c*d~e'()/=&?;:@,$!\"<>#[]|\\^`{}_.- "


def test_detach_is_accepted(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web"])])
    request = models.DetachSecurityGroupFromVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-old", client_token=AWKWARD_CLIENT_TOKEN
    )
    response = private_link(simulator).detach_security_group_from_vpc_endpoint_with_options(request, ONCE)
    check_called(simulator, DETACH, response, {})
    entry = simulator.journal()[0]
    assert (entry["client_token"], entry["dry_run"], entry["executed"]) == (AWKWARD_CLIENT_TOKEN, False, True)
    assert simulator.groups("ep-shop") == {"sg-old": "Detaching", "sg-web": "Attached"}


def test_attach_is_accepted(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old"])], security_groups=["sg-spare"])
    request = models.AttachSecurityGroupToVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-spare", client_token=AWKWARD_CLIENT_TOKEN
    )
    response = private_link(simulator).attach_security_group_to_vpc_endpoint_with_options(request, ONCE)
    check_called(simulator, "AttachSecurityGroupToVpcEndpoint", response, {})
    assert simulator.groups("ep-shop") == {"sg-old": "Attached", "sg-spare": "Attaching"}


def test_groups_are_listed_with_their_status(simulator):
    simulator.start_over(endpoints=[SHOP])
    request = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop")
    response = private_link(simulator).list_vpc_endpoint_security_groups_with_options(request, ONCE)
    listed = [
        {"SecurityGroupId": "sg-leaving", "SecurityGroupStatus": "Detaching"},
        {"SecurityGroupId": "sg-new", "SecurityGroupStatus": "Attaching"},
        {"SecurityGroupId": "sg-old", "SecurityGroupStatus": "Attached"},
    ]
    check_called(simulator, LIST_GROUPS, response, {"SecurityGroups": listed, "MaxResults": 50, "TotalCount": 3})


def test_group_status_can_be_missing(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old"])], settings={"omit_group_status": True})
    request = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop")
    response = private_link(simulator).list_vpc_endpoint_security_groups_with_options(request, ONCE)
    listed = [{"SecurityGroupId": "sg-old"}]
    check_called(simulator, LIST_GROUPS, response, {"SecurityGroups": listed, "MaxResults": 50, "TotalCount": 1})


def test_endpoints_are_listed_with_all_fields(simulator):
    simulator.start_over(endpoints=[SHOP, endpoint("ep-other", ["sg-old"])])
    request = models.ListVpcEndpointsRequest(region_id=REGION, endpoint_id="ep-shop")
    response = private_link(simulator).list_vpc_endpoints_with_options(request, ONCE)
    record = {**SHOP_RECORD, "Tags": SHOP_TAGS}
    check_called(simulator, LIST_ENDPOINTS, response, {"Endpoints": [record], "MaxResults": 50, "TotalCount": 1})


def test_endpoint_attributes_are_read(simulator):
    simulator.start_over(endpoints=[SHOP])
    request = models.GetVpcEndpointAttributeRequest(region_id=REGION, endpoint_id="ep-shop")
    response = private_link(simulator).get_vpc_endpoint_attribute_with_options(request, ONCE)
    check_called(simulator, "GetVpcEndpointAttribute", response, SHOP_RECORD)


def test_regions_are_listed(simulator):
    simulator.start_over(regions=[REGION, "us-east-1"])
    response = private_link(simulator).describe_regions_with_options(models.DescribeRegionsRequest(), ONCE)
    regions = [
        {"RegionId": region, "LocalName": region, "RegionEndpoint": f"privatelink.{region}.aliyuncs.com"}
        for region in (REGION, "us-east-1")
    ]
    check_called(simulator, "DescribeRegions", response, {"Regions": {"Region": regions}})


def test_token_is_exchanged_for_valid_credentials(simulator):
    issuer = Issuer()
    simulator.start_over(
        access_keys=[],
        oidc_providers=[issuer.provider()],
        roles=[{"arn": ROLE, "oidc_provider_arn": PROVIDER}],
        endpoints=[endpoint("ep-shop", ["sg-old"])],
    )
    issued_at = int(time.time())
    request = sts_models.AssumeRoleWithOIDCRequest(
        role_arn=ROLE,
        oidcprovider_arn=PROVIDER,
        oidctoken=issuer.token(issued_at),
        role_session_name="worker",
        duration_seconds=900,
    )
    response = sts(simulator).assume_role_with_oidcwith_options(request, ONCE)
    credentials = response.body.credentials
    role_id = response.body.assumed_role_user.assumed_role_id
    fields = {
        "AssumedRoleUser": {
            "Arn": "acs:ram::1234567890123456:assumed-role/detach/worker",
            "AssumedRoleId": role_id,
        },
        "Credentials": {
            "AccessKeyId": credentials.access_key_id,
            "AccessKeySecret": credentials.access_key_secret,
            "SecurityToken": credentials.security_token,
            "Expiration": credentials.expiration,
        },
        "OIDCTokenInfo": {
            "ClientIds": "sts.aliyuncs.com",
            "ExpirationTime": timestamp(issued_at + 300),
            "IssuanceTime": timestamp(issued_at),
            "Issuer": ISSUER,
            "Subject": "worker",
            "VerificationInfo": "Success",
        },
    }
    check_called(simulator, "AssumeRoleWithOIDC", response, fields)
    assert role_id.endswith(":worker")
    assert timestamp(issued_at + 890) < credentials.expiration < timestamp(time.time() + 901)

    client = private_link(
        simulator,
        access_key_id=credentials.access_key_id,
        access_key_secret=credentials.access_key_secret,
        security_token=credentials.security_token,
    )
    page = client.list_vpc_endpoints_with_options(models.ListVpcEndpointsRequest(region_id=REGION), ONCE)
    assert [each.endpoint_id for each in page.body.endpoints] == ["ep-shop"]
    assert simulator.counts()["signatures_rejected"] == 0


def test_identity_is_that_of_the_access_key(simulator):
    response = sts(simulator, **ACCESS_KEY).get_caller_identity_with_options(ONCE)
    user_id = response.body.user_id
    fields = {
        "AccountId": "1234567890123456",
        "Arn": OWNER,
        "IdentityType": "RAMUser",
        "PrincipalId": user_id,
        "UserId": user_id,
    }
    check_called(simulator, "GetCallerIdentity", response, fields)


def test_role_is_assumed_by_a_caller_that_it_trusts(simulator):
    role = {"arn": ROLE, "trusted_principals": [OWNER], "external_id": "a_=,.@:/-1"}
    simulator.start_over(roles=[role])
    policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "ecs:*", "Resource": "*"}]}
    request = sts_models.AssumeRoleRequest(
        role_arn=ROLE,
        role_session_name="me@laptop",
        duration_seconds=900,
        external_id=role["external_id"],
        policy=json.dumps(policy),
    )
    response = sts(simulator, **ACCESS_KEY).assume_role_with_options(request, ONCE)
    credentials, role_id = response.body.credentials, response.body.assumed_role_user.assumed_role_id
    arn = "acs:ram::1234567890123456:assumed-role/detach/me@laptop"
    fields = {
        "AssumedRoleUser": {"Arn": arn, "AssumedRoleId": role_id},
        "Credentials": {
            "AccessKeyId": credentials.access_key_id,
            "AccessKeySecret": credentials.access_key_secret,
            "SecurityToken": credentials.security_token,
            "Expiration": credentials.expiration,
        },
    }
    check_called(simulator, "AssumeRole", response, fields)

    session = {
        "access_key_id": credentials.access_key_id,
        "access_key_secret": credentials.access_key_secret,
        "security_token": credentials.security_token,
    }
    identity = sts(simulator, **session).get_caller_identity_with_options(ONCE).body
    assert (identity.arn, identity.identity_type) == (arn, "AssumedRoleUser")
    assert identity.principal_id == role_id == f"{identity.role_id}:me@laptop"
    request = ecs_models.DescribeSecurityGroupsRequest(region_id=REGION)
    assert ecs(simulator, **session).describe_security_groups_with_options(request, ONCE).status_code == 200
    assert simulator.counts()["signatures_rejected"] == 0


def test_existing_security_groups_are_listed(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old"], vpc_id="vpc-shop")], security_groups=["sg-spare"])
    ids = json.dumps(["sg-old", "sg-spare", "sg-none"])
    request = ecs_models.DescribeSecurityGroupsRequest(region_id=REGION, security_group_ids=ids, max_results=100)
    response = ecs(simulator).describe_security_groups_with_options(request, ONCE)
    record = {
        "Description": "",
        "SecurityGroupName": "",
        "SecurityGroupType": "normal",
        "ServiceManaged": False,
        "Tags": {"Tag": []},
    }
    groups = [
        {"SecurityGroupId": "sg-old", "VpcId": "vpc-shop", **record},
        {"SecurityGroupId": "sg-spare", "VpcId": "", **record},
    ]
    fields = {"NextToken": "", "RegionId": REGION, "SecurityGroups": {"SecurityGroup": groups}, "TotalCount": 2}
    check_called(simulator, "DescribeSecurityGroups", response, fields)


# The test of each action.
TESTED = {
    "AssumeRole": test_role_is_assumed_by_a_caller_that_it_trusts,
    "AssumeRoleWithOIDC": test_token_is_exchanged_for_valid_credentials,
    "AttachSecurityGroupToVpcEndpoint": test_attach_is_accepted,
    "DescribeRegions": test_regions_are_listed,
    "DescribeSecurityGroups": test_existing_security_groups_are_listed,
    DETACH: test_detach_is_accepted,
    "GetCallerIdentity": test_identity_is_that_of_the_access_key,
    "GetVpcEndpointAttribute": test_endpoint_attributes_are_read,
    LIST_GROUPS: test_groups_are_listed_with_their_status,
    LIST_ENDPOINTS: test_endpoints_are_listed_with_all_fields,
}


def test_every_action_of_the_simulator_is_tested(simulator):
    """The error message for a fault of an unknown action lists the known actions."""
    status, response = simulator.control("POST", "faults", {"action": "?", "fault": {"kind": "hang"}})
    _, _, known = response["error"].partition("unknown variant `?`, expected one of ")
    known, _, _ = known.partition(" at line ")
    assert (status, {name.strip("` ") for name in known.split(",")}) == (400, set(TESTED))


@pytest.mark.parametrize("kind", ["groups", "endpoints"])
def test_pages_contain_every_entry_once(simulator, kind):
    ids = [f"sg-{number}" for number in range(5)]
    if kind == "groups":
        simulator.start_over(endpoints=[endpoint("ep-shop", ids)])
        call = private_link(simulator).list_vpc_endpoint_security_groups_with_options
        request = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop", max_results=2)
        ids_on = lambda body: [group.security_group_id for group in body.security_groups]
    else:
        ids = [f"ep-{number}" for number in range(5)]
        simulator.start_over(endpoints=[endpoint(each, ["sg-old"]) for each in ids])
        call = private_link(simulator).list_vpc_endpoints_with_options
        request = models.ListVpcEndpointsRequest(region_id=REGION, max_results=2)
        ids_on = lambda body: [endpoint.endpoint_id for endpoint in body.endpoints]

    pages = []
    while not pages or (request.next_token and len(pages) < len(ids)):
        body = call(request, ONCE).body
        pages.append((ids_on(body), body.max_results, body.total_count, bool(body.next_token)))
        request.next_token = body.next_token
    assert pages == [(ids[:2], 2, 5, True), (ids[2:4], 2, 5, True), (ids[4:], 2, 5, False)]
    assert simulator.counts()["calls_total"] == 3


def test_repeated_client_token_returns_the_first_result(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web"])])
    request = models.DetachSecurityGroupFromVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-old", client_token="once"
    )
    client = private_link(simulator)
    responses = [client.detach_security_group_from_vpc_endpoint_with_options(request, ONCE) for _ in range(2)]
    assert [response.body.request_id for response in responses] == [REQUEST_IDS[0]] * 2
    counts = simulator.counts()["endpoints"]["ep-shop"]
    assert (counts["calls_total"], counts["detaches_accepted"]) == (2, 1)


def test_session_credentials_sign_with_the_security_token(simulator):
    session = {**ACCESS_KEY, "security_token": "CAISexample/+==~!*'();:@&$,?%23[]\"<>"}
    simulator.start_over(access_keys=[session], endpoints=[endpoint("ep-shop", ["sg-old"])])
    request = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id="ep-shop")
    response = private_link(simulator, **session).list_vpc_endpoint_security_groups_with_options(request, ONCE)
    assert [group.security_group_id for group in response.body.security_groups] == ["sg-old"]
    assert simulator.counts()["signatures_rejected"] == 0


def test_asynchronous_calls_are_accepted(simulator):
    """Their HTTP client adds `Content-Type: application/octet-stream` after the request is signed."""
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web"])])
    request = models.DetachSecurityGroupFromVpcEndpointRequest(
        region_id=REGION, endpoint_id="ep-shop", security_group_id="sg-old", client_token=AWKWARD_CLIENT_TOKEN
    )
    client = private_link(simulator)
    response = asyncio.run(client.detach_security_group_from_vpc_endpoint_with_options_async(request, ONCE))
    check_called(simulator, DETACH, response, {})
    assert simulator.journal()[0]["client_token"] == AWKWARD_CLIENT_TOKEN


@pytest.mark.parametrize("action", TESTED)
def test_responses_have_only_fields_of_the_sdk_types(simulator, monkeypatch, action):
    """A type drops unknown fields, so the test compares the bodies before and after the conversion."""
    bodies = []
    from_map = DaraCore.from_map

    def record(model, response):
        typed = from_map(model, response)
        bodies.append((response["body"], typed.body.to_map()))
        return typed

    monkeypatch.setattr(DaraCore, "from_map", record)
    TESTED[action](simulator)
    assert bodies
    for body, converted in bodies:
        assert converted == body


def check_called(simulator, action, response, fields):
    """Checks the response, and that the simulator received one correctly signed call of the action."""
    assert type(response).__name__ == f"{action}Response"
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json;charset=utf-8")
    assert response.body.to_map() == {"RequestId": REQUEST_IDS[0], **fields}
    counts = simulator.counts()
    assert (counts["calls"], counts["calls_unknown"], counts["signatures_rejected"]) == ({action: 1}, 0, 0)
    assert simulator.state()["settings"]["verify_signatures"] is True


def timestamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Issuer:
    """A token issuer with a new key."""

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
