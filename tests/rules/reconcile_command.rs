//! `stockade reconcile`: what is missing here or there, or differs, and its exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::statement::{Till, china, day};
use crate::verify_command::stockade;

/// A closed day with three payments in a directory that nobody has open.
async fn shop(dir: &Path) -> PathBuf {
    let path = dir.join("shop");
    let till = Till::open(&path).await;
    for (member, transaction_id) in [(1, "4200001"), (2, "4200002"), (3, "=4200003")] {
        till.paid(member, 1, transaction_id).await;
    }
    till.go_to(day().bounds(china()).1).await;
    till.end(&path, true).await;
    path
}

fn reconcile(data: &Path, bill: &str, more: &[&str]) -> (i32, String, String) {
    let file = data.with_extension("csv");
    fs::write(&file, bill).unwrap();
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    let fixed = ["reconcile", "--data", data, "--day", "2027-01-15", "--zone", "+08:00", "--bill", file];
    stockade(&[&fixed[..], &["--channel", "wechat", "--merchant", "shop-1"], more].concat())
}

fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(csv.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

#[tokio::test]
async fn a_bill_that_agrees_exits_with_0_and_one_that_does_not_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let data = shop(dir.path()).await;

    let all = "transaction_id,amount\n4200001,250\n4200002,250\n=4200003,250\n";
    let (code, stdout, stderr) = reconcile(&data, all, &[]);
    assert_eq!((code, rows(&stdout).len()), (0, 0), "{stderr}");
    assert_eq!(stderr, "3 agree, 0 differ, 0 notes\n");

    let other = "transaction_id,amount\n4200001,250\n4200001,250\n4200002,251\n4200009,-250\n";
    let (code, stdout, stderr) = reconcile(&data, other, &[]);
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(stderr, "1 agree, 4 differ, 0 notes\n");
    let found: Vec<_> = rows(&stdout)
        .iter()
        .map(|row| [&row["difference"], &row["kind"], &row["id"], &row["bill_line"]].map(String::clone))
        .collect();
    assert_eq!(
        found,
        [
            ["counted_twice", "payment", "4200001", "3"],
            ["differs", "payment", "4200002", "4"],
            ["missing_there", "payment", "'=4200003", ""],
            ["missing_here", "refund", "4200009", "5"],
        ]
    );

    let (code, stdout, _) = reconcile(&data, other, &["--format", "json", "--unit", "fen"]);
    assert_eq!((code, stdout.lines().count()), (1, 4));
    let differs: serde_json::Value = serde_json::from_str(stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&differs["here"]["amount"], &differs["there"]["amount"]), (&"250".into(), &"251".into()));
}

#[tokio::test]
async fn a_bill_as_a_provider_writes_it_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let data = shop(dir.path()).await;
    let bill = "\u{feff}# made at midnight\n交易时间,微信订单号,交易状态,订单金额,微信退款单号,退款金额\n\
                `2027-01-15 16:00:00,`4200001,`SUCCESS,`2.50,`0,`0.00\n\
                `2027-01-15 16:00:00,`4200002,`SUCCESS,`2.50,`0,`0.00\n\
                `2027-01-15 16:00:00,`=4200003,`SUCCESS,`2.5,`0,`0.00\n\
                `2027-01-15 16:00:00,`4200002,`REFUND,`0.00,`5000001,`1.00\n\
                总交易单数,应结订单总金额\n`4,`7.50\n";
    let columns = [
        ["--unit", "yuan"],
        ["--column-id", "微信订单号"],
        ["--column-amount", "订单金额"],
        ["--column-kind", "交易状态"],
        ["--column-refund-id", "微信退款单号"],
        ["--column-refund-amount", "退款金额"],
        ["--stop-at", "总交易单数"],
    ];
    let (code, stdout, stderr) = reconcile(&data, bill, &columns.concat());
    assert_eq!((code, &*stderr), (1, "3 agree, 1 differ, 0 notes\n"));
    let rows = rows(&stdout);
    assert_eq!((&*rows[0]["difference"], &*rows[0]["id"]), ("missing_here", "5000001"));
    assert_eq!(rows[0]["amount_there"], "1.00");
}

#[tokio::test]
async fn what_can_not_be_compared_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let data = shop(dir.path()).await;
    let wrong = [
        ("transaction_id,total\n1,2\n", "no column `amount`"),
        ("amount,transaction_id,amount\n1,2,3\n", "two columns `amount`"),
        ("transaction_id,amount\n4200001,2.50\n", "line 2 has the amount `2.50`"),
        ("transaction_id,amount\n,250\n", "line 2 has no number"),
        ("transaction_id,amount\n4200001\n", "line 2 has 1 cells only"),
    ];
    for (bill, why) in wrong {
        let (code, _, stderr) = reconcile(&data, bill, &[]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
    let kinds = "transaction_id,amount,kind\n4200001,250,TRANSFER\n";
    let (code, _, stderr) = reconcile(&data, kinds, &["--column-kind", "kind"]);
    assert!(code == 2 && stderr.contains("of kind `TRANSFER`"), "{stderr}");

    let empty = "transaction_id,amount\n";
    let (code, _, stderr) = reconcile(&data, empty, &["--day", "2027-01-16"]);
    assert_eq!(code, 2, "the option twice: {stderr}");
    let args = ["statement", "--data", data.to_str().unwrap(), "--day", "2027-01-17", "--zone", "+08:00"];
    let (code, stdout, stderr) = stockade(&args);
    assert_eq!((code, &*stdout), (2, ""));
    assert!(stderr.contains("2027-01-17 is not closed"), "{stderr}");
}
