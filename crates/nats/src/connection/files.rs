//! Files that are needed to connect: whether they can be used is found out before the first attempt.

use std::path::{Path, PathBuf};

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use eventflux_core::EventFluxError;

use super::auth;
use crate::ConnectionConfig;
use crate::config::{Auth, Tls};

/// Reads them. They are read again for each connection, so that they can be renewed.
///
/// # Errors
/// [`EventFluxError::Configuration`] that names the property and the file.
pub(super) async fn check(config: &ConnectionConfig) -> Result<(), EventFluxError> {
    let (auth, tls) = (config.auth.clone(), config.tls.clone());
    let check = tokio::task::spawn_blocking(move || {
        if let Auth::Credentials(path) = &auth {
            named("nats.credentials", path, auth::read_credentials(path).map(drop))?;
        }
        check_tls(&tls)
    });
    check.await.unwrap_or_else(|error| Err(EventFluxError::configuration(format!("files cannot be read: {error}"))))
}

fn check_tls(tls: &Tls) -> Result<(), EventFluxError> {
    if let Some(ca) = &tls.ca {
        named("nats.tls.ca", ca, certificates(ca))?;
    }
    if let Some((certificate, key)) = &tls.identity {
        named("nats.tls.cert", certificate, certificates(certificate))?;
        named("nats.tls.key", key, private_key(key))?;
    }
    Ok(())
}

fn certificates(path: &PathBuf) -> Result<(), String> {
    let mut certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let first = certificates.next().ok_or("there is no certificate in it (PEM)")?;
    std::iter::once(first).chain(certificates).try_for_each(|each| each.map(drop).map_err(|error| error.to_string()))
}

/// The library's own error may have a part of the file.
fn private_key(path: &PathBuf) -> Result<(), String> {
    std::fs::metadata(path).map_err(|error| error.to_string())?;
    PrivateKeyDer::from_pem_file(path).map(drop).map_err(|_| "there is no private key in it (PEM)".to_owned())
}

fn named(property: &str, path: &Path, result: Result<(), String>) -> Result<(), EventFluxError> {
    result.map_err(|reason| EventFluxError::property(property, format!("{} cannot be used: {reason}", path.display())))
}
