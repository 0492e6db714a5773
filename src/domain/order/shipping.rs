//! From payment to the buyer's door: attempts to pay, packages, confirmation by time, and what may change on the way.

use super::Order;
use super::decide::Decision;
use super::event::OrderEvent;
use super::later::{LineUnits, ORDER_ATTEMPTS_MAX, ORDER_PACKAGES_MAX, PayNo};
use super::status::OrderStatus;
use crate::domain::event::{Event, OrderStep};
use crate::domain::ids::SkuId;
use crate::domain::reject::Reject;
use crate::domain::request::{Personal, Shipment};

/// The highest flag that the shop may set on an order.
pub(crate) const FLAG_MAX: u8 = 9;

impl Order {
    /// The member goes to pay at a provider: the first time the deadline moves.
    pub(super) fn decide_attempt(
        &self,
        channel: &str,
        grace_ms: u64,
        now_ms: u64,
    ) -> Result<Decision, Reject> {
        let mut events = match self.decide_start_payment(grace_ms, now_ms)? {
            Decision::Events(events) => events,
            Decision::ReserveAgain | Decision::Unchanged => Vec::new(),
        };
        let attempts = self.later().map_or(0, |later| later.attempts.len());
        if attempts >= ORDER_ATTEMPTS_MAX {
            let (what, len_max) = ("attempts to pay", ORDER_ATTEMPTS_MAX);
            return Err(Reject::TooManyOfOneOrder { what, len_max });
        }
        let (attempt, amount) = (attempts as u16 + 1, self.pay_amount);
        let what = OrderEvent::PaymentAttempted { attempt, channel: channel.into(), amount };
        events.push(self.later_event(events.len() as u32 + 1, what, now_ms));
        Ok(Decision::Events(events))
    }

    /// The number of the last attempt to pay.
    pub(crate) fn last_pay_no(&self) -> Option<PayNo> {
        let attempt = u16::try_from(self.later()?.attempts.len()).ok().filter(|attempt| *attempt > 0)?;
        Some(PayNo { order_no: self.order_no, attempt })
    }

    /// Everything that is left leaves.
    pub(super) fn decide_ship(&self, shipment: &Shipment, now_ms: u64) -> Result<Decision, Reject> {
        if self.status == OrderStatus::Shipped && self.shipment() == Some(shipment) {
            return Ok(Decision::Unchanged);
        }
        self.check_shippable()?;
        if self.status == OrderStatus::Paid {
            return Ok(Decision::Events(vec![self.shipped(1, shipment, now_ms)]));
        }
        let left = self.left_to_ship();
        if left.is_empty() {
            return Ok(Decision::Events(vec![self.shipped(1, shipment, now_ms)]));
        }
        self.decide_units(shipment, &left, now_ms)
    }

    /// A package with some units leaves.
    pub(super) fn decide_package(
        &self,
        shipment: &Shipment,
        wanted: &[(SkuId, u32)],
        now_ms: u64,
    ) -> Result<Decision, Reject> {
        self.check_shippable()?;
        let mut units = self.named_units(wanted)?;
        let left = self.left_to_ship();
        for unit in &units {
            let left = left.iter().find(|left| left.line == unit.line).map_or(0, |left| left.quantity);
            if unit.quantity > left {
                let sku = self.lines[usize::from(unit.line)].key.sku;
                return Err(Reject::UnitsExceeded { sku, left });
            }
        }
        units.sort_by_key(|unit| unit.line);
        self.decide_units(shipment, &units, now_ms)
    }

    fn decide_units(
        &self,
        shipment: &Shipment,
        units: &[LineUnits],
        now_ms: u64,
    ) -> Result<Decision, Reject> {
        let packages = self.later().map_or(0, |later| later.packages.len());
        let left: u64 = self.left_to_ship().iter().map(|unit| u64::from(unit.quantity)).sum();
        let taken: u64 = units.iter().map(|unit| u64::from(unit.quantity)).sum();
        // The last one is always let through, or the order could never be finished.
        if packages >= ORDER_PACKAGES_MAX && taken < left {
            return Err(Reject::TooManyOfOneOrder { what: "packages", len_max: ORDER_PACKAGES_MAX });
        }
        let what = OrderEvent::PackageShipped { shipment: shipment.clone(), units: self.stock_units(units) };
        let mut events = vec![self.later_event(1, what, now_ms)];
        if taken == left {
            events.push(self.shipped(2, shipment, now_ms));
        }
        Ok(Decision::Events(events))
    }

