use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::testing::Signer;
use crate::auth::{Grants, Verb};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// The time by which everything here goes, in seconds.
const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn rules() -> JwtRules {
    JwtRules {
        algorithms: Vec::new(),
        audiences: Vec::new(),
        issuers: Vec::new(),
        leeway: Duration::from_secs(30),
        user_claim: "sub".to_owned(),
        channels_claim: "channels".to_owned(),
        expiry_required: true,
        grants: GrantTemplates { subscribe: ChannelList::parse(["public"]).unwrap(), publish: ChannelList::none() },
    }
}

fn secret_keys() -> Keys {
    Keys::from_secret(&Secret::new(String::from_utf8(SECRET.to_vec()).unwrap())).unwrap()
}

fn set(keys: &[Value]) -> Keys {
    Keys::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn sign(claims: &Value) -> String {
    Signer::Secret(SECRET.to_vec()).sign(&json!({"alg": "HS256"}), claims)
}

fn verify_by(rules: JwtRules, token: &str, keys: &Keys) -> Result<Identity, Denied> {
    JwtVerifier::new(rules).verify(&Secret::new(token), keys, at(NOW))
}

fn verify(claims: &Value) -> Result<Identity, Denied> {
    verify_by(rules(), &sign(claims), &secret_keys())
}

fn user(result: Result<Identity, Denied>) -> Result<String, Denied> {
    result.map(|identity| identity.user.unwrap().to_string())
}

#[test]
fn a_signed_token_tells_user_grants_and_end() {
    let identity = verify(&json!({"sub": "ann", "exp": NOW + 60})).unwrap();
    assert_eq!((identity.user.as_deref(), identity.expires), (Some("ann"), Some(at(NOW + 90))));
    assert!(identity.grants.allows(Verb::Subscribe, "public") && !identity.grants.allows(Verb::Publish, "public"));
}

#[test]
fn every_algorithm_is_verified_with_its_key_and_no_other() {
    let claims = json!({"sub": "ann", "exp": NOW + 60});
    let signers = [
        (Signer::Secret(SECRET.to_vec()), &["HS256", "HS384", "HS512"][..], secret_keys()),
        (Signer::rsa(), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"], set(&[Signer::rsa().jwk("k")])),
    ];
    let elliptic = [(Signer::p256(), &["ES256"][..]), (Signer::p384(), &["ES384"]), (Signer::ed25519(), &["EdDSA"])];
    let elliptic = elliptic.map(|(signer, names)| {
        let keys = Keys::from_pem(&signer.public_pem()).unwrap();
        (signer, names, keys)
    });
    let other = Keys::from_pem(&Signer::p256().public_pem()).unwrap();
    for (signer, algorithms, keys) in signers.into_iter().chain(elliptic) {
        for algorithm in algorithms {
            let token = signer.sign(&json!({"alg": algorithm, "typ": "JWT"}), &claims);
            assert_eq!(user(verify_by(rules(), &token, &keys)), Ok("ann".to_owned()), "{algorithm}");
            let denied = verify_by(rules(), &token, &other).unwrap_err();
            let expected = if *algorithm == "ES256" { Denied::Signature } else { Denied::Algorithm };
            assert_eq!(denied, expected, "{algorithm}");
        }
    }
}

/// Made by others: RFC 7515 appendices A.1 to A.3, RFC 8037 appendix A.4.
#[test]
fn the_tokens_of_the_standards_are_verified() {
    const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let hmac = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let joe = JwtVerifier::new(JwtRules { user_claim: "iss".to_owned(), ..rules() });
    let verify = |token: &str, keys: &Keys| joe.verify(&Secret::new(token), keys, at(1_300_819_300));
    assert_eq!(user(verify(ES256, &set(std::slice::from_ref(&ec)))), Ok("joe".to_owned()));
    let decoded = jsonwebtoken::DecodingKey::from_secret(&URL_SAFE_NO_PAD.decode(hmac).unwrap());
    let (message, signature) = HS256.rsplit_once('.').unwrap();
    let verified =
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoded, jsonwebtoken::Algorithm::HS256);
    assert!(verified.unwrap());
    // Its payload is no object of claims, so that a good signature is told from a bad one by what comes next.
    assert_eq!(verify(EDDSA, &set(std::slice::from_ref(&ed))), Err(Denied::Malformed));
    assert_eq!(verify(&EDDSA.replace("hgyY", "hgyZ"), &set(&[ed])), Err(Denied::Signature));
    assert_eq!(verify(&ES256.replace("DtEh", "DtEi"), &set(&[ec])), Err(Denied::Signature));
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let claims = encode(json!({"sub": "ann", "exp": NOW + 60}));
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS1", "ES512"] {
        let token = format!("{}.{claims}.", encode(json!({ "alg": algorithm })));
        assert_eq!(verify_by(rules(), &token, &secret_keys()), Err(Denied::Algorithm), "{algorithm}");
    }
    let token = format!("{}.{claims}.", encode(json!({"alg": "HS256"})));
    assert_eq!(verify_by(rules(), &token, &secret_keys()), Err(Denied::Signature));
}

