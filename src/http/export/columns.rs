//! The columns of an export: their names, and what an order has in each.

use super::cell::{Cell, MoneyUnit};
use crate::http::problem::Problem;
use crate::http::view::order::{OrderBody, OrderLineBody, ReceiverBody};

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in a request.
    pub name: &'static str,
    /// Whether it holds money, whose unit its title names.
    is_money: bool,
    /// Whether it is there unless the request says otherwise.
    is_default: bool,
    cell: fn(&OrderBody, MoneyUnit) -> Cell,
}

impl Column {
    /// Its title: its name, and the unit of money.
    pub fn title(&self, unit: MoneyUnit) -> String {
        if self.is_money { format!("{}_{}", self.name, unit.name()) } else { self.name.to_owned() }
    }

    /// What an order has in it.
    pub fn cell(&self, order: &OrderBody, unit: MoneyUnit) -> Cell {
        (self.cell)(order, unit)
    }
}

const fn column(name: &'static str, is_default: bool, cell: fn(&OrderBody, MoneyUnit) -> Cell) -> Column {
    Column { name, is_money: false, is_default, cell }
}

const fn money(name: &'static str, is_default: bool, cell: fn(&OrderBody, MoneyUnit) -> Cell) -> Column {
    Column { name, is_money: true, is_default, cell }
}

/// All columns, in the order in which they stand unless the request names them.
pub const COLUMNS: &[Column] = &[
    column("order_no", true, |order, _| Cell::Id(order.order_no.0.get())),
    column("external_no", true, |order, _| Cell::text(order.external_no.clone())),
    column("member_id", true, |order, _| Cell::Id(order.member_id.0)),
    column("order_type", true, |order, _| Cell::Own(order.order_type.into())),
    column("status", true, |order, _| Cell::Own(order.status.into())),
    column("close_reason", false, |order, _| {
        order.close_reason.map_or(Cell::Empty, |reason| Cell::Own(reason.into()))
    }),
    column("activity_id", false, |order, _| order.activity_id.map_or(Cell::Empty, |id| Cell::Id(id.0))),
    column("team_id", false, |order, _| {
        order.team.as_ref().map_or(Cell::Empty, |team| Cell::Id(team.team_id.0))
    }),
    column("created_at", true, |order, _| Cell::Own(order.created_at.clone().into())),
    column("paid_at", true, |order, _| happened(order, "OrderPaid")),
    column("pay_before", false, |order, _| Cell::Own(order.pay_before.clone().into())),
    money("goods_amount", true, |order, unit| Cell::Money(order.amounts.goods_amount, unit)),
    money("discount_amount", true, |order, unit| Cell::Money(order.amounts.discount_amount, unit)),
    money("adjustment", false, |order, unit| Cell::Money(order.amounts.adjustment, unit)),
    money("freight", true, |order, unit| Cell::Money(order.amounts.freight, unit)),
    money("pay_amount", true, |order, unit| Cell::Money(order.amounts.pay_amount, unit)),
    money("refunded_amount", true, |order, unit| refunds(order, unit, &["finished"])),
    money("refund_open_amount", false, |order, unit| {
        refunds(order, unit, &["applied", "required", "requested", "failed"])
    }),
    column("units", true, |order, _| {
        Cell::Count(order.lines.iter().map(|line| i64::from(line.quantity)).sum())
    }),
    column("items", true, |order, _| lines(order, |line| format!("{} ×{}", line.title, line.quantity))),
    column("sku_ids", false, |order, _| lines(order, |line| line.sku_id.to_string())),
    column("codes", false, |order, _| lines(order, |line| line.code.clone())),
    column("quantities", false, |order, _| lines(order, |line| line.quantity.to_string())),
    column("carrier", true, |order, _| parcels(order, |carrier, _| carrier)),
    column("tracking_no", true, |order, _| parcels(order, |_, tracking_no| tracking_no)),
    column("receiver_name", true, |order, _| receiver(order, |shown| shown.name)),
    column("receiver_phone", true, |order, _| receiver(order, |shown| shown.phone)),
    column("receiver_region", true, |order, _| receiver(order, |shown| shown.region)),
    column("receiver_address", true, |order, _| receiver(order, |shown| shown.address)),
    column("receiver_postcode", false, |order, _| receiver(order, |shown| shown.postcode)),
    column("remark", true, |order, _| Cell::text(order.remark.clone())),
    column("seller_remark", false, |order, _| Cell::text(order.seller_remark.clone())),
    column("flag", true, |order, _| Cell::Count(i64::from(order.flag.unwrap_or(0)))),
];

