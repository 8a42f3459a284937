//! The texts that the messenger posts.

use super::super::completion::OutcomeName;
use super::super::policy::NotAllowed;
use super::Text;

/// What a message says first: a title, and a sentence or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    pub title: Text,
    pub lead: Text,
}

pub const APPROVAL_REQUEST: Headline = Headline {
    title: Text::new("Approval needed: detach a security group", "待审批：移除安全组"),
    lead: Text::new(
        "The dry run passed: Alibaba Cloud would accept the detach. Nothing changes until an approver other than \
         {requester} approves.",
        "预检通过，阿里云会接受该移除操作。在 {requester} 以外的审批人批准之前，不会做任何更改。",
    ),
};

/// The same for an endpoint's last group, before whose detach a replacement is attached.
pub const APPROVAL_REQUEST_REPLACE: Headline = Headline {
    title: Text::new(
        "Approval needed: replace an endpoint's last security group",
        "待审批：替换终端节点的最后一个安全组",
    ),
    lead: Text::new(
        "The security group is the endpoint's last one: {replacement} is attached first, and then the group is detached. The \
         dry run passed: Alibaba Cloud would accept the attach. Nothing changes until an approver other than {requester} \
         approves.",
        "这是终端节点的最后一个安全组，因此会先加入 {replacement}，再移除该安全组。预检通过，阿里云会接受加入操作。\
         在 {requester} 以外的审批人批准之前，不会做任何更改。",
    ),
};

pub const PREVIEW_EXPIRED: Headline = Headline {
    title: Text::new("Request expired", "请求已过期"),
    lead: Text::new(
        "The dry run passed, but the request had already expired. Nothing was changed. Send the command again.",
        "预检已通过，但请求此前已过期。未做任何更改。请重新发送命令。",
    ),
};

/// A preview that the worker did not receive as a dry run. Only a writer to the request queue can cause it.
pub const CHANGED_IN_QUEUE: Headline = Headline {
    title: Text::new("The dry run was changed to a detach", "预检被改成了移除"),
    lead: Text::new(
        "The request reached the worker as a detach and not as a dry run: it was changed in the queue. The security group \
         may have been detached. Check the endpoint's groups, and inform an operator of this deployment.",
        "worker 收到的是移除请求，而不是预检：队列中的请求被改动过。安全组可能已被移除。\
         请检查终端节点的安全组，并通知此部署的运维人员。",
    ),
};

/// A preview that Alibaba Cloud may have carried out as a detach.
pub const DRY_RUN_IGNORED: Headline = Headline {
    title: Text::new("The dry run may have detached the group", "预检可能已移除安全组"),
    lead: Text::new(
        "Alibaba Cloud responded to the dry run as if it were a real detach. The request cannot be approved.",
        "阿里云将预检当作真正的移除操作处理。该请求无法进入审批。",
    ),
};

/// The result of a dry run alone, for the last group of an endpoint.
pub const PREVIEW_REPLACE: Headline = Headline {
    title: Text::new("Dry run passed", "预检通过"),
    lead: Text::new(
        "The security group is the endpoint's last one. Alibaba Cloud would accept the attach of {replacement}, which \
         replaces it. Nothing was changed. To request the detach, send the command again with detach and without dry-run.",
        "这是终端节点的最后一个安全组，会替换为 {replacement}，阿里云会接受加入操作。未做任何更改。\
         如需移除，请使用“移除”而不是“预检”重新发送命令。",
    ),
};

/// The result of a dry run without buttons. A failure continues with its reason.
#[must_use]
pub fn preview(outcome: OutcomeName) -> Headline {
    match outcome {
        OutcomeName::DryRunPassed => Headline {
            title: Text::new("Dry run passed", "预检通过"),
            lead: Text::new(
                "Alibaba Cloud would accept the detach. Nothing was changed. To request the detach, send the command again \
                 with detach and without dry-run.",
                "阿里云会接受该移除操作。未做任何更改。如需移除，请使用“移除”而不是“预检”重新发送命令。",
            ),
        },
        OutcomeName::Detached => CHANGED_IN_QUEUE,
        OutcomeName::AlreadyDetached => Headline {
            title: Text::new("Dry run: nothing to detach", "预检：无需移除"),
            lead: Text::new(
                "The security group is not on the endpoint, so there is nothing to approve. A dry run changes nothing by \
                 itself; if in doubt, check the endpoint's groups.",
                "该安全组不在此终端节点上，无需审批。预检本身不做任何更改；如有疑问，请检查安全组。",
            ),
        },
        OutcomeName::EndpointGone => Headline {
            title: Text::new("Dry run: the endpoint was deleted", "预检：终端节点已被删除"),
            lead: Text::new(
                "The endpoint was deleted during the dry run. There is nothing left to detach or to approve.",
                "终端节点在预检期间被删除。已没有可移除的安全组，也无需审批。",
            ),
        },
        OutcomeName::Refused => Headline {
            title: Text::new("Dry run not passed", "预检未通过"),
            lead: Text::new("The request cannot be approved.", "该请求无法进入审批。"),
        },
        OutcomeName::Rejected => Headline {
            title: Text::new("Dry run rejected", "预检请求未被接受"),
            lead: Text::new(
                "The worker did not call Alibaba Cloud in this attempt. The request cannot be approved.",
                "本次执行未调用阿里云接口。该请求无法进入审批。",
            ),
        },
        OutcomeName::Unconfirmed => Headline {
            title: Text::new("Dry run not completed", "预检未完成"),
            lead: Text::new(
                "The dry run did not complete within {time}, so the request cannot be approved. Often another request for \
                 this endpoint is in progress. A dry run changes nothing by itself; if in doubt, check the endpoint's \
                 groups. Send the command again later.",
                "预检未能在 {time}内完成，因此该请求无法进入审批。通常是该终端节点有其他请求正在执行。\
                 预检本身不做任何更改；如有疑问，请检查安全组。请稍后重新发送命令。",
            ),
        },
    }
}

