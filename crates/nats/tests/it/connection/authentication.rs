//! Who we are, right and wrong, in all the ways there are.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use eventflux_core::health::ConnectionState;
use eventflux_nats::connection::ERRORS;
use eventflux_nats::{Connection, ConnectionConfig, Observer};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{config, count, eager, observer, open, shows, within};

/// Connects with what is right, and is refused with what is wrong, without telling anybody what it was.
async fn assert_lets_in(server: &NatsServer, name: &str, right: &[(&str, &str)], wrong: &[(&str, &str)]) {
    let logs = LogCapture::start();
    let of = |name: String| observer(&name);
    let observer = of(format!("{name}Right"));
    let connection = open(&eager(&server.url(), right), &observer).await.unwrap();
    connection.client().publish("a", "".into()).await.unwrap();
    connection.client().flush().await.unwrap();
    for (which, pairs) in [("Wrong", wrong), ("None", &[])] {
        assert_is_refused(server, &of(format!("{name}{which}")), pairs).await;
    }
    for (key, value) in right.iter().chain(wrong).filter(|(key, _)| *key != "nats.user" && *key != "nats.credentials") {
        logs.assert_absent(value);
        let config = format!("{:?}", eager(&server.url(), &[right, &[("nats.name", "x")]].concat()));
        assert!(!config.contains(value), "{key} is in {config}");
    }
}

/// Being refused is shown, counted and tried again: whoever runs the server may mend it.
async fn assert_is_refused(server: &NatsServer, observer: &Observer, pairs: &[(&str, &str)]) {
    let config = eager(&server.url(), &[pairs, &[("nats.reconnect.max.attempts", "2")]].concat());
    let error = open(&config, observer).await.unwrap_err();
    let text = error.to_string();
    assert!(text.to_lowercase().contains("authorization violation") && text.contains("attempt 2"), "{text}");
    assert!(error.is_retryable());
    assert_eq!(count(observer, ERRORS, "connect"), 2);
    let health = observer.health.current();
    assert_eq!(health.state, ConnectionState::Failed);
    for (key, value) in pairs.iter().filter(|(key, _)| *key != "nats.user" && *key != "nats.credentials") {
        assert!(!text.contains(value) && !format!("{health:?}").contains(value), "{key} is in {text}");
    }
}

#[tokio::test]
async fn a_token() {
    let server = NatsServer::start_with("authorization { token: 'open-sesame-4711' }");
    let (right, wrong) = ([("nats.token", "open-sesame-4711")], [("nats.token", "open-barley-4711")]);
    assert_lets_in(&server, "Token", &right, &wrong).await;
}

#[tokio::test]
async fn a_user_and_its_password() {
    let server = NatsServer::start_with("authorization { user: alice, password: 'wonder-4711' }");
    let right = [("nats.user", "alice"), ("nats.password", "wonder-4711")];
    let wrong = [("nats.user", "alice"), ("nats.password", "wander-4711")];
    assert_lets_in(&server, "User", &right, &wrong).await;
}

#[tokio::test]
async fn an_nkey() {
    let (known, unknown) = (KeyPair::new_user(), KeyPair::new_user());
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key());
    let server = NatsServer::start_with(&users);
    let (right, wrong) = (known.seed().unwrap(), unknown.seed().unwrap());
    assert_lets_in(&server, "Nkey", &[("nats.nkey", &right)], &[("nats.nkey", &wrong)]).await;
}

#[tokio::test]
async fn a_file_of_credentials() {
    let issued = Issued::new();
    let server = NatsServer::start_with(&issued.server_config());
    let (right, right_seed) = issued.credentials(&server, "right.creds", &issued.account);
    let (wrong, wrong_seed) = issued.credentials(&server, "wrong.creds", &KeyPair::new_account());
    let logs = LogCapture::start();
    let pairs = [("nats.credentials", right.to_str().unwrap())];
    assert_lets_in(&server, "Creds", &pairs, &[("nats.credentials", wrong.to_str().unwrap())]).await;
    logs.assert_absent(&right_seed);
    logs.assert_absent(&wrong_seed);
}

#[tokio::test]
async fn a_file_of_credentials_is_read_again_for_each_connect() {
    let issued = Issued::new();
    let (server, observer) = (NatsServer::start_with(&issued.server_config()), observer("Renewed"));
    let (file, _) = issued.credentials(&server, "own.creds", &KeyPair::new_account());
    let config = eager(&server.url(), &[("nats.credentials", file.to_str().unwrap())]);
    let opening = tokio::spawn({
        let (config, observer) = (config.clone(), observer.clone());
        async move { Connection::open(&config, &observer).await }
    });
    shows(&observer, ConnectionState::Reconnecting, "authorization violation").await;
    let (renewed, _) = issued.credentials(&server, "renewed.creds", &issued.account);
    fs::rename(renewed, &file).unwrap();
    let connection = within(opening).await.unwrap().unwrap();

    // Later, too; and a file that is gone for a while is no end.
    let (away, reconnected) = (file.with_extension("away"), connection.reconnected());
    fs::rename(&file, &away).unwrap();
    server.restart();
    shows(&observer, ConnectionState::Reconnecting, "cannot be used: No such file").await;
    fs::rename(&away, &file).unwrap();
    within(reconnected).await;
}

