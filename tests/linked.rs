//! Which crates and modules are linked into which program, by the symbols of a test build.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

const INTAKE: &str = env!("CARGO_BIN_EXE_intake");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const SWEEPER: &str = env!("CARGO_BIN_EXE_sweeper");
const MESSENGER: &str = env!("CARGO_BIN_EXE_messenger");

/// The crates of the command line program, and its module.
const CLI: [&str; 9] = [
    "privatelink_detach::cli",
    "anstream",
    "clap_builder",
    "clap_complete",
    "comfy_table",
    "console",
    "humantime",
    "indicatif",
    "terminal_size",
];

/// Returns those of the named crates and modules of which the program has symbols.
fn linked(program: &str, names: &[&'static str]) -> BTreeSet<&'static str> {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols: Vec<_> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(symbols.len() > 10_000, "a test build keeps its symbols");
    // In a mangled name, each part follows its length.
    let part = |name: &str| format!("{}{name}", name.len());
    let is_linked = |name: &&str| {
        let mangled: String = name.split("::").map(part).collect();
        symbols.iter().any(|symbol| symbol.contains(&mangled))
    };
    names.iter().copied().filter(is_linked).collect()
}

/// Whether the constants of the program contain this text.
fn contains(program: &str, text: &str) -> bool {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let is_constant = |kind| matches!(kind, SectionKind::ReadOnlyData | SectionKind::ReadOnlyString);
    file.sections().filter(|section| is_constant(section.kind())).any(|section| {
        let data = section.data().unwrap();
        data.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// Every AWS client of which the program has symbols.
fn aws_clients(program: &str) -> Vec<String> {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    // The symbol of a file names an input of the linker, which may not be part of the program.
    let symbols = file.symbols().filter(|symbol| symbol.kind() != SymbolKind::File);
    let clients = symbols.filter_map(|symbol| {
        let (_, after) = symbol.name().ok()?.split_once("aws_sdk_")?;
        let name: String = after.chars().take_while(char::is_ascii_lowercase).collect();
        Some(format!("aws_sdk_{name}"))
    });
    clients.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn intake_links_neither_the_alibaba_cloud_client_nor_an_unused_aws_client() {
    let names = [
        "privatelink_detach::alibaba",
        "privatelink_detach::intake",
        "privatelink_detach::worker",
        "aws_sdk_eventbridge",
        "aws_sdk_secretsmanager",
        "aws_sdk_sqs",
        "aws_sdk_sso",
        "aws_sdk_sts",
        "reqwest",
        "roxmltree",
    ];
    let intake = ["privatelink_detach::intake", "aws_sdk_secretsmanager", "aws_sdk_sqs"];
    assert_eq!(linked(INTAKE, &names), BTreeSet::from(intake));
    assert_eq!(aws_clients(INTAKE), ["aws_sdk_secretsmanager", "aws_sdk_sqs"]);
    let worker = [
        "privatelink_detach::alibaba",
        "privatelink_detach::worker",
        "aws_sdk_eventbridge",
        "aws_sdk_secretsmanager",
        "aws_sdk_sqs",
        "aws_sdk_sts",
        "reqwest",
        "roxmltree",
    ];
    assert_eq!(
        linked(WORKER, &names),
        BTreeSet::from(worker),
        "the check finds the symbols where they are linked"
    );
}

/// The code that posts to chat platforms.
const POST: [&str; 3] = [
    "privatelink_detach::chat::post::Post::next",
    "privatelink_detach::chat::slack::api::Post::request",
    "privatelink_detach::messenger",
];

#[test]
fn messenger_links_no_code_for_alibaba_cloud() {
    let others = [
        "privatelink_detach::alibaba",
        "privatelink_detach::drive",
        "privatelink_detach::intake",
        "privatelink_detach::sweeper",
        "privatelink_detach::worker",
        "roxmltree",
    ];
    assert_eq!(linked(MESSENGER, &others), BTreeSet::new());
    let worker = [others[0], others[1], others[4], others[5]];
    assert_eq!(linked(WORKER, &worker), BTreeSet::from(worker), "the check finds them where they are linked");
    assert_eq!(aws_clients(MESSENGER), ["aws_sdk_secretsmanager", "aws_sdk_sqs"]);
}

#[test]
fn only_the_messenger_can_post() {
    assert_eq!(linked(MESSENGER, &POST), BTreeSet::from(POST));
    for function in [INTAKE, WORKER, SWEEPER] {
        assert_eq!(linked(function, &POST), BTreeSet::new(), "{function}");
        assert!(!contains(function, "chat.postMessage"), "{function}");
    }
    assert!(contains(MESSENGER, "chat.postMessage"), "the check finds it where it is linked");
}

/// The code that makes a write or decides about one: the only function that builds its HTTP call, the rules of a
/// detach, the loop that carries them out, and the worker.
const WRITE: [&str; 4] = [
    "privatelink_detach::alibaba::privatelink::Call::request",
    "privatelink_detach::detach::Detach::next",
    "privatelink_detach::drive::drive",
    "privatelink_detach::worker",
];

#[test]
fn sweeper_links_no_write_call() {
    assert_eq!(linked(SWEEPER, &WRITE), BTreeSet::new());
    assert_eq!(linked(WORKER, &WRITE), BTreeSet::from(WRITE), "the check finds them where they are linked");
    let reads = ["privatelink_detach::alibaba::privatelink::Read::request", "privatelink_detach::sweeper"];
    assert_eq!(linked(SWEEPER, &reads), BTreeSet::from(reads));
    assert_eq!(
        aws_clients(SWEEPER),
        ["aws_sdk_eventbridge", "aws_sdk_secretsmanager", "aws_sdk_sqs", "aws_sdk_sts"]
    );
}

#[test]
fn functions_link_no_crate_of_the_command_line_program() {
    for function in [INTAKE, WORKER, SWEEPER, MESSENGER] {
        assert_eq!(linked(function, &CLI), BTreeSet::new(), "{function}");
    }
    // The tests of the whole project are built with the feature, so the functions could link its crates.
    #[cfg(feature = "cli")]
    assert_eq!(linked(env!("CARGO_BIN_EXE_privatelink-detach"), &CLI), BTreeSet::from(CLI));
}
