//! Gateways that are one through NATS, with clients spread over them; one of the gateways is killed.

use std::env;
use std::sync::Arc;
use std::time::Instant;

use eventflux_testkit::nats::NatsServer;

use super::clients::Crowd;
use super::node::Node;
use super::pipelines::connection;
use super::producer::Producer;
use super::{extent, folder, wait_until, weather};

/// Among the tests.
const SHORT_CLIENTS: usize = 300;
const SHORT_KILLS: u64 = 1;

/// How long events flow between two kills, in milliseconds.
const FLOWING_MS: std::ops::Range<u64> = 500..1_500;

const GATEWAYS: usize = 3;

/// What clients follow: each one of them.
const CHANNELS: u64 = 20;

/// Events per second that all clients get together, as far as two cores that other things run on are good for.
const DELIVERIES: u64 = 15_000;

#[test]
fn clients_of_a_killed_gateway_go_on_at_the_others_without_a_gap() {
    let proof = "kill -9 of one of three gateways";
    let (mut random, folder, server) = (extent::random(proof), folder(), NatsServer::start());
    let number = env::var("EVENTFLUX_PROVE_CLIENTS").map_or(SHORT_CLIENTS, |text| text.parse().unwrap());
    // One killed costs a second or two, and many clients need their time to come back.
    let kills = extent::kills(SHORT_KILLS).div_ceil(4);
    let mut publisher = Node::start(folder.path(), "publisher.sql", &publishes(&server));
    let mut gateways: Vec<_> = (0..GATEWAYS)
        .map(|index| Node::start(folder.path(), &format!("gateway-{index}.sql"), &serves(&server)))
        .collect();
    let crowd = Crowd::start(number, CHANNELS, gateways.iter().map(Node::listens).collect());
    wait_until("all clients follow their channels", || crowd.following() == number);
    let rate = (DELIVERIES * CHANNELS / number as u64).max(CHANNELS);
    let producer = Producer::start(publisher.listens(), rate, |number| format!("{{\"n\":{number}}}"));
    producer.go();
    let mut moved = 0;
    for _ in 0..kills {
        crowd.wait_for_one_more_each();
        weather::pass(&mut random, FLOWING_MS);
        // One that came back has no clients yet.
        let victim = (0..GATEWAYS).max_by_key(|index| crowd.at(*index)).unwrap();
        let killed = Instant::now();
        moved += crowd.at(victim);
        gateways[victim].kill();
        wait_until("its clients follow their channels elsewhere", || {
            crowd.at(victim) == 0 && crowd.following() == number
        });
        crowd.wait_for_one_more_each();
        assert!(gateways.iter().enumerate().all(|(index, gateway)| index == victim || gateway.is_ready()));
        eprintln!("{proof}: all are back, and have got something, after {:.1?}", killed.elapsed());
        gateways[victim].start_again();
        wait_until("it is ready again", || gateways[victim].is_ready());
        crowd.moved_to(victim, gateways[victim].listens());
    }
    let sent = producer.finish();
    crowd.wait_for_all(sent);
    let found = crowd.finish();
    gateways.iter_mut().chain([&mut publisher]).for_each(Node::stop);
    assert_eq!((found.lost, found.not_recovered, &found.errors[..]), (0, 0, &[][..]), "{found:?}");
    assert_eq!(found.duplicates, 0, "{found:?}");
    assert!(found.returned >= moved as u64, "{found:?}, and {moved} were with a gateway that was killed");
    extent::figures(
        proof,
        &format!(
            "{number} clients, {sent} events, {} deliveries, {kills} kills, {} clients moved: lost 0, duplicates 0, not recovered 0, \
             back and up to date after at most {:.1?}, longest pause of a client {:.1?}",
            found.delivered, found.returned, found.longest_return, found.longest_pause
        ),
    );
}

/// The path that all of them serve as one.
fn path(server: &NatsServer) -> Arc<str> {
    format!(
        "type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ws', \
         websocket.protocol='channels', websocket.max.connections='5000', \
         websocket.max.connections.per.address='5000', gateway.backplane='nats', \
         gateway.backplane.name='proof', {}",
        connection(server.address())
    )
    .into()
}

/// A gateway without clients that publishes what a producer sends it.
fn publishes(server: &NatsServer) -> String {
    format!(
        "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/in', @map(type='json'))\n\
         CREATE STREAM Made (n BIGINT);\n\
         @sink({}, websocket.channel='c.${{channel}}', websocket.history.events='100000', websocket.history.bytes='16MiB', \
         websocket.history.age='1h', @map(type='json', exclude='channel'))\n\
         CREATE STREAM Published (channel BIGINT, n BIGINT);\n\
         INSERT INTO Published SELECT MOD(n, {CHANNELS}) AS channel, n FROM Made;\n",
        path(server)
    )
}

/// A gateway that serves clients.
fn serves(server: &NatsServer) -> String {
    format!(
        "@source({}, websocket.accept='event', @map(type='json'))\n\
         @sink(type='blackhole')\n\
         CREATE STREAM Said (text STRING);\n",
        path(server)
    )
}
