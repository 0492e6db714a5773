//! The keys that verify tokens, each pinned to one algorithm and named by its key id.
//!
//! A key says by which algorithm it verifies; a token's own `alg` only has to agree. That rules out `none`, and a public
//! key taken for a shared secret. Weak keys are refused when they are loaded, not when somebody has guessed them.

use std::fmt;
use std::path::PathBuf;

use jsonwebtoken::crypto::{self, rust_crypto};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};

use crate::http::secret::{Secret, SecretError, SecretSource};

/// Most keys at once.
pub const KEYS_MAX: usize = 16;
/// Longest key id, in bytes.
pub const KID_BYTES_MAX: usize = 64;
/// Shortest secret for HMAC, in bytes: as long as its hash, as RFC 7518, 3.2 demands.
pub const SECRET_BYTES_MIN: usize = 32;
/// Shortest RSA modulus, in bits, as RFC 7518, 3.3 demands.
pub const RSA_BITS_MIN: usize = 2_048;

/// How a key verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alg {
    /// A shared secret, HMAC-SHA256.
    #[serde(rename = "HS256")]
    Hs256,
    /// A public RSA key, PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// A public Ed25519 key.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Alg {
    /// Its name, as in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A key as it is configured: a secret for HS256, a public key for the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its id, which a token names: 1 to [`KID_BYTES_MAX`] visible ASCII characters.
    pub kid: String,
    /// How it verifies.
    pub alg: Alg,
    /// For HS256: where the secret is, of at least [`SECRET_BYTES_MIN`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// For the others: the file with the public key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
}

impl KeyConfig {
    /// Reads and checks the key. Blocks on its file.
    ///
    /// # Errors
    /// [`KeyError`], which names the key id and never tells of the key.
    pub fn load(&self) -> Result<Key, KeyError> {
        let unreadable = |source| KeyError::Unreadable { kid: self.kid.clone(), source };
        match (self.alg, &self.secret, &self.public_key_file) {
            (Alg::Hs256, Some(secret), None) => Key::hs256(&self.kid, &secret.read().map_err(unreadable)?),
            (alg @ (Alg::Rs256 | Alg::EdDsa), None, Some(path)) => {
                let pem = SecretSource::File(path.clone()).read().map_err(unreadable)?;
                Key::public(&self.kid, alg, pem.expose())
            }
            (alg, _, _) => Err(KeyError::Source { kid: self.kid.clone(), alg: alg.name() }),
        }
    }
}

/// A key, ready to verify.
#[derive(Clone)]
pub struct Key {
    kid: Box<str>,
    alg: Alg,
    decoding: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("alg", &self.alg).finish_non_exhaustive()
    }
}

impl Key {
    /// A shared secret.
    ///
    /// # Errors
    /// [`KeyError::Kid`], [`KeyError::SecretTooShort`], [`KeyError::Invalid`] for a PEM file taken for a secret.
    pub fn hs256(kid: &str, secret: &Secret) -> Result<Self, KeyError> {
        let bytes = secret.expose();
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(KeyError::SecretTooShort { kid: kid.to_owned(), bytes: bytes.len() });
        }
        // A public key is known to everybody, and would be long enough.
        if bytes.starts_with(b"-----BEGIN") {
            return Err(KeyError::Invalid { kid: kid.to_owned(), alg: Alg::Hs256.name() });
        }
        Self::new(kid, Alg::Hs256, DecodingKey::from_secret(bytes))
    }

    /// A public key in PEM form.
    ///
    /// # Errors
    /// [`KeyError::Kid`], [`KeyError::Invalid`] for anything but a public key of this algorithm,
    /// [`KeyError::RsaTooShort`].
    pub fn public(kid: &str, alg: Alg, pem: &[u8]) -> Result<Self, KeyError> {
        let invalid = || KeyError::Invalid { kid: kid.to_owned(), alg: alg.name() };
        let decoding = match alg {
            Alg::Hs256 => return Err(KeyError::Source { kid: kid.to_owned(), alg: alg.name() }),
            Alg::Rs256 => {
                let key = DecodingKey::from_rsa_pem(pem).map_err(|_| invalid())?;
                let components = rust_crypto::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
                let der = key.try_get_as_bytes().map_err(|_| invalid())?;
                let (modulus, _) = components(der).map_err(|_| invalid())?;
                let leading = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
                let bits = modulus.len() * 8 - leading;
                if bits < RSA_BITS_MIN {
                    return Err(KeyError::RsaTooShort { kid: kid.to_owned(), bits });
                }
                key
            }
            Alg::EdDsa => {
                let key = DecodingKey::from_ed_pem(pem).map_err(|_| invalid())?;
                let is_whole = key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32);
                // A first verification shows whether these bytes are a point of the curve.
                if !is_whole || crypto::verify("", b"", &key, Algorithm::EdDSA).is_err() {
                    return Err(invalid());
                }
                key
            }
        };
        Self::new(kid, alg, decoding)
    }

    fn new(kid: &str, alg: Alg, decoding: DecodingKey) -> Result<Self, KeyError> {
        let is_name =
            !kid.is_empty() && kid.len() <= KID_BYTES_MAX && kid.bytes().all(|b| b.is_ascii_graphic());
        if !is_name {
            return Err(KeyError::Kid { kid: kid.to_owned() });
        }
        Ok(Self { kid: kid.into(), alg, decoding })
    }

    /// Whether this key verifies by the algorithm that a token names.
    pub(super) fn is_for(&self, alg: &str) -> bool {
        self.alg.name() == alg
    }

    /// Whether `signature`, in base64url, is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        crypto::verify(signature, message, &self.decoding, self.alg.algorithm()).is_ok_and(|is_good| is_good)
    }
}

