//! Server mode: broadcast, shared paths and listeners, refusals, slow clients, release of the port.

use std::time::{Duration, Instant};

use eventflux_core::EventFluxError;
use eventflux_core::metrics::Metrics;
use eventflux_testkit::peer::frames::{RawFrame, Side, violations};
use eventflux_testkit::peer::{Ending, Refused, Script, ScriptedClient};
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, PROMPTLY, Registry, TestSink, TestSource, batch};

const LISTEN: [(&str, &str); 2] = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")];

fn server_sink(registry: &Registry, raw: &[(&str, &str)]) -> TestSink {
    let sink = registry.sink(&[&LISTEN[..], raw].concat());
    sink.start().unwrap();
    sink
}

fn server_source(registry: &Registry, raw: &[(&str, &str)]) -> TestSource {
    let mut source = registry.source(&[&LISTEN[..], raw].concat());
    source.start().unwrap();
    source
}

fn clients(sink: &TestSink, count: u64) {
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == count);
}

fn texts(client: &ScriptedClient, count: usize) -> Vec<String> {
    let messages = client.wait_for_messages(count).blocking();
    messages.iter().filter_map(|message| message.as_text().map(str::to_owned)).collect()
}

fn status(url: &str) -> u16 {
    match ScriptedClient::builder(url).attempt().blocking() {
        Err(Refused::Http(answer)) => answer.status,
        other => panic!("not refused by HTTP: {other:?}"),
    }
}

#[test]
fn every_event_goes_to_every_client() {
    let sink = server_sink(&Registry::new(), &[]);
    let everybody: Vec<_> = (0..5).map(|_| ScriptedClient::connect(sink.detail()).blocking()).collect();
    clients(&sink, 5);
    sink.sink.publish_batch(&batch(["a", "b"])).unwrap();
    sink.sink.publish(b"c").unwrap();
    for client in &everybody {
        assert_eq!(texts(client, 3), ["a", "b", "c"]);
    }
    assert_eq!(sink.stop(), 0);
    for client in &everybody {
        assert_eq!(client.wait_for_end().blocking(), Ending::Closed { code: Some(1001), reason: "going away".into() });
    }
}

#[test]
fn events_without_a_client_are_delivered_to_nobody_and_counted() {
    let sink = server_sink(&Registry::new(), &[]);
    sink.sink.publish_batch(&batch(["a", "b"])).unwrap();
    let samples = sink.context.registry.samples();
    let unheard = samples.iter().find(|sample| sample.name == "eventflux_sink_unheard_total").unwrap();
    assert_eq!(unheard.value, 2);
    assert_eq!(sink.stop(), 0);
}

#[test]
fn a_source_takes_messages_from_any_client_in_each_clients_order() {
    let mut source = server_source(&Registry::new(), &[]);
    let clients: Vec<_> = (0..3).map(|_| ScriptedClient::connect(source.detail()).blocking()).collect();
    for (number, client) in clients.iter().enumerate() {
        let messages: Vec<String> = (0..500).map(|index| format!("{number} {index}")).collect();
        client.play(Script::new().send_all(messages)).blocking();
    }
    eventually_blocking(DEADLINE, || source.recorder.count() == 1500);
    source.stop();
    let messages = source.recorder.messages();
    for number in 0..3 {
        let start = format!("{number} ");
        let of_one = messages.iter().filter_map(|message| std::str::from_utf8(message).ok()?.strip_prefix(&start));
        assert!(of_one.map(|index| index.parse::<usize>().unwrap()).eq(0..500));
    }
    assert_eq!(source.recorder.ends(), [Ok(())]);
}

#[test]
fn a_source_and_a_sink_of_one_path_share_its_connections() {
    let registry = Registry::new();
    let sink = server_sink(&registry, &[("websocket.path", "/both")]);
    let mut source = server_source(&registry, &[("websocket.path", "/both")]);
    assert_eq!(sink.detail(), source.detail());
    let client = ScriptedClient::connect(sink.detail()).blocking();
    client.send_text("up").blocking();
    source.wait_for_messages(&["up"]);
    sink.sink.publish(b"down").unwrap();
    assert_eq!(texts(&client, 1), ["down"]);
    source.stop();
    sink.sink.publish(b"still there").unwrap();
    assert_eq!(texts(&client, 2), ["down", "still there"]);
    sink.stop();
    assert!(matches!(client.wait_for_end().blocking(), Ending::Closed { code: Some(1001), .. }));
}

