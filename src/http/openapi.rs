//! The OpenAPI description: what all operations share is added here, from the table of who may call what.

use axum::Router;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HttpMethod, OpenApi, Ref, RefOr, Response, ResponseBuilder};
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
                       milliseconds since the Unix epoch. Refusals are problem details (RFC 9457) with stable codes."
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

/// Adds to every operation what all of its kind may answer.
pub fn complete(description: &mut OpenApi) {
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
            complete_operation(operation, access::of(name, path));
        }
    }
}

/// The id of an operation: its method and its path. Handlers of different groups share names, and ids must differ.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.fold(method.to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

fn complete_operation(operation: &mut Operation, access: Option<&Access>) {
    let mut add = |status: &str, why: &str| {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(why)));
    };
    let guarded = !matches!(access, Some(Access::Public | Access::Signed));
    if guarded {
        add("401", "There is no token, or it is not valid.");
        add("403", "The token's role or scopes don't allow it, or the member is blocked.");
    }
    add("400", "The request can't be read.");
    add("404", "There is no such thing, or it isn't the caller's.");
    add("409", "The state of things stands against it.");
    add("422", "The request asks for what can't be.");
    add("429", "Too many requests: try again after `Retry-After`.");
    add("503", "It can't be taken now: try again after `Retry-After`.");
    if operation.request_body.is_some() {
        add("413", "The body is too large.");
        add("415", "The body is not of the type that is asked for.");
    }
    if guarded {
        let requirement = SecurityRequirement::new(BEARER, Vec::<String>::new());
        operation.security = Some(vec![requirement]);
    }
}

/// A problem as a response.
fn problem(why: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(why).content(PROBLEM_JSON, content).build()
}

/// `/openapi.json` and `/docs`.
pub fn pages(description: &OpenApi) -> Router<App> {
    SwaggerUi::new("/docs").url("/openapi.json", description.clone()).into()
}
