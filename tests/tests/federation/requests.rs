//! Requests and replies of two pipelines, from SQL at both ends.

use serde_json::{Value, json};

use super::ends::{End, LISTENS, connects, link};
use super::plain::Plain;

/// What became of the requests of an end.
const ANSWERS: &str = "CREATE STREAM Answers (sender STRING, ticket STRING, outcome STRING, method STRING, id STRING,
    status STRING, result JSON, error JSON);";

/// What an end is asked.
const ASKED: &str = "CREATE STREAM Asked (sender STRING, request STRING, asked STRING, id STRING, params JSON);";

/// Asks, and hears the answers.
fn asking(place: &str, properties: &str) -> String {
    let place = &patient(place);
    let ask = "websocket.send='request', websocket.method='${asked}', websocket.correlation='${ticket}'";
    let exclude = "@map(type='json', exclude='asked, ticket')";
    let hear = "websocket.accept='reply', metadata.sender='connection', metadata.ticket='correlation',
        metadata.outcome='status', metadata.method='method', metadata.id='id'";
    format!(
        "{} CREATE STREAM Ask (asked STRING, ticket STRING, rate_limit INT);
         {} {ANSWERS}",
        super::ends::mapped("sink", place, &format!("{ask}{properties}"), exclude),
        link("source", place, hear)
    )
}

/// Hears what it is asked, and answers what a test or a query puts into `Replies`.
fn asked(place: &str) -> String {
    let place = &patient(place);
    let hear = "websocket.accept='request', metadata.sender='connection', metadata.request='request',
        metadata.asked='method', metadata.id='id'";
    let answer = "websocket.send='reply', websocket.reply='${request}', websocket.status='${outcome}',
        error.strategy='dlq', error.dlq.stream='Failed'";
    let exclude = "@map(type='json', exclude='request, outcome')";
    format!(
        "{} {ASKED}
         {} CREATE STREAM Replies (request STRING, outcome STRING, firmware STRING, code STRING, message STRING);
         CREATE STREAM Failed (errorMessage STRING, originalEvent STRING);",
        link("source", place, hear),
        super::ends::mapped("sink", place, answer, exclude)
    )
}

/// Both.
fn both(place: &str) -> String {
    format!("{} {}", asking(place, ""), asked(place))
}

/// The place of a client whose sources and sinks share one connection.
fn shared(url: &str, properties: &str) -> String {
    patient(&format!("{}, websocket.connection='hub'{properties}", connects(url)))
}

/// Replies are waited for longer than a test takes, where it does not say otherwise.
fn patient(place: &str) -> String {
    let timeout = if place.contains("request.timeout") { "" } else { ", websocket.request.timeout='60s'" };
    format!("{place}{timeout}")
}

/// An end has a connection that requests can go to.
#[track_caller]
fn has_links(end: &End, count: u64) {
    end.wait_for_metric("eventflux_federation_connections_total", &[], count);
}

fn ask(end: &End, method: &str, ticket: &str) {
    end.send("Ask", &json!({"asked": method, "ticket": ticket})).unwrap();
}

#[track_caller]
fn answer(end: &End, request: &Value, firmware: &str) {
    end.send("Replies", &json!({"request": request, "outcome": "ok", "firmware": firmware})).unwrap();
}

#[test]
fn each_end_asks_and_the_other_pipeline_answers() {
    let hub = End::start(&both(LISTENS));
    let edge = End::start(&both(&shared(&hub.url(), "")));
    for end in [&hub, &edge] {
        has_links(end, 1);
    }
    for (asker, answerer, ticket) in [(&hub, &edge, "from-hub"), (&edge, &hub, "from-edge")] {
        ask(asker, "inventory", ticket);
        let request = answerer.wait_for_rows("Asked", 1).remove(0);
        assert_eq!(
            (&request["asked"], &request["params"]),
            (&json!("inventory"), &json!({"rate_limit": null})),
            "{request}"
        );
        answer(answerer, &request["request"], "4.2.1");
        let reply = asker.wait_for_rows("Answers", 1).remove(0);
        assert_eq!((&reply["ticket"], &reply["outcome"]), (&json!(ticket), &json!("ok")), "{reply}");
        assert_eq!((&reply["method"], &reply["id"]), (&json!("inventory"), &request["id"]), "{reply}");
        assert_eq!((&reply["status"], &reply["error"]), (&json!("ok"), &Value::Null), "{reply}");
        assert_eq!(reply["result"]["firmware"], "4.2.1", "{reply}");
    }
    edge.stop();
    hub.stop();
}

