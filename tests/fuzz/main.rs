//! Runs the checks of the parsers of untrusted bytes on every kept input: those that the fuzzer under `fuzz/` found
//! useful, and those that once found a bug.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz_checks::TARGETS;

/// The maximum number of files of one target, and of bytes of all: every run of the tests reads the kept inputs, and so
/// do people.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 320 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The files of a directory, sorted by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

// One test, so that no other test allocates memory while a check measures its own.
#[test]
fn kept_inputs_break_no_guarantee() {
    let directories: BTreeSet<_> =
        files(&corpus()).into_iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
    assert_eq!(
        directories,
        TARGETS.iter().map(|target| target.name.into()).collect(),
        "every target has a directory"
    );
    let mut bytes = 0;
    for target in &TARGETS {
        let files = files(&corpus().join(target.name));
        assert!((1..=FILES_MAX).contains(&files.len()), "{} has {} inputs", target.name, files.len());
        for file in &files {
            let input = fs::read(file).expect("an input");
            bytes += input.len() as u64;
            // The messages of the checks do not name the file.
            println!("{}", file.display());
            fuzz_checks::check(target.name, &input);
        }
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes are kept; the maximum is {BYTES_MAX}");
}
