//! The OpenAPI description: what all operations share is added here, from the table of who may call what.
//!
//! What an operation does, takes and answers stands with its handler. Here it gets what no handler should have to
//! repeat: its id, who may call it, the refusals that all of its kind may answer, and the bounds of integers.

use std::fmt::Write as _;

use axum::Router;
use serde_json::{Map, Value};
use utoipa::OpenApi as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, Header, HttpMethod, OpenApi, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa_swagger_ui::SwaggerUi;

use super::auth::access::{self, Access};
use super::problem::{PROBLEM_JSON, ProblemBody};
use super::state::App;

/// Name of the security scheme: a JWT.
const BEARER: &str = "bearer";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Stockade",
        description = "The order core of a shop: orders, stock, payments, refunds. Ids and order numbers are strings \
                       of decimal digits; money is in integer cents; instants are RFC 3339 in UTC, beside \
                       milliseconds since the Unix epoch. Refusals are problem details (RFC 9457) with stable codes. \
                       Lengths of texts are bounded in bytes of UTF-8, so that a text of other letters than ASCII may \
                       be too long with fewer characters than `maxLength`."
    ),
    tags(
        (name = "public", description = "For everybody: no token is asked for."),
        (name = "member", description = "What a shop's front end calls with a member's token. A member sees and \
                                         changes only their own."),
        (name = "gateway", description = "What a shop's application servers call."),
        (name = "callback", description = "What payment providers call, with their signature."),
        (name = "admin", description = "What the back office calls, by scopes."),
        (name = "watching", description = "What watches over the server: probes and metrics."),
    ),
    components(schemas(ProblemBody))
)]
struct Base;

/// The description without any operation.
pub fn base() -> OpenApi {
    let mut base = Base::openapi();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    base.components.get_or_insert_default().add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    base
}

/// Adds to every operation what all of its kind share, and gives the description as it is served.
pub fn complete(mut description: OpenApi) -> Value {
    for (path, item) in &mut description.paths.paths {
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let name = match method {
                HttpMethod::Get => "GET",
                HttpMethod::Put => "PUT",
                HttpMethod::Delete => "DELETE",
                _ => "POST",
            };
            operation.operation_id = Some(operation_id(name, path));
            let access = access::of(name, path);
            add_words(operation, access);
            add_refusals(operation, access);
            if is_guarded(access) {
                operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
            }
        }
    }
    // A description is text, numbers and maps of them, which JSON can hold.
    let mut description = serde_json::to_value(&description).unwrap_or_default();
    bound_integers(&mut description);
    description
}

/// The id of an operation: its method and its path. Handlers of different groups share names, and ids must differ.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.fold(method.to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

/// Whether a token is asked for. A route that isn't in the table lets nobody in.
fn is_guarded(access: Option<&Access>) -> bool {
    !matches!(access, Some(Access::Public | Access::Signed))
}

/// Makes the first sentence the summary and the rest the description, and says who may call.
fn add_words(operation: &mut Operation, access: Option<&Access>) {
    let words = operation.summary.take().unwrap_or_default().replace('\n', " ");
    let (summary, more) = words.split_once(". ").unwrap_or((words.trim_end_matches('.'), ""));
    let rest = operation.description.take().unwrap_or_default();
    let mut description = String::new();
    for paragraph in [more, rest.trim(), &who_may(access)] {
        let gap = if description.is_empty() || paragraph.is_empty() { "" } else { "\n\n" };
        // Writing to a string doesn't fail.
        let _ = write!(description, "{gap}{paragraph}");
    }
    operation.summary = Some(format!("{summary}."));
    operation.description = Some(description);
}

