//! Many clients of several gateways: each follows a channel, checks that it gets every event once and in order, and when its
//! gateway is gone goes on at the next one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::wait_until;

/// Clients that connect at the same time.
const CONNECTING: usize = 64;

/// Longest pause before a client tries again, in milliseconds; the actual one is random.
const PAUSE_MS: u64 = 200;

/// How long a gateway may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Bytes a client reads at once: it gets little.
const BUFFER: usize = 4 << 10;

/// A client that is with no gateway.
const NOWHERE: usize = usize::MAX;

/// See the module.
pub(crate) struct Crowd {
    runtime: Runtime,
    shared: Arc<Shared>,
}

/// What all of them have met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Events that came, repeated ones included.
    pub(crate) delivered: u64,
    pub(crate) duplicates: u64,
    /// Events that a later one came instead of.
    pub(crate) lost: u64,
    /// Times a gateway said that a client cannot go on where it was.
    pub(crate) not_recovered: u64,
    /// Times a client went on elsewhere.
    pub(crate) returned: u64,
    /// From the loss of a connection to the next event.
    pub(crate) longest_return: Duration,
    /// Between two events.
    pub(crate) longest_pause: Duration,
    /// Errors of gateways.
    pub(crate) errors: Vec<String>,
}

struct Shared {
    channels: u64,
    gateways: Mutex<Vec<SocketAddr>>,
    members: Vec<Member>,
    connecting: Semaphore,
    found: Mutex<Found>,
    finished: AtomicBool,
}

/// What others see of a client.
struct Member {
    /// The gateway where it follows its channel.
    at: AtomicUsize,
    /// Events it has, of its channel.
    has: AtomicU64,
}

impl Crowd {
    /// That many, evenly spread over channels and gateways.
    pub(crate) fn start(clients: usize, channels: u64, gateways: Vec<SocketAddr>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let member = |_| Member { at: AtomicUsize::new(NOWHERE), has: AtomicU64::new(0) };
        let shared = Arc::new(Shared {
            channels,
            gateways: Mutex::new(gateways),
            members: (0..clients).map(member).collect(),
            connecting: Semaphore::new(CONNECTING),
            found: Mutex::default(),
            finished: AtomicBool::new(false),
        });
        for number in 0..clients {
            runtime.spawn(Client::new(number, shared.clone()).run());
        }
        Self { runtime, shared }
    }

    /// How many follow their channel.
    pub(crate) fn following(&self) -> usize {
        self.shared.members.iter().filter(|member| member.at.load(Ordering::Relaxed) != NOWHERE).count()
    }

    /// How many of them at this gateway.
    pub(crate) fn at(&self, gateway: usize) -> usize {
        self.shared.members.iter().filter(|member| member.at.load(Ordering::Relaxed) == gateway).count()
    }

    /// A gateway is somewhere else from now on.
    pub(crate) fn moved_to(&self, gateway: usize, address: SocketAddr) {
        lock(&self.shared.gateways)[gateway] = address;
    }

    /// Waits until each has got an event.
    #[track_caller]
    pub(crate) fn wait_for_one_more_each(&self) {
        let has = || self.shared.members.iter().map(|member| member.has.load(Ordering::Relaxed));
        let before: Vec<_> = has().collect();
        wait_until("each client gets an event", || has().zip(&before).all(|(now, before)| now > *before));
    }

    /// Waits until each has got all there is for it of the first `sent` events.
    #[track_caller]
    pub(crate) fn wait_for_all(&self, sent: u64) {
        let channels = self.shared.channels;
        let expected = |number: usize| {
            let channel = number as u64 % channels;
            (sent + channels - 1 - channel) / channels
        };
        let mut members = self.shared.members.iter().enumerate().peekable();
        wait_until("each client has every event", || {
            while members.next_if(|(number, member)| member.has.load(Ordering::Relaxed) >= expected(*number)).is_some()
            {
            }
            members.peek().is_none()
        });
    }

    /// Lets them go.
    pub(crate) fn finish(self) -> Found {
        self.shared.finished.store(true, Ordering::Relaxed);
        self.runtime.shutdown_background();
        lock(&self.shared.found).clone()
    }
}

struct Client {
    number: usize,
    shared: Arc<Shared>,
    gateway: usize,
    channel: u64,
    /// The number of the next event of its channel.
    next: u64,
    /// Of the last event.
    position: Option<Value>,
    last: Option<Instant>,
    /// When it lost its gateway.
    lost_at: Option<Instant>,
}

impl Client {
    fn new(number: usize, shared: Arc<Shared>) -> Self {
        let channel = number as u64 % shared.channels;
        // Clients of one channel are with different gateways.
        let gateway = (number + number / shared.channels as usize) % lock(&shared.gateways).len();
        Self { number, shared, gateway, channel, next: channel, position: None, last: None, lost_at: None }
    }

    async fn run(mut self) {
        while !self.shared.finished.load(Ordering::Relaxed) {
            if let Ok(socket) = self.connect().await {
                // It ends with its gateway.
                let _ = self.follow(socket).await;
                self.shared.members[self.number].at.store(NOWHERE, Ordering::Relaxed);
                self.lost_at = Some(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..PAUSE_MS))).await;
            self.gateway = (self.gateway + 1) % lock(&self.shared.gateways).len();
        }
    }

    async fn connect(&self) -> Result<WebSocketStream<TcpStream>, Box<dyn std::error::Error + Send + Sync>> {
        let _permit = self.shared.connecting.acquire().await?;
        let address = lock(&self.shared.gateways)[self.gateway];
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            let config = WebSocketConfig::default().read_buffer_size(BUFFER);
            tokio_tungstenite::client_async_with_config(format!("ws://{address}/ws"), stream, Some(config)).await
        };
        Ok(tokio::time::timeout(HANDSHAKE, connecting).await??.0)
    }

    async fn follow(&mut self, mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
        let name = format!("c.{}", self.channel);
        let mut data = json!({ "channels": [name] });
        if let Some(position) = &self.position {
            data["recover"] = json!({ &*name: position });
        }
        socket.send(Message::text(json!({ "type": "subscribe", "data": data }).to_string())).await?;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["type"].as_str() {
                Some("subscribe_response") => self.follows(&message["data"]["positions"][&*name]),
                Some("event") => self.take(&message),
                Some("error") => lock(&self.shared.found).errors.push(text.to_string()),
                _ => {}
            }
        }
        Ok(())
    }

    fn follows(&mut self, position: &Value) {
        self.shared.members[self.number].at.store(self.gateway, Ordering::Relaxed);
        if self.position.is_some() {
            let mut found = lock(&self.shared.found);
            found.returned += 1;
            found.not_recovered += u64::from(position["recovered"] != true);
        }
    }

    fn take(&mut self, message: &Value) {
        let now = Instant::now();
        let number = message["data"]["n"].as_u64().unwrap();
        let metadata = &message["metadata"];
        self.position = Some(json!({ "epoch": metadata["epoch"], "offset": metadata["offset"] }));
        let mut found = lock(&self.shared.found);
        found.delivered += 1;
        if number < self.next {
            found.duplicates += 1;
            return;
        }
        found.lost += (number - self.next) / self.shared.channels;
        if let Some(last) = self.last.replace(now) {
            found.longest_pause = found.longest_pause.max(now - last);
        }
        if let Some(lost_at) = self.lost_at.take() {
            found.longest_return = found.longest_return.max(now - lost_at);
        }
        self.next = number + self.shared.channels;
        self.shared.members[self.number].has.store(self.next / self.shared.channels, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
