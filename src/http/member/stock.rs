//! `GET /api/stock/{sku_id}`: whether there is any, for everybody.
//!
//! It answers from the stock key's own actor, as orders do; it holds nothing back for whoever asks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::json::{Id, Params, Parts};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{ActivityId, Engine, Reject, SkuId, StockKey};

/// Units from which on an answer doesn't say how many there are: else everybody could read off what is sold.
const SHOWN_UNITS_MAX: u64 = 100;

/// Whose stock.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StockParams {
    /// The session's or campaign's; without it, the everyday stock.
    pub activity_id: Option<Id>,
}

/// What is there of a SKU.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PublicStock, example = json!({"sku_id": "42", "on_sale": true, "in_stock": true, "available": 17}))]
pub struct StockBody {
    /// The SKU.
    pub sku_id: Id,
    /// The session or campaign, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Id>,
    /// Whether it is on sale at all.
    pub on_sale: bool,
    /// Whether there is a unit that the next order can have.
    pub in_stock: bool,
    /// How many; 100 stands for 100 or more.
    pub available: u64,
}

/// Whether there is any of a SKU, and how many below 100.
///
/// Of this moment: only an order that is placed has its units.
#[utoipa::path(get, path = "/api/stock/{sku_id}", tag = "public",
    params(("sku_id" = String, Path, pattern = "^[0-9]{1,20}$", example = "42", description = "The SKU."), StockParams),
    responses((status = 200, description = "What is there.", body = StockBody)))]
pub async fn show(
    State(app): State<App>,
    Parts(sku_id): Parts<Id>,
    Params(params): Params<StockParams>,
) -> Result<Json<StockBody>, Problem> {
    // Whatever the path and the query name is not there, rather than wrong.
    let not_found = |reject| Problem::from(reject).status(StatusCode::NOT_FOUND);
    let sku = SkuId::from(sku_id);
    let found = app.engine().sku(sku).ok_or_else(|| not_found(Reject::UnknownSku { sku }))?;
    let key = match params.activity_id {
        None => StockKey::normal(sku),
        Some(activity) => key_in(app.engine(), activity.into(), sku).map_err(not_found)?,
    };
    let counters = app.engine().stock(key).await?;
    let available = counters.available.saturating_sub(app.engine().kept_back(key));
    Ok(Json(StockBody {
        sku_id,
        activity_id: params.activity_id,
        on_sale: found.on_sale,
        in_stock: available > 0,
        available: available.min(SHOWN_UNITS_MAX),
    }))
}

fn key_in(engine: &Engine, activity: ActivityId, sku: SkuId) -> Result<StockKey, Reject> {
    let found = engine.activity(activity).ok_or(Reject::ActivityNotFound { activity })?;
    found.item(sku).ok_or(Reject::SkuNotInActivity { sku, activity })?;
    Ok(found.stock_key(sku))
}