/// Who may call, in words.
fn who_may(access: Option<&Access>) -> String {
    match access {
        None => "Role: none.".to_owned(),
        Some(Access::Public) => "For everybody: no token is asked for.".to_owned(),
        Some(Access::Signed) => "For payment providers: signed, without a token.".to_owned(),
        Some(Access::Member) => "Role: member.".to_owned(),
        Some(Access::Service) => "Role: service.".to_owned(),
        Some(Access::Relay) => "Role: service with the scope `relay:<name>`, or `relay:*`.".to_owned(),
        Some(Access::Metrics) => "Role: service, or admin with any scope.".to_owned(),
        Some(Access::Admin(scopes)) if scopes.iter().count() == 1 => {
            format!("Role: admin with scope {scopes}.")
        }
        Some(Access::Admin(scopes)) => format!("Role: admin with one of the scopes {scopes}."),
    }
}

/// Adds what every operation of a kind may answer in place of a success.
fn add_refusals(operation: &mut Operation, access: Option<&Access>) {
    let has_body = operation.request_body.is_some();
    let mut add = |status: &str, why: &str| {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(why)));
    };
    if is_guarded(access) {
        add("401", "There is no token, or it is not valid.");
        add("403", "The token's role or scopes don't allow it, or the member is blocked.");
    }
    add("400", "The request can't be read.");
    add("404", "There is no such thing, or it isn't the caller's.");
    add("409", "The state of things stands against it.");
    add("422", "The request asks for what can't be.");
    add("429", "Too many requests: try again after `Retry-After`.");
    add("503", "It can't be taken now: try again after `Retry-After`.");
    if matches!(access, Some(Access::Admin(_))) {
        add("501", "It needs what was written to disk, and this server keeps everything in memory.");
    }
    if has_body {
        add("413", "The body is too large.");
        add("415", "The body is not of the type that is asked for.");
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add_headers(status, response);
        // Providers are refused in a form of their own, except before it is known which one knocks.
        if matches!(access, Some(Access::Signed)) && status.as_str() >= "400" {
            let content = || RefOr::T(problem_content());
            response.content.entry(PROBLEM_JSON.to_owned()).or_insert_with(content);
        }
    }
}

/// A problem as a response.
fn problem(why: &str) -> Response {
    ResponseBuilder::new().description(why).content(PROBLEM_JSON, problem_content()).build()
}

fn problem_content() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build()
}

/// Adds the headers that come with a status.
fn add_headers(status: &str, response: &mut Response) {
    let mut add = |name: &str, kind: Type, why: &str| {
        let header = || RefOr::T(header(kind, why));
        response.headers.entry(name.to_owned()).or_insert_with(header);
    };
    add("X-Request-Id", Type::String, "The request's name: the caller's own, or a new one.");
    match status {
        "401" => add("WWW-Authenticate", Type::String, "`Bearer`, where a token is asked for."),
        "429" | "503" => {
            add("Retry-After", Type::Integer, "How long to wait, in seconds, where that is known.")
        }
        _ => {}
    }
}

fn header(kind: Type, why: &str) -> Header {
    HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(why)).build()
}

/// Adds to integers the largest that their type can hold, where nothing smaller is said: readers of a description know few
/// of the names of formats, and none of their bounds. The names are put as the registry of OpenAPI has them.
fn bound_integers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some((format, integer_max)) = integer_max(fields) {
                fields.insert("format".to_owned(), format.into());
                fields.entry("maximum").or_insert(integer_max.into());
            }
            fields.values_mut().for_each(bound_integers);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The registered name of an integer's format, and the largest that it holds.
fn integer_max(schema: &Map<String, Value>) -> Option<(&'static str, u64)> {
    match schema.get("format")?.as_str()? {
        "u-int8" => Some(("uint8", u8::MAX.into())),
        "u-int16" => Some(("uint16", u16::MAX.into())),
        "u-int32" => Some(("uint32", u32::MAX.into())),
        "u-int64" => Some(("uint64", u64::MAX)),
        _ => None,
    }
}

/// `/openapi.json` and `/docs`.
pub fn pages(description: Value) -> Router<App> {
    SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", description).into()
}
