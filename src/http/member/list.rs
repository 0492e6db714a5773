//! `GET /api/order/list`: the member's own orders by filters, newest first, or by a search.
//!
//! There are two ways to page. A cursor goes on where the page before ended, to any depth at the same cost. A page number
//! has to count from the newest order on, so that its depth is bounded.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::domain::instant::parse_instant;
use crate::domain::request::EXTERNAL_NO_BYTES_MAX;
use crate::domain::search::{Expr, Sort};
use crate::domain::statement::UtcOffset;
use crate::http::caller::Member;
use crate::http::json::{Moment, Params};
use crate::http::problem::Problem;
use crate::http::search;
use crate::http::state::App;
use crate::http::view::order::{OrderBody, Reveal};
use crate::{
    Engine, MemberFilter, MemberId, OrderCounts, OrderNo, OrderPage, OrderStatus, OrderType, PAGE_LEN_MAX,
    Page, Reject, Search,
};

/// Orders on a page unless the caller says how many.
const PAGE_LEN: usize = 20;
/// How deep page numbers go: `page` times `size`.
const DEPTH_MAX: usize = 1_000;
/// Most questions to the engine for one page number. Each is good for 100 orders that pass, or looks at 10,000.
const PIECES_MAX: usize = 20;

/// Which orders, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only in these states: repeated, or with commas between them.
    #[param(value_type = Option<String>, example = "pending,paid",
        pattern = "^(pending|paid|partially_shipped|shipped|completed|cancelled)(,(pending|paid|partially_shipped|shipped|completed|cancelled))*$")]
    pub status: Option<Vec<String>>,
    /// Only of this type: `normal`, `seckill` or `group_buy`.
    #[param(rename = "type", pattern = "^(normal|seckill|group_buy)$")]
    pub order_type: Option<String>,
    /// Only placed at or after this instant: RFC 3339, or ms since the Unix epoch.
    #[param(value_type = Option<Moment>)]
    pub created_from: Option<String>,
    /// Only placed before this instant: RFC 3339, or ms since the Unix epoch.
    #[param(value_type = Option<Moment>)]
    pub created_until: Option<String>,
    /// Only the order with this number of the shop's own; beside it no other filter.
    #[param(min_length = 1, max_length = 64)]
    pub external_no: Option<String>,
    /// A query, at most 1,024 bytes: words, phrases, fields; `docs/HTTP.md` has its language. Beside filters, both must hold.
    #[param(max_length = 1024, example = "龙井")]
    pub q: Option<String>,
    /// The offset from UTC that days in `q` go by, such as `+08:00`; UTC without it.
    #[param(pattern = "^(Z|[+-][0-9]{2}:[0-9]{2})$")]
    pub zone: Option<String>,
    /// `newest` first, which is the default, `oldest`, `paid_newest`, `paid_oldest`, `amount_highest` or `amount_lowest`.
    #[param(pattern = "^(newest|oldest|paid_newest|paid_oldest|amount_highest|amount_lowest)$")]
    pub sort: Option<String>,
    /// Of a search: whether to wait, two seconds at most, until what was acknowledged before is searchable.
    pub fresh: Option<bool>,
    /// `next` of the page before; not beside `page`.
    #[param(max_length = 128, pattern = "^[0-9A-Za-z-]+$")]
    pub cursor: Option<String>,
    /// The page's number, from 1; `page` times `size` is at most 1,000.
    #[param(minimum = 1, maximum = 1000)]
    pub page: Option<usize>,
    /// Most orders on the page, 1 to 100; 20 unless given.
    #[param(minimum = 1, maximum = 100)]
    pub size: Option<usize>,
    /// Whether to count the member's orders, too; of a search, those that it finds.
    pub counts: Option<bool>,
}

/// A page of a member's orders.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MemberOrders, example = json!({
    "orders": [], "next": "1234567890",
    "counts": {"by_status": {"pending": 1, "paid": 3}, "by_type": {"normal": 4}, "total": 4, "complete": true},
}))]
pub struct ListBody {
    /// The orders, newest first unless `sort` says otherwise, with masked receivers and without timelines.
    pub orders: Vec<OrderBody>,
    /// Where the next page starts; absent on the last one. A page may be short, or empty, and have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many orders the member has, whatever the filters; of a search, how many it finds. Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<CountsBody>,
    /// Where the answer to a search comes from: `index` or `store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// Of a search: everything up to this position of the journal is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<u64>,
}

