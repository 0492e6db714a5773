//! Notifications against a running engine, and everything that must be refused.

mod generic;
mod recording;
mod settings;
mod support;
mod wechat;
