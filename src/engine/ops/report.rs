//! What an inspection shows, and its form on the control socket: a line for each figure, `name value`.

use std::fmt::Write;

use serde::Serialize;

use crate::domain::ids::OrderNo;

/// One table of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// Sorted runs: how many places a look-up may have to ask.
    pub runs: u64,
    /// Pages of these.
    pub pages: u64,
    /// Entries, with superseded ones and removals.
    pub entries: u64,
    /// Size of the pages, in bytes.
    pub bytes: u64,
}

/// A projection: something that follows the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectionReport {
    /// Its name.
    pub name: String,
    /// Everything up to here is in it.
    pub position: u64,
    /// Durable events that are not.
    pub lag_events: u64,
}

/// The open order that was placed first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OldestOrder {
    /// Its number, as text: it doesn't fit a double.
    pub order_no: String,
    /// When it was placed, in ms since the Unix epoch.
    pub created_at_ms: u64,
    /// How long ago that was, in ms.
    pub age_ms: u64,
}

/// A figure's form on the socket.
trait Wire: Sized {
    fn put(&self, name: &str, lines: &mut String);
    /// From the values of all lines with this name; `None` where they don't make sense.
    fn take(values: &[&str]) -> Option<Self>;
}

fn line(name: &str, value: impl std::fmt::Display, lines: &mut String) {
    let start = lines.len();
    // Writing to a string can't fail.
    let _ = write!(lines, "{name} {value}");
    // A value is one line, whatever a message may contain.
    if lines[start..].contains(char::is_control) {
        let text = lines[start..].replace(char::is_control, " ");
        lines.truncate(start);
        lines.push_str(&text);
    }
    lines.push('\n');
}

macro_rules! wire_by_text {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn put(&self, name: &str, lines: &mut String) {
                line(name, self, lines);
            }

            fn take(values: &[&str]) -> Option<Self> {
                values.first()?.parse().ok()
            }
        }
    )*};
}

wire_by_text!(bool, u32, u64, String);

impl<T: Wire> Wire for Option<T> {
    fn put(&self, name: &str, lines: &mut String) {
        if let Some(value) = self {
            value.put(name, lines);
        }
    }

    fn take(values: &[&str]) -> Option<Self> {
        if values.is_empty() { Some(None) } else { T::take(values).map(Some) }
    }
}

impl Wire for OldestOrder {
    fn put(&self, name: &str, lines: &mut String) {
        line(name, format_args!("{} {} {}", self.order_no, self.created_at_ms, self.age_ms), lines);
    }

    fn take(values: &[&str]) -> Option<Self> {
        let mut parts = values.first()?.split(' ');
        let order_no: OrderNo = parts.next()?.parse().ok()?;
        let mut number = || parts.next()?.parse().ok();
        Some(Self { order_no: order_no.to_string(), created_at_ms: number()?, age_ms: number()? })
    }
}

impl Wire for Vec<TableReport> {
    fn put(&self, name: &str, lines: &mut String) {
        for TableReport { name: table, runs, pages, entries, bytes } in self {
            line(name, format_args!("{runs} {pages} {entries} {bytes} {table}"), lines);
        }
    }

    fn take(values: &[&str]) -> Option<Self> {
        let table = |value: &&str| {
            let mut parts = value.splitn(5, ' ');
            let mut number = || parts.next()?.parse().ok();
            let (runs, pages, entries, bytes) = (number()?, number()?, number()?, number()?);
            Some(TableReport { name: parts.next()?.to_owned(), runs, pages, entries, bytes })
        };
        values.iter().map(table).collect()
    }
}

impl Wire for Vec<ProjectionReport> {
    fn put(&self, name: &str, lines: &mut String) {
        for ProjectionReport { name: projection, position, lag_events } in self {
            line(name, format_args!("{position} {lag_events} {projection}"), lines);
        }
    }

    fn take(values: &[&str]) -> Option<Self> {
        let projection = |value: &&str| {
            let mut parts = value.splitn(3, ' ');
            let mut number = || parts.next()?.parse().ok();
            let (position, lag_events) = (number()?, number()?);
            Some(ProjectionReport { name: parts.next()?.to_owned(), position, lag_events })
        };
        values.iter().map(projection).collect()
    }
}

