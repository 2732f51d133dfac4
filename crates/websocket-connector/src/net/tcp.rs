//! The options of a TCP connection, the same for clients and servers.

use std::io;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The property of the keep-alive time.
pub(crate) const KEEP_ALIVE: &str = "websocket.tcp.keepalive";

const NODELAY: &str = "websocket.nodelay";

/// Linux takes at most 32,767 seconds.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(9 * 3600);

/// Unanswered probes before the system gives a connection up.
const KEEP_ALIVE_PROBES: u32 = 3;

/// What to set on a connected socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpOptions {
    /// Whether to send small segments at once (Nagle's algorithm off).
    pub(crate) nodelay: bool,
    /// Silence before the first probe, in whole seconds; `None` leaves keep-alive as the system has it, which is off.
    pub(crate) keep_alive: Option<Duration>,
}

impl TcpOptions {
    /// # Errors
    /// When the keep-alive time is none that systems take.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let time = properties.duration(KEEP_ALIVE)?;
        if !time.is_zero() && !(Duration::from_secs(1)..=LONGEST_KEEP_ALIVE).contains(&time) {
            return Err(EventFluxError::property(KEEP_ALIVE, "is no time that systems take")
                .with_hint("use 0 for none, or 1s to 9h"));
        }
        if time.subsec_nanos() != 0 {
            return Err(EventFluxError::property(KEEP_ALIVE, "is not a whole number of seconds")
                .with_hint(format!("use {}s", time.as_secs() + 1)));
        }
        Ok(Self { nodelay: properties.flag(NODELAY)?, keep_alive: (!time.is_zero()).then_some(time) })
    }

    /// What suits two users of one connection: nodelay when one wants it, the earlier probe.
    pub(crate) fn either(self, other: Self) -> Self {
        Self {
            nodelay: self.nodelay || other.nodelay,
            keep_alive: [self.keep_alive, other.keep_alive].into_iter().flatten().min(),
        }
    }

    /// Sets all options, also when the system refuses one of them.
    ///
    /// # Errors
    /// The first refusal. The connection works all the same.
    pub(crate) fn apply(&self, socket: &TcpStream) -> io::Result<()> {
        let nodelay = socket.set_nodelay(self.nodelay);
        match self.keep_alive {
            Some(time) => nodelay.and(SockRef::from(socket).set_tcp_keepalive(&keep_alive(time))),
            None => nodelay,
        }
    }
}

fn keep_alive(time: Duration) -> TcpKeepalive {
    let keep_alive = TcpKeepalive::new().with_time(time);
    // Elsewhere the system's own interval and number of probes hold.
    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "windows",
    ))]
    let keep_alive = keep_alive
        .with_interval(Duration::from_secs((time.as_secs() / u64::from(KEEP_ALIVE_PROBES)).max(1)))
        .with_retries(KEEP_ALIVE_PROBES);
    keep_alive
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::properties::TCP_KEEP_ALIVE;

    fn parse(keep_alive: &str) -> Result<TcpOptions, EventFluxError> {
        use eventflux_core::{PropertyKind, PropertySpec};
        let specs = [TCP_KEEP_ALIVE, PropertySpec::new(NODELAY, PropertyKind::Boolean, "").default("true")];
        TcpOptions::from_properties(&Properties::from_pairs(&specs, [(KEEP_ALIVE, keep_alive)])?)
    }

    #[test]
    fn keep_alive_is_off_or_a_time_that_systems_take() {
        assert_eq!(parse("0"), Ok(TcpOptions { nodelay: true, keep_alive: None }));
        assert_eq!(parse("9h"), Ok(TcpOptions { nodelay: true, keep_alive: Some(LONGEST_KEEP_ALIVE) }));
        for (text, hint) in [("999ms", "1s to 9h"), ("32401s", "1s to 9h"), ("1500ms", "use 2s")] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(KEEP_ALIVE) && error.contains(hint), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_options_reach_the_sockets_of_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        for (socket, keep_alive, interval) in [(&client, 60, 20), (&server, 2, 1)] {
            let seconds = Duration::from_secs;
            let options = TcpOptions { nodelay: true, keep_alive: Some(seconds(keep_alive)) };
            options.apply(socket).unwrap();
            let set = SockRef::from(socket);
            assert!(socket.nodelay().unwrap() && set.keepalive().unwrap());
            assert_eq!(set.tcp_keepalive_time().unwrap(), seconds(keep_alive));
            assert_eq!(set.tcp_keepalive_interval().unwrap(), seconds(interval));
            assert_eq!(set.tcp_keepalive_retries().unwrap(), KEEP_ALIVE_PROBES);
        }
    }

    #[tokio::test]
    async fn without_options_nagle_stays_on_and_keep_alive_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        TcpOptions { nodelay: false, keep_alive: None }.apply(&client).unwrap();
        assert!(!client.nodelay().unwrap() && !SockRef::from(&client).keepalive().unwrap());
    }
}
