//! What each field of each kind of component becomes.

use crate::stand_in::{convert, remarks};

/// The properties of the first source or sink of the SQL that a component becomes.
fn properties(category: &str, name: &str, config: &str) -> Vec<String> {
    let side = if category == "input" { "outputs" } else { "inputs" };
    let text = format!(
        r#"{{"type": "{category}", "name": "{name}", "config": {{{config}{} "ports": {{"{side}": [{{"name": "p", "subject": "s"}}]}}}}}}"#,
        if config.is_empty() { "" } else { "," },
    );
    let sql = convert(&text);
    let list = sql.split_once("(\n    ").unwrap().1.split_once("\n)\n").unwrap().0;
    list.split(",\n    ").map(str::to_owned).collect()
}

/// Asserts, for each case, that a config has these properties and, of those that begin as they do, no others.
fn assert_properties(category: &str, name: &str, cases: &[(&str, &[&str])]) {
    for (config, expected) in cases {
        let found = properties(category, name, config);
        for property in *expected {
            assert!(found.iter().any(|line| line == property), "{config}: no {property} in {found:#?}");
        }
    }
}

/// Asserts, for each case, that a config has no property of these names.
fn assert_without(category: &str, name: &str, cases: &[(&str, &[&str])]) {
    for (config, keys) in cases {
        let found = properties(category, name, config);
        for key in *keys {
            let start = format!("{key}=");
            assert!(!found.iter().any(|line| line.starts_with(&start)), "{config}: {key} in {found:#?}");
        }
    }
}

const CLIENT: &str = r#""mode": "client", "client": {"url": "ws://a:1/x"}"#;
const SERVER: &str = r#""mode": "server", "server": {"http_port": 8081}"#;

fn with(base: &str, more: &str) -> String {
    format!("{base}, {more}")
}

