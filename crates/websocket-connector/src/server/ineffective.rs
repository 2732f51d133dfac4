//! Properties of a path that limit nothing, because of what the others of its sources and sinks say.

use eventflux_core::{EventFluxError, Properties};
use eventflux_gateway::dialects;

use super::backplane::BackplaneConfig;
use crate::federation;

/// Refuses what limits nothing. `is_complete`: what is not said here, nobody else at the path says.
///
/// # Errors
/// [`EventFluxError::Configuration`] for properties without effect.
pub(super) fn refuse_ineffective(properties: &Properties, is_complete: bool) -> Result<(), EventFluxError> {
    if is_complete && federation::is_federation(properties) {
        federation::refuse_switched_off(properties)?;
    }
    let is_settled = |key: &str| is_complete || properties.is_given(key);
    BackplaneConfig::refuse_ineffective(properties, is_settled)?;
    let refuse = |key, reason: &str, hint| Err(EventFluxError::property(key, reason).with_hint(hint));
    let (period, limit, limiting) = ("websocket.rate.period", "websocket.rate.limit", "websocket.rate.limiting");
    // Who turns the limit off by the environment leaves the rest as it is.
    if properties.is_given(period) && properties.is_given(limiting) && !properties.flag(limiting)? {
        let hint = "remove it, or set websocket.rate.limiting='true'";
        return refuse(period, "has no effect with websocket.rate.limiting='false'", hint);
    }
    if properties.is_given(period) && is_settled(limit) && properties.integer::<usize>(limit)? == 0 {
        let hint = "remove it, or set websocket.rate.limit='100'";
        return refuse(period, "has no effect with websocket.rate.limit='0'", hint);
    }
    let (per_user, auth) = ("websocket.max.connections.per.user", "websocket.auth");
    if properties.is_given(per_user) && is_settled(auth) && properties.text(auth)? == "none" {
        let hint = "remove it, or set websocket.max.connections.per.address; for users, add websocket.auth";
        return refuse(per_user, "has no effect with websocket.auth='none': nobody has a name", hint);
    }
    let (subscriptions, protocol, sse) = ("websocket.max.subscriptions", "websocket.protocol", "websocket.sse");
    let none_subscribes = properties.text(protocol)? == dialects::RAW && !properties.flag(sse)?;
    if properties.is_given(subscriptions) && is_settled(protocol) && is_settled(sse) && none_subscribes {
        let hint = "remove it, or set another websocket.protocol";
        return refuse(subscriptions, "has no effect with websocket.protocol='raw': everybody gets everything", hint);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SINK_PROPERTIES, SOURCE_PROPERTIES};

    const PLACE: [(&str, &str); 2] = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")];

    fn sink(raw: &[(&str, &str)]) -> Properties {
        Properties::from_pairs(SINK_PROPERTIES, PLACE.into_iter().chain(raw.iter().copied())).unwrap()
    }

    fn source(raw: &[(&str, &str)]) -> Properties {
        Properties::from_pairs(SOURCE_PROPERTIES, PLACE.into_iter().chain(raw.iter().copied())).unwrap()
    }

    /// The error names `key`, has `reason` in it, and a way out.
    #[track_caller]
    fn refused<T>(result: Result<T, EventFluxError>, key: &str, reason: &str) {
        let Err(EventFluxError::Configuration { property, reason: found, hint }) = result else {
            panic!("'{key}' is not refused")
        };
        assert_eq!(property.as_deref(), Some(key));
        assert!(found.starts_with("has no effect") && found.contains(reason), "{found}");
        assert!(hint.is_some_and(|hint| hint.starts_with("remove it")), "{key} without a hint");
    }

    const TOKENS: [(&str, &str); 2] = [("websocket.auth", "token"), ("websocket.auth.tokens", "hunter2=ann")];
    const PERIOD: (&str, &str) = ("websocket.rate.period", "1s");
    const PER_USER: (&str, &str) = ("websocket.max.connections.per.user", "3");
    const SUBSCRIPTIONS: (&str, &str) = ("websocket.max.subscriptions", "3");

    #[test]
    fn limits_that_limit_nothing_are_refused() {
        for (key, raw, reason) in [
            (PERIOD.0, &[PERIOD][..], "with websocket.rate.limit='0'"),
            (PERIOD.0, &[PERIOD, ("websocket.rate.limit", "0"), ("websocket.protocol", "events")], "rate.limit='0'"),
            (
                PERIOD.0,
                &[PERIOD, ("websocket.rate.limit", "10"), ("websocket.rate.limiting", "false")],
                "with websocket.rate.limiting='false'",
            ),
            (PER_USER.0, &[PER_USER], "with websocket.auth='none'"),
            (PER_USER.0, &[PER_USER, ("websocket.auth", "none")], "with websocket.auth='none'"),
            (SUBSCRIPTIONS.0, &[SUBSCRIPTIONS], "with websocket.protocol='raw'"),
            (SUBSCRIPTIONS.0, &[SUBSCRIPTIONS, ("websocket.sse", "false")], "with websocket.protocol='raw'"),
        ] {
            refused(refuse_ineffective(&sink(raw), true), key, reason);
            refused(refuse_ineffective(&source(raw), true), key, reason);
        }
    }

    #[test]
    fn limits_that_limit_something_are_taken() {
        for raw in [
            &[][..],
            &[PERIOD, ("websocket.rate.limit", "10")],
            &[PERIOD, ("websocket.protocol", "events")],
            &[("websocket.rate.limit", "10"), ("websocket.rate.limiting", "false")],
            &[PER_USER, TOKENS[0], TOKENS[1]],
            &[SUBSCRIPTIONS, ("websocket.protocol", "channels")],
            &[SUBSCRIPTIONS, ("websocket.sse", "true")],
        ] {
            refuse_ineffective(&source(raw), true).unwrap();
        }
    }

    #[test]
    fn what_others_at_the_path_may_still_say_is_waited_for() {
        for raw in [PERIOD, PER_USER, SUBSCRIPTIONS] {
            refuse_ineffective(&source(&[raw]), false).unwrap();
        }
        let off = [PERIOD, ("websocket.rate.limiting", "false")];
        refused(refuse_ineffective(&source(&off), false), PERIOD.0, "rate.limiting='false'");
        let nobody = [PER_USER, ("websocket.auth", "none")];
        refused(refuse_ineffective(&source(&nobody), false), PER_USER.0, "auth='none'");
    }
}
