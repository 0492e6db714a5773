//! The HTTP adapter, route by route and over real sockets.

mod admin_goods;
mod admin_sales;
mod submit;
mod support;
