//! Tickets that admit and tickets that don't.

use std::sync::Barrier;

use serde_json::json;

use super::*;
use crate::http::secret::{Secret, SecretSource};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8; 32] = b"fedcba9876543210fedcba9876543210";
const NOW: u64 = 1_700_000_000_000;
const MEMBER: MemberId = MemberId(7);
const ACTIVITY: ActivityId = ActivityId(900);

fn key(id: u8, secret: &[u8]) -> TicketKey {
    TicketKey::new(id, &Secret::new(secret).unwrap()).unwrap()
}

fn config(tickets_max: usize) -> TicketConfig {
    TicketConfig { required_for: RequiredFor::All, tickets_max, ..TicketConfig::default() }
}

fn office(tickets_max: usize) -> TicketOffice {
    TicketOffice::with_keys(vec![key(1, SECRET)], &config(tickets_max)).unwrap()
}

fn ticket(nonce: u8) -> Ticket {
    Ticket { member: MEMBER, activity: ACTIVITY, expires_ms: NOW + 60_000, nonce: [nonce; NONCE_BYTES] }
}

fn issued(nonce: u8) -> String {
    issue(&key(1, SECRET), &ticket(nonce))
}

fn check(office: &TicketOffice, ticket: &str, request: u128, now_ms: u64) -> Result<Admission, TicketError> {
    office.check(ticket, MEMBER, ACTIVITY, RequestId::new(request), now_ms)
}

#[test]
fn the_form_and_the_request_id_are_frozen() {
    let nonce = *b"0123456789abcdef";
    let ticket = Ticket { nonce, ..ticket(0) };
    let text = issue(&key(1, SECRET), &ticket);
    // Both values were computed by another program than this one.
    let (payload, signature) = (
        "AQAAAAAAAAAHAAAAAAAAA4QAAAGLz-ZSYDAxMjM0NTY3ODlhYmNkZWY",
        "GjhNQSUt11r6DsRedYECqTbZND1bo_rvLQ7oITdVTig",
    );
    assert_eq!(text, format!("v1.{payload}.{signature}"));
    assert_eq!(text.len(), TICKET_BYTES);
    assert_eq!(Ticket::read(&text, &[key(1, SECRET)]), Some(ticket));
    assert_eq!(ticket.request_id().get(), 0x8404_754f_9144_009d_0f3b_202f_9745_3fe1);
}

#[test]
fn a_ticket_admits_one_request_as_often_as_it_comes() {
    let office = office(10);
    let text = issued(1);
    let admission = check(&office, &text, 100, NOW).unwrap();
    assert_eq!(admission.request_id, ticket(1).request_id());
    assert_eq!(check(&office, &text, 100, NOW + 59_999), Ok(admission));
    assert_eq!(check(&office, &text, 101, NOW), Err(TicketError::Used));
    assert_eq!(check(&office, &text, 100, NOW), Ok(admission), "a replay takes nothing from it");
    let other = check(&office, &issued(2), 100, NOW).unwrap();
    assert_ne!(other, admission);
    assert_eq!(office.tickets_used(), 2);
}

