//! The end of a run: what is settled, what is given back.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep_until, timeout};

use super::super::inbox::NAK;
use super::super::pulls::EXPIRES;
use super::{Happened, Session, send_or_receive};

/// How long messages may be on their way that the server has sent already.
const STRAGGLERS: Duration = Duration::from_millis(100);

/// How long it may take to give messages back.
const GIVING_BACK: Duration = EXPIRES.saturating_mul(2);

impl Session<'_> {
    /// Waits until what was handed over is settled, when `is_orderly`, as long as there is time to stop; gives the rest
    /// back, so that it comes again at once, here or elsewhere.
    pub(in super::super) async fn finish(&mut self, is_orderly: bool) {
        if is_orderly {
            let limit = self.work.stop_by.time_left(Duration::MAX);
            let _ = timeout(limit, self.settle_all()).await;
        }
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.inbox.withdraw_pulls().into_iter().for_each(|id| self.pulls.withdraw(id));
        let limit = self.work.stop_by.time_left(STRAGGLERS);
        let _ = timeout(limit, self.end_pulls()).await;
        if self.ledger.len() > 0 {
            let limit = self.work.stop_by.time_left(GIVING_BACK);
            let _ = timeout(limit, self.give_back()).await;
        }
        // Acknowledgements may be left where there was nothing to give back.
        let limit = self.work.stop_by.time_left(GIVING_BACK);
        let _ = timeout(limit, self.inbox.send()).await;
        self.report.under_way(0);
    }

    async fn settle_all(&mut self) {
        while !self.settling.is_empty() {
            let progress = sleep_until(tokio::time::Instant::from_std(self.progress_at));
            let has_outgoing = self.inbox.has_outgoing() && self.connection.is_connected();
            tokio::select! {
                biased;
                Some((places, result)) = self.settling.next() => {
                    if self.settled(places, result).is_err() {
                        return;
                    }
                }
                happened = send_or_receive(&mut self.inbox, has_outgoing) => match happened {
                    Happened::Message(Some(message)) => self.receive(message),
                    Happened::Sent(Ok(())) => {}
                    _ => return,
                },
                () = progress => self.say_progress(),
            }
        }
    }

    /// Gives everything back that is not settled. Only when no pull waits any more: the server would send it to that one,
    /// and one that nobody listens to confuses servers (2.9 counts such deliveries wrong, and forgets one until the time
    /// for its acknowledgement is over).
    async fn give_back(&mut self) {
        self.end_pulls().await;
        let open: Vec<_> = self.ledger.replies().cloned().collect();
        open.into_iter().for_each(|reply| self.inbox.say(reply, NAK));
        let _ = self.inbox.send().await;
    }

    /// Takes what still comes, until every pull has ended. For ever when the connection has.
    async fn end_pulls(&mut self) {
        while !self.pulls.is_empty() {
            match self.inbox.next().await {
                Some(message) => drop(self.take(message)),
                None => std::future::pending().await,
            }
        }
    }
}
