//! Orders of all members: listed by filters, shown one by one or in batches; payments that are under way.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, page_len, wrong_cursor};
use super::filter::FilterBody;
use super::order_name::OrderName;
use crate::domain::search::{Expr, Sort, SortKey};
use crate::domain::statement::UtcOffset;
use crate::http::auth::access::Shown;
use crate::http::json::{Body, Id, Moment, OrderNumber, Params, Parts};
use crate::http::member::list::CountsBody;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::search;
use crate::http::view::order::{AttemptBody, OrderBody, Reveal};
use crate::{
    Caller, DESK_PAGE_LEN_MAX, DeskPage, DeskSequence, OrderFilter, OrderNo, OrderView, Reject, Search,
    SearchSource,
};

/// Most orders of one batch.
pub const BATCH_LEN_MAX: usize = 200;

/// Which orders, and which page of them.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrdersParams {
    /// Only of this member.
    member_id: Option<Id>,
    /// Only in one of these states, with commas between.
    #[param(example = "paid,partially_shipped", pattern = "^[a-z_, ]*$")]
    status: Option<String>,
    /// Only of this type: `normal`, `seckill` or `group_buy`.
    #[param(pattern = "^(normal|seckill|group_buy)$")]
    order_type: Option<String>,
    /// Only in this session or campaign.
    activity_id: Option<Id>,
    /// Only with a line of this SKU.
    sku_id: Option<Id>,
    /// Only with a line of a SKU of this product.
    product_id: Option<Id>,
    /// Only in this team.
    team_id: Option<Id>,
    /// Only placed at or after this instant.
    created_from: Option<Moment>,
    /// Only placed before this instant.
    created_until: Option<Moment>,
    /// Only paid at or after this instant.
    paid_from: Option<Moment>,
    /// Only paid before this instant.
    paid_until: Option<Moment>,
    /// Only with this mark, 0 to 9.
    #[param(maximum = 9)]
    flag: Option<u8>,
    /// Only with (`true`) or without (`false`) an open refund.
    open_refund: Option<bool>,
    /// A query, at most 1,024 bytes: words, phrases, fields; `docs/HTTP.md` has its language. Beside filters, both must hold.
    #[param(max_length = 1024, example = "龙井 status:paid created:-7d")]
    q: Option<String>,
    /// The offset from UTC that days in `q` go by, such as `+08:00`; UTC without it.
    #[param(pattern = "^(Z|[+-][0-9]{2}:[0-9]{2})$")]
    zone: Option<String>,
    /// `newest` first, which is the default, `oldest`, `paid_newest`, `paid_oldest`, `amount_highest` or `amount_lowest`.
    #[param(pattern = "^(newest|oldest|paid_newest|paid_oldest|amount_highest|amount_lowest)$")]
    sort: Option<String>,
    /// Whether to count all that are found, by status and type.
    #[serde(default)]
    counts: bool,
    /// Whether to wait, two seconds at most, until what was acknowledged before is searchable.
    #[serde(default)]
    fresh: bool,
    /// `next` of the page before.
    #[param(max_length = 128, pattern = "^[0-9A-Za-z-]+$")]
    after: Option<String>,
    /// Most orders on the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `true` shows receivers in full, for the scope `security`; recorded.
    #[serde(default)]
    reveal: bool,
}

impl OrdersParams {
    fn filter(&self) -> FilterBody {
        FilterBody {
            member_id: self.member_id,
            status: self.status.clone(),
            order_type: self.order_type.clone(),
            activity_id: self.activity_id,
            sku_id: self.sku_id,
            product_id: self.product_id,
            team_id: self.team_id,
            created_from: self.created_from,
            created_until: self.created_until,
            paid_from: self.paid_from,
            paid_until: self.paid_until,
            flag: self.flag,
            open_refund: self.open_refund,
        }
    }

