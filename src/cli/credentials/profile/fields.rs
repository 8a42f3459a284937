//! The fields of one profile. An empty text counts as absent, as the official CLI writes it.

use serde_json::Value;

use super::label;
use crate::alibaba::credentials::{Credentials, is_one_word};
use crate::alibaba::sts::is_ram_arn;
use crate::cli::credentials::Unusable;
use crate::json::shown;

/// No `Debug`, because some are secrets.
pub(super) struct Fields<'a> {
    pub(super) profile: String,
    pub(super) fields: &'a Value,
}

impl Fields<'_> {
    /// A problem of the profile. `problem` completes the sentence "the profile …".
    pub(super) fn problem(&self, problem: &str, advice: &str) -> Unusable {
        Unusable::new(format!("{} {problem}", label(&self.profile)), advice)
    }

    pub(super) fn text(&self, field: &str) -> Result<Option<String>, Unusable> {
        match &self.fields[field] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            _ => Err(self.invalid(field, "it must be a string")),
        }
    }

    pub(super) fn required(&self, field: &str) -> Result<String, Unusable> {
        self.text(field)?.ok_or_else(|| {
            let name = shown(&self.profile);
            let advice = format!("set it with `aliyun configure --profile {name}`");
            self.problem(&format!("has no `{field}`"), &advice)
        })
    }

    pub(super) fn number(&self, field: &str) -> Result<Option<u64>, Unusable> {
        match &self.fields[field] {
            Value::Null => Ok(None),
            number => number.as_u64().map(Some).ok_or_else(|| self.invalid(field, "it must be a number")),
        }
    }

    /// A text as another type. `rule` completes the sentence "it …".
    pub(super) fn parsed<T>(
        &self,
        field: &str,
        parse: impl Fn(&str) -> Option<T>,
        rule: &str,
    ) -> Result<Option<T>, Unusable> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| self.invalid(field, &format!("it {rule}")))
    }

    /// A text that a header can have.
    pub(super) fn word(&self, field: &str) -> Result<Option<String>, Unusable> {
        let text = self.text(field)?;
        if text.as_deref().is_none_or(is_one_word) {
            return Ok(text);
        }
        Err(self.invalid(field, "it must not contain spaces, line ends or non-ASCII characters"))
    }

    /// The profile's `AccessKey`, with the token of a session.
    pub(super) fn credentials(&self, token: Option<String>) -> Result<Credentials, Unusable> {
        let (id, secret) = (self.required("access_key_id")?, self.required("access_key_secret")?);
        for field in ["access_key_id", "access_key_secret", "sts_token"] {
            self.word(field)?;
        }
        Ok(Credentials::new(id, secret, token))
    }

    pub(super) fn ram_arn(&self, field: &str, kind: &str) -> Result<String, Unusable> {
        let arn = self.required(field)?;
        if is_one_word(&arn) && is_ram_arn(&arn, kind) {
            return Ok(arn);
        }
        Err(self.invalid(field, &format!("it must be an ARN like acs:ram::1234567890123456:{kind}/name")))
    }

    fn invalid(&self, field: &str, rule: &str) -> Unusable {
        self.problem(&format!("has an invalid `{field}`"), rule)
    }
}
