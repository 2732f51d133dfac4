//! Events that go out again because the peer asked for them. What is new of their stream waits behind them.
//!
//! They move no position: neither the place from which the stream goes on, nor what counts as under way or acknowledged.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Selection;
use super::methods::{Code, Order, Ordered, Refusal, Truncation, TruncationReason};
use super::sending::{Budget, MAX_LOOKS, Transmitted, append};
use crate::counters::Counters;
use crate::envelope::DataWriter;
use crate::outlet::{Entered, Outlet, Past, Read};

/// A replay that gets nowhere for so long makes room for others, and goes on when it can.
const STALL: Duration = Duration::from_secs(60);

/// Bytes that the replays of all connections have before them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplayBytes(Arc<AtomicU64>);

/// A replay's part of it.
#[derive(Debug)]
pub(super) struct Share {
    total: ReplayBytes,
    bytes: u64,
}

impl ReplayBytes {
    /// A part, if there is room for it below `max`. The only replay there is may be larger.
    fn reserve(&self, bytes: u64, max: u64) -> Option<Share> {
        let more = |total: u64| (total == 0 || total.saturating_add(bytes) <= max).then(|| total.saturating_add(bytes));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Share { total: self.clone(), bytes })
    }
}

impl Share {
    /// So much has been sent.
    fn give_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.total.0.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(u64::MAX);
    }
}

/// What is planned for one stream.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    outlet: &'a Outlet,
    past: Past,
    from: u64,
    to: u64,
}

impl<'a> Plan<'a> {
    /// For what was published before event `end`.
    pub(super) fn new(outlet: &'a Outlet, end: u64, order: &Order) -> Self {
        let past = outlet.past(end, order.start_time, order.end_time);
        let (from, to) = (past.from, past.to);
        Self { outlet, past, from, to }
    }

