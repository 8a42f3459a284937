"""Everything that the simulator refuses, as Alibaba Cloud's official SDK understands it: in its own exceptions, with code,
status, message and request id."""

import pytest
from alibabacloud_privatelink20200415 import models
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from darabonba.exceptions import RetryError, UnretryableException

from simulated import KEY, ONCE, REGION, REQUEST_IDS, endpoint

DETACH = "DetachSecurityGroupFromVpcEndpoint"
SHOP = endpoint("ep-shop", ["sg-old", "sg-web"])


def detach(simulator, keys=None, **more):
    asked = {"region_id": REGION, "endpoint_id": "ep-shop", "security_group_id": "sg-old", **more}
    client = simulator.private_link(**(keys or {}))
    request = models.DetachSecurityGroupFromVpcEndpointRequest(**asked)
    return client.detach_security_group_from_vpc_endpoint_with_options(request, ONCE)


def refused(simulator, **more):
    with pytest.raises(ClientException) as caught:
        detach(simulator, **more)
    return caught.value


def check(error, simulator, code, status, message, request_id=REQUEST_IDS[0]):
    """The whole error, in the exception's own fields and in the answer that it carries along."""
    assert (error.code, error.status_code, error.request_id) == (code, status, request_id)
    assert error.message == f"code: {status}, {message} request id: {request_id}"
    data = {name[0].upper() + name[1:]: value for name, value in error.data.items()}
    data.pop("AccessDeniedDetail", None)
    assert data == {
        "Code": code,
        "HostId": simulator.address,
        "Message": message,
        "Recommend": f"https://api.alibabacloud.com/troubleshoot?q={code}&product=Privatelink&requestId={request_id}",
        "RequestId": request_id,
        # The SDK's own addition.
        "StatusCode": status,
    }


def check_nothing_done(simulator, calls=1):
    counts = simulator.counts()
    assert (counts["calls_total"], counts["calls"]) == (calls, {DETACH: calls})
    endpoints = simulator.control("GET", "state")[1]["endpoints"]
    assert {group["status"] for each in endpoints for group in each["security_groups"]} <= {"Attached"}


