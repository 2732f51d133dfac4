//! What a path serves, and how what is published is kept: from properties to the hub's configuration.

use std::time::Duration;

use eventflux_core::{EncodedBatch, EventFluxError, Properties, Template};
use eventflux_gateway::dialects::{self, Dialect};
use eventflux_gateway::filter::FilterLimits;
use eventflux_gateway::{
    Accepts, Address, Batching, FullPolicy, HistoryLimits, HubConfig, Losses, Publication, QueueLimits, RateLimit,
    Retention,
};

use crate::access::AccessConfig;
use crate::config::{at_least_one_byte, positive};

/// How the clients of a path are served. Everybody at the path must say the same.
#[derive(Debug, Clone)]
pub(crate) struct GatewayConfig {
    pub(crate) dialect: &'static dyn Dialect,
    pub(crate) hub: HubConfig,
}

/// What a sink that serves does with its events.
#[derive(Debug, Clone)]
pub(crate) struct Publishing {
    pub(crate) routing: Routing,
    pub(crate) retention: Retention,
}

/// To whom each event of a sink goes.
#[derive(Debug, Clone)]
pub(crate) struct Routing {
    /// `None`: to all connections of the user, or to the request.
    channel: Option<Template>,
    user: Option<Template>,
    reply: Option<Template>,
    key: Option<Template>,
    correlation: Option<Template>,
}

impl GatewayConfig {
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(super) fn from_properties(
        properties: &Properties,
        access: &AccessConfig,
        shared: bool,
    ) -> Result<Self, EventFluxError> {
        const PROTOCOL: &str = "websocket.protocol";
        let name = properties.text(PROTOCOL)?;
        let unknown = || EventFluxError::property(PROTOCOL, format!("'{name}' is not allowed"));
        let dialect = dialects::named(name).ok_or_else(unknown)?;
        let by_message = dialect.traits().message_authentication && access.may_authenticate_by_message();
        let hub = HubConfig {
            authentication: by_message.then(|| access.message_timeout()),
            authorizes_subscriptions: access.has_subscribe_hook(),
            shared,
            ..hub(properties)?
        };
        Ok(Self { dialect, hub })
    }

    /// The property in which `other` differs, if any.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let (mine, theirs) = (&self.hub, &other.hub);
        let differs = [
            ("websocket.protocol", self.dialect.name() != other.dialect.name()),
            ("websocket.max.connections", mine.max_connections != theirs.max_connections),
            (
                "websocket.max.connections.per.address",
                mine.max_connections_per_address != theirs.max_connections_per_address,
            ),
            ("websocket.max.connections.per.user", mine.max_connections_per_user != theirs.max_connections_per_user),
            ("websocket.max.subscriptions", mine.max_subscriptions != theirs.max_subscriptions),
            ("websocket.max.subscribers", mine.max_subscribers != theirs.max_subscribers),
            ("websocket.max.channels", mine.max_channels != theirs.max_channels),
            ("websocket.client.replies.bytes", mine.max_reply_bytes != theirs.max_reply_bytes),
            ("websocket.rate.limit", mine.rate != theirs.rate),
            ("websocket.filter.max.size", mine.filter != theirs.filter),
            ("websocket.presence", mine.presence != theirs.presence),
            ("websocket.max.requests", mine.max_requests != theirs.max_requests),
            ("websocket.request.timeout", mine.request_timeout != theirs.request_timeout),
            ("websocket.batch.delay", mine.batching != theirs.batching),
        ];
        differs.into_iter().find_map(|(key, differs)| differs.then_some(key))
    }
}

fn hub(properties: &Properties) -> Result<HubConfig, EventFluxError> {
    let limit = |key| properties.integer(key).map(|limit: usize| Some(limit).filter(|limit| *limit > 0));
    let rate = limit("websocket.rate.limit")?.filter(|_| properties.flag("websocket.rate.limiting").unwrap_or(true));
    let period = positive(properties, "websocket.rate.period")?;
    let defaults = HubConfig::default();
    let common = HubConfig {
        max_connections: properties.integer("websocket.max.connections")?,
        max_connections_per_address: limit("websocket.max.connections.per.address")?,
        max_connections_per_user: limit("websocket.max.connections.per.user")?,
        max_subscriptions: properties.integer("websocket.max.subscriptions")?,
        max_subscribers: properties.integer("websocket.max.subscribers")?,
        max_channels: properties.integer("websocket.max.channels")?,
        rate: rate.map(|messages| RateLimit { messages, per: period }),
        ..defaults
    };
    if properties.text("websocket.protocol")? == dialects::RAW {
        return Ok(common);
    }
    Ok(HubConfig {
        max_reply_bytes: at_least_one_byte(properties, "websocket.client.replies.bytes")?,
        filter: FilterLimits {
            max_bytes: at_least_one_byte(properties, "websocket.filter.max.size")?,
            max_terms: properties.integer("websocket.filter.max.terms")?,
            ..FilterLimits::default()
        },
        presence: properties.flag("websocket.presence")?,
        max_requests: properties.integer("websocket.max.requests")?,
        request_timeout: positive(properties, "websocket.request.timeout")?,
        batching: batching(properties)?,
        ..common
    })
}

