//! The official AWS SDK clients against the services on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "one test measures how long it waited")]

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_aws::queues::{Counts, MessageId};
use local_aws::web_identity::Denial;
use local_aws::wire::REGION;
use local_aws::{Action, Ending, Fault, LocalAws, NewMessage, QueueSettings};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

const QUEUE: &str = "requests.fifo";
const DEAD_LETTERS: &str = "dead-letter.fifo";
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(30);

struct Environment {
    aws: LocalAws,
    sqs: aws_sdk_sqs::Client,
    events: aws_sdk_eventbridge::Client,
    sts: aws_sdk_sts::Client,
    queue: String,
}

/// A request queue with a dead-letter queue, an event bus, and clients that make `attempts` attempts per call.
async fn environment(attempts: u32) -> Environment {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
    aws.queues().create(QUEUE, QueueSettings::fifo().redrive(3, DEAD_LETTERS)).unwrap();
    aws.bus().create("completions");

    let http = aws_smithy_http_client::Builder::new().build_http();
    // Faults apply to one attempt each, so long waits between attempts are not needed.
    let retries = aws_sdk_sqs::config::retry::RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(Duration::from_millis(1));
    let sqs = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .region(aws_sdk_sqs::config::Region::new(REGION))
        .credentials_provider(aws_sdk_sqs::config::Credentials::new("key", "secret", None, None, "tests"))
        .endpoint_url(aws.url())
        .http_client(http.clone())
        .retry_config(retries.clone())
        .build();
    let events = aws_sdk_eventbridge::Config::builder()
        .behavior_version(aws_sdk_eventbridge::config::BehaviorVersion::latest())
        .region(aws_sdk_eventbridge::config::Region::new(REGION))
        .credentials_provider(aws_sdk_eventbridge::config::Credentials::new(
            "key", "secret", None, None, "tests",
        ))
        .endpoint_url(aws.url())
        .http_client(http.clone())
        .retry_config(retries.clone())
        .build();
    let sts = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .region(aws_sdk_sts::config::Region::new(REGION))
        .credentials_provider(aws_sdk_sts::config::Credentials::new("key", "secret", None, None, "tests"))
        .endpoint_url(aws.url())
        .http_client(http)
        .retry_config(retries)
        .build();
    Environment {
        queue: aws.queue_url(QUEUE),
        sqs: aws_sdk_sqs::Client::from_conf(sqs),
        events: aws_sdk_eventbridge::Client::from_conf(events),
        sts: aws_sdk_sts::Client::from_conf(sts),
        aws,
    }
}

impl Environment {
    fn send(&self, group: &str, body: &str) -> MessageId {
        let now = self.aws.now();
        self.aws.queues().send(QUEUE, NewMessage::fifo(body, group, body), now).unwrap().message_id
    }

    async fn receive(&self) -> Vec<aws_sdk_sqs::types::Message> {
        let received = self.sqs.receive_message().queue_url(&self.queue).max_number_of_messages(10);
        received.send().await.unwrap().messages.unwrap_or_default()
    }

    fn counts(&self, queue: &str) -> Counts {
        self.aws.queues().counts(queue, self.aws.now()).unwrap()
    }

    /// The actions and results of all calls.
    fn calls(&self) -> Vec<(Action, Ending)> {
        self.aws.journal().into_iter().map(|entry| (entry.action, entry.ending)).collect()
    }
}

fn completion(detail: &str) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name("completions")
        .source("privatelink-detach")
        .detail_type("Security Group Detach Completed")
        .detail(detail)
        .build()
}

#[tokio::test]
async fn received_message_equals_the_sent_one() {
    let environment = environment(1).await;
    let text = MessageAttributeValue::builder().data_type("String").string_value("webhook").build().unwrap();
    let bytes =
        MessageAttributeValue::builder().data_type("Binary").binary_value(vec![1, 2].into()).build().unwrap();

    let sent = environment
        .sqs
        .send_message()
        .queue_url(&environment.queue)
        .message_body("{\"ü\": \"\\u0001\"}")
        .message_group_id("eu-west-1/ep-1")
        .message_deduplication_id("once")
        .message_attributes("trigger", text.clone())
        .message_attributes("raw", bytes.clone())
        .send()
        .await
        .unwrap();
    let received = environment
        .sqs
        .receive_message()
        .queue_url(&environment.queue)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap();

    let [message] = received.messages() else { panic!("{received:?}") };
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!(message.body(), Some("{\"ü\": \"\\u0001\"}"));
    let attributes = message.message_attributes.as_ref().unwrap();
    assert_eq!((&attributes["trigger"], &attributes["raw"]), (&text, &bytes));
    let system = message.attributes.as_ref().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::MessageGroupId], "eu-west-1/ep-1");
    assert_eq!(system[&MessageSystemAttributeName::MessageDeduplicationId], "once");
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert_eq!(Some(system[&MessageSystemAttributeName::SequenceNumber].as_str()), sent.sequence_number());
    assert!(system.contains_key(&MessageSystemAttributeName::SentTimestamp));
}

