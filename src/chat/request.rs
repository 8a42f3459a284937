//! The signed content: one request, from the command to the outcome.

use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::command::{Detach, Ticket};
use super::identity::{Conversation, MessageId, Person, Tenant, UserId};
use super::texts::Language;
use crate::request::{DetachRequest, EndpointId, Metadata, RegionId, RequestId, SecurityGroupId};

/// The deadline of a dry run. Its result is useful only while people wait for it, and a lane may be busy for minutes.
pub const PREVIEW_DEADLINE: Duration = Duration::from_mins(10);

/// What the `request_id` of a dry run ends with.
const PREVIEW_SUFFIX: &str = ".preview";

/// Whether a completion event is that of the dry run or of the approved request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The dry run that the command requested.
    Preview,
    /// The detach that was approved.
    Outcome,
}

impl Phase {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Outcome => "outcome",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Preview, Self::Outcome].into_iter().find(|phase| phase.name() == name)
    }

    /// The request's own id, from the name under which the worker carried it out in this phase.
    #[must_use]
    pub fn id(self, request_id: &RequestId) -> Option<RequestId> {
        match self {
            Self::Preview => RequestId::parse(request_id.as_str().strip_suffix(PREVIEW_SUFFIX)?),
            Self::Outcome => Some(request_id.clone()),
        }
    }
}

/// A request that a person typed, and what happened to it since. All of it is signed, in each use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    pub conversation: Conversation,
    /// The message that the next post answers: the command, if the platform's is a message, and the approval request once it
    /// was approved.
    pub thread: Option<MessageId>,
    /// A person of the conversation's tenant.
    pub requester: UserId,
    /// A person of the conversation's tenant, once the request is approved.
    pub approver: Option<UserId>,
    pub language: Language,
    pub phase: Phase,
    /// The request's own id, without the suffix of the dry run.
    pub id: RequestId,
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    pub security_group_id: SecurityGroupId,
    /// Whether the requester wants the dry run alone.
    pub dry_run: bool,
    /// Until when it can be approved, in seconds since 1970-01-01.
    pub expires_at: u64,
    /// How long the detach may take, if the requester says so.
    pub deadline: Option<Duration>,
    pub ticket: Option<Ticket>,
}

/// The name of a request, derived from the platform's own id of the command: a repeated delivery has the same, and 96 bits
/// of a hash are enough that no two requests of a deployment get the same by chance.
#[must_use]
pub fn id_of(tenant: &Tenant, platform_id: &str) -> RequestId {
    let hash = Sha256::digest(format!("{tenant}\n{platform_id}"));
    let number = hash.iter().take(12).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    RequestId::from_source(&format!("{}-{number:024x}", tenant.platform.name()))
}

