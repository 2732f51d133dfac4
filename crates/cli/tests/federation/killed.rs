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
    /// One of them, or both at once.
    Any,
}

/// Who may be hit.
#[derive(Clone, Copy)]
enum Member {
    Relay,
    Keeper,
}

impl Victim {
    fn members(self, random: &mut Rng) -> &'static [Member] {
        match self {
            Self::Relay => &[Member::Relay],
            Self::Keeper => &[Member::Keeper],
            Self::Any => match random.u8(..3) {
                0 => &[Member::Relay],
                1 => &[Member::Keeper],
                _ => &[Member::Relay, Member::Keeper],
            },
        }
    }
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
        ("both stopped and started, senders connect", Dialing::Onwards, Victim::Any),
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
    let times = extent::kills(SHORT_KILLS);
    let count = times * EVENTS_FOR_EACH + RATE;
    let mut chain = Chain::start(folder.path(), dialing, count);
    let (mut kills, mut found) = (0, Vec::new());
    let parts = [("the relay", Victim::Relay, times / 3), ("the keeper", Victim::Keeper, times / 3)];
    for (name, victim, times) in parts.into_iter().chain([("any", Victim::Any, times - 2 * (times / 3))]) {
        let before = chain.tally.read().duplicates;
        let ended = chain.hit(victim, Blow::Kill, times, &mut random);
        kills += ended;
        found.push(format!("{ended} of {name}: {}", chain.tally.read().duplicates - before));
    }
    wait_for_all(&mut chain.tally, count);
    chain.stop();
    chain.tally.assert_nothing_lost_or_invented();
    let verdict = chain.tally.verdict();
    assert!(verdict.duplicates <= kills * WINDOW && verdict.torn <= kills, "{verdict:?}");
    extent::figures(
        proof,
        &format!(
            "{count} events, {kills} kills: lost 0, invented 0, duplicates {} ({}), torn lines {}",
            verdict.duplicates,
            found.join(", "),
            verdict.torn
        ),
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

    /// Hits so many times, at random moments. How many processes ended.
    fn hit(&mut self, victim: Victim, blow: Blow, times: u64, random: &mut Rng) -> u64 {
        let mut ended = 0;
        for _ in 0..times {
            weather::pass(random, 100..1_200);
            let victims = victim.members(random);
            for member in victims {
                match blow {
                    Blow::Kill => self.node(*member).kill(),
                    Blow::Stop => self.node(*member).stop(),
                }
                ended += 1;
            }
            assert!(self.tally.read().distinct < self.tally.sent(), "nothing flows any more");
            weather::pass(random, 0..200);
            for member in victims {
                ended += self.start_again(*member, blow, random);
            }
        }
        // What comes twice comes before what follows it.
        let next = self.tally.sent().min(self.tally.read().distinct + WINDOW);
        wait_for_all(&mut self.tally, next);
        ended
    }

    /// Starts it again; sometimes it is hit while it starts. How often.
    fn start_again(&mut self, member: Member, blow: Blow, random: &mut Rng) -> u64 {
        let node = self.node(member);
        node.start_again();
        let again = blow == Blow::Kill && random.u8(..4) == 0;
        if again {
            weather::pass(random, 0..40);
            node.kill();
            node.start_again();
        }
        match (member, &self.to_keeper) {
            (Member::Relay, _) => self.to_relay.set_upstream(self.relay.listens()),
            (Member::Keeper, Some(to_keeper)) => to_keeper.set_upstream(self.keeper.listens()),
            (Member::Keeper, None) => {}
        }
        u64::from(again)
    }

    fn node(&mut self, member: Member) -> &mut Node {
        match member {
            Member::Relay => &mut self.relay,
            Member::Keeper => &mut self.keeper,
        }
    }

    /// From the end to the beginning: what is acknowledged waits for nobody.
    fn stop(&mut self) {
        self.keeper.stop();
        self.relay.stop();
        self.sender.stop();
    }
}