#[test]
fn paths_of_one_listener_are_apart_and_unknown_ones_are_not_found() {
    let registry = Registry::new();
    let one = server_sink(&registry, &[("websocket.path", "/one")]);
    let two = server_sink(&registry, &[("websocket.path", "/two")]);
    let at_one = ScriptedClient::connect(format!("{}?token=x", one.detail())).blocking();
    let at_two = ScriptedClient::connect(two.detail()).blocking();
    one.sink.publish(b"1").unwrap();
    two.sink.publish(b"2").unwrap();
    assert_eq!((texts(&at_one, 1), texts(&at_two, 1)), (vec!["1".to_owned()], vec!["2".to_owned()]));
    assert_eq!(status(&one.detail().replace("/one", "/three")), 404);
    let url = one.detail();
    one.stop();
    assert_eq!(status(&url), 404);
    two.sink.publish(b"on").unwrap();
    assert_eq!(texts(&at_two, 2), ["2", "on"]);
}

#[test]
fn the_paths_of_an_address_can_have_a_limit_together() {
    let registry = Registry::new();
    let one = server_sink(&registry, &[("websocket.path", "/one"), ("websocket.max.connections.total", "2")]);
    let two = server_sink(&registry, &[("websocket.path", "/two")]);
    let first = ScriptedClient::connect(one.detail()).blocking();
    let _second = ScriptedClient::connect(two.detail()).blocking();
    assert_eq!((status(&one.detail()), status(&two.detail())), (503, 503));
    first.close(1000, "").blocking();
    clients(&one, 0);
    ScriptedClient::connect(two.detail()).blocking();
}

#[test]
fn more_connections_than_allowed_are_refused_until_one_leaves() {
    let sink = server_sink(&Registry::new(), &[("websocket.max.connections", "2")]);
    let url = sink.detail();
    let first = ScriptedClient::connect(&url).blocking();
    let _second = ScriptedClient::connect(&url).blocking();
    assert_eq!(status(&url), 503);
    first.close(1000, "").blocking();
    clients(&sink, 1);
    ScriptedClient::connect(&url).blocking();
}

