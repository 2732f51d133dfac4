//! `wss://`: whom to trust, and how to identify ourselves.

use eventflux_core::EventFluxError;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::tls::TestCertificates;

use crate::support::{Registry, source};

fn peer(certificates: &TestCertificates) -> ScriptedPeer {
    ScriptedPeer::builder().tls(certificates.clone()).script(Script::new().accept().send_text("secret")).start()
}

fn validate(peer: &ScriptedPeer, raw: &[(&str, &str)]) -> Result<(), EventFluxError> {
    let raw = [&[("websocket.url", peer.url())], raw].concat();
    Registry::new().source(&raw).source.validate_connectivity()
}

#[test]
fn a_good_certificate_of_our_own_authority_is_trusted() {
    let certificates = TestCertificates::valid();
    let peer = peer(&certificates);
    let ca = certificates.ca_file();
    let source = source(peer.url(), &[("websocket.tls.ca.file", ca.to_str().unwrap())]);
    source.wait_for_messages(&["secret"]);
}

#[test]
fn bad_certificates_are_refused_with_the_reason_and_are_not_worth_a_retry() {
    for (certificates, what) in [
        (TestCertificates::self_signed(), "self-signed"),
        (TestCertificates::expired(), "expired"),
        (TestCertificates::wrong_name(), "mismatch"),
    ] {
        let ca = certificates.ca_file();
        let error = validate(&peer(&certificates), &[("websocket.tls.ca.file", ca.to_str().unwrap())]).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(matches!(error, EventFluxError::ConnectionUnavailable { retryable: false, .. }), "{error}");
    }
}

#[test]
fn an_unknown_authority_is_not_trusted() {
    let error = validate(&peer(&TestCertificates::valid()), &[]).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn verification_can_be_skipped_with_a_warning() {
    let logs = LogCapture::start();
    let peer = peer(&TestCertificates::expired());
    assert_eq!(validate(&peer, &[("websocket.tls.skip.verify", "true")]), Ok(()));
    let port = format!(":{}", peer.address().port());
    logs.containing(port).assert_logged(log::Level::Warn, "not verified");
}

#[test]
fn a_client_certificate_is_presented_when_asked_for() {
    let certificates = TestCertificates::valid().require_client_certificate();
    let (ca, cert, key) = (certificates.ca_file(), certificates.client_file(), certificates.client_key_file());
    let ca = ("websocket.tls.ca.file", ca.to_str().unwrap());
    let identity =
        [ca, ("websocket.tls.cert.file", cert.to_str().unwrap()), ("websocket.tls.key.file", key.to_str().unwrap())];
    assert_eq!(validate(&peer(&certificates), &identity), Ok(()));
    assert!(validate(&peer(&certificates), &[ca]).is_err());
}

#[test]
fn files_that_hold_something_else_are_named() {
    let certificates = TestCertificates::valid();
    let peer = peer(&certificates);
    let (key, cert) = (certificates.client_key_file(), certificates.client_file());
    let (key, cert) = (key.to_str().unwrap(), cert.to_str().unwrap());
    let error = validate(&peer, &[("websocket.tls.ca.file", key)]).unwrap_err();
    assert!(matches!(&error, EventFluxError::Configuration { .. }) && error.to_string().contains(key), "{error}");
    let error = validate(&peer, &[("websocket.tls.cert.file", cert), ("websocket.tls.key.file", cert)]).unwrap_err();
    assert!(matches!(&error, EventFluxError::Configuration { .. }) && error.to_string().contains(cert), "{error}");
}
