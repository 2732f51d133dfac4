//! What the sources and sinks of one place say of it: each may leave to others what they say.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use eventflux_core::{EventFluxError, Properties, PropertySpec};

use super::backplane::BackplaneConfig;
use super::config::{ListenerConfig, PathConfig};
use super::ineffective::refuse_ineffective;
use crate::config::ConnectionConfig;
use crate::{SINK_PROPERTIES, SOURCE_PROPERTIES};

/// Properties that each source and sink has for itself, though both have them.
const OWN: &[&str] = &["websocket.mode", "websocket.compression", "websocket.queue.full"];

/// Properties that hold for an address, whatever the path.
const OF_ADDRESS: &[&str] = &[
    "websocket.tls.cert.file",
    "websocket.tls.key.file",
    "websocket.tls.client.auth",
    "websocket.tls.client.ca.file",
    "websocket.trusted.proxies",
    "websocket.proxy.protocol",
    "websocket.max.handshakes",
    "websocket.max.head.size",
    "websocket.handshake.timeout",
    "websocket.max.connections.total",
];

/// Where one source or sink listens, and what it says of the place.
#[derive(Debug)]
pub(crate) struct Declaration {
    listen: String,
    path: String,
    properties: Properties,
    /// All there are for such a one.
    specs: &'static [PropertySpec],
}

/// What holds at a place, from what everybody there says.
pub(super) struct Place {
    pub(super) listener: ListenerConfig,
    pub(super) path: Arc<PathConfig>,
    pub(super) connection: ConnectionConfig,
}

/// All declarations that are in use.
#[derive(Debug, Default)]
pub(super) struct Declarations(Mutex<Vec<Weak<Declaration>>>);