    /// The page of a plain list, which the store gives; `None` for what is searched.
    fn page(&self, sort: Sort, len_max: usize) -> Result<Option<DeskPage>, Problem> {
        let is_search = self.q.is_some() || self.counts || self.fresh || sort.key != SortKey::Created;
        if is_search {
            return Ok(None);
        }
        let sequence = if sort.descending { DeskSequence::NewestFirst } else { DeskSequence::OldestFirst };
        let number = |text| Id::from_digits(text).and_then(|id| OrderNo::from_u64(id.0));
        let after = self.after.as_deref().map(|text| number(text).ok_or_else(|| wrong_cursor("after")));
        Ok(Some(DeskPage { after: after.transpose()?, sequence, len_max }))
    }

    /// The search of what is no plain list.
    fn search(
        &self,
        desk: &Desk,
        filter: &OrderFilter,
        (sort, offset): (Sort, UtcOffset),
        len_max: usize,
    ) -> Result<Search, Problem> {
        let words = search::expr_of(desk.engine(), self.q.as_deref(), offset)?;
        Ok(Search {
            expr: Expr::And(vec![Expr::from(filter), words]),
            sort,
            after: search::cursor_at(self.after.as_deref(), || wrong_cursor("after"))?,
            len_max,
            count: self.counts,
            fresh: self.fresh,
        })
    }
}

/// A page of orders.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"orders": [{"order_no": "380000000000000001", "member_id": "7", "order_type": "normal", "status":
    "paid", "amounts": {"goods_amount": 19900, "discount_amount": 0, "adjustment": 0, "freight":
    0, "pay_amount": 19900}, "created_at": "2026-11-11T04:00:00.000Z", "created_at_ms":
    1_794_369_600_000_u64, "pay_before": "2026-11-11T04:30:00.000Z", "pay_before_ms":
    1_794_371_400_000_u64, "version": 2, "lines": [{"sku_id": "42", "code": "TEA-50", "title":
    "Green tea, 50 g", "quantity": 1, "unit_price": 19900, "amount": 19900, "discount": 0,
    "adjustment": 0, "share": 19900}], "flag": 0}], "next": "380000000000000001", "source": "store", "as_of": 130}))]
pub struct OrderList {
    /// The orders, without timelines; fewer than asked for, perhaps none, where a page has looked at as many as it may.
    pub orders: Vec<OrderBody>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many were found in all, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<CountsBody>,
    /// Where the answer comes from: `index` or `store`.
    pub source: &'static str,
    /// Everything up to this position of the journal is in it.
    pub as_of: u64,
}

/// Lists orders of all members by filters, or searches them.
///
/// With `q`, `counts`, `fresh` or a sequence by payment or amount it is a search: answered from the index, and from the store
/// where there is none that is good. The store knows no words, and no other sequence than by number: what asks for those is
/// refused then, as `search_words_unavailable` or `search_sort_unavailable`. Without any of them the store lists. `source`
/// says which it was. Receivers are masked unless the scope `security` asks for them. The store looks at a bounded number of
/// orders for a page, so it may be short, or empty, with `next` set. Orders in cold files are not listed by it. A query that
/// can't be read is `search_syntax`, with `at`, the characters before the place.
#[utoipa::path(get, path = "/admin/order", tag = "admin",
    operation_id = "admin_list_orders", params(OrdersParams),
    responses((status = 200, description = "A page of them.", body = OrderList)))]
pub async fn orders(desk: Desk, Params(params): Params<OrdersParams>) -> Result<Json<OrderList>, Problem> {
    let (filter, sort) = (params.filter().into_filter()?, search::sort_named(params.sort.as_deref())?);
    let len_max = page_len(params.limit, 50, DESK_PAGE_LEN_MAX)?;
    let offset = search::offset_of(params.zone.as_deref())?;
    let show = |view| OrderBody::for_desk(view, reveal_of(params.reveal)).in_list();
    if let Some(page) = params.page(sort, len_max)? {
        desk.reveal(params.reveal, Shown::Many, "orders").await?;
        let answer = desk.engine().find_orders(&filter, page).await?;
        return Ok(Json(OrderList {
            orders: answer.orders.into_iter().map(show).collect(),
            next: answer.next.map(|number| number.to_string()),
            counts: None,
            source: search::source_name(SearchSource::Store),
            as_of: answer.as_of.0,
        }));
    }
    let search = params.search(&desk, &filter, (sort, offset), len_max)?;
    desk.reveal(params.reveal, Shown::Many, "orders").await?;
    let answer = desk.engine().search(&search).await?;
    Ok(Json(OrderList {
        orders: answer.orders.into_iter().map(show).collect(),
        next: answer.next.map(|cursor| cursor.to_string()),
        counts: answer.counts.map(Into::into),
        source: search::source_name(answer.source),
        as_of: answer.as_of.0,
    }))
}

