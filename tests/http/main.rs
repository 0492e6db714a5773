//! The HTTP adapter, route by route and over real sockets.

mod submit;
mod support;
