//! `POST /admin/order/export`: orders as CSV, JSON lines or a workbook.
//!
//! ```text
//! pages of the store ─ orders ─ rows of cells ─┬─ lines ─ a channel of two chunks ─ the connection
//!                                              └─ a file without a name ─ the same
//! ```
//!
//! Memory holds two or three pages whatever the length. An export resumes behind any order: its first column is the
//! order's number, and orders come in the order of their numbers.

pub mod cell;
pub mod columns;
pub mod pages;
pub mod rows;
pub mod stream;
pub mod workbook;

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::cell::MoneyUnit;
use self::pages::{Pages, StorePages};
use self::rows::{Layout, TextFormat};
use self::workbook::{Part, ROWS_MAX, WorkbookError};
use super::admin::desk::{Desk, Reason};
use super::admin::filter::FilterBody;
use super::admin::orders::reveal_of;
use super::auth::access::Shown;
use super::json::{Body, Id};
use super::problem::Problem;
use super::server::Pace;
use super::state::App;
use crate::{OrderNo, OrderView, Reject};

/// Names the last order of a workbook that ends before the last order there is.
const NEXT_AFTER: &str = "x-next-after";
/// When an export that finds no room may be tried again, in ms.
const RETRY_AFTER_MS: u32 = 5_000;
/// Parts of a workbook that wait to be written.
const PARTS_MAX: usize = 1;

/// The route.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

/// What is to be exported.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"format": "csv", "filter": {"status": "paid", "created_from": "2026-11-11"},
    "columns": ["order_no", "items", "receiver_name"], "money": "yuan"}))]
pub struct ExportBody {
    /// As what.
    pub format: FormatBody,
    /// Which orders; all without it. Those that are placed after the export began never come.
    #[serde(default)]
    pub filter: FilterBody,
    /// Columns in this order, the order's number before them; a common choice without it.
    pub columns: Option<Vec<String>>,
    /// In which unit money is written.
    #[serde(default)]
    pub money: MoneyBody,
    /// `true` writes receivers in full, for the scope `security`; recorded.
    #[serde(default)]
    pub reveal: bool,
    /// Only orders behind this one: the number in the last row of an export that broke off.
    pub after: Option<String>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// As what orders are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ExportFormat)]
pub enum FormatBody {
    /// Comma-separated values with a header row, in UTF-8 with a byte-order mark.
    Csv,
    /// A JSON object on each line.
    Jsonl,
    /// A workbook (Office Open XML), of 1,000,000 orders at most.
    Xlsx,
}

/// In which unit money is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ExportMoney)]
pub enum MoneyBody {
    /// Cents, whole numbers.
    #[default]
    Cents,
    /// Yuan with two decimals.
    Yuan,
}

impl FormatBody {
    const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Xlsx => "xlsx",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/x-ndjson",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

/// Writes orders as CSV, JSON lines or a workbook, the oldest first, in constant memory.
///
/// Personal data is masked unless it is asked for. In CSV and workbooks a text that could be a formula has an
/// apostrophe before it, in CSV a number of more than 15 digits, too. An answer that breaks off was not complete: go
/// on behind its last row with `after`.
#[utoipa::path(post, path = "/admin/order/export", tag = "admin",
    operation_id = "admin_export", request_body = ExportBody,
    responses((status = 200, content(
        (String = "text/csv", example = "order_no,status\r\n380000000000000001,paid\r\n"),
        (String = "application/x-ndjson", example = "{\"order_no\":\"380000000000000001\",\"status\":\"paid\"}\n"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")),
        headers(("x-next-after" = String, description = "Of a workbook that is full: send it as `after`.")),
        description = "The orders.")))]
pub async fn export(
    desk: Desk,
    pace: Option<Extension<Pace>>,
    Body(body): Body<ExportBody>,
) -> Result<Response, Problem> {
    if let Some(Extension(pace)) = pace {
        // A file takes as long as its reader; that must only not stand still.
        pace.stream();
    }
    let reason = body.reason.given()?.to_owned();
    let unit = match body.money {
        MoneyBody::Cents => MoneyUnit::Cents,
        MoneyBody::Yuan => MoneyUnit::Yuan,
    };
    let columns = columns::chosen(body.columns.as_deref())?;
    let layout = Layout { columns, unit, reveal: reveal_of(body.reveal) };
    let after = body.after.as_deref().map(behind).transpose()?;
    let filter = body.filter.into_filter()?;
    let permit = Arc::clone(&desk.app.admin().exports).try_acquire_owned().map_err(|_full| busy())?;
    desk.reveal(body.reveal, Shown::Many, "export").await?;
    desk.acted("order.export", body.format.name(), &reason).await?;

    let mut pages = StorePages::new(desk.engine().clone(), filter, after);
    // Before the answer begins, so that a refusal can still be one.
    let first = pages.next().await?;
    let text = match body.format {
        FormatBody::Csv => TextFormat::Csv,
        FormatBody::Jsonl => TextFormat::JsonLines,
        FormatBody::Xlsx => return workbook(pages, first, layout, permit).await,
    };
    let (sender, http_body) = stream::channel();
    tokio::spawn(async move {
        stream::write_text(pages, first, layout, text, sender).await;
        drop(permit);
    });
    Ok(answer(body.format, http_body))
}

/// The order that an export goes on behind, as it stands in a row.
fn behind(text: &str) -> Result<OrderNo, Problem> {
    let digits = text.strip_prefix('\'').unwrap_or(text);
    Id::from_digits(digits).and_then(|id| OrderNo::from_u64(id.0)).ok_or_else(|| {
        Problem::invalid("after", "after is an order number of decimal digits", "after 应为订单号")
    })
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "exports_busy",
        "other exports are running: try again later",
        "其他导出正在进行，请稍后再试",
    )
    .retry_after_ms(RETRY_AFTER_MS)
}

fn answer(format: FormatBody, body: HttpBody) -> Response {
    let name = format!("attachment; filename=\"orders.{}\"", format.name());
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, name),
        // Others' orders are nothing for caches.
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, body).into_response()
}

