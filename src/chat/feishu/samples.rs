//! Notices for the tests of Feishu.

use super::super::answer::AnswerNotice;
use super::super::content::samples;
use super::super::identity::{Conversation, MessageId, UserId};
use super::super::notice::Notice;
use super::super::request::ChatRequest;
use super::super::texts::Language;
use crate::request::RequestId;

pub(super) const CONVERSATION: &str = "feishu:af278ac2ae029da4/oc_eb1772f317cf009dfdd2c3052baa2758";

/// The message with the command.
pub(super) const COMMAND: &str = "om_da45207071b8b4bec8aa911a98848932";

/// The message with the buttons.
pub(super) const CARD: &str = "om_32433cd1b05ee1e05bff4094d9d6f921";

const REQUESTER: &str = "ou_8156d5e169a1cbca6dc7b5e5c0ba7344";
const APPROVER: &str = "ou_f55b8b743ffd1e3c2239a5d7a833c30b";

fn conversation() -> Conversation {
    Conversation::parse(CONVERSATION).unwrap()
}

fn request(request: &mut ChatRequest) {
    let is_outcome = request.approver.is_some();
    request.conversation = conversation();
    request.thread = MessageId::parse(if is_outcome { CARD } else { COMMAND });
    request.requester = UserId::parse(REQUESTER).unwrap();
    request.approver = is_outcome.then(|| UserId::parse(APPROVER).unwrap());
    request.id = RequestId::parse("feishu-0123456789abcdef01234567").unwrap();
}

/// A notice of every kind, with a name.
pub(super) fn notices(language: Language) -> Vec<(&'static str, Notice)> {
    use super::super::decision::ClickResult;
    let answer = Notice::Answer(AnswerNotice {
        conversation: conversation(),
        message: MessageId::parse(COMMAND),
        person: UserId::parse(REQUESTER).unwrap(),
        language,
        request_id: None,
        text: "a < b & *c*\n@bot help".to_owned(),
    });
    let mut notices = samples::notices(language);
    for (_, notice) in &mut notices {
        match notice {
            Notice::ApprovalRequest { request: of, .. }
            | Notice::PreviewExpired { request: of }
            | Notice::Preview { request: of, .. }
            | Notice::Outcome { request: of, .. } => request(of),
            Notice::Click(click) => {
                click.conversation = conversation();
                click.message = MessageId::parse(CARD);
                click.person = UserId::parse(APPROVER).unwrap();
                if let ClickResult::Approved(of) | ClickResult::Declined(of) | ClickResult::Expired(of) =
                    &mut click.result
                {
                    request(of);
                }
            }
            Notice::Answer(_) => {}
        }
    }
    notices.push(("answer", answer));
    notices
}

pub(super) fn notice(name: &str) -> Notice {
    notices(Language::En).into_iter().find(|(known, _)| *known == name).unwrap().1
}
