"""The intake accepts the calls that Feishu's SDK verifies and decrypts, and no others."""

import base64
import json

import pytest

from shared import feishu
from shared.chat_intake import ChatIntake, is_dry_run
from shared.feishu import ENCRYPT_KEY, NONCE, SIGNATURE, TIMESTAMP, VERIFICATION_TOKEN, body_of, encrypt, sign

OLD_KEY, OLD_TOKEN = "旧密钥-0123456789", "old-t0ken-0123456789"
TEXT = "detach sg-old ep-shop eu-west-1"
CHALLENGE = {"challenge": "ajls384k-jkdo 挑战", "token": VERIFICATION_TOKEN, "type": "url_verification"}


@pytest.fixture(scope="module")
def intake(tmp_path_factory):
    # The newest first, as during a rotation.
    secrets = {"encrypt_keys": [ENCRYPT_KEY, OLD_KEY], "verification_tokens": [VERIFICATION_TOKEN, OLD_TOKEN]}
    folder = tmp_path_factory.mktemp("intake")
    intake = ChatIntake("feishu", secrets, feishu.TENANT, feishu.CONVERSATION, folder)
    yield intake
    intake.stop()


@pytest.fixture
def sdk(sdk_of):
    return sdk_of(ENCRYPT_KEY, VERIFICATION_TOKEN)


@pytest.mark.parametrize("key", [ENCRYPT_KEY, OLD_KEY])
@pytest.mark.parametrize("age", [0, 200])
def test_message_that_the_sdk_decrypts_becomes_a_dry_run(intake, sdk_of, key, age):
    sdk = sdk_of(key, VERIFICATION_TOKEN)
    body = body_of(feishu.message(TEXT, age), key)
    headers = sign(body, key, age)
    assert sdk.accepts(body, headers)
    [received] = sdk.received
    assert json.loads(received.event.message.content)["text"] == f"@_user_1 {TEXT}"

    posted = intake.post(body, headers)
    assert (posted.status, json.loads(posted.body)) == (200, {})
    assert is_dry_run(posted.requests, "ep-shop"), posted
    # The answer, which Feishu does not show as a response.
    assert posted.notices == 1
    [request] = posted.requests
    assert request["metadata"]["requested_by"] == f"feishu:{feishu.TENANT}/{feishu.REQUESTER}"


@pytest.mark.parametrize("is_base64", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "移除\u3000sg-old ep-shop eu-west-1 ticket=CHG7",
        "@_user_1 @韩梅梅 移除 sg-old\u00a0ep-shop 😀 eu-west-1",
        "移除 sg-old ep-shop eu-west-1 ticket=变更-7",
    ],
)
def test_text_that_is_not_ascii_is_read_as_the_sdk_reads_it(intake, sdk, text, is_base64):
    body = body_of(feishu.message(text))
    headers = sign(body)
    assert sdk.accepts(body, headers)
    assert json.loads(sdk.received[0].event.message.content)["text"] == f"@_user_1 {text}"
    posted = intake.post(body, headers, is_base64)
    assert (posted.status, posted.notices) == (200, 1)
    # A word that is no part of a command is not ignored: it might be a mistyped option.
    is_command = "😀" not in text and "变更" not in text
    assert is_dry_run(posted.requests, "ep-shop") == is_command, posted


@pytest.mark.parametrize("length", range(33))
def test_every_length_of_padding_is_accepted(intake, sdk, length):
    body = body_of(feishu.message(f"{TEXT} {'@' + 'x' * length}"))
    headers = sign(body)
    assert sdk.accepts(body, headers)
    assert is_dry_run(intake.post(body, headers).requests, "ep-shop")


def changed(body, position):
    """Flips a bit of the ciphertext, which its signature does not cover any more."""
    data = bytearray(base64.b64decode(json.loads(body)["encrypt"]))
    data[position] ^= 1
    return json.dumps({"encrypt": base64.b64encode(data).decode()})


@pytest.mark.parametrize(
    "change",
    [
        lambda body, headers: (body, sign(body, "b" * 32)),
        lambda body, headers: (body, sign(f"{body} ")),
        lambda body, headers: (f"{body} ", headers),
        lambda body, headers: (changed(body, 0), headers),
        lambda body, headers: (changed(body, -1), headers),
        lambda body, headers: (body, {**headers, TIMESTAMP: str(int(headers[TIMESTAMP]) - 1)}),
        lambda body, headers: (body, {**headers, NONCE: "0" * 12}),
        lambda body, headers: (body, {**headers, SIGNATURE: headers[SIGNATURE].upper()}),
        lambda body, headers: (body, {**headers, SIGNATURE: headers[SIGNATURE][:-2]}),
        lambda body, headers: (body, {**headers, SIGNATURE: "签" * 64}),
        lambda body, headers: (body, {name: each for name, each in headers.items() if name != TIMESTAMP}),
        lambda body, headers: (body, {name: each for name, each in headers.items() if name != NONCE}),
        lambda body, headers: (body, {}),
    ],
    ids=[
        "other-key",
        "signature-of-longer",
        "longer",
        "first-bit",
        "last-bit",
        "timestamp",
        "nonce",
        "upper-case",
        "short",
        "not-ascii",
        "no-timestamp",
        "no-nonce",
        "unsigned",
    ],
)
def test_signature_that_the_sdk_refuses_is_refused(intake, sdk, change):
    body = body_of(feishu.message(TEXT))
    body, headers = change(body, sign(body))
    assert not sdk.accepts(body, headers) and sdk.received == []
    posted = intake.post(body, headers)
    assert (posted.status, posted.requests, posted.notices) == (401, [], 0)


