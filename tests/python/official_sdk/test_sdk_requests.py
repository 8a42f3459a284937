"""The recorded requests of the official SDK are those that the pinned SDK sends."""

import json

import pytest

import recording

RECORDINGS = pytest.mark.parametrize(
    "file, record",
    [(recording.RECORDING, recording.record), (recording.SERVICES_RECORDING, recording.record_services)],
    ids=["PrivateLink", "STS and ECS"],
)


@RECORDINGS
def test_recording_is_what_the_sdk_sends(file, record):
    """`tests/worker/official_sdk.rs` compares this project with the files. If this fails after an update of the SDK,
    create the files again, and review the differences and that test."""
    recorded = json.loads(file.read_text(encoding="utf-8"))
    sent = record()
    assert sent["sdk"] == recorded["sdk"]
    names = [each["name"] for each in sent["recordings"]]
    assert names == [each["name"] for each in recorded["recordings"]]
    for now, then in zip(sent["recordings"], recorded["recordings"]):
        assert now == then, now["name"]
    assert recording.text_of(sent) == file.read_text(encoding="utf-8")


@RECORDINGS
def test_worker_signs_all_headers_of_the_sdk_except_these(file, record):
    """A header that a new SDK adds fails this test, so that it is not missed here or in the worker's test."""
    for each in record()["recordings"]:
        signed = each["sent"]["headers"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        workers = each["signed_as_the_worker"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        left_out = set(signed.split(";")) - set(workers.split(";"))
        expected = {"accept", "user-agent", "x-acs-credentials-provider"}
        if "security_token" in each["inputs"]:
            expected.add("x-acs-accesskey-id")
        assert left_out == expected, each["name"]
