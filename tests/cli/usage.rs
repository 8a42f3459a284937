//! Usage, and the completion scripts.

use crate::program::{command, run};

#[test]
fn command_line_that_is_not_valid_ends_with_status_2_and_calls_nothing() {
    for arguments in [
        &["find"][..],
        &["find", "not-an-id"],
        &["find", "sg-a", "--region", "a/b"],
        &["find", "sg-a", "--tag", "no-value"],
        &["plan", "sg-a", "--plan-file", "p.json"],
        &["detach", "sg-a"],
        &["detach", "sg-a", "ep-a", "--timeout", "5s"],
        &["unknown"],
    ] {
        let ended = run(&mut command(arguments));
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_names_the_variables_that_limit_the_commands() {
    let ended = run(&mut command(&["--help"]));
    for name in
        ["ALLOWED_REGIONS", "PROTECTED_SECURITY_GROUPS", "PROTECTED_ENDPOINTS", "REPLACEMENT_SECURITY_GROUPS"]
    {
        assert!(ended.stdout.contains(&format!("  {name} ")), "{name}: {}", ended.stdout);
    }
}

#[test]
fn completion_script_names_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&mut command(&["completion", shell]));
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{shell}");
        for name in ["find", "plan", "apply", "detach", "doctor"] {
            assert!(ended.stdout.contains(name), "{shell} {name}");
        }
    }
}
