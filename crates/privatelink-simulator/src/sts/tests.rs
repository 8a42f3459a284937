//! Tokens and sessions as callers see them, with synthetic times, including every refusal.

#[path = "../../tests/issuer/mod.rs"]
mod issuer;

mod callers;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    AccessKey, Action, Cloud, Effect, Endpoint, Fault, JournalEntry, OidcProvider, OidcProviderArn,
    ProviderState, Quota, Role, Seed, SessionPolicy, Settings, VERSION, codes, sign, wire_time::acs_date,
};
use issuer::{CLIENT, PROVIDER, ROLE, SUBJECT, URL};

const ASSUME: Action = Action::AssumeRoleWithOIDC;
const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const GROUPS: Action = Action::ListVpcEndpointSecurityGroups;
const SHOP: &str = "RegionId=eu-west-1&EndpointId=ep-shop";
const DETACH_OLD: &str = "RegionId=eu-west-1&EndpointId=ep-shop&SecurityGroupId=sg-old";

const NO_PERMISSION: &str = "AuthenticationFail.NoPermission";

/// One character longer than a session name can be.
const LONG_NAME: &str = "a23456789.b23456789.c23456789.d23456789.e23456789.f23456789.g2345";

/// The time at which the tests run, in seconds since 1970.
const NOW: u64 = 1_767_355_200;

#[test]
fn token_is_exchanged_for_a_session() {
    let mut cloud = cloud(|_| {});
    let response = cloud.assume(NOW, &[]);
    assert_eq!(response.status(), 200, "{response:?}");
    let mut body = json_of(&response);
    let secrets: Vec<_> = ["AccessKeyId", "AccessKeySecret", "SecurityToken"]
        .iter()
        .map(|name| body["Credentials"][*name].take().as_str().unwrap().to_owned())
        .collect();
    assert!(secrets[0].starts_with("STS.") && secrets.iter().all(|secret| secret.len() >= 16), "{secrets:?}");
    assert!(secrets[2].contains(['+', '/', '=']), "the token must contain characters that need encoding");
    let role_id = body["AssumedRoleUser"]["AssumedRoleId"].take();
    let (role_id, session_name) = role_id.as_str().unwrap().split_once(':').unwrap();
    assert!(role_id.len() == 18 && role_id.starts_with('3'), "{role_id}");
    assert_eq!(session_name, "worker@test");
    assert!(body["RequestId"].take().is_string());
    assert_eq!(
        body,
        json!({
            "RequestId": null,
            "AssumedRoleUser": {
                "AssumedRoleId": null,
                "Arn": "acs:ram::1234567890123456:assumed-role/detach/worker@test",
            },
            "OIDCTokenInfo": {
                "Subject": SUBJECT,
                "Issuer": URL,
                "ClientIds": CLIENT,
                "ExpirationTime": "2026-01-02T12:05:00Z",
                "IssuanceTime": "2026-01-02T12:00:00Z",
                "VerificationInfo": "Success",
            },
            "Credentials": {
                "AccessKeyId": null,
                "AccessKeySecret": null,
                "SecurityToken": null,
                "Expiration": "2026-01-02T13:00:00Z",
            },
        })
    );
}

#[test]
fn session_signs_calls_until_it_ends() {
    let mut cloud = cloud(|_| {});
    let session = cloud.session(&[]);
    assert_eq!(cloud.code(NOW, &session, DETACH, DETACH_OLD), None);
    assert_eq!(cloud.code(NOW + 3599, &session, GROUPS, SHOP), None);
    let expired = Some("InvalidSecurityToken.Expired".to_owned());
    assert_eq!(cloud.code(NOW + 3600, &session, GROUPS, SHOP), expired);

    let without_token = AccessKey { security_token: None, ..session };
    let missing = Some("MissingSecurityToken".to_owned());
    assert_eq!(cloud.code(NOW, &without_token, GROUPS, SHOP), missing);
}