#[test]
fn answers_find_their_questions_in_any_order() {
    let hub = End::start(&asking(LISTENS, ""));
    let edge = End::start(&asked(&shared(&hub.url(), "")));
    has_links(&hub, 1);
    for ticket in ["a", "b", "c"] {
        ask(&hub, ticket, ticket);
    }
    let requests = edge.wait_for_rows("Asked", 3);
    for request in requests.iter().rev() {
        answer(&edge, &request["request"], request["asked"].as_str().unwrap());
    }
    let replies = hub.wait_for_rows("Answers", 3);
    let seen: Vec<_> =
        replies.iter().map(|reply| (reply["ticket"].clone(), reply["result"]["firmware"].clone())).collect();
    assert_eq!(seen, ["c", "b", "a"].map(|ticket| (json!(ticket), json!(ticket))));
    edge.stop();
    hub.stop();
}

#[test]
fn all_peers_are_asked_or_the_one_that_is_named() {
    let to = "@map(type='json', exclude='asked, ticket, peer')";
    let named = super::ends::mapped(
        "sink",
        LISTENS,
        "websocket.send='request', websocket.method='${asked}', websocket.to='${peer}', websocket.correlation='${ticket}',
         error.strategy='dlq', error.dlq.stream='Unsent'",
        to,
    );
    let hub = End::start(&format!(
        "{} {named} CREATE STREAM AskOne (asked STRING, ticket STRING, peer STRING, verbose BOOL);
         CREATE STREAM Unsent (errorMessage STRING);",
        asking(LISTENS, "")
    ));
    let edges =
        ["one", "two"].map(|name| End::start(&asked(&shared(&hub.url(), &format!(", websocket.link.name='{name}'")))));
    has_links(&hub, 2);
    ask(&hub, "who", "everybody");
    for (edge, name) in edges.iter().zip(["one", "two"]) {
        answer(edge, &edge.wait_for_rows("Asked", 1)[0]["request"], name);
    }
    let replies = hub.wait_for_rows("Answers", 2);
    let two = replies.iter().find(|reply| reply["result"]["firmware"] == "two").unwrap();
    hub.send("AskOne", &json!({"asked": "who", "ticket": "one", "peer": two["sender"]})).unwrap();
    let request = edges[1].wait_for_rows("Asked", 2).remove(1);
    answer(&edges[1], &request["request"], "two");
    let reply = hub.wait_for_rows("Answers", 3).remove(2);
    assert_eq!((&reply["ticket"], &reply["sender"]), (&json!("one"), &two["sender"]));
    assert_eq!(edges[0].rows("Asked").len(), 1);

    hub.send("AskOne", &json!({"asked": "who", "ticket": "nobody", "peer": "no-such"})).unwrap();
    let unsent = hub.wait_for_rows("Unsent", 1).remove(0);
    assert!(unsent["errorMessage"].as_str().unwrap().contains("there is no connection 'no-such'"), "{unsent}");
    edges.into_iter().for_each(|edge| assert_eq!(edge.stop().undelivered, 0));
    hub.stop();
}

#[test]
fn no_reply_in_time_is_a_reply_that_says_so_and_a_late_one_is_counted() {
    let hub = End::start(&asking(&format!("{LISTENS}, websocket.request.timeout='200ms'"), ""));
    let edge = End::start(&asked(&shared(&hub.url(), "")));
    has_links(&hub, 1);
    ask(&hub, "inventory", "t");
    let request = edge.wait_for_rows("Asked", 1).remove(0);
    let reply = hub.wait_for_rows("Answers", 1).remove(0);
    assert_eq!((&reply["ticket"], &reply["outcome"]), (&json!("t"), &json!("timeout")), "{reply}");
    assert_eq!((&reply["status"], &reply["error"]["code"]), (&json!("error"), &json!("timeout")), "{reply}");
    assert_eq!(hub.metric("eventflux_federation_request_timeouts_total", &[]), 1);
    answer(&edge, &request["request"], "late");
    hub.wait_for_metric("eventflux_federation_late_replies_total", &[], 1);
    assert_eq!(hub.rows("Answers").len(), 1);
    edge.stop();
    hub.stop();
}

