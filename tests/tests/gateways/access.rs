//! Who may do what does not depend on the gateway.

use eventflux_testkit::nats::NatsServer;
use serde_json::{Value, json};

use super::instance::{number, numbers, sharing};
use super::jwt;

fn ask(client: &super::client::Client, channels: &[&str]) -> Value {
    client.ask(&json!({"type": "subscribe", "data": {"channels": channels}}))
}

#[test]
fn a_token_grants_the_same_at_all_gateways() {
    let nats = NatsServer::start();
    let plan = sharing(&nats, "channels")
        .with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{}'", jwt::SECRET))
        .with("websocket.auth.jwt.channels.claim='channels', websocket.presence='true'");
    let instances = [plan.start(), plan.start()];
    let claims = json!({"sub": "ann", "exp": jwt::in_seconds(60), "channels": ["tenant.a.*"]});
    let token = format!("?token={}", jwt::with(&claims));
    let clients = instances.each_ref().map(|instance| instance.client(&token));
    for client in &clients {
        for denied in ["tenant.b.x", "other"] {
            assert_eq!(ask(client, &[denied])["data"]["code"], "permission_denied");
            let presence = client.ask(&json!({"type": "presence", "data": {"channel": denied}}));
            assert_eq!(presence["data"]["code"], "permission_denied");
        }
        assert_eq!(ask(client, &["*"])["type"], "subscribe_response", "a wish for more is cut to what is granted");
    }
    for channel in ["tenant.b.x", "other"] {
        instances[0].publish(channel, &number(1));
    }
    instances[0].publish("tenant.a.x", &number(2));
    for client in &clients {
        assert_eq!(numbers(&[client.next()]), [2]);
    }
    for instance in instances {
        instance.stop();
    }
}