fn batching(properties: &Properties) -> Result<Option<Batching>, EventFluxError> {
    let (delay_key, size_key) = ("websocket.batch.delay", "websocket.batch.size");
    let Some(delay) = properties.optional_duration(delay_key).filter(|delay| !delay.is_zero()) else {
        if properties.is_given(size_key) {
            let error = EventFluxError::property(size_key, "has no effect without websocket.batch.delay");
            return Err(error.with_hint("remove it, or add websocket.batch.delay='50ms'"));
        }
        return Ok(None);
    };
    if delay > Duration::from_secs(1) {
        return Err(EventFluxError::property(delay_key, "must not be more than 1s"));
    }
    Ok(Some(Batching { delay, max_bytes: at_least_one_byte(properties, size_key)? }))
}

/// Which messages of clients a source takes.
///
/// # Errors
/// [`EventFluxError::Configuration`] when none is named.
pub(crate) fn accepts(properties: &Properties) -> Result<Accepts, EventFluxError> {
    const ACCEPT: &str = "websocket.accept";
    // Without a protocol every message is taken.
    let Some(text) = properties.optional_text(ACCEPT) else {
        return Ok(Accepts { any: true, kinds: Vec::new() });
    };
    let kinds: Vec<_> = text.split(',').map(|kind| kind.trim().to_owned()).collect();
    if kinds.iter().any(String::is_empty) {
        let error = EventFluxError::property(ACCEPT, format!("'{text}' has an empty name"));
        return Err(error.with_hint("write types of messages, separated by commas, or * for all"));
    }
    Ok(Accepts { any: kinds.iter().any(|kind| kind == "*"), kinds })
}

/// How long what a sink publishes is kept.
///
/// # Errors
/// [`EventFluxError::Configuration`] for properties without effect.
fn retention(properties: &Properties) -> Result<Retention, EventFluxError> {
    const FULL: &str = "websocket.client.queue.full";
    let keyed = properties.template("websocket.key")?.is_some();
    let full = match properties.text(FULL)? {
        "drop_oldest" => FullPolicy::DropOldest,
        "drop_newest" => FullPolicy::DropNewest,
        "conflate" => FullPolicy::Conflate,
        _ => FullPolicy::Disconnect,
    };
    if full == FullPolicy::Conflate && !keyed {
        let error = EventFluxError::property(FULL, "'conflate' needs to know what an event is the latest of");
        return Err(error.with_hint("add websocket.key='${column}'"));
    }
    let snapshot_keys = properties.optional_integer("websocket.snapshot.keys").unwrap_or(0);
    if snapshot_keys > 0 && !keyed {
        let error = EventFluxError::property("websocket.snapshot.keys", "has no effect without websocket.key");
        return Err(error.with_hint("add websocket.key='${column}'"));
    }
    if keyed && snapshot_keys == 0 && full != FullPolicy::Conflate {
        let reason = format!("has no effect without websocket.snapshot.keys or {FULL}='conflate'");
        return Err(EventFluxError::property("websocket.key", reason).with_hint("remove it, or add one of them"));
    }
    let age = properties.duration("websocket.client.queue.age")?;
    Ok(Retention {
        losses: Losses::default(),
        queue: QueueLimits {
            bytes: at_least_one_byte(properties, "websocket.client.queue.bytes")?,
            events: None,
            age: Some(age).filter(|age| !age.is_zero()),
            full,
        },
        history: history(properties)?,
        snapshot_keys: usize::try_from(snapshot_keys).ok().filter(|keys| *keys > 0),
    })
}

fn history(properties: &Properties) -> Result<Option<HistoryLimits>, EventFluxError> {
    let events = properties.optional_integer("websocket.history.events").unwrap_or(0);
    if events == 0 {
        let given =
            ["websocket.history.bytes", "websocket.history.age"].into_iter().find(|key| properties.is_given(key));
        return match given {
            Some(key) => Err(EventFluxError::property(key, "has no effect without websocket.history.events")
                .with_hint("remove it, or add websocket.history.events='1000'")),
            None => Ok(None),
        };
    }
    Ok(Some(HistoryLimits {
        events: usize::try_from(events).unwrap_or(usize::MAX),
        bytes: at_least_one_byte(properties, "websocket.history.bytes")?,
        age: positive(properties, "websocket.history.age")?,
    }))
}

