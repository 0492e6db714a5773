//! How providers are configured, and those that are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::wechat::WechatParts;
use super::{GenericProvider, Provider, ProviderError, WechatProvider};
use crate::domain::request::PAYMENT_KEY_PART_BYTES_MAX;
use crate::http::secret::{Secret, SecretSource};

/// Most providers.
pub const PROVIDERS_MAX: usize = 16;
/// Longest name of a provider, in bytes.
const NAME_BYTES_MAX: usize = 32;
/// How far a notification's time may be from the server's, in seconds, unless configured otherwise.
pub const REPLAY_WINDOW_S_DEFAULT: u32 = 300;
/// The most that can be configured, in seconds.
pub const REPLAY_WINDOW_S_MAX: u32 = 3_600;

const fn default_window_s() -> u32 {
    REPLAY_WINDOW_S_DEFAULT
}

fn wechat() -> String {
    "wechat".into()
}

/// Providers whose notifications are taken. Without any, none are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallbackSettings {
    /// Those that sign in the generic way.
    pub generic: Vec<GenericSettings>,
    /// WeChat Pay, one for each merchant.
    pub wechat: Vec<WechatSettings>,
}

/// A provider that signs in the generic way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericSettings {
    /// The last part of the path that it calls: 1 to 32 lowercase letters, digits, `-` and `_`.
    pub name: String,
    /// 1 to 4 secrets, each of which is valid.
    pub secrets: Vec<SecretSource>,
    /// How far a notification's time may be from the server's, in seconds, 1 to 3 600.
    #[serde(default = "default_window_s")]
    pub replay_window_s: u32,
}

/// WeChat Pay for one merchant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WechatSettings {
    /// The last part of the path that it calls; see [`GenericSettings::name`].
    #[serde(default = "wechat")]
    pub name: String,
    /// The payment channel that its payments are recorded under.
    #[serde(default = "wechat")]
    pub channel: String,
    /// The merchant's number.
    pub mchid: String,
    /// The merchant's APIv3 key, 32 bytes.
    pub api_v3_key: SecretSource,
    /// 1 to 8 keys that notifications are signed with, each of which is valid.
    pub public_keys: Vec<PublicKeySettings>,
    /// How far a notification's time may be from the server's, in seconds, 1 to 3 600.
    #[serde(default = "default_window_s")]
    pub replay_window_s: u32,
}

/// A public key of WeChat Pay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeySettings {
    /// What `Wechatpay-Serial` says where this key is used.
    pub serial: String,
    /// A PEM file, `BEGIN PUBLIC KEY`.
    pub file: PathBuf,
}

impl CallbackSettings {
    /// Reads every secret and sets the providers up. Blocks on files.
    ///
    /// # Errors
    /// The first [`ProviderError`] found.
    pub fn open(&self) -> Result<Providers, ProviderError> {
        let len = self.generic.len() + self.wechat.len();
        if len > PROVIDERS_MAX {
            return Err(ProviderError::TooMany { len, len_max: PROVIDERS_MAX });
        }
        let mut providers = Providers::default();
        for settings in &self.generic {
            providers.add(Box::new(settings.open()?))?;
        }
        for settings in &self.wechat {
            providers.add(Box::new(settings.open()?))?;
        }
        Ok(providers)
    }
}

impl GenericSettings {
    fn open(&self) -> Result<GenericProvider, ProviderError> {
        check(&self.name, self.replay_window_s)?;
        let secrets = self.secrets.iter().map(|source| read(&self.name, "a secret", source));
        GenericProvider::new(&self.name, secrets.collect::<Result<_, _>>()?, self.replay_window_s)
    }
}

impl WechatSettings {
    fn open(&self) -> Result<WechatProvider, ProviderError> {
        check(&self.name, self.replay_window_s)?;
        for (what, text) in [("channel", &self.channel), ("mchid", &self.mchid)] {
            if !(1..=PAYMENT_KEY_PART_BYTES_MAX).contains(&text.len()) {
                let expected = "1 to 64 bytes long";
                return Err(ProviderError::InvalidSetting { name: self.name.clone(), what, expected });
            }
        }
        let public_keys = self.public_keys.iter().map(|key| {
            let source = SecretSource::File(key.file.clone());
            Ok((key.serial.clone(), read(&self.name, "a public key", &source)?))
        });
        WechatProvider::new(WechatParts {
            name: self.name.clone(),
            channel: self.channel.clone(),
            mchid: self.mchid.clone(),
            api_v3_key: read(&self.name, "the APIv3 key", &self.api_v3_key)?,
            public_keys: public_keys.collect::<Result<_, _>>()?,
            window_s: self.replay_window_s,
        })
    }
}

fn read(name: &str, what: &'static str, source: &SecretSource) -> Result<Secret, ProviderError> {
    source.read().map_err(|source| ProviderError::Secret { name: name.into(), what, source })
}

fn check(name: &str, window_s: u32) -> Result<(), ProviderError> {
    let invalid = |what, expected| ProviderError::InvalidSetting { name: name.into(), what, expected };
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_part) {
        return Err(invalid("the name", "1 to 32 lowercase letters, digits, - and _"));
    }
    if !(1..=REPLAY_WINDOW_S_MAX).contains(&window_s) {
        return Err(invalid("replay_window_s", "1 to 3600"));
    }
    Ok(())
}

/// Providers by name.
#[derive(Default)]
pub struct Providers(BTreeMap<Box<str>, Box<dyn Provider>>);

impl Providers {
    /// Adds one.
    ///
    /// # Errors
    /// [`ProviderError::NameTwice`].
    pub fn add(&mut self, provider: Box<dyn Provider>) -> Result<(), ProviderError> {
        let name = provider.name();
        if self.0.contains_key(name) {
            return Err(ProviderError::NameTwice { name: name.to_owned() });
        }
        self.0.insert(name.into(), provider);
        Ok(())
    }

    /// The provider of a name.
    pub fn get(&self, name: &str) -> Option<&dyn Provider> {
        self.0.get(name).map(|provider| &**provider)
    }

    /// The provider that calls without a name: the only one there is.
    pub fn only(&self) -> Option<&dyn Provider> {
        self.0.values().next().filter(|_| self.0.len() == 1).map(|provider| &**provider)
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