#[test]
fn after_a_restart_a_ticket_leads_to_the_same_request_of_the_engine() {
    let text = issued(1);
    let before = check(&office(10), &text, 100, NOW).unwrap();
    let after = check(&office(10), &text, 101, NOW).unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_ticket_expires() {
    let office = office(10);
    assert_eq!(check(&office, &issued(1), 100, NOW + 60_000), Err(TicketError::Expired));
    assert_eq!(check(&office, &issued(1), 100, u64::MAX), Err(TicketError::Expired));
    assert!(check(&office, &issued(1), 100, NOW + 59_999).is_ok());
    let long = Ticket { expires_ms: NOW + 3_600_001, ..ticket(2) };
    let long = issue(&key(1, SECRET), &long);
    assert_eq!(check(&office, &long, 100, NOW), Err(TicketError::Invalid), "it is good for too long");
    assert!(check(&office, &long, 100, NOW + 1).is_ok());
}

#[test]
fn a_ticket_is_its_members_and_its_activitys() {
    let office = office(10);
    let text = issued(1);
    let request = RequestId::new(100);
    let check = |member, activity| office.check(&text, MemberId(member), ActivityId(activity), request, NOW);
    assert_eq!(check(8, 900), Err(TicketError::NotYours));
    assert_eq!(check(7, 901), Err(TicketError::NotYours));
    assert_eq!(office.tickets_used(), 0, "a stranger can't use it up");
    assert!(check(7, 900).is_ok());
    assert_eq!(office.request_of(&text, MEMBER), Ok(ticket(1).request_id()));
    assert_eq!(office.request_of(&text, MemberId(8)), Err(TicketError::NotYours));
}

#[test]
fn a_forged_ticket_is_none() {
    let office = office(10);
    let good = issued(1);
    let changed = |at: usize, with: &str| format!("{}{with}{}", &good[..at], &good[at + with.len()..]);
    let mut forged = vec![
        String::new(),
        "v1..".to_owned(),
        format!("{good}="),
        format!(" {}", &good[1..]),
        good[..TICKET_BYTES - 1].to_owned(),
        format!("v2{}", &good[2..]),
        changed(58, "A"),
        changed(40, "é"),
        "é".repeat(TICKET_BYTES / 2),
        issue(&key(1, OTHER), &ticket(1)),
        issue(&key(2, SECRET), &ticket(1)),
    ];
    // Any other character, wherever it stands: spare bits at the ends of the two parts as well.
    let other = |byte: u8| if byte == b'A' { "B" } else { "A" };
    forged.extend((3..TICKET_BYTES).map(|at| changed(at, other(good.as_bytes()[at]))));
    let last = good.as_bytes()[TICKET_BYTES - 1];
    forged.push(changed(TICKET_BYTES - 1, &char::from(last + 1).to_string()));
    for forged in forged {
        assert_ne!(forged, good);
        assert_eq!(check(&office, &forged, 100, NOW), Err(TicketError::Invalid), "{forged}");
    }
    assert_eq!(office.tickets_used(), 0);
    assert!(check(&office, &good, 100, NOW).is_ok());
}

#[test]
fn of_many_at_once_one_request_is_admitted() {
    for _ in 0..50 {
        let office = office(10);
        let text = issued(1);
        let start = Barrier::new(4);
        let admitted: Vec<u128> = std::thread::scope(|scope| {
            // Two threads each for two requests.
            let threads = [100, 100, 101, 101].map(|request| {
                let (office, text, start) = (&office, &text, &start);
                scope.spawn(move || {
                    start.wait();
                    check(office, text, request, NOW).ok().map(|_| request)
                })
            });
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(admitted == [100, 100] || admitted == [101, 101], "{admitted:?}");
        assert_eq!(office.tickets_used(), 1);
    }
}

#[test]
fn a_full_office_refuses_and_forgets_nothing() {
    let office = office(3);
    let short = issue(&key(1, SECRET), &Ticket { expires_ms: NOW + 500, ..ticket(1) });
    assert!(check(&office, &short, 100, NOW).is_ok());
    assert!(check(&office, &issued(2), 100, NOW).is_ok());
    assert!(check(&office, &issued(3), 100, NOW).is_ok());
    let full = check(&office, &issued(4), 100, NOW).unwrap_err();
    assert_eq!(full, TicketError::OfficeFull);
    assert!(full.is_retryable());
    assert!(check(&office, &issued(2), 100, NOW).is_ok(), "those that are in stay in");
    assert_eq!(check(&office, &issued(2), 101, NOW), Err(TicketError::Used));
    // The first has expired a while ago, and makes room.
    assert!(check(&office, &issued(4), 100, NOW + 1_500).is_ok());
    assert_eq!(office.tickets_used(), 3);
    assert_eq!(check(&office, &issued(5), 100, NOW + 1_500), Err(TicketError::OfficeFull));
}

#[test]
fn expired_tickets_are_dropped_a_few_at_a_time() {
    let office = office(200);
    for nonce in 0..200 {
        assert!(check(&office, &issued(nonce), 100, NOW).is_ok());
    }
    let late = |nonce: u8| {
        let ticket = Ticket { expires_ms: NOW + 120_000, ..ticket(nonce) };
        check(&office, &issue(&key(1, SECRET), &ticket), 100, NOW + 61_000)
    };
    assert!(late(200).is_ok());
    assert_eq!(office.tickets_used(), 200 - 64 + 1);
    for nonce in 201..205 {
        assert!(late(nonce).is_ok());
    }
    assert_eq!(office.tickets_used(), 5);
}

#[test]
fn a_ticket_is_asked_for_where_it_is_needed() {
    let office = |required_for: RequiredFor| {
        let config = TicketConfig { required_for, ..TicketConfig::default() };
        TicketOffice::with_keys(vec![key(1, SECRET)], &config).unwrap()
    };
    let admit = |office: &TicketOffice, ticket: Option<&str>, activity| {
        office.admit(ticket, MEMBER, ActivityId(activity), RequestId::new(100), NOW)
    };
    let text = issued(1);
    let some = office(RequiredFor::Activities([ACTIVITY].into()));
    assert_eq!(admit(&some, None, 900), Err(TicketError::Required));
    assert_eq!(admit(&some, Some("nonsense"), 900), Err(TicketError::Invalid));
    assert_eq!(admit(&some, Some(&text), 900), Ok(Some(Admission { request_id: ticket(1).request_id() })));
    assert_eq!(admit(&some, Some("nonsense"), 901), Ok(None));
    let all = office(RequiredFor::All);
    assert_eq!(admit(&all, None, 901), Err(TicketError::Required));
    assert_eq!(admit(&all, None, 0), Ok(None));
    let none = office(RequiredFor::None);
    assert_eq!(admit(&none, Some(&text), 900), Ok(None));
    assert_eq!(none.tickets_used(), 0);
}

#[test]
fn used_tickets_stay_used_when_the_configuration_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        SecretSource::File(path)
    };
    let keys = vec![
        TicketKeyConfig { id: 1, secret: secret("old", SECRET) },
        TicketKeyConfig { id: 2, secret: secret("new", OTHER) },
    ];
    let before = TicketOffice::load(&TicketConfig { keys: keys[..1].to_vec(), ..config(10) }).unwrap();
    assert!(check(&before, &issued(1), 100, NOW).is_ok());
    let by_new = issue(&key(2, OTHER), &ticket(2));
    assert_eq!(check(&before, &by_new, 100, NOW), Err(TicketError::Invalid));

    let during = before.reload(&TicketConfig { keys: keys.clone(), ..config(10) }).unwrap();
    assert_eq!(check(&during, &issued(1), 101, NOW), Err(TicketError::Used));
    assert!(check(&during, &issued(3), 100, NOW).is_ok() && check(&during, &by_new, 100, NOW).is_ok());

    let after = during.reload(&TicketConfig { keys: keys[1..].to_vec(), ..config(10) }).unwrap();
    assert_eq!(check(&after, &issued(3), 100, NOW), Err(TicketError::Invalid));
    assert!(check(&after, &by_new, 100, NOW).is_ok());
    assert!(!format!("{after:?}").contains("102, 101, 100"), "{after:?}");
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let load = |keys: Vec<TicketKey>, config: TicketConfig| TicketOffice::with_keys(keys, &config).err();
    assert!(matches!(load(vec![], config(10)), Some(TicketConfigError::NoKey)));
    assert!(load(vec![], TicketConfig::default()).is_none());
    let twice = vec![key(1, SECRET), key(1, OTHER)];
    assert!(matches!(load(twice, config(10)), Some(TicketConfigError::Twice { id: 1 })));
    assert!(matches!(load(vec![key(1, SECRET)], config(0)), Some(TicketConfigError::TicketsMax { .. })));
    let long = TicketConfig { lifetime_ms_max: u64::MAX, ..config(10) };
    assert!(matches!(load(vec![key(1, SECRET)], long), Some(TicketConfigError::Lifetime { .. })));
    let short = Secret::new(&SECRET[1..]).unwrap();
    assert!(matches!(TicketKey::new(1, &short), Err(TicketConfigError::SecretTooShort { bytes: 31, .. })));
}

#[test]
fn which_activities_need_one_is_a_word_or_a_list() {
    let read = |value| serde_json::from_value::<TicketConfig>(json!({ "required_for": value }));
    for (value, expected) in [
        (json!("all"), RequiredFor::All),
        (json!("none"), RequiredFor::None),
        (json!([900, 901]), RequiredFor::Activities([ActivityId(900), ActivityId(901)].into())),
    ] {
        let config = read(value.clone()).unwrap();
        assert_eq!(config.required_for, expected);
        assert_eq!(serde_json::to_value(&config).unwrap()["required_for"], value);
    }
    for wrong in [json!("some"), json!(1), json!(["a"]), json!((1..=4_097).collect::<Vec<u32>>())] {
        assert!(read(wrong).is_err());
    }
    assert!(serde_json::from_value::<TicketConfig>(json!({ "required": "all" })).is_err());
}