/// How many orders a member has.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderCounts)]
pub struct CountsBody {
    /// By status.
    pub by_status: BTreeMap<&'static str, u64>,
    /// By type.
    pub by_type: BTreeMap<&'static str, u64>,
    /// All of them.
    pub total: u64,
    /// Whether all were counted; false beyond 10,000.
    pub complete: bool,
}

impl From<OrderCounts> for CountsBody {
    fn from(counts: OrderCounts) -> Self {
        Self {
            by_status: OrderStatus::ALL.map(|status| (status.name(), counts.of_status(status))).into(),
            by_type: OrderType::ALL.map(|one| (one.name(), counts.of_type(one))).into(),
            total: counts.total,
            complete: counts.complete,
        }
    }
}

impl ListParams {
    /// From the query's pairs: a name may come once, only `status` more often.
    fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut params = Self::default();
        for (name, value) in pairs {
            let is_first = match name.as_str() {
                "status" => {
                    let wanted = params.status.get_or_insert_default();
                    wanted.extend(value.split(',').map(str::to_owned));
                    true
                }
                "type" => params.order_type.replace(value).is_none(),
                "created_from" => params.created_from.replace(value).is_none(),
                "created_until" => params.created_until.replace(value).is_none(),
                "external_no" => params.external_no.replace(value).is_none(),
                "q" => params.q.replace(value).is_none(),
                "zone" => params.zone.replace(value).is_none(),
                "sort" => params.sort.replace(value).is_none(),
                "fresh" => params.fresh.replace(read("fresh", &value)?).is_none(),
                "cursor" => params.cursor.replace(value).is_none(),
                "page" => params.page.replace(read("page", &value)?).is_none(),
                "size" => params.size.replace(read("size", &value)?).is_none(),
                "counts" => params.counts.replace(read("counts", &value)?).is_none(),
                _ => return Err(unknown_parameter()),
            };
            if !is_first {
                return Err(Problem::invalid(name, "it is given more than once", "参数重复"));
            }
        }
        Ok(params)
    }

    fn filter(&self) -> Result<MemberFilter, Problem> {
        let statuses = self.status.iter().flatten().map(|name| status_named(name));
        Ok(MemberFilter {
            statuses: statuses.collect::<Result<_, _>>()?,
            order_type: self.order_type.as_deref().map(str::parse).transpose()?,
            created_from_ms: at("created_from", self.created_from.as_deref())?,
            created_until_ms: at("created_until", self.created_until.as_deref())?,
        })
    }

    /// Where the page begins.
    fn start(&self, len_max: usize) -> Result<Start, Problem> {
        match (&self.cursor, self.page) {
            (None, None) => Ok(Start::Before(None)),
            (Some(_), Some(_)) => Err(Problem::invalid(
                "page",
                "cursor and page differ: send one of them",
                "cursor 与 page 只能使用其中一个",
            )),
            (Some(cursor), None) => order_no_at(cursor).map(|before| Start::Before(Some(before))),
            (None, Some(0)) => Err(Problem::invalid("page", "pages count from 1", "page 从 1 开始")),
            (None, Some(page)) if page.saturating_mul(len_max) > DEPTH_MAX => Err(Problem::invalid(
                "page",
                format!("pages reach {DEPTH_MAX} orders deep: go on by cursor, or by created_until"),
                format!("翻页深度不超过 {DEPTH_MAX} 条：请改用 cursor 或 created_until"),
            )),
            (None, Some(page)) => Ok(Start::Behind((page - 1) * len_max)),
        }
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Behind this order; at the newest one without it.
    Before(Option<OrderNo>),
    /// Behind so many that pass.
    Behind(usize),
}

fn unknown_parameter() -> Problem {
    Problem::invalid(
        "query",
        "a parameter is not known: there are status, type, created_from, created_until, external_no, q, zone, sort, \
         fresh, cursor, page, size and counts",
        "存在未知参数：可用 status、type、created_from、created_until、external_no、q、zone、sort、fresh、cursor、page、size、counts",
    )
}

