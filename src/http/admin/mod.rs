//! The back office: goods, stock, sales, orders, refunds, books, search, the relay.
//!
//! A file per group of routes. Who may call which stands in [`access`](super::auth::access); every write, and every look
//! at personal data, is recorded durably before it is done ([`desk`]). Handlers hand on what the engine answers and
//! decide nothing about orders.

pub mod activities;
pub mod acts;
pub mod backup;
pub mod controls;
pub mod coupons;
pub mod dead_letters;
pub mod desk;
pub mod filter;
pub mod goods;
pub mod order_acts;
pub mod order_name;
pub mod orders;
pub mod preflight;
pub mod refunds;
#[cfg(feature = "relay")]
pub mod relay;
pub mod search;
pub mod settings;
pub mod ship;
pub mod statement;
pub mod stock;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::App;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(goods::sku, goods::put_sku))
        .routes(routes!(goods::put_shipping))
        .routes(routes!(goods::put_freight))
        .routes(routes!(stock::adjust))
        .routes(routes!(stock::transfer))
        .routes(routes!(stock::stock))
        .routes(routes!(activities::activities))
        .routes(routes!(activities::activity, activities::put_activity))
        .routes(routes!(activities::end_activity))
        .routes(routes!(preflight::preflight))
        .routes(routes!(controls::controls, controls::control))
        .routes(routes!(coupons::terms, coupons::put_terms))
        .routes(routes!(coupons::issue))
        .routes(routes!(coupons::coupons))
        .routes(routes!(orders::orders))
        .routes(routes!(orders::order))
        .routes(routes!(ship::ship))
        .routes(routes!(order_acts::cancel))
        .routes(routes!(order_acts::remark))
        .routes(routes!(order_acts::price))
        .routes(routes!(order_acts::address))
        .routes(routes!(orders::batch_get))
        .routes(routes!(ship::batch_ship))
        .routes(routes!(orders::payments))
        .routes(routes!(refunds::refunds))
        .routes(routes!(refunds::approve))
        .routes(routes!(refunds::reject))
        .routes(routes!(refunds::request))
        .routes(routes!(refunds::finish))
        .routes(routes!(refunds::fail))
        .routes(routes!(dead_letters::dead_letters))
        .routes(routes!(dead_letters::requeue))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(statement::statement))
        .routes(routes!(backup::backup))
        .routes(routes!(acts::acts))
        .routes(routes!(search::status))
        .routes(routes!(search::reindex));
    #[cfg(feature = "relay")]
    let routes = routes.merge(relay::routes());
    routes
}
