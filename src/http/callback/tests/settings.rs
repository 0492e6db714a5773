//! Providers as they are configured.

use super::super::{CallbackSettings, ProviderError};
use super::support::{API_V3_KEY, PUBLIC_KEY, SERIAL};

/// Settings with both kinds, whose files are in this folder.
fn settings(folder: &std::path::Path, change: impl Fn(String) -> String) -> Result<CallbackSettings, String> {
    let json = format!(
        r#"{{
            "generic": [{{ "name": "shop", "secrets": [{{ "file": "FOLDER/secret" }}], "replay_window_s": 60 }}],
            "wechat": [{{ "mchid": "1900000109", "api_v3_key": {{ "file": "FOLDER/v3" }},
                "public_keys": [{{ "serial": "{SERIAL}", "file": "FOLDER/key.pem" }}] }}]
        }}"#
    );
    let json = change(json).replace("FOLDER", &folder.display().to_string());
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "a secret of the shop\n").unwrap();
    std::fs::write(folder.path().join("v3"), API_V3_KEY).unwrap();
    std::fs::write(folder.path().join("key.pem"), PUBLIC_KEY).unwrap();
    folder
}

#[test]
fn providers_are_found_by_name() {
    let folder = folder();
    let providers = settings(folder.path(), |json| json).unwrap().open().unwrap();
    assert_eq!(providers.names().collect::<Vec<_>>(), ["shop", "wechat"]);
    assert_eq!(providers.get("wechat").unwrap().name(), "wechat");
    assert!(providers.get("alipay").is_none());
    assert!(providers.only().is_none(), "of two, neither is the only one");
    let one = CallbackSettings { wechat: Vec::new(), ..settings(folder.path(), |json| json).unwrap() };
    assert_eq!(one.open().unwrap().only().unwrap().name(), "shop");
    assert!(CallbackSettings::default().open().unwrap().only().is_none());
}

#[test]
fn what_is_configured_wrongly_is_named() {
    let folder = folder();
    let open = |from: &str, to: &str| {
        let change = |json: String| {
            assert!(json.contains(from), "{from}");
            json.replace(from, to)
        };
        settings(folder.path(), change).unwrap().open().unwrap_err()
    };
    let message = open("\"shop\"", "\"Shop\"").to_string();
    assert_eq!(message, "the name of provider \"Shop\" must be 1 to 32 lowercase letters, digits, - and _");
    assert!(matches!(open(": 60", ": 0"), ProviderError::InvalidSetting { what: "replay_window_s", .. }));
    assert!(matches!(open("\"shop\"", "\"wechat\""), ProviderError::NameTwice { .. }));
    assert!(matches!(open("FOLDER/secret", "FOLDER/none"), ProviderError::Secret { .. }));
    assert!(matches!(
        open("FOLDER/v3", "FOLDER/secret"),
        ProviderError::InvalidKey { what: "the APIv3 key", .. }
    ));
    assert!(matches!(
        open("FOLDER/key.pem", "FOLDER/v3"),
        ProviderError::InvalidKey { what: "a public key", .. }
    ));
    let mut many = settings(folder.path(), |json| json).unwrap();
    many.generic = vec![many.generic[0].clone(); 16];
    assert!(matches!(many.open(), Err(ProviderError::TooMany { len: 17, len_max: 16 })));
}

#[test]
fn unknown_settings_and_inline_secrets_are_refused() {
    let folder = folder();
    let unknown = settings(folder.path(), |json| json.replace("replay_window_s", "replay_window"));
    assert!(unknown.unwrap_err().contains("replay_window"));
    let inline =
        settings(folder.path(), |json| json.replace("{ \"file\": \"FOLDER/secret\" }", "\"hunter2\""));
    assert!(!inline.unwrap_err().contains("hunter2"));
}
