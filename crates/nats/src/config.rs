//! The validated configuration of a connection.

mod servers;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Secret};

use crate::subject;

const DELAY: &str = "nats.reconnect.delay.ms";
const MAX_DELAY: &str = "nats.reconnect.max.delay.ms";
const TLS: &str = "nats.tls";

/// How to reach NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// `nats://host:port` or `tls://host:port`; at least one, without credentials.
    pub servers: Vec<String>,
    /// What the connection is called in the server's lists; `None`: after the stream.
    pub name: Option<String>,
    /// Who we are.
    pub auth: Auth,
    /// How TLS is used.
    pub tls: Tls,
    /// How long one attempt may take.
    pub connect_timeout: Duration,
    /// When to try again; `None`: never.
    pub reconnect: Option<Reconnect>,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// First tokens of the subjects at which answers come.
    pub inbox_prefix: String,
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Whoever connects may.
    None,
    /// A token.
    Token(Secret),
    /// A user and its password.
    User(String, Secret),
    /// The seed of an nkey.
    Nkey(Secret),
    /// A file with a user's JWT and nkey.
    Credentials(PathBuf),
}

/// How TLS is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Whether servers must speak it.
    pub required: bool,
    /// Whether it begins before the server's greeting.
    pub first: bool,
    /// Certificates to trust instead of those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// Longest pause before the second attempt.
    pub delay: Duration,
    /// Where the longest pause stops to grow.
    pub max_delay: Duration,
    /// Attempts in a row, each of them at every server, before giving up, at least 1; `None`: no end.
    pub max_attempts: Option<u32>,
}

impl ConnectionConfig {
    /// Reads validated properties of [`CONNECTION`](crate::properties::CONNECTION). Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express: a bad URL, credentials in a URL, two
    /// ways to authenticate, a certificate without its key, a file that cannot be read is no error here.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let inbox_prefix = properties.text("nats.inbox.prefix")?.to_owned();
        subject::check(&inbox_prefix).map_err(|reason| {
            EventFluxError::property("nats.inbox.prefix", reason).with_hint("tokens separated by dots: _INBOX_orders")
        })?;
        let servers = servers::parse(properties.text("nats.url")?)?;
        Ok(Self {
            name: properties.optional_text("nats.name").map(str::to_owned),
            auth: Auth::from_properties(properties)?,
            tls: Tls::from_properties(properties, &servers)?,
            servers,
            connect_timeout: positive(properties, "nats.connect.timeout")?,
            reconnect: Reconnect::from_properties(properties)?,
            ping_interval: positive(properties, "nats.ping.interval")?,
            inbox_prefix,
        })
    }
}

impl Auth {
    fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        const WAYS: [&str; 4] = ["nats.token", "nats.user", "nats.nkey", "nats.credentials"];
        let text = |key| properties.optional_text(key);
        let given: Vec<_> = WAYS.into_iter().filter(|way| text(way).is_some()).collect();
        if let [first, second, ..] = given[..] {
            let reason = format!("is another way to authenticate than {first}");
            return Err(EventFluxError::property(second, reason).with_hint("give one of them"));
        }
        let password = text("nats.password");
        if password.is_some() && text("nats.user").is_none() {
            let error = EventFluxError::property("nats.password", "has no effect without a user");
            return Err(error.with_hint("give nats.user too"));
        }
        match given.first() {
            None => Ok(Self::None),
            Some(&"nats.user") => {
                let password = password.ok_or_else(|| {
                    EventFluxError::property("nats.user", "has no password").with_hint("give nats.password too")
                })?;
                Ok(Self::User(properties.text("nats.user")?.to_owned(), Secret::new(password)))
            }
            Some(&"nats.token") => Ok(Self::Token(Secret::new(properties.text("nats.token")?))),
            Some(&"nats.nkey") => nkey(properties.text("nats.nkey")?),
            Some(_) => Ok(Self::Credentials(properties.text("nats.credentials")?.into())),
        }
    }
}

fn nkey(seed: &str) -> Result<Auth, EventFluxError> {
    // The text of the error tells where the seed is wrong, with a part of it.
    let pair = nkeys::KeyPair::from_seed(seed.trim());
    if !pair.is_ok_and(|pair| pair.key_pair_type() == nkeys::KeyPairType::User) {
        let error = EventFluxError::property("nats.nkey", "is not the seed of a user's nkey");
        return Err(error.with_hint("a text that begins with SU, as `nk -gen user` writes it"));
    }
    Ok(Auth::Nkey(Secret::new(seed.trim())))
}

impl Tls {
    fn from_properties(properties: &Properties, servers: &[String]) -> Result<Self, EventFluxError> {
        let path = |key| properties.optional_text(key).map(PathBuf::from);
        let identity = match (path("nats.tls.cert"), path("nats.tls.key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(together("nats.tls.cert", "nats.tls.key")),
            (None, Some(_)) => return Err(together("nats.tls.key", "nats.tls.cert")),
        };
        let (first, ca) = (properties.flag("nats.tls.first")?, path("nats.tls.ca"));
        // Whoever says how to do TLS does not want to go without when a server, or somebody in between, does not ask.
        let implied = [("nats.tls.ca", ca.is_some()), ("nats.tls.cert", identity.is_some()), ("nats.tls.first", first)];
        let implied = implied.into_iter().find(|(_, is_given)| *is_given).map(|(key, _)| key);
        let wanted = properties.flag(TLS)?;
        let refused = properties.is_given(TLS) && !wanted;
        if let Some(key) = implied.filter(|_| refused) {
            let reason = format!("is false, and {key} asks for TLS");
            return Err(EventFluxError::property(TLS, reason).with_hint(format!("leave {TLS} or {key} out")));
        }
        if refused && servers.iter().any(|server| server.starts_with("tls://")) {
            let error = EventFluxError::property(TLS, "is false, and nats.url has a server with tls://");
            return Err(error.with_hint(format!("leave {TLS} out, or write nats:// in nats.url")));
        }
        Ok(Self { required: wanted || implied.is_some(), first, ca, identity })
    }
}

impl Reconnect {
    fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        if !properties.flag("nats.reconnect")? {
            let others = [DELAY, MAX_DELAY, "nats.reconnect.max.attempts"];
            return match others.into_iter().find(|key| properties.is_given(key)) {
                None => Ok(None),
                Some(key) => Err(EventFluxError::property(key, "has no effect when nats.reconnect is false")
                    .with_hint("leave one of them out")),
            };
        }
        let millis = |key| properties.integer(key).map(Duration::from_millis);
        let (delay, max_delay) = (millis(DELAY)?, millis(MAX_DELAY)?);
        if delay > max_delay {
            let reason = format!("is larger than {MAX_DELAY}, which is {}", max_delay.as_millis());
            return Err(EventFluxError::property(DELAY, reason).with_hint(format!("make {MAX_DELAY} larger too")));
        }
        let max_attempts = u32::try_from(properties.integer::<i64>("nats.reconnect.max.attempts")?).ok();
        Ok(Some(Self { delay, max_delay, max_attempts: max_attempts.map(|attempts| attempts.max(1)) }))
    }
}

fn together(given: &str, missing: &str) -> EventFluxError {
    EventFluxError::property(given, format!("needs {missing}")).with_hint("give both, or none")
}

fn positive(properties: &Properties, key: &str) -> Result<Duration, EventFluxError> {
    let duration = properties.duration(key)?;
    if duration.is_zero() {
        return Err(EventFluxError::property(key, "has to be more than nothing"));
    }
    Ok(duration)
}
