//! Pages that may not connect.

use eventflux_testkit::peer::ScriptedClient;
use serde_json::json;

use super::super::client::{Client, refusal};
use super::super::served::{WATCHED, serving};
use super::{TOKENS, bystander, unharmed};

const ORIGINS: &str = "websocket.origins='https://good.example, http://good.example:3000'";

/// None of them is one of [`ORIGINS`].
const BAD: [&str; 9] = [
    "https://evil.example",
    "null",
    "https://good.example.evil",
    "https://evil-good.example",
    "https://good.example:8443",
    "http://good.example:3001",
    "http://good.example",
    "https://good.example@evil.example",
    "",
];

#[test]
fn a_page_of_another_origin_is_refused_with_403_before_the_upgrade() {
    for protocol in ["channels", "events"] {
        let served = serving(protocol).with(TOKENS).with(ORIGINS).start();
        let from = |origin: &str| ScriptedClient::builder(served.url("?token=hunter2-ann")).header("Origin", origin);
        for origin in BAD {
            let answer = refusal(from(origin));
            assert_eq!(answer.status, 403, "{protocol}: {origin}");
        }
        served.counted_refusal("403", BAD.len() as u64);
        for origin in ["https://good.example", "http://good.example:3000"] {
            let page = Client::built(from(origin));
            assert_eq!(page.peer.record().endings, [], "{protocol}: {origin}");
        }
        served.stop();
    }
}

#[test]
fn where_the_protocol_says_so_it_is_closed_with_1008_and_gets_nothing() {
    let served = serving("analytics").with("websocket.auth='none'").with(ORIGINS).start();
    let from = |origin: &str| Client::built(ScriptedClient::builder(served.url("")).header("Origin", origin));
    for origin in BAD {
        let page = from(origin);
        page.is_closed(1008, "origin not allowed");
        assert!(page.peer.record().messages.is_empty());
    }
    served.counted_violation("1008", BAD.len() as u64);
    assert_eq!(from("https://good.example").ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.stop();
}

#[test]
fn others_do_not_notice_pages_that_are_refused() {
    let served = serving("channels").with(TOKENS).with(ORIGINS).start();
    let bystander = bystander(&served, "?token=hunter2-bob");
    for _ in 0..30 {
        let evil = ScriptedClient::builder(served.url("?token=hunter2-ann")).header("Origin", "https://evil.example");
        assert_eq!(refusal(evil).status, 403);
    }
    // Programs that are no browsers send no origin.
    let program = served.client("?token=hunter2-ann");
    program.subscribe(&[WATCHED]);
    served.serves(&program);
    served.counted_refusal("403", 30);
    unharmed(served, &bystander);
}
