//! Checks that the runbook, the guide to credentials and the sample payloads agree with the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use privatelink_detach::alibaba::codes;
use privatelink_detach::alibaba::credentials::ADVICE;
use privatelink_detach::intake::submission::{self, IdSource};
use privatelink_detach::request::Rules;
use serde_json::{Value, json};

use crate::cloudformation::TEMPLATE;
use crate::environment::{TestEnvironment, TestSettings};
use crate::schema;

/// The anchors that GitHub generates for the headings of a Markdown file.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let characters = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        characters.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Every Markdown file of the project's documentation.
fn markdown_files() -> Vec<PathBuf> {
    let directories = [".", "docs", "events", "fuzz"].map(PathBuf::from);
    let crates = std::fs::read_dir("crates").unwrap().map(|entry| entry.unwrap().path());
    let directories = directories.into_iter().chain(crates.filter(|path| path.is_dir()));
    let files = directories.flat_map(|directory| std::fs::read_dir(directory).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn shell_comments_in_documents_have_no_apostrophe() {
    // An interactive zsh does not know comments: an apostrophe begins a string that swallows the commands below it.
    for path in markdown_files() {
        let mut is_shell = false;
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                is_shell = language == "sh";
            } else if is_shell {
                let comment = format!(" {line}").split_once(" #").map(|(_, comment)| comment.to_owned());
                assert!(!comment.unwrap_or_default().contains('\''), "{}: {line}", path.display());
            }
        }
    }
}

/// The JSON examples of a document: its blocks, and the requests in single quotes in its commands.
fn json_examples(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let payloads = markdown.split(r#"'{"region_id""#).skip(1);
    let payloads = payloads.map(|rest| format!(r#"{{"region_id"{}"#, rest.split('\'').next().unwrap()));
    blocks.chain(payloads).collect()
}

/// An example with values in place of its placeholders, each `ep-...` and `sg-...` with another one.
fn filled(example: &str) -> String {
    // EventBridge Scheduler inserts the id. The README shortens an id to keep its line short.
    let example = example.replace("<aws.scheduler.execution-id>", "execution-1");
    let example = example.replace("8D778FF9-…", "8D778FF9-7640-4C13-BCD6-9265CA9A2F81");
    let parts = example.split("-...").enumerate();
    parts.map(|(n, part)| if n == 0 { part.to_owned() } else { format!("-{n}{part}") }).collect()
}

#[test]
fn examples_in_documents_are_valid_requests_and_events() {
    let (mut requests, mut events) = (0, 0);
    for path in markdown_files() {
        for example in json_examples(&std::fs::read_to_string(&path).unwrap()) {
            let text = filled(&example);
            let example: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()));
            if example["outcome"].is_string() {
                schema::check(&example);
                events += 1;
            } else if example.get("region_id").or(example.get("requests")).is_some() {
                // Only a schedule accepts an id beside its list.
                let submissions = submission::parse(&text, IdSource::Schedule("document"), &Rules::default());
                assert!(submissions.is_ok(), "{}: {submissions:?}\n{text}", path.display());
                requests += 1;
            }
        }
    }
    assert!(requests >= 4 && events >= 2, "{requests} requests, {events} events");
}

#[test]
fn commands_in_documents_use_outputs_of_the_template() {
    let outputs: Vec<_> = TEMPLATE.key("Outputs").entries().iter().map(|(name, _)| name.as_str()).collect();
    let mut used = BTreeSet::new();
    for path in markdown_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        for command in text.split("$(output ").skip(1) {
            let name = command.split(')').next().unwrap_or_default().to_owned();
            assert!(name == "$queue" || outputs.contains(&name.as_str()), "{}: {name}", path.display());
            used.insert(name);
        }
    }
    assert!(used.len() > 15, "{used:?}");
}

#[test]
fn documents_require_one_version_of_the_aws_cli() {
    let mut required = BTreeSet::new();
    for path in markdown_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let parts: Vec<&str> = text.split(" of the AWS CLI").collect();
        for before in &parts[..parts.len() - 1] {
            required.insert(before.rsplit_once("version ").unwrap().1.to_owned());
        }
    }
    assert_eq!(required, BTreeSet::from(["2.12 or newer".to_owned()]));
}

#[test]
fn guide_to_credentials_has_a_row_for_every_code_with_advice() {
    let guide =
        include_str!("../../docs/credentials.md").split_once("\n## What every refusal means\n").unwrap().1;
    let rows: Vec<&str> =
        guide.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let codes: Vec<_> = ADVICE.iter().flat_map(|advice| advice.codes).collect();
    assert!(codes.len() > 20 && codes.contains(&&"AuthenticationFail.…"), "{codes:?}");
    for code in codes {
        assert!(rows.iter().any(|row| row.contains(&format!("`{code}`"))), "{code}");
    }
}

#[test]
fn every_known_code_names_an_existing_runbook_section() {
    let anchors = anchors(include_str!("../../docs/runbook.md"));
    for row in codes::CODES.iter().chain(&codes::FAMILIES).chain([&codes::OTHER]) {
        assert!(anchors.contains(row.runbook), "{row:?}");
    }
}

