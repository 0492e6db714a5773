//! `POST /api/order/submit`: an order's way in, with its answer or without waiting for it.
//!
//! What has become of an order that was not waited for is told by [`super::result`]; what it would cost, by
//! [`super::preview`], which takes the same body.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::caller::Member;
use crate::http::context::Context;
use crate::http::json::{Body, Id, OrderNumber, ext_bytes, instant};
use crate::http::language::Language;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::personal::Receiver;
use crate::{
    CouponId, MemberId, Money, OrderLine, OrderType, Promise, Receipt, Reject, RequestId, SubmitOrder,
    TeamChoice,
};

/// Carries the name of a request that may be sent again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Carries a sale ticket.
const SALE_TICKET: &str = "x-sale-ticket";
/// Longest such name, in bytes.
pub const REQUEST_KEY_BYTES_MAX: usize = 255;
/// What a client asks for beside the thing itself (RFC 7240), and what of it was done.
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The preference for an answer before the order is placed.
const RESPOND_ASYNC: &str = "respond-async";

/// What is to be ordered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"request_id": "2f1c7e0a", "lines": [{"sku_id": "42", "quantity": 1}],
    "receiver": {"name": "张三", "phone": "13812345678", "province": "广东省", "city": "深圳市", "district": "南山区",
        "address": "科技园路 1 号"}, "expected_pay_amount": 19900}))]
pub struct SubmitBody {
    /// The client's name for this request, where `Idempotency-Key` doesn't carry it; 1 to 255 bytes. Sent again, it gives
    /// the first answer.
    #[schema(min_length = 1, max_length = 255)]
    pub request_id: Option<String>,
    /// `normal` (the default), `seckill` or `group_buy`.
    pub order_type: Option<String>,
    /// The session or campaign, where the type has one.
    pub activity_id: Option<Id>,
    /// 1 to 100 lines.
    #[schema(min_items = 1, max_items = 100)]
    pub lines: Vec<LineBody>,
    /// Who receives the goods.
    pub receiver: Option<Receiver>,
    /// The buyer's remark, at most 1,024 bytes.
    pub remark: Option<String>,
    /// The shop's own number for the order, unique, 1 to 64 bytes.
    pub external_no: Option<String>,
    /// The shop's own fields, at most 4,096 bytes of JSON.
    pub ext: Option<Value>,
    /// Coupons of the member's own.
    #[serde(default)]
    pub coupons: Vec<String>,
    /// In a group-buy campaign: the team to join, or `open` for a new one.
    pub team: Option<TeamBody>,
    /// What a preview said is to be paid, in cents; the order is refused if it is not so any more.
    pub expected_pay_amount: Option<i64>,
    /// The member's sale ticket, where the activity asks for one and `X-Sale-Ticket` doesn't carry it.
    pub ticket: Option<String>,
}

/// One line.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineBody {
    /// The SKU.
    pub sku_id: Id,
    /// Units, at least one.
    #[schema(minimum = 1)]
    pub quantity: u32,
    /// The shop's own fields for the line, at most 512 bytes of JSON.
    pub ext: Option<Value>,
}

/// Which team.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeamBody {
    /// A new one.
    Open,
    /// This one.
    Join(Id),
}

/// An order as it stands after a command.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"order_no": "380000000000000001", "status": "pending", "pay_amount": 19900,
    "pay_before": "2026-11-11T12:30:00.000Z", "pay_before_ms": 1_794_400_200_000_u64}))]
pub struct ReceiptBody {
    /// Its number.
    pub order_no: OrderNumber,
    /// Its status; of a new order `pending`, or `paid` where nothing is to be paid.
    pub status: &'static str,
    /// What is to be paid, in cents.
    pub pay_amount: i64,
    /// At and after this instant it can't be paid in the ordinary way.
    pub pay_before: String,
    /// The same in ms since the Unix epoch.
    pub pay_before_ms: u64,
}

