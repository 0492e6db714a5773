//! Which HTTP status a refusal has.

use axum::http::StatusCode;

use crate::Reject;

/// The HTTP status of a refusal: 422 where the request itself asks for what can't be, 409 where the state of things
/// stands against it, 404 where what it is about doesn't exist, 503 where the engine can't take it now.
///
/// Exhaustive on purpose: a new refusal has to choose.
pub fn status_of(reject: &Reject) -> StatusCode {
    match reject {
        Reject::OrderNotFound | Reject::RefundNotFound | Reject::TeamNotFound { .. } => StatusCode::NOT_FOUND,
        // This engine keeps nothing but its memory: no repetition and no other request helps.
        Reject::NoStore
        | Reject::SearchWordsUnavailable { is_off: true }
        | Reject::SearchSortUnavailable { is_off: true } => StatusCode::NOT_IMPLEMENTED,
        Reject::MemberBlocked { .. } => StatusCode::FORBIDDEN,
        Reject::Overloaded { .. }
        | Reject::DiskReserve
        | Reject::Unavailable
        | Reject::OutcomeUnknown
        | Reject::SearchWordsUnavailable { is_off: false }
        | Reject::SearchSortUnavailable { is_off: false }
        | Reject::SearchBuilding
        | Reject::SearchBehind { .. }
        | Reject::SearchFailed => StatusCode::SERVICE_UNAVAILABLE,
        Reject::SkuOffSale { .. }
        | Reject::SoldOut { .. }
        | Reject::LimitExceeded { .. }
        | Reject::ExternalNoTaken
        | Reject::ExternalNoBusy
        | Reject::TermsConflict { .. }
        | Reject::WrongStatus { .. }
        | Reject::OrderOverdue { .. }
        | Reject::PaymentIdReused
        | Reject::AdjustmentIdReused
        | Reject::StockBelowZero { .. }
        | Reject::StockOverflow { .. }
        | Reject::NotOpenYet { .. }
        | Reject::ActivityOver { .. }
        | Reject::SalesPaused
        | Reject::SkuPaused { .. }
        | Reject::ActivityPaused { .. }
        | Reject::TeamFull { .. }
        | Reject::TeamClosed { .. }
        | Reject::AlreadyInTeam { .. }
        | Reject::PriceChanged { .. }
        | Reject::CouponsExhausted { .. }
        | Reject::PositionNotKept { .. }
        | Reject::TooManyOfOneOrder { .. }
        | Reject::UnitsExceeded { .. }
        | Reject::RefundExceedsPaid { .. }
        | Reject::WrongRefundState { .. }
        | Reject::RefundFinishedOtherwise
        | Reject::RefundOpen
        | Reject::AfterSaleOver { .. }
        | Reject::TeamNotFormed
        | Reject::CouponLocked { .. }
        | Reject::CouponUsed { .. }
        | Reject::CouponTermsOver { .. }
        | Reject::CouponMaximum { .. }
        | Reject::SearchOff => StatusCode::CONFLICT,
        Reject::EmptyOrder
        | Reject::TooManyLines { .. }
        | Reject::QuantityTooSmall { .. }
        | Reject::QuantityOverflow { .. }
        | Reject::AmountOverflow
        | Reject::UnknownSku { .. }
        | Reject::NegativePrice { .. }
        | Reject::UnexpectedActivity { .. }
        | Reject::FieldTooLong { .. }
        | Reject::FieldEmpty { .. }
        | Reject::RequestIdReused
        | Reject::DeadlinePassed { .. }
        | Reject::DeadlineTooFar { .. }
        | Reject::WrongAmount { .. }
        | Reject::UnknownOrderType
        | Reject::ActivityRequired { .. }
        | Reject::ActivityNotFound { .. }
        | Reject::SkuNotInActivity { .. }
        | Reject::ActivityInvalid { .. }
        | Reject::SkuTwice { .. }
        | Reject::TeamChoiceInvalid { .. }
        | Reject::CouponTermsNotFound { .. }
        | Reject::TransferInvalid { .. }
        | Reject::InvalidField { .. }
        | Reject::UnknownFreight { .. }
        | Reject::TooManyCoupons { .. }
        | Reject::CouponRepeated { .. }
        | Reject::CouponNotStackable { .. }
        | Reject::CouponNotYetValid { .. }
        | Reject::CouponExpired { .. }
        | Reject::CouponWrongOrderType { .. }
        | Reject::CouponOutOfScope { .. }
        | Reject::CouponBelowThreshold { .. }
        | Reject::CouponWithoutEffect { .. }
        | Reject::DiscountAboveAmount { .. }
        | Reject::TotalBelowFreight { .. }
        | Reject::PriceMissing { .. }
        | Reject::PriceUnexpected { .. }
        | Reject::TotalMismatch { .. }
        | Reject::RefundAboveQuantity { .. }
        | Reject::OutOfRange { .. }
        | Reject::BatchTooLong { .. }
        | Reject::SkuNotInOrder { .. }
        | Reject::CouponNotFound { .. }
        | Reject::SearchSyntax { .. }
        | Reject::SearchTooBroad { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