#[test]
fn an_address_in_use_is_a_clear_error_and_a_stopped_listener_frees_it() {
    let registry = Registry::new();
    let sink = server_sink(&registry, &[]);
    let address = sink.detail().trim_start_matches("ws://").trim_end_matches('/').to_owned();
    let same = [("websocket.mode", "server"), ("websocket.listen", address.as_str())];
    let mut other = Registry::new().source(&same);
    let error = other.start().unwrap_err();
    assert!(matches!(&error, EventFluxError::Configuration { .. }), "{error}");
    assert!(error.to_string().contains(&address) && error.to_string().contains("already in use"), "{error}");
    let client = ScriptedClient::connect(sink.detail()).blocking();
    sink.stop();
    client.wait_for_end().blocking();
    other.start().unwrap();
    ScriptedClient::connect(other.detail()).blocking();
    other.stop();
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[test]
fn a_slow_client_loses_its_own_events_and_nobody_elses() {
    let sink = server_sink(&Registry::new(), &[("websocket.client.queue.bytes", "100KiB")]);
    let slow = ScriptedClient::builder(sink.detail()).receive_buffer(8 << 10).connect().blocking();
    slow.play(Script::new().stop_reading()).blocking();
    let quick = ScriptedClient::connect(sink.detail()).blocking();
    clients(&sink, 2);
    let payload = "x".repeat(10_000);
    for number in 0..1500 {
        sink.sink.publish(format!("{number:06}{payload}").as_bytes()).unwrap();
        // The quick one keeps up, so what is dropped is the slow one's.
        if number % 5 == 4 {
            quick.wait_for_messages(number + 1).blocking();
        }
    }
    eventually_blocking(DEADLINE, || sink.context.metrics.dropped.value() > 0);
    slow.play(Script::new().resume_reading()).blocking();
    let last = "001499".to_owned();
    slow.wait_for("the newest event", move |record| {
        record.messages.last().filter(|message| message.message.as_bytes().starts_with(last.as_bytes())).map(drop)
    })
    .blocking();
}

#[test]
fn what_waits_for_the_slowest_client_is_the_size_of_the_queue() {
    const LIMIT_BYTES: u64 = 100 << 10;
    let sink = server_sink(&Registry::new(), &[("websocket.client.queue.bytes", "100KiB")]);
    let queue_bytes = || {
        let samples = sink.context.registry.samples();
        samples.iter().find(|sample| sample.name == "eventflux_sink_queue_bytes").unwrap().value
    };
    let slow = ScriptedClient::builder(sink.detail()).receive_buffer(8 << 10).connect().blocking();
    slow.play(Script::new().stop_reading()).blocking();
    clients(&sink, 1);
    assert_eq!(queue_bytes(), 0);
    let payload = "x".repeat(10_000);
    eventually_blocking(DEADLINE, || {
        sink.sink.publish(payload.as_bytes()).unwrap();
        sink.context.metrics.dropped.value() > 0
    });
    // The connection may have just taken what fits into the socket; then there is room for a moment.
    eventually_blocking(DEADLINE, || {
        sink.sink.publish(payload.as_bytes()).unwrap();
        // A little more is kept than may wait, for clients that are just within their limit.
        assert!(queue_bytes() <= 2 * LIMIT_BYTES, "{}", queue_bytes());
        queue_bytes() >= LIMIT_BYTES / 2
    });
    slow.play(Script::new().resume_reading()).blocking();
    eventually_blocking(DEADLINE, || queue_bytes() == 0);
}

#[test]
fn a_slow_client_is_disconnected_where_that_is_the_policy() {
    let raw = [("websocket.client.queue.bytes", "100KiB"), ("websocket.client.queue.full", "disconnect")];
    let sink = server_sink(&Registry::new(), &raw);
    let slow = ScriptedClient::builder(sink.detail()).receive_buffer(8 << 10).connect().blocking();
    slow.play(Script::new().stop_reading()).blocking();
    clients(&sink, 1);
    let payload = "x".repeat(10_000);
    let before = Instant::now();
    while sink.context.metrics.connections.value() > 0 && before.elapsed() < DEADLINE {
        sink.sink.publish(payload.as_bytes()).unwrap();
    }
    clients(&sink, 0);
    let samples = sink.context.registry.samples();
    assert_eq!(samples.iter().find(|sample| sample.name == "eventflux_sink_evicted_total").unwrap().value, 1);
}

#[test]
fn a_source_that_is_not_ready_stops_the_reading_of_its_clients_but_not_the_sending() {
    let registry = Registry::new();
    let sink = server_sink(&registry, &[]);
    let source = server_source(&registry, &[]);
    source.recorder.close_gate();
    let client = ScriptedClient::connect(sink.detail()).blocking();
    let sender = client.clone();
    let messages: Vec<String> = (0..20_000).map(|number| format!("{number:01000}")).collect();
    let sending = std::thread::spawn(move || {
        sender.play(Script::new().within(DEADLINE * 3).send_all(messages)).within(DEADLINE * 3).blocking()
    });
    sink.sink.publish(b"down").unwrap();
    assert_eq!(texts(&client, 1), ["down"]);
    assert_eq!(source.recorder.count(), 0);
    source.recorder.open_gate();
    sending.join().unwrap();
    eventually_blocking(DEADLINE, || source.recorder.count() == 20_000);
}

#[test]
fn bad_handshakes_get_a_proper_answer() {
    let sink = server_sink(&Registry::new(), &[]);
    let url = sink.detail();
    let raw = |request: String| match ScriptedClient::builder(&url).raw_request(request).attempt().blocking() {
        Err(Refused::Http(answer)) => answer.status,
        other => panic!("{other:?}"),
    };
    assert_eq!(raw("POST / HTTP/1.1\r\nHost: h\r\n\r\n".into()), 405);
    assert_eq!(raw("GET / HTTP/1.0\r\nHost: h\r\n\r\n".into()), 400);
    assert_eq!(raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n".into()), 426);
    assert_eq!(raw(format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(65 << 10))), 431);
    assert_eq!(raw(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(130))), 431);
    let small = server_sink(&Registry::new(), &[("websocket.max.head.size", "100")]);
    assert!(
        matches!(ScriptedClient::builder(small.detail()).attempt().blocking(), Err(Refused::Http(answer)) if answer.status == 431)
    );
    let versions = ScriptedClient::builder(&url).header("Sec-WebSocket-Version", "8").attempt().blocking();
    assert!(matches!(versions, Err(Refused::Http(answer)) if answer.status == 426));
    let refused = |reason| counted(&sink.context.registry, "eventflux_websocket_refused_total", reason);
    assert_eq!((refused("405"), refused("400"), refused("426"), refused("431")), (1, 1, 2, 2));
    ScriptedClient::connect(&url).blocking();
}

