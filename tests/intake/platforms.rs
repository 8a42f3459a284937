//! The calls of each chat platform, in one form for the tests that concern every platform.

use std::time::SystemTime;

use local_aws::{FunctionUrlSettings, LocalAws};
use privatelink_detach::chat::answer::AnswerNotice;
use privatelink_detach::chat::call;
use privatelink_detach::chat::decision::ClickNotice;
use privatelink_detach::chat::identity::{Conversation, MessageId, Person, Platform};
use privatelink_detach::chat::notice::Notice;
use privatelink_detach::chat::request::ChatRequest;
use privatelink_detach::chat::signed;
use privatelink_detach::chat::texts::{Answer, Language, LanguageSetting};
use privatelink_detach::request::RequestId;
use serde_json::{Value, json};

use crate::deployment::{Call, Deployment, Response, Settings};
use crate::slack::{self, KEY, NOTICES, VERIFICATION_ARN, keys};
use crate::{dingtalk, feishu};

/// A platform: its ids, its secrets, and how it makes a call.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) platform: Platform,
    pub(crate) tenant: &'static str,
    pub(crate) conversation: &'static str,
    pub(crate) requester: &'static str,
    pub(crate) approver: &'static str,
    /// Ids in no list, of the forms of this platform.
    pub(crate) other_tenant: &'static str,
    pub(crate) other_conversation: &'static str,
    pub(crate) other_person: &'static str,
    /// The command's name in texts.
    pub(crate) command_name: &'static str,
    /// The message with the buttons, as a click names it.
    pub(crate) card: &'static str,
    /// The secrets that sign commands and clicks.
    pub(crate) command_secret: &'static str,
    pub(crate) click_secret: &'static str,
    /// A secret of the same form that is not this deployment's.
    pub(crate) other_secret: &'static str,
    /// The names of the headers that authenticate a command and a click, the signature last.
    pub(crate) command_headers: &'static [&'static str],
    pub(crate) click_headers: &'static [&'static str],
    /// The call of a command or click that this secret signs; the timestamp differs from now by so many seconds.
    pub(crate) type_command: fn(&Typed, &str, i64) -> Call,
    pub(crate) click_button: fn(&Clicked, &str, i64) -> Call,
}

/// Every platform.
pub(crate) const DRIVERS: [&Driver; 3] = [&slack::DRIVER, &dingtalk::DRIVER, &feishu::DRIVER];

/// The platforms that show nothing of the response to a command.
pub(crate) const BY_NOTICE: [&Driver; 2] = [&dingtalk::DRIVER, &feishu::DRIVER];

/// A command that a person typed.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) driver: &'static Driver,
    pub(crate) tenant: &'static str,
    pub(crate) conversation: &'static str,
    pub(crate) person: &'static str,
    pub(crate) text: String,
    /// The platform's own id of the command.
    pub(crate) id: String,
    /// How many seconds ago it was typed, if the platform says so.
    pub(crate) age: i64,
}

/// A button that a person clicked.
#[derive(Debug, Clone)]
pub(crate) struct Clicked {
    pub(crate) driver: &'static Driver,
    /// The tenant of the person.
    pub(crate) tenant: &'static str,
    /// Where it was clicked, if the platform says so.
    pub(crate) conversation: &'static str,
    pub(crate) person: &'static str,
    pub(crate) action: &'static str,
    pub(crate) value: String,
}

impl Typed {
    /// A command of the requester.
    pub(crate) fn new(driver: &'static Driver, text: &str) -> Self {
        Self {
            driver,
            tenant: driver.tenant,
            conversation: driver.conversation,
            person: driver.requester,
            text: text.to_owned(),
            id: format!("om_{:032x}", fastrand::u128(..)),
            age: 0,
        }
    }

    /// Its call, signed now.
    pub(crate) fn call(&self) -> Call {
        self.signed(self.driver.command_secret, 0)
    }

    /// Its call, signed with this secret; the timestamp differs from now by so many seconds.
    pub(crate) fn signed(&self, secret: &str, seconds_from_now: i64) -> Call {
        (self.driver.type_command)(self, secret, seconds_from_now)
    }
}

impl Clicked {
    /// A click of the approver on *Approve*.
    pub(crate) fn approve(driver: &'static Driver, value: &str) -> Self {
        Self {
            driver,
            tenant: driver.tenant,
            conversation: driver.conversation,
            person: driver.approver,
            action: "approve",
            value: value.to_owned(),
        }
    }

    /// A click of the approver on *Decline*.
    pub(crate) fn decline(driver: &'static Driver, value: &str) -> Self {
        Self { action: "decline", ..Self::approve(driver, value) }
    }

    /// Its call, signed now.
    pub(crate) fn call(&self) -> Call {
        self.signed(self.driver.click_secret, 0)
    }

    /// Its call, signed with this secret; the timestamp differs from now by so many seconds.
    pub(crate) fn signed(&self, secret: &str, seconds_from_now: i64) -> Call {
        (self.driver.click_button)(self, secret, seconds_from_now)
    }
}

impl Driver {
    pub(crate) fn person(&self, id: &str) -> Person {
        Person::parse(&format!("{}:{}/{id}", self.platform.name(), self.tenant)).unwrap()
    }

    pub(crate) fn place(&self, id: &str) -> Conversation {
        Conversation::parse(&format!("{}:{}/{id}", self.platform.name(), self.tenant)).unwrap()
    }

    /// The message with the buttons.
    pub(crate) fn message(&self) -> Option<MessageId> {
        MessageId::parse(self.card)
    }

