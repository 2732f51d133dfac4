//! What others want of a link.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::Ending;
use crate::requests::{Failure, Reply, Request, Status};

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    /// To end.
    Close(Ending),
    /// To ask the peer.
    Ask(Asking),
    /// To answer the peer.
    Answer(Answer),
}

/// A question to one peer.
#[derive(Debug)]
pub(crate) struct Asking {
    /// Nobody else can guess it: a peer cannot answer what another one was asked.
    pub(crate) id: String,
    pub(crate) request: Request,
}

/// A reply of the pipeline.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The request's number on the link.
    pub(crate) number: u64,
    pub(crate) status: Status,
    pub(crate) payload: Bytes,
}

/// Names a request of a peer to the pipeline, as long as it waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    /// Of this run of this place: handles of others are never taken for one of ours.
    pub(crate) place: u64,
    pub(crate) link: u64,
    pub(crate) number: u64,
}

impl Asking {
    pub(crate) fn new(request: Request) -> Self {
        Self { id: format!("req-{}", Uuid::new_v4()), request }
    }

    /// There will be no reply, and nothing was sent.
    pub(crate) fn fail(self, connection: &Arc<str>, failure: Failure) {
        let Request { method, correlation, then, .. } = self.request;
        then(Reply {
            connection: connection.clone(),
            id: self.id,
            method,
            correlation,
            outcome: Err(failure),
            status: failure.label(),
            duration: Duration::ZERO,
        });
    }
}

impl Handle {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16).ok());
        let (place, link, number) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { place, link, number })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}-{:x}", self.place, self.link, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_it_was_written() {
        let handle = Handle { place: 0x01ab, link: 7, number: u64::MAX };
        assert_eq!(handle.to_string(), "00000000000001ab-7-ffffffffffffffff");
        assert_eq!(Handle::parse(&handle.to_string()), Some(handle));
        for text in ["", "1", "1-2", "1-2-3-4", "x-1-2", "1--2", "1-2-"] {
            assert_eq!(Handle::parse(text), None, "{text}");
        }
    }
}
