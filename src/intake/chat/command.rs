//! A command becomes a dry run in the request queue, and a text for the person who typed it.

use std::time::Instant;

use tracing::{info, warn};

use super::{Chat, Keys};
use crate::chat::call::CommandCall;
use crate::chat::command::{self, Command};
use crate::chat::request::{ChatRequest, id_of, unix_seconds};
use crate::chat::signed;
use crate::chat::texts::Answer;
use crate::lambda::Invocation;
use crate::request;

impl Chat {
    /// Puts the dry run of a command into the request queue. Returns the text for the person who typed it.
    pub(super) async fn command(
        &self,
        call: CommandCall,
        keys: Keys,
        until: Instant,
        invocation: &Invocation,
    ) -> String {
        let CommandCall { person, conversation, name, text, platform_id } = call;
        let parsed = command::parse(&text);
        let language = self.language.resolve(parsed.language);
        let (who, place) = (person.to_string(), conversation.to_string());
        let allowed = match &parsed.result {
            // Approvers read it, too.
            Ok(Command::Help) => self.policy.check_place(&person, &conversation),
            _ => self.policy.check_request(&person, &conversation),
        };
        let answer = if let Err(why) = allowed {
            warn!(person = who, conversation = place, list = why.name(), "chat command not allowed");
            Answer::NotAllowed { why, person, conversation }
        } else {
            match parsed.result {
                Ok(Command::Help) => Answer::Help,
                Err(problems) => {
                    info!(person = who, conversation = place, "chat command not understood");
                    Answer::Problems(problems)
                }
                Ok(Command::Detach(detach)) => {
                    let now = unix_seconds(invocation.clock.wall());
                    let expires_at = now + self.approval_timeout.as_secs();
                    let id = id_of(&conversation.tenant, &platform_id);
                    let request =
                        ChatRequest::of_command(detach, id, &person, conversation, language, expires_at);
                    self.preview(request, keys, until, invocation).await
                }
            }
        };
        answer.text(language, &name)
    }

    /// Puts a dry run into the request queue.
    async fn preview(
        &self,
        request: ChatRequest,
        keys: Keys,
        until: Instant,
        invocation: &Invocation,
    ) -> Answer {
        let Ok(keys) = keys else { return Answer::TryAgain };
        let request_id = request.request_id();
        let detach = request.to_detach(signed::metadata(&request, &keys));
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