    /// A request of the requester that waits for its approval for the next minutes.
    pub(crate) fn pending(&self, number: u32) -> ChatRequest {
        ChatRequest {
            conversation: self.place(self.conversation),
            requester: self.person(self.requester).id,
            id: RequestId::parse(&format!("{}-{number:024x}", self.platform.name())).unwrap(),
            ..slack::pending(number)
        }
    }

    /// The value of the buttons of a pending request.
    pub(crate) fn button(&self, number: u32) -> String {
        signed::button(&self.pending(number), &keys(&[KEY]))
    }

    /// The response to a call after which the platform shows nothing.
    #[track_caller]
    pub(crate) fn assert_shows_nothing(&self, response: &Response) {
        let body = call::empty(self.platform).unwrap_or(Value::Null);
        assert_eq!((response.status.as_u16(), &response.body), (200, &body), "{response:?}");
    }

    /// The response to a call that the platform or the person makes again.
    #[track_caller]
    pub(crate) fn assert_unavailable(&self, response: &Response) {
        response.assert_problem(503);
        assert_eq!(response.header("retry-after"), Some("10"), "{}", self.platform.name());
    }

    /// Asserts that the response is the one for every call that is not authenticated, without a reason.
    #[track_caller]
    pub(crate) fn assert_unauthorized(&self, response: &Response) {
        response.assert_problem(401);
        assert_eq!(response.header("x-amzn-remapped-www-authenticate"), Some(self.platform.name()));
        assert_eq!(response.body["detail"], "The call is not authenticated.");
    }

    /// Asserts that this person, and no other, reads this text: in the response, or in the only notice.
    #[track_caller]
    pub(crate) fn assert_told(&self, deployment: &Deployment, response: &Response, answer: &Answer) {
        let text = answer.text(Language::En, self.command_name);
        let told = notices(deployment);
        if let Some(body) = call::answer(self.platform, &text) {
            assert_eq!((&response.body, told), (&body, vec![]));
            return;
        }
        self.assert_shows_nothing(response);
        let [Notice::Answer(told)] = &told[..] else { panic!("one answer: {told:?}") };
        assert_eq!(told.text, text);
    }

    /// Makes the call of a command about which no notice is sent.
    pub(crate) async fn assert_no_notice(&self, deployment: &Deployment, command: &Typed) {
        let before = notices(deployment);
        let response = deployment.call(command.call()).await;
        assert_eq!((response.status.as_u16(), notices(deployment)), (200, before), "{command:?}");
    }

    /// The variables of chat: one tenant, one conversation, one requester, and two approvers of whom one is the requester.
    fn variables(&self) -> [(&'static str, String); 4] {
        let of = |id: &str| format!("{}:{}/{id}", self.platform.name(), self.tenant);
        [
            ("CHAT_TENANTS", format!("{}:{}", self.platform.name(), self.tenant)),
            ("CHAT_CONVERSATIONS", of(self.conversation)),
            ("CHAT_REQUESTERS", of(self.requester)),
            ("CHAT_APPROVERS", format!("{},{}", of(self.approver), of(self.requester))),
        ]
    }

    /// A deployment with chat on this platform.
    pub(crate) async fn deployment(&self) -> Deployment {
        self.deployment_with(&[]).await
    }

    /// The same with additional variables.
    pub(crate) async fn deployment_with(&self, environment: &[(&'static str, &str)]) -> Deployment {
        self.deployment_on(aws().await, environment).await
    }

    /// The same with services as they are.
    pub(crate) async fn deployment_on(
        &self,
        aws: LocalAws,
        environment: &[(&'static str, &str)],
    ) -> Deployment {
        let mut variables = slack::variables(&aws);
        variables.extend(self.variables());
        variables.extend(environment.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let settings = Settings { environment: variables, url: FunctionUrlSettings::default() };
        Deployment::with_aws(aws, settings).await
    }
}

/// AWS services with both queues and the secrets of chat on every platform.
pub(crate) async fn aws() -> LocalAws {
    let aws = slack::aws().await;
    aws.secrets().put(VERIFICATION_ARN, verification(&[dingtalk::member(&[]), feishu::member(&[])]));
    aws
}

/// The verification secrets with these members, and that of Slack.
pub(crate) fn verification(members: &[(&str, Value)]) -> String {
    let mut secret = json!({ "slack": { "signing_secrets": [slack::SLACK_SECRET] } });
    for (platform, member) in members {
        secret[*platform] = member.clone();
    }
    secret.to_string()
}

/// What the messenger would post.
pub(crate) fn notices(deployment: &Deployment) -> Vec<Notice> {
    let messages = deployment.aws.queues().messages(NOTICES).unwrap().to_vec();
    let notice = |body: &str| {
        Notice::parse(body, &keys(&[KEY, slack::KEY_NEXT]), LanguageSetting::Auto, SystemTime::now())
    };
    messages.iter().map(|message| notice(&message.body).expect("a notice")).collect()
}

/// The clicks in the queue of notices.
pub(crate) fn clicks(deployment: &Deployment) -> Vec<ClickNotice> {
    let click = |notice| match notice {
        Notice::Click(click) => Some(click),
        _ => None,
    };
    notices(deployment).into_iter().filter_map(click).collect()
}

/// The answers in the queue of notices.
pub(crate) fn answers(deployment: &Deployment) -> Vec<AnswerNotice> {
    let answer = |notice| match notice {
        Notice::Answer(answer) => Some(answer),
        _ => None,
    };
    notices(deployment).into_iter().filter_map(answer).collect()
}
