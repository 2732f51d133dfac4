//! Who may take part in links, over TLS or not, and for how long.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{Ending, HttpAnswer, Refused, Script, ScriptedClient, ScriptedPeer};
use eventflux_testkit::tls::TestCertificates;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::{Value, json};

use super::ends::{End, LISTENS, connects, link};
use super::plain::Plain;

/// The environment of the tests that need one.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("FEDERATION_TEST_TOKEN", "hunter2-token"),
    ("FEDERATION_TEST_OTHER", "hunter2-other"),
    ("FEDERATION_TEST_USER", "streamkit"),
    ("FEDERATION_TEST_PASSWORD", "hunter2-secret123"),
    ("FEDERATION_TEST_ACCOUNT", "streamkit:hunter2-secret123"),
];

/// What signs tokens.
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// Bearer and basic: what an end asks for, and what one shows that is let in or not.
const AUTHENTICATION: [(&str, &str, &str); 2] = [
    (
        "websocket.auth='token', websocket.auth.tokens='${env:FEDERATION_TEST_TOKEN}=edge'",
        "auth.type='bearer', auth.bearer_token_env='FEDERATION_TEST_TOKEN'",
        "auth.type='bearer', auth.bearer_token_env='FEDERATION_TEST_OTHER'",
    ),
    (
        "websocket.auth='basic', websocket.auth.users='${env:FEDERATION_TEST_ACCOUNT}'",
        "auth.type='basic', auth.basic_auth.username_env='FEDERATION_TEST_USER',
         auth.basic_auth.password_env='FEDERATION_TEST_PASSWORD'",
        "auth.type='basic', auth.basic_auth.username_env='FEDERATION_TEST_USER',
         auth.basic_auth.password_env='FEDERATION_TEST_OTHER'",
    ),
];

