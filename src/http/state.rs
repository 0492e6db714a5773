//! What every route shares: the engine, and what the configuration says at this moment.

use std::sync::Arc;

use super::context::RequestIds;
use super::live::Live;
use crate::Engine;

/// The adapter: a cheap-to-clone handle.
#[derive(Clone, Debug)]
pub struct App {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    request_ids: RequestIds,
    live: Live,
}

impl App {
    /// An adapter for an engine, under keys and limits that may be replaced.
    pub fn new(engine: Engine, live: Live) -> Self {
        let request_ids = RequestIds::new(engine.now_ms());
        Self { shared: Arc::new(Shared { engine, request_ids, live }) }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Names for requests.
    pub fn request_ids(&self) -> &RequestIds {
        &self.shared.request_ids
    }

    /// Keys, providers and limits.
    pub fn live(&self) -> &Live {
        &self.shared.live
    }
}
