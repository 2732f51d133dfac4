//! `events.sql`: what services publish, on the devices of the user it is about.

use eventflux_testkit::nats::NatsServer;

use super::instance::{Instance, publish};

const FILE: &str = "examples/nats/events.sql";
const PATH: &str = "/api/v1/ws?token=";

#[tokio::test(flavor = "multi_thread")]
async fn events_of_each_subject_reach_the_devices_of_their_user_on_every_instance_and_nobody_else() {
    let server = NatsServer::start();
    let instances = [Instance::start(&[FILE], &server.url()), Instance::start(&[FILE], &server.url())];
    let mine = instances.each_ref().map(|instance| instance.connect(&format!("{PATH}test_token")));
    let other = instances[1].connect(&format!("{PATH}other_token"));
    for client in mine.iter().chain([&other]) {
        client.send(r#"{"type":"subscribe","events":["blob.*","processor.completed","book.*","conversation.*"]}"#);
        client.expect(r#""type":"subscribed""#);
    }

    let created = r#"{"user_id":"user_123", "blob_id":"blob_7","size":1.50}"#;
    let nats = async_nats::connect(server.url()).await.unwrap();
    publish(
        &nats,
        &[
            ("blob.created", created),
            ("blob.derived", r#"{"blob_id":"blob_8"}"#),
            ("blob.derived", "no JSON"),
            ("processor.status", r#"{"user_id":"user_123"}"#),
            ("processor.completed", r#"{"user_id":"user_123"}"#),
            ("book.updated", r#"{"user_id":"user_123"}"#),
            ("conversation.message", r#"{"user_id":"user_456"}"#),
            ("conversation.message", r#"{"user_id":"user_123"}"#),
        ],
    )
    .await;

    for client in &mine {
        // Between subjects there is no order.
        for event in ["blob.created", "processor.completed", "book.updated", "conversation.message"] {
            client.expect(&format!(r#"{{"type":"{event}","data":"#));
        }
        // As it was published, digit for digit.
        client.expect(&format!(r#"{{"type":"blob.created","data":{created}}}"#));
        assert!(!client.texts().iter().any(|text| text.contains("blob_8") || text.contains("processor.status")));
        assert_eq!(client.texts().iter().filter(|text| text.contains(r#""user_id":"user_123""#)).count(), 5);
    }
    other.expect("conversation.message");
    assert!(!other.texts().iter().any(|text| text.contains("user_123")), "{:?}", other.texts());
    instances.into_iter().for_each(|instance| drop(instance.stop()));
}
