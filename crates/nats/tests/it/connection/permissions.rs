//! What a server does not permit.

use eventflux_nats::connection::{ERRORS, Operation};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use futures_util::StreamExt;
use log::Level;

use super::{count, eager, observer, open, within};

const LIMITED: &str = "authorization { users: [ { user: u, password: p,
    permissions: { publish: { deny: 'secret.>' }, subscribe: { deny: 'closed.>' } } } ] }";

const USER: [(&str, &str); 2] = [("nats.user", "u"), ("nats.password", "p")];

#[tokio::test]
async fn what_is_not_permitted_is_told_to_those_who_ask_counted_and_logged_once() {
    let logs = LogCapture::start().containing("[Limited]");
    let (server, observer) = (NatsServer::start_with(LIMITED), observer("Limited"));
    let connection = open(&eager(&server.url(), &USER), &observer).await.unwrap();
    let mut violations = connection.violations();
    let client = connection.client();
    for _ in 0..3 {
        client.publish("secret.plan", "".into()).await.unwrap();
        let violation = within(violations.recv()).await.unwrap();
        assert_eq!((violation.operation, violation.subject.as_str()), (Operation::Publish, "secret.plan"));
    }
    let _closed = client.queue_subscribe("closed.door", "group".to_owned()).await.unwrap();
    let violation = within(violations.recv()).await.unwrap();
    assert_eq!((violation.operation, violation.subject.as_str()), (Operation::Subscribe, "closed.door"));
    assert_eq!(count(&observer, ERRORS, "permissions"), 4);
    assert!(connection.is_connected(), "and nothing else changes");
    logs.assert_logged(Level::Warn, "does not permit to subscribe to closed.door");
    let lines = logs.lines().into_iter().filter(|line| line.message.contains("publish to secret.plan"));
    assert_eq!(lines.count(), 1);
}

#[tokio::test]
async fn what_is_permitted_works_beside_it() {
    let (server, observer) = (NatsServer::start_with(LIMITED), observer("Beside"));
    let connection = open(&eager(&server.url(), &USER), &observer).await.unwrap();
    let mut subscription = connection.client().subscribe("open").await.unwrap();
    connection.client().publish("secret.plan", "".into()).await.unwrap();
    connection.client().publish("open", "in".into()).await.unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().payload, "in");
}

#[tokio::test]
async fn many_complaints_do_not_keep_a_loss_out_of_the_log() {
    let logs = LogCapture::start().containing("[Flooded]");
    let (server, observer) = (NatsServer::start_with(LIMITED), observer("Flooded"));
    let connection = open(&eager(&server.url(), &USER), &observer).await.unwrap();
    let mut violations = connection.violations();
    for number in 0..200 {
        connection.client().publish(format!("secret.{number}"), "".into()).await.unwrap();
        within(violations.recv()).await.unwrap();
    }
    let complaints = logs.lines().into_iter().filter(|line| line.message.contains("does not permit")).count();
    assert!((1..=64).contains(&complaints), "{complaints}");
    server.kill();
    logs.wait_for(super::DEADLINE, Level::Warn, "trying again").await;
}
