//! How much a pull consumer has been asked for. Knows no socket and no clock.

/// Most messages that are asked for and have not come.
pub(super) const WINDOW_MESSAGES: usize = 2048;

/// Most bytes that one request asks for, unless a message is larger.
pub(super) const REQUEST_BYTES: usize = 4 << 20;

/// What a request asks for at most, for messages that are larger.
const MAX_REQUEST_BYTES: usize = 256 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Demand {
    outstanding: usize,
    request_bytes: usize,
    /// Whether something came since the last request that ended because of its size.
    progress: bool,
}

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Demand {
    pub(super) fn new() -> Self {
        Self { outstanding: 0, request_bytes: REQUEST_BYTES, progress: true }
    }

    /// What to ask for now, so that the server never has to wait for a request; [`asked`](Self::asked) says that it was.
    pub(super) fn ask(&self) -> Option<Ask> {
        let low = self.outstanding <= WINDOW_MESSAGES / 2;
        low.then(|| Ask { messages: WINDOW_MESSAGES - self.outstanding, bytes: self.request_bytes })
    }

    pub(super) fn asked(&mut self, ask: Ask) {
        self.outstanding += ask.messages;
    }

    /// A message has come.
    pub(super) fn received(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.progress = true;
    }

    /// A request has ended, of which `left` messages have not come; `None`: the server does not say.
    pub(super) fn ended(&mut self, left: Option<usize>) {
        self.outstanding = left.map_or(0, |left| self.outstanding.saturating_sub(left));
    }

    /// A request has ended because the next message is larger than what is left of it. When that was all of it, the next one
    /// asks for more.
    pub(super) fn too_large(&mut self, left: Option<usize>) {
        self.ended(left);
        if !std::mem::take(&mut self.progress) {
            self.request_bytes = (self.request_bytes * 2).min(MAX_REQUEST_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(demand: &mut Demand) -> usize {
        let Some(ask) = demand.ask() else { return 0 };
        demand.asked(ask);
        ask.messages
    }

    #[test]
    fn half_a_window_is_asked_for_before_the_other_half_has_come() {
        let mut demand = Demand::new();
        assert_eq!([ask(&mut demand), ask(&mut demand)], [WINDOW_MESSAGES, 0]);
        for _ in 1..WINDOW_MESSAGES / 2 {
            demand.received();
            assert_eq!(demand.ask(), None);
        }
        demand.received();
        assert_eq!(ask(&mut demand), WINDOW_MESSAGES / 2);
    }

    #[test]
    fn what_a_request_left_is_asked_for_again() {
        let mut demand = Demand::new();
        ask(&mut demand);
        demand.received();
        demand.ended(Some(WINDOW_MESSAGES - 1));
        assert_eq!(ask(&mut demand), WINDOW_MESSAGES);
        demand.ended(None);
        assert_eq!(ask(&mut demand), WINDOW_MESSAGES);
    }

    #[test]
    fn a_request_grows_for_a_message_that_does_not_fit_and_only_for_that() {
        let mut demand = Demand::new();
        demand.received();
        demand.too_large(None);
        assert_eq!(demand.ask().unwrap().bytes, REQUEST_BYTES);
        demand.too_large(None);
        assert_eq!(demand.ask().unwrap().bytes, 2 * REQUEST_BYTES);
        demand.received();
        demand.too_large(None);
        assert_eq!(demand.ask().unwrap().bytes, 2 * REQUEST_BYTES);
        for _ in 0..20 {
            demand.too_large(None);
        }
        assert_eq!(demand.ask().unwrap().bytes, MAX_REQUEST_BYTES);
    }
}
