//! The `udp` source: one thread that reads the socket and delivers what it read.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Counter;
use eventflux_core::runtime::{SourceWorker, StopSignal};
use eventflux_core::{ConnectorContext, EventFluxError, MessageMetadata, Source, SourceCallback, Value};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::config::UdpSourceConfig;
use crate::kernel::KernelDrops;
use crate::properties::{ADDRESS, METADATA, PORT, RECEIVED_TIME};
use crate::queue::{Datagram, Queue};
use crate::reader::Reader;
use crate::socket;

/// Datagrams that never became messages, by `stream` and `reason`.
const DROPPED: &str = "eventflux_udp_dropped_total";
/// Most messages in one batch.
const MAX_BATCH: usize = 1_024;
/// How often the system is asked what it dropped.
const KERNEL_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time to deliver what was read before a stop.
const MAX_DRAIN: Duration = Duration::from_secs(3_600);
/// First and longest pause after an error of the socket.
const ERROR_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Receives datagrams.
#[derive(Debug)]
pub struct UdpSource {
    config: UdpSourceConfig,
    context: ConnectorContext,
    worker: Option<SourceWorker>,
    stopped: bool,
    /// How long the thread may take to deliver what it read when it is stopped, in milliseconds.
    drain_ms: Arc<AtomicU64>,
}

impl UdpSource {
    /// A source that is not started.
    pub fn new(config: UdpSourceConfig, context: ConnectorContext) -> Self {
        Self { config, context, worker: None, stopped: false, drain_ms: Arc::default() }
    }
}

impl Source for UdpSource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        if self.worker.is_some() || self.stopped {
            return Err(EventFluxError::configuration("a udp source starts once; use a clone"));
        }
        let socket = socket::bind(&self.config, &self.context.stream)?;
        let receiver = Receiver::new(&self.config, &self.context, &socket, self.drain_ms.clone());
        let name = format!("udp {}", self.context.stream);
        let worker = SourceWorker::spawn(&name, callback, |stop, callback| receiver.run(socket, stop, callback))?;
        self.worker = Some(worker);
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        self.stopped = true;
        // Half of it for what was read; the other half for a pipeline that is busy with the last batch.
        let drain = (deadline / 2).min(MAX_DRAIN);
        self.drain_ms.store(drain.as_millis() as u64, Ordering::Relaxed);
        if let Some(worker) = &self.worker
            && !worker.stop(deadline)
        {
            log::warn!("[{}] the udp source is still delivering after {deadline:?}", self.context.stream);
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self::new(self.config.clone(), self.context.clone()))
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        let unavailable = |error: EventFluxError| EventFluxError::ConnectionUnavailable {
            endpoint: format!("udp://{}", self.config.listen),
            reason: error.to_string(),
            retryable: false,
        };
        socket::bind(&self.config, &self.context.stream).map(drop).map_err(unavailable)
    }
}

/// What the thread works with.
struct Receiver {
    context: ConnectorContext,
    reader: Reader,
    queue: Queue,
    max_datagram: usize,
    url: String,
    kernel: Option<KernelDrops>,
    dropped: Drops,
    backoff: Backoff,
    /// Whether the last attempt to read failed.
    failing: bool,
    /// Whether datagrams were dropped since the queue was empty last.
    overflowing: bool,
    drain_ms: Arc<AtomicU64>,
}

/// Counters of datagrams that never became messages.
struct Drops {
    queue: Counter,
    kernel: Counter,
    stopped: Counter,
}

impl Receiver {
    fn new(config: &UdpSourceConfig, context: &ConnectorContext, socket: &UdpSocket, drain_ms: Arc<AtomicU64>) -> Self {
        let registry = &context.registry;
        registry.describe(DROPPED, "Datagrams that were received by this machine and never became messages.");
        let counter = |reason| registry.counter(DROPPED, &[("stream", &context.stream), ("reason", reason)]);
        let (first, longest) = ERROR_PAUSE;
        Self {
            context: context.clone(),
            reader: Reader::new(config.max_datagram),
            queue: Queue::new(config.queue),
            max_datagram: config.max_datagram,
            url: socket::url(socket),
            kernel: KernelDrops::of(socket),
            dropped: Drops { queue: counter("queue"), kernel: counter("kernel"), stopped: counter("stopped") },
            backoff: Backoff::new(first, longest, Growth::Exponential),
            failing: false,
            overflowing: false,
            drain_ms,
        }
    }

    async fn run(
        mut self,
        socket: UdpSocket,
        stop: StopSignal,
        callback: Arc<dyn SourceCallback>,
    ) -> Result<(), EventFluxError> {
        let broken = |error: io::Error| EventFluxError::configuration(format!("the socket cannot be used: {error}"));
        let result = match tokio::net::UdpSocket::from_std(socket).map_err(broken) {
            Ok(socket) => self.receive(&socket, &stop, &*callback).await,
            Err(error) => Err(error),
        };
        let left = self.queue.len() as u64;
        if left > 0 {
            self.dropped.stopped.add(left);
            self.context.metrics.dropped.add(left);
            log::warn!("[{}] {left} datagrams were read and could not be delivered any more", self.context.stream);
        }
        self.context.metrics.queue_bytes.set(0);
        match result {
            // The pipeline has ended, and so has the source.
            Ok(()) | Err(EventFluxError::Stopped) => {
                self.context.health.set(ConnectionState::Stopped, None);
                Ok(())
            }
            Err(error) => {
                self.context.health.set(ConnectionState::Failed, error.to_string());
                Err(error)
            }
        }
    }

