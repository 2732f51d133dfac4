//! A WebSocket server that takes messages from any number of clients and keeps them, up to a limit.
//!
//! For scripted behaviour use a [`ScriptedPeer`](crate::peer::ScriptedPeer); this one only collects, on tungstenite and
//! fast.

use std::{net::SocketAddr, ops::Range};

use futures_util::StreamExt;
use tokio::{net::TcpStream, sync::watch};
use tokio_tungstenite::tungstenite;

use crate::{
    listener::{self, Door},
    peer::Message,
    runtime,
    sequence::{self, SequenceReport},
    wait::Wait,
};

/// Most messages a collector keeps unless told otherwise; further ones are counted and thrown away.
pub const DEFAULT_MESSAGE_LIMIT: usize = 1_000_000;

/// Collects the messages of every client that connects. Dropping it ends its connections.
///
/// ```
/// use eventflux_testkit::{collector::Collector, peer::{Script, ScriptedClient}};
///
/// # tokio_test::block_on(async {
/// let collector = Collector::start();
/// let client = ScriptedClient::connect(collector.url()).await;
/// client.play(Script::new().send_all(["0", "1", "2"])).await;
///
/// collector.wait_for_messages(3).await;
/// collector.check_sequence(0..3, |payload| std::str::from_utf8(payload).ok()?.parse().ok()).assert_clean();
/// # });
/// ```
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    url: String,
    collected: watch::Sender<Collected>,
    /// Held for its drop: it ends the listener and the connections.
    _door: watch::Sender<Door>,
}