impl From<TeamBody> for TeamChoice {
    fn from(team: TeamBody) -> Self {
        match team {
            TeamBody::Open => Self::Open,
            TeamBody::Join(team) => Self::Join(team.into()),
        }
    }
}

impl From<Receipt> for ReceiptBody {
    fn from(receipt: Receipt) -> Self {
        Self {
            order_no: receipt.order_no.into(),
            status: receipt.status.name(),
            pay_amount: receipt.pay_amount.minor(),
            pay_before: instant(receipt.deadline_ms),
            pay_before_ms: receipt.deadline_ms,
        }
    }
}

/// An order that is under way: not accepted yet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"order_no": "380000000000000001", "accepted": false, "poll_after_ms": 50,
    "message": "not accepted yet: ask for the result under location"}))]
pub struct PromiseBody {
    /// The number that the order gets if it is placed.
    pub order_no: OrderNumber,
    /// Always false: whether there is an order is told by the result.
    pub accepted: bool,
    /// When to ask for the result, in ms from now.
    pub poll_after_ms: u32,
    /// The same in words.
    pub message: &'static str,
}

impl SubmitBody {
    /// The engine's request, under the name that the client gave it.
    ///
    /// # Errors
    /// A type, a coupon, a receiver or a name of a request that is none.
    pub fn into_order(self, member: MemberId, headers: &HeaderMap) -> Result<SubmitOrder, Problem> {
        let request_id = request_id(self.request_id.as_deref(), headers)?;
        self.into_request(member, request_id)
    }

    /// The engine's request.
    ///
    /// # Errors
    /// A type, a coupon or a receiver that is none.
    pub fn into_request(self, member: MemberId, request_id: RequestId) -> Result<SubmitOrder, Problem> {
        let order_type = match self.order_type.as_deref() {
            None => OrderType::Normal,
            Some(name) => name.parse::<OrderType>().map_err(Problem::from)?,
        };
        Ok(SubmitOrder {
            request_id,
            member_id: member,
            order_type,
            activity_id: self.activity_id.map(Into::into),
            lines: self.lines.into_iter().map(LineBody::into_line).collect(),
            personal: self.receiver.as_ref().map(Receiver::to_personal).transpose()?,
            remark: self.remark.map(Into::into),
            external_no: self.external_no.map(Into::into),
            ext: self.ext.as_ref().map(ext_bytes),
            coupons: self.coupons.iter().map(|text| coupon_id(text)).collect::<Result<_, _>>()?,
            team: self.team.map_or(TeamChoice::None, Into::into),
            expected_pay_amount: self.expected_pay_amount.map(Money::from_minor),
            prices: None,
        })
    }
}

impl LineBody {
    /// The engine's line.
    pub fn into_line(self) -> OrderLine {
        let ext = self.ext.as_ref().map(ext_bytes);
        OrderLine { sku_id: self.sku_id.into(), quantity: self.quantity, ext }
    }
}

/// A coupon, by the 32 hexadecimal digits that its issue was answered with.
pub fn coupon_id(text: &str) -> Result<CouponId, Problem> {
    let digits = (1..=32).contains(&text.len()).then(|| u128::from_str_radix(text, 16).ok()).flatten();
    digits.map(CouponId::new).ok_or_else(|| {
        Problem::invalid(
            "coupons",
            "a coupon is named by 32 hexadecimal digits",
            "优惠券编号应为 32 位十六进制数",
        )
    })
}

/// The request's name: from the header, or from the body.
pub fn request_id(body: Option<&str>, headers: &HeaderMap) -> Result<RequestId, Problem> {
    let header = headers.get(IDEMPOTENCY_KEY).map(|value| value.as_bytes());
    let key = match (header, body.map(str::as_bytes)) {
        (Some(header), Some(body)) if header != body => {
            return Err(Problem::invalid(
                "request_id",
                "idempotency-key and request_id differ: send one of them",
                "Idempotency-Key 与 request_id 不一致：只发送其中一个",
            ));
        }
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "request_id_missing",
                "name the request: send idempotency-key, so that sending it again orders nothing twice",
                "缺少 Idempotency-Key：重复发送时可避免重复下单",
            )
            .field("request_id"));
        }
    };
    if !(1..=REQUEST_KEY_BYTES_MAX).contains(&key.len()) {
        let reject = match key.len() {
            0 => Reject::FieldEmpty { field: "request_id" },
            len => Reject::FieldTooLong { field: "request_id", len, len_max: REQUEST_KEY_BYTES_MAX },
        };
        return Err(reject.into());
    }
    Ok(RequestId::from_key(key))
}

