//! What a path shares with the same path of other processes, from properties.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};
use eventflux_gateway::Retention;
use eventflux_nats::bus::BusConfig;
use eventflux_nats::{Connection, ConnectionConfig};

use crate::config::{at_least_one_byte, positive};

const BACKPLANE: &str = "gateway.backplane";
const NAME: &str = "gateway.backplane.name";
const TTL: &str = "gateway.backplane.presence.ttl";
const MAX_AGE: &str = "gateway.backplane.max.age";
const HISTORY_AGE: &str = "websocket.history.age";

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What paths are called that have no letter in them.
const ROOT: &str = "root";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackplaneConfig {
    pub(super) bus: BusConfig,
}

impl BackplaneConfig {
    /// `None` where a path is for itself.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        if !is_wanted(properties) {
            return Ok(None);
        }
        let presence =
            properties.optional_text("websocket.protocol") != Some("raw") && properties.flag("websocket.presence")?;
        let bus = BusConfig {
            connection: ConnectionConfig::from_properties(properties)?,
            name: name(properties)?,
            memory: properties.text("gateway.backplane.storage")? == "memory",
            replicas: properties.integer("gateway.backplane.replicas")?,
            max_bytes: at_least_one_byte(properties, "gateway.backplane.max.bytes")? as u64,
            max_age: max_age(properties)?,
            in_flight: properties.integer("gateway.backplane.in.flight")?,
            queue_bytes: at_least_one_byte(properties, "gateway.backplane.queue.bytes")?,
            presence: if presence { Some(positive(properties, TTL)?) } else { None },
        };
        Ok(Some(Self { bus }))
    }

    /// Which log a place shares with those in other processes: server and name; `None` where it is for itself.
    pub(crate) fn log(properties: &Properties) -> Option<(String, String)> {
        is_wanted(properties).then(|| {
            Some((properties.optional_text("nats.url").unwrap_or_default().to_owned(), name(properties).ok()?))
        })?
    }

    /// Refuses what has no effect. `is_settled` tells of a property whether nobody at the path will say otherwise.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`]
    pub(crate) fn refuse_ineffective(
        properties: &Properties,
        is_settled: impl Fn(&str) -> bool,
    ) -> Result<(), EventFluxError> {
        if !is_wanted(properties) {
            return Ok(());
        }
        let protocol = "websocket.protocol";
        if is_settled(protocol) && properties.text(protocol)? == "federation" {
            let error = EventFluxError::property(BACKPLANE, "has no effect with websocket.protocol='federation'");
            return Err(error.with_hint("remove it: links find out by themselves what was missed"));
        }
        let presence = "websocket.presence";
        let is_off = is_settled(protocol) && properties.text(protocol)? == "raw"
            || is_settled(presence) && !properties.flag(presence).unwrap_or(false);
        if properties.is_given(TTL) && is_off {
            let error = EventFluxError::property(TTL, "has no effect without websocket.presence");
            return Err(error.with_hint("remove it, or set websocket.presence='true'"));
        }
        Ok(())
    }

    /// Tries once whether NATS can be used.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] when not.
    pub(crate) fn validate(&self) -> Result<(), EventFluxError> {
        Connection::validate(&self.bus.connection)
    }

    /// Whether what a sink remembers is in the log for as long.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when not.
    pub(crate) fn check(&self, retention: &Retention) -> Result<(), EventFluxError> {
        remembers_at_most(self.bus.max_age, retention.history.map_or(Duration::ZERO, |history| history.age))
    }
}

fn is_wanted(properties: &Properties) -> bool {
    properties.optional_text(BACKPLANE) == Some("nats")
}

/// How long the log keeps what is published. Others at the path may say it too: what a sink remembers is compared here only
/// where both are said in one place, which is told with that place, before anything starts.
fn max_age(properties: &Properties) -> Result<Duration, EventFluxError> {
    let max_age = positive(properties, MAX_AGE)?;
    if properties.is_given(MAX_AGE) && properties.is_given(HISTORY_AGE) {
        remembers_at_most(max_age, properties.duration(HISTORY_AGE)?)?;
    }
    Ok(max_age)
}

fn remembers_at_most(max_age: Duration, age: Duration) -> Result<(), EventFluxError> {
    if age <= max_age {
        return Ok(());
    }
    let reason = format!("is longer than {MAX_AGE} ({max_age:?}): a process that begins would not find that much");
    Err(EventFluxError::property(HISTORY_AGE, reason).with_hint(format!("make it shorter, or {MAX_AGE} longer")))
}

fn name(properties: &Properties) -> Result<String, EventFluxError> {
    let Some(name) = properties.optional_text(NAME) else {
        return Ok(name_of(properties.text("websocket.path")?));
    };
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(is_known) {
        let error = EventFluxError::property(NAME, format!("'{name}' is no name"));
        return Err(error.with_hint(format!("use letters, digits, - and _, at most {MAX_NAME_BYTES} of them")));
    }
    Ok(name.to_owned())
}

