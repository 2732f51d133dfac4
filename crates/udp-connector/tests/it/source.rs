//! A `udp` source on real sockets: what arrives, what is dropped and counted, and how it ends.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::support::{DEADLINE, paced, unread_bytes};
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Metrics;
use eventflux_core::{
    BoundMetadata, ConnectorContext, ConnectorRole, EventFluxError, Properties, Source, SourceFactory, ValueRef,
};
use eventflux_testkit::contract::{OnDelivery, SourceRecorder};
use eventflux_testkit::wait::eventually_blocking;
use eventflux_udp_connector::{METADATA, SOURCE_PROPERTIES, UdpSourceFactory};

/// A source on a free port of this machine, and somebody who sends to it.
struct Fixture {
    context: ConnectorContext,
    recorder: Arc<SourceRecorder>,
    source: Box<dyn Source>,
    sender: UdpSocket,
}

impl Fixture {
    fn new(pairs: &[(&str, &str)]) -> Self {
        Self::with(pairs, OnDelivery::Take, BoundMetadata::default())
    }

    fn with(pairs: &[(&str, &str)], on_delivery: OnDelivery, metadata: BoundMetadata) -> Self {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "Readings", "udp");
        let context = context.with_metadata(metadata);
        let listen = [("udp.listen", "127.0.0.1:0")];
        let pairs = listen.iter().filter(|(key, _)| pairs.iter().all(|(other, _)| other != key)).chain(pairs).copied();
        let properties = Properties::from_pairs(SOURCE_PROPERTIES, pairs).unwrap();
        let source = UdpSourceFactory.create_initialized(&properties, &context).unwrap();
        let (recorder, sender) = (SourceRecorder::new(on_delivery), UdpSocket::bind("127.0.0.1:0").unwrap());
        Self { context, recorder: Arc::new(recorder), source, sender }
    }

    fn start(&mut self) {
        self.source.start(self.recorder.clone()).unwrap();
        eventually_blocking(DEADLINE, || self.context.health.current().state == ConnectionState::Listening);
    }

    fn address(&self) -> SocketAddr {
        let health = self.context.health.current();
        health.detail.unwrap().strip_prefix("udp://").unwrap().parse().unwrap()
    }

    fn send<T: AsRef<[u8]>>(&self, messages: impl IntoIterator<Item = T>) {
        let messages: Vec<_> = messages.into_iter().map(|message| message.as_ref().to_vec()).collect();
        paced(&self.sender, self.address(), &messages);
    }

    fn texts(&self) -> Vec<String> {
        self.recorder.messages().into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    fn arrived(&self, count: usize) {
        eventually_blocking(DEADLINE, || self.recorder.count() >= count);
    }

    fn dropped(&self, reason: &str) -> u64 {
        let labels = [("stream", "Readings"), ("reason", reason)];
        self.context.registry.counter("eventflux_udp_dropped_total", &labels).value()
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn each_datagram_is_a_message_and_an_empty_one_as_well() {
    let mut fixture = Fixture::new(&[]);
    fixture.start();
    fixture.send(["one", "", "two\nlines"]);
    fixture.arrived(3);
    assert_eq!(fixture.texts(), ["one", "", "two\nlines"]);
    fixture.source.stop(DEADLINE);
    assert_eq!(fixture.recorder.ends(), [Ok(())]);
    assert_eq!(fixture.context.health.current().state, ConnectionState::Stopped);
}

#[test]
fn what_arrived_while_the_pipeline_was_busy_is_one_batch() {
    let mut fixture = Fixture::with(&[], OnDelivery::TakeAndCloseGate, BoundMetadata::default());
    fixture.start();
    fixture.send(["0"]);
    fixture.arrived(1);
    fixture.send(numbers(1..501));
    fixture.recorder.open_gate();
    fixture.arrived(501);
    assert_eq!(fixture.texts(), numbers(0..501));
    assert_eq!(fixture.recorder.deliveries(), 2);
}

#[test]
fn the_largest_datagram_there_is_arrives_whole() {
    let mut fixture = Fixture::new(&[("udp.receive.buffer", "1MiB")]);
    fixture.start();
    // What IPv4 leaves of 65,535 bytes.
    let largest = vec![b'x'; 65_507];
    fixture.send([&largest]);
    fixture.arrived(1);
    assert_eq!(fixture.recorder.messages(), [largest]);
}

#[test]
fn a_datagram_above_the_limit_goes_to_the_error_strategy_whole_and_the_others_pass() {
    let mut fixture = Fixture::new(&[("udp.max.datagram", "5")]);
    fixture.start();
    fixture.send(["12345", "123456", "after"]);
    fixture.arrived(2);
    assert_eq!(fixture.texts(), ["12345", "after"]);
    let [(error, data)] = &fixture.recorder.errors()[..] else { panic!("{:?}", fixture.recorder.errors()) };
    assert_eq!(data, b"123456");
    let sender = fixture.sender.local_addr().unwrap();
    let expected = format!("a datagram of 6 bytes from {sender} exceeds udp.max.datagram (5 bytes)");
    assert_eq!((error.to_string(), error.is_retryable()), (expected, false));
}

#[test]
fn columns_can_say_who_sent_it_and_when() {
    let mut fixture = Fixture::with(&[], OnDelivery::Take, BoundMetadata::all(METADATA));
    fixture.start();
    fixture.send(["x"]);
    fixture.arrived(1);
    let metadata = fixture.recorder.metadata()[0].clone().unwrap();
    let sender = fixture.sender.local_addr().unwrap();
    assert_eq!(metadata.value(0), ValueRef::String("127.0.0.1"));
    assert_eq!(metadata.value(1), ValueRef::Int(sender.port().into()));
    let ValueRef::Timestamp(received) = metadata.value(2) else { panic!("{metadata:?}") };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    assert!((now - 60_000_000..=now).contains(&received), "{received}");
}

#[test]
fn fields_that_no_column_wants_are_null() {
    let mut fixture = Fixture::with(&[], OnDelivery::Take, BoundMetadata::new([1]));
    fixture.start();
    fixture.send(["x"]);
    fixture.arrived(1);
    let metadata = fixture.recorder.metadata()[0].clone().unwrap();
    assert!(metadata.value(0).is_null() && !metadata.value(1).is_null() && metadata.value(2).is_null());
}

/// A source whose pipeline has taken one message and takes no more, after 20 others were sent.
fn overfull(policy: &str) -> Fixture {
    let pairs = [("udp.queue.size", "8"), ("udp.queue.full", policy)];
    let mut fixture = Fixture::with(&pairs, OnDelivery::TakeAndCloseGate, BoundMetadata::default());
    fixture.start();
    fixture.send(["first"]);
    fixture.arrived(1);
    for number in numbers(0..20) {
        fixture.sender.send_to(number.as_bytes(), fixture.address()).unwrap();
    }
    fixture
}

#[test]
fn a_full_queue_drops_the_oldest_and_counts_them() {
    let fixture = overfull("drop_oldest");
    eventually_blocking(DEADLINE, || fixture.dropped("queue") == 12);
    fixture.recorder.open_gate();
    fixture.arrived(9);
    assert_eq!(fixture.texts()[1..], numbers(12..20));
    assert_eq!(fixture.context.metrics.dropped.value(), 12);
}

#[test]
fn a_full_queue_drops_the_newest_and_counts_them() {
    let fixture = overfull("drop_newest");
    eventually_blocking(DEADLINE, || fixture.dropped("queue") == 12);
    fixture.recorder.open_gate();
    fixture.arrived(9);
    assert_eq!(fixture.texts()[1..], numbers(0..8));
    assert_eq!(fixture.context.metrics.dropped.value(), 12);
}

#[test]
fn a_queue_that_blocks_leaves_the_rest_with_the_system() {
    let fixture = overfull("block");
    eventually_blocking(DEADLINE, || fixture.context.metrics.queue_bytes.value() == 8);
    assert!(unread_bytes(fixture.address()) > 0);
    fixture.recorder.open_gate();
    fixture.arrived(21);
    assert_eq!(fixture.texts()[1..], numbers(0..20));
    assert_eq!(fixture.context.metrics.dropped.value(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_system_drops_while_the_queue_blocks_is_counted() {
    let mut fixture = overfull("block");
    let (address, payload) = (fixture.address(), [0; 10_000]);
    // Many times the buffer of a socket.
    for _ in 0..2_000 {
        fixture.sender.send_to(&payload, address).unwrap();
    }
    fixture.source.stop(DEADLINE / 100);
    assert!(fixture.dropped("kernel") > 0);
    assert_eq!(fixture.dropped("queue"), 0);
}

#[test]
fn a_stop_delivers_what_was_read() {
    let mut fixture = Fixture::with(&[], OnDelivery::TakeAndCloseGate, BoundMetadata::default());
    fixture.start();
    fixture.send(["0"]);
    fixture.arrived(1);
    fixture.send(numbers(1..50));
    let recorder = fixture.recorder.clone();
    let opener = std::thread::spawn(move || {
        let stopping = recorder;
        stopping.open_gate();
    });
    fixture.source.stop(DEADLINE);
    opener.join().unwrap();
    assert_eq!(fixture.texts(), numbers(0..50));
    assert_eq!(fixture.dropped("stopped"), 0);
}

#[test]
fn what_a_stop_cannot_deliver_is_counted() {
    let mut fixture = Fixture::with(&[], OnDelivery::TakeAndCloseGate, BoundMetadata::default());
    fixture.start();
    fixture.send(["0"]);
    fixture.arrived(1);
    fixture.send(numbers(1..50));
    fixture.source.stop(DEADLINE / 100);
    assert_eq!((fixture.recorder.count(), fixture.dropped("stopped")), (1, 49));
    assert_eq!(fixture.recorder.ends(), [Ok(())]);
}

#[test]
fn an_address_in_use_is_told_before_the_start_and_at_the_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut fixture = Fixture::new(&[("udp.listen", &taken.local_addr().unwrap().to_string())]);
    let error = fixture.source.validate_connectivity().unwrap_err();
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { retryable: false, .. }), "{error:?}");
    let error = fixture.source.start(fixture.recorder.clone()).unwrap_err().to_string();
    assert!(error.starts_with("property 'udp.listen': '127.0.0.1:"), "{error}");
    assert!(error.contains("already in use") && error.contains("choose another port"), "{error}");
    drop(taken);
    fixture.source.validate_connectivity().unwrap();
    fixture.start();
}

#[test]
fn a_multicast_group_is_joined() {
    let pairs = [
        ("udp.listen", "0.0.0.0:0"),
        ("udp.multicast.group", "239.255.77.7"),
        ("udp.multicast.interface", "127.0.0.1"),
    ];
    let mut fixture = Fixture::new(&pairs);
    fixture.start();
    let sender = socket2::SockRef::from(&fixture.sender);
    sender.set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST).unwrap();
    let group = SocketAddr::from(([239, 255, 77, 7], fixture.address().port()));
    fixture.sender.send_to(b"to all", group).unwrap();
    fixture.arrived(1);
    assert_eq!(fixture.texts(), ["to all"]);
}
