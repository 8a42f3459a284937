//! What the reason of a failure means and what people do about it: one row for each section of the runbook that can end a
//! request from chat. The row about codes that this project does not know is the last.

use super::Text;

/// A reason explained to people in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The anchor of the runbook's section.
    pub section: &'static str,
    pub meaning: Text,
    pub advice: Text,
}

const fn explanation(section: &'static str, meaning: Text, advice: Text) -> Explanation {
    Explanation { section, meaning, advice }
}

/// The explanation of the section that a reason's runbook link names.
#[must_use]
pub fn explain(runbook: &str) -> &'static Explanation {
    let section = runbook.rsplit_once('#').map_or("", |(_, section)| section);
    EXPLANATIONS.iter().find(|row| row.section == section).unwrap_or(&OTHER)
}

const EXPLANATIONS: [Explanation; 19] = [
    // This project's own codes.
    explanation(
        "invalidrequest",
        Text::new(
            "The request in the queue is not valid, so the worker does not accept it.",
            "队列中的请求无效，worker 无法接受。",
        ),
        Text::new(
            "Inform an operator: the programs of this deployment may have different versions.",
            "请通知运维人员：此部署中各程序的版本可能不一致。",
        ),
    ),
    explanation(
        "regionnotallowed",
        Text::new(
            "The region is not in the setting ALLOWED_REGIONS.",
            "地域不在设置 ALLOWED_REGIONS 的允许范围内。",
        ),
        Text::new(
            "Check the region. If this deployment should serve it, ask an operator to add it to ALLOWED_REGIONS, then send \
             the command again.",
            "请检查地域。如果此部署应当支持该地域，请运维人员将其加入 ALLOWED_REGIONS，然后重新发送命令。",
        ),
    ),
    explanation(
        "protectedsecuritygroup",
        Text::new(
            "The security group is protected: this deployment never detaches it.",
            "安全组受保护，此部署不会移除它。",
        ),
        Text::new(
            "Check the group. Only an operator can remove it from the setting PROTECTED_SECURITY_GROUPS.",
            "请检查安全组 ID。只有运维人员可以将其从设置 PROTECTED_SECURITY_GROUPS 中删除。",
        ),
    ),
    explanation(
        "protectedendpoint",
        Text::new(
            "The endpoint is protected: this deployment never changes it.",
            "终端节点受保护，此部署不会更改它。",
        ),
        Text::new(
            "Check the endpoint. Only an operator can remove it from the setting PROTECTED_ENDPOINTS.",
            "请检查终端节点 ID。只有运维人员可以将其从设置 PROTECTED_ENDPOINTS 中删除。",
        ),
    ),
    explanation(
        "securitygroupnotattached",
        Text::new(
            "The security group is not on the endpoint, or is listed there with different letter case.",
            "该安全组不在此终端节点上，或其 ID 的大小写与终端节点上的不一致。",
        ),
        Text::new(
            "Check the group, the endpoint and the region. If the group was detached earlier, there is nothing left to do.",
            "请检查安全组、终端节点和地域。如果安全组此前已移除，则无需处理。",
        ),
    ),
    explanation(
        "endpointmustcontainsecuritygroup",
        Text::new(
            "The group is the endpoint's last one, and an endpoint must keep at least one.",
            "这是终端节点的最后一个安全组，终端节点必须至少保留一个安全组。",
        ),
        Text::new(
            "Attach the security group that should stay, or ask an operator to configure a replacement for the endpoint's VPC, \
             then send the command again.",
            "请先将要保留的安全组加入终端节点，或请运维人员为终端节点的 VPC 配置替代安全组，然后重新发送命令。",
        ),
    ),
    explanation(
        "replacementnotattached",
        Text::new(
            "The group is the endpoint's last one, and Alibaba Cloud refuses to attach its replacement.",
            "这是终端节点的最后一个安全组，而阿里云拒绝将替代安全组加入该终端节点。",
        ),
        Text::new(
            "Ask an operator to check the setting REPLACEMENT_SECURITY_GROUPS, then send the command again.",
            "请运维人员检查设置 REPLACEMENT_SECURITY_GROUPS，然后重新发送命令。",
        ),
    ),
    explanation(
        "financiallocked",
        Text::new(
            "Alibaba Cloud locked the endpoint, because a payment is overdue.",
            "因账户欠费，阿里云已锁定该终端节点。",
        ),
        Text::new(
            "Pay the overdue bill of the account that pays for the endpoint, then send the command again.",
            "请结清该终端节点付费账号的欠费，然后重新发送命令。",
        ),
    ),
    explanation(
        "dryrunignored",
        Text::new(
            "Alibaba Cloud responded to a dry run as if it were a real detach: the security group may have been detached.",
            "阿里云将预检当作真正的移除操作处理，安全组可能已被移除。",
        ),
        Text::new(
            "Check the endpoint's groups at once, and attach the group again if it should stay. Inform an operator. Do not \
             send another dry run until the cause is known.",
            "请立即检查终端节点的安全组；如需保留，请重新加入。请通知运维人员，并在查明原因之前不要再发送预检。",
        ),
    ),
    explanation(
        "deadlineexceeded",
        Text::new("The deadline passed before the detach was confirmed.", "在确认移除之前已超过时限。"),
        Text::new(
            "Check the endpoint's groups, and the last error in the details. Fix its cause, then send the command again; the \
             worker reads the endpoint first.",
            "请检查终端节点的安全组，并查看详细信息中的最后一个错误。排除原因后请重新发送命令；worker 会先读取终端节点的当前状态。",
        ),
    ),
    // Alibaba Cloud's codes.
    explanation(
        "endpointnotfound",
        Text::new(
            "The endpoint does not exist in this region, or belongs to another account.",
            "该地域中不存在此终端节点，或其属于其他账号。",
        ),
        Text::new(
            "Check the endpoint and the region, then send the corrected command.",
            "请检查终端节点和地域，更正后重新发送命令。",
        ),
    ),
    explanation(
        "securitygroupnotfound",
        Text::new(
            "Alibaba Cloud cannot find the security group, although the endpoint's list shows it.",
            "阿里云找不到该安全组，但终端节点的安全组列表中仍有该安全组。",
        ),
        Text::new(
            "Check in the console whether the group exists. If it does, send the command again; if it does not, ask Alibaba \
             Cloud's support to correct the endpoint's list.",
            "请在控制台检查安全组是否存在。如果存在，请重新发送命令；如果不存在，请联系阿里云技术支持更正该列表。",
        ),
    ),
    explanation(
        "endpointconnectionoperationdenied",
        Text::new(
            "The endpoint's connection is being deleted, or its service no longer exists.",
            "终端节点的连接正在删除，或其终端节点服务已不存在。",
        ),
        Text::new(
            "This endpoint can no longer be changed. Delete it if it is not needed.",
            "此终端节点已无法更改。如不再需要，请将其删除。",
        ),
    ),
    explanation(
        "endpointoperationdenied",
        Text::new(
            "Alibaba Cloud refuses the detach while the endpoint is in its current state.",
            "终端节点当前的状态不允许移除安全组。",
        ),
        Text::new(
            "Check the endpoint in the console for a state or a protection that prevents changes, then send the command again.",
            "请在控制台检查终端节点是否处于禁止更改的状态或受到保护，然后重新发送命令。",
        ),
    ),
    explanation(
        "gatewayloadbalancernotsupportsecuritygroup",
        Text::new(
            "The endpoint is of the gateway load balancer type, which has no security groups.",
            "此终端节点为网关型负载均衡终端节点，没有安全组。",
        ),
        Text::new(
            "The endpoint needs no change. Check whether the endpoint id is correct.",
            "该终端节点无需更改。请检查终端节点 ID 是否正确。",
        ),
    ),
    explanation(
        "endpointservicedeleted",
        Text::new("The endpoint's service was deleted.", "终端节点所连接的终端节点服务已被删除。"),
        Text::new(
            "This endpoint can no longer be changed. Delete it if it is not needed.",
            "此终端节点已无法更改。如不再需要，请将其删除。",
        ),
    ),
    explanation(
        "idempotentparametermismatch",
        Text::new(
            "The client token of the call was used before with other parameters.",
            "该调用的幂等令牌（ClientToken）此前已用于其他参数。",
        ),
        Text::new("Send the command again.", "请重新发送命令。"),
    ),
    explanation(
        "regionnotfound",
        Text::new(
            "Alibaba Cloud does not know the region, or does not offer PrivateLink in it.",
            "阿里云没有该地域，或该地域不提供私网连接（PrivateLink）。",
        ),
        Text::new("Correct the region and send the command again.", "请更正地域后重新发送命令。"),
    ),
    explanation(
        "nopermission",
        Text::new(
            "Alibaba Cloud's access control (RAM) does not allow the worker's credentials to make the call.",
            "阿里云访问控制（RAM）拒绝了 worker 所用凭证的调用。",
        ),
        Text::new(
            "Ask an operator to grant the denied action to the worker's RAM user or role, as the runbook describes, then send \
             the command again.",
            "请运维人员按运维手册为 worker 的 RAM 用户或角色授予被拒绝的权限，然后重新发送命令。",
        ),
    ),
];

/// Every other code of Alibaba Cloud.
const OTHER: Explanation = explanation(
    "any-other-code",
    Text::new("Alibaba Cloud refused the call with this code.", "阿里云以此错误码拒绝了该调用。"),
    Text::new(
        "Read Alibaba Cloud's message in the details. Fix the problem that it describes and send the command again, or inform \
         an operator.",
        "请查看详细信息中阿里云返回的消息，更正其中指出的问题后重新发送命令，或通知运维人员。",
    ),
);

/// Every text of this file.
#[cfg(test)]
pub(super) fn all() -> Vec<Text> {
    EXPLANATIONS.iter().chain([&OTHER]).flat_map(|row| [row.meaning, row.advice]).collect()
}
