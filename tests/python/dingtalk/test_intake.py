"""The intake accepts the calls that DingTalk signs, and no others. DingTalk has no Python package that signs calls, so
Python's `hmac` does it as the documentation describes.

The environment variables RIE and INTAKE are the paths of the binaries.
"""

import json

import pytest

from shared import dingtalk
from shared.chat_intake import ChatIntake, is_dry_run
from shared.dingtalk import APP_SECRET, CARD_SECRET, sign_click, sign_message

OLD_SECRET, OLD_CARD_SECRET = "old-app-secret-0123456789", "old-card-secret-0123456789"
TEXT = "detach sg-old ep-shop eu-west-1"


@pytest.fixture(scope="module")
def intake(tmp_path_factory):
    # The newest first, as during a rotation.
    secrets = {"app_secrets": [APP_SECRET, OLD_SECRET], "card_secrets": [CARD_SECRET, OLD_CARD_SECRET]}
    folder = tmp_path_factory.mktemp("intake")
    intake = ChatIntake("dingtalk", secrets, dingtalk.TENANT, dingtalk.CONVERSATION, folder)
    yield intake
    intake.stop()


@pytest.fixture
def post(intake):
    def post(content, headers, is_base64=False):
        body = json.dumps(content, ensure_ascii=False)
        return intake.post(body, {"content-type": "application/json; charset=utf-8", **headers}, is_base64)

    return post


def without(headers, name):
    return {each: value for each, value in headers.items() if each != name}


@pytest.mark.parametrize("secret", [APP_SECRET, OLD_SECRET])
@pytest.mark.parametrize("age", [0, 200])
def test_signed_message_becomes_a_dry_run(post, secret, age):
    posted = post(dingtalk.message(TEXT, age), sign_message(secret, age))
    assert (posted.status, json.loads(posted.body)) == (200, {})
    assert is_dry_run(posted.requests, "ep-shop"), posted
    # The answer, which DingTalk does not show as a response.
    assert posted.notices == 1
    [request] = posted.requests
    assert request["metadata"]["requested_by"] == f"dingtalk:{dingtalk.TENANT}/{dingtalk.REQUESTER}"


@pytest.mark.parametrize("is_base64", [False, True])
@pytest.mark.parametrize("text", ["移除\u3000sg-old ep-shop eu-west-1", "@机器人 移除 sg-old\u00a0ep-shop eu-west-1"])
def test_text_that_is_not_ascii_is_read(post, text, is_base64):
    posted = post(dingtalk.message(text), sign_message(), is_base64)
    assert posted.status == 200 and is_dry_run(posted.requests, "ep-shop"), posted


def test_text_outside_of_its_object_is_read(post):
    message = dingtalk.message("")
    del message["text"]
    posted = post({**message, "content": TEXT}, sign_message())
    assert posted.status == 200 and is_dry_run(posted.requests, "ep-shop"), posted


@pytest.mark.parametrize(
    "headers",
    [
        lambda: sign_message("b" * 32),
        lambda: sign_message(CARD_SECRET),
        lambda: sign_message(age=250),
        lambda: sign_message(age=-60),
        lambda: {**sign_message(), "timestamp": str(dingtalk.milliseconds() - 5000)},
        lambda: {**sign_message(), "timestamp": "now"},
        lambda: {**sign_message(), "sign": sign_message()["sign"].rstrip("=")},
        lambda: {**sign_message(), "sign": sign_message()["sign"].swapcase()},
        lambda: {**sign_message(), "sign": "签名"},
        lambda: without(sign_message(), "timestamp"),
        lambda: without(sign_message(), "sign"),
        # The signature of a click does not sign a message.
        lambda: sign_click(),
        lambda: {},
    ],
    ids=[
        "other-secret",
        "card-secret",
        "old",
        "early",
        "timestamp",
        "no-number",
        "cut",
        "case",
        "not-ascii",
        "no-timestamp",
        "no-sign",
        "of-click",
        "unsigned",
    ],
)
def test_message_with_another_signature_is_refused(post, headers):
    posted = post(dingtalk.message(TEXT), headers())
    assert (posted.status // 100, posted.requests, posted.notices) == (4, [], 0)


def test_old_message_of_a_new_delivery_is_not_carried_out(post):
    posted = post(dingtalk.message(TEXT, age=250), sign_message())
    assert (posted.status, posted.requests, posted.notices) == (200, [], 0)


@pytest.mark.parametrize("fields", [{"conversationType": "1"}, {"senderStaffId": None}], ids=["alone", "external"])
def test_message_that_cannot_be_answered_is_ignored(post, fields):
    posted = post(dingtalk.message(TEXT, **fields), sign_message())
    assert (posted.status, posted.requests, posted.notices) == (200, [], 0)


def test_body_of_a_message_is_not_signed_and_the_lists_still_apply(post):
    """A recorded signature is valid for every body, so the lists alone limit who is believed to have sent it."""
    headers = sign_message()
    assert is_dry_run(post(dingtalk.message(TEXT), headers).requests, "ep-shop")
    for fields in ({"tenant": "dingother"}, {"conversation": "cidOther=="}):
        posted = post(dingtalk.message(TEXT, **fields), headers)
        assert (posted.status, posted.requests) == (200, []), fields


@pytest.mark.parametrize("secret", [CARD_SECRET, OLD_CARD_SECRET])
@pytest.mark.parametrize("unit", [1, 1000])
def test_signed_click_is_read(post, secret, unit):
    posted = post(dingtalk.click("x"), sign_click(secret, unit=unit))
    # No key made the value, and a click names no conversation, so there is nothing to say.
    assert (posted.status, json.loads(posted.body), posted.requests, posted.notices) == (200, {}, [], 0)


@pytest.mark.parametrize(
    "headers",
    [
        lambda: sign_click("b" * 32),
        lambda: sign_click(APP_SECRET),
        lambda: sign_click(age=250),
        lambda: sign_click(age=250, unit=1),
        lambda: sign_click(age=-60),
        lambda: {**sign_click(), "x-ddpaas-signature-timestamp": str(dingtalk.milliseconds() - 5000)},
        lambda: {**sign_click(), "x-ddpaas-signature": sign_click()["x-ddpaas-signature"].swapcase()},
        lambda: without(sign_click(), "x-ddpaas-signature"),
        lambda: without(sign_click(), "x-ddpaas-signature-timestamp"),
        # The signature of a message does not sign a click.
        lambda: sign_message(),
        lambda: {},
    ],
    ids=[
        "other-secret",
        "app-secret",
        "old",
        "old-seconds",
        "early",
        "timestamp",
        "case",
        "no-signature",
        "no-timestamp",
        "of-message",
        "unsigned",
    ],
)
def test_click_with_another_signature_is_refused(post, headers):
    posted = post(dingtalk.click("x"), headers())
    assert (posted.status // 100, posted.requests, posted.notices) == (4, [], 0)
