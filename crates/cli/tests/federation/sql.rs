//! The pipelines of the proofs.

use std::net::SocketAddr;
use std::path::Path;

/// Which end of a link it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Listens,
    Connects(SocketAddr),
}

/// One end of a link: its properties. Deadlines are short, so that a connection that is dead is soon known to be.
pub(crate) fn link(role: Role, more: &str) -> String {
    let role = match role {
        Role::Listens => "websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/federation', \
                          websocket.handshake.timeout='2s'"
            .to_owned(),
        Role::Connects(address) => format!(
            "websocket.url='ws://{address}/federation', websocket.connect.timeout='2s', websocket.reconnect.delay.ms='20', \
             websocket.reconnect.max.delay.ms='200', websocket.reconnect.max.attempts='-1'"
        ),
    };
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!(
        "type='websocket', websocket.protocol='federation', {role}, websocket.ping.interval='400ms', \
         websocket.pong.timeout='800ms', websocket.write.timeout='2s', websocket.close.timeout='1s'{more}, @map(type='json')"
    )
}

/// The same for a source that says what it has got only when all sinks behind it have made it safe.
pub(crate) fn settled_link(role: Role, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    link(role, &format!("websocket.link.ack='settled'{more}"))
}

/// Sends numbered events, and stays when all have been sent.
pub(crate) fn numbers(rate: &str, count: u64, padding: usize, sink: &str) -> String {
    let text = super::tally::text("${seq}", padding);
    format!(
        "@source(type='generator', generator.rate='{rate}', generator.count='{count}', generator.template='{text}', @map(type='json'))\n\
         CREATE STREAM Numbers (n BIGINT, text STRING);\n\
         @source(type='generator', generator.rate='1', generator.template='{{\"n\":0}}', @map(type='json'))\n\
         CREATE STREAM Idle (n BIGINT);\n\
         @sink(type='blackhole')\n\
         CREATE STREAM Nowhere (n BIGINT);\n\
         INSERT INTO Nowhere SELECT n FROM Idle;\n\
         @sink({sink})\n\
         CREATE STREAM Sent (n BIGINT, text STRING);\n\
         INSERT INTO Sent SELECT n, text FROM Numbers;\n"
    )
}

/// Passes events on.
pub(crate) fn relay(source: &str, sink: &str) -> String {
    format!(
        "@source({source})\n\
         CREATE STREAM Taken (n BIGINT, text STRING);\n\
         @sink({sink})\n\
         CREATE STREAM Handed (n BIGINT, text STRING);\n\
         INSERT INTO Handed SELECT n, text FROM Taken;\n"
    )
}

/// Writes events to a file, and says so when the disk has them.
pub(crate) fn keeper(source: &str, file: &Path) -> String {
    relay(source, &format!("type='file', file.path='{}', file.sync='batch', @map(type='json')", file.display()))
}