/// All keys that are in force.
#[derive(Clone, Debug)]
pub struct Keys(Box<[Key]>);

impl Keys {
    /// These keys.
    ///
    /// # Errors
    /// [`KeyError::TooMany`] above [`KEYS_MAX`], [`KeyError::Twice`] if two have one id.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeyError> {
        if keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany { count: keys.len() });
        }
        for (nth, key) in keys.iter().enumerate() {
            if keys[..nth].iter().any(|other| other.kid == key.kid) {
                return Err(KeyError::Twice { kid: key.kid.to_string() });
            }
        }
        Ok(Self(keys.into()))
    }

    /// Reads and checks all of them. Blocks on their files.
    ///
    /// # Errors
    /// The first [`KeyError`].
    pub fn load(configs: &[KeyConfig]) -> Result<Self, KeyError> {
        // Counted first, so that a list gone wrong doesn't read as many files.
        if configs.len() > KEYS_MAX {
            return Err(KeyError::TooMany { count: configs.len() });
        }
        Self::new(configs.iter().map(KeyConfig::load).collect::<Result<_, _>>()?)
    }

    /// The key of that id. A token without one is good only where there is nothing to choose from; trying every key
    /// would let a removed id live on under another.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, &*self.0) {
            (Some(kid), keys) => keys.iter().find(|key| *key.kid == *kid),
            (None, [key]) => Some(key),
            (None, _) => None,
        }
    }
}

/// Why a key can't be used. Names its id, never the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The id isn't 1 to 64 visible ASCII characters.
    #[error("key id {kid:?} is not 1 to {KID_BYTES_MAX} visible ascii characters")]
    Kid {
        /// The id.
        kid: String,
    },
    /// Two keys have one id.
    #[error("key id {kid} is given twice")]
    Twice {
        /// The id.
        kid: String,
    },
    /// There are more than [`KEYS_MAX`].
    #[error("{count} keys, at most {KEYS_MAX} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// What is configured isn't what the algorithm needs.
    #[error("key {kid}: {alg} needs {}", if *alg == "HS256" { "a secret alone" } else { "a public_key_file alone" })]
    Source {
        /// The id.
        kid: String,
        /// The algorithm.
        alg: &'static str,
    },
    /// It can't be read.
    #[error("key {kid} can't be read")]
    Unreadable {
        /// The id.
        kid: String,
        /// Why.
        source: SecretError,
    },
    /// The secret could be guessed.
    #[error("key {kid}: a secret of {bytes} bytes, at least {SECRET_BYTES_MIN} are needed")]
    SecretTooShort {
        /// The id.
        kid: String,
        /// How long it is.
        bytes: usize,
    },
    /// The RSA key could be factored.
    #[error("key {kid}: an rsa key of {bits} bits, at least {RSA_BITS_MIN} are needed")]
    RsaTooShort {
        /// The id.
        kid: String,
        /// How long it is.
        bits: usize,
    },
    /// It isn't a key of this algorithm.
    #[error("key {kid} is not a key for {alg}")]
    Invalid {
        /// The id.
        kid: String,
        /// The algorithm.
        alg: &'static str,
    },
}
