//! The commands that work against the running services, ready to copy.

use std::path::Display;

use crate::chat::Place;
use crate::services::{
    COMPLETION_EVENTS, DEAD_LETTERS, PROTECTED, REPLACEMENT, REQUESTS, SIGNING_SECRET, Services,
    of_this_project,
};

/// Prints the addresses and the commands.
pub(crate) fn text(services: &Services, webhook_url: &str) -> String {
    let (aws, alibaba) = (services.aws.url(), services.cloud.url());
    let [requests, dead_letters, completion_events] =
        [REQUESTS, DEAD_LETTERS, COMPLETION_EVENTS].map(|name| services.aws.queue_url(name));
    let (vpc_id, replacement) = REPLACEMENT;
    let (addresses_of_chat, commands_of_chat) = of_chat(&services.chat.places());
    let seed = services.seed.display();
    let commands_of_simulator = of_simulator(&alibaba, &seed);
    let [direct, schedule, report, apply] = [
        "events/direct-dry-run.json",
        "events/schedule-several.json",
        "events/sweep-report.json",
        "events/sweep-apply.json",
    ]
    .map(of_this_project);
    let [direct, schedule, report, apply] = [&direct, &schedule, &report, &apply].map(|path| path.display());
    format!(
        r#"The intake, the worker, the sweeper and the messenger run on local services.
Nothing leaves the machine.

  Webhook URL      {webhook_url}/detachments
  Signing secret   {SIGNING_SECRET}
  AWS endpoint     {aws}
                   SQS, EventBridge, Secrets Manager, STS, Lambda Invoke
  Alibaba Cloud    simulated at {alibaba}
                   {seed}
{addresses_of_chat}
  Protected group  {PROTECTED}
  Replacement      {replacement}, for last groups in {vpc_id}

Completion events are printed below. Ctrl-C ends everything; nothing is kept.
The commands need curl, openssl and the AWS CLI, version 1 or 2. Copy these two
functions into another shell, in this directory:

send_webhook() {{
  id="msg_$(openssl rand -hex 12)"
  timestamp="$(date +%s)"
  secret="{SIGNING_SECRET}"
  key="$(printf %s "${{secret#whsec_}}" | openssl base64 -d -A |
    od -An -v -tx1 | tr -d ' \n')"
  signature="$(printf %s "$id.$timestamp.$1" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary |
    openssl base64 -A)"
  curl -sS {webhook_url}/detachments \
    -H 'content-type: application/json' \
    -H "webhook-id: $id" -H "webhook-timestamp: $timestamp" \
    -H "webhook-signature: v1,$signature" --data-raw "$1" -w '\n'
}}
local_aws() {{
  AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1 \
    AWS_DEFAULT_REGION=us-east-1 AWS_PAGER= \
    aws --endpoint-url {aws} "$@"
}}

Send a webhook:
  send_webhook '{{
    "region_id": "eu-west-1", "endpoint_id": "ep-hp3stock",
    "security_group_id": "sg-hp3vendor" }}'

{commands_of_chat}
Send a queue message:
  local_aws sqs send-message \
    --queue-url {requests} \
    --message-group-id eu-west-1/ep-hp3orders \
    --message-deduplication-id "$(date +%s)" --message-body '{{
    "region_id": "eu-west-1", "endpoint_id": "ep-hp3orders",
    "security_group_id": "sg-hp3vendor" }}'

Dry run, directly:
  local_aws lambda invoke --function-name worker \
    --payload fileb://{direct} response.json && cat response.json

Invoke the intake as a schedule does:
  local_aws lambda invoke --function-name intake \
    --payload fileb://{schedule} response.json && cat response.json

Find every endpoint of a region that uses a group, with the sweeper:
  local_aws lambda invoke --function-name sweeper \
    --payload fileb://{report} response.json && cat response.json

Detach the group from the endpoints of one team; where it is the last one, the
replacement is attached first. For another sweep, change a copy of the file:
  local_aws lambda invoke --function-name sweeper --cli-read-timeout 910 \
    --payload fileb://{apply} response.json && cat response.json

Read the completion events and the dead-letter queue:
  local_aws sqs receive-message --max-number-of-messages 10 \
    --visibility-timeout 0 \
    --queue-url {completion_events}
  local_aws sqs receive-message --max-number-of-messages 10 \
    --visibility-timeout 0 --message-attribute-names All \
    --queue-url {dead_letters}

Find the endpoints that use a group, with the command line program (it compiles
at first):
  export ALIBABA_CLOUD_ACCESS_KEY_ID=LTAI5tSimulatorKey
  export ALIBABA_CLOUD_ACCESS_KEY_SECRET=SimulatorSecret
  export REPLACEMENT_SECURITY_GROUPS={vpc_id}={replacement}
  cargo run --quiet --locked --features cli --bin privatelink-detach -- \
    find sg-hp3vendor --region eu-west-1 --endpoint-url {alibaba}

With jq, only the details of the events, or only the endpoints and their groups:
  local_aws sqs receive-message --max-number-of-messages 10 \
    --visibility-timeout 0 \
    --queue-url {completion_events} |
    jq '.Messages[].Body | fromjson.detail'
  curl -sS {alibaba}/_simulator/state |
    jq -c '.endpoints[] | [.endpoint_id, .security_groups[].id]'

{commands_of_simulator}
"#
    )
}

/// The commands that read and change the state of the simulated Alibaba Cloud.
fn of_simulator(alibaba: &str, seed: &Display<'_>) -> String {
    format!(
        r#"Read the whole state of the simulator, start over, or inject an error:
  curl -sS {alibaba}/_simulator/state
  curl -sS {alibaba}/_simulator/state -o /dev/null \
    -X PUT --data-binary @{seed}
  curl -sS {alibaba}/_simulator/faults -d '{{
    "action": "DetachSecurityGroupFromVpcEndpoint", "call": {{ "next": 2 }},
    "fault": {{ "kind": "code", "code": "EndpointLocked" }} }}'"#
    )
}

/// The addresses of the platforms, and the commands of each, with a text before those of the first one.
fn of_chat(places: &[Place]) -> (String, String) {
    let line = |place: &Place| format!("  {:<16} simulated at {}", place.title, place.url);
    let addresses = places.iter().map(line).collect::<Vec<_>>().join("\n");
    let block = |(index, place): (usize, &Place)| {
        let heading = if index == 0 {
            format!(
                "Send a command in {}, and read the conversation. After a few seconds it has
the approval request; then approve it as another person, and read again:",
                place.title
            )
        } else {
            format!("The same in {}:", place.title)
        };
        format!("{heading}\n{}", commands(place))
    };
    (addresses, places.iter().enumerate().map(block).collect::<Vec<_>>().join("\n"))
}

/// The commands to request, to show the conversation and to approve.
fn commands(place: &Place) -> String {
    let Place { url, conversation, requester, approver, endpoint, .. } = place;
    format!(
        r"  curl -sS {url}/control/command -d user={requester} \
    -d 'text=detach sg-hp3vendor {endpoint} eu-west-1 ticket=CHG0031077'
  curl -sS {url}/control/conversations/{conversation}
  curl -sS {url}/control/click -d user={approver} -d action=approve
"
    )
}