#[test]
fn udp() {
    assert_properties(
        "input",
        "udp",
        &[
            (r#""port": 14550"#, &["type='udp'", "udp.listen='0.0.0.0:14550'"]),
            (r#""port": 0, "bind": "127.0.0.1""#, &["udp.listen='127.0.0.1:0'"]),
            (r#""port": 1, "bind": "::1""#, &["udp.listen='[::1]:1'"]),
            (r#""port": 1, "max_datagram_size": 1500"#, &["udp.max.datagram='1500'"]),
            (r#""port": 1, "receive_buffer_size": "4MiB""#, &["udp.receive.buffer='4MiB'"]),
            (r#""port": 1, "backpressure": {"queue_size": 5}"#, &["udp.queue.size='5'"]),
            (r#""port": 1, "backpressure": {"on_full": "block"}"#, &["udp.queue.full='block'"]),
        ],
    );
    let map = "@map(type='json', json.root.array='event', json.path.payload='$')";
    assert_eq!(properties("input", "udp", r#""port": 1"#), ["type='udp'", "udp.listen='0.0.0.0:1'", map]);
}

#[test]
fn objectstore() {
    let map = "@map(type='json', json.output='template', json.template='${payload}', json.line.breaks='space')";
    assert_eq!(properties("storage", "objectstore", ""), ["type='objectstore'", map]);
    assert_properties(
        "storage",
        "objectstore",
        &[
            (r#""url": "s3://bucket/x""#, &["objectstore.url='s3://bucket/x'"]),
            (r#""url": "${env:STORE_URL}""#, &["objectstore.url='${env:STORE_URL}'"]),
            (r#""path": "it's/${stream}""#, &["objectstore.path='it''s/${stream}'"]),
            (r#""batch": {"size": "2MiB"}"#, &["objectstore.batch.size='2MiB'"]),
            (r#""batch": {"events": 10}"#, &["objectstore.batch.events='10'"]),
            (r#""batch": {"delay": "1s"}"#, &["objectstore.batch.delay='1s'"]),
        ],
    );
}

#[test]
fn websocket_input_as_server() {
    let with = |more: &str| with(SERVER, more);
    let port = |more: &str| format!(r#""mode": "server", "server": {{"http_port": 8081, {more}}}"#);
    assert_eq!(
        properties("input", "websocket_input", SERVER)[..10],
        [
            "type='websocket'",
            "websocket.protocol='federation'",
            "websocket.mode='server'",
            "websocket.listen='0.0.0.0:8081'",
            "websocket.path='/'",
            "websocket.max.connections='100'",
            "websocket.control='true'",
            "websocket.request.timeout='5s'",
            "websocket.queue.size='1000'",
            "websocket.queue.full='drop_oldest'",
        ]
    );
    assert_properties(
        "input",
        "websocket_input",
        &[
            (SERVER, &["websocket.accept='data'"]),
            (&port(r#""path": "/ingest""#), &["websocket.path='/ingest'"]),
            (&port(r#""bind": "127.0.0.1""#), &["websocket.listen='127.0.0.1:8081'"]),
            (&port(r#""max_connections": 7"#), &["websocket.max.connections='7'"]),
            (&port(r#""enable_compression": true"#), &["websocket.permessage-deflate='true'"]),
            (
                &with(r#""auth": {"type": "bearer", "bearer_token_env": "TOKEN"}"#),
                &["websocket.auth='token'", "websocket.auth.tokens='${env:TOKEN}=peer'"],
            ),
            (
                &with(r#""auth": {"type": "basic", "basic_auth": {"username_env": "U", "password_env": "P"}}"#),
                &["websocket.auth='basic'", "websocket.auth.users='${env:U}:${env:P}'"],
            ),
        ],
    );
    let client = r#""client": {"url": "ws://a:1/", "reconnect": {"max_retries": 1}}"#;
    assert_without(
        "input",
        "websocket_input",
        &[
            (SERVER, &["websocket.url", "websocket.reconnect", "websocket.auth", "auth.type"]),
            (&with(client), &["websocket.url", "websocket.reconnect.max.attempts"]),
            (
                &with(r#""auth": {"type": "none", "bearer_token_env": "TOKEN"}"#),
                &["websocket.auth", "websocket.auth.tokens"],
            ),
        ],
    );
}

#[test]
fn websocket_input_as_client() {
    let with = |more: &str| with(CLIENT, more);
    let reconnect =
        |more: &str| format!(r#""mode": "client", "client": {{"url": "ws://a:1/x", "reconnect": {{{more}}}}}"#);
    assert_properties(
        "input",
        "websocket_input",
        &[
            (CLIENT, &["websocket.mode='client'", "websocket.url='ws://a:1/x'", "websocket.reconnect='true'"]),
            (&reconnect(r#""enabled": false"#), &["websocket.reconnect='false'"]),
            (&reconnect(r#""max_retries": 10"#), &["websocket.reconnect.max.attempts='10'"]),
            (&reconnect(r#""initial_interval": "1s""#), &["websocket.reconnect.delay.ms='1000'"]),
            (&reconnect(r#""max_interval": "2m""#), &["websocket.reconnect.max.delay.ms='120000'"]),
            (&reconnect(r#""multiplier": 2.0"#), &["websocket.reconnect='true'"]),
            (
                &with(r#""auth": {"type": "bearer", "bearer_token_env": "TOKEN"}"#),
                &["auth.type='bearer'", "auth.bearer_token_env='TOKEN'"],
            ),
            (
                &with(r#""auth": {"type": "basic", "basic_auth": {"username_env": "U", "password_env": "P"}}"#),
                &["auth.type='basic'", "auth.basic_auth.username_env='U'", "auth.basic_auth.password_env='P'"],
            ),
            (&with(r#""bidirectional": {"enabled": false}"#), &["websocket.control='false'"]),
            (&with(r#""bidirectional": {"request_timeout": "9s"}"#), &["websocket.request.timeout='9s'"]),
            (&with(r#""bidirectional": {"max_concurrent_requests": 3}"#), &["websocket.max.requests='3'"]),
            (&with(r#""backpressure": {"queue_size": 5}"#), &["websocket.queue.size='5'"]),
            (&with(r#""backpressure": {"on_full": "drop_newest"}"#), &["websocket.queue.full='drop_newest'"]),
            (
                &with(r#""backpressure": {"enabled": false, "on_full": "drop_newest"}"#),
                &["websocket.queue.full='block'"],
            ),
        ],
    );
    assert_without(
        "input",
        "websocket_input",
        &[
            (CLIENT, &["websocket.listen", "websocket.path", "websocket.max.connections", "websocket.auth"]),
            (&reconnect(r#""enabled": false, "max_retries": 3"#), &["websocket.reconnect.max.attempts"]),
            (&with(r#""bidirectional": {"enabled": false}"#), &["websocket.request.timeout", "websocket.max.requests"]),
            (&with(r#""server": {"http_port": 1, "path": "/x"}"#), &["websocket.listen", "websocket.path"]),
        ],
    );
}

#[test]
fn websocket_output() {
    assert_properties(
        "output",
        "websocket",
        &[
            (
                r#""http_port": 8080, "path": "/federation""#,
                &[
                    "type='websocket'",
                    "websocket.protocol='federation'",
                    "websocket.mode='server'",
                    "websocket.listen='0.0.0.0:8080'",
                    "websocket.path='/federation'",
                    "websocket.max.connections='100'",
                    "websocket.control='true'",
                    "websocket.request.timeout='5s'",
                ],
            ),
            (
                r#""http_port": 1, "bind": "127.0.0.1", "max_connections": 2"#,
                &["websocket.listen='127.0.0.1:1'", "websocket.max.connections='2'"],
            ),
            (r#""http_port": 1, "enable_compression": false"#, &["websocket.permessage-deflate='false'"]),
            (
                r#""http_port": 1, "auth": {"type": "bearer", "bearer_token_env": "T"}"#,
                &["websocket.auth='token'", "websocket.auth.tokens='${env:T}=peer'"],
            ),
            (
                r#""url": "wss://b/x""#,
                &["websocket.mode='client'", "websocket.url='wss://b/x'", "websocket.reconnect='true'"],
            ),
            (
                r#""mode": "client", "url": "ws://b/", "reconnect": {"max_retries": 4}"#,
                &["websocket.reconnect.max.attempts='4'"],
            ),
            (
                r#""url": "ws://b/", "reconnect": {"initial_interval": "500ms", "max_interval": "1h"}"#,
                &["websocket.reconnect.delay.ms='500'", "websocket.reconnect.max.delay.ms='3600000'"],
            ),
            (r#""url": "ws://b/", "bidirectional": {"max_concurrent_requests": 10}"#, &["websocket.max.requests='10'"]),
        ],
    );
    assert_without(
        "output",
        "websocket",
        &[
            (r#""http_port": 1"#, &["websocket.url", "websocket.reconnect"]),
            (r#""url": "ws://b/", "http_port": 1"#, &["websocket.listen", "websocket.path"]),
            (r#""mode": "server", "http_port": 1, "url": "ws://b/""#, &["websocket.url"]),
        ],
    );
}

#[test]
fn requests_and_replies_have_a_subject_each() {
    let sql = convert(&format!(
        r#"{{"type": "input", "name": "websocket_input", "config": {{{CLIENT}, "ports": {{"outputs": [
            {{"name": "ws_data", "subject": "d"}}, {{"name": "ws_control", "subject": "c"}}]}}}}}}"#
    ));
    for (accepted, stream) in [("data", "d"), ("request", "c.request"), ("reply", "c.reply")] {
        let statement = sql.split(";\n").find(|statement| statement.contains(&format!("\"{stream}\""))).unwrap();
        assert!(statement.contains(&format!("websocket.accept='{accepted}'")), "{statement}");
        assert!(statement.contains("websocket.url='ws://a:1/x'"), "{statement}");
    }
}

#[test]
fn a_variable_that_is_part_of_a_list_has_to_be_set_and_hold_one_entry() {
    let file = |name: &str| {
        format!(
            r#"{{"components": {{"in": {{"type": "input", "name": "websocket_input", "config": {{{SERVER},
            "auth": {{"type": "bearer", "bearer_token_env": "{name}"}},
            "ports": {{"outputs": [{{"name": "o", "subject": "s"}}]}}}}}}, "out": {{"type": "storage", "name": "objectstore", "config": {{
            "ports": {{"inputs": [{{"name": "i", "subject": "s"}}]}}}}}}}}}}"#
        )
    };
    assert_eq!(remarks(&file("CARGO_PKG_NAME")), Vec::<String>::new());
    assert_eq!(
        remarks(&file("EVENTFLUX_NOBODY_SETS_THIS")),
        [
            "2:60 /components/in/config/auth/bearer_token_env: environment variable EVENTFLUX_NOBODY_SETS_THIS is not set (set it before the start)"
        ]
    );
}

/// A file with these members of `nats`, and a subject that is written and one that is read there.
fn with_nats(members: &str) -> String {
    format!(
        r#"{{"nats": {{{members}}}, "components": [
            {{"type": "input", "name": "udp", "config": {{"port": 1,
              "ports": {{"outputs": [{{"name": "o", "subject": "written", "type": "nats"}}]}}}}}},
            {{"type": "storage", "name": "objectstore", "config": {{
              "ports": {{"inputs": [{{"name": "i", "subject": "read", "type": "nats"}}, {{"name": "j", "subject": "written"}}]}}}}}}]}}"#
    )
}

#[test]
fn nats_of_a_file() {
    let cases: [(&str, &[&str]); 6] = [
        (r#""name": "edge-7""#, &["nats.name='edge-7'"]),
        (
            r#""user_env": "NATS_USER", "password_env": "NATS_PASSWORD""#,
            &["nats.user='${env:NATS_USER}'", "nats.password='${env:NATS_PASSWORD}'"],
        ),
        (r#""token_env": "NATS_TOKEN""#, &["nats.token='${env:NATS_TOKEN}'"]),
        (r#""nkey_env": "NATS_NKEY""#, &["nats.nkey='${env:NATS_NKEY}'"]),
        (r#""credentials": "/run/secrets/edge.creds""#, &["nats.credentials='/run/secrets/edge.creds'"]),
        (
            r#""tls": {"required": true, "ca": "ca.pem", "cert": "c.pem", "key": "k.pem"}"#,
            &["nats.tls='true'", "nats.tls.ca='ca.pem'", "nats.tls.cert='c.pem'", "nats.tls.key='k.pem'"],
        ),
    ];
    for (members, expected) in cases {
        let sql = convert(&with_nats(&format!(r#""url": "${{env:NATS_URL}}", {members}"#)));
        for property in expected.iter().chain(&["nats.url='${env:NATS_URL}'"]) {
            // Of the source and of the sink.
            assert_eq!(sql.matches(&format!("{property},")).count(), 2, "{members}: {property} in {sql}");
        }
    }
}

#[test]
fn mistakes_in_nats_of_a_file() {
    let cases = [
        ("", "1:2 /nats: 'url' is required, and missing (give it a value: any text)"),
        (r#""url": 4222"#, "1:18 /nats/url: 'url': a number is not allowed (use any text)"),
        (
            r#""url": "nats://a", "password": "secret""#,
            "1:30 /nats/password: 'password' is not known here (did you mean 'password_env'?)",
        ),
        (
            r#""url": "nats://a", "token_env": "s3cr3t!""#,
            "1:43 /nats/token_env: 'token_env': this text is not allowed (use the name of an environment variable: letters, digits and '_'; the secret itself belongs into the variable)",
        ),
        (
            r#""url": "nats://a", "ports": {}"#,
            "1:30 /nats/ports: 'ports' is not known here (use one of url, name, user_env, password_env, token_env, nkey_env, credentials, tls)",
        ),
        (
            r#""url": "nats://a", "tls": {"ca_file": "x"}"#,
            "1:38 /nats/tls/ca_file: 'tls.ca_file' is not known here (did you mean 'ca'?)",
        ),
    ];
    for (members, expected) in cases {
        let found = remarks(&with_nats(members));
        assert!(found.iter().any(|remark| remark == expected), "{members}: {found:#?}");
    }
}
