//! Events that are too large for the peer: passed over, so that those behind them get through.

use super::{Largest, Outbound, Portion, Sending, State, Transmitted};

/// An event that the peer does not take.
pub(super) struct Oversized {
    pub(super) sequence: u64,
    pub(super) payload: Vec<u8>,
}

impl Outbound {
    /// The peer took a message for too large that it had not said to be: the largest under way, as it must be.
    pub(in super::super) fn refused_as_too_large(&mut self) {
        let of =
            |sending: &Sending| sending.flight.portions.iter().map(|portion| portion.largest).max().unwrap_or_default();
        let Some(sending) = self.streams.iter().max_by_key(|sending| of(sending)) else { return };
        let Largest { bytes, sequence } = of(sending);
        if bytes > 0 {
            sending.outlet.refuse(sequence);
        }
    }
}

impl Sending {
    /// The event is not sent: who acknowledges is told that it is missing.
    pub(super) fn pass_over(&mut self, event: Oversized, sent: &mut Transmitted) {
        let Oversized { sequence, payload } = event;
        let bytes = payload.len();
        log::warn!("stream {}: event {sequence} of {bytes} bytes is too large for the peer", self.name.stream);
        self.outlet.passed_over(sequence, payload);
        if self.state == State::Acknowledged {
            let next = sequence + 1;
            self.flight.push(Portion::gap(next));
            sent.gaps.push(self.gap(next, "too_large", Some(1)));
        }
        self.outlet_goes_on();
    }
}