#[test]
fn violations_of_the_protocol_are_answered_with_their_code() {
    let source = server_source(&Registry::new(), &[]);
    for violation in violations(Side::Client) {
        let client = ScriptedClient::connect(source.detail()).blocking();
        let script = Script::new().send_raw(violation.bytes).expect_close(violation.close_code);
        if let Err(reason) = client.play(script).blocking_result() {
            panic!("{}: {reason}", violation.name);
        }
    }
    let counted = |reason| counted(&source.context.registry, "eventflux_websocket_violations_total", reason);
    eventually_blocking(DEADLINE, || counted("1002") > 5 && counted("1007") > 0);
}

/// The counter of that name and reason.
fn counted(metrics: &Metrics, name: &str, reason: &str) -> u64 {
    let samples = metrics.samples().into_iter().filter(|sample| sample.name == name);
    samples.filter(|sample| sample.labels.contains(&("reason", reason.to_owned()))).map(|sample| sample.value).sum()
}

#[test]
fn too_large_a_message_is_reported_and_closes_with_1009() {
    let source = server_source(&Registry::new(), &[("websocket.max.message.size", "1000")]);
    let client = ScriptedClient::connect(source.detail()).blocking();
    client.play(Script::new().send_text("x".repeat(1000)).send_text("x".repeat(1001)).expect_close(1009)).blocking();
    eventually_blocking(DEADLINE, || source.recorder.errors().len() == 1);
    assert_eq!(source.recorder.count(), 1);
}

#[test]
fn a_flood_of_pings_is_answered_with_1008() {
    let sink = server_sink(&Registry::new(), &[]);
    let client = ScriptedClient::connect(sink.detail()).blocking();
    client.play(Script::new().flood_pings(5_000).expect_close(1008)).blocking();
}

#[test]
fn a_client_that_answers_no_ping_is_dropped() {
    let raw = [("websocket.ping.interval", "20ms"), ("websocket.pong.timeout", "40ms")];
    let sink = server_sink(&Registry::new(), &raw);
    let client = ScriptedClient::connect(sink.detail()).blocking();
    client.play(Script::new().ignore_pings()).blocking();
    client.wait_for_end().blocking();
    clients(&sink, 0);
}

#[test]
fn messages_to_a_path_without_a_source_are_ignored_and_control_frames_are_not() {
    let sink = server_sink(&Registry::new(), &[]);
    let client = ScriptedClient::connect(sink.detail()).blocking();
    client.play(Script::new().send_text("noise").send_frame(RawFrame::binary("noise").masked()).ping("p")).blocking();
    sink.sink.publish(b"x").unwrap();
    assert_eq!(texts(&client, 1), ["x"]);
}

#[test]
fn a_silent_client_and_one_that_reads_nothing_do_not_hold_up_a_stop() {
    let sink = server_sink(&Registry::new(), &[]);
    let url = sink.detail();
    let address = url.trim_start_matches("ws://").trim_end_matches('/').to_owned();
    let _silent = std::net::TcpStream::connect(address).unwrap();
    let frozen = ScriptedClient::builder(&url).receive_buffer(8 << 10).connect().blocking();
    frozen.play(Script::new().stop_reading()).blocking();
    clients(&sink, 1);
    sink.sink.publish("x".repeat(30 << 20).as_bytes()).unwrap();
    let before = Instant::now();
    assert_eq!(sink.sink.stop(Duration::from_millis(500)), 1);
    assert!(before.elapsed() < PROMPTLY + Duration::from_millis(500), "{:?}", before.elapsed());
}

#[test]
fn a_listener_is_shared_only_within_one_registry_and_addresses_are_checked() {
    let mut source = Registry::new().source(&[("websocket.mode", "server"), ("websocket.listen", "192.0.2.1:0")]);
    let error = source.start().unwrap_err().to_string();
    assert!(error.contains("'192.0.2.1:0' cannot be bound"), "{error}");
}