/// Lets an order into its activity, where that asks for a ticket. Before the order reaches the engine: a forged, expired
/// or used ticket costs an actor nothing.
fn admit(
    app: &App,
    order: &mut SubmitOrder,
    ticket: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(activity) = order.activity_id else { return Ok(()) };
    let carried = headers.get(SALE_TICKET).map(|value| value.to_str().unwrap_or_default());
    let in_force = app.live().now();
    let (member, request, now_ms) = (order.member_id, order.request_id, app.engine().now_ms());
    let admission = in_force.tickets.admit(carried.or(ticket), member, activity, request, now_ms)?;
    if let Some(admission) = admission {
        // The ticket's own name for the request: used a second time, also after a restart, it is the same request.
        order.request_id = admission.request_id;
    }
    Ok(())
}

/// Whether a client would rather ask for the outcome later than wait for it.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut names = preferences.flat_map(|list| list.split(',')).map(|preference| {
        let preference = preference.split(';').next().unwrap_or_default();
        preference.trim()
    });
    names.any(|name| name.eq_ignore_ascii_case(RESPOND_ASYNC))
}

/// The answer to an order that is not waited for.
fn promised(promise: Promise, language: Language) -> Response {
    let message = match language {
        Language::English => "not accepted yet: ask for the result under location",
        Language::Chinese => "请求已收到，订单尚未成立：请按 Location 查询结果",
    };
    let Promise { order_no, poll_after_ms } = promise;
    let body = PromiseBody { order_no: order_no.into(), accepted: false, poll_after_ms, message };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/order/result?order_no={order_no}")) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// Places an order: all of its lines or none.
///
/// Answers once the order is durable; with `Prefer: respond-async` at once, with the number that the order gets if it is
/// placed. Sent again under the same name it gives the first answer.
#[utoipa::path(post, path = "/api/order/submit", tag = "member",
    request_body = SubmitBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "The client's name for this request."),
        ("Prefer" = Option<String>, Header, pattern = "^.*$", example = "respond-async",
            description = "`respond-async`: don't wait for the outcome."),
        ("X-Sale-Ticket" = Option<String>, Header, pattern = "^.*$",
            description = "The member's ticket, where the activity asks for one."),
    ),
    responses(
        (status = 201, description = "The order is placed, and survives a crash.", body = ReceiptBody),
        (status = 202, description = "The order is not accepted yet: ask for its result.", body = PromiseBody,
            headers(
                ("Location" = String, description = "Where its result is told."),
                ("Preference-Applied" = String, description = "`respond-async`."),
            )),
    ))]
pub async fn submit(
    State(app): State<App>,
    member: Member,
    context: Context,
    headers: HeaderMap,
    Body(body): Body<SubmitBody>,
) -> Result<Response, Problem> {
    let mut body = body;
    let ticket = body.ticket.take();
    let mut order = body.into_order(member.0, &headers)?;
    let request = order.request_id;
    let admitted = admit(&app, &mut order, ticket.as_deref(), &headers);
    admitted.map_err(|problem| problem.about_request(request))?;
    let refused = |reject| Problem::from(reject).about_request(request);
    if prefers_async(&headers) {
        let promise = app.engine().submit_async(order).map_err(refused)?;
        return Ok(promised(promise, context.language));
    }
    let receipt = app.engine().submit(order).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(ReceiptBody::from(receipt))).into_response())
}