/// Builds a workbook and sends it.
async fn workbook(
    mut pages: StorePages,
    first: Option<Vec<OrderView>>,
    layout: Layout,
    permit: OwnedSemaphorePermit,
) -> Result<Response, Problem> {
    let (sender, parts) = mpsc::channel(PARTS_MAX);
    let titles = layout.titles();
    let writing = tokio::task::spawn_blocking(move || workbook::write(&titles, parts));
    let (mut page, mut left, mut last) = (first, ROWS_MAX as usize, None);
    let mut is_full = false;
    while let Some(mut orders) = page {
        is_full = orders.len() > left;
        orders.truncate(left);
        left -= orders.len();
        last = orders.last().map(|order| order.order_no).or(last);
        let rows = orders.into_iter().map(|order| layout.row(order)).collect();
        // A writer that is gone says why below.
        if sender.send(Part::Rows(rows)).await.is_err() || is_full {
            break;
        }
        page = pages.next().await?;
    }
    let _ = sender.send(Part::End).await;
    drop(sender);
    let file = match writing.await {
        Ok(written) => written.map_err(|error| unwritten(&error))?,
        Err(_panic) => return Err(Reject::OutcomeUnknown.into()),
    };
    let len = file.metadata().map_err(|error| unwritten(&error.into()))?.len();
    let (sender, body) = stream::channel();
    tokio::spawn(async move {
        workbook::send_file(file, sender).await;
        drop(permit);
    });
    let mut response = answer(FormatBody::Xlsx, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, len.into());
    let next = last.filter(|_| is_full).map(|last| last.to_string());
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert(NEXT_AFTER, next);
    }
    Ok(response)
}

fn unwritten(error: &WorkbookError) -> Problem {
    tracing::error!(%error, "an export's workbook was not written");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "export_failed",
        "the workbook could not be written: the log says why",
        "导出失败：原因见日志",
    )
}
