//! One reject of every kind, with values that are easily found again in a text.

use super::Reject;
use crate::domain::ids::{ActivityId, CouponId, CouponTermsId, FreightId, OrderNo, SkuId, TeamId};
use crate::domain::money::Money;
use crate::domain::order::OrderStatus;
use crate::domain::order_type::OrderType;
use crate::domain::refund::RefundState;

const SKU: SkuId = SkuId(4_201);
const ACTIVITY: ActivityId = ActivityId(4_301);
const TEAM: TeamId = TeamId(4_401);
const TERMS: CouponTermsId = CouponTermsId(4_501);
const ONE: Money = Money::from_minor(123_456);
const OTHER: Money = Money::from_minor(654_321);
const SECKILL: OrderType = OrderType::Seckill;
const AT_MS: u64 = 1_760_000_000_123;

/// Every reject; a test compares them with the list of codes.
#[rustfmt::skip]
pub(super) fn all() -> Vec<Reject> {
    let coupon = CouponId::new(0xABCD);
    vec![
        Reject::EmptyOrder,
        Reject::TooManyLines { lines: 1_501, lines_max: 1_502 },
        Reject::QuantityTooSmall { sku: SKU },
        Reject::QuantityOverflow { sku: SKU },
        Reject::AmountOverflow,
        Reject::UnknownSku { sku: SKU },
        Reject::SkuOffSale { sku: SKU },
        Reject::NegativePrice { sku: SKU },
        Reject::UnexpectedActivity { order_type: SECKILL },
        Reject::FieldTooLong { field: "external_no", len: 1_601, len_max: 1_602 },
        Reject::FieldEmpty { field: "external_no" },
        Reject::SoldOut { sku: SKU },
        Reject::LimitExceeded { sku: SKU, limit: 1_701, bought: 1_702 },
        Reject::RequestIdReused,
        Reject::ExternalNoTaken,
        Reject::ExternalNoBusy,
        Reject::TermsConflict { sku: SKU },
        Reject::DeadlinePassed { deadline_ms: AT_MS },
        Reject::DeadlineTooFar { ahead_ms_max: 1_801 },
        Reject::OrderNotFound,
        Reject::WrongAmount { expected: ONE, paid: OTHER },
        Reject::WrongStatus { order_no: OrderNo::default(), status: OrderStatus::Paid },
        Reject::OrderOverdue { order_no: OrderNo::default() },
        Reject::PaymentIdReused,
        Reject::AdjustmentIdReused,
        Reject::StockBelowZero { needed: 1_901, available: 1_902 },
        Reject::StockOverflow { total_max: 2_001 },
        Reject::Overloaded { bound: "in_flight_max", retry_after_ms: 2_101 },
        Reject::DiskReserve,
        Reject::Unavailable,
        Reject::OutcomeUnknown,
        Reject::UnknownOrderType,
        Reject::ActivityRequired { order_type: SECKILL },
        Reject::ActivityNotFound { activity: ACTIVITY },
        Reject::NotOpenYet { activity: ACTIVITY, opens_at_ms: AT_MS },
        Reject::ActivityOver { activity: ACTIVITY },
        Reject::SkuNotInActivity { sku: SKU, activity: ACTIVITY },
        Reject::ActivityInvalid { activity: ACTIVITY, what: "its id is 0" },
        Reject::SkuTwice { sku: SKU },
        Reject::SalesPaused,
        Reject::SkuPaused { sku: SKU },
        Reject::ActivityPaused { activity: ACTIVITY },
        Reject::MemberBlocked { until_ms: AT_MS },
        Reject::TransferInvalid { sku: SKU, what: "its id is 0" },
        Reject::PositionNotKept { position: 2_201, first: 2_202, last: 2_203 },
        Reject::InvalidField { field: "coupon.issue_max", expected: "1 to 2^40" },
        Reject::UnknownFreight { freight: FreightId(2_301) },
        Reject::TooManyCoupons { coupons: 2_401, coupons_max: 2_402 },
        Reject::CouponRepeated { coupon },
        Reject::CouponNotStackable { coupon },
        Reject::CouponNotYetValid { coupon, valid_from_ms: AT_MS },
        Reject::CouponExpired { coupon, valid_until_ms: AT_MS },
        Reject::CouponWrongOrderType { coupon, order_type: SECKILL },
        Reject::CouponOutOfScope { coupon },
        Reject::CouponBelowThreshold { coupon, threshold: ONE, amount: OTHER },
        Reject::CouponWithoutEffect { coupon },
        Reject::DiscountAboveAmount { discount: ONE, amount: OTHER },
        Reject::TotalBelowFreight { pay_amount: ONE, freight: OTHER },
        Reject::PriceMissing { sku: SKU },
        Reject::PriceUnexpected { sku: SKU },
        Reject::TotalMismatch { stated: ONE, computed: OTHER },
        Reject::TeamChoiceInvalid { order_type: OrderType::GroupBuy, rule: "open a team or join one" },
        Reject::TeamNotFound { team: TEAM },
        Reject::TeamFull { team: TEAM },
        Reject::TeamClosed { team: TEAM },
        Reject::AlreadyInTeam { team: TEAM },
        Reject::PriceChanged { expected: ONE, actual: OTHER },
        Reject::CouponsExhausted { terms: TERMS },
        Reject::CouponTermsNotFound { terms: TERMS },
        Reject::RefundAboveQuantity { units: 2_501, left: 2_502 },
        Reject::OutOfRange { field: "delay_ms", value: 2_601, min: 2_602, max: 2_603 },
        Reject::BatchTooLong { unit: "tasks", len: 2_701, len_max: 2_702 },
        Reject::TooManyOfOneOrder { what: "packages", len_max: 2_801 },
        Reject::SkuNotInOrder { sku: SKU },
        Reject::UnitsExceeded { sku: SKU, left: 2_901 },
        Reject::RefundExceedsPaid { left: ONE },
        Reject::RefundNotFound,
        Reject::WrongRefundState { state: RefundState::Finished },
        Reject::RefundFinishedOtherwise,
        Reject::RefundOpen,
        Reject::AfterSaleOver { until_ms: AT_MS },
        Reject::TeamNotFormed,
        Reject::CouponNotFound { coupon },
        Reject::CouponLocked { coupon },
        Reject::CouponUsed { coupon },
        Reject::CouponTermsOver { terms: TERMS, valid_until_ms: AT_MS },
        Reject::CouponMaximum { terms: TERMS, coupons_max: 3_001 },
        Reject::NoStore,
        Reject::SearchSyntax { at: 3_101, expected: "a whole number" },
        Reject::SearchWordsUnavailable { is_off: false },
        Reject::SearchSortUnavailable { is_off: true },
        Reject::SearchBuilding,
        Reject::SearchBehind { lag_ms: 3_201 },
        Reject::SearchFailed,
        Reject::SearchOff,
        Reject::SearchTooBroad { what: "too many conditions" },
    ]
}

#[test]
fn there_is_a_sample_of_every_reject() {
    let source = include_str!("code.rs");
    let codes = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let mut codes: Vec<_> = codes.map(|(_, code)| code.trim_end_matches("\",")).collect();
    let mut samples: Vec<_> = all().iter().map(Reject::code).collect();
    codes.sort_unstable();
    samples.sort_unstable();
    assert_eq!(codes, samples);
}