/// Runs a test in a process of its own, which has the environment.
#[track_caller]
fn in_the_environment(test: &str) {
    let test = format!("access::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &test]).envs(ENVIRONMENT);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn both_modes_take_credentials_from_the_environment() {
    in_the_environment("with_credentials");
}

#[test]
#[ignore = "run by another test, in a process that has the environment"]
fn with_credentials() {
    for (asks, shows, shows_another) in AUTHENTICATION {
        let server = format!("{LISTENS}, {asks}");
        // The source listens.
        let hub = End::start(&format!(
            "{} CREATE STREAM Taken (person STRING, n BIGINT);",
            link("source", &server, "metadata.person='user'")
        ));
        let client = format!("{}, {shows}", connects(&hub.url()));
        let edge = End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", &client, "")));
        edge.publish("Out", 0..10);
        let people = ["edge", "streamkit"];
        let rows = hub.wait_for_rows("Taken", 10);
        assert!(rows.iter().all(|row| people.contains(&row["person"].as_str().unwrap())), "{rows:?}");
        is_refused(&hub.url(), shows_another);
        edge.stop();
        hub.stop();

        // The sink listens.
        let hub = End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", &server, "")));
        let client = format!("{}, {shows}", connects(&hub.url()));
        let edge = End::start(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", &client, "")));
        hub.publish("Out", 0..10);
        edge.has_numbers("Taken", 0..10);
        is_refused(&hub.url(), shows_another);
        edge.stop();
        hub.stop();
    }
}

/// Neither without credentials nor with those.
#[track_caller]
fn is_refused(url: &str, shows: &str) {
    assert_eq!(refusal(ScriptedClient::builder(url)).status, 401);
    let place = format!("{}, {shows}", connects(url).replace("max.attempts='-1'", "max.attempts='2'"));
    let other =
        End::start(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", &place, "websocket.link.name='x'")));
    other.pipeline.wait_for_state("Taken", ConnectionState::Failed);
    other.pipeline.wait_for_detail("Taken", "401");
    other.stop();
}

#[track_caller]
fn refusal(builder: eventflux_testkit::peer::ClientBuilder) -> HttpAnswer {
    match builder.attempt().blocking() {
        Err(Refused::Http(answer)) => answer,
        other => panic!("not refused by a status: {other:?}"),
    }
}

#[test]
fn the_printed_headers_are_sent() {
    in_the_environment("with_headers");
}

#[test]
#[ignore = "run by another test, in a process that has the environment"]
fn with_headers() {
    let encoded = openssl::base64::encode_block(b"streamkit:hunter2-secret123");
    let headers = ["Bearer hunter2-token".to_owned(), format!("Basic {encoded}")];
    for ((_, shows, _), header) in AUTHENTICATION.into_iter().zip(headers) {
        let peer =
            ScriptedPeer::builder().script(Script::new().expect_header("Authorization", header).accept()).start();
        let place = format!("{}, {shows}", connects(peer.url()));
        let end = End::start(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", &place, "")));
        end.pipeline.wait_for_state("Taken", ConnectionState::Connected);
        end.stop();
    }
}

#[test]
fn credentials_that_the_environment_does_not_have_are_an_error_that_names_the_variable() {
    let place = format!(
        "{}, auth.type='bearer', auth.bearer_token_env='FEDERATION_TEST_NOT_SET'",
        connects("ws://127.0.0.1:9/link")
    );
    let error = super::ends::refused(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", &place, "")));
    assert!(error.contains("FEDERATION_TEST_NOT_SET"), "{error}");
}

/// A token of a user for so many seconds.
fn token(user: &str, seconds: i64) -> String {
    let encoded =
        |bytes: &[u8]| openssl::base64::encode_block(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = json!({"sub": user, "exp": now + seconds});
    let message = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(claims.to_string().as_bytes()));
    let key = PKey::hmac(SECRET.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let signature = signer.sign_oneshot_to_vec(message.as_bytes()).unwrap();
    format!("{message}.{}", encoded(&signature))
}

/// A stream for whoever has a token.
fn guarded() -> End {
    let guard = format!("websocket.auth='jwt', websocket.auth.jwt.secret='{SECRET}', websocket.auth.jwt.leeway='0s'");
    End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", LISTENS, &guard)))
}

fn with_token(end: &End, seconds: i64) -> Plain {
    let authorization = format!("Bearer {}", token("edge", seconds));
    Plain::built(ScriptedClient::builder(end.url()).header("Authorization", authorization))
}

#[test]
fn a_token_that_expires_ends_the_connection() {
    let end = guarded();
    assert_eq!(refusal(ScriptedClient::builder(end.url())).status, 401);
    let peer = with_token(&end, 5);
    assert_eq!(peer.ask("status", &json!({}))["status"], "ok");
    match peer.peer.wait_for_end().blocking() {
        Ending::Closed { code: Some(1008), reason } => assert!(reason.contains("expired"), "{reason}"),
        other => panic!("{other:?}"),
    }
    end.stop();
}

#[test]
fn a_token_that_is_renewed_in_time_keeps_the_connection() {
    let end = guarded();
    let peer = with_token(&end, 6);
    assert_eq!(peer.refused("authenticate", &json!({"token": "hunter2-no-token"})), "forbidden");
    assert_eq!(peer.refused("authenticate", &json!({"token": token("somebody-else", 60)})), "forbidden");
    assert_eq!(peer.refused("authenticate", &json!({})), "invalid");
    let renewed = peer.ask("authenticate", &json!({"token": token("edge", 60)}));
    assert_eq!(renewed, json!({"status": "ok", "result": {"authenticated": true}}));
    // Another one with the first token's time is gone, and this one is not.
    let witness = with_token(&end, 7);
    witness.peer.wait_for_end().within(Duration::from_secs(20)).blocking();
    end.publish("Out", 0..1);
    assert_eq!(peer.members("n", 1), [0]);
    end.stop();
}

#[test]
fn links_go_over_tls_and_only_to_whom_they_trust() {
    let certificates = TestCertificates::valid();
    let files = format!(
        "websocket.tls.cert.file='{}', websocket.tls.key.file='{}'",
        certificates.server_file().display(),
        certificates.server_key_file().display()
    );
    let hub = End::start(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", LISTENS, &files)));
    let url = hub.url();
    assert!(url.starts_with("wss://"), "{url}");
    let place = connects(&url.replace("127.0.0.1", "localhost"));
    let trusts = format!("websocket.tls.ca.file='{}'", certificates.ca_file().display());
    let edge = End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", &place, &trusts)));
    edge.publish("Out", 0..100);
    hub.has_numbers("Taken", 0..100);
    edge.stop();

    let other =
        End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", &place, "websocket.link.name='x'")));
    other.pipeline.wait_for_state("Out", ConnectionState::Reconnecting);
    other.pipeline.wait_for_detail("Out", "certificate");
    other.stop();
    hub.stop();
}

#[test]
fn no_more_than_max_connections_are_let_in() {
    let end = End::start(&format!(
        "{} CREATE STREAM Out (n BIGINT);",
        link("sink", LISTENS, "websocket.max.connections='2'")
    ));
    let peers = [(); 2].map(|()| Plain::connect(&end.url()));
    peers.iter().for_each(|peer| assert_eq!(peer.ask("status", &json!({}))["status"], "ok"));
    match ScriptedClient::builder(end.url()).attempt().blocking() {
        Err(Refused::Http(answer)) => assert_eq!(answer.status, 503, "{answer:?}"),
        Ok(peer) => assert!(matches!(peer.wait_for_end().blocking(), Ending::Closed { code: Some(1013), .. })),
        Err(other) => panic!("{other:?}"),
    }
    end.publish("Out", 0..1);
    peers.iter().for_each(|peer| assert_eq!(peer.members("n", 1), [Value::from(0)]));
    end.stop();
}
