//! The other end of the connectors in memory: a meeting place that can refuse, hang and cut.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use eventflux_core::EventFluxError;
use eventflux_testkit::contract::{Peer, SinkPeer, SourcePeer};
use tokio::sync::{mpsc, watch};

static HUBS: LazyLock<Mutex<HashMap<String, Arc<Hub>>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Ignoring,
    Refusing,
}

/// What a source gets from its peer.
#[derive(Debug)]
pub(crate) enum Frame {
    Message(Vec<u8>),
    Close,
}

#[derive(Debug)]
pub(crate) struct Hub {
    door: watch::Sender<Door>,
    paused: watch::Sender<bool>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: usize,
    lines: Vec<mpsc::UnboundedSender<Frame>>,
    cuts: u64,
    acknowledged: usize,
    received: Vec<Vec<u8>>,
}

/// A connection of a sink.
#[derive(Debug)]
pub(crate) struct Line {
    cuts: u64,
}

impl Hub {
    /// The hub of this name, made when it is first asked for.
    pub(crate) fn named(name: &str) -> Arc<Self> {
        let mut hubs = HUBS.lock().unwrap();
        let hub = hubs.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Self {
                door: watch::Sender::new(Door::Open),
                paused: watch::Sender::new(false),
                inner: Mutex::default(),
            })
        });
        Arc::clone(hub)
    }

    /// Connects a source.
    pub(crate) async fn listen(&self) -> Result<mpsc::UnboundedReceiver<Frame>, EventFluxError> {
        self.knock().await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.inner.lock().unwrap();
        inner.connections += 1;
        inner.lines.push(sender);
        Ok(receiver)
    }

    /// Connects a sink.
    pub(crate) async fn connect(&self) -> Result<Line, EventFluxError> {
        self.knock().await?;
        let mut inner = self.inner.lock().unwrap();
        inner.connections += 1;
        Ok(Line { cuts: inner.cuts })
    }

    /// Whether a sink's connection has been cut.
    pub(crate) fn is_cut(&self, line: &Line) -> bool {
        self.inner.lock().unwrap().cuts != line.cuts
    }

    /// Delivers a payload once the peer takes some; false when the connection is cut.
    pub(crate) async fn deliver(&self, line: &Line, payload: &[u8]) -> bool {
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
        if self.is_cut(line) {
            return false;
        }
        self.inner.lock().unwrap().received.push(payload.to_vec());
        true
    }

    pub(crate) fn acknowledge(&self) {
        self.inner.lock().unwrap().acknowledged += 1;
    }

    pub(crate) fn try_reach(&self) -> Result<(), EventFluxError> {
        if *self.door.borrow() == Door::Open { Ok(()) } else { Err(refused()) }
    }

    async fn knock(&self) -> Result<(), EventFluxError> {
        let mut door = self.door.subscribe();
        let door = *door.wait_for(|door| *door != Door::Ignoring).await.unwrap();
        if door == Door::Open { Ok(()) } else { Err(refused()) }
    }
}

fn refused() -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint: "memory".into(), reason: "refused".into(), retryable: true }
}

/// The suite's handle on a hub.
pub(crate) struct HubPeer {
    name: String,
    hub: Arc<Hub>,
}

impl HubPeer {
    pub(crate) fn fresh() -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = format!("hub-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Self { hub: Hub::named(&name), name }
    }

    fn with_delay(&self, delay_ms: u32) -> Vec<(String, String)> {
        vec![("memory.hub".into(), self.name.clone()), ("memory.delay.ms".into(), delay_ms.to_string())]
    }
}

impl Drop for HubPeer {
    fn drop(&mut self) {
        HUBS.lock().unwrap().remove(&self.name);
    }
}

impl Peer for HubPeer {
    fn properties(&self) -> Vec<(String, String)> {
        self.with_delay(5)
    }

    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        self.with_delay(60_000)
    }

    fn connections(&self) -> usize {
        self.hub.inner.lock().unwrap().connections
    }

    fn cut(&self) {
        let mut inner = self.hub.inner.lock().unwrap();
        inner.lines.clear();
        inner.cuts += 1;
    }

    fn refuse(&self) {
        self.hub.door.send_replace(Door::Refusing);
    }

    fn ignore(&self) {
        self.hub.door.send_replace(Door::Ignoring);
    }

    fn accept(&self) {
        self.hub.door.send_replace(Door::Open);
    }
}

impl SourcePeer for HubPeer {
    fn send(&self, messages: &[Vec<u8>]) {
        let inner = self.hub.inner.lock().unwrap();
        for line in &inner.lines {
            for message in messages {
                let _ = line.send(Frame::Message(message.clone()));
            }
        }
    }

    fn close(&self) {
        let mut inner = self.hub.inner.lock().unwrap();
        for line in inner.lines.drain(..) {
            let _ = line.send(Frame::Close);
        }
    }

    fn acknowledged(&self) -> usize {
        self.hub.inner.lock().unwrap().acknowledged
    }
}

impl SinkPeer for HubPeer {
    fn received(&self) -> Vec<Vec<u8>> {
        self.hub.inner.lock().unwrap().received.clone()
    }

    fn pause(&self) {
        self.hub.paused.send_replace(true);
    }

    fn resume(&self) {
        self.hub.paused.send_replace(false);
    }
}
