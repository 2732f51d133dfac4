//! Requests of peers: what is answered here, by the pipeline, or not at all.

use proptest::prelude::*;

use super::*;
use crate::envelope::Kind;
use crate::requests::{ReplyError, Status};

/// The handle of the only request that arrived.
fn handle(peer: &mut Plain) -> String {
    let [Arrival::Message { kind: Kind::Request, details: Some(details), .. }] = &peer.arrived()[..] else {
        panic!("one request for the pipeline")
    };
    let Details::Request(details) = &**details else { panic!("details of a request") };
    assert!(!details.handled);
    details.handle.clone().unwrap()
}

#[test]
fn an_unknown_method_is_refused_and_the_known_ones_are_named() {
    let place = Place::new(FederationConfig::default());
    let mut peer = place.plain_peer();
    let (code, message) = peer.refused("reboot\n", &json!({}));
    assert_eq!(code, "unknown_method");
    assert_eq!(
        message,
        "there is no method 'reboot\\n'; there are backpressure, subscribe, replay, status, announce, unsubscribe, authenticate"
    );
    assert_eq!(place.federation.counters().requests_received.value("other"), 1);
}

#[test]
fn an_error_reply_has_the_id_of_the_request_and_nothing_else_than_code_and_message() {
    let place = Place::new(FederationConfig { control: false, ..FederationConfig::default() });
    let mut peer = place.plain_peer();
    peer.send_text(r#"{"type":"request","id":"req-1","payload":{"method":"status","params":{}}}"#);
    assert_eq!(
        peer.read_texts(),
        [concat!(
            r#"{"type":"reply","id":"req-1","timestamp":1704844800000,"payload":{"status":"error","#,
            r#""error":{"code":"disabled","message":"requests are switched off at this end"}}}"#
        )]
    );
}

#[test]
fn what_is_no_request_is_invalid() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    for payload in [
        r#"{}"#,
        r#""status""#,
        r#"null"#,
        r#"{"method":7}"#,
        r#"{"method":""}"#,
        r#"{"method":"status","method":"status"}"#,
        r#"{"method":"status","params":[]}"#,
        r#"{"method":"status","params":"x"}"#,
        r#"{"method":"status","params":{"verbose":true}}"#,
        &format!(r#"{{"method":"{}"}}"#, "m".repeat(129)),
        &format!(r#"{{"method":"subscribe","params":{{"filter":"{}"}}}}"#, "x".repeat(70_000)),
    ] {
        peer.send_text(&format!(r#"{{"type":"request","id":"r","payload":{payload}}}"#));
        let replies = peer.read();
        assert_eq!(replies.len(), 1, "{payload:.80}");
        assert_eq!(replies[0]["payload"]["error"]["code"], "invalid", "{payload:.80}: {}", replies[0]);
    }
    peer.send_text(r#"{"type":"request","id":"r","encoding":"base64","payload":"e30="}"#);
    assert_eq!(peer.read()[0]["payload"]["error"]["code"], "invalid");
    peer.send_text(r#"{"type":"request","id":"r","payload":{"method":"status"}}"#);
    assert_eq!(peer.read()[0]["payload"]["status"], "ok", "params may be left out");
}

#[test]
fn a_malformed_request_with_an_id_is_answered_and_without_one_is_not() {
    let place = Place::new(FederationConfig::default());
    let mut peer = place.plain_peer();
    peer.send_text(r#"{"type":"request","id":"r","timestamp":"yesterday","payload":{"method":"status"}}"#);
    let replies = peer.read();
    assert_eq!((&replies[0]["id"], &replies[0]["payload"]["error"]["code"]), (&json!("r"), &json!("invalid")));
    peer.send_text(r#"{"type":"request","payload":{"method":"status"}}"#);
    peer.send_text(r#"{"type":"data","id":"d","timestamp":"yesterday","payload":{}}"#);
    assert_eq!(peer.read(), [Value::Null; 0]);
    assert_eq!((peer.arrived().len(), place.federation.counters().malformed.value()), (3, 3));
}

#[test]
fn the_pipeline_gets_requests_that_are_answered_here_too() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    peer.result("status", &json!({}));
    let [Arrival::Message { kind: Kind::Request, payload, details: Some(details), .. }] = &peer.arrived()[..] else {
        panic!("one request for the pipeline")
    };
    assert_eq!(serde_json::from_slice::<Value>(payload).unwrap(), json!({"method": "status", "params": {}}));
    let expected = RequestDetails { method: "status".to_owned(), handled: true, handle: None };
    assert_eq!(**details, Details::Request(expected));
}

#[test]
fn the_pipeline_answers_what_only_it_knows() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    let id = peer.send_request("calibrate", &json!({"axis": "x"}));
    assert_eq!(peer.read(), [Value::Null; 0]);
    let handle = handle(&mut peer);
    let answer = Bytes::from_static(br#" {"offset": 1.5} "#);
    let bad = place.federation.reply(&handle, Status::Ok, &Bytes::from_static(b"{"));
    assert!(matches!(bad, Err(ReplyError::Invalid(_))));
    assert_eq!(place.federation.reply(&handle, Status::Ok, &answer), Ok(()));
    let again = place.federation.reply(&handle, Status::Ok, &answer);
    assert_eq!(again, Err(ReplyError::NoSuchRequest(handle.clone())));
    let replies = peer.read_texts();
    assert_eq!(
        replies,
        [format!(
            r#"{{"type":"reply","id":"{id}","timestamp":1704844800000,"payload":{{"status":"ok","result":{{"offset": 1.5}}}}}}"#
        )]
    );
    for wrong in ["", "1-2-3", "zz", &handle[1..]] {
        let error = place.federation.reply(wrong, Status::Ok, &answer);
        assert_eq!(error, Err(ReplyError::NoSuchRequest(wrong.to_owned())));
    }
}

#[test]
fn errors_of_the_pipeline_have_a_code_and_a_message() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    for (payload, expected) in [
        (r#""no such axis""#, json!({"code": "failed", "message": "no such axis"})),
        (r#"{"code":"axis","message":"none"}"#, json!({"code": "axis", "message": "none"})),
        (r#"{"hint":1}"#, json!({"code": "failed", "message": "the request failed", "hint": 1})),
        ("7", json!({"code": "failed", "message": "the request failed"})),
    ] {
        peer.send_request("calibrate", &json!({}));
        let handle = handle(&mut peer);
        place.federation.reply(&handle, Status::Error, &Bytes::copy_from_slice(payload.as_bytes())).unwrap();
        let reply = peer.read().remove(0)["payload"].take();
        assert_eq!(reply, json!({"status": "error", "error": expected}));
    }
}

#[test]
fn a_request_that_the_pipeline_does_not_answer_times_out() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    let id = peer.send_request("calibrate", &json!({}));
    let handle = handle(&mut peer);
    assert_eq!(peer.link.deadline(), Some(peer.now.at + 5 * SECOND));
    let replies = peer.read_for(5 * SECOND);
    assert_eq!((&replies[0]["id"], &replies[0]["payload"]["error"]["code"]), (&json!(id), &json!("timeout")));
    assert!(replies[0]["payload"]["error"]["message"].as_str().unwrap().contains("not known"));
    let late = place.federation.reply(&handle, Status::Ok, &Bytes::from_static(b"{}"));
    assert_eq!(late, Err(ReplyError::NoSuchRequest(handle)));
    assert_eq!(peer.read_for(10 * SECOND), [Value::Null; 0]);
}

#[test]
fn an_answer_that_comes_at_the_last_moment_is_the_only_one() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    peer.send_request("calibrate", &json!({}));
    let handle = handle(&mut peer);
    place.federation.reply(&handle, Status::Ok, &Bytes::from_static(b"{}")).unwrap();
    peer.pass(60 * SECOND);
    peer.link.now = peer.now;
    peer.link.expire_tasks();
    let replies = peer.read_for(60 * SECOND);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0]["payload"]["status"], "ok");
}

#[test]
fn a_second_request_of_an_id_under_way_is_refused() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    let request = r#"{"type":"request","id":"same","payload":{"method":"calibrate"}}"#;
    peer.send_text(request);
    let handle = handle(&mut peer);
    peer.send_text(request);
    peer.send_text(r#"{"type":"request","id":"same","payload":{"method":"status"}}"#);
    let replies = peer.read();
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|reply| reply["payload"]["error"]["code"] == "duplicate_id"));
    assert_eq!(peer.arrived().len(), 0);
    place.federation.reply(&handle, Status::Ok, &Bytes::from_static(b"1")).unwrap();
    assert_eq!(peer.read()[0]["payload"], json!({"status": "ok", "result": 1}));
    peer.send_text(request);
    assert_eq!((peer.read().len(), peer.arrived().len()), (0, 1), "the id is free again");
}

#[test]
fn more_requests_than_allowed_are_busy() {
    let place = Place::new(FederationConfig { max_requests: 3, ..FederationConfig::default() });
    place.accept_requests();
    let mut peer = place.plain_peer();
    for _ in 0..3 {
        peer.send_request("calibrate", &json!({}));
    }
    assert_eq!(peer.refused("calibrate", &json!({})).0, "busy");
    assert_eq!(peer.result("status", &json!({}))["queue_depth"], 0, "what is answered at once still is");
    peer.read_for(5 * SECOND);
    peer.send_request("calibrate", &json!({}));
    assert_eq!(peer.read(), [Value::Null; 0]);
}

#[test]
fn an_answer_may_not_be_longer_than_what_a_peer_may_leave_unread() {
    let place = Place::new(FederationConfig { max_control_bytes: 40_000, ..FederationConfig::default() });
    place.accept_requests();
    let mut peer = place.plain_peer();
    peer.send_request("calibrate", &json!({}));
    let handle = handle(&mut peer);
    let long = Bytes::from(json!("x".repeat(10_000)).to_string());
    assert!(matches!(place.federation.reply(&handle, Status::Ok, &long), Err(ReplyError::Invalid(_))));
    assert_eq!(place.federation.reply(&handle, Status::Ok, &Bytes::from_static(b"null")), Ok(()));
    assert_eq!(peer.read()[0]["payload"], json!({"status": "ok", "result": null}));
}

proptest! {
    #[test]
    fn every_request_gets_one_reply_whatever_it_says(
        method in "backpressure|subscribe|replay|status|announce|unsubscribe|\\PC{0,6}",
        member in "rate_limit|unit|filter|streams|count|start_time|capabilities|region|stream|\\PC{0,4}",
        value in r#"-?[0-9]{1,25}(\.[0-9]{1,3})?(e[0-9]{1,3})?|null|true|"[^"\\\x00-\x1f]{0,8}"|\[1,"a"\]|\{"path":"\$\.a","operator":">","value":1\}"#,
    ) {
        let place = Place::new(FederationConfig::default());
        place.outlet("events", 1 << 20);
        let mut peer = place.plain_peer();
        let (method, member) = (json!(method), json!(member));
        peer.send_text(&format!(r#"{{"type":"request","id":"r","payload":{{"method":{method},"params":{{{member}:{value}}}}}}}"#));
        let replies = peer.read();
        prop_assert_eq!(replies.len(), 1);
        let status = &replies[0]["payload"]["status"];
        prop_assert!(status == "ok" || status == "error");
        prop_assert!(peer.link.deadline().is_none_or(|deadline| deadline > peer.now.at));
    }
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_ended() {
    let place = Place::new(FederationConfig { max_control_bytes: 10_000, ..FederationConfig::default() });
    let mut peer = place.plain_peer();
    for _ in 0..1_000 {
        peer.send_request("status", &json!({}));
    }
    let ending = peer.link.transmit(peer.now, MAX_BYTES, &mut Vec::new()).unwrap_err();
    assert_eq!(ending.code, 1008);
}

#[test]
fn a_token_is_for_the_driver_alone() {
    let place = Place::new(FederationConfig::default());
    place.accept_requests();
    let mut peer = place.plain_peer();
    assert_eq!(peer.refused("authenticate", &json!({})).0, "invalid");
    assert_eq!(peer.refused("authenticate", &json!({"token": "x".repeat(16 * 1024 + 1)})).0, "invalid");
    assert_eq!((peer.link.next_effect(), peer.arrived().len()), (None, 2));

    let id = peer.send_request("authenticate", &json!({"token": "hidden"}));
    let Some(Effect::Authenticate { ticket, token }) = peer.link.next_effect() else { panic!("an effect") };
    assert_eq!(token.expose(), "hidden");
    assert!(!format!("{:?}", peer.arrived()).contains("hidden"));
    assert_eq!(peer.refused("authenticate", &json!({"token": "other"})).0, "busy");
    assert!(peer.link.authenticated(ticket, Ok(()), peer.now));
    let replies = peer.read();
    assert_eq!((&replies[0]["id"], &replies[0]["payload"]["status"]), (&json!(id), &json!("ok")));

    peer.send_request("authenticate", &json!({"token": "stale"}));
    let Some(Effect::Authenticate { ticket, .. }) = peer.link.next_effect() else { panic!("an effect") };
    assert!(peer.link.authenticated(ticket, Err("the token has expired".to_owned()), peer.now));
    let expected = json!({"status": "error", "error": {"code": "forbidden", "message": "the token has expired"}});
    assert_eq!(peer.read()[0]["payload"], expected);
}

#[test]
fn a_late_verdict_on_a_token_says_nothing_of_the_next_one() {
    let place = Place::new(FederationConfig::default());
    let mut peer = place.plain_peer();
    peer.send_request("authenticate", &json!({"token": "first"}));
    let Some(Effect::Authenticate { ticket, .. }) = peer.link.next_effect() else { panic!("an effect") };
    assert_eq!(peer.read_for(5 * SECOND)[0]["payload"]["error"]["code"], "timeout");
    peer.send_request("authenticate", &json!({"token": "second"}));
    assert!(!peer.link.authenticated(ticket, Ok(()), peer.now));
    assert_eq!(peer.read(), [Value::Null; 0]);
}