#[tokio::test]
async fn a_file_of_credentials_that_cannot_be_used_is_an_error_of_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let seed = KeyPair::new_user().seed().unwrap();
    for (name, text) in [("absent", None), ("empty", Some("")), ("without", Some(&*seed))] {
        let file = directory.path().join(name);
        text.into_iter().for_each(|text| fs::write(&file, text).unwrap());
        let config = eager("nats://127.0.0.1:1", &[("nats.credentials", file.to_str().unwrap())]);
        let error = open(&config, &observer("Unusable")).await.unwrap_err();
        assert_eq!(error.error_type(), "configuration");
        let text = error.to_string();
        assert!(text.contains("nats.credentials") && text.contains(name) && !text.contains(&seed), "{text}");
        assert_eq!(Connection::validate(&config).unwrap_err(), error);
    }
}

#[tokio::test]
async fn who_is_refused_gets_in_when_the_server_learns_of_it() {
    let mut server = NatsServer::start_with("authorization { token: 'old-token-1' }");
    let (observer, logs) = (observer("Mended"), LogCapture::start().containing("[Mended]"));
    let config = eager(&server.url(), &[("nats.token", "new-token-2")]);
    let opening = tokio::spawn({
        let (config, observer) = (config.clone(), observer.clone());
        async move { Connection::open(&config, &observer).await }
    });
    shows(&observer, ConnectionState::Reconnecting, "authorization violation").await;
    server.reload("authorization { token: 'new-token-2' }");
    let connection = within(opening).await.unwrap().unwrap();
    assert!(connection.is_connected());
    let refusals = logs.lines().into_iter().filter(|line| line.message.contains("authorization violation")).count();
    assert_eq!(refusals, 1);
}

#[tokio::test]
async fn who_is_not_welcome_any_more_is_told_so_and_comes_back_when_it_is_again() {
    let welcome = "authorization { token: 'token-of-before' }";
    let (mut server, observer) = (NatsServer::start_with(welcome), observer("Revoked"));
    let config = eager(&server.url(), &[("nats.token", "token-of-before")]);
    let connection = open(&config, &observer).await.unwrap();
    server.reload("authorization { token: 'token-of-after' }");
    shows(&observer, ConnectionState::Reconnecting, "authorization violation").await;
    let reconnected = connection.reconnected();
    server.reload(welcome);
    within(reconnected).await;
}

#[test]
fn nothing_secret_is_in_a_configuration_that_is_printed() {
    let seed = KeyPair::new_user().seed().unwrap();
    let printed = |pairs: &[(&str, &str)]| -> String {
        let config: ConnectionConfig = config(&[&[("nats.url", "nats://h")], pairs].concat());
        format!("{config:?}")
    };
    assert!(!printed(&[("nats.token", "hush")]).contains("hush"));
    assert!(!printed(&[("nats.user", "u"), ("nats.password", "hush")]).contains("hush"));
    assert!(!printed(&[("nats.nkey", &seed)]).contains(&seed));
}

/// An operator with an account, whose servers let in whom the account's key has signed.
struct Issued {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
}

impl Issued {
    fn new() -> Self {
        let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        Self { operator, system, account }
    }

    fn server_config(&self) -> String {
        let (system, account) = (self.system.public_key(), self.account.public_key());
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "conn": -1, "imports": -1, "exports": -1,
            "wildcards": true, "leaf": -1 });
        let of_account =
            |key: &str| jwt(&self.operator, key, &json!({ "type": "account", "version": 2, "limits": limits }));
        let operator = self.operator.public_key();
        let own = json!({ "type": "operator", "version": 2, "system_account": system });
        format!(
            "operator: {}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{ {system}: {}, {account}: {} }}",
            jwt(&self.operator, &operator, &own),
            of_account(&system),
            of_account(&account),
        )
    }

    /// A new user of `account` and the seed of its key; the file is written beside those of the server.
    fn credentials(&self, server: &NatsServer, name: &str, account: &KeyPair) -> (PathBuf, String) {
        let user = KeyPair::new_user();
        let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let (token, seed) = (jwt(account, &user.public_key(), &claims), user.seed().unwrap());
        let file = server.directory().join(name);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
            -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(&file, text).unwrap();
        (file, seed)
    }
}

fn jwt(issuer: &KeyPair, subject: &str, nats: &Value) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = json!({ "jti": subject, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test",
        "sub": subject, "nats": nats });
    let signed = format!("{header}.{}", part(claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