#[tokio::test]
async fn copy_event_and_delete_are_journaled_in_order() {
    let environment = environment(1).await;
    let id = environment.send("lane", "not-a-request");
    let received = environment.receive().await.remove(0);

    let copy = environment
        .sqs
        .send_message()
        .queue_url(environment.aws.queue_url(DEAD_LETTERS))
        .message_body("not-a-request");
    let copy = copy.message_group_id("lane").message_deduplication_id(id.as_str()).send().await.unwrap();
    let put = environment.events.put_events().entries(completion("{}")).send().await.unwrap();
    let delete = environment.sqs.delete_message().queue_url(&environment.queue);
    delete.set_receipt_handle(received.receipt_handle).send().await.unwrap();

    let journal = environment.aws.journal();
    let journal: Vec<_> = journal
        .iter()
        .map(|entry| (entry.action, entry.target.as_str(), entry.message_ids[0].as_str(), &entry.ending))
        .collect();
    assert_eq!(
        journal,
        [
            (Action::ReceiveMessage, QUEUE, id.as_str(), &Ending::Done),
            (Action::SendMessage, DEAD_LETTERS, copy.message_id().unwrap(), &Ending::Done),
            (Action::PutEvents, "completions", put.entries()[0].event_id().unwrap(), &Ending::Done),
            (Action::DeleteMessage, QUEUE, id.as_str(), &Ending::Done),
        ]
    );
    assert_eq!(environment.aws.bus().events()[0].bus, "completions");
    assert_eq!(environment.counts(QUEUE), Counts::default());
}

#[tokio::test]
async fn refusals_become_typed_errors_of_the_client() {
    let environment = environment(1).await;
    let send = environment
        .sqs
        .send_message()
        .queue_url(&environment.queue)
        .message_group_id("g")
        .message_deduplication_id("d");

    let empty = send.message_body("").send().await.unwrap_err().into_service_error();
    assert_eq!(empty.code(), Some("MissingParameter"));

    let elsewhere =
        environment.sqs.send_message().queue_url(environment.aws.queue_url("none")).message_body("a");
    let elsewhere = elsewhere.send().await.unwrap_err().into_service_error();
    assert!(elsewhere.is_queue_does_not_exist(), "{elsewhere:?}");

    environment.send("lane", "a");
    let received = environment.receive().await.remove(0);
    environment.aws.advance(VISIBILITY_TIMEOUT);
    let late =
        environment.sqs.change_message_visibility().queue_url(&environment.queue).visibility_timeout(5);
    let late =
        late.set_receipt_handle(received.receipt_handle).send().await.unwrap_err().into_service_error();
    assert!(late.is_message_not_inflight(), "{late:?}");

    let unknown = environment.sqs.delete_message().queue_url(&environment.queue).receipt_handle("unknown");
    let unknown = unknown.send().await.unwrap_err().into_service_error();
    assert!(unknown.is_receipt_handle_is_invalid(), "{unknown:?}");

    let purge = environment
        .sqs
        .purge_queue()
        .queue_url(&environment.queue)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(purge.code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn advancing_the_clock_ends_the_visibility_timeout_and_redrives() {
    let environment = environment(1).await;
    let id = environment.send("lane", "poison");

    for _ in 0..3 {
        assert_eq!(environment.receive().await.len(), 1);
        assert_eq!(environment.receive().await.len(), 0);
        environment.aws.advance(VISIBILITY_TIMEOUT);
    }
    assert_eq!(environment.receive().await.len(), 0);

    assert_eq!(environment.aws.queues().messages(DEAD_LETTERS).unwrap()[0].id, id);
    assert_eq!(environment.counts(QUEUE), Counts::default());
}

#[tokio::test]
async fn batches_report_each_entry() {
    let environment = environment(1).await;
    let entry = |id: &str, body: &str| {
        let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(body);
        entry.message_group_id(id).message_deduplication_id(id).build().unwrap()
    };
    let sent = environment.sqs.send_message_batch().queue_url(&environment.queue);
    let sent =
        sent.entries(entry("a", "1")).entries(entry("b", "")).entries(entry("c", "3")).send().await.unwrap();
    assert_eq!(
        sent.successful().iter().map(aws_sdk_sqs::types::SendMessageBatchResultEntry::id).collect::<Vec<_>>(),
        ["a", "c"]
    );
    assert_eq!((sent.failed()[0].id(), sent.failed()[0].code()), ("b", "MissingParameter"));

    let received = environment.receive().await;
    environment.aws.queues().faults().plan(Action::ChangeMessageVisibilityBatch, 1, Fault::EntryFails(1));
    let mut change = environment.sqs.change_message_visibility_batch().queue_url(&environment.queue);
    for (id, message) in received.iter().enumerate() {
        let entry =
            ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string()).visibility_timeout(0);
        change = change.entries(entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap());
    }
    let changed = change.send().await.unwrap();
    assert_eq!(changed.successful()[0].id(), "0");
    assert_eq!((changed.failed()[0].id(), changed.failed()[0].sender_fault()), ("1", false));
    assert_eq!(environment.counts(QUEUE), Counts { visible: 1, in_flight: 1, delayed: 0 });

    let delete = DeleteMessageBatchRequestEntry::builder().id("x");
    let delete = delete.set_receipt_handle(received[1].receipt_handle.clone()).build().unwrap();
    let deleted = environment
        .sqs
        .delete_message_batch()
        .queue_url(&environment.queue)
        .entries(delete)
        .send()
        .await
        .unwrap();
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (1, 0));
}