impl Publishing {
    /// # Errors
    /// [`EventFluxError::Configuration`] for properties that exclude each other, or have no effect.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let (routing, retention) = (Routing::from_properties(properties)?, retention(properties)?);
        if retention.remembers() && (routing.user.is_some() || routing.reply.is_some()) {
            let history = retention.history.is_some();
            let key = if history { "websocket.history.events" } else { "websocket.snapshot.keys" };
            let error =
                EventFluxError::property(key, "has no effect: only what is published to channels is remembered");
            return Err(error.with_hint("remove it, or websocket.user and websocket.reply"));
        }
        check_texts(properties)?;
        Ok(Self { routing, retention })
    }
}

/// Protocols put payloads into texts of theirs.
fn check_texts(properties: &Properties) -> Result<(), EventFluxError> {
    let name = properties.text("websocket.protocol")?;
    let Some(dialect) = dialects::named(name).filter(|dialect| !dialect.traits().transparent) else { return Ok(()) };
    for (key, plain) in [("websocket.compression", "none"), ("websocket.message.type", "text")] {
        if properties.text(key)? != plain {
            let error = EventFluxError::property(key, format!("'{name}' puts payloads into messages of JSON"));
            return Err(
                error.with_hint(format!("remove it; websocket.permessage-deflate compresses what '{name}' sends"))
            );
        }
    }
    let channel = properties.template("websocket.channel")?;
    let named = channel.as_ref().and_then(Template::constant);
    if let (Some(named), Some(known)) = (named, dialect.channels())
        && !known.contains(&named)
    {
        let reason = format!("nobody can subscribe to '{named}' with '{name}'");
        let hint = format!("use one of {}", known.join(", "));
        return Err(EventFluxError::property("websocket.channel", reason).with_hint(hint));
    }
    Ok(())
}

impl Routing {
    /// # Errors
    /// [`EventFluxError::Configuration`] for properties that exclude each other.
    fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let (user, reply) = (properties.template("websocket.user")?, properties.template("websocket.reply")?);
        let excluded = ["websocket.user", "websocket.channel", "websocket.key", "websocket.correlation"];
        if reply.is_some()
            && let Some(key) = excluded.into_iter().find(|key| properties.is_given(key))
        {
            let error =
                EventFluxError::property(key, "has no effect with websocket.reply: an answer goes to whoever asked");
            return Err(error.with_hint("remove it, or use a second sink"));
        }
        let named = properties.template("websocket.channel")?;
        // Where every event belongs to a subscription there is none for all connections of a user.
        let personal =
            dialects::named(properties.text("websocket.protocol")?).is_some_and(|dialect| dialect.traits().personal);
        let channel = match named {
            Some(channel) if properties.is_given("websocket.channel") || user.is_none() || personal => Some(channel),
            _ => None,
        };
        Ok(Self {
            channel,
            user,
            reply,
            key: properties.template("websocket.key")?,
            correlation: properties.template("websocket.correlation")?,
        })
    }

    /// The same for a sink of `stream`: that is the channel when none is named.
    pub(super) fn of_stream(mut self, stream: &str) -> Self {
        if self.channel.is_none() && self.user.is_none() && self.reply.is_none() {
            self.channel = Template::parse(&stream.replace("${", "$${")).ok();
        }
        self
    }

    /// Payload number `row` on its way. `batch` has the texts of the templates.
    pub(super) fn publication<'a>(
        &'a self,
        batch: &'a EncodedBatch,
        payloads: &'a EncodedBatch,
        row: usize,
        binary: bool,
    ) -> Publication<'a> {
        fn text<'a>(template: &'a Option<Template>, batch: &'a EncodedBatch, row: usize) -> Option<&'a str> {
            template.as_ref().map(|template| template.text(batch, row))
        }
        let channel = text(&self.channel, batch, row);
        let to = match (text(&self.reply, batch, row), text(&self.user, batch, row)) {
            (Some(request), _) => Address::Request(request),
            (None, Some(user)) => Address::User { user, channel },
            (None, None) => Address::Channel(channel.unwrap_or_default()),
        };
        Publication {
            to,
            payload: payloads.payload(row),
            binary,
            key: text(&self.key, batch, row),
            correlation: text(&self.correlation, batch, row),
        }
    }
}

#[cfg(test)]
mod tests;
