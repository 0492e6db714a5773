//! The back office: statements, backups, the operator log, dead letters.

use serde_json::{Value, json};
use stockade::http::admin::settings::AdminSettings;
use stockade::runtime::clock::Clock;
use stockade::{Config, Engine, NewTask};

use crate::admin_goods::{OPERATIONS, acts};
use crate::admin_orders::{order, pay, with_store};
use crate::support::Shop;

const DAY_MS: u64 = 86_400_000;
/// 2027-01-15T08:00:00Z.
const START_MS: u64 = 1_800_000_000_000;

#[tokio::test]
async fn a_day_that_is_over_is_stated_in_sums_and_in_movements() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual(START_MS);
    let shop = Shop::with(Config::new(dir.path().join("shop")).ballast_bytes(0).clock(clock)).await;
    stockade::examples::stock_tea(&shop.engine, 5).await.unwrap();
    for member in [7, 8] {
        let number = order(&shop, member, "a").await;
        pay(&shop, &number).await;
    }
    let who = "admin finance";
    let get = async |query: &str| shop.get(who, &format!("/admin/statement{query}")).await;
    get("?day=2027-01-15&zone=%2B08:00").await.refused(409, "day_not_closed");
    time.advance(DAY_MS);
    // An event behind the day's end closes it.
    order(&shop, 9, "b").await;
    let sums = get("?day=2027-01-15&zone=%2B08:00").await.expect(200);
    assert_eq!((&sums["day"], &sums["zone"]), (&json!("2027-01-15"), &json!("+08:00")));
    assert_eq!(sums["sum"]["received"], json!({"count": 2, "amount": 39_800}));
    assert_eq!(sums["accounts"][0]["channel"], "wechat");
    assert_eq!((&sums["sum"]["opening"], &sums["sum"]["closing"]), (&json!(0), &json!(39_800)));

    let mut kinds = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(&format!("?day=2027-01-15&movements=true&limit=3{after}")).await.expect(200);
        let movements = page["movements"].as_array().unwrap();
        assert!(movements.len() <= 3);
        kinds.extend(movements.iter().map(|movement| movement["kind"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(kinds, ["received", "paid", "received", "paid"]);
    for (wrong, field) in [
        ("?day=tomorrow", "day"),
        ("?day=2027-01-15&zone=china", "zone"),
        ("?day=2027-01-15&limit=3", "movements"),
        ("?day=2027-01-15&movements=true&after=x", "after"),
    ] {
        assert_eq!(get(wrong).await.refused(422, "invalid_value")["field"], field);
    }
    shop.get("admin support", "/admin/statement?day=2027-01-15").await.refused(403, "forbidden");
    let memory = Shop::with_tea(1).await;
    memory.get(who, "/admin/statement?day=2027-01-15").await.refused(501, "no_store");
}

#[tokio::test]
async fn backups_are_made_below_their_root_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let config = |name: &str| Config::new(dir.path().join(name)).ballast_bytes(0);
    let roots = dir.path().join("backups");
    std::fs::create_dir(&roots).unwrap();
    let shop = Shop::with_settings(config("shop"), AdminSettings::default().backup_root(&roots)).await;
    stockade::examples::stock_tea(&shop.engine, 5).await.unwrap();
    let make = async |name: &str| shop.post(OPERATIONS, "/admin/backup", json!({"name": name})).await;
    let report = make("2026-11-11").await.expect(200);
    assert!(report["bytes"].as_u64().unwrap() > 0);
    make("2026-11-11").await.refused(409, "backup_exists");
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), roots.join("link")).unwrap();
    for name in ["", "..", "../shop", "a/b", "/tmp/x", ".hidden", "link"] {
        make(name).await.refused(422, "invalid_value");
    }
    assert!(!dir.path().join("elsewhere").exists());
    let problem = make("2026-11-11").await;
    let text = String::from_utf8(problem.bytes).unwrap();
    assert!(!text.contains(dir.path().to_str().unwrap()), "no paths of the machine: {text}");
    shop.post("admin auditor", "/admin/backup", json!({"name": "x"})).await.refused(403, "forbidden");
    assert_eq!(acts(&shop, "backup.make").await.last().unwrap()["target"], "2026-11-11");

    let restored = Engine::open(Config::new(roots.join("2026-11-11")).ballast_bytes(0)).await.unwrap();
    assert_eq!(restored.stock(stockade::StockKey::normal(42.into())).await.unwrap().available, 5);
    restored.shutdown().await.unwrap();
    let (rootless, _dir) = with_store().await;
    let answer = rootless.post(OPERATIONS, "/admin/backup", json!({"name": "x"})).await;
    answer.refused(409, "backups_off");
}

