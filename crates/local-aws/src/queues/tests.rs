//! The queues, with synthetic times.

use super::*;

const QUEUE: &str = "requests.fifo";
const DEAD_LETTERS: &str = "dead-letter.fifo";

/// Seconds after the start of the test.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

/// A FIFO queue with a visibility timeout of 30 s that redrives messages after three receives.
fn fifo() -> Queues {
    let mut queues = Queues::default();
    queues.create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
    queues.create(QUEUE, QueueSettings::fifo().redrive(3, DEAD_LETTERS)).unwrap();
    queues
}

/// Sends a message that has its body as deduplication id.
fn send(queues: &mut Queues, group: &str, body: &str, now: SystemTime) -> Sent {
    queues.send(QUEUE, NewMessage::fifo(body, group, body), now).unwrap()
}

fn receive(queues: &mut Queues, now: SystemTime) -> Vec<ReceivedMessage> {
    queues.receive(QUEUE, 10, None, now).unwrap()
}

fn bodies(received: &[ReceivedMessage]) -> Vec<&str> {
    received.iter().map(|received| received.message.body.as_str()).collect()
}

#[test]
fn one_receive_returns_consecutive_messages_of_a_group_and_mixes_groups() {
    let mut queues = fifo();
    for (group, body) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2")] {
        send(&mut queues, group, body, at(0));
    }

    assert_eq!(bodies(&queues.receive(QUEUE, 3, None, at(1)).unwrap()), ["a1", "a2", "b1"]);
    assert!(receive(&mut queues, at(1)).is_empty());
}

#[test]
fn message_in_flight_blocks_only_its_group() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    receive(&mut queues, at(0));
    send(&mut queues, "a", "a2", at(1));
    send(&mut queues, "b", "b1", at(1));

    assert_eq!(bodies(&receive(&mut queues, at(1))), ["b1"]);
}

#[test]
fn later_message_in_flight_blocks_an_earlier_visible_one() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    send(&mut queues, "a", "a2", at(0));
    let received = receive(&mut queues, at(0));

    queues.change_visibility(QUEUE, &received[0].receipt_handle, Duration::ZERO, at(1)).unwrap();
    assert!(receive(&mut queues, at(1)).is_empty());

    queues.change_visibility(QUEUE, &received[1].receipt_handle, Duration::ZERO, at(2)).unwrap();
    assert_eq!(bodies(&receive(&mut queues, at(2))), ["a1", "a2"]);
}

#[test]
fn delete_unblocks_the_group() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    let sent = send(&mut queues, "a", "a2", at(0));
    let first = queues.receive(QUEUE, 1, None, at(0)).unwrap();

    let deleted = queues.delete(QUEUE, &first[0].receipt_handle, at(1)).unwrap();

    assert_eq!(deleted, Deleted::Deleted(first[0].message.id.clone()));
    assert_eq!(receive(&mut queues, at(1))[0].message.id, sent.message_id);
}

#[test]
fn message_is_redelivered_after_its_visibility_timeout() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    let first = receive(&mut queues, at(5)).remove(0);

    assert!(receive(&mut queues, at(34)).is_empty());
    assert_eq!(queues.next_visible_at(QUEUE, at(34)).unwrap(), Some(at(35)));
    let second = receive(&mut queues, at(35)).remove(0);

    assert_ne!(second.receipt_handle, first.receipt_handle);
    assert_eq!(second.message.receive_count, 2);
    assert_eq!((second.message.sent_at, second.message.first_received_at), (at(0), Some(at(5))));
}

#[test]
fn receive_can_override_the_visibility_timeout() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    queues.receive(QUEUE, 1, Some(Duration::from_secs(5)), at(0)).unwrap();

    assert_eq!(queues.next_visible_at(QUEUE, at(0)).unwrap(), Some(at(5)));
}

#[test]
fn duplicate_within_five_minutes_is_accepted_and_not_delivered() {
    let mut queues = fifo();
    let first = send(&mut queues, "a", "a1", at(0));
    let received = receive(&mut queues, at(1));
    queues.delete(QUEUE, &received[0].receipt_handle, at(1)).unwrap();

    let repeat = send(&mut queues, "other", "a1", at(299));
    assert_eq!(repeat, Sent { is_duplicate: true, ..first.clone() });
    assert!(receive(&mut queues, at(299)).is_empty());

    let later = send(&mut queues, "a", "a1", at(300));
    assert!(!later.is_duplicate);
    assert_ne!(later.message_id, first.message_id);
}

