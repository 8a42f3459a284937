//! Who may request and who may approve: the lists of the configuration.
//!
//! Every list fails closed: an empty one allows no one.

use std::collections::BTreeSet;

use super::identity::{Conversation, Person, Tenant};

/// The lists of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// `CHAT_TENANTS`
    pub tenants: BTreeSet<Tenant>,
    /// `CHAT_CONVERSATIONS`
    pub conversations: BTreeSet<Conversation>,
    /// `CHAT_REQUESTERS`
    pub requesters: Requesters,
    /// `CHAT_APPROVERS`
    pub approvers: BTreeSet<Person>,
}

/// Who may request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requesters {
    /// Every person in an allowed conversation.
    Anyone,
    Listed(BTreeSet<Person>),
}

impl Default for Requesters {
    fn default() -> Self {
        Self::Listed(BTreeSet::new())
    }
}

/// Why a person may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotAllowed {
    /// The tenant is not in `CHAT_TENANTS`, or the person is from another tenant than the conversation.
    Tenant,
    /// The conversation is not in `CHAT_CONVERSATIONS`.
    Conversation,
    /// The person is not in `CHAT_REQUESTERS`.
    Requester,
    /// The person is not in `CHAT_APPROVERS`.
    Approver,
    /// The requester cannot approve their own request.
    OwnRequest,
    /// The requester of a request is no longer in `CHAT_REQUESTERS`: the request cannot be approved.
    RequesterRemoved,
    /// The button was not made by this deployment, or the key that signed it was removed.
    Unverified,
}

impl NotAllowed {
    pub const ALL: [Self; 7] = [
        Self::Tenant,
        Self::Conversation,
        Self::Requester,
        Self::Approver,
        Self::OwnRequest,
        Self::RequesterRemoved,
        Self::Unverified,
    ];

    /// The name in logs and notices.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Conversation => "conversation",
            Self::Requester => "requester",
            Self::Approver => "approver",
            Self::OwnRequest => "own_request",
            Self::RequesterRemoved => "requester_removed",
            Self::Unverified => "unverified",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }
}

impl Policy {
    /// Whether the person may use this conversation at all.
    pub fn check_place(&self, person: &Person, conversation: &Conversation) -> Result<(), NotAllowed> {
        if !self.tenants.contains(&conversation.tenant) || person.tenant != conversation.tenant {
            Err(NotAllowed::Tenant)
        } else if !self.conversations.contains(conversation) {
            Err(NotAllowed::Conversation)
        } else {
            Ok(())
        }
    }

    /// Whether the person may request in this conversation.
    pub fn check_request(&self, person: &Person, conversation: &Conversation) -> Result<(), NotAllowed> {
        self.check_place(person, conversation)?;
        match &self.requesters {
            Requesters::Anyone => Ok(()),
            Requesters::Listed(people) if people.contains(person) => Ok(()),
            Requesters::Listed(_) => Err(NotAllowed::Requester),
        }
    }

    /// Whether the person may approve a request that `requester` made in this conversation.
    pub fn check_approval(
        &self,
        person: &Person,
        requester: &Person,
        conversation: &Conversation,
    ) -> Result<(), NotAllowed> {
        if person == requester {
            Err(NotAllowed::OwnRequest)
        } else if !self.approvers.contains(person) {
            Err(NotAllowed::Approver)
        } else {
            // The lists may have changed since the command.
            self.check_request(requester, conversation).map_err(|_| NotAllowed::RequesterRemoved)
        }
    }

