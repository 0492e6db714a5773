//! Checks the shape of the source tree: who may import whom, who may name which dependency, and a few conventions.
//! The rules are those of `docs/ARCHITECTURE.md`.
//!
//! The checker reads text, not syntax trees: it drops comments and literals, joins `use` trees, and looks for paths.
//! Made-up sources at the end show that it finds what it is there to find.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below the repository, with forward slashes, and its text.
struct Source {
    path: String,
    text: String,
}

/// What a module may name of the crate, and what it may not name at all.
struct Boundary {
    /// The files: a folder that ends in a slash, or one file.
    files: &'static str,
    /// Modules of the crate that they may import; their own is always allowed.
    imports: &'static [&'static str],
    /// Paths that they must not name.
    never: &'static [&'static str],
}

const CLOCKS: &[&str] = &["SystemTime", "Instant::now"];

/// What a pure module must not name: runtimes, storage, clocks, I/O, randomness.
const IMPURE: &[&str] = &[
    "tokio",
    "ractor",
    "sled",
    "crossbeam",
    "dashmap",
    "rand",
    "std::time",
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "std::env",
    "RandomState",
];

const BOUNDARIES: &[Boundary] = &[
    Boundary { files: "src/domain/", imports: &[], never: IMPURE },
    Boundary { files: "src/timer/", imports: &[], never: IMPURE },
    // Frozen hash functions serve its tests; of orders it knows nothing.
    Boundary { files: "src/runtime/", imports: &["domain::hash"], never: &["sled", "bincode", "stockade"] },
    // Histograms of its commits know nothing of orders or journals, and are read as they are.
    Boundary {
        files: "src/journal/",
        imports: &["domain", "runtime::clock", "runtime::histogram"],
        never: &["ractor", "dashmap"],
    },
    // It reads the store's records, and adds them up itself.
    Boundary {
        files: "src/audit/",
        imports: &["domain", "journal", "projection::store"],
        never: &["ractor", "tokio", "levels"],
    },
    Boundary {
        files: "src/actors/",
        imports: &["domain", "timer", "runtime", "journal"],
        never: &["sled", "bincode", "std::fs", "std::net"],
    },
    Boundary { files: "src/projection/mod.rs", imports: &[], never: IMPURE },
    Boundary {
        files: "src/projection/store/",
        imports: &["domain", "journal", "projection::levels"],
        never: &["ractor", "tokio", "sled", "bincode", "dashmap"],
    },
    // Of the journal it takes helpers for files; of orders it knows nothing.
    Boundary {
        files: "src/projection/levels/",
        imports: &["journal"],
        never: &["ractor", "tokio", "dashmap", "bincode", "domain"],
    },
    // It reads receivers, to be found by their names; of the journal it knows positions only.
    Boundary {
        files: "src/projection/search/",
        imports: &["domain", "personal"],
        never: &["ractor", "tokio", "sled", "bincode", "dashmap", "levels"],
    },
    // It reads the journal by the public clock, and keeps its book in pages, as the store does; of the engine it knows what
    // it asks by a trait of its own. Its sinks alone know protocols.
    Boundary {
        files: "src/relay/",
        imports: &["domain", "journal", "personal", "projection::levels", "runtime::clock"],
        never: &["ractor", "sled", "bincode", "crossbeam", "dashmap", "engine"],
    },
    Boundary { files: "src/personal.rs", imports: &["domain"], never: IMPURE },
    Boundary {
        files: "src/engine/",
        imports: &[
            "actors",
            "domain",
            "journal",
            "projection",
            "relay",
            "runtime",
            "timer",
            "examples",
            "root",
        ],
        never: &["sled", "bincode"],
    },
    Boundary { files: "src/examples.rs", imports: &["root"], never: &[] },
    // Outside it nobody knows of HTTP; it knows the engine by its public face, and counts with its histograms.
    Boundary {
        files: "src/http/",
        imports: &["domain", "personal", "relay", "runtime::clock", "runtime::histogram", "root"],
        never: &["ractor", "sled", "bincode", "crossbeam"],
    },
    // The commands measure how fast they go; an import weighs deadlines by the public clock.
    Boundary {
        files: "src/bin/",
        imports: &["audit", "domain", "http", "journal", "personal", "relay", "runtime::clock", "root"],
        never: IMPURE_BIN,
    },
    // A wave is driven by a manual clock, which is part of the public configuration.
    Boundary {
        files: "loadtest/",
        imports: &["audit", "domain", "http", "journal", "personal", "relay", "runtime::clock", "root"],
        never: &["ractor", "sled", "crossbeam", "dashmap"],
    },
];

