//! Queries: what they are read as, where they are wrong, and that their canonical form says the same.

use proptest::prelude::*;

use super::*;
use crate::domain::ids::Slot;
use crate::domain::statement::UtcOffset;

const DAY_MS: u64 = 86_400_000;
/// 2026-11-21T16:00:00Z, which is midnight in Beijing.
const NOW_MS: u64 = 1_795_276_800_000;

fn beijing() -> ParseContext {
    ParseContext { now_ms: NOW_MS, offset: UtcOffset::from_minutes(480).unwrap() }
}

fn parse(text: &str) -> Result<Expr, SyntaxError> {
    Expr::parse(text, &beijing())
}

fn parsed(text: &str) -> Expr {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a query is read as, canonically.
fn read(text: &str) -> String {
    parsed(text).to_string()
}

fn term(field: Option<TextField>, text: &str, kind: TextKind) -> Expr {
    Expr::Text(TextTerm { field, text: text.into(), kind })
}

#[test]
fn words_fields_and_what_combines_them_are_read() {
    let cases = [
        ("", ""),
        ("  　 ", ""),
        ("龙井", "龙井"),
        ("green tea", "green tea"),
        ("green AND tea", "green tea"),
        ("green, tea", "green tea"),
        ("a1 OR b2 c3", "a1 OR (b2 c3)"),
        ("(a1 OR b2) c3", "(a1 OR b2) c3"),
        ("((a1))", "a1"),
        ("-a1 NOT b2 --c3", "-a1 -b2 --c3"),
        ("-(a1 b2)", "-(a1 b2)"),
        ("t-shirt a.b", "t-shirt a.b"),
        ("\"green tea\"", "\"green tea\""),
        ("“绿茶 龙井”", "\"绿茶 龙井\""),
        ("tea* 龙井＊", "tea* 龙井*"),
        ("title:tea", "title:tea"),
        ("title:\"green tea\",matcha", "title:\"green tea\" OR title:matcha"),
        ("Title:(green -\"black tea\")", "title:green -title:\"black tea\""),
        ("receiver:张三 address:科技园", "receiver:张三 address:科技园"),
        ("remark:gift note:vip", "remark:gift note:vip"),
        ("phone:5678", "phone:5678"),
        ("phone:\"138 1234-5678\" phone:+8613812345678", "phone:13812345678 phone:8613812345678"),
        ("status:paid,shipped", "status:paid OR status:shipped"),
        ("status：已支付， 已发货", "status:paid OR status:shipped"),
        ("type:seckill -type:group_buy", "type:seckill -type:group_buy"),
        ("order:380000000000000001", "order:380000000000000001"),
        ("external:WEB-1,\"a b\"", "external:WEB-1 OR external:a\\ b"),
        ("external:a:b", "external:a\\:b"),
        ("member:7 sku:8 product:9 activity:10 team:11", "member:7 sku:8 product:9 activity:10 team:11"),
        ("flag:0 refund:open refund:none payment:started", "flag:0 refund:open refund:none payment:started"),
        ("380000000000000001", "order:380000000000000001 OR external:\\380000000000000001"),
        ("\\380000000000000001", "\\380000000000000001"),
        ("13812345678", "13812345678"),
        ("\\-1 a\\:b \\OR or", "\\-1 a\\:b \\OR or"),
        ("ORDER ORs", "ORDER ORs"),
        ("a1（b2 OR c3）", "a1 (b2 OR c3)"),
        ("amount:19900", "amount:19900..<19901"),
        ("amount:100..500", "amount:100..<501"),
        ("amount:>=100 amount:>100 amount:<=5 amount:<5", "amount:>=100 amount:>=101 amount:<6 amount:<5"),
        ("amount:＞＝１００", "amount:>=100"),
        ("amount:100.. amount:..5 amount:1..<1", "amount:>=100 amount:<6 amount:1..<1"),
        ("amount:9223372036854775807", "amount:>=9223372036854775807"),
        ("paid:*", "paid:*"),
    ];
    for (query, canonical) in cases {
        assert_eq!(read(query), canonical, "{query}");
        assert_eq!(parsed(&read(query)), parsed(query), "{query}");
    }
}

#[test]
fn instants_are_days_where_they_are_dates() {
    // Midnight of the 11th in Beijing.
    let eleventh = 1_794_326_400_000_u64;
    let span = |from: Option<u64>, until: Option<u64>| Expr::Created(Span { from, until });
    let day = |days: u64| eleventh + days * DAY_MS;
    let cases = [
        ("created:2026-11-11", span(Some(day(0)), Some(day(1)))),
        ("created:2026-11-11..2026-11-12", span(Some(day(0)), Some(day(2)))),
        ("created:2026-11-11..<2026-11-12", span(Some(day(0)), Some(day(1)))),
        ("created:>=2026-11-11", span(Some(day(0)), None)),
        ("created:>2026-11-11", span(Some(day(1)), None)),
        ("created:<=2026-11-11", span(None, Some(day(1)))),
        ("created:<2026-11-11", span(None, Some(day(0)))),
        ("created:>=2026-11-11T08:00", span(Some(day(0) + 8 * 3_600_000), None)),
        ("created:>=2026-11-11T08:00:00.5", span(Some(day(0) + 8 * 3_600_000 + 500), None)),
        ("created:>=2026-11-11T08:00:00+08:00", span(Some(day(0) + 8 * 3_600_000), None)),
        ("created:>=2026-11-10T16:00:00Z", span(Some(day(0)), None)),
        ("created:1794326400000", span(Some(day(0)), Some(day(0) + 1))),
        ("created:today", span(Some(NOW_MS), Some(NOW_MS + DAY_MS))),
        ("created:yesterday", span(Some(NOW_MS - DAY_MS), Some(NOW_MS))),
        ("created:>=-7d", span(Some(NOW_MS - 7 * DAY_MS), None)),
        ("created:>=-24h", span(Some(NOW_MS - DAY_MS), None)),
        ("created:>=-30m", span(Some(NOW_MS - 1_800_000), None)),
    ];
    for (query, expected) in cases {
        assert_eq!(parsed(query), expected, "{query}");
        assert_eq!(parsed(&read(query)), expected, "{query}");
    }
}

#[test]
fn a_query_that_is_wrong_says_where_and_what_could_stand_there() {
    let long = "a".repeat(QUERY_BYTES_MAX + 1);
    let many = "a1 ".repeat(QUERY_TERMS_MAX + 1);
    let deep = "(".repeat(QUERY_DEPTH_MAX + 1) + "a1";
    let cases = [
        ("a1 (b2", 6, expected::CLOSED),
        ("a1 b2)", 5, expected::OPENED),
        ("龙井 )", 3, expected::OPENED),
        (")", 0, expected::OPENED),
        ("()", 1, expected::TERM),
        ("OR a1", 0, expected::TERM),
        ("a1 OR", 5, expected::TERM),
        ("a1 OR OR b2", 6, expected::TERM),
        ("a1 AND", 6, expected::TERM),
        ("a1 AND OR b2", 7, expected::TERM),
        ("NOT", 3, expected::TERM),
        ("a1 -", 3, expected::NEGATED),
        ("a1 - b2", 3, expected::NEGATED),
        ("a1 \"b2", 3, expected::QUOTE),
        ("\"\"", 0, expected::LETTERS),
        ("a1 &&", 3, expected::LETTERS),
        ("*", 0, expected::LONGER_PREFIX),
        ("*tea", 0, expected::LONGER_PREFIX),
        ("绿茶 *龙井", 3, expected::LONGER_PREFIX),
        ("t*", 0, expected::LONGER_PREFIX),
        ("a-*", 0, expected::LONGER_PREFIX),
        ("te*a", 2, expected::TRAILING),
        ("tea**", 3, expected::TRAILING),
        ("aa* bb* cc* dd* ee*", 16, expected::FEWER_PREFIXES),
        ("a1 colour:red", 3, expected::FIELD),
        (":red", 0, expected::FIELD),
        ("http://x", 0, expected::FIELD),
        ("title:(a1 status:paid)", 10, expected::NO_FIELD),
        ("status: paid", 7, expected::VALUE),
        ("status:", 7, expected::VALUE),
        ("external:\"\"", 9, expected::VALUE),
        ("external:WEB*", 9, expected::NO_PREFIX),
        ("status:paid,", 12, expected::LISTED),
        ("status:paid,)", 12, expected::LISTED),
        ("状态 status:lost", 10, expected::STATUS),
        ("status:paid,lost", 12, expected::STATUS),
        ("type:odd", 5, expected::TYPE),
        ("member:x", 7, expected::NUMBER),
        ("member:18446744073709551616", 7, expected::NUMBER),
        ("sku:(1)", 4, expected::NUMBER),
        ("order:-1", 6, expected::ORDER_NO),
        ("order:9223372036854775808", 6, expected::ORDER_NO),
        ("flag:10", 5, expected::FLAG),
        ("refund:maybe", 7, expected::REFUND),
        ("payment:done", 8, expected::PAYMENT),
        ("phone:123", 6, expected::PHONE),
        ("phone:5678*", 6, expected::PHONE),
        ("phone:张三张三", 6, expected::PHONE),
        ("amount:100.00", 7, expected::AMOUNT),
        ("amount:-5", 7, expected::AMOUNT),
        ("amount:1..x", 10, expected::AMOUNT),
        ("amount:>=", 9, expected::AMOUNT),
        ("amount:5..1", 7, expected::FORWARD),
        ("created:2026", 8, expected::INSTANT),
        ("created:2026-02-30", 8, expected::INSTANT),
        ("created:>=2026-13-01", 10, expected::INSTANT),
        ("created:..", 10, expected::INSTANT),
        ("created:1960-01-01", 8, expected::INSTANT),
        ("created:-d", 8, expected::INSTANT),
        ("created:2026-11-12..2026-11-11", 8, expected::FORWARD),
        ("a\\", 2, expected::ESCAPED),
        (&long, QUERY_BYTES_MAX, expected::SHORTER),
        (&many, 3 * QUERY_TERMS_MAX, expected::FEWER_TERMS),
        (&deep, QUERY_DEPTH_MAX, expected::LESS_DEEP),
    ];
    for (query, at_char, expected) in cases {
        let error = parse(query).expect_err(query);
        assert_eq!((error.at_char, error.expected), (at_char, expected), "{query}");
        assert_eq!(query[..error.at].chars().count(), error.at_char, "{query}");
    }
}

#[test]
fn what_a_query_may_have_at_most_it_may_have() {
    assert!(parse(&"a".repeat(QUERY_BYTES_MAX)).is_ok());
    assert!(parse(&"a1 ".repeat(QUERY_TERMS_MAX)).is_ok());
    assert!(parse("aa* bb* cc* dd*").is_ok());
    let deep = "(".repeat(QUERY_DEPTH_MAX) + "a1" + &")".repeat(QUERY_DEPTH_MAX);
    assert!(parse(&deep).is_ok());
    assert!(parse(&format!("{}a1", "-".repeat(QUERY_DEPTH_MAX))).is_ok());
    // Each level is one in the expression, whatever its text looks like.
    let levels = |depth: usize| (1..depth).fold("a1 b2".to_owned(), |inner, _| format!("a1 ({inner})"));
    assert!(parse(&levels(QUERY_DEPTH_MAX)).is_ok());
    let too_deep = parse(&levels(QUERY_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!((too_deep.at, too_deep.expected), (0, expected::LESS_DEEP));
    let negated = "-".repeat(QUERY_DEPTH_MAX) + "status:paid,shipped";
    assert_eq!(parse(&negated).unwrap_err().expected, expected::LESS_DEEP);
}

#[test]
fn neither_an_error_nor_a_debug_form_repeats_what_was_looked_for() {
    let error = parse("receiver:张三 phone:13812345678x").unwrap_err();
    let reject = crate::domain::reject::Reject::from(error);
    let query = parsed("receiver:张三 \"张三\" 张三*");
    for text in [error.to_string(), format!("{error:?}"), reject.message_zh(), format!("{query:?}")] {
        assert!(!text.contains("张三") && !text.contains("1381"), "{text}");
    }
}

#[test]
fn a_members_search_is_their_own_whatever_it_says() {
    let seven = MemberId(7);
    let hostile = [
        "a1 OR member:8",
        "member:8",
        "-member:7",
        "-(member:7 OR -member:8)",
        "member:7 OR amount:*",
        "NOT (member:7)",
        "flag:1 OR -flag:1 OR note:vip OR vip",
    ];
    for query in hostile {
        let own = parsed(query).of_member(seven);
        let Expr::And(parts) = &own else { panic!("{query}: {own}") };
        assert_eq!(parts[0], Expr::Member(seven), "{query}");
        assert_eq!(own.reach().slot.unwrap_or(Slot::of_member(seven)), Slot::of_member(seven), "{query}");
        // Nothing that asks for what a member isn't shown is left.
        let shown = own.map(&mut |leaf| match &leaf {
            Expr::Flag(_) => panic!("{query}: {leaf:?}"),
            Expr::Text(TextTerm { field: None | Some(TextField::Note), .. }) => panic!("{query}: {leaf:?}"),
            _ => leaf,
        });
        assert!(shown.check().is_ok());
    }
    let own = parsed("vip").of_member(seven).to_string();
    assert_eq!(own, "member:7 (title:vip OR receiver:vip OR phone:vip OR address:vip OR remark:vip)");
}

#[test]
fn every_field_is_searched_without_one() {
    assert_eq!(parsed("tea"), term(None, "tea", TextKind::Words));
    assert_eq!(parsed("tea*"), term(None, "tea", TextKind::Prefix));
    assert_eq!(parsed("title:\"a \\\"b\\\"\""), term(Some(TextField::Title), "a \"b\"", TextKind::Phrase));
}

fn spans() -> impl Strategy<Value = Span<u64>> {
    let from = proptest::option::of(0..2_000_000_000_000_u64);
    (from, proptest::option::of(0..DAY_MS))
        .prop_map(|(from, len)| Span { from, until: len.map(|len| from.unwrap_or(1) + len) })
}

/// Texts full of what means something.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "[龙井绿茶]{1,4}",
        "[a*\\\\:\"()，：“”, \\-]{0,5}x[a*\\\\:\"()，：“”, \\-]{0,5}",
        "(AND|OR|NOT)",
        "[1-8][0-9]{15,17}",
    ]
}

fn leaves() -> impl Strategy<Value = Expr> {
    let field = || {
        let fields: Vec<_> =
            TextField::ALL.into_iter().filter(|field| *field != TextField::Phone).map(Some).collect();
        prop_oneof![Just(None), proptest::sample::select(fields)]
    };
    let number = || 0..=u64::MAX;
    prop_oneof![
        (field(), texts()).prop_map(|(field, text)| term(field, &text, TextKind::Words)),
        (field(), texts()).prop_map(|(field, text)| term(field, &text, TextKind::Phrase)),
        (field(), "[a-z龙井]{2,6}").prop_map(|(field, text)| term(field, &text, TextKind::Prefix)),
        "[0-9]{4,32}".prop_map(|digits| term(Some(TextField::Phone), &digits, TextKind::Words)),
        texts().prop_map(|text| Expr::ExternalNo(text.into())),
        (0..=u64::MAX >> 1).prop_map(|number| Expr::OrderNo(OrderNo::from_u64(number).unwrap())),
        number().prop_map(|id| Expr::Member(id.into())),
        number().prop_map(|id| Expr::Sku(id.into())),
        number().prop_map(|id| Expr::Product(id.into())),
        number().prop_map(|id| Expr::Activity(id.into())),
        number().prop_map(|id| Expr::Team(id.into())),
        Just(Expr::Status(OrderStatus::PartiallyShipped)),
        Just(Expr::OrderType(OrderType::GroupBuy)),
        spans().prop_map(Expr::Created),
        spans().prop_map(Expr::Paid),
        spans().prop_map(|Span { from, until }| {
            let minor = |end: Option<u64>| end.map(|end| end as i64);
            Expr::Amount(Span { from: minor(from), until: minor(until) })
        }),
        (0..=9_u8).prop_map(Expr::Flag),
        any::<bool>().prop_map(Expr::OpenRefund),
        Just(Expr::PaymentStarted),
    ]
}

fn exprs() -> impl Strategy<Value = Expr> {
    leaves().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_canonical_form_is_read_back_as_the_same(expr in exprs()) {
        let text = expr.to_string();
        let read = parse(&text);
        let is_beyond = |error: &SyntaxError| [expected::SHORTER, expected::FEWER_PREFIXES].contains(&error.expected);
        prop_assume!(!read.as_ref().is_err_and(is_beyond));
        prop_assert_eq!(read, Ok(expr), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_with_its_place(text in "[a-z龙 ()*:\"\\\\\\-,：“”（）0-9.<>=]{0,40}|\\PC{0,60}") {
        match parse(&text) {
            Ok(expr) => prop_assert_eq!(parse(&expr.to_string()), Ok(expr)),
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.at));
                prop_assert!(error.at_char <= text.chars().count());
                prop_assert!(expected::chinese(error.expected).is_some());
            }
        }
    }
}
