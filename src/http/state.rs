//! What every route shares: the engine, and what the configuration says at this moment.

use std::sync::Arc;

use super::admin::search::Reindexing;
use super::admin::settings::AdminSettings;
use super::context::RequestIds;
use super::live::Live;
use super::observe::{ObserveConfig, Observer};
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
    admin: AdminSettings,
    observer: Observer,
    reindexing: Reindexing,
}

impl App {
    /// An adapter for an engine, under keys and limits that may be replaced.
    pub fn new(engine: Engine, live: Live) -> Self {
        let request_ids = RequestIds::new(engine.now_ms());
        let observer = Observer::new(engine.clone(), ObserveConfig::default());
        let admin = AdminSettings::default();
        let reindexing = Reindexing::default();
        Self { shared: Arc::new(Shared { engine, request_ids, live, admin, observer, reindexing }) }
    }

    /// The same with settings of the back office. To be called before the adapter is cloned: afterwards it changes nothing.
    #[must_use]
    pub fn with_admin(mut self, admin: AdminSettings) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.admin = admin;
        }
        self
    }

    /// The same, keeping of requests what is said here. To be called before the adapter is cloned, too.
    #[must_use]
    pub fn observed(mut self, config: ObserveConfig) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.observer = Observer::new(shared.engine.clone(), config);
        }
        self
    }

    /// Settings of the back office.
    pub fn admin(&self) -> &AdminSettings {
        &self.shared.admin
    }

    /// Building the search index anew.
    pub fn reindexing(&self) -> &Reindexing {
        &self.shared.reindexing
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

    /// Keys, providers and limits.
    pub fn live(&self) -> &Live {
        &self.shared.live
    }
}
