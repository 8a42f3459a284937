"""The simulator's errors as exceptions of Alibaba Cloud's official SDK, with code, status, message and request id."""

import pytest
from alibabacloud_privatelink20200415 import models
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from darabonba.exceptions import RetryError, UnretryableException

from clients import ONCE, REQUEST_IDS, private_link
from shared.simulator import ACCESS_KEY, DETACH, REGION, endpoint

SHOP = endpoint("ep-shop", ["sg-old", "sg-web"])


def detach(simulator, access_key=None, **fields):
    parameters = {"region_id": REGION, "endpoint_id": "ep-shop", "security_group_id": "sg-old", **fields}
    client = private_link(simulator, **(access_key or {}))
    request = models.DetachSecurityGroupFromVpcEndpointRequest(**parameters)
    return client.detach_security_group_from_vpc_endpoint_with_options(request, ONCE)


def rejected(simulator, **fields):
    with pytest.raises(ClientException) as caught:
        detach(simulator, **fields)
    return caught.value


def check(error, simulator, code, status, message, request_id=REQUEST_IDS[0]):
    """Checks all fields of the exception and of the response in it."""
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
        # Added by the SDK.
        "StatusCode": status,
    }


def check_unchanged(simulator, calls=1):
    counts = simulator.counts()
    assert (counts["calls_total"], counts["calls"]) == (calls, {DETACH: calls})
    endpoints = simulator.state()["endpoints"]
    assert {group["status"] for each in endpoints for group in each["security_groups"]} <= {"Attached"}


def test_second_detach_is_rejected_by_the_lock(simulator):
    simulator.start_over(endpoints=[endpoint("ep-shop", ["sg-old", "sg-web", "sg-new"])])
    assert detach(simulator).body.request_id == REQUEST_IDS[0]
    error = rejected(simulator, security_group_id="sg-web")
    message = "The endpoint is locked by another operation or for overdue payments."
    check(error, simulator, "EndpointLocked", 400, message, REQUEST_IDS[1])
    assert simulator.counts()["endpoints"]["ep-shop"]["lock_rejections"] == 1


@pytest.mark.parametrize(
    "fields, code, message",
    [
        ({"endpoint_id": "ep-none"}, "EndpointNotFound", "The endpoint was not found in this region."),
        ({"security_group_id": "sg-none"}, "SecurityGroupNotFound", "The security group was not found."),
        ({"region_id": "mars-1"}, "RegionNotFound", "The region was not found."),
        (
            {"endpoint_id": "ep-single", "security_group_id": "sg-only"},
            "EndpointMustContainSecurityGroup",
            "An endpoint must have at least one security group.",
        ),
        (
            {"client_token": "x" * 65},
            "InvalidParameter",
            "The parameter ClientToken is not valid: must be at most 64 ASCII characters.",
        ),
        ({"security_group_id": None}, "MissingSecurityGroupId", "SecurityGroupId is mandatory for this action."),
        ({"endpoint_id": ""}, "MissingEndpointId", "EndpointId is mandatory for this action."),
    ],
)
def test_impossible_detach_is_rejected(simulator, fields, code, message):
    simulator.start_over(endpoints=[SHOP, endpoint("ep-single", ["sg-only"])])
    check(rejected(simulator, **fields), simulator, code, 400, message)
    check_unchanged(simulator)


def test_passed_dry_run_raises_an_exception(simulator):
    simulator.start_over(endpoints=[SHOP])
    message = "The request would have succeeded; it was not executed because it is a dry run."
    check(rejected(simulator, dry_run=True), simulator, "DryRunOperation", 400, message)
    entry = simulator.journal()[0]
    assert (entry["dry_run"], entry["code"]) == (True, "DryRunOperation")
    assert simulator.counts()["endpoints"]["ep-shop"]["detaches_accepted"] == 0


@pytest.mark.parametrize("code, status", [("NoPermission", 400), ("Forbidden.RAM", 403)])
def test_denied_call_names_the_missing_permission(simulator, code, status):
    settings = {"denial_code": code}
    simulator.start_over(endpoints=[SHOP], settings=settings, access_keys=[{**ACCESS_KEY, "denied_actions": [DETACH]}])
    error = rejected(simulator)
    check(error, simulator, code, status, "The caller is not authorized to perform this operation on the resource.")
    assert error.access_denied_detail == {
        "AuthAction": f"privatelink:{DETACH}",
        "AuthPrincipalDisplayName": ACCESS_KEY["access_key_id"],
        "AuthPrincipalType": "SubUser",
        "EncodedDiagnosticMessage": "simulated",
        "NoPermissionType": "ImplicitDeny",
        "PolicyType": "AccountLevelIdentityBasedPolicy",
    }
    check_unchanged(simulator)


