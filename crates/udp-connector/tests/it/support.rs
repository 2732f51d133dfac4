//! Addresses for tests, and a sender that nothing is lost of.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use eventflux_testkit::wait::eventually_blocking;

/// How long a step may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// Datagrams sent before looking whether they were read: far fewer than the buffer of any system holds.
const WINDOW: usize = 64;

/// An address that was free a moment ago, and that nobody else is likely to be given: of the many that loop back.
pub(crate) fn free_address() -> SocketAddr {
    let host = [127, fastrand(), fastrand(), 1 + fastrand() % 250];
    UdpSocket::bind(SocketAddr::from((host, 0))).unwrap().local_addr().unwrap()
}

/// Sends as fast as the receiver reads, so that the system drops nothing.
pub(crate) fn paced(socket: &UdpSocket, to: SocketAddr, messages: &[Vec<u8>]) {
    for window in messages.chunks(WINDOW) {
        for message in window {
            socket.send_to(message, to).unwrap();
        }
        eventually_blocking(DEADLINE, || unread_bytes(to) == 0);
    }
}

/// What the system holds for the socket at that address; nothing when there is none.
pub(crate) fn unread_bytes(of: SocketAddr) -> u64 {
    let SocketAddr::V4(of) = of else { panic!("tests receive over IPv4") };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(of.ip().octets()), of.port());
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let line = table.lines().find(|line| line.split_ascii_whitespace().nth(1) == Some(&local));
    let queues = line.and_then(|line| line.split_ascii_whitespace().nth(4));
    queues.map_or(0, |queues| u64::from_str_radix(queues.split_once(':').unwrap().1, 16).unwrap())
}

/// A random byte, from the hasher that the standard library seeds.
fn fastrand() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as u8
}
