use std::fs;
use std::net::Ipv4Addr;

use local_aws::WebIdentity;
use privatelink_simulator::{AccessKey, Action, Cloud, OWNER, OidcProvider, Role, Seed, Server};
use serde_json::{Value, json};

use super::*;
use crate::alibaba::credentials::CredentialsSource;

const ROLE: &str = "acs:ram::1234567890123456:role/operator";
const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/idp";

/// A directory of one test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("privatelink-detach-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file with one profile, `p`.
    fn write_profile(&self, fields: &Value) -> PathBuf {
        let mut profile = json!({ "name": "p" });
        profile.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.write("config.json", &json!({ "profiles": [profile] }).to_string())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A cloud with a role that its `AccessKey`, and tokens of an identity provider, can assume.
async fn cloud(identity: &WebIdentity) -> Server {
    let provider = OidcProvider::new(PROVIDER, &identity.issuer, ["audience"], identity.jwks());
    let role = Role { oidc_provider_arn: Some(PROVIDER.into()), ..Role::trusting(ROLE, [OWNER]) };
    let seed = Seed { oidc_providers: vec![provider], roles: vec![role], ..Seed::default() };
    Server::start(Cloud::new(seed).unwrap(), (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap()
}

fn source(server: &Server, origin: Origin) -> CredentialsSource<Https> {
    let url: http::Uri = server.url().parse().unwrap();
    let parts = url.into_parts();
    let sts_url = BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() };
    let (transport, service_clock) = (Https::new(true).unwrap(), Rc::default());
    let sessions = Sessions { origin, transport, sts_url: Some(sts_url), service_clock };
    CredentialsSource::refreshed_by(Box::new(sessions))
}

fn profile(path: PathBuf) -> Origin {
    let profile = read_profile(Some(&path), Some("p"), Clock::start().wall()).unwrap();
    Origin::Profile { path: Some(path), name: profile.name, identity: profile.identity }
}

fn role_profile() -> Value {
    let key = AccessKey::default();
    json!({ "mode": "RamRoleArn", "access_key_id": key.access_key_id, "access_key_secret": key.access_key_secret,
        "ram_role_arn": ROLE })
}

/// This many minutes after now.
fn after(minutes: u64) -> Clock {
    Clock::starting_at(Clock::start().wall() + std::time::Duration::from_mins(minutes))
}

/// The id of the credentials at this time, or the error's code.
async fn id(source: &CredentialsSource<Https>, clock: Clock) -> Result<String, String> {
    match source.current(&clock).await {
        Ok(credentials) => Ok(credentials.access_key_id().to_owned()),
        Err(error) => Err(error.code().into_owned()),
    }
}

#[tokio::test]
async fn session_of_a_role_is_renewed_before_it_ends() {
    let directory = Directory::new("role");
    let server = cloud(&WebIdentity::new().unwrap()).await;
    let source = source(&server, profile(directory.write_profile(&role_profile())));
    let first = id(&source, after(0)).await.unwrap();
    assert_eq!(id(&source, after(54)).await, Ok(first.clone()), "it is not due");
    // The simulator's clock stays where it is: the call is rejected once and repeated with the service's time.
    let second = id(&source, after(56)).await.unwrap();
    assert_ne!(first, second);
    let sessions: Vec<_> =
        server.cloud().sessions().map(|session| session.access_key_id.to_string()).collect();
    assert!(sessions.len() == 2 && sessions.contains(&first) && sessions.contains(&second), "{sessions:?}");
}

#[tokio::test]
async fn lifetime_of_a_session_is_measured_by_the_services_clock() {
    let directory = Directory::new("lifetime");
    let server = cloud(&WebIdentity::new().unwrap()).await;
    server.cloud().change_settings(|settings| {
        settings.clock_offset_ms = 2 * 60 * 60 * 1000;
        settings.session_max = Some(std::time::Duration::from_mins(30));
    });
    let source = source(&server, profile(directory.write_profile(&role_profile())));
    let first = id(&source, after(0)).await.unwrap();
    assert_eq!(id(&source, after(24)).await, Ok(first.clone()));
    assert_ne!(id(&source, after(26)).await, Ok(first));
}

#[tokio::test]
async fn role_that_can_no_longer_be_assumed_keeps_its_session_until_the_end() {
    let directory = Directory::new("revoked");
    let server = cloud(&WebIdentity::new().unwrap()).await;
    let source = source(&server, profile(directory.write_profile(&role_profile())));
    let first = id(&source, after(0)).await.unwrap();
    server.cloud().set_role(Role::trusting(ROLE, [""; 0])).unwrap();
    assert_eq!(id(&source, after(56)).await, Ok(first));
    assert_eq!(id(&source, after(61)).await, Err("NoPermission".to_owned()));
}

#[tokio::test]
async fn token_file_is_read_again_for_each_session() {
    let directory = Directory::new("token");
    let mut identity = WebIdentity::new().unwrap();
    let server = cloud(&identity).await;
    let mut token = |audience: &str| {
        let lifetime = time::Duration::minutes(5);
        identity.issue(&[audience.to_owned()], lifetime, Clock::start().wall()).unwrap().jwt
    };
    let token_file = directory.write("token", &token("another audience"));
    let (role_arn, oidc_provider_arn) = (ROLE.into(), PROVIDER.into());
    let role = OidcRole { role_arn, oidc_provider_arn, token_file, session_name: "ci".into() };
    let source = source(&server, Origin::Environment(role));
    let mismatch = Err("AuthenticationFail.OIDCToken.AudienceNotMatch".to_owned());
    assert_eq!(id(&source, after(0)).await, mismatch);
    directory.write("token", &token("audience"));
    assert!(id(&source, after(1)).await.unwrap().starts_with("STS."));
    assert_eq!(server.cloud().counts().of(Action::AssumeRoleWithOIDC), 2);
    for (content, problem) in [("", "contains no token"), ("two words", "contains no token")] {
        let path = directory.write("token", content);
        assert!(read_token(&path).unwrap_err().problem.contains(problem), "{content}");
    }
}

#[tokio::test]
async fn session_that_the_official_cli_renews_is_read_again() {
    let directory = Directory::new("sso");
    let server = cloud(&WebIdentity::new().unwrap()).await;
    let session = |id: &str, minutes: u64| {
        let ends_at = after(minutes).wall().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        json!({ "mode": "CloudSSO", "access_key_id": id, "access_key_secret": "secret", "sts_token": "token",
            "sts_expiration": ends_at.as_secs(), "cloud_sso_account_id": "1234567890123456" })
    };
    let path = directory.write_profile(&session("STS.first", 60));
    let source = source(&server, profile(path));
    assert_eq!(id(&source, after(0)).await, Ok("STS.first".to_owned()));
    directory.write_profile(&session("STS.second", 120));
    assert_eq!(id(&source, after(50)).await, Ok("STS.first".to_owned()), "it is not due");
    assert_eq!(id(&source, after(56)).await, Ok("STS.second".to_owned()));
    assert_eq!(id(&source, after(121)).await, Err("NoCredentials".to_owned()));
    assert_eq!(server.cloud().counts().calls_total, 0);
}

#[tokio::test]
async fn profile_of_another_identity_is_not_used_in_the_same_run() {
    let directory = Directory::new("changed");
    let server = cloud(&WebIdentity::new().unwrap()).await;
    let session = |mode: &str, id: &str, account: &str| {
        json!({ "mode": mode, "access_key_id": id, "access_key_secret": "secret", "sts_token": "token",
            "sts_expiration": 9_999_999_999_u64, "cloud_sso_account_id": account })
    };
    let mut other_role = role_profile();
    other_role["ram_role_arn"] = json!("acs:ram::6543210987654321:role/operator");
    for (before, after_the_change, is_used) in [
        (session("CloudSSO", "STS.a", "1"), session("CloudSSO", "STS.b", "1"), true),
        (session("CloudSSO", "STS.a", "1"), session("CloudSSO", "STS.a", "2"), false),
        (session("OAuth", "STS.a", ""), session("OAuth", "STS.b", ""), false),
        (session("AK", "LTAI-a", ""), session("AK", "LTAI-a", "2"), true),
        (session("AK", "LTAI-a", ""), session("AK", "LTAI-b", ""), false),
        (role_profile(), other_role, false),
    ] {
        let source = source(&server, profile(directory.write_profile(&before)));
        directory.write_profile(&after_the_change);
        let read = source.current(&after(0)).await.map(drop).map_err(|error| error.to_string());
        let changed = "profile `p` in ~/.aliyun/config.json has changed since the command began".to_owned();
        assert_eq!(read, if is_used { Ok(()) } else { Err(changed) }, "{after_the_change}");
    }
}

#[test]
fn file_that_is_too_large_is_an_error() {
    let directory = Directory::new("large");
    let path = directory.write("config.json", &" ".repeat(1 + usize::try_from(FILE_BYTES_MAX).unwrap()));
    let error = read_profile(Some(&path), None, SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(error.problem.contains("cannot be read"), "{error}");
    let error = read_profile(Some(&directory.0), None, SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(error.problem.contains("cannot be read"), "{error}");
}