/// The columns of a request, the order's number first: a later export goes on behind it.
///
/// # Errors
/// A name that is no column's, or that stands twice.
pub fn chosen(names: Option<&[String]>) -> Result<Vec<Column>, Problem> {
    let Some(names) = names else {
        return Ok(COLUMNS.iter().copied().filter(|column| column.is_default).collect());
    };
    let mut chosen = vec![COLUMNS[0]];
    for (nth, name) in names.iter().enumerate() {
        let wrong = |english: String| {
            let chinese = "导出列不存在或重复";
            Problem::invalid(format!("columns[{nth}]"), english, chinese)
        };
        let known = COLUMNS.iter().find(|column| column.name == name);
        let column = known.ok_or_else(|| {
            let all: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
            wrong(format!("there is no such column; there are {}", all.join(", ")))
        })?;
        if names[..nth].contains(name) {
            return Err(wrong(format!("the column {} stands twice", column.name)));
        }
        if column.name != COLUMNS[0].name {
            chosen.push(*column);
        }
    }
    Ok(chosen)
}

fn happened(order: &OrderBody, event: &str) -> Cell {
    let entry = order.timeline.iter().find(|entry| entry.event == event);
    entry.map_or(Cell::Empty, |entry| Cell::Own(entry.at.clone().into()))
}

fn refunds(order: &OrderBody, unit: MoneyUnit, states: &[&str]) -> Cell {
    let counted = order.refunds.iter().filter(|refund| states.contains(&refund.state));
    Cell::Money(counted.fold(0_i64, |sum, refund| sum.saturating_add(refund.amount)), unit)
}

/// What lines have of something, in one cell, with `|` between.
fn lines(order: &OrderBody, of: impl Fn(&OrderLineBody) -> String) -> Cell {
    Cell::text(Some(order.lines.iter().map(of).collect::<Vec<_>>().join(" | ")))
}

/// What parcels have of something, each once.
fn parcels(order: &OrderBody, of: impl Fn(String, String) -> String) -> Cell {
    let packages = order.packages.iter().map(|parcel| (&parcel.carrier, &parcel.tracking_no));
    let whole = order.shipment.iter().map(|parcel| (&parcel.carrier, &parcel.tracking_no));
    let mut texts: Vec<String> = Vec::new();
    for (carrier, tracking_no) in packages.chain(whole) {
        let text = of(carrier.clone(), tracking_no.clone());
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    Cell::text(Some(texts.join(" | ")))
}

/// What is shown of a receiver, masked or not.
struct Shown {
    name: String,
    phone: String,
    region: String,
    address: String,
    postcode: String,
}

fn receiver(order: &OrderBody, of: impl Fn(Shown) -> String) -> Cell {
    let region = |country: Option<&str>, parts: [&str; 3]| {
        let parts = country.into_iter().chain(parts).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(" ")
    };
    let shown = match &order.receiver {
        None | Some(ReceiverBody::Opaque(_)) => return Cell::Empty,
        Some(ReceiverBody::Whole(whole)) => Shown {
            name: whole.name.clone(),
            phone: whole.phone.clone(),
            region: region(whole.country.as_deref(), [&whole.province, &whole.city, &whole.district]),
            address: whole.address.clone(),
            postcode: whole.postcode.clone().unwrap_or_default(),
        },
        Some(ReceiverBody::Masked(masked)) => Shown {
            name: masked.name.clone(),
            phone: masked.phone.clone(),
            region: region(masked.country.as_deref(), [&masked.province, &masked.city, &masked.district]),
            address: masked.address.clone(),
            postcode: masked.postcode.clone().unwrap_or_default(),
        },
    };
    Cell::text(Some(of(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_distinct_names_and_the_number_comes_first() {
        let names: std::collections::BTreeSet<_> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS.len());
        let given = ["pay_amount".to_owned(), "order_no".to_owned()];
        let titles: Vec<_> =
            chosen(Some(&given)).unwrap().iter().map(|column| column.title(MoneyUnit::Yuan)).collect();
        assert_eq!(titles, ["order_no", "pay_amount_yuan"]);
        assert_eq!(chosen(None).unwrap()[0].name, "order_no");
        for wrong in [vec!["x".to_owned()], vec!["units".to_owned(), "units".to_owned()]] {
            assert_eq!(chosen(Some(&wrong)).unwrap_err().code(), "invalid_value");
        }
    }
}