#[tokio::test]
async fn client_retries_after_server_error_and_throttling() {
    let environment = environment(3).await;
    environment.aws.queues().faults().plan(Action::SendMessage, 1, Fault::ServerError);
    environment.aws.queues().faults().plan(Action::SendMessage, 1, Fault::Throttled);
    environment.aws.bus().faults().plan(Action::PutEvents, 1, Fault::ServerError);
    environment.aws.bus().faults().plan(Action::PutEvents, 1, Fault::Throttled);
    environment.aws.sts().faults().plan(Action::GetWebIdentityToken, 1, Fault::ServerError);
    environment.aws.sts().faults().plan(Action::GetWebIdentityToken, 1, Fault::Throttled);

    let send = environment.sqs.send_message().queue_url(&environment.queue).message_body("a");
    send.message_group_id("g").message_deduplication_id("d").send().await.unwrap();
    environment.events.put_events().entries(completion("{}")).send().await.unwrap();
    let call = environment.sts.get_web_identity_token().audience("a").signing_algorithm("RS256");
    call.send().await.unwrap();

    let both = |action| {
        [Ending::Faulted(Fault::ServerError), Ending::Faulted(Fault::Throttled), Ending::Done]
            .map(|e| (action, e))
    };
    let calls = [Action::SendMessage, Action::PutEvents, Action::GetWebIdentityToken].map(both);
    assert_eq!(environment.calls(), calls.concat());
    assert_eq!((environment.counts(QUEUE).visible, environment.aws.bus().events().len()), (1, 1));
}

#[tokio::test]
async fn call_is_executed_although_its_response_is_lost() {
    let environment = environment(1).await;
    environment.aws.bus().faults().plan(Action::PutEvents, 1, Fault::ResponseLost);

    let put = environment.events.put_events().entries(completion("{}"));
    let error = put.clone().send().await.unwrap_err();
    assert!(matches!(error, aws_sdk_eventbridge::error::SdkError::DispatchFailure(_)), "{error:?}");
    put.send().await.unwrap();

    let lost = (Action::PutEvents, Ending::Faulted(Fault::ResponseLost));
    assert_eq!(environment.calls(), [lost, (Action::PutEvents, Ending::Done)]);
    assert_eq!(environment.aws.bus().events().len(), 2);
}

#[tokio::test]
async fn failed_entry_is_reported_in_a_successful_response() {
    let environment = environment(1).await;
    environment.aws.bus().faults().plan(Action::PutEvents, 1, Fault::EntryFails(0));

    let broken = environment.events.put_events().entries(completion("{}")).send().await.unwrap();
    assert_eq!((broken.failed_entry_count(), broken.entries()[0].error_code()), (1, Some("InternalFailure")));
    let malformed = environment.events.put_events().entries(completion("[]")).send().await.unwrap();
    assert_eq!(malformed.entries()[0].error_code(), Some("MalformedDetail"));

    assert_eq!(environment.aws.bus().events(), []);
}

#[tokio::test]
async fn hanging_call_is_not_executed_and_gets_no_response() {
    let environment = environment(1).await;
    environment.send("lane", "a");
    environment.aws.queues().faults().plan(Action::ReceiveMessage, 1, Fault::Hang);

    let hanging = tokio::spawn(environment.sqs.receive_message().queue_url(&environment.queue).send());
    let hangs = (Action::ReceiveMessage, Ending::Faulted(Fault::Hang));
    environment.aws.until(|view| !view.journal.is_empty()).await.unwrap();
    assert_eq!(environment.receive().await.len(), 1);

    assert!(!hanging.is_finished());
    hanging.abort();
    assert_eq!(environment.calls(), [hangs, (Action::ReceiveMessage, Ending::Done)]);
}