#[test]
fn session_has_the_requested_duration_up_to_the_setting() {
    for (setting, requested, ends_at) in [
        (None, "", NOW + 3600),
        (None, "900", NOW + 900),
        (None, "7200", NOW + 7200),
        (Some(90_000), "900", NOW + 90),
        (Some(1_000_000), "900", NOW + 900),
    ] {
        let mut cloud = cloud(|seed| {
            seed.settings.session_max = setting.map(Duration::from_millis);
            seed.roles[0].max_session_duration_seconds = 7200;
        });
        let response = json_of(&cloud.assume(NOW, &[("DurationSeconds", requested)]));
        assert_eq!(response["Credentials"]["Expiration"], acs_date(at(ends_at)), "{setting:?} {requested}");
        let session = cloud.0.sessions().next().unwrap().clone();
        assert_eq!(cloud.code(ends_at - 1, &session, GROUPS, SHOP), None);
        assert!(cloud.code(ends_at, &session, GROUPS, SHOP).is_some());
    }
}

#[test]
fn expire_sessions_ends_only_existing_sessions() {
    let mut cloud = cloud(|_| {});
    let first = cloud.session(&[]);
    cloud.0.expire_sessions(at(NOW + 5));
    let second = cloud.session(&[]);
    assert_eq!(cloud.code(NOW + 5, &first, GROUPS, SHOP).as_deref(), Some("InvalidSecurityToken.Expired"));
    assert_eq!(cloud.code(NOW + 5, &second, GROUPS, SHOP), None);
    assert_eq!(cloud.code(NOW + 5, &AccessKey::default(), GROUPS, SHOP), None);
    assert_eq!(cloud.0.sessions().count(), 2);
}

#[test]
fn credentials_depend_only_on_the_seed_and_the_call_number() {
    let keys = |request_id_seed| {
        let mut cloud = cloud(|seed| seed.settings.request_id_seed = request_id_seed);
        [cloud.session(&[]), cloud.session(&[("RoleSessionName", "another")])]
            .map(|key| (key.access_key_id, key.access_key_secret, key.security_token))
    };
    let ([first, second], [other, _]) = (keys(1), keys(2));
    assert_eq!(keys(1), [first.clone(), second.clone()]);
    for different in [second, other] {
        assert!(first.0 != different.0 && first.1 != different.1 && first.2 != different.2);
    }
}

#[test]
fn debug_output_of_a_session_contains_no_secret() {
    let mut cloud = cloud(|_| {});
    let session = cloud.session(&[]);
    let (text, cloud) = (format!("{session:?}"), format!("{cloud:?}", cloud = cloud.0));
    assert!(text.contains(ROLE) && text.contains("worker@test"), "{text}");
    for secret in [&session.access_key_secret, session.security_token.as_ref().unwrap()] {
        assert!(!text.contains(secret) && !cloud.contains(secret));
    }
}

#[test]
fn each_invalid_parameter_has_its_code() {
    let long_policy = "x".repeat(2049);
    for (name, value, code) in [
        ("RoleArn", "", "MissingParameter.RoleArn"),
        ("OIDCProviderArn", "", "MissingParameter.OIDCProviderArn"),
        ("RoleSessionName", "", "MissingParameter.RoleSessionName"),
        ("OIDCToken", "-", "MissingParameter.OIDCToken"),
        ("RoleArn", "detach", "InvalidParameter.RoleArn"),
        ("RoleArn", "acs:ram::x:role/r", "InvalidParameter.RoleArn"),
        ("RoleSessionName", "a", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", "a b", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", LONG_NAME, "InvalidParameter.RoleSessionName"),
        ("DurationSeconds", "899", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "3601", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "1h", "InvalidParameter.DurationSeconds"),
        ("Policy", "{}", "InvalidParameter.PolicyGrammar"),
        ("Policy", &long_policy, "InvalidParameter.PolicySize"),
        ("Timestamp", "", "MissingParameter"),
        ("Timestamp", "noon", "InvalidTimeStamp.Format"),
    ] {
        let mut cloud = cloud(|_| {});
        let response = cloud.assume(NOW, &[(name, value)]);
        let message = codes::find(code).unwrap().message.to_owned();
        assert_eq!(refusal(&response), (400, code.to_owned(), message), "{name} {value:?}");
        assert_eq!(cloud.0.sessions().count(), 0);
    }
}

