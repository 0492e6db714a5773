//! What a shop's application servers call, with the role `service`: many orders on behalf of members over one
//! connection, the delay queue, and events of the relay.

pub mod delay;
#[cfg(feature = "relay")]
pub mod events;
mod lines;
pub mod orders;
mod pump;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::App;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(orders::orders))
        .routes(routes!(delay::push))
        .routes(routes!(delay::push_batch))
        .routes(routes!(delay::pop))
        .routes(routes!(delay::bpop))
        .routes(routes!(delay::reserve))
        .routes(routes!(delay::ack))
        .routes(routes!(delay::nack))
        .routes(routes!(delay::extend))
        .routes(routes!(delay::remove))
        .routes(routes!(delay::reschedule))
        .routes(routes!(delay::stats));
    #[cfg(feature = "relay")]
    let routes = routes.routes(routes!(events::poll)).routes(routes!(events::ack));
    routes
}
