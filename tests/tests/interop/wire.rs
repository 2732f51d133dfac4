//! How the messages of a test go over the wire, and what may be observed of it: what the handshake agreed upon, and how
//! many bytes went through a proxy.

use crate::peer::payload_bytes;

/// What our side wants of permessage-deflate. The peers agree to anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Nothing: it declines what the peers offer.
    Plain,
    /// Compression of every message, otherwise by our defaults.
    Deflate,
    /// Compression of every message with small windows, kept from one to the next.
    SmallWindows,
    /// Compression of every message by itself.
    NoTakeover,
}

impl Wire {
    /// The ways with compression.
    pub(crate) const COMPRESSED: [Self; 3] = [Self::Deflate, Self::SmallWindows, Self::NoTakeover];

    /// Our properties.
    pub(crate) fn properties(self) -> String {
        let more: &[&str] = match self {
            Self::Plain => return "websocket.permessage-deflate='false'".to_owned(),
            Self::Deflate => &["level='6'"],
            Self::SmallWindows => &[
                "send.window.bits='9'",
                "send.context.takeover='true'",
                "receive.window.bits='10'",
                "receive.context.takeover='true'",
            ],
            Self::NoTakeover => &["send.context.takeover='false'", "receive.context.takeover='false'"],
        };
        let all = ["threshold='0'"].iter().chain(more).map(|text| format!(", websocket.permessage-deflate.{text}"));
        ["websocket.permessage-deflate='true'".to_owned()].into_iter().chain(all).collect()
    }

    /// Checks the header `Sec-WebSocket-Extensions` that we answered as a server.
    #[track_caller]
    pub(crate) fn check_our_answer(self, extensions: &str) {
        self.check(
            extensions,
            &["server_max_window_bits=9", "client_max_window_bits=10"],
            &["server_no_context_takeover", "client_no_context_takeover"],
        );
    }

    /// Checks the header `Sec-WebSocket-Extensions` that a server answered to us. It has to do what we ask of its own
    /// messages; ours are up to us.
    #[track_caller]
    pub(crate) fn check_answer_to_us(self, extensions: &str) {
        self.check(extensions, &["server_max_window_bits=10"], &["server_no_context_takeover"]);
    }

    #[track_caller]
    fn check(self, extensions: &str, windows: &[&str], takeover: &[&str]) {
        let parts: Vec<&str> = extensions.split(';').map(str::trim).collect();
        let deflate =
            |wanted: &[&str]| parts[0] == "permessage-deflate" && wanted.iter().all(|part| parts.contains(part));
        let good = match self {
            Self::Plain => extensions == "none",
            Self::Deflate => deflate(&[]),
            Self::SmallWindows => deflate(windows) && !extensions.contains("no_context_takeover"),
            Self::NoTakeover => deflate(takeover),
        };
        assert!(good, "{self:?} with the extensions '{extensions}'");
    }

    /// Checks how many bytes all messages took.
    ///
    /// Compressed, they take less than a quarter of their payload, so that even the third of them that comes in fragments
    /// would be noticed if it were not compressed.
    #[track_caller]
    pub(crate) fn check_traffic(self, bytes: u64) {
        let payload = payload_bytes();
        let good = if self == Self::Plain { bytes > payload } else { bytes < payload / 4 };
        assert!(good, "{self:?}: {bytes} bytes for {payload} bytes of payload");
    }
}