@pytest.mark.parametrize(
    "access_key, code, status, message",
    [
        (
            {**ACCESS_KEY, "access_key_secret": "AnotherSecret"},
            "SignatureDoesNotMatch",
            400,
            "The signature does not match the one calculated from the received request.",
        ),
        (
            {**ACCESS_KEY, "access_key_id": "LTAI5tUnknown"},
            "InvalidAccessKeyId.NotFound",
            404,
            "The access key was not found.",
        ),
        (
            {**ACCESS_KEY, "security_token": "unknown-token"},
            "InvalidSecurityToken.Malformed",
            400,
            "The security token was not issued by this service.",
        ),
    ],
)
def test_wrong_credentials_are_rejected(simulator, access_key, code, status, message):
    simulator.start_over(endpoints=[SHOP])
    check(rejected(simulator, access_key=access_key), simulator, code, status, message)
    assert simulator.counts()["signatures_rejected"] == 1
    check_unchanged(simulator)


def test_wrong_clock_is_rejected(simulator):
    simulator.start_over(endpoints=[SHOP], settings={"clock_offset_ms": 16 * 60 * 1000})
    error = rejected(simulator)
    assert (error.code, error.status_code, error.request_id) == ("InvalidTimeStamp.Expired", 400, REQUEST_IDS[0])
    check_unchanged(simulator)


def test_call_above_the_quota_is_throttled_with_a_retry_time(simulator):
    simulator.start_over(endpoints=[SHOP], quotas={DETACH: {"calls": 1, "window_ms": 60_000}})
    detach(simulator)
    with pytest.raises(ThrottlingException) as caught:
        detach(simulator)
    message = "The request was denied by the flow control of your account."
    check(caught.value, simulator, "Throttling.User", 400, message, REQUEST_IDS[1])
    assert 0 < caught.value.retry_after <= 60_000
    assert (simulator.counts()["throttled"], simulator.counts()["calls_total"]) == (1, 2)


def test_retry_time_is_read_in_milliseconds(simulator):
    headers = {"x-acs-retry-after": "1500"}
    simulator.inject_fault(DETACH, kind="code", code="Throttling.Api", headers=headers)
    with pytest.raises(ThrottlingException) as caught:
        detach(simulator)
    check(caught.value, simulator, "Throttling.Api", 400, "The request was denied by the flow control of this action.")
    assert caught.value.retry_after == 1500


@pytest.mark.parametrize("hint", ["rate_limit", "none"])
def test_sdk_ignores_the_older_retry_headers(simulator, hint):
    """The SDK ignores the headers of older gateways and recognizes throttling only by the newer header. Without it, the
    error is a client error. The worker reads both headers and recognizes throttling by the code."""
    simulator.start_over(quotas={DETACH: {"calls": 0, "window_ms": 60_000}}, settings={"throttle_hint": hint})
    error = rejected(simulator)
    assert (error.code, error.status_code, error.retry_after) == ("Throttling.User", 400, None)


@pytest.mark.parametrize(
    "code, status, message",
    [
        ("ServiceUnavailable", 503, "The service is temporarily unavailable."),
        ("InternalError", 500, "The request failed because of an internal error."),
    ],
)
def test_server_error_raises_server_exception(simulator, code, status, message):
    simulator.inject_fault(DETACH, kind="code", code=code)
    with pytest.raises(ServerException) as caught:
        detach(simulator)
    check(caught.value, simulator, code, status, message)
    check_unchanged(simulator)


@pytest.mark.parametrize("error_format", ["json_lower_camel", "xml"])
def test_other_error_formats_are_read(simulator, error_format):
    """The SDK recognizes XML by the exact `Content-Type` and reads the `Error` element."""
    simulator.start_over(settings={"error_format": error_format})
    check(rejected(simulator), simulator, "EndpointNotFound", 400, "The endpoint was not found in this region.")


@pytest.mark.parametrize(
    "fault, inner",
    [
        ({"kind": "non_json", "status": 502}, RuntimeError),
        ({"kind": "empty"}, RuntimeError),
        ({"kind": "truncated"}, RetryError),
        ({"kind": "reset"}, RetryError),
    ],
)
def test_unreadable_response_is_not_retried(simulator, fault, inner):
    simulator.inject_fault(DETACH, **fault)
    with pytest.raises(UnretryableException) as caught:
        detach(simulator)
    assert type(caught.value.inner_exception) is inner
    assert simulator.counts()["calls_total"] == 1
