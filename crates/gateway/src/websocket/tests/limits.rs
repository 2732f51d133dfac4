//! Every field of the configuration acts.

use super::super::{COMPRESSION_THRESHOLD_BYTES, WsMessageType};
use super::*;

fn with(config: WebSocketConfig) -> WebSocketManager {
    WebSocketManager::new(config)
}

fn timed(config: WebSocketConfig) -> (WebSocketManager, TestClock) {
    let clock = TestClock::new();
    (with(config).with_clock(clock.clone()), clock)
}

#[test]
fn max_connections_is_a_limit_and_a_place_is_free_when_somebody_leaves() {
    let manager = with(WebSocketConfig { max_connections: 2, ..Default::default() });
    let first = Client::new(&manager);
    let _second = Client::new(&manager);
    assert_eq!(Client::add(&manager, info(2)).err(), Some(WsError::ConnectionLimit));
    run(manager.remove_connection(first.id));
    let third = Client::add(&manager, info(2)).unwrap();
    drop(third);
    Client::add(&manager, info(3)).unwrap();
    let stats = run(manager.get_stats());
    assert_eq!((stats.total_connections, stats.peak_connections, stats.failed_connections), (4, 2, 1));
}

#[test]
fn max_connections_per_ip_counts_an_address_however_it_is_written() {
    let manager = with(WebSocketConfig { max_connections_per_ip: 2, ..Default::default() });
    let _first = Client::new(&manager);
    let mapped = ConnectionInfo::new("[::ffff:192.0.2.1]:9".parse().unwrap());
    let _second = Client::add(&manager, mapped.clone()).unwrap();
    assert_eq!(Client::add(&manager, info(1)).err(), Some(WsError::ConnectionLimit));
    Client::add(&manager, info(2)).unwrap();
}

#[test]
fn max_subscriptions_per_connection_is_a_limit_for_the_program_and_for_the_client() {
    let manager = with(WebSocketConfig { max_subscriptions_per_connection: 2, ..Default::default() });
    let mut client = Client::new(&manager);
    assert_eq!(client.subscribe(&["a", "b", "c"]), Err(WsError::SubscriptionLimitExceeded));
    // All or none.
    assert_eq!(run(manager.broadcast("a", WsMessage::event(json!(1)))), Ok(0));
    client.subscribe(&["a", "b"]).unwrap();
    client.subscribe(&["b", "a"]).unwrap();
    assert_eq!(codes(&client.ask(&subscribe_message(&["c"]))), ["subscription_limit_exceeded"]);
    assert_eq!(run(manager.broadcast("a", WsMessage::event(json!(1)))), Ok(1));
}

#[test]
fn max_subscribers_per_channel_is_a_limit() {
    let manager = with(WebSocketConfig { max_subscribers_per_channel: 1, ..Default::default() });
    let first = Client::new(&manager);
    first.subscribe(&[CHANNEL]).unwrap();
    let mut second = Client::new(&manager);
    let full = WsError::ChannelFull { channel: CHANNEL.to_owned() };
    assert_eq!(second.subscribe(&["other", CHANNEL]), Err(full));
    assert_eq!(codes(&second.ask(&subscribe_message(&[CHANNEL]))), ["channel_full"]);
    assert_eq!(broadcast(&manager, 1), 1);
    run(manager.unsubscribe(first.id, vec![CHANNEL.to_owned()])).unwrap();
    second.subscribe(&[CHANNEL]).unwrap();
}

