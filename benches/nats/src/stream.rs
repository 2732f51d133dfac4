//! The stream that messages are stored in, seen by the runner: how many it has, and whether they are what was published.

use std::fmt::Display;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, StorageType, Stream as JetStream};
use async_nats::{ConnectOptions, jetstream};
use eventflux_benches::error::BenchError;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use crate::message::{MAX_CLIENTS, Messages, client};
use crate::scenario::Storage;

/// Its name.
pub(crate) const NAME: &str = "BENCH";

/// Its subject.
pub(crate) const SUBJECT: &str = "bench.trades";

/// Between two looks at how many messages it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Without another message for so long, what is missing is lost.
const STALL: Duration = Duration::from_secs(10);

/// Messages that are read back at a time.
const READ_TOGETHER: usize = 10_000;

/// See the module.
pub(crate) struct Stream {
    stream: JetStream,
}

impl Stream {
    /// Creates it without limits.
    pub(crate) async fn create(url: &str, storage: Storage) -> Result<Self, BenchError> {
        let client = ConnectOptions::new().connect(url).await.map_err(broken)?;
        let storage = match storage {
            Storage::Memory => StorageType::Memory,
            Storage::File => StorageType::File,
        };
        let subjects = vec![SUBJECT.to_owned()];
        let config = Config { name: NAME.to_owned(), subjects, storage, ..Config::default() };
        Ok(Self { stream: jetstream::new(client).create_stream(config).await.map_err(broken)? })
    }

    /// Waits until it has so many messages, or gets no more; how many it has then.
    pub(crate) async fn reach(&mut self, count: u64) -> Result<u64, BenchError> {
        let (mut last, mut looks) = (self.messages().await?, 0);
        while last < count && LOOK_INTERVAL * looks < STALL {
            sleep(LOOK_INTERVAL).await;
            let now = self.messages().await?;
            looks = if now > last { 0 } else { looks + 1 };
            last = now;
        }
        Ok(last)
    }

    /// Reads all messages; how many of `clients` times `each` are missing, repeated, out of order or changed.
    pub(crate) async fn wrong(&self, clients: usize, each: u64) -> Result<u64, BenchError> {
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer = self.stream.create_consumer(config).await.map_err(broken)?;
        let mut left = self.stream.get_info().await.map_err(broken)?.state.messages;
        let mut messages = consumer.stream().max_messages_per_batch(READ_TOGETHER).messages().await.map_err(broken)?;
        let mut ledger = Ledger::new(clients);
        while left > 0 {
            let message = timeout(STALL, messages.next()).await.map_err(|_| broken("the stream is not read"))?;
            let message = message.ok_or_else(|| broken("the stream ended"))?.map_err(broken)?;
            ledger.take(&message.payload);
            left -= 1;
        }
        Ok(ledger.wrong(each))
    }

    async fn messages(&mut self) -> Result<u64, BenchError> {
        Ok(self.stream.info().await.map_err(broken)?.state.messages)
    }
}

/// What was stored of each client.
struct Ledger {
    clients: Vec<(Messages, u64)>,
    wrong: u64,
}

impl Ledger {
    fn new(clients: usize) -> Self {
        Self { clients: (0..clients.min(MAX_CLIENTS)).map(|client| (Messages::new(client), 0)).collect(), wrong: 0 }
    }

    /// Takes the next message of the stream.
    fn take(&mut self, message: &[u8]) {
        match client(message).and_then(|client| self.clients.get_mut(client)) {
            Some((messages, next)) if messages.message(*next) == message => *next += 1,
            _ => self.wrong += 1,
        }
    }

    fn wrong(&self, each: u64) -> u64 {
        self.wrong + self.clients.iter().map(|(_, next)| each.abs_diff(*next)).sum::<u64>()
    }
}

fn broken(error: impl Display) -> BenchError {
    BenchError::Protocol(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_repeated_or_changed_is_noticed() {
        let messages = [Messages::new(0), Messages::new(1)];
        let read = |of: &[(usize, u64)]| {
            let mut ledger = Ledger::new(2);
            of.iter().for_each(|(client, number)| ledger.take(&messages[*client].message(*number)));
            ledger.wrong(2)
        };
        assert_eq!(read(&[(0, 0), (1, 0), (1, 1), (0, 1)]), 0, "clients do not wait for each other");
        assert_eq!(read(&[(0, 0), (1, 0), (0, 1)]), 1, "missing");
        assert_eq!(read(&[(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)]), 1, "repeated");
        assert_eq!(read(&[(0, 1), (0, 0), (1, 0), (1, 1)]), 2, "out of order");
        let mut ledger = Ledger::new(1);
        ledger.take(b"something else");
        assert_eq!(ledger.wrong(0), 1);
    }
}