fn read<T: std::str::FromStr>(field: &'static str, value: &str) -> Result<T, Problem> {
    value.parse().map_err(|_| {
        let expected = if matches!(field, "counts" | "fresh") { "true or false" } else { "a number" };
        Problem::invalid(field, format!("{field} is not {expected}"), format!("{field} 格式不正确"))
    })
}

fn status_named(name: &str) -> Result<OrderStatus, Problem> {
    OrderStatus::from_name(name).ok_or_else(|| {
        Problem::invalid(
            "status",
            "a status is pending, paid, partially_shipped, shipped, completed or cancelled",
            "订单状态应为 pending、paid、partially_shipped、shipped、completed 或 cancelled",
        )
    })
}

fn at(field: &'static str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    text.map(parse_instant).transpose().map_err(|_| {
        Problem::invalid(
            field,
            format!("{field} is no instant: expected RFC 3339 like 2026-11-21T08:00:00Z, or ms since 1970"),
            format!("{field} 不是有效时间：应为 RFC 3339（如 2026-11-21T08:00:00Z）或毫秒时间戳"),
        )
    })
}

/// Written in another way than order numbers are, so that nobody takes it for one.
fn cursor_of(order_no: OrderNo) -> String {
    format!("{:x}", order_no.get())
}

fn order_no_at(cursor: &str) -> Result<OrderNo, Problem> {
    let is_hex = (1..=16).contains(&cursor.len()) && cursor.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u64::from_str_radix(cursor, 16).ok().filter(|_| is_hex);
    value.and_then(OrderNo::from_u64).ok_or_else(super::wrong_cursor)
}