#[tokio::test]
async fn the_operator_log_is_read_by_filters_and_pages() {
    let shop = Shop::with_tea(1).await;
    for nth in 0..3 {
        let body = json!({"product_id": "7", "code": "T", "title": "T", "price": nth, "on_sale": true});
        shop.put(OPERATIONS, &format!("/admin/skus/{}", 50 + nth), body).await.expect(200);
    }
    let get = async |query: &str| shop.get("admin security", &format!("/admin/acts{query}")).await;
    let page = get("?limit=2").await.expect(200);
    let targets = |page: &Value| -> Vec<Value> {
        page["acts"].as_array().unwrap().iter().map(|act| act["target"].clone()).collect()
    };
    assert_eq!(targets(&page), [json!("52"), json!("51")]);
    assert!(page["acts"][0]["request_id"].as_str().is_some_and(|request| !request.is_empty()));
    let next = page["next"].as_str().unwrap();
    assert_eq!(targets(&get(&format!("?before={next}")).await.expect(200)), [json!("50")]);
    assert_eq!(targets(&get("?target=51&operator=anna&action=sku.put").await.expect(200)), [json!("51")]);
    assert_eq!(targets(&get("?operator=otto").await.expect(200)), [] as [Value; 0]);
    assert_eq!(targets(&get("?from=2100-01-01").await.expect(200)), [] as [Value; 0]);
    get("?limit=101").await.refused(422, "invalid_value");
    get("?from=soon").await.refused(422, "invalid_query");
    shop.get(OPERATIONS, "/admin/acts").await.refused(403, "forbidden");
}

#[tokio::test]
async fn dead_letters_are_listed_tried_again_and_given_up() {
    let shop = Shop::empty().await;
    let queue = shop.engine.delay();
    for (id, body) in [("a", b"text".as_slice()), ("b", b"\xff\x00")] {
        queue.push("mails", NewTask::new(id, body).attempts_max(1)).await.unwrap();
        let reserved = queue.reserve("mails", 1, 30_000).await.unwrap().tasks().remove(0);
        queue.nack("mails", id, reserved.reservation, 0).await.unwrap();
    }
    let path = "/admin/delay/mails/dead_letters";
    let first = shop.get(OPERATIONS, &format!("{path}?limit=1")).await.expect(200);
    let letter = &first["dead_letters"][0];
    assert_eq!(
        (&letter["id"], &letter["body"], &letter["cause"]),
        (&json!("a"), &json!("text"), &json!("nacked"))
    );
    let next = first["next"].as_str().unwrap();
    let rest = shop.get(OPERATIONS, &format!("{path}?after={next}")).await.expect(200);
    assert_eq!(rest["dead_letters"][0]["body_base64"], "/wA=");
    assert_eq!(rest["next"], Value::Null);
    shop.get(OPERATIONS, &format!("{path}?after=x")).await.refused(422, "invalid_value");

    shop.post(OPERATIONS, &format!("{path}/requeue"), json!({"id": "a"})).await.expect(200);
    assert!(queue.pop("mails").await.unwrap().task().is_some());
    shop.post(OPERATIONS, &format!("{path}/requeue"), json!({"id": "a"}))
        .await
        .refused(404, "dead_letter_not_found");
    let discard = json!({"id": "b", "reason": "the order is gone"});
    shop.post(OPERATIONS, &format!("{path}/discard"), discard).await.expect(200);
    assert_eq!(shop.get(OPERATIONS, path).await.expect(200)["dead_letters"], json!([]));
    assert_eq!(acts(&shop, "task.discard").await[0]["target"], "mails/b");
    shop.get("admin auditor", path).await.refused(403, "forbidden");
}
