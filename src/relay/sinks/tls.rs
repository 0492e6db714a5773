//! TLS of the sinks: rustls with ring, and one authority or the usual ones.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::invalid;
use crate::relay::error::RelayError;

/// Largest file with an authority, in bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

/// What servers are checked against: the authorities in a file and no others, or those that browsers trust.
pub(super) fn client_config(ca: Option<&Path>) -> Result<ClientConfig, RelayError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("sink.tls", error.to_string()))?;
    let Some(path) = ca else { return Ok(builder.with_webpki_roots().with_no_client_auth()) };
    Ok(builder.with_root_certificates(authorities(path)?).with_no_client_auth())
}

/// The authorities in a PEM file, at least one.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, RelayError> {
    let wrong = |reason: String| invalid("sink.tls_ca", format!("{}: {reason}", path.display()));
    let len = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if len > CA_BYTES_MAX {
        return Err(wrong(format!("has {len} bytes, at most {CA_BYTES_MAX} are read")));
    }
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("has no certificate in PEM form".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_authority_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refused = |path: &Path| match client_config(Some(path)) {
            Err(RelayError::Invalid { field, reason }) => {
                assert_eq!(field, "sink.tls_ca");
                assert!(reason.contains("ca.pem"), "{reason}");
            }
            other => panic!("{other:?}"),
        };
        refused(&path);
        std::fs::write(&path, "no certificate").unwrap();
        refused(&path);
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        refused(&path);
        assert!(client_config(None).is_ok());
    }
}
