//! The configuration as a commented file: each key with its meaning, bounds and default.

use std::fmt::Write;

use toml::{Table, Value};

use super::Settings;
use super::entries::ENTRIES;
use super::schema::{Entry, Kind, grouped};

/// Longest line of a comment.
const WIDTH: usize = 100;

/// The settings as a file that reads back to them. Values that have no default and are not set stand in comments.
pub(crate) fn print(settings: &Settings) -> Result<String, toml::ser::Error> {
    let (values, defaults) = (settings.table()?, Settings::default().table()?);
    let mut text = String::from(
        "# Configuration of a Stockade server.\n\
         # A flag goes before the environment (STOCKADE__SERVER__LISTEN is server.listen), that before this file.\n\
         # Keys marked (live) take effect on SIGHUP, the others after a restart.\n",
    );
    let mut section = "";
    for entry in ENTRIES {
        if entry.section() != section {
            section = entry.section();
            text.push_str(&format!("\n[{section}]\n"));
        }
        comment(&mut text, entry, get(&defaults, entry));
        let name = entry.name();
        match get(&values, entry) {
            Some(value) => text.push_str(&format!("{name} = {}\n", written(value))),
            None => text.push_str(&format!("# {name} =\n")),
        }
    }
    Ok(text)
}

/// The keys in which two settings differ.
pub(crate) fn changed(old: &Settings, new: &Settings) -> Result<Vec<&'static Entry>, toml::ser::Error> {
    let (old, new) = (old.table()?, new.table()?);
    Ok(ENTRIES.iter().filter(|entry| get(&old, entry) != get(&new, entry)).collect())
}

fn get<'a>(table: &'a Table, entry: &Entry) -> Option<&'a Value> {
    table.get(entry.section())?.get(entry.name())
}

fn comment(text: &mut String, entry: &Entry, default: Option<&Value>) {
    let mut words = entry.doc.to_owned();
    // Text that can't fail to be written.
    let _ = match (entry.kind, entry.unit) {
        (Kind::Int { max: i64::MAX, min }, unit) => write!(words, " In {unit}, at least {}.", grouped(min)),
        (Kind::Int { min, max }, unit) => write!(words, " In {unit}, {} to {}.", grouped(min), grouped(max)),
        (Kind::PowerOfTwo { min, max }, unit) => {
            write!(words, " In {unit}, a power of two, {} to {}.", grouped(min), grouped(max))
        }
        (Kind::Bool | Kind::Text | Kind::Own | Kind::Durability, _) => Ok(()),
        (kind, _) => write!(words, " It is {kind}."),
    };
    let _ = match default {
        Some(Value::Integer(number)) => write!(words, " Default: {}.", grouped(*number)),
        Some(Value::Array(list)) if list.is_empty() => write!(words, " Default: none."),
        Some(value) => write!(words, " Default: {}.", written(value)),
        None => write!(words, " Default: none."),
    };
    if entry.is_live {
        words.push_str(" (live)");
    }
    let mut line = String::from("#");
    for word in words.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// A value in TOML.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(switch) => switch.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let items =
                table.iter().map(|(name, value)| format!("{} = {}", quoted_key(name), written(value)));
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted_key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(char);
            }
            char if char.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_printed_and_every_value_has_a_key() {
        let text = print(&Settings::default()).unwrap();
        for entry in ENTRIES {
            let line = format!("\n{} = ", entry.name());
            let open = format!("\n# {} =\n", entry.name());
            assert!(text.contains(&line) || text.contains(&open), "{} is missing", entry.path);
        }
        for (section, values) in Settings::default().table().unwrap() {
            for name in values.as_table().unwrap().keys() {
                let path = format!("{section}.{name}");
                assert!(super::super::schema::find(&path).is_some(), "{path} is not in the table of keys");
            }
        }
        assert!(text.lines().all(|line| line.len() <= WIDTH + 10), "{text}");
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\u000Ad""#);
        let table: Table = toml::from_str(&format!("a = {}", quoted("a\"b\\c\nd\u{7f}茶"))).unwrap();
        assert_eq!(table["a"].as_str(), Some("a\"b\\c\nd\u{7f}茶"));
    }
}
