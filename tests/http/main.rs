//! The HTTP adapter, route by route and over real sockets.

#![cfg(feature = "http")]

mod admin_books;
mod admin_export;
mod admin_goods;
mod admin_orders;
mod admin_refunds;
mod admin_sales;
mod bounds;
mod config_command;
mod examples;
mod gateway;
mod life;
mod life_crash;
mod life_keys;
mod life_private;
mod limits;
mod member_bad_input;
mod member_orders;
mod member_own_only;
mod member_refunds;
mod observe;
mod openapi;
mod placing;
mod process;
mod relay;
mod relay_serve;
mod sales;
mod search;
mod search_serve;
mod serve_command;
mod server;
mod submit;
mod support;
mod tickets;
mod walk;
