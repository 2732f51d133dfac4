//! A link between two pipelines. Its messages are the business of `eventflux-federation`; what is shared with the other
//! protocols is who is let in, for how long, and how many.

use bytes::Bytes;

use super::{Dialect, Event, Rejected, Reply, Request, Traits};
use crate::Problem;

/// See the module.
#[derive(Debug)]
pub(super) struct Federation;

impl Dialect for Federation {
    fn name(&self) -> &'static str {
        "federation"
    }

    fn traits(&self) -> Traits {
        Traits { links: true, ..Traits::default() }
    }

    fn parse(&self, _: &Bytes) -> Result<Request, Rejected> {
        Err(Problem::InvalidMessage("nothing is asked of the hub over a link".to_owned()).into())
    }

    fn reply(&self, _: &Reply<'_>) -> Option<String> {
        None
    }

    fn event(&self, event: &Event<'_>, text: &mut Vec<u8>) -> usize {
        let payload = text.len();
        text.extend_from_slice(event.payload);
        payload
    }
}
