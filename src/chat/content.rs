//! What a notice says, in its language, before a platform renders it.
//!
//! Every value keeps its type, so that a platform can mark up an id, name a person and escape an untrusted text in its own
//! way.

mod rows;
#[cfg(test)]
pub(super) mod samples;

use super::answer::AnswerNotice;
use super::completion::{ChatCompletion, ChatReason, OutcomeName};
use super::decision::{ClickNotice, ClickResult};
use super::identity::{Person, UserId};
use super::notice::Notice;
use super::request::{ChatRequest, PREVIEW_DEADLINE};
use super::texts::notices::{self, Headline};
use super::texts::{Language, Piece, Text, duration, reasons};
use crate::detach::ReasonCode;
use crate::request::SecurityGroupId;
use crate::text::visible;
use rows::Rows;

/// Maximum number of characters of a failure's message: that of the worker, which can quote Alibaba Cloud's.
const DETAILS_LENGTH_MAX: usize = 1000;

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Words of the table.
    Words(String),
    /// An id, a code or a time. Untrusted: a group's id in an event is as Alibaba Cloud sent it.
    Code(String),
    Person(UserId),
    /// A time, in seconds since 1970-01-01.
    Time(u64),
}

/// What stands in one line or paragraph.
pub type Line = Vec<Span>;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub title: &'static str,
    pub lead: Line,
    /// What the platform's notification shows.
    pub notification: String,
    /// Labels and values.
    pub rows: Vec<(String, Line)>,
    /// The worker's message about a failure. Untrusted: it can quote Alibaba Cloud's.
    pub details: Option<String>,
    /// The label of the runbook's address, and the address.
    pub runbook: Option<(&'static str, String)>,
    pub buttons: Option<Buttons>,
}

/// The buttons of an approval request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buttons {
    /// The signed value of both buttons.
    pub value: String,
    pub approve: &'static str,
    pub decline: &'static str,
    /// What a platform can ask before it sends the approval.
    pub confirm_title: &'static str,
    pub confirm: String,
    pub cancel: &'static str,
}

impl Content {
    /// What a notice says.
    #[must_use]
    pub fn of(notice: &Notice) -> Self {
        let language = notice.language();
        match notice {
            Notice::ApprovalRequest { request, completion, button } => {
                approval_request(request, completion, button, language)
            }
            Notice::PreviewExpired { request } => {
                let rows = Rows::new(language).subject(request).requester(request).ticket(request).0;
                Self::new(notices::PREVIEW_EXPIRED, &[], rows, request, language)
            }
            Notice::Preview { request, completion } => preview(request, completion, language),
            Notice::Outcome { request, completion } => outcome(request, completion, language),
            Notice::Click(click) => of_click(click, language),
            Notice::Answer(answer) => of_answer(answer),
        }
    }

    fn new(
        Headline { title, lead }: Headline,
        values: &[(&str, Span)],
        rows: Vec<(String, Line)>,
        request: &ChatRequest,
        language: Language,
    ) -> Self {
        let title = title.of(language);
        let [group, endpoint, region] = subject(request);
        let named = [("title", title), group, endpoint, region];
        Self {
            title,
            lead: line(lead, values, language),
            notification: notices::NOTIFICATION.fill(language, &named),
            rows,
            details: None,
            runbook: None,
            buttons: None,
        }
    }

    /// Adds what the reason of a failure means and what to do about it, and then the same as
    /// [`with_details`](Self::with_details), unless the worker's message only repeats the meaning.
    fn with_explanation(mut self, completion: &ChatCompletion, language: Language) -> Self {
        let Some(reason) = &completion.reason else { return self };
        let explanation = reasons::explain(&reason.runbook);
        let meaning = format!(" {}", explanation.meaning.of(language));
        let meaning = vec![Span::Code(reason.code.clone()), Span::Words(meaning)];
        self.rows.push((label(notices::REASON, language), meaning));
        self.rows.push((label(notices::ADVICE, language), words(explanation.advice, language)));
        let mut content = self.with_details(completion, language);
        let [message, meaning] = [&reason.message, explanation.meaning.of(Language::En)]
            .map(|text| text.strip_suffix('.').unwrap_or(text));
        if message == meaning {
            content.details = None;
        }
        content
    }