#[test]
fn a_public_key_is_no_secret() {
    let claims = json!({"sub": "admin", "exp": NOW + 60});
    let keys = Keys::from_pem(&Signer::rsa().public_pem()).unwrap();
    for public in [Signer::rsa().public_pem(), Signer::rsa().public_pkcs1_pem()] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let token = Signer::Secret(public.clone().into_bytes()).sign(&json!({"alg": algorithm}), &claims);
            assert_eq!(verify_by(rules(), &token, &keys), Err(Denied::Algorithm));
        }
    }
}

#[test]
fn only_allowed_algorithms_are_accepted() {
    let token = sign(&json!({"sub": "ann", "exp": NOW + 60}));
    let allowed = |name: &str| JwtRules { algorithms: vec![Algorithm::named(name).unwrap()], ..rules() };
    assert!(verify_by(allowed("HS256"), &token, &secret_keys()).is_ok());
    assert_eq!(verify_by(allowed("HS512"), &token, &secret_keys()), Err(Denied::Algorithm));
}

#[test]
fn a_token_is_verified_with_the_key_it_names() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let keys = set(&[one.jwk("one"), two.jwk("two")]);
    let claims = json!({"sub": "ann", "exp": NOW + 60});
    let verify = |signer: &Signer, header: Value| user(verify_by(rules(), &signer.sign(&header, &claims), &keys));
    assert!(verify(&two, json!({"alg": "ES256", "kid": "two"})).is_ok());
    assert!(verify(&two, json!({"alg": "ES256"})).is_ok());
    assert_eq!(verify(&two, json!({"alg": "ES256", "kid": "one"})), Err(Denied::Signature));
    assert_eq!(verify(&two, json!({"alg": "ES256", "kid": "three"})), Err(Denied::Key));
    assert_eq!(verify(&Signer::p384(), json!({"alg": "ES384", "kid": "one"})), Err(Denied::Algorithm));
    // A key without a name is meant by every name.
    let unnamed = Keys::from_pem(&one.public_pem()).unwrap();
    let token = one.sign(&json!({"alg": "ES256", "kid": "whatever"}), &claims);
    assert!(verify_by(rules(), &token, &unnamed).is_ok() && unnamed.has_unnamed() && !keys.has_unnamed());
}

#[test]
fn a_token_is_valid_from_its_beginning_to_its_end_give_or_take_the_leeway() {
    for (claims, result) in [
        (json!({"sub": "ann", "exp": NOW - 29}), Ok(Some(at(NOW + 1)))),
        (json!({"sub": "ann", "exp": NOW - 30}), Err(Denied::Expired)),
        (json!({"sub": "ann", "exp": 0}), Err(Denied::Expired)),
        (json!({"sub": "ann", "exp": (NOW + 1) as f64 + 0.5}), Ok(Some(at(NOW + 31) + Duration::from_millis(500)))),
        (json!({"sub": "ann", "exp": NOW + 60, "nbf": NOW + 30}), Ok(Some(at(NOW + 90)))),
        (json!({"sub": "ann", "exp": NOW + 60, "nbf": NOW + 31}), Err(Denied::NotYet)),
    ] {
        assert_eq!(verify(&claims).map(|identity| identity.expires), result, "{claims}");
    }
}