    /// Whether the person may decline a request of `requester`.
    pub fn check_decline(&self, person: &Person, requester: &Person) -> Result<(), NotAllowed> {
        if person == requester || self.approvers.contains(person) {
            Ok(())
        } else {
            Err(NotAllowed::Approver)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(text: &str) -> Person {
        Person::parse(text).unwrap()
    }

    fn conversation(text: &str) -> Conversation {
        Conversation::parse(text).unwrap()
    }

    fn policy() -> Policy {
        Policy {
            tenants: [Tenant::parse("slack:T1").unwrap(), Tenant::parse("slack:T2").unwrap()].into(),
            conversations: [conversation("slack:T1/C1"), conversation("slack:T3/C3")].into(),
            requesters: Requesters::Listed([person("slack:T1/U1"), person("slack:T2/U1")].into()),
            approvers: [person("slack:T1/U1"), person("slack:T1/U2")].into(),
        }
    }

    #[test]
    fn empty_lists_allow_no_one() {
        let (person, conversation) = (person("slack:T1/U1"), conversation("slack:T1/C1"));
        let nothing = Policy::default();
        assert_eq!(nothing.check_request(&person, &conversation), Err(NotAllowed::Tenant));
        assert_eq!(
            nothing.check_approval(&person, &super::tests::person("slack:T1/U9"), &conversation),
            Err(NotAllowed::Approver)
        );
        for (empty, why) in [
            (Policy { tenants: [].into(), ..policy() }, NotAllowed::Tenant),
            (Policy { conversations: [].into(), ..policy() }, NotAllowed::Conversation),
            (Policy { requesters: Requesters::default(), ..policy() }, NotAllowed::Requester),
        ] {
            assert_eq!(empty.check_request(&person, &conversation), Err(why));
        }
    }

    #[test]
    fn request_needs_its_tenant_conversation_and_requester_in_the_lists() {
        for (who, place, result) in [
            ("slack:T1/U1", "slack:T1/C1", Ok(())),
            ("slack:T1/U2", "slack:T1/C1", Err(NotAllowed::Requester)),
            ("slack:T1/U1", "slack:T1/C2", Err(NotAllowed::Conversation)),
            ("slack:T3/U1", "slack:T3/C3", Err(NotAllowed::Tenant)),
            ("slack:T2/U1", "slack:T1/C1", Err(NotAllowed::Tenant)),
        ] {
            assert_eq!(policy().check_request(&person(who), &conversation(place)), result, "{who} {place}");
        }
        let open = Policy { requesters: Requesters::Anyone, ..policy() };
        assert_eq!(open.check_request(&person("slack:T1/U9"), &conversation("slack:T1/C1")), Ok(()));
        assert_eq!(
            open.check_request(&person("slack:T1/U9"), &conversation("slack:T1/C2")),
            Err(NotAllowed::Conversation)
        );
    }

    #[test]
    fn approver_is_listed_and_never_the_requester() {
        let (policy, requester) = (policy(), person("slack:T1/U1"));
        let conversation = conversation("slack:T1/C1");
        for (who, approval, decline) in [
            ("slack:T1/U2", Ok(()), Ok(())),
            ("slack:T1/U1", Err(NotAllowed::OwnRequest), Ok(())),
            ("slack:T1/U3", Err(NotAllowed::Approver), Err(NotAllowed::Approver)),
            ("slack:T2/U2", Err(NotAllowed::Approver), Err(NotAllowed::Approver)),
        ] {
            assert_eq!(policy.check_approval(&person(who), &requester, &conversation), approval, "{who}");
            assert_eq!(policy.check_decline(&person(who), &requester), decline, "{who}");
        }
    }
    #[test]
    fn request_of_a_removed_requester_cannot_be_approved() {
        let (approver, requester) = (person("slack:T1/U2"), person("slack:T1/U1"));
        let conversation = conversation("slack:T1/C1");
        let approval = |policy: &Policy| policy.check_approval(&approver, &requester, &conversation);
        assert_eq!(approval(&policy()), Ok(()));
        let removed = Policy { requesters: Requesters::default(), ..policy() };
        assert_eq!(approval(&removed), Err(NotAllowed::RequesterRemoved));
        assert_eq!(removed.check_decline(&approver, &requester), Ok(()));
        // Only an approver learns it.
        let other = person("slack:T1/U3");
        assert_eq!(removed.check_approval(&other, &requester, &conversation), Err(NotAllowed::Approver));
    }
}
