use serde_json::json;

use super::*;

/// Before the session of the profile `sso` ends.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)
}

const ROLE: &str = "acs:ram::1:role/r";
const MIDDLE: &str = "acs:ram::1:role/middle";
const PROVIDER: &str = "acs:ram::1:oidc-provider/p";

/// One profile of each kind; values that no message may have contain `s3cret`.
fn profiles() -> Vec<Value> {
    let key = |name: &str, mode: &str, more: Value| {
        let mut profile = json!({ "name": name, "mode": mode, "access_key_id": "s3cret-id",
            "access_key_secret": "s3cret", "language": "en", "retry_timeout": 10 });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        profile
    };
    let role = |arn: &str| json!({ "ram_role_arn": arn, "ram_session_name": "me@laptop" });
    let chained = |name: &str, arn: &str, source: &str| json!({ "name": name, "mode": "ChainableRamRoleArn", "ram_role_arn": arn, "source_profile": source });
    vec![
        key("ak", "AK", json!({ "region_id": "eu-west-1", "sts_token": "" })),
        key("sts", "ststoken", json!({ "sts_token": "s3cret-token" })),
        key("role", "RamRoleArn", role(ROLE)),
        key("middle", "RamRoleArn", role(MIDDLE)),
        chained("chained", ROLE, "middle"),
        chained("from-sso", ROLE, "sso"),
        json!({ "name": "oidc", "mode": "OIDC", "oidc_provider_arn": PROVIDER, "oidc_token_file": "/run/token",
            "ram_role_arn": ROLE, "role_session_name": "me@laptop", "sts_region": "cn-hangzhou" }),
        key("sso", "CloudSSO", json!({ "sts_token": "s3cret-token", "sts_expiration": 2_000 })),
        key("oauth", "OAuth", json!({ "sts_token": "s3cret-token", "sts_expiration": 2_000 })),
    ]
}

fn read_of(profiles: &[Value], name: Option<&str>) -> Result<Profile, Unusable> {
    read(json!({ "current": "ak", "profiles": profiles }).to_string().as_bytes(), name, now())
}

/// The source of a profile, with one field changed; `null` removes it.
fn changed(name: &str, field: &str, value: Value) -> Result<Profile, Unusable> {
    let mut profiles = profiles();
    let profile = profiles.iter_mut().find(|profile| profile["name"] == name).unwrap();
    profile[field] = value;
    read_of(&profiles, Some(name))
}

fn credentials(token: Option<&str>) -> Credentials {
    Credentials::new("s3cret-id".into(), "s3cret".into(), token.map(Into::into))
}

fn role_of(arn: &str, session_name: &str, assumed_with: Source) -> Source {
    Source::Role(Box::new(AssumedRole {
        assumed_with,
        role_arn: arn.into(),
        session_name: session_name.into(),
        duration: Duration::from_hours(1),
        external_id: None,
        sts_url: None,
    }))
}

/// The role of a profile, for the fields that only some have.
fn role_with(name: &str, field: &str, value: Value) -> AssumedRole {
    match changed(name, field, value).unwrap().source {
        Source::Role(role) => *role,
        other => unreachable!("{}", matches!(other, Source::Fixed(_))),
    }
}

#[test]
fn every_supported_mode_is_a_source() {
    let session = || Source::Session {
        credentials: credentials(Some("s3cret-token")),
        ends_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000),
    };
    let fixed = || Source::Fixed(credentials(None));
    let oidc = Source::Oidc {
        role: OidcRole {
            role_arn: ROLE.into(),
            oidc_provider_arn: PROVIDER.into(),
            token_file: "/run/token".into(),
            session_name: "me@laptop".into(),
        },
        sts_url: BaseUrl::sts_in(&RegionId::parse("cn-hangzhou").unwrap()).into(),
    };
    let middle = role_of(MIDDLE, "me@laptop", fixed());
    for (name, source, description) in [
        ("ak", fixed(), "AK".to_owned()),
        ("sts", Source::Fixed(credentials(Some("s3cret-token"))), "StsToken".to_owned()),
        ("role", role_of(ROLE, "me@laptop", fixed()), format!("RamRoleArn {ROLE}")),
        ("chained", role_of(ROLE, "privatelink-detach", middle), format!("ChainableRamRoleArn {ROLE}")),
        ("from-sso", role_of(ROLE, "privatelink-detach", session()), format!("ChainableRamRoleArn {ROLE}")),
        ("oidc", oidc, format!("OIDC {ROLE}")),
        ("sso", session(), "CloudSSO".to_owned()),
        ("oauth", session(), "OAuth".to_owned()),
    ] {
        let profile = read_of(&profiles(), Some(name)).unwrap();
        assert!(profile.source == source, "{name}");
        assert_eq!((profile.name.as_str(), profile.description), (name, description));
    }
}

