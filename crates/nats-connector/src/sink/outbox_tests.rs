use eventflux_core::metrics::Metrics;
use eventflux_core::{ConnectorRole, PayloadWriter, Properties};
use eventflux_testkit::contract::SinkRecorder;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, assert_ready_ok, task};

use super::*;
use crate::SINK_PROPERTIES;

/// What an event of these tests costs.
const COST: usize = 1 + EVENT_OVERHEAD_BYTES;

struct Bench {
    outbox: Outbox,
    recorder: Arc<SinkRecorder>,
    addressing: Addressing,
}

/// Room for so many events of one byte.
fn bench(events: usize) -> Bench {
    let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "nats");
    let recorder = Arc::new(SinkRecorder::new());
    let raw = [("nats.url", "nats://localhost"), ("nats.subject", "out")];
    let properties = Properties::from_pairs(SINK_PROPERTIES, raw).unwrap();
    Bench {
        outbox: Outbox::new(COST * events, usize::MAX, context, recorder.clone()),
        recorder,
        addressing: Addressing::from_properties(&properties).unwrap(),
    }
}

impl Bench {
    fn publish(&self, payloads: &str) -> task::Spawn<BoxFuture<'static, Result<(), EventFluxError>>> {
        self.try_publish(payloads).unwrap();
        task::spawn(self.outbox.settled())
    }

    fn try_publish(&self, payloads: &str) -> Result<(), RowFailure> {
        let mut writer = PayloadWriter::default();
        for (index, payload) in payloads.bytes().enumerate() {
            writer.buffer().extend_from_slice(&[payload]);
            writer.finish(index as u64);
        }
        self.outbox.publish(&writer.take(), &self.addressing)
    }

    /// What is taken, as text.
    fn take(&self, max: usize) -> String {
        self.outbox.take(max, usize::MAX).iter().map(|event| char::from(event.payload[0])).collect()
    }

    /// The payloads that were reported, each report a text.
    fn failed(&self) -> Vec<String> {
        self.recorder.failed().iter().map(|(payload, _)| String::from_utf8_lossy(payload).into_owned()).collect()
    }
}

fn gone() -> EventFluxError {
    EventFluxError::Send { reason: "gone".into(), retryable: true }
}

#[test]
fn a_mark_is_settled_when_everything_before_it_is_done() {
    let bench = bench(10);
    assert_ready_ok!(task::spawn(bench.outbox.settled()).poll());
    let mut first = bench.publish("ab");
    let mut second = bench.publish("c");
    assert_eq!(bench.take(10), "abc");
    bench.outbox.done(3);
    bench.outbox.done(2);
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    bench.outbox.done(1);
    assert!(first.is_woken() && second.is_woken());
    assert_ready_ok!(first.poll());
    assert_ready_ok!(second.poll());
    assert_eq!((bench.outbox.len(), bench.outbox.settled_up_to()), (0, 3));
}

#[test]
fn what_is_not_settled_is_taken_again_in_order_and_what_is_settled_is_not() {
    let bench = bench(10);
    let _settled = bench.publish("abcdef");
    assert_eq!((bench.take(2), bench.take(3)), ("ab".to_owned(), "cde".to_owned()));
    bench.outbox.done_up_to(1);
    bench.outbox.done(4);
    bench.outbox.rewind();
    assert!(bench.outbox.has_work());
    assert_eq!(bench.take(10), "bcef");
    assert!(!bench.outbox.has_work());
    bench.outbox.done_up_to(100);
    assert_eq!(bench.outbox.len(), 0);
}

#[test]
fn a_burst_ends_before_it_is_too_large_but_takes_one_event_at_least() {
    let bench = bench(10);
    let _settled = bench.publish("abc");
    let bytes = |max| bench.outbox.take(10, max).len();
    assert_eq!((bytes(2), bytes(0), bytes(10)), (2, 1, 0));
}

#[test]
fn what_fails_is_reported_and_settled() {
    let bench = bench(10);
    let mut settled = bench.publish("abc");
    bench.take(3);
    bench.outbox.failed(2, gone());
    bench.outbox.failed(2, gone());
    assert_eq!(bench.failed(), ["b"]);
    assert_pending!(settled.poll());
    bench.outbox.done_up_to(3);
    assert_ready_ok!(settled.poll());
    assert_eq!(bench.outbox.len(), 0);
}

