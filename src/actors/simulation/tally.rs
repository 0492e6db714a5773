//! What happened in a run, so that a workload that tests nothing shows.

use crate::domain::order::OrderEvent;

/// Counters with a sum, and a list of those that stayed at zero.
macro_rules! tally {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counts of what happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct Tally {
            $($(#[doc = $doc])* pub(super) $name: u64,)*
        }

        impl std::ops::AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl Tally {
            /// The names of what never happened.
            pub(super) fn unseen(&self) -> Vec<&'static str> {
                [$((stringify!($name), self.$name),)*]
                    .into_iter()
                    .filter_map(|(name, count)| (count == 0).then_some(name))
                    .collect()
            }
        }
    };
}

tally! {
    /// Orders placed.
    placed,
    /// Of these, under a number that was promised before.
    promised,
    /// Retries that got the first answer of an order that was committed before.
    repeated,
    /// Refusals heard.
    sold_out,
    /// Refusals for a limit heard.
    limited,
    /// Orders paid.
    paid,
    /// Orders revived by late money.
    revived,
    /// Payments that go back.
    refunds,
    /// Orders closed by their timer.
    timeouts,
    /// Orders paid because they cost nothing.
    paid_with_nothing,
    /// Orders received, by the buyer's word or by time.
    received,
    /// Orders closed because all of their money has gone back.
    closed_refunded,
    /// Payments for no order.
    unmatched,
    /// Steps of refunds of such payments.
    unmatched_steps,
    /// Attempts to pay.
    attempts,
    /// Changes of price.
    prices_changed,
    /// Changes of address.
    addresses_changed,
    /// Packages.
    packages,
    /// Refunds applied for.
    refunds_applied,
    /// Refunds withdrawn or rejected.
    refunds_closed,
    /// Refunds approved.
    refunds_approved,
    /// Refunds asked of the provider.
    refunds_requested,
    /// Refunds that failed.
    refunds_failed,
    /// Refunds finished.
    refunds_finished,
    /// Units that went back on sale.
    restocked,
    /// Notes of the shop.
    remarks,
    /// Trades to be closed at a provider.
    trades_closed,
    /// Crashes without a store.
    crashes,
    /// Whole histories replayed and compared.
    replays,
    /// Answers heard.
    answers,
    /// Submissions that could not be priced any more, and may have had an order.
    recalls,
    /// Crashes with a store.
    store_crashes,
    /// Crashes amid a checkpoint.
    crashes_amid_checkpoint,
    /// Recoveries from store and tail, compared with the living state.
    store_replays,
    /// Checkpoints.
    checkpoints,
    /// Second checkpoints of a process that recovered from a store.
    second_checkpoints,
    /// Orders stored as they were after the checkpoint's position.
    ahead,
    /// Purchase limits that recovery found to be ahead of the store's position.
    limits_ahead,
    /// Closed orders that moved back among the open ones.
    reopened,
    /// Checkpoints that failed.
    failed_checkpoints,
    /// Entries of the journal that were trimmed.
    trimmed,
    /// Orders that left memory.
    evicted,
    /// Orders that came back from the store to be changed.
    loaded_orders,
    /// Orders shown from the store.
    shown_orders,
    /// Lists of orders that needed the store.
    loaded_lists,
    /// Payments that came back from the store.
    loaded_payments,
    /// Submissions that the store knew.
    loaded_submissions,
    /// Refused submissions that the store knew.
    loaded_recalls,
    /// External numbers that the store knew.
    loaded_externals,
    /// Questions that the store could not answer: filters were wrong, or nothing is known.
    loaded_nothing,
    /// Filters that came to know what earlier processes had stored.
    warmed,
}

impl Tally {
    /// Counts an event of an order's later life.
    pub(super) fn count_later(&mut self, what: &OrderEvent) {
        let count = match what {
            OrderEvent::PaymentAttempted { .. } => &mut self.attempts,
            OrderEvent::PriceChanged { .. } => &mut self.prices_changed,
            OrderEvent::AddressChanged { .. } => &mut self.addresses_changed,
            OrderEvent::PackageShipped { .. } => &mut self.packages,
            OrderEvent::RefundApplied { .. } => &mut self.refunds_applied,
            OrderEvent::RefundClosed { .. } => &mut self.refunds_closed,
            OrderEvent::RefundApproved { .. } => &mut self.refunds_approved,
            OrderEvent::RefundRequested { .. } => &mut self.refunds_requested,
            OrderEvent::RefundFailed { .. } => &mut self.refunds_failed,
            OrderEvent::RefundFinished { .. } => &mut self.refunds_finished,
            OrderEvent::OrderRemarked { .. } => &mut self.remarks,
            OrderEvent::TradeCloseRequired { .. } => &mut self.trades_closed,
            // Teams are not simulated here.
            OrderEvent::TeamJoined {} | OrderEvent::UnitsReturned { .. } => return,
        };
        *count += 1;
        self.restocked += what.restocked().iter().map(|unit| u64::from(unit.quantity)).sum::<u64>();
    }
}