/// The result of an approved request. A failure continues with its reason. What an earlier delivery did is not known; after
/// a redrive or a second approval, the first delivery is not the first attempt.
#[must_use]
pub fn outcome(outcome: OutcomeName, deliveries: u32) -> Headline {
    match outcome {
        OutcomeName::Detached => Headline {
            title: Text::new("Detached", "已移除"),
            lead: Text::new(
                "The worker confirmed that the security group is detached from the endpoint.",
                "已确认安全组从终端节点移除。",
            ),
        },
        OutcomeName::AlreadyDetached => Headline {
            title: Text::new("Already detached", "安全组已不在终端节点上"),
            lead: Text::new(
                "The security group is not on the endpoint. This attempt changed nothing; an earlier attempt or approval of \
                 this request, or another request, may have detached it.",
                "安全组不在该终端节点上。本次执行未做任何更改；可能已由同一请求此前的执行或批准，或由其他请求移除。",
            ),
        },
        OutcomeName::DryRunPassed if deliveries > 1 => Headline {
            title: Text::new(
                "This attempt was a dry run: this deployment carries out dry runs only",
                "本次执行仅为预检：此部署只执行预检",
            ),
            lead: Text::new(
                "This attempt detached nothing despite the approval, because the setting DRY_RUN_ONLY is on. The dry run \
                 passed. An earlier attempt of the same request may have detached the group.",
                "设置 DRY_RUN_ONLY 已开启，因此虽已批准，本次执行仍未移除安全组。预检通过。\
                 同一请求的前一次执行可能已移除该安全组。",
            ),
        },
        OutcomeName::DryRunPassed => Headline {
            title: Text::new(
                "Not detached: this deployment carries out dry runs only",
                "未移除：此部署只执行预检",
            ),
            lead: Text::new(
                "Nothing was detached despite the approval, because the setting DRY_RUN_ONLY is on. The dry run passed.",
                "设置 DRY_RUN_ONLY 已开启，因此虽已批准，仍未移除安全组。预检通过。",
            ),
        },
        OutcomeName::EndpointGone => Headline {
            title: Text::new("Endpoint deleted", "终端节点已被删除"),
            lead: Text::new(
                "The endpoint was deleted while the worker carried out the request. There is nothing left to detach.",
                "终端节点在请求执行期间被删除。已没有可移除的安全组。",
            ),
        },
        OutcomeName::Refused => Headline {
            title: Text::new("Detach refused", "移除失败"),
            lead: Text::new(
                "The request ended without a confirmed detach, and is not retried.",
                "该请求已结束，未确认移除，不再重试。",
            ),
        },
        OutcomeName::Rejected if deliveries > 1 => Headline {
            title: Text::new("Detach rejected", "移除请求未被接受"),
            lead: Text::new(
                "This attempt did not call Alibaba Cloud; an earlier attempt of the same request may have detached the group.",
                "本次执行未调用阿里云接口；同一请求的前一次执行可能已移除该安全组。",
            ),
        },
        OutcomeName::Rejected => Headline {
            title: Text::new("Detach rejected", "移除请求未被接受"),
            lead: Text::new(
                "The worker did not call Alibaba Cloud, so this attempt changed nothing.",
                "未调用阿里云接口，因此本次执行未做任何更改。",
            ),
        },
        OutcomeName::Unconfirmed => Headline {
            title: Text::new("Detach not confirmed", "未能确认移除"),
            lead: Text::new(
                "The security group may be attached, detaching or detached.",
                "安全组可能仍在终端节点上、正在移除或已移除。",
            ),
        },
    }
}

