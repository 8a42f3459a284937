//! The responses to commands: plain text for the person who typed the command.

use std::time::Duration;

use super::super::command::{Part, Problem};
use super::super::identity::{Conversation, Person};
use super::super::policy::NotAllowed;
use super::super::request::ChatRequest;
use super::{Language, Text, duration, notices};
use crate::request::{DEADLINE_SECONDS, RejectionCode};

/// What the intake answers to a command, for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Help,
    /// The dry run is in the request queue: the request, and how long it can be approved, in seconds.
    Accepted {
        request: ChatRequest,
        approval_seconds: u64,
    },
    /// Nothing was accepted.
    Problems(Vec<Problem>),
    /// The deployment does not allow what the request names, by the kinds of rejection.
    Rejected(Vec<RejectionCode>),
    /// The lists do not allow the person. The ids show what an operator would add to a list.
    NotAllowed {
        why: NotAllowed,
        person: Person,
        conversation: Conversation,
    },
    /// AWS did not respond in time, or a secret cannot be read: nothing is known to be accepted.
    TryAgain,
}

const HELP: Text = Text::new(
    "Detaches a security group from a PrivateLink endpoint, after another person approves it.

{command} detach sg-… ep-… REGION
A dry run comes first: it changes nothing. If it passes, its result comes here, with buttons for the approval.

{command} dry-run sg-… ep-… REGION
Only the dry run.

Options:
deadline=2h: how long the detach may take after its approval, from {shortest} to {longest}
ticket=CHG-1234: the name of a change or an incident, shown with the request

Example: {command} detach sg-bp1example ep-bp1example eu-west-1 deadline=2h ticket=CHG-1234

Separate the ids and options with spaces, in any order. A person in CHAT_APPROVERS approves; the requester cannot \
approve their own request. The requester and the approvers can decline.

中文：{command} 帮助",
    "移除终端节点的安全组，须由另一人批准后执行。

{command} 移除 sg-… ep-… 地域
先执行预检，预检不做任何更改。如果通过，预检结果会发送到此会话，并附带审批按钮。

{command} 预检 sg-… ep-… 地域
只执行预检。

选项：
deadline=2h：批准后最多允许的移除时长，从 {shortest}到 {longest}
ticket=CHG-1234：变更单或故障单的编号，随请求一起显示

示例：{command} 移除 sg-bp1example ep-bp1example cn-hangzhou deadline=2h ticket=CHG-1234

ID 和选项以空格分隔，顺序不限。由 CHAT_APPROVERS 中的人员批准，申请人不能批准自己的请求。申请人和审批人都可以拒绝。

English: {command} help",
);

const ACCEPTED: Text = Text::new(
    "The dry run of detaching {group} from {endpoint} in {region} is queued as {request}. Its result comes here; if it \
     passes, with buttons for the approval, which is possible within {time} from now. If another request for this endpoint \
     is in progress, the dry run waits for it. Nothing changes until an approver other than the requester approves.",
    "从终端节点 {endpoint}（{region}）移除安全组 {group} 的预检已进入队列，请求 ID 为 {request}。\
     预检结果会发送到此会话；如果通过，会附带审批按钮，须在 {time}内批准。\
     如果该终端节点有其他请求正在执行，预检会等待其结束。在申请人以外的审批人批准之前，不会做任何更改。",
);

const ACCEPTED_DRY_RUN: Text = Text::new(
    "The dry run of detaching {group} from {endpoint} in {region} is queued as {request}. Its result comes here. If another \
     request for this endpoint is in progress, the dry run waits for it. Nothing is detached.",
    "从终端节点 {endpoint}（{region}）移除安全组 {group} 的预检已进入队列，请求 ID 为 {request}。\
     预检结果会发送到此会话。如果该终端节点有其他请求正在执行，预检会等待其结束。不会移除安全组。",
);

