//! Who a caller is, and the sessions of roles that it assumes.

use super::*;
use crate::{OWNER, PrincipalArn};

const ASSUME_ROLE: Action = Action::AssumeRole;
const IDENTITY: Action = Action::GetCallerIdentity;
const READER: &str = "acs:ram::6543210987654321:role/reader";
const AS_READER: &str = "RoleArn=acs:ram::6543210987654321:role/reader&RoleSessionName=me@laptop";

#[test]
fn identity_is_that_of_the_account_the_user_or_the_session() {
    let account = "acs:ram::1111:root";
    let mut cloud = cloud_with(Role::trusting(READER, [OWNER]));
    cloud.0.set_access_key(AccessKey { owner: Some(account.into()), ..AccessKey::new("root", "secret") });
    let session = cloud.assumed(&AccessKey::default(), AS_READER);
    for (key, expected) in [
        (
            AccessKey::default(),
            json!({ "AccountId": "1234567890123456", "Arn": OWNER, "IdentityType": "RAMUser" }),
        ),
        (
            AccessKey::new("root", "secret"),
            json!({ "AccountId": "1111", "Arn": account, "IdentityType": "Account", "UserId": "1111" }),
        ),
        (
            session,
            json!({
                "AccountId": "6543210987654321", "IdentityType": "AssumedRoleUser",
                "Arn": "acs:ram::6543210987654321:assumed-role/reader/me@laptop",
            }),
        ),
    ] {
        let identity = json_of(&cloud.call(NOW, &key, IDENTITY, ""));
        assert_eq!(with_changes(identity.clone(), &expected), identity, "{expected}");
        assert!(identity["PrincipalId"].is_string(), "{identity}");
    }
}

#[test]
fn role_session_signs_calls_until_it_ends_and_assumes_further_roles() {
    let mut cloud = cloud_with(Role::trusting(READER, [OWNER]));
    cloud.0.set_role(Role::trusting(ROLE, [READER])).unwrap();
    let reader = cloud.assumed(&AccessKey::default(), &format!("{AS_READER}&DurationSeconds=900"));
    assert_eq!(cloud.code(NOW, &reader, GROUPS, SHOP), None);
    let query = format!("RoleArn={ROLE}&RoleSessionName=chained");
    let chained = cloud.assumed(&reader, &query);
    assert_eq!(cloud.code(NOW + 900, &reader, GROUPS, SHOP).as_deref(), Some("InvalidSecurityToken.Expired"));
    assert_eq!(cloud.code(NOW + 900, &chained, GROUPS, SHOP), None);
    let denied = refusal(&cloud.call(NOW, &AccessKey::default(), ASSUME_ROLE, &query));
    assert_eq!((denied.0, &*denied.1), (403, "NoPermission"), "only the first role is trusted");
}

#[test]
fn role_is_assumed_by_the_callers_that_it_trusts() {
    let expected = "You are not authorized to do this action. You should be authorized by RAM.";
    for (trusted, is_trusted) in [
        (OWNER, true),
        ("acs:ram::1234567890123456:root", true),
        ("acs:ram::1234567890123456:user/other", false),
        ("acs:ram::6543210987654321:root", false),
        (READER, false),
    ] {
        let mut cloud = cloud_with(Role::trusting(READER, [trusted]));
        let response = cloud.call(NOW, &AccessKey::default(), ASSUME_ROLE, AS_READER);
        if is_trusted {
            assert_eq!(response.status(), 200, "{trusted}");
        } else {
            assert_eq!(
                refusal(&response),
                (403, "NoPermission".to_owned(), expected.to_owned()),
                "{trusted}"
            );
        }
    }
    let mut cloud = cloud_with(Role::trusting(READER, ["acs:ram::1234567890123456:root"]));
    let owner = Some(PrincipalArn::from("acs:ram::1234567890123456:root"));
    let root = AccessKey { owner, ..AccessKey::new("root", "secret") };
    cloud.0.set_access_key(root.clone());
    let response = cloud.call(NOW, &root, ASSUME_ROLE, AS_READER);
    assert_eq!(refusal(&response).2, "Roles may not be assumed by root accounts.");
}

#[test]
fn external_id_must_be_the_roles() {
    let mut role = Role::trusting(READER, [OWNER]);
    role.external_id = Some("e/1".to_owned());
    let mut cloud = cloud_with(role);
    let mut code =
        |id: &str| cloud.code(NOW, &AccessKey::default(), ASSUME_ROLE, &format!("{AS_READER}{id}"));
    assert_eq!(code("&ExternalId=e/1"), None);
    assert_eq!(code("&ExternalId=e/2").as_deref(), Some("NoPermission"));
    assert_eq!(code("").as_deref(), Some("NoPermission"));
    assert_eq!(code("&ExternalId=e").as_deref(), Some("InvalidParameter.ExternalId"));
    assert_eq!(code("&ExternalId=e%201").as_deref(), Some("InvalidParameter.ExternalId"));
}

