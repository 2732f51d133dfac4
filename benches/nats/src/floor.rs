//! What JetStream takes without us: the client library that the makers of NATS have for Rust, which publishes as `nats bench`
//! does, with many messages under way.

use std::collections::VecDeque;
use std::fmt::Display;
use std::ops::Range;

use async_nats::ConnectOptions;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::control::{Gate, emit};
use eventflux_benches::error::BenchError;

use crate::event::Event;
use crate::job::Floor;
use crate::message::Messages;
use crate::stream::SUBJECT;

/// Publishes what comes before the run, and the rest when the gate opens.
pub(crate) fn run(job: &Floor, gate: &Gate) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("starting a runtime"))?;
    runtime.block_on(async {
        let client = ConnectOptions::new().connect(&job.url).await.map_err(broken)?;
        let mut publisher = Publisher::new(jetstream::new(client), job);
        publisher.publish(0..job.warm_up).await?;
        emit(&Event::Ready)?;
        gate.wait();
        emit(&Event::Started { at_ns: monotonic_ns() })?;
        publisher.publish(job.warm_up..job.warm_up + job.messages).await
    })
}

struct Publisher {
    context: Context,
    messages: Messages,
    ids: bool,
    unconfirmed: VecDeque<PublishAckFuture>,
    in_flight: usize,
}

impl Publisher {
    fn new(context: Context, job: &Floor) -> Self {
        let unconfirmed = VecDeque::with_capacity(job.in_flight);
        Self { context, messages: Messages::new(0), ids: job.ids, unconfirmed, in_flight: job.in_flight }
    }

    /// Publishes messages, and waits until all are confirmed.
    async fn publish(&mut self, numbers: Range<u64>) -> Result<(), BenchError> {
        for number in numbers {
            if self.unconfirmed.len() == self.in_flight {
                self.confirm_oldest().await?;
            }
            let payload = Bytes::copy_from_slice(&self.messages.message(number));
            let mut message = PublishMessage::build().payload(payload);
            if self.ids {
                message = message.message_id(format!("kbUQ8pyHFqSLQBj7-{number}"));
            }
            self.unconfirmed.push_back(self.context.send_publish(SUBJECT, message).await.map_err(broken)?);
        }
        while !self.unconfirmed.is_empty() {
            self.confirm_oldest().await?;
        }
        Ok(())
    }

    async fn confirm_oldest(&mut self) -> Result<(), BenchError> {
        match self.unconfirmed.pop_front() {
            Some(oldest) => oldest.await.map(drop).map_err(broken),
            None => Ok(()),
        }
    }
}

fn broken(error: impl Display) -> BenchError {
    BenchError::Protocol(error.to_string())
}
