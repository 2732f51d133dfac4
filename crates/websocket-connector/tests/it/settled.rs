//! When a client sink has settled what it accepted: once the kernel has it, or it was reported.

use std::task::Poll;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::{BoxFuture, EventFluxError};
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use futures_util::FutureExt;

use crate::support::{DEADLINE, TestSink, batch, sink};

/// More than the buffers of two kernels hold.
const LARGE_BYTES: usize = 30 << 20;

const LARGE_QUEUE: (&str, &str) = ("websocket.queue.bytes", "64MiB");

type Settled = BoxFuture<'static, Result<(), EventFluxError>>;

fn outcome(settled: Settled) -> Result<(), EventFluxError> {
    tokio_test::block_on(async { tokio::time::timeout(DEADLINE, settled).await }).unwrap()
}

fn is_pending(settled: &mut Settled) -> bool {
    tokio_test::task::spawn(settled).poll() == Poll::Pending
}

/// A peer that takes nothing before it is told `go`.
fn stalled(then: impl FnOnce(Script) -> Script) -> ScriptedPeer {
    let script = then(Script::new().accept().stop_reading().within(DEADLINE).wait_for_signal("go"));
    ScriptedPeer::builder().receive_buffer(8 << 10).script(script).script(Script::new().accept()).start()
}

fn publish_large(sink: &TestSink) {
    sink.sink.publish("x".repeat(LARGE_BYTES).as_bytes()).unwrap();
}

#[test]
fn a_payload_is_settled_once_the_kernel_has_taken_it() {
    let peer = stalled(Script::resume_reading);
    let sink = sink(peer.url(), &[LARGE_QUEUE]);
    sink.sink.publish(b"first").unwrap();
    assert_eq!(outcome(sink.sink.settled()), Ok(()));
    publish_large(&sink);
    let mut large = sink.sink.settled();
    sink.sink.publish(b"last").unwrap();
    let mut last = sink.sink.settled();
    sink.wait_for_state(ConnectionState::Connected);
    assert!(is_pending(&mut large) && is_pending(&mut last));
    peer.signal("go");
    assert_eq!((outcome(last), outcome(large)), (Ok(()), Ok(())));
}

#[test]
fn what_is_accepted_later_does_not_delay_it() {
    let peer = stalled(Script::resume_reading);
    let sink = sink(peer.url(), &[LARGE_QUEUE]);
    sink.sink.publish_batch(&batch(["a", "b"])).unwrap();
    let settled = sink.sink.settled();
    publish_large(&sink);
    assert_eq!(outcome(settled), Ok(()));
    assert!(is_pending(&mut sink.sink.settled()));
}

#[test]
fn what_waits_for_the_connection_is_not_settled() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let sink = sink(peer.url(), &[]);
    sink.wait_for_state(ConnectionState::Reconnecting);
    sink.sink.publish(b"queued").unwrap();
    let mut settled = sink.sink.settled();
    assert!(is_pending(&mut settled));
    peer.accept_connections().blocking();
    assert_eq!(outcome(settled), Ok(()));
}

#[test]
fn what_a_sink_gives_up_is_reported_before_it_is_settled() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let sink = sink(peer.url(), &[("websocket.reconnect.max.attempts", "2")]);
    let published = sink.sink.publish_batch(&batch(["a", "b"])).is_ok();
    assert_eq!(outcome(sink.sink.settled()), Ok(()));
    assert_eq!(sink.recorder.failed().len(), if published { 2 } else { 0 });
}

#[test]
fn a_payload_the_peer_refuses_is_reported_before_it_is_settled() {
    // It never reads: the kernel cannot have taken all of it before the refusal comes.
    let peer = stalled(|script| script.close(1009, "too big"));
    let sink = sink(peer.url(), &[LARGE_QUEUE]);
    publish_large(&sink);
    let large = sink.sink.settled();
    sink.sink.publish(b"small").unwrap();
    let small = sink.sink.settled();
    peer.signal("go");
    assert_eq!(outcome(large), Ok(()));
    let reported = sink.recorder.failed().len();
    assert_eq!(outcome(small), Ok(()));
    // Where the connection broke before the refusal was read, it was sent again over another one, which is read.
    let read = || peer.messages().iter().any(|message| message.as_bytes().len() == LARGE_BYTES);
    eventually_blocking(DEADLINE, || reported == 1 || read());
}

#[test]
fn a_stop_that_gives_something_up_settles_nothing_of_it() {
    let peer = stalled(Script::resume_reading);
    let sink = sink(peer.url(), &[LARGE_QUEUE]);
    sink.sink.publish(b"first").unwrap();
    let first = sink.sink.settled();
    sink.wait_for_state(ConnectionState::Connected);
    eventually_blocking(DEADLINE, || sink.context.metrics.queue_bytes.value() == 0);
    publish_large(&sink);
    let large = sink.sink.settled();
    assert_eq!(sink.sink.stop(Duration::from_millis(300)), 1);
    assert_eq!(outcome(first), Ok(()));
    assert_eq!(outcome(large), Err(EventFluxError::Stopped));
    assert_eq!(sink.sink.settled().now_or_never(), Some(Err(EventFluxError::Stopped)));
}

#[test]
fn a_stop_that_sends_everything_settles_it() {
    let peer = ScriptedPeer::builder().start();
    let sink = sink(peer.url(), &[]);
    sink.sink.publish(b"a").unwrap();
    let settled = sink.sink.settled();
    assert_eq!(sink.stop(), 0);
    assert_eq!(settled.now_or_never(), Some(Ok(())));
}

#[test]
fn what_a_server_has_published_is_settled() {
    let raw = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")];
    let sink = crate::support::Registry::new().sink(&raw);
    sink.start().unwrap();
    sink.sink.publish(b"a").unwrap();
    assert_eq!(sink.sink.settled().now_or_never(), Some(Ok(())));
    assert_eq!(sink.stop(), 0);
}