impl Collector {
    /// Listens on a free port of 127.0.0.1 and keeps at most [`DEFAULT_MESSAGE_LIMIT`] messages.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start() -> Self {
        Self::with_limit(DEFAULT_MESSAGE_LIMIT)
    }

    /// Listens on a free port of 127.0.0.1 and keeps at most `message_limit` messages.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn with_limit(message_limit: usize) -> Self {
        let listener = listener::bind(None);
        let address = listener.local_addr().unwrap_or_else(|error| panic!("a listener without an address: {error}"));
        let collected = watch::Sender::new(Collected { message_limit, ..Collected::default() });
        let (door, door_seen) = watch::channel(Door::Open);
        let (bound, _) = watch::channel(true);
        let (shared, mut dropped) = (collected.clone(), door_seen.clone());
        dropped.mark_unchanged();
        runtime::handle().spawn(listener::accept_loop(listener, None, door_seen, bound, move |tcp| {
            let (shared, mut dropped) = (shared.clone(), dropped.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = collect(tcp, &shared) => {}
                    _ = dropped.changed() => {}
                }
            });
        }));
        Self { address, url: format!("ws://{address}"), collected, _door: door }
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `ws://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The messages kept so far, in order of arrival over all connections.
    pub fn messages(&self) -> Vec<Message> {
        self.collected.borrow().messages.clone()
    }

    /// Messages received so far, also those above the limit.
    pub fn received(&self) -> u64 {
        self.collected.borrow().received()
    }

    /// Messages thrown away because the limit was reached.
    pub fn thrown_away(&self) -> u64 {
        self.collected.borrow().thrown_away
    }

    /// Connections that completed a handshake so far.
    pub fn connections(&self) -> usize {
        self.collected.borrow().connections
    }

    /// Waits until this many messages have been received, and returns those that were kept.
    #[track_caller]
    pub fn wait_for_messages(&self, count: u64) -> Wait<Vec<Message>> {
        self.wait_for(format!("{count} messages"), move |collected| {
            (collected.received() >= count).then(|| collected.messages.clone())
        })
    }

    /// Waits until this many connections have completed a handshake.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) -> Wait<()> {
        self.wait_for(format!("{count} connections"), move |collected| (collected.connections >= count).then_some(()))
    }

    /// Waits until every connection that ever was has ended, and there was at least one.
    #[track_caller]
    pub fn wait_for_all_closed(&self) -> Wait<()> {
        self.wait_for("the end of all connections", |collected| {
            (collected.connections > 0 && collected.open == 0).then_some(())
        })
    }

    /// Compares the numbers in the payloads with those that were sent.
    ///
    /// # Panics
    /// When a payload has no number, or when messages were thrown away: the report would blame the wrong side.
    #[track_caller]
    pub fn check_sequence(&self, sent: Range<u64>, number: impl Fn(&[u8]) -> Option<u64>) -> SequenceReport {
        let collected = self.collected.borrow();
        assert_eq!(
            collected.thrown_away, 0,
            "the collector kept {} messages and threw the rest away: raise its limit",
            collected.message_limit
        );
        let numbers = collected.messages.iter().map(|message| {
            number(message.as_bytes()).unwrap_or_else(|| panic!("a message without a sequence number: {message:?}"))
        });
        sequence::check(sent, numbers)
    }

    #[track_caller]
    fn wait_for<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        mut look: impl FnMut(&Collected) -> Option<T> + Send + 'static,
    ) -> Wait<T> {
        let mut changes = self.collected.subscribe();
        let seen = self.collected.clone();
        let found = async move {
            loop {
                if let Some(found) = look(&changes.borrow_and_update()) {
                    return Ok(found);
                }
                changes.changed().await.map_err(|_| "the collector was dropped".to_owned())?;
            }
        };
        Wait::new(what, found, move || {
            let collected = seen.borrow();
            format!(
                "{} messages over {} connections ({} open)",
                collected.received(),
                collected.connections,
                collected.open
            )
        })
    }
}

#[derive(Debug, Default)]
struct Collected {
    message_limit: usize,
    messages: Vec<Message>,
    thrown_away: u64,
    connections: usize,
    open: usize,
}

impl Collected {
    fn received(&self) -> u64 {
        self.messages.len() as u64 + self.thrown_away
    }

    fn keep(&mut self, message: Message) {
        if self.messages.len() < self.message_limit {
            self.messages.push(message);
        } else {
            self.thrown_away += 1;
        }
    }
}

async fn collect(tcp: TcpStream, collected: &watch::Sender<Collected>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(tcp).await else {
        return;
    };
    collected.send_modify(|collected| {
        collected.connections += 1;
        collected.open += 1;
    });
    // Any error ends the connection; what matters is what arrived before.
    while let Some(Ok(message)) = socket.next().await {
        match message {
            tungstenite::Message::Text(text) => {
                let text = text.as_str().to_owned();
                collected.send_modify(|collected| collected.keep(Message::Text(text)));
            }
            tungstenite::Message::Binary(bytes) => {
                collected.send_modify(|collected| collected.keep(Message::Binary(bytes)));
            }
            _ => {}
        }
    }
    collected.send_modify(|collected| collected.open -= 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Script, ScriptedClient};

    fn number(payload: &[u8]) -> Option<u64> {
        std::str::from_utf8(payload).ok()?.parse().ok()
    }

    #[tokio::test]
    async fn loss_and_duplicates_are_found_among_collected_messages() {
        let collector = Collector::start();
        let client = ScriptedClient::connect(collector.url()).await;
        client.play(Script::new().send_all(["0", "2", "2"])).await;
        collector.wait_for_messages(3).await;
        let report = collector.check_sequence(0..3, number);
        assert_eq!((report.missing, report.duplicates), (vec![1], vec![2]));
    }

    #[tokio::test]
    async fn messages_above_the_limit_are_counted_and_not_kept() {
        let collector = Collector::with_limit(2);
        let client = ScriptedClient::connect(collector.url()).await;
        client.play(Script::new().send_all(["0", "1", "2"]).send_binary("3")).await;
        let kept = collector.wait_for_messages(4).await;
        assert_eq!((kept.len(), collector.thrown_away(), collector.received()), (2, 2, 4));
    }

    #[test]
    fn it_works_without_a_runtime_and_sees_connections_end() {
        let collector = Collector::start();
        let client = ScriptedClient::connect(collector.url()).blocking();
        client.close(1000, "").blocking();
        collector.wait_for_all_closed().blocking();
        assert_eq!(collector.connections(), 1);
    }
}