#[test]
fn max_message_size_passes_and_one_byte_more_closes_with_1009() {
    let manager = with(WebSocketConfig { max_message_size: 100, ..Default::default() });
    let mut client = Client::new(&manager);
    let message = |size: usize| format!(r#"{{"type":"ping"{}}}"#, " ".repeat(size - 15));
    run(manager.receive(client.id, &message(100))).unwrap();
    assert_eq!(client.read(), [json!({"type": "pong"})]);
    let error = run(manager.receive(client.id, &message(101))).unwrap_err();
    assert_eq!(error, WsError::MessageTooLarge { bytes: 101, limit: 100 });
    assert_eq!(client.closed(), Some((1009, "message too large".to_owned())));
    assert_eq!(run(manager.receive(client.id, &message(15))).unwrap_err(), WsError::ConnectionNotFound);
}

#[test]
fn enable_compression_says_which_messages_to_compress() {
    for enabled in [true, false] {
        let manager = with(WebSocketConfig { enable_compression: enabled, ..Default::default() });
        let mut client = Client::new(&manager);
        client.subscribe(&[CHANNEL]).unwrap();
        let overhead = r#"{"type":"event","data":""}"#.len();
        for size in [COMPRESSION_THRESHOLD_BYTES - 1, COMPRESSION_THRESHOLD_BYTES] {
            let data = json!("x".repeat(size - overhead));
            run(manager.broadcast(CHANNEL, WsMessage::event(data))).unwrap();
            let outgoing = run(client.sender.recv()).unwrap();
            assert_eq!(outgoing.text.len(), size);
            assert_eq!(outgoing.compress, enabled && size == COMPRESSION_THRESHOLD_BYTES);
        }
    }
}

#[test]
fn buffer_size_bounds_what_waits_for_a_client_that_does_not_read() {
    let manager = with(WebSocketConfig { buffer_size: 3, ..Default::default() });
    let mut client = Client::new(&manager);
    let message = WsMessage::event(json!(1));
    (0..3).for_each(|_| client.sender.send(message.clone()).unwrap());
    assert_eq!(client.sender.send(message.clone()), Err(WsError::BufferFull { limit: 3 }));
    assert_eq!(client.read().len(), 3);
    client.sender.send(message.clone()).unwrap();
}

#[test]
fn buffer_size_bounds_the_requests_that_wait_for_an_answer() {
    let config = WebSocketConfig { buffer_size: 2, ..Default::default() };
    let manager = with(config).with_messages(&[WsMessageType::Request]);
    let mut client = Client::new(&manager);
    let request = json!({"type": "request"});
    let waiting = run(manager.receive(client.id, &request.to_string())).unwrap().unwrap().request.unwrap();
    assert!(client.ask(&request).is_empty());
    assert_eq!(codes(&client.ask(&request)), ["busy"]);
    run(manager.respond(&waiting, &json!(1))).unwrap();
    assert_eq!(client.read(), [json!({"type": "response", "data": 1})]);
    assert!(client.ask(&request).is_empty());
}

#[test]
fn buffer_size_bounds_the_messages_that_wait_for_the_one_before() {
    let manager = with(WebSocketConfig { buffer_size: 2, ..Default::default() }).with_auth_handler(Never);
    let client = Client::new(&manager);
    let auth = r#"{"type":"auth","data":{"token":"t"}}"#;
    let mut calls: Vec<_> = (0..3).map(|_| Box::pin(manager.receive(client.id, auth))).collect();
    let mut context = Context::from_waker(Waker::noop());
    assert!(calls.iter_mut().all(|call| call.as_mut().poll(&mut context).is_pending()));
    assert_eq!(run(manager.receive(client.id, auth)).unwrap_err(), WsError::BufferFull { limit: 2 });
    calls.pop();
    let mut call = Box::pin(manager.receive(client.id, auth));
    assert!(call.as_mut().poll(&mut context).is_pending());
}

/// Makes no decision.
struct Never;

#[async_trait::async_trait]
impl AuthHandler for Never {
    async fn authenticate(&self, _token: &str) -> Result<String, String> {
        std::future::pending().await
    }

    async fn check_permission(&self, _user_id: &str, _channel: &str) -> bool {
        std::future::pending().await
    }
}

#[test]
fn broadcast_buffer_size_is_what_a_slow_subscriber_can_be_behind() {
    let manager = with(WebSocketConfig { broadcast_buffer_size: 4, ..Default::default() });
    let [mut quick, mut slow] = [Client::new(&manager), Client::new(&manager)];
    quick.subscribe(&[CHANNEL]).unwrap();
    slow.subscribe(&[CHANNEL]).unwrap();
    let event = |number: usize| json!({"type": "event", "data": number});
    for number in 1..=4 {
        assert_eq!(broadcast(&manager, number), 2);
        assert_eq!(quick.read(), [event(number)]);
    }
    assert_eq!(slow.read(), [1, 2, 3, 4].map(event));
    for number in 5..=14 {
        broadcast(&manager, number);
        assert_eq!(quick.read(), [event(number)]);
    }
    let read = slow.read();
    assert_eq!(codes(&read), ["gap"]);
    assert_eq!(read[0]["data"]["missed"], 6);
    assert_eq!(read[1..], [11, 12, 13, 14].map(event));
    let stats = run(manager.get_stats());
    assert_eq!((stats.delivered, stats.dropped), (28, 6));
}

#[test]
fn broadcast_buffer_size_holds_for_subscribers_with_filters() {
    let manager = with(WebSocketConfig { broadcast_buffer_size: 2, ..Default::default() });
    let mut client = Client::new(&manager);
    client.ask(&json!({"type": "subscribe", "data": {"channels": [CHANNEL], "filter": "n > 0"}}));
    for number in 0..=5 {
        run(manager.broadcast(CHANNEL, WsMessage::event(json!({"n": number})))).unwrap();
    }
    let read = client.read();
    let numbers: Vec<_> = read.iter().filter_map(|message| message["data"]["n"].as_u64()).collect();
    let missed: Vec<_> = read.iter().filter_map(|message| message["data"]["missed"].as_u64()).collect();
    assert_eq!((&numbers[..], &missed[..]), (&[4, 5][..], &[3][..]));
}

#[test]
fn ping_interval_and_pong_timeout_find_out_who_is_gone() {
    let (manager, clock) = timed(WebSocketConfig::default());
    let [mut alive, mut gone, mut library] = [(); 3].map(|()| Client::new(&manager));
    clock.pass(29, &manager);
    assert!(alive.read().is_empty());
    clock.pass(1, &manager);
    assert_eq!(alive.read(), [json!({"type": "ping"})]);
    assert_eq!(gone.read(), [json!({"type": "ping"})]);
    assert!(alive.ask(&json!({"type": "pong"})).is_empty());
    manager.pong(library.id);
    clock.pass(9, &manager);
    assert_eq!(gone.closed(), None);
    clock.pass(2, &manager);
    assert_eq!(gone.closed(), Some((1008, "pong timeout".to_owned())));
    assert!(!manager.is_connected(gone.id));
    assert_eq!([alive.closed(), library.closed()], [None, None]);
    clock.pass(19, &manager);
    assert_eq!(alive.read(), [json!({"type": "ping"})]);
}

#[test]
fn connection_timeout_ends_a_connection_of_which_nothing_is_heard() {
    let config = WebSocketConfig { ping_interval: Duration::ZERO, ..Default::default() };
    let (manager, clock) = timed(config);
    let mut client = Client::new(&manager);
    clock.pass(59, &manager);
    assert_eq!(client.ask(&json!({"type": "ping"})), [json!({"type": "pong"})]);
    clock.pass(60, &manager);
    assert_eq!(client.closed(), None);
    clock.pass(1, &manager);
    assert_eq!(client.closed(), Some((1008, "connection timeout".to_owned())));
}
