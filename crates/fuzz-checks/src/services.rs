//! Responses of Alibaba Cloud's STS and ECS to signed calls: whose credentials are used, and which security groups exist.

use privatelink_detach::alibaba::codes::Code;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::services::{ServiceError, Services};
use privatelink_detach::alibaba::{ecs, sts};
use privatelink_detach::request::{RegionId, SecurityGroupId};
use privatelink_detach::transport::BaseUrl;
use serde_json::Value;

use crate::alibaba::Canned;
use crate::fault::{self, KEYS};
use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::text::{assert_tame, assert_without};
use crate::virtual_time;

/// An error's body may be a tree of XML.
const MEMORY: Bound = Bound { base: 128 * 1024, per_byte: 64 };

/// The longest accepted part of an identity, in bytes, from the contract.
const IDENTITY_LENGTH_MAX: usize = 256;

/// The longest accepted id of a group, in bytes.
const ID_LENGTH_MAX: usize = 128;

pub(crate) fn check_identity(input: &[u8]) {
    let Some(response) = Message::read(input).and_then(Message::into_response) else { return };
    let (status, body) = (response.status().as_u16(), response.body().clone());
    let (canned, keys) = (Canned::new(response), fault::keys());
    let call = async |clock| services(&canned).caller_identity(&keys, &clock).await;
    let result = bounded(&MEMORY, input.len(), || virtual_time::run(call));
    check_requests(&canned);
    let identity = match result {
        Ok(identity) => identity,
        Err(error) => return check_error(&error, status),
    };
    assert_eq!((status, Some(&identity)), (200, sts::read_caller_identity(&body).as_ref()));
    let parts = [&identity.account_id, &identity.arn, &identity.identity_type];
    for part in parts {
        assert!((1..=IDENTITY_LENGTH_MAX).contains(&part.len()), "{identity:?}");
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{identity:?}");
    }
    assert!(identity.account_id.bytes().all(|byte| byte.is_ascii_digit()), "{identity:?}");
    assert!(identity.arn.starts_with("acs:"), "{identity:?}");
    // An out-of-range number in an unused field is invalid JSON to this parser and valid to the other.
    if let Ok(value) = serde_json::from_slice::<Value>(&body) {
        let given = ["AccountId", "Arn", "IdentityType"].map(|name| value[name].as_str());
        assert_eq!(given, parts.map(|part| Some(part.as_str())));
    }
}

pub(crate) fn check_security_groups(input: &[u8]) {
    let Some(response) = Message::read(input).and_then(Message::into_response) else { return };
    let (status, body) = (response.status().as_u16(), response.body().clone());
    let (canned, keys) = (Canned::new(response), fault::keys());
    let [region, other_region] = ["eu-west-1", "eu-west-2"].map(|id| RegionId::parse(id).expect("a region"));
    let asked = ["sg-a", "sg-b"].map(|id| SecurityGroupId::parse(id).expect("a group"));
    let call = async |clock| services(&canned).security_groups(&region, &asked, &keys, &clock).await;
    let result = bounded(&MEMORY, input.len(), || virtual_time::run(call));
    check_requests(&canned);
    check_later_page(&region, &body);
    let ids = match result {
        Ok(ids) => ids,
        Err(error) => return check_error(&error, status),
    };
    assert_eq!(status, 200);
    assert!(ids.iter().all(|id| id.len() <= ID_LENGTH_MAX), "{ids:?}");
    assert!((1..ids.len()).all(|n| !ids[..n].contains(&ids[n])), "{ids:?}");
    if let Ok(value) = serde_json::from_slice::<Value>(&body) {
        let list = value["SecurityGroups"]["SecurityGroup"].as_array().expect("a list");
        let given: Vec<_> = list.iter().map(|group| group["SecurityGroupId"].as_str()).collect();
        assert_eq!(given, ids.iter().map(|id| Some(id.as_str())).collect::<Vec<_>>());
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        assert_eq!(text("NextToken"), "", "a list with another page is not complete");
        assert!(value["TotalCount"].as_u64().is_none_or(|total| total <= ids.len() as u64));
        let has_failed = value["Success"] == false || !matches!(text("Code"), "" | "200" | "OK" | "Success");
        assert!(!has_failed, "the body says that the call failed");
        if !value["RegionId"].is_null() {
            assert_eq!(text("RegionId"), region.as_str());
            assert_eq!(ecs::read(&other_region, None, &body), None, "it is a list of another region");
        }
    }
}

/// Checks that a body is the same page wherever it is in the list, except for its total, which counts on the only page.
fn check_later_page(region: &RegionId, body: &[u8]) {
    let only = ecs::read(region, None, body);
    let later = ecs::read(region, Some("token"), body);
    let mut expected = only.clone();
    if let Some(page) = &mut expected {
        assert!(page.next_token.is_none() || page.total_count.is_none(), "{page:?}");
        page.total_count = None;
    }
    assert_eq!(later, expected);
}

fn services(canned: &Canned) -> Services<&Canned> {
    Services::new(canned, BaseUrl::sts(), ServiceUrl::Regional, 7)
}

/// A call is repeated once: with the service's clock, or for the next page, which is the same one and breaks the list.
fn check_requests(canned: &Canned) {
    let sent = canned.sent.borrow();
    assert!((1..=2).contains(&sent.len()), "{} requests", sent.len());
    for request in sent.iter() {
        assert_without(&request.uri().to_string(), &KEYS);
    }
}

fn check_error(error: &ServiceError, status: u16) {
    // At most 200 characters of the service's message, and a code of at most 128 in this project's sentence.
    let text = error.to_string();
    assert_tame(&text, 400);
    assert_without(&text, &KEYS);
    assert!(Code::parse(&error.code()).is_some(), "{error:?}");
    let is_possible = match error {
        ServiceError::Coded { .. } => (400..600).contains(&status),
        ServiceError::NoResponse { .. } => status != 200 && error.is_transient(),
        ServiceError::Unreadable { .. } => status == 200 && error.is_transient(),
    };
    assert!(is_possible, "{status}: {error:?}");
}
