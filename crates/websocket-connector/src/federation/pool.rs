//! Several servers instead of one.

mod balance;
mod takeover;
mod together;

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Template};

pub(super) use self::balance::Balance;
pub(super) use self::together::{Reporter, Together};

use crate::config::{TargetUrl, positive};

const POOL: &str = "websocket.pool";
const URLS: &str = "websocket.pool.urls";
const FAILBACK: &str = "websocket.pool.failback";
const TAKEOVER: &str = "websocket.pool.takeover";
const KEY: &str = "websocket.pool.key";

/// Most servers of a pool.
const MAX_SERVERS: usize = 64;

/// What several servers are there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolConfig {
    /// Those besides `websocket.url`, in order; all are different.
    pub(crate) further: Vec<TargetUrl>,
    pub(crate) policy: PoolPolicy,
    /// How often those before the one that is connected are tried, when they stand in for each other; zero for never.
    pub(crate) failback: Duration,
}

/// See [`PoolConfig`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PoolPolicy {
    /// One connection, to the first that can be reached.
    Failover,
    /// A source: connections to all, and the events of all.
    All,
    /// A sink: connections to all, and each event to one.
    Balance(Share),
}

/// Which events go to which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Share {
    /// To the one that has the least to acknowledge. One that has been away for so long does not get its share any more.
    Least(Duration),
    /// Those of one key to one server, in order, whether it is there or not.
    Key(Template),
}

impl PoolConfig {
    /// `None` when there is one server. `first`: that of `websocket.url`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties, first: &TargetUrl) -> Result<Option<Self>, EventFluxError> {
        let Some(urls) = properties.optional_text(URLS) else {
            let unused = [POOL, FAILBACK, TAKEOVER, KEY].into_iter().find(|key| properties.is_given(key));
            return unused.map_or(Ok(None), |key| {
                let error = EventFluxError::property(key, format!("has no effect without {URLS}"));
                Err(error.with_hint(format!("remove it, or name further servers in {URLS}")))
            });
        };
        let policy = PoolPolicy::from_properties(properties)?;
        if policy != PoolPolicy::Failover && properties.is_given("websocket.connection") {
            let error = EventFluxError::property("websocket.connection", "names one connection, and there are several");
            return Err(error.with_hint(format!("remove it, or use {POOL}='failover'")));
        }
        let failback = match policy {
            PoolPolicy::Failover => properties.duration(FAILBACK)?,
            _ => Duration::ZERO,
        };
        Ok(Some(Self { further: further(urls, first)?, policy, failback }))
    }
}

impl PoolPolicy {
    fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(match properties.text(POOL)? {
            "all" => Self::All,
            "balance" => {
                if properties.optional_text("websocket.send").is_some_and(|send| send != "data") {
                    let error = EventFluxError::property(POOL, "balances data, not requests and replies");
                    return Err(error.with_hint("use websocket.pool='failover'"));
                }
                Self::Balance(match properties.template(KEY)? {
                    Some(_) if properties.is_given(TAKEOVER) => {
                        let error = EventFluxError::property(TAKEOVER, format!("has no effect with {KEY}"));
                        return Err(error.with_hint("remove one of them: events of one key stay with one server"));
                    }
                    Some(key) => Share::Key(key),
                    None => Share::Least(positive(properties, TAKEOVER)?),
                })
            }
            _ => Self::Failover,
        })
    }
}

