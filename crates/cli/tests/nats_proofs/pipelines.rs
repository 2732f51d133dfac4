//! The parts of the pipelines of the proofs.

use std::net::SocketAddr;

/// Messages that are delivered and not acknowledged at most: what may come twice each time something ends without a word.
pub(crate) const WINDOW: u64 = 500;

/// The stream between the two ends.
pub(crate) const STREAM: &str = "NUMBERS";
pub(crate) const SUBJECT: &str = "numbers";

/// Where producers connect to.
pub(crate) const PRODUCED: &str = "type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/in', @map(type='json')";

/// A connection that soon knows that it is dead, and is soon back.
pub(crate) fn connection(server: SocketAddr) -> String {
    format!(
        "nats.url='nats://{server}', nats.ping.interval='400ms', nats.connect.timeout='2s', nats.reconnect.delay.ms='20', \
         nats.reconnect.max.delay.ms='200'"
    )
}

/// A sink whose stream stores each event; it is created when it is not there.
pub(crate) fn stored(server: SocketAddr, more: &str) -> String {
    stored_if_it_exists(server, &format!("nats.stream.create='true'{}", behind_comma(more)))
}

/// The same, of a stream that somebody else creates.
pub(crate) fn stored_if_it_exists(server: SocketAddr, more: &str) -> String {
    let connection = connection(server);
    format!(
        "type='nats', {connection}, nats.subject='{SUBJECT}', nats.stream='{STREAM}', nats.ack.timeout='1s'{}, @map(type='json')",
        behind_comma(more)
    )
}

/// A source that reads the stream by a durable consumer.
pub(crate) fn read(server: SocketAddr, more: &str) -> String {
    let connection = connection(server);
    format!(
        "type='nats', {connection}, nats.stream='{STREAM}', nats.consumer='reader', nats.ack.wait='2s', \
         nats.max.ack.pending='{WINDOW}', nats.max.deliver='0'{}, @map(type='json')",
        behind_comma(more)
    )
}

fn behind_comma(more: &str) -> String {
    if more.is_empty() { String::new() } else { format!(", {more}") }
}
