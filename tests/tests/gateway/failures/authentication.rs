//! Clients that are not who they say, or no longer, or do not say it.

use std::io::Write;

use eventflux_testkit::peer::{HttpAnswer, RawFrame, ScriptedClient};
use serde_json::{Value, json};

use super::super::client::{Client, refusal};
use super::super::environment::Process;
use super::super::jwt;
use super::super::served::{Served, WATCHED, serving};
use super::super::support::child::allow_many_connections;
use super::super::support::raw::Raw;
use super::{TOKENS, bystander, unharmed};

/// Nobody gets in with this token.
#[track_caller]
fn is_refused(served: &Served, token: &str) -> HttpAnswer {
    let answer = refusal(ScriptedClient::builder(served.url(&format!("?token={token}"))));
    assert_eq!(answer.status, 401);
    assert!(answer.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Bearer")));
    // One text, whatever is wrong.
    assert!(answer.body.contains("Invalid credentials"), "{}", answer.body);
    answer
}

fn with_secret() -> Served {
    serving("channels").with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{}'", jwt::SECRET)).start()
}

#[test]
fn missing_credentials_are_refused_before_the_upgrade_where_no_message_can_hold_them() {
    let served = serving("channels").with("websocket.auth='basic', websocket.auth.users='ann:hunter2-sesame'").start();
    // ann:hunter2-sesame
    let credentials = "Basic YW5uOmh1bnRlcjItc2VzYW1l";
    let builder = || ScriptedClient::builder(served.url(""));
    let bystander = Client::built(builder().header("Authorization", credentials));
    bystander.subscribe(&[WATCHED]);
    let answer = refusal(builder());
    assert_eq!((answer.status, answer.header("WWW-Authenticate")), (401, Some("Basic realm=\"eventflux\"")));
    // ann:hunter2-wrong
    assert_eq!(refusal(builder().header("Authorization", "Basic YW5uOmh1bnRlcjItd3Jvbmc=")).status, 401);
    served.counted_refusal("401", 2);
    served.counted_authentication("missing", 1);
    served.counted_authentication("unknown", 1);
    unharmed(served, &bystander);
}

#[test]
fn tokens_that_are_not_good_are_refused_all_in_the_same_words() {
    let served = with_secret();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let good = json!({"sub": "ann", "exp": jwt::in_seconds(60)});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        jwt::with(&claims)
    };
    for (what, token, result) in [
        ("expired", with("exp", json!(jwt::in_seconds(-60))), "expired"),
        ("not valid yet", with("nbf", json!(jwt::in_seconds(600))), "not_yet"),
        ("alg none", jwt::unsigned(&good), "algorithm"),
        ("an expiry that is a text", with("exp", json!(jwt::in_seconds(60).to_string())), "claims"),
        ("no expiry", jwt::with(&json!({"sub": "ann"})), "claims"),
        ("no user", jwt::with(&json!({"exp": jwt::in_seconds(60)})), "claims"),
        ("meant for somebody else", with("aud", json!("elsewhere")), "claims"),
        ("another key", jwt::signed(&json!({"alg": "HS256"}), &good, &[7; 64]), "signature"),
        ("no token", "hunter2.nonsense".to_owned(), "malformed"),
    ] {
        let labels = [("result", result)];
        let before = served.metric("eventflux_websocket_authentications_total", &labels);
        is_refused(&served, &token);
        let after = served.metric("eventflux_websocket_authentications_total", &labels);
        assert_eq!(after, before + 1, "{what} is not counted as {result}");
    }
    served.counted_refusal("401", 9);
    unharmed(served, &bystander);
}

#[test]
fn a_public_key_is_no_secret_to_sign_with_and_an_unknown_key_is_refused() {
    let (key, public) = jwt::rsa();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(public.as_bytes()).unwrap();
    let properties = format!("websocket.auth='jwt', websocket.auth.jwt.key.file='{}'", file.path().display());
    let served = serving("channels").with(&properties).start();
    let claims = json!({"sub": "ann", "exp": jwt::in_seconds(60)});
    let good = jwt::signed_by_rsa(&json!({"alg": "RS256"}), &claims, &key);
    let bystander = bystander(&served, &format!("?token={good}"));
    is_refused(&served, &jwt::signed(&json!({"alg": "HS256"}), &claims, public.as_bytes()));
    served.counted_authentication("algorithm", 1);
    let (other, _) = jwt::rsa();
    is_refused(&served, &jwt::signed_by_rsa(&json!({"alg": "RS256"}), &claims, &other));
    served.counted_authentication("signature", 1);
    served.counted_refusal("401", 2);
    unharmed(served, &bystander);
}

