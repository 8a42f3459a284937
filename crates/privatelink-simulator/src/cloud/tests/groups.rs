//! The security groups of a region, as ECS lists them.

use super::*;
use crate::seed::{SecurityGroupRecord, SecurityGroupType};

const DESCRIBE: Action = Action::DescribeSecurityGroups;

#[test]
fn groups_exist_where_they_are_used_and_elsewhere_if_they_are_not() {
    let mut cloud = groups_cloud(|_| {});
    assert_eq!(cloud.listed("RegionId=eu-west-1"), ["sg-1", "sg-2", "sg-9"]);
    assert_eq!(cloud.listed("RegionId=us-east-1"), ["sg-3", "sg-9"]);
    assert_eq!(cloud.listed("RegionId=cn-beijing"), ["sg-9"]);
    assert!(cloud.0.detach_now("ep-a", "sg-1", at(1)));
    assert_eq!(cloud.listed("RegionId=eu-west-1"), ["sg-1", "sg-2", "sg-9"], "a detached group still exists");
    assert!(cloud.0.attach_now("ep-b", "sg-8", at(1)));
    assert_eq!(cloud.listed("RegionId=us-east-1&SecurityGroupId=sg-8"), ["sg-8"]);
    assert_eq!(cloud.listed("RegionId=eu-west-1&SecurityGroupId=sg-8"), [""; 0]);
}

#[test]
fn requested_groups_are_listed_with_their_fields() {
    let mut cloud = groups_cloud(|_| {});
    let ids = "SecurityGroupIds=%5B%22sg-3%22%2C%22sg-none%22%2C%22sg-SG-3%22%5D";
    let mut listed = cloud.read(0, DESCRIBE, &format!("RegionId=us-east-1&{ids}"));
    assert!(listed["RequestId"].take().is_string());
    let group = json!({
        "SecurityGroupId": "sg-3", "SecurityGroupName": "", "SecurityGroupType": "normal", "Description": "",
        "VpcId": "vpc-b", "ServiceManaged": false, "Tags": { "Tag": [] },
    });
    assert_eq!(
        listed,
        json!({
            "RequestId": null, "RegionId": "us-east-1", "NextToken": "", "TotalCount": 1,
            "SecurityGroups": { "SecurityGroup": [group] },
        })
    );
}

#[test]
fn record_of_a_group_has_its_vpc_and_type() {
    let record = SecurityGroupRecord {
        vpc_id: Some("vpc-a".to_owned()),
        security_group_type: SecurityGroupType::Enterprise,
    };
    let mut cloud = groups_cloud(|seed| seed.security_group_records = [("sg-9".into(), record)].into());
    let listed = cloud.read(0, DESCRIBE, "RegionId=cn-beijing");
    let group = &listed["SecurityGroups"]["SecurityGroup"][0];
    assert_eq!((&group["VpcId"], &group["SecurityGroupType"]), (&json!("vpc-a"), &json!("enterprise")));
}

#[test]
fn pages_together_contain_every_group_and_only_the_first_has_a_total() {
    let mut cloud = groups_cloud(|_| {});
    let first = cloud.read(0, DESCRIBE, "RegionId=eu-west-1&MaxResults=2");
    assert_eq!((ids(&first), &first["TotalCount"]), (vec!["sg-1", "sg-2"], &json!(3)));
    let token = first["NextToken"].as_str().unwrap();
    let last = cloud.read(0, DESCRIBE, &format!("RegionId=eu-west-1&MaxResults=2&NextToken={token}"));
    assert_eq!((ids(&last), &last["NextToken"], last.get("TotalCount")), (vec!["sg-9"], &json!(""), None));
}

#[test]
fn invalid_call_is_refused() {
    let mut cloud = groups_cloud(|_| {});
    let many: Vec<_> = (0..=100).map(|number| format!("sg-{number}")).collect();
    let many = format!("RegionId=eu-west-1&SecurityGroupIds={}", json!(many));
    for (query, code) in [
        ("RegionId=mars-1", "InvalidRegionId.NotFound"),
        ("RegionId=eu-west-1&SecurityGroupIds=sg-1", "InvalidParameter"),
        ("RegionId=eu-west-1&SecurityGroupIds=%5B7%5D", "InvalidParameter"),
        ("RegionId=eu-west-1&MaxResults=101", "InvalidParameter"),
        (&many.replace('"', "%22"), "InvalidParameter"),
    ] {
        assert_eq!(cloud.code(0, DESCRIBE, query).as_deref(), Some(code), "{query}");
    }
}

#[test]
fn denial_is_that_of_ecs() {
    let mut cloud = groups_cloud(|seed| seed.access_keys[0].denied_actions = [DESCRIBE].into());
    let response = cloud.call(0, DESCRIBE, "RegionId=eu-west-1");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((response.status().as_u16(), &body["Code"]), (403, &json!("Forbidden.RAM")));
    assert_eq!(body["AccessDeniedDetail"]["AuthAction"], "ecs:DescribeSecurityGroups");
    assert!(body["Recommend"].as_str().unwrap().contains("product=Ecs"), "{body}");
    assert_eq!(cloud.code(0, ENDPOINTS, ""), None, "other actions are not denied");
}

#[test]
fn faults_change_pages_of_groups() {
    let mut cloud = groups_cloud(|_| {});
    for (effect, expected) in [
        (Effect::OverstatedTotal { by: 2 }, json!([["sg-1", "sg-2", "sg-9"], 5])),
        (Effect::EmptyList, json!([[], 0])),
        (
            Effect::ItemField { field: "SecurityGroupId".to_owned(), value: "sg-x".to_owned() },
            json!([["sg-x", "sg-x", "sg-x"], 3]),
        ),
    ] {
        cloud.0.inject(Fault::on(DESCRIBE, effect).next(1));
        let listed = cloud.read(0, DESCRIBE, "RegionId=eu-west-1");
        assert_eq!(json!([ids(&listed), listed["TotalCount"]]), expected);
    }
    cloud.0.inject(Fault::on(DESCRIBE, Effect::code("Throttling.User")).next(1));
    assert_eq!(cloud.code(0, DESCRIBE, "").as_deref(), Some("Throttling.User"));
    assert_eq!(cloud.0.counts().of(DESCRIBE), 4);
}

impl TestCloud {
    fn listed(&mut self, query: &str) -> Vec<String> {
        ids(&self.read(2, DESCRIBE, query)).into_iter().map(str::to_owned).collect()
    }
}

fn ids(listed: &Value) -> Vec<&str> {
    let groups = listed["SecurityGroups"]["SecurityGroup"].as_array().unwrap();
    groups.iter().map(|group| group["SecurityGroupId"].as_str().unwrap()).collect()
}

/// Groups `sg-1` and `sg-2` are used in `eu-west-1`, `sg-3` is in `us-east-1`, `sg-9` is not used.
fn groups_cloud(change: impl FnOnce(&mut Seed)) -> TestCloud {
    let mut seed = seed(|_| {});
    let other = Endpoint::new("us-east-1", "ep-b", ["sg-3"]);
    seed.endpoints.push(Endpoint { vpc_id: Some("vpc-b".to_owned()), ..other });
    change(&mut seed);
    TestCloud(Cloud::new(seed).unwrap())
}
