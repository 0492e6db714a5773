//! How fast a sold-out SKU is refused, from one thread: what most buyers of a flash sale get.

use std::time::Instant;

use stockade::{Engine, OrderRef, Reject, SubmitOrder};

use crate::cli::RefusalsArgs;
use crate::place::Place;
use crate::plan::request_id;
use crate::progress;
use crate::report::{Report, Tally, per_second};
use crate::{Failure, shop};

/// The one SKU of this shop.
const SKU: u64 = 1;
/// Requests between two looks at the clock and the bar.
const STRIDE: u64 = 100_000;

pub(crate) async fn run(args: RefusalsArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    let engine = Engine::open(shop::config(place.path(), &args.engine, 1)).await?;
    shop::stock(&engine, SKU, 0, |_sku| 1).await?;
    // The one unit is sold for good, so that it can't come back.
    let receipt = engine.submit(SubmitOrder::one_line(0, 1, SKU, 1)).await?;
    engine.pay(shop::payment(OrderRef::Number(receipt.order_no), 0, receipt.pay_amount)).await?;

    let bar = progress::bar("refusals", args.requests);
    let mut tally = Tally::default();
    let asked = engine.clone();
    // On a task of its own, which never has to wait: that is one thread.
    let (tally, elapsed) = tokio::spawn(async move {
        let started = Instant::now();
        for n in 1..=args.requests {
            let order = SubmitOrder { request_id: request_id(1, n), ..SubmitOrder::one_line(n, 0, SKU, 1) };
            match asked.submit(order).await {
                Err(Reject::SoldOut { .. }) => tally.sold_out += 1,
                result => tally.note(&result),
            }
            if n.is_multiple_of(STRIDE) {
                bar.set_position(n);
            }
        }
        let elapsed = started.elapsed();
        bar.finish_and_clear();
        (tally, elapsed)
    })
    .await?;

    let metrics = engine.metrics();
    engine.shutdown().await?;
    let mut report = Report::new("refusals", durability.name(), place.path());
    report.set_orders(&tally, elapsed);
    report.set("refusals_per_s", per_second(tally.sold_out, elapsed));
    report.set("refused_at_the_door", metrics.sold_out_at_door);
    Ok(report)
}
