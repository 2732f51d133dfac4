//! The list of servers.

use eventflux_core::EventFluxError;
use url::Url;

const KEY: &str = "nats.url";
const EXAMPLE: &str = "nats://host:port, or tls://host:port; several separated by commas";

/// Most servers that can be named; a cluster tells of its others itself.
pub(super) const MAX_SERVERS: usize = 64;

/// The URLs in `text`, each `nats://host:port` or `tls://host:port`.
pub(super) fn parse(text: &str) -> Result<Vec<String>, EventFluxError> {
    let servers = text.split(',').map(|entry| server(entry.trim())).collect::<Result<Vec<_>, _>>()?;
    if servers.len() > MAX_SERVERS {
        return Err(EventFluxError::property(KEY, format!("names more than {MAX_SERVERS} servers")));
    }
    if let Some(again) = servers.iter().enumerate().find(|(at, server)| servers[..*at].contains(server)) {
        return Err(EventFluxError::property(KEY, format!("names {} twice", again.1)));
    }
    Ok(servers)
}

/// No text of the entry is in an error before it is known that nothing secret is in it.
fn server(entry: &str) -> Result<String, EventFluxError> {
    let wrong = |reason: &str| Err(EventFluxError::property(KEY, reason).with_hint(EXAMPLE));
    if entry.is_empty() {
        return wrong("has an empty entry");
    }
    if entry.contains('@') {
        let error = EventFluxError::property(KEY, "has credentials in it, or another @");
        return Err(
            error.with_hint("nats.user and nats.password, nats.token, nats.nkey or nats.credentials say who we are")
        );
    }
    let Ok(url) = Url::parse(entry) else { return wrong("has an entry that is no URL") };
    if !entry.contains("://") || !matches!(url.scheme(), "nats" | "tls") {
        return wrong("has an entry that does not begin with nats:// or tls://");
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return wrong("has an entry without a host");
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("has an entry with more than a host and a port");
    }
    Ok(format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(4222)))
}
