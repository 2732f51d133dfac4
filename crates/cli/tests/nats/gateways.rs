//! `gateways.sql` and `trades.sql`: several gateways that act as one.

use eventflux_testkit::nats::NatsServer;

use super::instance::{Instance, publish};

const FILE: &str = "examples/nats/gateways.sql";

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_every_instance_get_what_any_of_them_publishes_and_go_on_at_another_one() {
    let server = NatsServer::start();
    let mut instances = vec![Instance::start(&[FILE], &server.url()), Instance::start(&[FILE], &server.url())];
    let clients: Vec<_> = instances.iter().map(|instance| instance.connect("/ws")).collect();
    for client in &clients {
        client.send(r#"{"type":"subscribe","data":{"channels":["trades.BTC","chat"]}}"#);
        client.expect("subscribe_response");
    }

    let nats = async_nats::connect(server.url()).await.unwrap();
    let trades: Vec<_> = (1..=20).map(|price| format!(r#"{{"symbol":"BTC","price":{price}.5}}"#)).collect();
    publish(&nats, &trades.iter().map(|trade| ("trades.BTC", trade.as_str())).collect::<Vec<_>>()).await;
    clients[0].send(r#"{"type":"event","data":{"text":"hello"},"metadata":{"channel":"chat"}}"#);
    for client in &clients {
        trades.iter().for_each(|trade| drop(client.expect(trade)));
        client.expect("hello");
        let events = client.texts().iter().filter(|text| text.contains(r#""symbol":"BTC""#)).count();
        assert_eq!(events, trades.len(), "{:?}", client.texts());
    }

    // Its instance ends; it goes on at the other one, behind the last trade it has.
    let last = clients[1].texts().into_iter().rfind(|text| text.contains(r#""symbol":"BTC""#)).unwrap();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    let (epoch, offset) = (&last["metadata"]["epoch"], &last["metadata"]["offset"]);
    instances.pop().unwrap().stop();
    publish(&nats, &[("trades.BTC", r#"{"symbol":"BTC","price":21.5}"#)]).await;
    clients[0].expect("21.5");
    let client = instances[0].connect("/ws");
    client.send(&format!(
        r#"{{"type":"subscribe","data":{{"channels":["trades.BTC"],"recover":{{"trades.BTC":{{"epoch":{epoch},"offset":{offset}}}}}}}}}"#
    ));
    client.expect(r#""recovered":true"#);
    client.expect("21.5");
    assert_eq!(
        client.texts().iter().filter(|text| text.contains(r#""symbol":"BTC""#)).count(),
        1,
        "{:?}",
        client.texts()
    );
    instances.pop().unwrap().stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_are_made_up_stored_and_shown() {
    let server = NatsServer::start();
    let instance = Instance::start(&[FILE, "examples/nats/trades.sql"], &server.url());
    let client = instance.connect("/ws");
    client.send(r#"{"type":"subscribe","data":{"channels":["trades.*"]}}"#);
    client.expect(r#""price":"#);
    assert!(instance.metric("eventflux_sink_messages_total") >= 1.0);
    instance.stop();
}
