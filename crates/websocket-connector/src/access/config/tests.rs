use super::*;
use crate::access::testing::config;

const LONG: &str = "0123456789abcdef0123456789abcdef";

fn error(raw: &[(&str, &str)]) -> String {
    config(raw).unwrap_err().to_string()
}

#[test]
fn without_properties_everybody_may_do_everything() {
    let config = config(&[]).unwrap();
    assert_eq!(config.grants, GrantTemplates::everything());
    assert!(!config.requires_authentication() && !config.may_authenticate_by_message());
}

#[test]
fn each_kind_takes_its_properties() {
    for (raw, by_message) in [
        (&[(AUTH.key, "token"), (TOKENS.key, "abc123=ann")][..], true),
        (&[(AUTH.key, "token"), (TOKENS_FILE.key, "/no/such/file")], true),
        (&[(AUTH.key, "basic"), (USERS.key, "ann:sesame")], false),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, LONG), (JWT_ALGORITHMS.key, "HS512")], true),
        (&[(AUTH.key, "jwt"), (JWKS_URL.key, "https://id.example/jwks"), (JWKS_REFRESH.key, "1m")], true),
        (&[(AUTH.key, "http"), (HTTP_URL.key, "http://127.0.0.1/"), (HTTP_TIMEOUT.key, "1s")], true),
        (
            &[
                (AUTH.key, "basic"),
                (USERS.key, "a:b"),
                (HTTP_SUBSCRIBE_URL.key, "https://h/"),
                (HTTP_TIMEOUT.key, "1s"),
            ],
            false,
        ),
    ] {
        let config = config(raw).unwrap();
        assert!(config.requires_authentication(), "{raw:?}");
        assert_eq!(config.may_authenticate_by_message(), by_message, "{raw:?}");
    }
}

#[test]
fn what_contradicts_or_has_no_effect_is_refused_with_both_names() {
    for (raw, parts) in [
        (&[(AUTH.key, "token")][..], [AUTH.key, TOKENS_FILE.key]),
        (&[(AUTH.key, "token"), (TOKENS.key, "a"), (TOKENS_FILE.key, "b")], [TOKENS.key, TOKENS_FILE.key]),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, LONG), (JWT_KEY_FILE.key, "k")], [JWT_SECRET.key, JWT_KEY_FILE.key]),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, LONG), (JWKS_REFRESH.key, "1m")], [JWKS_REFRESH.key, JWT_SECRET.key]),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, LONG), (JWT_ALGORITHMS.key, "RS256")], ["'RS256'", JWT_SECRET.key]),
        (&[(AUTH.key, "jwt"), (JWKS_URL.key, "https://h/"), (JWT_ALGORITHMS.key, "HS256")], ["'HS256'", JWKS_URL.key]),
        (
            &[(AUTH.key, "token"), (TOKENS.key, "a"), (HTTP_TIMEOUT.key, "1s")],
            [HTTP_TIMEOUT.key, HTTP_SUBSCRIBE_URL.key],
        ),
        (&[(TOKENS.key, "a")], [TOKENS.key, AUTH.key]),
        (&[(AUTH.key, "basic"), (USERS.key, "a:b"), (QUERY.key, "token")], [QUERY.key, AUTH.key]),
        (&[(GRANTS_SUBSCRIBE.key, "user:${user}:*")], [GRANTS_SUBSCRIBE.key, AUTH.key]),
        (&[(AUTH.key, "http")], [HTTP_URL.key, "required"]),
    ] {
        let error = error(raw);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn a_bad_value_is_refused_with_the_reason_and_without_its_secret() {
    for (raw, reason) in [
        (&[(AUTH.key, "token"), (TOKENS.key, "hunter2,*")][..], "entry 2: '*' does not stand for any token"),
        (&[(AUTH.key, "basic"), (USERS.key, "hunter2")], "entry 1: is not of the form user:password"),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, "hunter2")], "has 7 bytes"),
        (&[(AUTH.key, "jwt"), (JWT_KEY.key, "hunter2")], "holds no PEM public key"),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, LONG), (JWT_ALGORITHMS.key, "none")], "'none' is no algorithm"),
        (&[(AUTH.key, "jwt"), (JWT_SECRET.key, LONG), (JWT_AUDIENCE.key, "a,")], "has an empty name"),
        (&[(GRANTS_PUBLISH.key, "a*b")], "Invalid channel"),
        (&[(AUTH.key, "http"), (HTTP_URL.key, "https://me:hunter2@h/")], "has credentials in it"),
    ] {
        let error = error(raw);
        assert!(error.contains(reason) && !error.contains("hunter"), "{error}");
    }
}

#[test]
fn no_secret_is_shown() {
    for raw in [
        &[(AUTH.key, "token"), (TOKENS.key, "hunter2=ann")][..],
        &[(AUTH.key, "basic"), (USERS.key, "ann:hunter2")],
        &[(AUTH.key, "jwt"), (JWT_SECRET.key, "hunter2hunter2hunter2hunter2hunter2")],
        &[(AUTH.key, "http"), (HTTP_URL.key, "https://h/?key=hunter2")],
    ] {
        let config = config(raw).unwrap();
        assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
    }
}
