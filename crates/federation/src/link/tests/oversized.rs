//! Events that are too large for the peer fail alone.

use super::*;
use crate::envelope::{Encoding, Kind};

/// Longer than [`SMALL`] with everything that is around it.
const LARGE: usize = 1_000;

/// Bytes of a message that a peer takes.
const SMALL: u64 = 300;

/// What was given back to the pipeline.
type Failed = Arc<Mutex<Vec<String>>>;

/// A place that sends a stream to one receiver.
fn edge(encoding: Encoding) -> (Place, Arc<Outlet>, Failed) {
    let place = Place::new(FederationConfig { name: "edge".to_owned(), encoding, ..FederationConfig::default() });
    let config = OutletConfig {
        stream: "events".to_owned(),
        content: Content::Json,
        queue_bytes: 1 << 20,
        full: FullPolicy::Block,
        history: History::default(),
        max_receivers: 4,
        forget_after: Duration::from_secs(3_600),
        expects_receiver: true,
    };
    let outlet = Arc::new(Outlet::new(config, OutletCounters::default()));
    let failed = Failed::default();
    let given = failed.clone();
    outlet.when_too_large(move |payload| given.lock().unwrap().push(String::from_utf8(payload).unwrap()));
    assert!(place.federation.add_outlet(outlet.clone()));
    (place, outlet, failed)
}

fn large() -> String {
    json!({"n": -1, "text": "x".repeat(LARGE)}).to_string()
}

/// Numbers, and a large event between them.
fn publish_with_large(outlet: &Outlet, now: Now) {
    publish(outlet, 0..3, now);
    outlet.publish([large().as_bytes()].into_iter(), now);
    publish(outlet, 3..6, now);
}

fn to_receiver(place: &Place, agreed: bool) -> Link {
    let opening = Opening { connection: "hub".to_owned(), agreed, receiver: Some("peer".to_owned()) };
    Link::new(&place.federation, opening, place.now).unwrap()
}

/// Lets both ends say all they have to; the numbers and the gaps that arrive at the second one.
fn exchange(sender: &mut Link, receiver: &mut Link, now: Now) -> (Vec<u64>, Vec<Value>) {
    let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
    loop {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        sender.transmit(now, MAX_BYTES, &mut there).unwrap();
        sender.flushed();
        for Outgoing { text, binary } in &there {
            assert!(text.len() as u64 <= SMALL, "{} bytes", text.len());
            receiver.receive(text, *binary, now).unwrap();
        }
        if let Some(arrived) = receiver.arrived().unwrap() {
            for arrival in &arrived.arrivals {
                match arrival {
                    Arrival::Message { kind: Kind::Data, payload, .. } => {
                        numbers.push(serde_json::from_slice::<Value>(payload).unwrap()["n"].as_u64().unwrap());
                    }
                    Arrival::Message { kind: Kind::Gap, payload, .. } => {
                        gaps.push(serde_json::from_slice(payload).unwrap());
                    }
                    other => panic!("{other:?}"),
                }
            }
            arrived.receipt.into_iter().for_each(crate::Receipt::taken);
        }
        receiver.conclude();
        receiver.transmit(now, MAX_BYTES, &mut back).unwrap();
        receiver.flushed();
        back.iter().for_each(|Outgoing { text, binary }| sender.receive(text, *binary, now).unwrap());
        if there.is_empty() && back.is_empty() {
            return (numbers, gaps);
        }
    }
}

#[test]
fn what_is_too_large_for_a_peer_that_says_so_is_not_sent_and_missing_with_a_gap() {
    for encoding in [Encoding::Json, Encoding::MessagePack, Encoding::Cbor] {
        let (edge, outlet, failed) = edge(encoding);
        let hub = Place::new(FederationConfig {
            name: "hub".to_owned(),
            max_message_bytes: Some(SMALL),
            ..FederationConfig::default()
        });
        hub.federation.accept(Wants { data: true, gaps: true, ..Wants::default() });
        let opening = Opening { connection: "edge".to_owned(), agreed: true, receiver: None };
        let mut receiver = Link::new(&hub.federation, opening, edge.now).unwrap();
        let mut sender = to_receiver(&edge, true);
        publish_with_large(&outlet, edge.now);
        let (numbers, gaps) = exchange(&mut sender, &mut receiver, edge.now);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{encoding:?}");
        let [gap] = &gaps[..] else { panic!("{gaps:?}") };
        assert_eq!((&gap["reason"], &gap["next"], &gap["missing"]), (&json!("too_large"), &json!(5), &json!(1)));
        let counters = hub.federation.counters();
        assert_eq!((counters.gaps.value(), counters.missing.value(), counters.duplicates.value()), (1, 1, 0));
        assert_eq!(*failed.lock().unwrap(), [large()]);
        assert!(outlet.is_settled(outlet.mark()), "what is missing is waited for");
        // The last one of all.
        outlet.publish([large().as_bytes()].into_iter(), edge.now);
        let (numbers, gaps) = exchange(&mut sender, &mut receiver, edge.now);
        assert_eq!((numbers.len(), gaps.len(), failed.lock().unwrap().len()), (0, 1, 2));
        assert!(outlet.is_settled(outlet.mark()) && outlet.backlog() == 0);
    }
}

#[test]
fn what_a_peer_closes_for_is_not_sent_again() {
    let (edge, outlet, failed) = edge(Encoding::Json);
    publish_with_large(&outlet, edge.now);
    let transmitted = |link: &mut Link| {
        let mut out = Vec::new();
        link.transmit(edge.now, MAX_BYTES, &mut out).unwrap();
        let texts = out.iter().map(|message| serde_json::from_slice::<Value>(&message.text).unwrap());
        texts.map(|message| message["payload"]["n"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let mut link = to_receiver(&edge, false);
    assert_eq!(transmitted(&mut link), [0, 1, 2, -1, 3, 4, 5]);
    // It closes with 1009 while we send.
    link.refused_as_too_large();
    drop(link);

    let mut link = to_receiver(&edge, false);
    let mut numbers = Vec::new();
    // What is before it, it, and what is behind it.
    for _ in 0..3 {
        numbers.extend(transmitted(&mut link));
        link.flushed();
    }
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert!(outlet.is_settled(outlet.mark()));
    assert_eq!(*failed.lock().unwrap(), [large()]);
}

#[test]
fn who_has_nothing_under_way_has_nothing_too_large() {
    let (edge, outlet, failed) = edge(Encoding::Json);
    let mut link = to_receiver(&edge, false);
    link.refused_as_too_large();
    publish(&outlet, 0..3, edge.now);
    let mut out = Vec::new();
    link.transmit(edge.now, MAX_BYTES, &mut out).unwrap();
    link.flushed();
    link.refused_as_too_large();
    assert_eq!((out.len(), failed.lock().unwrap().len()), (3, 0));
    assert!(outlet.refused().is_empty());
}
