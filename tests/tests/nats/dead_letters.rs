//! What cannot be worked on, from a stream to the stream of dead letters: acknowledged when that one has it.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind, consumer, stream};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::eventually_blocking;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::example::{block_on, connect, context};
use super::support::{DEADLINE, Pipeline};

/// Work that comes from the stream WORK; what cannot be done goes to the stream DEAD.
fn sql(server: &NatsServer) -> String {
    let url = server.url();
    format!(
        "@source(type='nats', nats.url='{url}', nats.stream='WORK', nats.consumer='worker', nats.max.deliver='2',
                 error.strategy='dlq', error.dlq.stream='Dead', @map(type='json'))
         @sink(type='nats', nats.url='{url}', nats.subject='done', nats.stream='DONE', @map(type='json'))
         CREATE STREAM Work (n BIGINT);
         @sink(type='nats', nats.url='{url}', nats.subject='dead', nats.stream='DEAD', @map(type='json'))
         CREATE STREAM Dead (originalEvent STRING, errorMessage STRING, streamName STRING);"
    )
}

struct Streams {
    server: NatsServer,
    jetstream: jetstream::Context,
}

impl Streams {
    fn start() -> Self {
        let server = NatsServer::start();
        let client = connect(&server);
        let jetstream = block_on(async { jetstream::new(client) });
        block_on(async {
            for name in ["WORK", "DONE", "DEAD"] {
                let subjects = vec![name.to_lowercase()];
                jetstream
                    .create_stream(stream::Config { name: name.to_owned(), subjects, ..Default::default() })
                    .await
                    .unwrap();
            }
        });
        Self { server, jetstream }
    }

    fn publish(&self, payload: &'static str) {
        block_on(async { self.jetstream.publish("work", payload.into()).await.unwrap().await.unwrap() });
    }

    fn stored(&self, name: &str) -> u64 {
        block_on(async { self.jetstream.get_stream(name).await.unwrap().cached_info().state.messages })
    }

    /// The payload of the first message of a stream.
    fn first(&self, name: &str) -> Value {
        let message =
            block_on(async { self.jetstream.get_stream(name).await.unwrap().get_raw_message(1).await.unwrap() });
        serde_json::from_slice(&message.payload).unwrap()
    }

    fn unacknowledged(&self) -> u64 {
        block_on(async {
            let stream = self.jetstream.get_stream("WORK").await.unwrap();
            let info = stream.consumer_info("worker").await.unwrap();
            info.num_ack_pending as u64 + info.num_pending
        })
    }

    /// Somebody else takes the first message so often, and fails.
    fn fail(&self, times: usize) {
        block_on(async {
            let stream = self.jetstream.get_stream("WORK").await.unwrap();
            let config = consumer::pull::Config { durable_name: Some("worker".into()), ..Default::default() };
            let consumer = stream.create_consumer(config).await.unwrap();
            for _ in 0..times {
                let mut messages =
                    consumer.fetch().max_messages(1).expires(Duration::from_secs(5)).messages().await.unwrap();
                messages.next().await.unwrap().unwrap().ack_with(AckKind::Nak(None)).await.unwrap();
            }
        });
    }
}

#[test]
fn what_is_no_event_is_acknowledged_when_the_dead_letters_have_it() {
    let streams = Streams::start();
    let pipeline = Pipeline::start_with(&sql(&streams.server), &context(), |_| ());
    ["{\"n\":1}", "nonsense", "{\"n\":2}"].into_iter().for_each(|payload| streams.publish(payload));
    eventually_blocking(DEADLINE, || (streams.stored("DONE"), streams.stored("DEAD")) == (2, 1));
    eventually_blocking(DEADLINE, || streams.unacknowledged() == 0);
    let dead = streams.first("DEAD");
    assert_eq!((&dead["originalEvent"], &dead["streamName"]), (&json!("nonsense"), &json!("Work")), "{dead}");
    pipeline.stop();
}

#[test]
fn poison_is_a_dead_letter_after_so_many_deliveries_and_what_follows_is_worked_on() {
    let streams = Streams::start();
    streams.publish("{\"n\":1}");
    streams.fail(2);
    streams.publish("{\"n\":2}");
    let pipeline = Pipeline::start_with(&sql(&streams.server), &context(), |_| ());
    eventually_blocking(DEADLINE, || (streams.stored("DONE"), streams.stored("DEAD")) == (1, 1));
    eventually_blocking(DEADLINE, || streams.unacknowledged() == 0);
    let dead = streams.first("DEAD");
    assert_eq!((&dead["originalEvent"], streams.first("DONE")), (&json!("{\"n\":1}"), json!({"n": 2})));
    let message = dead["errorMessage"].as_str().unwrap();
    assert!(message.contains("delivered 2 times") && message.contains("nats.max.deliver"), "{message}");
    pipeline.stop();
}

#[test]
fn nothing_is_acknowledged_while_the_dead_letters_cannot_be_stored() {
    let streams = Streams::start();
    block_on(async { streams.jetstream.delete_stream("DEAD").await.unwrap() });
    let pipeline = Pipeline::start_with(&sql(&streams.server), &context(), |_| ());
    streams.publish("nonsense");
    pipeline.wait_for_metric("eventflux_source_dead_letters_total", "Work", 1);
    assert_eq!(streams.unacknowledged(), 1);
    block_on(async {
        let config = stream::Config { name: "DEAD".into(), subjects: vec!["dead".into()], ..Default::default() };
        streams.jetstream.create_stream(config).await.unwrap();
    });
    eventually_blocking(DEADLINE, || streams.stored("DEAD") == 1);
    eventually_blocking(DEADLINE, || streams.unacknowledged() == 0);
    pipeline.stop();
}