#[tokio::test]
async fn every_reason_names_an_existing_runbook_section() {
    let anchors = anchors(include_str!("../../docs/runbook.md"));
    let mut checked = BTreeSet::new();
    let mut check = |event: &Value| {
        let runbook = event["reason"]["runbook"].as_str().unwrap();
        let (path, anchor) = runbook.split_once('#').unwrap();
        assert!(Path::new(path).exists() && anchors.contains(anchor), "{runbook}");
        checked.insert(anchor.to_owned());
    };
    for code in
        privatelink_simulator::codes::ALL.iter().map(|code| code.name).chain(["Forbidden.X", "Unknown"])
    {
        let env = TestEnvironment::with_groups(&["sg-a", "sg-b"]).await;
        let detach = privatelink_simulator::Action::DetachSecurityGroupFromVpcEndpoint;
        let fault =
            privatelink_simulator::Fault::on(detach, privatelink_simulator::Effect::code(code)).nth(1);
        env.cloud.cloud().inject(fault);
        let body = json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "client_token": "mine" });
        let reply = env.invoke(&body.to_string()).await.unwrap();
        if reply["reason"].is_object() {
            check(&reply);
        }
    }
    assert!(checked.len() >= 8, "{checked:?}");
    let all_anchors = [
        "invalidrequest",
        "regionnotallowed",
        "protectedsecuritygroup",
        "protectedendpoint",
        "financiallocked",
        "endpointmustcontainsecuritygroup",
        "dryrunignored",
        "deadlineexceeded",
        "completionnotpublished",
        "invocationtimeout",
        "endpointnotfound",
        "securitygroupnotfound",
        "endpointconnectionoperationdenied",
        "endpointoperationdenied",
        "any-other-code",
    ];
    for anchor in all_anchors {
        assert!(anchors.contains(anchor), "{anchor}");
    }
}

#[tokio::test]
async fn every_worker_sample_ends_with_its_expected_outcomes() {
    let expected: [(&str, &[&str]); 12] = [
        ("direct-detach", &["detached"]),
        ("direct-dry-run", &["dry_run_passed"]),
        ("direct-invalid", &["rejected"]),
        (
            "queue-batch",
            &[
                "already_detached",
                "already_detached",
                "detached",
                "detached",
                "detached",
                "detached",
                "detached",
                "detached",
                "refused",
                "rejected",
            ],
        ),
        ("queue-dry-run", &["dry_run_passed"]),
        ("queue-empty", &[]),
        ("queue-envelope", &["rejected"]),
        ("queue-invalid", &["rejected"]),
        ("queue-no-body", &["rejected"]),
        ("queue-redriven", &["detached"]),
        ("queue-single", &["detached"]),
        ("queue-standard", &["detached", "detached"]),
    ];
    let files =
        std::fs::read_dir("events").unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let is_of_the_worker = |name: &String| name.starts_with("direct-") || name.starts_with("queue-");
    let files: BTreeSet<String> = files.filter(is_of_the_worker).collect();
    assert_eq!(files, expected.iter().map(|(name, _)| format!("{name}.json")).collect());
    for (name, outcomes) in expected {
        let world = std::fs::read("examples/demo/world.json").unwrap();
        let mut settings = TestSettings {
            seed: privatelink_simulator::Seed::from_json(&world).unwrap(),
            ..TestSettings::default()
        };
        settings.seed.settings.detach_takes = Duration::from_millis(60);
        settings.seed.faults.clear();
        for endpoint in &mut settings.seed.endpoints {
            endpoint.task = None;
            endpoint.endpoint_status = "Active".to_owned();
        }
        let env = TestEnvironment::start(settings).await;
        let payload = std::fs::read_to_string(format!("events/{name}.json")).unwrap();
        let mut event: Value = serde_json::from_str(&payload).unwrap();
        let sent_at = env.aws.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        for record in event.get_mut("Records").and_then(Value::as_array_mut).into_iter().flatten() {
            record["attributes"]["SentTimestamp"] = sent_at.to_string().into();
        }
        let reply = env.invoke(&event.to_string()).await.unwrap();
        if event["Records"].is_array() {
            assert_eq!(reply, json!({ "batchItemFailures": [] }), "{name}");
        }
        if name == "queue-no-body" {
            let dead_letters = env.dead_letters();
            let source = event["Records"][0]["messageId"].as_str();
            assert_eq!(
                (dead_letters[0].body.as_str(), dead_letters[0].deduplication_id.as_deref()),
                ("null", source)
            );
            assert_eq!(
                dead_letters[0].group.as_deref(),
                event["Records"][0]["attributes"]["MessageGroupId"].as_str()
            );
        }
        let mut actual: Vec<_> =
            env.events().iter().map(|e| e["outcome"].as_str().unwrap().to_owned()).collect();
        let mut outcomes = outcomes.to_vec();
        actual.sort();
        outcomes.sort_unstable();
        assert_eq!(actual, outcomes, "{name}");
    }
}
