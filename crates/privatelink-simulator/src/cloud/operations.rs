//! The actions: the checks common to all, and the reads. Attach and detach are in `writes`, ECS is in `groups`.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use serde_json::{Value, json};

use super::{CallContext, Cloud, writes::Write};
use crate::{
    action::{Action, Product},
    call::Call,
    codes,
    fault::Effect,
    ids::{EndpointId, RegionId},
    paging::{PageLimits, page},
    quota::Exceeded,
    response::{Outcome, Refusal},
    seed::Endpoint,
    settings::ThrottleHint,
    sts::caller_identity,
};

/// The maximum number of tags in a filter, by the API documentation.
const TAGS_MAX: usize = 20;

/// The region under which STS calls are counted: STS has one quota for all regions.
const ALL_REGIONS: &str = "*";

impl Cloud {
    /// Carries out an authenticated call.
    pub(super) fn carry_out(&mut self, context: CallContext<'_>) -> Outcome {
        let CallContext { action, call, effect, now, .. } = context;
        match action {
            Action::AssumeRole => {
                self.meter(&RegionId::from(ALL_REGIONS), context)?;
                self.assume_role(context)
            }
            Action::AssumeRoleWithOIDC => {
                self.meter(&RegionId::from(ALL_REGIONS), context)?;
                self.exchange_token(context)
            }
            Action::GetCallerIdentity => {
                self.meter(&RegionId::from(ALL_REGIONS), context)?;
                Ok(caller_identity(context.key))
            }
            Action::DescribeSecurityGroups => {
                let region = self.check_call(context)?;
                self.describe_groups(&region, call, effect)
            }
            Action::DescribeRegions => {
                self.check_permissions(context, None)?;
                Ok(self.regions())
            }
            Action::ListVpcEndpointSecurityGroups => {
                let region = self.check_call(context)?;
                self.list_groups(&region, call, effect, now)
            }
            Action::ListVpcEndpoints => {
                let region = self.check_call(context)?;
                self.list_endpoints(&region, call, effect, now)
            }
            Action::GetVpcEndpointAttribute => {
                let region = self.check_call(context)?;
                let endpoint = self.visible_endpoint(&region, &call.endpoint_id()?, now);
                let mut record = record(endpoint.ok_or(codes::ENDPOINT_NOT_FOUND)?);
                // Only `ListVpcEndpoints` returns the tags.
                record.as_object_mut().and_then(|fields| fields.remove("Tags"));
                Ok(record)
            }
            Action::AttachSecurityGroupToVpcEndpoint => {
                let region = self.check_call(context)?;
                self.write_once(Write::Attach, region, context)
            }
            Action::DetachSecurityGroupFromVpcEndpoint => {
                let region = self.check_call(context)?;
                self.write_once(Write::Detach, region, context)
            }
        }
    }

    /// Checks region, quota and permissions of a call, and returns the region.
    fn check_call(&mut self, context: CallContext<'_>) -> Result<RegionId, Refusal> {
        let region = self.region_of(context.call)?;
        self.meter(&region, context)?;
        self.check_permissions(context, Some(&region))?;
        Ok(region)
    }

    fn meter(&mut self, region: &RegionId, context: CallContext<'_>) -> Result<(), Refusal> {
        let admitted = self.meter.admit(region, context.action, context.now);
        admitted.map_err(|exceeded| self.throttled(exceeded))
    }

    fn region_of(&self, call: &Call) -> Result<RegionId, Refusal> {
        let region = RegionId::from(call.required("RegionId")?);
        if self.regions.contains(&region) {
            return Ok(region);
        }
        let is_of_ecs = call.action().is_some_and(|action| action.product() == Product::Ecs);
        Err(if is_of_ecs { codes::INVALID_REGION_ID_NOT_FOUND } else { codes::REGION_NOT_FOUND }.into())
    }

    fn list_groups(
        &self,
        region: &RegionId,
        call: &Call,
        effect: Option<&Effect>,
        now: SystemTime,
    ) -> Outcome {
        let endpoint = call.endpoint_id()?;
        let state = self
            .endpoints
            .get(&endpoint)
            .and_then(|tracked| tracked.state(before(now, self.settings.read_lag)));
        let state = state.filter(|state| state.region_id == *region).ok_or(codes::ENDPOINT_NOT_FOUND)?;
        let mut items: Vec<_> = state
            .security_groups
            .iter()
            .map(|group| {
                let mut item = json!({ "SecurityGroupId": group.id });
                if !self.settings.omit_group_status {
                    item["SecurityGroupStatus"] = group.status.as_str().into();
                }
                (group.id.to_string(), item)
            })
            .collect();
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        let limits = PageLimits { results: 1..=50, default: 50, server_max: self.settings.page_size_max };
        page(&items, "SecurityGroups", call, &limits, effect)
    }

