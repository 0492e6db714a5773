//! Values that the engine keeps as bytes, and instants as text.

use serde_json::Value;

use crate::domain::instant::rfc3339;

/// The shop's own value as the engine keeps it: its JSON, as short as it can be written.
pub fn ext_bytes(value: &Value) -> Box<[u8]> {
    value.to_string().into_bytes().into_boxed_slice()
}

/// The shop's own value as JSON. What an embedding program has put there in another form is shown as text.
pub fn ext_value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// An instant as RFC 3339 has it, in UTC with milliseconds.
pub fn instant(at_ms: u64) -> String {
    rfc3339(at_ms)
}
