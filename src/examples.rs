//! Setting the stage for the documentation's examples, so that each shows only its own point.

use crate::{
    Engine, Money, OrderNo, Payment, Reject, Sku, StockAdjustment, StockChange, StockKey, SubmitOrder,
};

/// SKU 42: green tea.
pub fn tea() -> Sku {
    Sku {
        id: 42.into(),
        product_id: 7.into(),
        code: "TEA-50".into(),
        title: "Green tea, 50 g".into(),
        price: Money::from_minor(19_900),
        on_sale: true,
        limit_per_member: 0,
    }
}

/// Puts [`tea`] on sale, with so many units.
///
/// # Errors
/// What the engine answers.
pub async fn stock_tea(engine: &Engine, units: u32) -> Result<(), Reject> {
    engine.put_sku(tea()).await?;
    let change = StockChange::Relative(i64::from(units));
    let adjustment = StockAdjustment { id: 1.into(), key: StockKey::normal(42.into()), change };
    engine.adjust_stock(adjustment).await.map(drop)
}

/// A paid order of member 7, of one unit of [`tea`].
///
/// # Errors
/// What the engine answers.
pub async fn paid_order(engine: &Engine) -> Result<OrderNo, Reject> {
    stock_tea(engine, 10).await?;
    let receipt = engine.submit(SubmitOrder::one_line(7, 1, 42, 1)).await?;
    let payment = Payment {
        order: receipt.order_no.into(),
        channel: "wechat".into(),
        merchant: "shop-1".into(),
        transaction_id: "1".into(),
        amount: receipt.pay_amount,
    };
    engine.pay(payment).await.map(|outcome| outcome.order_no)
}