/// The result of an approved request that attached a replacement first.
pub const REPLACED: Headline = Headline {
    title: Text::new("Detached", "已移除"),
    lead: Text::new(
        "The worker confirmed that the security group is detached from the endpoint. It was the last one; {replacement} was \
         attached instead.",
        "已确认安全组从终端节点移除。该安全组是最后一个安全组，已替换为 {replacement}。",
    ),
};

pub const APPROVED: Headline = Headline {
    title: Text::new("Approved", "已批准"),
    lead: Text::new(
        "{person} approved the request. The detach is in the request queue; its outcome will appear in this conversation. \
         If another approver was first, the outcome names that approver.",
        "{person} 已批准该请求。移除操作已进入队列，结果会发送到此会话。如果另一审批人更早批准，结果会注明该审批人。",
    ),
};

pub const DECLINED: Headline = Headline {
    title: Text::new("Declined", "已拒绝"),
    lead: Text::new(
        "{person} declined the request. A decline does not withdraw an approval: if an approver has approved or later \
         approves this request, it is carried out, and its outcome appears in this conversation.",
        "{person} 已拒绝该请求。拒绝不会撤销批准：如果有审批人已批准或随后批准该请求，请求仍会执行，结果会发送到此会话。",
    ),
};

pub const EXPIRED: Headline = Headline {
    title: Text::new("Request expired", "请求已过期"),
    lead: Text::new(
        "The request can no longer be approved. Expiry does not withdraw an approval: if an approver approved this request \
         earlier, it is carried out, and its outcome appears in this conversation. Otherwise send the command again.",
        "该请求已无法批准。过期不会撤销批准：如果此前已有审批人批准该请求，请求仍会执行，结果会发送到此会话。\
         否则请重新发送命令。",
    ),
};

pub const NOT_ALLOWED: Text = Text::new("Not allowed", "无权操作");

/// The title of the answer to a command, where a message has a title.
pub const ANSWER: Text = Text::new("PrivateLink detach", "PrivateLink 移除安全组");

/// Why a person may not do something, for that person: `{tenant}`, `{conversation}` and `{person}` are entries of the lists.
#[must_use]
pub fn not_allowed(why: NotAllowed) -> Text {
    match why {
        NotAllowed::Tenant => Text::new(
            "The setting CHAT_TENANTS does not contain this workspace or organization, or you are not one of its members. \
             An operator of the deployment can add {tenant}.",
            "设置 CHAT_TENANTS 不包含此工作区或企业，或者您不是其成员。此部署的运维人员可以添加 {tenant}。",
        ),
        NotAllowed::Conversation => Text::new(
            "The setting CHAT_CONVERSATIONS does not contain this conversation. An operator of the deployment can add \
             {conversation}.",
            "设置 CHAT_CONVERSATIONS 不包含此会话。此部署的运维人员可以添加 {conversation}。",
        ),
        NotAllowed::Requester => Text::new(
            "The setting CHAT_REQUESTERS does not contain you. An operator of the deployment can add {person}.",
            "设置 CHAT_REQUESTERS 不包含您。此部署的运维人员可以添加 {person}。",
        ),
        NotAllowed::Approver => Text::new(
            "The setting CHAT_APPROVERS does not contain you, so you can neither approve nor decline the request of another \
             person. An operator of the deployment can add {person}.",
            "设置 CHAT_APPROVERS 不包含您，因此您不能批准或拒绝他人的请求。此部署的运维人员可以添加 {person}。",
        ),
        NotAllowed::OwnRequest => Text::new(
            "This is your own request: another person in CHAT_APPROVERS must approve it. You can decline it.",
            "这是您自己的请求，须由 CHAT_APPROVERS 中的另一人批准。您可以拒绝该请求。",
        ),
        NotAllowed::RequesterRemoved => Text::new(
            "The requester is no longer in the setting CHAT_REQUESTERS, so the request cannot be approved.",
            "设置 CHAT_REQUESTERS 已不再包含申请人，该请求无法被批准。",
        ),
        NotAllowed::Unverified => Text::new(
            "This deployment cannot verify the button: another deployment made it, or its signing key was removed, or the \
             message is a copy. Ask the requester to send the command again.",
            "此部署无法验证该按钮：按钮由其他部署生成，或其签名密钥已被移除，或该消息是副本。请由申请人重新发送命令。",
        ),
    }
}

/// What a platform's notification shows of a message.
pub const NOTIFICATION: Text =
    Text::new("{title} ({group}, {endpoint}, {region})", "{title}（{group}、{endpoint}、{region}）");
