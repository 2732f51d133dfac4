//! Connections from their beginning to their end.

use std::thread;

use futures_util::future::poll_immediate;

use super::*;

#[test]
fn an_id_is_given_once() {
    let manager = manager();
    let first = Client::new(&manager);
    let info = info(1);
    let again = run(manager.add_connection(first.id, info.clone()));
    assert_eq!(again.err(), Some(WsError::DuplicateConnection));
    drop(first);
    Client::add(&manager, info).unwrap();
}

#[test]
fn statistics_count_connections_and_messages() {
    let manager = manager();
    let [mut ann, mut bob] = [Client::new(&manager), Client::new(&manager)];
    ann.subscribe(&[CHANNEL]).unwrap();
    bob.ask(&subscribe_message(&[CHANNEL]));
    broadcast(&manager, 1);
    ann.read();
    bob.read();
    drop(bob);
    let stats = run(manager.get_stats());
    assert_eq!((stats.active_connections, stats.total_connections, stats.peak_connections), (1, 2, 2));
    assert_eq!((stats.messages_sent, stats.messages_received, stats.subscriptions), (3, 1, 1));
    let samples = manager.metrics().samples();
    let total = samples.iter().find(|sample| sample.name == "websocket_connections_total").unwrap();
    assert_eq!((total.value, total.labels[0].1.as_str()), (2, "/ws"));
}

#[test]
fn a_removed_connection_writes_what_is_left_and_is_closed() {
    let manager = manager();
    let mut client = Client::new(&manager);
    client.sender.send(WsMessage::event(json!("bye"))).unwrap();
    run(manager.receive(client.id, r#"{"type":"ping"}"#)).unwrap();
    run(manager.remove_connection(client.id));
    assert!(!manager.is_connected(client.id));
    assert_eq!(client.read(), [json!({"type": "pong"}), json!({"type": "event", "data": "bye"})]);
    assert_eq!(client.next(), Some(None));
    assert_eq!(client.closed(), Some((1000, String::new())));
    assert_eq!(client.subscribe(&[CHANNEL]), Err(WsError::ConnectionNotFound));
    assert!(matches!(client.sender.send(WsMessage::event(json!(1))), Err(WsError::ConnectionClosed(_))));
    run(manager.remove_connection(client.id));
}

#[test]
fn a_sender_that_is_dropped_takes_its_connection_with_it() {
    let manager = manager();
    let client = Client::new(&manager);
    client.subscribe(&[CHANNEL]).unwrap();
    let id = client.id;
    drop(client);
    assert!(!manager.is_connected(id));
    assert_eq!(broadcast(&manager, 1), 0);
    let stats = run(manager.get_stats());
    assert_eq!((stats.active_connections, stats.subscriptions), (0, 0));
}

#[test]
fn the_sender_of_a_connection_that_is_gone_leaves_the_next_of_its_id_alone() {
    let manager = manager();
    let first = Client::new(&manager);
    let id = first.id;
    run(manager.remove_connection(id));
    let _second = run(manager.add_connection(id, info(1))).unwrap();
    drop(first);
    assert!(manager.is_connected(id));
}

#[test]
fn shutting_down_closes_everybody_and_lets_nobody_in() {
    let manager = manager();
    let mut client = Client::new(&manager);
    client.subscribe(&[CHANNEL]).unwrap();
    run(manager.shutdown());
    assert_eq!(client.closed(), Some((1001, "going away".to_owned())));
    assert!(!manager.is_connected(client.id));
    assert_eq!(Client::add(&manager, info(1)).err(), Some(WsError::ShuttingDown));
}

#[test]
fn a_binary_message_and_other_mishaps_are_closed_for_a_reason_of_the_programs() {
    let manager = manager();
    let mut client = Client::new(&manager);
    run(manager.close_connection(client.id, super::super::CloseReason::TEXT_ONLY));
    assert_eq!(client.closed(), Some((1003, "text messages only".to_owned())));
}

#[test]
fn nothing_is_lost_when_waiting_is_given_up() {
    let manager = manager();
    let mut client = Client::new(&manager);
    client.subscribe(&[CHANNEL]).unwrap();
    for number in 0..10 {
        assert!(run(poll_immediate(Box::pin(client.sender.recv()))).is_none());
        broadcast(&manager, number);
        let text = run(client.sender.recv()).unwrap().text;
        assert_eq!(text, format!(r#"{{"type":"event","data":{number}}}"#));
    }
}

#[test]
fn whoever_waits_is_woken_by_whatever_comes() {
    let clock = TestClock::new();
    let manager = manager().with_clock(clock.clone());
    let mut client = Client::new(&manager);
    client.subscribe(&[CHANNEL]).unwrap();
    let id = client.id;
    // Each of these happens on another thread while the client may or may not wait already.
    let causes: [(&(dyn Fn() + Sync), &str); 5] = [
        (&|| assert_eq!(broadcast(&manager, 1), 1), r#"{"type":"event","data":1}"#),
        (&|| drop(run(manager.receive(id, r#"{"type":"ping"}"#))), r#"{"type":"pong"}"#),
        (&|| clock.pass(30, &manager), r#"{"type":"ping"}"#),
        (&|| run(manager.remove_connection(id)), "closed"),
        (&|| (), "closed"),
    ];
    for (cause, expected) in causes {
        thread::scope(|scope| {
            scope.spawn(cause);
            let text = run(client.sender.recv()).map_or("closed".to_owned(), |outgoing| outgoing.text);
            assert_eq!(text, expected);
        });
    }
}

#[test]
fn many_threads_broadcast_and_every_client_gets_everything_in_order() {
    const PUBLISHERS: usize = 4;
    const EVENTS: usize = 500;
    let config = WebSocketConfig { broadcast_buffer_size: PUBLISHERS * EVENTS, ..Default::default() };
    let manager = WebSocketManager::new(config);
    let mut clients: Vec<_> = (0..8).map(|_| Client::new(&manager)).collect();
    clients.iter().for_each(|client| client.subscribe(&[CHANNEL]).unwrap());
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let manager = &manager;
            scope.spawn(move || {
                for number in 0..EVENTS {
                    let event = WsMessage::event(json!([publisher, number]));
                    assert_eq!(run(manager.broadcast(CHANNEL, event)), Ok(8));
                }
            });
        }
        for client in &mut clients {
            scope.spawn(move || {
                let mut next = [0; PUBLISHERS];
                for _ in 0..PUBLISHERS * EVENTS {
                    let text = run(client.sender.recv()).unwrap().text;
                    let event: Value = serde_json::from_str(&text).unwrap();
                    let publisher = event["data"][0].as_u64().unwrap() as usize;
                    assert_eq!(event["data"][1], next[publisher]);
                    next[publisher] += 1;
                }
            });
        }
    });
}
