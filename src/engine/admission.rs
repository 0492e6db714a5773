//! The front door: what can be checked, priced and refused on the caller's own thread.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crossbeam::utils::CachePadded;

use super::Inner;
use super::teams::Seat;
use crate::actors::order::submit::sticky_code;
use crate::actors::order::{Admitted, Recall};
use crate::actors::reply::SubmitReply;
use crate::domain::activity::Activity;
use crate::domain::order::{Line, OrderExtra};
use crate::domain::reject::Reject;
use crate::domain::request::{PricedOrder, SubmitOrder};
use crate::domain::setting::Setting;

/// How long a caller should wait before trying an overloaded engine again, in ms.
const RETRY_AFTER_MS: u32 = 5;

/// What the front door counts and knows.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// Submissions refused as sold out without a message.
    pub(crate) sold_out: CachePadded<AtomicU64>,
    /// Submissions refused for what they say.
    pub(crate) invalid: CachePadded<AtomicU64>,
    /// Commands refused at a bound.
    pub(crate) overloaded: CachePadded<AtomicU64>,
    /// Whether the disk is below its reserve.
    pub(crate) disk_is_low: AtomicBool,
}

/// A submission that goes on to its order actor.
pub(crate) enum Passed {
    /// To be placed.
    Place(Checked),
    /// To be refused, unless its request id is known.
    Recall(Recall),
}

/// A submission that may be placed.
pub(crate) struct Checked {
    priced: PricedOrder,
    body_hash: u64,
    request_hash: u64,
    auto_close_ms: u32,
    deadline_ms: Option<NonZeroU64>,
    ends_at_ms: u64,
    seat: Seat,
}

impl Checked {
    /// The submission as the order actors take it.
    pub(crate) fn admit(self, mut order: SubmitOrder, reply: SubmitReply) -> Admitted {
        Admitted {
            member_id: order.member_id,
            request_id: order.request_id,
            request_hash: self.request_hash,
            body_hash: self.body_hash,
            pay_amount: self.priced.pay_amount,
            auto_close_ms: self.auto_close_ms,
            deadline_ms: self.deadline_ms,
            ends_at_ms: self.ends_at_ms,
            team: self.seat.wish.map(Box::new),
            order_type: order.order_type,
            extra: OrderExtra { text: order.take_text(), terms: self.priced.terms },
            lines: self.priced.lines,
            reply,
        }
    }
}

impl Inner {
    /// Whether commands are taken at all.
    pub(crate) fn check_open(&self) -> Result<(), Reject> {
        self.gate.check().map_err(|_shut| Reject::Unavailable)
    }

    /// Takes credits for commands; each is given back when its command is answered.
    pub(crate) fn take_credits(&self, count: u64) -> Result<(), Reject> {
        if self.credits.try_take(count) {
            return Ok(());
        }
        self.door.overloaded.fetch_add(count, Ordering::Relaxed);
        Err(Reject::Overloaded { bound: "in_flight_max", retry_after_ms: RETRY_AFTER_MS })
    }

    /// Checks a submission, prices it, and refuses it where that needs no actor.
    pub(crate) fn check_submission(&self, order: &SubmitOrder) -> Result<Passed, Reject> {
        let request_hash = self.shared.hasher.request(order.member_id, order.request_id);
        let found = order.activity_id.and_then(|id| self.register.activity(id));
        let activity = found.as_deref().and_then(Setting::as_activity);
        // The clock is read only where it counts: an everyday order with no switch turned needs none.
        let needs_clock = activity.is_some() || self.register.has_controls() || !order.is_plain();
        let now_ms = if needs_clock { self.clock.now_ms() } else { 0 };
        let priced = self.price(order, activity, now_ms).and_then(|mut priced| {
            let seat = self.seat(order, activity, &mut priced, now_ms)?;
            Ok((priced, seat))
        });
        let (priced, seat) = match priced {
            Ok(priced) => priced,
            // What is invalid now may have been placed before the catalogue changed: then its retry gets the first
            // answer (R8).
            Err(refusal) => {
                return self.refuse(&self.door.invalid, order, request_hash, || order.body_hash(), refusal);
            }
        };
        self.refuse_sold_out(&priced.lines, request_hash)?;
        if let Some(bound) = self.bound_reached() {
            // It may have an order (R8): then that is its answer, whatever the state of disk and journal.
            return self.refuse(&self.door.overloaded, order, request_hash, || order.body_hash(), bound);
        }
        Ok(Passed::Place(Checked {
            body_hash: order.body_hash(),
            auto_close_ms: auto_close_ms(
                seat.deadline_ms,
                activity,
                now_ms,
                self.settings.auto_close_ms[order.order_type as usize],
            ),
            deadline_ms: None,
            ends_at_ms: activity.map_or(u64::MAX, |activity| activity.end_ms),
            seat,
            priced,
            request_hash,
        }))
    }

