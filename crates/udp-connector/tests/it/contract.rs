//! The contract of every source, as the testkit states it.

use std::net::{SocketAddr, UdpSocket};

use crate::support::{free_address, paced};
use eventflux_core::SourceFactory;
use eventflux_testkit::contract::{self, Capabilities, Peer, SourceHarness, SourcePeer};
use eventflux_udp_connector::UdpSourceFactory;

#[test]
fn the_udp_source_keeps_the_contract() {
    contract::source(Box::new(Udp));
}

struct Udp;

impl SourceHarness for Udp {
    fn factory(&self) -> &dyn SourceFactory {
        &UdpSourceFactory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { connects: false, reconnects: false, ..Capabilities::network() }
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(Sender { to: free_address(), socket: UdpSocket::bind("127.0.0.1:0").unwrap() })
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        [
            ("udp.max.datagram", "70000"),
            ("udp.receive.buffer", "0"),
            ("udp.queue.bytes", "1"),
            ("udp.multicast.group", "10.0.0.1"),
            ("udp.multicast.interface", "127.0.0.1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }
}

struct Sender {
    to: SocketAddr,
    socket: UdpSocket,
}

impl Peer for Sender {
    fn properties(&self) -> Vec<(String, String)> {
        vec![("udp.listen".to_owned(), self.to.to_string())]
    }
}

impl SourcePeer for Sender {
    fn send(&self, messages: &[Vec<u8>]) {
        paced(&self.socket, self.to, messages);
    }
}