    /// Adds the worker's own message about a failure, and where the runbook explains it.
    fn with_details(mut self, completion: &ChatCompletion, language: Language) -> Self {
        if let Some(reason) = &completion.reason {
            // In one line: a message of several lines could look like parts of this one.
            let message = visible(&reason.message.replace(char::is_control, " "));
            let message = cut(&message, DETAILS_LENGTH_MAX);
            self.details = Some(notices::DETAILS.fill(language, &[("text", &message)]));
            self.runbook = Some((notices::RUNBOOK.of(language), reason.runbook.clone()));
        }
        self
    }
}

fn approval_request(
    request: &ChatRequest,
    completion: &ChatCompletion,
    button: &str,
    language: Language,
) -> Content {
    let now = completion.groups_after.as_ref().or(completion.groups_before.as_ref());
    let then = now.map(|groups| without(groups, request));
    let replacement = completion.replacement_due();
    let rows = Rows::new(language).subject(request).groups(notices::GROUPS_NOW, now);
    let rows = match replacement {
        None => rows.groups(notices::GROUPS_THEN, then.as_ref()),
        Some(id) => rows.row(notices::GROUPS_THEN, line(notices::REPLACE_BY, &[group(id)], language)),
    };
    let rows = rows
        .requester(request)
        .ticket(request)
        .deadline(request)
        .row(notices::EXPIRY, vec![Span::Time(request.expires_at)])
        .id(&request.request_id());
    let requester = ("requester", Span::Person(request.requester.clone()));
    let values: Vec<_> = replacement.map(group).into_iter().chain([requester]).collect();
    let (headline, confirm) = match replacement {
        None => (notices::APPROVAL_REQUEST, notices::CONFIRM),
        Some(_) => (notices::APPROVAL_REQUEST_REPLACE, notices::CONFIRM_REPLACE),
    };
    let replacement = replacement.map(|id| ("replacement", id.as_str()));
    let confirmed: Vec<_> = subject(request).into_iter().chain(replacement).collect();
    let buttons = Buttons {
        value: button.to_owned(),
        approve: notices::APPROVE.of(language),
        decline: notices::DECLINE.of(language),
        confirm_title: notices::CONFIRM_TITLE.of(language),
        confirm: confirm.fill(language, &confirmed),
        cancel: notices::CANCEL.of(language),
    };
    let content = Content::new(headline, &values, rows.0, request, language);
    Content { buttons: Some(buttons), ..content }
}

fn preview(request: &ChatRequest, completion: &ChatCompletion, language: Language) -> Content {
    let now = completion.groups_after.as_ref().or(completion.groups_before.as_ref());
    let rows = Rows::new(language)
        .subject(request)
        .groups(notices::GROUPS_NOW, now)
        .requester(request)
        .ticket(request)
        .id(&request.request_id());
    let time = duration(language, PREVIEW_DEADLINE);
    let headline = preview_headline(completion);
    let replacement = completion.replacement_due().map(group);
    let values: Vec<_> = replacement.into_iter().chain([("time", Span::Words(time))]).collect();
    let content = Content::new(headline, &values, rows.0, request, language);
    match completion.outcome {
        // Its lead says what a dry run without a result means.
        OutcomeName::Unconfirmed if completion.dry_run => content.with_details(completion, language),
        _ => content.with_explanation(completion, language),
    }
}

fn preview_headline(completion: &ChatCompletion) -> Headline {
    let is_ignored = |reason: &ChatReason| reason.code == ReasonCode::DryRunIgnored.as_str();
    match &completion.reason {
        _ if !completion.dry_run => notices::CHANGED_IN_QUEUE,
        Some(reason) if is_ignored(reason) => notices::DRY_RUN_IGNORED,
        None if completion.replacement_due().is_some() => notices::PREVIEW_REPLACE,
        _ => notices::preview(completion.outcome),
    }
}