const PROBLEMS: Text = Text::new("The command is not accepted:", "命令未被接受：");
const MISSING: Text = Text::new("{part} is missing: it {rule}.", "缺少{part}：{rule}。");
const REPEATED: Text = Text::new("{part} is given more than once.", "重复指定了{part}。");
const INVALID: Text = Text::new("{part} is not valid: it {rule}.", "无效的{part}：{rule}。");
const UNKNOWN: Text = Text::new(
    "Words that the command does not know: {number}. Remove or correct them; regions, sg- and ep- are in lower case.",
    "有 {number} 个无法识别的词，请删除或更正；地域、sg- 和 ep- 须为小写。",
);
const SEE_HELP: Text = Text::new(
    "Nothing was requested. For an example, type: {command} help",
    "未提交任何请求。查看示例请输入：{command} 帮助",
);

/// The name of a part of a command, and the rule for its values.
fn part(part: Part) -> (Text, Text) {
    match part {
        Part::Verb => {
            (Text::new("The verb", "操作"), Text::new("must be detach or dry-run", "应为“移除”或“预检”"))
        }
        Part::SecurityGroup => (
            Text::new("The security group", "安全组 ID"),
            Text::new(
                "must be sg- and 1 to 61 letters, digits, _ or -",
                "应为 sg- 加 1 至 61 个字母、数字、_ 或 -",
            ),
        ),
        Part::Endpoint => (
            Text::new("The endpoint", "终端节点 ID"),
            Text::new(
                "must be ep- and 1 to 61 letters, digits, _ or -",
                "应为 ep- 加 1 至 61 个字母、数字、_ 或 -",
            ),
        ),
        Part::Region => (
            Text::new("The region", "地域"),
            Text::new("must be a region id, such as eu-west-1", "应为地域 ID，例如 cn-hangzhou"),
        ),
        Part::Deadline => (
            Text::new("The deadline", "时限"),
            Text::new(
                "must be seconds, or a number with s, m or h, such as deadline=90m, from {shortest} to {longest}",
                "应为秒数，或以 s、m、h 结尾的数字，例如 deadline=90m，从 {shortest}到 {longest}",
            ),
        ),
        Part::Ticket => (
            Text::new("The ticket", "工单编号"),
            Text::new(
                "must be 1 to 64 letters, digits, . _ : or -, such as ticket=CHG-1234",
                "应为 1 至 64 个字母、数字、.、_、: 或 -，例如 ticket=CHG-1234",
            ),
        ),
    }
}

const REJECTED: Text = Text::new("This deployment does not accept the request:", "此部署不接受该请求：");
const REJECTED_ADVICE: Text = Text::new(
    "Nothing was requested. Check the ids. If they are correct, an operator of this deployment decides about the setting.",
    "未提交任何请求。请检查各 ID；如果无误，请联系此部署的运维人员确认该设置。",
);

/// Why the deployment does not accept a request.
fn rejection(code: RejectionCode) -> Text {
    match code {
        RejectionCode::InvalidRequest => Text::new("The request is not valid.", "请求无效。"),
        RejectionCode::RegionNotAllowed => Text::new(
            "The region is not in the setting ALLOWED_REGIONS.",
            "地域不在设置 ALLOWED_REGIONS 的允许范围内。",
        ),
        RejectionCode::ProtectedEndpoint => Text::new(
            "The endpoint is protected by the setting PROTECTED_ENDPOINTS.",
            "终端节点受设置 PROTECTED_ENDPOINTS 保护。",
        ),
        RejectionCode::ProtectedSecurityGroup => Text::new(
            "The security group is protected by the setting PROTECTED_SECURITY_GROUPS.",
            "安全组受设置 PROTECTED_SECURITY_GROUPS 保护。",
        ),
    }
}

const TRY_AGAIN: Text = Text::new(
    "The command is not known to be accepted: AWS did not respond in time, or this deployment cannot read its secrets. Send \
     the command again. A command that was accepted twice makes two dry runs and detaches nothing. If it happens again, \
     inform an operator of this deployment.",
    "AWS 未及时响应，或此部署无法读取其密钥，因此无法确定命令是否已被接受。请重新发送命令。即使命令被接受两次，\
     也只会执行两次预检，不会移除安全组。如果再次出现，请通知此部署的运维人员。",
);

