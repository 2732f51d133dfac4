//! Connections come, carry and go.

use eventflux_federation::{Link, Opening};

use crate::process::FOR_EVER;
use crate::scenario::one_of;
use crate::wire::{Connection, Half, InFlight, Seen, look_into};
use crate::world::{Action, Held, World, name};

/// Turns of a driver in which nothing happens in between.
const MAX_TURNS: usize = 100;

/// Batches that a pipeline is busy with before it reads no more.
const MAX_HELD: usize = 8;

impl World {
    pub(crate) fn dial(&mut self, receiver: usize) {
        let is_there = self.current[receiver].is_some_and(|number| self.end(number, self.dialler).is_some());
        if is_there {
            return;
        }
        if self.nodes[receiver].away_until == FOR_EVER {
            return;
        }
        if self.at < self.nodes[receiver].away_until {
            let delay = self.nodes[receiver].away_until - self.at;
            self.later(delay, Action::Dial(receiver));
            return;
        }
        self.connect(receiver);
    }

    /// Opens a connection, whichever there are.
    pub(crate) fn connect(&mut self, receiver: usize) {
        self.dialled += 1;
        let number = self.dialled;
        let nodes = [0, receiver];
        let agreed = self.scenario.agreed;
        let halves = [0, 1].map(|side| {
            let knows = if agreed { side == self.dialler && self.rng.bool() } else { side == 0 };
            let opening = Opening {
                connection: format!("{number}-{side}"),
                agreed,
                receiver: knows.then(|| name(nodes[1 - side])),
            };
            Some(Half::new(Link::new(&self.nodes[nodes[side]].federation, opening, self.now()).expect("both agree")))
        });
        if !agreed {
            // Nobody recognises what comes again.
            self.model.restart(0);
            self.model.restart(receiver);
        }
        let latency = self.rng.u64(..40);
        let wires = Default::default();
        self.connections.insert(number, Connection { number, nodes, agreed, halves, wires, is_cut: false, latency });
        self.current[receiver] = Some(number);
        if self.scenario.filtered {
            self.request(receiver, number, "subscribe", r#"{"filter":{"path":"$.k","operator":"==","value":1}}"#);
            let rate = one_of(&mut self.rng, &[50, 1_000, 1_000_000]);
            self.request(receiver, number, "backpressure", &format!(r#"{{"rate_limit":{rate},"unit":"msg/sec"}}"#));
        }
        self.pump(number, 0);
        self.pump(number, 1);
    }

    pub(crate) fn end(&mut self, number: usize, side: usize) -> Option<&mut Half> {
        self.connections.get_mut(&number)?.halves[side].as_mut()
    }

    /// What a driver does after anything has happened.
    pub(crate) fn pump(&mut self, number: usize, side: usize) {
        let (now, max_bytes) = (self.now(), self.scenario.max_transmit);
        for _ in 0..MAX_TURNS {
            let Some(half) = self.end(number, side) else { return };
            if half.is_flushing || half.is_ending {
                return;
            }
            let is_due = half.link.deadline().is_some_and(|deadline| deadline <= now.at);
            if !half.link.register(&half.waker.clone()) && !is_due {
                return self.set_timer(number, side);
            }
            let mut out = Vec::new();
            half.is_ending = half.link.transmit(now, max_bytes, &mut out).is_err();
            half.is_flushing = !out.is_empty() || half.is_ending;
            let is_flushing = half.is_flushing;
            for message in out {
                let bytes = message.text.len() as u64;
                let limit = self.scenario.max_message.unwrap_or(u64::MAX);
                assert!(bytes <= limit, "a message of {bytes} bytes is too large");
                let seen = look_into(&message);
                self.is_sent(number, side, &seen);
                self.end(number, side).expect("it has just given a message").outbox.push_back((message, seen));
            }
            if is_flushing {
                let delay = self.rng.u64(..3);
                return self.later(delay, Action::Flush(number, side));
            }
        }
        panic!("the driver of {number}-{side} spins");
    }

    fn set_timer(&mut self, number: usize, side: usize) {
        let Some(deadline) = self.end(number, side).and_then(|half| half.link.deadline()) else { return };
        let at = self.moment(deadline);
        let now = self.at;
        let Some(half) = self.end(number, side) else { return };
        if half.timer.is_none_or(|timer| timer <= now || timer > at) {
            half.timer = Some(at);
            self.later(at.saturating_sub(now), Action::Timer(number, side));
        }
    }

    pub(crate) fn timer(&mut self, number: usize, side: usize) {
        self.coverage.count("acknowledged after a delay");
        self.pump(number, side);
    }

    /// A link gives a message: is it one that it may give?
    fn is_sent(&mut self, number: usize, side: usize, seen: &Seen) {
        self.note(|| format!("    {number}-{side} sends {seen:?}"));
        let connection = &self.connections[&number];
        let (node, agreed) = (connection.nodes[side], connection.agreed);
        for (key, through) in &seen.through {
            self.model.says_taken(node, key, *through);
        }
        let Some((key, sequence, bytes)) = seen.event.clone() else { return };
        if let Some(store) = self.nodes[node].outs.iter().find(|out| out.key == key).and_then(|out| out.store.as_ref())
        {
            assert!(sequence < store.written(), "{key:?}: {sequence} is sent and not stored");
        }
        let window = self.scenario.window;
        let half = self.end(number, side).expect("it has just given a message");
        let (events, total) = half.sends(key.clone(), sequence, bytes);
        if agreed {
            assert!(events <= window.events, "{key:?}: {events} events are under way");
            assert!(total <= window.bytes || total == bytes, "{key:?}: {total} bytes are under way");
        }
    }

    /// The connection takes some of what was transmitted.
    pub(crate) fn flush(&mut self, number: usize, side: usize) {
        let Some(half) = self.connections.get_mut(&number).and_then(|connection| connection.halves[side].as_mut())
        else {
            return;
        };
        let count = if half.outbox.len() < 2 { half.outbox.len() } else { self.rng.usize(1..=half.outbox.len()) };
        let messages: Vec<_> = half.outbox.drain(..count).collect();
        let (is_done, is_ending) = (half.outbox.is_empty(), half.is_ending);
        for (message, seen) in messages {
            self.is_flushed(number, side, &seen);
            self.put(number, 1 - side, InFlight::Message(message, seen));
        }
        let Some(half) = self.end(number, side) else { return };
        if !is_done {
            let delay = self.rng.u64(..5);
            return self.later(delay, Action::Flush(number, side));
        }
        half.is_flushing = false;
        half.link.flushed();
        if is_ending { self.close(number, side) } else { self.pump(number, side) }
    }

    fn is_flushed(&mut self, number: usize, side: usize, seen: &Seen) {
        let node = self.connections[&number].nodes[side];
        let Some((key, sequence, _)) = &seen.event else { return };
        for out in self.nodes[node].outs.iter_mut().filter(|out| out.key == *key) {
            out.flushed = out.flushed.max(*sequence);
        }
    }

    /// Puts something on the wire to an end.
    fn put(&mut self, number: usize, to: usize, what: InFlight) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.is_cut {
            return;
        }
        let before = connection.wires[to].back().map_or(0, |(at, _)| *at);
        let at = before.max(self.at + self.rng.u64(..=connection.latency));
        connection.wires[to].push_back((at, what));
        let delay = at - self.at;
        self.later(delay, Action::Deliver(number, to));
    }

    /// Something arrives at an end, unless its pipeline is too busy to read.
    pub(crate) fn arrive(&mut self, number: usize, side: usize) {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let node = connection.nodes[side];
        if connection.halves[side].is_none() {
            return connection.wires[side].clear();
        }
        if self.held.values().filter(|held| held.batch.receiver == node).count() >= MAX_HELD {
            return self.later(7, Action::Deliver(number, side));
        }
        let mut count = self.rng.usize(1..=8);
        while count > 0 {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            if connection.wires[side].front().is_none_or(|(at, _)| *at > self.at) {
                break;
            }
            let Some((_, what)) = connection.wires[side].pop_front() else { break };
            let InFlight::Message(message, seen) = what else { return self.close(number, side) };
            let Some(half) = self.end(number, side) else { return };
            seen.through.iter().for_each(|(key, through)| half.hears(key, *through));
            if half.link.receive(&message.text, message.binary, now).is_err() {
                return self.close(number, side);
            }
            count -= 1;
        }
        if count == 0 {
            self.later(1, Action::Deliver(number, side));
        }
        if self.scenario.careless && self.rng.u32(..60) == 0 {
            // The connection ends between two looks at it.
            self.coverage.count("arrived and not handed over");
            return self.close(number, side);
        }
        self.hand_over(number, side);
        self.pump(number, side);
    }

    fn hand_over(&mut self, number: usize, side: usize) {
        let node = self.connections[&number].nodes[side];
        let is_partial = self.scenario.filtered || !self.scenario.agreed;
        let Some(half) = self.end(number, side) else { return };
        let mut arrived = match half.link.arrived() {
            Ok(Some(arrived)) => arrived,
            Ok(None) => return,
            Err(_) => {
                self.coverage.count("given again");
                return self.close(number, side);
            }
        };
        let run = self.nodes[node].run;
        let receipt = arrived.receipt.take();
        let (batch, again, gaps) = self.model.deliver(node, run, &arrived, is_partial);
        self.note(|| format!("    {node} is given {:?}", batch.numbers()));
        self.coverage.add("repeated on request", again);
        self.coverage.add("gap told", gaps);
        let Some(receipt) = receipt else {
            self.coverage.count("plain events");
            return self.model.finish(batch, true, true);
        };
        let mut receipts = vec![receipt];
        for _ in 0..self.rng.usize(..3) {
            receipts.push(receipts[0].clone());
        }
        self.rng.shuffle(&mut receipts);
        let taken = self.rng.u32(..100) >= self.scenario.not_taken;
        self.batches += 1;
        let number = self.batches;
        self.held.insert(number, Held { batch, receipts, taken });
        let delay = self.rng.u64(..=self.scenario.hold_ms);
        self.later(delay, Action::Finish(number));
    }

    /// A pipeline is done with one copy of a batch after the other.
    pub(crate) fn finish(&mut self, number: u64) {
        let Some(mut held) = self.held.remove(&number) else { return };
        if let Some(receipt) = held.receipts.pop() {
            if held.taken || !held.receipts.is_empty() && self.rng.bool() {
                receipt.taken();
            } else {
                held.taken = false;
            }
        }
        if !held.receipts.is_empty() {
            self.held.insert(number, held);
            let delay = self.rng.u64(..10);
            return self.later(delay, Action::Finish(number));
        }
        if !held.taken {
            self.coverage.count("not taken");
        }
        let is_same_run = self.nodes[held.batch.receiver].run == held.batch.run;
        self.model.finish(held.batch, held.taken, is_same_run);
    }

    /// An end is gone; the other one sees that when everything before has arrived.
    pub(crate) fn close(&mut self, number: usize, side: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.halves[side].take().is_none() {
            return;
        }
        let receiver = connection.nodes[1];
        let is_over = connection.halves[1 - side].is_none();
        connection.wires[side].clear();
        self.put(number, 1 - side, InFlight::Closed);
        if is_over {
            self.connections.remove(&number);
        }
        if side == self.dialler && self.current[receiver] == Some(number) {
            self.current[receiver] = None;
            let delay = self.rng.u64(1..200);
            self.later(delay, Action::Dial(receiver));
        }
    }

    /// Nothing arrives any more. `late`: when each end notices.
    pub(crate) fn cut(&mut self, number: usize, late: [u64; 2]) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.is_cut {
            return;
        }
        connection.is_cut = true;
        let is_busy = connection.wires.iter().any(|wire| !wire.is_empty());
        connection.wires.iter_mut().for_each(|wire| wire.clear());
        if is_busy {
            self.coverage.count("cut with something under way");
        }
        for (side, delay) in late.into_iter().enumerate() {
            self.later(delay, Action::Notice(number, side));
        }
    }

    /// Looks after the ends that were woken.
    pub(crate) fn wakes(&mut self) {
        let mut woken = Vec::new();
        for connection in self.connections.values() {
            let halves = connection.halves.iter().enumerate().filter_map(|(side, half)| Some((side, half.as_ref()?)));
            woken.extend(halves.filter(|(_, half)| half.flag.take()).map(|(side, _)| (connection.number, side)));
        }
        for (number, side) in woken {
            let delay = self.rng.u64(..2);
            self.later(delay, Action::Pump(number, side));
        }
        let outs = self.nodes.iter().enumerate().flat_map(|(node, all)| {
            all.outs.iter().enumerate().filter(|(_, out)| out.flag.take()).map(move |(stream, _)| (node, stream))
        });
        for (node, stream) in outs.collect::<Vec<_>>() {
            if std::mem::take(&mut self.nodes[node].outs[stream].waits) {
                self.later(0, Action::Publish(node, stream));
            }
        }
        for node in 0..self.nodes.len() {
            for stream in 0..self.nodes[node].outs.len() {
                if self.nodes[node].outs[stream].settle_flag.take() {
                    self.settle(node, stream);
                }
            }
        }
    }
}
