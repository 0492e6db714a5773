//! What all subscriptions of an engine work with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::book::Book;
use super::error::RelayError;
use super::message::{Orders, RenderOptions, Renderer};
use super::sink::Sink;
use super::sinks;
use super::spec::{SinkSpec, SubscriptionSpec};
use crate::domain::ids::Position;
use crate::journal::{Holds, JournalHandle};
use crate::runtime::clock::Clock;

/// Sinks that a program has handed in, by name.
#[derive(Clone, Default)]
pub(crate) struct ProgramSinks(pub(crate) BTreeMap<String, Arc<dyn Sink>>);

impl fmt::Debug for ProgramSinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The relay's surroundings.
pub(crate) struct World {
    pub(crate) journal: JournalHandle,
    pub(crate) holds: Arc<Holds>,
    pub(crate) clock: Clock,
    pub(crate) orders: Arc<dyn Orders>,
    pub(crate) sinks: ProgramSinks,
    pub(crate) book: Book,
}

impl World {
    /// The first position that is not durable yet.
    pub(super) fn next(&self) -> Position {
        Position(self.journal.durable().0 + 1)
    }

    /// Something to make a subscription's messages with.
    pub(super) fn renderer(&self, spec: &SubscriptionSpec) -> Renderer {
        let options = RenderOptions { snapshot: spec.snapshot, personal: spec.personal };
        Renderer::new(Arc::clone(&self.orders), options)
    }

    /// A subscription's sink; `None` for one that is pulled.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] where there is no such sink, or its files can't be read.
    pub(super) fn sink(&self, name: &str, spec: &SinkSpec) -> Result<Option<Arc<dyn Sink>>, RelayError> {
        match spec {
            SinkSpec::Pull {} => Ok(None),
            SinkSpec::Program { sink } => match self.sinks.0.get(sink) {
                Some(sink) => Ok(Some(Arc::clone(sink))),
                None => Err(RelayError::Invalid {
                    field: "sink.sink".to_owned(),
                    reason: format!("the program has handed in no sink {sink}"),
                }),
            },
            other => sinks::open(other, name).map(Some),
        }
    }
}

/// Who holds the journal for a subscription.
pub(super) fn holder(name: &str) -> String {
    format!("relay/{name}")
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("journal", &self.journal).finish_non_exhaustive()
    }
}
