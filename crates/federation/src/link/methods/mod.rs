//! What a peer may ask this end to do: the methods of the protocol, and what they have in common.
//!
//! | Method | Params | Effect |
//! |---|---|---|
//! | `backpressure` | `rate_limit`, `unit`? | no more than so many events per second from now on; 0 pauses, `"unlimited"` lifts |
//! | `subscribe` | `filter`, `streams`? | events that the filter matches, of these streams; several add up |
//! | `unsubscribe` | `subscription_id` | takes a subscription back; with the last one the peer gets everything again |
//! | `replay` | `count`?, `start_time`?, `end_time`?, `stream`? | sends again what was sent, before anything new |
//! | `status` | | tells how this end is doing |
//! | `announce` | `capabilities` | what the peer can take: `message_types`, `region`, `max_rate`; the last one counts |
//! | `authenticate` | `token` | a new token in place of the one that the connection began with |
//!
//! What a peer has said holds as long as its connection. Params that a method does not have are refused; `unsubscribe` and
//! `authenticate` go beyond the protocol as it was first written down, and so do `filter` as SQL or `null`, `streams`,
//! `end_time` and `stream`.

mod announce;
mod authenticate;
mod backpressure;
mod params;
mod replay;
mod status;
mod subscribe;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[cfg(test)]
pub(super) use self::announce::MAX_TYPES;
pub(super) use self::announce::announce;
pub(super) use self::authenticate::{authenticated, token};
pub(super) use self::backpressure::backpressure;
pub(super) use self::params::Params;
pub(super) use self::replay::{Order, Ordered, Truncation, TruncationReason};
pub(super) use self::status::StatusReport;
pub(super) use self::subscribe::{subscribe, unsubscribe};

use crate::envelope::{Content, Envelope};
use crate::requests::MAX_METHOD_BYTES;

/// The only unit of rates there is.
const UNIT: &str = "msg/sec";

/// The methods that are answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Method {
    Backpressure,
    Subscribe,
    Replay,
    Status,
    Announce,
    Unsubscribe,
    Authenticate,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::Backpressure,
        Self::Subscribe,
        Self::Replay,
        Self::Status,
        Self::Announce,
        Self::Unsubscribe,
        Self::Authenticate,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Backpressure => "backpressure",
            Self::Subscribe => "subscribe",
            Self::Replay => "replay",
            Self::Status => "status",
            Self::Announce => "announce",
            Self::Unsubscribe => "unsubscribe",
            Self::Authenticate => "authenticate",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// There is none of that name.
    pub(super) fn unknown(name: &str) -> Refusal {
        let known = Self::ALL.map(Self::name).join(", ");
        Refusal::new(Code::UnknownMethod, format!("there is no method '{}'; there are {known}", name.escape_debug()))
    }
}

/// Why a request is not carried out. Goes to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

/// What a program makes of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// The request makes no sense as it is.
    Invalid,
    /// Requests are switched off here.
    Disabled,
    /// A request of that id is under way.
    DuplicateId,
    /// Too much is under way; later it may be done.
    Busy,
    /// The connection has as much of it as it may have.
    Limit,
    /// Nobody knows that method.
    UnknownMethod,
    /// Nobody answered it in time.
    Timeout,
    /// The connection ended before it was answered.
    Disconnected,
    /// Not with these credentials.
    Forbidden,
    /// The pipeline could not do it, and gave no code of its own.
    Failed,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }

    /// The payload of the reply.
    pub(super) fn payload(&self) -> Bytes {
        #[derive(Serialize)]
        struct Problem<'a> {
            code: Code,
            message: &'a str,
        }
        error(&Problem { code: self.code, message: &self.message })
    }
}

/// The payload of a reply to what was not carried out.
pub(super) fn error(error: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Payload<'a, T> {
        status: &'static str,
        error: &'a T,
    }
    json(&Payload { status: "error", error })
}

/// The payload of a reply to what was carried out.
pub(super) fn ok(result: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Payload<'a, T> {
        status: &'static str,
        result: &'a T,
    }
    json(&Payload { status: "ok", result })
}

/// What is made here always serialises.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// The payload of a request.
#[derive(Debug, Deserialize)]
pub(super) struct Call<'a> {
    pub(super) method: String,
    /// `null` counts as left out.
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
}

impl<'a> Call<'a> {
    pub(super) fn read(envelope: &'a Envelope) -> Result<Self, Refusal> {
        let shape = "the payload of a request is {\"method\": <text>, \"params\": <object>}";
        if envelope.content == Content::Binary {
            return Err(Refusal::invalid(format!("{shape}, and this one is bytes")));
        }
        let call: Self = serde_json::from_slice(&envelope.payload)
            .map_err(|error| Refusal::invalid(format!("{shape}: {}", params::without_values(&error))))?;
        if call.method.is_empty() || call.method.len() > MAX_METHOD_BYTES {
            return Err(Refusal::invalid(format!("the name of a method has 1 to {MAX_METHOD_BYTES} bytes")));
        }
        if call.params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(Refusal::invalid("'params' has to be an object"));
        }
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::METHOD_LABELS;

    #[test]
    fn every_method_has_a_label_of_its_own() {
        for method in Method::ALL {
            assert!(METHOD_LABELS.contains(&method.name()));
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
        assert_eq!(METHOD_LABELS.len(), Method::ALL.len() + 1);
    }
}
