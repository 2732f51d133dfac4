//! What goes wrong: connections, processes and disks.

use eventflux_federation::Wants;

use crate::process::FOR_EVER;
use crate::scenario::{Fault, one_of};
use crate::wire::Connection;
use crate::world::{Action, Out, World, name};

impl World {
    /// Something goes wrong.
    pub(crate) fn fault(&mut self) {
        if self.faults == 0 {
            return self.calm_down();
        }
        self.faults -= 1;
        let fault = one_of(&mut self.rng, &self.scenario.faults.clone());
        let receiver = self.rng.usize(1..=self.scenario.receivers);
        self.note(|| format!("  {fault:?} {receiver}"));
        match fault {
            Fault::Cut => self.cut_all(receiver, [0, 0]),
            Fault::HalfOpen => {
                let late = [0, self.rng.u64(100..3_000)];
                self.coverage.count("half-open connection");
                let late = if self.rng.bool() { late } else { [late[1], late[0]] };
                self.cut_all(receiver, late);
            }
            Fault::TakeOver => {
                self.coverage.count("connection taken over");
                self.connect(receiver);
            }
            Fault::RestartReceiver => self.restart_receiver(receiver),
            Fault::RestartSender => self.restart_sender(),
            Fault::FailStore => self.fail_store(),
            Fault::Away => {
                let until = self.at + self.rng.u64(500..5_000);
                self.nodes[receiver].away_until = self.nodes[receiver].away_until.max(until);
                self.cut_all(receiver, [0, 0]);
            }
            Fault::Gone => {
                self.coverage.count("receiver gone");
                self.nodes[1].away_until = FOR_EVER;
                self.cut_all(1, [0, 0]);
            }
            Fault::Wants => self.change_wants(receiver),
            Fault::Replace => self.replace_stream(),
            Fault::Replay => self.ask_for_replay(receiver),
        }
        let delay = self.rng.u64(20..800);
        self.later(delay, Action::Fault);
    }

    fn cut_all(&mut self, receiver: usize, late: [u64; 2]) {
        let is_its = |connection: &&Connection| connection.nodes[1] == receiver;
        let numbers: Vec<_> = self.connections.values().filter(is_its).map(|connection| connection.number).collect();
        numbers.into_iter().for_each(|number| self.cut(number, late));
    }

    /// The process is killed: its ends are gone at once, the others notice.
    fn kill(&mut self, node: usize) {
        let mut coverage = std::mem::take(&mut self.coverage);
        self.leave_traces(node, &mut coverage);
        self.coverage = coverage;
        let sides = self.connections.values().flat_map(|connection| {
            (0..2)
                .filter(|side| connection.nodes[*side] == node)
                .map(|side| (connection.number, side))
                .collect::<Vec<_>>()
        });
        let sides: Vec<_> = sides.collect();
        sides.into_iter().for_each(|(number, side)| self.close(number, side));
    }

    fn restart_receiver(&mut self, node: usize) {
        self.coverage.count("receiver restarted");
        self.restart(node);
    }

    fn restart_sender(&mut self) {
        let with_store = self.scenario.store_bytes.is_some();
        self.coverage.count(if with_store {
            "sender restarted with its store"
        } else {
            "sender restarted without a store"
        });
        self.restart(0);
    }

    fn restart(&mut self, node: usize) {
        self.kill(node);
        let run = self.nodes[node].run + 1;
        let outs = std::mem::take(&mut self.nodes[node].outs);
        let away_until = self.nodes[node].away_until;
        self.nodes[node] = self.start_node(node, run);
        self.nodes[node].away_until = away_until;
        self.model.restart(node);
        for (stream, out) in outs.into_iter().enumerate() {
            let out = self.restarted(node, stream, out);
            assert!(self.nodes[node].federation.add_outlet(out.outlet.clone()));
            self.nodes[node].outs.push(out);
            self.later(0, Action::Publish(node, stream));
        }
    }

    /// The same stream in another process, or the same one begun anew.
    fn restarted(&mut self, node: usize, stream: usize, mut out: Out) -> Out {
        if let Some(store) = &out.store {
            store.crash(self.rng.usize(..6));
        }
        let dropped = out.counters.dropped.value();
        (out.outlet, out.counters) = self.outlet(node, stream, out.store.as_ref());
        out.counters.dropped.add(dropped);
        out.waits = false;
        out.unsettled = None;
        out.flushed = 0;
        let key = (out.key.0.clone(), out.outlet.epoch());
        if out.store.is_some() {
            assert_eq!(key, out.key, "a store keeps its epoch");
            let next = out.outlet.mark();
            self.coverage.add("published, not stored, and gone", self.model.published(&key) + 1 - next);
            self.model.unpublish(&key, next);
        } else {
            out.known.clear();
            out.is_heard = false;
        }
        out.key = key;
        out
    }

    fn fail_store(&mut self) {
        let stream = self.rng.usize(..self.scenario.streams);
        let Some(store) = &self.nodes[0].outs[stream].store else { return };
        store.fail(true);
        self.coverage.count("store failed");
        let delay = self.rng.u64(100..3_000);
        self.later(delay, Action::Recover(0, stream));
    }

    fn change_wants(&mut self, receiver: usize) {
        self.coverage.count("wants changed");
        let wants =
            Wants { data: self.rng.bool(), streams: vec![format!("{}/1", name(0))], gaps: true, ..Wants::default() };
        self.nodes[receiver].federation.accept(wants);
        let delay = self.rng.u64(1..2_000);
        self.later(delay, Action::WantAll(receiver));
    }

    fn replace_stream(&mut self) {
        self.coverage.count("stream replaced");
        let stream = self.rng.usize(..self.scenario.streams);
        self.nodes[0].federation.remove_outlet(&self.nodes[0].outs[stream].outlet);
        assert!(!self.nodes[0].outs[stream].outlet.is_closed() || self.nodes[0].outs[stream].outlet.has_room());
        let out = self.nodes[0].outs.remove(stream);
        let out = self.restarted(0, stream, out);
        assert!(self.nodes[0].federation.add_outlet(out.outlet.clone()));
        self.nodes[0].outs.insert(stream, out);
        self.later(0, Action::Publish(0, stream));
    }

    fn ask_for_replay(&mut self, receiver: usize) {
        let count = self.rng.u32(1..50);
        let Some(number) = self.current[receiver] else { return };
        self.request(receiver, number, "replay", &format!(r#"{{"count":{count}}}"#));
    }
}
