//! Alibaba Cloud's ECS, which owns the security groups: which of them exist in a region.
//!
//! Pure: it builds the parameters of a call and parses its response.

use std::borrow::Cow;

use serde::Deserialize;

use super::pages::{Bounds, Identified, Page};
use super::response::{Verdict, is_short, page};
use crate::json::{Object, bytes_without_byte_order_mark};
use crate::request::{RegionId, SecurityGroupId};

/// The product's name in its host names.
pub const PRODUCT: &str = "ecs";

/// The API version of the operation.
pub const VERSION: &str = "2014-05-26";

/// Lists the security groups of a region; here those with certain ids.
pub const DESCRIBE_SECURITY_GROUPS: &str = "DescribeSecurityGroups";

/// Maximum number of ids in one call, Alibaba's limit. A page can have as many groups.
pub const IDS_MAX: usize = 100;

/// The limits of one list: the requested groups, even on a page each.
pub const BOUNDS: Bounds = Bounds { pages_max: IDS_MAX, items_max: IDS_MAX };

/// A security group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupId(pub String);

impl Identified for GroupId {
    fn id(&self) -> &str {
        &self.0
    }
}

/// The query parameters of one page of the groups with these ids, at most [`IDS_MAX`]. Without ids it would be all groups.
#[must_use]
pub fn parameters<'a>(
    region: &'a RegionId,
    ids: &[SecurityGroupId],
    next_token: Option<&'a str>,
) -> Vec<(&'static str, Cow<'a, str>)> {
    let ids: Vec<_> = ids.iter().map(SecurityGroupId::as_str).collect();
    let mut parameters = vec![
        ("MaxResults", IDS_MAX.to_string().into()),
        ("RegionId", region.as_str().into()),
        ("SecurityGroupIds", serde_json::json!(ids).to_string().into()),
    ];
    parameters.extend(next_token.map(|token| ("NextToken", token.into())));
    parameters
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeSecurityGroupsResponse {
    region_id: Option<String>,
    security_groups: Object<ResponseGroups>,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseGroups {
    security_group: Vec<Object<ResponseGroup>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseGroup {
    security_group_id: String,
}

/// The page in the body of a 200; `None` if it cannot be read, says itself that the call failed, or is of another region.
///
/// Its total counts only on a page that is the whole list: ECS returns none with a page token.
#[must_use]
pub fn read(region: &RegionId, next_token: Option<&str>, body: &[u8]) -> Option<Page<GroupId>> {
    let body = bytes_without_byte_order_mark(body);
    let Object(verdict): Object<Verdict> = serde_json::from_slice(body).ok()?;
    let Object(body): Object<DescribeSecurityGroupsResponse> = serde_json::from_slice(body).ok()?;
    let is_of_region = body.region_id.is_none_or(|id| id == region.as_str());
    let id =
        |group: ResponseGroup| is_short(&group.security_group_id).then_some(GroupId(group.security_group_id));
    let Object(ResponseGroups { security_group: groups }) = body.security_groups;
    let groups = groups.into_iter().map(|Object(group)| id(group)).collect::<Option<_>>()?;
    let mut page = page(groups, body.next_token, body.total_count)?;
    if next_token.is_some() || page.next_token.is_some() {
        page.total_count = None;
    }
    (verdict.is_success() && is_of_region).then_some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> RegionId {
        RegionId::parse("eu-west-1").unwrap()
    }

    const BODY: &str = r#"{"RequestId":"R","RegionId":"eu-west-1","NextToken":"","PageSize":0,"PageNumber":0,
        "SecurityGroups":{"SecurityGroup":[{"SecurityGroupId":"sg-a","VpcId":"vpc-a"},{"SecurityGroupId":"sg-b"}]}}"#;

    #[test]
    fn ids_are_a_json_array_in_one_parameter() {
        let ids = ["sg-a", "sg-b"].map(|id| SecurityGroupId::parse(id).unwrap());
        let first = vec![
            ("MaxResults", "100".into()),
            ("RegionId", "eu-west-1".into()),
            ("SecurityGroupIds", r#"["sg-a","sg-b"]"#.into()),
        ];
        assert_eq!(parameters(&region(), &ids, None), first);
        let later: Vec<_> = first.into_iter().chain([("NextToken", "t".into())]).collect();
        assert_eq!(parameters(&region(), &ids, Some("t")), later);
    }

    #[test]
    fn page_is_read_with_its_token_and_total() {
        let expected = Page {
            items: vec![GroupId("sg-a".into()), GroupId("sg-b".into())],
            next_token: None,
            total_count: None,
        };
        for body in
            [BODY.to_owned(), format!("\u{feff}{BODY}"), BODY.replace(r#""RegionId":"eu-west-1","#, "")]
        {
            assert_eq!(read(&region(), None, body.as_bytes()), Some(expected.clone()), "{body}");
        }
        let body = BODY.replace(r#""NextToken":"""#, r#""TotalCount":7"#);
        let whole = Page { total_count: Some(7), ..expected.clone() };
        assert_eq!(read(&region(), None, body.as_bytes()), Some(whole));
        assert_eq!(read(&region(), Some("t"), body.as_bytes()), Some(expected.clone()));
        let body = BODY.replace(r#""NextToken":"""#, r#""NextToken":"t","TotalCount":7"#);
        let first = Page { next_token: Some("t".into()), ..expected };
        assert_eq!(read(&region(), None, body.as_bytes()), Some(first));
        let none = r#"{"SecurityGroups":{"SecurityGroup":[]}}"#;
        let none = read(&region(), None, none.as_bytes()).unwrap();
        assert_eq!(none, Page { items: Vec::new(), next_token: None, total_count: None });
    }

    #[test]
    fn page_that_is_incomplete_or_of_another_region_is_rejected() {
        for (part, other) in [
            ("\"SecurityGroups\"", "\"Other\""),
            ("\"SecurityGroup\"", "\"Other\""),
            (r#""SecurityGroupId":"sg-b""#, r#""Other":"sg-b""#),
            (r#""sg-b""#, "7"),
            (r#""sg-b""#, "null"),
            (r#"{"SecurityGroupId":"sg-b"}"#, r#"["sg-b"]"#),
            (r#"{"SecurityGroupId":"sg-b"}"#, "\"sg-b\""),
            (r#""NextToken":"""#, r#""NextToken":7"#),
            (r#""PageSize":0"#, r#""TotalCount":"2""#),
            (r#""PageSize":0"#, r#""Success":false"#),
            (r#""PageSize":0"#, r#""Code":"Forbidden""#),
            (r#""eu-west-1""#, r#""eu-west-2""#),
            ("sg-b", &format!("sg-{}", "x".repeat(200))),
        ] {
            assert!(BODY.contains(part), "{part}");
            assert_eq!(read(&region(), None, BODY.replace(part, other).as_bytes()), None, "{part} {other}");
        }
        for body in ["", "[]", "null", "<html>"] {
            assert_eq!(read(&region(), None, body.as_bytes()), None, "{body}");
        }
    }
}
