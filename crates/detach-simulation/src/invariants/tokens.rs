//! I11: the client tokens of the writes, over all deliveries.

use std::collections::BTreeMap;

use serde_json::Value;

use super::confirmed::fields;
use super::facts::{Call, Facts};
use super::steps::is_request_ended_between;
use super::{ATTACH, Breach, Guarantee, breach};

/// An invocation, and what its write is about: the same token belongs to no other one.
type User<'a> = (u32, &'a str, &'a str, bool);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let mut latest: BTreeMap<User<'_>, &Call<'_>> = BTreeMap::new();
    let mut users: BTreeMap<&str, User<'_>> = BTreeMap::new();
    for call in facts.calls.iter().filter(|call| call.is_write()) {
        let token = call.requested.client_token.as_deref().unwrap_or_default();
        let at = facts.after(call.at);
        if token.is_empty() {
            return breach(Guarantee::Tokens, format!("a write at {at} without a token"));
        }
        let group = call.requested.group.as_deref().unwrap_or_default();
        let is_attach = call.requested.action == ATTACH;
        let user = (call.invocation, call.requested.endpoint.as_str(), group, is_attach);
        let before = latest.insert(user, call);
        if is_callers_token(token) {
            if is_attach {
                let how = format!("an Attach at {at} with the sender's token, which is for the Detach");
                return breach(Guarantee::Tokens, how);
            }
            callers_token(facts, call, before)?;
            continue;
        }
        if !is_attach && before.is_none() && must_use_callers_token(facts, call) {
            return breach(Guarantee::Tokens, format!("a Detach at {at} without the sender's token"));
        }
        if *users.entry(token).or_insert(user) != user {
            let how =
                format!("a write at {at} with the token of another delivery, endpoint, group or action");
            return breach(Guarantee::Tokens, how);
        }
        let Some(before) = before else { continue };
        let is_same = before.requested.client_token == call.requested.client_token;
        let is_wrong = match is_definite(before) {
            Some(is_definite) => is_definite == is_same && !is_request_ended_between(facts, before, call),
            None => false,
        };
        if is_wrong {
            let how = if is_same {
                "keeps the token of a call with a definite response"
            } else {
                "replaces the token of a call that may be executed"
            };
            return breach(Guarantee::Tokens, format!("a write at {at} {how}"));
        }
    }
    Ok(())
}

/// The worker's own tokens begin with 32 hexadecimal digits.
fn is_callers_token(token: &str) -> bool {
    token.split('-').next().is_none_or(|prefix| prefix.len() != 32)
}

/// A token as the query spells it: everything but the unreserved characters of RFC 3986 is percent-encoded.
fn encoded(token: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let encode =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    token.bytes().map(encode).collect()
}

/// The sender's token is used for the first Detach of the first delivery, or for a repetition of that call.
fn callers_token(facts: &Facts<'_>, call: &Call<'_>, before: Option<&Call<'_>>) -> Result<(), Breach> {
    let is_repeated = before.is_some_and(|before| {
        before.requested.client_token == call.requested.client_token && is_definite(before) != Some(true)
    });
    // Another message about the same pair may have been processed earlier in the same invocation.
    let is_first = before.is_none_or(|before| is_request_ended_between(facts, before, call));
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    // The message that is delivered for the first time names this token for this pair.
    let is_first_delivery = batch.iter().filter(|received| received.receive_count == 1).any(|received| {
        let sent = facts.messages.get(received.message.as_str());
        let body = sent.and_then(|sent| serde_json::from_str::<Value>(sent.body).ok());
        body.is_some_and(|body| {
            body["client_token"].as_str().map(encoded) == call.requested.client_token
                && body["endpoint_id"] == call.requested.endpoint.as_str()
                && body["security_group_id"].as_str() == call.requested.group.as_deref()
        })
    });
    if is_repeated || (is_first && is_first_delivery) {
        return Ok(());
    }
    let how = format!(
        "a Detach at {} with the sender's token, not the first of the first delivery",
        facts.after(call.at)
    );
    breach(Guarantee::Tokens, how)
}

/// Whether the only request that this first Detach can be for has a token and is delivered for the first time.
fn must_use_callers_token(facts: &Facts<'_>, call: &Call<'_>) -> bool {
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let candidates: Vec<_> = batch
        .iter()
        .filter_map(|received| Some((received, facts.messages.get(received.message.as_str())?)))
        .filter(|(_, sent)| {
            let parsed = facts.request(sent.request).and_then(|request| request.parsed.as_ref());
            parsed.is_some_and(|parsed| {
                parsed.endpoint == call.requested.endpoint
                    && Some(&parsed.group) == call.requested.group.as_ref()
            })
        })
        .collect();
    let [(received, sent)] = candidates.as_slice() else { return false };
    received.receive_count == 1 && sent.body.contains("\"client_token\"")
}

/// Whether the response is definite; none if both interpretations are allowed.
fn is_definite(call: &Call<'_>) -> Option<bool> {
    let Some(served) = call.response() else { return Some(false) };
    let status = served.status.unwrap_or_default();
    match served.code.as_deref() {
        // A redirect is not a response of the service, whichever code it quotes.
        _ if status >= 500 || (300..400).contains(&status) => Some(false),
        _ if status == 200 => Some(fields(served).is_some_and(|fields| fields["RequestId"].is_string())),
        None | Some("IdempotenceProcessing") => Some(false),
        Some(
            "SystemBusy"
            | "SignatureNonceUsed"
            | "ServiceUnavailable"
            | "InternalError"
            | "InternalServerError",
        ) => None,
        // With a code that the documentation does not list, these statuses mean a transient error.
        Some(_) if matches!(status, 408 | 409) => None,
        Some(_) => Some(true),
    }
}