#[test]
fn shared_code_has_a_specific_message() {
    let invalid = "AuthenticationFail.OIDCToken.Invalid";
    let unknown = "acs:ram::1:oidc-provider/issuer";
    for (name, value, status, code, message) in [
        (
            "Timestamp",
            "2026-01-02T12:15:01Z",
            400,
            "InvalidTimeStamp.Expired",
            "The request's time is 2026-01-02T12:15:01Z; the server's time is 2026-01-02T12:00:00Z.",
        ),
        ("OIDCProviderArn", ROLE, 401, NO_PERMISSION, "Parameter OIDCProviderArn is not valid"),
        ("OIDCProviderArn", unknown, 401, NO_PERMISSION, "No such OIDC Provider registered."),
        ("OIDCToken", "", 401, invalid, "The OIDCToken can not empty."),
        (
            "OIDCToken",
            "a.b",
            401,
            invalid,
            "The number of Jwt field should be divided into 3 parts with '.' .",
        ),
        ("OIDCToken", "a b.c.d", 401, invalid, "Cannot decode base64 encoded response(format invalided)."),
        ("OIDCToken", "e30.e30.e30", 401, invalid, "The Jwt content is invalid that cannot be recognized."),
        (
            "RoleArn",
            "acs:ram::1:role/other",
            404,
            "EntityNotExist.Role",
            "The role not exists: acs:ram::1:role/other. ",
        ),
    ] {
        let response = cloud(|_| {}).assume(NOW, &[(name, value)]);
        assert_eq!(refusal(&response), (status, code.to_owned(), message.to_owned()), "{name} {value:?}");
    }
}

#[test]
fn token_is_accepted_up_to_the_length_limit() {
    let with_padding = |length: usize| {
        let claims =
            |padding: usize| with_changes(issuer::claims(NOW), &json!({ "jti": "x".repeat(padding) }));
        let token = |padding| issuer::token(&issuer::header(), &claims(padding));
        let padding = (length - token(0).len()) * 3 / 4;
        token(padding)
    };
    let (longest, longer) = (with_padding(19_998), with_padding(20_004));
    assert!(longest.len() <= 20_000 && longer.len() > 20_000, "{} {}", longest.len(), longer.len());
    assert_eq!(cloud(|_| {}).assume(NOW, &[("OIDCToken", &longest)]).status(), 200);
    let refused = cloud(|_| {}).assume(NOW, &[("OIDCToken", &longer)]);
    assert_eq!(refusal(&refused).1, "AuthenticationFail.OIDCToken.Invalid");
}

#[test]
fn each_invalid_token_has_its_code() {
    let header = |change: Value| (change, json!({}));
    let claim = |change: Value| (json!({}), change);
    let invalid = "AuthenticationFail.OIDCToken.Invalid";
    for ((header, claims), code, message) in [
        (
            header(json!({ "alg": "HS256" })),
            invalid,
            "The algorithm HS256 that be specified in Jwt header is unknown.",
        ),
        (
            header(json!({ "alg": "none" })),
            invalid,
            "The algorithm none that be specified in Jwt header is unknown.",
        ),
        (header(json!({ "alg": null })), invalid, "The Jwt content is invalid that cannot be recognized."),
        (claim(json!({ "exp": "soon" })), invalid, "The Jwt content is invalid that cannot be recognized."),
        (claim(json!({ "exp": i64::MAX })), invalid, "The Jwt content is invalid that cannot be recognized."),
        (
            claim(json!({ "iss": "https://issuer.example/" })),
            "AuthenticationFail.OIDCToken.IssuerNotMatch",
            "The issuer in the OIDC Token doesn't match the OIDC Provider registered.",
        ),
        (
            header(json!({ "kid": "key-2" })),
            "AuthenticationFail.OIDCToken.InvalidSignature",
            "OIDC token validate failed: invalid signature.",
        ),
        (
            header(json!({ "kid": "key-0" })),
            "AuthenticationFail.OIDCToken.InvalidSignature",
            "OIDC token validate failed: invalid signature.",
        ),
        (
            claim(json!({ "exp": NOW })),
            "AuthenticationFail.OIDCToken.Expired",
            "This JsonWebToken is expired.",
        ),
        (claim(json!({ "iat": NOW + 1 })), invalid, "This JsonWebToken is not valid yet."),
        (claim(json!({ "nbf": NOW + 1 })), invalid, "This JsonWebToken is not valid yet."),
        (claim(json!({ "iat": NOW - 12 * 3600 - 1 })), invalid, "This JsonWebToken was issued too long ago."),
        (
            claim(json!({ "aud": "another" })),
            "AuthenticationFail.OIDCToken.AudienceNotMatch",
            "Invalid audience.",
        ),
        (claim(json!({ "aud": [] })), "AuthenticationFail.OIDCToken.AudienceNotMatch", "Invalid audience."),
        (claim(json!({ "sub": "another" })), "AuthenticationFail.NoPermission", "There is no permission"),
    ] {
        let mut cloud = cloud(|_| {});
        let response = cloud.assume_with(
            NOW,
            &with_changes(issuer::header(), &header),
            &with_changes(issuer::claims(NOW), &claims),
        );
        assert_eq!(refusal(&response), (401, code.to_owned(), message.to_owned()), "{header} {claims}");
    }
}

