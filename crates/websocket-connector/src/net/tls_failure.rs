//! What OpenSSL's error codes mean for a TLS connection.

use openssl::error::{Error, ErrorStack};

/// The part of OpenSSL that errors of TLS come from (`ERR_LIB_SSL`).
const LIBRARY_SSL: i32 = 20;

/// `SSL_R_*` codes of OpenSSL, which keep their numbers from version to version.
const CERTIFICATE_VERIFY_FAILED: i32 = 134;
const HTTPS_PROXY_REQUEST: i32 = 155;
const HTTP_REQUEST: i32 = 156;
const PACKET_LENGTH_TOO_LONG: i32 = 198;
const PEER_DID_NOT_RETURN_A_CERTIFICATE: i32 = 199;
const UNKNOWN_PROTOCOL: i32 = 252;
const WRONG_VERSION_NUMBER: i32 = 267;
const UNEXPECTED_EOF_WHILE_READING: i32 = 294;
const BAD_RECORD_TYPE: i32 = 443;

/// An alert of the other end has this code plus its number of RFC 8446 section 6.
const ALERT: i32 = 1000;

/// The alerts about a certificate: `no_certificate` (before TLS 1.0) to `certificate_unknown`, `unknown_ca` and
/// `certificate_required`.
const CERTIFICATE_ALERTS: [i32; 8] = [41, 42, 43, 44, 45, 46, 48, 116];

/// Who or what is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// We do not accept the other end's certificate, or it has none.
    PeerCertificate,
    /// The other end does not accept our certificate, or wants one.
    OwnCertificate,
    /// What came is not TLS.
    NotTls,
    /// The other end went away.
    Gone,
    /// Something else: no common version or cipher, bad records.
    Other,
}

/// The first error of the stack that says more than that something went wrong.
pub(super) fn cause(stack: &ErrorStack) -> Cause {
    let causes = stack.errors().iter().filter(|error| error.library_code() == LIBRARY_SSL).map(cause_of);
    causes.fold(Cause::Other, |first, next| if first == Cause::Other { next } else { first })
}

fn cause_of(error: &Error) -> Cause {
    match error.reason_code() {
        CERTIFICATE_VERIFY_FAILED | PEER_DID_NOT_RETURN_A_CERTIFICATE => Cause::PeerCertificate,
        HTTPS_PROXY_REQUEST
        | HTTP_REQUEST
        | PACKET_LENGTH_TOO_LONG
        | UNKNOWN_PROTOCOL
        | WRONG_VERSION_NUMBER
        | BAD_RECORD_TYPE => Cause::NotTls,
        UNEXPECTED_EOF_WHILE_READING => Cause::Gone,
        code if CERTIFICATE_ALERTS.contains(&(code - ALERT)) => Cause::OwnCertificate,
        _ => Cause::Other,
    }
}
