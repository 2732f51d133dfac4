//! What a connector's tests supply.

use eventflux_core::{SinkFactory, SourceFactory};

use super::Limits;

/// What a connector is able to do; a check that needs more is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How a source gets the messages the suite chose. Ignored for sinks.
    pub feed: Feed,
    /// It opens a connection to a peer, which may be away, refuse or not answer. Its health is then expected to be
    /// `connecting` during the first attempt and `reconnecting` once that failed or the connection was lost.
    pub connects: bool,
    /// It connects again when the connection is lost.
    pub reconnects: bool,
    /// It keeps the order of messages.
    pub ordered: bool,
    /// The peer learns which messages the pipeline has taken. For sources.
    pub acknowledges: bool,
    /// It stops taking, or delivering, more when the other side cannot keep up.
    pub backpressure: bool,
}

impl Capabilities {
    /// A connector to a network peer that does everything except acknowledge.
    pub fn network() -> Self {
        Self {
            feed: Feed::Live,
            connects: true,
            reconnects: true,
            ordered: true,
            acknowledges: false,
            backpressure: true,
        }
    }

    /// A connector without a peer, such as one of files: ordered, nothing to connect to.
    pub fn local() -> Self {
        Self { feed: Feed::BeforeStart, connects: false, reconnects: false, ..Self::network() }
    }
}

/// When the messages of the suite are given to the peer of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// At any time while the source is connected.
    Live,
    /// Once, before the source is started: a file.
    BeforeStart,
    /// Never: the source makes its messages up.
    Own,
}

/// The other end of a connector, fresh for every check and reachable at first. Dropping it ends it.
///
/// The methods with an empty default are called only when the [`Capabilities`] say so. A peer that dials the connector,
/// because the connector is the server, does so in [`SourcePeer::send`] or when the connector has started; its
/// connector does not [connect](Capabilities::connects).
pub trait Peer: Send + Sync {
    /// The properties that make a connector use this peer. Delays between attempts to connect should be short.
    fn properties(&self) -> Vec<(String, String)>;

    /// The same, but with a delay of a minute or more before another attempt to connect, and at least two attempts.
    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        self.properties()
    }

    /// How many connections have been established so far, those included that have ended.
    fn connections(&self) -> usize {
        0
    }

    /// Ends all connections as a network failure would.
    fn cut(&self) {}

    /// Refuses new connections, from the moment it returns.
    fn refuse(&self) {}

    /// Lets new connections hang before they are established, from the moment it returns.
    fn ignore(&self) {}

    /// Accepts new connections again, from the moment it returns.
    fn accept(&self) {}
}

/// The peer of a source.
pub trait SourcePeer: Peer {
    /// Sends messages in order over every open connection. May block while the source does not read.
    fn send(&self, messages: &[Vec<u8>]);

    /// Ends all connections cleanly, after what was sent.
    fn close(&self) {}

    /// How many messages the source has acknowledged.
    fn acknowledged(&self) -> usize {
        0
    }
}

/// The peer of a sink.
pub trait SinkPeer: Peer {
    /// The payloads that arrived so far, in order.
    fn received(&self) -> Vec<Vec<u8>>;

    /// How many payloads arrived so far; asked often.
    fn received_count(&self) -> usize {
        self.received().len()
    }

    /// Takes nothing until [`resume`](Self::resume).
    fn pause(&self) {}

    /// Takes payloads again.
    fn resume(&self) {}
}

/// A property that holds a secret, for the checks that it is never shown.
#[derive(Debug, Clone)]
pub struct SecretProperty {
    /// The property's key.
    pub key: String,
    /// Its value, with the secret in it: a URL with a token, say.
    pub value: String,
    /// The part that must not be shown.
    pub secret: String,
}

/// What the tests of a source supply.
pub trait SourceHarness: Send + Sync {
    /// The factory under test.
    fn factory(&self) -> &dyn SourceFactory;

    /// What the source is able to do.
    fn capabilities(&self) -> Capabilities;

    /// A fresh peer.
    fn peer(&self) -> Box<dyn SourcePeer>;

    /// Values that the property table allows and the factory refuses: key and value.
    fn invalid_values(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Secrets in properties that are not declared secret as a whole. Those that are, are tried anyway.
    fn secrets(&self, _peer: &dyn SourcePeer) -> Vec<SecretProperty> {
        Vec::new()
    }

    /// How long the suite waits.
    fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// What the tests of a sink supply.
pub trait SinkHarness: Send + Sync {
    /// The factory under test.
    fn factory(&self) -> &dyn SinkFactory;

    /// What the sink is able to do.
    fn capabilities(&self) -> Capabilities;

    /// A fresh peer.
    fn peer(&self) -> Box<dyn SinkPeer>;

    /// Properties, besides the peer's, that make the sink give up soon when the peer refuses: what it has accepted is
    /// then reported as failed. `None` when it never gives up.
    fn giving_up_properties(&self) -> Option<Vec<(String, String)>> {
        None
    }

    /// Values that the property table allows and the factory refuses: key and value.
    fn invalid_values(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Secrets in properties that are not declared secret as a whole. Those that are, are tried anyway.
    fn secrets(&self, _peer: &dyn SinkPeer) -> Vec<SecretProperty> {
        Vec::new()
    }

    /// How long the suite waits.
    fn limits(&self) -> Limits {
        Limits::default()
    }
}
