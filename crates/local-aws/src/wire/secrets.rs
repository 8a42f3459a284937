//! Secrets Manager's JSON protocol.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::json;

use super::{Executed, Reaction, Refusal, finish, json_1_1, malformed, quoting, refusal};
use crate::faults::{Action, Fault};
use crate::journal::{Ending, JournalEntry};
use crate::secrets::{Secrets, name_of};

/// The staging label of the version that a call without one reads.
const CURRENT: &str = "AWSCURRENT";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

/// Carries out one `GetSecretValue` call.
pub fn get_secret_value(
    secrets: &mut Secrets,
    journal: &mut Vec<JournalEntry>,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let action = Action::GetSecretValue;
    let call = serde_json::from_slice::<GetSecretValue>(body);
    let target = call.as_ref().map(|call| name_of(&call.secret_id).to_owned()).unwrap_or_default();
    let entry = JournalEntry { at: now, action, target, message_ids: Vec::new(), ending: Ending::Done };
    let fault = secrets.faults().take(action);
    let result = match fault {
        Some(Fault::ServerError | Fault::Hang | Fault::EmptyResponse) => {
            Err(refusal(500, "InternalServiceError", "An error occurred on the server side."))
        }
        Some(Fault::QuotesRequest) => Err(quoting(body)),
        Some(Fault::Throttled) => Err(refusal(400, "ThrottlingException", "Rate exceeded")),
        Some(Fault::ResponseLost | Fault::EntryFails(_) | Fault::OtherMd5 | Fault::Slow(_)) | None => {
            call.map_err(|error| malformed(&error)).and_then(|call| get(secrets, &call))
        }
    };
    json_1_1(finish(journal, entry, fault, result))
}

fn get(secrets: &Secrets, call: &GetSecretValue) -> Result<Executed, Refusal> {
    let Some(secret) = secrets.get(&call.secret_id) else {
        return Err(not_found("Secrets Manager can't find the specified secret."));
    };
    if let Some(id) = call.version_id.as_ref().filter(|id| **id != secret.version_id) {
        let message = format!("Secrets Manager can't find the specified secret value for VersionId: {id}");
        return Err(not_found(&message));
    }
    if let Some(stage) = call.version_stage.as_deref().filter(|stage| *stage != CURRENT) {
        let message =
            format!("Secrets Manager can't find the specified secret value for staging label: {stage}");
        return Err(not_found(&message));
    }
    let created_at = secret.created_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Executed {
        response: json!({
            "ARN": secret.arn(),
            "Name": secret.name,
            "VersionId": secret.version_id,
            "SecretString": secret.value,
            "VersionStages": [CURRENT],
            "CreatedDate": created_at.as_secs_f64(),
        }),
        message_ids: vec![secret.version_id.clone()],
        failed: 0,
    })
}

fn not_found(message: &str) -> Refusal {
    refusal(400, "ResourceNotFoundException", message)
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use serde_json::Value;

    use super::*;
    use crate::wire::secret_arn;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.put("webhooks", r#"["whsec_"]"#);
        secrets
    }

    /// The status and body of the response to a call, and its journal entry.
    fn get(secrets: &mut Secrets, call: &Value) -> (u16, Value, JournalEntry) {
        let mut journal = Vec::new();
        let reaction = get_secret_value(secrets, &mut journal, call.to_string().as_bytes(), NOW);
        let Reaction::Respond(response) = reaction else { panic!("{reaction:?}") };
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-amz-json-1.1");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap(), journal.remove(0))
    }

    #[test]
    fn secret_can_be_read_by_name_and_arn() {
        let mut secrets = secrets();
        let version = secrets.get("webhooks").unwrap().version_id.clone();
        for call in [
            json!({ "SecretId": "webhooks" }),
            json!({ "SecretId": secret_arn("webhooks") }),
            json!({ "SecretId": "webhooks", "VersionId": version, "VersionStage": "AWSCURRENT" }),
        ] {
            let (status, body, entry) = get(&mut secrets, &call);

            let expected = json!({
                "ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:webhooks",
                "Name": "webhooks",
                "VersionId": version,
                "SecretString": r#"["whsec_"]"#,
                "VersionStages": ["AWSCURRENT"],
                "CreatedDate": 1_700_000_000.0,
            });
            assert_eq!((status, body), (200, expected), "{call}");
            let expected = JournalEntry {
                at: NOW,
                action: Action::GetSecretValue,
                target: "webhooks".to_owned(),
                message_ids: vec![version.clone()],
                ending: Ending::Done,
            };
            assert_eq!(entry, expected);
        }
    }

    #[test]
    fn missing_secret_or_version_is_refused() {
        for (call, message) in [
            (json!({ "SecretId": "missing" }), "Secrets Manager can't find the specified secret."),
            (
                json!({ "SecretId": "webhooks", "VersionId": "other" }),
                "Secrets Manager can't find the specified secret value for VersionId: other",
            ),
            (
                json!({ "SecretId": "webhooks", "VersionStage": "AWSPREVIOUS" }),
                "Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS",
            ),
        ] {
            let (status, body, entry) = get(&mut secrets(), &call);

            let expected = json!({ "__type": "ResourceNotFoundException", "message": message });
            assert_eq!((status, body), (400, expected));
            assert_eq!(entry.ending, Ending::Refused("ResourceNotFoundException".to_owned()));
        }
    }

    #[test]
    fn call_without_an_id_is_refused_and_journaled() {
        let (status, _, entry) = get(&mut secrets(), &json!({}));

        assert_eq!(status, 400);
        assert_eq!(entry.ending, Ending::Refused("SerializationException".to_owned()));
    }

    #[test]
    fn fault_determines_the_response() {
        for (fault, status, code) in [
            (Fault::ServerError, 500, "InternalServiceError"),
            (Fault::Throttled, 400, "ThrottlingException"),
        ] {
            let mut secrets = secrets();
            secrets.faults().plan(Action::GetSecretValue, 1, fault);

            let (response_status, body, entry) = get(&mut secrets, &json!({ "SecretId": "webhooks" }));

            assert_eq!((response_status, body["__type"].as_str()), (status, Some(code)));
            assert_eq!((entry.message_ids.len(), entry.ending), (0, Ending::Faulted(fault)));
            assert_eq!(get(&mut secrets, &json!({ "SecretId": "webhooks" })).0, 200);
        }
        for (fault, versions_read) in [(Fault::Hang, 0), (Fault::ResponseLost, 1)] {
            let (mut secrets, mut journal) = (secrets(), Vec::new());
            secrets.faults().plan(Action::GetSecretValue, 1, fault);

            let reaction = get_secret_value(&mut secrets, &mut journal, br#"{"SecretId": "webhooks"}"#, NOW);

            assert_eq!(matches!(reaction, Reaction::Hang), fault == Fault::Hang);
            assert_eq!(matches!(reaction, Reaction::Reset), fault == Fault::ResponseLost);
            assert_eq!(
                (journal[0].message_ids.len(), &journal[0].ending),
                (versions_read, &Ending::Faulted(fault))
            );
        }
    }
}
