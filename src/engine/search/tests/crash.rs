//! Crashes: whatever was under way, afterwards each order has one document, as the store has it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_at_any_moment_each_order_has_one_document() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(dir.path()).await;
    for round in 0..8_u64 {
        let numbers = round * 40..(round + 1) * 40;
        {
            let trading = shop.trade(numbers);
            let moving = async {
                // The clock goes on, so that checkpoints and commits are under way when it crashes.
                for _ in 0..10 + 17 * round {
                    shop.time.advance(5);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::join!(trading, moving);
        }
        shop = shop.crash(dir.path()).await;
        if round % 2 == 0 {
            shop.settled().await;
            shop.check(&format!("after crash {round}"));
        }
    }
    shop.settled().await;
    shop.check("at the end");
    assert_eq!(shop.engine.search_figures().documents, 320);
    shop.engine.shutdown().await.unwrap();
}
