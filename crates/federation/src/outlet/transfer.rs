//! What one receiver has not acknowledged goes to another one.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Outlet, Read};
use crate::Now;
use crate::signal::Signal;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads in the place of a receiver that is away, and publishes what it reads into another outlet. What is settled there is
/// acknowledged here, and not before: until then it is kept in both, so that nothing is lost whoever goes away next. When
/// the receiver comes back it goes on where it was, and may get what the other one gets too.
#[derive(Debug)]
pub struct Transfer {
    from: Arc<Outlet>,
    to: Arc<Outlet>,
    reader: u64,
    signal: Arc<Signal>,
    /// The next event to read.
    cursor: u64,
    /// What is to be acknowledged (everything before), and the mark that has to be settled for it.
    published: VecDeque<(u64, u64)>,
    transferred: u64,
    now: Now,
}

impl Transfer {
    /// Takes the place of `receiver` at `from`. `None` when it is not waited for there.
    #[must_use]
    pub fn new(from: &Arc<Outlet>, to: &Arc<Outlet>, receiver: &str, now: Now) -> Option<Self> {
        let signal = Arc::<Signal>::default();
        let reader = from.attach(&signal);
        let Some(joined) = from.join(reader, receiver, false, now) else {
            from.detach(reader, now.unix_ms);
            return None;
        };
        Some(Self {
            from: from.clone(),
            to: to.clone(),
            reader,
            signal,
            cursor: joined.next,
            published: VecDeque::new(),
            transferred: 0,
            now,
        })
    }

    /// Gets done what can be done now. Ready when the receiver is back.
    pub fn poll(&mut self, cx: &mut Context<'_>, now: Now) -> Poll<()> {
        self.now = now;
        self.signal.register(cx.waker());
        self.to.register_room(cx.waker());
        self.to.register_settled(cx.waker());
        self.signal.answer();
        if self.from.is_replaced(self.reader) {
            return Poll::Ready(());
        }
        self.acknowledge();
        while !self.to.is_closed() && self.to.has_room() && self.pass_on() {}
        Poll::Pending
    }

    /// Events so far.
    #[must_use]
    pub fn transferred(&self) -> u64 {
        self.transferred
    }

    fn acknowledge(&mut self) {
        let mut settled = None;
        while let Some((next, mark)) = self.published.front()
            && self.to.is_settled(*mark)
        {
            settled = Some(*next);
            self.published.pop_front();
        }
        if let Some(next) = settled {
            self.from.acknowledge(self.reader, next, self.now);
        }
    }

    /// One chunk; whether there was one.
    fn pass_on(&mut self) -> bool {
        let (mut payloads, mut bytes, mut cursor) = (Vec::new(), 0, self.cursor);
        let read = self.from.read(self.reader, self.cursor, |entered| {
            if bytes >= CHUNK_BYTES {
                return ControlFlow::Break(());
            }
            bytes += entered.payload.len() + size_of::<Vec<u8>>();
            payloads.push(entered.payload.to_vec());
            cursor = entered.sequence + 1;
            ControlFlow::Continue(())
        });
        if let Read::Gone(first) = read {
            // It made room for others, and was counted.
            self.cursor = first;
            return true;
        }
        if payloads.is_empty() {
            return false;
        }
        self.cursor = cursor;
        self.transferred += payloads.len() as u64;
        self.to.publish(payloads.iter().map(|payload| &payload[..]), self.now);
        self.published.push_back((cursor, self.to.mark()));
        // What is still to be loaded rings.
        read == Read::Done
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.from.detach(self.reader, self.now.unix_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures_util::task::noop_waker;

    use super::*;
    use crate::envelope::Content;
    use crate::{FullPolicy, History, OutletConfig, OutletCounters};

    const NOW_MS: u64 = 1_000;

    fn now() -> Now {
        Now { at: Instant::now(), unix_ms: NOW_MS }
    }

    fn outlet(queue_bytes: usize) -> Arc<Outlet> {
        let config = OutletConfig {
            stream: "s".to_owned(),
            content: Content::Json,
            queue_bytes,
            full: FullPolicy::Block,
            history: History::default(),
            max_receivers: 1,
            forget_after: Duration::from_secs(60),
            expects_receiver: true,
        };
        Arc::new(Outlet::new(config, OutletCounters::default()))
    }

    fn publish(outlet: &Outlet, count: usize) {
        outlet.publish(std::iter::repeat_n(&b"1"[..], count), now());
    }

    fn poll(transfer: &mut Transfer) -> Poll<()> {
        transfer.poll(&mut Context::from_waker(&noop_waker()), now())
    }

    /// A receiver that takes everything there is.
    fn take_all(outlet: &Outlet) -> u64 {
        let reader = outlet.attach(&Arc::default());
        let next = outlet.join(reader, "peer", false, now()).unwrap().next;
        let end = outlet.range().1;
        outlet.acknowledge(reader, end, now());
        outlet.detach(reader, NOW_MS);
        end - next
    }

    #[test]
    fn what_goes_elsewhere_is_acknowledged_when_it_is_settled_there() {
        let (from, to) = (outlet(1 << 20), outlet(1 << 20));
        publish(&from, 10);
        let mark = from.mark();
        let mut transfer = Transfer::new(&from, &to, "peer", now()).unwrap();
        assert!(poll(&mut transfer).is_pending());
        assert_eq!((transfer.transferred(), to.published(), from.is_settled(mark)), (10, 10, false));
        assert_eq!(take_all(&to), 10);
        assert!(poll(&mut transfer).is_pending());
        assert!(from.is_settled(mark));
    }

    #[test]
    fn a_receiver_that_comes_back_goes_on_where_it_was() {
        let (from, to) = (outlet(1 << 20), outlet(1 << 20));
        publish(&from, 10);
        let mut transfer = Transfer::new(&from, &to, "peer", now()).unwrap();
        assert!(poll(&mut transfer).is_pending());
        assert_eq!(take_all(&from), 10);
        assert!(poll(&mut transfer).is_ready());
    }

    #[test]
    fn no_more_goes_elsewhere_than_finds_room_there() {
        let (from, to) = (outlet(1 << 20), outlet(1_000));
        publish(&from, 10_000);
        let mut transfer = Transfer::new(&from, &to, "peer", now()).unwrap();
        let mut taken = 0;
        while taken < 10_000 {
            assert!(poll(&mut transfer).is_pending());
            assert!(to.bytes() < 2 * CHUNK_BYTES, "{}", to.bytes());
            taken += take_all(&to);
        }
        assert_eq!((taken, transfer.transferred()), (10_000, 10_000));
        assert!(poll(&mut transfer).is_pending());
        assert!(from.is_settled(from.mark()));
    }
}
