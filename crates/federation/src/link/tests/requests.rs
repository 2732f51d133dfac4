//! Our requests to peers.

use super::*;
use crate::envelope::Kind;
use crate::requests::{Failure, RequestError};

fn reply(id: &Value, payload: &Value) -> Value {
    json!({"type": "reply", "id": id, "timestamp": 1_704_844_800_050_u64, "payload": payload})
}

#[test]
fn a_request_is_an_envelope_as_printed_and_its_reply_is_found_by_id() {
    let place = Place::new(FederationConfig::default());
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    let request = replies.request("backpressure", &json!({"rate_limit": 100, "unit": "msg/sec"}));
    assert_eq!(place.federation.request(To::Connection("plain"), request), Ok(1));
    let texts = peer.read_texts();
    let message: Value = serde_json::from_str(&texts[0]).unwrap();
    let id = message["id"].as_str().unwrap();
    let expected = format!(
        r#"{{"type":"request","id":"{id}","timestamp":1704844800000,"payload":{{"method":"backpressure","params":{{"rate_limit":100,"unit":"msg/sec"}}}}}}"#
    );
    assert_eq!(texts, [expected]);
    peer.pass(23 * MILLISECOND);
    let payload = json!({"status": "ok", "result": {"current_rate": 250, "adjusted_to": 100}});
    peer.send(&reply(&message["id"], &payload));
    let [got] = &replies.take()[..] else { panic!("one reply") };
    assert_eq!(serde_json::from_slice::<Value>(got.outcome.as_ref().unwrap()).unwrap(), payload);
    assert_eq!((&*got.connection, got.status, got.duration), ("plain", "ok", 23 * MILLISECOND));
    assert_eq!((&*got.id, &*got.method, got.correlation.as_deref()), (id, "backpressure", Some("ours")));
    let counters = place.federation.counters();
    assert_eq!(counters.requests_sent.value("backpressure"), 1);
    assert_eq!(counters.replies_received.value("ok"), 1);
    assert_eq!(counters.request_durations.quantile("backpressure", 0.99), Some(23 * MILLISECOND));
}

#[test]
fn what_a_reply_says_of_itself_is_counted() {
    let place = Place::new(FederationConfig::default());
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    let payloads =
        [json!({"status": "error", "error": {}}), json!({"status": "maybe"}), json!("text"), json!({"status": 1})];
    for payload in &payloads {
        ask_all(&place, &replies, "made up");
        let request = peer.read().remove(0);
        peer.send(&reply(&request["id"], payload));
    }
    let statuses: Vec<_> = replies.take().iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, ["error", "other", "other", "other"]);
    let counters = place.federation.counters();
    assert_eq!((counters.replies_received.value("error"), counters.replies_received.value("other")), (1, 3));
    assert_eq!(counters.requests_sent.value("other"), 4);
}

#[test]
fn a_request_times_out_after_five_seconds_and_a_late_reply_is_counted_only() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    ask_all(&place, &replies, "status");
    let request = peer.read().remove(0);
    let due = peer.now.at + 5 * SECOND;
    assert_eq!(peer.link.deadline(), Some(due));
    peer.pass(5 * SECOND - MILLISECOND);
    peer.read();
    assert_eq!(replies.take(), []);
    peer.pass(MILLISECOND);
    // Without room on the connection.
    peer.link.timers(peer.now);
    let [got] = &replies.take()[..] else { panic!("one failure") };
    assert_eq!((&got.outcome, got.status, got.duration), (&Err(Failure::Timeout), "timeout", 5 * SECOND));
    assert!(Failure::Timeout.to_string().contains("not known"));
    let [Arrival::Message { kind: Kind::Reply, payload, details: Some(details), .. }] = &peer.arrived()[..] else {
        panic!("a reply for the pipeline")
    };
    let payload: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!((&payload["status"], &payload["error"]["code"]), (&json!("error"), &json!("timeout")));
    assert!(matches!(&**details, Details::Reply(ReplyDetails { status: "timeout", .. })));

    for _ in 0..2 {
        peer.send(&reply(&request["id"], &json!({"status": "ok", "result": {}})));
    }
    assert_eq!((replies.take(), peer.arrived().len()), (vec![], 0));
    let counters = place.federation.counters();
    assert_eq!((counters.request_timeouts.value(), counters.late_replies.value()), (1, 1));
    assert_eq!((counters.unknown_replies.value(), counters.replies_received.value("ok")), (1, 0));
}

#[test]
fn a_request_may_have_a_time_of_its_own() {
    let place = Place::new(FederationConfig::default());
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    let request = Request { timeout: Some(60 * SECOND), ..replies.request("replay", &json!({})) };
    place.federation.request(To::All, request).unwrap();
    peer.read();
    peer.pass(59 * SECOND);
    peer.read();
    assert_eq!(replies.take(), []);
    peer.pass(SECOND);
    peer.read();
    assert_eq!(replies.take()[0].outcome, Err(Failure::Timeout));
}

#[test]
fn a_reply_with_the_id_of_another_connection_is_ignored() {
    let place = Place::new(FederationConfig::default());
    let (mut peer, mut other, replies) = (place.plain_peer(), place.plain_peer(), Replies::default());
    assert_eq!(ask_all(&place, &replies, "status"), 2);
    let (mine, theirs) = (peer.read().remove(0), other.read().remove(0));
    assert_ne!(mine["id"], theirs["id"]);
    other.send(&reply(&mine["id"], &json!({"status": "ok", "result": "invented"})));
    other.send(&reply(&json!("req-001"), &json!({"status": "ok", "result": "invented"})));
    assert_eq!((replies.take(), place.federation.counters().unknown_replies.value()), (vec![], 2));
    peer.send(&reply(&mine["id"], &json!({"status": "ok", "result": "true"})));
    assert_eq!(replies.take()[0].id, mine["id"]);
}

