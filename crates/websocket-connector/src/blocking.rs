//! From a blocking call into the shared runtime and back.

use std::sync::mpsc;
use std::time::Duration;

use eventflux_core::{EventFluxError, runtime};

/// Runs `future` on the shared runtime and waits for it, blocking, for at most `limit`; `None` when that passes (the
/// future goes on). Works inside and outside of a runtime.
///
/// # Errors
/// When the shared runtime cannot be started.
pub(crate) fn run<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    limit: Duration,
) -> Result<Option<T>, EventFluxError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime::shared()?.spawn(async move {
        // Nobody listens any more when the limit has passed.
        let _ = sender.send(future.await);
    });
    Ok(receiver.recv_timeout(limit).ok())
}
