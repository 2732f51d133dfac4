//! What the operating system dropped because its buffer was full. Linux tells it in a table of all its sockets; elsewhere
//! nobody knows.

use std::net::UdpSocket;

/// Reads the counter of one socket.
#[derive(Debug)]
pub(crate) struct KernelDrops {
    inode: u64,
    table: &'static str,
    /// What the counter said last.
    seen: u64,
}

impl KernelDrops {
    /// The counter of a socket; `None` where the system has none.
    pub(crate) fn of(socket: &UdpSocket) -> Option<Self> {
        let is_ipv6 = socket.local_addr().ok()?.is_ipv6();
        let table = if is_ipv6 { "/proc/net/udp6" } else { "/proc/net/udp" };
        let mut drops = Self { inode: inode(socket)?, table, seen: 0 };
        drops.seen = drops.total()?;
        Some(drops)
    }

    /// How many were dropped since the last look.
    pub(crate) fn look(&mut self) -> u64 {
        let Some(total) = self.total() else { return 0 };
        let more = total.saturating_sub(self.seen);
        self.seen = total;
        more
    }

    fn total(&self) -> Option<u64> {
        drops(&std::fs::read_to_string(self.table).ok()?, self.inode)
    }
}

/// The number by which the table knows a socket.
#[cfg(target_os = "linux")]
fn inode(socket: &UdpSocket) -> Option<u64> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    let metadata = std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    Some(metadata.ino())
}

#[cfg(not(target_os = "linux"))]
fn inode(_: &UdpSocket) -> Option<u64> {
    None
}

/// The last column of the line with that inode (proc_net_udp of the kernel's documentation).
fn drops(table: &str, inode: u64) -> Option<u64> {
    const INODE: usize = 9;
    const DROPS: usize = 12;
    let inode = inode.to_string();
    let of_line = |line: &str| {
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        (columns.get(INODE) == Some(&&*inode)).then(|| columns.get(DROPS)?.parse().ok())
    };
    table.lines().skip(1).find_map(of_line)?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  411: 0100007F:0143 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 70741 2 0000000000000000 0
 2907: 00000000:38D6 00000000:0000 07 00000000:00034200 00:00000000 00000000  1000        0 70742 2 0000000000000000 817
";

    #[test]
    fn the_line_of_a_socket_is_found_by_its_inode() {
        assert_eq!(drops(TABLE, 70_742), Some(817));
        assert_eq!(drops(TABLE, 70_741), Some(0));
        assert_eq!(drops(TABLE, 1), None);
        assert_eq!(drops("", 1), None);
        assert_eq!(drops("header\n411: a b c", 1), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_buffer_does_not_hold_is_counted_once() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut drops = KernelDrops::of(&receiver).unwrap();
        assert_eq!(drops.look(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        while drops.total() == Some(0) {
            sender.send_to(&[0; 60_000], receiver.local_addr().unwrap()).unwrap();
        }
        assert!(drops.look() > 0);
        assert_eq!(drops.look(), 0);
    }
}