impl Answer {
    /// The answer as plain text. `command` is the command's own name.
    #[must_use]
    pub fn text(&self, language: Language, command: &str) -> String {
        let command = ("command", command);
        match self {
            Self::Help => {
                let limits = deadline_limits(language);
                let [shortest, longest] = limits.each();
                HELP.fill(language, &[command, shortest, longest])
            }
            Self::Accepted { request, approval_seconds } => {
                let text = if request.dry_run { ACCEPTED_DRY_RUN } else { ACCEPTED };
                let values = [
                    ("group", request.security_group_id.as_str()),
                    ("endpoint", request.endpoint_id.as_str()),
                    ("region", request.region_id.as_str()),
                    ("request", &request.request_id().to_string()),
                    ("time", &duration(language, Duration::from_secs(*approval_seconds))),
                ];
                text.fill(language, &values)
            }
            Self::Problems(problems) => {
                let problems = problems.iter().map(|problem| problem_text(*problem, language));
                list(PROBLEMS, problems, &SEE_HELP.fill(language, &[command]), language)
            }
            Self::Rejected(codes) => {
                let codes = codes.iter().map(|code| rejection(*code).of(language).to_owned());
                list(REJECTED, codes, REJECTED_ADVICE.of(language), language)
            }
            Self::NotAllowed { why, person, conversation } => {
                let (person, place) = (person.to_string(), conversation.to_string());
                let tenant = conversation.tenant.to_string();
                let values = [("person", &*person), ("conversation", &*place), ("tenant", &*tenant)];
                notices::not_allowed(*why).fill(language, &values)
            }
            Self::TryAgain => TRY_AGAIN.of(language).to_owned(),
        }
    }
}

/// The shortest and the longest deadline.
struct DeadlineLimits {
    shortest: String,
    longest: String,
}

impl DeadlineLimits {
    fn each(&self) -> [(&str, &str); 2] {
        [("shortest", &self.shortest), ("longest", &self.longest)]
    }
}

fn deadline_limits(language: Language) -> DeadlineLimits {
    let shown = |seconds: &u64| duration(language, Duration::from_secs(*seconds));
    DeadlineLimits { shortest: shown(DEADLINE_SECONDS.start()), longest: shown(DEADLINE_SECONDS.end()) }
}

fn problem_text(problem: Problem, language: Language) -> String {
    let (text, named) = match problem {
        Problem::Missing(part) => (MISSING, part),
        Problem::Repeated(part) => (REPEATED, part),
        Problem::Invalid(part) => (INVALID, part),
        Problem::Unknown(number) => return UNKNOWN.fill(language, &[("number", &number.to_string())]),
    };
    let (name, rule) = part(named);
    let rule = rule.fill(language, &deadline_limits(language).each());
    text.fill(language, &[("part", name.of(language)), ("rule", &rule)])
}

/// Lines between a first and a last one.
fn list(first: Text, lines: impl Iterator<Item = String>, last: &str, language: Language) -> String {
    let mut text = first.of(language).to_owned();
    for line in lines {
        text.push_str("\n• ");
        text.push_str(&line);
    }
    format!("{text}\n{last}")
}

/// Every text of this file.
#[cfg(test)]
pub(super) fn all() -> Vec<Text> {
    let parts = Part::ALL.into_iter().flat_map(|named| <[Text; 2]>::from(part(named)));
    let codes = [
        RejectionCode::InvalidRequest,
        RejectionCode::RegionNotAllowed,
        RejectionCode::ProtectedEndpoint,
        RejectionCode::ProtectedSecurityGroup,
    ];
    let others = [
        HELP,
        ACCEPTED,
        ACCEPTED_DRY_RUN,
        PROBLEMS,
        MISSING,
        REPEATED,
        INVALID,
        UNKNOWN,
        SEE_HELP,
        REJECTED,
        REJECTED_ADVICE,
        TRY_AGAIN,
    ];
    parts.chain(codes.map(rejection)).chain(others).collect()
}
