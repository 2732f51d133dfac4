//! Events flow between two processes while the network between them is cut, stalled, sliced and throttled. No process ends,
//! so each event comes exactly once, in order.

use std::time::Duration;

use eventflux_testkit::proxy::ChaosProxy;

use super::node::Node;
use super::sql::{Role, keeper, link, numbers, settled_link};
use super::tally::Tally;
use super::{RATE, extent, folder, wait_for_all, weather};

/// How long it storms among the tests.
const SHORT_SECONDS: u64 = 7;

/// Which of the two listens.
enum Listens {
    Sender,
    Receiver,
}

/// What the ends say besides.
#[derive(Default)]
struct Besides {
    sink: &'static str,
    source: &'static str,
}

#[test]
fn to_a_receiver_that_connects() {
    prove("JSON, the receiver connects", &Listens::Sender, &Besides::default());
}

#[test]
fn to_a_receiver_that_listens() {
    prove("JSON, the sender connects", &Listens::Receiver, &Besides::default());
}

#[test]
fn as_messagepack_out_of_a_spool() {
    let besides = Besides {
        sink: "websocket.encoding='msgpack', websocket.spool.path='spool'",
        source: "websocket.encoding='msgpack'",
    };
    prove("MessagePack out of a spool, the receiver connects", &Listens::Sender, &besides);
}

#[test]
fn compressed() {
    const DEFLATE: &str = "websocket.permessage-deflate='true', websocket.permessage-deflate.threshold='1B'";
    prove("JSON compressed, the sender connects", &Listens::Receiver, &Besides { sink: DEFLATE, source: DEFLATE });
}

fn prove(proof: &str, listens: &Listens, besides: &Besides) {
    let (mut random, folder) = (extent::random(proof), folder());
    let time = extent::seconds(SHORT_SECONDS);
    let (count, out) = (RATE * time, folder.path().join("out.jsonl"));
    let sender = |role| numbers(&RATE.to_string(), count, 0, &link(role, besides.sink));
    let receiver = |role| keeper(&settled_link(role, besides.source), &out);
    let (proxy, mut sender, mut receiver) = match listens {
        Listens::Sender => {
            let sender = Node::start(folder.path(), "sender.sql", &sender(Role::Listens));
            let proxy = ChaosProxy::start(sender.listens());
            let role = Role::Connects(proxy.address());
            (proxy, sender, Node::start(folder.path(), "receiver.sql", &receiver(role)))
        }
        Listens::Receiver => {
            let receiver = Node::start(folder.path(), "receiver.sql", &receiver(Role::Listens));
            let proxy = ChaosProxy::start(receiver.listens());
            let role = Role::Connects(proxy.address());
            (proxy, Node::start(folder.path(), "sender.sql", &sender(role)), receiver)
        }
    };
    let happened = weather::storm(&proxy, &mut random, Duration::from_secs(time));
    let mut tally = Tally::new(&out, count, 0);
    wait_for_all(&mut tally, count);
    receiver.stop();
    sender.stop();
    tally.assert_exact();
    let connections = proxy.traffic().connections;
    extent::figures(
        proof,
        &format!(
            "{count} events, {connections} connections ({}): lost 0, invented 0, duplicates 0",
            happened.described()
        ),
    );
}
