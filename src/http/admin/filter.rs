//! Which orders a list or an export is about.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::order::FLAG_MAX;
use crate::http::json::{Id, Moment};
use crate::http::problem::Problem;
use crate::{OrderFilter, OrderStatus, OrderType, Reject};

/// Which orders; what is given must all be so.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrderFilter)]
pub struct FilterBody {
    /// Only of this member.
    pub member_id: Option<Id>,
    /// Only in one of these states, with commas between: `pending`, `paid`, `partially_shipped`, `shipped`, `completed`,
    /// `cancelled`.
    pub status: Option<String>,
    /// Only of this type: `normal`, `seckill` or `group_buy`.
    pub order_type: Option<String>,
    /// Only in this session or campaign.
    pub activity_id: Option<Id>,
    /// Only with a line of this SKU.
    pub sku_id: Option<Id>,
    /// Only with a line of a SKU of this product.
    pub product_id: Option<Id>,
    /// Only in this team.
    pub team_id: Option<Id>,
    /// Only placed at or after this instant.
    pub created_from: Option<Moment>,
    /// Only placed before this instant.
    pub created_until: Option<Moment>,
    /// Only paid at or after this instant.
    pub paid_from: Option<Moment>,
    /// Only paid before this instant.
    pub paid_until: Option<Moment>,
    /// Only with this mark, 0 to 9; 0 for orders without one.
    #[schema(maximum = 9)]
    pub flag: Option<u8>,
    /// Only with (`true`) or without (`false`) an open refund.
    pub open_refund: Option<bool>,
}

impl FilterBody {
    /// The engine's filter.
    ///
    /// # Errors
    /// A state or a type that there is not.
    pub fn into_filter(self) -> Result<OrderFilter, Problem> {
        Reject::check_range("flag", self.flag.unwrap_or(0).into(), 0, FLAG_MAX.into())?;
        let names = self.status.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
        let order_type = self.order_type.as_deref().map(str::parse::<OrderType>).transpose();
        Ok(OrderFilter {
            member: self.member_id.map(Into::into),
            statuses: names.map(status).collect::<Result<_, _>>()?,
            order_type: order_type.map_err(|reject| Problem::from(reject).field("order_type"))?,
            activity: self.activity_id.map(Into::into),
            sku: self.sku_id.map(Into::into),
            product: self.product_id.map(Into::into),
            team: self.team_id.map(Into::into),
            created_from_ms: self.created_from.map(|moment| moment.0),
            created_until_ms: self.created_until.map(|moment| moment.0),
            paid_from_ms: self.paid_from.map(|moment| moment.0),
            paid_until_ms: self.paid_until.map(|moment| moment.0),
            flag: self.flag,
            has_open_refund: self.open_refund,
            payment_started: false,
        })
    }
}

fn status(name: &str) -> Result<OrderStatus, Problem> {
    OrderStatus::from_name(name.trim()).ok_or_else(|| {
        Problem::invalid(
            "status",
            "status is pending, paid, partially_shipped, shipped, completed or cancelled",
            "status 取值 pending、paid、partially_shipped、shipped、completed 或 cancelled",
        )
    })
}
