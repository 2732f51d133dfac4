//! Receivers that stand in for each other.

use super::*;
use crate::envelope::Kind;

/// Sends over one connection to `hub`, until there is nothing more to say; what arrived there: numbers, and notices of gaps.
fn visit(edge: &Place, hub: &Place) -> (Vec<u64>, Vec<Value>) {
    let link = |place: &Place, receiver: Option<&str>| {
        let receiver = receiver.map(str::to_owned);
        let opening = Opening { connection: "pair".to_owned(), agreed: true, receiver };
        Link::new(&place.federation, opening, place.now).unwrap()
    };
    let mut links = [link(edge, Some("peer")), link(hub, None)];
    let (mut numbers, mut gaps, mut now) = (Vec::new(), Vec::new(), edge.now);
    // An acknowledgement waits for others, but not for so long.
    for _ in 0..20 {
        now = now + 10 * MILLISECOND;
        for from in [0, 1] {
            let mut out = Vec::new();
            links[from].transmit(now, MAX_BYTES, &mut out).unwrap();
            links[from].flushed();
            for Outgoing { text, binary } in out {
                links[1 - from].receive(&text, binary, now).unwrap();
            }
            let Some(arrived) = links[1].arrived().unwrap() else { continue };
            for arrival in arrived.arrivals {
                let Arrival::Message { kind, payload, .. } = arrival else { panic!("{arrival:?}") };
                let payload: Value = serde_json::from_slice(&payload).unwrap();
                match kind {
                    Kind::Gap => gaps.push(payload),
                    _ => numbers.push(payload["n"].as_u64().unwrap()),
                }
            }
            arrived.receipt.into_iter().for_each(crate::Receipt::taken);
        }
    }
    (numbers, gaps)
}

fn hub(name: &str) -> Place {
    let hub = Place::new(FederationConfig { name: name.to_owned(), ..FederationConfig::default() });
    hub.federation.accept(Wants { data: true, gaps: true, ..Wants::default() });
    hub
}

#[test]
fn what_one_has_acknowledged_is_not_sent_to_another_and_it_is_told_so() {
    let edge = Place::new(FederationConfig { stand_ins: true, ..FederationConfig::default() });
    let outlet = edge.outlet("events", 1 << 20);
    let (one, other) = (hub("one"), hub("other"));
    publish(&outlet, 0..10, edge.now);
    assert_eq!(visit(&edge, &one), ((0..10).collect(), vec![]));
    publish(&outlet, 10..30, edge.now);
    // It has never heard of the stream, so that nothing is missing there.
    assert_eq!(visit(&edge, &other), ((10..30).collect(), vec![]));
    publish(&outlet, 30..35, edge.now);
    let (numbers, gaps) = visit(&edge, &one);
    assert_eq!(numbers, (30..35).collect::<Vec<_>>());
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((&gaps[0]["reason"], &gaps[0]["missing"]), (&json!("taken_elsewhere"), &json!(20)));
    assert!(outlet.is_settled(outlet.mark()));
}

#[test]
fn one_that_alone_is_meant_gets_what_is_still_there_again() {
    let edge = Place::new(FederationConfig::default());
    let outlet = edge.outlet("events", 1 << 20);
    let (one, other) = (hub("one"), hub("other"));
    publish(&outlet, 0..10, edge.now);
    visit(&edge, &one);
    publish(&outlet, 10..30, edge.now);
    visit(&edge, &other);
    // Under its name another one has acknowledged; what the history still has is sent as it asks for it.
    assert_eq!(visit(&edge, &one), ((10..30).collect(), vec![]));
}