fn outcome(request: &ChatRequest, completion: &ChatCompletion, language: Language) -> Content {
    let is_confirmed = completion.confirmed_at.is_some();
    let last = if is_confirmed { notices::GROUPS_AFTER } else { notices::GROUPS_LAST };
    let mut rows = Rows::new(language)
        .subject(request)
        .groups(notices::GROUPS_BEFORE, completion.groups_before.as_ref())
        .groups(last, completion.groups_after.as_ref());
    let is_detached = completion.outcome == OutcomeName::Detached;
    let replacement = completion.replacement_attached();
    if let Some(id) = replacement.filter(|_| !is_detached) {
        rows = rows.row(notices::REPLACEMENT, vec![group(id).1]);
    }
    if let Some(confirmed_at) = &completion.confirmed_at {
        rows = rows.row(notices::CONFIRMED_AT, vec![Span::Code(confirmed_at.clone())]);
    }
    let time = duration(language, completion.duration);
    let rows = rows
        .row(notices::DURATION, vec![Span::Words(time)])
        .requester(request)
        .approver(request)
        .ticket(request)
        .id(&request.request_id());
    let headline = match replacement {
        Some(_) if is_detached => notices::REPLACED,
        _ => notices::outcome(completion.outcome, completion.deliveries),
    };
    let values: Vec<_> = replacement.map(group).into_iter().collect();
    Content::new(headline, &values, rows.0, request, language).with_explanation(completion, language)
}

fn of_click(click: &ClickNotice, language: Language) -> Content {
    let person = [("person", Span::Person(click.person.clone()))];
    let of_request = |headline, request: &ChatRequest| {
        // No row names the approver: if two people clicked, only the outcome knows whose approval was carried out.
        let rows = Rows::new(language)
            .subject(request)
            .requester(request)
            .ticket(request)
            .deadline(request)
            .id(&request.request_id());
        Content::new(headline, &person, rows.0, request, language)
    };
    match &click.result {
        ClickResult::Approved(request) => of_request(notices::APPROVED, request),
        ClickResult::Declined(request) => of_request(notices::DECLINED, request),
        ClickResult::Expired(request) => of_request(notices::EXPIRED, request),
        ClickResult::NotAllowed(why) => {
            let conversation = &click.conversation;
            let person = Person { tenant: conversation.tenant.clone(), id: click.person.clone() };
            let entries = [
                ("tenant", Span::Code(conversation.tenant.to_string())),
                ("conversation", Span::Code(conversation.to_string())),
                ("person", Span::Code(person.to_string())),
            ];
            let title = notices::NOT_ALLOWED.of(language);
            Content {
                title,
                lead: line(notices::not_allowed(*why), &entries, language),
                notification: title.to_owned(),
                rows: click.request_id.as_ref().map_or_else(Vec::new, |id| Rows::new(language).id(id).0),
                details: None,
                runbook: None,
                buttons: None,
            }
        }
    }
}

fn of_answer(answer: &AnswerNotice) -> Content {
    let title = notices::ANSWER.of(answer.language);
    Content {
        title,
        lead: vec![Span::Words(answer.text.clone())],
        notification: title.to_owned(),
        rows: Vec::new(),
        details: None,
        runbook: None,
        buttons: None,
    }
}

/// What the request is about, for a text of the table.
fn subject(request: &ChatRequest) -> [(&str, &str); 3] {
    [
        ("group", request.security_group_id.as_str()),
        ("endpoint", request.endpoint_id.as_str()),
        ("region", request.region_id.as_str()),
    ]
}

/// The value of a replacement in a text.
fn group(replacement: &SecurityGroupId) -> (&'static str, Span) {
    ("replacement", Span::Code(replacement.to_string()))
}

/// The groups that remain.
fn without(groups: &[String], request: &ChatRequest) -> Vec<String> {
    groups.iter().filter(|group| *group != request.security_group_id.as_str()).cloned().collect()
}

/// The label of a row.
fn label(name: Text, language: Language) -> String {
    notices::LABEL.fill(language, &[("name", name.of(language))])
}

fn words(text: Text, language: Language) -> Line {
    vec![Span::Words(text.of(language).to_owned())]
}

/// A text with its values.
fn line(text: Text, values: &[(&str, Span)], language: Language) -> Line {
    let span = |piece| match piece {
        Piece::Words(words) => Some(Span::Words(words.to_owned())),
        Piece::Value(name) => values.iter().find(|(known, _)| *known == name).map(|(_, span)| span.clone()),
    };
    text.pieces(language).filter_map(span).collect()
}

/// The text, or as many of its first characters as fit.
fn cut(text: &str, length_max: usize) -> String {
    match text.char_indices().nth(length_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length_max - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests;
