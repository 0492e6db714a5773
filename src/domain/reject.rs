//! Rejects: typed business answers with stable codes. A reject changes nothing.

mod checks;
mod chinese;
mod code;
mod field;
mod retry;
#[cfg(test)]
mod samples;

use super::ids::{ActivityId, CouponId, CouponTermsId, FreightId, OrderNo, SkuId, TeamId};
use super::money::Money;
use super::order::OrderStatus;
use super::order_type::OrderType;
use super::refund::RefundState;

pub use retry::Retry;

/// Why a request was refused.
///
/// The codes of [`Reject::code`] are stable; clients may match on them. Three of these say nothing about the
/// request itself but about the engine: `overloaded`, `unavailable` and `outcome_unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// An order without lines.
    #[error("the order has no lines: name at least one sku")]
    EmptyOrder,
    /// More lines than an order may have.
    #[error("the order has {lines} lines: at most {lines_max} are allowed")]
    TooManyLines {
        /// Lines in the request.
        lines: usize,
        /// The bound.
        lines_max: usize,
    },
    /// A quantity below one.
    #[error("the quantity of sku {sku} is below one")]
    QuantityTooSmall {
        /// The line's SKU.
        sku: SkuId,
    },
    /// Quantities of one SKU that don't add up within 32 bits.
    #[error("the quantities of sku {sku} overflow")]
    QuantityOverflow {
        /// The lines' SKU.
        sku: SkuId,
    },
    /// Amounts that don't add up within 64 bits.
    #[error("the order's amount overflows")]
    AmountOverflow,
    /// A SKU that is not in the catalogue.
    #[error("sku {sku} does not exist")]
    UnknownSku {
        /// The SKU.
        sku: SkuId,
    },
    /// A SKU that is not on sale.
    #[error("sku {sku} is not on sale")]
    SkuOffSale {
        /// The SKU.
        sku: SkuId,
    },
    /// A price below zero.
    #[error("the price of sku {sku} is negative")]
    NegativePrice {
        /// The SKU.
        sku: SkuId,
    },
    /// An activity on an order type that has none.
    #[error("order type {order_type:?} takes no activity")]
    UnexpectedActivity {
        /// The type.
        order_type: OrderType,
    },
    /// A field over its bound.
    #[error("{field} has {len} bytes: at most {len_max} are allowed")]
    FieldTooLong {
        /// Which field.
        field: &'static str,
        /// Its length, in bytes.
        len: usize,
        /// The bound, in bytes.
        len_max: usize,
    },
    /// A field that must not be empty.
    #[error("{field} is empty")]
    FieldEmpty {
        /// Which field.
        field: &'static str,
    },
    /// Not enough units, at some instant between the request's arrival and this answer.
    #[error("sku {sku} is sold out")]
    SoldOut {
        /// The SKU that was short.
        sku: SkuId,
    },
    /// The member's purchase limit.
    #[error("a member may have {limit} units of sku {sku}, and has {bought}")]
    LimitExceeded {
        /// The SKU.
        sku: SkuId,
        /// The limit, in units.
        limit: u32,
        /// Units in the member's orders that are not cancelled.
        bought: u32,
    },
    /// The request id was used for another body.
    #[error("this request id was used for another request")]
    RequestIdReused,
    /// The external number belongs to another order.
    #[error("this external number belongs to another order")]
    ExternalNoTaken,
    /// The external number is claimed by an order that is still being decided.
    #[error("this external number is claimed by an order that is being placed: retry")]
    ExternalNoBusy,
    /// Lines of one SKU in an imported order whose prices or limits differ.
    #[error("the lines of sku {sku} differ in price or limit")]
    TermsConflict {
        /// The lines' SKU.
        sku: SkuId,
    },
    /// An imported order whose deadline is not ahead.
    #[error("the deadline {deadline_ms} has passed: allow overdue orders to take it all the same")]
    DeadlinePassed {
        /// The deadline, in ms since the Unix epoch.
        deadline_ms: u64,
    },
    /// An imported order whose deadline is further ahead than the journal can say.
    #[error("the deadline is more than {ahead_ms_max} ms ahead")]
    DeadlineTooFar {
        /// The bound, in ms.
        ahead_ms_max: u64,
    },
    /// No such order, or not the caller's.
    #[error("the order does not exist")]
    OrderNotFound,
    /// A payment of another amount than the order's.
    #[error("the payment's amount is {paid}, the order's is {expected}")]
    WrongAmount {
        /// The order's amount.
        expected: Money,
        /// The payment's amount.
        paid: Money,
    },
    /// A command that the order's status doesn't allow.
    #[error("an order that is {status} can't take this command")]
    WrongStatus {
        /// The order and the status it has.
        order_no: OrderNo,
        /// The status.
        status: OrderStatus,
    },
    /// The order is past its deadline and about to be closed.
    #[error("the order's deadline has passed")]
    OrderOverdue {
        /// The order.
        order_no: OrderNo,
    },
    /// The payment's transaction id was used for another order or amount.
    #[error("this payment was already received for another order or amount")]
    PaymentIdReused,
    /// The adjustment id was used for another adjustment of this stock key.
    #[error("this adjustment id was used for another adjustment")]
    AdjustmentIdReused,
    /// An adjustment that takes away more than is available.
    #[error("the adjustment needs {needed} available units, and {available} are there")]
    StockBelowZero {
        /// Units that the adjustment takes away.
        needed: u64,
        /// Units available.
        available: u64,
    },
    /// A total above what a stock key may hold.
    #[error("a stock key may hold at most {total_max} units")]
    StockOverflow {
        /// The bound, in units.
        total_max: u64,
    },
    /// A bound was reached; see [`Reject::retry`].
    #[error("the engine is at its bound of {bound}: retry in {retry_after_ms} ms")]
    Overloaded {
        /// Which bound.
        bound: &'static str,
        /// How long to wait, in milliseconds.
        retry_after_ms: u32,
    },
    /// The disk has less free space than the configured reserve; payments, closes and reads go on.
    #[error("the disk is below its reserve: new orders are refused until space is freed")]
    DiskReserve,
    /// The engine is stopped or poisoned: nothing was done.
    #[error("the engine is unavailable")]
    Unavailable,
    /// The engine failed while the command was under way; after a restart the same request id tells the outcome.
    #[error("the outcome is unknown: ask again with the same request id after the restart")]
    OutcomeUnknown,
    /// A type of order that doesn't exist.
    #[error("there is no such order type: it is normal, seckill or group_buy")]
    UnknownOrderType,
    /// An order type that needs an activity, without one.
    #[error("order type {order_type:?} needs an activity")]
    ActivityRequired {
        /// The type.
        order_type: OrderType,
    },
    /// No such activity, or none of this order type.
    #[error("activity {activity} does not exist for this order type")]
    ActivityNotFound {
        /// The activity.
        activity: ActivityId,
    },
    /// An activity that has not started.
    #[error("activity {activity} opens at {opens_at_ms}")]
    NotOpenYet {
        /// The activity.
        activity: ActivityId,
        /// When it takes orders, in ms since the Unix epoch.
        opens_at_ms: u64,
    },
    /// An activity that is over.
    #[error("activity {activity} is over")]
    ActivityOver {
        /// The activity.
        activity: ActivityId,
    },
    /// A SKU that the activity doesn't sell.
    #[error("sku {sku} is not part of activity {activity}")]
    SkuNotInActivity {
        /// The SKU.
        sku: SkuId,
        /// The activity.
        activity: ActivityId,
    },
    /// An activity that can't be put.
    #[error("activity {activity} can't be put: {what}")]
    ActivityInvalid {
        /// The activity.
        activity: ActivityId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A list that names a SKU twice.
    #[error("sku {sku} is named twice")]
    SkuTwice {
        /// The SKU.
        sku: SkuId,
    },
    /// The shop has paused all sales.
    #[error("sales are paused: payments and questions go on")]
    SalesPaused,
    /// The shop has paused a SKU.
    #[error("sales of sku {sku} are paused")]
    SkuPaused {
        /// The SKU.
        sku: SkuId,
    },
    /// The shop has paused an activity.
    #[error("activity {activity} is paused")]
    ActivityPaused {
        /// The activity.
        activity: ActivityId,
    },
    /// The shop takes no orders of this member for a while.
    #[error("this member can't order until {until_ms}")]
    MemberBlocked {
        /// The first instant at which orders are taken again, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// A transfer between stock keys that it can't go between.
    #[error("units of sku {sku} can't be transferred that way: {what}")]
    TransferInvalid {
        /// The SKU.
        sku: SkuId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A position of the journal that is not kept any more, or not there yet.
    #[error("position {position} is not in the journal: it begins at {first} and ends at {last}")]
    PositionNotKept {
        /// The position asked for.
        position: u64,
        /// The first that is kept.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A field whose value is outside its range.
    #[error("{field} must be {expected}")]
    InvalidField {
        /// Which field.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A freight template that is not known.
    #[error("freight template {freight} does not exist")]
    UnknownFreight {
        /// The template.
        freight: FreightId,
    },
    /// More coupons than an order may use.
    #[error("the order has {coupons} coupons: at most {coupons_max} are allowed")]
    TooManyCoupons {
        /// Coupons in the request.
        coupons: usize,
        /// The bound.
        coupons_max: usize,
    },
    /// A coupon that the order names twice.
    #[error("coupon {coupon} is given twice")]
    CouponRepeated {
        /// The coupon.
        coupon: CouponId,
    },
    /// A coupon that must stand alone, beside another.
    #[error("coupon {coupon} can't be used together with other coupons")]
    CouponNotStackable {
        /// The coupon.
        coupon: CouponId,
    },
    /// A coupon before its time.
    #[error("coupon {coupon} is valid from {valid_from_ms} on")]
    CouponNotYetValid {
        /// The coupon.
        coupon: CouponId,
        /// The first instant at which it is valid, in ms since the Unix epoch.
        valid_from_ms: u64,
    },
    /// A coupon after its time.
    #[error("coupon {coupon} was valid until {valid_until_ms}")]
    CouponExpired {
        /// The coupon.
        coupon: CouponId,
        /// The first instant at which it is no longer valid, in ms since the Unix epoch.
        valid_until_ms: u64,
    },
    /// A coupon that is not for orders of this type.
    #[error("coupon {coupon} is not for orders of type {order_type:?}")]
    CouponWrongOrderType {
        /// The coupon.
        coupon: CouponId,
        /// The order's type.
        order_type: OrderType,
    },
    /// A coupon for other products than those ordered.
    #[error("coupon {coupon} is for none of the order's lines")]
    CouponOutOfScope {
        /// The coupon.
        coupon: CouponId,
    },
    /// A coupon that needs a larger order.
    #[error("coupon {coupon} needs goods for {threshold}, and {amount} are in the order")]
    CouponBelowThreshold {
        /// The coupon.
        coupon: CouponId,
        /// The least amount of goods in the coupon's scope.
        threshold: Money,
        /// The amount of goods in the coupon's scope, before any coupon.
        amount: Money,
    },
    /// A coupon that would be used up for nothing.
    #[error("coupon {coupon} would take nothing off: leave it out")]
    CouponWithoutEffect {
        /// The coupon.
        coupon: CouponId,
    },
    /// An amount to be taken off that is more than what is there.
    #[error("{discount} can't be taken off {amount}")]
    DiscountAboveAmount {
        /// What is to be taken off.
        discount: Money,
        /// What it is taken off from.
        amount: Money,
    },
    /// A price change below the freight, which is kept apart from the goods.
    #[error("the new total is {pay_amount}, less than the freight of {freight}: lower the freight too")]
    TotalBelowFreight {
        /// The total that was asked for.
        pay_amount: Money,
        /// The freight in it.
        freight: Money,
    },
    /// A line without a price, where the caller brings the prices.
    #[error("no price is given for sku {sku}")]
    PriceMissing {
        /// The SKU.
        sku: SkuId,
    },
    /// A price for a SKU that is not ordered, or a second one for one that is.
    #[error("the price for sku {sku} belongs to no line, or is given twice")]
    PriceUnexpected {
        /// The SKU.
        sku: SkuId,
    },
    /// A total that is not the sum of the prices that came with it.
    #[error("the total is said to be {stated}, and the prices add up to {computed}")]
    TotalMismatch {
        /// The total that the caller stated.
        stated: Money,
        /// The sum of lines, discounts and freight.
        computed: Money,
    },
    /// A group-buy order that names no team, or another one that does.
    #[error("orders of type {order_type:?} {rule}")]
    TeamChoiceInvalid {
        /// The order's type.
        order_type: OrderType,
        /// What it asks for.
        rule: &'static str,
    },
    /// No such team in this campaign.
    #[error("team {team} does not exist in this campaign")]
    TeamNotFound {
        /// The team.
        team: TeamId,
    },
    /// All seats of the team are taken.
    #[error("team {team} is full")]
    TeamFull {
        /// The team.
        team: TeamId,
    },
    /// The team takes nobody any more.
    #[error("team {team} was not complete in time")]
    TeamClosed {
        /// The team.
        team: TeamId,
    },
    /// The member has a seat in the team.
    #[error("the member is in team {team} already")]
    AlreadyInTeam {
        /// The team.
        team: TeamId,
    },
    /// The price is not what the caller expected.
    #[error("the order costs {actual}, {expected} was expected: preview it again")]
    PriceChanged {
        /// What the caller expected.
        expected: Money,
        /// What it costs now.
        actual: Money,
    },
    /// All coupons of a kind are issued.
    #[error("all coupons of kind {terms} are issued")]
    CouponsExhausted {
        /// The kind.
        terms: CouponTermsId,
    },
    /// A kind of coupon that doesn't exist.
    #[error("there are no coupons of kind {terms}")]
    CouponTermsNotFound {
        /// The kind.
        terms: CouponTermsId,
    },
    /// A refund of more units than are left of a line.
    #[error("{units} units are to be refunded, and {left} are left")]
    RefundAboveQuantity {
        /// Units to be refunded.
        units: u32,
        /// Units of the line that are not refunded yet.
        left: u32,
    },
    /// A number outside its bounds.
    #[error("{field} is {value}: it must be {min} to {max}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// A batch over a bound.
    #[error("the batch has {len} {unit}: at most {len_max} are allowed")]
    BatchTooLong {
        /// What is counted: tasks, or bytes.
        unit: &'static str,
        /// How many it has.
        len: usize,
        /// The bound.
        len_max: usize,
    },
    /// More of something than one order may have.
    #[error("an order may have at most {len_max} {what}")]
    TooManyOfOneOrder {
        /// Of what.
        what: &'static str,
        /// The bound.
        len_max: usize,
    },
    /// A SKU that the order has no line of.
    #[error("the order has no line of sku {sku}")]
    SkuNotInOrder {
        /// The SKU.
        sku: SkuId,
    },
    /// More units of a line than are left for this.
    #[error("of sku {sku} only {left} units are left for this")]
    UnitsExceeded {
        /// The line's SKU.
        sku: SkuId,
        /// Units left.
        left: u32,
    },
    /// More money back than was paid.
    #[error("of what was paid only {left} is left to refund")]
    RefundExceedsPaid {
        /// What is left.
        left: Money,
    },
    /// No such refund, or not the caller's.
    #[error("the refund does not exist")]
    RefundNotFound,
    /// A step that the refund's state doesn't allow.
    #[error("a refund that is {state} can't take this step")]
    WrongRefundState {
        /// The state.
        state: RefundState,
    },
    /// The refund is finished, with another refund id of the provider.
    #[error("the refund is finished with another refund id of the provider")]
    RefundFinishedOtherwise,
    /// An open refund keeps the order from being shipped.
    #[error("a refund of the order is open: settle it first")]
    RefundOpen,
    /// The time in which refunds of a completed order may be applied for is over.
    #[error("refunds of this order could be applied for until {until_ms}")]
    AfterSaleOver {
        /// Exclusive end, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// The order's team has not formed yet.
    #[error("the order's team has not formed yet")]
    TeamNotFormed,
    /// A coupon that doesn't exist, or is not the member's.
    #[error("the member has no coupon {coupon}")]
    CouponNotFound {
        /// The coupon.
        coupon: CouponId,
    },
    /// A coupon that an order of the member has, which is not paid yet.
    #[error("coupon {coupon} is in an order that is not paid yet")]
    CouponLocked {
        /// The coupon.
        coupon: CouponId,
    },
    /// A coupon that was used.
    #[error("coupon {coupon} was used")]
    CouponUsed {
        /// The coupon.
        coupon: CouponId,
    },
    /// A kind of coupon whose validity has ended.
    #[error("coupons of kind {terms} were valid until {valid_until_ms}")]
    CouponTermsOver {
        /// The kind.
        terms: CouponTermsId,
        /// The first instant at which they are no longer valid, in ms since the Unix epoch.
        valid_until_ms: u64,
    },
    /// As many coupons as a member may have.
    #[error("a member may have {coupons_max} of these coupons: kind {terms}")]
    CouponMaximum {
        /// The kind.
        terms: CouponTermsId,
        /// The bound, of this kind or of all kinds together.
        coupons_max: u32,
    },
    /// A question that only the store can answer, to an engine that keeps none.
    #[error("this engine keeps no store to look through")]
    NoStore,
    /// A query that can't be read. It repeats nothing of the query, in which there may be names and phone numbers.
    #[error("the query can't be read after {at} characters: expected {expected}")]
    SearchSyntax {
        /// Characters before the place that is wrong.
        at: u32,
        /// What could stand there.
        expected: &'static str,
    },
    /// A search for words while there is no index to look them up in.
    #[error("words can't be searched for while the search index is not used: search by filters")]
    SearchWordsUnavailable {
        /// Whether the index is switched off, and not just behind or failing.
        is_off: bool,
    },
    /// A search sorted by what only the index can sort by, while there is none.
    #[error("hits can't be sorted by this while the search index is not used: sort by creation")]
    SearchSortUnavailable {
        /// Whether the index is switched off, and not just behind or failing.
        is_off: bool,
    },
    /// There is no search index yet.
    #[error("the search index is being built")]
    SearchBuilding,
    /// The search index is too far behind.
    #[error("the search index is {lag_ms} ms behind")]
    SearchBehind {
        /// How far it is behind, in ms.
        lag_ms: u64,
    },
    /// The search index has failed.
    #[error("the search index has failed: the log says why")]
    SearchFailed,
    /// The search index is not kept, so there is nothing to build anew.
    #[error("the search index is switched off")]
    SearchOff,
    /// A search that would take too long.
    #[error("the search is too broad: {what}")]
    SearchTooBroad {
        /// In what.
        what: &'static str,
    },
}