#[tokio::test]
async fn change_of_the_model_wakes_a_waiting_condition() {
    let environment = environment(1).await;
    let started = Instant::now();
    let (reached, id) = tokio::join!(
        environment.aws.until(|view| view.queues.messages(QUEUE).is_ok_and(|messages| messages.len() == 1)),
        async { environment.send("lane", "a") },
    );
    reached.unwrap();
    let changed = environment.aws.changed();
    environment.receive().await;
    changed.await;

    assert_eq!(environment.aws.queues().messages(QUEUE).unwrap()[0].id, id);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn queue_url_and_attributes_can_be_read() {
    let environment = environment(1).await;
    let found = environment.sqs.get_queue_url().queue_name(QUEUE).send().await.unwrap();
    assert_eq!(found.queue_url(), Some(environment.queue.as_str()));

    let attributes = environment.sqs.get_queue_attributes().queue_url(&environment.queue);
    let attributes =
        attributes.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "30");
    assert_eq!(
        attributes[&QueueAttributeName::RedrivePolicy],
        format!(
            r#"{{"deadLetterTargetArn":"arn:aws:sqs:{REGION}:000000000000:{DEAD_LETTERS}","maxReceiveCount":3}}"#
        )
    );
}

#[tokio::test]
async fn token_verifies_with_the_published_key_and_expires_as_reported() {
    let environment = environment(1).await;
    let call = environment.sts.get_web_identity_token().audience("https://ram.example/?a=b c");
    let call = call.signing_algorithm("RS256").duration_seconds(900);
    environment.aws.advance(Duration::from_hours(1));
    let before = environment.aws.now();

    let response = call.send().await.unwrap();

    let token = response.web_identity_token().unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let jwks = environment.aws.sts().jwks();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
    RsaPublicKeyComponents { n: part("n"), e: part("e") }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.rsplit_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://ram.example/?a=b c");
    assert_eq!(claims["exp"], response.expiration().unwrap().secs());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    let issued_at = claims["iat"].as_u64().unwrap();
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((seconds(before)..=seconds(environment.aws.now())).contains(&issued_at), "{claims}");
    let [entry] = &environment.aws.journal()[..] else { panic!("{:?}", environment.aws.journal()) };
    assert_eq!(
        (entry.action, entry.target.as_str()),
        (Action::GetWebIdentityToken, "https://ram.example/?a=b c")
    );
    assert_eq!(
        (&entry.message_ids[..], &entry.ending),
        (&[claims["jti"].as_str().unwrap().to_owned()][..], &Ending::Done)
    );
    assert_eq!(
        aws_sdk_sts::operation::RequestId::request_id(&response),
        Some("00000000-0000-4000-8000-000000000001")
    );
}

#[tokio::test]
async fn denials_become_typed_errors_of_the_client() {
    let environment = environment(1).await;
    let call = environment.sts.get_web_identity_token().audience("a").signing_algorithm("RS256");
    let refused = async |denial| {
        environment.aws.sts().denial = Some(denial);
        call.clone().send().await.unwrap_err().into_service_error()
    };

    let disabled = refused(Denial::FederationDisabled).await;
    assert!(disabled.is_outbound_web_identity_federation_disabled_exception(), "{disabled:?}");
    assert_eq!(disabled.message(), Some("OutboundWebIdentityFederation is disabled."));
    let too_long = refused(Denial::SessionEndsSooner).await;
    assert!(too_long.is_session_duration_escalation_exception(), "{too_long:?}");
    assert_eq!(refused(Denial::NotAllowed).await.code(), Some("AccessDenied"));

    environment.aws.sts().denial = None;
    let no_audience = environment.sts.get_web_identity_token().set_audience(Some(Vec::new()));
    let no_audience = no_audience.signing_algorithm("RS256").send().await.unwrap_err().into_service_error();
    assert_eq!(no_audience.code(), Some("ValidationError"));
    call.clone().send().await.unwrap();
    let others = environment.sts.get_caller_identity().send().await.unwrap_err().into_service_error();
    assert_eq!(others.code(), Some("InvalidAction"));
}

#[tokio::test]
async fn dropped_server_closes_its_port() {
    let Environment { aws, sqs, queue, .. } = environment(1).await;
    let receive = sqs.receive_message().queue_url(queue);
    receive.clone().send().await.unwrap();

    drop(aws);
    // The task that serves the connection ends at its next poll.
    tokio::task::yield_now().await;

    assert!(receive.send().await.is_err());
}
