//! The fields of a JSON object, read strictly: each once, none unknown, and every error with the path of its field.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::json::{Entries, shown, without_byte_order_mark};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path} {problem}")]
pub(in crate::cli) struct FieldError {
    /// Such as `references[3].status`; `the file` for the whole.
    path: String,
    /// Completes a sentence that begins with the path.
    problem: String,
}

impl FieldError {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

/// An object whose fields are taken one by one.
pub(super) struct Fields {
    /// The path of the object, empty for the whole file.
    path: String,
    entries: BTreeMap<String, Box<RawValue>>,
}

impl Fields {
    /// The object that a file consists of.
    pub(super) fn of_file(text: &str) -> Result<Self, FieldError> {
        let text = without_byte_order_mark(text);
        let error = match serde_json::from_str::<Entries>(text) {
            Ok(entries) => return Self::new(String::new(), entries),
            Err(error) => error,
        };
        let problem = if text.trim().is_empty() {
            "is empty".to_owned()
        } else if error.is_eof() {
            format!("is cut off after line {}", error.line())
        } else if error.is_data() {
            "must be one JSON object".to_owned()
        } else {
            format!("is not JSON: line {}, column {}", error.line(), error.column())
        };
        Err(FieldError::new("the file", problem))
    }

    fn new(path: String, Entries(list): Entries) -> Result<Self, FieldError> {
        let mut fields = Self { path, entries: BTreeMap::new() };
        for (name, value) in list {
            if let Some((name, _)) = fields.entries.remove_entry(&name) {
                return Err(FieldError::new(fields.path_of(&shown(&name)), "is given twice"));
            }
            fields.entries.insert(name, value);
        }
        Ok(fields)
    }

    /// The path of a field.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A required field of a JSON type. `rule` completes the sentence "the field …".
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str, rule: &str) -> Result<T, FieldError> {
        let value = self.raw(name)?;
        serde_json::from_str(value.get()).map_err(|_| FieldError::new(self.path_of(name), rule))
    }

    /// A required text that `parse` accepts.
    pub(super) fn parse<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        rule: &str,
    ) -> Result<T, FieldError> {
        let text: String = self.take(name, rule)?;
        parse(&text).ok_or_else(|| FieldError::new(self.path_of(name), rule))
    }

    /// A required list of texts, none of them twice.
    pub(super) fn texts<T: PartialEq>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        rule: &str,
    ) -> Result<Vec<T>, FieldError> {
        let texts: Vec<String> = self.take(name, "must be a list of strings")?;
        let mut list = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let error = |problem| Err(FieldError::new(format!("{}[{number}]", self.path_of(name)), problem));
            match parse(text) {
                Some(value) if list.contains(&value) => return error("is listed twice"),
                Some(value) => list.push(value),
                None => return error(rule),
            }
        }
        Ok(list)
    }

    /// The objects of a required list.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Self>, FieldError> {
        let values: Vec<Box<RawValue>> = self.take(name, "must be a list of objects")?;
        let path = self.path_of(name);
        let object =
            |(number, value): (usize, Box<RawValue>)| Self::from_raw(format!("{path}[{number}]"), &value);
        values.into_iter().enumerate().map(object).collect()
    }

    /// A required object, or `None` for this text instead.
    pub(super) fn object_or(&mut self, name: &str, text: &str) -> Result<Option<Self>, FieldError> {
        let value = self.raw(name)?;
        if serde_json::from_str::<String>(value.get()).is_ok_and(|other| other == text) {
            return Ok(None);
        }
        Self::from_raw(self.path_of(name), &value).map(Some)
    }

    /// A required object whose values have a JSON type, by the names of its fields.
    pub(super) fn map<K: Ord, V: DeserializeOwned>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<K>,
        rule: &str,
    ) -> Result<BTreeMap<K, V>, FieldError> {
        let value = self.raw(name)?;
        let mut fields = Self::from_raw(self.path_of(name), &value)?;
        let names: Vec<String> = fields.entries.keys().cloned().collect();
        let mut map = BTreeMap::new();
        for name in names {
            let path = fields.path_of(&shown(&name));
            let key = parse(&name).ok_or_else(|| FieldError::new(path, rule))?;
            map.insert(key, fields.take(&name, "has an invalid value")?);
        }
        Ok(map)
    }

    /// Whether a field is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// No field is left.
    pub(super) fn finish(self) -> Result<(), FieldError> {
        match self.entries.keys().next() {
            None => Ok(()),
            Some(name) => Err(FieldError::new(self.path_of(&shown(name)), "is not a field of a plan")),
        }
    }

    fn raw(&mut self, name: &str) -> Result<Box<RawValue>, FieldError> {
        self.entries.remove(name).ok_or_else(|| FieldError::new(self.path_of(name), "is missing"))
    }

    fn from_raw(path: String, value: &RawValue) -> Result<Self, FieldError> {
        match serde_json::from_str(value.get()) {
            Ok(entries) => Self::new(path, entries),
            Err(_) => Err(FieldError::new(path, "must be an object")),
        }
    }
}
