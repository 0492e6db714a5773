//! The back office: orders as files.

use std::io::{Cursor, Read};

use serde_json::{Value, json};

use crate::admin_goods::acts;
use crate::admin_orders::{is_hidden, order, pay, with_store};
use crate::support::{Answer, Shop};

const WHO: &str = "admin operations";

async fn export(shop: &Shop, who: &str, body: Value) -> Answer {
    shop.post(who, "/admin/order/export", body).await
}

/// A CSV file's rows, as a program reads them.
fn rows(answer: &Answer) -> Vec<Vec<String>> {
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.bytes));
    let text = answer.bytes.strip_prefix("\u{feff}".as_bytes()).expect("a byte-order mark");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect()
}

/// The XML of a workbook's only sheet.
fn sheet(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.bytes));
    let mut archive = zip::ZipArchive::new(Cursor::new(&answer.bytes)).expect("a workbook");
    let mut xml = String::new();
    archive.by_name("xl/worksheets/sheet1.xml").expect("a sheet").read_to_string(&mut xml).expect("xml");
    xml
}

#[tokio::test]
async fn a_csv_file_keeps_digits_hides_formulas_and_masks_people() {
    let (shop, _dir) = with_store().await;
    let number = order(&shop, 7, "a").await;
    pay(&shop, &number).await;
    let formula = json!({"request_id": "f", "lines": [{"sku_id": "42", "quantity": 2}], "remark": "=1+1"});
    shop.post("member 8", "/api/order/submit", formula).await.expect(201);

    let answer = export(&shop, WHO, json!({"format": "csv"})).await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(is_hidden(&String::from_utf8_lossy(&answer.bytes)));
    let rows = rows(&answer);
    assert_eq!((rows.len(), rows[0][0].as_str()), (3, "order_no"));
    let column = |name: &str| rows[0].iter().position(|title| title == name).expect("this column");
    let row = |number: &str| rows.iter().find(|row| row[0] == format!("'{number}")).expect("this order");
    let paid = row(&number);
    assert_eq!((&*paid[column("status")], &*paid[column("pay_amount_cents")]), ("paid", "19900"));
    assert_eq!(paid[column("receiver_phone")], "138****5678");
    assert!(!paid[column("paid_at")].is_empty());
    let other = rows[1..].iter().find(|row| row[0] != paid[0]).unwrap();
    assert_eq!(other[column("remark")], "'=1+1");
    assert_eq!(other[column("items")], "Green tea, 50 g ×2");
    assert_eq!(acts(&shop, "order.export").await[0]["target"], "csv");
}

#[tokio::test]
async fn columns_money_and_filters_are_as_asked_for() {
    let (shop, _dir) = with_store().await;
    let number = order(&shop, 7, "a").await;
    order(&shop, 8, "b").await;
    let body = json!({"format": "jsonl", "filter": {"member_id": "7", "status": "pending"}, "money": "yuan",
        "columns": ["pay_amount", "units", "flag", "close_reason"]});
    let answer = export(&shop, WHO, body).await;
    let lines: Vec<Value> = String::from_utf8(answer.bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected =
        json!({"order_no": number, "pay_amount_yuan": "199.00", "units": 1, "flag": 0, "close_reason": null});
    assert_eq!(lines, [expected]);
    for (wrong, field) in [
        (json!({"format": "csv", "columns": ["colour"]}), "columns[0]"),
        (json!({"format": "csv", "columns": ["units", "units"]}), "columns[1]"),
        (json!({"format": "csv", "after": "x"}), "after"),
        (json!({"format": "csv", "filter": {"status": "gone"}}), "status"),
    ] {
        assert_eq!(export(&shop, WHO, wrong).await.refused(422, "invalid_value")["field"], field);
    }
    export(&shop, WHO, json!({"format": "pdf"})).await.refused(422, "invalid_body");
    export(&shop, "admin warehouse", json!({"format": "csv"})).await.refused(403, "forbidden");
    let memory = Shop::with_tea(1).await;
    export(&memory, WHO, json!({"format": "csv"})).await.refused(501, "no_store");
}

#[tokio::test]
async fn people_are_shown_to_security_alone_and_that_is_recorded() {
    let (shop, _dir) = with_store().await;
    order(&shop, 7, "a").await;
    let body = json!({"format": "csv", "reveal": true});
    export(&shop, WHO, body.clone()).await.refused(403, "forbidden");
    assert!(acts(&shop, "order.reveal").await.is_empty());
    let answer = export(&shop, "admin operations security", body).await;
    assert_eq!(answer.status, 200);
    assert!(!is_hidden(&String::from_utf8_lossy(&answer.bytes)));
    assert_eq!(acts(&shop, "order.reveal").await[0]["target"], "export");
}

#[tokio::test]
async fn an_export_goes_on_behind_any_row_and_has_every_order_once() {
    let (shop, _dir) = with_store().await;
    // More than two pages of the store.
    let orders = 450;
    let submit = |member: u64| {
        let engine = shop.engine.clone();
        tokio::spawn(async move { engine.submit(stockade::SubmitOrder::one_line(member, 1, 42, 1)).await })
    };
    let placing: Vec<_> = (0..orders).map(|nth| submit(1 + nth)).collect();
    for placed in placing {
        placed.await.unwrap().unwrap();
    }
    let all = rows(&export(&shop, WHO, json!({"format": "csv", "columns": ["member_id"]})).await);
    let numbers: Vec<u64> = all[1..].iter().map(|row| row[0][1..].parse().unwrap()).collect();
    assert_eq!(numbers.len(), orders as usize);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "each once, by their numbers");

    let body = json!({"format": "csv", "columns": ["member_id"], "after": all[100][0]});
    assert_eq!(rows(&export(&shop, WHO, body).await)[1..], all[101..]);
    let last = json!({"format": "csv", "after": numbers.last().unwrap().to_string()});
    assert_eq!(rows(&export(&shop, WHO, last).await).len(), 1, "the titles");
    let lines = export(&shop, WHO, json!({"format": "jsonl"})).await;
    assert_eq!(String::from_utf8(lines.bytes).unwrap().lines().count(), orders as usize);
    let sheet = sheet(&export(&shop, WHO, json!({"format": "xlsx"})).await);
    assert_eq!(sheet.matches("<row ").count(), 1 + orders as usize);
}

#[tokio::test]
async fn a_workbook_keeps_digits_as_text_and_money_as_numbers() {
    let (shop, _dir) = with_store().await;
    let number = order(&shop, 7, "a").await;
    let formula =
        json!({"request_id": "f", "lines": [{"sku_id": "42", "quantity": 1}], "remark": "=HYPERLINK(1)"});
    shop.post("member 8", "/api/order/submit", formula).await.expect(201);
    let body = json!({"format": "xlsx", "money": "yuan", "columns": ["pay_amount", "units", "remark", "receiver_name"]});
    let answer = export(&shop, WHO, body).await;
    let length: usize = answer.headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(length, answer.bytes.len());
    assert!(answer.headers.get("x-next-after").is_none());
    let sheet = sheet(&answer);
    assert!(sheet.contains("<t>pay_amount_yuan</t>"), "{sheet}");
    assert!(sheet.contains(&format!("<t>{number}</t>")), "all digits, as text");
    assert!(!sheet.contains(&format!("<v>{number}")), "and not as a number");
    assert!(sheet.contains("<v>199</v>"), "money is a number");
    assert!(sheet.contains("<t>'=HYPERLINK(1)</t>") && !sheet.contains("<f>"), "no formula");
    assert!(sheet.contains("<t>张**</t>"), "masked");
}
