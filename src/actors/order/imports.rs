//! What an import tells an order actor besides orders: how much of a limit a member has used up in another system.
//!
//! The figure is absolute, so importing it twice changes nothing and no table of ids is needed. Imported orders are
//! submissions; see [`super::submit`].

use super::actor::{OrderActor, OrderEffects};
use super::cold::WaitsForLimits;
use crate::actors::reply::{Answer, ImportOutcome, Reply};
use crate::domain::event::Event;
use crate::domain::ids::{MemberId, Slot, StockKey};
use crate::domain::import::ImportedLimit;
use crate::domain::reject::Reject;

/// A figure on its way to its member's owner.
#[derive(Debug)]
pub(crate) struct LimitRequest {
    /// The figure.
    pub(crate) limit: ImportedLimit,
    /// Where the answer goes.
    pub(crate) reply: Reply<ImportOutcome>,
}

impl OrderActor {
    /// Notes what a member has used up elsewhere.
    pub(super) fn import_limit(&mut self, request: LimitRequest, now_ms: u64, effects: &mut OrderEffects) {
        let LimitRequest { limit, reply } = request;
        let ImportedLimit { member_id, key, used, import_id } = limit;
        // What is added to must be in memory.
        let request = LimitRequest { limit, reply };
        let waiting = WaitsForLimits::Import(Box::new(request));
        let Some(WaitsForLimits::Import(request)) =
            self.wait_for_limits(member_id, vec![key], waiting, effects)
        else {
            return;
        };
        let LimitRequest { reply, .. } = *request;
        let slot = Slot::of_member(member_id);
        let state = self.slot(slot).limits.get(&(member_id, key)).copied().unwrap_or_default();
        if state.elsewhere == used {
            // That it is so may not be durable yet.
            return effects.durable_answers.push(Answer::to(reply, Ok(ImportOutcome::Unchanged)));
        }
        if used > state.elsewhere && state.collecting > 0 {
            // Those orders were let in by the former figure and must be placed within it.
            let reject = Reject::Overloaded { bound: "the member's orders under way", retry_after_ms: 10 };
            return effects.answers.push(Answer::to(reply, Err(reject)));
        }
        effects.entries.push(&[Event::LimitImported { at_ms: now_ms, member_id, key, used, import_id }]);
        self.restore_elsewhere(member_id, key, used);
        effects.durable_answers.push(Answer::to(reply, Ok(ImportOutcome::Imported)));
        // A lower figure may be what a waiting submission needs.
        self.wake_member(member_id, now_ms, effects);
    }

    /// Enters what a member has used up elsewhere; also how replay applies it.
    pub(crate) fn restore_elsewhere(&mut self, member: MemberId, key: StockKey, used: u32) {
        let limits = &mut self.slot(Slot::of_member(member)).limits;
        let limit = limits.entry((member, key)).or_default();
        limit.elsewhere = used;
        if *limit == Default::default() {
            limits.remove(&(member, key));
        }
    }
}
