//! The OpenAPI description: complete, true to the table of routes, and the same as the one that is checked in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use stockade::http::auth::access::{Access, ROUTES};

use crate::support::Shop;

/// Paths that describe the others, and aren't described.
const UNDESCRIBED: [&str; 4] = ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"];

async fn description() -> Value {
    Shop::empty().await.get("", "/openapi.json").await.expect(200)
}

/// Every operation, by its method and path.
fn operations(description: &Value) -> BTreeMap<(String, String), &Value> {
    let mut operations = BTreeMap::new();
    for (path, item) in description["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has methods") {
            operations.insert((method.to_uppercase(), path.clone()), operation);
        }
    }
    operations
}

/// What a `$ref` stands for, or the value itself.
fn resolved<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let Some(name) = value["$ref"].as_str() else { return value };
    description.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not described"))
}

/// Whether every body in this content has an example: in the content itself, or with its type. A file has none.
fn has_examples(description: &Value, content: &Value) -> bool {
    content.as_object().is_none_or(|content| {
        content.iter().all(|(kind, content)| {
            let schema = resolved(description, &content["schema"]);
            let is_text = kind.contains("json") || kind.starts_with("text/");
            !is_text
                || [&content["example"], &content["examples"], &schema["example"], &schema["examples"]]
                    .iter()
                    .any(|example| !example.is_null())
        })
    })
}

fn text<'a>(operation: &'a Value, field: &str) -> &'a str {
    operation[field].as_str().unwrap_or_default()
}

/// With fields in one sequence, whatever the features of other packages make of maps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[tokio::test]
async fn the_description_that_is_checked_in_is_current() {
    let served = sorted(description().await);
    assert_eq!(served["openapi"], "3.1.0");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&served).expect("it is JSON"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("docs/openapi.json can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).position(|(kept, served)| kept != served);
    assert!(
        kept == text,
        "docs/openapi.json is not what the server says (first in line {}): UPDATE=1 cargo test --test http openapi \
         writes it anew",
        differs.unwrap_or_else(|| kept.lines().count().min(text.lines().count())) + 1,
    );
}

#[tokio::test]
async fn every_route_of_the_table_is_described_and_no_other() {
    let description = description().await;
    let described: BTreeSet<_> = operations(&description).into_keys().collect();
    let of_table: BTreeSet<_> = ROUTES
        .iter()
        .filter(|(_, path, _)| !UNDESCRIBED.contains(path))
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    let missing: Vec<_> = of_table.difference(&described).collect();
    let unknown: Vec<_> = described.difference(&of_table).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not described: {missing:?}; in no table: {unknown:?}");
}

#[tokio::test]
async fn every_operation_says_what_it_does_and_shows_an_example() {
    let description = description().await;
    let tags = description["tags"].as_array().expect("there are tags");
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for ((method, path), operation) in operations(&description) {
        let mut must = |is_so: bool, what: &str| {
            if !is_so {
                wrong.push(format!("{method} {path}: {what}"));
            }
        };
        let summary = text(operation, "summary");
        must(summary.len() > 5 && summary.len() <= 160 && !summary.contains('\n'), "a summary of one line");
        must(!text(operation, "description").is_empty(), "a description");
        must(
            operation["tags"].as_array().is_some_and(|own| own.len() == 1)
                && tags.iter().any(|tag| tag["name"] == operation["tags"][0]),
            "one tag, which is described",
        );
        must(ids.insert(text(operation, "operationId").to_owned()), "an id of its own");
        must(has_examples(&description, &operation["requestBody"]["content"]), "an example of what is sent");
        let answers = operation["responses"].as_object().expect("an operation has answers");
        let successes = || answers.iter().filter(|(status, _)| status.starts_with('2'));
        must(successes().next().is_some(), "a success");
        must(
            successes().all(|(_, answer)| has_examples(&description, &answer["content"])),
            "an example of each success",
        );
        must(
            ["400", "404", "409", "422", "429", "503"].iter().all(|status| answers.contains_key(*status)),
            "the refusals that everything may answer",
        );
    }
    assert!(wrong.is_empty(), "missing:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_operation_says_who_may_call_it() {
    let description = description().await;
    for ((method, path), operation) in operations(&description) {
        let access = ROUTES.iter().find(|(routed, known, _)| (*routed, *known) == (&*method, &*path));
        let (_, _, access) = access.unwrap_or_else(|| panic!("{method} {path} is in no table"));
        let words = text(operation, "description");
        let is_guarded = !matches!(access, Access::Public | Access::Signed);
        assert_eq!(operation["security"][0]["bearer"].is_array(), is_guarded, "{method} {path}");
        assert_eq!(operation["responses"]["403"]["content"]["application/problem+json"].is_object(), {
            // Providers are told that a notification is another merchant's.
            is_guarded || *access == Access::Signed
        });
        let expected = match access {
            Access::Public => "For everybody".to_owned(),
            Access::Signed => "For payment providers".to_owned(),
            Access::Member => "Role: member.".to_owned(),
            Access::Service => "Role: service.".to_owned(),
            Access::Relay => "Role: service with the scope `relay:<name>`".to_owned(),
            Access::Metrics => "Role: service, or admin".to_owned(),
            Access::Admin(scopes) => scopes.to_string(),
        };
        assert!(words.contains(&expected), "{method} {path} doesn't say {expected:?}: {words}");
        let is_admin = matches!(access, Access::Admin(_));
        assert_eq!(words.contains("Role: admin with"), is_admin, "{method} {path}: {words}");
    }
}

#[tokio::test]
async fn every_parameter_is_described_and_bounded() {
    let description = description().await;
    let mut wrong = Vec::new();
    for ((method, path), operation) in operations(&description) {
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let named = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for part in in_path {
            assert!(named(part), "{method} {path} doesn't describe {part}");
        }
        for parameter in parameters {
            let name = parameter["name"].as_str().expect("a parameter has a name");
            if text(parameter, "description").is_empty() {
                wrong.push(format!("{method} {path}: {name} is not described"));
            }
            let schema = resolved(&description, &parameter["schema"]);
            if !is_bounded(&description, schema) {
                wrong.push(format!("{method} {path}: {name} has no bound: {schema}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a schema of a parameter says how long its texts and how large its numbers may be.
fn is_bounded(description: &Value, schema: &Value) -> bool {
    let schema = resolved(description, schema);
    if let Some(forms) = ["oneOf", "anyOf", "allOf"].iter().find_map(|name| schema[*name].as_array()) {
        return forms.iter().all(|form| is_bounded(description, form));
    }
    let is = |name: &str| {
        schema["type"] == name
            || schema["type"].as_array().is_some_and(|types| types.iter().any(|one| one == name))
    };
    let has = |names: &[&str]| names.iter().any(|name| !schema[*name].is_null());
    if is("array") {
        return is_bounded(description, &schema["items"]);
    }
    (!is("string") || has(&["maxLength", "pattern", "enum", "format"]))
        && (!is("integer") || has(&["maximum"]))
}
