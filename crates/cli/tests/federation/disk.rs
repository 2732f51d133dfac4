//! A spool whose disk is full: nothing is acknowledged that is not stored, and it goes on by itself when there is room.
//!
//! A limit of the size of files stands for the disk: writing beyond it fails, and it can be lifted while the process runs.

use std::path::Path;

use eventflux_testkit::proxy::ChaosProxy;

use super::node::Node;
use super::sql::{Role, keeper, link, numbers, relay, settled_link};
use super::tally::Tally;
use super::{RATE, extent, folder, wait_for_all, wait_until};

const EVENTS: u64 = 9 * RATE;

/// So that there is something to write.
const PADDING: usize = 480;

/// Of the events, come before the disk is full.
const BEFORE: u64 = RATE;

/// Files end here on the full disk: the spool's is larger already, so hardly a page of it can be written. The log, which has
/// to say so, is smaller.
const LIMIT_BYTES: u64 = 64 * 1024;

#[test]
fn a_spool_on_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let mut chain = Chain::start();
    chain.fill_the_disk();
    let logged = chain.relay.log();
    assert!(!logged.contains("the spool works again"), "{logged}");
    chain.relay.limit_files(None);
    chain.relay.expect("the spool works again");
    chain.end("full disk, then room");
}

#[test]
fn what_was_not_stored_comes_again_after_kill_9_on_a_full_disk() {
    let mut chain = Chain::start();
    chain.fill_the_disk();
    chain.relay.kill();
    chain.relay.start_again();
    chain.to_relay.set_upstream(chain.relay.listens());
    chain.end("full disk, then kill -9");
}

struct Chain {
    folder: tempfile::TempDir,
    sender: Node,
    relay: Node,
    keeper: Node,
    to_relay: ChaosProxy,
    tally: Tally,
}

impl Chain {
    fn start() -> Self {
        let folder = folder();
        let out = folder.path().join("out.jsonl");
        let start = |name: &str, text: &str| Node::start(folder.path(), name, text);
        let sink = link(Role::Listens, "websocket.retain.bytes='256KiB'");
        let sender = start("sender.sql", &numbers(&RATE.to_string(), EVENTS, PADDING, &sink));
        let source = settled_link(Role::Connects(sender.listens()), "");
        let relay = start("relay.sql", &relay(&source, &link(Role::Listens, "websocket.spool.path='spool'")));
        let to_relay = ChaosProxy::start(relay.listens());
        let keeper = start("keeper.sql", &keeper(&settled_link(Role::Connects(to_relay.address()), ""), &out));
        Self { sender, relay, keeper, to_relay, tally: Tally::new(&out, EVENTS, PADDING), folder }
    }

    /// Until the spool says that it cannot be written, and nothing comes through any more.
    fn fill_the_disk(&mut self) {
        wait_for_all(&mut self.tally, BEFORE);
        // What waits for a receiver that is away needs room.
        self.to_relay.refuse().blocking();
        self.to_relay.reset();
        assert!(largest(&self.folder.path().join("spool")) > 2 * LIMIT_BYTES);
        self.relay.limit_files(Some(LIMIT_BYTES));
        self.relay.expect("the spool cannot be written");
        self.to_relay.resume().blocking();
        let (mut seen, mut looks) = (0, 0);
        wait_until("nothing more to come", || {
            let now = self.tally.read().distinct;
            looks = if now == seen { looks + 1 } else { 0 };
            seen = now;
            looks > 100
        });
        assert!(seen < EVENTS, "everything has come, whatever the disk had");
    }

    fn end(mut self, proof: &str) {
        let before = self.tally.read().distinct;
        wait_for_all(&mut self.tally, EVENTS);
        self.keeper.stop();
        self.relay.stop();
        self.sender.stop();
        self.tally.assert_exact();
        extent::figures(
            proof,
            &format!("{EVENTS} events, {before} had come when the disk was full: lost 0, invented 0, duplicates 0"),
        );
    }
}

/// Bytes of the largest file in a folder.
fn largest(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap()
}
