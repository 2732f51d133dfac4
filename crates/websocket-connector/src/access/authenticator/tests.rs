use mockito::Server;

use super::*;
use crate::access::testing::{ADDRESS, Issuer, config, request};

const AUTH: &str = "websocket.auth";

fn authenticator(raw: &[(&str, &str)]) -> (Arc<Authenticator>, Metrics) {
    let metrics = Metrics::default();
    (Authenticator::new(&config(raw).unwrap(), "/feed", &metrics).unwrap(), metrics)
}

fn counted(metrics: &Metrics, result: &str) -> u64 {
    metrics.counter("eventflux_websocket_authentications_total", &[("endpoint", "/feed"), ("result", result)]).value()
}

fn token(text: &str) -> Credentials {
    Credentials::Token(Secret::new(text))
}

fn user(result: Result<Identity, Denied>) -> Result<Option<String>, Denied> {
    result.map(|identity| identity.user.map(|user| user.to_string()))
}

#[tokio::test]
async fn each_kind_lets_in_whom_it_should() {
    let issuer = Issuer::new("a");
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (tokens, users) = (write("tokens", "abc123 ann\n"), write("users", "ann:abc123\n"));
    let (pem, key) = (issuer.public_pem(), write("key", &issuer.public_pem()));
    let basic = |password: &str| Credentials::Basic { user: "ann".to_owned(), password: Secret::new(password) };
    let jwt = |valid| Credentials::Token(issuer.token("ann", valid));
    for (raw, good, bad, denied) in [
        ([(AUTH, "token"), ("websocket.auth.tokens", "abc123=ann")], token("abc123"), token("x"), Denied::Unknown),
        (
            [(AUTH, "token"), ("websocket.auth.tokens.file", &tokens)],
            token("abc123"),
            basic("abc123"),
            Denied::Malformed,
        ),
        ([(AUTH, "basic"), ("websocket.auth.users", "ann:abc123")], basic("abc123"), basic("x"), Denied::Unknown),
        ([(AUTH, "basic"), ("websocket.auth.users.file", &users)], basic("abc123"), token("abc123"), Denied::Malformed),
        ([(AUTH, "jwt"), ("websocket.auth.jwt.key", &pem)], jwt(true), jwt(false), Denied::Expired),
        ([(AUTH, "jwt"), ("websocket.auth.jwt.key.file", &key)], jwt(true), token("x"), Denied::Malformed),
    ] {
        let (authenticator, metrics) = authenticator(&raw);
        assert_eq!(user(authenticator.authenticate(good, ADDRESS).await), Ok(Some("ann".to_owned())), "{raw:?}");
        assert_eq!(authenticator.authenticate(bad, ADDRESS).await, Err(denied), "{raw:?}");
        let malformed = authenticator.authenticate(Credentials::Malformed, ADDRESS).await;
        assert_eq!(malformed, Err(Denied::Malformed), "{raw:?}");
        assert_eq!(authenticator.authenticate(Credentials::None, ADDRESS).await, Err(Denied::Missing), "{raw:?}");
        assert_eq!((counted(&metrics, "accepted"), counted(&metrics, "missing")), (1, 1));
        assert!(counted(&metrics, denied.label()) > 0);
    }
}

#[tokio::test]
async fn without_authentication_everybody_is_nobody_in_particular() {
    let (authenticator, _) = authenticator(&[("websocket.grants.subscribe", "public.*")]);
    let request = request("/?token=abc", "Authorization: Bearer abc\r\nSec-WebSocket-Protocol: bearer, abc\r\n");
    assert_eq!(authenticator.credentials(&request), (Credentials::None, None));
    let identity = authenticator.authenticate(Credentials::None, ADDRESS).await.unwrap();
    assert_eq!((identity.user, identity.expires), (None, None));
    assert_eq!(identity.grants.subscribe.as_ref().map(Vec::len), Some(1));
    assert!(!authenticator.requires_authentication() && authenticator.may_subscribe(None, "s", "c").await.unwrap());
}

