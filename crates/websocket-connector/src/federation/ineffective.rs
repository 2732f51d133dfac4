//! Properties of other protocols, which have no effect on links.

use eventflux_core::{EventFluxError, Properties};

/// Each with what to do instead.
const OF_OTHERS: &[(&str, &str)] = &[
    ("websocket.queue.bytes", "use websocket.retain.bytes"),
    ("websocket.client.queue.bytes", "use websocket.retain.bytes"),
    ("websocket.client.queue.full", "use websocket.retain.full"),
    ("websocket.client.queue.age", "remove it"),
    ("websocket.message.type", "use websocket.encoding and websocket.payload"),
    ("websocket.compression", "use websocket.permessage-deflate"),
    ("websocket.compression.max.size", "use websocket.permessage-deflate"),
    ("websocket.channel", "use websocket.stream"),
    ("websocket.key", "remove it"),
    ("websocket.sse", "use another websocket.protocol"),
    ("websocket.publish", "use another websocket.protocol"),
    ("websocket.max.subscriptions", "remove it"),
    ("websocket.max.subscribers", "use websocket.receivers, or websocket.max.connections"),
    ("websocket.max.channels", "remove it"),
    ("websocket.rate.limiting", "remove it: websocket.link.window.events limits what a sender has under way"),
    ("websocket.rate.limit", "remove it: websocket.link.window.events limits what a sender has under way"),
    ("websocket.rate.period", "remove it"),
    ("websocket.heartbeat.message", "use websocket.ping.interval"),
    ("websocket.heartbeat.interval", "use websocket.ping.interval"),
    ("websocket.subscribe.message", "use websocket.streams, or send requests"),
];

/// # Errors
/// [`EventFluxError::Configuration`] for the first that is given; `sink`: for a sink, whose queue has another property.
pub(crate) fn refuse_ineffective(properties: &Properties, sink: bool) -> Result<(), EventFluxError> {
    let refuse = |key: &str, hint: &str| {
        let error = EventFluxError::property(key, "has no effect with websocket.protocol='federation'");
        Err(error.with_hint(hint))
    };
    if let Some((key, hint)) = OF_OTHERS.iter().find(|(key, _)| properties.is_given(key)) {
        return refuse(key, hint);
    }
    if sink && properties.is_given("websocket.queue.full") {
        return refuse("websocket.queue.full", "use websocket.retain.full");
    }
    if let Some((rest, _)) = properties.prefixed("websocket.subscribe.message.").next() {
        return refuse(&format!("websocket.subscribe.message.{rest}"), "use websocket.streams, or send requests");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SINK_PROPERTIES, SOURCE_PROPERTIES, WebSocketSinkConfig, WebSocketSourceConfig};

    const SERVER: [(&str, &str); 3] =
        [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0"), ("websocket.protocol", "federation")];

    #[test]
    fn what_belongs_to_other_protocols_is_refused_with_what_to_do_instead() {
        for (key, value) in [
            ("websocket.client.queue.bytes", "1MiB"),
            ("websocket.message.type", "binary"),
            ("websocket.channel", "x"),
            ("websocket.sse", "true"),
            ("websocket.max.channels", "5"),
            ("websocket.rate.limit", "5"),
        ] {
            let raw = SERVER.into_iter().chain([(key, value)]);
            let properties = Properties::from_pairs(SINK_PROPERTIES, raw).unwrap();
            let error = WebSocketSinkConfig::from_properties(&properties).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("websocket.protocol='federation'"), "{error}");
        }
        let client = [("websocket.url", "ws://h"), ("websocket.protocol", "federation")];
        let raw = client.into_iter().chain([("websocket.subscribe.message", "{}")]);
        let properties = Properties::from_pairs(SOURCE_PROPERTIES, raw).unwrap();
        let error = WebSocketSourceConfig::from_properties(&properties).unwrap_err().to_string();
        assert!(error.contains("websocket.subscribe.message"), "{error}");
    }
}
