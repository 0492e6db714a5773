//! Keeping a subscription's task alive: a panic in it, or in its sink, fails this subscription alone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::commands::{Command, erase};
use super::{Dead, Jitter, LOOK_EVERY, Lanes, Position, Progress, RelayError, Task, too_far_behind};
use crate::relay::board::Board;
use crate::relay::world::{World, holder};

/// Letters that are read at a time.
const LETTERS_LEN: usize = 1_000;

/// Runs a subscription until it is deleted or the engine ends.
pub(in crate::relay) async fn supervise(
    world: Arc<World>,
    name: String,
    board: Arc<Board>,
    mut commands: mpsc::Receiver<Command>,
) {
    loop {
        let work = async {
            let mut task = Task::load(&world, &name, &board).await?;
            task.run(&mut commands).await;
            Ok::<_, RelayError>(())
        };
        let reason = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            // What it says may hold what it was about.
            Err(_panic) => "it has panicked".to_owned(),
        };
        tracing::error!(subscription = name, reason, "a relay subscription has failed");
        board.standing().failed = Some(reason);
        board.set_in_flight(0);
        if !wait_for_help(&world, &name, &board, &mut commands).await {
            return;
        }
        board.standing().failed = None;
    }
}

/// Waits until somebody resumes a subscription that has failed. False where that was its end.
async fn wait_for_help(
    world: &Arc<World>,
    name: &str,
    board: &Arc<Board>,
    commands: &mut mpsc::Receiver<Command>,
) -> bool {
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            () = sleep(LOOK_EVERY) => {
                if too_far_behind(world, board).is_some() && world.holds.of(&holder(name)).is_some() {
                    tracing::error!(subscription = name, "the journal is no longer kept for a failed subscription");
                    world.holds.release(&holder(name));
                }
                continue;
            }
        };
        match command {
            Some(Command::Resume(answer)) => {
                // What becomes of it is seen in its state.
                let _ = answer.send(Ok(()));
                return true;
            }
            Some(Command::Delete(answer)) => {
                let erased = erase(world, name).await;
                let is_gone = erased.is_ok();
                let _ = answer.send(erased);
                if is_gone {
                    return false;
                }
            }
            Some(Command::Close(answer)) => {
                let _ = answer.send(Ok(()));
                return false;
            }
            Some(command) => {
                let reason = board.stopped().unwrap_or_default();
                command.refuse(RelayError::Stopped { name: name.to_owned(), reason });
            }
            None => return false,
        }
    }
}

impl Task {
    /// The task of a subscription as it stands in the book.
    async fn load(world: &Arc<World>, name: &str, board: &Arc<Board>) -> Result<Self, RelayError> {
        let (of, own_name) = (Arc::clone(world), name.to_owned());
        let load = tokio::task::spawn_blocking(move || {
            let stored = of.book.subscription(&own_name)?;
            let stored = stored.ok_or_else(|| RelayError::NotFound { name: own_name.clone() })?;
            let mut dead = Dead::default();
            let mut from = Position(0);
            loop {
                let letters = of.book.letters(&own_name, from, LETTERS_LEN)?;
                for letter in &letters {
                    let order_no = letter.record.order_no;
                    dead.add(letter.position, order_no);
                    dead.booked(letter.position, order_no);
                    if letter.requeued {
                        dead.requeue(letter.position, order_no);
                    }
                }
                let Some(last) = letters.last() else {
                    let passed = of.book.passed(&own_name)?.into_iter().collect();
                    return Ok((stored.cursor, dead, passed));
                };
                from = Position(last.position.0 + 1);
            }
        });
        let (cursor, dead, passed) = load
            .await
            .unwrap_or_else(|_| Err(RelayError::Storage("reading a subscription ended early".to_owned())))?;
        // What a panic left under way is begun anew.
        let spec = board.spec();
        Ok(Self {
            name: name.to_owned(),
            world: Arc::clone(world),
            board: Arc::clone(board),
            spec,
            sink: None,
            reading: None,
            lanes: Lanes::default(),
            progress: Progress::new(cursor),
            dead,
            passed,
            deliveries: FuturesUnordered::new(),
            window: Default::default(),
            work: FuturesUnordered::new(),
            epoch: 0,
            wave: 0,
            failures: 0,
            waiting: None,
            probing: false,
            booking: 0,
            booking_bytes: 0,
            fetching: 0,
            stored_cursor: cursor,
            cursor_due: None,
            cursor_write: None,
            looked_at: Position(0),
            looks: 0,
            jitter: Jitter::new(),
        })
    }
}
