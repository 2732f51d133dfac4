//! A TCP proxy that makes a network as bad as the test wants it, while connections run.
//!
//! Delay is exact, without jitter, and pipelined: bytes keep their distance in time. Limits are per connection and
//! direction. Nothing here knows WebSocket or TLS; bytes are forwarded as they come, in pieces of at most
//! [`MAX_CHUNK_BYTES`]. Delays are in real time, since sockets are: with tokio's clock paused, a delay of the proxy
//! still takes as long as it says, while timers of the code under test may run ahead.
//!
//! ```
//! use std::time::Duration;
//! use eventflux_testkit::{peer::{ScriptedClient, ScriptedPeer}, proxy::ChaosProxy};
//!
//! # tokio_test::block_on(async {
//! let peer = ScriptedPeer::builder().start();
//! let proxy = ChaosProxy::start(peer.address());
//! let client = ScriptedClient::connect(format!("ws://{}", proxy.address())).await;
//!
//! proxy.latency(Duration::from_millis(5));
//! proxy.slice(1);
//! client.send_text("one byte at a time, late").await;
//! peer.wait_for_messages(1).await;
//!
//! proxy.reset();
//! client.wait_for_end().await;
//! # });
//! ```

mod relay;

use std::{net::SocketAddr, time::Duration};

use tokio::sync::watch;

use crate::{
    listener::{self, Door},
    runtime,
    wait::Wait,
};

/// Most bytes read, and forwarded, at once.
pub const MAX_CHUNK_BYTES: usize = 16 << 10;

/// Most chunks on their way in one direction of one connection; beyond, the proxy stops reading.
pub const MAX_CHUNKS_UNDER_WAY: usize = 1024;

/// One of the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connected to the proxy to the upstream.
    ToUpstream,
    /// From the upstream to whoever connected to the proxy.
    ToClient,
}

/// What went through a proxy so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections that found no upstream; they were reset.
    pub upstream_failures: u64,
    /// Bytes forwarded to the upstream.
    pub to_upstream_bytes: u64,
    /// Bytes forwarded to clients.
    pub to_client_bytes: u64,
    /// Bytes a blackhole took.
    pub swallowed_bytes: u64,
}

/// A TCP proxy on 127.0.0.1 whose network can be changed while it runs. Dropping it ends its connections.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    settings: watch::Sender<Settings>,
    traffic: watch::Sender<Traffic>,
    door: watch::Sender<Door>,
    bound: watch::Receiver<bool>,
}