#[test]
fn a_date_that_is_none_is_refused() {
    let dates = [json!("1900000000"), json!(-1), json!(true), json!(null), json!([1]), json!(1e300), json!(u64::MAX)];
    for date in dates {
        assert_eq!(verify(&json!({"sub": "ann", "exp": date})), Err(Denied::Claim("exp")), "{date}");
        let denied = verify(&json!({"sub": "ann", "exp": NOW + 60, "nbf": date})).unwrap_err();
        assert!(matches!(denied, Denied::Claim("nbf") | Denied::NotYet), "{date}");
    }
    let endless = json!({"sub": "ann"});
    assert_eq!(verify(&endless), Err(Denied::Claim("exp")));
    let lenient = JwtRules { expiry_required: false, ..rules() };
    assert_eq!(verify_by(lenient.clone(), &sign(&endless), &secret_keys()).unwrap().expires, None);
    let text = sign(&json!({"sub": "ann", "exp": "1900000000"}));
    assert_eq!(verify_by(lenient, &text, &secret_keys()), Err(Denied::Claim("exp")));
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let us = JwtRules { audiences: vec!["us".to_owned(), "we".to_owned()], ..rules() };
    for (audience, for_us, for_anybody) in [
        (Some(json!("us")), true, false),
        (Some(json!(["them", "we"])), true, false),
        (Some(json!("them")), false, false),
        (Some(json!([])), false, false),
        (Some(json!(7)), false, false),
        (None, false, true),
    ] {
        let mut claims = json!({"sub": "ann", "exp": NOW + 60});
        if let Some(audience) = audience {
            claims["aud"] = audience;
        }
        let result = |accepted: bool| if accepted { Ok("ann".to_owned()) } else { Err(Denied::Claim("aud")) };
        assert_eq!(user(verify_by(us.clone(), &sign(&claims), &secret_keys())), result(for_us), "{claims}");
        assert_eq!(user(verify(&claims)), result(for_anybody), "{claims}");
    }
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let known = JwtRules { issuers: vec!["https://id.example".to_owned()], ..rules() };
    for (issuer, result) in [
        (json!("https://id.example"), Ok("ann".to_owned())),
        (json!("https://id.example/"), Err(Denied::Claim("iss"))),
        (json!(["https://id.example"]), Err(Denied::Claim("iss"))),
        (json!(null), Err(Denied::Claim("iss"))),
    ] {
        let token = sign(&json!({"sub": "ann", "exp": NOW + 60, "iss": issuer}));
        assert_eq!(user(verify_by(known.clone(), &token, &secret_keys())), result, "{issuer}");
    }
}

#[test]
fn the_user_is_a_proper_name_from_the_configured_claim() {
    let by_id = JwtRules { user_claim: "id".to_owned(), ..rules() };
    for (id, result) in [
        (json!("ann"), Ok("ann".to_owned())),
        (json!(42), Ok("42".to_owned())),
        (json!(1.5), Err(Denied::Claim("user"))),
        (json!(""), Err(Denied::Claim("user"))),
        (json!("a\r\nb"), Err(Denied::Claim("user"))),
        (json!(null), Err(Denied::Claim("user"))),
    ] {
        let token = sign(&json!({"sub": "bob", "exp": NOW + 60, "id": id}));
        assert_eq!(user(verify_by(by_id.clone(), &token, &secret_keys())), result, "{id}");
    }
    assert_eq!(verify(&json!({"exp": NOW + 60})), Err(Denied::Claim("user")));
}

