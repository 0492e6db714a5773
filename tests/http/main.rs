//! The HTTP adapter, route by route and over real sockets.

mod gateway;
mod submit;
mod support;
