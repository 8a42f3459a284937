"""MiniStack applies template.yaml: the other tests rely on the properties that are checked here."""

import json

from stack import transformed

# Resources whose condition does not hold in this stack.
NOT_CREATED = {
    "CanaryAlarm",
    "CanaryPasses",
    "CanarySchedule",
    "Schedule",
    "SweepSchedule",
}


def properties(name):
    return transformed()["Resources"][name]["Properties"]


def test_all_resources_exist(stack):
    found = {resource["LogicalResourceId"]: resource["ResourceStatus"] for resource in stack.resources()}
    assert set(found) == set(transformed()["Resources"]) - NOT_CREATED
    assert set(found.values()) <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_queues_have_the_attributes_of_the_template(stack):
    # The attributes that refer to another queue.
    policies = {
        "RequestQueue": {
            "RedrivePolicy": {"deadLetterTargetArn": stack.outputs["DeadLetterQueueArn"], "maxReceiveCount": 1000}
        },
        "DeadLetterQueue": {
            "RedriveAllowPolicy": {
                "redrivePermission": "byQueue",
                "sourceQueueArns": [stack.outputs["RequestQueueArn"]],
            }
        },
        "IntakeFailureQueue": {},
        "SweeperFailureQueue": {},
        "NoticeQueue": {
            "RedrivePolicy": {"deadLetterTargetArn": stack.outputs["NoticeDeadLetterQueueArn"], "maxReceiveCount": 20}
        },
        "NoticeDeadLetterQueue": {
            "RedriveAllowPolicy": {
                "redrivePermission": "byQueue",
                "sourceQueueArns": [stack.outputs["NoticeQueueArn"]],
            }
        },
    }
    for queue, named in policies.items():
        expected = {name: value for name, value in properties(queue).items() if name != "QueueName"} | named
        response = stack.sqs.get_queue_attributes(QueueUrl=stack.outputs[f"{queue}Url"], AttributeNames=["All"])
        # SQS returns strings. Numbers, booleans and policies are JSON; a few are plain words.
        found = {name: parse_attribute(response["Attributes"].get(name)) for name in expected}
        assert found == expected


def parse_attribute(attribute):
    try:
        return json.loads(attribute)
    except ValueError:
        return attribute


def test_functions_and_their_triggers_are_configured_as_in_the_template(stack):
    for resource in ("WorkerFunction", "IntakeFunction", "SweeperFunction", "MessengerFunction"):
        found = stack.functions.get_function_configuration(FunctionName=stack.outputs[f"{resource}Name"])
        expected = properties(resource)
        for name in ("Description", "Handler", "Runtime", "Timeout", "Architectures"):
            assert found[name] == expected[name]
        assert set(found["Environment"]["Variables"]) <= set(expected["Environment"]["Variables"])
    for function, queue, resource in (
        ("Worker", "RequestQueueArn", "WorkerFunctionRequests"),
        ("Messenger", "NoticeQueueArn", "MessengerFunctionNotices"),
    ):
        mapping = stack.functions.get_event_source_mapping(UUID=stack.outputs[f"{function}EventSourceMappingId"])
        expected = properties(resource)
        assert mapping["EventSourceArn"] == stack.outputs[queue]
        assert mapping["FunctionArn"].endswith(f":{stack.outputs[f'{function}FunctionName']}")
        assert [mapping[name] for name in ("BatchSize", "FunctionResponseTypes")] == [
            expected[name] for name in ("BatchSize", "FunctionResponseTypes")
        ]
    for resource in ("IntakeFunction", "SweeperFunction"):
        retries = stack.functions.get_function_event_invoke_config(
            FunctionName=stack.outputs[f"{resource}Name"], Qualifier="$LATEST"
        )
        expected = properties(f"{resource}EventInvokeConfig")
        assert [retries[name] for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")] == [
            expected[name] for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
        ]
    url = stack.functions.get_function_url_config(FunctionName=stack.outputs["IntakeFunctionName"])
    assert (url["FunctionUrl"], url["AuthType"]) == (stack.outputs["WebhookUrl"], "NONE")
    for platform in ("Slack", "DingTalk", "Feishu"):
        assert stack.outputs[f"{platform}Url"] == f"{url['FunctionUrl']}chat/{platform.lower()}"
