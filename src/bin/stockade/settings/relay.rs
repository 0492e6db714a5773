//! `[relay]`: subscriptions, as the configuration file has them.
//!
//! They are the engine's own settings ([`SubscriptionSpec`]) but for passwords and keys: the file says where one is, as
//! `password = { file = "…" }` or `{ env = "…" }`, or in short `password_file` and `password_env`. They are read when the
//! configuration is put in force, not when it is checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockade::http::secret::{SecretError, SecretSource};
use stockade::relay::{RelayConfig, RelayError, SubscriptionSpec};
use toml::{Table, Value};

/// Fields of sinks that are secret.
const SECRETS: [&str; 2] = ["password", "secret"];
/// Stands for a secret that is not read.
const UNREAD: &str = "********************************";

/// The relay's settings: subscriptions by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelaySettings {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
}

/// A subscription as it stands in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Subscription(Table);

impl Eq for Subscription {}

/// Something wrong with a subscription.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscriptionError {
    /// A setting that can't be read, or can't be so. The text has no value of a secret.
    #[error("relay.subscriptions.{path}: {reason}")]
    Invalid { path: String, reason: String },
    /// A password or key that can't be read.
    #[error("relay.subscriptions.{path}")]
    Secret { path: String, source: SecretError },
    /// What is wrong with all of them together.
    #[error("relay.subscriptions")]
    Relay(#[from] RelayError),
}