@pytest.mark.parametrize("age", [250, -60])
def test_timestamp_that_only_the_sdk_accepts_is_not_carried_out(intake, sdk, age):
    body = body_of(feishu.message(TEXT))
    headers = sign(body, age=age)
    assert sdk.accepts(body, headers)
    posted = intake.post(body, headers)
    assert (posted.requests, posted.notices) == ([], 0)
    # Feishu repeats a message until the app accepts it, for hours.
    assert posted.status == (200 if age > 0 else 401)


def test_old_message_of_a_new_delivery_is_not_carried_out(intake, sdk):
    body = body_of(feishu.message(TEXT, age=250))
    headers = sign(body)
    assert sdk.accepts(body, headers)
    posted = intake.post(body, headers)
    assert (posted.status, posted.requests, posted.notices) == (200, [], 0)


CIPHERTEXT = encrypt(feishu.message(TEXT))


def with_padding(end):
    """A ciphertext of whole blocks whose text ends with these bytes, after white space."""

    def padded(data):
        return data + b" " * (-(len(data) + len(end)) % 16) + end

    return encrypt(feishu.message(TEXT), padded=padded)



@pytest.mark.parametrize(
    "data",
    [
        CIPHERTEXT[:-16],
        CIPHERTEXT[:-1],
        CIPHERTEXT[:32],
        CIPHERTEXT[:16],
        CIPHERTEXT[:15],
        b"",
        CIPHERTEXT + b"\0",
        encrypt(feishu.message(TEXT), "other key"),
        with_padding(b""),
        with_padding(b"\0"),
        with_padding(b"\x11" * 17),
        with_padding(b"\1\3\3"),
    ],
    ids=[
        "block",
        "byte",
        "one-block",
        "only-start",
        "short-start",
        "empty",
        "longer",
        "other-key",
        "no-padding",
        "zero-padding",
        "long-padding",
        "mixed-padding",
    ],
)
def test_ciphertext_that_the_sdk_cannot_decrypt_is_refused_in_spite_of_its_signature(intake, sdk, data):
    body = json.dumps({"encrypt": base64.b64encode(data).decode()})
    headers = sign(body)
    assert not sdk.accepts(body, headers)
    posted = intake.post(body, headers)
    assert (posted.status // 100, posted.requests, posted.notices) == (4, [], 0)


@pytest.mark.parametrize("content", [feishu.message(TEXT), CHALLENGE], ids=["message", "challenge"])
def test_body_that_is_not_encrypted_is_refused(intake, content):
    body = json.dumps(content)
    for headers in (sign(body), {}):
        posted = intake.post(body, headers)
        assert (posted.status // 100, posted.requests, posted.notices) == (4, [], 0)


@pytest.mark.parametrize("key, token", [(ENCRYPT_KEY, VERIFICATION_TOKEN), (OLD_KEY, OLD_TOKEN)])
def test_address_check_is_answered_as_the_sdk_answers_it(intake, sdk_of, key, token):
    body = body_of({**CHALLENGE, "token": token}, key)
    expected = json.loads(sdk_of(key, token).handle(body, {}).content)
    posted = intake.post(body, {})
    assert (posted.status, json.loads(posted.body)) == (200, expected)
    assert expected == {"challenge": CHALLENGE["challenge"]}


@pytest.mark.parametrize(
    "content, key",
    [
        ({**CHALLENGE, "token": "another"}, ENCRYPT_KEY),
        ({**CHALLENGE, "token": ""}, ENCRYPT_KEY),
        ({**CHALLENGE, "token": None}, ENCRYPT_KEY),
        (CHALLENGE, "other key"),
        # A message without a signature is no address check.
        ({**feishu.message(TEXT), "type": "url_verification", "challenge": "x"}, ENCRYPT_KEY),
    ],
    ids=["other-token", "empty-token", "no-token", "other-key", "message"],
)
def test_address_check_that_the_sdk_refuses_is_refused(intake, sdk, content, key):
    body = body_of(content, key)
    assert not sdk.accepts(body, {})
    posted = intake.post(body, {})
    assert (posted.status, posted.requests, posted.notices) == (401, [], 0)


def test_click_reaches_the_sdk_and_the_intake_alike(intake, sdk):
    body = body_of(feishu.click("值 & <x>"))
    headers = sign(body)
    response = sdk.handle(body, headers)
    assert response.status_code == 200
    [click] = sdk.received
    assert click.event.action.value == {"action": "approve", "request": "值 & <x>"}
    assert click.event.operator.open_id == feishu.REQUESTER

    posted = intake.post(body, headers)
    assert (posted.status, posted.requests, posted.notices) == (200, [], 0)
    # The SDK's own response has the same members.
    toast, expected = json.loads(posted.body)["toast"], json.loads(response.content)["toast"]
    assert set(toast) == {name for name, value in expected.items() if value is not None}


def test_old_click_is_refused(intake, sdk):
    body = body_of(feishu.click("value"))
    headers = sign(body, age=250)
    assert sdk.accepts(body, headers)
    posted = intake.post(body, headers)
    assert (posted.status, posted.requests, posted.notices) == (401, [], 0)


def test_other_events_and_senders_are_ignored(intake):
    of_app = feishu.message(TEXT)
    of_app["event"]["sender"]["sender_type"] = "app"
    for content in (
        of_app,
        feishu.message(TEXT, mentions=[]),
        feishu.event("im.chat.updated_v1", {"chat_id": feishu.CONVERSATION}),
    ):
        body = body_of(content)
        posted = intake.post(body, sign(body))
        assert (posted.status, posted.requests, posted.notices) == (200, [], 0), content
