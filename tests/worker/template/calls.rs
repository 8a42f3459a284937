//! Finds the calls of AWS clients in the source code, so that the permission tests cannot miss a new call.

use std::collections::{BTreeMap, BTreeSet};

use super::sources;

/// A call of an AWS client: the IAM action that it needs, and the code's name for the resource.
pub(crate) type Call = (String, String);

/// The calls in the source code, by file.
pub(crate) fn calls_by_file() -> BTreeMap<String, BTreeSet<Call>> {
    let mut by_file = BTreeMap::new();
    for (path, code) in sources() {
        let (calls, count, sent) = calls(&code);
        assert_eq!(count, sent, "{path} has a call that this test does not recognize: {calls:?}");
        if !calls.is_empty() {
            by_file.insert(path, calls);
        }
    }
    by_file
}

/// The calls in a file, the number of recognized calls, and the number of `.send()`.
fn calls(code: &str) -> (BTreeSet<Call>, usize, usize) {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = code.lines().filter(is_code).flat_map(str::split_whitespace).collect();
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let word = |text: &str| text.split(is_end).next().unwrap_or_default().to_owned();
    let word_before = |text: &str| text.rsplit(is_end).next().unwrap_or_default().to_owned();
    let services: BTreeSet<_> = code.split("aws_sdk_").skip(1).map(word).collect();
    let mut calls = BTreeSet::new();
    let mut count = 0;
    // The fields that hold a client, whether its type is written in full or imported.
    let clients = services.iter().map(|service| format!("aws_sdk_{service}::Client"));
    let types = clients.chain(["Client".to_owned()]);
    let types = types.flat_map(|client| [format!(":{client},"), format!(":LazyClient<{client}>,")]);
    let mut fields = BTreeSet::new();
    for field_type in types {
        let before: Vec<_> = code.split(&field_type).map(word_before).collect();
        fields.extend(before[..before.len() - 1].to_vec());
    }
    for field in fields {
        // A file without an AWS SDK can have a client of Alibaba Cloud.
        let Some(service) = services.first() else { continue };
        assert_eq!(services.len(), 1, "more than one service in a file: {services:?}");
        for call in code.split(&format!("self.{field}.")).skip(1) {
            let operation = word(call);
            // A `LazyClient` is built in advance, without a call.
            if call.starts_with("build();") || call.starts_with("build()}") {
                continue;
            }
            // The first setting identifies the resource: a queue URL, a secret's ARN, a bus name.
            let resource =
                call[operation.len()..].strip_prefix("().").expect("an operation without arguments");
            let resource =
                resource.split_once('(').expect("its first setting").1.split_once(')').expect("a value").0;
            let resource = resource.rsplit('.').next().unwrap_or_default().to_owned();
            calls.insert((action(service, &operation), resource));
            count += 1;
        }
    }
    (calls, count, code.matches(".send()").count())
}

/// The IAM action of an operation. SQS has no separate actions for batch operations.
fn action(service: &str, operation: &str) -> String {
    let prefix = match service {
        "eventbridge" => "events",
        "secretsmanager" | "sqs" | "sts" => service,
        other => panic!("no IAM prefix for the service {other}"),
    };
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    let operation = operation.strip_suffix("_batch").unwrap_or(operation);
    format!("{prefix}:{}", operation.split('_').map(capital).collect::<String>())
}
