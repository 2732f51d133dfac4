//! What a connection sends again: which of its streams, and when.

use std::time::Instant;

use super::super::Selection;
use super::super::methods::{Code, Order, Ordered, Refusal};
use super::super::replays::{self, Plan, ReplayBytes};
use super::{Budget, Outbound, Sending, State, Transmitted};
use crate::counters::Counters;
use crate::{FederationConfig, Now};

impl Outbound {
    /// Sends again what the peer asks for, before anything new of those streams.
    pub(in super::super) fn replay(
        &mut self,
        order: &Order,
        config: &FederationConfig,
        bytes: &ReplayBytes,
        started_ms: u64,
        now: Now,
    ) -> Result<Ordered, Refusal> {
        let chosen = self.chosen(order)?;
        let plan = |&index: &usize| {
            let sending = &self.streams[index];
            Plan::new(&sending.outlet, sending.cursor, order)
        };
        let mut plans: Vec<_> = chosen.iter().map(plan).collect();
        let ordered = replays::cut(&mut plans, order, started_ms, now.unix_ms);
        let shares = replays::reserve(&plans, bytes, config.replay_bytes as u64)?;
        let replay = |((&index, plan), share): ((&usize, &Plan<'_>), _)| {
            let writer = self.streams[index].writer.clone();
            let writer = if self.agreed { writer.replayed() } else { writer };
            (index, plan.replay(order, Some(share), writer, now.at))
        };
        let replays: Vec<_> = chosen.iter().zip(&plans).zip(shares).map(replay).collect();
        for (index, replay) in replays.into_iter().filter(|(_, replay)| !replay.is_over()) {
            self.streams[index].replay = Some(replay);
        }
        Ok(ordered)
    }

    /// The streams of which something is to be sent again.
    fn chosen(&self, order: &Order) -> Result<Vec<usize>, Refusal> {
        let is_chosen = |sending: &Sending| {
            sending.state != State::Waiting && order.stream.as_ref().is_none_or(|name| sending.name.stream == *name)
        };
        let chosen: Vec<_> = (0..self.streams.len()).filter(|&index| is_chosen(&self.streams[index])).collect();
        if let (true, Some(name)) = (chosen.is_empty(), &order.stream) {
            return Err(Refusal::invalid(format!("no stream '{}' is sent over this connection", name.escape_debug())));
        }
        if let Some(&index) = chosen.iter().find(|&&index| self.streams[index].replay.is_some()) {
            let name = self.streams[index].name.stream.escape_debug();
            return Err(Refusal::new(
                Code::Busy,
                format!("a replay of the stream '{name}' is under way on this connection"),
            ));
        }
        Ok(chosen)
    }

    /// When a replay is to make room for others.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|sending| sending.replay.as_ref()?.deadline()).min()
    }

    pub(in super::super) fn expire(&mut self, now: Instant) {
        self.streams.iter_mut().filter_map(|sending| sending.replay.as_mut()).for_each(|replay| replay.expire(now));
    }
}

impl Sending {
    /// The rest of a replay.
    pub(super) fn transmit_again(
        &mut self,
        budget: Budget,
        selection: &mut Selection,
        counters: &Counters,
        now: Now,
        sent: &mut Transmitted,
    ) {
        let Some(replay) = &mut self.replay else { return };
        let (name, binary) = (&*self.name.stream, self.binary);
        let stream = replays::Stream { outlet: &self.outlet, reader: self.reader, name, binary };
        replay.transmit(&stream, budget, selection, counters, now.at, sent);
        if replay.is_over() {
            self.replay = None;
        }
    }
}
