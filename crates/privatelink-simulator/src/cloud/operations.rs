//! The actions: the checks that all share, and the reads. Attach and detach have a file of their own.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use serde_json::{Value, json};

use super::{Cloud, Errand, writes::Write};
use crate::{
    action::Action,
    answer::{Outcome, Refusal},
    call::Call,
    codes,
    fault::Effect,
    ids::{EndpointId, RegionId},
    paging::{PageLimits, page},
    quota::Exceeded,
    seed::Endpoint,
    settings::ThrottleHint,
};

/// Where STS's calls are counted: it has one quota for all regions.
const EVERYWHERE: &str = "*";

impl Cloud {
    /// Carries out a call that was let in.
    pub(super) fn carry_out(&mut self, errand: Errand<'_>) -> Outcome {
        let Errand { action, call, effect, now, .. } = errand;
        match action {
            Action::AssumeRoleWithOIDC => {
                self.meter(&RegionId::from(EVERYWHERE), errand)?;
                self.assume_role(errand)
            }
            Action::DescribeRegions => {
                self.permit(errand, None)?;
                Ok(self.regions())
            }
            Action::ListVpcEndpointSecurityGroups => {
                let region = self.enter(errand)?;
                self.list_groups(&region, call, effect, now)
            }
            Action::ListVpcEndpoints => {
                let region = self.enter(errand)?;
                self.list_endpoints(&region, call, effect, now)
            }
            Action::GetVpcEndpointAttribute => {
                let region = self.enter(errand)?;
                let endpoint = self.seen(&region, &call.endpoint_id()?, now);
                let mut record = record(endpoint.ok_or(codes::ENDPOINT_NOT_FOUND)?);
                // Only the list shows them.
                record.as_object_mut().and_then(|fields| fields.remove("Tags"));
                Ok(record)
            }
            Action::AttachSecurityGroupToVpcEndpoint => {
                let region = self.enter(errand)?;
                self.write_once(Write::Attach, region, errand)
            }
            Action::DetachSecurityGroupFromVpcEndpoint => {
                let region = self.enter(errand)?;
                self.write_once(Write::Detach, region, errand)
            }
        }
    }

    /// The region of a call that has one, once the quota and RAM let it pass.
    fn enter(&mut self, errand: Errand<'_>) -> Result<RegionId, Refusal> {
        let region = self.region_of(errand.call)?;
        self.meter(&region, errand)?;
        self.permit(errand, Some(&region))?;
        Ok(region)
    }

    fn meter(&mut self, region: &RegionId, errand: Errand<'_>) -> Result<(), Refusal> {
        let admitted = self.meter.admit(region, errand.action, errand.now);
        admitted.map_err(|exceeded| self.throttled(exceeded))
    }

    fn region_of(&self, call: &Call) -> Result<RegionId, Refusal> {
        let region = RegionId::from(call.required("RegionId")?);
        if !self.regions.contains(&region) {
            return Err(codes::REGION_NOT_FOUND.into());
        }
        Ok(region)
    }

    fn list_groups(
        &self,
        region: &RegionId,
        call: &Call,
        effect: Option<&Effect>,
        now: SystemTime,
    ) -> Outcome {
        let endpoint = call.endpoint_id()?;
        let view = self
            .endpoints
            .get(&endpoint)
            .and_then(|tracked| tracked.view(before(now, self.settings.read_lag)));
        let view = view.filter(|view| view.region_id == *region).ok_or(codes::ENDPOINT_NOT_FOUND)?;
        let mut items: Vec<_> = view
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
        // An endpoint that is named is looked up: accounts have thousands, and most calls name one.
        let named = call.get("EndpointId").map(EndpointId::from);
        let ids: Vec<_> = match &named {
            Some(id) => vec![id],
            None => self.endpoints.keys().collect(),
        };
        let items: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.seen(region, id, now))
            .filter(|endpoint| is_asked_for(endpoint, call))
            .map(|endpoint| (endpoint.endpoint_id.to_string(), record(endpoint)))
            .collect();
        let limits = PageLimits { results: 1..=1000, default: 50, server_max: self.settings.page_size_max };
        page(&items, "Endpoints", call, &limits, effect)
    }

    /// The record that a read shows.
    fn seen(&self, region: &RegionId, endpoint: &EndpointId, now: SystemTime) -> Option<&Endpoint> {
        let view = self.endpoints.get(endpoint)?.view(before(now, self.settings.record_lag))?;
        (view.region_id == *region).then_some(view)
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
        let known = codes::find(&code).unwrap_or(codes::THROTTLING);
        let refusal = Refusal { code, ..Refusal::from(known) };
        let left = u64::try_from(exceeded.left.as_millis()).unwrap_or(u64::MAX);
        match self.settings.throttle_hint {
            ThrottleHint::None => refusal,
            ThrottleHint::RetryAfter => refusal.with_header("x-acs-retry-after", left),
            ThrottleHint::RateLimit => {
                let limit = exceeded.quota.calls;
                // The account's own window is told, too; of the two the longer one counts.
                let hint = |left: u64| {
                    let text = format!("Limit:{limit},Remain:0,TimeLeft:{left},Reset:{left}");
                    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
                };
                let api = hint(left);
                refusal
                    .with_header("x-ratelimit-user-api", api)
                    .with_header("x-ratelimit-user", hint(left / 2))
            }
        }
    }
}

fn is_asked_for(endpoint: &Endpoint, call: &Call) -> bool {
    [
        ("EndpointId", Some(endpoint.endpoint_id.as_str())),
        ("EndpointName", endpoint.endpoint_name.as_deref()),
        ("EndpointStatus", Some(&endpoint.endpoint_status)),
        ("EndpointType", Some(&endpoint.endpoint_type)),
        ("ConnectionStatus", Some(&endpoint.connection_status)),
        ("VpcId", endpoint.vpc_id.as_deref()),
    ]
    .into_iter()
    .all(|(filter, value)| call.get(filter).is_none_or(|wanted| value == Some(wanted)))
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
        "Tags": tags,
    })
}

fn before(now: SystemTime, lag: Duration) -> SystemTime {
    now.checked_sub(lag).unwrap_or(SystemTime::UNIX_EPOCH)
}
