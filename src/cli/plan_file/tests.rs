use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::alibaba::records::{GroupStatus, SecurityGroup, Tag};
use crate::detach::ReasonCode;
use crate::request::{EndpointId, RegionId, SecurityGroupId};
use crate::sweep::Region;

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_330_812) + Duration::from_millis(millis)
}

fn reference(endpoint_id: &str, blocked_by: Option<ReasonCode>) -> Reference {
    let group = |id: &str, status| SecurityGroup { id: id.to_owned(), status };
    Reference {
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse(endpoint_id).unwrap(),
        endpoint_name: Some("web".to_owned()),
        vpc_id: None,
        security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        status: GroupStatus::Attaching,
        security_groups: vec![group("sg-a", GroupStatus::Attaching), group("sg-x", GroupStatus::Detaching)],
        blocked_by,
        replacement_security_group_id: None,
    }
}

/// A plan with one entry in each list.
fn plan_file() -> PlanFile {
    let region = Region { endpoints_read: 3, endpoints_skipped: 1, ..Region::default() };
    let tags = vec![Tag { key: "env".to_owned(), value: "prod".to_owned() }];
    let plan = Plan {
        regions: BTreeMap::from([(RegionId::parse("eu-west-1").unwrap(), region)]),
        references: vec![reference("ep-a", None), reference("ep-b", Some(ReasonCode::ProtectedEndpoint))],
        completed_at: at(8431),
        ..Plan::new(vec![SecurityGroupId::parse("sg-a").unwrap()], at(0))
    };
    PlanFile {
        account_id: "1234567890123456".to_owned(),
        arn: "acs:ram::1234567890123456:user/operator".to_owned(),
        filter: EndpointFilter { vpc_id: Some("vpc-1".to_owned()), tags, ..EndpointFilter::default() },
        max_detaches: 1,
        plan,
    }
}

/// The error of a plan with this value in one place; a missing place is added.
fn error(pointer: &str, value: Value) -> String {
    let mut plan: Value = serde_json::from_str(&plan_file().to_json()).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match plan.pointer_mut(parent).unwrap() {
        Value::Array(list) => match name.parse::<usize>().unwrap() {
            at if at < list.len() => list[at] = value,
            _ => list.push(value),
        },
        object => object[name] = value,
    }
    PlanFile::parse(&plan.to_string()).expect_err(pointer).to_string()
}

