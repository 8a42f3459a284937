"""Secrets that change while the functions run, without a deployment."""

import json

import webhook
from alibaba import ACCESS_KEY, request
from processes import eventually


def test_keys_that_were_rotated_are_read_again_by_the_process_that_has_the_old_ones(stack, alibaba, consumer, keys):
    new_key = {"access_key_id": "LTAI5tSimulatorNext", "access_key_secret": "AnotherSecret"}
    alibaba.begin(("ep-before", ["sg-old", "sg-web"]), detach_takes_ms=100)
    [before] = stack.send(request("ep-before", "sg-old", request_id="rotation-before"))
    first = consumer.wait_for("rotation-before")["detail"]
    stack.wait_until_empty()
    try:
        keys.put(new_key)
        alibaba.begin(("ep-after", ["sg-old", "sg-web"]), access_key=new_key, detach_takes_ms=100)
        [after] = stack.send(request("ep-after", "sg-old", request_id="rotation-after"))
        second = consumer.wait_for("rotation-after")["detail"]
    finally:
        keys.put(ACCESS_KEY)
        stack.restart("WorkerFunctionName")

    assert (first["outcome"], first["effort"]["retries"]) == ("detached", {})
    assert (second["outcome"], second["effort"]["deliveries"]) == ("detached", 1)
    assert second["effort"]["retries"] == {"InvalidAccessKeyId.NotFound": 1}
    assert alibaba.get("counts")["signatures_rejected"] == 1
    [one], [other] = stack.batches(before), stack.batches(after)
    assert one["process_id"] == other["process_id"]


def test_signing_secrets_rotate_over_a_time_in_which_both_hold(
    stack, alibaba, consumer, signing_secret, signing_secrets
):
    alibaba.begin(("ep-signed", ["sg-old", "sg-web"]))
    body = webhook.body(request("ep-signed", "sg-old", dry_run=True))
    next_secret = webhook.new_secret()

    def post(secret, webhook_id):
        return stack.post(body, webhook.headers(secret, webhook_id, body))

    try:
        signing_secrets.put([signing_secret, next_secret])
        old = post(signing_secret, "rotation-old")
        # What matches none has the list read again, but not twice in half a minute.
        new = eventually(lambda: accepted(post(next_secret, "rotation-new")), "the new secret holds")
        signing_secrets.put([next_secret])
        # Else the old list holds for five minutes.
        stack.restart("IntakeFunctionName")
        late = post(signing_secret, "rotation-late")
        last = post(next_secret, "rotation-last")
    finally:
        signing_secrets.put([signing_secret])
        stack.restart("IntakeFunctionName")

    assert [answer[0] for answer in (old, new, late, last)] == [202, 202, 401, 202]
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


def accepted(answer):
    return answer if answer[0] == 202 else None
