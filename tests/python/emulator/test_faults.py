"""A function with an invalid configuration: its exit status and its log."""

import json
import re

import pytest


@pytest.mark.parametrize(
    "program, wrong, faults",
    [
        (
            "WORKER",
            {"DETACH_QUEUE_URL": "", "DETACH_DEADLINE_SECONDS": "soon", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ""},
            {
                "DETACH_QUEUE_URL": "is not set",
                "DETACH_DEADLINE_SECONDS": "must be a whole number of seconds from 30 to 39600",
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "is not set",
            },
        ),
        (
            "INTAKE",
            {"DETACH_QUEUE_URL": "", "WEBHOOK_SECRETS_ARN": "whsec_c2VjcmV0"},
            {"DETACH_QUEUE_URL": "is not set", "WEBHOOK_SECRETS_ARN": "must be the ARN of a Secrets Manager secret"},
        ),
        (
            "SWEEPER",
            {"DETACH_QUEUE_URL": "", "SWEEP_APPLY_ALLOWED": "yes"},
            {"DETACH_QUEUE_URL": "is not set", "SWEEP_APPLY_ALLOWED": "must be true or false"},
        ),
        (
            "MESSENGER",
            {"NOTICE_QUEUE_URL": "", "CHAT_SIGNING_SECRET_ARN": "a2tra2tra2s="},
            {
                "NOTICE_QUEUE_URL": "is not set",
                "CHAT_SIGNING_SECRET_ARN": "must be the ARN of a Secrets Manager secret",
            },
        ),
    ],
)
def test_one_log_line_has_all_configuration_errors(request, start, event, alibaba, aws, program, wrong, faults):
    environment = request.getfixturevalue(f"{program.lower()}_environment")
    function = start(program, {**environment, **wrong})
    # An invocation has no response if its function does not start. On Lambda it has this error type.
    assert function.invoke(event("direct-dry-run")) == (502, "")
    assert re.search("Init failed .*error=Runtime exited with error: exit status 1", function.log())
    assert "First fatal error stored in appctx: Runtime.ExitError" in function.log()

    (line,) = map(json.loads, function.own_lines())
    logged = json.loads(line.pop("faults"))
    assert logged == [{"variable": variable, "problem": problem} for variable, problem in faults.items()]
    line.pop("timestamp")
    assert line == {
        "level": "ERROR",
        "message": "the configuration is not usable",
        "target": "privatelink_detach::lambda",
    }
    assert (aws.calls, alibaba.journal()) == ([], [])