impl ChaosProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream`, perfectly at first.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = listener::bind(None);
        let address = listener.local_addr().unwrap_or_else(|error| panic!("a listener without an address: {error}"));
        let (settings, seen) = watch::channel(Settings::perfect(upstream));
        let traffic = watch::Sender::new(Traffic::default());
        let (door, door_seen) = watch::channel(Door::Open);
        let (bound, bound_seen) = watch::channel(true);
        let counted = traffic.clone();
        runtime::handle().spawn(listener::accept_loop(listener, None, door_seen, bound, move |client| {
            counted.send_modify(|traffic| {
                traffic.connections += 1;
                traffic.open += 1;
            });
            tokio::spawn(relay::run(client, seen.clone(), counted.clone()));
        }));
        Self { address, settings, traffic, door, bound: bound_seen }
    }

    /// The address to connect to instead of the upstream's.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.settings.send_modify(|settings| settings.upstream = upstream);
    }

    /// Delivers every byte this much later, in both directions. Zero switches it off.
    pub fn latency(&self, latency: Duration) {
        self.settings.send_modify(|settings| settings.latency = latency);
    }

    /// Forwards at most this many bytes per second in each direction of each connection; `None` for no limit.
    ///
    /// # Panics
    /// When the limit is zero; use [`freeze`](Self::freeze) for that.
    pub fn bandwidth(&self, bytes_per_second: Option<u64>) {
        assert!(bytes_per_second != Some(0), "a bandwidth of 0 never delivers: use freeze()");
        self.settings.send_modify(|settings| settings.bytes_per_second = bytes_per_second);
    }

    /// Forwards in writes of at most this many bytes.
    ///
    /// # Panics
    /// When `bytes` is zero.
    pub fn slice(&self, bytes: usize) {
        assert!(bytes > 0, "a slice needs at least one byte");
        self.settings.send_modify(|settings| settings.slice = bytes);
    }

    /// Takes bytes and forwards none, in both directions: for both ends the other is connected and silent. What it
    /// takes is gone, so a connection that went through a blackhole is broken when the proxy resumes.
    pub fn blackhole(&self) {
        self.settings.send_modify(|settings| settings.blackhole = true);
    }

    /// Forwards nothing and takes nothing, until [`resume`](Self::resume): a network that is down for a while, and
    /// after which TCP delivers everything.
    pub fn freeze(&self) {
        self.settings.send_modify(|settings| settings.frozen = true);
    }

    /// Resets (RST) all open connections, towards both ends.
    pub fn reset(&self) {
        self.settings.send_modify(|settings| settings.resets += 1);
    }

    /// Ends one direction of all open connections: the receiving end sees a FIN, the other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        self.settings.send_modify(|settings| match direction {
            Direction::ToUpstream => settings.half_closes_to_upstream += 1,
            Direction::ToClient => settings.half_closes_to_client += 1,
        });
    }

    /// Stops listening: new connections are refused. Done when awaited.
    #[track_caller]
    pub fn refuse(&self) -> Wait<()> {
        self.set_door(Door::Refused)
    }

    /// Neither accepts nor refuses: new connections are established by the kernel and then hang. Done when awaited.
    #[track_caller]
    pub fn stop_accepting(&self) -> Wait<()> {
        self.set_door(Door::Ignored)
    }

    /// A perfect network again: everything above is switched off, new connections are accepted. Done when awaited.
    #[track_caller]
    pub fn resume(&self) -> Wait<()> {
        self.settings.send_modify(Settings::mend);
        self.set_door(Door::Open)
    }

    /// What went through so far.
    pub fn traffic(&self) -> Traffic {
        *self.traffic.borrow()
    }

    /// Waits until this many connections have been accepted.
    #[track_caller]
    pub fn wait_for_connections(&self, count: u64) -> Wait<()> {
        self.wait_for(format!("{count} connections"), move |traffic| traffic.connections >= count)
    }

    /// Waits until the traffic satisfies `condition`; `what` names it when it does not.
    #[track_caller]
    pub fn wait_for(
        &self,
        what: impl Into<String>,
        condition: impl FnMut(&Traffic) -> bool + Send + 'static,
    ) -> Wait<()> {
        let mut changes = self.traffic.subscribe();
        let seen = self.traffic.clone();
        let met = async move {
            let met = changes.wait_for(condition).await;
            met.map(drop).map_err(|_| "the proxy was dropped".to_owned())
        };
        Wait::new(what, met, move || format!("{:?}", *seen.borrow()))
    }

    #[track_caller]
    fn set_door(&self, to: Door) -> Wait<()> {
        self.door.send_replace(to);
        let mut bound = self.bound.clone();
        let listening = to != Door::Refused;
        let done = async move {
            let done = bound.wait_for(|bound| *bound == listening).await;
            done.map(drop).map_err(|_| "the proxy was dropped".to_owned())
        };
        Wait::new(format!("the proxy's listener to be {to:?}"), done, String::new)
    }
}

/// The network at one moment.
#[derive(Debug, Clone)]
struct Settings {
    upstream: SocketAddr,
    latency: Duration,
    bytes_per_second: Option<u64>,
    /// Bytes per write.
    slice: usize,
    blackhole: bool,
    frozen: bool,
    /// How often everything was reset; a connection ends when this changes.
    resets: u64,
    half_closes_to_upstream: u64,
    half_closes_to_client: u64,
}

impl Settings {
    fn perfect(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            latency: Duration::ZERO,
            bytes_per_second: None,
            slice: MAX_CHUNK_BYTES,
            blackhole: false,
            frozen: false,
            resets: 0,
            half_closes_to_upstream: 0,
            half_closes_to_client: 0,
        }
    }

    fn mend(&mut self) {
        self.latency = Duration::ZERO;
        self.bytes_per_second = None;
        self.slice = MAX_CHUNK_BYTES;
        self.blackhole = false;
        self.frozen = false;
    }

    fn half_closes(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToUpstream => self.half_closes_to_upstream,
            Direction::ToClient => self.half_closes_to_client,
        }
    }
}

#[cfg(test)]
mod tests;