const IMPURE_BIN: &[&str] = &["ractor", "sled", "crossbeam", "dashmap"];

/// Names that only some files may use.
const RESERVED: &[(&[&str], &[&str])] = &[
    (
        &["sled"],
        &[
            "src/journal/sled_backend.rs",
            "src/journal/sled_reads.rs",
            "src/journal/tests/",
            "src/projection/levels/sled_pages.rs",
            "src/projection/levels/tests/",
            "benches/",
        ],
    ),
    (&["bincode"], &["src/journal/codec.rs", "src/journal/tests/", "benches/"]),
    // What an index is made of stays behind its questions and answers.
    (&["tantivy", "tantivy_jieba", "jieba_rs"], &["src/projection/search/"]),
    // Brokers are known to their sinks, and to the tests that look at what arrived.
    (
        &["lapin", "async_nats"],
        &["src/relay/sinks/", "tests/rules/relay_rabbit.rs", "tests/rules/relay_nats.rs", "loadtest/"],
    ),
    (&["axum"], &["src/http/", "tests/http/", "loadtest/src/scenarios/http/"]),
    (CLOCKS, &["src/runtime/clock.rs", "loadtest/", "benches/", "tests/"]),
];

/// Modules under test only may see what they test against or set their stage with, and the simulation what it wires: it
/// stands in for the engine, whose recovery and store it runs.
const TEST_ONLY: &[(&str, &[&str])] = &[
    ("src/actors/simulation/", &["audit", "projection", "engine::recovery", "engine::store"]),
    ("src/engine/store/tests/", &["audit"]),
    ("src/http/callback/tests/", &["examples"]),
];

const FILE_LINES_MAX: usize = 700;
/// Documented public methods, one after the other, read best in one place.
const LONG_FILES: &[(&str, usize)] = &[("src/engine/api.rs", 760)];
const TEST_BINARIES_MAX: usize = 8;

/// Comments and the contents of literals, replaced by spaces, so that words in them count for nothing.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    let blank = |code: &mut String, range: std::ops::Range<usize>| {
        code.extend(bytes[range].iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' }));
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let after_word = at > 0 && is_word(bytes[at - 1]);
        let end = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            find(rest, b"*/").map_or(rest.len(), |end| end + 2)
        } else if rest[0] == b'r' && !after_word && raw_fence(rest).is_some() {
            let fence = raw_fence(rest).unwrap_or(0);
            let close: Vec<u8> = [b"\"".as_slice(), &vec![b'#'; fence]].concat();
            let open = fence + 2;
            find(&rest[open..], &close).map_or(rest.len(), |end| open + end + close.len())
        } else if rest[0] == b'"' {
            quoted(rest, b'"')
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || rest.get(2) == Some(&b'\'')) {
            quoted(rest, b'\'')
        } else {
            0
        };
        if end > 0 {
            blank(&mut code, at..at + end);
            at += end;
        } else {
            code.push(if rest[0].is_ascii() { char::from(rest[0]) } else { ' ' });
            at += 1;
        }
    }
    code
}

/// The number of `#` of a raw string that begins here.
fn raw_fence(bytes: &[u8]) -> Option<usize> {
    let fence = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(1 + fence) == Some(&b'"')).then_some(fence)
}

/// The length of a literal with escapes that begins here.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Every path in some code, `use` trees spelled out: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths_of(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut path = String::new();
    let mut chars = code.chars().peekable();
    while let Some(char) = chars.next() {
        if char.is_ascii_alphanumeric() || char == '_' {
            path.push(char);
        } else if char == ':' && chars.peek() == Some(&':') {
            chars.next();
            path.push_str("::");
        } else if char == '{' {
            // A tree goes on from the path before its brace; a block begins anew.
            let outer = prefixes.last().cloned().unwrap_or_default();
            prefixes.push(if path.ends_with("::") { outer + &path } else { String::new() });
            path.clear();
        } else {
            if !path.is_empty() {
                paths.insert(prefixes.last().cloned().unwrap_or_default() + &path);
            }
            path.clear();
            if char == '}' {
                prefixes.pop();
            }
        }
    }
    paths.insert(path);
    paths
}

