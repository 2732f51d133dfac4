//! From properties to how links behave, and what sources and sinks make of them.

use std::path::PathBuf;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Template};
use eventflux_federation::envelope::{Content, Encoding};
use eventflux_federation::health::HealthLimits;
use eventflux_federation::{
    FederationConfig, FullPolicy, History, OutletConfig, Reliable, Start, Wants, Window, check_path,
};

use super::PROTOCOL;
use super::ineffective::refuse_ineffective;
use crate::config::{at_least_one_byte, positive};

/// How the links of a place behave. Everybody at the place must say the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FederationSettings {
    /// Without a name, when none is given.
    pub(crate) link: FederationConfig,
}

/// What a source makes of its links.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InletConfig {
    pub(crate) wants: Wants,
    /// Events that may wait for the pipeline.
    pub(crate) size: usize,
    pub(crate) full: FullPolicy,
    /// Whether events are acknowledged when all sinks have settled, and not before.
    pub(crate) settled: bool,
}

/// What a sink makes of its links.
#[derive(Debug, Clone)]
pub(crate) enum Sending {
    /// Its events are for receivers.
    Events(Box<OutflowConfig>),
    /// Its events ask, or answer.
    Control(Box<ControlConfig>),
}

/// What the events of a sink become that are not for receivers.
#[derive(Debug, Clone)]
pub(crate) enum ControlConfig {
    /// Requests.
    Requests {
        method: Template,
        /// All peers when there is none.
        to: Option<Template>,
        correlation: Option<Template>,
    },
    /// Replies.
    Replies { request: Template, status: Template },
}

/// How a sink keeps its events.
#[derive(Debug, Clone)]
pub(crate) struct OutflowConfig {
    /// Without a name, when none is given.
    pub(crate) outlet: OutletConfig,
    pub(crate) spool: Option<SpoolSettings>,
}

/// Where events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpoolSettings {
    pub(crate) directory: PathBuf,
    pub(crate) max_bytes: u64,
}

/// Whether the protocol is spoken.
pub(crate) fn is_federation(properties: &Properties) -> bool {
    properties.optional_text("websocket.protocol") == Some(PROTOCOL)
}

impl FederationSettings {
    /// `None` when another protocol is spoken.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        if !is_federation(properties) {
            return Ok(None);
        }
        let link = FederationConfig {
            name: name(properties, "websocket.link.name")?.unwrap_or_default(),
            reliable: match properties.text("websocket.link")? {
                "require" => Reliable::Require,
                "off" => Reliable::Off,
                _ => Reliable::Prefer,
            },
            window: Window {
                events: properties.integer("websocket.link.window.events")?,
                bytes: at_least_one_byte(properties, "websocket.link.window.bytes")? as u64,
            },
            max_message_bytes: Some(at_least_one_byte(properties, "websocket.max.message.size")? as u64),
            start: match properties.text("websocket.link.start")? {
                "latest" => Start::Latest,
                _ => Start::Earliest,
            },
            ack_delay: properties.duration("websocket.link.ack.delay")?,
            encoding: match properties.text("websocket.encoding")? {
                "msgpack" => Encoding::MessagePack,
                "cbor" => Encoding::Cbor,
                _ => Encoding::Json,
            },
            control: properties.flag("websocket.control")?,
            request_timeout: positive(properties, "websocket.request.timeout")?,
            max_requests: properties.integer("websocket.max.requests")?,
            max_positions: properties.integer("websocket.link.positions")?,
            max_control_bytes: at_least_one_byte(properties, "websocket.client.replies.bytes")?,
            replay_bytes: at_least_one_byte(properties, "websocket.replay.bytes")?,
            type_path: path(properties, "websocket.route.type")?,
            region_path: path(properties, "websocket.route.region")?,
            ..FederationConfig::default()
        };
        Ok(Some(Self { link }))
    }

    /// The same for a place whose first source or sink is that of `stream`.
    pub(crate) fn of_stream(&self, stream: &str) -> FederationConfig {
        let mut link = self.link.clone();
        if link.name.is_empty() {
            let machine = gethostname::gethostname();
            link.name = format!("{stream}@{}", machine.to_string_lossy());
        }
        link
    }
}

