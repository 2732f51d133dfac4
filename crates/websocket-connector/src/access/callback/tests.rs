use eventflux_core::Secret;
use eventflux_gateway::auth::Verb;
use mockito::{Matcher, Server, ServerGuard};

use super::*;
use crate::access::config::Kind;
use crate::access::testing::{ADDRESS, config, silent};

fn connect_to(url: &str, more: &[(&str, &str)]) -> ConnectHook {
    let raw = [
        &[("websocket.auth", "http"), ("websocket.auth.http.url", url), ("websocket.grants.subscribe", "public.*")],
        more,
    ];
    let config = config(&raw.concat()).unwrap();
    let Kind::Http(connect) = &config.kind else { panic!("{config:?}") };
    ConnectHook::new(connect, &config.grants, "/feed", &HttpClient::new())
}

fn connect(server: &ServerGuard, more: &[(&str, &str)]) -> ConnectHook {
    connect_to(&format!("{}/connect", server.url()), more)
}

fn subscribe_to(url: &str) -> SubscribeHook {
    let raw = [("websocket.auth", "token"), ("websocket.auth.tokens", "a"), ("websocket.auth.http.subscribe.url", url)];
    let hook = config(&raw).unwrap().subscribe_hook.unwrap();
    SubscribeHook::new(&hook, &HttpClient::new())
}

fn token(text: &str) -> Credentials {
    Credentials::Token(Secret::new(text))
}

#[tokio::test]
async fn a_service_says_who_a_client_is_and_what_it_may_do() {
    let mut server = Server::new_async().await;
    let question = json!({"token": "abc123", "address": "192.0.2.7", "path": "/feed"});
    let answer = json!({"user": "ann", "subscribe": ["a.*", "inbox.${user}"], "expires_in": 3600, "more": 1});
    let mock = server.mock("POST", "/connect").match_header("content-type", "application/json");
    let mock = mock.match_body(Matcher::Json(question)).with_body(answer.to_string()).create_async().await;
    let before = SystemTime::now();
    let identity = connect(&server, &[]).identify(&token("abc123"), ADDRESS).await.unwrap();
    mock.assert_async().await;
    assert_eq!(identity.user.as_deref(), Some("ann"));
    assert!(identity.grants.allows(Verb::Subscribe, "a.b") && identity.grants.allows(Verb::Subscribe, "inbox.ann"));
    assert!(!identity.grants.allows(Verb::Subscribe, "public.x") && !identity.grants.allows(Verb::Publish, "a.b"));
    let left = identity.expires.unwrap().duration_since(before).unwrap();
    assert!((Duration::from_secs(3600)..Duration::from_secs(3700)).contains(&left), "{left:?}");
}

#[tokio::test]
async fn an_answer_may_say_nothing_and_a_question_hold_a_password() {
    let mut server = Server::new_async().await;
    let question = json!({"user": "ann", "password": "sesame", "address": "192.0.2.7", "path": "/feed"});
    let mock = server.mock("POST", "/connect").match_body(Matcher::Json(question)).with_body("{}").create_async().await;
    let basic = Credentials::Basic { user: "ann".to_owned(), password: Secret::new("sesame") };
    let identity = connect(&server, &[]).identify(&basic, ADDRESS).await.unwrap();
    mock.assert_async().await;
    assert_eq!((identity.user, identity.expires), (None, None));
    assert!(identity.grants.allows(Verb::Subscribe, "public.x") && identity.grants.allows(Verb::Publish, "any"));
}

#[tokio::test]
async fn whatever_else_a_service_answers_lets_nobody_in() {
    let mut server = Server::new_async().await;
    for (status, body, denied) in [
        (401, "", Denied::Unknown),
        (403, "{\"user\":\"ann\"}", Denied::Unknown),
        (200, "{\"user\":\"ann\",\"expires_in\":0}", Denied::Expired),
        (200, "", Denied::Unavailable),
        (200, "ok", Denied::Unavailable),
        (200, "{\"user\":7}", Denied::Unavailable),
        (200, "{\"user\":\"a\\nb\"}", Denied::Unavailable),
        (200, "{\"user\":\"ann\",\"subscribe\":[\"a*b\"]}", Denied::Unavailable),
        (200, "{\"user\":\"ann\",\"expires_in\":-1}", Denied::Unavailable),
        (200, "{\"user\":\"ann.x\",\"subscribe\":[\"user.${user}.*\"]}", Denied::UserName),
        (204, "", Denied::Unavailable),
        (404, "", Denied::Unavailable),
        (429, "", Denied::Unavailable),
        (500, "{\"user\":\"ann\"}", Denied::Unavailable),
    ] {
        let mock = server.mock("POST", "/connect").with_status(status).with_body(body).create_async().await;
        let identified = connect(&server, &[]).identify(&token("abc123"), ADDRESS).await;
        mock.remove_async().await;
        assert_eq!(identified, Err(denied), "{status} {body}");
    }
}

