//! Which endpoints of a region a sweep reads.

use crate::alibaba::privatelink::EndpointFilter;
use crate::alibaba::records::Endpoint;

/// Whether a listed endpoint matches the filter. The API has already applied it, but its documentation does not say whether
/// it compares names exactly.
///
/// A field that the record lacks counts as a match, so that no reference is missed: the API has compared it.
pub(super) fn contains(filter: &EndpointFilter, endpoint: &Endpoint) -> bool {
    let passes = |wanted: &Option<String>, field: &Option<String>| match (wanted, field) {
        (Some(wanted), Some(field)) => wanted == field,
        (None, _) | (_, None) => true,
    };
    passes(&filter.vpc_id, &endpoint.vpc_id)
        && passes(&filter.endpoint_name, &endpoint.name)
        && passes(&filter.resource_group_id, &endpoint.resource_group_id)
        && endpoint.tags.as_ref().is_none_or(|tags| filter.tags.iter().all(|tag| tags.contains(tag)))
}
