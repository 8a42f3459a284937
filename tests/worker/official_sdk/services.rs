//! The command line program's calls to STS and ECS, compared as the worker's are.

use std::collections::BTreeSet;

use privatelink_detach::alibaba::services::Services;
use privatelink_detach::alibaba::sts::AssumeRole;

use super::*;

#[derive(Deserialize)]
struct Inputs {
    seed: u64,
    nonce: String,
    signed_at: String,
    action: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
    role_arn: Option<String>,
    role_session_name: Option<String>,
    duration_seconds: Option<u64>,
    external_id: Option<String>,
    policy: Option<String>,
    security_group_ids: Option<String>,
    next_token: Option<String>,
}

/// The duration of a session where the recording has none: the default of STS.
const DURATION_SECONDS: u64 = 3600;

#[tokio::test(start_paused = true)]
async fn requests_equal_those_of_the_official_sdk_except_for_listed_differences() {
    let recordings = recordings();
    let called: BTreeSet<_> = recordings.iter().map(|recording| recording.inputs.action.as_str()).collect();
    assert_eq!(called, ["AssumeRole", "DescribeSecurityGroups", "GetCallerIdentity"].into());
    for recording in recordings {
        let ours = ours(&recording.inputs).await;
        assert_eq!(ours.headers["x-acs-signature-nonce"], recording.inputs.nonce, "{}", recording.name);
        assert_eq!(
            differences(&recording.sent, &ours),
            expected_differences(&recording),
            "{}",
            recording.name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn signatures_equal_those_of_the_official_sdks_signer() {
    for recording in recordings() {
        let ours = ours(&recording.inputs).await;
        let theirs = recording.signed_as_the_worker;
        assert_eq!(ours.query, theirs.query, "{}", recording.name);
        assert_eq!(ours.headers["authorization"], theirs.authorization, "{}", recording.name);
    }
}

/// The expected differences of a recording, with their reasons.
fn expected_differences(recording: &Recording<Inputs>) -> Differences {
    let Recording { inputs, sent, .. } = recording;
    let session = inputs.security_token.as_ref().map(|_| &*inputs.access_key_id);
    let mut expected = expected_header_differences(session);
    // The SDK sends `+` for a space, as in its other calls.
    if inputs.next_token.is_some() {
        let theirs = encoded(&sent.query, "NextToken").unwrap().to_owned();
        let ours = theirs.replace('+', "%20");
        expected.insert("parameter NextToken as sent".to_owned(), (Some(theirs), Some(ours)));
    }
    // This project does not rely on defaults of the service.
    if inputs.action == "AssumeRole" && inputs.duration_seconds.is_none() {
        for field in ["parameter DurationSeconds", "parameter DurationSeconds as sent"] {
            expected.insert(field.to_owned(), (None, Some(DURATION_SECONDS.to_string())));
        }
    }
    expected
}

fn recordings() -> Vec<Recording<Inputs>> {
    let file: File<_> =
        serde_json::from_str(include_str!("../../vectors/official-sdk-services.json")).unwrap();
    file.recordings
}

/// The last request that this project sends for these inputs.
async fn ours(inputs: &Inputs) -> Sent {
    let region = RegionId::parse("eu-west-1").unwrap();
    let transport = InMemory::default();
    if let Some(token) = &inputs.next_token {
        let page = serde_json::json!({ "SecurityGroups": { "SecurityGroup": [] }, "NextToken": token });
        transport.responses.borrow_mut().push(http::Response::new(page.to_string().into()));
    }
    let services = Services::new(&transport, BaseUrl::sts_in(&region), ServiceUrl::Regional, inputs.seed);
    let Inputs { access_key_id, access_key_secret, security_token, .. } = inputs;
    let credentials =
        Credentials::new(access_key_id.clone(), access_key_secret.clone(), security_token.clone());
    let clock = Clock::starting_at(OffsetDateTime::parse(&inputs.signed_at, &Rfc3339).unwrap().into());
    let is_sent = match inputs.action.as_str() {
        "GetCallerIdentity" => services.caller_identity(&credentials, &clock).await.is_err(),
        "AssumeRole" => {
            let call = AssumeRole {
                role_arn: inputs.role_arn.as_deref().unwrap(),
                role_session_name: inputs.role_session_name.as_deref().unwrap(),
                duration: Duration::from_secs(inputs.duration_seconds.unwrap_or(DURATION_SECONDS)),
                external_id: inputs.external_id.as_deref(),
                policy: inputs.policy.as_deref(),
            };
            services.assume_role(&call, &credentials, &clock).await.is_err()
        }
        "DescribeSecurityGroups" => {
            let ids = inputs.security_group_ids.as_deref().unwrap();
            let ids: Vec<String> = serde_json::from_str(ids).unwrap();
            let ids: Vec<_> = ids.iter().map(|id| SecurityGroupId::parse(id).unwrap()).collect();
            services.security_groups(&region, &ids, &credentials, &clock).await.is_err()
        }
        other => panic!("this project does not call {other}"),
    };
    assert!(is_sent, "there is no response to the last request");
    transport.sent()
}
