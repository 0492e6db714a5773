//! Secrets: keys and tokens that the adapter is configured with. A configuration says where one is to be read, a file or
//! an environment variable, and never holds it itself; what was read is shown as `***` wherever it is printed.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// Largest secret, in bytes; a PEM file with an RSA key of 4096 bits has about 3 300.
pub const SECRET_BYTES_MAX: usize = 16_384;

/// What stands for a secret wherever one is printed.
const MASK: &str = "***";

/// A secret. Its `Debug` and `Serialize` forms are `***`; the value itself is only given by [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes a value.
    ///
    /// # Errors
    /// [`SecretError::Empty`], [`SecretError::TooLong`] above [`SECRET_BYTES_MAX`].
    pub fn new(value: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let value = value.into();
        match value.len() {
            0 => Err(SecretError::Empty),
            1..=SECRET_BYTES_MAX => Ok(Self(value.into())),
            _ => Err(SecretError::TooLong),
        }
    }

    /// The value, for whoever signs, verifies or decrypts with it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`SecretError::NotText`] where it isn't UTF-8.
    pub fn expose_text(&self) -> Result<&str, SecretError> {
        std::str::from_utf8(&self.0).map_err(|_| SecretError::NotText)
    }

    /// Whether somebody presented this very secret. Takes as long for any value of the right length.
    pub fn matches(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Where a secret is to be read. In a configuration it is a table of one entry, `{ file = "…" }` or `{ env = "…" }`;
/// `secret_file` and `secret_env` are taken as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// The content of a file, without one line end at its end.
    File(PathBuf),
    /// The value of an environment variable.
    Env(String),
}

impl SecretSource {
    /// Reads the secret. Blocks on the file.
    ///
    /// # Errors
    /// [`SecretError`], which never tells of the content.
    pub fn read(&self) -> Result<Secret, SecretError> {
        self.read_with(|name| std::env::var_os(name))
    }

    /// Like [`SecretSource::read`], with the environment given.
    fn read_with(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Secret, SecretError> {
        match self {
            Self::File(path) => {
                let unreadable = |source| SecretError::Unreadable { path: path.clone(), source };
                let file = std::fs::File::open(path).map_err(unreadable)?;
                let mut value = Vec::new();
                // One byte more than is allowed with a line end, so that a longer file is noticed without being read.
                let bytes_max = SECRET_BYTES_MAX as u64 + 3;
                file.take(bytes_max).read_to_end(&mut value).map_err(unreadable)?;
                if value.ends_with(b"\n") {
                    value.pop();
                    if value.ends_with(b"\r") {
                        value.pop();
                    }
                }
                Secret::new(value)
            }
            Self::Env(name) => {
                let value = variable(name).ok_or_else(|| SecretError::NotSet { name: name.clone() })?;
                Secret::new(value.into_string().map_err(|_| SecretError::NotText)?)
            }
        }
    }
}

/// Written out, because the derived form would repeat a secret that was written inline in its message.
impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Source;

        impl<'de> Visitor<'de> for Source {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with either file or env, which say where the secret is")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretSource, E> {
                Err(inline_secret())
            }

            // What the library says of a wrong type repeats the value, which may be a password of digits alone.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
                Err(inline_secret())
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretSource, E> {
                Err(inline_secret())
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
                Err(inline_secret())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
                let mut source = None;
                while let Some(key) = map.next_key::<String>()? {
                    let next = match key.as_str() {
                        "file" | "secret_file" => SecretSource::File(map.next_value()?),
                        "env" | "secret_env" => SecretSource::Env(map.next_value()?),
                        _ => return Err(de::Error::unknown_field(&key, &["file", "env"])),
                    };
                    if source.replace(next).is_some() {
                        return Err(de::Error::custom("a secret has one source: either file or env"));
                    }
                }
                source.ok_or_else(|| de::Error::custom("a secret needs a source: file or env"))
            }
        }

        deserializer.deserialize_any(Source)
    }
}

/// Refuses a secret that stands where its source should, and repeats nothing of it.
fn inline_secret<E: de::Error>() -> E {
    E::custom("a secret can't stand in the configuration: say { file = … } or { env = … }")
}

/// Why a secret could not be had. Names where it was looked for, never what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file can't be read.
    #[error("secret file {} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The environment has no such variable.
    #[error("environment variable {name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// It is longer than [`SECRET_BYTES_MAX`].
    #[error("the secret is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// It isn't UTF-8 where text is needed.
    #[error("the secret is not UTF-8 text")]
    NotText,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<SecretSource, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose_text().unwrap(), "hunter2");
    }

    #[test]
    fn only_the_very_value_matches() {
        let secret = Secret::new("hunter2").unwrap();
        assert!(secret.matches(b"hunter2"));
        for wrong in ["", "hunter", "hunter3", "hunter22"] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_source_is_a_file_or_a_variable_and_no_secret_itself() {
        assert_eq!(parsed(r#"{"file":"/run/key"}"#), Ok(SecretSource::File("/run/key".into())));
        assert_eq!(parsed(r#"{"secret_file":"/run/key"}"#), Ok(SecretSource::File("/run/key".into())));
        assert_eq!(parsed(r#"{"env":"KEY"}"#), Ok(SecretSource::Env("KEY".into())));
        assert_eq!(parsed(r#"{"secret_env":"KEY"}"#), Ok(SecretSource::Env("KEY".into())));
        let both = r#"{"file":"a","env":"B"}"#;
        for wrong in ["{}", both, r#"{"value":"x"}"#, r#""hunter2""#, "5"] {
            let error = parsed(wrong).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            SecretSource::File(path.clone()).read().map(|secret| secret.expose().to_vec())
        };
        for content in [&b"key"[..], b"key\n", b"key\r\n"] {
            assert_eq!(read(content).unwrap(), b"key");
        }
        assert_eq!(read(b"a\nb\n\n").unwrap(), b"a\nb\n");
        assert!(matches!(read(b"\n"), Err(SecretError::Empty)));
        assert_eq!(read(&[7; SECRET_BYTES_MAX]).unwrap().len(), SECRET_BYTES_MAX);
        assert!(matches!(read(&[7; SECRET_BYTES_MAX + 1]), Err(SecretError::TooLong)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(SecretSource::File(path.clone()).read(), Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let source = SecretSource::Env("SHOP_KEY".into());
        let secret = source.read_with(|name| (name == "SHOP_KEY").then(|| "key".into())).unwrap();
        assert_eq!(secret.expose(), b"key");
        let error = source.read_with(|_| None).unwrap_err();
        assert_eq!(error.to_string(), "environment variable SHOP_KEY is not set");
        assert!(matches!(source.read_with(|_| Some(OsString::new())), Err(SecretError::Empty)));
    }
}
