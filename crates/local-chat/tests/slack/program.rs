//! The program, as tests in Python start it.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::app::http;

#[tokio::test]
async fn program_prints_its_address_and_serves() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_local-chat"))
        .args(["--channel", "C1=运维"])
        .env_clear()
        .env("LOCAL_CHAT_TEAM", "T1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    let url = first.strip_prefix("Slack is simulated at ").unwrap();

    let url = format!("{url}/control/command");
    let command = http("POST", &url, &[], "user=U0REQUESTER&text=help&send=false").await.unwrap().json();

    let body = command["body"].as_str().unwrap();
    assert!(body.contains("&team_id=T1&") && body.contains("&channel_id=C1&"), "{body}");
}

#[tokio::test]
async fn program_simulates_the_selected_platform() {
    for (platform, first_line) in
        [("dingtalk", "DingTalk is simulated at http://"), ("feishu", "Feishu is simulated at http://")]
    {
        let mut program = Command::new(env!("CARGO_BIN_EXE_local-chat"))
            .args(["--platform", platform])
            .env_clear()
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        assert!(first.starts_with(first_line), "{first}");
    }
}

#[tokio::test]
async fn invalid_command_line_ends_with_status_2() {
    let program = Command::new(env!("CARGO_BIN_EXE_local-chat")).arg("--ports").env_clear().output();
    let output = program.await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("local-chat: unknown argument \"--ports\"\n"), "{error}");
}