#[test]
fn deduplication_by_group_accepts_the_same_id_in_another_group() {
    let mut queues = Queues::default();
    let settings = QueueSettings { deduplication: DeduplicationScope::MessageGroup, ..QueueSettings::fifo() };
    queues.create(QUEUE, settings).unwrap();

    assert!(!send(&mut queues, "a", "same", at(0)).is_duplicate);
    assert!(!send(&mut queues, "b", "same", at(0)).is_duplicate);
    assert!(send(&mut queues, "a", "same", at(0)).is_duplicate);
}

#[test]
fn message_above_the_receive_count_moves_and_unblocks_its_group() {
    let mut queues = fifo();
    let sent = send(&mut queues, "a", "a1", at(0));
    for receive in 0..3 {
        assert_eq!(bodies(&queues.receive(QUEUE, 1, None, at(receive * 30)).unwrap()), ["a1"]);
    }
    send(&mut queues, "a", "a2", at(60));

    assert_eq!(bodies(&receive(&mut queues, at(90))), ["a2"]);

    let dead = &queues.messages(DEAD_LETTERS).unwrap()[0];
    assert_eq!((&dead.id, dead.receive_count, dead.sent_at), (&sent.message_id, 3, at(90)));
    assert_eq!(dead.dead_letter_source.as_deref(), Some(QUEUE));
    assert_eq!((dead.group.as_deref(), dead.deduplication_id.as_deref()), (Some("a"), Some("a1")));
    assert_eq!(queues.counts(DEAD_LETTERS, at(90)).unwrap(), Counts { visible: 1, ..Counts::default() });
}

#[test]
fn fifo_queue_refuses_a_stale_handle() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    let handle = receive(&mut queues, at(0)).remove(0).receipt_handle;

    let expired = queues.delete(QUEUE, &handle, at(30)).unwrap_err();
    assert!(expired.to_string().ends_with("The receipt handle has expired."), "{expired}");
    receive(&mut queues, at(30));
    assert_eq!(queues.delete(QUEUE, &handle, at(31)).unwrap_err(), expired);
    let stale = queues.change_visibility(QUEUE, &handle, Duration::ZERO, at(31)).unwrap_err();
    assert!(stale.to_string().contains("Message does not exist or is not available"), "{stale}");
    assert_eq!(queues.messages(QUEUE).unwrap().len(), 1);
}

#[test]
fn standard_queue_accepts_a_stale_handle_without_deleting() {
    let mut queues = Queues::default();
    queues.create("requests", QueueSettings::standard()).unwrap();
    let id = queues.send("requests", NewMessage::new("a1"), at(0)).unwrap().message_id;
    let stale = queues.receive("requests", 1, None, at(0)).unwrap().remove(0).receipt_handle;
    let latest = queues.receive("requests", 1, None, at(30)).unwrap().remove(0).receipt_handle;

    assert_eq!(queues.delete("requests", &stale, at(31)), Ok(Deleted::NotDeleted(id.clone())));
    assert_eq!(queues.delete("requests", &latest, at(90)), Ok(Deleted::Deleted(id.clone())));
    assert_eq!(queues.delete("requests", &latest, at(91)), Ok(Deleted::AlreadyDeleted(id)));
}

#[test]
fn visibility_can_change_only_in_flight() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    let handle = receive(&mut queues, at(0)).remove(0).receipt_handle;

    queues.change_visibility(QUEUE, &handle, Duration::from_mins(1), at(10)).unwrap();
    assert_eq!(queues.next_visible_at(QUEUE, at(10)).unwrap(), Some(at(70)));
    let late = queues.change_visibility(QUEUE, &handle, Duration::ZERO, at(70));
    assert_eq!(late, Err(QueueError::MessageNotInflight));
}

#[test]
fn visibility_timeout_ends_at_most_twelve_hours_after_the_receive() {
    let mut queues = fifo();
    send(&mut queues, "a", "a1", at(0));
    let handle = receive(&mut queues, at(0)).remove(0).receipt_handle;

    let mut change = |seconds, now| {
        queues
            .change_visibility(QUEUE, &handle, Duration::from_secs(seconds), now)
            .map_err(|refusal| refusal.code())
    };
    assert_eq!(change(43_201, at(0)), Err("InvalidParameterValue"));
    assert_eq!(change(43_200, at(1)), Err("InvalidParameterValue"));
    assert!(change(43_199, at(1)).is_ok());
}

