//! Slack: a form, whose signature covers the body.

use privatelink_detach::chat::identity::Tenant;
use privatelink_detach::chat::request::id_of;

use super::{Case, approved_request, assert_no_panic_no_5xx_and_no_forged_request, parsed, with_other_field};
use crate::slack::{APPROVER, CHANNEL, Clicked, DRIVER, REQUESTER, TEAM, Typed, form, signature};

const CASE: Case = Case {
    driver: &DRIVER,
    command: |typed| {
        let crate::platforms::Typed { tenant, conversation, person, text, id, .. } = typed.clone();
        Typed { team: tenant, channel: conversation, user: person, text, trigger_id: id }.body()
    },
    click: |clicked, rng| {
        let crate::platforms::Clicked { tenant, conversation, person, action, value, .. } = clicked.clone();
        let clicked = Clicked { channel: conversation, user: person, user_team: tenant, action, value };
        form(&[("payload", &with_other_field(clicked.payload(), rng).to_string())])
    },
    body: |text, _| text.to_vec(),
    headers: |_, secret, sent_at, body| {
        let timestamp = sent_at.to_string();
        let signature = signature(secret, &timestamp, body);
        vec![("x-slack-request-timestamp", timestamp), ("x-slack-signature", signature)]
    },
    is_body_signed: true,
    is_accepted_unsigned: |_| false,
    allowed_request,
    results: &["approved", "declined", "expired", "not_allowed"],
};

fn allowed_request(body: &[u8]) -> Option<String> {
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    if let Some(payload) = field("payload") {
        let payload = parsed(payload.as_bytes())?;
        let text = |pointer: &str| payload.pointer(pointer)?.as_str();
        let person = (text("/team/id")?, text("/user/team_id")?, text("/user/id")?);
        let is_allowed = person == (TEAM, TEAM, APPROVER)
            && (text("/channel/id")?, text("/actions/0/action_id")?) == (CHANNEL, "approve");
        return approved_request(&DRIVER, text("/actions/0/value")?).filter(|_| is_allowed);
    }
    let is_allowed =
        (field("team_id")?, field("channel_id")?, field("user_id")?) == (TEAM, CHANNEL, REQUESTER);
    let id = id_of(&Tenant::parse(&format!("slack:{TEAM}"))?, field("trigger_id")?);
    is_allowed.then(|| format!("{id}.preview"))
}

#[tokio::test]
async fn random_calls_cause_no_panic_no_5xx_and_no_forged_request() {
    assert_no_panic_no_5xx_and_no_forged_request(&CASE).await;
}
