//! Which part of a request a reject is about, so that a form can show the message beside it.

use super::Reject;

impl Reject {
    /// The field of the request that was wrong, in the names of a request's JSON form, dots going inwards: where one is to
    /// blame. `None` where the state of the shop, the order or the engine is.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::EmptyOrder | Self::TooManyLines { .. } => Some("lines"),
            Self::QuantityTooSmall { .. }
            | Self::QuantityOverflow { .. }
            | Self::SoldOut { .. }
            | Self::LimitExceeded { .. }
            | Self::RefundAboveQuantity { .. }
            | Self::UnitsExceeded { .. } => Some("lines.quantity"),
            Self::UnknownSku { .. }
            | Self::SkuOffSale { .. }
            | Self::SkuNotInActivity { .. }
            | Self::SkuTwice { .. }
            | Self::SkuPaused { .. }
            | Self::TermsConflict { .. }
            | Self::SkuNotInOrder { .. } => Some("lines.sku_id"),
            Self::UnexpectedActivity { .. }
            | Self::ActivityRequired { .. }
            | Self::ActivityNotFound { .. }
            | Self::NotOpenYet { .. }
            | Self::ActivityOver { .. }
            | Self::ActivityPaused { .. } => Some("activity_id"),
            Self::FieldTooLong { field, .. }
            | Self::FieldEmpty { field }
            | Self::InvalidField { field, .. }
            | Self::OutOfRange { field, .. } => Some(field),
            Self::RequestIdReused => Some("request_id"),
            Self::ExternalNoTaken | Self::ExternalNoBusy => Some("external_no"),
            Self::DeadlinePassed { .. } | Self::DeadlineTooFar { .. } => Some("deadline_ms"),
            Self::WrongAmount { .. } | Self::RefundExceedsPaid { .. } => Some("amount"),
            Self::PaymentIdReused => Some("transaction_id"),
            Self::AdjustmentIdReused => Some("id"),
            Self::StockBelowZero { .. } | Self::StockOverflow { .. } => Some("change"),
            Self::UnknownOrderType => Some("order_type"),
            Self::PositionNotKept { .. } => Some("position"),
            Self::UnknownFreight { .. } => Some("freight_id"),
            Self::TooManyCoupons { .. }
            | Self::CouponRepeated { .. }
            | Self::CouponNotStackable { .. }
            | Self::CouponNotYetValid { .. }
            | Self::CouponExpired { .. }
            | Self::CouponWrongOrderType { .. }
            | Self::CouponOutOfScope { .. }
            | Self::CouponBelowThreshold { .. }
            | Self::CouponWithoutEffect { .. }
            | Self::CouponNotFound { .. }
            | Self::CouponLocked { .. }
            | Self::CouponUsed { .. } => Some("coupons"),
            Self::TotalBelowFreight { .. } | Self::TotalMismatch { .. } => Some("pay_amount"),
            Self::PriceMissing { .. } | Self::PriceUnexpected { .. } | Self::DiscountAboveAmount { .. } => {
                Some("prices.lines")
            }
            Self::NegativePrice { .. } => Some("price"),
            Self::SearchSyntax { .. } | Self::SearchWordsUnavailable { .. } | Self::SearchTooBroad { .. } => {
                Some("q")
            }
            Self::SearchSortUnavailable { .. } => Some("sort"),
            Self::TeamChoiceInvalid { .. }
            | Self::TeamNotFound { .. }
            | Self::TeamFull { .. }
            | Self::TeamClosed { .. }
            | Self::AlreadyInTeam { .. } => Some("team"),
            Self::PriceChanged { .. } => Some("expected_pay_amount"),
            Self::CouponsExhausted { .. }
            | Self::CouponTermsNotFound { .. }
            | Self::CouponTermsOver { .. }
            | Self::CouponMaximum { .. } => Some("terms_id"),
            Self::AmountOverflow
            | Self::OrderNotFound
            | Self::WrongStatus { .. }
            | Self::OrderOverdue { .. }
            | Self::Overloaded { .. }
            | Self::DiskReserve
            | Self::Unavailable
            | Self::NoStore
            | Self::SearchBuilding
            | Self::SearchBehind { .. }
            | Self::SearchFailed
            | Self::SearchOff
            | Self::OutcomeUnknown
            | Self::ActivityInvalid { .. }
            | Self::SalesPaused
            | Self::MemberBlocked { .. }
            | Self::TransferInvalid { .. }
            | Self::BatchTooLong { .. }
            | Self::TooManyOfOneOrder { .. }
            | Self::RefundNotFound
            | Self::WrongRefundState { .. }
            | Self::RefundFinishedOtherwise
            | Self::RefundOpen
            | Self::AfterSaleOver { .. }
            | Self::TeamNotFormed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;

    #[test]
    fn a_reject_names_the_field_that_was_wrong() {
        let field = |code: &str| samples::all().into_iter().find(|reject| reject.code() == code)?.field();
        assert_eq!(field("field_too_long"), Some("external_no"));
        assert_eq!(field("out_of_range"), Some("delay_ms"));
        assert_eq!(field("quantity_too_small"), Some("lines.quantity"));
        assert_eq!(field("unknown_sku"), Some("lines.sku_id"));
        assert_eq!(field("price_changed"), Some("expected_pay_amount"));
        assert_eq!(field("overloaded"), None);
    }

    #[test]
    fn what_the_engine_lacks_is_no_fields_fault() {
        use crate::domain::reject::Retry;
        for reject in samples::all() {
            if reject.retry() == Retry::AfterRestart {
                assert_eq!(reject.field(), None, "{}", reject.code());
            }
            let is_path =
                |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
            assert!(reject.field().is_none_or(is_path), "{reject:?}");
        }
    }
}
