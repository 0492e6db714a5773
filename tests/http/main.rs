//! The HTTP adapter, route by route and over real sockets.

mod gateway;
mod observe;
mod submit;
mod support;