#[test]
fn beyond_the_limit_a_request_is_busy_and_nothing_is_sent() {
    let place = Place::new(FederationConfig { max_requests: 2, ..FederationConfig::default() });
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    ask_all(&place, &replies, "status");
    ask_all(&place, &replies, "status");
    let third = place.federation.request(To::All, replies.request("status", &json!({})));
    assert_eq!((third, replies.take()), (Err(RequestError::Busy), vec![]));
    let asked = peer.read();
    assert_eq!(asked.len(), 2);
    // Another connection has room.
    let mut other = place.plain_peer();
    assert_eq!(ask_all(&place, &replies, "status"), 2);
    assert_eq!(replies.take()[0].outcome, Err(Failure::Busy));
    assert_eq!((peer.read().len(), other.read().len()), (0, 1));
    // So has this one, after a reply.
    peer.send(&reply(&asked[0]["id"], &json!({"status": "ok"})));
    assert_eq!(ask_all(&place, &replies, "status"), 2);
    assert_eq!(peer.read().len(), 1);
    // And after a timeout.
    peer.pass(5 * SECOND);
    peer.read();
    assert_eq!(ask_all(&place, &replies, "status"), 2);
}

#[test]
fn all_requests_fail_at_once_when_the_connection_ends() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    ask_all(&place, &replies, "status");
    ask_all(&place, &replies, "status");
    peer.read();
    // One more that was not sent yet.
    ask_all(&place, &replies, "status");
    peer.link.disconnected(peer.now);
    let outcomes: Vec<_> = replies.take().into_iter().map(|reply| reply.outcome).collect();
    assert_eq!(outcomes, [Err(Failure::Disconnected), Err(Failure::Disconnected), Err(Failure::Disconnected)]);
    assert_eq!(peer.arrived().len(), 3);
    let error = place.federation.request(To::All, replies.request("status", &json!({})));
    assert_eq!(error, Err(RequestError::NotConnected));
    drop(peer);
    assert_eq!(replies.take(), []);

    let peer = place.plain_peer();
    ask_all(&place, &replies, "status");
    drop(peer);
    assert_eq!(replies.take().len(), 1, "dropping a link ends it too");
}

#[test]
fn who_cannot_be_asked_is_named() {
    let place = Place::new(FederationConfig::default());
    let replies = Replies::default();
    let request = |method: &str| replies.request(method, &json!({}));
    let ask = |to, request| place.federation.request(to, request).unwrap_err();
    assert_eq!(ask(To::All, request("status")), RequestError::NotConnected);
    assert_eq!(ask(To::Connection("x"), request("status")), RequestError::NoSuchConnection("x".to_owned()));
    let _peer = place.plain_peer();
    assert_eq!(ask(To::Connection("x"), request("status")), RequestError::NoSuchConnection("x".to_owned()));
    assert!(matches!(ask(To::All, request("")), RequestError::Invalid(_)));
    assert!(matches!(ask(To::All, request(&"m".repeat(129))), RequestError::Invalid(_)));
    let params = |params: &'static str| Request { params: Bytes::from_static(params.as_bytes()), ..request("status") };
    assert!(matches!(ask(To::All, params("[]")), RequestError::Invalid(_)));
    assert!(matches!(ask(To::All, params("{\"a\":")), RequestError::Invalid(_)));
    assert_eq!(place.federation.request(To::All, params("")), Ok(1));

    let silent = Place::new(FederationConfig { control: false, ..FederationConfig::default() });
    let _peer = silent.plain_peer();
    assert_eq!(silent.federation.request(To::All, request("status")), Err(RequestError::Disabled));
}

#[test]
fn a_pipeline_that_wants_replies_gets_them_with_what_was_asked() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    ask_all(&place, &replies, "status");
    let request = peer.read().remove(0);
    peer.send(&reply(&request["id"], &json!({"status": "ok", "result": {}})));
    let [Arrival::Message { kind: Kind::Reply, id, details: Some(details), .. }] = &peer.arrived()[..] else {
        panic!("a reply for the pipeline")
    };
    assert_eq!(id, request["id"].as_str().unwrap());
    let Details::Reply(details) = &**details else { panic!("details of a reply") };
    assert_eq!((&*details.method, details.correlation.as_deref(), details.status), ("status", Some("ours"), "ok"));
}

#[test]
fn large_requests_have_room_however_many_come_at_once() {
    let config = FederationConfig { max_control_bytes: 100_000, max_requests: 50, ..FederationConfig::default() };
    let place = Place::new(config);
    let (mut peer, replies) = (place.plain_peer(), Replies::default());
    let ask = |bytes: usize| {
        let params = json!({"text": "x".repeat(bytes)});
        place.federation.request(To::All, replies.request("store", &params))
    };
    assert!(matches!(ask(25_000), Err(RequestError::Invalid(_))));
    (0..50).for_each(|_| assert_eq!(ask(24_000), Ok(1)));
    // As long as the connection has no room, not all of them are taken up.
    peer.link.timers(peer.now);
    peer.link.timers(peer.now);
    assert_eq!(peer.read().len(), 50);
    let timeout = Some(Duration::MAX);
    let endless = place.federation.request(To::All, Request { timeout, ..replies.request("status", &json!({})) });
    assert!(matches!(endless, Err(RequestError::Invalid(_))));
}

#[test]
fn what_a_request_says_is_not_shown_for_debugging() {
    let request = Replies::default().request("authenticate", &json!({"token": "hidden"}));
    assert!(!format!("{request:?}").contains("hidden"));
}
