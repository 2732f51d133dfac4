//! Deliveries that are not settled: what is settled of each partition when one of them is.

use std::fmt;

use eventflux_core::{BoxFuture, EventFluxError};
use eventflux_nats::leases::Term;
use futures_util::stream::{FuturesOrdered, StreamExt};

/// Most deliveries that are not settled.
const MAX_DELIVERIES: usize = 256;

/// How far a delivery goes in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) partition: u32,
    pub(super) term: Term,
    /// The sequence behind its last message.
    pub(super) next: u64,
    /// Its messages.
    pub(super) messages: usize,
}

/// What a delivery was, and whether it is safe.
type Settled = (Vec<Part>, Result<(), EventFluxError>);

/// See the module.
pub(super) struct Progress {
    marks: FuturesOrdered<BoxFuture<'static, Settled>>,
    messages: usize,
    most: usize,
}

impl Progress {
    /// At most `most` messages, and one delivery more.
    pub(super) fn new(most: usize) -> Self {
        Self { marks: FuturesOrdered::new(), messages: 0, most }
    }

    /// Whether there may be another delivery.
    pub(super) fn has_room(&self) -> bool {
        self.messages < self.most && self.marks.len() < MAX_DELIVERIES
    }

    /// Whether everything is settled.
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// What was delivered, and what resolves when it is settled.
    pub(super) fn push(&mut self, parts: Vec<Part>, settled: BoxFuture<'static, Result<(), EventFluxError>>) {
        self.messages += parts.iter().map(|part| part.messages).sum::<usize>();
        self.marks.push_back(Box::pin(async move {
            let result = settled.await;
            (parts, result)
        }));
    }

    /// The next delivery that is settled, in order; never when there is none. Cancel safe.
    ///
    /// # Errors
    /// What the pipeline answered: it is not safe.
    pub(super) async fn next(&mut self) -> Result<Vec<Part>, EventFluxError> {
        let Some((parts, result)) = self.marks.next().await else { return std::future::pending().await };
        self.messages -= parts.iter().map(|part| part.messages).sum::<usize>();
        result.map(|()| parts)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("messages", &self.messages).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    fn part(next: u64) -> Part {
        Part { partition: 0, term: Term::default(), next, messages: 10 }
    }

    fn pushed(progress: &mut Progress, next: u64) -> oneshot::Sender<Result<(), EventFluxError>> {
        let (sender, receiver) = oneshot::channel();
        progress.push(vec![part(next)], Box::pin(async move { receiver.await.unwrap() }));
        sender
    }

    #[test]
    fn deliveries_settle_in_order_and_make_room() {
        let mut progress = Progress::new(20);
        let first = pushed(&mut progress, 10);
        assert!(progress.has_room());
        let second = pushed(&mut progress, 20);
        assert!(!progress.has_room());
        second.send(Ok(())).unwrap();
        assert!(progress.next().now_or_never().is_none());
        first.send(Ok(())).unwrap();
        assert_eq!(progress.next().now_or_never(), Some(Ok(vec![part(10)])));
        assert!(progress.has_room());
        assert_eq!(progress.next().now_or_never(), Some(Ok(vec![part(20)])));
        assert!(progress.is_empty() && progress.next().now_or_never().is_none());
    }

    #[test]
    fn what_does_not_settle_is_told() {
        let mut progress = Progress::new(20);
        pushed(&mut progress, 10).send(Err(EventFluxError::Stopped)).unwrap();
        assert_eq!(progress.next().now_or_never(), Some(Err(EventFluxError::Stopped)));
    }

    #[test]
    fn the_number_of_deliveries_is_bounded_too() {
        let mut progress = Progress::new(usize::MAX);
        let senders: Vec<_> = (0..MAX_DELIVERIES as u64).map(|next| pushed(&mut progress, next)).collect();
        assert!(!progress.has_room());
        drop(senders);
    }
}