    fn list_endpoints(
        &self,
        region: &RegionId,
        call: &Call,
        effect: Option<&Effect>,
        now: SystemTime,
    ) -> Outcome {
        // A named endpoint is looked up directly: accounts have thousands, and most calls name one.
        let named = call.get("EndpointId").map(EndpointId::from);
        let ids: Vec<_> = match &named {
            Some(id) => vec![id],
            None => self.endpoints.keys().collect(),
        };
        let items: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.visible_endpoint(region, id, now))
            .filter(|endpoint| matches_filters(endpoint, call))
            .map(|endpoint| (endpoint.endpoint_id.to_string(), record(endpoint)))
            .collect();
        let limits = PageLimits { results: 1..=1000, default: 50, server_max: self.settings.page_size_max };
        page(&items, "Endpoints", call, &limits, effect)
    }

    /// The endpoint as a read returns it.
    fn visible_endpoint(
        &self,
        region: &RegionId,
        endpoint: &EndpointId,
        now: SystemTime,
    ) -> Option<&Endpoint> {
        let state = self.endpoints.get(endpoint)?.state(before(now, self.settings.record_lag))?;
        (state.region_id == *region).then_some(state)
    }

    fn regions(&self) -> Value {
        let regions: Vec<_> = self
            .regions
            .iter()
            .map(|region| {
                let host = format!("privatelink.{region}.aliyuncs.com");
                json!({ "RegionId": region, "LocalName": region, "RegionEndpoint": host })
            })
            .collect();
        json!({ "Regions": { "Region": regions } })
    }

    fn throttled(&mut self, exceeded: Exceeded) -> Refusal {
        self.counts.throttled += 1;
        let code = self.settings.throttle_code.clone();
        let template = codes::find(&code).unwrap_or(codes::THROTTLING);
        let refusal = Refusal { code, ..Refusal::from(template) };
        let remaining_ms = u64::try_from(exceeded.remaining.as_millis()).unwrap_or(u64::MAX);
        match self.settings.throttle_hint {
            ThrottleHint::None => refusal,
            ThrottleHint::RetryAfter => refusal.with_header("x-acs-retry-after", remaining_ms),
            ThrottleHint::RateLimit => {
                let limit = exceeded.quota.calls;
                // The account's own window is reported too; the client must wait for the longer of the two.
                let hint = |remaining_ms: u64| {
                    let text = format!("Limit:{limit},Remain:0,TimeLeft:{remaining_ms},Reset:{remaining_ms}");
                    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
                };
                let api = hint(remaining_ms);
                refusal
                    .with_header("x-ratelimit-user-api", api)
                    .with_header("x-ratelimit-user", hint(remaining_ms / 2))
            }
        }
    }
}

fn matches_filters(endpoint: &Endpoint, call: &Call) -> bool {
    [
        ("EndpointId", Some(endpoint.endpoint_id.as_str())),
        ("EndpointName", endpoint.endpoint_name.as_deref()),
        ("EndpointStatus", Some(&endpoint.endpoint_status)),
        ("EndpointType", Some(&endpoint.endpoint_type)),
        ("ConnectionStatus", Some(&endpoint.connection_status)),
        ("VpcId", endpoint.vpc_id.as_deref()),
        ("ResourceGroupId", endpoint.resource_group_id.as_deref()),
    ]
    .into_iter()
    .all(|(filter, value)| call.get(filter).is_none_or(|expected| value == Some(expected)))
        && (1..=TAGS_MAX).all(|number| has_tag(endpoint, call, number))
}

/// Whether the endpoint passes the call's tag filter of this number, if there is one.
fn has_tag(endpoint: &Endpoint, call: &Call, number: usize) -> bool {
    let Some(key) = call.get(&format!("Tag.{number}.Key")) else { return true };
    let value = call.get(&format!("Tag.{number}.Value"));
    endpoint.tags.get(key).is_some_and(|tag| value.is_none_or(|value| tag == value))
}

fn record(endpoint: &Endpoint) -> Value {
    let tags: Vec<_> =
        endpoint.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({
        "RegionId": endpoint.region_id,
        "EndpointId": endpoint.endpoint_id,
        "EndpointName": endpoint.endpoint_name.as_deref().unwrap_or_default(),
        "EndpointStatus": endpoint.endpoint_status,
        "EndpointBusinessStatus": endpoint.business_status,
        "EndpointType": endpoint.endpoint_type,
        "ConnectionStatus": endpoint.connection_status,
        "ProtectedEnabled": endpoint.protected_enabled,
        "VpcId": endpoint.vpc_id.as_deref().unwrap_or_default(),
        "ResourceGroupId": endpoint.resource_group_id.as_deref().unwrap_or_default(),
        "Tags": tags,
    })
}

fn before(now: SystemTime, lag: Duration) -> SystemTime {
    now.checked_sub(lag).unwrap_or(SystemTime::UNIX_EPOCH)
}