#[test]
fn unknown_handle_is_refused() {
    let mut queues = fifo();
    for unknown in
        ["", "unknown", "dead-letter.fifo/00000000-0000-4000-8000-000000000001/1", "requests.fifo/x/1"]
    {
        let handle = ReceiptHandle::from(unknown);
        assert_eq!(queues.delete(QUEUE, &handle, at(0)), Err(QueueError::ReceiptHandleIsInvalid));
        let change = queues.change_visibility(QUEUE, &handle, Duration::ZERO, at(0));
        assert_eq!(change, Err(QueueError::ReceiptHandleIsInvalid));
    }
}

#[test]
fn batch_entries_have_separate_results() {
    let mut queues = fifo();
    for body in ["a1", "a2", "a3"] {
        send(&mut queues, body, body, at(0));
    }
    let received = receive(&mut queues, at(0));
    let handle = |index: usize| received[index].receipt_handle.clone();

    let entries = vec![
        BatchEntry::new("first", handle(0)),
        BatchEntry::new("unknown", ReceiptHandle::from("unknown")),
        BatchEntry::new("broken", handle(1)),
    ];
    let outcome = queues.delete_batch(QUEUE, entries, Some(2), at(1)).unwrap();

    assert_eq!(
        outcome,
        BatchOutcome {
            successful: vec![BatchEntry::new("first", Deleted::Deleted(received[0].message.id.clone()))],
            failed: vec![
                BatchEntry::new("unknown", QueueError::ReceiptHandleIsInvalid),
                BatchEntry::new("broken", QueueError::InternalFailure),
            ],
        }
    );

    let change = |index, seconds| VisibilityChange {
        receipt_handle: handle(index),
        timeout: Duration::from_secs(seconds),
    };
    let entries = vec![BatchEntry::new("deleted", change(0, 5)), BatchEntry::new("present", change(1, 5))];
    let outcome = queues.change_visibility_batch(QUEUE, entries, None, at(1)).unwrap();

    assert_eq!(outcome.successful, [BatchEntry::new("present", received[1].message.id.clone())]);
    assert_eq!(outcome.failed[0].entry.code(), "InvalidParameterValue");
    assert_eq!(queues.next_visible_at(QUEUE, at(1)).unwrap(), Some(at(6)));
}

#[test]
fn batch_size_limit_is_that_of_one_message() {
    let mut queues = fifo();
    let half =
        |id: &str| BatchEntry::new(id, NewMessage::fifo("x".repeat(MESSAGE_BYTES_MAX / 2 + 1), "a", id));

    let refused = queues.send_batch(QUEUE, vec![half("one"), half("two")], None, at(0));
    assert_eq!(refused, Err(QueueError::BatchRequestTooLong(MESSAGE_BYTES_MAX + 2)));
    let accepted = queues.send_batch(QUEUE, vec![half("one")], None, at(0)).unwrap();
    assert_eq!(accepted.successful.len(), 1);
}

#[test]
fn delayed_message_is_hidden_until_its_delay_has_passed() {
    let mut queues = Queues::default();
    queues.create("requests", QueueSettings::standard()).unwrap();
    let message = NewMessage { delay: Some(Duration::from_secs(10)), ..NewMessage::new("later") };
    queues.send("requests", message, at(0)).unwrap();

    assert_eq!(queues.counts("requests", at(9)).unwrap(), Counts { delayed: 1, ..Counts::default() });
    assert!(queues.receive("requests", 1, None, at(9)).unwrap().is_empty());
    assert_eq!(queues.receive("requests", 1, None, at(10)).unwrap().len(), 1);
    assert_eq!(queues.counts("requests", at(10)).unwrap(), Counts { in_flight: 1, ..Counts::default() });
}

#[test]
fn invalid_queue_is_not_created() {
    let mut queues = fifo();
    assert_eq!(queues.create(QUEUE, QueueSettings::fifo()), Err(QueueError::QueueNameExists));
    let code = |result: Result<(), QueueError>| result.unwrap_err().code();
    assert_eq!(code(queues.create("plain", QueueSettings::fifo())), "InvalidParameterValue");
    assert_eq!(
        code(queues.create("plain", QueueSettings::standard().redrive(3, DEAD_LETTERS))),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(queues.create("x.fifo", QueueSettings::fifo().redrive(1001, DEAD_LETTERS))),
        "InvalidParameterValue"
    );
    assert_eq!(
        queues.create("x.fifo", QueueSettings::fifo().redrive(3, "none")),
        Err(QueueError::NonExistentQueue)
    );
    assert_eq!(queues.receive("none", 1, None, at(0)), Err(QueueError::NonExistentQueue));
    assert!(queues.receive(QUEUE, 11, None, at(0)).is_err());
}