    async fn receive(
        &mut self,
        socket: &tokio::net::UdpSocket,
        stop: &StopSignal,
        callback: &dyn SourceCallback,
    ) -> Result<(), EventFluxError> {
        log::info!("[{}] takes messages at {}", self.context.stream, self.url);
        self.context.health.set(ConnectionState::Listening, self.url.clone());
        let mut look = interval(KERNEL_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_stopped() {
            let pause = self.read(socket);
            if !self.queue.is_empty() && callback.is_ready() {
                self.deliver(callback)?;
                // More may have arrived meanwhile; the runtime has to look.
                tokio::task::yield_now().await;
                continue;
            }
            let reads = pause.is_none() && !self.queue.blocks();
            tokio::select! {
                () = stop.stopped() => {}
                _ = socket.readable(), if reads => {}
                () = callback.ready(), if !self.queue.is_empty() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
                _ = look.tick() => self.ask_the_kernel(),
            }
        }
        // While there is a socket to ask about.
        self.ask_the_kernel();
        self.drain(callback).await
    }

    /// Reads what the socket has; how long to wait before the next attempt when that failed.
    fn read(&mut self, socket: &tokio::net::UdpSocket) -> Option<Duration> {
        let burst = self.reader.read(&mut self.queue, |buffer| socket.try_recv_buf_from(buffer));
        self.context.metrics.queue_bytes.set(self.queue.bytes() as u64);
        if burst.dropped > 0 {
            self.dropped.queue.add(burst.dropped);
            self.context.metrics.dropped.add(burst.dropped);
            if !std::mem::replace(&mut self.overflowing, true) {
                log::warn!("[{}] the queue of the udp source is full: datagrams are dropped", self.context.stream);
            }
        }
        if let Some(error) = burst.error {
            self.failing = true;
            self.context.health.set(ConnectionState::Reconnecting, format!("{}: {error}", self.url));
            return Some(self.backoff.next_equal_jitter());
        }
        if burst.received > 0 && self.failing {
            self.failing = false;
            self.backoff.reset();
            self.context.health.set(ConnectionState::Listening, self.url.clone());
        }
        None
    }

    /// Delivers the first messages that wait as one batch, or reports the first one when it is too large.
    fn deliver(&mut self, callback: &dyn SourceCallback) -> Result<(), EventFluxError> {
        let delivered = match self.queue.take_too_large() {
            Some(datagram) => {
                let (size, sender, most) = (datagram.data.len(), datagram.sender, self.max_datagram);
                let reason =
                    format!("a datagram of {size} bytes from {sender} exceeds udp.max.datagram ({most} bytes)");
                callback.on_error(EventFluxError::mapping(None, reason), &datagram.data)
            }
            None => self.deliver_batch(callback),
        };
        self.overflowing &= !self.queue.is_empty();
        self.context.metrics.queue_bytes.set(self.queue.bytes() as u64);
        delivered
    }

    fn deliver_batch(&mut self, callback: &dyn SourceCallback) -> Result<(), EventFluxError> {
        let bound = &self.context.metadata;
        if bound.is_empty() {
            let messages: Vec<_> = self.queue.take_messages(MAX_BATCH).map(|datagram| datagram.data).collect();
            return callback.on_batch(&messages);
        }
        let metadata = |datagram: &Datagram| {
            let field = |field, value: fn(&Datagram) -> Value| {
                if bound.is_bound(field) { value(datagram) } else { Value::Null }
            };
            let address = field(ADDRESS, |datagram| Value::String(datagram.sender.ip().to_string()));
            let port = field(PORT, |datagram| Value::Int(datagram.sender.port().into()));
            let received = field(RECEIVED_TIME, |datagram| Value::Timestamp(datagram.received));
            MessageMetadata::new(METADATA, [address, port, received])
        };
        let with_metadata = |datagram: Datagram| (metadata(&datagram), datagram.data);
        let (metadata, messages): (Vec<_>, Vec<_>) = self.queue.take_messages(MAX_BATCH).map(with_metadata).unzip();
        callback.on_batch_with(&messages, &metadata)
    }

    /// Delivers what was read before the stop, as long as the pipeline takes it.
    async fn drain(&mut self, callback: &dyn SourceCallback) -> Result<(), EventFluxError> {
        let until = Instant::now() + Duration::from_millis(self.drain_ms.load(Ordering::Relaxed));
        while !self.queue.is_empty() && Instant::now() < until {
            let ready = callback.is_ready() || timeout_at(until, callback.ready()).await.is_ok();
            if !ready || !callback.is_ready() {
                break;
            }
            self.deliver(callback)?;
        }
        Ok(())
    }

    fn ask_the_kernel(&mut self) {
        let dropped = self.kernel.as_mut().map_or(0, KernelDrops::look);
        if dropped > 0 {
            self.dropped.kernel.add(dropped);
            log::warn!(
                "[{}] the system dropped {dropped} datagrams because its buffer was full (udp.receive.buffer)",
                self.context.stream
            );
        }
    }
}
