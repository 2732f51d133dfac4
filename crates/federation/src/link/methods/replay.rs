//! `replay`: the peer wants events again that were sent before it came, or that it has lost.

use serde::Serialize;

use super::{Params, Refusal};

/// Events that a peer may ask for.
const MAX_COUNT: u64 = 1_000_000_000;

/// The end of the year 9999, in milliseconds since 1970-01-01T00:00:00Z.
const MAX_TIME_MS: u64 = 253_402_300_799_999;

/// Bytes of the name of a stream.
const MAX_STREAM_BYTES: usize = 256;

/// Which events are wanted, of those before the one that is sent next.
///
/// With a `start_time`, the first `count` events from then on; without, the last `count` ones. All of them where there is no
/// `count`; of all streams together where there is no `stream`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct Order {
    pub(in super::super) count: Option<u64>,
    /// Published at this time or later, in milliseconds since 1970-01-01T00:00:00Z.
    pub(in super::super) start_time: Option<u64>,
    /// Published at this time or before.
    pub(in super::super) end_time: Option<u64>,
    pub(in super::super) stream: Option<String>,
}

/// What there is of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in super::super) struct Ordered {
    /// Events that will be looked at: what the peer has not subscribed to is left out of them.
    pub(in super::super) messages_available: u64,
    /// Whether there is anything to send.
    pub(in super::super) replay_started: bool,
    #[serde(flatten)]
    pub(in super::super) truncation: Option<Truncation>,
}

/// Something that was asked for is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(in super::super) struct Truncation {
    /// Always.
    pub(in super::super) truncated: bool,
    pub(in super::super) reason: TruncationReason,
    /// When the oldest event was published that there is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) first_available: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum TruncationReason {
    /// It is older than what is kept.
    HistoryGone,
    /// It was published before this end was started, and went with the memory of the run before.
    EpochChanged,
}

impl Order {
    pub(in super::super) fn read(mut params: Params) -> Result<Self, Refusal> {
        let order = Self {
            count: params.whole("count", 1, MAX_COUNT)?,
            start_time: params.whole("start_time", 0, MAX_TIME_MS)?,
            end_time: params.whole("end_time", 0, MAX_TIME_MS)?,
            stream: params.text("stream", MAX_STREAM_BYTES)?,
        };
        params.finish("count, start_time, end_time, stream")?;
        if let (Some(start), Some(end)) = (order.start_time, order.end_time)
            && end < start
        {
            return Err(Refusal::invalid("'end_time' is before 'start_time'"));
        }
        Ok(order)
    }
}
