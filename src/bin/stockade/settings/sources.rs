//! Where values come from: file, environment, flags; put together key by key, with the place of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Problem;
use super::schema::{Entry, Kind, find, has_section, suggest};

/// How variables of the environment begin.
const PREFIX: &str = "STOCKADE__";
/// Most bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A flag that stands for a key.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// As it is written, `--listen`.
    pub(crate) flag: &'static str,
    /// The key.
    pub(crate) path: &'static str,
    pub(crate) value: Value,
}

/// Where to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) file: Option<PathBuf>,
    /// Variables of the environment; others than ours are passed over.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) flags: Vec<Flag>,
}

/// Values by path, with where each stands.
#[derive(Debug, Default)]
pub(super) struct Values {
    values: BTreeMap<&'static str, (Value, String)>,
    problems: Vec<Problem>,
}

impl Sources {
    /// Those of a file alone.
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// The process's environment.
    pub(crate) fn environment() -> Vec<(String, String)> {
        // A name or value that is not UTF-8 can't be one of ours.
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect()
    }

    /// All values, checked one by one.
    pub(super) fn gather(&self) -> Result<Values, Vec<Problem>> {
        let mut values = Values::default();
        if let Some(path) = &self.file {
            values.read_file(path);
        }
        for (name, text) in &self.environment {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                values.take_variable(name, rest, text);
            }
        }
        for Flag { flag, path, value } in &self.flags {
            values.set(path, value.clone(), (*flag).to_owned());
        }
        values.check();
        if values.problems.is_empty() { Ok(values) } else { Err(values.problems) }
    }
}

impl Values {
    fn read_file(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => self.take_file(path, &text),
            Err(error) => {
                self.problems.push(Problem::general(format!("can't read {}: {error}", path.display())));
            }
        }
    }

    fn take_file(&mut self, path: &Path, text: &str) {
        let at = |start: usize| {
            let line = text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count() + 1;
            format!("{}:{line}", path.display())
        };
        let parsed = DeTable::parse(text).and_then(|lines| Ok((lines, toml::from_str::<Table>(text)?)));
        let (lines, table) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let place = error.span().map_or_else(|| path.display().to_string(), |span| at(span.start));
                return self.problems.push(Problem { place, message: error.message().to_owned() });
            }
        };
        for (section, inner) in lines.get_ref() {
            let place = at(section.span().start);
            let name: &str = section.get_ref();
            let DeValue::Table(inner) = inner.get_ref() else {
                self.unknown(name, place);
                continue;
            };
            if !has_section(name) {
                self.unknown_section(name, place);
                continue;
            }
            for key in inner.keys() {
                let place = at(key.span().start);
                let key: &str = key.get_ref();
                if let Some(value) = table.get(name).and_then(|section| section.get(key)) {
                    self.set(&format!("{name}.{key}"), value.clone(), place);
                }
            }
        }
    }

    /// `rest` is the name after the prefix, `SERVER__LISTEN`.
    fn take_variable(&mut self, name: &str, rest: &str, text: &str) {
        let path = rest.to_ascii_lowercase().replace("__", ".");
        let Some(entry) = find(&path) else { return self.unknown(&path, name.to_owned()) };
        match value_of(entry, text) {
            Some(value) => self.set(&path, value, name.to_owned()),
            None => {
                let message = format!("{path} is \"{text}\": it must be {}", entry.kind);
                self.problems.push(Problem { place: name.to_owned(), message });
            }
        }
    }

    fn set(&mut self, path: &str, value: Value, place: String) {
        match find(path) {
            Some(entry) => drop(self.values.insert(entry.path, (value, place))),
            None => self.unknown(path, place),
        }
    }

    fn unknown(&mut self, path: &str, place: String) {
        let hint = suggest(path).map(|path| format!("; did you mean {path}?")).unwrap_or_default();
        self.problems.push(Problem { place, message: format!("unknown key {path}{hint}") });
    }

    fn unknown_section(&mut self, section: &str, place: String) {
        let sections = super::entries::ENTRIES.iter().map(Entry::section);
        let best = sections.map(|name| (strsim::jaro_winkler(name, section), name));
        let best = best.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(likeness, _)| *likeness >= 0.75);
        let hint = best.map(|(_, name)| format!("; did you mean [{name}]?")).unwrap_or_default();
        self.problems.push(Problem { place, message: format!("unknown section [{section}]{hint}") });
    }

    fn check(&mut self) {
        for (path, (value, place)) in &self.values {
            if let Some(entry) = find(path).filter(|entry| !entry.kind.allows(value)) {
                let message = format!("{path} is {}: it must be {}", shown(value), entry.kind);
                self.problems.push(Problem { place: place.clone(), message });
            }
        }
    }

    /// A problem with a key, at its place.
    pub(super) fn problem(&self, path: &str, message: String) -> Problem {
        let place = self.values.get(path).map(|(_, place)| place.clone()).unwrap_or_default();
        Problem { place, message }
    }

    /// All values by section and name.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        for (path, (value, _)) in &self.values {
            if let Some((section, name)) = path.split_once('.')
                && let Value::Table(section) =
                    table.entry(section).or_insert_with(|| Value::Table(Table::new()))
            {
                section.insert(name.to_owned(), value.clone());
            }
        }
        table
    }
}

/// A variable's text as a value of the kind that its key needs. What is no such value is left to the check, as text.
fn value_of(entry: &Entry, text: &str) -> Option<Value> {
    let parsed = || {
        let table: Table = toml::from_str(&format!("value = {text}")).ok()?;
        table.get("value").cloned()
    };
    match entry.kind {
        Kind::Int { .. } | Kind::PowerOfTwo { .. } | Kind::Bool => parsed(),
        Kind::Text | Kind::Choice(_) | Kind::Address => Some(Value::String(text.to_owned())),
        // A list as in the file, or, as is usual in an environment, with commas alone.
        Kind::Networks { .. } | Kind::Origins { .. } if !text.trim_start().starts_with('[') => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        Kind::Durability if !text.trim_start().starts_with('{') => Some(Value::String(text.to_owned())),
        Kind::Networks { .. } | Kind::Origins { .. } | Kind::Durability => parsed(),
        Kind::Own => parsed().or_else(|| Some(Value::String(text.to_owned()))),
    }
}

/// A value in a message: short, and nothing of what is inside tables, which may be close to secrets.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() <= 100 => format!("\"{text}\""),
        Value::String(_) => "a long text".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(switch) => switch.to_string(),
        Value::Datetime(_) => "a time".to_owned(),
        Value::Array(items) if items.len() <= 8 => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, at most {FILE_BYTES_MAX} are allowed"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
