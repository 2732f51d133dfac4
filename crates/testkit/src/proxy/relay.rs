//! One proxied connection: two directions, each a reader that stamps what it reads and a writer that forwards it when
//! its time has come.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Direction, MAX_CHUNK_BYTES, MAX_CHUNKS_UNDER_WAY, Settings, Traffic};

/// A limited bandwidth is spent in portions of this duration.
const BANDWIDTH_PORTION: Duration = Duration::from_millis(20);

/// Relays until both directions are over, the proxy resets, or the proxy is dropped.
pub(super) async fn run(
    mut client: TcpStream,
    mut settings: watch::Receiver<Settings>,
    traffic: watch::Sender<Traffic>,
) {
    let start = settings.borrow_and_update().clone();
    let resets = start.resets;
    let reset = tokio::select! {
        reset = relay(&mut client, &start, &settings, &traffic) => reset,
        stopped = async { settings.clone().wait_for(|now| now.resets != resets).await.map(drop) } => stopped.is_ok(),
    };
    if reset {
        // A socket that is gone already has nothing left to reset.
        let _ = client.set_zero_linger();
    }
    drop(client);
    traffic.send_modify(|traffic| traffic.open = traffic.open.saturating_sub(1));
}

/// Whether the client is to be reset afterwards.
async fn relay(
    client: &mut TcpStream,
    start: &Settings,
    settings: &watch::Receiver<Settings>,
    traffic: &watch::Sender<Traffic>,
) -> bool {
    let Ok(upstream) = TcpStream::connect(start.upstream).await else {
        traffic.send_modify(|traffic| traffic.upstream_failures += 1);
        return true;
    };
    // Resetting is the right end for every way but the one below: the future may be dropped at any await.
    let mut upstream = ResetOnDrop(Some(upstream));
    let Some(stream) = &mut upstream.0 else { return true };
    if stream.set_nodelay(true).is_err() {
        return true;
    }
    let (from_client, to_client) = client.split();
    let (from_upstream, to_upstream) = stream.split();
    let lane = |direction| Lane { direction, settings: settings.clone(), traffic: traffic.clone() };
    let outcome = tokio::try_join!(
        lane(Direction::ToUpstream).pump(from_client, to_upstream, start.half_closes(Direction::ToUpstream)),
        lane(Direction::ToClient).pump(from_upstream, to_client, start.half_closes(Direction::ToClient)),
    );
    if outcome.is_ok() {
        upstream.0 = None;
    }
    outcome.is_err()
}

/// The upstream's socket: reset unless both directions came to their end.
struct ResetOnDrop(Option<TcpStream>);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            // A socket that is gone already has nothing left to reset.
            let _ = stream.set_zero_linger();
        }
    }
}

struct Lane {
    direction: Direction,
    settings: watch::Receiver<Settings>,
    traffic: watch::Sender<Traffic>,
}

impl Lane {
    async fn pump(self, from: ReadHalf<'_>, to: WriteHalf<'_>, half_closes: u64) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(MAX_CHUNKS_UNDER_WAY);
        let writing = async {
            let direction = self.direction;
            let mut settings = self.settings.clone();
            let closed = async { settings.wait_for(|now| now.half_closes(direction) != half_closes).await.map(drop) };
            self.forward(to, receiver, closed).await
        };
        tokio::try_join!(self.read(from, sender), writing).map(drop)
    }

    async fn read(&self, mut from: ReadHalf<'_>, sender: mpsc::Sender<(Instant, Bytes)>) -> io::Result<()> {
        let mut settings = self.settings.clone();
        loop {
            // A dropped proxy is noticed by `run`.
            let _ = settings.wait_for(|now| !now.frozen).await;
            let mut buffer = BytesMut::with_capacity(MAX_CHUNK_BYTES);
            if from.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            if settings.borrow().blackhole {
                self.traffic.send_modify(|traffic| traffic.swallowed_bytes += buffer.len() as u64);
            } else if sender.send((Instant::now(), buffer.freeze())).await.is_err() {
                // Half-closed: the writer wants no more.
                return Ok(());
            }
        }
    }

    async fn forward(
        &self,
        mut to: WriteHalf<'_>,
        mut chunks: mpsc::Receiver<(Instant, Bytes)>,
        closed: impl Future,
    ) -> io::Result<()> {
        let mut closed = std::pin::pin!(closed);
        let mut free_at = Instant::now();
        loop {
            let next = tokio::select! {
                next = chunks.recv() => next,
                _ = &mut closed => None,
            };
            let Some((arrived, chunk)) = next else {
                return to.shutdown().await;
            };
            let latency = self.settings.borrow().latency;
            tokio::time::sleep_until(arrived + latency).await;
            self.write(&mut to, chunk, &mut free_at).await?;
        }
    }

    /// Writes a chunk in slices, each as the settings of its moment say.
    async fn write(&self, to: &mut WriteHalf<'_>, mut chunk: Bytes, free_at: &mut Instant) -> io::Result<()> {
        let mut settings = self.settings.clone();
        while !chunk.is_empty() {
            // A dropped proxy is noticed by `run`.
            let _ = settings.wait_for(|now| !now.frozen).await;
            let (slice, bytes_per_second) = {
                let now = settings.borrow();
                (now.slice, now.bytes_per_second)
            };
            let slice = chunk.split_to(slice.min(chunk.len()).min(portion(bytes_per_second)));
            tokio::time::sleep_until(*free_at).await;
            to.write_all(&slice).await?;
            self.count(slice.len() as u64);
            if let Some(rate) = bytes_per_second {
                *free_at = Instant::now() + Duration::from_secs_f64(slice.len() as f64 / rate as f64);
            }
        }
        Ok(())
    }

    fn count(&self, bytes: u64) {
        self.traffic.send_modify(|traffic| match self.direction {
            Direction::ToUpstream => traffic.to_upstream_bytes += bytes,
            Direction::ToClient => traffic.to_client_bytes += bytes,
        });
    }
}

/// Most bytes to write at once under this bandwidth.
fn portion(bytes_per_second: Option<u64>) -> usize {
    match bytes_per_second {
        None => usize::MAX,
        Some(rate) => (rate as f64 * BANDWIDTH_PORTION.as_secs_f64()).max(1.0) as usize,
    }
}