#[test]
fn token_is_valid_at_its_time_limits_and_for_any_audience() {
    for claims in [
        json!({ "exp": NOW + 1 }),
        json!({ "nbf": NOW }),
        json!({ "iat": NOW - 12 * 3600 }),
        json!({ "aud": ["another", CLIENT] }),
    ] {
        let response =
            cloud(|_| {}).assume_with(NOW, &issuer::header(), &with_changes(issuer::claims(NOW), &claims));
        assert_eq!(response.status(), 200, "{claims}: {response:?}");
    }
}

#[test]
fn token_changed_after_signing_is_refused() {
    let token = issuer::token(&issuer::header(), &issuer::claims(NOW));
    let other = issuer::token(&issuer::header(), &with_changes(issuer::claims(NOW), &json!({ "jti": "2" })));
    let (text, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let response = cloud(|_| {}).assume(NOW, &[("OIDCToken", &format!("{text}.{signature}"))]);
    assert_eq!(refusal(&response).1, "AuthenticationFail.OIDCToken.InvalidSignature");
}

#[test]
fn each_provider_state_and_role_condition_has_its_refusal() {
    type Change = fn(&mut OidcProvider, &mut Role);
    let cases: [(Change, &str, &str); 6] = [
        (
            |provider, _| provider.state = ProviderState::FingerprintMismatch,
            "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch",
            "The https fingerprint of this discovery is invalid.",
        ),
        (
            |provider, _| provider.state = ProviderState::IssuerUnreachable,
            "AuthenticationFail.OIDCToken.IssuerConfigurationBroken",
            "Get public keys from OIDC Provider failed, the issuer is https://issuer.example.",
        ),
        (
            |provider, _| provider.state = ProviderState::HttpsChainInvalid,
            "AuthenticationFail.OIDCToken.HttpsUrlInvalid",
            "Invoke url failed due to certificate chain validation",
        ),
        (
            |_, role| role.audience = Some("another".to_owned()),
            "AuthenticationFail.NoPermission",
            "There is no permission",
        ),
        (
            |_, role| role.subject = Some("another".to_owned()),
            "AuthenticationFail.NoPermission",
            "There is no permission",
        ),
        (
            |provider, _| provider.issuer_url = "https://elsewhere.example".to_owned(),
            "AuthenticationFail.OIDCToken.IssuerNotMatch",
            "The issuer in the OIDC Token doesn't match the OIDC Provider registered.",
        ),
    ];
    for (change, code, message) in cases {
        let mut cloud = cloud(|_| {});
        let mut provider = cloud.0.oidc_provider(PROVIDER).unwrap().clone();
        let mut role = cloud.0.role(ROLE).unwrap().clone();
        change(&mut provider, &mut role);
        cloud.0.set_oidc_provider(provider).unwrap();
        cloud.0.set_role(role).unwrap();
        assert_eq!(refusal(&cloud.assume(NOW, &[])), (401, code.to_owned(), message.to_owned()));
    }
}

#[test]
fn role_trusts_only_its_own_provider() {
    let mut cloud = cloud(|_| {});
    let other = OidcProviderArn::from("acs:ram::6543210987654321:oidc-provider/other");
    cloud.0.set_oidc_provider(OidcProvider { arn: other.clone(), ..issuer::provider() }).unwrap();
    let response = cloud.assume(NOW, &[("OIDCProviderArn", other.as_str())]);
    assert_eq!(refusal(&response).1, "AuthenticationFail.NoPermission");
    cloud.0.set_role(Role { oidc_provider_arn: Some(other.clone()), ..issuer::role() }).unwrap();
    assert_eq!(cloud.assume(NOW, &[("OIDCProviderArn", other.as_str())]).status(), 200);
}

#[test]
fn timestamp_check_reports_the_server_time_and_can_be_disabled() {
    let mut cloud = cloud(|seed| seed.settings.clock_offset_ms = 3_600_000);
    let timestamp = acs_date(at(NOW));
    let parameters = [("Timestamp", timestamp.as_str())];
    let response = cloud.assume(NOW, &parameters);
    assert_eq!(refusal(&response).1, "InvalidTimeStamp.Expired");
    assert_eq!(response.headers()["date"], "Fri, 02 Jan 2026 13:00:00 GMT");
    cloud.0.change_settings(|settings| settings.sts_checks_timestamp = false);
    // By the server's clock, the token is one hour old too.
    assert_eq!(refusal(&cloud.assume(NOW, &parameters)).1, "AuthenticationFail.OIDCToken.Expired");
    let fresh = issuer::token(&issuer::header(), &issuer::claims(NOW + 3600));
    let response = cloud.assume(NOW, &[("Timestamp", &timestamp), ("OIDCToken", &fresh)]);
    assert_eq!(json_of(&response)["Credentials"]["Expiration"], "2026-01-02T14:00:00Z");
}

#[test]
fn session_policy_restricts_the_session() {
    let cases = [
        ("privatelink:*", r#""*""#, None, None),
        ("privatelink:List*", r#""*""#, None, Some("ImplicitDeny")),
        ("privatelink:Detach*", r#""*""#, Some("ImplicitDeny"), None),
        ("*", r#""acs:privatelink:*:*:vpcendpoint/*""#, None, Some("ImplicitDeny")),
        ("*", r#"["acs:privatelink:*:*:vpcendpoint/*", "acs:ecs:*:*:securitygroup/sg-?ld"]"#, None, None),
        (
            "*",
            r#"["acs:privatelink:*:*:vpcendpoint/*", "acs:ecs:*:*:securitygroup/sg-web"]"#,
            None,
            Some("ImplicitDeny"),
        ),
        (
            "*",
            r#"["acs:privatelink:eu-west-1:1234567890123456:vpcendpoint/ep-shop", "acs:ecs:*"]"#,
            None,
            None,
        ),
        ("*", r#""acs:*:us-*:*""#, Some("ImplicitDeny"), Some("ImplicitDeny")),
        ("*", r#""acs:*:*:6543210987654321:*""#, Some("ImplicitDeny"), Some("ImplicitDeny")),
        (
            r#"*", "Resource": "*"}, {"Effect": "Deny", "Action": "privatelink:Detach*"#,
            r#""*""#,
            None,
            Some("ExplicitDeny"),
        ),
    ];
    for (action, resource, listing, detaching) in cases {
        let policy = format!(
            r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Action": "{action}", "Resource": {resource}}}]}}"#
        );
        let mut cloud = cloud(|_| {});
        let session = cloud.session(&[("Policy", &policy)]);
        for (action, query, kind) in [(GROUPS, SHOP, listing), (DETACH, DETACH_OLD, detaching)] {
            let response = json_of(&cloud.call(NOW, &session, action, query));
            let expected = kind.map_or(Value::Null, |kind| {
                json!({
                    "AuthAction": format!("privatelink:{action}"),
                    "AuthPrincipalDisplayName": "detach:worker@test",
                    "AuthPrincipalType": "AssumedRoleUser",
                    "NoPermissionType": kind,
                    "PolicyType": "SessionPolicy",
                    "EncodedDiagnosticMessage": "simulated",
                })
            });
            assert_eq!(response["AccessDeniedDetail"], expected, "{policy}");
            assert_eq!(response["Code"].as_str(), kind.map(|_| "NoPermission"), "{policy}");
        }
    }
}

#[test]
fn listing_all_endpoints_needs_permission_for_all_endpoints() {
    for (endpoint, action, query, code) in [
        ("ep-shop", Action::ListVpcEndpoints, "RegionId=eu-west-1", Some("NoPermission")),
        ("ep-shop", Action::ListVpcEndpoints, SHOP, None),
        ("*", Action::ListVpcEndpoints, "RegionId=eu-west-1", None),
        ("*", Action::DescribeRegions, "", None),
    ] {
        let policy = format!(
            r#"{{"Version": "1", "Statement": [{{"Effect": "Allow", "Action": "*",
                "Resource": "acs:privatelink:*:*:vpcendpoint/{endpoint}"}}]}}"#
        );
        let mut cloud = cloud(|_| {});
        let session = cloud.session(&[("Policy", &policy)]);
        assert_eq!(cloud.code(NOW, &session, action, query).as_deref(), code, "{endpoint} {action} {query}");
    }
}

#[test]
fn actions_denied_to_a_role_are_denied_to_its_sessions() {
    let mut cloud = cloud(|seed| seed.roles[0].denied_actions = [DETACH].into());
    let session = cloud.session(&[]);
    assert_eq!(cloud.code(NOW, &session, DETACH, DETACH_OLD).as_deref(), Some("NoPermission"));
    assert_eq!(cloud.code(NOW, &session, GROUPS, SHOP), None);
    assert_eq!(cloud.code(NOW, &AccessKey::default(), DETACH, DETACH_OLD), None);
}

#[test]
fn version_must_match_the_product() {
    let mut cloud = cloud(|_| {});
    let mut code = |request: &Request<Bytes>| {
        json_of(&cloud.0.handle(request, at(NOW)).response)["Code"].as_str().unwrap().to_owned()
    };
    let oidc = |version| format!("/?Action=AssumeRoleWithOIDC&Version={version}");
    assert_eq!(code(&Request::get(oidc(VERSION)).body(Bytes::new()).unwrap()), "InvalidApi.NotFound");
    assert_eq!(
        code(&Request::get(oidc("2015-04-01")).body(Bytes::new()).unwrap()),
        "MissingParameter.RoleArn"
    );
    assert_eq!(code(&signed(NOW, &AccessKey::default(), GROUPS, SHOP, "2015-04-01")), "InvalidApi.NotFound");
    // Only `AssumeRoleWithOIDC` is accepted without a signature.
    let other = "/?Action=AssumeRole&Version=2015-04-01";
    assert_eq!(code(&Request::get(other).body(Bytes::new()).unwrap()), "IncompleteSignature");
}

#[test]
fn assume_role_call_is_subject_to_counts_journal_faults_and_quotas() {
    let mut cloud = cloud(|seed| {
        let window = Duration::from_mins(1);
        seed.quotas = BTreeMap::from([(ASSUME, Quota { calls: 1, window })]);
    });
    cloud.0.inject(Fault::on(ASSUME, Effect::code("InternalError")).nth(1));
    let code = |response: &Response<Bytes>| json_of(response)["Code"].as_str().map(str::to_owned);
    assert_eq!(code(&cloud.assume(NOW, &[])).as_deref(), Some("InternalError"));
    assert_eq!(code(&cloud.assume(NOW, &[])), None);
    assert_eq!(code(&cloud.assume(NOW, &[])).as_deref(), Some("Throttling.User"));
    assert_eq!(cloud.0.counts().of(ASSUME), 3);
    assert_eq!((cloud.0.counts().faults, cloud.0.counts().throttled), (1, 1));

    let entry = |executed, fault, status, code: Option<&str>| JournalEntry {
        at: at(NOW),
        action: Some("AssumeRoleWithOIDC".to_owned()),
        endpoint_id: None,
        security_group_id: None,
        client_token: None,
        dry_run: false,
        nonce: None,
        session_name: Some("worker@test".to_owned()),
        token_in_url: false,
        executed,
        fault,
        status: Some(status),
        code: code.map(str::to_owned),
    };
    let expected = [
        entry(false, true, 500, Some("InternalError")),
        entry(true, false, 200, None),
        entry(true, false, 400, Some("Throttling.User")),
    ];
    assert_eq!(cloud.0.journal(), expected);
}

#[test]
fn token_in_the_url_is_accepted_and_recorded() {
    let mut cloud = cloud(|_| {});
    let form = form(NOW, &[]);
    for request in [
        Request::get(format!("/?{ASSUME_QUERY}&{form}")).body(Bytes::new()).unwrap(),
        Request::post(format!("/?{ASSUME_QUERY}&{form}")).body(Bytes::new()).unwrap(),
    ] {
        assert_eq!(cloud.0.handle(&request, at(NOW)).response.status(), 200);
        assert!(cloud.0.journal().last().unwrap().token_in_url);
    }
    cloud.assume(NOW, &[]);
    assert!(!cloud.0.journal().last().unwrap().token_in_url);
}

#[test]
fn refusal_names_the_sts_troubleshooter_and_contains_no_token() {
    let token = issuer::token(&issuer::header(), &with_changes(issuer::claims(NOW), &json!({ "aud": "x" })));
    let body = json_of(&cloud(|_| {}).assume(NOW, &[("OIDCToken", &token)]));
    let request_id = body["RequestId"].as_str().unwrap();
    assert_eq!(
        body["Recommend"],
        format!(
            "https://api.alibabacloud.com/troubleshoot?q=AuthenticationFail.OIDCToken.AudienceNotMatch&product=Sts&requestId={request_id}"
        )
    );
    assert!(token.split('.').all(|part| !body.to_string().contains(part)));
}

#[test]
fn snapshot_contains_providers_roles_and_sessions() {
    let mut first = cloud(|_| {});
    let policy =
        r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "acs:ecs:*"}]}"#;
    let session = first.session(&[("Policy", policy)]);
    assert_eq!(session.session.as_ref().unwrap().policy, SessionPolicy::parse(policy));
    let json = serde_json::to_vec(&first.0.snapshot(at(NOW))).unwrap();
    let mut second = TestCloud(Cloud::new(Seed::from_json(&json).unwrap()).unwrap());
    assert_eq!(second.0.snapshot(at(NOW)), first.0.snapshot(at(NOW)));
    assert_eq!(second.code(NOW, &session, GROUPS, SHOP).as_deref(), Some("NoPermission"));
    assert_eq!(second.assume(NOW, &[]).status(), 200);
}