#[test]
fn a_key_of_an_unknown_name_is_refused() {
    let (key, _) = jwt::rsa();
    let issuer = Issuer::start(&json!({ "keys": [jwt::published(&key, "1")] }).to_string());
    let properties = format!("websocket.auth='jwt', websocket.auth.jwt.jwks.url='{}'", issuer.url);
    let served = serving("channels").with(&properties).start();
    let claims = json!({"sub": "ann", "exp": jwt::in_seconds(60)});
    let sign = |kid: &str| jwt::signed_by_rsa(&json!({"alg": "RS256", "kid": kid}), &claims, &key);
    let bystander = bystander(&served, &format!("?token={}", sign("1")));
    is_refused(&served, &sign("9"));
    served.counted_authentication("key", 1);
    served.counted_refusal("401", 1);
    unharmed(served, &bystander);
}

/// Publishes keys, as often as somebody asks, for as long as the test runs.
struct Issuer {
    url: String,
}

impl Issuer {
    fn start(keys: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{keys}",
            keys.len()
        );
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut asked = super::super::support::raw::Raw::over(stream);
                asked.head();
                asked.send(&answer);
            }
        });
        Self { url }
    }
}

#[test]
fn who_stays_silent_is_closed_with_1008_and_counts_for_nothing_until_then() {
    let served = serving("channels").with(TOKENS).with("websocket.auth.timeout='1500ms'").start();
    let bystander = bystander(&served, "?token=hunter2-bob");
    let silent: Vec<_> = (0..5).map(|_| served.client("")).collect();
    // Talking does not help, and nothing of it comes to anything.
    silent[0].send_all((0..20).map(|n| json!({"type": "subscribe", "data": {"channels": [format!("a{n}"), "*"]}})));
    let answers = silent[0].take(20);
    assert!(answers.iter().all(|answer| answer["data"]["code"] == "authentication_required"), "{answers:?}");
    served.wait_for_metric("websocket_subscriptions", &[], 1);
    for client in &silent {
        client.is_closed(1008, "authentication timeout");
    }
    served.counted_error("authentication_timeout", 5);
    served.counted_error("authentication_required", 20);
    served.counted_violation("1008", 5);
    unharmed(served, &bystander);
}

#[test]
fn who_did_not_authenticate_costs_little_memory_whatever_it_declares() {
    const CLIENTS: u64 = 400;
    const BYTES_EACH: u64 = 24 * 1024;
    allow_many_connections();
    let process = Process::start(&[
        ("STREAMING_WEBSOCKET__HOST", "127.0.0.1"),
        ("STREAMING_WEBSOCKET__PORT", "0"),
        ("STREAMING_WEBSOCKET__AUTH_TIMEOUT_SECONDS", "5"),
        ("STREAMING_WEBSOCKET__CLOSE_TIMEOUT", "1"),
    ]);
    let address = process.url.trim_start_matches("ws://").trim_end_matches('/').parse().unwrap();
    // The first one makes the process read in what it needs for all.
    let _first = Raw::upgraded(address, "/");
    let before = process.resident_bytes();
    let large = RawFrame::text("x".repeat(1_000_000)).masked().encode();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Raw::upgraded(address, "/")).collect();
    clients.iter_mut().for_each(|client| client.send(&large[..100]));
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < CLIENTS * BYTES_EACH, "{grown} bytes for {CLIENTS} clients");
    for client in &mut clients {
        assert_eq!(client.close_code(), 1008);
    }
}

