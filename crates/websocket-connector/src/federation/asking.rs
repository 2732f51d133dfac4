//! A question to a peer, and the future of its reply.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use eventflux_federation::{Failure, Request, RequestError, To};
use tokio::sync::oneshot;

use super::Place;

/// Asks one peer. Returns what will become of it: the payload of its reply, or why there is none.
///
/// # Errors
/// Why nobody is asked.
pub(super) fn ask(
    place: &Place,
    to: To<'_>,
    method: &str,
    params: Bytes,
) -> Result<impl Future<Output = Result<Bytes, Failure>> + use<>, RequestError> {
    let (sender, reply) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let request = Request {
        method: method.to_owned(),
        params,
        timeout: None,
        correlation: None,
        then: Arc::new(move |reply| {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Whoever asked may have lost interest.
            let _ = sender.map(|sender| sender.send(reply.outcome));
        }),
    };
    place.federation().request(to, request)?;
    Ok(async move { reply.await.unwrap_or(Err(Failure::Disconnected)) })
}