def test_a_second_detach_meets_the_lock(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web", "sg-new"])])
    assert detach(simulator).body.request_id == REQUEST_IDS[0]
    error = refused(simulator, security_group_id="sg-web")
    message = "The endpoint is locked by another operation or for overdue payments."
    check(error, simulator, "EndpointLocked", 400, message, REQUEST_IDS[1])
    assert simulator.counts()["endpoints"]["ep-shop"]["lock_rejections"] == 1


@pytest.mark.parametrize(
    "asked, code, message",
    [
        ({"endpoint_id": "ep-none"}, "EndpointNotFound", "The endpoint was not found in this region."),
        ({"security_group_id": "sg-none"}, "SecurityGroupNotFound", "The security group was not found."),
        ({"region_id": "mars-1"}, "RegionNotFound", "The region was not found."),
        (
            {"endpoint_id": "ep-single", "security_group_id": "sg-only"},
            "EndpointMustContainSecurityGroup",
            "An endpoint keeps at least one security group.",
        ),
        (
            {"client_token": "x" * 65},
            "InvalidParameter",
            "The parameter ClientToken is not valid: it is not ASCII of at most 64 characters.",
        ),
        ({"security_group_id": None}, "MissingSecurityGroupId", "SecurityGroupId is mandatory for this action."),
        ({"endpoint_id": ""}, "MissingEndpointId", "EndpointId is mandatory for this action."),
    ],
)
def test_what_cannot_be_done_is_refused(simulator, asked, code, message):
    simulator.start_over(endpoints=[SHOP, endpoint("ep-single", ["sg-only"])])
    check(refused(simulator, **asked), simulator, code, 400, message)
    check_nothing_done(simulator)


def test_a_dry_run_that_passes_is_an_exception_too(simulator):
    simulator.start_over(endpoints=[SHOP])
    message = "The request would have succeeded; nothing was done because it is a dry run."
    check(refused(simulator, dry_run=True), simulator, "DryRunOperation", 400, message)
    entry = simulator.journal()[0]
    assert (entry["dry_run"], entry["code"]) == (True, "DryRunOperation")
    assert simulator.counts()["endpoints"]["ep-shop"]["detaches_accepted"] == 0


@pytest.mark.parametrize("code, status", [("NoPermission", 400), ("Forbidden.RAM", 403)])
def test_a_key_that_may_not_is_told_what_it_lacks(simulator, code, status):
    settings = {"denial_code": code}
    simulator.start_over(endpoints=[SHOP], settings=settings, access_keys=[{**KEY, "denied_actions": [DETACH]}])
    error = refused(simulator)
    check(error, simulator, code, status, "The caller is not authorized to do this on the resource.")
    assert error.access_denied_detail == {
        "AuthAction": f"privatelink:{DETACH}",
        "AuthPrincipalDisplayName": KEY["access_key_id"],
        "AuthPrincipalType": "SubUser",
        "EncodedDiagnosticMessage": "simulated",
        "NoPermissionType": "ImplicitDeny",
        "PolicyType": "AccountLevelIdentityBasedPolicy",
    }
    check_nothing_done(simulator)


@pytest.mark.parametrize(
    "keys, code, status, message",
    [
        (
            {**KEY, "access_key_secret": "AnotherSecret"},
            "SignatureDoesNotMatch",
            400,
            "The signature is not the one calculated from what arrived.",
        ),
        (
            {**KEY, "access_key_id": "LTAI5tNobody"},
            "InvalidAccessKeyId.NotFound",
            404,
            "The access key was not found.",
        ),
        (
            {**KEY, "security_token": "unheard-of"},
            "InvalidSecurityToken.Malformed",
            400,
            "The security token is not one of ours.",
        ),
    ],
)
def test_keys_that_are_wrong_are_refused(simulator, keys, code, status, message):
    simulator.start_over(endpoints=[SHOP])
    check(refused(simulator, keys=keys), simulator, code, status, message)
    assert simulator.counts()["signatures_rejected"] == 1
    check_nothing_done(simulator)


def test_a_clock_that_is_far_off_is_refused(simulator):
    simulator.start_over(endpoints=[SHOP], settings={"clock_offset_ms": 16 * 60 * 1000})
    error = refused(simulator)
    assert (error.code, error.status_code, error.request_id) == ("InvalidTimeStamp.Expired", 400, REQUEST_IDS[0])
    check_nothing_done(simulator)


def test_a_call_above_the_quota_is_throttled_and_told_for_how_long(simulator):
    simulator.start_over(endpoints=[SHOP], quotas={DETACH: {"calls": 1, "window_ms": 60_000}})
    detach(simulator)
    with pytest.raises(ThrottlingException) as caught:
        detach(simulator)
    message = "The request was denied by the flow control of your account."
    check(caught.value, simulator, "Throttling.User", 400, message, REQUEST_IDS[1])
    assert 0 < caught.value.retry_after <= 60_000
    assert (simulator.counts()["throttled"], simulator.counts()["calls_total"]) == (1, 2)


def test_the_time_to_stay_away_is_read_to_the_millisecond(simulator):
    headers = {"x-acs-retry-after": "1500"}
    simulator.strike(DETACH, kind="code", code="Throttling.Api", headers=headers)
    with pytest.raises(ThrottlingException) as caught:
        detach(simulator)
    check(caught.value, simulator, "Throttling.Api", 400, "The request was denied by the flow control of this action.")
    assert caught.value.retry_after == 1500


@pytest.mark.parametrize("hint", ["rate_limit", "none"])
def test_the_older_hints_are_nothing_to_the_sdk(simulator, hint):
    """This SDK no longer reads the headers of older gateways, and knows a throttled call by its hint alone: without one, it
    is any error of the caller's. The worker reads both kinds, and goes by the code."""
    simulator.start_over(quotas={DETACH: {"calls": 0, "window_ms": 60_000}}, settings={"throttle_hint": hint})
    error = refused(simulator)
    assert (error.code, error.status_code, error.retry_after) == ("Throttling.User", 400, None)


@pytest.mark.parametrize(
    "code, status, message",
    [
        ("ServiceUnavailable", 503, "The service is unavailable at the moment."),
        ("InternalError", 500, "The request failed for an internal reason."),
    ],
)
def test_a_server_in_trouble_is_an_exception_of_its_own(simulator, code, status, message):
    simulator.strike(DETACH, kind="code", code=code)
    with pytest.raises(ServerException) as caught:
        detach(simulator)
    check(caught.value, simulator, code, status, message)
    check_nothing_done(simulator)


@pytest.mark.parametrize("error_format", ["json_lower_camel", "xml"])
def test_an_error_is_understood_in_the_other_formats(simulator, error_format):
    """The SDK copes with both. It takes a body for XML by its whole `Content-Type`, and reads what is in its `Error`."""
    simulator.start_over(settings={"error_format": error_format})
    check(refused(simulator), simulator, "EndpointNotFound", 400, "The endpoint was not found in this region.")


@pytest.mark.parametrize(
    "fault, inner",
    [
        ({"kind": "non_json", "status": 502}, RuntimeError),
        ({"kind": "empty"}, RuntimeError),
        ({"kind": "truncated"}, RetryError),
        ({"kind": "reset"}, RetryError),
    ],
)
def test_what_is_no_answer_is_not_repeated(simulator, fault, inner):
    simulator.strike(DETACH, **fault)
    with pytest.raises(UnretryableException) as caught:
        detach(simulator)
    assert type(caught.value.inner_exception) is inner
    assert simulator.counts()["calls_total"] == 1
