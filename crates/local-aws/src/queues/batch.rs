//! Batch calls: up to ten entries, each with its own result in one response.

use std::collections::HashSet;

use super::QueueError;

/// The maximum number of entries in a batch call, and of messages in a receive. Source: SQS API reference.
pub const BATCH_ENTRIES_MAX: usize = 10;

/// The maximum length of an entry's id. Source: SQS API reference.
const ENTRY_ID_MAX: usize = 80;

/// One entry of a batch call or of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry<T> {
    /// The id that the caller assigned to the entry.
    pub id: String,
    /// The entry's parameters or result.
    pub entry: T,
}

/// The results of a batch call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome<T> {
    pub successful: Vec<BatchEntry<T>>,
    pub failed: Vec<BatchEntry<QueueError>>,
}

impl<T> BatchEntry<T> {
    pub fn new(id: impl Into<String>, entry: T) -> Self {
        Self { id: id.into(), entry }
    }
}

/// Checks the rules for the whole batch, then carries out each entry.
///
/// The entry at position `failed_entry` (from 0) fails with `InternalFailure`.
pub(super) fn run<T, R>(
    entries: Vec<BatchEntry<T>>,
    failed_entry: Option<usize>,
    mut each: impl FnMut(T) -> Result<R, QueueError>,
) -> Result<BatchOutcome<R>, QueueError> {
    check(&entries)?;
    let mut outcome = BatchOutcome { successful: Vec::new(), failed: Vec::new() };
    for (position, BatchEntry { id, entry }) in entries.into_iter().enumerate() {
        let result =
            if failed_entry == Some(position) { Err(QueueError::InternalFailure) } else { each(entry) };
        match result {
            Ok(entry) => outcome.successful.push(BatchEntry { id, entry }),
            Err(entry) => outcome.failed.push(BatchEntry { id, entry }),
        }
    }
    Ok(outcome)
}

fn check<T>(entries: &[BatchEntry<T>]) -> Result<(), QueueError> {
    if entries.is_empty() {
        return Err(QueueError::EmptyBatchRequest);
    }
    if entries.len() > BATCH_ENTRIES_MAX {
        return Err(QueueError::TooManyEntriesInBatchRequest(entries.len()));
    }
    let mut ids = HashSet::new();
    for BatchEntry { id, .. } in entries {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=ENTRY_ID_MAX).contains(&id.len()) || !id.bytes().all(allowed) {
            return Err(QueueError::InvalidBatchEntryId);
        }
        if !ids.insert(id) {
            return Err(QueueError::BatchEntryIdsNotDistinct(id.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(ids: &[&str]) -> Result<BatchOutcome<()>, QueueError> {
        run(ids.iter().map(|id| BatchEntry::new(*id, ())).collect(), None, Ok)
    }

    #[test]
    fn rules_for_the_whole_batch_are_checked_first() {
        assert_eq!(batch(&[]), Err(QueueError::EmptyBatchRequest));
        assert_eq!(batch(&["a"; 11]), Err(QueueError::TooManyEntriesInBatchRequest(11)));
        assert_eq!(batch(&["a", "b", "a"]), Err(QueueError::BatchEntryIdsNotDistinct("a".to_owned())));
        assert_eq!(batch(&["a.b"]), Err(QueueError::InvalidBatchEntryId));
        assert_eq!(batch(&[""]), Err(QueueError::InvalidBatchEntryId));
    }

    #[test]
    fn failed_entry_does_not_affect_the_others() {
        let entries = vec![BatchEntry::new("a", 1), BatchEntry::new("b", 2), BatchEntry::new("c", 3)];
        let each = |n| {
            if n == 1 { Err(QueueError::MessageNotInflight) } else { Ok(n) }
        };

        let outcome = run(entries, Some(1), each).unwrap();

        assert_eq!(outcome.successful, [BatchEntry::new("c", 3)]);
        assert_eq!(
            outcome.failed,
            [
                BatchEntry::new("a", QueueError::MessageNotInflight),
                BatchEntry::new("b", QueueError::InternalFailure)
            ]
        );
    }
}