#[test]
fn invalid_provider_or_role_is_rejected_with_the_reason() {
    type Change = fn(&mut Seed);
    let cases: [(Change, &str); 15] = [
        (|seed| seed.oidc_providers[0].arn = ROLE.into(), "is not an OIDC provider"),
        (|seed| seed.oidc_providers[0].issuer_url = "http://a".to_owned(), "issuer_url"),
        (|seed| seed.oidc_providers[0].issuer_url = "https://a?b".to_owned(), "issuer_url"),
        (|seed| seed.oidc_providers[0].client_ids.clear(), "client_ids"),
        (|seed| seed.oidc_providers[0].issuance_limit_hours = 169, "issuance_limit_hours"),
        (|seed| seed.oidc_providers[0].jwks = json!({}), "missing field `keys`"),
        (|seed| seed.oidc_providers[0].jwks = json!({ "keys": [] }), "no RSA key for RS256"),
        (|seed| drop(seed.oidc_providers[0].jwks["keys"][1]["n"].take()), "needs kid, n and e"),
        (|seed| seed.oidc_providers[0].jwks["keys"][1]["n"] = "AQAB".into(), "between 2048 and 8192 bits"),
        (|seed| seed.oidc_providers.push(seed.oidc_providers[0].clone()), "issuer is listed twice"),
        (
            |seed| {
                let arn = "acs:ram::1234567890123456:oidc-provider/second".into();
                seed.oidc_providers.push(OidcProvider { arn, ..issuer::provider() });
            },
            "has the same issuer",
        ),
        (|seed| seed.roles[0].arn = PROVIDER.into(), "is not a role"),
        (|seed| seed.roles[0].max_session_duration_seconds = 900, "3600 to 43200"),
        (|seed| seed.roles.push(issuer::role()), "detach is listed twice"),
        (|seed| seed.oidc_providers.clear(), "not among the oidc_providers"),
    ];
    for (change, reason) in cases {
        let mut seed = seed();
        change(&mut seed);
        let message = seed.check().unwrap_err().to_string();
        assert!(message.contains(reason), "{reason}: {message}");
    }
    let mut cloud = cloud(|_| {});
    assert!(cloud.0.set_oidc_provider(OidcProvider { client_ids: vec![], ..issuer::provider() }).is_err());
    assert!(cloud.0.set_role(Role::new(ROLE, "acs:ram::1:oidc-provider/none")).is_err());
    assert_eq!(cloud.assume(NOW, &[]).status(), 200);
}

