//! Requests as bytes, made before the clock runs, apart from the few digits that differ.

use stockade::http::auth::mint::mint_hs256;
use stockade::http::auth::principal::Scopes;
use stockade::http::auth::tokens::Role;

use super::SECRET;

/// Members whose tokens are made. Each asks in turn, so that no token is seen twice in a row.
const MEMBERS: u64 = 4_096;
/// A token that outlives every run: until the year 2100, in ms since the Unix epoch.
const EXPIRES_MS: u64 = 4_102_444_800_000;
/// Digits of a request's number.
const DIGITS: usize = 16;

/// `POST /api/order/submit` of one line, by many members.
pub(crate) struct Requests {
    templates: Vec<Template>,
}

struct Template {
    bytes: Vec<u8>,
    /// Where the request's number stands.
    number_at: usize,
}

impl Requests {
    /// Orders of one unit of a SKU.
    pub(crate) fn new(sku: u64) -> Self {
        let body = format!("{{\"lines\":[{{\"sku_id\":\"{sku}\",\"quantity\":1}}]}}");
        let templates = (1..=MEMBERS).map(|member| {
            let token = mint_hs256(SECRET, "a", &member.to_string(), Role::Member, Scopes::NONE, EXPIRES_MS);
            let head = format!(
                "POST /api/order/submit HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\nidempotency-key: ",
                body.len()
            );
            let number_at = head.len();
            let bytes = format!("{head}{:0DIGITS$}\r\n\r\n{body}", 0).into_bytes();
            Template { bytes, number_at }
        });
        Self { templates: templates.collect() }
    }

    /// Writes request `number` into a buffer, in place of what was there.
    pub(crate) fn write(&self, number: u64, buffer: &mut Vec<u8>) {
        let template = &self.templates[(number % MEMBERS) as usize];
        buffer.clear();
        buffer.extend_from_slice(&template.bytes);
        let mut left = number;
        for digit in buffer[template.number_at..template.number_at + DIGITS].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    }
}

/// The header for a service.
pub(crate) fn service_token() -> String {
    mint_hs256(SECRET, "a", "load", Role::Service, Scopes::NONE, EXPIRES_MS)
}