impl InletConfig {
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        refuse_ineffective(properties, false)?;
        Ok(Self {
            wants: wants(properties)?,
            size: properties.integer("websocket.queue.size")?,
            full: full(properties.text("websocket.queue.full")?),
            settled: properties.text("websocket.link.ack")? == "settled",
        })
    }
}

/// What a source may be like for too long; `listens`: whether it waits for peers to come.
///
/// # Errors
/// [`EventFluxError::Configuration`] for what the property table cannot express.
pub(crate) fn health_limits(properties: &Properties, listens: bool) -> Result<HealthLimits, EventFluxError> {
    const ALONE: &str = "websocket.health.alone";
    if !listens && properties.is_given(ALONE) {
        let error = EventFluxError::property(ALONE, "has no effect on a source that connects");
        return Err(error.with_hint("remove it: such a source is unhealthy once it has given up"));
    }
    let limit = |key| properties.duration(key).map(|limit| if limit.is_zero() { Duration::MAX } else { limit });
    Ok(HealthLimits { without_connection: limit(ALONE)?, queue_full: limit("websocket.health.queue.full")? })
}

fn wants(properties: &Properties) -> Result<Wants, EventFluxError> {
    const ACCEPT: &str = "websocket.accept";
    const STREAMS: &str = "websocket.streams";
    let mut wants = Wants { streams: names(properties, STREAMS)?, ..Wants::default() };
    for kind in properties.text(ACCEPT)?.split(',').map(str::trim) {
        match kind {
            "data" => wants.data = true,
            "request" => wants.requests = true,
            "reply" => wants.replies = true,
            "gap" => wants.gaps = true,
            "*" => wants = Wants { data: true, requests: true, replies: true, gaps: true, ..wants },
            other => {
                let error = EventFluxError::property(ACCEPT, format!("'{other}' is no type of message of federation"));
                return Err(error.with_hint("use data, request, reply, gap, several of them separated by commas, or *"));
            }
        }
    }
    if !wants.data && !wants.streams.is_empty() {
        let error = EventFluxError::property(STREAMS, "has no effect: no events are accepted");
        return Err(error.with_hint("remove it, or add data to websocket.accept"));
    }
    Ok(wants)
}

impl Sending {
    /// `listens`: whether the sink waits for receivers to come.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties, listens: bool) -> Result<Self, EventFluxError> {
        refuse_ineffective(properties, true)?;
        let send = properties.text("websocket.send")?;
        let missing = |key: &str, hint: &str| {
            EventFluxError::property(key, format!("is required with websocket.send='{send}'")).with_hint(hint)
        };
        let unused =
            |keys: &[&str]| keys.iter().find(|key| properties.is_given(key)).map(|key| without_effect(key, send));
        let (reply, correlation) = ("websocket.reply", "websocket.correlation");
        let history = ["websocket.history.events", "websocket.history.bytes", "websocket.history.age"];
        let error = match send {
            "request" => unused(&history).or_else(|| unused(&[reply, "websocket.user"])),
            "reply" => unused(&history).or_else(|| unused(&[correlation, "websocket.user"])),
            _ => unused(&[reply, correlation, "websocket.user"]),
        };
        if let Some(error) = error {
            return Err(error);
        }
        Ok(match send {
            "request" => Self::Control(Box::new(ControlConfig::Requests {
                method: properties
                    .template("websocket.method")?
                    .ok_or_else(|| missing("websocket.method", "add websocket.method='status', or '${column}'"))?,
                to: properties.template("websocket.to")?,
                correlation: properties.template(correlation)?,
            })),
            "reply" => Self::Control(Box::new(ControlConfig::Replies {
                request: properties
                    .template(reply)?
                    .ok_or_else(|| missing(reply, "add websocket.reply='${request}'"))?,
                status: properties
                    .template("websocket.status")?
                    .ok_or_else(|| missing("websocket.status", "add websocket.status='ok'"))?,
            })),
            _ => Self::Events(Box::new(OutflowConfig::from_properties(properties, listens)?)),
        })
    }
}

