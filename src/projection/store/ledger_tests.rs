//! Movements are stored once, in a form that never changes, and a store without them says from when on it has them.

use super::checkpoint::Checkpointer;
use super::tables;
use super::tests::{frames, life};
use crate::domain::ids::Position;
use crate::domain::statement::{Account, Day, MovementKind, UtcOffset};
use crate::journal::encode_record;
use crate::projection::levels::{Levels, LevelsOptions, MemoryPages};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn take(store: &mut Checkpointer, events: &[crate::domain::event::Event], first: u64) {
    let taken = store.take(&frames(events, Position(first))).unwrap();
    store.commit(&taken, 0, 0).unwrap();
}

#[test]
fn a_payment_is_two_movements_however_checkpoints_cut_it() {
    let events = life(0);
    let statements: Vec<_> = [1, 2, 3, events.len()]
        .map(|cut| {
            let pages = MemoryPages::default();
            let mut position = 1;
            for part in events.chunks(cut) {
                // As after a restart each time.
                let mut store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
                take(&mut store, part, position);
                position += part.len() as u64;
            }
            let reader = Checkpointer::open(Box::new(pages), None).unwrap().reader();
            let mut kinds = Vec::new();
            let scanned = reader.movements(0, u64::MAX, None, |movement| {
                kinds.push((movement.position, movement.kind, movement.transaction_id));
                true
            });
            scanned.unwrap();
            let expected = [(2, MovementKind::Received), (3, MovementKind::Paid)];
            assert_eq!(kinds, expected.map(|(at, kind)| (Position(at), kind, "t-1".into())));
            let day = Day::of(reader.head().unwrap().latest_at_ms, UtcOffset::UTC);
            reader.statement(day, UtcOffset::UTC).unwrap()
        })
        .into();
    assert!(statements.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(statements[0].accounts[0].account, Account::new("wechat", "shop-1"));
    assert_eq!((statements[0].sum().1.received.minor, statements[0].sum().2.pending().count), (250, 0));
}

#[test]
fn a_store_of_an_earlier_release_says_from_when_on_it_has_movements() {
    let (pages, events) = (MemoryPages::default(), life(0));
    let mut store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
    take(&mut store, &events[..2], 1);
    let old = store.reader().head().unwrap();
    assert_eq!(store.reader().ledger_begin().unwrap().map(|begin| begin.complete_from_ms()), Some(0));
    drop(store);

    // The same without what this release adds.
    let mut levels = Levels::open(Box::new(pages.clone()), tables::TABLES, LevelsOptions::default()).unwrap();
    levels.remove(tables::ACCOUNTS, &tables::LEDGER_BEGIN_KEY);
    levels.remove(tables::ACCOUNTS, &tables::account_key(Account::new("wechat", "shop-1").hash()));
    levels.remove(tables::RECEIPTS, &tables::payment_key(super::tests::payment()));
    for (table, prefix) in [(tables::MOVEMENTS, 16), (tables::BALANCES, 24)] {
        let snapshot = levels.reader().snapshot();
        let mut scan = snapshot.scan(table, &[], None);
        let key = scan.next().unwrap().unwrap().0.to_vec();
        assert_eq!(key.len(), prefix);
        levels.remove(table, &key);
    }
    let mut head = Vec::new();
    encode_record(&old, &mut head);
    levels.commit(&head).unwrap();
    drop(levels);

    let mut store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
    assert_eq!(store.reader().ledger_begin().unwrap(), None);
    take(&mut store, &events[2..], 3);
    let begin = store.reader().ledger_begin().unwrap().unwrap();
    assert_eq!((begin.position, begin.complete_from_ms()), (Position(2), old.latest_at_ms + 1));
    // The payment's outcome is booked all the same; whose money it was is not known any more.
    let mut accounts = Vec::new();
    let scanned = store.reader().movements(0, u64::MAX, None, |movement| {
        accounts.push((movement.account, movement.amount.minor()));
        true
    });
    scanned.unwrap();
    assert_eq!(accounts, [(Account::default(), 250)]);
    drop(store);
    // Once said, it stays.
    let store = Checkpointer::open(Box::new(pages), None).unwrap();
    assert_eq!(store.reader().ledger_begin().unwrap(), Some(begin));
}

#[test]
fn stored_movements_keep_their_form() {
    let pages = MemoryPages::default();
    let mut store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
    take(&mut store, &life(0), 1);
    drop(store);
    let levels = Levels::open(Box::new(pages), tables::TABLES, LevelsOptions::default()).unwrap();
    let snapshot = levels.reader().snapshot();
    let mut found = String::new();
    let tables = [tables::MOVEMENTS, tables::BALANCES, tables::RECEIPTS, tables::DUES, tables::ACCOUNTS];
    for table in tables {
        let mut scan = snapshot.scan(table, &[], None);
        while let Some((key, value)) = scan.next().unwrap() {
            found.push_str(&format!("{} {} {}\n", table.0, hex(key), hex(value)));
        }
    }
    assert_eq!(found, GOLDEN);
}

const GOLDEN: &str = concat!(
    "30 000001a3185c50000000000000000002 ",
    "010000067765636861740673686f702d3103742d31fda3e583cb73a0dc3afdbd0d5f30478b660e01fd00f01800",
    "97829505fbf4010000",
    "\n",
    "30 000001a3185c50020000000000000003 ",
    "010001067765636861740673686f702d3103742d31fda3e583cb73a0dc3afdbd0d5f30478b660e01fd00f01800",
    "97829505fbf4010000",
    "\n",
    "31 d64aefb645e3a5519b739f2ae4c1404200000000001e8480 ",
    "0102fbf40102fbf40100000000000000000000",
    "\n",
    "32 3adca073cb83e5a30e668b47305f0dbd ",
    "000001a3185c50000000000000000002",
    "\n",
    "33 059582970018f0000000 ",
    "01fda3e583cb73a0dc3afdbd0d5f30478b660efbf401",
    "\n",
    "34 0000000000000000000000000000000000 ",
    "010000",
    "\n",
    "34 01d64aefb645e3a5519b739f2ae4c14042 ",
    "01067765636861740673686f702d31",
    "\n",
);
