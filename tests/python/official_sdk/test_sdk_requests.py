"""The recording of the official SDK's requests is what the pinned SDK sends."""

import json

import recording


def test_the_recording_is_what_the_sdk_sends_today():
    """`tests/worker/official_sdk.rs` holds the worker against the file. Where this fails after an update of the SDK, make
    the file anew, read what has changed, and judge it there."""
    recorded = json.loads(recording.RECORDING.read_text(encoding="utf-8"))
    sent = recording.record()
    assert sent["sdk"] == recorded["sdk"]
    names = [each["name"] for each in sent["recordings"]]
    assert names == [each["name"] for each in recorded["recordings"]]
    for now, then in zip(sent["recordings"], recorded["recordings"]):
        assert now == then, now["name"]
    assert recording.text_of(sent) == recording.RECORDING.read_text(encoding="utf-8")


def test_every_header_of_the_sdk_but_those_named_is_signed_by_the_worker_too():
    """So that a header which a new SDK brings is not passed over, neither here nor in the worker's test."""
    for each in recording.record()["recordings"]:
        signed = each["sent"]["headers"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        workers = each["signed_as_the_worker"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        left_out = set(signed.split(";")) - set(workers.split(";"))
        expected = {"accept", "user-agent", "x-acs-credentials-provider"}
        if "security_token" in each["inputs"]:
            expected.add("x-acs-accesskey-id")
        assert left_out == expected, each["name"]
