//! Reading and rotating the signing secrets.

use local_aws::{Action, Fault, LocalAws, QueueSettings};
use serde_json::{Value, json};

use crate::deployment::{Deployment, REQUESTS, Response, SECRET, SECRETS_ARN, Settings, request, webhook};
use crate::in_process::InProcess;

const NEXT: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// An arbitrary time, in seconds since 1970-01-01.
const START: u64 = 1_795_330_800;

fn reads(deployment: &Deployment) -> usize {
    deployment.aws_calls().into_iter().filter(|action| *action == Action::GetSecretValue).count()
}

async fn post_signed_by(deployment: &Deployment, secret: &str) -> Response {
    let id = format!("msg_{:032x}", fastrand::u128(..));
    deployment.call(webhook(&request("sg-a")).signed_as(&id, 0, secret)).await
}

/// A deployment whose secret has this value, or does not exist.
async fn deployment_with_secret(value: Option<&str>) -> Deployment {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    if let Some(value) = value {
        aws.secrets().put(SECRETS_ARN, value);
    }
    Deployment::with_aws(aws, Settings::default()).await
}

#[tokio::test]
async fn rotation_needs_no_deployment() {
    let deployment = Deployment::new().await;
    assert_eq!(post_signed_by(&deployment, SECRET).await.status, 202);
    deployment.aws.secrets().put(SECRETS_ARN, json!([SECRET, NEXT]).to_string());
    assert_eq!(post_signed_by(&deployment, NEXT).await.status, 202, "the list is read again at once");
    assert_eq!(post_signed_by(&deployment, SECRET).await.status, 202, "both secrets are accepted");
    assert_eq!(reads(&deployment), 2);
}

#[tokio::test]
async fn wrong_signatures_cause_one_read() {
    let deployment = Deployment::new().await;
    for _ in 0..20 {
        post_signed_by(&deployment, NEXT).await.assert_problem(401);
    }
    assert_eq!(reads(&deployment), 2, "at start, and after the first wrong signature");
    let deployment = Deployment::new().await;
    for seconds in [-1000, 1000] {
        deployment
            .call(webhook(&request("sg-a")).signed_as("msg_1", seconds, NEXT))
            .await
            .assert_problem(401);
    }
    deployment.call(webhook(&request("sg-a"))).await.assert_problem(401);
    assert_eq!(reads(&deployment), 1, "calls that no secret can authenticate cause no read");
}

#[tokio::test]
async fn unreadable_secrets_make_webhooks_unavailable_and_do_not_affect_schedules() {
    for value in [
        None,
        Some("not JSON"),
        Some(SECRET),
        Some(r#"{"current":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#),
        Some(r#"["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "incomplete"]"#),
    ] {
        let deployment = deployment_with_secret(value).await;
        let response = post_signed_by(&deployment, SECRET).await;
        response.assert_problem(503);
        assert_eq!(response.header("retry-after"), Some("10"));
        assert_eq!(reads(&deployment), 1, "not read again for every webhook");
        deployment.call(webhook(&request("sg-a"))).await.assert_problem(401);
        assert!(deployment.invoke(&request("sg-a").to_string()).await.is_ok(), "a schedule needs no secret");
        let output = deployment.output();
        assert!(output.contains("the signing secrets cannot be read"), "{output}");
        assert!(!output.contains("MfKQ9r8G") && !output.contains("incomplete"), "{output}");
    }
}

#[tokio::test]
async fn empty_list_rejects_every_webhook() {
    let deployment = deployment_with_secret(Some("[]")).await;
    post_signed_by(&deployment, SECRET).await.assert_problem(401);
}

#[tokio::test]
async fn unknown_signature_is_unavailable_while_the_list_cannot_be_read() {
    let deployment = Deployment::new().await;
    deployment.aws.secrets().faults().plan(Action::GetSecretValue, 9, Fault::ServerError);
    let response = post_signed_by(&deployment, NEXT).await;
    response.assert_problem(503);
    assert_eq!(response.header("retry-after"), Some("10"));
    assert_eq!(post_signed_by(&deployment, SECRET).await.status, 202, "a cached secret is still accepted");
}

#[tokio::test]
async fn removed_secret_is_rejected_after_five_minutes() {
    let intake = InProcess::new(false).await;
    assert_eq!(intake.post(SECRET, START).await, 202);
    intake.aws.secrets().put(SECRETS_ARN, json!([NEXT]).to_string());
    assert_eq!(intake.post(SECRET, START + 290).await, 202);
    assert_eq!(intake.post(SECRET, START + 310).await, 401);
    assert_eq!(intake.post(NEXT, START + 310).await, 202);
}

#[tokio::test]
async fn list_that_cannot_be_read_again_is_used_for_15_minutes() {
    let intake = InProcess::new(false).await;
    assert_eq!(intake.post(SECRET, START).await, 202);
    intake.aws.secrets().remove(SECRETS_ARN);
    for (seconds, status) in [(310, 202), (890, 202), (910, 503), (5000, 503)] {
        assert_eq!(intake.post(SECRET, START + seconds).await, status, "after {seconds} s");
    }
    intake.aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
    assert_eq!(intake.post(SECRET, START + 5020).await, 202);
}

#[tokio::test]
async fn transient_error_at_start_is_retried_by_the_sdk() {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(REQUESTS, QueueSettings::fifo()).unwrap();
    aws.secrets().put(SECRETS_ARN, json!([SECRET]).to_string());
    aws.secrets().faults().plan(Action::GetSecretValue, 1, Fault::Throttled);
    let deployment = Deployment::with_aws(aws, Settings::default()).await;
    let response = post_signed_by(&deployment, SECRET).await;
    assert_eq!((response.status.as_u16(), &response.body["send_again"]), (202, &Value::Null));
}
