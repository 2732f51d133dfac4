//! The scripted server: listens, gives each connection its script, and answers for what went wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    connection::{self, Common},
    handshake::Handshake,
    message::Message,
    record::{self, Board, Ended, ReceivedClose, Record},
    script::Script,
};
use crate::{
    listener::{self, Door},
    runtime,
    tls::TestCertificates,
    wait::Wait,
};

/// How long [`ScriptedPeer::finish`] lets scripts come to their end.
const FINISH_DEADLINE: Duration = Duration::from_secs(5);

/// Builds a [`ScriptedPeer`].
#[derive(Debug, Default)]
pub struct PeerBuilder {
    scripts: Vec<Script>,
    tls: Option<TestCertificates>,
    receive_buffer: Option<usize>,
}

impl PeerBuilder {
    /// The script of the next connection. The last script is repeated for all that follow; without any, every
    /// connection is accepted.
    pub fn script(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// Speaks TLS with these certificates.
    pub fn tls(mut self, certificates: TestCertificates) -> Self {
        self.tls = Some(certificates);
        self
    }

    /// The size of the kernel's receive buffer per connection, bytes. A small one makes a peer that does not read felt
    /// sooner.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Listens on a free port of 127.0.0.1. Works inside and outside of a runtime.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start(self) -> ScriptedPeer {
        let listener = listener::bind(self.receive_buffer);
        let address = listener.local_addr().unwrap_or_else(|error| panic!("a listener without an address: {error}"));
        let (door, door_seen) = watch::channel(Door::Open);
        let (bound, bound_seen) = watch::channel(true);
        let (cuts, cuts_seen) = watch::channel(0);
        let common = Arc::new(Common {
            board: Board::channel(),
            tls: self.tls.as_ref().map(TestCertificates::acceptor),
            scripts: if self.scripts.is_empty() { vec![Script::new()] } else { self.scripts },
            commands: Mutex::default(),
        });
        let serving = Arc::clone(&common);
        runtime::handle().spawn(listener::accept_loop(listener, self.receive_buffer, door_seen, bound, move |tcp| {
            let number = serving.connected();
            tokio::spawn(connection::serve(Arc::clone(&serving), tcp, number, cuts_seen.clone()));
        }));
        let scheme = if self.tls.is_some() { "wss://localhost" } else { "ws://127.0.0.1" };
        let url = format!("{scheme}:{}", address.port());
        ScriptedPeer { address, url, common, door, bound: bound_seen, cuts, judged: Arc::default() }
    }
}

/// A WebSocket server that runs one [`Script`] per connection and records what it sees.
///
/// When the test is over, `peer.finish().await` fails it for every step that failed, every script that did not come to
/// its end and every script that no connection used. A peer dropped without `finish` panics for failed steps all the
/// same, unless the test is panicking already. Dropping closes all connections.
pub struct ScriptedPeer {
    address: SocketAddr,
    url: String,
    common: Arc<Common>,
    door: watch::Sender<Door>,
    bound: watch::Receiver<bool>,
    cuts: watch::Sender<u64>,
    judged: Arc<AtomicBool>,
}