/// A page of the member's own orders, newest first, or of those that a search finds.
///
/// Paged by `cursor`, to any depth, or by `page` and `size`, at most 1,000 orders deep. Receivers are masked. Orders to
/// which nothing has happened for long move to cold storage and leave the list; by number they are still found. With `q`, or
/// another sequence than the newest first, it is a search among the member's own orders, paged by `cursor` alone; `source`
/// says where its answer comes from. A query that can't be read is `search_syntax`, with `at`, the characters before the
/// place.
#[utoipa::path(get, path = "/api/order/list", tag = "member", params(ListParams),
    responses((status = 200, description = "A page of them.", body = ListBody),
        (status = 501, description = "Order search is off, and the store can't answer this.",
            body = crate::http::problem::ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<App>,
    member: Member,
    Params(pairs): Params<Vec<(String, String)>>,
) -> Result<Json<ListBody>, Problem> {
    let params = ListParams::from_pairs(pairs)?;
    let len_max = super::page_len(params.size, PAGE_LEN, PAGE_LEN_MAX)?;
    let engine = app.engine();
    let sort = search::sort_named(params.sort.as_deref())?;
    let offset = search::offset_of(params.zone.as_deref())?;
    if params.q.is_some() || sort != Sort::default() {
        return searched(engine, member, &params, (sort, offset), len_max).await;
    }
    let (filter, start) = (params.filter()?, params.start(len_max)?);
    let page = match &params.external_no {
        Some(_) if filter != MemberFilter::default() => {
            return Err(Problem::invalid(
                "external_no",
                "external_no goes without status, type and times",
                "external_no 不能与 status、type 或时间同时使用",
            ));
        }
        Some(external_no) => {
            Reject::check_present("external_no", external_no.len(), EXTERNAL_NO_BYTES_MAX)?;
            the_one(engine, member, external_no).await?
        }
        None => match start {
            Start::Before(before) => {
                engine.orders_of_filtered(member.0, &filter, Page { before, len_max }).await?
            }
            Start::Behind(skipped) => behind(engine, member.0, &filter, skipped, len_max).await?,
        },
    };
    let counts = match params.counts {
        Some(true) => Some(engine.count_orders_of(member.0).await?.into()),
        _ => None,
    };
    let orders = page.orders.into_iter().map(|view| OrderBody::for_member(view, Reveal::Masked).in_list());
    let next = page.next.map(cursor_of);
    Ok(Json(ListBody { orders: orders.collect(), next, counts, source: None, as_of: None }))
}

/// The page of a search among the member's own orders.
async fn searched(
    engine: &Engine,
    member: Member,
    params: &ListParams,
    (sort, offset): (Sort, UtcOffset),
    len_max: usize,
) -> Result<Json<ListBody>, Problem> {
    for (field, is_given) in [("page", params.page.is_some()), ("external_no", params.external_no.is_some())]
    {
        if is_given {
            return Err(Problem::invalid(
                field,
                format!("{field} goes without q and sort: go on by cursor, and search for external:…"),
                format!("{field} 不能与 q、sort 同时使用：请用 cursor 翻页，用 external:… 搜索"),
            ));
        }
    }
    let words = search::expr_of(engine, params.q.as_deref(), offset)?;
    let all = Search {
        expr: Expr::And(vec![Expr::from(&params.filter()?), words]),
        sort,
        after: search::cursor_at(params.cursor.as_deref(), super::wrong_cursor)?,
        len_max,
        count: params.counts == Some(true),
        fresh: params.fresh == Some(true),
    };
    // Whatever the query says, it is about the member's own.
    let answer = engine.search(&Search::of_member(member.0, all)).await?;
    let orders = answer.orders.into_iter().map(|view| OrderBody::for_member(view, Reveal::Masked).in_list());
    Ok(Json(ListBody {
        orders: orders.collect(),
        next: answer.next.map(|cursor| cursor.to_string()),
        counts: answer.counts.map(Into::into),
        source: Some(search::source_name(answer.source)),
        as_of: Some(answer.as_of.0),
    }))
}

/// The page with the member's order of that external number, or with none.
async fn the_one(engine: &Engine, member: Member, external_no: &str) -> Result<OrderPage, Reject> {
    match engine.order_by_external_no(member.caller(), external_no).await {
        Ok(order) => Ok(OrderPage { orders: vec![order], next: None }),
        Err(Reject::OrderNotFound) => Ok(OrderPage::default()),
        Err(reject) => Err(reject),
    }
}

/// The page behind so many orders that pass. Where those take too long to find, it is empty and says where to go on.
async fn behind(
    engine: &Engine,
    member: MemberId,
    filter: &MemberFilter,
    skipped: usize,
    len_max: usize,
) -> Result<OrderPage, Reject> {
    let (mut before, mut left) = (None, skipped);
    for _ in 0..PIECES_MAX {
        if left == 0 {
            return engine.orders_of_filtered(member, filter, Page { before, len_max }).await;
        }
        let piece = Page { before, len_max: left.min(PAGE_LEN_MAX) };
        let passed = engine.orders_of_filtered(member, filter, piece).await?;
        left = left.saturating_sub(passed.orders.len());
        before = passed.next;
        if before.is_none() {
            return Ok(OrderPage::default());
        }
    }
    Ok(OrderPage { orders: Vec::new(), next: before })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Result<ListParams, Problem> {
        ListParams::from_pairs(
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn statuses_come_repeated_or_in_one() {
        let one = params(&[("status", "pending,paid")]).unwrap().filter().unwrap();
        let two = params(&[("status", "pending"), ("status", "paid")]).unwrap().filter().unwrap();
        assert_eq!(one, two);
        assert_eq!(one.statuses, [OrderStatus::Pending, OrderStatus::Paid]);
        assert!(params(&[("status", "pending,")]).unwrap().filter().is_err());
        assert!(params(&[("type", "normal"), ("type", "normal")]).is_err());
        assert!(params(&[("nothing", "1")]).is_err());
    }

    #[test]
    fn page_numbers_reach_a_thousand_orders_deep() {
        let start = |pairs: &[(&str, &str)], len_max| params(pairs).unwrap().start(len_max);
        assert_eq!(start(&[], 20).unwrap(), Start::Before(None));
        assert_eq!(start(&[("page", "50")], 20).unwrap(), Start::Behind(980));
        for deep in ["51", "0", "18446744073709551615"] {
            assert_eq!(start(&[("page", deep)], 20).unwrap_err().code(), "invalid_value", "{deep}");
        }
        assert!(start(&[("page", "1"), ("cursor", "1")], 20).is_err());
        assert!(params(&[("page", "-1")]).is_err());
    }

    #[test]
    fn cursors_read_back() {
        let order_no = OrderNo::from_u64(u64::MAX >> 1).unwrap();
        assert_eq!(order_no_at(&cursor_of(order_no)).unwrap(), order_no);
        for wrong in ["", "x", "+1", "ffffffffffffffff", "00000000000000001"] {
            assert!(order_no_at(wrong).is_err(), "{wrong}");
        }
    }
}