    /// Checks an order of another system, as [`Inner::check_submission`] does: `order` is what it carries along,
    /// `priced` its terms and `refusal` what speaks against them.
    pub(crate) fn check_import(
        &self,
        order: &SubmitOrder,
        priced: PricedOrder,
        body_hash: u64,
        deadline_ms: u64,
        refusal: Option<Reject>,
    ) -> Result<Passed, Reject> {
        let request_hash = self.shared.hasher.request(order.member_id, order.request_id);
        if let Some(refusal) = refusal {
            return self.refuse(&self.door.invalid, order, request_hash, || body_hash, refusal);
        }
        self.refuse_sold_out(&priced.lines, request_hash)?;
        if let Some(bound) = self.bound_reached() {
            return self.refuse(&self.door.overloaded, order, request_hash, || body_hash, bound);
        }
        // Zero is overdue like any other instant of the past.
        let deadline_ms = NonZeroU64::new(deadline_ms.max(1));
        Ok(Passed::Place(Checked {
            priced,
            body_hash,
            request_hash,
            auto_close_ms: 1,
            deadline_ms,
            ends_at_ms: u64::MAX,
            seat: Seat::default(),
        }))
    }

    /// Refuses a submission, unless its request may have entered before: then its order actor looks.
    fn refuse(
        &self,
        counter: &AtomicU64,
        order: &SubmitOrder,
        request_hash: u64,
        body_hash: impl FnOnce() -> u64,
        refusal: Reject,
    ) -> Result<Passed, Reject> {
        if self.may_have_entered(request_hash) {
            return Ok(Passed::Recall(Recall {
                member_id: order.member_id,
                request_id: order.request_id,
                request_hash,
                body_hash: body_hash(),
                refusal,
            }));
        }
        counter.fetch_add(1, Ordering::Relaxed);
        Err(refusal)
    }

    /// Lets checked submissions in: from here on their order actor answers their request ids.
    pub(crate) fn enter(&self, checked: &Checked) {
        self.filter.insert(checked.request_hash);
    }

    /// Whether this request may have entered before. Every one may have, until the filter knows those of earlier runs.
    fn may_have_entered(&self, request_hash: u64) -> bool {
        self.filter.contains(request_hash)
            || self.shared.store.as_ref().is_some_and(|store| store.is_warming())
    }

    /// Refuses what is sold out without a message. A request that entered an actor before goes there again: it may have
    /// an order (R8).
    fn refuse_sold_out(&self, lines: &[Line], request_hash: u64) -> Result<(), Reject> {
        let sold_out = lines.iter().find(|line| self.stock.is_sold_out(&line.key));
        // The look that counts comes behind the fence; this one is under way while the refusal is entered, so that the
        // two wait for memory together.
        if let Some(line) = sold_out
            && !self.may_have_entered(request_hash)
        {
            let reject = Reject::sold_out(&line.key);
            // Remembered first, looked up in the filter after. The same request may be coming in by another caller at
            // this moment: either it is seen in the filter, or its order actor sees this refusal. The other way round
            // one could be refused and the other sold. An entry about a request that does have an order hurts
            // nobody: the actor looks for the order first.
            if let Some(code) = sticky_code(&reject, lines) {
                self.shared.refusals.remember(request_hash, code);
            }
            fence(Ordering::SeqCst);
            if !self.may_have_entered(request_hash) {
                self.door.sold_out.fetch_add(1, Ordering::Relaxed);
                return Err(reject);
            }
        }
        Ok(())
    }

    /// Why no new order can be taken at this moment, if so.
    pub(super) fn bound_reached(&self) -> Option<Reject> {
        if self.door.disk_is_low.load(Ordering::Relaxed) {
            Some(Reject::DiskReserve)
        } else if self.journal.is_full() {
            Some(Reject::Overloaded { bound: "journal_queue_bytes_max", retry_after_ms: RETRY_AFTER_MS })
        } else {
            None
        }
    }
}

/// How long an order may stay unpaid, in ms: as its activity says, and not beyond the deadline of its team.
fn auto_close_ms(deadline_ms: Option<u64>, activity: Option<&Activity>, now_ms: u64, usual_ms: u32) -> u32 {
    let auto_close_ms = activity.and_then(|activity| activity.auto_close_ms).unwrap_or(usual_ms);
    let left_ms = deadline_ms.map_or(u64::MAX, |deadline_ms| deadline_ms.saturating_sub(now_ms));
    u32::try_from(left_ms).unwrap_or(u32::MAX).clamp(1, auto_close_ms)
}
