//! Tests of the sinks that need no broker.

mod settings;
mod webhook;