#[test]
fn an_expiry_in_mid_session_closes_unless_it_is_refreshed_in_time() {
    let secret = jwt::SECRET;
    let served = serving("channels")
        .with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{secret}', websocket.auth.jwt.leeway='0'"))
        .start();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let soon = || jwt::with(&json!({"sub": "ann", "exp": jwt::in_seconds(3)}));
    let goes = served.client(&format!("?token={}", soon()));
    let stays = served.client(&format!("?token={}", soon()));
    // Another user's token does not renew anything.
    let answer = stays.ask(&json!({"type": "auth", "data": {"token": jwt::of("bob")}}));
    assert_eq!(answer["data"]["success"], false);
    served.counted_authentication("other_user", 1);
    let answer = stays.ask(&json!({"type": "auth", "data": {"token": jwt::of("ann")}}));
    assert_eq!(answer["data"]["success"], true);
    assert_eq!(goes.next()["data"]["code"], "authentication_expired");
    goes.is_closed(1008, "authentication expired");
    stays.subscribe(&[WATCHED]);
    served.serves(&stays);
    served.counted_violation("1008", 1);
    served.counted_error("authentication_expired", 1);
    unharmed(served, &bystander);
}

#[test]
fn renewed_credentials_bring_their_own_grants() {
    let served = with_secret();
    let bystander = bystander(&served, &format!("?token={}", jwt::of("bob")));
    let granted =
        |channels: &[&str]| jwt::with(&json!({"sub": "ann", "exp": jwt::in_seconds(60), "channels": channels}));
    let client = served.client(&format!("?token={}", granted(&["a"])));
    client.subscribe(&["a"]);
    let answer = client.ask(&json!({"type": "auth", "data": {"token": granted(&["b"])}}));
    assert_eq!(answer["data"]["success"], true);
    let ended = client.next();
    assert_eq!(
        (&ended["data"]["code"], ended["data"]["message"].as_str()),
        (&json!("permission_denied"), Some("Permission denied for 'a'"))
    );
    client.subscribe(&["b"]);
    let denied = client.ask(&json!({"type": "subscribe", "data": {"channels": ["c"]}}));
    assert_eq!(denied["data"]["code"], "permission_denied");
    served.publish("a", &json!("no longer"));
    served.publish("b", &json!("now"));
    assert_eq!(client.next(), json!({"type": "event", "data": "now"}), "what is no longer granted is no longer sent");
    unharmed(served, &bystander);
}

#[test]
fn who_guesses_is_locked_out_by_address_and_others_are_not() {
    let served = serving("channels")
        .with(TOKENS)
        .with("websocket.auth.attempts='3', websocket.trusted.proxies='127.0.0.1'")
        .start();
    let from = |address: &str, token: &str| {
        ScriptedClient::builder(served.url(&format!("?token={token}"))).header("X-Forwarded-For", address)
    };
    let bystander = Client::built(from("192.0.2.2", "hunter2-bob"));
    bystander.subscribe(&[WATCHED]);
    for guess in 0..3 {
        assert_eq!(refusal(from("192.0.2.1", &format!("hunter2-{guess}"))).status, 401);
    }
    let answer = refusal(from("192.0.2.1", "hunter2-ann"));
    assert_eq!(answer.status, 429, "the right one does not help any more");
    assert!(answer.header("Retry-After").is_some());
    Client::built(from("192.0.2.2", "hunter2-ann")).subscribe(&[WATCHED]);
    served.counted_authentication("unknown", 3);
    served.counted_authentication("locked_out", 1);
    served.counted_refusal("429", 1);
    unharmed(served, &bystander);
}

#[test]
fn guessing_by_messages_is_locked_out_too() {
    let served = serving("channels").with(TOKENS).with("websocket.auth.attempts='3'").start();
    let bystander = bystander(&served, "?token=hunter2-bob");
    let client = served.client("");
    for guess in 0..3 {
        let answer = client.ask(&json!({"type": "auth", "data": {"token": format!("hunter2-{guess}")}}));
        assert_eq!(answer["data"]["error"], "Authentication failed: Invalid credentials");
    }
    let answer = client.ask(&json!({"type": "auth", "data": {"token": "hunter2-ann"}}));
    assert_eq!(answer["data"]["error"], "Authentication failed: Too many attempts");
    served.counted_authentication("locked_out", 1);
    served.counted_error("authentication_failed", 4);
    unharmed(served, &bystander);
}
