//! The same over HTTP.

use std::net::Ipv4Addr;
use std::time::Duration;

use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::CredentialsSource;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::services::Services;
use privatelink_detach::clock::Clock;
use privatelink_detach::drive::cloud::Cloud;
use privatelink_detach::drive::pace::Pace;
use privatelink_detach::drive::sweep::{Swept, sweep};
use privatelink_detach::sweep::Verdict;
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::Https;
use privatelink_simulator::{Action, Effect, Endpoint, Fault, Seed, Server};

use super::wire::{REGIONS, Scope, WANTED, found};

/// Reads the simulator over HTTP, faster than the share allows.
async fn read(scope: &Scope, seed: Seed) -> (Swept, Server) {
    let cloud = privatelink_simulator::Cloud::new(seed).unwrap();
    let server = Server::start(cloud, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let parts = server.url().parse::<http::Uri>().unwrap().into_parts();
    let url = BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() };
    let (https, service_url) = (Https::new(true).unwrap().for_sweeps(), ServiceUrl::Fixed(url.clone()));
    let source = CredentialsSource::Fixed(scope.credentials());
    let cloud = Cloud::new(Client::new(https.clone(), source, service_url.clone(), 1), 1);
    let services = Services::new(https, url, service_url, 2);
    let pace = Pace { endpoints: Duration::from_millis(5), security_groups: Duration::from_millis(2) };
    let sweep_fast = privatelink_detach::drive::sweep::Sweep { pace, ..scope.sweep() };
    let swept = sweep(&cloud, Some(&services), &sweep_fast, &Clock::start(), None, &|_| {}).await;
    (swept, server)
}

#[tokio::test]
async fn references_in_several_regions_are_found_over_http() {
    let endpoint = |n: usize| {
        let groups = if n.is_multiple_of(7) { [WANTED, "sg-x"] } else { ["sg-x", "sg-y"] };
        Endpoint::new(REGIONS[n % 3], format!("ep-{n:03}"), groups)
    };
    let faults = vec![
        Fault::on(Action::ListVpcEndpoints, Effect::Reset).nth(2),
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::throttled(Duration::from_millis(300)))
            .nth(20),
        Fault::on(Action::ListVpcEndpointSecurityGroups, Effect::Truncated).nth(40),
    ];
    let seed = Seed { endpoints: (0..120).map(endpoint).collect(), faults, ..Seed::default() };
    let (swept, server) = read(&Scope::of(&[WANTED], &REGIONS), seed).await;
    let mut endpoints = found(&swept.plan);
    endpoints.sort_unstable();
    let expected: Vec<_> = (0..120).step_by(7).map(|n| format!("ep-{n:03}")).collect();
    assert_eq!(endpoints, expected);
    assert_eq!(swept.plan.verdict(None), Verdict::ReferencesFound);
    assert_eq!(swept.plan.security_groups_found, Some(true));
    let cloud = server.cloud();
    assert_eq!((cloud.counts().signatures_rejected, cloud.counts().faults), (0, 3));
}

#[tokio::test]
async fn page_of_a_thousand_endpoints_with_many_tags_is_read() {
    let tags = |n: usize| (0..20).map(move |tag| (format!("tag-{tag}-of-{n}"), "v".repeat(100))).collect();
    let endpoint =
        |n| Endpoint { tags: tags(n), ..Endpoint::new(REGIONS[0], format!("ep-{n:04}"), ["sg-x"]) };
    // All but one are filtered out.
    let mut seed = Seed { endpoints: (0..1_000).map(endpoint).collect(), ..Seed::default() };
    seed.endpoints[500].security_groups = Endpoint::new(REGIONS[0], "ep-a", [WANTED]).security_groups;
    for endpoint in &mut seed.endpoints {
        "GatewayLoadBalancer".clone_into(&mut endpoint.endpoint_type);
    }
    "Interface".clone_into(&mut seed.endpoints[500].endpoint_type);
    let (swept, _server) = read(&Scope::default(), seed).await;
    assert_eq!(found(&swept.plan), ["ep-0500"]);
    let region = swept.plan.regions.values().next().unwrap();
    assert_eq!((region.endpoints_read, region.endpoints_skipped), (1, 999));
}
