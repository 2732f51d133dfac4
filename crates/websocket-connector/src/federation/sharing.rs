//! What sources and sinks that share a place have to say alike, and the property in which they do not.

use eventflux_federation::FederationConfig;

use super::FederationSettings;
use crate::config::{ClientConfig, ConnectionConfig};

/// How a connection is opened and kept.
#[derive(Debug)]
pub(super) struct Terms {
    client: ClientConfig,
    connection: ConnectionConfig,
}

impl Terms {
    pub(super) fn new(client: &ClientConfig, connection: &ConnectionConfig) -> Self {
        Self { client: client.clone(), connection: connection.clone() }
    }

    /// The property in which others differ, if any.
    pub(super) fn difference(&self, client: &ClientConfig, connection: &ConnectionConfig) -> Option<&'static str> {
        let (ours, kept) = (&self.client, &self.connection);
        let differs = [
            // What the whole URLs differ in may be secret; the name is not.
            ("websocket.url", ours.url != client.url),
            ("websocket.pool.urls", ours.pool != client.pool),
            ("websocket.reconnect", ours.reconnect != client.reconnect),
            ("websocket.headers", ours.headers != client.headers),
            ("websocket.subprotocol", ours.subprotocols != client.subprotocols),
            ("websocket.subprotocol.required", ours.subprotocol_required != client.subprotocol_required),
            ("websocket.connect.timeout", ours.connect_timeout != client.connect_timeout),
            ("websocket.proxy.url", ours.dial != client.dial),
            ("auth.type", ours.auth != client.auth),
            ("websocket.tls.ca.file", ours.tls != client.tls),
            ("websocket.max.message.size", kept.limits.max_message_bytes != connection.limits.max_message_bytes),
            ("websocket.max.fragments", kept.limits != connection.limits),
            ("websocket.ping.interval", kept.keep_alive != connection.keep_alive),
            ("websocket.max.pings", kept.max_pings != connection.max_pings),
            ("websocket.close.timeout", kept.close_timeout != connection.close_timeout),
            ("websocket.nodelay", kept.tcp != connection.tcp),
            ("websocket.permessage-deflate", kept.deflate != connection.deflate),
        ];
        first(&differs).or_else(|| FederationSettings::differing(ours.federation.as_ref(), client.federation.as_ref()))
    }
}

impl FederationSettings {
    /// The property in which two that share a place differ, if any.
    pub(crate) fn differing(one: Option<&Self>, other: Option<&Self>) -> Option<&'static str> {
        match (one, other) {
            (Some(one), Some(other)) => of_links(&one.link, &other.link),
            (None, None) => None,
            _ => Some("websocket.protocol"),
        }
    }
}

fn of_links(one: &FederationConfig, other: &FederationConfig) -> Option<&'static str> {
    let differs = [
        ("websocket.link", one.reliable != other.reliable),
        ("websocket.link.name", one.name != other.name),
        ("websocket.link.window.events", one.window.events != other.window.events),
        ("websocket.link.window.bytes", one.window.bytes != other.window.bytes),
        ("websocket.link.start", one.start != other.start),
        ("websocket.link.ack.delay", one.ack_delay != other.ack_delay),
        ("websocket.link.positions", one.max_positions != other.max_positions),
        ("websocket.encoding", one.encoding != other.encoding),
        ("websocket.control", one.control != other.control),
        ("websocket.request.timeout", one.request_timeout != other.request_timeout),
        ("websocket.max.requests", one.max_requests != other.max_requests),
        ("websocket.client.replies.bytes", one.max_control_bytes != other.max_control_bytes),
        ("websocket.replay.bytes", one.replay_bytes != other.replay_bytes),
        ("websocket.route.type", one.type_path != other.type_path),
        ("websocket.route.region", one.region_path != other.region_path),
        ("websocket.max.message.size", one.max_message_bytes != other.max_message_bytes),
    ];
    first(&differs).or((one != other).then_some("websocket.link"))
}

fn first(differs: &[(&'static str, bool)]) -> Option<&'static str> {
    differs.iter().find_map(|&(key, differs)| differs.then_some(key))
}

#[cfg(test)]
mod tests {
    use eventflux_core::Properties;

    use super::*;
    use crate::SOURCE_PROPERTIES;

    fn terms(raw: &[(&str, &str)]) -> Terms {
        let url = [("websocket.url", "ws://h/e"), ("websocket.protocol", "federation")];
        let url = url.into_iter().filter(|(key, _)| raw.iter().all(|(other, _)| other != key));
        let properties = Properties::from_pairs(SOURCE_PROPERTIES, url.chain(raw.iter().copied())).unwrap();
        let client = ClientConfig::from_properties(&properties).unwrap();
        Terms { client, connection: ConnectionConfig::from_properties(&properties).unwrap() }
    }

    #[test]
    fn the_property_is_named_in_which_two_differ() {
        for (key, value, named) in [
            ("websocket.url", "ws://h/other", "websocket.url"),
            ("websocket.url", "ws://h/e?token=1", "websocket.url"),
            ("websocket.headers.X-Key", "1", "websocket.headers"),
            ("websocket.reconnect.delay.ms", "7", "websocket.reconnect"),
            ("websocket.max.message.size", "1KiB", "websocket.max.message.size"),
            ("websocket.link", "require", "websocket.link"),
            ("websocket.link.name", "me", "websocket.link.name"),
            ("websocket.link.window.events", "5", "websocket.link.window.events"),
            ("websocket.encoding", "cbor", "websocket.encoding"),
            ("websocket.request.timeout", "7s", "websocket.request.timeout"),
            ("websocket.route.type", "$.kind", "websocket.route.type"),
        ] {
            let (one, other) = (terms(&[]), terms(&[(key, value)]));
            assert_eq!(one.difference(&other.client, &other.connection), Some(named), "{key}");
        }
        let (one, same) = (terms(&[]), terms(&[]));
        assert_eq!(one.difference(&same.client, &same.connection), None);
    }
}