/// Whether `path` is `name` or goes through it, from its beginning or further in.
fn names(path: &str, name: &str) -> bool {
    format!("::{path}::").contains(&format!("::{name}::"))
}

const MODULES: [&str; 12] = [
    "actors",
    "audit",
    "domain",
    "engine",
    "journal",
    "personal",
    "projection",
    "relay",
    "runtime",
    "timer",
    "examples",
    "http",
];

/// What of this crate a path goes to: a module with what is in it, or `root::` for what the root exports. `file` is
/// where the path stands.
fn target(path: &str, file: &str) -> Option<String> {
    let (start, rest) = path.split_once("::")?;
    let first = |rest: &str| rest.split("::").next().unwrap_or(rest).to_owned();
    if start == "super" {
        // A path that climbs to the crate's root is as good as one that begins there.
        let climbs = path.split("::").take_while(|part| *part == "super").count();
        let parts = file.trim_end_matches("/mod.rs").split('/').count();
        let rest = path.trim_start_matches("super::");
        return (climbs + 1 >= parts && MODULES.contains(&first(rest).as_str())).then(|| rest.to_owned());
    }
    if start != "crate" && start != "stockade" {
        return None;
    }
    Some(if MODULES.contains(&first(rest).as_str()) { rest.to_owned() } else { format!("root::{rest}") })
}

/// The module that a file belongs to, by its path.
fn home(path: &str) -> &str {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    inner.split(['/', '.']).next().unwrap_or(inner)
}

fn is_in(path: &str, place: &str) -> bool {
    path == place || (place.ends_with('/') && path.starts_with(place))
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "simulation" | "benches"))
}

/// What is wrong with the imports of one file.
fn check_imports(source: &Source, problems: &mut Vec<String>) {
    let path = &source.path;
    let code = code_of(&source.text);
    // The crate of the load test has modules of its own.
    let own_crate = path.starts_with("src/");
    let boundary = BOUNDARIES.iter().find(|boundary| is_in(path, boundary.files));
    if boundary.is_none() && path.starts_with("src/") && path != "src/lib.rs" {
        problems.push(format!("{path}: no boundary says what it may import"));
    }
    for named in paths_of(&code) {
        if let Some(boundary) = boundary {
            for never in boundary.never {
                if names(&named, never) {
                    problems
                        .push(format!("{path}: names {named}, and {never} is not for {}", boundary.files));
                }
            }
            let aims_at_this_crate = own_crate || named.starts_with("stockade::");
            if let Some(target) = target(&named, path).filter(|_| aims_at_this_crate) {
                let extra = TEST_ONLY.iter().filter(|(place, _)| is_in(path, place));
                let mut allowed = boundary.imports.iter().chain(extra.flat_map(|(_, extra)| *extra));
                let allowed =
                    names_first(&target, home(path)) || allowed.any(|allowed| names_first(&target, allowed));
                if !allowed {
                    problems.push(format!("{path}: imports {named}, beyond {:?}", boundary.imports));
                }
            }
        }
        for (reserved, places) in RESERVED {
            for name in *reserved {
                if names(&named, name) && !places.iter().any(|place| is_in(path, place)) {
                    problems.push(format!("{path}: names {named}, which only {places:?} may"));
                }
            }
        }
    }
}

/// Whether a target begins with the path of a module.
fn names_first(target: &str, module: &str) -> bool {
    format!("{target}::").starts_with(&format!("{module}::"))
}

