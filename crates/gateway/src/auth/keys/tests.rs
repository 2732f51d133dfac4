use super::*;
use crate::auth::testing::{Signer, rsa};

fn jwks(keys: &[Value]) -> Result<Keys, KeysError> {
    Keys::from_jwks(serde_json::json!({ "keys": keys }).to_string().as_bytes())
}

fn supported(keys: &Keys) -> Vec<String> {
    Algorithm::ALL.iter().filter(|algorithm| keys.supports(**algorithm)).map(ToString::to_string).collect()
}

#[test]
fn each_kind_of_key_is_good_for_its_algorithms_only() {
    let secret = Keys::from_secret(&Secret::new("x".repeat(MIN_SECRET_BYTES))).unwrap();
    assert_eq!(supported(&secret), ["HS256", "HS384", "HS512"]);
    for (signer, algorithms) in [
        (Signer::rsa(), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (Signer::p256(), &["ES256"]),
        (Signer::p384(), &["ES384"]),
        (Signer::ed25519(), &["EdDSA"]),
    ] {
        assert_eq!(supported(&Keys::from_pem(&signer.public_pem()).unwrap()), algorithms);
        assert_eq!(supported(&jwks(&[signer.jwk("k")]).unwrap()), algorithms);
    }
    assert_eq!(Algorithm::ALL.len(), 12);
    assert!(Algorithm::named("none").is_none() && Algorithm::named("rs256").is_none());
}

#[test]
fn a_key_that_names_its_algorithm_is_good_for_no_other() {
    let mut jwk = Signer::rsa().jwk("k");
    jwk["alg"] = "PS256".into();
    assert_eq!(supported(&jwks(&[jwk.clone()]).unwrap()), ["PS256"]);
    jwk["alg"] = "RSA-OAEP".into();
    let error = jwks(&[jwk]).unwrap_err().to_string();
    assert_eq!(error, "has no key that can be used; the first one is for an algorithm that is not supported");
}

#[test]
fn what_is_no_public_signature_key_is_passed_over_in_a_set() {
    let good = Signer::p256().jwk("good");
    let mut encryption = good.clone();
    encryption["use"] = "enc".into();
    let mut wrapping = good.clone();
    wrapping["key_ops"] = serde_json::json!(["wrapKey"]);
    let mut broken = good.clone();
    broken["x"] = "AAAA".into();
    let shared = serde_json::json!({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"});
    let curve = serde_json::json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"});
    let others = [encryption, wrapping, broken, shared, curve, Value::from(1), serde_json::json!({"kid": 7})];
    for other in &others {
        assert!(matches!(jwks(std::slice::from_ref(other)), Err(KeysError::NoneUsable(_))), "{other}");
    }
    let set: Vec<_> = others.iter().cloned().chain([good]).collect();
    assert_eq!(jwks(&set).unwrap().len(), 1);
    assert_eq!(jwks(&[]).unwrap_err(), KeysError::Empty);
    assert_eq!(Keys::from_jwks(b"[]").unwrap_err(), KeysError::NoSet);
}

#[test]
fn sets_are_bounded() {
    let keys: Vec<_> = (0..MAX_KEYS + 5).map(|number| Signer::ed25519().jwk(&number.to_string())).collect();
    assert_eq!(jwks(&keys).unwrap().len(), MAX_KEYS);
}

#[test]
fn a_file_may_hold_several_keys_and_certificates() {
    let pem = [Signer::rsa().public_pem(), Signer::p256().certificate_pem(), Signer::rsa().public_pkcs1_pem()].concat();
    let keys = Keys::from_pem(&format!("Subject: example\n{pem}")).unwrap();
    assert_eq!(keys.len(), 3);
    assert!(keys.supports(Algorithm::ES256) && keys.supports(Algorithm::RS256));
}

#[test]
fn a_key_that_is_weak_private_or_broken_is_refused_with_the_reason() {
    let text = |result: Result<Keys, KeysError>| result.unwrap_err().to_string();
    let short = text(Keys::from_secret(&Secret::new("hunter2")));
    assert!(short.contains("has 7 bytes") && !short.contains("hunter"), "{short}");
    for (pem, reason) in [
        (Signer::Pem(rsa(1024)).public_pem(), "key 1 is an RSA key of less than 2048 bits"),
        (Signer::p256().private_pem(), "holds a private key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_owned(), "key 1 is of a kind"),
        (String::new(), "holds no PEM public key"),
        ("sesame".to_owned(), "holds no PEM public key"),
    ] {
        let error = text(Keys::from_pem(&pem));
        assert!(error.starts_with(reason), "{error}");
    }
    assert_eq!(check_rsa(&URL_SAFE_NO_PAD.encode([0xff; 512])), Ok(()));
    assert!(check_rsa(&URL_SAFE_NO_PAD.encode([0xff; 513])).unwrap_err().contains("4096"));
    assert!(check_rsa(&URL_SAFE_NO_PAD.encode([&[0; 9][..], &[0x7f; 256]].concat())).unwrap_err().contains("2048"));
}

#[test]
fn keys_are_not_shown() {
    let keys = Keys::from_secret(&Secret::new("hunter2".repeat(9))).unwrap();
    assert_eq!(format!("{keys:?}"), "Keys(1)");
}