/// The label of a row.
pub const LABEL: Text = Text::new("{name}:", "{name}：");
pub const SECURITY_GROUP: Text = Text::new("Security group", "安全组");
pub const ENDPOINT: Text = Text::new("Endpoint", "终端节点");
pub const REGION: Text = Text::new("Region", "地域");
pub const GROUPS_NOW: Text = Text::new("Groups now", "当前安全组");
pub const GROUPS_THEN: Text = Text::new("Groups after the detach", "移除后的安全组");
pub const GROUPS_BEFORE: Text = Text::new("Groups before", "执行前的安全组");
pub const GROUPS_AFTER: Text = Text::new("Groups after", "执行后的安全组");
/// The same without proof of a detach.
pub const GROUPS_LAST: Text = Text::new("Groups at the last read", "最后一次读取的安全组");
/// The text in place of the groups that remain, if no group remains.
pub const REPLACE_BY: Text = Text::new("replace by {replacement}", "替换为 {replacement}");
/// The label of a replacement that was attached before the detach failed.
pub const REPLACEMENT: Text = Text::new("Attached, and stays", "已加入并保留");
pub const NO_GROUPS: Text = Text::new("none", "无");
pub const GROUPS_UNREAD: Text = Text::new("not read", "未读取");
pub const GROUPS_SEPARATOR: Text = Text::new(", ", "、");
pub const GROUPS_MORE: Text = Text::new(" and {number} more", " 等，另有 {number} 个");
pub const REQUESTER: Text = Text::new("Requested by", "申请人");
pub const APPROVER: Text = Text::new("Approved by", "审批人");
pub const TICKET: Text = Text::new("Ticket", "工单");
pub const DEADLINE: Text = Text::new("Deadline", "时限");
pub const DEADLINE_VALUE: Text = Text::new("{time} after the approval", "批准后 {time}");
pub const EXPIRY: Text = Text::new("Can be approved until", "审批截止时间");
pub const CONFIRMED_AT: Text = Text::new("Confirmed at", "确认时间");
pub const DURATION: Text = Text::new("Duration", "耗时");
pub const REQUEST_ID: Text = Text::new("Request ID", "请求 ID");
pub const REASON: Text = Text::new("Reason", "原因");
pub const ADVICE: Text = Text::new("What to do", "处理建议");
pub const DETAILS: Text = Text::new("Details: {text}", "详细信息（英文）：{text}");
pub const RUNBOOK: Text = Text::new("Runbook", "运维手册");
pub const APPROVE: Text = Text::new("Approve detach", "批准移除");
pub const DECLINE: Text = Text::new("Decline", "拒绝");
pub const CANCEL: Text = Text::new("Cancel", "取消");
pub const CONFIRM_TITLE: Text = Text::new("Approve the detach?", "批准移除？");
pub const CONFIRM: Text = Text::new(
    "The security group {group} is detached from the endpoint {endpoint} in {region}.",
    "将从终端节点 {endpoint}（{region}）移除安全组 {group}。",
);

/// The same if a replacement is attached first.
pub const CONFIRM_REPLACE: Text = Text::new(
    "The security group {replacement} replaces {group} on the endpoint {endpoint} in {region}.",
    "将终端节点 {endpoint}（{region}）的最后一个安全组 {group} 替换为 {replacement}。",
);

/// Every text of this file that has words in each language.
#[cfg(test)]
pub(super) fn all() -> Vec<Text> {
    let headlines = OutcomeName::ALL
        .into_iter()
        .flat_map(|name| [preview(name), outcome(name, 1), outcome(name, 2)])
        .chain([APPROVAL_REQUEST, PREVIEW_EXPIRED, CHANGED_IN_QUEUE, DRY_RUN_IGNORED])
        .chain([APPROVAL_REQUEST_REPLACE, PREVIEW_REPLACE, REPLACED])
        .chain([APPROVED, DECLINED, EXPIRED]);
    let labels = [
        NOT_ALLOWED,
        ANSWER,
        SECURITY_GROUP,
        ENDPOINT,
        REGION,
        GROUPS_NOW,
        GROUPS_THEN,
        GROUPS_BEFORE,
        GROUPS_AFTER,
        GROUPS_LAST,
        REPLACE_BY,
        REPLACEMENT,
        NO_GROUPS,
        GROUPS_UNREAD,
        GROUPS_MORE,
        REQUESTER,
        APPROVER,
        TICKET,
        DEADLINE,
        DEADLINE_VALUE,
        EXPIRY,
        CONFIRMED_AT,
        DURATION,
        REQUEST_ID,
        REASON,
        ADVICE,
        DETAILS,
        RUNBOOK,
        APPROVE,
        DECLINE,
        CANCEL,
        CONFIRM_TITLE,
        CONFIRM,
        CONFIRM_REPLACE,
    ];
    headlines
        .flat_map(|Headline { title, lead }| [title, lead])
        .chain(NotAllowed::ALL.map(not_allowed))
        .chain(labels)
        .collect()
}