impl Declarations {
    /// Takes note of what `properties` say of a place.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when somebody else says otherwise.
    pub(super) fn add(
        &self,
        listen: &str,
        path: &str,
        properties: &Properties,
        specs: &'static [PropertySpec],
    ) -> Result<Arc<Declaration>, EventFluxError> {
        // Another way to write the same.
        let listen = if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
        let declaration = Declaration { listen, path: path.to_owned(), properties: properties.clone(), specs };
        let together = self.together(&declaration)?;
        self.refuse_other_place_of_log(&declaration, &together)?;
        let declaration = Arc::new(declaration);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&declaration));
        Ok(declaration)
    }

    /// What holds where `declaration` is.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(super) fn place(&self, declaration: &Declaration) -> Result<Place, EventFluxError> {
        let properties = self.together(declaration)?;
        refuse_ineffective(&properties, true)?;
        Ok(Place {
            listener: ListenerConfig::from_properties(&properties)?,
            path: Arc::new(PathConfig::from_properties(&properties)?),
            connection: ConnectionConfig::from_properties(&properties)?,
        })
    }

    /// Two places of one process are not one, also where other processes have their part of each.
    fn refuse_other_place_of_log(&self, declaration: &Declaration, said: &Properties) -> Result<(), EventFluxError> {
        let Some(log) = BackplaneConfig::log(said) else { return Ok(()) };
        let is_elsewhere =
            |other: &Arc<Declaration>| (&other.listen, &other.path) != (&declaration.listen, &declaration.path);
        let others: Vec<_> = self.all().into_iter().filter(is_elsewhere).collect();
        for other in others {
            if self.together(&other).is_ok_and(|said| BackplaneConfig::log(&said).as_ref() == Some(&log)) {
                let reason = format!(
                    "'{}' is the name of what {} shares: what is published there would come here too",
                    log.1, other.path
                );
                let error = EventFluxError::property("gateway.backplane.name", reason);
                return Err(error.with_hint("give each path a name of its own"));
            }
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Declaration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    fn together(&self, declaration: &Declaration) -> Result<Properties, EventFluxError> {
        let others = self.all().into_iter().filter(|other| other.listen == declaration.listen);
        others.into_iter().try_fold(declaration.properties.clone(), |properties, other| {
            let keys = if other.path == declaration.path { shared() } else { OF_ADDRESS.to_vec() };
            let place = if other.path == declaration.path { &declaration.path } else { &declaration.listen };
            let together = properties.together_with(&other.properties, &keys, declaration.specs);
            together.map_err(|error| at_place(error, place))
        })
    }
}

/// The same error, with where it is.
fn at_place(error: EventFluxError, place: &str) -> EventFluxError {
    match error {
        EventFluxError::Configuration { property: Some(key), reason, hint: None } => {
            EventFluxError::property(&key, format!("{reason} at {place}"))
                .with_hint("they share its connections: say it in one of them, or the same in all")
        }
        other => other,
    }
}

/// Sources and sinks that share an address or a path, but not what they say of it.
pub(super) fn disagreement(key: &str, place: &str) -> EventFluxError {
    EventFluxError::property(key, format!("differs from what another source or sink says at {place}"))
        .with_hint("they share its connections: say it in one of them, or the same in all")
}

/// Keys that sources and sinks of one path share.
fn shared() -> Vec<&'static str> {
    let of_sources = |spec: &&PropertySpec| SOURCE_PROPERTIES.iter().any(|other| other.key == spec.key);
    SINK_PROPERTIES.iter().filter(of_sources).map(|spec| spec.key).filter(|key| !OWN.contains(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: [(&str, &str); 2] = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")];

    fn properties(specs: &[PropertySpec], raw: &[(&str, &str)]) -> Properties {
        Properties::from_pairs(specs, PLACE.into_iter().chain(raw.iter().copied())).unwrap()
    }

    #[test]
    fn what_one_says_holds_for_all_at_the_path() {
        let declarations = Declarations::default();
        let source = properties(SOURCE_PROPERTIES, &[]);
        let source = declarations.add("a", "/", &source, SOURCE_PROPERTIES).unwrap();
        let sink = [("websocket.protocol", "channels"), ("websocket.max.connections", "7")];
        let _sink = declarations.add("a", "/", &properties(SINK_PROPERTIES, &sink), SINK_PROPERTIES).unwrap();
        let other =
            properties(SINK_PROPERTIES, &[("websocket.max.head.size", "1KiB"), ("websocket.max.connections", "9")]);
        let _other = declarations.add("a", "/other", &other, SINK_PROPERTIES).unwrap();
        let place = declarations.place(&source).unwrap();
        assert_eq!((place.path.gateway.hub.max_connections, place.listener.max_head_bytes), (7, 1024));
        // Defaults go with what was said.
        let per_address = place.path.gateway.hub.max_connections_per_address;
        assert_eq!((place.path.gateway.dialect.name(), per_address), ("channels", Some(10)));
    }

    #[test]
    fn two_paths_have_two_logs() {
        let declarations = Declarations::default();
        let add = |path, name: &[(&str, &str)]| {
            let backplane =
                [("websocket.protocol", "channels"), ("gateway.backplane", "nats"), ("nats.url", "nats://a")];
            let path_is = ("websocket.path", path);
            let raw: Vec<_> = backplane.into_iter().chain([path_is]).chain(name.iter().copied()).collect();
            declarations.add("a", path, &properties(SINK_PROPERTIES, &raw), SINK_PROPERTIES)
        };
        let _trades = add("/trades", &[]).unwrap();
        let _of_the_same_path = add("/trades", &[]).unwrap();
        let _orders = add("/orders", &[]).unwrap();
        let error = add("/other", &[("gateway.backplane.name", "orders")]).unwrap_err().to_string();
        assert!(error.contains("'gateway.backplane.name'") && error.contains("/orders shares"), "{error}");
        assert!(add("/other", &[("gateway.backplane.name", "other")]).is_ok());
    }

    #[test]
    fn what_has_no_effect_is_refused_when_nobody_at_the_path_says_otherwise() {
        let declarations = Declarations::default();
        let raw = [("websocket.rate.period", "1s"), ("websocket.max.subscriptions", "9")];
        let source = declarations.add("a", "/", &properties(SOURCE_PROPERTIES, &raw), SOURCE_PROPERTIES).unwrap();
        let with = |raw| declarations.add("a", "/", &properties(SINK_PROPERTIES, raw), SINK_PROPERTIES).unwrap();
        let channels = with(&[("websocket.protocol", "channels")]);
        let error = declarations.place(&source).err().unwrap().to_string();
        assert!(error.contains("'websocket.rate.period'") && error.contains("websocket.rate.limit='0'"), "{error}");
        let limit = with(&[("websocket.rate.limit", "5")]);
        assert!(declarations.place(&source).is_ok());
        drop(channels);
        let error = declarations.place(&source).err().unwrap().to_string();
        assert!(error.contains("'websocket.max.subscriptions'"), "{error}");
        drop(limit);
    }

    #[test]
    fn who_says_otherwise_is_refused_by_name_and_who_is_gone_says_nothing() {
        let declarations = Declarations::default();
        let with = |limit| properties(SINK_PROPERTIES, &[("websocket.max.connections", limit)]);
        let first = declarations.add("a", "/", &with("7"), SINK_PROPERTIES).unwrap();
        let error = declarations.add("a", "/", &with("8"), SINK_PROPERTIES).unwrap_err().to_string();
        assert!(error.contains("'websocket.max.connections'") && error.contains("at /"), "{error}");
        assert!(
            declarations.add("a", "/", &with("7"), SINK_PROPERTIES).is_ok()
                && declarations.add("a", "/b", &with("8"), SINK_PROPERTIES).is_ok()
        );
        drop(first);
        assert!(declarations.add("a", "/", &with("8"), SINK_PROPERTIES).is_ok());
    }
}
