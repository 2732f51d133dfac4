//! An edge and a cloud, as the component files of the examples describe them: datagrams come in at the edge, and objects lie
//! in the cloud's store. The link between them is cut on the way.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use eventflux_testkit::proxy::ChaosProxy;
use fastrand::Rng;

use super::node::Node;
use super::support::repository;
use super::{DEADLINE, PAUSE, RATE, extent, folder, weather};

/// Among the tests.
const SHORT_SECONDS: u64 = 5;

/// Datagrams that are sent together.
const BURST: u64 = 10;

/// What the filter of the example lets through is above.
const THRESHOLD: u64 = 50;

/// The files say nothing of how often to connect again, and the pause grows with each cut.
const MAX_CUTS: u64 = 4;

#[test]
fn datagrams_become_objects_exactly_once_though_the_link_is_cut() {
    const PROOF: &str = "edge-config.json and cloud-config.json";
    let (mut random, folder) = (extent::random(PROOF), folder());
    let store = folder.path().join("objects");
    let mut edge = Node::start(folder.path(), "edge-config.json", &edge());
    let proxy = ChaosProxy::start(edge.listens());
    let mut cloud = Node::start(folder.path(), "cloud-config.json", &cloud(proxy.address(), &store));
    cloud.expect("with acknowledgements");
    let datagrams = RATE * extent::seconds(SHORT_SECONDS);
    let values: Vec<_> = (0..datagrams).map(|_| random.u64(0..100)).collect();
    let cuts = send(edge.address("takes messages at udp://"), &values, &proxy, &mut random);
    let wanted = values.iter().filter(|value| **value > THRESHOLD).count();
    let deadline = Instant::now() + DEADLINE;
    while stored(&store).len() < wanted {
        assert!(Instant::now() < deadline, "{wanted} are wanted, and {} are stored", stored(&store).len());
        std::thread::sleep(10 * PAUSE);
    }
    cloud.stop();
    edge.stop();
    let expected: BTreeMap<_, _> =
        (0..).zip(values).filter(|(_, value)| *value > THRESHOLD).map(|event| (event, 1)).collect();
    assert_eq!(stored(&store), expected);
    extent::figures(
        PROOF,
        &format!(
            "{datagrams} datagrams, {cuts} cuts, {wanted} above {THRESHOLD}: each once in the objects, and nothing else"
        ),
    );
}

/// As printed, but for ports.
fn edge() -> String {
    let text = example("edge-config.json");
    let text = replaced(&text, "\"port\": 14550", "\"port\": 0");
    replaced(&text, "\"http_port\": 8080", "\"http_port\": 0")
}

/// As printed, but for the address, and for the store: below a folder of this test's, and with objects that fill sooner.
fn cloud(edge: SocketAddr, store: &Path) -> String {
    let text = replaced(&example("cloud-config.json"), "edge-instance:8080", &edge.to_string());
    let ports = "\"ports\": {\n          \"inputs\"";
    let url = format!("\"url\": \"file:{}\", \"batch\": {{\"delay\": \"50ms\"}},", store.display());
    replaced(&text, ports, &format!("{url} {ports}"))
}

fn example(name: &str) -> String {
    fs::read_to_string(repository().join("examples/federation").join(name)).unwrap()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}

/// Sends them at the usual rate, and cuts the link in between; how often.
fn send(edge: SocketAddr, values: &[u64], proxy: &ChaosProxy, random: &mut Rng) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let cuts = MAX_CUTS.min(extent::seconds(SHORT_SECONDS));
    let between = values.len() as u64 / (cuts + 1);
    let begin = Instant::now();
    for (id, value) in (0..).zip(values) {
        if id % BURST == 0 {
            let due = begin + Duration::from_millis(id * 1_000 / RATE);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let datagram = format!("{{\"id\": {id}, \"value\": {value}}}");
        socket.send_to(datagram.as_bytes(), edge).unwrap();
        if id > 0 && id % between == 0 && id / between <= cuts {
            cut(proxy, random);
        }
    }
    proxy.resume().blocking();
    cuts
}

/// In the middle of whatever is under way; and not always back at once.
fn cut(proxy: &ChaosProxy, random: &mut Rng) {
    if random.bool() {
        proxy.refuse().blocking();
        proxy.reset();
        weather::pass(random, 10..100);
        proxy.resume().blocking();
    } else {
        proxy.reset();
    }
}

/// What the objects have: id and value, and how often.
fn stored(store: &Path) -> BTreeMap<(u64, u64), u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    *found.entry(event(line)).or_default() += 1;
                }
            }
        }
    }
    found
}

fn event(line: &str) -> (u64, u64) {
    let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (event["id"].as_u64().unwrap(), event["value"].as_u64().unwrap())
}
