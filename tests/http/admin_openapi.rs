//! The OpenAPI description of the admin API: complete, and nothing in it that isn't served.

use std::collections::BTreeSet;

use serde_json::Value;
use stockade::http::auth::access::ROUTES;

use crate::support::Shop;

/// Routes that other groups serve.
const ELSEWHERE: &[&str] = &["/admin/refusals"];

/// What a `$ref` stands for, or the value itself.
fn resolved<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let Some(name) = value["$ref"].as_str() else { return value };
    description.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not described"))
}

/// Whether a JSON body in this content has an example; other media types need none.
fn has_example(description: &Value, content: &Value) -> bool {
    let Some(content) = content.get("application/json") else { return true };
    let schema = resolved(description, &content["schema"]);
    !content["example"].is_null() || !schema["example"].is_null()
}

#[tokio::test]
async fn every_admin_route_is_described_with_examples() {
    let shop = Shop::empty().await;
    let description = shop.get("", "/openapi.json").await.expect(200);
    let (mut described, mut ids, mut lacks) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (path, item) in description["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has methods") {
            assert!(ids.insert(operation["operationId"].as_str()), "{method} {path} shares its id");
            if !path.starts_with("/admin/") || ELSEWHERE.contains(&path.as_str()) {
                continue;
            }
            described.insert((method.to_uppercase(), path.clone()));
            let mut check = |is_so: bool, what: &str| {
                if !is_so {
                    lacks.push(format!("{method} {path} lacks {what}"));
                }
            };
            check(operation["tags"][0] == "admin", "the tag");
            check(operation["security"][0]["bearer"].is_array(), "the security scheme");
            check(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "a summary");
            check(operation["description"].as_str().is_some_and(|text| !text.is_empty()), "a description");
            let body = resolved(&description, &operation["requestBody"]);
            check(body.is_null() || has_example(&description, &body["content"]), "an example of its body");
            let answers = operation["responses"].as_object().expect("an operation has answers");
            let success = answers.iter().find(|(status, _)| status.starts_with('2'));
            let success = success.is_some_and(|(_, answer)| has_example(&description, &answer["content"]));
            check(success, "an example of its answer");
            for status in ["400", "401", "403", "404", "409", "422", "429", "503"] {
                check(answers.contains_key(status), status);
            }
        }
    }
    assert!(lacks.is_empty(), "{lacks:#?}");
    let of_table =
        ROUTES.iter().filter(|(_, path, _)| path.starts_with("/admin/") && !ELSEWHERE.contains(path));
    let of_table: BTreeSet<_> =
        of_table.map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, of_table);
}
