//! The HTTP adapter, route by route and over real sockets.

#![cfg(feature = "http")]

mod gateway;
mod limits;
mod server;
mod submit;
mod support;
