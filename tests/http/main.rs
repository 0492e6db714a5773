//! The HTTP adapter, route by route and over real sockets.

#![cfg(feature = "http")]

mod config_command;
mod gateway;
mod limits;
mod serve_command;
mod server;
mod submit;
mod support;
