"""The recorded requests of the official SDK are those that the pinned SDK sends."""

import json

import recording


def test_recording_is_what_the_sdk_sends():
    """`tests/worker/official_sdk.rs` compares the worker with the file. If this fails after an update of the SDK, create
    the file again, and review the differences and that test."""
    recorded = json.loads(recording.RECORDING.read_text(encoding="utf-8"))
    sent = recording.record()
    assert sent["sdk"] == recorded["sdk"]
    names = [each["name"] for each in sent["recordings"]]
    assert names == [each["name"] for each in recorded["recordings"]]
    for now, then in zip(sent["recordings"], recorded["recordings"]):
        assert now == then, now["name"]
    assert recording.text_of(sent) == recording.RECORDING.read_text(encoding="utf-8")


def test_worker_signs_all_headers_of_the_sdk_except_these():
    """A header that a new SDK adds fails this test, so that it is not missed here or in the worker's test."""
    for each in recording.record()["recordings"]:
        signed = each["sent"]["headers"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        workers = each["signed_as_the_worker"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        left_out = set(signed.split(";")) - set(workers.split(";"))
        expected = {"accept", "user-agent", "x-acs-credentials-provider"}
        if "security_token" in each["inputs"]:
            expected.add("x-acs-accesskey-id")
        assert left_out == expected, each["name"]
