//! Bodies: their type, their size, their text, their fields; each wrong in a way of its own.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::http::limits::guard::BodyBytesMax;
use crate::http::problem::Problem;

/// Largest body of a JSON request, in bytes; a limit below it may be configured.
pub const BODY_BYTES_MAX: usize = 256 << 10;

/// Longest explanation of what is wrong with a field, in characters.
const EXPLANATION_CHARS_MAX: usize = 300;

/// A JSON body of at most `BYTES_MAX` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Body<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const BYTES_MAX: usize> FromRequest<S> for Body<T, BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        check_type(request.headers())?;
        // What is configured is about ordinary bodies; a route with a bound of its own keeps it.
        let configured = request.extensions().get::<BodyBytesMax>().filter(|_| BYTES_MAX == BODY_BYTES_MAX);
        let bytes_max = configured.map_or(BYTES_MAX, |BodyBytesMax(bytes_max)| BYTES_MAX.min(*bytes_max));
        let bytes = read(request, bytes_max).await?;
        parse(&bytes).map(Self)
    }
}

/// Refuses a body that doesn't say that it is JSON.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the body must be JSON: send content-type: application/json",
        "请求体必须是 JSON：请发送 content-type: application/json",
    ))
}

/// Reads a whole body, within its bound in bytes.
///
/// # Errors
/// `body_too_large` (413), `body_incomplete` (400).
pub async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body has more than {bytes_max} bytes"),
            format!("请求体超过 {bytes_max} 字节"),
        )
    };
    match Limited::new(request.into_body(), bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_broken) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            "the body ended before its time",
            "请求体不完整",
        )),
    }
}

/// Reads a value from JSON.
///
/// # Errors
/// `invalid_json` (400) where the text is none, `invalid_body` (422) with the field where it says something else than
/// expected.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    // Every body is an object; the reader of a structure would take a list of its fields' values, too.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(no_object(bytes));
    }
    // Where the field stands is found out only for those who got it wrong.
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

fn no_object(bytes: &[u8]) -> Problem {
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Err(error) => invalid_json(&error),
        Ok(_) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_body",
            "the body is a list, expected an object",
            "请求体应为 JSON 对象，而不是数组",
        ),
    }
}

fn explain<'a, T: Deserialize<'a>>(bytes: &'a [u8], error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            let error = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
                Err(error) => error,
                // It reads at the second try: what follows the value is wrong.
                Ok(_) => return invalid_json(error),
            };
            let field = error.path().to_string();
            let text = without_values(&error.inner().to_string());
            let chinese = format!("请求体字段不正确：{text}");
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", text, chinese);
            if field == "." { problem } else { problem.field(field) }
        }
        Category::Io | Category::Syntax | Category::Eof => invalid_json(error),
    }
}

/// What is wrong, without the value that is: it may be somebody's phone number.
fn without_values(text: &str) -> String {
    // The position says nothing to people: the problem names the field.
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    match (text.find("string \""), text.rfind("\", expected ")) {
        (Some(from), Some(until)) if from < until => format!("{}string{}", &text[..from], &text[until + 1..]),
        _ => text.chars().take(EXPLANATION_CHARS_MAX).collect(),
    }
}

fn invalid_json(error: &serde_json::Error) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_json",
        format!("the body is no JSON: {error}"),
        format!("请求体不是合法的 JSON：{error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::language::Language;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Line {
        quantity: u32,
    }

    fn wrong(json: &[u8]) -> (u16, &'static str, Option<String>, String) {
        let body = parse::<Order>(json).unwrap_err().body(Language::English, "r");
        (body.status, body.code, body.field, body.detail)
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        let (status, code, field, detail) =
            wrong(br#"{"lines":[{"quantity":1},{"quantity":"138 0013 8000"}]}"#);
        assert_eq!((status, code, field.as_deref()), (422, "invalid_body", Some("lines[1].quantity")));
        assert_eq!(detail, "invalid type: string, expected u32", "the value is not repeated");
        let (status, _, field, detail) = wrong(br#"{"lines":[{"quantity":1,"Price":2}]}"#);
        assert_eq!((status, field.as_deref()), (422, Some("lines[0].Price")));
        assert_eq!(detail, "unknown field `Price`, expected `quantity`");
        assert_eq!(wrong(br#"{"lines":[{"quantity":4294967296}]}"#).0, 422);
        assert_eq!((wrong(b" [[]]").0, wrong(b"[[]]").1), (422, "invalid_body"), "a list is no order");
        for broken in [&b"{\"lines\":["[..], b"", b"{\"lines\":[]} x", b"{\"lines\":[\xff]}", &[b'['; 10_000]]
        {
            let (status, code, ..) = wrong(broken);
            assert!(status == 400 && code == "invalid_json" || code == "invalid_body", "{status} {code}");
        }
    }
}
