//! Sale tickets at the door: who has none, or a wrong one, never reaches an order actor.

use serde_json::{Value, json};
use stockade::http::auth::ticket::{RequiredFor, Ticket, TicketKey, TicketKeyConfig, issue};
use stockade::http::config::HttpConfig;
use stockade::http::secret::{Secret, SecretSource};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    Activity, ActivityItem, ActivityKind, Config, Durability, Money, StockAdjustment, StockChange, StockKey,
};

use crate::support::{Shop, live};

const START_MS: u64 = 1_790_000_000_000;
const TICKET_SECRET: &[u8] = b"signs tickets, and has thirty-two bytes or more";

struct Sale {
    shop: Shop,
    time: ManualTime,
    key: TicketKey,
}

impl Sale {
    /// A session, number 9, that asks for tickets, with ten units of tea; tea is sold without one, too.
    async fn new() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), TICKET_SECRET).expect("a secret");
        let mut http = HttpConfig::default();
        http.tickets.required_for = RequiredFor::All;
        http.tickets.keys = vec![TicketKeyConfig { id: 1, secret: SecretSource::File(file.path().into()) }];
        let (clock, time) = Clock::manual(START_MS);
        let config = Config::new("").durability(Durability::Memory).clock(clock);
        let shop = Shop::under(config, live(&http)).await;
        stockade::examples::stock_tea(&shop.engine, 10).await.expect("tea is on sale");
        let session = Activity {
            id: 9.into(),
            kind: ActivityKind::Seckill,
            title: "Ten o'clock tea".into(),
            start_ms: START_MS,
            end_ms: START_MS + 3_600_000,
            items: vec![ActivityItem {
                sku_id: 42.into(),
                price: Money::from_minor(9_900),
                limit_per_member: 0,
            }],
            ..Activity::default()
        };
        let key: StockKey = session.stock_key(42.into());
        shop.engine.put_activity(session).await.expect("a session");
        let delivery = StockAdjustment { id: 2.into(), key, change: StockChange::Relative(10) };
        shop.engine.adjust_stock(delivery).await.expect("stock");
        let key = TicketKey::new(1, &Secret::new(TICKET_SECRET).expect("a secret")).expect("a key");
        Self { shop, time, key }
    }

    fn ticket(&self, member: u64, activity: u64, nonce: u8) -> String {
        let expires_ms = START_MS + 60_000;
        let (member, activity) = (member.into(), activity.into());
        issue(&self.key, &Ticket { member, activity, expires_ms, nonce: [nonce; 16] })
    }

    async fn submit(&self, request: &str, ticket: Option<&str>) -> crate::support::Answer {
        let mut order = json!({"request_id": request, "order_type": "seckill", "activity_id": "9",
            "lines": [{"sku_id": "42", "quantity": 1}]});
        if let Some(ticket) = ticket {
            order["ticket"] = Value::from(ticket);
        }
        self.shop.post("member 7", "/api/order/submit", order).await
    }
}

#[tokio::test]
async fn a_ticket_admits_one_request_and_its_retries() {
    let sale = Sale::new().await;
    let ticket = sale.ticket(7, 9, 1);
    let receipt = sale.submit("a", Some(&ticket)).await.expect(201);
    assert_eq!(receipt["pay_amount"], 9_900);
    assert_eq!(sale.submit("a", Some(&ticket)).await.expect(201), receipt, "a retry");
    let used = sale.submit("b", Some(&ticket)).await.refused(403, "ticket_used");
    assert_eq!((&used["field"], &used["retryable"]), (&json!("ticket"), &json!(false)));
    sale.submit("b", Some(&sale.ticket(7, 9, 2))).await.expect(201);

    let plain = json!({"request_id": "c", "lines": [{"sku_id": "42", "quantity": 1}]});
    sale.shop.post("member 7", "/api/order/submit", plain).await.expect(201);
}

#[tokio::test]
async fn who_has_no_good_ticket_reaches_no_order_actor() {
    let sale = Sale::new().await;
    let good = sale.ticket(7, 9, 1);
    sale.submit("a", None).await.refused(403, "ticket_required");
    for at in [3, 40, good.len() - 2] {
        let mut forged = good.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("text");
        sale.submit("a", Some(&forged)).await.refused(403, "ticket_invalid");
    }
    sale.submit("a", Some(&"x".repeat(9_000))).await.refused(403, "ticket_invalid");
    sale.submit("a", Some(&sale.ticket(8, 9, 1))).await.refused(403, "ticket_not_yours");
    sale.submit("a", Some(&sale.ticket(7, 8, 1))).await.refused(403, "ticket_not_yours");
    sale.time.advance(60_000);
    sale.submit("a", Some(&good)).await.refused(403, "ticket_expired");

    let metrics = sale.shop.engine.metrics();
    assert_eq!((metrics.accepted, metrics.sold_out, metrics.limited, metrics.invalid), (0, 0, 0, 0));
}
