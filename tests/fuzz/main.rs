//! The parsers of outside bytes on every input that the fuzzer under `fuzz/` has found worth keeping, and on everything
//! that once broke one of them.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz_checks::TARGETS;

/// Most files of one target, and most bytes of all: what is kept is read by every run of the tests, and by people.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 300 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// What is in a folder, in the order of the names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

// One test, so that nothing else holds memory while a check measures its own.
#[test]
fn every_kept_input_keeps_every_promise() {
    let folders: BTreeSet<_> =
        files(&corpus()).into_iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
    assert_eq!(
        folders,
        TARGETS.iter().map(|target| target.name.into()).collect(),
        "a folder for each target"
    );
    let mut bytes = 0;
    for target in &TARGETS {
        let files = files(&corpus().join(target.name));
        assert!((1..=FILES_MAX).contains(&files.len()), "{} has {} inputs", target.name, files.len());
        for file in &files {
            let input = fs::read(file).expect("an input");
            bytes += input.len() as u64;
            // What a check says names no file.
            println!("{}", file.display());
            fuzz_checks::hold(target.name, &input);
        }
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes are kept, and {BYTES_MAX} is the most");
}