/// What is wrong with the form of one file.
fn check_form(source: &Source, problems: &mut Vec<String>) {
    let Source { path, text } = source;
    let code = code_of(text);
    let lines = text.lines().count();
    let lines_max =
        LONG_FILES.iter().find(|(long, _)| long == path).map_or(FILE_LINES_MAX, |(_, lines_max)| *lines_max);
    if lines > lines_max && !is_test(path) {
        problems.push(format!("{path}: {lines} lines, at most {lines_max} are allowed"));
    }
    if path.starts_with("src/") && !text.starts_with("//!") {
        // A file of re-exports alone explains itself.
        let only_declares = code.lines().map(str::trim).filter(|line| !line.is_empty()).all(|line| {
            line.starts_with("mod ") || line.starts_with("pub mod ") || line.starts_with("pub use ")
        });
        if !only_declares {
            problems.push(format!("{path}: begins without saying what it is for (//!)"));
        }
    }
    for unfinished in ["todo!", "unimplemented!", "dbg!"] {
        if code.contains(unfinished) {
            problems.push(format!("{path}: has {unfinished}"));
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the source tree can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "loadtest", "tests", "benches"] {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root()).expect("it was found below the root");
        let path = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>();
        Source { path: path.join("/"), text: fs::read_to_string(&file).expect("a source file is UTF-8") }
    };
    let sources: Vec<_> = files.into_iter().map(read).collect();
    assert!(sources.len() > 50, "only {} files found", sources.len());
    sources
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn imports_go_one_way() {
    let mut problems = Vec::new();
    // Tests and benchmarks may import what they like.
    let checked = |source: &&Source| source.path.starts_with("src/") || source.path.starts_with("loadtest/");
    sources().iter().filter(checked).for_each(|source| check_imports(source, &mut problems));
    report(&problems);
}

#[test]
fn files_are_short_documented_and_finished() {
    let mut problems = Vec::new();
    let own = "tests/structure.rs";
    let sources = sources();
    sources.iter().filter(|source| source.path != own).for_each(|source| check_form(source, &mut problems));
    report(&problems);
}

#[test]
fn the_stack_is_the_one_that_was_chosen() {
    let manifests: Vec<String> = ["Cargo.toml", "loadtest/Cargo.toml"]
        .map(|path| fs::read_to_string(root().join(path)).expect("a manifest can be read"))
        .into();
    let is_used = |name: &str| {
        manifests.iter().any(|manifest| {
            let mut lines = manifest
                .lines()
                .skip_while(|line| *line != "[dependencies]" && *line != "[dev-dependencies]");
            lines.any(|line| {
                line.starts_with(&format!("{name}.workspace")) || line.starts_with(&format!("{name} ="))
            })
        })
    };
    let stack =
        ["tokio", "ractor", "dashmap", "crossbeam", "serde", "bincode", "sled", "criterion", "hdrhistogram"];
    let missing: Vec<_> = stack.into_iter().filter(|name| !is_used(name)).collect();
    assert!(missing.is_empty(), "not depended on: {missing:?}");
    assert!(!is_used("redis"), "there is no other store");
}

#[test]
fn there_are_few_test_binaries() {
    let entries = fs::read_dir(root().join("tests")).expect("the tests can be listed");
    let is_binary = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file()
    };
    let binaries = entries.filter(|entry| entry.as_ref().is_ok_and(|entry| is_binary(&entry.path()))).count();
    assert!((1..=TEST_BINARIES_MAX).contains(&binaries), "{binaries} test binaries: each is linked anew");
}

