"""Rotation of secrets while the functions run, without a deployment."""

import json

import webhook
from shared.processes import eventually
from shared.simulator import ACCESS_KEY
from stack import request


def test_running_worker_reads_rotated_credentials(stack, alibaba, consumer, credentials):
    new_key = {"access_key_id": "LTAI5tSimulatorNext", "access_key_secret": "AnotherSecret"}
    alibaba.start_with(("ep-before", ["sg-old", "sg-web"]), detach_takes_ms=100)
    [before] = stack.send(request("ep-before", "sg-old", request_id="rotation-before"))
    first = consumer.wait_for("rotation-before")["detail"]
    stack.wait_until_empty()
    try:
        credentials.put(new_key)
        alibaba.start_with(("ep-after", ["sg-old", "sg-web"]), access_key=new_key, detach_takes_ms=100)
        [after] = stack.send(request("ep-after", "sg-old", request_id="rotation-after"))
        second = consumer.wait_for("rotation-after")["detail"]
    finally:
        credentials.put(ACCESS_KEY)
        stack.restart("WorkerFunctionName")

    assert (first["outcome"], first["effort"]["retries"]) == ("detached", {})
    assert (second["outcome"], second["effort"]["deliveries"]) == ("detached", 1)
    assert second["effort"]["retries"] == {"InvalidAccessKeyId.NotFound": 1}
    assert alibaba.counts()["signatures_rejected"] == 1
    [first_batch], [second_batch] = stack.batches(before), stack.batches(after)
    assert first_batch["process_id"] == second_batch["process_id"]


def test_old_and_new_signing_secrets_are_valid_during_rotation(
    stack, alibaba, consumer, signing_secret, signing_secrets
):
    alibaba.start_with(("ep-signed", ["sg-old", "sg-web"]))
    body = webhook.body(request("ep-signed", "sg-old", dry_run=True))
    next_secret = webhook.new_secret()

    def post(secret, webhook_id):
        return stack.post(body, webhook.headers(secret, webhook_id, body))

    try:
        signing_secrets.put([signing_secret, next_secret])
        old = post(signing_secret, "rotation-old")
        # A signature that matches no secret makes the intake read the list again, at most every 30 seconds.
        new = eventually(lambda: accepted(post(next_secret, "rotation-new")), "the new secret is valid")
        signing_secrets.put([next_secret])
        # Otherwise the old list stays in use for five minutes.
        stack.restart("IntakeFunctionName")
        late = post(signing_secret, "rotation-late")
        last = post(next_secret, "rotation-last")
    finally:
        signing_secrets.put([signing_secret])
        stack.restart("IntakeFunctionName")

    assert [response[0] for response in (old, new, late, last)] == [202, 202, 401, 202]
    _, headers, content = late
    assert (headers["content-type"], headers["www-authenticate"]) == ("application/problem+json", "StandardWebhooks")
    assert json.loads(content) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "The call is not authenticated.",
    }
    for name in ("rotation-old", "rotation-new", "rotation-last"):
        assert consumer.wait_for(name)["detail"]["outcome"] == "dry_run_passed"
    stack.wait_until_empty()
    assert consumer.of("rotation-late") == []


def accepted(response):
    return response if response[0] == 202 else None
