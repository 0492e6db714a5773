//! The supervisor: an actor that panics must not be restarted, because its memory is not to be trusted, and must
//! not take the engine down silently either. It poisons the engine (R13).

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::runtime::shutdown::Gate;

/// Watches the stock and order actors.
pub(crate) struct Supervisor {
    gate: Arc<Gate>,
}

impl Supervisor {
    /// A supervisor that poisons `gate`.
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    // ractor's default would stop the supervisor on any child's exit, and a passivated stock actor exits normally.
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                let name = actor.get_name().unwrap_or_else(|| "actor".into());
                self.gate.poison(format!("{name} failed: {error}"));
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}