    /// The event after which nothing is left to ship, as the `nth` from now.
    pub(super) fn shipped(&self, nth: u32, shipment: &Shipment, now_ms: u64) -> Event {
        Event::OrderShipped { step: self.step(nth, now_ms), shipment: shipment.clone() }
    }

    fn check_shippable(&self) -> Result<(), Reject> {
        if !matches!(self.status, OrderStatus::Paid | OrderStatus::PartiallyShipped) {
            return Err(self.wrong_status());
        }
        if self.team().is_some() && !self.has_joined_team() {
            return Err(Reject::TeamNotFormed);
        }
        if self.has_open_after_sale() {
            return Err(Reject::RefundOpen);
        }
        Ok(())
    }

    /// Units by SKU, as records name them: at least one line, each once, each with at least one unit.
    pub(super) fn named_units(&self, wanted: &[(SkuId, u32)]) -> Result<Vec<LineUnits>, Reject> {
        if wanted.is_empty() {
            return Err(Reject::FieldEmpty { field: "lines" });
        }
        let mut units: Vec<LineUnits> = Vec::with_capacity(wanted.len());
        for (sku, quantity) in wanted {
            let place = self.lines.iter().position(|line| line.key.sku == *sku && !line.is_seat());
            let line = place.and_then(|place| u8::try_from(place).ok());
            let line = line.ok_or(Reject::SkuNotInOrder { sku: *sku })?;
            if *quantity == 0 {
                return Err(Reject::QuantityTooSmall { sku: *sku });
            }
            match units.iter_mut().find(|unit| unit.line == line) {
                Some(unit) => {
                    let sum = unit.quantity.checked_add(*quantity);
                    unit.quantity = sum.ok_or(Reject::QuantityOverflow { sku: *sku })?;
                }
                None => units.push(LineUnits { line, quantity: *quantity }),
            }
        }
        Ok(units)
    }

    /// When the buyer counts as having received it, in ms since the Unix epoch: so long after the last package. `None`
    /// while it isn't shipped, or a refund is open.
    pub fn confirm_due_ms(&self, auto_confirm_ms: u64) -> Option<u64> {
        if self.status != OrderStatus::Shipped || self.has_open_after_sale() {
            return None;
        }
        let timeline = self.history.as_ref().map_or(&[][..], |history| &history.timeline);
        let left = |event: &str| matches!(event, "OrderShipped" | "PackageShipped");
        let last = timeline.iter().rfind(|entry| left(entry.event))?;
        Some(last.at_ms.saturating_add(auto_confirm_ms))
    }

    /// The buyer has had long enough to say that it did not come.
    pub(super) fn decide_auto_confirm(&self, auto_confirm_ms: u64, now_ms: u64) -> Decision {
        match self.confirm_due_ms(auto_confirm_ms) {
            Some(due_ms) if due_ms <= now_ms => {
                Decision::Events(vec![Event::OrderReceived { step: self.step(1, now_ms) }])
            }
            _ => Decision::Unchanged,
        }
    }

    /// Another address, while nothing has left.
    pub(super) fn decide_address(&self, personal: &Personal, now_ms: u64) -> Result<Decision, Reject> {
        if !matches!(self.status, OrderStatus::Pending | OrderStatus::Paid) {
            return Err(self.wrong_status());
        }
        if self.text().and_then(|text| text.personal.as_ref()) == Some(personal) {
            return Ok(Decision::Unchanged);
        }
        self.check_events()?;
        let what = OrderEvent::AddressChanged { personal: personal.clone() };
        Ok(Decision::Events(vec![self.later_event(1, what, now_ms)]))
    }

    /// The shop notes something.
    pub(super) fn decide_note(&self, remark: &str, flag: u8, now_ms: u64) -> Result<Decision, Reject> {
        let before = self.later().and_then(|later| later.note.as_ref());
        if before.is_some_and(|note| (&*note.remark, note.flag) == (remark, flag)) {
            return Ok(Decision::Unchanged);
        }
        self.check_events()?;
        let what = OrderEvent::OrderRemarked { remark: remark.into(), flag };
        Ok(Decision::Events(vec![self.later_event(1, what, now_ms)]))
    }

    /// An event of its later life, as the `nth` from now.
    pub(super) fn later_event(&self, nth: u32, what: OrderEvent, now_ms: u64) -> Event {
        let OrderStep { order_no, version, at_ms } = self.step(nth, now_ms);
        Event::Order { step: OrderStep { order_no, version, at_ms }, what: Box::new(what) }
    }
}