impl ScriptedPeer {
    /// A builder: scripts, TLS, buffer size.
    pub fn builder() -> PeerBuilder {
        PeerBuilder::default()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `ws://127.0.0.1:PORT`, or `wss://localhost:PORT` with TLS.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything seen so far.
    pub fn record(&self) -> Record {
        self.common.board.borrow().record.clone()
    }

    /// Looks at the record without copying it.
    pub fn inspect<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.common.board.borrow().record)
    }

    /// The messages received so far, in order of arrival over all connections.
    pub fn messages(&self) -> Vec<Message> {
        messages(&self.common.board.borrow().record)
    }

    /// Lets every `wait_for_signal` step of this name pass, now and later.
    pub fn signal(&self, name: impl Into<String>) {
        let name = name.into();
        self.common.board.send_modify(|board| {
            board.signals.insert(name);
        });
    }

    /// Plays more steps on a connection whose script is over, and waits for their end. Connections are numbered from 0.
    ///
    /// The wait fails when a step fails or when there is no such connection.
    #[track_caller]
    pub fn play(&self, connection: usize, script: Script) -> Wait<()> {
        let sender = self.common.commands().get(&connection).cloned();
        let what = format!("{} steps on connection {connection}", script.steps.len());
        let played = async move {
            match sender {
                Some(sender) => connection::play(&sender, script).await,
                None => Err("there is no such open connection".to_owned()),
            }
        };
        record::progress(&self.common.board, what, played)
    }

    /// Plays more steps on every open connection, and waits for their end everywhere.
    #[track_caller]
    pub fn play_on_all(&self, script: Script) -> Wait<()> {
        let senders: Vec<_> = self.common.commands().values().cloned().collect();
        let what = format!("{} steps on {} connections", script.steps.len(), senders.len());
        let played = async move {
            let plays = senders.iter().map(|sender| connection::play(sender, script.clone()));
            // All of them are played, also when one connection ends meanwhile.
            futures_util::future::join_all(plays).await.into_iter().collect()
        };
        record::progress(&self.common.board, what, played)
    }

    /// Resets (RST) every open connection, whatever its script is doing. This counts as the end of those scripts.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Stops listening: new connections are refused. Open ones are not touched. Done when awaited.
    #[track_caller]
    pub fn refuse_connections(&self) -> Wait<()> {
        self.set_door(Door::Refused)
    }

    /// Neither accepts nor refuses: new connections hang before the handshake. Done when awaited.
    #[track_caller]
    pub fn ignore_connections(&self) -> Wait<()> {
        self.set_door(Door::Ignored)
    }

    /// Listens and accepts again, on the same port. Done when awaited.
    #[track_caller]
    pub fn accept_connections(&self) -> Wait<()> {
        self.set_door(Door::Open)
    }

    /// Waits until this many TCP connections have been accepted.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) -> Wait<()> {
        self.wait_for(format!("{count} connections"), move |record| (record.connections >= count).then_some(()))
    }

    /// Waits for this many handshake requests and returns all of them.
    #[track_caller]
    pub fn wait_for_handshakes(&self, count: usize) -> Wait<Vec<Handshake>> {
        self.wait_for(format!("{count} handshakes"), move |record| {
            (record.handshakes.len() >= count).then(|| record.handshakes.clone())
        })
    }

    /// Waits for this many messages and returns all of them.
    #[track_caller]
    pub fn wait_for_messages(&self, count: usize) -> Wait<Vec<Message>> {
        self.wait_for(format!("{count} messages"), move |record| {
            (record.messages.len() >= count).then(|| messages(record))
        })
    }

    /// Waits for the first close frame.
    #[track_caller]
    pub fn wait_for_close(&self) -> Wait<ReceivedClose> {
        self.wait_for("a close frame", |record| record.closes.first().cloned())
    }

    /// Waits until this many connections have ended, in whatever way, and returns how.
    #[track_caller]
    pub fn wait_for_endings(&self, count: usize) -> Wait<Vec<Ended>> {
        self.wait_for(format!("the end of {count} connections"), move |record| {
            (record.endings.len() >= count).then(|| record.endings.clone())
        })
    }

    /// Waits for the first TLS handshake that fails and returns why.
    #[track_caller]
    pub fn wait_for_tls_failure(&self) -> Wait<String> {
        self.wait_for("a failed TLS handshake", |record| record.tls_failures.first().cloned())
    }

    /// Waits until `look` finds something in the record; `what` names it when it does not.
    #[track_caller]
    pub fn wait_for<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        look: impl FnMut(&Record) -> Option<T> + Send + 'static,
    ) -> Wait<T> {
        record::wait_for(&self.common.board, what, look)
    }

    /// Waits until every script has come to its end, at most 5 s, and fails with everything that went wrong.
    ///
    /// Use `peer.finish().result().await` to get the report instead of a panic.
    #[track_caller]
    pub fn finish(&self) -> Wait<()> {
        self.finish_within(FINISH_DEADLINE)
    }

    /// [`finish`](Self::finish) with another deadline for the scripts; what has failed already is reported at once.
    #[track_caller]
    pub fn finish_within(&self, deadline: Duration) -> Wait<()> {
        let (common, judged) = (Arc::clone(&self.common), Arc::clone(&self.judged));
        let verdict = async move {
            judged.store(true, Ordering::Relaxed);
            let mut changes = common.board.subscribe();
            let over = changes.wait_for(|board| common.is_over(board));
            // The report below says what was not over in time.
            let _ = tokio::time::timeout(deadline, over).await;
            let failures = common.board.borrow().failures(common.scripts.len());
            if failures.is_empty() { Ok(()) } else { Err(failures.join("\n  ")) }
        };
        record::progress(&self.common.board, "the scripts to come to their end", verdict).within(deadline * 2)
    }

    #[cfg(test)]
    pub(super) fn common_failed(&self) -> Vec<String> {
        self.common.board.borrow().failed()
    }

    #[track_caller]
    fn set_door(&self, to: Door) -> Wait<()> {
        self.door.send_replace(to);
        let mut bound = self.bound.clone();
        let listening = to != Door::Refused;
        let done = async move {
            let done = bound.wait_for(|bound| *bound == listening).await;
            done.map(drop).map_err(|_| "the peer was dropped".to_owned())
        };
        Wait::new(format!("the listener to be {to:?}"), done, String::new)
    }
}

impl Drop for ScriptedPeer {
    fn drop(&mut self) {
        if self.judged.load(Ordering::Relaxed) || thread::panicking() {
            return;
        }
        let failures = self.common.board.borrow().failed();
        assert!(failures.is_empty(), "a scripted peer was dropped after failures:\n  {}", failures.join("\n  "));
    }
}

impl std::fmt::Debug for ScriptedPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScriptedPeer({}: {})", self.url, self.common.board.borrow().record)
    }
}

fn messages(record: &Record) -> Vec<Message> {
    record.messages.iter().map(|received| received.message.clone()).collect()
}
