//! What every route shares: the engine, and what the configuration says at this moment.

use std::sync::Arc;

use super::admin::settings::AdminSettings;
use super::auth::principal::Principal;
use super::context::RequestIds;
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
    admin: AdminSettings,
}

impl App {
    /// An adapter for an engine.
    pub fn new(engine: Engine, authenticate: Box<Authenticate>) -> Self {
        let request_ids = RequestIds::new(engine.now_ms());
        let admin = AdminSettings::default();
        Self { shared: Arc::new(Shared { engine, request_ids, authenticate, admin }) }
    }

    /// The same with settings of the back office. To be called before the adapter is cloned: afterwards it changes nothing.
    #[must_use]
    pub fn with_admin(mut self, admin: AdminSettings) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.admin = admin;
        }
        self
    }

    /// Settings of the back office.
    pub fn admin(&self) -> &AdminSettings {
        &self.shared.admin
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
