//! The calls of AWS clients, found in the code itself, so that a new one is not forgotten by the tests of permissions.

use std::collections::{BTreeMap, BTreeSet};

use super::sources;

/// A call of an AWS client: the action that it needs, and what the code calls the thing that it is for.
pub(crate) type Call = (String, String);

/// The calls in the code, by file.
pub(crate) fn calls_in_the_code() -> BTreeMap<String, BTreeSet<Call>> {
    let mut by_file = BTreeMap::new();
    for (path, code) in sources() {
        let (calls, count, sent) = calls(&code);
        assert_eq!(count, sent, "{path} sends what is not recognised as a call: {calls:?}");
        if !calls.is_empty() {
            by_file.insert(path, calls);
        }
    }
    by_file
}

/// The calls in a file, and how many requests it sends.
fn calls(code: &str) -> (BTreeSet<Call>, usize, usize) {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = code.lines().filter(is_code).flat_map(str::split_whitespace).collect();
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let word = |text: &str| text.split(is_end).next().unwrap_or_default().to_owned();
    let word_before = |text: &str| text.rsplit(is_end).next().unwrap_or_default().to_owned();
    let services: BTreeSet<_> = code.split("aws_sdk_").skip(1).map(word).collect();
    let mut calls = BTreeSet::new();
    let mut count = 0;
    // The fields that hold a client, whether its type is written out or brought in.
    let types = services.iter().map(|service| format!(":aws_sdk_{service}::Client,"));
    let mut fields = BTreeSet::new();
    for of_client in types.chain([":Client,".to_owned()]) {
        let before: Vec<_> = code.split(&of_client).map(word_before).collect();
        fields.extend(before[..before.len() - 1].to_vec());
    }
    for field in fields {
        // Alibaba Cloud's client is none of these.
        let Some(service) = services.first() else { continue };
        assert_eq!(services.len(), 1, "one service a file: {services:?}");
        for call in code.split(&format!("self.{field}.")).skip(1) {
            let operation = word(call);
            // What the request is for comes first: a queue's URL, a secret's ARN, a bus's name.
            let on = call[operation.len()..].strip_prefix("().").expect("a call without arguments");
            let on = on.split_once('(').expect("its first setting").1.split_once(')').expect("a value").0;
            let on = on.rsplit('.').next().unwrap_or_default().to_owned();
            calls.insert((action(service, &operation), on));
            count += 1;
        }
    }
    (calls, count, code.matches(".send()").count())
}

/// The action of IAM that an operation needs. SQS has none for the batches.
fn action(service: &str, operation: &str) -> String {
    let prefix = match service {
        "eventbridge" => "events",
        "secretsmanager" | "sqs" | "sts" => service,
        other => panic!("a service that is new here: {other}"),
    };
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    let operation = operation.strip_suffix("_batch").unwrap_or(operation);
    format!("{prefix}:{}", operation.split('_').map(capital).collect::<String>())
}