/// How personal data is shown.
pub(in crate::http) const fn reveal_of(reveal: bool) -> Reveal {
    if reveal { Reveal::Whole } else { Reveal::Masked }
}

/// Whether to show personal data.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevealParams {
    /// `true` shows the receiver in full, for `support`, `warehouse` and `security`; recorded.
    #[serde(default)]
    reveal: bool,
}

/// Shows an order, with its timeline.
///
/// The receiver is masked unless it is asked for, which is recorded.
#[utoipa::path(get, path = "/admin/order/{order_no}", tag = "admin",
    operation_id = "admin_order",
    params(("order_no" = OrderName, Path, description = "Its number, or `external:` and the shop's own."), RevealParams),
    responses((status = 200, description = "The order.", body = OrderBody)))]
pub async fn order(
    desk: Desk,
    Parts(name): Parts<OrderName>,
    Params(params): Params<RevealParams>,
) -> Result<Json<OrderBody>, Problem> {
    let view = find(&desk, &name).await?;
    desk.reveal(params.reveal, Shown::One, view.order_no).await?;
    Ok(Json(OrderBody::for_desk(view, reveal_of(params.reveal))))
}

/// The order of that name.
///
/// # Errors
/// `order_not_found`, or the engine's own state.
pub(super) async fn find(desk: &Desk, name: &OrderName) -> Result<OrderView, Problem> {
    Ok(desk.engine().order(Caller::Operator, name.order_ref()).await?)
}

/// Orders to be shown.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"orders": ["380000000000000001", "external:T-1001"]}))]
pub struct BatchGetBody {
    /// 1 to 200 orders.
    #[schema(min_items = 1, max_items = 200)]
    pub orders: Vec<OrderName>,
    /// `true` shows receivers in full, for the scope `security`; recorded.
    #[serde(default)]
    pub reveal: bool,
}

/// One order of a batch, or why it can't be shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchGetItem {
    /// As it was asked for.
    pub asked: OrderName,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<OrderBody>>,
    /// Why it can't be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// What was asked for, in that order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"results": [{"asked": "external:T-1001", "order": {"order_no": "380000000000000001", "member_id":
    "7", "order_type": "normal", "status": "paid", "amounts": {"goods_amount": 19900,
    "discount_amount": 0, "adjustment": 0, "freight": 0, "pay_amount": 19900}, "created_at":
    "2026-11-11T04:00:00.000Z", "created_at_ms": 1_794_369_600_000_u64, "pay_before":
    "2026-11-11T04:30:00.000Z", "pay_before_ms": 1_794_371_400_000_u64, "version": 2, "lines": [{
    "sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "quantity": 1, "unit_price":
    19900, "amount": 19900, "discount": 0, "adjustment": 0, "share": 19900}], "flag": 0}}]}))]
pub struct BatchGetView {
    /// One for each order that was asked for.
    pub results: Vec<BatchGetItem>,
}

/// Shows up to 200 orders, each with its own result.
///
/// One that is not found has a problem in its place.
#[utoipa::path(post, path = "/admin/orders/batch_get", tag = "admin",
    operation_id = "admin_batch_get", request_body = BatchGetBody,
    responses((status = 200, description = "A result for each, in order.", body = BatchGetView)))]
