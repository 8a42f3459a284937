//! Compares the running function with `docs/openapi.yaml`: schemathesis generates valid and invalid calls from the
//! description, and checks every response against it.

use std::path::Path;
use std::process::Command;

use crate::deployment::SECRET;
use crate::slack::{self, DINGTALK_SECRET, FEISHU_KEY, SLACK_SECRET};

/// The path where `make test` installs it, because cargo cannot install a Python program.
const SCHEMATHESIS: &str = ".tools/schemathesis/bin/schemathesis";

/// Makes the calls the same in every run. Of the seeds that were compared, this one generates the most varied metadata.
const SEED: &str = "7";

/// Maximum number of calls that each phase generates for one operation.
const EXAMPLES_MAX: &str = "200";

#[tokio::test]
async fn schemathesis_finds_no_difference_from_the_description() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemathesis = project.join(SCHEMATHESIS);
    assert!(
        schemathesis.exists(),
        "schemathesis is not installed: `make test` installs it, and runs every test"
    );
    let deployment = slack::deployment().await;
    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(project.join("tests/python/openapi/schemathesis.toml"))
        .arg("run")
        .arg(project.join("docs/openapi.yaml"))
        .args(["--url", &deployment.url(), "--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES_MAX, "--workers", "1"])
        .args(["--generation-database", "none", "--suppress-health-check", "too_slow", "--no-color"])
        // Schemathesis writes files into its working directory.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", project.join("tests/python/openapi/hooks.py"))
        .env("WEBHOOK_SECRET", SECRET)
        .env("SLACK_SECRET", SLACK_SECRET)
        .env("DINGTALK_SECRET", DINGTALK_SECRET)
        .env("FEISHU_KEY", FEISHU_KEY);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(!deployment.messages().is_empty(), "some calls were accepted: {text}");
}