/// The seconds since 1970-01-01.
#[must_use]
pub fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl ChatRequest {
    /// The request of a command, which first becomes a dry run. `expires_at` is in seconds since 1970-01-01.
    #[must_use]
    pub fn of_command(
        detach: Detach,
        id: RequestId,
        requester: &Person,
        conversation: Conversation,
        language: Language,
        expires_at: u64,
    ) -> Self {
        let Detach { region_id, endpoint_id, security_group_id, dry_run, deadline, ticket } = detach;
        Self {
            conversation,
            thread: None,
            requester: requester.id.clone(),
            approver: None,
            language,
            phase: Phase::Preview,
            id,
            region_id,
            endpoint_id,
            security_group_id,
            dry_run,
            expires_at,
            deadline,
            ticket,
        }
    }

    /// The name of the request that the worker carries out in this phase.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        match self.phase {
            Phase::Preview => RequestId::from_source(&format!("{}{PREVIEW_SUFFIX}", self.id)),
            Phase::Outcome => self.id.clone(),
        }
    }

    /// Whether it can no longer be approved.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        unix_seconds(now) >= self.expires_at
    }

    /// The requester, as the lists name people.
    #[must_use]
    pub fn requester(&self) -> Person {
        Person { tenant: self.conversation.tenant.clone(), id: self.requester.clone() }
    }

    /// The approver, as the lists name people.
    #[must_use]
    pub fn approver(&self) -> Option<Person> {
        let id = self.approver.clone()?;
        Some(Person { tenant: self.conversation.tenant.clone(), id })
    }

    /// The request that the worker carries out in this phase, with this metadata.
    ///
    /// A dry run expects the group on the endpoint: a mistyped id must not look like a completed detach. The
    /// approved request does not, because a repeated click may find the work done.
    #[must_use]
    pub fn to_detach(&self, metadata: Metadata) -> DetachRequest {
        let is_preview = self.phase == Phase::Preview;
        DetachRequest {
            region_id: self.region_id.clone(),
            endpoint_id: self.endpoint_id.clone(),
            security_group_id: self.security_group_id.clone(),
            dry_run: is_preview,
            expect_attached: is_preview,
            client_token: None,
            request_id: Some(self.request_id()),
            deadline: if is_preview { Some(PREVIEW_DEADLINE) } else { self.deadline },
            metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::command::{self, Command};
    use crate::chat::samples::{EXPIRES_AT, approved, at, conversation, longest, request, requester};

    #[test]
    fn id_is_derived_from_the_workspace_and_slacks_own_id() {
        let tenant = |text| Tenant::parse(text).unwrap();
        let id = id_of(&tenant("slack:T1"), "13345224609.738474920.8088930838d88f008e0");
        // printf 'slack:T1\n13345224609.738474920.8088930838d88f008e0' | sha256sum | cut -c -24
        assert_eq!(id.as_str(), "slack-5de8e6e0de7836a624dbb0f6");
        for other in [
            id_of(&tenant("slack:T2"), "13345224609.738474920.8088930838d88f008e0"),
            id_of(&tenant("slack:T1"), "13345224609.738474920.8088930838d88f008e1"),
        ] {
            assert_ne!(other, id);
            assert_eq!(other.as_str().len(), "slack-".len() + 24);
        }
    }

    #[test]
    fn dry_run_and_request_have_names_of_their_own() {
        let request_id = request().request_id();
        assert_eq!(request_id.as_str(), "slack-0123456789abcdef01234567.preview");
        assert_eq!(Phase::Preview.id(&request_id), Some(request().id));
        assert_eq!(approved().request_id(), request().id);
        assert_eq!(Phase::Outcome.id(&request().id), Some(request().id));
        // A name without the suffix is not that of a dry run.
        assert_eq!(Phase::Preview.id(&request().id), None);
        assert_eq!(Phase::Preview.id(&RequestId::parse(".preview").unwrap()), None);
    }

    #[test]
    fn names_of_phases_are_read_as_they_are_written() {
        for phase in [Phase::Preview, Phase::Outcome] {
            assert_eq!(Phase::parse(phase.name()), Some(phase));
        }
        assert_eq!(Phase::parse("Preview"), None);
    }

    #[test]
    fn command_becomes_a_request_of_its_first_phase() {
        let text =
            "detach sg-hp3c8qj1tyct90ejabcd ep-hp33b2e43fays7s8abcd eu-west-1 deadline=2h ticket=CHG-7";
        let Ok(Command::Detach(detach)) = command::parse(text).result else { panic!("a command") };
        let id = request().id;
        let made =
            ChatRequest::of_command(detach, id, &requester(), conversation(), Language::En, EXPIRES_AT);
        assert_eq!(made, request());
    }

    #[test]
    fn preview_is_a_dry_run_that_expects_the_group() {
        let metadata = Metadata::from([("chat".to_owned(), "x".to_owned())]);
        let preview = request().to_detach(metadata.clone());
        let expected = DetachRequest {
            region_id: request().region_id,
            endpoint_id: request().endpoint_id,
            security_group_id: request().security_group_id,
            dry_run: true,
            expect_attached: true,
            client_token: None,
            request_id: RequestId::parse("slack-0123456789abcdef01234567.preview"),
            deadline: Some(PREVIEW_DEADLINE),
            metadata,
        };
        assert_eq!(preview, expected);
        let outcome = approved().to_detach(expected.metadata.clone());
        let (request_id, deadline) = (Some(request().id), request().deadline);
        let real = DetachRequest { dry_run: false, expect_attached: false, request_id, deadline, ..expected };
        assert_eq!(outcome, real);
        let without = ChatRequest { deadline: None, ..approved() };
        assert_eq!(without.to_detach(Metadata::new()).deadline, None);
    }

    #[test]
    fn request_expires_at_its_time() {
        assert!(!request().is_expired(at(EXPIRES_AT - 1)));
        assert!(request().is_expired(at(EXPIRES_AT)));
        assert!(!longest().is_expired(at(EXPIRES_AT)));
        assert_eq!(unix_seconds(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
