//! What every route shares: the engine, and what the configuration says at this moment.

use std::sync::Arc;

use super::auth::principal::Principal;
use super::context::RequestIds;
use super::observe::{ObserveConfig, Observer};
use super::problem::Problem;
use crate::Engine;

/// Finds out who a request comes from, by its `Authorization` header and the engine's time: nobody, somebody, or a token
/// that is wrong.
pub type Authenticate = dyn Fn(Option<&str>, u64) -> Result<Option<Principal>, Problem> + Send + Sync;

/// The adapter: a cheap-to-clone handle.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    request_ids: RequestIds,
    authenticate: Box<Authenticate>,
    observer: Observer,
}

impl App {
    /// An adapter for an engine.
    pub fn new(engine: Engine, authenticate: Box<Authenticate>) -> Self {
        Self::observed(engine, authenticate, ObserveConfig::default())
    }

    /// An adapter for an engine, and what it keeps of requests.
    pub fn observed(engine: Engine, authenticate: Box<Authenticate>, config: ObserveConfig) -> Self {
        let request_ids = RequestIds::new(engine.now_ms());
        let observer = Observer::new(engine.clone(), config);
        Self { shared: Arc::new(Shared { engine, request_ids, authenticate, observer }) }
    }

    /// Who sees every request.
    pub fn observer(&self) -> &Observer {
        &self.shared.observer
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Names for requests.
    pub fn request_ids(&self) -> &RequestIds {
        &self.shared.request_ids
    }

    /// Who a request comes from.
    ///
    /// # Errors
    /// What is wrong with its token.
    pub fn authenticate(&self, authorization: Option<&str>) -> Result<Option<Principal>, Problem> {
        (self.shared.authenticate)(authorization, self.shared.engine.now_ms())
    }
}
