//! The real AWS SDK clients against the services on loopback.

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

struct Stage {
    aws: LocalAws,
    sqs: aws_sdk_sqs::Client,
    events: aws_sdk_eventbridge::Client,
    sts: aws_sdk_sts::Client,
    queue: String,
}

/// A request queue with a dead-letter queue, a bus, and clients that try each call `attempts` times.
async fn stage(attempts: u32) -> Stage {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
    aws.queues().create(QUEUE, QueueSettings::fifo().redrive(3, DEAD_LETTERS)).unwrap();
    aws.bus().create("completions");

    let http = aws_smithy_http_client::Builder::new().build_http();
    // Faults last one attempt each; there is no point in waiting long between attempts.
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
    Stage {
        queue: aws.queue_url(QUEUE),
        sqs: aws_sdk_sqs::Client::from_conf(sqs),
        events: aws_sdk_eventbridge::Client::from_conf(events),
        sts: aws_sdk_sts::Client::from_conf(sts),
        aws,
    }
}

impl Stage {
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

    /// What was called, and how it ended.
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
async fn message_keeps_everything_the_client_gave_it() {
    let stage = stage(1).await;
    let text = MessageAttributeValue::builder().data_type("String").string_value("webhook").build().unwrap();
    let bytes =
        MessageAttributeValue::builder().data_type("Binary").binary_value(vec![1, 2].into()).build().unwrap();

    let sent = stage
        .sqs
        .send_message()
        .queue_url(&stage.queue)
        .message_body("{\"ü\": \"\\u0001\"}")
        .message_group_id("eu-west-1/ep-1")
        .message_deduplication_id("once")
        .message_attributes("trigger", text.clone())
        .message_attributes("raw", bytes.clone())
        .send()
        .await
        .unwrap();
    let received = stage
        .sqs
        .receive_message()
        .queue_url(&stage.queue)
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
async fn copy_event_and_delete_are_journaled_in_their_order() {
    let stage = stage(1).await;
    let id = stage.send("lane", "no-request");
    let received = stage.receive().await.remove(0);

    let copy =
        stage.sqs.send_message().queue_url(stage.aws.queue_url(DEAD_LETTERS)).message_body("no-request");
    let copy = copy.message_group_id("lane").message_deduplication_id(id.as_str()).send().await.unwrap();
    let put = stage.events.put_events().entries(completion("{}")).send().await.unwrap();
    let delete = stage.sqs.delete_message().queue_url(&stage.queue);
    delete.set_receipt_handle(received.receipt_handle).send().await.unwrap();

    let journal = stage.aws.journal();
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
    assert_eq!(stage.aws.bus().events()[0].bus, "completions");
    assert_eq!(stage.counts(QUEUE), Counts::default());
}

#[tokio::test]
async fn refusals_reach_the_client_as_its_own_error_variants() {
    let stage = stage(1).await;
    let send =
        stage.sqs.send_message().queue_url(&stage.queue).message_group_id("g").message_deduplication_id("d");

    let empty = send.message_body("").send().await.unwrap_err().into_service_error();
    assert_eq!(empty.code(), Some("MissingParameter"));

    let elsewhere = stage.sqs.send_message().queue_url(stage.aws.queue_url("none")).message_body("a");
    let elsewhere = elsewhere.send().await.unwrap_err().into_service_error();
    assert!(elsewhere.is_queue_does_not_exist(), "{elsewhere:?}");

    stage.send("lane", "a");
    let received = stage.receive().await.remove(0);
    stage.aws.advance(VISIBILITY_TIMEOUT);
    let late = stage.sqs.change_message_visibility().queue_url(&stage.queue).visibility_timeout(5);
    let late =
        late.set_receipt_handle(received.receipt_handle).send().await.unwrap_err().into_service_error();
    assert!(late.is_message_not_inflight(), "{late:?}");

    let unknown = stage.sqs.delete_message().queue_url(&stage.queue).receipt_handle("nonsense");
    let unknown = unknown.send().await.unwrap_err().into_service_error();
    assert!(unknown.is_receipt_handle_is_invalid(), "{unknown:?}");

    let purge =
        stage.sqs.purge_queue().queue_url(&stage.queue).send().await.unwrap_err().into_service_error();
    assert_eq!(purge.code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn advanced_clock_ends_the_visibility_timeout_and_redrives() {
    let stage = stage(1).await;
    let id = stage.send("lane", "poison");

    for _ in 0..3 {
        assert_eq!(stage.receive().await.len(), 1);
        assert_eq!(stage.receive().await.len(), 0);
        stage.aws.advance(VISIBILITY_TIMEOUT);
    }
    assert_eq!(stage.receive().await.len(), 0);

    assert_eq!(stage.aws.queues().messages(DEAD_LETTERS).unwrap()[0].id, id);
    assert_eq!(stage.counts(QUEUE), Counts::default());
}

#[tokio::test]
async fn batches_report_each_entry() {
    let stage = stage(1).await;
    let entry = |id: &str, body: &str| {
        let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(body);
        entry.message_group_id(id).message_deduplication_id(id).build().unwrap()
    };
    let sent = stage.sqs.send_message_batch().queue_url(&stage.queue);
    let sent =
        sent.entries(entry("a", "1")).entries(entry("b", "")).entries(entry("c", "3")).send().await.unwrap();
    assert_eq!(
        sent.successful().iter().map(aws_sdk_sqs::types::SendMessageBatchResultEntry::id).collect::<Vec<_>>(),
        ["a", "c"]
    );
    assert_eq!((sent.failed()[0].id(), sent.failed()[0].code()), ("b", "MissingParameter"));

    let received = stage.receive().await;
    stage.aws.queues().faults().plan(Action::ChangeMessageVisibilityBatch, 1, Fault::EntryFails(1));
    let mut change = stage.sqs.change_message_visibility_batch().queue_url(&stage.queue);
    for (id, message) in received.iter().enumerate() {
        let entry =
            ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string()).visibility_timeout(0);
        change = change.entries(entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap());
    }
    let changed = change.send().await.unwrap();
    assert_eq!(changed.successful()[0].id(), "0");
    assert_eq!((changed.failed()[0].id(), changed.failed()[0].sender_fault()), ("1", false));
    assert_eq!(stage.counts(QUEUE), Counts { visible: 1, in_flight: 1, delayed: 0 });

    let delete = DeleteMessageBatchRequestEntry::builder().id("x");
    let delete = delete.set_receipt_handle(received[1].receipt_handle.clone()).build().unwrap();
    let deleted =
        stage.sqs.delete_message_batch().queue_url(&stage.queue).entries(delete).send().await.unwrap();
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (1, 0));
}

#[tokio::test]
async fn client_tries_again_after_server_error_and_throttle() {
    let stage = stage(3).await;
    stage.aws.queues().faults().plan(Action::SendMessage, 1, Fault::ServerError);
    stage.aws.queues().faults().plan(Action::SendMessage, 1, Fault::Throttled);
    stage.aws.bus().faults().plan(Action::PutEvents, 1, Fault::ServerError);
    stage.aws.bus().faults().plan(Action::PutEvents, 1, Fault::Throttled);
    stage.aws.sts().faults().plan(Action::GetWebIdentityToken, 1, Fault::ServerError);
    stage.aws.sts().faults().plan(Action::GetWebIdentityToken, 1, Fault::Throttled);

    let send = stage.sqs.send_message().queue_url(&stage.queue).message_body("a");
    send.message_group_id("g").message_deduplication_id("d").send().await.unwrap();
    stage.events.put_events().entries(completion("{}")).send().await.unwrap();
    let asked = stage.sts.get_web_identity_token().audience("a").signing_algorithm("RS256");
    asked.send().await.unwrap();

    let both = |action| {
        [Ending::Faulted(Fault::ServerError), Ending::Faulted(Fault::Throttled), Ending::Done]
            .map(|e| (action, e))
    };
    let calls = [Action::SendMessage, Action::PutEvents, Action::GetWebIdentityToken].map(both);
    assert_eq!(stage.calls(), calls.concat());
    assert_eq!((stage.counts(QUEUE).visible, stage.aws.bus().events().len()), (1, 1));
}

#[tokio::test]
async fn lost_answer_leaves_the_call_carried_out() {
    let stage = stage(1).await;
    stage.aws.bus().faults().plan(Action::PutEvents, 1, Fault::AnswerLost);

    let put = stage.events.put_events().entries(completion("{}"));
    let error = put.clone().send().await.unwrap_err();
    assert!(matches!(error, aws_sdk_eventbridge::error::SdkError::DispatchFailure(_)), "{error:?}");
    put.send().await.unwrap();

    let lost = (Action::PutEvents, Ending::Faulted(Fault::AnswerLost));
    assert_eq!(stage.calls(), [lost, (Action::PutEvents, Ending::Done)]);
    assert_eq!(stage.aws.bus().events().len(), 2);
}

#[tokio::test]
async fn failed_entry_hides_inside_a_success() {
    let stage = stage(1).await;
    stage.aws.bus().faults().plan(Action::PutEvents, 1, Fault::EntryFails(0));

    let broken = stage.events.put_events().entries(completion("{}")).send().await.unwrap();
    assert_eq!((broken.failed_entry_count(), broken.entries()[0].error_code()), (1, Some("InternalFailure")));
    let malformed = stage.events.put_events().entries(completion("[]")).send().await.unwrap();
    assert_eq!(malformed.entries()[0].error_code(), Some("MalformedDetail"));

    assert_eq!(stage.aws.bus().events(), []);
}

#[tokio::test]
async fn hanging_call_does_nothing_and_keeps_its_client_waiting() {
    let stage = stage(1).await;
    stage.send("lane", "a");
    stage.aws.queues().faults().plan(Action::ReceiveMessage, 1, Fault::Hang);

    let hanging = tokio::spawn(stage.sqs.receive_message().queue_url(&stage.queue).send());
    let hangs = (Action::ReceiveMessage, Ending::Faulted(Fault::Hang));
    stage.aws.until(|view| !view.journal.is_empty()).await.unwrap();
    assert_eq!(stage.receive().await.len(), 1);

    assert!(!hanging.is_finished());
    hanging.abort();
    assert_eq!(stage.calls(), [hangs, (Action::ReceiveMessage, Ending::Done)]);
}

#[tokio::test]
async fn change_by_hand_wakes_whoever_awaits_a_condition() {
    let stage = stage(1).await;
    let started = Instant::now();
    let (reached, id) = tokio::join!(
        stage.aws.until(|view| view.queues.messages(QUEUE).is_ok_and(|messages| messages.len() == 1)),
        async { stage.send("lane", "a") },
    );
    reached.unwrap();
    let changed = stage.aws.changed();
    stage.receive().await;
    changed.await;

    assert_eq!(stage.aws.queues().messages(QUEUE).unwrap()[0].id, id);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn queue_is_found_by_name_and_describes_itself() {
    let stage = stage(1).await;
    let found = stage.sqs.get_queue_url().queue_name(QUEUE).send().await.unwrap();
    assert_eq!(found.queue_url(), Some(stage.queue.as_str()));

    let attributes = stage.sqs.get_queue_attributes().queue_url(&stage.queue);
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
async fn token_is_good_under_the_published_key_and_expires_as_announced() {
    let stage = stage(1).await;
    let asked = stage.sts.get_web_identity_token().audience("https://ram.example/?a=b c");
    let asked = asked.signing_algorithm("RS256").duration_seconds(900);
    stage.aws.advance(Duration::from_hours(1));
    let before = stage.aws.now();

    let answer = asked.send().await.unwrap();

    let token = answer.web_identity_token().unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let jwks = stage.aws.sts().jwks();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
    RsaPublicKeyComponents { n: part("n"), e: part("e") }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.rsplit_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://ram.example/?a=b c");
    assert_eq!(claims["exp"], answer.expiration().unwrap().secs());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    let issued_at = claims["iat"].as_u64().unwrap();
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((seconds(before)..=seconds(stage.aws.now())).contains(&issued_at), "{claims}");
    let [entry] = &stage.aws.journal()[..] else { panic!("{:?}", stage.aws.journal()) };
    assert_eq!(
        (entry.action, entry.target.as_str()),
        (Action::GetWebIdentityToken, "https://ram.example/?a=b c")
    );
    assert_eq!(
        (&entry.message_ids[..], &entry.ending),
        (&[claims["jti"].as_str().unwrap().to_owned()][..], &Ending::Done)
    );
    assert_eq!(
        aws_sdk_sts::operation::RequestId::request_id(&answer),
        Some("00000000-0000-4000-8000-000000000001")
    );
}

#[tokio::test]
async fn denials_reach_the_client_as_its_own_error_variants() {
    let stage = stage(1).await;
    let asked = stage.sts.get_web_identity_token().audience("a").signing_algorithm("RS256");
    let refused = async |denial| {
        stage.aws.sts().denial = Some(denial);
        asked.clone().send().await.unwrap_err().into_service_error()
    };

    let disabled = refused(Denial::FederationDisabled).await;
    assert!(disabled.is_outbound_web_identity_federation_disabled_exception(), "{disabled:?}");
    assert_eq!(disabled.message(), Some("OutboundWebIdentityFederation is disabled."));
    let too_long = refused(Denial::SessionEndsSooner).await;
    assert!(too_long.is_session_duration_escalation_exception(), "{too_long:?}");
    assert_eq!(refused(Denial::NotAllowed).await.code(), Some("AccessDenied"));

    stage.aws.sts().denial = None;
    let no_audience = stage.sts.get_web_identity_token().set_audience(Some(Vec::new()));
    let no_audience = no_audience.signing_algorithm("RS256").send().await.unwrap_err().into_service_error();
    assert_eq!(no_audience.code(), Some("ValidationError"));
    asked.clone().send().await.unwrap();
    let others = stage.sts.get_caller_identity().send().await.unwrap_err().into_service_error();
    assert_eq!(others.code(), Some("InvalidAction"));
}

#[tokio::test]
async fn server_ends_when_it_is_dropped() {
    let Stage { aws, sqs, queue, .. } = stage(1).await;
    let receive = sqs.receive_message().queue_url(queue);
    receive.clone().send().await.unwrap();

    drop(aws);
    // The task that serves the connection ends at its next turn.
    tokio::task::yield_now().await;

    assert!(receive.send().await.is_err());
}
