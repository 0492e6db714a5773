//! Tests of the domain as a whole: tables of given, when, then, and models that random histories are compared with.

mod coupon_model;
mod later_model;
mod order_model;
mod order_transitions;
mod pricing;
mod statement;
mod stock_model;
mod task_model;

use super::event::OrderCreated;
use super::ids::{MemberId, OrderNo, PaymentId, RequestId, SkuId, Slot, StockKey};
use super::money::Money;
use super::order::{Line, Lines};
use super::order_type::OrderType;

const CREATED_AT_MS: u64 = 1_800_000_000_000;
const AUTO_CLOSE_MS: u32 = 1_000;
const DEADLINE_MS: u64 = CREATED_AT_MS + AUTO_CLOSE_MS as u64;
const PAY_AMOUNT: Money = Money::from_minor(700);

fn order_no() -> OrderNo {
    OrderNo::compose(1, Slot::of_member(MemberId(7)), 1)
}

/// An order of two lines.
fn created() -> OrderCreated {
    let line = |sku, quantity, price| Line {
        key: StockKey::normal(SkuId(sku)),
        quantity,
        price: Money::from_minor(price),
        revision: 1,
        limit_per_member: 0,
    };
    OrderCreated {
        order_no: order_no(),
        member_id: MemberId(7),
        request_id: RequestId::new(1),
        body_hash: 2,
        order_type: OrderType::Normal,
        at_ms: CREATED_AT_MS,
        auto_close_ms: AUTO_CLOSE_MS,
        pay_amount: PAY_AMOUNT,
        lines: Lines::from_vec(vec![line(1, 2, 100), line(2, 1, 500)]),
        extra: Default::default(),
    }
}

fn payment(number: u8) -> PaymentId {
    PaymentId::of("wechat", "shop", &number.to_string())
}