#[tokio::test]
async fn credentials_are_found_where_they_may_be() {
    let raw = [(AUTH, "token"), ("websocket.auth.tokens", "a")];
    let (with_query, _) = authenticator(&[&raw[..], &[("websocket.auth.query", "token")]].concat());
    let (without, _) = authenticator(&raw);
    let (basic, _) = authenticator(&[(AUTH, "basic"), ("websocket.auth.users", "ann:a")]);
    let all = "Authorization: Bearer h\r\nSec-WebSocket-Protocol: v1, bearer, s\r\n";
    for (authenticator, target, headers, expected) in [
        (&with_query, "/?token=q", all, (token("h"), Some("bearer"))),
        (&with_query, "/?token=q", "Sec-WebSocket-Protocol: bearer, s\r\n", (token("s"), Some("bearer"))),
        (&with_query, "/?token=q", "", (token("q"), None)),
        (&without, "/?token=q", "", (Credentials::None, None)),
        (&without, "/", "Authorization: Digest x\r\nSec-WebSocket-Protocol: v1\r\n", (Credentials::Malformed, None)),
        (&basic, "/?token=q", "Sec-WebSocket-Protocol: bearer, s\r\n", (Credentials::None, None)),
    ] {
        assert_eq!(authenticator.credentials(&request(target, headers)), expected, "{target} {headers}");
    }
    assert!(with_query.may_authenticate_by_message() && !basic.may_authenticate_by_message());
}

#[tokio::test]
async fn a_refusal_says_how_to_go_on_and_nothing_else() {
    let (bearer, _) = authenticator(&[(AUTH, "token"), ("websocket.auth.tokens", "a")]);
    let (basic, _) = authenticator(&[(AUTH, "basic"), ("websocket.auth.users", "ann:a")]);
    let locked = Denied::LockedOut { retry_after: Duration::from_millis(1500) };
    for (authenticator, denied, status, header) in [
        (&bearer, Denied::Missing, "401 Unauthorized", "WWW-Authenticate: Bearer realm=\"eventflux\""),
        (&basic, Denied::Unknown, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"eventflux\""),
        (&bearer, Denied::Unavailable, "503 Service Unavailable", "Retry-After: 6"),
        (&bearer, locked, "429 Too Many Requests", "Retry-After: 2"),
    ] {
        let text = String::from_utf8(authenticator.refusal(&denied).encode()).unwrap();
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status}\r\n")) && text.contains(&format!("\r\n{header}\r\n")),
            "{text}"
        );
    }
    let refused = [Denied::Expired, Denied::Key, Denied::Signature].map(|denied| bearer.refusal(&denied).encode());
    assert!(refused.iter().all(|refusal| *refusal == bearer.refusal(&Denied::Unknown).encode()));
}

#[tokio::test]
async fn who_guesses_is_locked_out_and_others_are_not() {
    let raw = [(AUTH, "token"), ("websocket.auth.tokens", "abc123"), ("websocket.auth.attempts", "3")];
    let (authenticator, metrics) = authenticator(&raw);
    for _ in 0..3 {
        assert_eq!(authenticator.authenticate(token("guess"), ADDRESS).await, Err(Denied::Unknown));
        assert_eq!(authenticator.authenticate(Credentials::None, ADDRESS).await, Err(Denied::Missing));
    }
    // Even with the right one: otherwise one could go on to guess.
    let locked = authenticator.authenticate(token("abc123"), ADDRESS).await;
    assert!(matches!(locked, Err(Denied::LockedOut { .. })), "{locked:?}");
    assert_eq!(counted(&metrics, "locked_out"), 1);
    assert!(authenticator.authenticate(token("abc123"), "192.0.2.8".parse().unwrap()).await.is_ok());
}