/// The further servers of a text.
fn further(urls: &str, first: &TargetUrl) -> Result<Vec<TargetUrl>, EventFluxError> {
    let mut names = vec![first.to_string()];
    let mut further = Vec::new();
    for text in urls.split([',', ' ', '\n', '\t']).filter(|text| !text.is_empty()) {
        let url = TargetUrl::parse_as(URLS, text)?;
        let name = url.to_string();
        if names.contains(&name) {
            let error = EventFluxError::property(URLS, format!("names {name} twice, or as websocket.url does"));
            return Err(error.with_hint("name each server once; a query makes no difference"));
        }
        names.push(name);
        further.push(url);
    }
    if further.is_empty() {
        return Err(
            EventFluxError::property(URLS, "names no server").with_hint("write ws://host:port/path, or remove it")
        );
    }
    if names.len() > MAX_SERVERS {
        return Err(EventFluxError::property(URLS, format!("makes more than {MAX_SERVERS} servers")));
    }
    Ok(further)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientConfig;
    use crate::config::Mode;
    use crate::{SINK_PROPERTIES, SOURCE_PROPERTIES};

    const CLIENT: [(&str, &str); 2] = [("websocket.url", "ws://a/"), ("websocket.protocol", "federation")];

    fn client(specs: &[eventflux_core::PropertySpec], raw: &[(&str, &str)]) -> Result<ClientConfig, EventFluxError> {
        let properties = Properties::from_pairs(specs, CLIENT.into_iter().chain(raw.iter().copied()))?;
        match Mode::from_properties(&properties)? {
            Mode::Client(client) => Ok(*client),
            Mode::Server(_) => panic!("no client"),
        }
    }

    #[test]
    fn servers_come_in_their_order() {
        let urls = (URLS, "wss://b/x, ws://c:81/?token=hunter2 ws://d/");
        for specs in [SOURCE_PROPERTIES, SINK_PROPERTIES] {
            let client = client(specs, &[urls]).unwrap();
            assert_eq!(client.pool.as_ref().unwrap().policy, PoolPolicy::Failover);
            let servers: Vec<_> = client.servers().iter().map(|server| server.url.to_string()).collect();
            assert_eq!(servers, ["ws://a/", "wss://b/x", "ws://c:81/?***", "ws://d/"]);
        }
    }

    #[test]
    fn policies_are_those_of_the_role() {
        let urls = (URLS, "ws://b/");
        let policy = |specs, raw: &[(&str, &str)]| client(specs, raw).unwrap().pool.unwrap().policy;
        assert_eq!(policy(SOURCE_PROPERTIES, &[urls, (POOL, "all")]), PoolPolicy::All);
        let least = PoolPolicy::Balance(Share::Least(Duration::from_secs(10)));
        assert_eq!(policy(SINK_PROPERTIES, &[urls, (POOL, "balance")]), least);
        let key = policy(SINK_PROPERTIES, &[urls, (POOL, "balance"), (KEY, "${device}")]);
        assert!(matches!(key, PoolPolicy::Balance(Share::Key(_))), "{key:?}");
        assert!(client(SOURCE_PROPERTIES, &[urls, (POOL, "balance")]).is_err());
        assert!(client(SINK_PROPERTIES, &[urls, (POOL, "all")]).is_err());
    }

    #[test]
    fn what_has_no_effect_is_refused() {
        let urls = (URLS, "ws://b/");
        for (raw, names) in [
            (&[(POOL, "failover")][..], [POOL, URLS]),
            (&[(FAILBACK, "5s")], [FAILBACK, URLS]),
            (&[urls, (TAKEOVER, "5s")], [TAKEOVER, "balance"]),
            (&[urls, (POOL, "balance"), (FAILBACK, "5s")], [FAILBACK, "failover"]),
            (&[urls, (POOL, "balance"), (KEY, "${a}"), (TAKEOVER, "5s")], [TAKEOVER, KEY]),
            (&[urls, (POOL, "balance"), ("websocket.connection", "x")], ["websocket.connection", "failover"]),
            (
                &[urls, (POOL, "balance"), ("websocket.send", "request"), ("websocket.method", "status")],
                [POOL, "failover"],
            ),
            (&[(URLS, "ws://a/")], [URLS, "twice"]),
            (&[(URLS, " , ")], [URLS, "no server"]),
            (&[(URLS, "http://b/")], [URLS, "ws://host:port/path"]),
        ] {
            let error = client(SINK_PROPERTIES, raw).unwrap_err().to_string();
            assert!(names.iter().all(|name| error.contains(name)), "{raw:?}: {error}");
        }
        let properties = [("websocket.url", "ws://a/"), urls];
        let properties =
            Properties::from_pairs(SINK_PROPERTIES, properties).and_then(|given| Mode::from_properties(&given));
        assert!(properties.unwrap_err().to_string().contains(URLS));
    }
}
