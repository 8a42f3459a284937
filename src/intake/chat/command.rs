//! A command becomes a dry run in the request queue, and an answer for the person who typed it.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::{Chat, Handled, Keys};
use crate::aws::secret::SecretUnavailable;
use crate::chat::answer::AnswerNotice;
use crate::chat::call::{self, CommandCall};
use crate::chat::command::{self, Command, Problem};
use crate::chat::identity::Platform;
use crate::chat::policy::NotAllowed;
use crate::chat::request::{ChatRequest, id_of, unix_seconds};
use crate::chat::texts::{Answer, Language};
use crate::chat::{notice, signed};
use crate::lambda::Invocation;
use crate::request::{self, RequestId};

impl Chat {
    /// Puts the dry run of a command into the request queue, and answers the person who typed it: in the response, or by a
    /// notice if the platform does not show a response.
    pub(super) async fn command(
        &self,
        platform: Platform,
        call: CommandCall,
        keys: Keys,
        until: Instant,
        invocation: &Invocation,
    ) -> Handled {
        let parsed = command::parse(&call.text);
        let language = self.language.resolve(parsed.language);
        let answer = self.answer(&call, parsed.result, language, &keys, until, invocation).await;
        let text = answer.text(language, &call.name);
        if let Some(body) = call::answer(platform, &text) {
            return Handled::Done(Some(body));
        }
        if matches!(answer, Answer::NotAllowed { why: NotAllowed::Tenant, .. }) {
            // This deployment does not post to other tenants.
            return Handled::Done(call::empty(platform));
        }
        let request_id = match &answer {
            Answer::Accepted { request, .. } => Some(request.request_id()),
            _ => None,
        };
        let CommandCall { person, conversation, message, .. } = call;
        let notice = AnswerNotice { conversation, message, person: person.id, language, request_id, text };
        let sent = match &keys {
            Ok(keys) => {
                let body = notice::answer_body(&notice, keys);
                self.notify(&body, Duration::ZERO, until, &invocation.clock).await
            }
            Err(SecretUnavailable) => Err("the chat signing keys cannot be read".to_owned()),
        };
        let Err(failure) = sent else { return Handled::Done(call::empty(platform)) };
        let (who, place) = (notice.person.to_string(), notice.conversation.to_string());
        let request_id = notice.request_id.as_ref().map(RequestId::as_str);
        error!(
            person = who,
            conversation = place,
            request_id,
            "the answer to a chat command is not sent: {failure}"
        );
        match answer {
            // The request is in the queue, and its result will be posted.
            Answer::Accepted { .. } => Handled::Done(call::empty(platform)),
            _ => Handled::Failed,
        }
    }

    async fn answer(
        &self,
        call: &CommandCall,
        parsed: Result<Command, Vec<Problem>>,
        language: Language,
        keys: &Keys,
        until: Instant,
        invocation: &Invocation,
    ) -> Answer {
        let CommandCall { person, conversation, message, platform_id, .. } = call;
        let (who, place) = (person.to_string(), conversation.to_string());
        let allowed = match &parsed {
            // Approvers read it, too.
            Ok(Command::Help) => self.policy.check_place(person, conversation),
            _ => self.policy.check_request(person, conversation),
        };
        if let Err(why) = allowed {
            warn!(person = who, conversation = place, list = why.name(), "chat command not allowed");
            return Answer::NotAllowed { why, person: person.clone(), conversation: conversation.clone() };
        }
        match parsed {
            Ok(Command::Help) => Answer::Help,
            Err(problems) => {
                info!(person = who, conversation = place, "chat command not understood");
                Answer::Problems(problems)
            }
            Ok(Command::Detach(detach)) => {
                let expires_at = unix_seconds(invocation.clock.wall()) + self.approval_timeout.as_secs();
                let request = ChatRequest {
                    thread: message.clone(),
                    ..ChatRequest::of_command(
                        detach,
                        id_of(&conversation.tenant, platform_id),
                        person,
                        conversation.clone(),
                        language,
                        expires_at,
                    )
                };
                self.preview(request, keys, until, invocation).await
            }
        }
    }

    /// Puts a dry run into the request queue.
    async fn preview(
        &self,
        request: ChatRequest,
        keys: &Keys,
        until: Instant,
        invocation: &Invocation,
    ) -> Answer {
        let Ok(keys) = keys else { return Answer::TryAgain };
        let request_id = request.request_id();
        let detach = request.to_detach(signed::metadata(&request, keys));
        // What this deployment does not allow is refused here, and not an hour later.
        if let Err(rejection) = request::parse(&detach.to_body(&request_id), &self.rules).result {
            return Answer::Rejected(rejection.errors.into_iter().map(|error| error.code).collect());
        }
        if self.request(detach, request_id.clone(), until, invocation).await.is_err() {
            return Answer::TryAgain;
        }
        let (person, conversation) = (request.requester().to_string(), request.conversation.to_string());
        info!(person, conversation, request_id = request_id.as_str(), "chat command accepted");
        Answer::Accepted { approval_seconds: self.approval_timeout.as_secs(), request }
    }
}
