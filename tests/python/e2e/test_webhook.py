"""From a webhook to its completion event, through the resources of template.yaml."""

import json

import webhook
from completions import COMPLETED, SOURCE
from ministack import ACCOUNT, REGION
from stack import request


def test_signed_webhook_ends_with_one_completion_event(stack, alibaba, consumer, signing_secret):
    alibaba.start_with(("ep-webhook", ["sg-old", "sg-web"]), detach_takes_ms=500)
    body = webhook.body(request("ep-webhook", "sg-old", metadata={"ticket": "CHG0031042"}))

    status, headers, content = stack.post(body, webhook.headers(signing_secret, "msg_webhook", body))

    accepted = request("ep-webhook", "sg-old", request_id="msg_webhook", dry_run=False)
    assert (status, headers["content-type"], headers["cache-control"]) == (202, "application/json", "no-store")
    assert json.loads(content) == {"accepted": [accepted]}

    event = consumer.wait_for("msg_webhook")
    stack.wait_until_empty()
    assert consumer.of("msg_webhook") == [event]
    detail = event["detail"]
    assert {name: event[name] for name in event if name not in ("id", "time", "detail")} == {
        "version": "0",
        "account": ACCOUNT,
        "region": REGION,
        "source": SOURCE,
        "detail-type": COMPLETED,
        "resources": [],
    }
    accepted_at, started_at = detail["accepted_at"], detail["started_at"]
    confirmed_at, completed_at = detail["evidence"]["confirmed_at"], detail["completed_at"]
    assert accepted_at <= started_at <= confirmed_at <= completed_at
    assert 500 <= detail["duration_ms"]
    # At least a detach, a list of groups and a list of endpoints; the last two confirm the detach.
    assert 3 <= len(detail["api_request_ids"]) == len(set(detail["api_request_ids"]))
    calls = alibaba.endpoint_counts("ep-webhook")["calls"]
    assert detail == {
        "version": "1",
        "request_id": "msg_webhook",
        "outcome": "detached",
        "trigger": "webhook",
        "dry_run": False,
        "region_id": "eu-west-1",
        "endpoint_id": "ep-webhook",
        "security_group_id": "sg-old",
        "reason": None,
        "evidence": {
            "security_groups_before": ["sg-old", "sg-web"],
            "security_groups_after": ["sg-web"],
            "security_group_seen": True,
            "replacement_security_group_id": None,
            "endpoint_status": "Active",
            "confirmed_at": confirmed_at,
        },
        "effort": {
            "deliveries": 1,
            "detach_calls": 1,
            "read_calls": sum(calls.values()) - 1,
            "retries": {},
        },
        "accepted_at": accepted_at,
        "started_at": started_at,
        "completed_at": completed_at,
        "duration_ms": detail["duration_ms"],
        "api_request_ids": detail["api_request_ids"],
        "metadata": {"ticket": "CHG0031042"},
    }
    assert alibaba.groups("ep-webhook") == {"sg-web": "Attached"}