/// What a path is called when nobody says otherwise.
fn name_of(path: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = path.chars().map(known).take(MAX_NAME_BYTES).collect();
    match name.trim_matches('-') {
        "" => ROOT.to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use eventflux_gateway::HistoryLimits;

    use super::*;
    use crate::SINK_PROPERTIES;

    const PLACE: [(&str, &str); 4] = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("gateway.backplane", "nats"),
        ("nats.url", "nats://n:4222"),
    ];

    fn properties(raw: &[(&str, &str)]) -> Properties {
        Properties::from_pairs(SINK_PROPERTIES, PLACE.into_iter().chain(raw.iter().copied())).unwrap()
    }

    fn config(raw: &[(&str, &str)]) -> Result<BusConfig, EventFluxError> {
        BackplaneConfig::from_properties(&properties(raw)).map(|config| config.unwrap().bus)
    }

    #[test]
    fn what_is_said_is_what_the_bus_gets() {
        let bus = config(&[("websocket.path", "/live/trades")]).unwrap();
        assert_eq!((bus.name.as_str(), bus.memory, bus.replicas, bus.in_flight), ("live-trades", false, 1, 256));
        assert_eq!((bus.max_bytes, bus.max_age, bus.queue_bytes), (256 << 20, Duration::from_secs(3600), 8 << 20));
        assert_eq!((bus.presence, &*bus.connection.servers), (None, &["nats://n:4222".to_owned()][..]));
        let bus = config(&[
            ("websocket.protocol", "channels"),
            ("websocket.presence", "true"),
            ("gateway.backplane.name", "prices_2"),
            ("gateway.backplane.storage", "memory"),
            ("gateway.backplane.replicas", "3"),
            ("gateway.backplane.max.bytes", "1MiB"),
            ("gateway.backplane.max.age", "5m"),
            ("gateway.backplane.in.flight", "7"),
            ("gateway.backplane.queue.bytes", "1KiB"),
            ("gateway.backplane.presence.ttl", "3s"),
        ])
        .unwrap();
        assert_eq!((bus.name.as_str(), bus.memory, bus.replicas, bus.in_flight), ("prices_2", true, 3, 7));
        assert_eq!((bus.max_bytes, bus.max_age, bus.queue_bytes), (1 << 20, Duration::from_secs(300), 1024));
        assert_eq!(bus.presence, Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_path_is_for_itself_unless_somebody_says_otherwise() {
        let raw = PLACE.into_iter().take(2);
        let properties = Properties::from_pairs(SINK_PROPERTIES, raw).unwrap();
        assert_eq!(BackplaneConfig::from_properties(&properties), Ok(None));
    }

    #[test]
    fn a_name_comes_from_the_path() {
        for (path, name) in [("/", "root"), ("/ws", "ws"), ("/a/b-c_d/", "a-b-c_d"), ("/%20.", "20")] {
            assert_eq!(name_of(path), name, "{path}");
        }
        for bad in ["", "a b", "a.b", "a*", "ä"] {
            let error = config(&[(NAME, bad)]).unwrap_err().to_string();
            assert!(error.contains("'gateway.backplane.name'") && error.contains("letters"), "{error}");
        }
    }

    #[test]
    fn what_has_no_effect_is_refused() {
        for (key, raw) in [
            (BACKPLANE, &[("websocket.protocol", "federation")][..]),
            (TTL, &[(TTL, "3s")]),
            (TTL, &[(TTL, "3s"), ("websocket.protocol", "events")]),
        ] {
            let error = BackplaneConfig::refuse_ineffective(&properties(raw), |_| true).unwrap_err();
            let EventFluxError::Configuration { property, reason, hint } = error else { panic!("{error}") };
            assert_eq!(property.as_deref(), Some(key));
            assert!(reason.starts_with("has no effect") && hint.is_some_and(|hint| hint.starts_with("remove it")));
        }
        let others_may_say = properties(&[(TTL, "3s")]);
        BackplaneConfig::refuse_ineffective(&others_may_say, |_| false).unwrap();
        let raw = [(TTL, "3s"), ("websocket.protocol", "events"), ("websocket.presence", "true")];
        BackplaneConfig::refuse_ineffective(&properties(&raw), |_| true).unwrap();
    }

    #[test]
    fn a_history_that_the_log_does_not_have_is_refused() {
        let config = BackplaneConfig::from_properties(&properties(&[])).unwrap().unwrap();
        let of = |age| {
            let history = Some(HistoryLimits { events: 1, bytes: 1, age: Duration::from_secs(age) });
            config.check(&Retention { history, ..Retention::default() })
        };
        assert_eq!((of(3600), config.check(&Retention::default())), (Ok(()), Ok(())));
        assert!(of(3601).unwrap_err().to_string().contains("'websocket.history.age'"));
    }

    #[test]
    fn a_history_longer_than_the_log_is_refused_where_one_sink_says_both() {
        let sink = |age, max_age| {
            let channels = [("websocket.protocol", "channels"), ("websocket.history.events", "5")];
            config(&[&channels[..], &[(HISTORY_AGE, age), (MAX_AGE, max_age)]].concat())
        };
        let error = sink("2h", "90m").unwrap_err().to_string();
        assert!(error.contains("'websocket.history.age'") && error.contains("max.age (5400s)"), "{error}");
        assert_eq!(sink("90m", "90m").unwrap().max_age, Duration::from_secs(5400));
        let others_may_say =
            [("websocket.protocol", "channels"), ("websocket.history.events", "5"), (HISTORY_AGE, "2h")];
        assert_eq!(config(&others_may_say).unwrap().max_age, Duration::from_secs(3600));
    }
}
