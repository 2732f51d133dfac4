//! Counters of what peers do wrong. Their labels are bounded: configured places, and reasons from a fixed list.

use eventflux_core::metrics::Metrics;
use eventflux_gateway::auth::Denied;
use eventflux_websocket_wire::handshake::Refusal;

/// Clients that did not get beyond the handshake, by address of the listener and reason.
const REFUSED: &str = "eventflux_websocket_refused_total";

/// Connections we ended because of the peer, by endpoint (URL or path) and reason.
const VIOLATIONS: &str = "eventflux_websocket_violations_total";

/// Clients that proved who they are, or did not, by path and result.
const AUTHENTICATIONS: &str = "eventflux_websocket_authentications_total";

/// Counts a client of `path` whose credentials were judged; `None`: they were accepted.
pub(crate) fn authenticated(metrics: &Metrics, path: &str, denied: Option<&Denied>) {
    let result = denied.map_or("accepted", Denied::label);
    metrics.describe(AUTHENTICATIONS, "Clients whose credentials were judged.");
    metrics.counter(AUTHENTICATIONS, &[("endpoint", path), ("result", result)]).increment();
}

/// Counts a client that `listener` refused: with an HTTP status, or before it came to that.
pub(crate) fn refused(metrics: &Metrics, listener: &str, why: Refused<'_>) {
    let status;
    let reason = match why {
        Refused::Late => "late",
        Refused::Tls => "tls",
        Refused::ProxyHeader => "proxy_header",
        Refused::Answered(Refusal::Gone) => "gone",
        Refused::Answered(Refusal::Status { status: code, .. }) | Refused::Status(code) => {
            status = code.to_string();
            &status
        }
    };
    metrics.describe(REFUSED, "Clients that did not get beyond the handshake.");
    metrics.counter(REFUSED, &[("listener", listener), ("reason", reason)]).increment();
}

/// Counts a connection that ended with a close code of ours because of what the peer did; `None`: it was dropped, because
/// the peer was silent or stuck.
pub(crate) fn violation(metrics: &Metrics, endpoint: &str, code: Option<u16>) {
    let code = code.map(|code| code.to_string());
    let reason = code.as_deref().unwrap_or("dead");
    metrics.describe(VIOLATIONS, "Connections that were ended because of what the peer did.");
    metrics.counter(VIOLATIONS, &[("endpoint", endpoint), ("reason", reason)]).increment();
}

/// Why a client did not get beyond the handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused<'a> {
    /// Its request was not complete in time.
    Late,
    /// There is no TLS session with it.
    Tls,
    /// Its proxy did not say whom it forwards.
    ProxyHeader,
    /// It got an answer, or went away.
    Answered(&'a Refusal),
    /// It got an answer of this status.
    Status(&'a u16),
}