#[test]
fn denied_or_invalid_call_issues_no_session() {
    let mut cloud = cloud_with(Role::trusting(READER, [OWNER]));
    let denied = AccessKey { denied_actions: [ASSUME_ROLE].into(), ..AccessKey::new("denied", "secret") };
    cloud.0.set_access_key(denied.clone());
    let body = json_of(&cloud.call(NOW, &denied, ASSUME_ROLE, AS_READER));
    assert_eq!(body["AccessDeniedDetail"]["AuthAction"], "sts:AssumeRole");
    for (query, code) in [
        ("RoleSessionName=me", "MissingParameter.RoleArn"),
        (&format!("RoleArn={READER}"), "MissingParameter.RoleSessionName"),
        ("RoleArn=reader&RoleSessionName=me", "InvalidParameter.RoleArn"),
        (&format!("RoleArn={READER}&RoleSessionName=a%20b"), "InvalidParameter.RoleSessionName"),
        (&format!("{AS_READER}&DurationSeconds=3601"), "InvalidParameter.DurationSeconds"),
        (&format!("{AS_READER}&Policy=no"), "InvalidParameter.PolicyGrammar"),
        (&format!("{AS_READER}x"), "InvalidParameter.RoleSessionName"),
        ("RoleArn=acs:ram::1:role/none&RoleSessionName=me", "EntityNotExist.Role"),
    ] {
        let query = query.replace("laptopx", LONG_NAME);
        let found = cloud.code(NOW, &AccessKey::default(), ASSUME_ROLE, &query);
        assert_eq!(found.as_deref(), Some(code), "{query}");
    }
    assert_eq!(cloud.0.sessions().count(), 0);
}

#[test]
fn session_policy_restricts_further_calls_to_sts_and_ecs() {
    let mut cloud = cloud_with(Role::trusting(READER, [OWNER, READER]));
    let policy = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"ecs:*","Resource":"acs:ecs:*:6543210987654321:*"}]}"#;
    let policy = utf8_percent_encode(policy, NON_ALPHANUMERIC).to_string();
    let session = cloud.assumed(&AccessKey::default(), &format!("{AS_READER}&Policy={policy}"));
    assert_eq!(cloud.code(NOW, &session, Action::DescribeSecurityGroups, "RegionId=eu-west-1"), None);
    assert_eq!(cloud.code(NOW, &session, ASSUME_ROLE, AS_READER).as_deref(), Some("NoPermission"));
    assert_eq!(cloud.code(NOW, &session, IDENTITY, ""), None, "it needs no permission");
}

#[test]
fn signed_call_needs_a_signature_and_faults_apply_to_it() {
    let mut cloud = cloud_with(Role::trusting(READER, [OWNER]));
    let wrong = AccessKey { access_key_secret: "wrong".to_owned(), ..AccessKey::default() };
    for action in [ASSUME_ROLE, IDENTITY] {
        let code = cloud.code(NOW, &wrong, action, AS_READER);
        assert_eq!(code.as_deref(), Some("SignatureDoesNotMatch"), "{action}");
        cloud.0.inject(Fault::on(action, Effect::code("Throttling.Api")).next(1));
        let code = cloud.code(NOW + 1, &AccessKey::default(), action, AS_READER);
        assert_eq!(code.as_deref(), Some("Throttling.Api"), "{action}");
        assert_eq!(cloud.code(NOW + 2, &AccessKey::default(), action, AS_READER), None, "{action}");
    }
}

#[test]
fn seed_with_an_impossible_caller_is_rejected() {
    let mut seed = seed();
    seed.access_keys[0].owner = Some(READER.into());
    assert!(seed.check().unwrap_err().to_string().contains("is no owner of an access key"));
    seed.access_keys[0].owner = None;
    seed.roles.push(Role::trusting(READER, ["acs:ram::1:group/all"]));
    assert!(seed.check().unwrap_err().to_string().contains("cannot assume a role"));
}

impl TestCloud {
    /// The access key of a new session of a role.
    fn assumed(&mut self, key: &AccessKey, query: &str) -> AccessKey {
        let response = self.call(NOW, key, ASSUME_ROLE, query);
        assert_eq!(response.status(), 200, "{response:?}");
        let id = json_of(&response)["Credentials"]["AccessKeyId"].clone();
        self.0.sessions().find(|key| key.access_key_id.as_str() == id).unwrap().clone()
    }
}

fn cloud_with(role: Role) -> TestCloud {
    cloud(|seed| seed.roles.push(role))
}
