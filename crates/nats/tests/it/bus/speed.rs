//! Not a test: says how quick a bus is.

use super::*;
use eventflux_testkit::nats::NatsServer;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

#[derive(Default)]
struct Counter(AtomicU64);

impl Listener for Counter {
    fn begin(&self, _: &str, _: u64) {}
    fn entry(&self, _: u64, _: &Bytes) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn caught_up(&self) {}
    fn stored(&self, _: u64) {}
    fn failed(&self, number: u64, error: EventFluxError) {
        panic!("{number}: {error}");
    }
    fn present(&self, _: &str, _: &str, _: Option<&Bytes>) {}
}

/// `cargo test --release -p eventflux-nats --test it bus::speed -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and takes both processors for a while"]
#[allow(clippy::print_stderr)]
async fn entries_per_second() {
    const ENTRIES: u64 = 500_000;
    let server = NatsServer::start();
    let config = BusConfig { memory: true, in_flight: 4096, max_bytes: 1 << 30, ..config(&server.url()) };
    let seen = Arc::new(Counter::default());
    let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "T", "websocket");
    let bus = Bus::start(config.clone(), Observer::of(&context), seen.clone()).unwrap();
    let (payload, begun) = (Bytes::from(vec![b'x'; 200]), Instant::now());
    for _ in 0..ENTRIES {
        if !bus.is_ready() {
            bus.ready().await;
        }
        bus.publish(payload.clone()).unwrap();
    }
    bus.settled().await.unwrap();
    let stored = begun.elapsed();
    eventually(SOON, || seen.0.load(Ordering::Relaxed) == ENTRIES).await;
    let read = begun.elapsed();
    let (late, begun) = (Arc::new(Counter::default()), Instant::now());
    let other = Bus::start(config, Observer::of(&context), late.clone()).unwrap();
    eventually(SOON, || late.0.load(Ordering::Relaxed) == ENTRIES).await;
    let rate = |elapsed: Duration| ENTRIES as f64 / elapsed.as_secs_f64();
    eprintln!("stored {:.0}/s, stored and read {:.0}/s, past {:.0}/s", rate(stored), rate(read), rate(begun.elapsed()));
    drop((bus, other));
}