/// The names that matches in these files give: `=> "name"`.
fn given_names(files: &[&str], is_name: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(root().join(file)).expect("the file is there");
        for arm in text.split("=> \"").skip(1) {
            let name = arm.split('"').next().unwrap_or_default();
            if is_name(name) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// The names of all events.
fn given_events() -> BTreeSet<String> {
    let files = [
        "src/domain/event.rs",
        "src/domain/order/event.rs",
        "src/domain/setting.rs",
        "src/domain/task/event.rs",
        "src/domain/coupon.rs",
        "src/domain/team.rs",
    ];
    given_names(&files, |name| name.starts_with(|first: char| first.is_ascii_uppercase()))
}

#[test]
fn every_event_and_every_refusal_is_documented() {
    let page = fs::read_to_string(root().join("docs/ORDERS.md")).expect("the page is there");
    let codes = given_names(&["src/domain/reject/code.rs"], |name| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    let events = given_events();
    assert!(codes.len() > 80 && events.len() > 50, "{} codes, {} events", codes.len(), events.len());
    let missing: Vec<_> =
        codes.iter().chain(&events).filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/ORDERS.md says nothing of {missing:?}");
}

#[cfg(feature = "relay")]
#[test]
fn subscriptions_can_choose_every_event() {
    // A setting's first event is named beside a pattern of its own.
    let known: BTreeSet<String> = stockade::relay::event_names().map(str::to_owned).collect();
    assert_eq!(given_events(), known);
}

fn problems_of(path: &str, text: &str) -> Vec<String> {
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    let mut problems = Vec::new();
    check_imports(&source, &mut problems);
    check_form(&source, &mut problems);
    problems
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let wrong = [
        ("src/domain/a.rs", "//! A.\nuse crate::journal::Frame;"),
        ("src/domain/a.rs", "//! A.\nuse tokio::sync::oneshot;"),
        ("src/domain/a.rs", "//! A.\nfn now() { std::time::Duration::ZERO; }"),
        ("src/domain/a.rs", "//! A.\nuse std::{fmt, fs};"),
        ("src/timer/a.rs", "//! A.\nuse crate::domain::ids::OrderNo;"),
        ("src/runtime/a.rs", "//! A.\nuse crate::domain::{hash, order::Order};"),
        ("src/journal/a.rs", "//! A.\nuse crate::{actors::order, domain::event::Event};"),
        ("src/journal/a.rs", "//! A.\nfn open() { let _ = sled::open(); }"),
        ("src/audit/a.rs", "//! A.\nuse crate::actors::stock::Moves;"),
        ("src/actors/a.rs", "//! A.\nuse crate::engine::Engine;"),
        ("src/actors/a.rs", "//! A.\nuse crate::audit::Auditor;"),
        ("src/actors/a/b.rs", "//! A.\nuse super::super::super::engine::Engine;"),
        ("src/actors/a/mod.rs", "//! A.\nuse super::{super::engine::Engine, b};"),
        ("src/actors/a.rs", "//! A.\nuse crate::Engine;"),
        ("src/engine/a.rs", "//! A.\nlet now = std::time::Instant::now();"),
        ("src/engine/a.rs", "//! A.\nuse std::time::{Duration, SystemTime};"),
        ("src/bin/tool/a.rs", "//! A.\nuse stockade::runtime::inbox::Inbox;"),
        ("loadtest/src/a.rs", "use stockade::runtime::inbox::Inbox;"),
        ("src/unheard_of/a.rs", "//! A."),
        ("src/engine/a.rs", "fn undocumented() {}"),
        ("src/engine/a.rs", "//! A.\nfn later() { todo!() }"),
        ("loadtest/src/a.rs", "fn look() { dbg!(1); }"),
    ];
    for (path, text) in wrong {
        assert!(!problems_of(path, text).is_empty(), "{path} passes with:\n{text}");
    }
    let long = format!("//! A.\n{}", "const A: u8 = 0;\n".repeat(FILE_LINES_MAX));
    assert_eq!(problems_of("src/engine/a.rs", &long).len(), 1);
}

#[test]
fn the_checker_lets_pass_what_is_right() {
    let right = [
        ("src/domain/a.rs", "//! A, unlike tokio.\nuse super::ids::Slot;\nuse crate::domain::hash::mix64;"),
        ("src/domain/a.rs", "//! A.\n// Not sled::open.\nconst A: &str = \"tokio::spawn \\\" std::fs\";"),
        (
            "src/domain/a.rs",
            "//! A.\nconst A: &str = r#\"use \"tokio\";\"#;\nfn a<'a>(b: &'a u8) -> char { '\"' }",
        ),
        ("src/domain/a.rs", "//! A.\n/* tokio::spawn */ fn random_brand() {}"),
        ("src/actors/a.rs", "//! A.\nuse crate::{domain::ids::Slot, journal::EntryBuffer};"),
        ("src/actors/simulation/a.rs", "//! A.\nuse crate::audit::Auditor;"),
        ("src/journal/sled_backend.rs", "//! A.\nfn open() { let _ = sled::open(); }"),
        ("src/runtime/clock.rs", "//! A.\nfn now() { std::time::Instant::now(); }"),
        ("src/actors/a/b.rs", "//! A.\nuse super::super::reply::Answer;\nuse super::engine;"),
        ("src/engine/mod.rs", "mod a;\npub use a::A;"),
        ("loadtest/src/a.rs", "use crate::engine::Engine;\nuse stockade::runtime::clock::Clock;"),
    ];
    for (path, text) in right {
        assert_eq!(problems_of(path, text), Vec::<String>::new(), "{path}:\n{text}");
    }
}

#[test]
fn paths_are_spelled_out() {
    let paths = paths_of("use a::{b, c::{d, e::f}}; fn g() { h::i(); }");
    let expected = ["a::b", "a::c::d", "a::c::e::f", "h::i"];
    assert!(expected.iter().all(|path| paths.contains(*path)), "{paths:?}");
    assert!(names("std::time::Instant::now", "Instant::now") && !names("brand::new", "rand"));
}