/// A directory of one test's own.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("plan-file-{name}-{}", std::process::id()));
    fs::remove_dir_all(&path).ok();
    fs::create_dir(&path).unwrap();
    path
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn plan_that_was_written_is_read_unchanged() {
    let directory = directory("unchanged");
    let path = directory.join("plan.json");
    NewPlanFile::create(&path, 1).unwrap().finish(&plan_file()).unwrap();
    assert_eq!(PlanFile::read(&path).unwrap(), plan_file());
    assert_eq!(names(&directory), ["plan.json"], "no temporary file is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn replacement_is_in_the_file_only_where_a_group_is_replaced() {
    let mut plan = plan_file();
    assert!(!plan.to_json().contains("replacement"), "a plan without one is as earlier versions wrote it");
    let id = "replacement_security_group_id";
    plan.plan.references[0].replacement_security_group_id = SecurityGroupId::parse("sg-spare");
    let json: Value = serde_json::from_str(&plan.to_json()).unwrap();
    assert_eq!((&json["references"][0][id], &json["blocked"][0][id]), (&json!("sg-spare"), &Value::Null));
    assert_eq!(PlanFile::parse(&plan.to_json()).unwrap(), plan);
}

#[test]
fn existing_file_is_never_replaced() {
    let directory = directory("existing");
    let path = directory.join("plan.json");
    let late = NewPlanFile::create(&path, 1).unwrap();
    fs::write(&path, "mine").unwrap();
    let early = NewPlanFile::create(&path, 2).unwrap_err();
    assert!(matches!(early, PlanFileError::Exists(_)), "{early}");
    let error = late.finish(&plan_file()).unwrap_err();
    assert!(matches!(error, PlanFileError::Exists(_)), "another process created it meanwhile: {error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(names(&directory), ["plan.json"]);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn file_that_is_not_finished_leaves_nothing() {
    let directory = directory("unfinished");
    drop(NewPlanFile::create(&directory.join("plan.json"), 1).unwrap());
    assert_eq!(names(&directory), [""; 0]);
    let error = NewPlanFile::create(&directory.join("none/plan.json"), 1).unwrap_err();
    assert!(matches!(error, PlanFileError::Create { .. }), "{error}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn error_names_the_file_and_the_field() {
    let directory = directory("invalid");
    let path = directory.join("plan.json");
    let error = PlanFile::read(&path).unwrap_err();
    assert!(matches!(error, PlanFileError::Read { .. }), "{error}");
    fs::write(&path, plan_file().to_json().replace("\"ep-b\"", "\"vpc-b\"")).unwrap();
    let error = PlanFile::read(&path).unwrap_err().to_string();
    let expected = format!(
        "{} is not a valid plan: blocked[0].endpoint_id must be an endpoint id: ep- and 1 to 61 letters, digits, _ or -",
        path.display()
    );
    assert_eq!(error, expected);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn every_invalid_field_is_named() {
    let two_groups = json!([{ "security_group_id": "sg-x", "status": "Attached" }]);
    for (pointer, value, field) in [
        ("/version", json!("2"), "version"),
        ("/version", json!(1), "version"),
        ("/account_id", json!("me"), "account_id"),
        ("/arn", json!("arn:aws"), "arn"),
        ("/security_group_ids", json!([]), "security_group_ids"),
        ("/security_group_ids/0", json!("vpc-a"), "security_group_ids[0]"),
        ("/security_group_ids/1", json!("sg-a"), "security_group_ids[1] is listed twice"),
        ("/security_groups_found", json!("yes"), "security_groups_found"),
        ("/security_groups_found", json!(false), "verdict contradicts"),
        ("/region_ids", json!([]), "region_ids"),
        ("/region_ids/0", json!("evil.com/#"), "region_ids[0]"),
        ("/region_ids/1", json!("eu-west-2"), "endpoints_read must have exactly the regions"),
        ("/scope", json!("some"), "scope"),
        ("/scope", json!({}), "scope"),
        ("/scope/tags", json!({}), "scope.tags"),
        ("/scope/tags/env", json!(1), "scope.tags.env"),
        ("/scope/vpc", json!("vpc-1"), "scope.vpc is not a field"),
        ("/max_detaches", json!(-1), "max_detaches"),
        ("/max_detaches", json!(0), "verdict contradicts"),
        ("/max_detaches", Value::Null, "max_detaches"),
        ("/verdict", json!("no_references"), "verdict contradicts"),
        ("/verdict", json!("over_limit"), "verdict contradicts"),
        ("/started_at", json!("2026-11-22T07:00:12Z"), "started_at"),
        ("/started_at", json!("2027-11-22T07:00:12.000Z"), "completed_at must not be before"),
        ("/completed_at", json!("tomorrow"), "completed_at"),
        ("/endpoints_read/eu-west-1", json!(0.5), "endpoints_read.eu-west-1"),
        ("/endpoints_read/eu-west-1", json!(u64::MAX), "endpoints_read.eu-west-1"),
        ("/endpoints_read/eu-west-1", json!(0), "verdict contradicts"),
        ("/endpoints_skipped", json!({}), "endpoints_skipped"),
        ("/references_count", json!(2), "references has 1 entries"),
        ("/blocked_count", json!(0), "blocked has 1 entries"),
        ("/references/0", json!("ep-a"), "references[0]"),
        ("/references/0/region_id", json!("eu-west-2"), "references[0].region_id"),
        ("/references/0/endpoint_name", json!(7), "references[0].endpoint_name"),
        ("/references/0/security_group_id", json!("sg-x"), "references[0].security_group_id"),
        ("/references/0/status", json!("attached"), "references[0].status"),
        ("/references/0/status", json!("Attached"), "references[0].security_groups"),
        ("/references/0/security_groups", two_groups, "references[0].security_groups"),
        ("/references/0/security_groups/0/id", json!("sg-a"), "references[0].security_groups[0].id"),
        ("/references/0/blocked_by", Value::Null, "references[0].blocked_by is not a field"),
        (
            "/references/0/replacement_security_group_id",
            json!("vpc-a"),
            "references[0].replacement_security_group_id",
        ),
        (
            "/references/0/replacement_security_group_id",
            Value::Null,
            "references[0].replacement_security_group_id",
        ),
        (
            "/blocked/0/replacement_security_group_id",
            json!("sg-s"),
            "blocked[0].replacement_security_group_id is not a field",
        ),
        ("/blocked/0/blocked_by", json!("Other"), "blocked[0].blocked_by"),
        ("/blocked/0/endpoint_id", json!("ep-a"), "blocked[0].endpoint_id is listed twice"),
        ("/comment", json!("x"), "comment is not a field"),
    ] {
        let error = error(pointer, value.clone());
        assert!(error.starts_with(field), "{pointer} = {value}: {error}");
    }
}

#[test]
fn missing_and_repeated_fields_are_named() {
    let plan: Value = serde_json::from_str(&plan_file().to_json()).unwrap();
    for name in plan.as_object().unwrap().keys() {
        let mut less = plan.clone();
        less.as_object_mut().unwrap().remove(name);
        let error = PlanFile::parse(&less.to_string()).expect_err(name).to_string();
        assert_eq!(error, format!("{name} is missing"));
    }
    let text = plan_file().to_json().replacen("\"arn\"", "\"max_detaches\": 9, \"arn\"", 1);
    assert_eq!(PlanFile::parse(&text).unwrap_err().to_string(), "max_detaches is given twice");
}

#[test]
fn file_that_was_cut_off_anywhere_is_rejected() {
    let text = plan_file().to_json();
    for end in 0..text.trim_end().len() {
        let error = PlanFile::parse(&text[..end]).expect_err("it is cut off").to_string();
        assert!(error.starts_with("the file is "), "{end}: {error}");
    }
    for other in ["[]", "null", "{} {}", "\u{1b}"] {
        assert!(PlanFile::parse(other).is_err(), "{other}");
    }
}

#[test]
fn plan_is_valid_for_a_day() {
    let plan = plan_file();
    let completed_at = plan.plan.completed_at;
    let (day, minutes, second) = (Duration::from_hours(24), Duration::from_mins(5), Duration::from_secs(1));
    for at in [completed_at, completed_at + day, completed_at - minutes] {
        assert_eq!(plan.check_age(at), Ok(()));
    }
    let date = "2026-11-22T07:00:20Z".to_owned();
    assert_eq!(plan.check_age(completed_at + day + second), Err(AgeError::TooOld(date.clone())));
    assert_eq!(plan.check_age(completed_at - minutes - second), Err(AgeError::FromTheFuture(date)));
}
