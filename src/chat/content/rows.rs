//! The labels and values of a message.

use super::super::request::ChatRequest;
use super::super::texts::{Language, Text, duration, notices};
use super::{Line, Span, label, words};
use crate::request::RequestId;

/// Maximum number of an endpoint's groups that a message lists. More are hard to read; an endpoint has at most 10 by
/// default.
const GROUPS_SHOWN_MAX: usize = 20;

/// Maximum number of characters that are shown of a group's id. No valid one is longer.
const GROUP_LENGTH_MAX: usize = 64;

/// Rows in the order in which they are added.
pub(super) struct Rows(pub(super) Vec<(String, Line)>, Language);

impl Rows {
    pub(super) fn new(language: Language) -> Self {
        Self(Vec::new(), language)
    }

    pub(super) fn row(mut self, name: Text, value: Line) -> Self {
        self.0.push((label(name, self.1), value));
        self
    }

    pub(super) fn subject(self, request: &ChatRequest) -> Self {
        let code = |id: &str| vec![Span::Code(id.to_owned())];
        self.row(notices::SECURITY_GROUP, code(request.security_group_id.as_str()))
            .row(notices::ENDPOINT, code(request.endpoint_id.as_str()))
            .row(notices::REGION, code(request.region_id.as_str()))
    }

    pub(super) fn requester(self, request: &ChatRequest) -> Self {
        self.row(notices::REQUESTER, vec![Span::Person(request.requester.clone())])
    }

    pub(super) fn approver(self, request: &ChatRequest) -> Self {
        let Some(approver) = &request.approver else { return self };
        self.row(notices::APPROVER, vec![Span::Person(approver.clone())])
    }

    pub(super) fn ticket(self, request: &ChatRequest) -> Self {
        let Some(ticket) = &request.ticket else { return self };
        self.row(notices::TICKET, vec![Span::Code(ticket.as_str().to_owned())])
    }

    pub(super) fn deadline(self, request: &ChatRequest) -> Self {
        let Some(deadline) = request.deadline else { return self };
        let time = duration(self.1, deadline);
        let value = notices::DEADLINE_VALUE.fill(self.1, &[("time", &time)]);
        self.row(notices::DEADLINE, vec![Span::Words(value)])
    }

    pub(super) fn id(self, id: &RequestId) -> Self {
        self.row(notices::REQUEST_ID, vec![Span::Code(id.to_string())])
    }

    pub(super) fn groups(self, label: Text, groups: Option<&Vec<String>>) -> Self {
        let value = groups_line(groups, self.1);
        self.row(label, value)
    }
}

/// The endpoint's groups, the first ones of many.
fn groups_line(groups: Option<&Vec<String>>, language: Language) -> Line {
    let Some(groups) = groups else { return words(notices::GROUPS_UNREAD, language) };
    if groups.is_empty() {
        return words(notices::NO_GROUPS, language);
    }
    let mut line = Vec::new();
    for group in groups.iter().take(GROUPS_SHOWN_MAX) {
        if !line.is_empty() {
            line.extend(words(notices::GROUPS_SEPARATOR, language));
        }
        line.push(Span::Code(group.chars().take(GROUP_LENGTH_MAX).collect()));
    }
    if let Some(more) = groups.len().checked_sub(GROUPS_SHOWN_MAX).filter(|more| *more > 0) {
        let more = notices::GROUPS_MORE.fill(language, &[("number", &more.to_string())]);
        line.push(Span::Words(more));
    }
    line
}