macro_rules! report {
    ($($(#[$meta:meta])* $name:ident: $type:ty),* $(,)?) => {
        /// What a data directory holds. Figures of a running engine are read one after the other, so they may be a moment
        /// apart. Counts of orders and tables are those of the store's position, not of the journal behind it.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct InspectReport {
            $($(#[$meta])* pub $name: $type,)*
        }

        impl InspectReport {
            /// The lines that go over the socket.
            pub(super) fn to_lines(&self) -> String {
                let mut lines = String::new();
                $(self.$name.put(stringify!($name), &mut lines);)*
                lines
            }

            /// From those lines; names that this release doesn't know are passed over.
            pub(super) fn from_lines(lines: &[String]) -> Option<Self> {
                let values = |name: &str| -> Vec<&str> {
                    let of_name = |line: &'_ &String| line.split(' ').next() == Some(name);
                    lines.iter().filter(of_name).map(|line| line[name.len()..].trim_start()).collect()
                };
                Some(Self { $($name: Wire::take(&values(stringify!($name)))?,)* })
            }
        }
    };
}

report! {
    /// Whether an engine runs on it.
    in_use: bool,
    /// The running engine's health: `open`, `draining`, `closed`, or `poisoned:` and why.
    health: Option<String>,
    /// The directory's format.
    format: u32,
    /// The release that wrote the format, where it is known.
    written_by: Option<String>,
    /// First position that the journal has.
    journal_first: u64,
    /// Last position that the journal has; 0 for none.
    journal_last: u64,
    /// Last position that must be found again: what the mark says, and of a running engine what is durable.
    durable: u64,
    /// Position of the store: everything up to here is in it. None without a store.
    store_position: Option<u64>,
    /// Why the running engine's store has stopped, if it has.
    store_failure: Option<String>,
    /// Orders ever placed.
    orders_placed: Option<u64>,
    /// Completed and cancelled ones.
    orders_closed: Option<u64>,
    /// Placed and not paid.
    orders_pending: Option<u64>,
    /// Paid and not shipped.
    orders_paid: Option<u64>,
    /// Shipped and not received.
    orders_shipped: Option<u64>,
    /// Orders in the running engine's memory.
    orders_in_memory: Option<u64>,
    /// Payments that are recorded and have no outcome yet; the next start, or the running engine, completes them.
    payments_pending: Option<u64>,
    /// The open order that was placed first.
    oldest_open: Option<OldestOrder>,
    /// What follows the journal, and how far behind it is.
    projections: Vec<ProjectionReport>,
    /// The store's tables.
    tables: Vec<TableReport>,
    /// Space that the journal's database takes on the disk, in bytes.
    journal_bytes: u64,
    /// Space that the store's database takes on the disk, in bytes.
    store_bytes: u64,
    /// Space that the ballast takes on the disk, in bytes; 0 where there is none, or somebody needed it.
    ballast_bytes: u64,
    /// Free space on the directory's file system, in bytes.
    free_bytes: u64,
}

impl InspectReport {
    /// Whether somebody should look after it: a poisoned engine, or a store that has stopped.
    pub fn needs_attention(&self) -> bool {
        let poisoned = self.health.as_ref().is_some_and(|health| health.starts_with("poisoned"));
        poisoned || self.store_failure.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_out_of_the_socket_as_it_went_in() {
        let report = InspectReport {
            in_use: true,
            health: Some("poisoned: a bad disk".to_owned()),
            format: 2,
            written_by: Some("0.1.0".to_owned()),
            journal_first: 4,
            store_position: Some(9),
            orders_placed: Some(0),
            oldest_open: Some(OldestOrder { order_no: "77".to_owned(), created_at_ms: 5, age_ms: 6 }),
            projections: vec![ProjectionReport { name: "store".to_owned(), position: 9, lag_events: 1 }],
            tables: vec![
                TableReport { name: "open orders".to_owned(), runs: 1, pages: 2, entries: 3, bytes: 4 },
                TableReport { name: "stock".to_owned(), runs: 5, pages: 6, entries: 7, bytes: 8 },
            ],
            free_bytes: u64::MAX,
            ..InspectReport::default()
        };
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let text = report.to_lines();
        assert_eq!(InspectReport::from_lines(&lines(&text)), Some(report.clone()));
        assert_eq!(InspectReport::from_lines(&lines(&format!("{text}new_figure 7\n"))), Some(report));
        assert_eq!(InspectReport::from_lines(&lines(&text.replace("format 2", "format x"))), None);
        assert_eq!(InspectReport::from_lines(&[]), None, "figures are missing");
    }

    #[test]
    fn a_message_stays_on_its_line() {
        let report = InspectReport { health: Some("poisoned: a\nok".to_owned()), ..InspectReport::default() };
        assert!(report.to_lines().contains("health poisoned: a ok\n"));
        assert!(report.needs_attention());
    }
}
