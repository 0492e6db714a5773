//! Packages, confirmation by time, and what may change about an order on its way.

use stockade::{Caller, OrderStatus, Personal, Reject, ShipPackage, Shipment, SkuId};

use super::after_sale::paid;
use crate::support::*;

fn package(number: &str, lines: &[(u64, u32)]) -> ShipPackage {
    let shipment = Shipment { carrier: "sf".into(), tracking_no: number.into() };
    ShipPackage { shipment, lines: lines.iter().map(|(sku, quantity)| (SkuId(*sku), *quantity)).collect() }
}

#[tokio::test]
async fn packages_ship_an_order_bit_by_bit() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.stock_up(2, 10).await;
    let receipt = paid(&shop, 7, &[(1, 2), (2, 1)]).await;
    let order_no = receipt.order_no;
    let first = shop.ship_package(order_no, package("1", &[(1, 1)])).await.unwrap();
    assert_eq!(first.status, OrderStatus::PartiallyShipped);
    let more = shop.ship_package(order_no, package("2", &[(1, 2)])).await;
    assert_eq!(more, Err(Reject::UnitsExceeded { sku: 1.into(), left: 1 }));
    let none = shop.ship_package(order_no, package("2", &[])).await;
    assert_eq!(none, Err(Reject::FieldEmpty { field: "lines" }));
    assert_eq!(shop.confirm(Caller::Operator, order_no).await.unwrap_err().code(), "wrong_status");
    let personal = Personal::Plain(b"5 Tea Lane".as_slice().into());
    let address = shop.change_address(Caller::Operator, order_no, personal.clone()).await;
    assert_eq!(address.unwrap_err().code(), "wrong_status", "a package has left");
    // What is left goes with the last one.
    let rest = Shipment { carrier: "yto".into(), tracking_no: "3".into() };
    let shipped = shop.ship(order_no, rest.clone()).await.unwrap();
    assert_eq!(shipped.status, OrderStatus::Shipped);
    assert_eq!(shop.ship(order_no, rest.clone()).await, Ok(shipped), "unchanged");
    let view = shop.view(order_no).await;
    let quantities: Vec<Vec<u32>> = view
        .packages
        .iter()
        .map(|package| package.units.iter().map(|unit| unit.quantity).collect())
        .collect();
    assert_eq!((quantities, view.shipment), (vec![vec![1], vec![1, 1]], Some(rest)));
    shop.settle().await;
    let live = shop.state_hash().await.unwrap().hash;
    assert_eq!(shop.after_power_cut().await.state_hash().await.unwrap().hash, live);
    audit(&shop.journal);
}

#[tokio::test]
async fn r9_an_order_counts_as_received_so_long_after_its_last_package() {
    let shop = Shop::open_with(|config| config.auto_confirm_ms(10_000)).await;
    shop.stock_up(1, 10).await;
    let receipt = paid(&shop, 7, &[(1, 2)]).await;
    shop.ship_package(receipt.order_no, package("1", &[(1, 1)])).await.unwrap();
    shop.time.advance(20_000);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::PartiallyShipped);
    shop.ship_package(receipt.order_no, package("2", &[(1, 1)])).await.unwrap();
    let shipped_ms = shop.now_ms();
    shop.advance_to(shipped_ms + 9_999);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Shipped, "not early");
    // The timer is set anew after a restart.
    let next =
        shop.reopen(shop.journal.after_power_cut(), |config| config.auto_confirm_ms(10_000)).await.unwrap();
    next.settle().await;
    assert_eq!(next.status(receipt.order_no).await, OrderStatus::Shipped);
    next.time.advance(1);
    let received = next.event(|event| event.name() == "OrderReceived").await;
    assert_eq!(received.at_ms(), shipped_ms + 10_000);
    let confirmed = next.confirm(Caller::Operator, receipt.order_no).await.unwrap();
    assert_eq!(confirmed.status, OrderStatus::Completed);
    assert_eq!(next.count("OrderReceived"), 1);
    audit(&next.journal);
}

#[tokio::test]
async fn addresses_and_notes_change_and_survive() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let member = Caller::Member(7.into());
    let personal = Personal::Plain(b"5 Tea Lane".as_slice().into());
    shop.change_address(member, receipt.order_no, personal.clone()).await.unwrap();
    shop.change_address(member, receipt.order_no, personal.clone()).await.unwrap();
    assert_eq!(shop.count("AddressChanged"), 1, "the same address again changes nothing");
    let long = Personal::Plain(vec![0; 2049].into());
    let long = shop.change_address(member, receipt.order_no, long).await;
    assert_eq!(long.unwrap_err().code(), "field_too_long");
    let stranger = shop.change_address(Caller::Member(8.into()), receipt.order_no, personal.clone()).await;
    assert_eq!(stranger, Err(Reject::OrderNotFound), "R14");
    shop.remark_order(receipt.order_no, "wrap it", 9).await.unwrap();
    assert_eq!(shop.remark_order(receipt.order_no, "wrap it", 10).await.unwrap_err().code(), "out_of_range");
    let next = shop.after_power_cut().await;
    let view = next.view(receipt.order_no).await;
    assert_eq!(
        (view.personal, view.seller_remark.as_deref(), view.flag),
        (Some(personal), Some("wrap it"), 9)
    );
    audit(&shop.journal);
}

#[tokio::test]
async fn r12_what_could_be_repeated_for_ever_is_bounded() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let mut refused = None;
    for turn in 0..600_u32 {
        if let Err(reject) = shop.remark_order(receipt.order_no, &turn.to_string(), 0).await {
            refused = Some((turn, reject.code()));
            break;
        }
    }
    assert_eq!(refused, Some((499, "too_many_of_one_order")));
    // What ends an order is still taken.
    shop.pay(payment(&receipt, "t")).await.unwrap();
    shop.ship(receipt.order_no, Shipment::default()).await.unwrap();
    shop.confirm(Caller::Operator, receipt.order_no).await.unwrap();
}
