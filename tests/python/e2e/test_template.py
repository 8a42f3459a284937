"""What MiniStack made of template.yaml: a property that it overlooked would make the other tests worth less."""

import json

from stack import transformed

# Of the resources with a condition, those whose condition does not hold here.
WITHOUT = {"Schedule", "ScheduleRole"}


def properties(name):
    return transformed()["Resources"][name]["Properties"]


def test_every_resource_of_the_template_exists(stack):
    found = {resource["LogicalResourceId"]: resource["ResourceStatus"] for resource in stack.resources()}
    assert set(found) == set(transformed()["Resources"]) - WITHOUT
    assert set(found.values()) <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_the_queues_have_the_attributes_of_the_template(stack):
    # Those that name another queue.
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
    }
    for queue, named in policies.items():
        wanted = {name: value for name, value in properties(queue).items() if name != "QueueName"} | named
        answer = stack.sqs.get_queue_attributes(QueueUrl=stack.outputs[f"{queue}Url"], AttributeNames=["All"])
        # SQS answers strings; those of numbers, switches and policies are JSON, and a few are words.
        found = {name: value_of(answer["Attributes"].get(name)) for name in wanted}
        assert found == wanted


def value_of(attribute):
    try:
        return json.loads(attribute)
    except ValueError:
        return attribute


def test_the_functions_and_what_invokes_them_are_configured_as_in_the_template(stack):
    for resource in ("WorkerFunction", "IntakeFunction"):
        found = stack.functions.get_function_configuration(FunctionName=stack.outputs[f"{resource}Name"])
        wanted = properties(resource)
        for name in ("Description", "Handler", "Runtime", "Timeout", "Architectures"):
            assert found[name] == wanted[name]
        assert set(found["Environment"]["Variables"]) <= set(wanted["Environment"]["Variables"])
    mapping = stack.functions.get_event_source_mapping(UUID=stack.outputs["WorkerEventSourceMappingId"])
    wanted = properties("WorkerFunctionRequests")
    assert mapping["EventSourceArn"] == stack.outputs["RequestQueueArn"]
    assert mapping["FunctionArn"] == stack.outputs["WorkerFunctionArn"]
    assert [mapping[name] for name in ("BatchSize", "FunctionResponseTypes")] == [
        wanted[name] for name in ("BatchSize", "FunctionResponseTypes")
    ]
    retries = stack.functions.get_function_event_invoke_config(
        FunctionName=stack.outputs["IntakeFunctionName"], Qualifier="$LATEST"
    )
    wanted = properties("IntakeFunctionEventInvokeConfig")
    assert [retries[name] for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")] == [
        wanted[name] for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
    ]
    url = stack.functions.get_function_url_config(FunctionName=stack.outputs["IntakeFunctionName"])
    assert (url["FunctionUrl"], url["AuthType"]) == (stack.outputs["WebhookUrl"], "NONE")
