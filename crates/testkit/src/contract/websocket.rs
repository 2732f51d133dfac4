//! A ready-made peer for connectors that are WebSocket clients.

use std::time::Duration;

use super::{Peer, SinkPeer, SourcePeer};
use crate::peer::{Script, ScriptedPeer};

/// How long the source under test may keep the peer from sending.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// A small receive buffer, bytes, so that a paused peer is felt soon.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

/// Which properties a connector is to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// With short pauses between attempts to connect, a few milliseconds.
    Quickly,
    /// With a minute or more between attempts to connect.
    Slowly,
}

/// A [`ScriptedPeer`] as the peer of a WebSocket client under test, source or sink.
///
/// Messages are sent as text. A harness makes one per check:
///
/// ```
/// use eventflux_core::SourceFactory;
/// use eventflux_testkit::contract::{Capabilities, Reconnect, SourceHarness, SourcePeer, WebSocketPeer};
///
/// struct FeedHarness<F>(F);
///
/// impl<F: SourceFactory> SourceHarness for FeedHarness<F> {
///     fn factory(&self) -> &dyn SourceFactory {
///         &self.0
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities::network()
///     }
///
///     fn peer(&self) -> Box<dyn SourcePeer> {
///         Box::new(WebSocketPeer::start(|url, reconnect| {
///             let delay = match reconnect {
///                 Reconnect::Quickly => "5",
///                 Reconnect::Slowly => "60000",
///             };
///             vec![("feed.url".into(), url.into()), ("feed.reconnect.delay.ms".into(), delay.into())]
///         }))
///     }
/// }
/// ```
pub struct WebSocketPeer {
    peer: ScriptedPeer,
    properties: Box<PropertiesOf>,
}

type PropertiesOf = dyn Fn(&str, Reconnect) -> Vec<(String, String)> + Send + Sync;

impl WebSocketPeer {
    /// Starts a peer that accepts every handshake; `properties` makes a connector use its URL.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start(properties: impl Fn(&str, Reconnect) -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        let peer = ScriptedPeer::builder().receive_buffer(RECEIVE_BUFFER_BYTES).start();
        Self::of(peer, properties)
    }

    /// The same for a peer that was built by hand: with TLS, or with a script that expects a subscription first.
    pub fn of(
        peer: ScriptedPeer,
        properties: impl Fn(&str, Reconnect) -> Vec<(String, String)> + Send + Sync + 'static,
    ) -> Self {
        Self { peer, properties: Box::new(properties) }
    }

    /// The peer, for what the contract does not ask.
    pub fn peer(&self) -> &ScriptedPeer {
        &self.peer
    }

    /// Plays steps on every open connection. One that ends meanwhile is not the peer's problem: the suite looks at what
    /// arrived.
    fn play(&self, script: Script) {
        let _ = self.peer.play_on_all(script).within(SEND_DEADLINE).blocking_result();
    }
}

impl Peer for WebSocketPeer {
    fn properties(&self) -> Vec<(String, String)> {
        (self.properties)(self.peer.url(), Reconnect::Quickly)
    }

    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        (self.properties)(self.peer.url(), Reconnect::Slowly)
    }

    fn connections(&self) -> usize {
        self.peer.inspect(|record| record.handshakes.len())
    }

    fn cut(&self) {
        self.peer.cut();
    }

    fn refuse(&self) {
        self.peer.refuse_connections().blocking();
    }

    fn ignore(&self) {
        self.peer.ignore_connections().blocking();
    }

    fn accept(&self) {
        self.peer.accept_connections().blocking();
    }
}

impl SourcePeer for WebSocketPeer {
    fn send(&self, messages: &[Vec<u8>]) {
        let texts = messages.iter().map(|message| String::from_utf8_lossy(message).into_owned());
        self.play(Script::new().within(SEND_DEADLINE).send_all(texts));
    }

    fn close(&self) {
        self.play(Script::new().close(1000, "done"));
    }
}

impl SinkPeer for WebSocketPeer {
    fn received(&self) -> Vec<Vec<u8>> {
        self.peer.messages().iter().map(|message| message.as_bytes().to_vec()).collect()
    }

    fn received_count(&self) -> usize {
        self.peer.inspect(|record| record.messages.len())
    }

    fn pause(&self) {
        self.play(Script::new().stop_reading());
    }

    fn resume(&self) {
        self.play(Script::new().resume_reading());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Ending, Refused, ScriptedClient};

    fn start() -> WebSocketPeer {
        WebSocketPeer::start(|url, reconnect| vec![("url".into(), format!("{url}/{reconnect:?}"))])
    }

    fn connect(peer: &WebSocketPeer) -> ScriptedClient {
        let before = peer.connections();
        let client = ScriptedClient::connect(peer.peer().url()).blocking();
        assert_eq!(peer.connections(), before + 1);
        client
    }

    #[test]
    fn properties_tell_the_url_and_how_to_reconnect() {
        let peer = start();
        assert!(peer.properties()[0].1.ends_with("/Quickly"));
        assert!(peer.slow_reconnect_properties()[0].1.ends_with("/Slowly"));
    }

    #[test]
    fn messages_are_sent_before_a_clean_close() {
        let peer = start();
        let client = connect(&peer);
        peer.send(&[b"a".to_vec(), b"b".to_vec()]);
        peer.close();
        assert!(matches!(client.wait_for_end().blocking(), Ending::Closed { code: Some(1000), .. }));
        assert_eq!(client.wait_for_messages(2).blocking(), ["a".into(), "b".into()]);
    }

    #[test]
    fn it_pauses_cuts_refuses_ignores_and_accepts_again() {
        let peer = start();
        let client = connect(&peer);
        peer.pause();
        client.send_text("held").blocking();
        peer.peer().wait_for_messages(1).within(Duration::from_millis(30)).blocking_result().unwrap_err();
        peer.resume();
        peer.peer().wait_for_messages(1).blocking();
        assert_eq!(peer.received(), [b"held".to_vec()]);
        peer.cut();
        assert!(matches!(client.wait_for_end().blocking(), Ending::Failed(_)));
        peer.refuse();
        let refused = ScriptedClient::builder(peer.peer().url()).attempt().blocking();
        assert!(matches!(refused, Err(Refused::Failed(_))));
        peer.ignore();
        let hanging = ScriptedClient::builder(peer.peer().url()).attempt().within(Duration::from_millis(30));
        hanging.blocking_result().unwrap_err();
        peer.accept();
        ScriptedClient::connect(peer.peer().url()).blocking();
    }
}
