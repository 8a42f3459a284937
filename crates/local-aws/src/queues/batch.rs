//! Batch calls: up to ten entries, each with its own end inside one answer.

use std::collections::HashSet;

use super::QueueError;

/// The most entries of one batch call, and the most messages of one receive. SQS API reference.
pub const BATCH_ENTRIES_MAX: usize = 10;

/// The longest id of an entry. SQS API reference.
const ENTRY_ID_MAX: usize = 80;

/// One entry of a batch call or of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry<T> {
    /// The id that the caller gave the entry.
    pub id: String,
    /// What it asks for, or how it ended.
    pub entry: T,
}

/// How the entries of a batch call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome<T> {
    /// The entries that were carried out.
    pub successful: Vec<BatchEntry<T>>,
    /// The entries that were not, and why.
    pub failed: Vec<BatchEntry<QueueError>>,
}

impl<T> BatchEntry<T> {
    /// An entry under an id.
    pub fn new(id: impl Into<String>, entry: T) -> Self {
        Self { id: id.into(), entry }
    }
}

/// Carries out each entry by itself, after the rules that concern the batch as a whole.
///
/// The entry at position `broken` (from 0) fails as if the service had stumbled over it.
pub(super) fn run<T, R>(
    entries: Vec<BatchEntry<T>>,
    broken: Option<usize>,
    mut each: impl FnMut(T) -> Result<R, QueueError>,
) -> Result<BatchOutcome<R>, QueueError> {
    check(&entries)?;
    let mut outcome = BatchOutcome { successful: Vec::new(), failed: Vec::new() };
    for (position, BatchEntry { id, entry }) in entries.into_iter().enumerate() {
        let result = if broken == Some(position) { Err(QueueError::InternalFailure) } else { each(entry) };
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
    let mut seen = HashSet::new();
    for BatchEntry { id, .. } in entries {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=ENTRY_ID_MAX).contains(&id.len()) || !id.bytes().all(allowed) {
            return Err(QueueError::InvalidBatchEntryId);
        }
        if !seen.insert(id) {
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
    fn rules_for_the_whole_batch_come_before_any_entry() {
        assert_eq!(batch(&[]), Err(QueueError::EmptyBatchRequest));
        assert_eq!(batch(&["a"; 11]), Err(QueueError::TooManyEntriesInBatchRequest(11)));
        assert_eq!(batch(&["a", "b", "a"]), Err(QueueError::BatchEntryIdsNotDistinct("a".to_owned())));
        assert_eq!(batch(&["a.b"]), Err(QueueError::InvalidBatchEntryId));
        assert_eq!(batch(&[""]), Err(QueueError::InvalidBatchEntryId));
    }

    #[test]
    fn one_failed_entry_leaves_the_others_alone() {
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