#[test]
fn channels_come_from_their_claim() {
    let granted = |channels: Value| {
        let grants = verify(&json!({"sub": "ann", "exp": NOW + 60, "channels": channels}))?.grants;
        let texts = |patterns: &Option<Vec<crate::Pattern>>| {
            patterns
                .as_ref()
                .map(|patterns| patterns.iter().map(|pattern| pattern.text().to_owned()).collect::<Vec<_>>())
        };
        Ok((texts(&grants.subscribe), texts(&grants.publish)))
    };
    let list = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        granted(json!(["a.*", "inbox.${user}"])),
        Ok((list(&["a.*", "inbox.ann"]), list(&["a.*", "inbox.ann"])))
    );
    assert_eq!(granted(json!({"subscribe": ["a"], "publish": ["*"]})), Ok((list(&["a"]), None)));
    // What the token does not mention is not granted, whatever the configuration grants to tokens that say nothing.
    assert_eq!(granted(json!({"subscribe": ["a"]})), Ok((list(&["a"]), list(&[]))));
    assert_eq!(granted(json!([])), Ok((list(&[]), list(&[]))));
    for bad in [json!("a.*"), json!([1]), json!(["a*b"]), json!({"subscribe": "a"}), json!(null), json!(["a\r\nb"])] {
        assert_eq!(granted(bad.clone()), Err(Denied::Claim("channels")), "{bad}");
    }
    let many = json!(vec!["a"; MAX_GRANTS + 1]);
    assert_eq!(granted(many), Err(Denied::Claim("channels")));
}

#[test]
fn a_user_who_would_share_a_pattern_gets_none() {
    let mine = JwtRules {
        grants: GrantTemplates {
            subscribe: ChannelList::parse(["user.${user}.*"]).unwrap(),
            publish: ChannelList::none(),
        },
        ..rules()
    };
    let verify = |name: &str| verify_by(mine.clone(), &sign(&json!({"sub": name, "exp": NOW + 60})), &secret_keys());
    assert!(verify("ann").unwrap().grants.allows(Verb::Subscribe, "user.ann.x"));
    for name in ["*", "ann.x", "ann x"] {
        assert_eq!(verify(name), Err(Denied::UserName), "{name}");
    }
    assert_ne!(verify("ann").unwrap().grants.as_ref(), &Grants::everything());
}

#[test]
fn what_is_no_token_is_refused() {
    let good = sign(&json!({"sub": "ann", "exp": NOW + 60}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let extension =
        Signer::Secret(SECRET.to_vec()).sign(&json!({"alg": "HS256", "crit": ["b64"]}), &json!({"sub": "ann"}));
    for (token, denied) in [
        (String::new(), Denied::Malformed),
        ("abc123".to_owned(), Denied::Malformed),
        ("a.b".to_owned(), Denied::Malformed),
        (format!("{good}.x"), Denied::Signature),
        (format!("{good}="), Denied::Signature),
        (format!("{message}."), Denied::Signature),
        (format!(" {good}"), Denied::Malformed),
        (format!("{message}.{}", signature.to_uppercase()), Denied::Signature),
        (format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES)), Denied::Malformed),
        (extension, Denied::Malformed),
    ] {
        assert_eq!(verify_by(rules(), &token, &secret_keys()), Err(denied), "{token:.60}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_is_accepted(token in "[a-zA-Z0-9_.-]{0,200}|\\PC{0,50}") {
        prop_assert!(verify_by(rules(), &token, &secret_keys()).is_err());
    }

    #[test]
    fn no_signed_claims_panic(sub: String, exp: f64, nbf: i64, channels in "\\PC{0,20}") {
        let claims = json!({"sub": sub, "exp": exp, "nbf": nbf, "channels": [channels]});
        let _ = verify(&claims);
    }

    #[test]
    fn a_changed_token_is_refused(at in 0usize..1000, to in "[a-zA-Z0-9_.-]") {
        let good = sign(&json!({"sub": "ann", "exp": NOW + 60}));
        let at = at % good.len();
        let changed = format!("{}{to}{}", &good[..at], &good[at + 1..]);
        prop_assume!(changed != good);
        prop_assert!(verify_by(rules(), &changed, &secret_keys()).is_err());
    }
}
