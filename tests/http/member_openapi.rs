//! The OpenAPI description of the member API: complete, and nothing in it that isn't served.

use std::collections::BTreeSet;

use serde_json::Value;
use stockade::http::auth::access::ROUTES;

use crate::support::Shop;

/// What a `$ref` stands for, or the value itself.
fn resolved<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let Some(name) = value["$ref"].as_str() else { return value };
    description.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not described"))
}

/// Whether a body in this content has an example.
fn has_example(description: &Value, content: &Value) -> bool {
    let content = &content["application/json"];
    let schema = resolved(description, &content["schema"]);
    !content["example"].is_null() || !schema["example"].is_null()
}

#[tokio::test]
async fn every_member_route_is_described_with_examples() {
    let shop = Shop::empty().await;
    let description = shop.get("", "/openapi.json").await.expect(200);
    let (mut described, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (path, item) in description["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has methods") {
            assert!(ids.insert(operation["operationId"].as_str()), "{method} {path} shares its id");
            if !path.starts_with("/api/") {
                continue;
            }
            described.insert((method.to_uppercase(), path.clone()));
            let name = format!("{method} {path}: {operation}");
            assert!(operation["tags"][0].is_string(), "{name}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            assert!(operation["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            let body = resolved(&description, &operation["requestBody"]);
            assert!(body.is_null() || has_example(&description, &body["content"]), "{name}");
            let answers = operation["responses"].as_object().expect("an operation has answers");
            let mut successes = answers.iter().filter(|(status, _)| status.starts_with('2')).peekable();
            assert!(successes.peek().is_some(), "{name}");
            for (status, answer) in successes {
                assert!(has_example(&description, &answer["content"]), "{status} of {name}");
            }
            assert!(
                ["400", "404", "409", "422", "429", "503"].iter().all(|status| answers.contains_key(*status))
            );
        }
    }
    let of_table = ROUTES.iter().filter(|(_, path, _)| path.starts_with("/api/"));
    let of_table: BTreeSet<_> =
        of_table.map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, of_table);
}
