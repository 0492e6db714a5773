//! `POST /gateway/orders`: many orders on behalf of members, a line each, answered line by line in order.

use std::borrow::Cow;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::pump;
use crate::http::context::Context;
use crate::http::json::{Id, OrderNumber, ext_bytes};
use crate::http::member::submit::{LineBody, REQUEST_KEY_BYTES_MAX, TeamBody, coupon_id};
use crate::http::problem::Problem;
use crate::http::server::Pace;
use crate::http::state::App;
use crate::personal::Receiver;
use crate::{
    BroughtLine, BroughtPrices, Money, OrderType, Receipt, Reject, RequestId, SubmitOrder, TeamChoice,
};

/// Media type of lines of JSON.
pub const NDJSON: &str = "application/x-ndjson";

/// One order of the stream: a line of JSON.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"member_id": "7", "request_id": "2f1c7e0a", "lines": [{"sku_id": "42", "quantity": 1}]}))]
pub struct GatewayOrder<'a> {
    /// Who buys.
    pub member_id: Id,
    /// The caller's name for this request, once for a member; 1 to 255 bytes.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    pub request_id: Cow<'a, str>,
    /// `normal` (the default), `seckill` or `group_buy`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub order_type: Option<Cow<'a, str>>,
    /// The session or campaign, where the type has one.
    #[serde(default)]
    pub activity_id: Option<Id>,
    /// 1 to 100 lines.
    pub lines: Vec<LineBody>,
    /// The buyer's remark, at most 1,024 bytes.
    #[serde(default)]
    pub remark: Option<String>,
    /// The shop's own number for the order, unique, 1 to 64 bytes.
    #[serde(default)]
    pub external_no: Option<String>,
    /// The shop's own fields, at most 4,096 bytes of JSON.
    #[serde(default)]
    pub ext: Option<Value>,
    /// Coupons of the member's own.
    #[serde(default)]
    pub coupons: Vec<String>,
    /// In a group-buy campaign: the team to join, or `open` for a new one.
    #[serde(default)]
    pub team: Option<TeamBody>,
    /// What is expected to be paid, in cents.
    #[serde(default)]
    pub expected_pay_amount: Option<i64>,
    /// To whom it goes: personal data, kept with the order.
    #[serde(default)]
    pub receiver: Option<Receiver>,
    /// The prices, where the caller brings its own.
    #[serde(default)]
    pub prices: Option<PricesBody>,
}

/// Prices that the caller brings along. They must add up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PricesBody {
    /// Who made them, 1 to 64 bytes.
    pub source: String,
    /// One for each SKU.
    pub lines: Vec<PriceBody>,
    /// What shipping costs, in cents.
    #[serde(default)]
    pub freight: i64,
    /// What is to be paid, in cents.
    pub pay_amount: i64,
}

/// The price of a line.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceBody {
    /// The SKU.
    pub sku_id: Id,
    /// Price of one unit, in cents.
    pub unit_price: i64,
    /// What is taken off the whole line, in cents.
    #[serde(default)]
    pub discount: i64,
}

/// The answer to one line.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(example = json!({"line": 1, "status": 201, "order_no": "380000000000000001", "order_status": "pending",
    "pay_amount": 19900, "pay_before_ms": 1_794_400_200_000_u64}))]
pub enum LineAnswer<'a> {
    /// The order is placed, and survives a crash.
    Placed {
        /// Which line, from 1; empty lines are not counted.
        line: u64,
        /// 201.
        status: u16,
        /// Its number.
        order_no: OrderNumber,
        /// `pending`, or `paid` where nothing was to be paid.
        order_status: &'a str,
        /// What is to be paid, in cents.
        pay_amount: i64,
        /// At and after this instant it can't be paid in the ordinary way, in ms since the Unix epoch.
        pay_before_ms: u64,
    },
    /// It is refused, and changed nothing.
    Refused {
        /// Which line.
        line: u64,
        /// The HTTP status that it would have had alone.
        status: u16,
        /// The stable code.
        code: &'a str,
        /// What is wrong.
        detail: String,
        /// The field that is wrong, where it is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// Whether the same line may succeed later.
        retryable: bool,
        /// How long to wait before that, in ms, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u32>,
    },
}

impl GatewayOrder<'_> {
    /// The engine's request.
    ///
    /// # Errors
    /// A type, a coupon or a name of a request that is none.
    pub fn into_order(self) -> Result<SubmitOrder, Problem> {
        let order_type = self.order_type.as_deref().map_or(Ok(OrderType::Normal), str::parse)?;
        let key = self.request_id.as_bytes();
        Reject::check_present("request_id", key.len(), REQUEST_KEY_BYTES_MAX)?;
        Ok(SubmitOrder {
            request_id: RequestId::from_key(key),
            member_id: self.member_id.into(),
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
            prices: self.prices.map(|prices| Box::new(prices.into())),
        })
    }
}

impl From<PricesBody> for BroughtPrices {
    fn from(prices: PricesBody) -> Self {
        let lines = prices.lines.iter().map(|line| BroughtLine {
            sku: line.sku_id.into(),
            unit_price: Money::from_minor(line.unit_price),
            discount: Money::from_minor(line.discount),
        });
        Self {
            lines: lines.collect(),
            freight: Money::from_minor(prices.freight),
            pay_amount: Money::from_minor(prices.pay_amount),
            source: prices.source.into(),
        }
    }
}

impl LineAnswer<'_> {
    /// The answer to a line that was placed.
    pub fn placed(line: u64, receipt: &Receipt) -> Self {
        Self::Placed {
            line,
            status: StatusCode::CREATED.as_u16(),
            order_no: receipt.order_no.into(),
            order_status: receipt.status.name(),
            pay_amount: receipt.pay_amount.minor(),
            pay_before_ms: receipt.deadline_ms,
        }
    }
}

/// Places many orders on behalf of members. The request is a stream of lines, each an order as JSON; the answer is a
/// stream of lines in the same order. Both go on at the same time: a caller must read while it writes, and one that
/// doesn't read is not read from. A line that is wrong is answered as such, and the next one taken.
#[utoipa::path(post, path = "/gateway/orders", tag = "gateway",
    request_body(content = GatewayOrder<'static>, content_type = "application/x-ndjson"),
    responses((status = 200, description = "A line for each line.", body = LineAnswer<'static>, content_type = "application/x-ndjson")))]
pub async fn orders(
    State(app): State<App>,
    context: Context,
    pace: Option<Extension<Pace>>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(NDJSON) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be lines of JSON: send content-type: application/x-ndjson",
            "请求体必须是逐行 JSON：请发送 content-type: application/x-ndjson",
        ));
    }
    if let Some(Extension(pace)) = pace {
        // A stream takes as long as it takes; it must only not stand still.
        pace.stream();
    }
    let answers = pump::start(app, context, body);
    Ok(([(header::CONTENT_TYPE, NDJSON)], axum::body::Body::new(answers)).into_response())
}
