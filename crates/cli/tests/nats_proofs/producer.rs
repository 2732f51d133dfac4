//! A program that sends numbered events over a WebSocket, as fast as it may, and waits when it is not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{Error, Message};

/// How often it looks whether it may send more.
const TICK: Duration = Duration::from_millis(5);

/// See the module.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), Error>>,
}

#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    allowed: AtomicU64,
    finished: AtomicBool,
}

impl Producer {
    /// Connects; sends the event that `text` makes of each number from 0, at most `rate` a second, as far as it is
    /// [allowed](Self::allow).
    pub(crate) fn start(address: SocketAddr, rate: u64, text: impl Fn(u64) -> String + Send + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        let seen = shared.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(send(address, rate, text, &seen))
        });
        Self { shared, thread }
    }

    /// It may send all events up to this number, without it.
    pub(crate) fn allow(&self, count: u64) {
        self.shared.allowed.store(count, Ordering::Relaxed);
    }

    /// It may send as many as it likes, until it is finished.
    pub(crate) fn go(&self) {
        self.allow(u64::MAX);
    }

    /// How many it has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Ends it, when what it has sent was read: how many events that are.
    #[track_caller]
    pub(crate) fn finish(self) -> u64 {
        self.shared.finished.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap();
        self.shared.sent.load(Ordering::Relaxed)
    }
}

async fn send(address: SocketAddr, rate: u64, text: impl Fn(u64) -> String, shared: &Shared) -> Result<(), Error> {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/in")).await?;
    let (mut number, mut due, mut before) = (0, 0.0, Instant::now());
    while !shared.finished.load(Ordering::Relaxed) {
        let now = Instant::now();
        // What was not sent in time is not made up for beyond a tenth of a second.
        due = (due + (now - before).as_secs_f64() * rate as f64).min(rate as f64 / 10.0);
        before = now;
        while due >= 1.0 && number < shared.allowed.load(Ordering::Relaxed) {
            socket.send(Message::text(text(number))).await?;
            number += 1;
            due -= 1.0;
            shared.sent.store(number, Ordering::Relaxed);
        }
        tokio::time::sleep(TICK).await;
    }
    socket.close(None).await?;
    // Everything before it has been read when its answer comes.
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}