#[tokio::test]
async fn no_token_follows_a_redirect() {
    let (mut server, mut elsewhere) = (Server::new_async().await, Server::new_async().await);
    let trap = elsewhere.mock("POST", Matcher::Any).with_body("{\"user\":\"eve\"}").expect(0).create_async().await;
    let trap_by_get =
        elsewhere.mock("GET", Matcher::Any).with_body("{\"user\":\"eve\"}").expect(0).create_async().await;
    for status in [301, 302, 303, 307, 308] {
        let mock = server.mock("POST", "/connect").with_status(status).with_header("location", &elsewhere.url());
        let mock = mock.create_async().await;
        let identified = connect(&server, &[]).identify(&token("abc123"), ADDRESS).await;
        assert_eq!(identified, Err(Denied::Unavailable), "{status}");
        mock.remove_async().await;
    }
    trap.assert_async().await;
    trap_by_get.assert_async().await;
}

#[tokio::test]
async fn an_answer_is_remembered_for_the_same_token_and_address_only() {
    let mut server = Server::new_async().await;
    let mock = server.mock("POST", "/connect").with_body("{\"user\":\"ann\"}").expect(3).create_async().await;
    let hook = connect(&server, &[]);
    for (text, address) in [("abc", ADDRESS), ("abc", ADDRESS), ("xyz", ADDRESS), ("abc", "192.0.2.8".parse().unwrap())]
    {
        assert!(hook.identify(&token(text), address).await.is_ok());
    }
    mock.assert_async().await;
    let forgetful = connect(&server, &[("websocket.auth.http.cache", "0")]);
    let mock = mock.expect(5);
    for _ in 0..2 {
        assert!(forgetful.identify(&token("abc"), ADDRESS).await.is_ok());
    }
    mock.assert_async().await;
}

#[tokio::test]
async fn an_answer_is_not_remembered_longer_than_it_is_valid() {
    let mut server = Server::new_async().await;
    let answer = "{\"user\":\"ann\",\"expires_in\":1}";
    let _mock = server.mock("POST", "/connect").with_body(answer).create_async().await;
    let hook = connect(&server, &[]);
    let first = hook.identify(&token("abc"), ADDRESS).await.unwrap();
    let renewed = async {
        while hook.identify(&token("abc"), ADDRESS).await.unwrap().expires == first.expires {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.unwrap();
}

#[tokio::test]
async fn a_service_that_is_down_or_silent_lets_nobody_in_and_is_asked_again() {
    let (listener, url) = silent();
    let late = [("websocket.auth.http.timeout", "50ms")];
    assert_eq!(connect_to(&url, &late).identify(&token("abc"), ADDRESS).await, Err(Denied::Unavailable));
    assert_eq!(subscribe_to(&url).0.config.timeout, Duration::from_secs(5));
    drop(listener);
    assert_eq!(connect_to(&url, &[]).identify(&token("abc"), ADDRESS).await, Err(Denied::Unavailable));
    assert_eq!(subscribe_to(&url).allows(Some("ann"), "s", "c").await, Err(Denied::Unavailable));

    let mut server = Server::new_async().await;
    let hook = connect(&server, &[]);
    let broken = server.mock("POST", "/connect").with_status(500).create_async().await;
    assert_eq!(hook.identify(&token("abc"), ADDRESS).await, Err(Denied::Unavailable));
    broken.remove_async().await;
    let _good = server.mock("POST", "/connect").with_body("{\"user\":\"ann\"}").create_async().await;
    assert!(hook.identify(&token("abc"), ADDRESS).await.is_ok());
}

#[tokio::test]
async fn a_service_has_a_say_in_each_subscription() {
    let mut server = Server::new_async().await;
    let question = json!({"user": "ann", "session": "s1", "channel": "a.*"});
    for (status, body, result) in [
        (200, "{\"allow\":true}", Ok(true)),
        (200, "{\"allow\":false}", Ok(false)),
        (403, "", Ok(false)),
        (200, "{}", Err(Denied::Unavailable)),
        (200, "{\"allow\":\"true\"}", Err(Denied::Unavailable)),
        (200, "true", Err(Denied::Unavailable)),
        (302, "", Err(Denied::Unavailable)),
        (500, "{\"allow\":true}", Err(Denied::Unavailable)),
    ] {
        let mock = server.mock("POST", "/").match_body(Matcher::Json(question.clone())).with_status(status);
        let mock = mock.with_body(body).create_async().await;
        assert_eq!(subscribe_to(&server.url()).allows(Some("ann"), "s1", "a.*").await, result, "{status} {body}");
        mock.assert_async().await;
        mock.remove_async().await;
    }
}
