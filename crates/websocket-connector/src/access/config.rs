//! What the properties say about who clients are and what they may do.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Secret};
use eventflux_gateway::auth::{
    Algorithm, ChannelList, GrantTemplates, JwtRules, Keys, KeysError, ListError, Tokens, USER_PLACEHOLDER, Users,
};

use super::file::NamedFile;
use super::service_url::ServiceUrl;
use crate::config::positive;
use crate::properties::access::*;

/// Who clients are and what they may do. Everybody at a path must say the same. Its debug form shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessConfig {
    pub(super) kind: Kind,
    /// Whether clients without credentials are refused.
    required: bool,
    /// What those may do whose credentials do not say.
    pub(super) grants: GrantTemplates,
    /// The query parameter that may hold a token.
    pub(super) query: Option<String>,
    pub(super) message_timeout: Duration,
    /// Failures per minute and address; 0 for any number.
    pub(super) attempts: u32,
    pub(super) subscribe_hook: Option<HookConfig>,
}

/// How clients prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Token(List<Tokens>),
    Basic(List<Users>),
    Jwt(Box<JwtRules>, KeySource),
    Http(ConnectConfig),
}

/// A list as it is, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum List<T> {
    Given(T),
    File(NamedFile),
}

/// Where the keys of tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    Secret(Secret),
    Pem(String),
    File(NamedFile),
    Published { url: ServiceUrl, refresh: Duration },
}

/// A service that is asked who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectConfig {
    pub(super) hook: HookConfig,
    /// How long its answers are remembered.
    pub(super) keep: Duration,
}

/// A service that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HookConfig {
    /// The property that names it.
    pub(super) property: &'static str,
    pub(super) url: ServiceUrl,
    pub(super) timeout: Duration,
}

impl AccessConfig {
    /// Reads no file and asks nobody.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let required = properties.flag(REQUIRED.key).unwrap_or(true);
        let kind = match properties.text(AUTH.key)? {
            // Somebody has to prove who they are only by default, and the environment says that nobody has to.
            _ if !required && !properties.is_given(AUTH.key) => Kind::None,
            "token" => Kind::Token(list(properties, TOKENS.key, TOKENS_FILE.key, Tokens::parse)?),
            "basic" => Kind::Basic(list(properties, USERS.key, USERS_FILE.key, Users::parse)?),
            "jwt" => jwt(properties)?,
            "http" => Kind::Http(connect_hook(properties)?),
            _ => Kind::None,
        };
        let subscribe_hook = hook(properties, HTTP_SUBSCRIBE_URL.key)?;
        let asks = subscribe_hook.is_some() || matches!(kind, Kind::Http(_));
        if !asks && properties.is_given(HTTP_TIMEOUT.key) {
            return Err(EventFluxError::property(
                HTTP_TIMEOUT.key,
                format!("has no effect without {}", HTTP_SUBSCRIBE_URL.key),
            ));
        }
        let takes_tokens = kind.takes_tokens();
        let query = properties.optional_text(QUERY.key).map(str::trim).filter(|name| takes_tokens && !name.is_empty());
        Ok(Self {
            grants: GrantTemplates {
                subscribe: channels(properties, GRANTS_SUBSCRIBE.key, &kind)?,
                publish: channels(properties, GRANTS_PUBLISH.key, &kind)?,
            },
            query: query.map(str::to_owned),
            message_timeout: positive(properties, MESSAGE_TIMEOUT.key)?,
            attempts: properties.integer(ATTEMPTS.key)?,
            subscribe_hook,
            required,
            kind,
        })
    }

    /// Whether clients have to prove who they are.
    pub(crate) fn requires_authentication(&self) -> bool {
        self.kind != Kind::None
    }

    /// Whether the credentials of clients are such that a message can hold them.
    pub(crate) fn may_authenticate_by_message(&self) -> bool {
        self.kind.takes_tokens()
    }

    /// Whether a service has a say in each subscription.
    pub(crate) fn has_subscribe_hook(&self) -> bool {
        self.subscribe_hook.is_some()
    }

    /// Whether clients without credentials are refused; else they are anonymous.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    /// How long a client may take to authenticate with a message.
    pub(crate) fn message_timeout(&self) -> Duration {
        self.message_timeout
    }
}

impl Kind {
    pub(super) fn takes_tokens(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Jwt(..) | Self::Http(_))
    }
}

fn list<T>(
    properties: &Properties,
    given: &'static str,
    file: &'static str,
    parse: fn(&str) -> Result<T, ListError>,
) -> Result<List<T>, EventFluxError> {
    let key = one_of(properties, &[given, file])?;
    let text = properties.text(key)?;
    if key == file {
        return Ok(List::File(NamedFile::new(file, text)));
    }
    parse(text).map(List::Given).map_err(|error| EventFluxError::property(given, error.to_string()))
}

