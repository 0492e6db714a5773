//! Answers as callers hear them: each is checked against what is committed, at the moment it arrives (R4).

use tokio::sync::oneshot::error::TryRecvError;

use super::asks::{self, Ask, SubmitAsk, SubmitWait};
use super::seats::REFUSALS_KEPT;
use super::world::World;
use crate::actors::reply::Receipt;
use crate::domain::ids::OrderNo;
use crate::domain::reject::Reject;

impl World {
    /// Hears the answers that have come, and checks each.
    pub(super) fn hear(&mut self) {
        let asks = std::mem::take(&mut self.asks);
        let waiting = asks.into_iter().filter_map(|ask| self.hear_one(ask)).collect();
        self.asks = waiting;
    }

    fn hear_one(&mut self, mut ask: Ask) -> Option<Ask> {
        macro_rules! heard {
            ($reply:expr) => {
                match $reply.try_recv() {
                    Ok(answer) => answer,
                    Err(TryRecvError::Empty) => return Some(ask),
                    Err(TryRecvError::Closed) => panic!("R4: an answer was dropped: {ask:?}"),
                }
            };
        }
        match &mut ask {
            Ask::Submit(submit, reply) => {
                let answer = heard!(reply);
                self.heard_submit(submit, answer);
                if let SubmitWait::Promise(pledge) = reply {
                    self.heard_promise(submit, pledge.order_no(), answer);
                }
            }
            Ask::Command { order_no, caller, wish, visible, reply } => {
                let answer = heard!(reply);
                let command = (*order_no, *caller, *wish);
                asks::check_command(command, *visible, &answer, &self.committed, self.now_ms);
            }
            Ask::Pay { id, order_no, amount, reply } => {
                let answer = heard!(reply);
                asks::check_pay((*id, *order_no, *amount), &answer, &self.committed);
            }
            Ask::Attempt { order_no, reply } => {
                let answer = heard!(reply);
                asks::check_attempt(*order_no, &answer, &self.committed);
            }
            Ask::Refund { command, reply } => {
                let answer = heard!(reply);
                asks::check_refund_command(command, &answer, &self.committed);
            }
            Ask::Adjust { key, id, change, reply } => {
                let answer = heard!(reply);
                asks::check_adjust((*key, *id, *change), &answer, &self.committed);
            }
            Ask::Stock { reply } => {
                let counters = heard!(reply).expect("counters can always be read");
                assert!(counters.balanced(), "R1: {counters:?}");
            }
            Ask::Order { order_no, caller, seen, reply } => match heard!(reply) {
                Ok(order) => asks::check_read(&order, *caller, seen.unwrap_or(0), &self.committed),
                Err(_) => assert_eq!(*seen, None, "R4: {order_no} is not found by {caller:?}"),
            },
            Ask::Orders { page, reply } => {
                let orders = heard!(reply).expect("a member's orders can always be read");
                asks::check_page(page, &orders, &self.committed);
            }
        }
        self.tally.answers += 1;
        None
    }

    fn heard_submit(&mut self, ask: &mut SubmitAsk, answer: Result<Receipt, Reject>) {
        let hash = self.process.shared.hasher.request(ask.member, ask.request);
        // A newer refusal may have taken its place.
        ask.refused = ask.refused && self.remembers_refusal(hash);
        asks::check_submit(ask, &answer, &self.committed);
        match answer {
            Ok(receipt) => {
                let key = (ask.member, ask.request, ask.body_hash);
                let first = *self.receipts.entry(key).or_insert(receipt);
                self.tally.repeated += u64::from(ask.placed.is_some());
                assert_eq!(receipt, first, "R8: the first answer again, across crashes: {ask:?}");
            }
            Err(Reject::SoldOut { .. }) => {
                self.tally.sold_out += 1;
                self.note_refusal(hash);
            }
            Err(Reject::LimitExceeded { .. }) => {
                self.tally.limited += 1;
                self.note_refusal(hash);
            }
            Err(_) => {}
        }
    }

    /// An order that was promised a number has it, and nobody else does.
    fn heard_promise(&mut self, ask: &SubmitAsk, promised: OrderNo, answer: Result<Receipt, Reject>) {
        let is_first = !ask.follows && ask.placed.is_none();
        match answer {
            Ok(receipt) if is_first => {
                assert_eq!(receipt.order_no, promised, "R4: the promised number: {ask:?}");
                self.tally.promised += 1;
            }
            Ok(receipt) if receipt.order_no == promised => self.tally.promised += 1,
            _ => {
                let taken = self.appended.orders.contains_key(&promised);
                assert!(!taken, "R4: {promised} was promised to a request that did not place it: {ask:?}");
            }
        }
    }

    fn note_refusal(&mut self, hash: u64) {
        let cell = self.refusals.entry(hash % REFUSALS_KEPT as u64).or_insert(Some(hash));
        if *cell != Some(hash) {
            *cell = None;
        }
    }

    /// Whether a refusal of this request was heard and can't have been forgotten since.
    pub(super) fn remembers_refusal(&self, hash: u64) -> bool {
        self.refusals.get(&(hash % REFUSALS_KEPT as u64)) == Some(&Some(hash))
    }
}