impl RelaySettings {
    /// The engine's configuration, with every password and key. Blocks on their files.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn open(&self) -> Result<RelayConfig, SubscriptionError> {
        let read = |source: &SecretSource| {
            let secret = source.read()?;
            secret.expose_text().map(str::to_owned)
        };
        let config = self.config(|path, source| {
            read(source).map_err(|source| SubscriptionError::Secret { path: path.to_owned(), source })
        });
        let config = config.map_err(|mut errors| errors.remove(0))?;
        config.validate()?;
        Ok(config)
    }

    /// Everything that is wrong, secrets aside.
    pub(crate) fn problems(&self) -> Vec<SubscriptionError> {
        match self.config(|_, _| Ok(UNREAD.to_owned())) {
            Err(errors) => errors,
            Ok(config) => {
                let mut errors = Vec::new();
                for (name, spec) in &config.subscriptions {
                    errors.extend(spec.validate(name).err().map(|error| invalid(name, error)));
                }
                if errors.is_empty() {
                    errors.extend(config.validate().err().map(SubscriptionError::Relay));
                }
                errors
            }
        }
    }

    /// The engine's configuration, with secrets by `read`. At least one error where there is any.
    fn config(
        &self,
        mut read: impl FnMut(&str, &SecretSource) -> Result<String, SubscriptionError>,
    ) -> Result<RelayConfig, Vec<SubscriptionError>> {
        let (mut config, mut errors) = (RelayConfig::default(), Vec::new());
        for (name, subscription) in &self.subscriptions {
            match subscription.spec(name, &mut read) {
                Ok(spec) => drop(config.subscriptions.insert(name.clone(), spec)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }
}

fn invalid(name: &str, error: RelayError) -> SubscriptionError {
    match error {
        RelayError::Invalid { field, reason } => {
            SubscriptionError::Invalid { path: format!("{name}.{field}"), reason }
        }
        error => error.into(),
    }
}

impl Subscription {
    fn spec(
        &self,
        name: &str,
        read: &mut impl FnMut(&str, &SecretSource) -> Result<String, SubscriptionError>,
    ) -> Result<SubscriptionSpec, SubscriptionError> {
        let mut table = self.0.clone();
        if let Some(Value::Table(sink)) = table.get_mut("sink") {
            for field in SECRETS {
                let path = format!("{name}.sink.{field}");
                if let Some(source) = source(sink, field, &path)? {
                    sink.insert(field.to_owned(), Value::String(read(&path, &source)?));
                }
            }
        }
        table.try_into().map_err(|error: toml::de::Error| {
            // Where in the file it stands is lost; the field's name is in the message.
            SubscriptionError::Invalid { path: name.to_owned(), reason: error.message().to_owned() }
        })
    }
}

/// Takes a secret's source out of a sink's fields: one, or none.
fn source(sink: &mut Table, field: &str, path: &str) -> Result<Option<SecretSource>, SubscriptionError> {
    let invalid = |reason: String| SubscriptionError::Invalid { path: path.to_owned(), reason };
    let mut found = Vec::new();
    if let Some(value) = sink.remove(field) {
        found.push(value.try_into().map_err(|error: toml::de::Error| invalid(error.message().to_owned()))?);
    }
    for form in ["file", "env"] {
        match sink.remove(&format!("{field}_{form}")) {
            None => {}
            Some(Value::String(text)) if form == "file" => found.push(SecretSource::File(text.into())),
            Some(Value::String(text)) => found.push(SecretSource::Env(text)),
            Some(_) => return Err(invalid(format!("{field}_{form} is text"))),
        }
    }
    if found.len() > 1 {
        return Err(invalid("a secret has one source: either file or env".to_owned()));
    }
    Ok(found.pop())
}

#[cfg(test)]
mod tests {
    use stockade::relay::SinkSpec;

    use super::*;

    fn settings(text: &str) -> RelaySettings {
        toml::from_str(text).unwrap()
    }

    fn rabbit(password: &str) -> RelaySettings {
        settings(&format!(
            "[subscriptions.erp]\nevents = [\"OrderPaid\"]\n[subscriptions.erp.sink]\nkind = \"rabbitmq\"\n\
             address = \"127.0.0.1:5672\"\nexchange = \"orders\"\nqueue = \"erp\"\n{password}\n"
        ))
    }

    fn said(errors: &[SubscriptionError]) -> String {
        errors.iter().map(|error| format!("{error}\n")).collect()
    }

    #[test]
    fn a_password_is_read_from_where_the_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let path = path.display();
        for password in [format!("password = {{ file = \"{path}\" }}"), format!("password_file = \"{path}\"")]
        {
            let settings = rabbit(&password);
            assert_eq!(said(&settings.problems()), "");
            let config = settings.open().unwrap();
            let SinkSpec::Rabbitmq(sink) = &config.subscriptions["erp"].sink else { panic!("{config:?}") };
            assert_eq!(sink.password.0, "hunter2");
            assert!(!format!("{config:?}{settings:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_secret_that_is_not_there_is_named_when_it_is_read_and_not_before() {
        let settings = rabbit("password_file = \"/nonexistent/password\"");
        assert_eq!(said(&settings.problems()), "");
        let error = settings.open().unwrap_err();
        assert_eq!(error.to_string(), "relay.subscriptions.erp.sink.password");
        let error = rabbit("password_env = \"STOCKADE_TEST_NO_SUCH_VARIABLE\"").open().unwrap_err();
        assert!(matches!(error, SubscriptionError::Secret { .. }), "{error}");
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_repeated() {
        for inline in ["password = \"hunter2\"", "password = 170859375", "password = { text = \"hunter2\" }"]
        {
            let said = said(&rabbit(inline).problems());
            assert!(said.starts_with("relay.subscriptions.erp.sink.password: "), "{said}");
            assert!(!said.contains("hunter2") && !said.contains("170859375"), "{said}");
        }
        let twice = said(&rabbit("password_file = \"a\"\npassword_env = \"B\"").problems());
        assert!(twice.contains("one source"), "{twice}");
    }

    #[test]
    fn each_subscription_that_is_wrong_is_named_with_its_setting() {
        let wrong = settings(
            "[subscriptions.a]\nin_flight_max = 0\nsink = { kind = \"pull\" }\n\
             [subscriptions.B]\nsink = { kind = \"pull\" }\n",
        );
        let said = said(&wrong.problems());
        assert!(said.contains("relay.subscriptions.a.in_flight_max: "), "{said}");
        assert!(said.contains("relay.subscriptions.B.name: "), "{said}");
        for (text, part) in [
            ("[subscriptions.a]\nsnk = 1\n", "snk"),
            ("[subscriptions.a]\n", "sink"),
            ("[subscriptions.a]\nsink = { kind = \"kafka\" }\n", "kafka"),
            ("[subscriptions.a]\nsink = { kind = \"pull\" }\nstart = \"never\"\n", "never"),
        ] {
            let said = super::tests::said(&settings(text).problems());
            assert!(said.starts_with("relay.subscriptions.a: ") && said.contains(part), "{said}");
        }
    }
}