#[test]
fn giving_up_reports_everything_by_batches_and_the_next_try_is_refused_once() {
    let bench = bench(10);
    let (mut first, mut second) = (bench.publish("abcd"), bench.publish("ef"));
    bench.take(5);
    bench.outbox.done(2);
    assert_eq!(bench.outbox.give_up(&gone()), 5);
    assert_eq!(bench.failed(), ["a", "c", "d", "e", "f"]);
    assert_eq!(bench.recorder.calls(), 3, "one for what is left of a batch in one piece");
    assert_ready_ok!(first.poll());
    assert_ready_ok!(second.poll());
    assert_eq!(bench.try_publish("g").unwrap_err(), RowFailure { row: 0, error: gone() });
    bench.try_publish("h").unwrap();
    assert_eq!(bench.take(10), "h");
}

#[test]
fn there_is_room_until_it_is_full_and_again_when_something_is_done() {
    let bench = bench(2);
    let _settled = bench.publish("a");
    assert!(bench.outbox.is_ready());
    let _settled = bench.publish("bc");
    assert!(!bench.outbox.is_ready());
    let mut room = task::spawn(bench.outbox.ready());
    assert_pending!(room.poll());
    bench.take(3);
    bench.outbox.done(2);
    assert_pending!(room.poll());
    bench.outbox.done(3);
    assert!(room.is_woken());
    assert_ready!(room.poll());
    assert!(bench.outbox.is_ready());
}

#[test]
fn a_queue_that_is_filled_although_it_is_full_refuses_in_the_end() {
    let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "nats");
    let Bench { addressing, recorder, .. } = bench(1);
    let outbox = Outbox::new(1, usize::MAX, context, recorder);
    let large = EncodedBatch::single(vec![0; 1 << 20].into(), 1);
    let accepted = (0..100).take_while(|_| outbox.publish(&large, &addressing).is_ok()).count();
    assert_eq!(accepted, MIN_OVERFILL_BYTES >> 20);
}

#[test]
fn the_end_is_an_answer() {
    let bench = bench(10);
    let mut settled = bench.publish("ab");
    bench.take(1);
    assert_eq!(bench.outbox.end(), 2);
    assert_ready_eq!(settled.poll(), Err(EventFluxError::Stopped));
    assert_eq!(bench.outbox.end(), 0);
    // What comes too late does no harm.
    bench.outbox.done(1);
    bench.outbox.failed(2, gone());
    assert_eq!(bench.try_publish("c").unwrap_err().error, EventFluxError::Stopped);
    assert!(bench.failed().is_empty());
}

#[test]
fn events_are_found_by_their_subject() {
    let bench = bench(10);
    let _settled = bench.publish("abc");
    bench.take(2);
    bench.outbox.done(1);
    assert_eq!((bench.outbox.taken_to("out"), bench.outbox.taken_to("other")), (vec![2], vec![]));
}

#[test]
fn an_event_that_is_settled_out_of_order_is_not_kept_and_those_behind_one_that_is_not_are_bounded() {
    let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "nats");
    let Bench { addressing, recorder, .. } = bench(1);
    let outbox = Outbox::new(usize::MAX, 2, context, recorder);
    let publish = |payload: Bytes| outbox.publish(&EncodedBatch::single(payload, 1), &addressing).unwrap();
    publish("first".into());
    for number in 2..=2 * SPREAD_FACTOR as u64 {
        assert!(outbox.is_ready(), "{number}");
        let payload = Bytes::from(vec![0; 1000]);
        publish(payload.clone());
        assert_eq!(outbox.take(2, usize::MAX).last().map(|event| event.number), Some(number));
        outbox.done(number);
        assert!(payload.is_unique(), "nobody else keeps it");
    }
    assert_eq!(outbox.len(), 1);
    assert!(!outbox.is_ready());
    outbox.done(1);
    assert!(outbox.is_ready());
}

#[test]
fn what_is_accepted_while_the_sink_gives_up_is_tried() {
    let bench = bench(10);
    let _settled = bench.publish("a");
    // Between the two steps of publishing.
    bench.outbox.accepts().unwrap();
    bench.outbox.give_up(&gone());
    let batch = Arc::new(EncodedBatch::single("b".into(), 1));
    let address = bench.addressing.address(&batch, 0).unwrap();
    bench.outbox.accept(vec![Open { address, batch, row: 0 }]);
    assert_ready!(task::spawn(bench.outbox.retried()).poll());
    assert_eq!((bench.failed(), bench.take(10)), (vec!["a".to_owned()], "b".to_owned()));
    bench.try_publish("c").unwrap();
}
