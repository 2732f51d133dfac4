//! Both ends of NATS, over the WebSocket of its server, with the client library that its makers have for Rust.

use std::collections::VecDeque;
use std::fmt::Display;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::{Client, ConnectOptions, jetstream};
use bytes::BytesMut;
use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::{Gate, emit};
use eventflux_benches::error::BenchError;
use futures_util::StreamExt;

use crate::event::Event;
use crate::job::{End, Job};
use crate::ledger::Ledger;
use crate::message::{Messages, STREAM};
use crate::ours::wait_for_the_end;
use crate::system::System;

/// Where a receiver says how far it is: the server would hang up on one that is too slow.
const CREDIT: &str = "credit";

/// Messages under way, as many as the window of a link has.
const WINDOW: u64 = 16_384;

/// Messages for which there is one acknowledgement, or one credit: a quarter of the window.
const ACKNOWLEDGED_TOGETHER: u64 = WINDOW / 4;

/// Messages published that JetStream has not confirmed.
const UNCONFIRMED: usize = 4_096;

/// Messages that a receiver asks for at once.
const PULLED: usize = WINDOW as usize;

/// Plays one end until the runner ends the process.
pub(crate) fn run(job: &Job, gate: &Gate) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("starting a runtime"))?;
    runtime.block_on(async {
        let url = job.url.as_deref().unwrap_or_default();
        let client = ConnectOptions::new().connect(url).await.map_err(broken)?;
        match (job.system, job.end) {
            (System::Nats, End::Sender) => publish(&client, job, gate).await,
            (System::Nats, End::Receiver) => subscribe(&client, job).await,
            (_, End::Sender) => produce(&client, job, gate).await,
            (_, End::Receiver) => consume(&client, job).await,
        }
    })?;
    wait_for_the_end()
}

async fn publish(client: &Client, job: &Job, gate: &Gate) -> Result<(), BenchError> {
    let mut credits = client.subscribe(CREDIT).await.map_err(broken)?;
    client.flush().await.map_err(broken)?;
    start(gate)?;
    let (mut messages, mut buffer) = (Messages::new(job.message_bytes()), BytesMut::new());
    let (mut sent, mut allowed) = (0, WINDOW);
    while sent < job.messages {
        let count = (job.messages - sent).min(job.batch as u64);
        while sent + count > allowed {
            credits.next().await.ok_or_else(|| broken("the connection ended"))?;
            allowed += ACKNOWLEDGED_TOGETHER;
        }
        for _ in 0..count {
            messages.write(&mut buffer);
            client.publish(STREAM, buffer.split().freeze()).await.map_err(broken)?;
        }
        sent += count;
    }
    client.flush().await.map_err(broken)?;
    emit(&Event::Settled { at_ns: monotonic_ns() })?;
    // The connection is served by this task's runtime.
    while credits.next().await.is_some() {}
    Ok(())
}

async fn subscribe(client: &Client, job: &Job) -> Result<(), BenchError> {
    let mut messages = client.subscribe(STREAM).await.map_err(broken)?;
    client.flush().await.map_err(broken)?;
    emit(&Event::Ready)?;
    let (mut ledger, mut received) = (Ledger::new(job.messages, job.parts), 0);
    while let Some(message) = messages.next().await {
        ledger.take([&message.payload[..]].into_iter())?;
        received += 1;
        if received % ACKNOWLEDGED_TOGETHER == 0 {
            client.publish(CREDIT, "".into()).await.map_err(broken)?;
        }
    }
    Ok(())
}

async fn produce(client: &Client, job: &Job, gate: &Gate) -> Result<(), BenchError> {
    let jetstream = jetstream::new(client.clone());
    start(gate)?;
    let (mut messages, mut buffer) = (Messages::new(job.message_bytes()), BytesMut::new());
    let mut unconfirmed = VecDeque::with_capacity(UNCONFIRMED);
    for _ in 0..job.messages {
        if unconfirmed.len() == UNCONFIRMED
            && let Some(oldest) = unconfirmed.pop_front()
        {
            confirmed(oldest).await?;
        }
        messages.write(&mut buffer);
        let publish = PublishMessage::build().payload(buffer.split().freeze());
        unconfirmed.push_back(jetstream.send_publish(STREAM, publish).await.map_err(broken)?);
    }
    while let Some(oldest) = unconfirmed.pop_front() {
        confirmed(oldest).await?;
    }
    emit(&Event::Settled { at_ns: monotonic_ns() })
}

async fn confirmed(publish: jetstream::context::PublishAckFuture) -> Result<(), BenchError> {
    publish.await.map(drop).map_err(broken)
}

async fn consume(client: &Client, job: &Job) -> Result<(), BenchError> {
    let storage = if job.system.is_durable() { StorageType::File } else { StorageType::Memory };
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec![STREAM.to_owned()],
        retention: RetentionPolicy::Interest,
        storage,
        ..Config::default()
    };
    let stream = jetstream::new(client.clone()).create_stream(config).await.map_err(broken)?;
    let config = pull::Config {
        durable_name: Some("bench".to_owned()),
        ack_policy: AckPolicy::All,
        max_ack_pending: 2 * PULLED as i64,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(broken)?;
    let mut messages = consumer.stream().max_messages_per_batch(PULLED).messages().await.map_err(broken)?;
    client.flush().await.map_err(broken)?;
    emit(&Event::Ready)?;
    let (mut ledger, mut received) = (Ledger::new(job.messages, job.parts), 0);
    while let Some(message) = messages.next().await {
        let message = message.map_err(broken)?;
        received += 1;
        if received % ACKNOWLEDGED_TOGETHER == 0 || received == job.messages {
            message.ack().await.map_err(broken)?;
        }
        ledger.take([&message.payload[..]].into_iter())?;
    }
    Ok(())
}

fn start(gate: &Gate) -> Result<(), BenchError> {
    emit(&Event::Ready)?;
    gate.wait();
    emit(&Event::Started { at_ns: monotonic_ns() })
}

fn broken(error: impl Display) -> BenchError {
    BenchError::Protocol(error.to_string())
}