pub async fn batch_get(desk: Desk, Body(body): Body<BatchGetBody>) -> Result<Json<BatchGetView>, Problem> {
    check_batch("orders", body.orders.len())?;
    desk.reveal(body.reveal, Shown::Many, format!("batch of {}", body.orders.len())).await?;
    let mut results = Vec::with_capacity(body.orders.len());
    for asked in body.orders {
        results.push(match find(&desk, &asked).await {
            Ok(view) => {
                let order = OrderBody::for_desk(view, reveal_of(body.reveal)).in_list();
                BatchGetItem { asked, order: Some(Box::new(order)), problem: None }
            }
            Err(problem) => {
                let problem = problem.body(desk.context.language, &desk.context.request_id);
                BatchGetItem { asked, order: None, problem: Some(problem) }
            }
        });
    }
    Ok(Json(BatchGetView { results }))
}

/// Checks the length of a batch.
///
/// # Errors
/// One that is empty or too long.
pub(super) fn check_batch(field: &'static str, len: usize) -> Result<(), Problem> {
    let range = Reject::OutOfRange { field, value: len as u64, min: 1, max: BATCH_LEN_MAX as u64 };
    if (1..=BATCH_LEN_MAX).contains(&len) { Ok(()) } else { Err(Problem::from(range).field(field)) }
}

/// Which payments.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaymentParams {
    /// `started`: begun at a provider, and the order is not paid yet.
    #[param(example = "started", pattern = "^started$")]
    state: String,
    /// `next` of the page before.
    after: Option<OrderNumber>,
    /// Most orders on the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Payments of one order that are under way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StartedView {
    /// The order.
    pub order_no: OrderNumber,
    /// Who buys.
    pub member_id: Id,
    /// What is to be paid, in cents.
    pub pay_amount: i64,
    /// At and after this instant the order can't be paid in the ordinary way.
    pub pay_before: String,
    /// The same, in ms since the Unix epoch.
    pub pay_before_ms: u64,
    /// Payments that were begun and may still be paid.
    pub attempts: Vec<AttemptBody>,
}

/// A page of payments under way.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"payments": [{"order_no": "380000000000000001", "member_id": "7", "pay_amount": 19900,
    "pay_before": "2026-11-11T04:30:00.000Z", "pay_before_ms": 1_794_371_400_000_u64, "attempts":
    [{"pay_no": "380000000000000001-1", "channel": "wechat", "amount": 19900, "at":
    "2026-11-11T04:00:00.000Z", "at_ms": 1_794_369_600_000_u64, "void": false}]}]}))]
pub struct PaymentList {
    /// Orders with payments under way, the oldest first.
    pub payments: Vec<StartedView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<OrderNumber>,
}

/// Lists pending orders with a payment that was begun at a provider and could still be paid.
///
/// The oldest first. Where a notification was lost, the provider can be asked.
#[utoipa::path(get, path = "/admin/payments", tag = "admin",
    operation_id = "admin_payments", params(PaymentParams),
    responses((status = 200, description = "A page of them.", body = PaymentList)))]
pub async fn payments(
    desk: Desk,
    Params(params): Params<PaymentParams>,
) -> Result<Json<PaymentList>, Problem> {
    if params.state != "started" {
        return Err(Problem::invalid("state", "state is started", "state 取值 started"));
    }
    let len_max = page_len(params.limit, 50, DESK_PAGE_LEN_MAX)?;
    let after = params.after.map(|number| number.0);
    let page = DeskPage { after, sequence: DeskSequence::OldestFirst, len_max };
    let filter = OrderFilter { payment_started: true, ..OrderFilter::default() };
    let answer = desk.engine().find_orders(&filter, page).await?;
    let payments = answer.orders.into_iter().map(|view| {
        let order = OrderBody::for_desk(view, Reveal::Masked);
        StartedView {
            order_no: order.order_no,
            member_id: order.member_id,
            pay_amount: order.amounts.pay_amount,
            pay_before: order.pay_before,
            pay_before_ms: order.pay_before_ms,
            attempts: order.attempts.into_iter().filter(|attempt| !attempt.is_void).collect(),
        }
    });
    Ok(Json(PaymentList { payments: payments.collect(), next: answer.next.map(OrderNumber::from) }))
}
