//! Reading JSON bodies with errors that name fields and never values.

use serde_json::{Map, Value};

use super::CallbackError;

/// The largest integer that every JSON reader keeps exactly: 2^53 − 1.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// A JSON object being read.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Parses a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, CallbackError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) | Err(_) => Err(malformed("body", "a JSON object")),
        }
    }

    /// An object within this one.
    pub(super) fn object(&mut self, field: &'static str) -> Result<Self, CallbackError> {
        match self.0.remove(field) {
            Some(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(malformed(field, "an object")),
        }
    }

    /// A text, `None` where it is absent or null.
    pub(super) fn optional(&mut self, field: &'static str) -> Result<Option<Box<str>>, CallbackError> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.into())),
            Some(_) => Err(malformed(field, "a string")),
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn text(&mut self, field: &'static str) -> Result<Box<str>, CallbackError> {
        self.optional(field)?.filter(|text| !text.is_empty()).ok_or(malformed(field, "a string, not empty"))
    }

    /// An id: a string, or an integer that every JSON reader keeps exactly. `None` where it is absent or null.
    pub(super) fn optional_id(&mut self, field: &'static str) -> Result<Option<Box<str>>, CallbackError> {
        let expected = "a string, not empty, or an integer from 0 to 2^53 - 1";
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.into())),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(id) if id <= SAFE_INTEGER_MAX => Ok(Some(id.to_string().into())),
                _ => Err(malformed(field, expected)),
            },
            Some(_) => Err(malformed(field, expected)),
        }
    }

    /// An id that must be there.
    pub(super) fn id(&mut self, field: &'static str) -> Result<Box<str>, CallbackError> {
        self.optional_id(field)?.ok_or(malformed(field, "a string, not empty, or an integer"))
    }

    /// An amount in minor units, from 0.
    pub(super) fn amount(&mut self, field: &'static str) -> Result<i64, CallbackError> {
        let amount = self.0.remove(field).as_ref().and_then(Value::as_i64);
        amount.filter(|amount| *amount >= 0).ok_or(malformed(field, "an integer from 0, in minor units"))
    }
}

/// A field that is not what it must be.
pub(super) const fn malformed(field: &'static str, expected: &'static str) -> CallbackError {
    CallbackError::MalformedBody { field, expected }
}