#[test]
fn current_profile_is_used_without_a_name() {
    let profile = read_of(&profiles(), None).unwrap();
    assert_eq!((profile.name.as_str(), profile.region_id), ("ak", RegionId::parse("eu-west-1")));
    for file in
        [json!({ "profiles": profiles() }), json!({ "current": "", "profiles": profiles() }), json!([])]
    {
        let error = read(file.to_string().as_bytes(), None, now()).unwrap_err();
        assert!(error.problem.contains("`current`"), "{error}");
    }
}

#[test]
fn optional_fields_of_a_role_are_read() {
    let credentials = Source::Fixed(credentials(Some("s3cret-token")));
    assert!(role_with("role", "sts_token", json!("s3cret-token")).assumed_with == credentials);
    assert_eq!(role_with("role", "external_id", json!("e-1")).external_id.as_deref(), Some("e-1"));
    for (name, seconds, duration) in [
        ("role", json!(900), 900),
        ("role", json!(43_200), 43_200),
        ("role", json!(0), 3_600),
        ("chained", json!(900), 900),
        ("chained", json!(43_200), 3_600),
        ("from-sso", json!(43_200), 3_600),
    ] {
        let role = role_with(name, "expired_seconds", seconds);
        assert_eq!(role.duration, Duration::from_secs(duration), "{name} {duration}");
    }
}

#[test]
fn address_of_sts_is_the_endpoint_or_that_of_the_region() {
    let host = |endpoint: &str, region: &str| {
        let mut profile = profiles().remove(2);
        (profile["sts_endpoint"], profile["sts_region"]) = (json!(endpoint), json!(region));
        read_of(&[profile], Some("role"))
            .unwrap()
            .sts_url
            .map(|url| format!("{}://{}", url.scheme, url.authority))
    };
    assert_eq!(host("", ""), None);
    let regional = Some("https://sts.eu-central-1.aliyuncs.com".to_owned());
    assert_eq!(host("", "eu-central-1"), regional);
    let vpc = Some("https://sts-vpc.eu-central-1.aliyuncs.com".to_owned());
    assert_eq!(host("sts-vpc.eu-central-1.aliyuncs.com", "eu-west-1"), vpc);
    assert_eq!(host("https://sts-vpc.eu-central-1.aliyuncs.com/", ""), vpc);
}

#[test]
fn ended_session_is_an_error_that_says_how_to_renew_it() {
    for (name, mode) in [("sso", "CloudSSO"), ("oauth", "OAuth")] {
        for expiration in [json!(1_000), json!(0), Value::Null] {
            let error = changed(name, "sts_expiration", expiration).unwrap_err();
            let renewal = format!("aliyun sts GetCallerIdentity --profile {name}`");
            let login = format!("aliyun configure --mode {mode} --profile {name}`");
            assert!(error.advice.contains(&renewal) && error.advice.contains(&login), "{error}");
        }
        let error = changed(name, "sts_expiration", json!(999)).unwrap_err();
        assert!(error.problem.ends_with("has a session that ended at 1970-01-01T00:16:39Z"), "{error}");
        assert!(changed(name, "sts_expiration", json!(1_001)).is_ok());
    }
    let mut profiles = profiles();
    profiles.iter_mut().find(|profile| profile["name"] == "sso").unwrap()["sts_expiration"] = json!(5);
    let error = read_of(&profiles, Some("from-sso")).unwrap_err();
    assert!(error.problem.contains("`sso`"), "{error}");
}

