//! Three processes in a row, of which the two behind the first are killed, or stopped, again and again while events flow:
//!
//! ```text
//! sends -> relays (spool, acknowledges what is in it) -> keeps (file, acknowledges what the disk has)
//! ```
//!
//! What is killed has not always said what it had. So events may come twice, as many as were under way at most; none is
//! lost, and none comes that nobody sent. Whoever is stopped in order says it, and each event comes once.

use std::path::Path;

use eventflux_testkit::proxy::ChaosProxy;
use fastrand::Rng;

use super::node::Node;
use super::sql::{Role, keeper, link, numbers, relay, settled_link};
use super::tally::Tally;
use super::{RATE, extent, folder, wait_for_all, weather};

/// Among the tests.
const SHORT_KILLS: u64 = 6;

/// Events under way to a process at most.
const WINDOW: u64 = 500;

/// Enough events to be still under way at the last kill: a process is killed every second or so.
const EVENTS_FOR_EACH: u64 = 3 * RATE / 2;

/// Who opens the connections.
#[derive(Clone, Copy, PartialEq)]
enum Dialing {
    /// Each process to the one before it.
    Backwards,
    /// Each process to the one behind it.
    Onwards,
}

/// Who is hit.
#[derive(Clone, Copy)]
enum Victim {
    Relay,
    Keeper,
    Either,
}

/// How it is hit.
#[derive(Clone, Copy, PartialEq)]
enum Blow {
    Kill,
    Stop,
}

#[test]
fn kill_9_loses_nothing_where_receivers_connect() {
    killed("kill -9, receivers connect", Dialing::Backwards);
}

#[test]
fn kill_9_loses_nothing_where_senders_connect() {
    killed("kill -9, senders connect", Dialing::Onwards);
}

#[test]
fn who_is_stopped_in_order_and_started_again_gets_nothing_twice() {
    for (proof, dialing, victim) in [
        ("keeper stopped and started, receivers connect", Dialing::Backwards, Victim::Keeper),
        ("relay stopped and started, receivers connect", Dialing::Backwards, Victim::Relay),
        ("both stopped and started, senders connect", Dialing::Onwards, Victim::Either),
    ] {
        let (mut random, folder) = (extent::random(proof), folder());
        let stops = extent::kills(SHORT_KILLS) / 3;
        let count = stops * EVENTS_FOR_EACH + RATE;
        let mut chain = Chain::start(folder.path(), dialing, count);
        chain.hit(victim, Blow::Stop, stops, &mut random);
        wait_for_all(&mut chain.tally, count);
        chain.stop();
        chain.tally.assert_exact();
        extent::figures(proof, &format!("{count} events, {stops} stops: lost 0, invented 0, duplicates 0"));
    }
}

fn killed(proof: &str, dialing: Dialing) {
    let (mut random, folder) = (extent::random(proof), folder());
    let kills = extent::kills(SHORT_KILLS);
    let count = kills * EVENTS_FOR_EACH + RATE;
    let mut chain = Chain::start(folder.path(), dialing, count);
    let mut found = format!("{count} events");
    let parts = [("relay", Victim::Relay, kills / 3), ("keeper", Victim::Keeper, kills / 3)];
    for (name, victim, times) in parts.into_iter().chain([("either", Victim::Either, kills - 2 * (kills / 3))]) {
        let before = chain.tally.read().duplicates;
        chain.hit(victim, Blow::Kill, times, &mut random);
        let duplicates = chain.tally.read().duplicates - before;
        found += &format!(", {times} kills of {name}: {duplicates} duplicates");
    }
    wait_for_all(&mut chain.tally, count);
    chain.stop();
    chain.tally.assert_nothing_lost_or_invented();
    let verdict = chain.tally.verdict();
    assert!(verdict.duplicates <= kills * WINDOW && verdict.torn <= kills, "{verdict:?}");
    let (duplicates, torn) = (verdict.duplicates, verdict.torn);
    extent::figures(
        proof,
        &format!("{found}; {kills} kills: lost 0, invented 0, duplicates {duplicates}, torn lines {torn}"),
    );
}

struct Chain {
    sender: Node,
    relay: Node,
    keeper: Node,
    /// Before whoever listens and is killed: it listens somewhere else each time.
    to_relay: ChaosProxy,
    /// Onwards only.
    to_keeper: Option<ChaosProxy>,
    tally: Tally,
}

impl Chain {
    fn start(folder: &Path, dialing: Dialing, count: u64) -> Self {
        let out = folder.join("out.jsonl");
        let window = format!("websocket.link.window.events='{WINDOW}'");
        let sends = |role| numbers(&RATE.to_string(), count, 0, &link(role, ""));
        let relays = |from, to| relay(&settled_link(from, &window), &link(to, "websocket.spool.path='spool'"));
        let keeps = |role| keeper(&settled_link(role, &window), &out);
        let start = |name: &str, text: &str| Node::start(folder, name, text);
        let tally = Tally::new(&out, count, 0);
        if dialing == Dialing::Backwards {
            let sender = start("sender.sql", &sends(Role::Listens));
            let relay = start("relay.sql", &relays(Role::Connects(sender.listens()), Role::Listens));
            let to_relay = ChaosProxy::start(relay.listens());
            let keeper = start("keeper.sql", &keeps(Role::Connects(to_relay.address())));
            return Self { sender, relay, keeper, to_relay, to_keeper: None, tally };
        }
        let keeper = start("keeper.sql", &keeps(Role::Listens));
        let to_keeper = ChaosProxy::start(keeper.listens());
        let relay = start("relay.sql", &relays(Role::Listens, Role::Connects(to_keeper.address())));
        let to_relay = ChaosProxy::start(relay.listens());
        let sender = start("sender.sql", &sends(Role::Connects(to_relay.address())));
        Self { sender, relay, keeper, to_relay, to_keeper: Some(to_keeper), tally }
    }

    /// Hits so many times, at random moments.
    fn hit(&mut self, victim: Victim, blow: Blow, times: u64, random: &mut Rng) {
        for _ in 0..times {
            weather::pass(random, 100..1_200);
            let is_relay = match victim {
                Victim::Relay => true,
                Victim::Keeper => false,
                Victim::Either => random.bool(),
            };
            let node = if is_relay { &mut self.relay } else { &mut self.keeper };
            match blow {
                Blow::Kill => node.kill(),
                Blow::Stop => node.stop(),
            }
            assert!(self.tally.read().distinct < self.tally.sent(), "nothing flows any more");
            weather::pass(random, 0..200);
            node.start_again();
            match (&self.to_keeper, is_relay) {
                (_, true) => self.to_relay.set_upstream(node.listens()),
                (Some(to_keeper), false) => to_keeper.set_upstream(node.listens()),
                (None, false) => {}
            }
        }
        // What comes twice comes before what follows it.
        let next = self.tally.sent().min(self.tally.read().distinct + WINDOW);
        wait_for_all(&mut self.tally, next);
    }

    /// From the end to the beginning: what is acknowledged waits for nobody.
    fn stop(&mut self) {
        self.keeper.stop();
        self.relay.stop();
        self.sender.stop();
    }
}
