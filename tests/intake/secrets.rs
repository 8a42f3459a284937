//! Where the signing secrets come from, and how a rotation goes.

use local_aws::{Action, Fault, LocalAws, QueueSettings};
use serde_json::{Value, json};

use crate::account::{Account, Answer, REQUESTS, SECRET, SECRETS_ARN, Setting, request, webhook};
use crate::front::Front;

const NEXT: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Some moment, in seconds since 1970.
const START: u64 = 1_795_330_800;

fn reads(account: &Account) -> usize {
    account.aws_calls().into_iter().filter(|action| *action == Action::GetSecretValue).count()
}

async fn post_signed_by(account: &Account, secret: &str) -> Answer {
    let id = format!("msg_{:032x}", fastrand::u128(..));
    account.call(webhook(&request("sg-a")).signed_as(&id, 0, secret)).await
}

/// An account whose secret has this value, or does not exist.
async fn with_value(value: Option<&str>) -> Account {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    if let Some(value) = value {
        aws.secrets().put(SECRETS_ARN, value);
    }
    Account::around(aws, Setting::default()).await
}

#[tokio::test]
async fn a_rotation_needs_no_deployment() {
    let account = Account::new().await;
    assert_eq!(post_signed_by(&account, SECRET).await.status, 202);
    account.aws.secrets().put(SECRETS_ARN, json!([SECRET, NEXT]).to_string());
    assert_eq!(post_signed_by(&account, NEXT).await.status, 202, "read again at once");
    assert_eq!(post_signed_by(&account, SECRET).await.status, 202, "both live");
    assert_eq!(reads(&account), 2);
}

#[tokio::test]
async fn a_stranger_causes_one_read_and_no_more() {
    let account = Account::new().await;
    for _ in 0..20 {
        post_signed_by(&account, NEXT).await.assert_problem(401);
    }
    assert_eq!(reads(&account), 2, "at start, and after the first wrong signature");
    let account = Account::new().await;
    for seconds in [-1000, 1000] {
        account.call(webhook(&request("sg-a")).signed_as("msg_1", seconds, NEXT)).await.assert_problem(401);
    }
    account.call(webhook(&request("sg-a"))).await.assert_problem(401);
    assert_eq!(reads(&account), 1, "what cannot be let in anyway causes none");
}

#[tokio::test]
async fn secrets_that_cannot_be_read_shut_out_webhooks_and_nothing_else() {
    for value in [
        None,
        Some("not JSON"),
        Some(SECRET),
        Some(r#"{"current":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#),
        Some(r#"["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "half a rotation"]"#),
    ] {
        let account = with_value(value).await;
        let answer = post_signed_by(&account, SECRET).await;
        answer.assert_problem(503);
        assert_eq!(answer.header("retry-after"), Some("10"));
        assert_eq!(reads(&account), 1, "not again for every webhook");
        account.call(webhook(&request("sg-a"))).await.assert_problem(401);
        assert!(account.invoke(&request("sg-a").to_string()).await.is_ok(), "a schedule needs no secret");
        let output = account.output();
        assert!(output.contains("the signing secrets cannot be read"), "{output}");
        assert!(!output.contains("MfKQ9r8G") && !output.contains("half a rotation"), "{output}");
    }
}

#[tokio::test]
async fn an_empty_list_lets_nobody_in() {
    let account = with_value(Some("[]")).await;
    post_signed_by(&account, SECRET).await.assert_problem(401);
}

#[tokio::test]
async fn while_the_list_cannot_be_read_an_unknown_signature_is_neither_right_nor_wrong() {
    let account = Account::new().await;
    account.aws.secrets().faults().plan(Action::GetSecretValue, 9, Fault::ServerError);
    let answer = post_signed_by(&account, NEXT).await;
    answer.assert_problem(503);
    assert_eq!(answer.header("retry-after"), Some("10"));
    assert_eq!(post_signed_by(&account, SECRET).await.status, 202, "what is known goes on");
}

#[tokio::test]
async fn a_secret_that_is_taken_off_the_list_ends_after_five_minutes() {
    let front = Front::new(false).await;
    assert_eq!(front.post(SECRET, START).await, 202);
    front.aws.secrets().put(SECRETS_ARN, json!([NEXT]).to_string());
    assert_eq!(front.post(SECRET, START + 290).await, 202);
    assert_eq!(front.post(SECRET, START + 310).await, 401);
    assert_eq!(front.post(NEXT, START + 310).await, 202);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_again_ends_after_a_quarter_of_an_hour() {
    let front = Front::new(false).await;
    assert_eq!(front.post(SECRET, START).await, 202);
    front.aws.secrets().remove(SECRETS_ARN);
    for (seconds, status) in [(310, 202), (890, 202), (910, 503), (5000, 503)] {
        assert_eq!(front.post(SECRET, START + seconds).await, status, "after {seconds} s");
    }
    front.aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
    assert_eq!(front.post(SECRET, START + 5020).await, 202);
}

#[tokio::test]
async fn a_passing_fault_at_start_is_repeated_by_the_client() {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
    aws.secrets().faults().plan(Action::GetSecretValue, 1, Fault::Throttled);
    let account = Account::around(aws, Setting::default()).await;
    let answer = post_signed_by(&account, SECRET).await;
    assert_eq!((answer.status.as_u16(), &answer.body["send_again"]), (202, &Value::Null));
}