#[test]
fn other_modes_are_errors_that_say_what_to_do() {
    for (mode, advice) in [
        ("CredentialsURI", "credentials_uri"),
        ("external", "process_command"),
        ("EcsRamRole", "metadata service"),
        ("RsaKeyPair", "deprecated"),
        ("RamRoleArnWithRoleName", "deprecated"),
        ("BearerToken", "RamRoleArn"),
        ("\u{1b}[31m", "RamRoleArn"),
    ] {
        let error = changed("ak", "mode", json!(mode)).unwrap_err();
        assert!(error.problem.contains("has the mode") && error.advice.contains(advice), "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

#[test]
fn missing_or_invalid_field_is_named_and_its_value_is_not_shown() {
    for (name, field, values) in [
        ("ak", "mode", &[json!(""), json!(1)][..]),
        ("ak", "access_key_id", &[json!(""), json!(["s3cret"]), json!("s3cret ")]),
        ("ak", "access_key_secret", &[Value::Null, json!("s3crét")]),
        ("ak", "region_id", &[json!("s3cret"), json!(1)]),
        ("sts", "sts_token", &[Value::Null, json!("s3cret\n")]),
        ("role", "ram_role_arn", &[Value::Null, json!("s3cret"), json!("acs:ram::1:user/s3cret")]),
        ("role", "ram_session_name", &[json!("s3cret:x"), json!("s")]),
        ("role", "expired_seconds", &[json!(899), json!(43_201), json!("s3cret"), json!(-1)]),
        ("role", "sts_endpoint", &[json!("s3cret@host"), json!("http://s3cret"), json!("s3cret/path")]),
        ("role", "sts_region", &[json!("s3cret")]),
        ("chained", "source_profile", &[Value::Null]),
        ("oidc", "oidc_provider_arn", &[Value::Null, json!(ROLE)]),
        ("oidc", "oidc_token_file", &[Value::Null]),
        ("oidc", "role_session_name", &[json!("s3cret:x")]),
        ("sso", "sts_token", &[Value::Null]),
        ("sso", "sts_expiration", &[json!("s3cret")]),
    ] {
        for value in values {
            let error = changed(name, field, value.clone()).unwrap_err();
            let text = format!("{error:?}");
            assert!(text.contains(&format!("`{field}`")) && text.contains(&format!("`{name}`")), "{text}");
            assert!(text.contains(FILE) && !text.contains("s3cr") && !error.advice.is_empty(), "{text}");
        }
    }
}

#[test]
fn missing_profile_is_named() {
    for name in ["none", ""] {
        let error = read_of(&profiles(), Some(name)).unwrap_err();
        assert_eq!(error.problem, format!("there is no profile `{name}` in ~/.aliyun/config.json"));
    }
    let error = changed("chained", "source_profile", json!("none")).unwrap_err();
    assert!(error.problem.contains("`none`"), "{error}");
}

#[test]
fn file_that_is_no_json_is_an_error_without_its_text() {
    for text in [&b"{ \"s3cret\": s3cret }"[..], b"", b"s3cret", b"\xff"] {
        let error = read(text, None, now()).unwrap_err();
        assert!(error.problem.contains("not valid JSON at line"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let text = format!("\u{feff}{}", json!({ "current": "ak", "profiles": profiles() }));
    assert!(read(text.as_bytes(), None, now()).is_ok(), "a byte order mark is skipped");
}

#[test]
fn other_profiles_of_the_file_do_not_matter() {
    let mut all = vec![json!(null), json!("x"), json!({ "name": 1 }), json!({ "name": "x", "mode": [] })];
    all.extend(profiles());
    assert!(read_of(&all, Some("chained")).is_ok());
}

#[test]
fn cycle_and_too_long_a_chain_are_errors() {
    let link = |name: String, source: String| json!({ "name": name, "mode": "ChainableRamRoleArn", "ram_role_arn": ROLE, "source_profile": source });
    let own = [link("a".into(), "a".into())];
    assert!(read_of(&own, Some("a")).unwrap_err().problem.contains("its own source_profile"));
    let cycle = [link("a".into(), "b".into()), link("b".into(), "a".into())];
    assert!(read_of(&cycle, Some("a")).unwrap_err().problem.contains("its own source_profile"));

    let chain = |roles: usize| {
        let mut all = profiles();
        all.extend((0..roles).map(|n| {
            let source = if n + 1 == roles { "ak".to_owned() } else { format!("link-{}", n + 1) };
            link(format!("link-{n}"), source)
        }));
        read_of(&all, Some("link-0"))
    };
    assert!(chain(CHAIN_LENGTH_MAX - 1).is_ok());
    let error = chain(CHAIN_LENGTH_MAX).unwrap_err();
    assert!(error.problem.contains("more than 5 profiles"), "{error}");
}