/// A cloud with helper methods for calls.
struct TestCloud(Cloud);

impl TestCloud {
    fn assume(&mut self, second: u64, parameters: &[(&str, &str)]) -> Response<Bytes> {
        let request = Request::post(format!("/?{ASSUME_QUERY}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form(second, parameters)))
            .unwrap();
        self.0.handle(&request, at(second)).response
    }

    fn assume_with(&mut self, second: u64, header: &Value, claims: &Value) -> Response<Bytes> {
        self.assume(second, &[("OIDCToken", &issuer::token(header, claims))])
    }

    /// Assumes the role and returns the access key of the new session.
    fn session(&mut self, parameters: &[(&str, &str)]) -> AccessKey {
        let response = self.assume(NOW, parameters);
        assert_eq!(response.status(), 200, "{response:?}");
        let id = json_of(&response)["Credentials"]["AccessKeyId"].clone();
        self.0.sessions().find(|key| key.access_key_id.as_str() == id).unwrap().clone()
    }

    fn call(&mut self, second: u64, key: &AccessKey, action: Action, query: &str) -> Response<Bytes> {
        self.0.handle(&signed(second, key, action, query, action.version()), at(second)).response
    }

    fn code(&mut self, second: u64, key: &AccessKey, action: Action, query: &str) -> Option<String> {
        json_of(&self.call(second, key, action, query))["Code"].as_str().map(str::to_owned)
    }
}

const ASSUME_QUERY: &str = "Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON";

/// The form of a correct call, with these parameters instead of the defaults; `-` omits one.
fn form(second: u64, parameters: &[(&str, &str)]) -> String {
    let (token, timestamp) =
        (issuer::token(&issuer::header(), &issuer::claims(second)), acs_date(at(second)));
    let mut values = BTreeMap::from([
        ("Timestamp", timestamp.as_str()),
        ("RoleArn", ROLE),
        ("OIDCProviderArn", PROVIDER),
        ("OIDCToken", &token),
        ("RoleSessionName", "worker@test"),
    ]);
    values.extend(parameters.iter().copied());
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let values = values.into_iter().filter(|(_, value)| *value != "-");
    let pairs: Vec<_> = values.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

fn signed(second: u64, key: &AccessKey, action: Action, query: &str, version: &str) -> Request<Bytes> {
    let mut request = Request::post(format!("/?{query}"))
        .header("host", "privatelink.test")
        .header("x-acs-action", action.name())
        .header("x-acs-version", version)
        .header("x-acs-date", acs_date(at(second)))
        .header("x-acs-signature-nonce", format!("{second} {action} {query} {}", key.access_key_id))
        .body(Bytes::new())
        .unwrap();
    if let Some(token) = &key.security_token {
        request.headers_mut().insert("x-acs-security-token", HeaderValue::try_from(token).unwrap());
    }
    sign(&mut request, key.access_key_id.as_str(), &key.access_key_secret);
    request
}

fn cloud(change: impl FnOnce(&mut Seed)) -> TestCloud {
    let mut seed = seed();
    change(&mut seed);
    TestCloud(Cloud::new(seed).unwrap())
}

fn seed() -> Seed {
    Seed {
        settings: Settings::default(),
        oidc_providers: vec![issuer::provider()],
        roles: vec![issuer::role()],
        endpoints: vec![Endpoint::new("eu-west-1", "ep-shop", ["sg-old", "sg-web"])],
        ..Seed::default()
    }
}

fn with_changes(mut value: Value, change: &Value) -> Value {
    for (name, new) in change.as_object().unwrap() {
        value[name] = new.clone();
    }
    value
}

fn refusal(response: &Response<Bytes>) -> (u16, String, String) {
    let body = json_of(response);
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (response.status().as_u16(), text("Code"), text("Message"))
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}
