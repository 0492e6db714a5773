//! What a shop's front end calls on behalf of a member, who sees and changes nothing but their own (R14).

pub mod submit;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::App;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(submit::submit))
}
