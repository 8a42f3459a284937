//! The running function against `docs/openapi.yaml`: schemathesis makes calls from the description, valid and invalid ones,
//! and checks that every answer is one that the description has.

use std::path::Path;
use std::process::Command;

use crate::account::{Account, SECRET};

/// Where `make test` installs it. It is no Rust, so cargo cannot.
const SCHEMATHESIS: &str = ".tools/schemathesis/bin/schemathesis";

/// Makes the same calls in every run, so that a green commit stays green. Of the seeds that were compared, this one makes
/// the most varied metadata.
const SEED: &str = "7";

/// Most calls that each phase makes up for one operation.
const EXAMPLES_MAX: &str = "200";

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemathesis = project.join(SCHEMATHESIS);
    assert!(
        schemathesis.exists(),
        "schemathesis is not installed: `make test` installs it, and runs every test"
    );
    let account = Account::new().await;
    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(project.join("tests/python/openapi/schemathesis.toml"))
        .arg("run")
        .arg(project.join("docs/openapi.yaml"))
        .args(["--url", &account.url(), "--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES_MAX, "--workers", "1"])
        .args(["--generation-database", "none", "--suppress-health-check", "too_slow", "--no-color"])
        // It leaves files wherever it runs.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", project.join("tests/python/openapi/hooks.py"))
        .env("WEBHOOK_SECRET", SECRET);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(!account.messages().is_empty(), "some calls were accepted: {text}");
}
