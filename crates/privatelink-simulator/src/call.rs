//! A parsed request: an action, a version and parameters, from any part of the HTTP request.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, header};
use percent_encoding::percent_decode_str;

use crate::{
    action::Action,
    codes,
    ids::{EndpointId, SecurityGroupId},
    response::Refusal,
};

/// The maximum length of a client token, by the API documentation.
const CLIENT_TOKEN_MAX: usize = 64;

/// One call. Parsing checks nothing: a missing or malformed parameter is refused when it is read. The type does not
/// implement `Debug`, because a parameter can be a token.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) action_name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) host: String,
    /// Whether the query contains a token. A program that logs URLs then also logs the token.
    pub(crate) token_in_url: bool,
    parameters: BTreeMap<String, String>,
}

impl Call {
    /// Reads the headers, the query and, if it is a form, the body. Names in the headers take precedence over those
    /// in the query, where the older call style puts them.
    pub(crate) fn read(request: &Request<Bytes>) -> Self {
        let mut parameters: BTreeMap<String, String> =
            pairs(request.uri().query().unwrap_or_default()).collect();
        let token_in_url = parameters.contains_key("OIDCToken");
        let form = header_of(request, header::CONTENT_TYPE.as_str())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if form {
            parameters.extend(pairs(&String::from_utf8_lossy(request.body())));
        }
        let named = |header: &str, parameter: &str| {
            header_of(request, header)
                .or_else(|| parameters.get(parameter).cloned())
                .filter(|name| !name.is_empty())
        };
        Self {
            action_name: named("x-acs-action", "Action"),
            version: named("x-acs-version", "Version"),
            nonce: named("x-acs-signature-nonce", "SignatureNonce"),
            host: host(request),
            token_in_url,
            parameters,
        }
    }

    pub(crate) fn action(&self) -> Option<Action> {
        self.action_name.as_deref().and_then(Action::named)
    }

    /// Whether the action is called without an access key and a signature.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.action().is_some_and(Action::is_anonymous)
    }

    /// An optional parameter. An empty one counts as missing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter was sent, even if it is empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// A required parameter.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn endpoint_id(&self) -> Result<EndpointId, Refusal> {
        self.required("EndpointId").map(EndpointId::from)
    }

    pub(crate) fn security_group_id(&self) -> Result<SecurityGroupId, Refusal> {
        self.required("SecurityGroupId").map(SecurityGroupId::from)
    }

    pub(crate) fn dry_run(&self) -> Result<bool, Refusal> {
        match self.get("DryRun") {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            // Alibaba's own Python SDK sends `True`.
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(_) => Err(invalid("DryRun", "must be true or false")),
        }
    }

    pub(crate) fn client_token(&self) -> Result<Option<&str>, Refusal> {
        match self.get("ClientToken") {
            Some(token) if token.len() > CLIENT_TOKEN_MAX || !token.is_ascii() => {
                Err(invalid("ClientToken", "must be at most 64 ASCII characters"))
            }
            token => Ok(token),
        }
    }

    /// The parameters that must be equal in every call with one client token: all but the token itself and those
    /// that change with every attempt.
    pub(crate) fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut parameters = self.parameters.clone();
        for name in ["ClientToken", "Signature", "SignatureNonce", "Timestamp"] {
            parameters.remove(name);
        }
        parameters.extend(self.action_name.clone().map(|action| ("Action".to_owned(), action)));
        parameters
    }
}

/// The refusal of a call without a required parameter or header.
pub(crate) fn missing(name: &str) -> Refusal {
    Refusal {
        code: format!("Missing{name}"),
        message: format!("{name} is mandatory for this action."),
        ..Refusal::from(codes::INVALID_PARAMETER)
    }
}

/// The refusal of an invalid parameter value.
pub(crate) fn invalid(name: &str, reason: &str) -> Refusal {
    Refusal::with_message(codes::INVALID_PARAMETER, format!("The parameter {name} is not valid: {reason}."))
}

/// A header's value. Repeated headers are joined by commas; invalid UTF-8 becomes replacement characters.
pub(crate) fn header_of(request: &Request<Bytes>, name: &str) -> Option<String> {
    let values: Vec<_> = request
        .headers()
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The host and port that the caller addressed.
pub(crate) fn host(request: &Request<Bytes>) -> String {
    header_of(request, header::HOST.as_str())
        .or_else(|| request.uri().authority().map(ToString::to_string))
        .unwrap_or_default()
}

/// The decoded pairs of a query or a form, in their order. A `+` is a space in both: Alibaba's own Python SDK signs
/// `%20` and sends `+`.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