#[tokio::test]
async fn new_credentials_must_be_of_the_same_user() {
    let (authenticator, metrics) = authenticator(&[(AUTH, "token"), ("websocket.auth.tokens", "a=ann,b=ann,c=bob")]);
    let ann = authenticator.authenticate(token("a"), ADDRESS).await.unwrap();
    assert!(authenticator.authenticate_again(&ann, token("b"), ADDRESS).await.is_ok());
    assert_eq!(authenticator.authenticate_again(&ann, token("c"), ADDRESS).await, Err(Denied::OtherUser));
    assert_eq!(authenticator.authenticate_again(&ann, token("x"), ADDRESS).await, Err(Denied::Unknown));
    assert_eq!((counted(&metrics, "accepted"), counted(&metrics, "other_user")), (2, 1));
}

#[tokio::test]
async fn published_keys_are_fetched_beforehand_and_rotate() {
    let mut server = Server::new_async().await;
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let url = format!("{}/jwks", server.url());
    let raw = [(AUTH, "jwt"), ("websocket.auth.jwt.jwks.url", url.as_str())];
    let mock = server.mock("GET", "/jwks").with_body(Issuer::jwks(&[&old])).expect(1).create_async().await;
    let (authenticator, metrics) = authenticator(&raw);
    authenticator.prepare();
    let authenticate =
        |issuer: &Issuer| authenticator.authenticate(Credentials::Token(issuer.token("ann", true)), ADDRESS);
    assert!(authenticate(&old).await.is_ok());
    // An unknown key a moment after the keys were fetched does not make us ask again.
    assert_eq!(authenticate(&new).await, Err(Denied::Key));
    mock.assert_async().await;
    assert_eq!(counted(&metrics, "key"), 1);

    let (rotating, _) = super::tests::authenticator(&raw);
    let KeyRing::Published(jwks) = (match &rotating.judge {
        Judge::Jwt(_, ring) => ring,
        _ => panic!("no keys"),
    }) else {
        panic!("no published keys")
    };
    let known = jwks.keys().await.unwrap();
    mock.remove_async().await;
    let _rotated = server.mock("GET", "/jwks").with_body(Issuer::jwks(&[&old, &new])).create_async().await;
    jwks.forget_attempt();
    let identity = rotating.authenticate(Credentials::Token(new.token("ann", true)), ADDRESS).await.unwrap();
    assert_eq!((identity.user.as_deref(), known.len()), (Some("ann"), 1));
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_and_nobody_is_blamed() {
    let server = Server::new_async().await;
    let url = format!("{}/jwks", server.url());
    let raw = [(AUTH, "jwt"), ("websocket.auth.jwt.jwks.url", url.as_str()), ("websocket.auth.attempts", "1")];
    let (authenticator, _) = authenticator(&raw);
    for _ in 0..3 {
        let judged = authenticator.authenticate(Credentials::Token(Issuer::new("a").token("ann", true)), ADDRESS).await;
        assert_eq!(judged, Err(Denied::Unavailable));
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = path.to_str().unwrap();
    let error = |raw: &[(&str, &str)]| {
        let made = Authenticator::new(&config(raw).unwrap(), "/", &Metrics::default());
        made.err().unwrap().to_string()
    };
    let missing = error(&[(AUTH, "token"), ("websocket.auth.tokens.file", file)]);
    assert!(missing.contains("websocket.auth.tokens.file") && missing.contains("No such file"), "{missing}");
    std::fs::write(&path, "ann:sesame\nhunter2\n").unwrap();
    let broken = error(&[(AUTH, "basic"), ("websocket.auth.users.file", file)]);
    assert!(broken.ends_with("line 2: is not of the form user:password"), "{broken}");
    std::fs::write(&path, Issuer::new("a").public_pem()).unwrap();
    let raw = [(AUTH, "jwt"), ("websocket.auth.jwt.key.file", file), ("websocket.auth.jwt.algorithms", "RS256")];
    let unfit = error(&raw);
    assert!(unfit.contains("'RS256' does not suit what websocket.auth.jwt.key.file holds"), "{unfit}");
}
