//! Which endpoints of a region a sweep reads.

use crate::alibaba::privatelink::EndpointFilter;
use crate::alibaba::records::Endpoint;

/// Whether a listed endpoint passes the filter, which the API has applied already: whether a name must be equal there is not
/// documented.
///
/// A field that the record does not have was compared by the API alone: no reference must be missed because of it.
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