#[test]
fn who_is_asked_answers_with_a_timeout_when_its_pipeline_does_not_answer() {
    let hub = End::start(&asking(LISTENS, ""));
    let edge = End::start(&asked(&shared(&hub.url(), ", websocket.request.timeout='100ms'")));
    has_links(&hub, 1);
    ask(&hub, "inventory", "t");
    let reply = hub.wait_for_rows("Answers", 1).remove(0);
    assert_eq!((&reply["outcome"], &reply["error"]["code"]), (&json!("error"), &json!("timeout")), "{reply}");
    // The pipeline's answer goes to nobody, and does not vanish.
    let request = edge.wait_for_rows("Asked", 1).remove(0);
    answer(&edge, &request["request"], "4.2.1");
    let failed = edge.wait_for_rows("Failed", 1).remove(0);
    assert!(failed["errorMessage"].as_str().unwrap().contains("waits for a reply"), "{failed}");
    edge.stop();
    hub.stop();
}

#[test]
fn when_the_connection_ends_all_that_is_under_way_fails_at_once() {
    let hub = End::start(&asking(LISTENS, ""));
    let edge = End::start(&asked(&shared(&hub.url(), "")));
    has_links(&hub, 1);
    ask(&hub, "inventory", "a");
    ask(&hub, "inventory", "b");
    edge.wait_for_rows("Asked", 2);
    edge.stop();
    let replies = hub.wait_for_rows("Answers", 2);
    let mut tickets: Vec<_> = replies.iter().map(|reply| reply["ticket"].as_str().unwrap()).collect();
    tickets.sort_unstable();
    assert_eq!(tickets, ["a", "b"]);
    assert!(replies.iter().all(|reply| reply["outcome"] == "disconnected"), "{replies:?}");
    hub.stop();
}

#[test]
fn more_requests_than_may_be_under_way_go_to_the_error_strategy() {
    let strategy = ", websocket.max.requests='2', error.strategy='dlq', error.dlq.stream='Unsent'";
    let hub = End::start(&format!("{} CREATE STREAM Unsent (errorMessage STRING);", asking(LISTENS, strategy)));
    ask(&hub, "inventory", "nobody is there");
    let edge = End::start(&asked(&shared(&hub.url(), "")));
    has_links(&hub, 1);
    for ticket in ["a", "b", "c"] {
        ask(&hub, "inventory", ticket);
    }
    let unsent = hub.wait_for_rows("Unsent", 2);
    for (row, reason) in unsent.iter().zip(["no peer is connected", "as many requests are under way"]) {
        assert!(row["errorMessage"].as_str().unwrap().contains(reason), "{row}");
    }
    let requests = edge.wait_for_rows("Asked", 2);
    answer(&edge, &requests[0]["request"], "1");
    hub.wait_for_rows("Answers", 1);
    ask(&hub, "inventory", "d");
    edge.wait_for_rows("Asked", 3);
    edge.stop();
    hub.stop();
}

#[test]
fn a_peer_that_asks_too_much_at_once_is_told_so() {
    let end = End::start(&asked(&format!("{LISTENS}, websocket.max.requests='2'")));
    let peer = Plain::connect(&end.url());
    let ids = ["one", "two"].map(|method| peer.request(method, &json!({})));
    let requests = end.wait_for_rows("Asked", 2);
    assert_eq!(peer.refused("three", &json!({})), "busy");
    // Those that are answered here do not count.
    assert_eq!(peer.ask("status", &json!({}))["status"], "ok");
    peer.send(&json!({"type": "request", "id": ids[0], "payload": {"method": "again"}}));
    let reply = peer.next();
    assert_eq!((&reply["id"], &reply["payload"]["error"]["code"]), (&json!(ids[0]), &json!("duplicate_id")), "{reply}");
    answer(&end, &requests[1]["request"], "4.2.1");
    let reply = peer.next();
    assert_eq!((&reply["id"], &reply["payload"]["result"]["firmware"]), (&json!(ids[1]), &json!("4.2.1")), "{reply}");
    end.stop();
}

