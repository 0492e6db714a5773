//! What orders cost: freight, prices that a trusted caller brings, previews, and prices that changed meanwhile.

use stockade::{
    BroughtLine, BroughtPrices, FreightCharge, FreightRule, FreightTemplate, Money, Reject, Sku, SkuShipping,
    SubmitOrder,
};

use crate::support::*;

const fn fen(minor: i64) -> Money {
    Money::from_minor(minor)
}

fn parcel() -> FreightTemplate {
    let charge = FreightCharge::WeightSteps {
        first_grams: 500,
        first_fee: fen(80),
        step_grams: 250,
        step_fee: fen(30),
    };
    FreightTemplate {
        id: 1.into(),
        name: "parcel".into(),
        rule: FreightRule { charge, free_from: Some(fen(10 * PRICE)) },
    }
}

/// A shop where SKU 1 weighs 300 g and ships by parcel, and SKU 2 ships free.
async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    shop.stock_up(2, 100).await;
    assert_eq!(shop.put_freight(parcel(), None).await, Ok(1));
    let shipping = SkuShipping { sku_id: 1.into(), weight_grams: 300, freight: Some(1.into()) };
    assert_eq!(shop.put_shipping(shipping, None).await, Ok(1));
    shop
}

#[tokio::test]
async fn freight_is_charged_by_weight_and_free_above_an_amount() {
    let shop = shop().await;
    let pay = async |request, lines: &[(u64, u32)]| {
        shop.submit(basket(1, request, lines)).await.unwrap().pay_amount.minor()
    };
    assert_eq!(pay(1, &[(1, 1)]).await, PRICE + 80);
    assert_eq!(pay(2, &[(1, 2)]).await, 2 * PRICE + 80 + 30, "600 g");
    assert_eq!(pay(3, &[(2, 3)]).await, 3 * PRICE);
    assert_eq!(
        pay(4, &[(1, 1), (2, 20)]).await,
        21 * PRICE + 80,
        "what ships otherwise doesn't make it free"
    );
    assert_eq!(pay(5, &[(1, 10)]).await, 10 * PRICE);
    let shop = shop.after_power_cut().await;
    assert_eq!(shop.submit(one(1, 6, 1)).await.unwrap().pay_amount.minor(), PRICE + 80);
    audit(&shop.journal);
}

#[tokio::test]
async fn a_preview_says_what_submit_charges_and_reserves_nothing() {
    let shop = shop().await;
    let order = basket(1, 1, &[(1, 2), (2, 200)]);
    let preview = shop.preview(&order).await.unwrap();
    let expected = 202 * PRICE + 110;
    assert_eq!((preview.quote.pay_amount, preview.quote.freight), (fen(expected), fen(110)));
    assert_eq!(preview.stock, [(key(1), 100), (key(2), 100)]);
    assert!(!preview.is_available());
    assert_eq!(shop.counters(1).await.available, 100);
    let order = basket(1, 1, &[(1, 2), (2, 1)]);
    let preview = shop.preview(&order).await.unwrap();
    let receipt = shop.submit(order).await.unwrap();
    assert_eq!(receipt.pay_amount, preview.quote.pay_amount);
    let empty = SubmitOrder { lines: vec![], ..one(1, 2, 1) };
    assert_eq!(shop.preview(&empty).await, Err(Reject::EmptyOrder));
}

#[tokio::test]
async fn an_order_is_refused_with_both_figures_where_its_price_has_changed() {
    let shop = shop().await;
    let order = SubmitOrder { expected_pay_amount: Some(fen(PRICE)), ..one(1, 1, 2) };
    shop.put_sku(Sku { price: fen(PRICE + 1), ..sku(2) }).await.unwrap();
    let changed = Reject::PriceChanged { expected: fen(PRICE), actual: fen(PRICE + 1) };
    assert_eq!(shop.submit(order.clone()).await, Err(changed));
    let again = SubmitOrder { expected_pay_amount: Some(fen(PRICE + 1)), ..order };
    let receipt = shop.submit(again.clone()).await.unwrap();
    shop.put_sku(Sku { price: fen(PRICE + 2), ..sku(2) }).await.unwrap();
    assert_eq!(shop.submit(again).await, Ok(receipt), "R8: placed is placed");
}

#[tokio::test]
async fn a_trusted_caller_brings_its_own_prices_and_they_must_add_up() {
    let shop = shop().await;
    let line = |sku: u64, unit_price, discount| BroughtLine {
        sku: sku.into(),
        unit_price: fen(unit_price),
        discount: fen(discount),
    };
    let order = |request, pay_amount| SubmitOrder {
        prices: Some(Box::new(BroughtPrices {
            source: "erp".into(),
            lines: vec![line(2, 99, 0), line(1, 200, 50)],
            freight: fen(7),
            pay_amount: fen(pay_amount),
        })),
        ..basket(1, request, &[(1, 2), (2, 1)])
    };
    let mismatch = Reject::TotalMismatch { stated: fen(455), computed: fen(456) };
    assert_eq!(shop.submit(order(1, 455)).await, Err(mismatch));
    let receipt = shop.submit(order(2, 456)).await.unwrap();
    assert_eq!(receipt.pay_amount, fen(456));
    let view = shop.view(receipt.order_no).await;
    assert_eq!(view.lines.iter().map(|line| line.price).collect::<Vec<_>>(), [fen(200), fen(99)]);
    let again = shop.after_power_cut().await;
    assert_eq!(again.submit(order(2, 456)).await, Ok(receipt));
    assert_eq!(again.view(receipt.order_no).await, view);
    audit(&again.journal);
}

#[tokio::test]
async fn settings_of_prices_are_checked() {
    let shop = shop().await;
    let unknown = SkuShipping { sku_id: 2.into(), weight_grams: 1, freight: Some(9.into()) };
    assert_eq!(shop.put_shipping(unknown, None).await, Err(Reject::UnknownFreight { freight: 9.into() }));
    let nothing = SkuShipping { sku_id: 99.into(), ..SkuShipping::default() };
    assert_eq!(shop.put_shipping(nothing, None).await, Err(Reject::UnknownSku { sku: 99.into() }));
    let coupon = SubmitOrder { coupons: vec![stockade::CouponId::new(5 << 64)], ..one(1, 1, 1) };
    assert_eq!(shop.submit(coupon).await, Err(Reject::CouponTermsNotFound { terms: 5.into() }));
}
