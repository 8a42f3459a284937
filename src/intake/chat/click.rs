//! A click becomes a notice for the messenger, and an approval a request in the request queue before it.

use std::sync::Arc;
use std::time::Instant;

use tracing::{error, info, warn};

use super::{Chat, Handled, Keys};
use crate::aws::secret::SecretUnavailable;
use crate::chat::call::{self, Acknowledgement, Click};
use crate::chat::decision::{self, ClickResult};
use crate::chat::identity::Platform;
use crate::chat::notice;
use crate::chat::policy::NotAllowed;
use crate::chat::signed::{self, ChatKeys};
use crate::chat::texts::Language;
use crate::clock::Clock;
use crate::lambda::Invocation;
use crate::request::RequestId;

impl Chat {
    /// Carries out what a click means, and sends the notice about it.
    pub(super) async fn click(
        &self,
        platform: Platform,
        clicked: Click,
        keys: Keys,
        until: Instant,
        invocation: &Invocation,
    ) -> Handled {
        let clock = &invocation.clock;
        let Ok(keys) = self.keys_of(&clicked, keys, until, clock).await else { return Handled::Failed };
        let (who, action) = (clicked.person.to_string(), clicked.action.name());
        let language = self.language.resolve(Language::default());
        let notice = match decision::decide(&clicked, &self.policy, &keys, language, clock.wall()) {
            Ok(notice) => notice,
            Err(why) => {
                let place = clicked.conversation.as_ref().map(ToString::to_string);
                warn!(
                    person = who,
                    conversation = place,
                    action,
                    list = why.name(),
                    "chat click not allowed"
                );
                return Handled::Done(call::empty(platform));
            }
        };
        let (result, place) = (notice.result.name(), notice.conversation.to_string());
        let request_id = notice.request_id.as_ref().map(RequestId::as_str);
        let list = match &notice.result {
            ClickResult::NotAllowed(why) => Some(why.name()),
            _ => None,
        };
        if notice.result == ClickResult::NotAllowed(NotAllowed::Unverified) {
            error!(
                person = who,
                conversation = place,
                "the clicked button cannot be verified: no chat signing key made it for this conversation"
            );
        }
        info!(person = who, conversation = place, action, result, list, request_id, "chat click");
        if let ClickResult::Approved(request) = &notice.result {
            let detach = request.to_detach(signed::metadata(request, &keys));
            if self.request(detach, request.request_id(), until, invocation).await.is_err() {
                return Handled::Failed;
            }
        }
        let Acknowledgement { body, notice_after } = call::acknowledge(&notice);
        let Some(after) = notice_after else { return Handled::Done(body) };
        let sent = self.notify(&notice::body(&notice, &keys), after, until, clock).await;
        let Err(failure) = sent else { return Handled::Done(body) };
        error!(
            person = who,
            conversation = place,
            result,
            request_id,
            "the notice of a click is not sent: {failure}"
        );
        match notice.result {
            // The request is in the queue, and its outcome will be posted.
            ClickResult::Approved(_) => Handled::Done(body),
            _ => Handled::Failed,
        }
    }

    /// The keys that verify a button: read again if none of the cached ones made it. While they cannot be read again, nothing
    /// is known about such a button.
    async fn keys_of(
        &self,
        clicked: &Click,
        keys: Keys,
        until: Instant,
        clock: &Clock,
    ) -> Result<Arc<ChatKeys>, SecretUnavailable> {
        let keys = keys?;
        if signed::open_button(&clicked.value, &keys).is_some() {
            return Ok(keys);
        }
        Ok(self.keys.after_mismatch_by(until, clock).await?.unwrap_or(keys))
    }
}