fn without_effect(key: &str, send: &str) -> EventFluxError {
    EventFluxError::property(key, format!("has no effect with websocket.send='{send}'")).with_hint("remove it")
}

impl OutflowConfig {
    /// `listens`: whether the sink waits for receivers to come.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    fn from_properties(properties: &Properties, listens: bool) -> Result<Self, EventFluxError> {
        let outlet = OutletConfig {
            stream: name(properties, "websocket.stream")?.unwrap_or_default(),
            content: match properties.text("websocket.payload")? {
                "binary" => Content::Binary,
                _ => Content::Json,
            },
            queue_bytes: at_least_one_byte(properties, "websocket.retain.bytes")?,
            full: full(properties.text("websocket.retain.full")?),
            history: history(properties)?,
            max_receivers: properties.integer("websocket.receivers")?,
            forget_after: positive(properties, "websocket.receivers.forget")?,
            expects_receiver: !listens,
        };
        Ok(Self { outlet, spool: spool(properties)? })
    }
}

fn history(properties: &Properties) -> Result<History, EventFluxError> {
    let events = properties.optional_integer("websocket.history.events").unwrap_or(0);
    Ok(match u64::try_from(events) {
        Ok(events) if events > 0 => History {
            events,
            bytes: at_least_one_byte(properties, "websocket.history.bytes")?,
            age: positive(properties, "websocket.history.age")?,
        },
        _ => History { events: 0, bytes: 0, age: Duration::ZERO },
    })
}

fn spool(properties: &Properties) -> Result<Option<SpoolSettings>, EventFluxError> {
    const BYTES: &str = "websocket.spool.bytes";
    match properties.optional_text("websocket.spool.path") {
        Some(path) => Ok(Some(SpoolSettings {
            directory: PathBuf::from(path),
            max_bytes: at_least_one_byte(properties, BYTES)? as u64,
        })),
        None if properties.is_given(BYTES) => {
            let error = EventFluxError::property(BYTES, "has no effect without websocket.spool.path");
            Err(error.with_hint("remove it, or add websocket.spool.path='/var/lib/eventflux/spool'"))
        }
        None => Ok(None),
    }
}

fn path(properties: &Properties, key: &str) -> Result<String, EventFluxError> {
    let path = properties.text(key)?;
    check_path(path).map_err(|reason| {
        EventFluxError::property(key, format!("'{}' is no path: {reason}", path.escape_debug()))
            .with_hint("write it as in '$.type' or '$.meta.region'")
    })?;
    Ok(path.to_owned())
}

fn full(policy: &str) -> FullPolicy {
    match policy {
        "drop_oldest" => FullPolicy::DropOldest,
        "drop_newest" => FullPolicy::DropNewest,
        _ => FullPolicy::Block,
    }
}

fn names(properties: &Properties, key: &str) -> Result<Vec<String>, EventFluxError> {
    let text = properties.optional_text(key);
    text.into_iter().flat_map(|text| text.split(',')).map(|name| check(key, name.trim())).collect()
}

fn name(properties: &Properties, key: &str) -> Result<Option<String>, EventFluxError> {
    properties.optional_text(key).map(|name| check(key, name)).transpose()
}

/// What peers call something.
fn check(key: &str, name: &str) -> Result<String, EventFluxError> {
    /// So that an id with a stream's name stays below its limit.
    const MAX_BYTES: usize = 200;
    if name.is_empty() || name.len() > MAX_BYTES || name.chars().any(char::is_control) {
        let error = EventFluxError::property(key, format!("'{}' is no name", name.escape_debug()));
        return Err(error.with_hint(format!("write 1 to {MAX_BYTES} bytes without control characters")));
    }
    Ok(name.to_owned())
}