#[test]
fn the_pipeline_answers_with_an_error_of_its_own() {
    let end = End::start(&asked(LISTENS));
    let peer = Plain::connect(&end.url());
    let id = peer.request("reboot", &json!({"when": "now"}));
    let request = end.wait_for_rows("Asked", 1).remove(0);
    let error = json!({"request": request["request"], "outcome": "error", "code": "not_now", "message": "in use"});
    end.send("Replies", &error).unwrap();
    let reply = peer.next();
    assert_eq!((&reply["id"], &reply["payload"]["status"]), (&json!(id), &json!("error")), "{reply}");
    let error = &reply["payload"]["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!("not_now"), &json!("in use")), "{reply}");
    end.stop();
}

#[test]
fn a_reply_to_nothing_goes_to_the_error_strategy() {
    let end = End::start(&asked(LISTENS));
    let peer = Plain::connect(&end.url());
    peer.request("inventory", &json!({}));
    let request = end.wait_for_rows("Asked", 1).remove(0);
    answer(&end, &json!("no-such-handle"), "x");
    answer(&end, &request["request"], "4.2.1");
    assert_eq!(peer.next()["payload"]["status"], "ok");
    // Answered once already.
    answer(&end, &request["request"], "4.2.2");
    let failed = end.wait_for_rows("Failed", 2);
    for (row, (what, firmware)) in failed.iter().zip([("no-such-handle", "\"x\""), ("waits for a reply", "4.2.2")]) {
        assert!(row["errorMessage"].as_str().unwrap().contains(what), "{row}");
        assert!(row["originalEvent"].as_str().unwrap().contains(firmware), "{row}");
    }
    end.stop();
}

#[test]
fn a_pipeline_sees_what_is_answered_for_it_without_a_handle_and_no_tokens() {
    let end = End::start(&asked(LISTENS));
    let peer = Plain::connect(&end.url());
    assert_eq!(peer.ask("backpressure", &json!({"rate_limit": 5}))["status"], "ok");
    peer.ask("authenticate", &json!({"token": "hunter2"}));
    peer.request("inventory", &json!({}));
    let rows = end.wait_for_rows("Asked", 3);
    let seen: Vec<_> = rows.iter().map(|row| (row["asked"].as_str().unwrap(), row["request"].is_null())).collect();
    assert_eq!(seen, [("backpressure", true), ("authenticate", true), ("inventory", false)]);
    assert_eq!((&rows[0]["params"], &rows[1]["params"]), (&json!({"rate_limit": 5}), &Value::Null), "{rows:?}");
    end.stop();
}

#[test]
fn replies_that_nobody_asked_for_are_counted_and_dropped() {
    let end = End::start(&asking(LISTENS, ""));
    let (peer, other) = (Plain::connect(&end.url()), Plain::connect(&end.url()));
    for peer in [&peer, &other] {
        peer.ask("status", &json!({}));
    }
    ask(&end, "inventory", "t");
    let request = peer.next();
    let reply = json!({"type": "reply", "id": request["id"], "payload": {"status": "ok", "result": {}}});
    // A guessed id is no use on another connection.
    other.send(&json!({"type": "reply", "id": "req-unknown", "payload": {"status": "ok", "result": {}}}));
    other.send(&reply);
    end.wait_for_metric("eventflux_federation_unknown_replies_total", &[], 2);
    assert_eq!(end.rows("Answers").len(), 0);
    peer.send(&reply);
    assert_eq!(end.wait_for_rows("Answers", 1)[0]["outcome"], "ok");
    end.stop();
}

#[test]
fn a_pipeline_slows_another_one_down_and_asks_for_its_status() {
    let out = link("sink", LISTENS, "");
    let hub = End::start(&format!("{out} CREATE STREAM Out (n BIGINT);"));
    let place = shared(&hub.url(), "");
    let edge = End::start(&format!(
        "{} CREATE STREAM Measured (n BIGINT); {}",
        link("source", &place, ""),
        asking(&place, "")
    ));
    has_links(&edge, 1);
    edge.send("Ask", &json!({"asked": "backpressure", "ticket": "slower", "rate_limit": 0})).unwrap();
    let reply = edge.wait_for_rows("Answers", 1).remove(0);
    assert_eq!((&reply["ticket"], &reply["result"]["adjusted_to"]), (&json!("slower"), &json!(0)), "{reply}");
    hub.publish("Out", 0..100);
    edge.send("Ask", &json!({"asked": "status", "ticket": "status"})).unwrap();
    edge.send("Ask", &json!({"asked": "backpressure", "ticket": "faster", "rate_limit": 1_000_000})).unwrap();
    let replies = edge.wait_for_rows("Answers", 3);
    // The other columns are NULL, which counts as left out.
    assert_eq!(
        (&replies[1]["ticket"], &replies[1]["result"]["queue_depth"]),
        (&json!("status"), &json!(100)),
        "{replies:?}"
    );
    let reply = &replies[2];
    assert_eq!((&reply["ticket"], &reply["result"]["adjusted_to"]), (&json!("faster"), &json!(1_000_000)), "{reply}");
    edge.has_numbers("Measured", 0..100);
    edge.stop();
    hub.stop();
}