fn jwt(properties: &Properties) -> Result<Kind, EventFluxError> {
    let key = one_of(properties, &[JWT_SECRET.key, JWT_KEY.key, JWT_KEY_FILE.key, JWKS_URL.key])?;
    let text = properties.text(key)?;
    let algorithms = algorithms(properties)?;
    let bad = |error: KeysError| EventFluxError::property(key, error.to_string());
    let source = if key == JWT_SECRET.key {
        let secret = Secret::new(text);
        check_algorithms(key, &algorithms, &Keys::from_secret(&secret).map_err(bad)?)?;
        KeySource::Secret(secret)
    } else if key == JWT_KEY.key {
        check_algorithms(key, &algorithms, &Keys::from_pem(text).map_err(bad)?)?;
        KeySource::Pem(text.to_owned())
    } else if key == JWT_KEY_FILE.key {
        KeySource::File(NamedFile::new(JWT_KEY_FILE.key, text))
    } else {
        published(properties, &algorithms)?
    };
    if key != JWKS_URL.key && properties.is_given(JWKS_REFRESH.key) {
        return Err(EventFluxError::property(JWKS_REFRESH.key, format!("has no effect with {key}"))
            .with_hint(format!("remove it, or give {} instead of {key}", JWKS_URL.key)));
    }
    let rules = JwtRules {
        algorithms,
        audiences: names(properties, JWT_AUDIENCE.key)?,
        issuers: names(properties, JWT_ISSUER.key)?,
        leeway: properties.duration(JWT_LEEWAY.key)?,
        user_claim: properties.text(JWT_USER_CLAIM.key)?.to_owned(),
        channels_claim: properties.text(JWT_CHANNELS_CLAIM.key)?.to_owned(),
        expiry_required: properties.flag(JWT_EXPIRY_REQUIRED.key)?,
        grants: GrantTemplates {
            subscribe: channel_list(properties, GRANTS_SUBSCRIBE.key)?,
            publish: channel_list(properties, GRANTS_PUBLISH.key)?,
        },
    };
    Ok(Kind::Jwt(Box::new(rules), source))
}

fn published(properties: &Properties, algorithms: &[Algorithm]) -> Result<KeySource, EventFluxError> {
    if let Some(shared) = algorithms.iter().find(|algorithm| algorithm.is_symmetric()) {
        let reason = format!("'{shared}' is for secrets, and {} publishes none", JWKS_URL.key);
        return Err(EventFluxError::property(JWT_ALGORITHMS.key, reason).with_hint("remove it"));
    }
    let url = ServiceUrl::from_properties(properties, JWKS_URL.key)?;
    let url = url.ok_or_else(|| EventFluxError::property(JWKS_URL.key, "has no value"))?;
    Ok(KeySource::Published { url, refresh: positive(properties, JWKS_REFRESH.key)? })
}

fn connect_hook(properties: &Properties) -> Result<ConnectConfig, EventFluxError> {
    let hook = hook(properties, HTTP_URL.key)?;
    let hook = hook.ok_or_else(|| EventFluxError::property(HTTP_URL.key, "has no value"))?;
    Ok(ConnectConfig { hook, keep: properties.duration(HTTP_CACHE.key)? })
}

fn hook(properties: &Properties, property: &'static str) -> Result<Option<HookConfig>, EventFluxError> {
    let Some(url) = ServiceUrl::from_properties(properties, property)? else {
        return Ok(None);
    };
    Ok(Some(HookConfig { property, url, timeout: positive(properties, HTTP_TIMEOUT.key)? }))
}

fn algorithms(properties: &Properties) -> Result<Vec<Algorithm>, EventFluxError> {
    let error = |name: &str| {
        let known: Vec<_> = Algorithm::ALL.iter().map(ToString::to_string).collect();
        EventFluxError::property(JWT_ALGORITHMS.key, format!("'{name}' is no algorithm to accept"))
            .with_hint(format!("use some of {}", known.join(", ")))
    };
    let names = names(properties, JWT_ALGORITHMS.key)?;
    names.iter().map(|name| Algorithm::named(name).ok_or_else(|| error(name))).collect()
}

/// Refuses an algorithm that no key is good for.
pub(super) fn check_algorithms(key: &str, algorithms: &[Algorithm], keys: &Keys) -> Result<(), EventFluxError> {
    let Some(unfit) = algorithms.iter().find(|algorithm| !keys.supports(**algorithm)) else {
        return Ok(());
    };
    let reason = format!("'{unfit}' does not suit what {key} holds");
    Err(EventFluxError::property(JWT_ALGORITHMS.key, reason).with_hint("remove it"))
}

fn channels(properties: &Properties, key: &'static str, kind: &Kind) -> Result<ChannelList, EventFluxError> {
    if *kind == Kind::None && properties.text(key)?.contains(USER_PLACEHOLDER) {
        let reason = format!("has {USER_PLACEHOLDER} in it, but with {}='none' nobody has a name", AUTH.key);
        return Err(EventFluxError::property(key, reason).with_hint("remove it, or let clients authenticate"));
    }
    channel_list(properties, key)
}

fn channel_list(properties: &Properties, key: &'static str) -> Result<ChannelList, EventFluxError> {
    let text = properties.text(key)?.trim();
    let items = Some(text).filter(|text| !text.is_empty()).into_iter().flat_map(|text| text.split(',').map(str::trim));
    ChannelList::parse(items).map_err(|problem| {
        EventFluxError::property(key, problem.to_string())
            .with_hint("write names and patterns separated by commas: news, user:${user}:*")
    })
}

/// The items of a list that is not given or has some.
fn names(properties: &Properties, key: &'static str) -> Result<Vec<String>, EventFluxError> {
    let Some(text) = properties.optional_text(key) else {
        return Ok(Vec::new());
    };
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(EventFluxError::property(key, "has an empty name in it").with_hint("remove it, or write a name"));
    }
    Ok(names)
}

/// The one of these properties that is given.
fn one_of(properties: &Properties, keys: &[&'static str]) -> Result<&'static str, EventFluxError> {
    let mut given = keys.iter().copied().filter(|key| properties.is_given(key));
    let kind = properties.text(AUTH.key)?;
    match (given.next(), given.next()) {
        (Some(key), None) => Ok(key),
        (Some(key), Some(other)) => {
            Err(EventFluxError::property(other, format!("contradicts {key}: both say whom to believe"))
                .with_hint("keep one of them"))
        }
        (None, _) => Err(EventFluxError::property(AUTH.key, format!("'{kind}' needs to know whom to believe"))
            .with_hint(format!("give {}", keys.join(" or ")))),
    }
}

#[cfg(test)]
mod tests;
