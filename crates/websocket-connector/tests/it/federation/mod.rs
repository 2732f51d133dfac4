//! Links between a source and a sink, whichever of them listens.

mod combinations;
mod pool;
mod requester;
mod resume;
mod tokens;

use crate::support::{DEADLINE, QUICK, Registry, TestSink, TestSource};
use eventflux_testkit::wait::eventually_blocking;

const FEDERATION: (&str, &str) = ("websocket.protocol", "federation");
const SERVER: [(&str, &str); 3] = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0"), FEDERATION];

fn listening_sink(raw: &[(&str, &str)]) -> TestSink {
    let sink = Registry::new().sink(&[&SERVER, raw].concat());
    sink.start().unwrap();
    sink
}

fn listening_source(raw: &[(&str, &str)]) -> TestSource {
    let mut source = Registry::new().source(&[&SERVER, raw].concat());
    source.start().unwrap();
    source
}

fn connecting_sink(url: &str, raw: &[(&str, &str)]) -> TestSink {
    let sink = Registry::new().sink(&[&[("websocket.url", url), FEDERATION], &QUICK[..], raw].concat());
    sink.start().unwrap();
    sink
}

fn connecting_source(url: &str, raw: &[(&str, &str)]) -> TestSource {
    let mut source = Registry::new().source(&[&[("websocket.url", url), FEDERATION], &QUICK[..], raw].concat());
    source.start().unwrap();
    source
}

fn publish(sink: &TestSink, numbers: std::ops::Range<u64>) {
    for number in numbers {
        sink.sink.publish(format!("{{\"n\":{number}}}").as_bytes()).unwrap();
    }
}

/// Waits until the source has these events, each once and in order.
#[track_caller]
fn wait_for(source: &TestSource, numbers: std::ops::Range<u64>) {
    let expected: Vec<_> = numbers.map(|number| format!("{{\"n\":{number}}}")).collect();
    eventually_blocking(DEADLINE, || source.recorder.count() >= expected.len());
    let messages = source.recorder.messages();
    let texts: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
    assert_eq!(texts, expected);
}

#[track_caller]
fn wait_until_settled(sink: &TestSink) {
    tokio_test::block_on(async { tokio::time::timeout(DEADLINE, sink.sink.settled()).await }).unwrap().unwrap();
}
