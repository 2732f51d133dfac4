//! Properties that have no effect on links: those of other protocols, and those of what is switched off.

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
    ("websocket.http.publish", "use another websocket.protocol"),
    ("websocket.grants.subscribe", "remove it: who is let in gets every stream of the path"),
    ("websocket.grants.publish", "remove it: who is let in may send every stream"),
    ("websocket.auth.jwt.channels.claim", "remove it: links have no channels"),
    ("websocket.auth.http.subscribe.url", "remove it: links have no channels"),
    ("websocket.auth.timeout", "remove it: peers say who they are during the handshake"),
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

/// What only a link that acknowledges has.
const OF_ACKNOWLEDGEMENTS: &[&str] = &[
    "websocket.link.name",
    "websocket.link.start",
    "websocket.link.window.events",
    "websocket.link.window.bytes",
    "websocket.link.ack",
    "websocket.link.ack.delay",
    "websocket.link.positions",
    "websocket.streams",
];

/// What belongs to requests of either side.
const OF_REQUESTS: &[&str] = &[
    "websocket.request.timeout",
    "websocket.max.requests",
    "websocket.replay.bytes",
    "websocket.route.type",
    "websocket.route.region",
    "websocket.history.events",
    "websocket.history.bytes",
    "websocket.history.age",
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
    refuse_switched_off(properties)
}

/// # Errors
/// [`EventFluxError::Configuration`] for the first that is given and belongs to what these properties switch off.
pub(crate) fn refuse_switched_off(properties: &Properties) -> Result<(), EventFluxError> {
    let given = |keys: &[&'static str]| keys.iter().copied().find(|key| properties.is_given(key));
    let refuse = |key: &str, switch: &str| {
        let error = EventFluxError::property(key, format!("has no effect with {switch}"));
        Err(error.with_hint(format!("remove it, or take {switch} away")))
    };
    if properties.text("websocket.link")? == "off"
        && let Some(key) = given(OF_ACKNOWLEDGEMENTS)
    {
        return refuse(key, "websocket.link='off'");
    }
    let off = "websocket.control='false'";
    match properties.flag("websocket.control")? {
        true => Ok(()),
        false if properties.optional_text("websocket.send").is_some_and(|send| send != "data") => {
            refuse("websocket.send", off)
        }
        false => given(OF_REQUESTS).map_or(Ok(()), |key| refuse(key, off)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SINK_PROPERTIES, SOURCE_PROPERTIES, WebSocketSinkConfig, WebSocketSourceConfig};

    const SERVER: [(&str, &str); 3] =
        [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0"), ("websocket.protocol", "federation")];

    fn is_a_property(key: &str) -> bool {
        SOURCE_PROPERTIES.iter().chain(SINK_PROPERTIES).any(|spec| spec.key == key)
    }

    #[test]
    fn every_key_here_is_one_that_can_be_written() {
        let keys = OF_OTHERS.iter().map(|(key, _)| key).chain(OF_ACKNOWLEDGEMENTS).chain(OF_REQUESTS);
        let unknown: Vec<_> = keys.filter(|key| !is_a_property(key)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn what_belongs_to_something_that_is_switched_off_is_refused() {
        let (link, control) = (("websocket.link", "off"), ("websocket.control", "false"));
        for (switch, key, value) in [
            (link, "websocket.link.window.events", "5"),
            (link, "websocket.link.name", "x"),
            (control, "websocket.max.requests", "5"),
            (control, "websocket.history.events", "5"),
            (control, "websocket.send", "reply"),
        ] {
            let raw = SERVER.into_iter().chain([switch, (key, value), ("websocket.reply", "${r}")]);
            let raw = raw.filter(|(given, _)| *given != "websocket.reply" || key == "websocket.send");
            let properties = Properties::from_pairs(SINK_PROPERTIES, raw).unwrap();
            let error = WebSocketSinkConfig::from_properties(&properties).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(switch.0), "{error}");
        }
        for (key, value) in [("websocket.link.ack", "settled"), ("websocket.streams", "a")] {
            let properties = Properties::from_pairs(SOURCE_PROPERTIES, SERVER.into_iter().chain([link, (key, value)]));
            let error = WebSocketSourceConfig::from_properties(&properties.unwrap()).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("websocket.link='off'"), "{error}");
        }
    }

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
