//! What the sessions of a listener are like: versions, ciphers, certificates.
//!
//! Ciphers are those of Mozilla's intermediate configuration, version 5, for TLS 1.2 or later. There is no choice of
//! certificate by name (SNI), no early data and no renegotiation; sessions are resumed by tickets only, so nothing is
//! kept for clients that are gone, and no ticket outlives the context it is from.

use eventflux_core::escape_control;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{
    SslAcceptor, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref};

use super::pem::Identity;

/// What sessions are for. OpenSSL resumes no session with a client certificate without such a name.
const SESSION_ID_CONTEXT: &[u8] = b"eventflux";

/// A context for sessions of a listener. `authorities` sign the certificates of clients, which are asked for as the mode
/// says; without them no client is asked.
///
/// # Errors
/// When OpenSSL does not take the certificate or key, for example because they are too weak.
pub(super) fn server_context(
    identity: &Identity,
    authorities: Option<(&[X509], SslVerifyMode)>,
) -> Result<SslContext, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_session_id_context(SESSION_ID_CONTEXT)?;
    for (index, certificate) in identity.chain.iter().enumerate() {
        match index {
            0 => builder.set_certificate(certificate)?,
            _ => builder.add_extra_chain_cert(certificate.clone())?,
        }
    }
    builder.set_private_key(&identity.key)?;
    if let Some((authorities, mode)) = authorities {
        ask_for_certificates(&mut builder, authorities, mode)?;
    }
    Ok(builder.build().into_context())
}

/// The first common name (CN) in the subject of a certificate, safe to log.
pub(super) fn common_name(certificate: &X509Ref) -> Option<String> {
    let name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next()?.data().to_string().ok()?;
    Some(escape_control(&name).into_owned())
}

fn ask_for_certificates(
    builder: &mut SslContextBuilder,
    authorities: &[X509],
    mode: SslVerifyMode,
) -> Result<(), ErrorStack> {
    let mut trusted = X509StoreBuilder::new()?;
    for authority in authorities {
        trusted.add_cert(authority.clone())?;
        // Its name is sent to clients, so that one with several certificates knows which.
        builder.add_client_ca(authority)?;
    }
    builder.set_verify_cert_store(trusted.build())?;
    builder.set_verify(mode);
    Ok(())
}

/// Logs a warning for each certificate of the file that is out of date. It is used all the same: clients may not care.
pub(super) fn warn_of_dates(file: &str, chain: &[X509]) {
    let Ok(now) = Asn1Time::days_from_now(0) else {
        return;
    };
    for certificate in chain {
        let name = common_name(certificate).unwrap_or_else(|| "without a name".to_owned());
        if certificate.not_after() < now {
            log::warn!("'{file}': the certificate '{name}' has expired on {}", certificate.not_after());
        } else if certificate.not_before() > now {
            log::warn!("'{file}': the certificate '{name}' is not valid before {}", certificate.not_before());
        }
    }
}