    fn len(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Where the events published at `time_ms` or later begin.
    fn since(&self, time_ms: u64) -> u64 {
        self.outlet.since(time_ms).clamp(self.from, self.to.max(self.from))
    }

    pub(super) fn replay(&self, order: &Order, share: Option<Share>, writer: DataWriter, now: Instant) -> Replay {
        Replay {
            next: self.from,
            end: self.to,
            published: order.start_time.unwrap_or(0)..=order.end_time.unwrap_or(u64::MAX),
            writer,
            share,
            moved: now,
        }
    }
}

/// Cuts the plans to as many events as are wanted. What there is of them.
pub(super) fn cut(plans: &mut [Plan<'_>], order: &Order, started_ms: u64, now_ms: u64) -> Ordered {
    let total: u64 = plans.iter().map(Plan::len).sum();
    let truncation = plans.iter().filter_map(|plan| truncation(plan, order, total, started_ms)).reduce(earlier);
    if let Some(count) = order.count.filter(|count| *count < total) {
        let forward = order.start_time.is_some();
        let places = split(plans, if forward { count } else { total - count }, now_ms);
        for (plan, place) in plans.iter_mut().zip(places) {
            let end = if forward { &mut plan.to } else { &mut plan.from };
            *end = place;
        }
    }
    let messages_available = plans.iter().map(Plan::len).sum();
    Ordered { messages_available, replay_started: messages_available > 0, truncation }
}

/// Room for the plans, one share each.
pub(super) fn reserve(plans: &[Plan<'_>], bytes: &ReplayBytes, max: u64) -> Result<Vec<Share>, Refusal> {
    let weights: Vec<_> = plans.iter().map(|plan| plan.outlet.weight(plan.from, plan.to)).collect();
    let Some(mut whole) = bytes.reserve(weights.iter().sum(), max) else {
        let message =
            format!("replays of {max} bytes are under way here, and there is no room for another one; try again later");
        return Err(Refusal::new(Code::Busy, message));
    };
    let shares = weights.into_iter().map(|weight| Share { total: bytes.clone(), bytes: weight }).collect();
    // They have it now.
    whole.bytes = 0;
    Ok(shares)
}

/// What is gone of what was asked for.
fn truncation(plan: &Plan<'_>, order: &Order, total: u64, started_ms: u64) -> Option<Truncation> {
    let first_available = plan.past.first_ms;
    let truncation = |reason| Some(Truncation { truncated: true, reason, first_available });
    if !plan.past.is_stored && order.start_time.is_some_and(|start| start < started_ms) {
        return truncation(TruncationReason::EpochChanged);
    }
    // Events are counted from 1.
    let reaches_back = match (order.start_time, order.count) {
        (Some(start), _) => first_available.is_none_or(|first| start < first),
        (None, Some(count)) => total < count,
        (None, None) => true,
    };
    let is_gone = plan.past.first > 1 && reaches_back;
    if is_gone { truncation(TruncationReason::HistoryGone) } else { None }
}

fn earlier(one: Truncation, other: Truncation) -> Truncation {
    let first_available = [one.first_available, other.first_available].into_iter().flatten().min();
    Truncation { first_available, ..one }
}

/// Of each stream, the place before which it has its part of the first `count` events of all streams, by time. There have to
/// be as many.
fn split(plans: &[Plan<'_>], count: u64, now_ms: u64) -> Vec<u64> {
    if let [plan] = plans {
        return vec![plan.from + count];
    }
    let before = |time_ms: u64| plans.iter().map(|plan| plan.since(time_ms) - plan.from).sum::<u64>();
    // The earliest time before which there are enough; a clock that was set back may have given later ones than now.
    let (mut low, mut high) = (0, now_ms.saturating_add(1));
    while before(high) < count && high < u64::MAX {
        (low, high) = (high, high.saturating_mul(2));
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) < count { low = middle + 1 } else { high = middle }
    }
    // Of several at the last moment, as many as are wanted.
    let mut excess = before(low).saturating_sub(count);
    let place = |plan: &Plan<'_>| {
        let (end, least) = (plan.since(low), plan.since(low.saturating_sub(1)));
        let less = excess.min(end - least);
        excess -= less;
        end - less
    };
    plans.iter().map(place).collect()
}

/// One stream's events that go out again.
#[derive(Debug)]
pub(super) struct Replay {
    /// The next one.
    next: u64,
    end: u64,
    /// Only those that were published in this time: a store does not tell where it begins.
    published: std::ops::RangeInclusive<u64>,
    writer: DataWriter,
    share: Option<Share>,
    /// When something was sent last.
    moved: Instant,
}

/// Where a replay reads, and how it writes.
pub(super) struct Stream<'a> {
    pub(super) outlet: &'a Outlet,
    pub(super) reader: u64,
    pub(super) name: &'a str,
    pub(super) binary: bool,
}

impl Replay {
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// When it is to make room for others.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.share.is_some().then(|| self.moved + STALL)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.share = None;
        }
    }

    pub(super) fn transmit(
        &mut self,
        stream: &Stream<'_>,
        mut budget: Budget,
        selection: &mut Selection,
        counters: &Counters,
        now: Instant,
        sent: &mut Transmitted,
    ) {
        if budget.is_spent() {
            return;
        }
        let (mut buffer, mut ends, mut looks, mut filtered) = (Vec::new(), Vec::new(), 0, 0);
        let (mut next, mut weight) = (self.next, 0);
        let refused = stream.outlet.refused();
        let read = stream.outlet.read(stream.reader, self.next, |Entered { sequence, time_ms, payload }| {
            if sequence >= self.end || looks == MAX_LOOKS || budget.is_spent() {
                return ControlFlow::Break(());
            }
            looks += 1;
            next = sequence + 1;
            weight += payload.len() as u64;
            if !self.published.contains(&time_ms) {
                return ControlFlow::Continue(());
            }
            if !selection.wants(stream.name, payload) {
                filtered += 1;
                return ControlFlow::Continue(());
            }
            let start = buffer.len();
            match self.writer.write(sequence, time_ms, payload, &mut buffer) {
                // The peer was told of it when it was new.
                Ok(_) if budget.is_oversized(buffer.len() - start) || refused.contains(&sequence) => {
                    buffer.truncate(start)
                }
                Ok(_) => {
                    ends.push(buffer.len());
                    budget.spend(payload.len());
                }
                // It was counted when it was new.
                Err(error) => log::debug!("stream {}: event {sequence} cannot be sent again: {error}", stream.name),
            }
            ControlFlow::Continue(())
        });
        self.next = next;
        if let Read::Gone(first) = read {
            self.skip_to(first, stream.name, counters);
        }
        if looks > 0 {
            self.moved = now;
        }
        self.share.iter_mut().for_each(|share| share.give_back(weight));
        counters.filtered.add(filtered);
        counters.replayed.add(ends.len() as u64);
        selection.spend(ends.len() as u64);
        if self.is_over() || looks == MAX_LOOKS || matches!(read, Read::Gone(_)) {
            stream.outlet.ring(stream.reader);
        }
        append(buffer, &ends, stream.binary, &mut sent.messages);
    }

    /// Room was made for newer ones meanwhile.
    fn skip_to(&mut self, first: u64, stream: &str, counters: &Counters) {
        let place = first.clamp(self.next, self.end.max(self.next));
        let missing = place - self.next;
        log::warn!("stream {stream}: {missing} events were forgotten before they could be replayed");
        counters.unreplayed.add(missing);
        self.next = place;
    }
}
