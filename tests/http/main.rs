//! The HTTP adapter, route by route and over real sockets.

mod admin_books;
mod admin_export;
mod admin_goods;
mod admin_orders;
mod admin_refunds;
mod admin_sales;
mod submit;
mod support;
